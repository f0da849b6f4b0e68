/*
 * budget_states.h
 *	  Tell status() of budgets that are used up.
 */
#ifndef TASKQ_BUDGET_STATES_H
#define TASKQ_BUDGET_STATES_H

#include "taskq.h"

#include "access/tupdesc.h"
#include "utils/tuplestore.h"

extern void BudgetsTell(Tuplestorestate *rows, TupleDesc desc);

#endif /* TASKQ_BUDGET_STATES_H */
