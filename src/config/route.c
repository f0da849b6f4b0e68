/*
 * route.c
 *	  Routes: (queue, task type, required capabilities, min_version, budgets, estimated
 *	  cost, tenant to which a worker is bound).  Each job points to a route.
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
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "base/args.h"
#include "base/capability.h"
#include "base/error.h"
#include "base/guc.h"
#include "config/cache.h"
#include "config/changes.h"
#include "config/queue.h"
#include "config/route.h"
#include "config/tenant.h"
#include "store/catalog.h"
#include "store/owner.h"
#include "store/row.h"

typedef struct RouteKey
{
	int32  queue_id;
	uint32 capabilities_hash; /* of the budgets and the tenant as well */
	char   task_type[TASKQ_NAME_MAX + 1];
} RouteKey;

static uint32
HashNames(ArrayType *names)
{
	if (NamesCount(names) == 0)
		return 0;
	return hash_bytes((unsigned char *) ARR_DATA_PTR(names), ARR_SIZE(names) - ARR_DATA_OFFSET(names));
}

static void
MakeKey(RouteKey *key, int32 queue_id, const char *task_type, ArrayType *capabilities, ArrayType *budgets,
		const char *tenant_id)
{
	memset(key, 0, sizeof(*key));
	key->queue_id = queue_id;
	strlcpy(key->task_type, task_type, sizeof(key->task_type));
	key->capabilities_hash = HashNames(capabilities);
	if (budgets != NULL)
		key->capabilities_hash = hash_combine(key->capabilities_hash, HashNames(budgets));
	if (tenant_id[0] != '\0')
		key->capabilities_hash = hash_combine(key->capabilities_hash, hash_bytes((const unsigned char *) tenant_id, strlen(tenant_id)));
}

/* Make a route of a row, whatever its state. */
static TaskqRoute *
RouteOfRow(TupleTableSlot *slot)
{
	TaskqRoute *route = palloc0(sizeof(TaskqRoute));
	RouteRow	row;

	RowReadRoute(&row, slot);
	route->route_id = row.route_id;
	route->queue_id = row.queue_id;
	strlcpy(route->queue, QueueById(route->queue_id)->name, sizeof(route->queue));
	strlcpy(route->task_type, row.task_type, sizeof(route->task_type));
	route->capabilities = row.capabilities;
	route->not_valid = CapabilityNotValid(row.capabilities);
	strlcpy(route->min_version, row.min_version == NULL ? "" : row.min_version, sizeof(route->min_version));
	route->budgets = row.budgets;
	route->estimated_cost = row.estimated_cost == NULL ? 0 : CostOfDatum(PointerGetDatum(row.estimated_cost));
	if (row.tenant_id != NULL)
		strlcpy(route->tenant_id, row.tenant_id, sizeof(route->tenant_id));
	route->made_by = row.made_by;
	route->retiring = row.retired_at != 0;
	return route;
}

/* Read a row.  Routes to which only finished jobs point are not kept; see FindRetired(). */
static void *
ReadRoute(TupleTableSlot *slot)
{
	return SlotIsNull(slot, Anum_routes_removable_on) ? RouteOfRow(slot) : NULL;
}

static void
KeyOfRoute(const void *value, void *key)
{
	const TaskqRoute *route = value;

	MakeKey(key, route->queue_id, route->task_type, route->capabilities, route->budgets, route->tenant_id);
}

/* Return the role whose routes are counted with this one. */
static Oid
OwnerOfRoute(const void *value)
{
	return ((const TaskqRoute *) value)->made_by;
}

static ConfigCache routes = {
	.rel = REL_ROUTES,
	.name = "taskq routes",
	.by_number = true,
	.read = ReadRoute,
	.second_size = sizeof(RouteKey),
	.second_key = KeyOfRoute,
	.owner = OwnerOfRoute,
};

static void
KeepRetired(TupleTableSlot *slot, void *arg)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	*(TaskqRoute **) arg = RouteOfRow(slot);
	MemoryContextSwitchTo(old);
}

/* Find a route to which only finished jobs point.  Such routes are seldom looked up. */
static const TaskqRoute *
FindRetired(int32 route_id)
{
	TaskqRoute *route = NULL;

	ConfigScanRow(&routes, &route_id, KeepRetired, &route);
	return route;
}

const TaskqRoute *
RouteById(int32 route_id)
{
	const TaskqRoute *route = ConfigFind(&routes, &route_id);

	if (route == NULL)
	{
		/* a job may be seen before the change of its new route is announced */
		ConfigReadAgain(&routes, &route_id);
		route = ConfigFind(&routes, &route_id);
	}
	if (route == NULL)
		route = FindRetired(route_id);
	if (route == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("route %d of a job does not exist", route_id)));
	return route;
}

/* Return all routes to which live jobs may point, in an array that belongs to the caller. */
const TaskqRoute **
RoutesAll(int *n)
{
	return (const TaskqRoute **) ConfigAll(&routes, n);
}

static bool
IsWished(const TaskqRoute *route, const RouteWish *wish)
{
	return !route->retiring && NamesEqual(route->capabilities, wish->capabilities) &&
		   strcmp(route->min_version, wish->min_version) == 0 && NamesEqual(route->budgets, wish->budgets) &&
		   route->estimated_cost == wish->estimated_cost && strcmp(route->tenant_id, wish->tenant_id) == 0;
}

