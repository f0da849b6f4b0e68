/*
 * set_budget.c
 *	  Create, change and drop budgets: set_budget(), alter_budget(), add_to_budget() and
 *	  drop_budget().
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/guc.h"
#include "base/signature.h"
#include "config/budget.h"
#include "config/changes.h"
#include "config/roles.h"
#include "shared/budgets.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_set_budget);
PG_FUNCTION_INFO_V1(taskq_alter_budget);
PG_FUNCTION_INFO_V1(taskq_add_to_budget);
PG_FUNCTION_INFO_V1(taskq_drop_budget);

/* Arguments of set_budget() and alter_budget(), which are also the first parameters of their statements. */
enum
{
	ARG_BUDGET,
	ARG_SOFT,
	ARG_HARD,
	ARG_PERIOD,
	ARG_ON_EXCEEDED,
	ARG_DESCRIPTION,
	ARG_PERIOD_FROM,
	ARG_COUNT,
	PARAM_RESETS_AT = ARG_COUNT,
	PARAM_CHANGED_BY,
	PARAM_CHANGED_AT,
	PARAM_COUNT
};

static Oid budget_types[PARAM_COUNT] = {
	TEXTOID, NUMERICOID, NUMERICOID, INTERVALOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TIMESTAMPTZOID
};

/*
 * Wait for other transactions that change budgets.  So what is read afterwards is
 * committed, and stays as it is.
 */
static void
LockBudgets(void)
{
	(void) OwnerRun("LOCK TABLE taskq.budget_defs IN SHARE ROW EXCLUSIVE MODE", 0, NULL, NULL, NULL);
}

/* Tell the user that jobs of a budget wait while the library is not preloaded. */
static void
WarnWithoutPreload(const char *name)
{
	if (!BudgetsPresent())
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("jobs of budget \"%s\" do not start, because taskq is not preloaded", name),
				 errhint("Put shared_preload_libraries = 'taskq' into postgresql.conf and restart the server.")));
}

/* Check that a period has an end that can be computed: whole months, or a fixed time. */
static void
CheckPeriod(const Interval *period)
{
	if (period->month > 0 && period->month <= 1200 && period->day == 0 && period->time == 0)
		return;
	if (period->month == 0 && IntervalMicroseconds(period) >= USECS_PER_MINUTE &&
		IntervalMicroseconds(period) <= INT64CONST(36525) * USECS_PER_DAY)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("period is not valid"),
			 errdetail("It is a number of whole months, or days and a time of at least a minute, and at most a hundred years."),
			 errhint("Leave it out for a budget that is never reset.")));
}

/*
 * Return the moment from which periods are counted: the argument, or if the period stays
 * the same, the moment as it was, or now.
 */
static TimestampTz
PeriodFrom(FunctionCallInfo fcinfo, const TaskqBudget *old, const Interval *period, TimestampTz now)
{
	TimestampTz from;

	if (PG_ARGISNULL(ARG_PERIOD_FROM))
	{
		if (old != NULL && old->resets_at != 0 && memcmp(&old->period, period, sizeof(Interval)) == 0)
			return old->period_from;
		return now;
	}
	from = PG_GETARG_TIMESTAMPTZ(ARG_PERIOD_FROM);
	if (TIMESTAMP_NOT_FINITE(from) || from < now - INT64CONST(36525) * USECS_PER_DAY || from > now + INT64CONST(36525) * USECS_PER_DAY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("period_from is out of range"),
				 errhint("Give a moment at which a period begins, such as the first of a month.")));
	return from;
}

/*
 * Fill in the period, its beginning and its end, or NULL for all of them.  "kept" is the
 * period that the budget keeps if none is given, or NULL.
 */
