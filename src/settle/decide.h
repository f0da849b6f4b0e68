/*
 * decide.h
 *	  Decisions: results that name the next steps.
 */
#ifndef TASKQ_DECIDE_H
#define TASKQ_DECIDE_H

#include "taskq.h"

#include "utils/jsonb.h"

#include "job/job.h"

extern struct varlena *Decide(Jsonb *built, const TaskqJob *job);

#endif /* TASKQ_DECIDE_H */
