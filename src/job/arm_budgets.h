/*
 * arm_budgets.h
 *	  Adding up what was used of budgets.
 */
#ifndef TASKQ_ARM_BUDGETS_H
#define TASKQ_ARM_BUDGETS_H

#include "taskq.h"

#include "config/budget.h"
#include "shared/budgets.h"

extern bool		   BudgetNeedOf(int32 route_id, BudgetNeed *need);
extern BudgetBound BudgetBoundOf(const TaskqBudget *budget);
extern bool		   ArmBudgets(const TaskqBudget **budgets, int n);
extern void		   AddUpBudgetsAnew(void);
extern int		   FreeStaleHolds(void);
extern bool		   FoldReports(void);

#endif /* TASKQ_ARM_BUDGETS_H */
