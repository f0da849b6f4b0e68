/*
 * rates.h
 *	  Which jobs may start by the rates and quotas of limits, in shared memory.
 */
#ifndef TASKQ_RATES_H
#define TASKQ_RATES_H

#include "taskq.h"

#include "shared/holders.h"

#define MAX_PAID MAX_HELD /* the most limits that one job is under */
#define QUOTA_PARTS 64	  /* a quota's window moves in steps of this part of it */
#define RATES_NEVER HELD_NEVER

/* The rate and the quota of one limit, for one value of its keys. */
typedef struct RateLimit
{
	int32 limit_id;
	bool  by_key;				  /* other jobs of the route may not be under it, or have another value */
	char  value[HELD_VALUE_SIZE]; /* all zeros if the limit is for all its jobs alike */
	int64 token;				  /* nanoseconds between two starts; 0 without a rate */
	int32 burst;				  /* how many may start at once */
	bool  lasting;				  /* what has started is remembered through a restart */
	int32 quota;				  /* 0 without a quota */
	int64 part_length;			  /* of the quota's window, in microseconds */
} RateLimit;

/* Those of a job. */
typedef struct RateLimits
{
	Oid		  relid; /* of the table of limits; another installation has another one */
	int32	  route_id;
	int		  n;
	RateLimit limits[MAX_PAID];
} RateLimits;

typedef enum RatesAnswer
{
	RATES_ROOM,
	RATES_RATE,		 /* the rate lets it start later */
	RATES_QUOTA,	 /* the quota does */
	RATES_TOO_HEAVY, /* it weighs more than the burst or the quota */
	RATES_UNKNOWN,	 /* the scheduler has not read yet what has started before */
	RATES_NO_MEMORY
} RatesAnswer;

/* Why a job may not start. */
typedef struct RatesRefusal
{
	const RateLimit *limit; /* one of those that were asked; NULL: nothing was refused */
	int64			 until; /* when it may start, by ClockSteady(); or RATES_NEVER if that is not known */
} RatesRefusal;

/* What a claim has paid for the start of a job. */
typedef struct RatePaid
{
	int32 weight;
	bool  started;	  /* the start has a time, so it counts as one of that time */
	bool  called;	  /* a handler was called */
	int64 started_at; /* by ClockSteady() */
	int	  n;
	struct
	{
		struct RateEntry *entry;  /* in shared memory */
		uint64			  number; /* of that entry: if it has another one now, the limit is gone */
		bool			  by_key;
		bool			  from_portion; /* that was stored before */
	} limits[MAX_PAID];
} RatePaid;

/* The state of a limit, or of one of its values. */
typedef struct RateState
{
	RatesAnswer answer; /* for a job that weighs one */
	int64		until;	/* when one may start, as in RatesRefusal; if answer is RATES_ROOM, now */
	int64		tokens; /* how many may start at once by the rate, or -1 */
	int64		left;	/* how many by the quota, or -1 */
} RateState;

/* What is stored of a limit that outlives a restart. */
typedef struct RateStored
{
	int64 tokens;	/* of a slow rate, that were left */
	int64 reserved; /* what may have started since */
	int64 part_length;
	int32 used[QUOTA_PARTS + 1]; /* the newest is last */
} RateStored;

/* One value of a limit. */
typedef struct RateValue
{
	int32 limit_id;
	char  value[HELD_VALUE_SIZE];
} RateValue;

extern void RatesInit(void);
extern bool RatesPresent(void);

/* for claims */
extern RatesAnswer RatesRoom(const RateLimits *limits, int32 weight, RatesRefusal *refusal, bool wait);
extern RatesAnswer RatesTake(const RateLimits *limits, int32 weight, RatePaid *paid, RatesRefusal *refusal);
extern bool		   RatesArePaid(const RateLimits *limits, const RatePaid *paid);
extern void		   RatesStarted(RatePaid *paid);
extern void		   RatesReturn(const RatePaid *paid, HeldValues *freed);
extern void		   RatesUnstart(RatePaid *paid);
extern bool		   RateLimitReserves(const RateLimit *limit);
extern void		   RatesAskForPortion(void);

/* for those that wait */
extern void	 RatesLook(void);
extern long	 RatesWatch(long milliseconds);
extern void	 RatesEndWatch(void);
extern bool	 RatesWatched(Oid relid, const RatesRefusal *refusal);
extern int64 RatesRoomAt(const HeldWait *wait, bool *reserve);
extern void	 RatesNoteWait(int32 route_id, const HeldWait *wait);

/* for the scheduler */
extern void	 RatesKeepOnly(Oid relid, const int32 *limit_ids, int n);
extern void	 RatesBegin(Oid relid, const RateLimit *limit, bool for_values);
extern bool	 RatesIsKnown(Oid relid, const RateLimit *limit);
extern void	 RatesKnow(Oid relid, const RateLimit *limit, const RateStored *stored, int64 elapsed);
extern bool	 RatesWanted(bool clear);
extern int64 RatesPlan(Oid relid, const RateLimit *limit, RateStored *stored, int64 *retry_at);
extern void	 RatesGrant(Oid relid, const RateLimit *limit, int64 portion);
extern void	 RatesForgetDatabase(Oid dboid);

/* for the scheduler: values of keys (rates_value.c) */
extern int	 RatesWanting(Oid relid, RateValue *values, int most);
extern int64 RatesNextWanting(void);
extern void	 RatesRetryAll(void);
extern void	 RatesWantAgain(Oid relid, const RateValue *value);
extern int	 RatesSweep(RateValue *values, int most, bool *more);
extern bool	 RatesHaveValue(Oid relid, const RateValue *value);
extern bool	 RatesAnyValues(void);
extern bool	 RatesShort(void);
extern bool	 RatesHaveRoom(void);

/* for views */
extern RateState   RatesStateOf(Oid relid, const RateLimit *limit);
extern RatesAnswer RatesCountValues(Oid relid, const RateLimit *limit);
extern int		   RatesValuesOf(Oid relid, int32 limit_id, RateValue **values);

#endif /* TASKQ_RATES_H */
