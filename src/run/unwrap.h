/*
 * unwrap.h
 *	  Evaluate the value that a handler has returned.
 */
#ifndef TASKQ_UNWRAP_H
#define TASKQ_UNWRAP_H

#include "taskq.h"

#include "run/call.h"

extern void ResultUnwrap(Run *run);

#endif /* TASKQ_UNWRAP_H */
