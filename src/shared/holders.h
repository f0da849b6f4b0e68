/*
 * holders.h
 *	  What running jobs hold of the limits, in shared memory.
 */
#ifndef TASKQ_HOLDERS_H
#define TASKQ_HOLDERS_H

#include "taskq.h"

#define MAX_HELD 4	   /* the most limits that one job is under */
#define MAX_AWAITED 16 /* the most process ids that are shown */

/* One limit, as a job needs it. */
typedef struct HeldLimit
{
	int32 limit_id;
	int32 most; /* how many jobs may hold it */
} HeldLimit;

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
extern HoldersAnswer HoldersRoom(const HeldLimits *limits, int32 *which, bool wait);
extern HoldersAnswer HoldersTake(const HeldLimits *limits, int64 job_id, int64 epoch);
extern void			 HoldersStamp(int64 job_id, int64 provisional, int64 epoch);
extern bool			 HoldersHold(const HeldLimits *limits, int64 job_id, int64 epoch);
extern bool			 HoldersRelease(int64 job_id, int64 epoch);

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
extern int		 HoldersAwaited(int *pids);

#endif /* TASKQ_HOLDERS_H */
