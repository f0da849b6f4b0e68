/*
 * transition.h
 *	  The state machine: every change of a job's state goes through here.
 */
#ifndef TASKQ_TRANSITION_H
#define TASKQ_TRANSITION_H

#include "taskq.h"

#include "job/job.h"
#include "store/store.h"

extern void JobTransition(Store *jobs, TaskqJob *job, char to, struct varlena *result);
extern void RefuseTransition(const TaskqJob *job, const char *what, const char *hint);

#endif /* TASKQ_TRANSITION_H */
