/*
 * route_limits.c
 *	  The limits of a route, and those of a job.
 *
 * Each claim asks for the limits of a route.  Most installations have no limits, or few,
 * so the answers are kept until the limits change.  Whether the queue of the route is fair or
 * ordered belongs to the answer.
 */
#include "taskq.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "config/limit.h"
#include "config/queue.h"
#include "config/route.h"
#include "store/catalog.h"

typedef struct RouteEntry
{
	int32		route_id;
	RouteLimits limits;
} RouteEntry;

static uint64		 known_version = 0; /* LimitsVersion() of what follows, plus 1; 0 if nothing is known */
static MemoryContext known = NULL;		/* what follows */
static int			 n_known = 0;		/* number of limits */
static TaskqLimit  **copies = NULL;		/* the limits; values of the cache stay only until the transaction ends */
static bool			 any_fair = false;	/* a queue is fair */
static HTAB			*routes = NULL;		/* the limits of routes that were asked for */
static RouteEntry	*last = NULL;		/* what was asked for last; a claim asks many times for one route */

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

static bool
IsAnyFair(const TaskqQueue **queues, int n)
{
	bool any = false;

	for (int i = 0; i < n; i++)
		any = any || queues[i]->fair;
	return any;
}

/*
 * In an ordered queue, one job of each group runs at a time.  This is a limit that has no
 * row.  Its number is negative, and another one each time when the queue becomes ordered, so
 * that it is armed anew: jobs may run by then that do not hold it.
 */
static TaskqLimit *
MakeOrder(const TaskqQueue *queue)
{
	TaskqLimit *limit = palloc0(LIMIT_SIZE(0));

	limit->limit_id = -queue->order_id;
	limit->order_of = queue->queue_id;
	limit->for_each = KEY_GROUP;
	limit->numbers.concurrency = 1;
	strlcpy(limit->queue, queue->name, sizeof(limit->queue));
	return limit;
}

/*
 * Copy the limits.  Those of ordered queues come first, so that a job waits for the job
 * before it rather than for another value.
 */
static void
CopyLimits(const TaskqLimit **all, int n, const TaskqQueue **queues, int n_queues)
{
	copies = palloc(sizeof(TaskqLimit *) * (n + n_queues));
	for (int i = 0; i < n_queues; i++)
		if (queues[i]->ordered)
			copies[n_known++] = MakeOrder(queues[i]);
	for (int i = 0; i < n; i++)
	{
		copies[n_known] = palloc(LIMIT_SIZE(all[i]->n_overrides));
		memcpy(copies[n_known++], all[i], LIMIT_SIZE(all[i]->n_overrides));
	}
}

/* Forget the answers, and copy the limits. */
static void
Reset(void)
{
	HASHCTL			   ctl = { .keysize = sizeof(int32), .entrysize = sizeof(RouteEntry) };
	int				   n;
	int				   n_queues;
	const TaskqLimit **all;
	const TaskqQueue **queues;
	uint64			   version = LimitsVersion();
	MemoryContext	   old;

	/* a change that is seen while the limits are read has them read again */
	known_version = 0;
	all = LimitsAll(&n);
	queues = QueuesAll(&n_queues);
	any_fair = IsAnyFair(queues, n_queues);
	n_known = 0;
	routes = NULL;
	last = NULL;
	if (known == NULL)
		known = AllocSetContextCreate(TopMemoryContext, "taskq limits of routes", ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(known);
	old = MemoryContextSwitchTo(known);
	CopyLimits(all, n, queues, n_queues);
	if (n_known > 0 || any_fair)
	{
		ctl.hcxt = known;
		routes = hash_create("taskq limits of routes", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	MemoryContextSwitchTo(old);
	pfree(all);
	pfree(queues);
	known_version = version + 1;
}

/* Are two limits for the same jobs?  Only rows that were written by hand are. */
static bool
AreSame(const TaskqLimit *a, const TaskqLimit *b)
{
	return a->order_of == b->order_of && strcmp(a->queue, b->queue) == 0 && strcmp(a->task_type, b->task_type) == 0 &&
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
		if (copies[i]->order_of != 0)
			found->ordered = copies[i]->order_of;
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

	if (known_version != LimitsVersion() + 1)
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
	if (known_version != LimitsVersion() + 1)
		return LimitsOfRoute(route_id);
	found.limits = MemoryContextAlloc(known, sizeof(TaskqLimit *) * Max(n_known, 1));
	AddLimits(route, true, &found);
	AddLimits(route, false, &found);
	found.skips_delayed = found.ordered != 0 && QueueById(found.ordered)->skips_delayed;
	if (known_version != LimitsVersion() + 1)
		return LimitsOfRoute(route_id);
	entry = hash_search(routes, &route_id, HASH_ENTER, NULL);
	entry->limits = found;
	return &entry->limits;
}

/* Return the numbers of the limits that jobs hold while they run.  They belong to the caller. */
int
LimitsArmed(int32 **limit_ids)
{
	int n = 0;

	if (known_version != LimitsVersion() + 1)
		Reset();
	*limit_ids = palloc(sizeof(int32) * (n_known + 1));
	for (int i = 0; i < n_known; i++)
		if (copies[i]->numbers.concurrency >= 0)
			(*limit_ids)[n++] = copies[i]->limit_id;
	return n;
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
	if (limit->order_of != 0)
	{
		int64 lane = LaneInOrder(limit->order_of, keys->group_key);

		memcpy(added->value, &lane, sizeof(lane));
	}
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
