/*
 * decide.h
 *	  Decisions: results that name the next steps.
 */
#ifndef TASKQ_DECIDE_H
#define TASKQ_DECIDE_H

#include "taskq.h"

#include "job/job.h"

extern bool			   IsDecision(struct varlena *result);
extern struct varlena *Decide(struct varlena *result, const TaskqJob *job);

#endif /* TASKQ_DECIDE_H */
