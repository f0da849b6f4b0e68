/*
 * pool.h
 *	  Pools: named, sized sets of background workers with one role.
 */
#ifndef TASKQ_POOL_H
#define TASKQ_POOL_H

#include "taskq.h"

#include "utils/array.h"
#include "utils/timestamp.h"

#include "config/eligible.h"

typedef struct TaskqPool
{
	char	   name[TASKQ_NAME_MAX + 1];
	Oid		   role;
	int32	   size;
	int32	   min_size;
	ArrayType *task_types; /* NULL means all of the role */
	ArrayType *queues;	   /* NULL means all; otherwise in the order of the array */
	ArrayType *capabilities;
	ArrayType *tenants; /* NULL means all */
	bool	   paused;

	struct QueueWeights *weights; /* by which the queues take turns, or NULL */
} TaskqPool;

/*
 * A pool is paused if its workers crash the server POOL_CRASHES times within
 * POOL_CRASH_TIME.
 */
#define POOL_CRASHES 3
#define POOL_CRASH_TIME (10 * USECS_PER_MINUTE)

/* Pools do not change until the transaction ends; see config/cache.h. */
extern const TaskqPool	*PoolFind(const char *name);
extern int				 PoolMostWorkers(void);
extern int				 PoolRoleShare(Oid role);
extern const TaskqPool **PoolsAll(int *n);
extern void				 PoolWorker(const TaskqPool *pool, Claimant *worker);
extern void				 PoolMakeDefault(Oid role);
extern bool				 PoolNoteCrash(const char *name, TimestampTz crashed_at);

#endif /* TASKQ_POOL_H */
