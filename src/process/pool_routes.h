/*
 * pool_routes.h
 *	  Which routes' jobs the workers of each pool may run.
 */
#ifndef TASKQ_POOL_ROUTES_H
#define TASKQ_POOL_ROUTES_H

#include "taskq.h"

#include "nodes/bitmapset.h"

#include "config/pool.h"

extern const Bitmapset *PoolRoutes(const TaskqPool *pool);

#endif /* TASKQ_POOL_ROUTES_H */
