/*
 * outcome.h
 *	  Settle a run in this process.
 */
#ifndef TASKQ_OUTCOME_H
#define TASKQ_OUTCOME_H

#include "taskq.h"

#include "run/call.h"

extern void SettleRun(Run *run, bool cancelled);
extern void GiveBackRun(Run *run);
extern void RecordLostRun(Run *run, bool cancelled, MemoryContext context);

#endif /* TASKQ_OUTCOME_H */
