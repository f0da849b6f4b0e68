/*
 * limit.c
 *	  Limits: bounds on how many jobs may run at the same time, and start.
 *
 * Each claim asks for the limits of a route.  Most installations have no limits, or few,
 * so the answers are kept until the limits change.
 */
#include "taskq.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "config/cache.h"
#include "config/limit.h"
#include "config/route.h"
#include "config/stale.h"
#include "store/row.h"

static void *
ReadLimit(TupleTableSlot *slot)
{
	TaskqLimit *limit = palloc0(sizeof(TaskqLimit));
	LimitRow	row;

	RowReadLimit(&row, slot);
	limit->limit_id = row.limit_id;
	limit->concurrency = row.concurrency;
	limit->rate = row.rate;
	limit->per = row.per;
	limit->burst = row.burst;
	limit->quota = row.quota;
	limit->quota_window = row.quota_window;
	strlcpy(limit->name, row.name, sizeof(limit->name));
	if (row.queue != NULL)
		strlcpy(limit->queue, row.queue, sizeof(limit->queue));
	if (row.task_type != NULL)
		strlcpy(limit->task_type, row.task_type, sizeof(limit->task_type));
	return limit;
}

static void
LimitNameOf(const void *value, void *key)
{
	strlcpy(key, ((const TaskqLimit *) value)->name, TASKQ_NAME_MAX + 1);
}

static ConfigCache limits = {
	.rel = REL_LIMITS,
	.name = "taskq limits",
	.by_number = true,
	.read = ReadLimit,
	.second_size = TASKQ_NAME_MAX + 1,
	.second_key = LimitNameOf,
};

const TaskqLimit *
LimitByName(const char *name, bool missing_ok)
{
	char			  key[TASKQ_NAME_MAX + 1] = { 0 };
	const TaskqLimit *limit;

	strlcpy(key, name, sizeof(key));
	limit = ConfigFindSecond(&limits, key);
	if (limit == NULL && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("limit \"%s\" does not exist", name),
				 errhint("Make it with taskq.set_limit(), or see taskq.limits.")));
	return limit;
}

/* Return all limits, in an array that belongs to the caller. */
const TaskqLimit **
LimitsAll(int *n)
{
	return (const TaskqLimit **) ConfigAll(&limits, n);
}

/* Return a number that changes when a limit does. */
uint64
LimitsVersion(void)
{
	return ConfigTableVersion(REL_LIMITS);
}

static bool
LimitCovers(const TaskqLimit *limit, const TaskqRoute *route)
{
	return (limit->queue[0] == '\0' || strcmp(limit->queue, route->queue) == 0) &&
		   (limit->task_type[0] == '\0' || strcmp(limit->task_type, route->task_type) == 0);
}

/* Return the greatest weight of a job that may start under a limit. */
int32
LimitHeaviest(const TaskqLimit *limit)
{
	int32 heaviest = PG_INT32_MAX;

	if (limit->rate > 0)
		heaviest = Min(heaviest, limit->burst);
	if (limit->quota > 0)
		heaviest = Min(heaviest, limit->quota);
	return heaviest;
}

/* Does a limit have a rate or a quota? */
bool
LimitRates(const TaskqLimit *limit)
{
	return limit->rate > 0 || limit->quota > 0;
}

/* Return the nanoseconds between two starts, rounded up. */
int64
LimitToken(int32 rate, int64 per)
{
	return (per * 1000 + rate - 1) / rate;
}

/* Write the rate and the quota of a limit as shared memory wants them. */
void
LimitRate(const TaskqLimit *limit, RateLimit *rate)
{
	memset(rate, 0, sizeof(*rate));
	rate->limit_id = limit->limit_id;
	if (limit->rate > 0)
	{
		rate->token = LimitToken(limit->rate, limit->per);
		rate->burst = limit->burst;
		rate->lasting = limit->per > USECS_PER_MINUTE;
	}
	if (limit->quota > 0)
	{
		rate->quota = limit->quota;
		rate->part_length = (limit->quota_window + QUOTA_PARTS - 1) / QUOTA_PARTS;
	}
}

/* the limits of a route ------------------------------------------------------- */

typedef struct RouteEntry
{
	int32		route_id;
	RouteLimits limits;
} RouteEntry;

static uint64 known_version = 0; /* LimitsVersion() of what follows, plus 1; 0 if nothing is known */
static bool	  any = false;		 /* there are limits */
static HTAB	 *routes = NULL;	 /* the limits of routes that were asked for */

/* Forget the answers, and find out whether there are limits at all. */
static void
Reset(void)
{
	HASHCTL ctl = { .keysize = sizeof(int32), .entrysize = sizeof(RouteEntry), .hcxt = TopMemoryContext };
	int		n;

	known_version = 0;
	pfree(LimitsAll(&n));
	if (routes != NULL)
		hash_destroy(routes);
	routes = NULL;
	if (n > 0)
		routes = hash_create("taskq limits of routes", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	any = n > 0;
	known_version = LimitsVersion() + 1;
}

static void
FindLimits(int32 route_id, RouteLimits *found)
{
	const TaskqRoute  *route = RouteById(route_id);
	int				   n;
	const TaskqLimit **all = LimitsAll(&n);

	memset(found, 0, sizeof(*found));
	for (int i = 0; i < n && found->n < MAX_ROUTE_LIMITS; i++)
		if (LimitCovers(all[i], route))
			found->limits[found->n++] = *all[i];
	pfree(all);
}

/* Return the limits of a route, of which there may be none. */
const RouteLimits *
LimitsOfRoute(int32 route_id)
{
	static const RouteLimits none = { 0 };
	RouteEntry				*entry;
	RouteLimits				 found;

	if (known_version != LimitsVersion() + 1)
		Reset();
	if (!any)
		return &none;
	entry = hash_search(routes, &route_id, HASH_FIND, NULL);
	if (entry != NULL)
		return &entry->limits;
	FindLimits(route_id, &found);
	if (known_version != LimitsVersion() + 1)
		return LimitsOfRoute(route_id);
	entry = hash_search(routes, &route_id, HASH_ENTER, NULL);
	entry->limits = found;
	return &entry->limits;
}
