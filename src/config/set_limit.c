/*
 * set_limit.c
 *	  Create, change and drop limits: set_limit(), alter_limit() and drop_limit().
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/signature.h"
#include "config/changes.h"
#include "config/limit_scope.h"
#include "config/roles.h"
#include "shared/holders.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_set_limit);
PG_FUNCTION_INFO_V1(taskq_alter_limit);
PG_FUNCTION_INFO_V1(taskq_drop_limit);

/*
 * name, queue, task_type, concurrency, description, changed_by, changed_at, rate, per, burst, quota,
 * quota_window, tenant_id, for_each, overrides
 */
static Oid limit_types[] = { TEXTOID, TEXTOID, TEXTOID, INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID,
							 INT4OID, INTERVALOID, INT4OID, INT4OID, INTERVALOID, TEXTOID, TEXTARRAYOID, JSONBOID };

#define LIMIT_PARAMS lengthof(limit_types)

/*
 * Wait for other transactions that change limits.  So what is read afterwards is committed,
 * and stays as it is.
 */
static void
LockLimits(void)
{
	(void) OwnerRun("LOCK TABLE taskq.limit_defs IN SHARE ROW EXCLUSIVE MODE", 0, NULL, NULL, NULL);
}

/* Read an interval into *value, unless it is NULL. */
static void
ReadInterval(FunctionCallInfo fcinfo, int n, const char *what, int64 least, int64 *value)
{
	if (!PG_ARGISNULL(n))
		*value = CheckMicrosecondsUpTo(PG_GETARG_INTERVAL_P(n), what, least, 366, "366 days");
}

/* Read the numbers that are given into the limit.  "first" is the argument "rate". */
static void
ReadNumbers(FunctionCallInfo fcinfo, int concurrency_arg, int first, TaskqLimit *limit)
{
	if (!PG_ARGISNULL(concurrency_arg))
		limit->numbers.concurrency = ArgInt(fcinfo, concurrency_arg, "concurrency", 0, MAX_CONCURRENCY);
	if (!PG_ARGISNULL(first))
		limit->numbers.rate = ArgInt(fcinfo, first, "rate", 1, MAX_BURST);
	ReadInterval(fcinfo, first + 1, "per", 1000, &limit->per);
	if (!PG_ARGISNULL(first + 2))
		limit->numbers.burst = ArgInt(fcinfo, first + 2, "burst", 1, MAX_BURST);
	if (!PG_ARGISNULL(first + 3))
		limit->numbers.quota = ArgInt(fcinfo, first + 3, "quota", 1, MAX_QUOTA);
	ReadInterval(fcinfo, first + 4, "quota_window", USECS_PER_SEC, &limit->quota_window);
}

/* Refuse an argument that means nothing without another one. */
static void
CheckTogether(bool given, bool other_given, const char *what, const char *other, const char *hint)
{
	if (given && !other_given)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s was given without %s", what, other),
				 errhint("%s", hint)));
}

/* Set what follows from the numbers that are given, and refuse those that do not fit each other. */
static void
CompleteNumbers(TaskqLimit *limit)
{
	if (limit->numbers.concurrency < 0 && limit->numbers.rate == 0 && limit->numbers.quota == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a limit needs a number"),
				 errhint("Give it by concurrency => 5, rate => 50 or quota => 1000 with quota_window => '1 hour', for example.")));
	CheckTogether(limit->per != NO_MICROSECONDS, limit->numbers.rate > 0, "per", "rate", "Give the rate, such as rate => 50.");
	CheckTogether(limit->numbers.burst > 0, limit->numbers.rate > 0, "burst", "rate", "Give the rate, such as rate => 50.");
	CheckTogether(limit->numbers.quota > 0, limit->quota_window != NO_MICROSECONDS, "quota", "quota_window",
				  "Give the window, such as quota_window => '1 hour'.");
	CheckTogether(limit->quota_window != NO_MICROSECONDS, limit->numbers.quota > 0, "quota_window", "quota",
				  "Give the quota, such as quota => 1000.");
	if (limit->numbers.rate == 0)
		return;
	if (limit->per == NO_MICROSECONDS)
		limit->per = USECS_PER_SEC;
	if (limit->numbers.burst == 0)
		limit->numbers.burst = Max(limit->numbers.rate / 10, 1);
	if (limit->numbers.rate > limit->per)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the rate is out of range"),
				 errhint("It can be at most one start in a microsecond.")));
	if ((double) limit->numbers.burst * limit->per / limit->numbers.rate > (double) LONGEST_FILL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("burst is out of range"),
				 errhint("The rate must let so many jobs start within 100 years.")));
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

/* Set the parameters for the numbers of a limit. */
static void
SetNumbers(Datum *values, char *nulls, const TaskqLimit *limit)
{
	nulls[3] = limit->numbers.concurrency < 0 ? 'n' : ' ';
	values[3] = Int32GetDatum(limit->numbers.concurrency);
	nulls[7] = nulls[8] = nulls[9] = limit->numbers.rate == 0 ? 'n' : ' ';
	values[7] = Int32GetDatum(limit->numbers.rate);
	values[8] = limit->numbers.rate == 0 ? (Datum) 0 : IntervalPGetDatum(MakeInterval(limit->per));
	values[9] = Int32GetDatum(limit->numbers.burst);
	nulls[10] = nulls[11] = limit->numbers.quota == 0 ? 'n' : ' ';
	values[10] = Int32GetDatum(limit->numbers.quota);
	values[11] = limit->numbers.quota == 0 ? (Datum) 0 : IntervalPGetDatum(MakeInterval(limit->quota_window));
}

