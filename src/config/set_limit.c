/*
 * set_limit.c
 *	  Create, change and drop limits: set_limit(), alter_limit() and drop_limit().
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/args.h"
#include "base/clock.h"
#include "config/changes.h"
#include "config/limit.h"
#include "config/queue.h"
#include "config/roles.h"
#include "shared/holders.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_set_limit);
PG_FUNCTION_INFO_V1(taskq_alter_limit);
PG_FUNCTION_INFO_V1(taskq_drop_limit);

static Oid limit_types[] = { TEXTOID, TEXTOID, TEXTOID, INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTARRAYOID, JSONBOID };

#define LIMIT_PARAMS lengthof(limit_types)

static bool
IsSame(const char *a, const char *b)
{
	return strcmp(a, b == NULL ? "" : b) == 0;
}

/*
 * Wait for other transactions that change limits.  So what is read afterwards is committed,
 * and stays as it is.
 */
static void
LockLimits(void)
{
	(void) OwnerRun("LOCK TABLE taskq.limit_defs IN SHARE ROW EXCLUSIVE MODE", 0, NULL, NULL, NULL);
}

static int32
ConcurrencyArg(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a limit needs a number"),
				 errhint("Give it by concurrency => 5, for example.")));
	return ArgInt(fcinfo, n, "concurrency", 0, MAX_CONCURRENCY);
}

/* For which jobs a limit is.  NULL means all. */
typedef struct Scope
{
	char *queue;
	char *task_type;
	char *tenant_id;
	uint8 for_each;
} Scope;

/* Read the names of keys. */
static uint8
ForEachArg(FunctionCallInfo fcinfo, int n)
{
	ArrayType *names;
	Datum	  *elements;
	bool	  *nulls;
	int		   count;
	uint8	   keys = 0;

	if (PG_ARGISNULL(n))
		return 0;
	names = PG_GETARG_ARRAYTYPE_P(n);
	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		const char *name = nulls[i] ? NULL : TextDatumGetCString(elements[i]);
		uint8		key = name == NULL ? 0 : LimitKeyOf(name);

		if (key == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 name == NULL ? errmsg("for_each has a NULL") : errmsg("a limit cannot be for each \"%.100s\"", name),
					 errhint("The keys are tenant_id and group_key.")));
		if ((keys & key) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("for_each has \"%s\" twice", name)));
		keys |= key;
	}
	return keys;
}

static Scope
ScopeArgs(FunctionCallInfo fcinfo, int queue, int task_type, int tenant_id, int for_each)
{
	Scope scope = {
		.queue = ArgNameOrNull(fcinfo, queue, "queue"),
		.task_type = ArgNameOrNull(fcinfo, task_type, "task_type"),
		.tenant_id = ArgNameOrNull(fcinfo, tenant_id, "tenant_id"),
		.for_each = ForEachArg(fcinfo, for_each),
	};

	if (scope.queue != NULL)
		(void) QueueByName(scope.queue, false);
	if (scope.tenant_id != NULL && (scope.for_each & KEY_TENANT) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a limit for one tenant cannot be for each tenant"),
				 errhint("Leave out tenant_id, and give this tenant its own number with overrides.")));
	return scope;
}

static bool
HasScope(const TaskqLimit *limit, const Scope *scope)
{
	return IsSame(limit->queue, scope->queue) && IsSame(limit->task_type, scope->task_type) &&
		   IsSame(limit->tenant_id, scope->tenant_id) && limit->for_each == scope->for_each;
}

/* Read other numbers for single values, for a limit for each value of these keys. */
static struct varlena *
OverridesArg(FunctionCallInfo fcinfo, int n, uint8 for_each)
{
	struct varlena *overrides;
	LimitOverride  *read;
	int				count;
	const char	   *problem;

	if (PG_ARGISNULL(n))
		return NULL;
	overrides = (struct varlena *) PG_GETARG_JSONB_P(n);
	if (!OverridesRead(overrides, for_each, &read, &count, &problem))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("overrides are not valid"),
				 errdetail("The problem: %s.", problem),
				 errhint("Write {\"acme\": 10} for a limit for each value of one key, and {\"acme\": {\"order-1\": 2}} for one of tenant_id and group_key.")));
	return count == 0 ? NULL : overrides;
}

/* Refuse a second limit for the same jobs, because it would be of no use. */
static void
CheckScope(const char *name, const Scope *scope)
{
	int				   n;
	const TaskqLimit **all = LimitsAll(&n);

	for (int i = 0; i < n; i++)
		if (strcmp(all[i]->name, name) != 0 && HasScope(all[i], scope))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("limit \"%s\" is for the same jobs", all[i]->name),
					 errhint("Change it with taskq.alter_limit(), or drop it with taskq.drop_limit().")));
}

/* Tell the user that jobs under a limit wait while the library is not preloaded. */
static void
WarnWithoutPreload(const char *name)
{
	if (!HoldersPresent())
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("jobs under limit \"%s\" do not start, because taskq is not preloaded", name),
				 errhint("Put shared_preload_libraries = 'taskq' into postgresql.conf and restart the server.")));
}

