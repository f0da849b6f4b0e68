/*
 * count_jobs.h
 *	  Counting the jobs of each route when their counts are not known, and now and then.
 */
#ifndef TASKQ_COUNT_JOBS_H
#define TASKQ_COUNT_JOBS_H

#include "taskq.h"

#include "process/work.h"

extern TimestampTz CountJobsDue(const WorkPast *past);
extern void		   CountJobs(WorkResult *result);
extern bool		   CountManyJobs(void);

#endif /* TASKQ_COUNT_JOBS_H */
