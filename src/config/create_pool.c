/*
 * create_pool.c
 *	  Create, change, drop, pause and resume pools: create_pool(), alter_pool(),
 *	  drop_pool(), pause_pool() and resume_pool().  taskq itself also creates and
 *	  pauses pools here.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/capability.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/guc.h"
#include "base/names.h"
#include "base/signature.h"
#include "config/changes.h"
#include "config/handler.h"
#include "config/pool.h"
#include "config/queue.h"
#include "config/queue_weights.h"
#include "config/roles.h"
#include "config/tenant.h"
#include "store/catalog.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_create_pool);
PG_FUNCTION_INFO_V1(taskq_alter_pool);
PG_FUNCTION_INFO_V1(taskq_drop_pool);
PG_FUNCTION_INFO_V1(taskq_pause_pool);
PG_FUNCTION_INFO_V1(taskq_resume_pool);

#define MAX_POOL_SIZE 1024

/*
 * Warn if a pool is larger than this server allows.  The size is stored all the
 * same, because settings may change.
 */
static void
WarnOfSize(const char *name, int32 size)
{
	int most = PoolMostWorkers();

	if (size > most && size > taskq_default_pool_size)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("pool \"%s\" cannot have %d workers in this server", name, size),
				 errdetail("All pools together have at most %d: of max_worker_processes, which is %d, the launcher and the schedulers use some, and taskq.reserved_workers leaves %d to others.",
						   most, max_worker_processes, taskq_reserved_workers)));
}

static const TaskqPool *
RequirePool(const char *name)
{
	const TaskqPool *pool = PoolFind(name);

	if (pool == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("pool \"%s\" does not exist", name),
				 errhint("See taskq.pools, or make it with taskq.create_pool().")));
	return pool;
}

/*
 * Set an array column of a pool.  NULL leaves the column as it is, and an empty
 * array means all.
 */
static void
SetNames(Datum *values, char *nulls, int i, ArrayType *names)
{
	nulls[i] = names == NULL ? 'n' : ' ';
	values[i] = PointerGetDatum(names);
}

/* A type that is registered later is run by the pool all the same, so it is no error. */
static void
NoteUnknownTypes(const char *pool, ArrayType *task_types)
{
	char *list;
	int	  unknown = HandlerUnknownTypes(task_types, &list);

	if (unknown > 0)
		ereport(NOTICE,
				(errcode(ERRCODE_TQ_NOT_REGISTERED),
				 errmsg_plural("task type %s of pool \"%s\" is not registered",
							   "task types %s of pool \"%s\" are not registered", unknown, list, pool),
				 errhint("Correct the name, or register the type with taskq.register_handler().")));
}

/*
 * Insert a pool.  With "or_ignore", two transactions can insert the same pool at
 * the same time, and neither fails.
 */
static void
InsertPool(const char *name, bool or_ignore, Oid role, int32 size, int32 min_size,
		   ArrayType *task_types, ArrayType *queues, ArrayType *capabilities, ArrayType *tenants, struct varlena *queue_weights)
{
	Oid	  types[] = { TEXTOID, REGROLEOID, INT4OID, INT4OID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID, TEXTARRAYOID, JSONBOID };
	Datum values[10];
	char  nulls[] = "          ";

	values[0] = CStringGetTextDatum(name);
	values[1] = ObjectIdGetDatum(role);
	values[2] = Int32GetDatum(size);
	values[3] = Int32GetDatum(min_size);
	SetNames(values, nulls, 4, task_types);
	SetNames(values, nulls, 5, queues);
	SetNames(values, nulls, 6, NamesCount(capabilities) > 0 ? capabilities : NULL);
	values[7] = TimestampTzGetDatum(ClockNow());
	SetNames(values, nulls, 8, tenants);
	values[9] = PointerGetDatum(queue_weights);
	nulls[9] = queue_weights == NULL ? 'n' : ' ';
	(void) OwnerRun(psprintf("INSERT INTO taskq.pool_defs"
							 " (pool, role, size, min_size, task_types, queues, capabilities, created_at, tenants, queue_weights)"
							 " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, NULLIF($10, '{}'))%s",
							 or_ignore ? " ON CONFLICT (pool) DO NOTHING" : ""),
					10, types, values, nulls);
	ConfigNameChanged(REL_POOLS, name);
}

static void
CheckMinSize(int32 min_size, int32 size)
{
	if (min_size > size)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("min_size %d is greater than size %d", min_size, size)));
}

/* Log the capabilities that a pool gets, in full.  "before" is what it has had. */
static void
LogCapabilities(const char *name, ArrayType *capabilities, ArrayType *before)
{
	if (!NamesEqual(before, capabilities))
		ereport(LOG,
				(errmsg("pool \"%s\" gets %s", name, CapabilitiesInLog(capabilities, true))));
}

