/*
 * budget_states.c
 *	  The state of each budget, for the view budgets and for status(): budget_states().
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/tuplestore.h"

#include "admin/budget_states.h"
#include "base/compat.h"
#include "base/rows.h"
#include "base/signature.h"
#include "config/budget.h"
#include "config/reason.h"
#include "job/arm_budgets.h"
#include "job/tenants.h"
#include "shared/budgets.h"
#include "store/catalog.h"

PG_FUNCTION_INFO_V1(taskq_budget_states);

#define MOST_TOLD 10 /* budgets that status() names */

static const Oid state_columns[] = { INT4OID, TEXTOID, NUMERICOID, NUMERICOID };

static BudgetState
StateOf(const TaskqBudget *budget)
{
	BudgetBound bound = BudgetBoundOf(budget);

	return BudgetsStateOf(CatalogRel(REL_BUDGETS), &bound);
}

/* Is the hard limit reached by what was reported? */
static bool
IsSpent(const TaskqBudget *budget, const BudgetState *state)
{
	return state->armed && budget->has_hard && (state->refused || state->taken >= budget->hard);
}

static const char *
StateName(const TaskqBudget *budget, const BudgetState *state)
{
	if (!BudgetsPresent())
		return "needs_preload";
	if (!state->armed)
		return state->answer == BUDGET_NO_MEMORY ? "limit_memory" : "arming";
	if (IsSpent(budget, state))
		return "hard_limit";
	return budget->has_soft && state->taken >= budget->soft ? "soft_limit" : "active";
}

Datum
taskq_budget_states(PG_FUNCTION_ARGS)
{
	ReturnSetInfo	   *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int					n;
	const TaskqBudget **budgets;

	CheckCall(fcinfo);
	BeginRows(fcinfo, lengthof(state_columns), state_columns);
	if (TenantsSeen(false) != NULL)
		return (Datum) 0; /* the sums are of the jobs of all tenants */
	AcceptInvalidationMessages();
	budgets = BudgetsAll(&n);
	for (int i = 0; i < n; i++)
	{
		BudgetState state = StateOf(budgets[i]);
		Datum		values[lengthof(state_columns)] = { 0 };
		bool		nulls[lengthof(state_columns)] = { false };

		values[0] = Int32GetDatum(budgets[i]->budget_id);
		values[1] = CStringGetTextDatum(StateName(budgets[i], &state));
		nulls[2] = nulls[3] = !state.armed;
		if (state.armed)
		{
			values[2] = CostDatum(state.taken);
			values[3] = CostDatum(state.held);
		}
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Add rows of (name, value, hint, reason_code) about budgets that are used up. */
void
BudgetsTell(Tuplestorestate *rows, TupleDesc desc)
{
	int					n;
	const TaskqBudget **budgets = BudgetsAll(&n);
	int					told = 0;

	for (int i = 0; i < n && told < MOST_TOLD; i++)
	{
		BudgetState state = StateOf(budgets[i]);
		Datum		values[4];
		bool		nulls[4] = { false };

		if (!IsSpent(budgets[i], &state))
			continue;
		values[0] = CStringGetTextDatum("used-up budget");
		values[1] = CStringGetTextDatum(psprintf("%s: %s of %s%s", budgets[i]->name, CostText(state.taken), CostText(budgets[i]->hard),
												 state.refused ? ", and a report was refused" : ""));
		values[2] = CStringGetTextDatum("Its jobs start when the limit is raised by taskq.alter_budget() or taskq.add_to_budget(), or in the next period. See taskq.budgets.");
		values[3] = CStringGetTextDatum(ReasonName(REASON_BUDGET));
		tuplestore_putvalues(rows, desc, values, nulls);
		told++;
	}
}
