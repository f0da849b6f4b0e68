/*
 * route.c
 *	  Routes: (queue, task type, required capabilities, min_version).  Each job
 *	  points to a route.
 *
 * A route is created by the first enqueue that needs it, and removed some time
 * after its last job has ended (route_care.c).  There is no unique constraint,
 * because with one, a second enqueue of a new route would wait until the
 * transaction of the first one ends.  So two rows may have the same key.  Workers
 * use both, and nothing else distinguishes them.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "base/args.h"
#include "base/error.h"
#include "base/guc.h"
#include "config/queue.h"
#include "config/route.h"
#include "store/catalog.h"
#include "store/owner.h"
#include "store/store.h"

/* Columns of taskq.routes, in order. */
enum
{
	ROUTE_ID = 1,
	ROUTE_QUEUE_ID,
	ROUTE_TASK_TYPE,
	ROUTE_CAPABILITIES,
	ROUTE_MIN_VERSION,
	ROUTE_MADE_BY,
	ROUTE_RETIRED_AT,
	ROUTE_REMOVABLE_ON
};

typedef struct RouteKey
{
	int32  queue_id;
	uint32 capabilities_hash;
	char   task_type[TASKQ_NAME_MAX + 1];
} RouteKey;

typedef struct RouteKeyEntry
{
	RouteKey key;
	int		 first; /* in routes[] */
} RouteKeyEntry;

typedef struct RouteIdEntry
{
	int32 route_id;
	int	  at; /* in routes[] */
} RouteIdEntry;

/* All routes, as of routes_version. */
static MemoryContext routes_context = NULL;
static TaskqRoute	*routes = NULL;
static int			 n_routes = 0;
static int			 max_routes = 0;
static HTAB			*routes_by_key = NULL;
static HTAB			*routes_by_id = NULL;
static uint64		 routes_version = 0;

static void
MakeKey(RouteKey *key, int32 queue_id, const char *task_type, ArrayType *capabilities)
{
	memset(key, 0, sizeof(*key));
	key->queue_id = queue_id;
	strlcpy(key->task_type, task_type, sizeof(key->task_type));
	if (NamesCount(capabilities) > 0)
		key->capabilities_hash = hash_bytes((unsigned char *) ARR_DATA_PTR(capabilities),
											ARR_SIZE(capabilities) - ARR_DATA_OFFSET(capabilities));
}

static void
ReadRoute(TupleTableSlot *slot, TaskqRoute *route)
{
	route->route_id = DatumGetInt32(SlotDatum(slot, ROUTE_ID));
	route->queue_id = DatumGetInt32(SlotDatum(slot, ROUTE_QUEUE_ID));
	strlcpy(route->queue, QueueById(route->queue_id)->name, sizeof(route->queue));
	strlcpy(route->task_type, SlotString(slot, ROUTE_TASK_TYPE), sizeof(route->task_type));
	route->capabilities = DatumGetArrayTypePCopy(SlotDatum(slot, ROUTE_CAPABILITIES));
	strlcpy(route->min_version, SlotIsNull(slot, ROUTE_MIN_VERSION) ? "" : SlotString(slot, ROUTE_MIN_VERSION),
			sizeof(route->min_version));
	route->made_by = SlotIsNull(slot, ROUTE_MADE_BY) ? InvalidOid : DatumGetObjectId(SlotDatum(slot, ROUTE_MADE_BY));
	route->retiring = !SlotIsNull(slot, ROUTE_RETIRED_AT);
}

/*
 * Return space for one more route.  If the array is reallocated, the old one is
 * kept, because a caller may still use a route in it.
 */
static TaskqRoute *
NewRoute(void)
{
	if (n_routes == max_routes)
	{
		TaskqRoute *old = routes;

		max_routes = Max(64, max_routes * 2);
		routes = MemoryContextAllocHuge(routes_context, max_routes * sizeof(TaskqRoute));
		if (n_routes > 0)
			memcpy(routes, old, n_routes * sizeof(TaskqRoute));
	}
	return &routes[n_routes];
}

/* Add the new route to the hash tables. */
static void
AddRoute(void)
{
	TaskqRoute	  *route = &routes[n_routes];
	RouteKey	   key;
	RouteKeyEntry *by_key;
	RouteIdEntry  *by_id;
	bool		   found;

	MakeKey(&key, route->queue_id, route->task_type, route->capabilities);
	by_key = hash_search(routes_by_key, &key, HASH_ENTER, &found);
	route->next = found ? by_key->first : -1;
	by_key->first = n_routes;
	by_id = hash_search(routes_by_id, &route->route_id, HASH_ENTER, NULL);
	by_id->at = n_routes;
	n_routes++;
}

