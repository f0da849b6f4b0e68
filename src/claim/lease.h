/*
 * lease.h
 *	  Leases: how long a claim holds without a heartbeat.
 */
#ifndef TASKQ_LEASE_H
#define TASKQ_LEASE_H

#include "taskq.h"

#include "executor/tuptable.h"

#include "job/job.h"
#include "shared/worker_name.h"

/* Claims whose leases were over when the list was made. */
typedef struct LeaseSweep
{
	int			n;
	int			done; /* number of them already ended */
	int64	   *job_ids;
	int64	   *epochs;
	TimestampTz next; /* when to look again after these */
} LeaseSweep;

extern int64	   LeaseLength(const TaskqJob *job, int64 given, int64 worker_lease);
extern void		   LeaseFindOverdue(LeaseSweep *sweep, int most);
extern TimestampTz LeaseEnd(const TaskqJob *job, TupleTableSlot *row);
extern bool		   LeaseIsOverTime(const TaskqJob *job, TimestampTz moment);
extern bool		   LeaseEndSome(LeaseSweep *sweep);
extern int		   LeaseReleaseAll(const WorkerName *worker, Oid owner);

#endif /* TASKQ_LEASE_H */
