/*
 * transition.h
 *	  The state machine: every change of a job's state goes through here.
 */
#ifndef TASKQ_TRANSITION_H
#define TASKQ_TRANSITION_H

#include "taskq.h"

#include "job/job.h"
#include "store/store.h"

extern void				   JobTransition(Store *jobs, TaskqJob *job, char to, struct varlena *result);
TASKQ_NORETURN extern void RefuseTransition(const TaskqJob *job, const char *what, const char *hint);
TASKQ_NORETURN extern void RefuseHeld(const TaskqJob *job, const char *what);

#endif /* TASKQ_TRANSITION_H */
