/*
 * pool_routes.c
 *	  Which routes' jobs the workers of each pool may run.
 *
 * The scheduler asks this at each look for due jobs.  With many pools and many routes
 * it must not decide it anew each time, so the answers are kept until the
 * configuration changes.
 */
#include "taskq.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "config/eligible.h"
#include "config/stale.h"
#include "process/pool_routes.h"

typedef struct PoolEntry
{
	char	   pool[TASKQ_NAME_MAX + 1];
	Bitmapset *routes;
} PoolEntry;

static MemoryContext context = NULL;
static HTAB			*pools = NULL;
static uint64		 version; /* of the configuration; the answers are valid for it */

/* Forget all answers. */
static void
Reset(void)
{
	HASHCTL ctl;

	pools = NULL;
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "taskq routes of pools", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(context);
	ctl.keysize = TASKQ_NAME_MAX + 1;
	ctl.entrysize = sizeof(PoolEntry);
	ctl.hcxt = context;
	version = ConfigVersion();
	pools = hash_create("taskq routes of pools", 64, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

/* Return the ids of the routes whose jobs the workers of a pool may run now. */
const Bitmapset *
PoolRoutes(const TaskqPool *pool)
{
	Claimant   worker;
	RouteSet   routes;
	PoolEntry *entry;
	Bitmapset *ids = NULL;

	if (pools == NULL || version != ConfigVersion())
		Reset();
	entry = hash_search(pools, pool->name, HASH_FIND, NULL);
	if (entry != NULL)
		return entry->routes;
	PoolWorker(pool, &worker);
	routes = EligibleRoutes(&worker);
	if (routes.n > 0)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		for (int i = 0; i < routes.n; i++)
			ids = bms_add_member(ids, routes.ids[i]);
		MemoryContextSwitchTo(old);
	}
	entry = hash_search(pools, pool->name, HASH_ENTER, NULL);
	entry->routes = ids;
	return ids;
}
