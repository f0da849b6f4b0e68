/*
 * budget.h
 *	  Budgets: bounds on what jobs use of cost units.
 */
#ifndef TASKQ_BUDGET_H
#define TASKQ_BUDGET_H

#include "taskq.h"

#include "utils/array.h"
#include "utils/timestamp.h"

#include "base/cost.h"
#include "shared/budgets.h"

typedef struct TaskqBudget
{
	int32		budget_id;
	char		name[TASKQ_NAME_MAX + 1];
	bool		has_soft;
	CostUnits	soft;
	bool		has_hard;
	CostUnits	hard; /* with what was added in this period: */
	CostUnits	added;
	int32		period_no; /* of the period in which reports count */
	TimestampTz period_from;
	Interval	period;
	TimestampTz resets_at; /* 0 if the budget is never reset */
	bool		cancels_running;
} TaskqBudget;

/* The budgets of a route's jobs.  Budgets that were dropped are left out. */
typedef struct RouteBudgets
{
	int			n;
	TaskqBudget budgets[MAX_BUDGETS_OF_JOB];
	CostUnits	estimate; /* what a run holds of each of them */
} RouteBudgets;

/* Budgets do not change until the transaction ends; see config/cache.h. */
extern const TaskqBudget  *BudgetById(int32 budget_id);
extern const TaskqBudget  *BudgetByName(const char *name, bool missing_ok);
extern const TaskqBudget **BudgetsAll(int *n);
extern void				   BudgetsCheck(ArrayType *names);
extern uint64			   BudgetsVersion(void);
extern TimestampTz		   BudgetNextReset(const Interval *period, TimestampTz from, TimestampTz now);

/* The result is valid until the next call, and as long as BudgetsVersion() stays the same. */
extern const RouteBudgets *BudgetsOfRoute(int32 route_id);

#endif /* TASKQ_BUDGET_H */
