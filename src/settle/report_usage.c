/*
 * report_usage.c
 *	  report_usage(): what a run has used of a budget.
 *
 * A report takes its amount in shared memory first (shared/budgets_report.c), and then
 * inserts its row.  If the row is there already, the report is a duplicate, and the amount
 * is given back.  Two reports of the same key wait for each other, because the second one is
 * a duplicate only if the first is committed.  No other reports wait.
 *
 * The amount counts in the period that the definition of the budget names.  The definition
 * may change while the amount is taken.  So it is read again afterwards, and if it is
 * another one, the report begins anew: no report exceeds a limit that was committed before.
 */
#include "taskq.h"

#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/injection_point.h"
#include "base/names.h"
#include "base/rows.h"
#include "base/signature.h"
#include "config/budget.h"
#include "config/changes.h"
#include "config/route.h"
#include "config/stale.h"
#include "job/arm_budgets.h"
#include "job/current.h"
#include "job/fence.h"
#include "job/live.h"
#include "shared/budgets.h"
#include "shared/shmem.h"
#include "store/columns.h"
#include "store/owner.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(taskq_report_usage);
PG_FUNCTION_INFO_V1(taskq_report_usage_of);

/* What is reported, and what came of it. */
typedef struct Usage
{
	int64		 job_id;
	int64		 epoch;
	int32		 attempt;
	int32		 route_id;
	char		*budget;
	CostUnits	 amount;
	char		*key;
	bool		 may_overrun;
	TaskqBudget	 definition; /* the one by which the amount was taken, */
	BudgetReport report;	 /* and what shared memory was told */
	CostUnits	 taken;		 /* in the period, with this report if it was applied */
} Usage;

/* The columns of report_usage(). */
static const Oid report_columns[] = { TEXTOID, NUMERICOID, NUMERICOID, BOOLOID };

/* Read the arguments from the budget on. */
static void
ReadUsage(FunctionCallInfo fcinfo, int first, Usage *usage)
{
	usage->budget = ArgName(fcinfo, first, "budget");
	if (PG_ARGISNULL(first + 1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("amount must not be NULL")));
	usage->amount = ArgCost(fcinfo, first + 1, "amount", false);
	if (PG_ARGISNULL(first + 2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("usage_key must not be NULL"),
				 errhint("Give the same key whenever the same usage is reported, also in the next attempt, such as the id of a request.")));
	usage->key = ArgLabel(fcinfo, first + 2, "usage_key");
	usage->may_overrun = ArgBool(fcinfo, first + 3, "allow_overrun");
}

/* Check that the job names the budget, so that no job uses the budget of others. */
static void
CheckNamed(const Usage *usage)
{
	if (NamesContain(RouteById(usage->route_id)->budgets, usage->budget))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("job " INT64_FORMAT " does not name budget \"%s\"", usage->job_id, usage->budget),
			 errhint("Name it by the argument budgets when the job is enqueued.")));
}

/* Check that shared memory can answer, and that this transaction sees what others do. */
static void
CheckMayReport(void)
{
	if (!BudgetsPresent())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("usage cannot be reported, because taskq is not preloaded"),
				 errhint("Put shared_preload_libraries = 'taskq' into postgresql.conf and restart the server.")));
	if (ShmemDatabase(MyDatabaseId, true) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TQ_LIMIT_EXCEEDED),
				 errmsg("there is no room for this database in shared memory"),
				 errhint("Raise taskq.max_databases and restart the server.")));
	if (ConfigHasChangedHere(REL_BUDGETS))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("usage cannot be reported in a transaction that has changed budgets"),
				 errhint("Commit the change first.")));
}

/* Is the definition that was used still the present one? */
static bool
IsCurrent(const TaskqBudget *definition)
{
	const TaskqBudget *now;

	ConfigCatchUp();
	now = BudgetByName(definition->name, true);
	return now != NULL && now->budget_id == definition->budget_id && now->period_no == definition->period_no &&
		   now->has_hard == definition->has_hard && now->hard == definition->hard;
}

/* Add up what was used of the budget, because nobody has done it yet. */
static void
ArmForReport(const Usage *usage, const TaskqBudget *budget)
{
	const BudgetReport *report = &usage->report;

	if (ArmBudgets(&budget, 1) || BudgetsStateOf(report->relid, &report->bound).answer != BUDGET_NO_MEMORY)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_TQ_LIMIT_EXCEEDED),
			 errmsg("there is no room for budget \"%s\" in shared memory", usage->budget),
			 errhint("Raise taskq.max_budgets or taskq.max_held_jobs and restart the server.")));
}