static void
ReadPeriod(FunctionCallInfo fcinfo, const TaskqBudget *old, const Interval *kept, TimestampTz now, Datum *values, char *nulls)
{
	const Interval *period = kept;
	TimestampTz		from;

	nulls[ARG_PERIOD] = nulls[ARG_PERIOD_FROM] = nulls[PARAM_RESETS_AT] = 'n';
	if (PG_ARGISNULL(ARG_PERIOD) && PG_ARGISNULL(ARG_PERIOD_FROM))
		return;
	if (!PG_ARGISNULL(ARG_PERIOD))
	{
		period = PG_GETARG_INTERVAL_P(ARG_PERIOD);
		CheckPeriod(period);
	}
	if (period == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("period_from is given without a period"),
				 errhint("Give the period, such as period => '1 month'.")));
	from = PeriodFrom(fcinfo, old, period, now);
	values[ARG_PERIOD] = IntervalPGetDatum(period);
	values[ARG_PERIOD_FROM] = TimestampTzGetDatum(from);
	values[PARAM_RESETS_AT] = TimestampTzGetDatum(BudgetNextReset(period, from, now));
	nulls[ARG_PERIOD] = nulls[ARG_PERIOD_FROM] = nulls[PARAM_RESETS_AT] = ' ';
}

/* Set a parameter to an amount, or to NULL. */
static void
SetCost(FunctionCallInfo fcinfo, int n, const char *what, Datum *values, char *nulls)
{
	nulls[n] = PG_ARGISNULL(n) ? 'n' : ' ';
	values[n] = PG_ARGISNULL(n) ? (Datum) 0 : CostDatum(ArgCost(fcinfo, n, what, false));
}

static CostUnits
CostOfParameter(const Datum *values, const char *nulls, int n)
{
	return nulls[n] == 'n' ? 0 : CostOfDatum(values[n]);
}

/* Refuse a soft limit above the hard one. */
static void
CheckBounds(bool has_soft, CostUnits soft, bool has_hard, CostUnits hard)
{
	if (has_soft && has_hard && soft > hard)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("soft must not be greater than hard")));
}

/* Fill in what happens when the hard limit is reached, or NULL. */
static void
ReadOnExceeded(FunctionCallInfo fcinfo, Datum *values, char *nulls)
{
	char *on_exceeded = ArgTextOrNull(fcinfo, ARG_ON_EXCEEDED);

	if (on_exceeded != NULL && strcmp(on_exceeded, "block") != 0 && strcmp(on_exceeded, "cancel_running") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("on_exceeded is not valid"),
				 errhint("It is 'block' or 'cancel_running'.")));
	values[ARG_ON_EXCEEDED] = on_exceeded == NULL ? (Datum) 0 : CStringGetTextDatum(on_exceeded);
	nulls[ARG_ON_EXCEEDED] = on_exceeded == NULL ? 'n' : ' ';
}

/* Fill in the parameters of a change, except the period.  Returns the budget's name. */
static char *
ReadArguments(FunctionCallInfo fcinfo, Datum *values, char *nulls)
{
	char *name = ArgName(fcinfo, ARG_BUDGET, "budget");
	char *description;

	values[ARG_BUDGET] = CStringGetTextDatum(name);
	nulls[ARG_BUDGET] = ' ';
	SetCost(fcinfo, ARG_SOFT, "soft", values, nulls);
	SetCost(fcinfo, ARG_HARD, "hard", values, nulls);
	ReadOnExceeded(fcinfo, values, nulls);
	description = ArgShortTextOrNull(fcinfo, ARG_DESCRIPTION, "description");
	values[ARG_DESCRIPTION] = description == NULL ? (Datum) 0 : CStringGetTextDatum(description);
	nulls[ARG_DESCRIPTION] = description == NULL ? 'n' : ' ';
	values[PARAM_CHANGED_BY] = CStringGetTextDatum(RoleNameOrOid(GetUserId()));
	nulls[PARAM_CHANGED_BY] = nulls[PARAM_CHANGED_AT] = ' ';
	return name;
}

