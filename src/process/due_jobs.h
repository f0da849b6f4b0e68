/*
 * due_jobs.h
 *	  Handling jobs that have become due: waking the processes that wait for them,
 *	  and starting workers.
 */
#ifndef TASKQ_DUE_JOBS_H
#define TASKQ_DUE_JOBS_H

#include "taskq.h"

#include "process/work.h"

extern TimestampTz DueJobsDue(const WorkPast *past);
extern void		   DueJobsLook(WorkResult *result);
extern void		   DueJobsAt(TimestampTz moment);
extern bool		   DueJobsAreThere(void);

#endif /* TASKQ_DUE_JOBS_H */
