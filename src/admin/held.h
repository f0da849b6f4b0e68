/*
 * held.h
 *	  Report to status() what holds jobs back.
 */
#ifndef TASKQ_HELD_H
#define TASKQ_HELD_H

#include "taskq.h"

#include "utils/array.h"
#include "utils/tuplestore.h"

extern bool HeldTell(Tuplestorestate *rows, ArrayType *tenants);

#endif /* TASKQ_HELD_H */
