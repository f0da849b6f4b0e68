/*
 * set_limit.c
 *	  Create, change and drop limits: set_limit(), alter_limit() and drop_limit().
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

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

#define MAX_CONCURRENCY 1000000

static Oid limit_types[] = { TEXTOID, TEXTOID, TEXTOID, INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID };

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

/* Refuse a second limit for the same jobs, because it would be of no use. */
static void
CheckScope(const char *name, const char *queue, const char *task_type)
{
	int				   n;
	const TaskqLimit **all = LimitsAll(&n);

	for (int i = 0; i < n; i++)
		if (strcmp(all[i]->name, name) != 0 && IsSame(all[i]->queue, queue) && IsSame(all[i]->task_type, task_type))
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
	char			 *queue;
	char			 *task_type;
	const TaskqLimit *old;

	CheckArgCount(fcinfo, 5);
	CheckWritable("taskq.set_limit()");
	name = ArgName(fcinfo, 0, "name");
	queue = ArgNameOrNull(fcinfo, 1, "queue");
	task_type = ArgNameOrNull(fcinfo, 2, "task_type");
	if (queue != NULL)
		(void) QueueByName(queue, false);
	SetText(values, nulls, 0, name);
	SetText(values, nulls, 1, queue);
	SetText(values, nulls, 2, task_type);
	values[3] = Int32GetDatum(ConcurrencyArg(fcinfo, 3));
	nulls[3] = ' ';
	SetText(values, nulls, 4, ArgShortTextOrNull(fcinfo, 4, "description"));
	SetText(values, nulls, 5, RoleNameOrOid(GetUserId()));
	values[6] = TimestampTzGetDatum(ClockNow());
	nulls[6] = ' ';
	LockLimits();
	CheckScope(name, queue, task_type);
	old = LimitByName(name, true);
	if (old != NULL && IsSame(old->queue, queue) && IsSame(old->task_type, task_type))
		(void) OwnerRun("UPDATE taskq.limit_defs SET concurrency = $4, description = $5, changed_by = $6, changed_at = $7"
						" WHERE name = $1",
						LIMIT_PARAMS, limit_types, values, nulls);
	else
	{
		(void) OwnerRun("DELETE FROM taskq.limit_defs WHERE name = $1", 1, limit_types, values, nulls);
		(void) OwnerRun("INSERT INTO taskq.limit_defs (name, queue, task_type, concurrency, description, changed_by, changed_at)"
						" VALUES ($1, $2, $3, $4, $5, $6, $7)",
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
	Oid	  types[] = { TEXTOID, INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID };
	Datum values[lengthof(types)];
	char  nulls[lengthof(types)];
	char *name;

	CheckArgCount(fcinfo, 3);
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
	(void) LimitByName(name, false);
	(void) OwnerRun("UPDATE taskq.limit_defs SET concurrency = COALESCE($2, concurrency),"
					" description = COALESCE($3, description), changed_by = $4, changed_at = $5 WHERE name = $1",
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
