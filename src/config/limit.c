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
#include "config/queue.h"
#include "config/route.h"
#include "config/stale.h"
#include "store/row.h"

static Size
SizeOfLimit(int n_overrides)
{
	return offsetof(TaskqLimit, overrides) + sizeof(LimitOverride) * n_overrides;
}

static void
CopyName(char *copy, const char *name)
{
	if (name != NULL)
		strlcpy(copy, name, TASKQ_NAME_MAX + 1);
}

static void *
ReadLimit(TupleTableSlot *slot)
{
	TaskqLimit	   read = { 0 };
	TaskqLimit	  *limit;
	LimitRow	   row;
	LimitOverride *overrides;
	int			   n;
	const char	  *problem;

	RowReadLimit(&row, slot);
	read.limit_id = row.limit_id;
	read.for_each = LimitKeysOf(row.for_each);
	read.numbers = (LimitNumbers){ row.concurrency, row.rate, row.burst, row.quota };
	read.per = row.per;
	read.quota_window = row.quota_window;

	/* set_limit() has checked them; what somebody has written by hand is left out if it is wrong */
	if (!OverridesRead(row.overrides, &read, &overrides, &n, &problem))
		n = 0;
	if (row.tenant_id != NULL)
		read.for_each &= ~KEY_TENANT;
	CopyName(read.name, row.name);
	CopyName(read.queue, row.queue);
	CopyName(read.task_type, row.task_type);
	CopyName(read.tenant_id, row.tenant_id);
	limit = palloc0(SizeOfLimit(n));
	*limit = read;
	limit->n_overrides = n;
	if (n > 0)
		memcpy(limit->overrides, overrides, sizeof(LimitOverride) * n);
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

/* Return the keys that decide whether a job is under the limit, and under which of its values. */
static uint8
KeysAskedFor(const TaskqLimit *limit)
{
	return limit->for_each | (limit->tenant_id[0] != '\0' ? KEY_TENANT : 0);
}

static bool
LimitCovers(const TaskqLimit *limit, const TaskqRoute *route)
{
	return (limit->queue[0] == '\0' || strcmp(limit->queue, route->queue) == 0) &&
		   (limit->task_type[0] == '\0' || strcmp(limit->task_type, route->task_type) == 0);
}

/* the limits of a route ------------------------------------------------------- */

typedef struct RouteEntry
{
	int32		route_id;
	RouteLimits limits;
} RouteEntry;

static uint64		 known_version = 0; /* VersionOfRoutes() of what follows, plus 1; 0 if nothing is known */
static MemoryContext known = NULL;		/* what follows */
static int			 n_known = 0;		/* number of limits */
static TaskqLimit  **copies = NULL;		/* the limits; values of the cache stay only until the transaction ends */
static bool			 any_fair = false;	/* a queue is fair */
static HTAB			*routes = NULL;		/* the limits of routes that were asked for */
static RouteEntry	*last = NULL;		/* what was asked for last; a claim asks many times for one route */

/* Return a number that changes when limits or queues do. */
static uint64
VersionOfRoutes(void)
{
	return LimitsVersion() + ConfigTableVersion(REL_QUEUES);
}

static bool
IsAnyFair(void)
{
	int				   n;
	const TaskqQueue **all = QueuesAll(&n);
	bool			   any = false;

	for (int i = 0; i < n; i++)
		any = any || all[i]->fair;
	pfree(all);
	return any;
}

/* Forget the answers, and copy the limits. */
static void
Reset(void)
{
	HASHCTL			   ctl = { .keysize = sizeof(int32), .entrysize = sizeof(RouteEntry) };
	int				   n;
	const TaskqLimit **all;
	uint64			   version = VersionOfRoutes();

	/* a change that is seen while the limits are read has them read again */
	known_version = 0;
	any_fair = IsAnyFair();
	all = LimitsAll(&n);
	n_known = 0;
	routes = NULL;
	last = NULL;
	if (known == NULL)
		known = AllocSetContextCreate(TopMemoryContext, "taskq limits of routes", ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(known);
	ctl.hcxt = known;
	if (n > 0 || any_fair)
		routes = hash_create("taskq limits of routes", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	if (n > 0)
		copies = MemoryContextAlloc(known, sizeof(TaskqLimit *) * n);
	for (int i = 0; i < n; i++)
	{
		copies[i] = MemoryContextAlloc(known, SizeOfLimit(all[i]->n_overrides));
		memcpy(copies[i], all[i], SizeOfLimit(all[i]->n_overrides));
	}
	pfree(all);
	n_known = n;
	known_version = version + 1;
}

/* Are two limits for the same jobs?  Only rows that were written by hand are. */
static bool
AreSame(const TaskqLimit *a, const TaskqLimit *b)
{
	return strcmp(a->queue, b->queue) == 0 && strcmp(a->task_type, b->task_type) == 0 &&
		   strcmp(a->tenant_id, b->tenant_id) == 0 && a->for_each == b->for_each;
}

static bool
HasSame(const RouteLimits *found, const TaskqLimit *limit)
{
	for (int i = 0; i < found->n; i++)
		if (AreSame(found->limits[i], limit))
			return true;
	return false;
}

/*
 * Add the limits of a route that are, or are not, for all its jobs alike.  Of several for the
 * same jobs, one counts, as a job can be under so many only (MAX_HELD, MAX_PAID).
 */
static void
AddLimits(const TaskqRoute *route, bool plain, RouteLimits *found)
{
	for (int i = 0; i < n_known; i++)
	{
		uint8 keys = KeysAskedFor(copies[i]);

		if ((keys == 0) != plain || !LimitCovers(copies[i], route) || HasSame(found, copies[i]))
			continue;
		found->limits[found->n++] = copies[i];
		found->n_plain += plain ? 1 : 0;
		found->keys |= keys;
		found->rates |= LimitRates(copies[i]);
	}
}

/* Add what the queue of a route asks for. */
static void
AddTurns(const TaskqRoute *route, RouteLimits *found)
{
	const TaskqQueue *queue = QueueById(route->queue_id);

	if (!queue->fair)
		return;
	found->turns = (LaneTurns){ queue->queue_id, queue->fair_by };
	found->keys |= queue->fair_by;
}

/* Return the limits of a route, of which there may be none. */
const RouteLimits *
LimitsOfRoute(int32 route_id)
{
	static const RouteLimits none = { 0 };
	const TaskqRoute		*route;
	RouteEntry				*entry;
	RouteLimits				 found = { 0 };

	if (known_version != VersionOfRoutes() + 1)
		Reset();
	if (n_known == 0 && !any_fair)
		return &none;
	if (last != NULL && last->route_id == route_id)
		return &last->limits;
	entry = hash_search(routes, &route_id, HASH_FIND, NULL);
	if (entry != NULL)
	{
		last = entry;
		return &entry->limits;
	}
	route = RouteById(route_id);
	if (any_fair)
		AddTurns(route, &found);
	if (known_version != VersionOfRoutes() + 1)
		return LimitsOfRoute(route_id);
	found.limits = MemoryContextAlloc(known, sizeof(TaskqLimit *) * Max(n_known, 1));
	AddLimits(route, true, &found);
	AddLimits(route, false, &found);
	entry = hash_search(routes, &route_id, HASH_ENTER, NULL);
	entry->limits = found;
	return &entry->limits;
}

/* Return the name of one of the limits of a route. */
const char *
LimitNameIn(const RouteLimits *limits, int32 limit_id)
{
	for (int i = 0; i < limits->n; i++)
		if (limits->limits[i]->limit_id == limit_id)
			return limits->limits[i]->name;
	return "?";
}

/* Add a limit to those of a job with these keys, if it is under the limit. */
static void
AddHeld(const TaskqLimit *limit, const JobKeys *keys, HeldLimits *held)
{
	HeldLimit *added = &held->limits[held->n];

	if (limit->numbers.concurrency < 0 || !LimitHasJob(limit, keys))
		return;
	added->limit_id = limit->limit_id;
	added->by_key = true;
	added->most = LimitNumbersFor(limit, keys).concurrency;
	LimitValueOf(limit, keys, added->value);
	held->n++;
}

/*
 * Write the limits of a job as the memory of holders wants them.  Without keys, only those
 * that are for all jobs of the route alike.  Returns false if there are none.
 */
bool
LimitsToHold(int32 route_id, const JobKeys *keys, HeldLimits *held)
{
	const RouteLimits *limits = LimitsOfRoute(route_id);

	held->n = 0;
	if (limits->n == 0)
		return false;
	held->relid = CatalogRel(REL_LIMITS);
	held->route_id = route_id;
	for (int i = 0; i < limits->n_plain; i++)
	{
		HeldLimit *added = &held->limits[held->n];

		if (limits->limits[i]->numbers.concurrency < 0)
			continue;
		held->n++;
		added->limit_id = limits->limits[i]->limit_id;
		added->most = limits->limits[i]->numbers.concurrency;
		added->by_key = false;
	}
	for (int i = limits->n_plain; i < limits->n && keys != NULL; i++)
		AddHeld(limits->limits[i], keys, held);
	Assert(held->n <= MAX_HELD);
	return held->n > 0;
}
