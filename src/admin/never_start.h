/*
 * never_start.h
 *	  Report to status() which waiting jobs can never start under their limits and budgets.
 */
#ifndef TASKQ_NEVER_START_H
#define TASKQ_NEVER_START_H

#include "taskq.h"

#include "access/tupdesc.h"
#include "utils/array.h"
#include "utils/tuplestore.h"

extern void NeverStartTell(Tuplestorestate *rows, TupleDesc desc, ArrayType *tenants);

#endif /* TASKQ_NEVER_START_H */
