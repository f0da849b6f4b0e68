/*
 * keep_budgets.c
 *	  The scheduler's work for budgets.
 *
 * It arms budgets, so that their jobs start (job/arm_budgets.c), ends periods, asks to cancel
 * running jobs whose budget is used up, looks how prepared transactions have ended, and adds
 * up the reports.
 */
#include "taskq.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"

#include "base/clock.h"
#include "base/names.h"
#include "config/budget.h"
#include "config/changes.h"
#include "config/route.h"
#include "config/stale.h"
#include "job/arm_budgets.h"
#include "job/cancel_requests.h"
#include "job/live.h"
#include "job/running_scan.h"
#include "process/keep_budgets.h"
#include "shared/budgets.h"
#include "shared/shmem.h"
#include "shared/wake.h"
#include "store/catalog.h"
#include "store/owner.h"

#define RESETS_AT_ONCE 100							   /* periods that one run ends */
#define FORGET_SIZE 1000							   /* reports that one batch looks at */
#define KEEP_PERIODS (INT64CONST(400) * USECS_PER_DAY) /* how long the history shows a period that has ended */

static bool is_unarmed = true;	 /* a budget is not armed */
static bool is_exceeded = false; /* jobs may run whose budget is used up */

/* Due when budgets have changed, a period ends, a hard limit is reached, or a prepared transaction may have ended. */
TimestampTz
BudgetsDue(const WorkPast *past)
{
	TimestampTz due = past->next;

	if (!BudgetsPresent())
		return DT_NOEND;
	if (past->changed || BudgetsExceeded(false))
		return DT_NOBEGIN;
	if (past->signalled && (is_unarmed || is_exceeded || BudgetsAnyPrepared()))
		return DT_NOBEGIN;
	if (is_unarmed || is_exceeded || BudgetsAnyPrepared())
		due = Min(due, WorkByPoll(past));
	return BudgetsAnyHold() ? Min(due, WorkAfter(past->ran_at, USECS_PER_MINUTE)) : due;
}

/* arming ----------------------------------------------------------------------- */

/* Arm all budgets that are not armed. */
static void
ArmAll(const TaskqBudget **budgets, int n)
{
	Oid relid = CatalogRel(REL_BUDGETS);
	int unarmed = 0;

	for (int i = 0; i < n; i++)
	{
		BudgetBound bound = BudgetBoundOf(budgets[i]);

		if (!BudgetsIsArmed(relid, &bound))
			budgets[unarmed++] = budgets[i];
	}
	if (unarmed > 0)
		(void) ArmBudgets(budgets, unarmed);
	is_unarmed = false;
	for (int i = 0; i < unarmed; i++)
	{
		BudgetBound bound = BudgetBoundOf(budgets[i]);

		is_unarmed |= !BudgetsIsArmed(relid, &bound);
	}
}

/* Forget budgets that were dropped.  Their entries are listed before the budgets that exist are read. */
static void
ForgetDropped(void)
{
	Relation table = CatalogOpen(REL_BUDGETS, AccessShareLock);
	Oid		 relid = RelationGetRelid(table);
	int32	*ids;
	int		 n_ids;

	BudgetsForgetOthers(relid);
	n_ids = BudgetsCopyIds(relid, &ids);
	ConfigCatchUp();
	for (int i = 0; i < n_ids; i++)
		if (BudgetById(ids[i]) == NULL)
			BudgetsForget(relid, ids[i]);
	pfree(ids);
	table_close(table, AccessShareLock);
}

/* periods ------------------------------------------------------------------------ */

/* End the present period of a budget. */
static void
Reset(const TaskqBudget *budget, TimestampTz now)
{
	Oid	  types[] = { INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID };
	Datum values[] = { Int32GetDatum(budget->budget_id), TimestampTzGetDatum(now),
					   TimestampTzGetDatum(BudgetNextReset(&budget->period, budget->period_from, now)) };
	int32 budget_id = budget->budget_id;

	(void) OwnerRun("INSERT INTO taskq.budget_periods (budget_id, period_no, budget, started_at, ended_at, soft, hard, added)"
					" SELECT budget_id, period_no, budget, started_at, $2, soft, hard, added FROM taskq.budget_defs WHERE budget_id = $1",
					2, types, values, NULL);
	(void) OwnerRun("UPDATE taskq.budget_defs SET period_no = period_no + 1, added = 0, started_at = $2, resets_at = $3 WHERE budget_id = $1",
					lengthof(types), types, values, NULL);
	ConfigNumberChanged(REL_BUDGETS, budget_id);
}

