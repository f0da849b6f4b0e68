/*
 * keep_budgets.h
 *	  Arming budgets, ending their periods, cancelling runs beyond them, and adding up reports.
 */
#ifndef TASKQ_KEEP_BUDGETS_H
#define TASKQ_KEEP_BUDGETS_H

#include "taskq.h"

#include "process/work.h"

extern TimestampTz BudgetsDue(const WorkPast *past);
extern void		   KeepBudgets(WorkResult *result);
extern TimestampTz FoldDue(const WorkPast *past);
extern void		   FoldSome(WorkResult *result);
extern TimestampTz ForgetReportsDue(const WorkPast *past);
extern void		   ForgetReports(WorkResult *result);
extern bool		   ForgetMoreReports(void);

#endif /* TASKQ_KEEP_BUDGETS_H */
