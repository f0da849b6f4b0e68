/*
 * route.h
 *	  Routes: (queue, task type, required capabilities, min_version, budgets, estimated
 *	  cost, tenant to which a worker is bound).  Each job points to a route.
 */
#ifndef TASKQ_ROUTE_H
#define TASKQ_ROUTE_H

#include "taskq.h"

#include "utils/array.h"

#include "base/cost.h"

typedef struct TaskqRoute
{
	int32		route_id;
	int32		queue_id;
	char		queue[TASKQ_NAME_MAX + 1];
	char		task_type[TASKQ_NAME_MAX + 1];
	ArrayType  *capabilities;					 /* normalized; never NULL, but may be empty */
	const char *not_valid;						 /* the first of them that is not valid, or NULL; see base/capability.c */
	char		min_version[TASKQ_NAME_MAX + 1]; /* empty means any */
	ArrayType  *budgets;						 /* that the jobs name; normalized; NULL if none */
	CostUnits	estimated_cost;					 /* what a run holds of each of them from its start */
	char		tenant_id[TASKQ_NAME_MAX + 1];	 /* of the jobs; empty: any to which no worker is bound */
	Oid			made_by;						 /* the creator, or InvalidOid */
	bool		retiring;						 /* no new job may point to it */
} TaskqRoute;

/* What an enqueue says of its route.  The arrays are normalized. */
typedef struct RouteWish
{
	int32		queue_id;
	const char *task_type;
	ArrayType  *capabilities;
	const char *min_version; /* may be empty */
	ArrayType  *budgets;	 /* or NULL */
	CostUnits	estimated_cost;
	const char *tenant_id; /* if a worker is bound to it; or empty */
} RouteWish;

/* Routes do not change until the transaction ends; see config/cache.h. */
extern const TaskqRoute	 *RouteById(int32 route_id);
extern const TaskqRoute **RoutesAll(int *n);
extern int32			  RouteForPutBack(int32 route_id);
extern int32			  RouteForTenant(int32 route_id, const struct varlena *tenant_id);
extern int32			  RouteFindOrMake(const RouteWish *wish);

#endif /* TASKQ_ROUTE_H */
