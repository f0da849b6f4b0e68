/*
 * guard.h
 *	  Steps whose failure must not keep others from being done.
 */
#ifndef TASKQ_GUARD_H
#define TASKQ_GUARD_H

#include "taskq.h"

typedef void (*GuardedFunction)(void *arg);

extern bool Guard(const char *what, GuardedFunction function, void *arg);

#endif /* TASKQ_GUARD_H */