Datum
taskq_create_pool(PG_FUNCTION_ARGS)
{
	char	  *name;
	int32	   size;
	int32	   min_size;
	Oid		   role;
	ArrayType *task_types,
		*queues,
		*capabilities,
		*tenants;
	struct varlena *queue_weights;

	CheckCall(fcinfo);
	CheckWritable("taskq.create_pool()");
	name = ArgName(fcinfo, 0, "pool");
	size = PG_ARGISNULL(1) ? taskq_default_pool_size : ArgInt(fcinfo, 1, "size", 0, MAX_POOL_SIZE);
	role = PG_ARGISNULL(2) ? GetUserId() : PG_GETARG_OID(2);
	RoleCheckRunAs(role);
	task_types = ArgSomeNamesOrNull(fcinfo, 3, "task_types");
	queues = ArgSomeNamesOrNull(fcinfo, 4, "queues");
	QueueCheckNames(queues);
	capabilities = ArgCapabilities(fcinfo, 5, "capabilities");
	tenants = ArgSomeNamesOrNull(fcinfo, 7, "tenants");
	min_size = PG_ARGISNULL(6) ? 0 : ArgInt(fcinfo, 6, "min_size", 0, MAX_POOL_SIZE);
	CheckMinSize(min_size, size);
	queue_weights = QueueWeightsArg(fcinfo, 8);
	QueueWeightsCheck(QueueWeightsRead(queue_weights), queues);
	if (PoolFind(name) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("pool \"%s\" already exists", name),
				 errhint("Change it with taskq.alter_pool().")));
	WarnOfSize(name, size);
	NoteUnknownTypes(name, task_types);
	(void) TenantsBind(tenants);
	InsertPool(name, false, role, size, min_size, task_types, queues, capabilities, tenants, queue_weights);
	LogCapabilities(name, capabilities, NULL);
	PG_RETURN_VOID();
}

/*
 * Create the default pool of a role, which has the name of the role.  This is done
 * when the first handler of the role in the server is registered, so that a
 * newcomer only has to register a handler and enqueue jobs.
 */
void
PoolMakeDefault(Oid role)
{
	char			 *name = RoleNameOrOid(role);
	const TaskqPool **all;
	int				  n;

	all = PoolsAll(&n);
	for (int i = 0; i < n; i++)
		if (all[i]->role == role)
			return;
	if (!IsName(name) || PoolFind(name) != NULL)
		name = psprintf("role-%u", role);
	if (PoolFind(name) != NULL)
		return;
	InsertPool(name, true, role, taskq_default_pool_size, 0, NULL, NULL, NULL, NULL, NULL);
}

static void
CheckMayChange(const TaskqPool *pool)
{
	if (!RoleMayChange(pool->role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be a member of role \"%s\" to change pool \"%s\"", RoleNameOrOid(pool->role), pool->name)));
}

/* Check the weights that a pool will have for the queues that it will have. */
static void
CheckWeights(const TaskqPool *pool, struct varlena *given, ArrayType *queues)
{
	const QueueWeights *weights = given != NULL ? QueueWeightsRead(given) : pool->weights;

	if (queues == NULL)
		queues = pool->queues;
	if (NamesCount(queues) > 0)
		QueueWeightsCheck(weights, queues);
}

Datum
taskq_alter_pool(PG_FUNCTION_ARGS)
{
	Oid				 types[] = { TEXTOID, INT4OID, INT4OID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, JSONBOID };
	Datum			 values[8];
	char			 nulls[] = "        ";
	char			*name;
	const TaskqPool *pool;
	int32			 size;
	int32			 min_size;
	ArrayType		*task_types;
	ArrayType		*queues;
	ArrayType		*capabilities;
	ArrayType		*tenants;
	struct varlena	*queue_weights;

	CheckCall(fcinfo);
	CheckWritable("taskq.alter_pool()");
	name = ArgName(fcinfo, 0, "pool");
	pool = RequirePool(name);
	CheckMayChange(pool);
	size = PG_ARGISNULL(1) ? pool->size : ArgInt(fcinfo, 1, "size", 0, MAX_POOL_SIZE);
	min_size = PG_ARGISNULL(5) ? Min(pool->min_size, size) : ArgInt(fcinfo, 5, "min_size", 0, MAX_POOL_SIZE);
	CheckMinSize(min_size, size);
	task_types = ArgNamesOrNull(fcinfo, 2, "task_types");
	NoteUnknownTypes(name, task_types);
	queues = ArgNamesOrNull(fcinfo, 3, "queues");
	QueueCheckNames(queues);
	capabilities = ArgCapabilities(fcinfo, 4, "capabilities");
	tenants = ArgNamesOrNull(fcinfo, 6, "tenants");
	queue_weights = QueueWeightsArg(fcinfo, 7);
	CheckWeights(pool, queue_weights, queues);
	if (!PG_ARGISNULL(1))
		WarnOfSize(name, size);

	values[0] = CStringGetTextDatum(name);
	values[1] = Int32GetDatum(size);
	values[2] = Int32GetDatum(min_size);
	SetNames(values, nulls, 3, task_types);
	SetNames(values, nulls, 4, queues);
	SetNames(values, nulls, 5, capabilities);
	SetNames(values, nulls, 6, tenants);
	values[7] = PointerGetDatum(queue_weights);
	nulls[7] = queue_weights == NULL ? 'n' : ' ';
	(void) TenantsBind(tenants);
	(void) OwnerRun("UPDATE taskq.pool_defs SET size = $2, min_size = $3,"
					" task_types = NULLIF(COALESCE($4, task_types), '{}'),"
					" queues = NULLIF(COALESCE($5, queues), '{}'),"
					" capabilities = NULLIF(COALESCE($6, capabilities), '{}'),"
					" tenants = NULLIF(COALESCE($7, tenants), '{}'),"
					" queue_weights = NULLIF(COALESCE($8, queue_weights), '{}')"
					" WHERE pool = $1",
					8, types, values, nulls);
	if (capabilities != NULL)
		LogCapabilities(name, capabilities, pool->capabilities);
	ConfigNameChanged(REL_POOLS, name);
	PG_RETURN_VOID();
}