/*
 * Take the amount in shared memory.  Returns false if the hard limit forbids that.  If the
 * budget was dropped, its definition has no id, and nothing is taken.
 */
static bool
Take(Usage *usage)
{
	BudgetReport *report = &usage->report;

	*report = (BudgetReport){
		.relid = CatalogRel(REL_BUDGETS),
		.job_id = usage->job_id,
		.epoch = usage->epoch,
		.amount = usage->amount,
		.may_overrun = usage->may_overrun,
	};
	for (;;)
	{
		const TaskqBudget *found;
		BudgetAnswer	   answer;

		CHECK_FOR_INTERRUPTS();
		ConfigCatchUp();
		found = BudgetByName(usage->budget, true);
		memset(&usage->definition, 0, sizeof(usage->definition));
		if (found == NULL)
			return true;
		usage->definition = *found;
		report->bound = BudgetBoundOf(found);
		answer = BudgetsTake(report, &usage->taken);
		TASKQ_INJECTION_POINT("usage-taken");
		if (answer == BUDGET_ROOM && IsCurrent(&usage->definition))
			return true;
		if (answer == BUDGET_ROOM)
			BudgetsGiveBack();
		else if (answer == BUDGET_SPENT)
			return false;
		else if (!BudgetsIsArmed(report->relid, &report->bound))
			ArmForReport(usage, found);
	}
}

/* Insert the row.  Returns false if there is one of this key. */
static bool
Insert(const Usage *usage, bool is_overrun)
{
	Oid	  types[] = { INT8OID, INT4OID, TEXTOID, NUMERICOID, INT4OID, INT8OID, INT4OID, BOOLOID, TIMESTAMPTZOID };
	Datum values[] = {
		Int64GetDatum(usage->job_id), Int32GetDatum(usage->definition.budget_id), CStringGetTextDatum(usage->key),
		CostDatum(usage->amount), Int32GetDatum(usage->definition.period_no), Int64GetDatum(usage->epoch),
		Int32GetDatum(usage->attempt), BoolGetDatum(is_overrun), TimestampTzGetDatum(ClockNow())
	};

	return OwnerRun("INSERT INTO taskq.budget_reports (job_id, budget_id, usage_key, amount, period_no, epoch, attempt, overrun, reported_at)"
					" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
					lengthof(types), types, values, NULL) == 1;
}

/*
 * Find the row of this key.  Returns false if there is none.  If another transaction has
 * inserted it that is open, *xid is that transaction.
 */
static bool
FindReport(const Usage *usage, TransactionId *xid)
{
	OwnerScope	 scope;
	Store		 reports;
	SnapshotData dirty;
	ScanKeyData	 keys[3];
	bool		 found;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(usage->job_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(usage->definition.budget_id));
	ScanKeyEntryInitialize(&keys[2], 0, 3, BTEqualStrategyNumber, InvalidOid, DEFAULT_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(usage->key));
	InitDirtySnapshot(dirty);
	OwnerEnter(&scope);
	StoreOpenRel(&reports, REL_BUDGET_REPORTS);
	found = StoreFind(&reports, CatalogRel(REL_BUDGET_REPORTS_PKEY), lengthof(keys), keys, &dirty);
	StoreClose(&reports, false);
	OwnerLeave(&scope);
	*xid = found ? dirty.xmin : InvalidTransactionId;
	return found;
}

/*
 * Take the amount, unless the hard limit forbids that or there is a report of this key.  If
 * the limit forbids it, another transaction that is open may have made that report.  Then
 * wait for its end, so that usage that is counted does not seem to lack room.
 */
static bool
TakeOnce(Usage *usage, bool *is_duplicate)
{
	TransactionId xid = InvalidTransactionId;

	*is_duplicate = false;
	while (!Take(usage))
	{
		if (!FindReport(usage, &xid))
			return false;
		if (!TransactionIdIsValid(xid))
		{
			*is_duplicate = true;
			return false;
		}
		XactLockTableWait(xid, NULL, NULL, XLTW_None);
	}
	return true;
}