/*
 * End the periods that are over, unless a transaction that changes budgets keeps others from
 * that.  Sets *next to the end of the next period.
 */
static void
ResetDue(TimestampTz *next)
{
	TimestampTz			now = ClockNow();
	int					n;
	int					n_reset = 0;
	bool				any = false;
	const TaskqBudget **budgets = BudgetsAll(&n);

	for (int i = 0; i < n; i++)
		any |= budgets[i]->resets_at != 0 && budgets[i]->resets_at <= now;
	if (any && !ConditionalLockRelationOid(CatalogRel(REL_BUDGETS), ShareRowExclusiveLock))
	{
		*next = now + USECS_PER_SEC;
		return;
	}

	/* they may have changed before the lock */
	ConfigCatchUp();
	budgets = BudgetsAll(&n);
	for (int i = 0; i < n; i++)
	{
		if (budgets[i]->resets_at == 0)
			continue;
		if (budgets[i]->resets_at > now)
			*next = Min(*next, budgets[i]->resets_at);
		else if (any && n_reset < RESETS_AT_ONCE)
		{
			Reset(budgets[i], now);
			*next = Min(*next, BudgetNextReset(&budgets[i]->period, budgets[i]->period_from, now));
			n_reset++;
		}
		else
			*next = now;
	}
}

/* runs beyond the hard limit ------------------------------------------------------- */

/* Is the hard limit of a budget reached whose runs are to be cancelled? */
static bool
MustCancel(const TaskqBudget *budget)
{
	BudgetBound bound = BudgetBoundOf(budget);
	BudgetState state;

	if (!budget->cancels_running || !budget->has_hard)
		return false;
	state = BudgetsStateOf(CatalogRel(REL_BUDGETS), &bound);
	return state.armed && (state.refused || state.taken >= budget->hard);
}

/* Return the first of the route's budgets whose runs are to be cancelled, or NULL. */
static const TaskqBudget *
SpentBudget(int32 route_id)
{
	const RouteBudgets *route = BudgetsOfRoute(route_id);

	for (int i = 0; i < route->n; i++)
		if (MustCancel(&route->budgets[i]))
			return &route->budgets[i];
	return NULL;
}

/* Ask to cancel a running job, if its budget is used up and nobody has asked yet. */
static void
CancelIfSpent(int64 job_id, int32 route_id)
{
	const TaskqBudget *budget = SpentBudget(route_id);
	char			  *reason;

	if (budget != NULL && !CancelRequested(job_id, &reason))
		CancelRequest(job_id, psprintf("budget \"%s\" is used up", budget->name));
}

/* Ask to cancel the jobs that external workers and procedures run. */
static void
CancelStored(void)
{
	OwnerScope	scope;
	RunningScan scan;
	TaskqJob	job;

	OwnerEnter(&scope);
	RunningScanBegin(&scan, NULL, PG_INT64_MIN);
	while (RunningScanNext(&scan, &job))
		CancelIfSpent(job.job_id, job.route_id);
	RunningScanEnd(&scan);
	OwnerLeave(&scope);
}

/* Ask to cancel the jobs that background workers run in the transaction of the claim. */
static void
CancelInServer(void)
{
	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		TaskqSlot *slot = &taskq_slots[i];
		int64	   job_id = 0;
		TaskqJob   job;

		LWLockAcquire(&slot->lock, LW_SHARED);
		if (slot->worker && slot->dboid == MyDatabaseId)
			job_id = slot->job_id;
		LWLockRelease(&slot->lock);
		if (job_id != 0 && LiveFind(job_id, &job))
			CancelIfSpent(job_id, job.route_id);
	}
}

/* the work ----------------------------------------------------------------------- */

