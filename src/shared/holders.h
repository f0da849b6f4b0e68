/*
 * holders.h
 *	  What running jobs hold of the limits, in shared memory.
 */
#ifndef TASKQ_HOLDERS_H
#define TASKQ_HOLDERS_H

#include "taskq.h"

/*
 * The most limits that one job is under: for its queue and type, either of them or all jobs,
 * one that is for all of these jobs, for each value of one key, of the other, or of both,
 * for its tenant, and for each group key of that.  And one job of each group of an ordered
 * queue runs at a time.
 */
#define MAX_HELD 25
#define MAX_AWAITED 16							   /* the most process ids that are shown */
#define HELD_VALUE_SIZE (2 * (TASKQ_NAME_MAX + 1)) /* the values of two keys, padded with zeros */

/* One limit, as a job needs it. */
typedef struct HeldLimit
{
	int32 limit_id;
	int32 most;					  /* how many jobs may hold it */
	bool  by_key;				  /* other jobs of the route may not be under it, or have another value */
	char  value[HELD_VALUE_SIZE]; /* only jobs with the same value count; only if by_key */
} HeldLimit;

/* What jobs with one value of a limit wait for. */
typedef enum HeldKind
{
	HELD_JOBS,	/* the end of a job that holds the limit */
	HELD_RATE,	/* the next start that the limit's rate or quota allows */
	HELD_MEMORY /* memory for a rate or quota of another value; then it is of no limit */
} HeldKind;

/*
 * A limit for one value, as the release of a job frees it.  If the number of the limit is
 * negative, that is the order of a queue, and the value begins with the lane of the group.
 */
typedef struct HeldValue
{
	Oid		 relid;
	int32	 limit_id;
	HeldKind kind;
	char	 value[HELD_VALUE_SIZE];
} HeldValue;

/* A value of a limit for which jobs wait. */
typedef struct HeldWait
{
	HeldValue value;
	int32	  most;	  /* how many jobs may hold it; only if HELD_JOBS */
	int32	  weight; /* of the job that waits; only if HELD_RATE */
	int64	  until;  /* by ClockSteady(): try again then; HELD_NEVER: not before it is freed */
} HeldWait;

#define HELD_NEVER PG_INT64_MAX

typedef struct HeldValues
{
	int		  n;
	HeldValue values[MAX_HELD];
} HeldValues;

/* The limits of a job. */
typedef struct HeldLimits
{
	Oid		  relid; /* of the table of limits; another installation has another one */
	int32	  route_id;
	int		  n;
	HeldLimit limits[MAX_HELD];
} HeldLimits;

typedef enum HoldersAnswer
{
	HOLDERS_ROOM,
	HOLDERS_FULL,	  /* as many jobs run as may */
	HOLDERS_ARMING,	  /* it is not known yet how many run */
	HOLDERS_NO_MEMORY /* there is no room to note another job */
} HoldersAnswer;

/* A job that holds limits, for the process that checks whether it runs. */
typedef struct HeldJob
{
	int64 job_id;
	int64 epoch;
} HeldJob;

/* How many jobs hold a limit for one value. */
typedef struct HeldUse
{
	char value[HELD_VALUE_SIZE];
	int	 in_use;
} HeldUse;

/* The state of a limit. */
typedef struct HeldState
{
	HoldersAnswer answer; /* HOLDERS_ROOM also if it is full */
	int			  in_use;
} HeldState;

extern void HoldersInit(void);
extern bool HoldersPresent(void);

/* for claims */
extern void			 HoldersClaimBegins(void);
extern bool			 HoldersClaimsOpen(void);
extern void			 HoldersClaimsEnd(void);
extern HoldersAnswer HoldersRoom(const HeldLimits *limits, int *which, bool wait);
extern HoldersAnswer HoldersTake(const HeldLimits *limits, int64 job_id, int64 epoch, int *which);
extern bool			 HoldersHaveRoom(const HeldWait *wait);
extern uint32		 HeldHash(int32 limit_id, const char *value);
extern void			 HoldersStamp(int64 job_id, int64 provisional, int64 epoch);
extern bool			 HoldersHold(const HeldLimits *limits, int64 job_id, int64 epoch);
extern bool			 HoldersRelease(int64 job_id, int64 epoch, HeldValues *freed);

/* for the scheduler */
extern bool HoldersMake(Oid relid, const int32 *limit_ids, int n);
extern bool HoldersAwaitClaims(void);
extern void HoldersBeginCount(void);
extern bool HoldersAdd(const HeldLimits *limits, int64 job_id, int64 epoch);
extern void HoldersEndCount(Oid relid, bool complete);
extern int	HoldersCopy(HeldJob **jobs);
extern bool HoldersInDoubt(bool clear);
extern bool HoldersAny(void);
extern void HoldersDoubt(void);
extern void HoldersForgetDatabase(Oid dboid);

/* for views */
extern HeldState HoldersStateOf(Oid relid, int32 limit_id);
extern int		 HoldersValuesOf(Oid relid, int32 limit_id, HeldUse **uses);
extern int		 HoldersAwaited(int *pids);

#endif /* TASKQ_HOLDERS_H */
