/*
 * pause.h
 *	  Paused task types.
 */
#ifndef TASKQ_PAUSE_H
#define TASKQ_PAUSE_H

#include "taskq.h"

#include "utils/timestamp.h"

extern bool		   PauseSet(const char *task_type, bool paused);
extern char		  *PauseFunctionMark(Oid function);
extern bool		   PauseForSetup(const char *task_type, const char *because);
extern bool		   TrialTake(const char *task_type);
extern bool		   TrialIsTaken(const char *task_type);
extern void		   TrialFailed(const char *task_type);
extern void		   TrialPassed(const char *task_type);
extern TimestampTz TrialLook(void);

#endif /* TASKQ_PAUSE_H */
