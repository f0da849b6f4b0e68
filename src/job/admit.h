/*
 * admit.h
 *	  What may keep a chosen job from starting, and what its end gives back.
 */
#ifndef TASKQ_ADMIT_H
#define TASKQ_ADMIT_H

#include "taskq.h"

#include "job/job.h"

typedef enum Admission
{
	ADMITTED,
	ADMIT_LATER,	/* leave the job alone for now */
	ADMIT_CANCELLED /* it was asked to be cancelled before it started */
} Admission;

extern Admission Admit(const TaskqJob *job);
extern void		 Leave(TaskqJob *job);
extern int		 PermitsTake(const char *worker_id, int max_concurrent_jobs, int most, int *permits);
extern void		 PermitsReturn(const char *worker_id, const int *permits, int n);

#endif /* TASKQ_ADMIT_H */
