/*
 * result.h
 *	  What a handler returns: a plain result, success() or failure().
 */
#ifndef TASKQ_RESULT_H
#define TASKQ_RESULT_H

#include "taskq.h"

extern bool ResultUnwrap(Datum *result, MemoryContext context);

#endif							/* TASKQ_RESULT_H */
