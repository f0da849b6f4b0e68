/*
 * running.h
 *	  The running rows of a worker, or those of all whose leases are over.
 */
#ifndef TASKQ_RUNNING_H
#define TASKQ_RUNNING_H

#include "taskq.h"

#include "utils/timestamp.h"

/* The running jobs of a worker, or those of them that end a lease. */
typedef struct RunningList
{
	int			n;
	int64		after; /* with a worker, only jobs of higher ids are read */
	bool		more;  /* there may be more of them */
	int64	   *job_ids;
	int64	   *epochs;
	TimestampTz next_end; /* of those that were not overdue */
} RunningList;

extern void RunningOf(RunningList *list, const char *worker_id, int most);
extern bool IsStillHeld(int64 job_id, int64 epoch);

#endif /* TASKQ_RUNNING_H */