/* Check that shared memory has room for another budget of this database. */
static void
CheckCount(void)
{
	int n;

	pfree(BudgetsAll(&n));
	if (n >= taskq_max_budgets)
		ereport(ERROR,
				(errcode(ERRCODE_TQ_LIMIT_EXCEEDED),
				 errmsg("too many budgets"),
				 errdetail("There are %d, as many as taskq.max_budgets allows.", n),
				 errhint("Drop budgets that are not used, or raise taskq.max_budgets and restart the server.")));
}

/* Run a statement that changes a budget and returns its id, and announce the change. */
static void
Change(const char *sql, Datum *values, const char *nulls)
{
	OwnerScope scope;
	int32	   budget_id;
	bool	   isnull;

	OwnerEnterSpi(&scope);
	if (OwnerExecute(sql, PARAM_COUNT, budget_types, values, nulls) != 1)
		elog(ERROR, "a budget was not changed");
	budget_id = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	OwnerLeaveSpi(&scope);
	ConfigNumberChanged(REL_BUDGETS, budget_id);
}

/*
 * Create a budget, or replace its definition.  What was used in its period, and what was
 * added, stays.
 */
Datum
taskq_set_budget(PG_FUNCTION_ARGS)
{
	Datum			   values[PARAM_COUNT];
	char			   nulls[PARAM_COUNT];
	char			  *name;
	TimestampTz		   now;
	const TaskqBudget *old;

	CheckCall(fcinfo);
	CheckWritable("taskq.set_budget()");
	name = ReadArguments(fcinfo, values, nulls);
	CheckBounds(!PG_ARGISNULL(ARG_SOFT), CostOfParameter(values, nulls, ARG_SOFT),
				!PG_ARGISNULL(ARG_HARD), CostOfParameter(values, nulls, ARG_HARD));
	LockBudgets();
	old = BudgetByName(name, true);
	now = ClockNow();
	values[PARAM_CHANGED_AT] = TimestampTzGetDatum(now);
	ReadPeriod(fcinfo, old, NULL, now, values, nulls);
	if (old != NULL && old->has_hard && nulls[ARG_HARD] == 'n')
		ereport(NOTICE,
				(errmsg("budget \"%s\" has no hard limit any more", name),
				 errdetail("taskq.set_budget() replaces all values, also by the defaults of arguments that are left out."),
				 errhint("Use taskq.alter_budget() to change only some values.")));
	if (old != NULL)
		Change("UPDATE taskq.budget_defs SET soft = $2, hard = $3, period = $4, on_exceeded = COALESCE($5, 'block'), description = $6,"
			   " period_from = $7, resets_at = $8, changed_by = $9, changed_at = $10 WHERE budget = $1 RETURNING budget_id",
			   values, nulls);
	else
	{
		CheckCount();
		Change("INSERT INTO taskq.budget_defs (budget, soft, hard, period, on_exceeded, description,"
			   " period_from, resets_at, changed_by, changed_at, started_at)"
			   " VALUES ($1, $2, $3, $4, COALESCE($5, 'block'), $6, $7, $8, $9, $10, $10) RETURNING budget_id",
			   values, nulls);
	}
	WarnWithoutPreload(name);
	PG_RETURN_VOID();
}

