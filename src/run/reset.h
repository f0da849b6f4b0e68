/*
 * reset.h
 *	  Reset a worker's session after a run.
 */
#ifndef TASKQ_RESET_H
#define TASKQ_RESET_H

#include "taskq.h"

extern void ResetTimers(void);
extern void ResetBeforeRun(void);
extern void ResetAfterSteps(void);
extern void ResetSession(void);
extern void ResetInit(void);
extern bool ResetBetweenRuns(void);
extern void ResetNoteConstraints(void);

#endif /* TASKQ_RESET_H */
