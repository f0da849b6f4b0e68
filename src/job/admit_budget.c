/*
 * admit_budget.c
 *	  Rule: no job starts whose budgets are used up.
 *
 * The budgets that a job names, and what it is estimated to use, are part of its route.  So
 * one look at shared memory (shared/budgets.c) passes over all jobs of a route, however many
 * they are.  A claim holds its estimate from before it locks the job's row until the run
 * has ended, as with limits (admit_limit.c).
 *
 * The budgets may change while a claim is made.  A claim remembers by which version of them
 * a job was admitted, and take.c asks again if another version is known afterwards.  A
 * transaction that has changed budgets itself starts none of their jobs.
 */
#include "taskq.h"

#include "config/budget.h"
#include "config/changes.h"
#include "job/admit_rules.h"
#include "job/arm_budgets.h"
#include "shared/budgets.h"
#include "store/catalog.h"

/* Return how many jobs of the route may run, with those that run now: any number, or 0. */
static int
MayRunOf(int32 route_id)
{
	BudgetNeed need;
	int32	   which;

	if (!BudgetNeedOf(route_id, &need))
		return PG_INT32_MAX;
	if (!BudgetsPresent() || ConfigHasChangedHere(REL_BUDGETS) || BudgetsRoom(&need, &which, true) != BUDGET_ROOM)
		return 0;
	return PG_INT32_MAX;
}

static bool
AdmitJobsOf(int32 route_id, TupleTableSlot *row)
{
	return MayRunOf(route_id) > 0;
}

static bool
HoldForJob(Admitting *claim, int32 route_id, int64 job_id, TupleTableSlot *row)
{
	BudgetNeed need;
	int32	   which;

	claim->budgets_version = BudgetsVersion();
	claim->holds_budgets = false;
	if (!BudgetNeedOf(route_id, &need))
		return true;
	if (!BudgetsPresent() || ConfigHasChangedHere(REL_BUDGETS))
		return false;
	if (need.estimate == 0)
		return BudgetsRoom(&need, &which, true) == BUDGET_ROOM;
	claim->holds_budgets = BudgetsHold(&need, job_id, claim->epoch) == BUDGET_ROOM;
	return claim->holds_budgets;
}

static void
StampJob(const Admitting *claim, const Admission *before, int64 epoch)
{
	if (claim->holds_budgets)
		BudgetsStamp(before->job_id, before->epoch, epoch);
}

/* A run that holds its estimate of all budgets may start, unless one of them has no room for it now. */
static bool
StillHolds(const Admitting *claim, const TaskqJob *job)
{
	BudgetNeed need;

	if (BudgetsVersion() == claim->budgets_version || !BudgetNeedOf(job->route_id, &need))
		return true;
	return BudgetsPresent() && BudgetsStillHold(&need, job->job_id, claim->epoch);
}

/* A prepared transaction may still be rolled back.  The scheduler looks when it has ended. */
static void
LeaveJob(const Admission *admission, LeaveHow how)
{
	if (how == LEAVE_PREPARED)
		BudgetsReleasePrepared(admission->job_id, admission->epoch);
	else
		(void) BudgetsRelease(admission->job_id, admission->epoch);
}

static const TaskqBudget *
BudgetOf(int32 route_id, int32 budget_id)
{
	const RouteBudgets *budgets = BudgetsOfRoute(route_id);

	for (int i = 0; i < budgets->n; i++)
		if (budgets->budgets[i].budget_id == budget_id)
			return &budgets->budgets[i];
	return NULL;
}

/* Say when the use of a budget begins at 0 again, if it does. */
static const char *
PeriodEnd(const TaskqBudget *budget)
{
	return budget->resets_at == 0 ? "" : psprintf(", and its period ends at %s", timestamptz_to_str(budget->resets_at));
}

/* Say which budget is used up, and what is left of it. */
static void
ExplainSpent(const BudgetNeed *need, const TaskqBudget *budget, Refusal *refusal)
{
	BudgetBound bound = BudgetBoundOf(budget);
	BudgetState state = BudgetsStateOf(need->relid, &bound);
	CostUnits	left = bound.hard - state.taken - state.held;

	refusal->reason_code = REASON_BUDGET;
	if (state.refused)
		refusal->reason = psprintf("budget \"%s\" has refused a report%s", budget->name, PeriodEnd(budget));
	else if (state.taken >= bound.hard)
		refusal->reason = psprintf("budget \"%s\" is used up%s", budget->name, PeriodEnd(budget));
	else if (left > 0 && need->estimate > 0)
		refusal->reason = psprintf("budget \"%s\" has %s left, and the job is estimated to cost %s", budget->name, CostText(left), CostText(need->estimate));
	else
		refusal->reason = psprintf("the rest of budget \"%s\" is held by running jobs", budget->name);
	refusal->hint = "Raise its limit by taskq.alter_budget() or taskq.add_to_budget(), or wait for its next period, see taskq.budgets.";
}

static bool
Explain(const AdmissionQuestion *question, Refusal *refusal)
{
	BudgetNeed		   need;
	BudgetAnswer	   answer;
	const TaskqBudget *budget;
	int32			   which = 0;

	if (question->route == NULL || !BudgetNeedOf(question->route->route_id, &need))
		return false;
	if (!BudgetsPresent())
	{
		refusal->reason_code = REASON_NEEDS_PRELOAD;
		refusal->reason = "jobs of a budget start only with taskq in shared_preload_libraries";
		return true;
	}
	if (ConfigHasChangedHere(REL_BUDGETS))
	{
		refusal->reason_code = REASON_BUDGET_ARMING;
		refusal->reason = "this transaction has changed budgets";
		return true;
	}
	answer = BudgetsRoom(&need, &which, false);
	budget = which == 0 ? NULL : BudgetOf(question->route->route_id, which);
	if (answer == BUDGET_ROOM)
		return false;
	if (answer == BUDGET_SPENT && budget != NULL)
		ExplainSpent(&need, budget, refusal);
	else if (answer == BUDGET_NO_MEMORY)
	{
		refusal->reason_code = REASON_LIMIT_MEMORY;
		refusal->reason = budget != NULL ? psprintf("there is no room for budget \"%s\", see taskq.max_budgets and taskq.max_held_jobs", budget->name) : NULL;
	}
	else
	{
		refusal->reason_code = REASON_BUDGET_ARMING;
		if (budget != NULL)
			refusal->reason = psprintf("what was used of budget \"%s\" is not added up yet", budget->name);
	}
	return true;
}

const AdmissionRule admit_budget = {
	.name = "budget",
	.may_run = MayRunOf,
	.admit_route = AdmitJobsOf,
	.hold = HoldForJob,
	.stamp = StampJob,
	.still_holds = StillHolds,
	.leave = LeaveJob,
	.explain = Explain,
};