/* Set a parameter to a text, or to NULL. */
static void
SetText(Datum *values, char *nulls, int i, const char *text)
{
	nulls[i] = text == NULL ? 'n' : ' ';
	values[i] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

/* Set a parameter to a value that is passed by reference, or to NULL. */
static void
SetPointer(Datum *values, char *nulls, int i, const void *value)
{
	nulls[i] = value == NULL ? 'n' : ' ';
	values[i] = PointerGetDatum(value);
}

/*
 * Create a limit, or replace it.  If it is for the same jobs as before, only its row is
 * changed.  Otherwise it has a new id, because nothing is known yet of what the new jobs
 * hold of it.
 */
Datum
taskq_set_limit(PG_FUNCTION_ARGS)
{
	Datum			  values[LIMIT_PARAMS];
	char			  nulls[LIMIT_PARAMS];
	char			 *name;
	Scope			  scope;
	const TaskqLimit *old;

	CheckArgCount(fcinfo, 8);
	CheckWritable("taskq.set_limit()");
	name = ArgName(fcinfo, 0, "name");
	scope = ScopeArgs(fcinfo, 1, 2, 3, 4);
	SetText(values, nulls, 0, name);
	SetText(values, nulls, 1, scope.queue);
	SetText(values, nulls, 2, scope.task_type);
	values[3] = Int32GetDatum(ConcurrencyArg(fcinfo, 5));
	nulls[3] = ' ';
	SetText(values, nulls, 4, ArgShortTextOrNull(fcinfo, 6, "description"));
	SetText(values, nulls, 7, scope.tenant_id);
	SetPointer(values, nulls, 8, LimitKeyNames(scope.for_each));
	SetPointer(values, nulls, 9, OverridesArg(fcinfo, 7, scope.for_each));
	SetText(values, nulls, 5, RoleNameOrOid(GetUserId()));
	values[6] = TimestampTzGetDatum(ClockNow());
	nulls[6] = ' ';
	LockLimits();
	CheckScope(name, &scope);
	old = LimitByName(name, true);
	if (old != NULL && HasScope(old, &scope))
		(void) OwnerRun("UPDATE taskq.limit_defs SET concurrency = $4, description = $5, changed_by = $6, changed_at = $7, overrides = $10"
						" WHERE name = $1",
						LIMIT_PARAMS, limit_types, values, nulls);
	else
	{
		(void) OwnerRun("DELETE FROM taskq.limit_defs WHERE name = $1", 1, limit_types, values, nulls);
		(void) OwnerRun("INSERT INTO taskq.limit_defs (name, queue, task_type, concurrency, description, changed_by, changed_at,"
						" tenant_id, for_each, overrides) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
						LIMIT_PARAMS, limit_types, values, nulls);
	}
	ConfigRowsChanged(REL_LIMITS);
	WarnWithoutPreload(name);
	PG_RETURN_VOID();
}

/* Change a limit.  A NULL leaves a value as it is. */
Datum
taskq_alter_limit(PG_FUNCTION_ARGS)
{
	Oid	  types[] = { TEXTOID, INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, JSONBOID, BOOLOID };
	Datum values[lengthof(types)];
	char  nulls[lengthof(types)];
	char *name;

	CheckArgCount(fcinfo, 4);
	CheckWritable("taskq.alter_limit()");
	name = ArgName(fcinfo, 0, "name");
	SetText(values, nulls, 0, name);
	nulls[1] = PG_ARGISNULL(1) ? 'n' : ' ';
	values[1] = PG_ARGISNULL(1) ? (Datum) 0 : Int32GetDatum(ArgInt(fcinfo, 1, "concurrency", 0, MAX_CONCURRENCY));
	SetText(values, nulls, 2, ArgShortTextOrNull(fcinfo, 2, "description"));
	SetText(values, nulls, 3, RoleNameOrOid(GetUserId()));
	values[4] = TimestampTzGetDatum(ClockNow());
	nulls[4] = ' ';
	LockLimits();
	SetPointer(values, nulls, 5, OverridesArg(fcinfo, 3, LimitByName(name, false)->for_each));
	values[6] = BoolGetDatum(!PG_ARGISNULL(3));
	nulls[6] = ' ';
	(void) OwnerRun("UPDATE taskq.limit_defs SET concurrency = COALESCE($2, concurrency),"
					" description = COALESCE($3, description), changed_by = $4, changed_at = $5,"
					" overrides = CASE WHEN $7 THEN $6 ELSE overrides END WHERE name = $1",
					lengthof(types), types, values, nulls);
	ConfigRowsChanged(REL_LIMITS);
	WarnWithoutPreload(name);
	PG_RETURN_VOID();
}

Datum
taskq_drop_limit(PG_FUNCTION_ARGS)
{
	Oid	  types[] = { TEXTOID };
	Datum values[1];

	CheckArgCount(fcinfo, 1);
	CheckWritable("taskq.drop_limit()");
	values[0] = CStringGetTextDatum(ArgName(fcinfo, 0, "name"));
	LockLimits();
	if (OwnerRun("DELETE FROM taskq.limit_defs WHERE name = $1", 1, types, values, NULL) == 0)
		PG_RETURN_BOOL(false);
	ConfigRowsChanged(REL_LIMITS);
	PG_RETURN_BOOL(true);
}
