/*
 * pool_routes.h
 *	  Which routes' jobs the workers of each pool may run.
 */
#ifndef TASKQ_POOL_ROUTES_H
#define TASKQ_POOL_ROUTES_H

#include "taskq.h"

#include "nodes/bitmapset.h"

#include "config/eligible.h"
#include "config/pool.h"

typedef struct DueRoute
{
	int32 route_id;
	int	  due; /* number of due jobs, more than 0 */
} DueRoute;

/* The routes that have due jobs. */
typedef struct DueRoutes
{
	Bitmapset *ids;
	DueRoute  *routes; /* ordered by id */
	int		   n;
} DueRoutes;

extern void DueRoutesFind(const RouteSet *routes, const int *due, DueRoutes *found);
extern int	DueForPool(const DueRoutes *routes, const TaskqPool *pool);

#endif /* TASKQ_POOL_ROUTES_H */
