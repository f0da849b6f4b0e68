/*
 * rows.h
 *	  Checks of the rows that functions return, before a row is formed.
 */
#ifndef TASKQ_ROWS_H
#define TASKQ_ROWS_H

#include "taskq.h"

#include "access/tupdesc.h"
#include "fmgr.h"

extern void CheckColumns(TupleDesc desc, int n, const Oid *types);
extern void CheckSameColumns(TupleDesc desc, TupleDesc other);
extern void BeginRows(FunctionCallInfo fcinfo, int n, const Oid *types);

#endif /* TASKQ_ROWS_H */
