/*
 * named_function.h
 *	  Functions that a caller names by text.
 */
#ifndef TASKQ_NAMED_FUNCTION_H
#define TASKQ_NAMED_FUNCTION_H

#include "taskq.h"

extern Oid NamedFunction(const char *name, const char *argument);

#endif /* TASKQ_NAMED_FUNCTION_H */
