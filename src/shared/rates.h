/*
 * rates.h
 *	  Which jobs may start by the rates and quotas of limits, in shared memory.
 */
#ifndef TASKQ_RATES_H
#define TASKQ_RATES_H

#include "taskq.h"

#define MAX_PAID 4	   /* the most limits that one job is under */
#define QUOTA_PARTS 64 /* a quota's window moves in steps of this part of it */
#define RATES_NEVER PG_INT64_MAX

/* The value of a limit's key for which a count is kept; limits have no keys yet, so it is 0. */
typedef struct LimitValue
{
	uint64 hash;
} LimitValue;

/* The rate and the quota of one limit. */
typedef struct RateLimit
{
	int32	   limit_id;
	LimitValue value;
	int64	   token;		/* nanoseconds between two starts; 0 without a rate */
	int32	   burst;		/* how many may start at once */
	bool	   lasting;		/* what has started is remembered through a restart */
	int32	   quota;		/* 0 without a quota */
	int64	   part_length; /* of the quota's window, in microseconds */
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
	int32	   limit_id;
	LimitValue value;
	int64	   until; /* when it may start, by ClockSteady(); or RATES_NEVER if that is not known */
} RatesRefusal;

/* What a claim has paid for the start of a job. */
typedef struct RatePaid
{
	Oid	  relid;
	int32 weight;
	bool  started;	  /* the start has a time, so it counts as one of that time */
	bool  called;	  /* a handler was called */
	int64 started_at; /* by ClockSteady() */
	int	  n;
	struct
	{
		int32	   limit_id;
		LimitValue value;
		bool	   from_portion;
	} limits[MAX_PAID];
} RatePaid;

/* The state of a limit. */
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
	int32	   limit_id;
	LimitValue value;
	int64	   tokens;	 /* of a slow rate, that were left */
	int64	   reserved; /* what may have started since */
	int64	   part_length;
	int32	   used[QUOTA_PARTS + 1]; /* the newest is last */
} RateStored;

extern void RatesInit(void);
extern bool RatesPresent(void);

/* for claims */
extern RatesAnswer RatesRoom(const RateLimits *limits, int32 weight, RatesRefusal *refusal, bool wait);
extern bool		   RatesTake(const RateLimits *limits, int32 weight, RatePaid *paid);
extern void		   RatesStarted(RatePaid *paid);
extern void		   RatesReturn(const RatePaid *paid);
extern void		   RatesUnstart(RatePaid *paid);
extern bool		   RateLimitReserves(const RateLimit *limit);

/* for those that wait */
extern void RatesLook(void);
extern long RatesWatch(long milliseconds);
extern void RatesEndWatch(void);
extern bool RatesWatched(Oid relid, const RatesRefusal *refusal);

/* for the scheduler */
extern void	 RatesKeepOnly(Oid relid, const int32 *limit_ids, int n);
extern void	 RatesBegin(Oid relid, const RateLimit *limit);
extern bool	 RatesIsKnown(Oid relid, const RateLimit *limit);
extern void	 RatesKnow(Oid relid, const RateLimit *limit, const RateStored *stored, int64 elapsed);
extern bool	 RatesWanted(bool clear);
extern int64 RatesPlan(Oid relid, const RateLimit *limit, RateStored *stored, int64 *retry_at);
extern void	 RatesGrant(Oid relid, const RateLimit *limit, int64 portion);
extern void	 RatesForgetDatabase(Oid dboid);

/* for views */
extern RateState RatesStateOf(Oid relid, const RateLimit *limit);

#endif /* TASKQ_RATES_H */
