/*
 * running.h
 *	  Reading the running jobs: those of one instance of a worker, or all whose leases are over.
 */
#ifndef TASKQ_RUNNING_H
#define TASKQ_RUNNING_H

#include "taskq.h"

#include "utils/timestamp.h"

#include "shared/worker_name.h"

/* A list of running jobs. */
typedef struct RunningList
{
	int			n;
	int64		after; /* of one instance, only jobs with higher ids are read */
	bool		more;  /* there may be more jobs */
	int64	   *job_ids;
	int64	   *epochs;
	TimestampTz next_end; /* earliest end of the leases that are not over */
} RunningList;

extern void RunningOf(RunningList *list, const WorkerName *worker, Oid owner, int most);
extern bool IsStillHeld(int64 job_id, int64 epoch);

#endif /* TASKQ_RUNNING_H */
