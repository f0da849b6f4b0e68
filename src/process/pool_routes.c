/*
 * pool_routes.c
 *	  Which routes' jobs the workers of each pool may run, and how many of them are due.
 *
 * The scheduler asks this at each look for due jobs.  With many pools and many routes
 * it must not decide it anew each time, so the routes of each pool are kept until the
 * configuration changes.  A pool then looks only at those of its routes that have due jobs.
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
static const Bitmapset *
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

static int
CompareDueRoutes(const void *a, const void *b)
{
	int32 left = ((const DueRoute *) a)->route_id;
	int32 right = ((const DueRoute *) b)->route_id;

	if (left == right)
		return 0;
	return left < right ? -1 : 1;
}

/* Find the routes that have due jobs; "due" has the number for each route of the set. */
void
DueRoutesFind(const RouteSet *routes, const int *due, DueRoutes *found)
{
	found->ids = NULL;
	found->n = 0;
	found->routes = palloc(sizeof(DueRoute) * (routes->n + 1));
	for (int i = 0; i < routes->n; i++)
		if (due[i] > 0)
		{
			found->routes[found->n++] = (DueRoute){ routes->ids[i], due[i] };
			found->ids = bms_add_member(found->ids, routes->ids[i]);
		}
	qsort(found->routes, found->n, sizeof(DueRoute), CompareDueRoutes);
}

/*
 * Count the due jobs of a pool, as far as its size.  Jobs that its workers run count
 * as due, too.
 */
int
DueForPool(const DueRoutes *routes, const TaskqPool *pool)
{
	const Bitmapset *served = PoolRoutes(pool);
	Bitmapset		*both;
	int				 due = 0;

	if (!bms_overlap(served, routes->ids))
		return 0;
	both = bms_intersect(served, routes->ids);
	for (int id = bms_next_member(both, -1); id >= 0 && due < pool->size; id = bms_next_member(both, id))
	{
		DueRoute  key = { .route_id = id };
		DueRoute *route = bsearch(&key, routes->routes, routes->n, sizeof(DueRoute), CompareDueRoutes);

		Assert(route != NULL);
		due += Min(route->due, pool->size);
	}
	bms_free(both);
	return Min(due, pool->size);
}