static int32
FindByKey(const RouteWish *wish)
{
	RouteKey		  key;
	const TaskqRoute *route;

	MakeKey(&key, wish->queue_id, wish->task_type, wish->capabilities, wish->budgets, wish->tenant_id);
	for (route = ConfigFindSecond(&routes, &key); route != NULL; route = ConfigNextSecond(&routes, route))
		if (IsWished(route, wish))
			return route->route_id;
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
	int n = ConfigCount(&routes);
	int n_own = ConfigCountOf(&routes, role);

	if (n >= taskq_max_routes)
		ereport(ERROR,
				(errcode(ERRCODE_TQ_LIMIT_EXCEEDED),
				 errmsg("too many different routes"),
				 errdetail("Jobs of %d different combinations of queue, task type, required capabilities, min_version, budgets, estimated cost and tenant to which a worker is bound have been enqueued.", n),
				 errhint("Use few task types and queues, with the data in the payload; or raise taskq.max_routes.")));
	if (OidIsValid(role) && n_own >= share)
		ereport(ERROR,
				(errcode(ERRCODE_TQ_LIMIT_EXCEEDED),
				 errmsg("role \"%s\" has too many different routes", GetUserNameFromId(role, true)),
				 errdetail("It has enqueued jobs of %d different combinations of queue, task type, required capabilities, min_version, budgets, estimated cost and tenant to which a worker is bound, its share of taskq.max_routes.",
						   n_own),
				 errhint("Use few task types and queues, with the data in the payload. Those that are not used are removed after taskq.route_idle.")));
}

/* Create a route in the caller's transaction, which may still be rolled back. */
static int32
MakeRoute(const RouteWish *wish, Oid role)
{
	Oid		   types[] = { INT4OID, TEXTOID, TEXTARRAYOID, TEXTOID, REGROLEOID, TEXTARRAYOID, NUMERICOID, TEXTOID };
	Datum	   values[lengthof(types)];
	char	   nulls[] = "        ";
	OwnerScope scope;
	char	  *queue = pstrdup(QueueById(wish->queue_id)->name);
	int32	   route_id;
	bool	   isnull;

	CheckCount(role);
	values[0] = Int32GetDatum(wish->queue_id);
	values[1] = CStringGetTextDatum(wish->task_type);
	values[2] = PointerGetDatum(wish->capabilities);
	values[3] = CStringGetTextDatum(wish->min_version);
	values[4] = ObjectIdGetDatum(role);
	nulls[4] = OidIsValid(role) ? ' ' : 'n';
	values[5] = PointerGetDatum(wish->budgets);
	nulls[5] = wish->budgets != NULL ? ' ' : 'n';
	values[6] = wish->estimated_cost != 0 ? CostDatum(wish->estimated_cost) : (Datum) 0;
	nulls[6] = wish->estimated_cost != 0 ? ' ' : 'n';
	values[7] = CStringGetTextDatum(wish->tenant_id);
	OwnerEnterSpi(&scope);
	OwnerExecute("INSERT INTO taskq.routes (queue_id, task_type, capabilities, min_version, made_by, budgets, estimated_cost, tenant_id)"
				 " VALUES ($1, $2, $3, NULLIF($4, ''), $5, $6, $7, NULLIF($8, '')) RETURNING route_id",
				 lengthof(types), types, values, nulls);
	route_id = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	OwnerLeaveSpi(&scope);
	ConfigNumberChanged(REL_ROUTES, route_id);

	/* the queue may have been dropped while this waited for the lock on the table */
	if (QueueByName(queue, false)->queue_id != wish->queue_id)
		QueueById(wish->queue_id);
	pfree(queue);
	return route_id;
}

/* Find or create the route for a new job. */
int32
RouteFindOrMake(const RouteWish *wish)
{
	int32 route_id = FindByKey(wish);

	return route_id != 0 ? route_id : MakeRoute(wish, GetUserId());
}

static RouteWish
WishOf(const TaskqRoute *route)
{
	return (RouteWish){
		.queue_id = route->queue_id,
		.task_type = route->task_type,
		.capabilities = route->capabilities,
		.min_version = route->min_version,
		.budgets = route->budgets,
		.estimated_cost = route->estimated_cost,
		.tenant_id = route->tenant_id,
	};
}

/*
 * Return the route for a finished job that is put back.  This is its own route, or
 * if that is being retired, another one with the same key.
 */
int32
RouteForPutBack(int32 route_id)
{
	const TaskqRoute *route = RouteById(route_id);
	RouteWish		  wish = WishOf(route);
	int32			  found;

	if (!route->retiring)
		return route_id;
	found = FindByKey(&wish);
	return found != 0 ? found : MakeRoute(&wish, InvalidOid);
}

/*
 * Return the route in which a job of a tenant should wait, where it has this route.  That is
 * another one if a worker was bound to the tenant since.  If there are too many routes
 * already, the job stays where it is: no worker that is bound to the tenant is given it, but
 * others are.
 */
int32
RouteForTenant(int32 route_id, const struct varlena *tenant_id)
{
	const TaskqRoute *route;
	RouteWish		  wish;
	int32			  found;

	if (tenant_id == NULL || !TenantsAnyBound())
		return route_id;
	route = RouteById(route_id);
	wish = WishOf(route);
	wish.tenant_id = text_to_cstring((const text *) tenant_id);
	if (route->tenant_id[0] != '\0' || !TenantIsBound(wish.tenant_id))
		return route_id;
	found = FindByKey(&wish);
	if (found == 0 && ConfigCount(&routes) < taskq_max_routes)
		found = MakeRoute(&wish, InvalidOid);
	return found != 0 ? found : route_id;
}
