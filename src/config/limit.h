/*
 * limit.h
 *	  Limits: bounds on how many jobs may run at the same time, and start.
 */
#ifndef TASKQ_LIMIT_H
#define TASKQ_LIMIT_H

#include "taskq.h"

#include "fmgr.h"
#include "utils/array.h"

#include "ready/key_lane.h"
#include "shared/holders.h"
#include "shared/rates.h"

/* Keys of a job.  A set of them is a uint8. */
#define KEY_TENANT 1
#define KEY_GROUP 2

/* The values of a job's keys.  Empty means that the job has none. */
typedef struct JobKeys
{
	char tenant_id[TASKQ_NAME_MAX + 1];
	char group_key[TASKQ_NAME_MAX + 1];
} JobKeys;

/* A number for jobs with these values, such as the weight of their group.  A key that does not matter is empty. */
typedef struct KeyNumber
{
	JobKeys keys;
	int32	number;
} KeyNumber;

/* The numbers of a limit. */
typedef struct LimitNumbers
{
	int32 concurrency; /* -1 if it is not limited */
	int32 rate;		   /* how many may start "per" so many microseconds; 0 if that is not limited */
	int32 burst;
	int32 quota; /* how many may start in quota_window microseconds; 0 if that is not limited */
} LimitNumbers;

/* Other numbers for jobs with these values.  A key that the limit is not for each value of is empty. */
typedef struct LimitOverride
{
	JobKeys		 keys;
	LimitNumbers numbers; /* those that are not given are those of the limit */
} LimitOverride;

typedef struct TaskqLimit
{
	int32		  limit_id;
	char		  name[TASKQ_NAME_MAX + 1];
	char		  queue[TASKQ_NAME_MAX + 1];	 /* empty means all queues */
	char		  task_type[TASKQ_NAME_MAX + 1]; /* empty means all types */
	char		  tenant_id[TASKQ_NAME_MAX + 1]; /* empty means all tenants */
	int32		  order_of;						 /* id of the ordered queue whose jobs of a group run one at a time; 0: a limit with a row */
	uint8		  for_each;						 /* each combination of values of these keys has its own limit */
	LimitNumbers  numbers;
	int64		  per;
	int64		  quota_window;
	int			  n_overrides;
	LimitOverride overrides[FLEXIBLE_ARRAY_MEMBER]; /* in the order of their keys */
} TaskqLimit;

#define LIMIT_SIZE(n_overrides) (offsetof(TaskqLimit, overrides) + sizeof(LimitOverride) * (n_overrides))

/* The limits of a route.  First come those that are for all its jobs alike. */
typedef struct RouteLimits
{
	int				   n;
	int				   n_plain; /* number of those */
	uint8			   keys;	/* keys of a job that the others ask for, or by which the queue is fair */
	bool			   rates;	/* some have a rate or a quota */
	LaneTurns		   turns;	/* whether the queue is fair */
	int32			   ordered; /* id of the queue, if it is ordered, or 0 */
	bool			   skips_delayed;
	const TaskqLimit **limits;
} RouteLimits;

/* Limits do not change until the transaction ends; see config/cache.h. */
extern const TaskqLimit	 *LimitByName(const char *name, bool missing_ok);
extern const TaskqLimit **LimitsAll(int *n);

/* The result is valid until limits or queues change. */
extern const RouteLimits *LimitsOfRoute(int32 route_id);
extern const char		 *LimitNameIn(const RouteLimits *limits, int32 limit_id);
extern uint64			  LimitsVersion(void);
extern int				  LimitsArmed(int32 **limit_ids);
extern bool				  LimitsToHold(int32 route_id, const JobKeys *keys, HeldLimits *held);

/* limit_keys.c */
extern uint8		   LimitKeyOf(const char *name);
extern uint8		   LimitKeysOf(ArrayType *for_each);
extern ArrayType	  *LimitKeyNames(uint8 keys);
extern uint8		   ArgKeys(FunctionCallInfo fcinfo, int n, const char *what, const char *refusal);
extern bool			   WeightsRead(struct varlena *json, uint8 keys, KeyNumber **costs, int *n, const char **problem);
extern struct varlena *WeightsArg(FunctionCallInfo fcinfo, int n, uint8 keys, const char *what, const char *hint, KeyNumber **costs, int *count);
extern LimitNumbers	   LimitNumbersFor(const TaskqLimit *limit, const JobKeys *keys);
extern int64		   LaneOf(uint8 keys, const JobKeys *values);
extern int64		   LaneInOrder(int32 queue_id, const char *group_key);
extern int64		   LaneBesideOrder(const JobKeys *values);

#define MAX_CONCURRENCY 1000000
#define MAX_WEIGHT 1000000
#define MAX_BURST 1000000 /* also of rate */
#define MAX_QUOTA 1000000000
#define MAX_KEY_NUMBERS 1000

/* limit_override.c */
extern bool OverridesRead(struct varlena *json, const TaskqLimit *limit, LimitOverride **overrides, int *n, const char **problem);

/* limit_rate.c */
#define LONGEST_FILL (100 * 366 * USECS_PER_DAY) /* the time in which a rate lets its burst start */

extern const char *LimitRateProblem(const LimitNumbers *numbers, int64 per);
extern bool		   LimitRates(const TaskqLimit *limit);
extern void		   LimitRate(const TaskqLimit *limit, const JobKeys *keys, RateLimit *rate);
extern int32	   LimitHeaviest(const TaskqLimit *limit, const JobKeys *keys);
extern bool		   LimitsToPay(int32 route_id, const JobKeys *keys, RateLimits *pay);
extern int64	   LimitMemorySpan(const TaskqLimit *limit);
extern const char *LimitForValue(const char *value);
extern bool		   LimitHasJob(const TaskqLimit *limit, const JobKeys *keys);
extern void		   LimitValueOf(const TaskqLimit *limit, const JobKeys *keys, char *value);
extern void		   LimitKeysIn(const char *value, JobKeys *keys);

#endif /* TASKQ_LIMIT_H */
