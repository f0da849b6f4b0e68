/*
 * arm_budgets.c
 *	  Adding up what was used of budgets.
 *
 * Reports are rows that are only inserted.  The scheduler adds them to the total of their
 * period in small batches ("folds" them), and closes their gates.  What was used is the total
 * and the rows with an open gate.
 *
 * A budget is armed when shared memory knows that sum.  The rows of prepared transactions
 * belong to it, too: they are read with a snapshot that sees rows that are not committed.
 * While a budget is not armed nobody takes from it, so all these rows are of transactions
 * that were prepared before the server started.  LOCK_BUDGETS prevents a row from being
 * folded between the look at the totals and the look at the rows.
 */
#include "taskq.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/injection_point.h"
#include "config/changes.h"
#include "job/arm_budgets.h"
#include "job/live.h"
#include "job/running_scan.h"
#include "shared/locks.h"
#include "shared/shmem.h"
#include "shared/wake.h"
#include "store/columns.h"
#include "store/owner.h"
#include "store/store.h"

#define ALL_BUDGETS 0  /* key of LOCK_BUDGETS */
#define FOLD_SIZE 1000 /* reports that one call folds */

BudgetBound
BudgetBoundOf(const TaskqBudget *budget)
{
	return (BudgetBound){
		.budget_id = budget->budget_id,
		.period_no = budget->period_no,
		.has_hard = budget->has_hard,
		.hard = budget->hard,
		.cancels_running = budget->cancels_running,
	};
}

/* Write the budgets of a route as shared memory wants them.  Returns false if there are none. */
bool
BudgetNeedOf(int32 route_id, BudgetNeed *need)
{
	const RouteBudgets *budgets = BudgetsOfRoute(route_id);

	if (budgets->n == 0)
		return false;
	need->relid = CatalogRel(REL_BUDGETS);
	need->route_id = route_id;
	need->estimate = budgets->estimate;
	need->n = budgets->n;
	for (int i = 0; i < budgets->n; i++)
		need->bounds[i] = BudgetBoundOf(&budgets->budgets[i]);
	return true;
}

/* sums ----------------------------------------------------------------------- */

/* The sum of one period of a budget. */
typedef struct Sum
{
	int32			period_no;
	CostUnits		amount;
	BudgetPrepared *prepared; /* of it, what transactions that are open have reported */
	int				n_prepared;
	int				max_prepared;
} Sum;

static void
AddTotal(TupleTableSlot *slot, void *arg)
{
	Sum *sum = arg;

	if (DatumGetInt32(SlotDatum(slot, Anum_budget_totals_period_no)) == sum->period_no)
		sum->amount += CostOfDatum(SlotDatum(slot, Anum_budget_totals_used));
}

static void
AddPrepared(Sum *sum, TransactionId xid, CostUnits amount)
{
	if (sum->n_prepared == sum->max_prepared)
	{
		sum->max_prepared = Max(16, 2 * sum->max_prepared);
		sum->prepared = sum->prepared == NULL ? palloc(sizeof(BudgetPrepared) * sum->max_prepared) : repalloc(sum->prepared, sizeof(BudgetPrepared) * sum->max_prepared);
	}
	sum->prepared[sum->n_prepared++] = (BudgetPrepared){ xid, amount };
}

/* Columns of the index budget_reports_open. */
enum
{
	OPEN_BUDGET_ID = 1,
	OPEN_PERIOD_NO
};

