/*
 * pool.c
 *	  Pools: named, sized sets of background workers with one role.
 *
 * The definitions of pools are read here. start_workers.c starts the workers.
 * Running workers notice a committed change by ConfigVersion() (stale.c).
 */
#include "taskq.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/array.h"

#include "base/guc.h"
#include "config/cache.h"
#include "config/pool.h"
#include "config/queue_weights.h"
#include "shared/shmem.h"
#include "store/row.h"

static void *
ReadPool(TupleTableSlot *slot)
{
	TaskqPool *pool = palloc0(sizeof(TaskqPool));
	PoolRow	   row;

	RowReadPool(&row, slot);
	strlcpy(pool->name, row.pool, sizeof(pool->name));
	pool->role = row.role;
	pool->size = row.size;
	pool->min_size = row.min_size;
	pool->task_types = row.task_types;
	pool->queues = row.queues;
	pool->capabilities = row.capabilities;
	pool->tenants = row.tenants;
	pool->paused = row.paused;
	pool->weights = QueueWeightsRead(row.queue_weights);
	return pool;
}

static ConfigCache pools = {
	.rel = REL_POOLS,
	.name = "taskq pools",
	.read = ReadPool,
};

const TaskqPool *
PoolFind(const char *name)
{
	return ConfigFind(&pools, name);
}

/* Return all pools, in an array that belongs to the caller. */
const TaskqPool **
PoolsAll(int *n)
{
	return (const TaskqPool **) ConfigAll(&pools, n);
}

/*
 * Return how many workers the pools of all databases can have together.  The
 * launcher and each scheduler need a slot, too.
 */
int
PoolMostWorkers(void)
{
	int schedulers = 0;

	for (int i = 0; ShmemPresent() && i < taskq_shared->n_databases; i++)
		if (taskq_databases[i].scheduler_pid != 0)
			schedulers++;
	return Max(max_worker_processes - taskq_reserved_workers - 1 - Max(schedulers, 1), 0);
}

/*
 * Return how many workers the pools of one role may have.  If other roles have
 * pools, too, a role that fills its own pools must leave them some workers, even if
 * its workers are idle.
 */
int
PoolRoleShare(Oid role)
{
	int				  most = PoolMostWorkers();
	int				  n;
	const TaskqPool **all = PoolsAll(&n);

	for (int i = 0; i < n; i++)
		if (all[i]->role != role && all[i]->size > 0)
			return Max(most * taskq_role_share / 100, Min(most, 1));
	return most;
}

/*
 * Describe a worker of the pool as a claimant, to find out what it may run.  The
 * result is valid as long as the pool is.
 */
void
PoolWorker(const TaskqPool *pool, Claimant *worker)
{
	memset(worker, 0, sizeof(*worker));
	worker->background = true;
	worker->role = pool->role;
	worker->task_types = pool->task_types;
	worker->queues = pool->queues;
	worker->capabilities = pool->capabilities;
	worker->tenants = pool->tenants;
	worker->weights = pool->weights;
	worker->share = (ShareScope){ SHARE_POOL, hash_bytes_extended((const unsigned char *) pool->name, strlen(pool->name), 0) };
}