/* Change some values of a budget.  A NULL leaves a value as it is. */
Datum
taskq_alter_budget(PG_FUNCTION_ARGS)
{
	Datum			   values[PARAM_COUNT];
	char			   nulls[PARAM_COUNT];
	char			  *name;
	TimestampTz		   now;
	const TaskqBudget *old;

	CheckCall(fcinfo);
	CheckWritable("taskq.alter_budget()");
	name = ReadArguments(fcinfo, values, nulls);
	LockBudgets();
	old = BudgetByName(name, false);
	CheckBounds(old->has_soft || !PG_ARGISNULL(ARG_SOFT),
				PG_ARGISNULL(ARG_SOFT) ? old->soft : CostOfParameter(values, nulls, ARG_SOFT),
				old->has_hard || !PG_ARGISNULL(ARG_HARD),
				PG_ARGISNULL(ARG_HARD) ? old->hard - old->added : CostOfParameter(values, nulls, ARG_HARD));
	now = ClockNow();
	values[PARAM_CHANGED_AT] = TimestampTzGetDatum(now);
	ReadPeriod(fcinfo, old, old->resets_at != 0 ? &old->period : NULL, now, values, nulls);
	Change("UPDATE taskq.budget_defs SET soft = COALESCE($2, soft), hard = COALESCE($3, hard), period = COALESCE($4, period),"
		   " on_exceeded = COALESCE($5, on_exceeded), description = COALESCE($6, description),"
		   " period_from = COALESCE($7, period_from), resets_at = COALESCE($8, resets_at),"
		   " changed_by = $9, changed_at = $10 WHERE budget = $1 RETURNING budget_id",
		   values, nulls);
	WarnWithoutPreload(name);
	PG_RETURN_VOID();
}

/* Add to the hard limit of the budget's present period; returns the limit with all that was added. */
Datum
taskq_add_to_budget(PG_FUNCTION_ARGS)
{
	Oid				   types[] = { TEXTOID, NUMERICOID, TEXTOID, TIMESTAMPTZOID };
	Datum			   values[lengthof(types)];
	char			  *name;
	CostUnits		   amount;
	const TaskqBudget *budget;
	int32			   budget_id;

	CheckCall(fcinfo);
	CheckWritable("taskq.add_to_budget()");
	name = ArgName(fcinfo, 0, "budget");
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("amount must not be NULL")));
	amount = ArgCost(fcinfo, 1, "amount", true);
	LockBudgets();
	budget = BudgetByName(name, false);
	budget_id = budget->budget_id;
	if (!budget->has_hard)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("budget \"%s\" has no hard limit", name),
				 errhint("Give it one with taskq.set_budget(); without one there is nothing to add to.")));
	values[0] = CStringGetTextDatum(name);
	values[1] = CostDatum(amount);
	values[2] = CStringGetTextDatum(RoleNameOrOid(GetUserId()));
	values[3] = TimestampTzGetDatum(ClockNow());
	(void) OwnerRun("UPDATE taskq.budget_defs SET added = added + $2, changed_by = $3, changed_at = $4 WHERE budget = $1",
					lengthof(types), types, values, NULL);
	ConfigNumberChanged(REL_BUDGETS, budget_id);
	PG_RETURN_DATUM(CostDatum(BudgetByName(name, false)->hard));
}

/* Drop a budget.  What was used of it stays in the history. */
Datum
taskq_drop_budget(PG_FUNCTION_ARGS)
{
	Oid				   types[] = { TEXTOID, TIMESTAMPTZOID };
	Datum			   values[lengthof(types)];
	char			  *name;
	const TaskqBudget *budget;
	int32			   budget_id;

	CheckCall(fcinfo);
	CheckWritable("taskq.drop_budget()");
	name = ArgName(fcinfo, 0, "budget");
	LockBudgets();
	budget = BudgetByName(name, true);
	if (budget == NULL)
		PG_RETURN_BOOL(false);
	budget_id = budget->budget_id;
	values[0] = CStringGetTextDatum(name);
	values[1] = TimestampTzGetDatum(ClockNow());
	(void) OwnerRun("INSERT INTO taskq.budget_periods (budget_id, period_no, budget, started_at, ended_at, soft, hard, added)"
					" SELECT budget_id, period_no, budget, started_at, $2, soft, hard, added FROM taskq.budget_defs WHERE budget = $1",
					lengthof(types), types, values, NULL);
	(void) OwnerRun("DELETE FROM taskq.budget_defs WHERE budget = $1", 1, types, values, NULL);
	ConfigNumberChanged(REL_BUDGETS, budget_id);
	PG_RETURN_BOOL(true);
}