/* Return the row of the answer. */
static Datum
Answer(FunctionCallInfo fcinfo, const Usage *usage, const char *answer, bool applied)
{
	const TaskqBudget *definition = &usage->definition;
	TupleDesc		   desc;
	Datum			   values[lengthof(report_columns)] = { 0 };
	bool			   nulls[lengthof(report_columns)] = { false };

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "report_usage() must return a row");
	CheckColumns(desc, lengthof(report_columns), report_columns);
	nulls[1] = definition->budget_id == 0 || !definition->has_hard;
	nulls[2] = definition->budget_id == 0;
	values[0] = CStringGetTextDatum(answer);
	if (!nulls[1])
		values[1] = CostDatum(definition->hard - usage->taken);
	if (!nulls[2])
		values[2] = CostDatum(usage->taken);
	values[3] = BoolGetDatum(applied);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* Report what the claim, which is in force, has used. */
static Datum
Report(FunctionCallInfo fcinfo, Usage *usage)
{
	const TaskqBudget *definition = &usage->definition;
	bool			   is_taken;
	bool			   is_duplicate;
	bool			   is_over;

	CheckNamed(usage);
	CheckMayReport();
	table_close(CatalogOpen(REL_BUDGET_REPORTS, RowExclusiveLock), NoLock); /* for AddUpBudgetsAnew() */
	is_taken = TakeOnce(usage, &is_duplicate);
	if (definition->budget_id == 0)
		return Answer(fcinfo, usage, "ok", false);
	if (is_duplicate)
		return Answer(fcinfo, usage, "duplicate", false);
	if (!is_taken)
	{
		BudgetsRefuse(&usage->report);
		return Answer(fcinfo, usage, "hard_limit", false);
	}
	is_over = definition->has_hard && usage->taken > definition->hard && usage->amount > 0;
	if (!Insert(usage, is_over))
	{
		BudgetsGiveBack();
		usage->taken -= usage->amount;
		return Answer(fcinfo, usage, "duplicate", false);
	}
	if (is_over)
		return Answer(fcinfo, usage, "hard_limit", true);
	return Answer(fcinfo, usage, definition->has_soft && usage->taken >= definition->soft ? "soft_limit" : "ok", true);
}

/* SQL-callable report_usage(), in a handler. */
Datum
taskq_report_usage(PG_FUNCTION_ARGS)
{
	const TaskqJob *running = CurrentJob();
	Usage			usage = { 0 };
	TaskqJob		job;

	CheckCall(fcinfo);
	CheckWritable("taskq.report_usage()");
	ReadUsage(fcinfo, 0, &usage);
	if (running == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("taskq.report_usage(budget, amount, usage_key) can only be called in a handler"),
				 errdetail("This session runs no job."),
				 errhint("A program that has claimed a job calls taskq.report_usage(job_id, epoch, budget, amount, usage_key).")));
	if (running->is_stored && !(LiveFind(running->job_id, &job) && job.state == JOB_RUNNING && job.epoch == running->epoch))
		ereport(ERROR,
				(errcode(ERRCODE_TQ_STALE_LEASE),
				 errmsg("claim " INT64_FORMAT " of job " INT64_FORMAT " is not in force", running->epoch, running->job_id),
				 errdetail("The job was settled by somebody else while its procedure runs.")));
	usage.job_id = running->job_id;
	usage.epoch = running->epoch;
	usage.attempt = running->attempt;
	usage.route_id = running->route_id;
	return Report(fcinfo, &usage);
}

/* SQL-callable report_usage(), by the holder of a claim. */
Datum
taskq_report_usage_of(PG_FUNCTION_ARGS)
{
	Usage	   usage = { 0 };
	TaskqJob   job;
	OwnerScope scope;
	Store	   jobs;

	CheckCall(fcinfo);
	CheckWritable("taskq.report_usage()");
	usage.job_id = ArgId(fcinfo, 0, "job_id");
	usage.epoch = ArgId(fcinfo, 1, "epoch");
	ReadUsage(fcinfo, 2, &usage);
	OwnerEnter(&scope);
	StoreOpenRel(&jobs, REL_JOBS);
	(void) LockClaim(&jobs, &job, usage.job_id, usage.epoch, OUTCOME_NONE, scope.caller, GRIP_LOOK);
	usage.attempt = job.attempt;
	usage.route_id = job.route_id;
	StoreClose(&jobs, true);
	OwnerLeave(&scope);
	return Report(fcinfo, &usage);
}