/* Add the reports that were not folded, also those of open transactions. */
static void
AddReports(Sum *sum, int32 budget_id)
{
	Relation		heap = CatalogOpen(REL_BUDGET_REPORTS, AccessShareLock);
	Relation		index = index_open(CatalogRel(REL_BUDGET_REPORTS_OPEN), AccessShareLock);
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	SnapshotData	uncommitted;
	IndexScanDesc	scan;
	ScanKeyData		keys[2];

	InitDirtySnapshot(uncommitted);
	ScanKeyInit(&keys[0], OPEN_BUDGET_ID, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(budget_id));
	ScanKeyInit(&keys[1], OPEN_PERIOD_NO, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(sum->period_no));
	scan = index_beginscan_compat(heap, index, &uncommitted, 2);
	index_rescan(scan, keys, 2, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		TransactionId xid = uncommitted.xmin;
		CostUnits	  amount;

		slot_getallattrs(slot);
		amount = CostOfDatum(SlotDatum(slot, Anum_budget_reports_amount));
		sum->amount += amount;
		if (TransactionIdIsValid(xid))
			AddPrepared(sum, xid, amount);
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	table_close(heap, AccessShareLock);
}

/* Add up what was used of a budget in a period.  The caller is the owner. */
static void
AddUp(Sum *sum, int32 budget_id)
{
	ScanKeyData key;

	ScanKeyInit(&key, Anum_budget_totals_budget_id, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(budget_id));
	StoreScanKey(REL_BUDGET_TOTALS, &key, AddTotal, sum);
	AddReports(sum, budget_id);
}

/* arming ------------------------------------------------------------------------ */

/* Let the jobs that run hold their estimates of budgets that are not armed.  Returns false if there is no room. */
static bool
AddHolds(void)
{
	RunningScan scan;
	TaskqJob	job;
	bool		complete = true;

	RunningScanBegin(&scan, NULL, PG_INT64_MIN);
	while (RunningScanNext(&scan, &job))
	{
		BudgetNeed need;

		if (BudgetNeedOf(job.route_id, &need) && need.estimate > 0)
			complete = BudgetsAddHold(&need, job.job_id, job.epoch) && complete;
	}
	RunningScanEnd(&scan);
	return complete;
}

static bool
Arm(const TaskqBudget *budget, bool complete)
{
	Oid			relid = CatalogRel(REL_BUDGETS);
	BudgetBound bound = BudgetBoundOf(budget);
	Sum			sum = { .period_no = budget->period_no };

	if (BudgetsIsArmed(relid, &bound))
		return false;
	if (!complete)
	{
		BudgetsLackMemory(relid, budget->budget_id);
		return false;
	}
	AddUp(&sum, budget->budget_id);
	TASKQ_INJECTION_POINT("budget-added-up");
	return BudgetsArm(relid, &bound, sum.amount, sum.prepared, sum.n_prepared);
}

/*
 * Arm these budgets, unless they are, and wake all that may wait for that.  Returns true if
 * one was armed.  What is held by runs that end meanwhile is given back afterwards.
 */
bool
ArmBudgets(const TaskqBudget **budgets, int n)
{
	Oid		   relid = CatalogRel(REL_BUDGETS);
	OwnerScope scope;
	bool	   any = false;
	bool	   complete;

	(void) LockKey(LOCK_BUDGETS, ALL_BUDGETS, true, true);
	OwnerEnter(&scope);
	for (int i = 0; i < n; i++)
	{
		BudgetBound bound = BudgetBoundOf(budgets[i]);

		(void) BudgetsEnter(relid, &bound);
	}
	complete = AddHolds();
	for (int i = 0; i < n; i++)
		any = Arm(budgets[i], complete) || any;
	OwnerLeave(&scope);
	UnlockKey(LOCK_BUDGETS, ALL_BUDGETS, true);
	(void) FreeStaleHolds();
	if (any)
	{
		WakeAllWaiters(MyDatabaseId);
		ShmemWakeScheduler(ShmemMyDatabase());
	}
	return any;
}

/*
 * Have all budgets added up anew.  A restore writes rows that nobody has taken, and the
 * scheduler may arm the budgets before all of them are there.  Each report locks the table
 * before it takes, so none is open when this has the lock.
 */
void
AddUpBudgetsAnew(void)
{
	if (!BudgetsPresent())
		return;
	if (BudgetsHasTaken())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("budgets cannot be added up in a transaction that has reported usage"),
				 errhint("Commit the reports first.")));
	(void) OwnerRun("LOCK TABLE taskq.budget_reports IN SHARE ROW EXCLUSIVE MODE", 0, NULL, NULL, NULL);
	BudgetsDisarm();
	ConfigRowsChanged(REL_BUDGETS);
}

/* Give back what runs hold that do not run any more.  Returns their number. */
int
FreeStaleHolds(void)
{
	BudgetJob *jobs;
	int		   n = BudgetsCopyHolds(&jobs);
	int		   freed = 0;

	for (int i = 0; i < n; i++)
	{
		TaskqJob job;

		if (LiveFind(jobs[i].job_id, &job) && job.state == JOB_RUNNING && job.epoch == jobs[i].epoch)
			continue;
		freed += BudgetsRelease(jobs[i].job_id, jobs[i].epoch) ? 1 : 0;
	}
	pfree(jobs);
	return freed;
}

/* folding --------------------------------------------------------------------- */

/*
 * Add some reports to the totals of their periods.  Returns true if there may be more.  The
 * transaction ends soon, because the lock keeps others from arming a budget.
 */
bool
FoldReports(void)
{
	Oid		   types[] = { INT4OID };
	Datum	   values[] = { Int32GetDatum(FOLD_SIZE) };
	OwnerScope scope;
	int64	   folded;
	bool	   isnull;

	(void) LockKey(LOCK_BUDGETS, ALL_BUDGETS, true, true);
	OwnerEnterSpi(&scope);
	(void) OwnerExecute("WITH found AS (SELECT job_id, budget_id, usage_key FROM taskq.budget_reports WHERE gate = 'o'"
						"  ORDER BY budget_id, period_no LIMIT $1),"
						" folded AS (UPDATE taskq.budget_reports r SET gate = 'f' FROM found s"
						"  WHERE r.job_id = s.job_id AND r.budget_id = s.budget_id AND r.usage_key = s.usage_key"
						"  RETURNING r.budget_id, r.period_no, r.amount),"
						" sums AS (SELECT budget_id, period_no, sum(amount) AS used, count(*) AS reports FROM folded GROUP BY budget_id, period_no),"
						" added AS (INSERT INTO taskq.budget_totals AS t (budget_id, period_no, used, reports)"
						"  SELECT budget_id, period_no, used, reports FROM sums"
						"  ON CONFLICT (budget_id, period_no) DO UPDATE SET used = t.used + excluded.used, reports = t.reports + excluded.reports)"
						" SELECT count(*) FROM folded",
						lengthof(types), types, values, NULL);
	folded = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	OwnerLeaveSpi(&scope);
	return folded >= FOLD_SIZE;
}
