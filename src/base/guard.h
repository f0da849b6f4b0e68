/*
 * guard.h
 *	  Run a step in a subtransaction, so that its failure does not stop the steps after it.
 */
#ifndef TASKQ_GUARD_H
#define TASKQ_GUARD_H

#include "taskq.h"

typedef void (*GuardedFunction)(void *arg);

extern void GuardReport(const char *what, const ErrorData *error);
extern bool Guard(const char *what, GuardedFunction function, void *arg);

#endif /* TASKQ_GUARD_H */