void
KeepBudgets(WorkResult *result)
{
	int					n;
	const TaskqBudget **budgets;

	if (!BudgetsPresent() || ShmemMyDatabase() == NULL)
		return;
	(void) BudgetsExceeded(true);
	ForgetDropped();
	budgets = BudgetsAll(&n);
	ArmAll(budgets, n);
	BudgetsLookAtPrepared();
	if (BudgetsAnyHold())
		(void) FreeStaleHolds();
	budgets = BudgetsAll(&n);
	is_exceeded = false;
	for (int i = 0; i < n && !is_exceeded; i++)
		is_exceeded = MustCancel(budgets[i]);
	if (is_exceeded)
	{
		CancelStored();
		CancelInServer();
	}
	ResetDue(&result->next);
}

/* reports ------------------------------------------------------------------------ */

static uint32 folded_up_to = 0; /* BudgetsReported() when the reports were folded last */
static bool	  has_folded = false;

/* Soon after many reports, and now and then after any. */
TimestampTz
FoldDue(const WorkPast *past)
{
	uint32 reported = BudgetsReported();

	if (!has_folded)
		return DT_NOBEGIN;
	if (reported == folded_up_to)
		return WorkAfter(past->ran_at, USECS_PER_HOUR);
	if (past->signalled && reported - folded_up_to >= 1000)
		return DT_NOBEGIN;
	return WorkAfter(past->ran_at, USECS_PER_MINUTE);
}

void
FoldSome(WorkResult *result)
{
	folded_up_to = BudgetsReported();
	has_folded = true;
	result->more = FoldReports();
}

/* Forget what the history of budgets does not show any more.  The caller is the owner, in SPI. */
static void
ForgetPeriods(void)
{
	Oid	  types[] = { TIMESTAMPTZOID };
	Datum values[] = { TimestampTzGetDatum(ClockNow() - KEEP_PERIODS) };

	(void) OwnerExecute("DELETE FROM taskq.budget_periods WHERE ended_at < $1", lengthof(types), types, values, NULL);
	(void) OwnerExecute("DELETE FROM taskq.budget_totals t"
						" WHERE NOT EXISTS (SELECT FROM taskq.budget_periods p WHERE p.budget_id = t.budget_id AND p.period_no = t.period_no)"
						" AND NOT EXISTS (SELECT FROM taskq.budget_defs d WHERE d.budget_id = t.budget_id AND d.period_no = t.period_no)",
						0, NULL, NULL, NULL);
}

/*
 * Remove reports of jobs that are gone, also from the history: nobody can repeat them, as no
 * job gets the same id.  Each call looks at some jobs with ids above *after.  Returns true if
 * there may be more.  Without reports, the history is not opened.
 */
static bool
ForgetFrom(int64 *after)
{
	Oid		   types[] = { INT8OID, INT8OID };
	Datum	   values[] = { Int64GetDatum(*after), Int64GetDatum(FORGET_SIZE) };
	OwnerScope scope;
	bool	   none;

	OwnerEnterSpi(&scope);
	(void) OwnerExecute("SELECT max(job_id) FROM (SELECT job_id FROM taskq.budget_reports WHERE job_id > $1 ORDER BY job_id LIMIT $2) r",
						lengthof(types), types, values, NULL);
	values[1] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &none);
	*after = none ? 0 : DatumGetInt64(values[1]);
	if (none)
		ForgetPeriods();
	else
		(void) OwnerExecute("DELETE FROM taskq.budget_reports r WHERE r.job_id > $1 AND r.job_id <= $2 AND r.gate = 'f'"
							" AND NOT EXISTS (SELECT FROM taskq.jobs j WHERE j.job_id = r.job_id)"
							" AND NOT EXISTS (SELECT FROM taskq.job_history h WHERE h.job_id = r.job_id)",
							lengthof(types), types, values, NULL);
	OwnerLeaveSpi(&scope);
	return !none;
}

static int64 forget_after = 0;

/* Once a day, as each look reads all reports. */
TimestampTz
ForgetReportsDue(const WorkPast *past)
{
	return WorkAfter(past->ran_at, USECS_PER_DAY);
}

void
ForgetReports(WorkResult *result)
{
	result->more = ForgetFrom(&forget_after);
}

bool
ForgetMoreReports(void)
{
	return ForgetFrom(&forget_after);
}
