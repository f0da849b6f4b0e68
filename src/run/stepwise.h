/*
 * stepwise.h
 *	  Run a procedure, which commits by itself.
 */
#ifndef TASKQ_STEPWISE_H
#define TASKQ_STEPWISE_H

#include "taskq.h"

#include "run/call.h"

extern void StepwiseCall(Run *run);
extern bool StepwiseReclaim(Run *run);

#endif /* TASKQ_STEPWISE_H */
