/*
 * limit.h
 *	  Limits: bounds on how many jobs may run at the same time, and start.
 */
#ifndef TASKQ_LIMIT_H
#define TASKQ_LIMIT_H

#include "taskq.h"

#include "shared/rates.h"

/* A route is under at most one limit of each kind: of its queue and type, of either of them, and of all jobs. */
#define MAX_ROUTE_LIMITS 4

typedef struct TaskqLimit
{
	int32 limit_id;
	char  name[TASKQ_NAME_MAX + 1];
	char  queue[TASKQ_NAME_MAX + 1];	 /* empty means all queues */
	char  task_type[TASKQ_NAME_MAX + 1]; /* empty means all types */
	int32 concurrency;					 /* -1 if it is not limited */
	int32 rate;							 /* how many may start "per" so many microseconds; 0 if that is not limited */
	int64 per;
	int32 burst;
	int32 quota; /* how many may start in quota_window microseconds; 0 if that is not limited */
	int64 quota_window;
} TaskqLimit;

#define MAX_WEIGHT 1000000
#define MAX_BURST 1000000 /* also of rate */


/* The limits of a route. */
typedef struct RouteLimits
{
	int		   n;
	TaskqLimit limits[MAX_ROUTE_LIMITS];
} RouteLimits;

/* Limits do not change until the transaction ends; see config/cache.h. */
extern const TaskqLimit	 *LimitByName(const char *name, bool missing_ok);
extern const TaskqLimit **LimitsAll(int *n);

/* The result is valid until the next call, and as long as LimitsVersion() stays the same. */
extern const RouteLimits *LimitsOfRoute(int32 route_id);
extern uint64			  LimitsVersion(void);

extern int32 LimitHeaviest(const TaskqLimit *limit);
extern bool	 LimitRates(const TaskqLimit *limit);
extern void	 LimitRate(const TaskqLimit *limit, RateLimit *rate);
extern int64 LimitToken(int32 rate, int64 per);

#endif /* TASKQ_LIMIT_H */
