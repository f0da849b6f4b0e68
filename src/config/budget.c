/*
 * budget.c
 *	  Budgets: bounds on what jobs use of cost units.
 *
 * Each claim asks for the budgets of a route.  Most routes have none, so the answers are
 * kept until the budgets change.
 */
#include "taskq.h"

#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/names.h"
#include "config/budget.h"
#include "config/cache.h"
#include "config/route.h"
#include "config/stale.h"
#include "store/row.h"

static void *
ReadBudget(TupleTableSlot *slot)
{
	TaskqBudget *budget = palloc0(sizeof(TaskqBudget));
	BudgetRow	 row;

	RowReadBudget(&row, slot);
	budget->budget_id = row.budget_id;
	strlcpy(budget->name, row.budget, sizeof(budget->name));
	budget->has_soft = row.soft != NULL;
	if (budget->has_soft)
		budget->soft = CostOfDatum(PointerGetDatum(row.soft));
	budget->has_hard = row.hard != NULL;
	budget->added = CostOfDatum(PointerGetDatum(row.added));
	if (budget->has_hard)
		budget->hard = CostOfDatum(PointerGetDatum(row.hard)) + budget->added;
	budget->period_no = row.period_no;
	budget->period_from = row.period_from;
	if (row.period != NULL)
		budget->period = *row.period;
	budget->resets_at = row.resets_at;
	budget->cancels_running = strcmp(row.on_exceeded, "cancel_running") == 0;
	return budget;
}

static void
BudgetNameOf(const void *value, void *key)
{
	strlcpy(key, ((const TaskqBudget *) value)->name, TASKQ_NAME_MAX + 1);
}

static ConfigCache budgets = {
	.rel = REL_BUDGETS,
	.name = "taskq budgets",
	.by_number = true,
	.read = ReadBudget,
	.second_size = TASKQ_NAME_MAX + 1,
	.second_key = BudgetNameOf,
};

/* Return the budget of this id, or NULL. */
const TaskqBudget *
BudgetById(int32 budget_id)
{
	return ConfigFind(&budgets, &budget_id);
}

const TaskqBudget *
BudgetByName(const char *name, bool missing_ok)
{
	char			   key[TASKQ_NAME_MAX + 1] = { 0 };
	const TaskqBudget *budget;

	strlcpy(key, name, sizeof(key));
	budget = ConfigFindSecond(&budgets, key);
	if (budget == NULL && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("budget \"%s\" does not exist", name),
				 errhint("Make it with taskq.set_budget(), or see taskq.budgets.")));
	return budget;
}

/* Return all budgets, in an array that belongs to the caller. */
const TaskqBudget **
BudgetsAll(int *n)
{
	return (const TaskqBudget **) ConfigAll(&budgets, n);
}

/*
 * Refuse names of budgets that do not exist: jobs that name a budget by a wrong name
 * would use cost units without a bound.
 */
void
BudgetsCheck(ArrayType *names)
{
	int	   n;
	char **strings = NamesToStrings(names, &n, "budgets");

	for (int i = 0; i < n; i++)
		(void) BudgetByName(strings[i], false);
}

/* Return a number that changes when a budget does. */
uint64
BudgetsVersion(void)
{
	return ConfigTableVersion(REL_BUDGETS);
}

/*
 * Return the first end of a period after "now".  Periods are counted from a moment, and
 * are whole months or a fixed time, by the calendar of UTC (set_budget.c checks that).
 */
TimestampTz
BudgetNextReset(const Interval *period, TimestampTz from, TimestampTz now)
{
	int64 n = 0;

	if (from > now)
		return from;
	if (period->month == 0)
		return from + ((now - from) / IntervalMicroseconds(period) + 1) * IntervalMicroseconds(period);

	/* no month has more than 31 days, so this is not too many */
	n = (now - from) / (31 * USECS_PER_DAY * period->month);
	for (;;)
	{
		Interval	months = { .month = (int32) (period->month * ++n) };
		TimestampTz end = DatumGetTimestamp(DirectFunctionCall2(timestamp_pl_interval, TimestampGetDatum(from), IntervalPGetDatum(&months)));

		if (end > now)
			return end;
	}
}

/* the budgets of a route ------------------------------------------------------ */

typedef struct RouteEntry
{
	int32		 route_id;
	RouteBudgets budgets;
} RouteEntry;

static uint64 known_version = 0; /* BudgetsVersion() of what follows, plus 1; 0 if nothing is known */
static bool	  any = false;		 /* there are budgets */
static HTAB	 *routes = NULL;	 /* the budgets of routes that were asked for */

/* Forget the answers, and find out whether there are budgets at all. */
static void
Reset(void)
{
	HASHCTL ctl = { .keysize = sizeof(int32), .entrysize = sizeof(RouteEntry), .hcxt = TopMemoryContext };
	uint64	version = BudgetsVersion();
	int		n;

	/* a change that is seen while the budgets are counted has them counted again */
	known_version = 0;
	n = ConfigCount(&budgets);
	if (routes != NULL)
		hash_destroy(routes);
	routes = NULL;
	if (n > 0)
		routes = hash_create("taskq budgets of routes", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	any = n > 0;
	known_version = version + 1;
}

static void
FindBudgets(int32 route_id, RouteBudgets *found)
{
	const TaskqRoute *route = RouteById(route_id);
	int				  n = 0;
	char			**names = NULL;

	memset(found, 0, sizeof(*found));
	if (route->budgets != NULL)
		names = NamesToStrings(route->budgets, &n, "budgets");
	found->estimate = route->estimated_cost;
	for (int i = 0; i < n && found->n < MAX_BUDGETS_OF_JOB; i++)
	{
		const TaskqBudget *budget = BudgetByName(names[i], true);

		if (budget != NULL)
			found->budgets[found->n++] = *budget;
	}
}

/* Return the budgets of a route, of which there may be none. */
const RouteBudgets *
BudgetsOfRoute(int32 route_id)
{
	static const RouteBudgets none = { 0 };
	RouteEntry				 *entry;
	RouteBudgets			  found;

	if (known_version != BudgetsVersion() + 1)
		Reset();
	if (!any)
		return &none;
	entry = hash_search(routes, &route_id, HASH_FIND, NULL);
	if (entry != NULL)
		return &entry->budgets;
	FindBudgets(route_id, &found);
	if (known_version != BudgetsVersion() + 1)
		return BudgetsOfRoute(route_id);
	entry = hash_search(routes, &route_id, HASH_ENTER, NULL);
	entry->budgets = found;
	return &entry->budgets;
}
