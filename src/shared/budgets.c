/*
 * budgets.c
 *	  What was used of budgets, and what running jobs hold of them, in shared memory.
 *
 * The rows of the reports say what was used.  But the rows of open transactions cannot be
 * read, and to lock a row with a balance would let every other report wait for the end of
 * a long transaction.  So a report takes its amount here first, under one lock, and inserts
 * its row afterwards.  What is taken stays until the transaction is rolled back; so the
 * sum is what was committed and what may yet be, and is never too low.
 *
 * Beginning.  After the start of the server nothing is taken.  A budget is "armed" by the
 * first process that needs it, which adds up the rows (job/arm_budgets.c).  Before that, no
 * job that names the budget starts, and no report is answered.  So no report is taken that
 * the sum does not contain, and none twice: all rows that it reads were taken before the
 * start.
 *
 * Periods.  A new period begins with nothing: each report takes from the period that it
 * names in its row, and the first one to name a new period makes the entry forget the old
 * one.  What is rolled back later of an old period changes nothing any more.
 *
 * Estimates.  A run holds its estimate of each budget, by the job's id and the epoch of the
 * claim, until it ends.  A report of the run takes from what the run holds first.
 *
 * Prepared transactions end without a call.  What they have taken is noted with their id,
 * and the scheduler looks how they have ended.
 *
 * Waiting.  A claim that finds no room notes its route.  When there is more room, everybody
 * is woken who waits for such a route.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "storage/shmem.h"

#include "base/compat.h"
#include "base/guc.h"
#include "shared/budgets_int.h"
#include "shared/shmem.h"
#include "shared/wake.h"

Budgets *budgets_shared = NULL;
HTAB	*budget_entries = NULL;
HTAB	*hold_entries = NULL;

/* memory ------------------------------------------------------------------- */

static Size
StructSize(void)
{
	return add_size(offsetof(Budgets, databases), mul_size(sizeof(BudgetsDatabase), taskq_max_databases));
}

static Size
BudgetsSize(void)
{
	Size size = MAXALIGN(StructSize());

	size = add_size(size, hash_estimate_size(taskq_max_budgets, sizeof(BudgetEntry)));
	return add_size(size, hash_estimate_size(taskq_max_held_jobs, sizeof(Hold)));
}

static void
BudgetsStart(void)
{
	HASHCTL budget_ctl = { .keysize = sizeof(BudgetKey), .entrysize = sizeof(BudgetEntry) };
	HASHCTL hold_ctl = { .keysize = sizeof(HoldKey), .entrysize = sizeof(Hold) };
	bool	found;

	budgets_shared = ShmemInitStruct("taskq use of budgets", StructSize(), &found);
	budget_entries = ShmemInitHash_compat("taskq budgets", taskq_max_budgets, &budget_ctl, HASH_ELEM | HASH_BLOBS);
	hold_entries = ShmemInitHash_compat("taskq holders of budgets", taskq_max_held_jobs, &hold_ctl, HASH_ELEM | HASH_BLOBS);
	if (found)
		return;
	memset(budgets_shared, 0, StructSize());
	LWLockInitialize(&budgets_shared->lock, taskq_tranche);
	for (int i = 0; i < taskq_max_databases; i++)
	{
		BudgetsDatabase *database = &budgets_shared->databases[i];

		pg_atomic_init_u32(&database->n_holds, 0);
		pg_atomic_init_u32(&database->n_ending, 0);
		pg_atomic_init_u32(&database->n_prepared, 0);
		pg_atomic_init_u32(&database->reported, 0);
		pg_atomic_init_u32(&database->exceeded, 0);
	}
}

bool
BudgetsPresent(void)
{
	return budgets_shared != NULL;
}

/* Called while the library is loaded. */
void
BudgetsInit(void)
{
	ShmemRegister(BudgetsSize, BudgetsStart);
	BudgetsReportInit();
}

/* Return what there is for this database, or NULL. */
BudgetsDatabase *
BudgetsMine(void)
{
	TaskqDatabase *db = budgets_shared == NULL ? NULL : ShmemMyDatabase();

	return db == NULL ? NULL : &budgets_shared->databases[db - taskq_databases];
}

BudgetEntry *
BudgetsFind(Oid relid, int32 budget_id)
{
	BudgetKey key = { MyDatabaseId, relid, budget_id };

	Assert(LWLockHeldByMe(&budgets_shared->lock));
	return hash_search(budget_entries, &key, HASH_FIND, NULL);
}

HoldKey
BudgetsHoldKey(int64 job_id, int64 epoch)
{
	return (HoldKey){ MyDatabaseId, 0, job_id, epoch };
}

Hold *
BudgetsFindHold(int64 job_id, int64 epoch)
{
	HoldKey key = BudgetsHoldKey(job_id, epoch);

	Assert(LWLockHeldByMe(&budgets_shared->lock));
	return hash_search(hold_entries, &key, HASH_FIND, NULL);
}

/* Return what is taken in this period.  Nothing is, if the entry is of an earlier one. */
CostUnits
BudgetTaken(const BudgetEntry *entry, int32 period_no)
{
	return entry->period_no == period_no ? entry->taken : 0;
}

/*
 * Was a report refused in this period that would be refused now?  A limit that was raised
 * since forgets it, even if it is still too low: somebody has decided that jobs may start.
 */
bool
BudgetIsRefused(const BudgetEntry *entry, const BudgetBound *bound)
{
	return entry->refused && entry->period_no == bound->period_no && bound->has_hard && bound->hard <= entry->refused_hard &&
		   entry->taken + entry->refused_amount > bound->hard;
}

/* waiting -------------------------------------------------------------------- */

/* Collect those that wait for a budget.  Whoever finds no room is noted again. */
void
BudgetCollect(BudgetEntry *entry, BudgetWake *wake)
{
	if (entry->n_blocked > MAX_BLOCKED_ROUTES)
		wake->all = true;
	else
		for (int i = 0; i < entry->n_blocked; i++)
			wake->routes[wake->n++] = entry->blocked[i];
	entry->n_blocked = 0;
}

/* Wake all that wait for jobs of the routes, and have the scheduler start workers for them. */
void
BudgetWakeAll(const BudgetWake *wake)
{
	if (!wake->all && wake->n == 0)
		return;
	if (wake->all)
		WakeAllWaiters(MyDatabaseId);
	for (int i = 0; i < wake->n; i++)
		(void) WakeWaiters(MyDatabaseId, wake->routes[i], taskq_shared->n_slots);
	if (ShmemMyDatabase() != NULL)
		ShmemWakeScheduler(ShmemMyDatabase());
}