/* Set the parameters for who changes a limit, and when. */
static void
SetChange(Datum *values, char *nulls)
{
	values[5] = CStringGetTextDatum(RoleNameOrOid(GetUserId()));
	values[6] = TimestampTzGetDatum(ClockNow());
	nulls[5] = nulls[6] = ' ';
}

/* Set the numbers of the limit with the name $1. */
#define UPDATE_LIMIT(description, overrides)                                   \
	"UPDATE taskq.limit_defs SET concurrency = $4, description = " description \
	", changed_by = $6, changed_at = $7, rate = $8, per = $9, burst = $10, quota = $11, quota_window = $12, overrides = " overrides " WHERE name = $1"

/* Refuse a second limit for the same jobs, because it would be of no use. */
static void
CheckScope(const char *name, const LimitScope *scope)
{
	int				   n;
	const TaskqLimit **all = LimitsAll(&n);

	for (int i = 0; i < n; i++)
		if (strcmp(all[i]->name, name) != 0 && LimitHasScope(all[i], scope))
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
	LimitScope		  scope;
	TaskqLimit		  limit = { .numbers.concurrency = -1, .per = NO_MICROSECONDS, .quota_window = NO_MICROSECONDS };
	const TaskqLimit *old;

	CheckCall(fcinfo);
	CheckWritable("taskq.set_limit()");
	name = ArgName(fcinfo, 0, "name");
	scope = LimitScopeArgs(fcinfo, 1, 2, 3, 4);
	SetText(values, nulls, 0, name);
	SetText(values, nulls, 1, scope.queue);
	SetText(values, nulls, 2, scope.task_type);
	ReadNumbers(fcinfo, 5, 7, &limit);
	CompleteNumbers(&limit);
	limit.for_each = scope.for_each;
	SetNumbers(values, nulls, &limit);
	SetText(values, nulls, 4, ArgShortTextOrNull(fcinfo, 6, "description"));
	SetChange(values, nulls);
	SetText(values, nulls, 12, scope.tenant_id);
	SetPointer(values, nulls, 13, LimitKeyNames(scope.for_each));
	SetPointer(values, nulls, 14, LimitOverridesArg(fcinfo, 12, &limit));
	LockLimits();
	CheckScope(name, &scope);
	old = LimitByName(name, true);
	if (old != NULL && LimitHasScope(old, &scope))
		(void) OwnerRun(UPDATE_LIMIT("$5", "$15"), LIMIT_PARAMS, limit_types, values, nulls);
	else
	{
		(void) OwnerRun("DELETE FROM taskq.limit_defs WHERE name = $1", 1, limit_types, values, nulls);
		(void) OwnerRun("INSERT INTO taskq.limit_defs (name, queue, task_type, concurrency, description, changed_by, changed_at,"
						" rate, per, burst, quota, quota_window, tenant_id, for_each, overrides)"
						" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
						LIMIT_PARAMS, limit_types, values, nulls);
	}
	ConfigRowsChanged(REL_LIMITS);
	WarnWithoutPreload(name);
	PG_RETURN_VOID();
}

/* The limit with this name keeps its overrides.  Refuse numbers that do not fit them. */
static void
CheckKeptOverrides(Datum name, const TaskqLimit *limit)
{
	OwnerScope scope;
	Datum	   overrides;
	bool	   isnull;

	OwnerEnterSpi(&scope);
	if (OwnerExecute("SELECT overrides FROM taskq.limit_defs WHERE name = $1", 1, limit_types, &name, NULL) > 0)
	{
		overrides = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
		if (!isnull)
			(void) LimitCheckOverrides((struct varlena *) DatumGetJsonbP(overrides), limit);
	}
	OwnerLeaveSpi(&scope);
}

/* Change a limit.  A NULL leaves a value as it is. */
Datum
taskq_alter_limit(PG_FUNCTION_ARGS)
{
	Datum	   values[LIMIT_PARAMS] = { 0 };
	char	   nulls[LIMIT_PARAMS];
	char	  *name;
	TaskqLimit limit;

	CheckCall(fcinfo);
	CheckWritable("taskq.alter_limit()");
	name = ArgName(fcinfo, 0, "name");
	memset(nulls, 'n', sizeof(nulls));
	SetText(values, nulls, 0, name);
	SetText(values, nulls, 4, ArgShortTextOrNull(fcinfo, 2, "description"));
	SetChange(values, nulls);
	LockLimits();
	limit = *LimitByName(name, false);
	ReadNumbers(fcinfo, 1, 3, &limit);
	CompleteNumbers(&limit);
	SetNumbers(values, nulls, &limit);
	SetPointer(values, nulls, 14, LimitOverridesArg(fcinfo, 8, &limit));
	if (PG_ARGISNULL(8))
		CheckKeptOverrides(values[0], &limit);
	if (PG_ARGISNULL(8))
		(void) OwnerRun(UPDATE_LIMIT("COALESCE($5, description)", "overrides"), LIMIT_PARAMS, limit_types, values, nulls);
	else
		(void) OwnerRun(UPDATE_LIMIT("COALESCE($5, description)", "$15"), LIMIT_PARAMS, limit_types, values, nulls);
	ConfigRowsChanged(REL_LIMITS);
	WarnWithoutPreload(name);
	PG_RETURN_VOID();
}

Datum
taskq_drop_limit(PG_FUNCTION_ARGS)
{
	Oid	  types[] = { TEXTOID };
	Datum values[1];

	CheckCall(fcinfo);
	CheckWritable("taskq.drop_limit()");
	values[0] = CStringGetTextDatum(ArgName(fcinfo, 0, "name"));
	LockLimits();
	if (OwnerRun("DELETE FROM taskq.limit_defs WHERE name = $1", 1, types, values, NULL) == 0)
		PG_RETURN_BOOL(false);
	ConfigRowsChanged(REL_LIMITS);
	PG_RETURN_BOOL(true);
}