static void
AddRouteOfRow(TupleTableSlot *slot, void *arg)
{
	MemoryContext old;

	/* only finished jobs point to it: see FindRetired() */
	if (!SlotIsNull(slot, ROUTE_REMOVABLE_ON))
		return;
	old = MemoryContextSwitchTo(routes_context);
	ReadRoute(slot, NewRoute());
	AddRoute();
	MemoryContextSwitchTo(old);
}

static void
LoadRoutes(void)
{
	uint64	version = CatalogVersion();
	HASHCTL ctl;

	if (routes_version == version)
		return;
	routes_version = 0;
	CatalogRenew(&routes_context, "taskq routes");
	routes = NULL;
	n_routes = max_routes = 0;
	ctl.hcxt = routes_context;
	ctl.keysize = sizeof(RouteKey);
	ctl.entrysize = sizeof(RouteKeyEntry);
	routes_by_key = hash_create("taskq routes by key", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ctl.keysize = sizeof(int32);
	ctl.entrysize = sizeof(RouteIdEntry);
	routes_by_id = hash_create("taskq routes by id", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	StoreScan(REL_ROUTES, AddRouteOfRow, NULL);
	routes_version = version;
}

static const TaskqRoute *
FindById(int32 route_id)
{
	RouteIdEntry *entry = hash_search(routes_by_id, &route_id, HASH_FIND, NULL);

	return entry == NULL ? NULL : &routes[entry->at];
}

typedef struct FindState
{
	int32		route_id;
	TaskqRoute *route; /* NULL until found */
} FindState;

static void
FindInRow(TupleTableSlot *slot, void *arg)
{
	FindState	 *state = arg;
	MemoryContext old;

	if (DatumGetInt32(SlotDatum(slot, ROUTE_ID)) != state->route_id)
		return;
	old = MemoryContextSwitchTo(routes_context);
	state->route = palloc0(sizeof(TaskqRoute));
	ReadRoute(slot, state->route);
	MemoryContextSwitchTo(old);
}

/* Find a route to which only finished jobs point.  Such routes are seldom looked up. */
static const TaskqRoute *
FindRetired(int32 route_id)
{
	FindState state = { route_id, NULL };

	StoreScan(REL_ROUTES, FindInRow, &state);
	return state.route;
}

const TaskqRoute *
RouteById(int32 route_id)
{
	const TaskqRoute *route;

	LoadRoutes();
	route = FindById(route_id);
	if (route == NULL)
	{
		/* a job may be seen before the invalidation of its new route arrives */
		routes_version = 0;
		LoadRoutes();
		route = FindById(route_id);
	}
	if (route == NULL)
		route = FindRetired(route_id);
	if (route == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("route %d of a job does not exist", route_id)));
	return route;
}

int
RouteCount(void)
{
	LoadRoutes();
	return n_routes;
}

/* Return one of the RouteCount() routes.  There must be no other look-up in between. */
const TaskqRoute *
RouteAt(int i)
{
	Assert(i >= 0 && i < n_routes);
	return &routes[i];
}

static int32
FindByKey(int32 queue_id, const char *task_type, ArrayType *capabilities, const char *min_version)
{
	RouteKey	   key;
	RouteKeyEntry *entry;

	LoadRoutes();
	MakeKey(&key, queue_id, task_type, capabilities);
	entry = hash_search(routes_by_key, &key, HASH_FIND, NULL);
	if (entry == NULL)
		return 0;
	for (int i = entry->first; i >= 0; i = routes[i].next)
		if (!routes[i].retiring && NamesEqual(routes[i].capabilities, capabilities) && strcmp(routes[i].min_version, min_version) == 0)
			return routes[i].route_id;
	return 0;
}

/*
 * Check that there are not too many routes, because each claim looks at them, and
 * that no role has more than its share of them.
 */
static void
CheckCount(Oid role)
{
	int share = Max((int) ((int64) taskq_max_routes * taskq_role_share / 100), 1);
	int n = RouteCount();
	int n_own = 0;

	if (n >= taskq_max_routes)
		ereport(ERROR,
				(errcode(ERRCODE_TQ_LIMIT_EXCEEDED),
				 errmsg("too many different routes"),
				 errdetail("Jobs of %d different combinations of queue, task type, required capabilities and min_version have been enqueued.", n),
				 errhint("Use few task types and queues, with the data in the payload; or raise taskq.max_routes.")));
	for (int i = 0; i < n; i++)
		if (routes[i].made_by == role)
			n_own++;
	if (OidIsValid(role) && n_own >= share)
		ereport(ERROR,
				(errcode(ERRCODE_TQ_LIMIT_EXCEEDED),
				 errmsg("role \"%s\" has too many different routes", GetUserNameFromId(role, true)),
				 errdetail("It has enqueued jobs of %d different combinations of queue, task type, required capabilities and min_version, its share of taskq.max_routes.",
						   n_own),
				 errhint("Use few task types and queues, with the data in the payload. Those that are not used are removed after taskq.route_idle.")));
}

/*
 * Add our own new route to the routes in memory, without reading all of them again.
 * Reading them again for each new route would take quadratic time in a transaction
 * that creates many.  If the transaction is rolled back, they are read again.
 */
static void
KeepMade(int32 route_id, int32 queue_id, const char *task_type, ArrayType *capabilities, const char *min_version, Oid role)
{
	MemoryContext old = MemoryContextSwitchTo(routes_context);
	TaskqRoute	 *route = NewRoute();

	memset(route, 0, sizeof(TaskqRoute));
	route->route_id = route_id;
	route->queue_id = queue_id;
	strlcpy(route->queue, QueueById(queue_id)->name, sizeof(route->queue));
	strlcpy(route->task_type, task_type, sizeof(route->task_type));
	route->capabilities = DatumGetArrayTypePCopy(PointerGetDatum(capabilities));
	strlcpy(route->min_version, min_version, sizeof(route->min_version));
	route->made_by = role;
	AddRoute();
	MemoryContextSwitchTo(old);
}

/* Create a route in the caller's transaction, which may still be rolled back. */
static int32
MakeRoute(int32 queue_id, const char *task_type, ArrayType *capabilities, const char *min_version, Oid role)
{
	Oid		   types[] = { INT4OID, TEXTOID, TEXTARRAYOID, TEXTOID, REGROLEOID };
	Datum	   values[] = { Int32GetDatum(queue_id), CStringGetTextDatum(task_type), PointerGetDatum(capabilities),
							CStringGetTextDatum(min_version), ObjectIdGetDatum(role) };
	OwnerScope scope;
	uint64	   before;
	int32	   route_id;
	bool	   isnull;

	CheckCount(role);
	before = routes_version;
	OwnerEnterSpi(&scope);
	OwnerExecute("INSERT INTO taskq.routes (queue_id, task_type, capabilities, min_version, made_by)"
				 " VALUES ($1, $2, $3, NULLIF($4, ''), $5) RETURNING route_id",
				 5, types, values,
				 OidIsValid(role) ? NULL : "    n");
	route_id = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	OwnerLeaveSpi(&scope);
	CatalogChanged(REL_ROUTES);

	/* the queue may have been dropped while we waited for the lock on the table */
	QueueById(queue_id);

	/* if we have made the only change */
	if (routes_version == before && CatalogVersion() == before + 1)
	{
		KeepMade(route_id, queue_id, task_type, capabilities, min_version, role);
		routes_version = before + 1;
	}
	return route_id;
}

/*
 * Find or create the route for a new job.  "capabilities" are normalized, and
 * min_version may be empty.
 */
int32
RouteFindOrMake(int32 queue_id, const char *task_type, ArrayType *capabilities, const char *min_version)
{
	int32 route_id = FindByKey(queue_id, task_type, capabilities, min_version);

	return route_id != 0 ? route_id : MakeRoute(queue_id, task_type, capabilities, min_version, GetUserId());
}

/*
 * Return the route for a finished job that is put back.  This is its own route, or
 * if that is being retired, another one with the same key.
 */
int32
RouteForPutBack(int32 route_id)
{
	TaskqRoute route = *RouteById(route_id);
	int32	   found;

	if (!route.retiring)
		return route_id;
	route.capabilities = DatumGetArrayTypePCopy(PointerGetDatum(route.capabilities));
	found = FindByKey(route.queue_id, route.task_type, route.capabilities, route.min_version);
	return found != 0 ? found : MakeRoute(route.queue_id, route.task_type, route.capabilities, route.min_version, InvalidOid);
}
