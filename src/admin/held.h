/*
 * held.h
 *	  Report to status() what holds jobs back.
 */
#ifndef TASKQ_HELD_H
#define TASKQ_HELD_H

#include "taskq.h"

#include "access/tupdesc.h"
#include "utils/array.h"
#include "utils/tuplestore.h"

extern bool HeldTell(Tuplestorestate *rows, TupleDesc desc, ArrayType *tenants);

#endif /* TASKQ_HELD_H */