/*
 * Run a statement that changes the pool whose name is $1.  Returns whether it has
 * changed the row.
 */
static bool
ChangePool(const char *name, const char *sql)
{
	Oid	  types[] = { TEXTOID };
	Datum values[] = { CStringGetTextDatum(name) };
	bool  changed;

	changed = OwnerRun(sql, 1, types, values, NULL) > 0;
	if (changed)
		ConfigNameChanged(REL_POOLS, name);
	return changed;
}

Datum
taskq_drop_pool(PG_FUNCTION_ARGS)
{
	char			*name;
	const TaskqPool *pool;

	CheckCall(fcinfo);
	CheckWritable("taskq.drop_pool()");
	name = ArgName(fcinfo, 0, "pool");
	pool = PoolFind(name);
	if (pool == NULL)
		PG_RETURN_BOOL(false);
	CheckMayChange(pool);
	PG_RETURN_BOOL(ChangePool(name, "DELETE FROM taskq.pool_defs WHERE pool = $1"));
}

/* Pause a pool.  Operators may do this without being members of the pool's role. */
Datum
taskq_pause_pool(PG_FUNCTION_ARGS)
{
	char *name;

	CheckCall(fcinfo);
	CheckWritable("taskq.pause_pool()");
	name = ArgName(fcinfo, 0, "pool");
	RequirePool(name);
	PG_RETURN_BOOL(ChangePool(name, "UPDATE taskq.pool_defs SET paused = true WHERE pool = $1 AND NOT paused"));
}

Datum
taskq_resume_pool(PG_FUNCTION_ARGS)
{
	char *name;

	CheckCall(fcinfo);
	CheckWritable("taskq.resume_pool()");
	name = ArgName(fcinfo, 0, "pool");
	RequirePool(name);
	PG_RETURN_BOOL(ChangePool(name, "UPDATE taskq.pool_defs SET paused = false, paused_because = NULL, crashed_at = NULL"
									" WHERE pool = $1 AND paused"));
}

/*
 * Record that workers of a pool may have crashed the server, and pause the pool if
 * this has happened too often.  Returns whether it was paused.  Recording the same
 * crash again changes nothing.
 */
bool
PoolNoteCrash(const char *name, TimestampTz crashed_at)
{
	Oid		   types[] = { TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID };
	Datum	   values[3];
	Oid		   pause_types[] = { TEXTOID, INT4OID, TEXTOID };
	Datum	   pause_values[3];
	OwnerScope scope;
	bool	   paused;

	values[0] = pause_values[0] = CStringGetTextDatum(name);
	values[1] = TimestampTzGetDatum(crashed_at);
	values[2] = TimestampTzGetDatum(crashed_at - POOL_CRASH_TIME);
	pause_values[1] = Int32GetDatum(POOL_CRASHES);
	pause_values[2] = CStringGetTextDatum(psprintf("its workers crashed the server %d times within %d minutes",
												   POOL_CRASHES, (int) (POOL_CRASH_TIME / USECS_PER_MINUTE)));
	OwnerEnterSpi(&scope);
	(void) OwnerExecute("UPDATE taskq.pool_defs SET crashed_at = ARRAY(SELECT DISTINCT c FROM unnest(crashed_at || $2) c"
						" WHERE c > $3 ORDER BY c) WHERE pool = $1",
						3, types, values, NULL);
	paused = OwnerExecute("UPDATE taskq.pool_defs SET paused = true, paused_because = $3"
						  " WHERE pool = $1 AND NOT paused AND cardinality(crashed_at) >= $2",
						  3, pause_types, pause_values, NULL) > 0;
	OwnerLeaveSpi(&scope);
	ConfigNameChanged(REL_POOLS, name);
	return paused;
}
