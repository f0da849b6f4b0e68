/*
 * job.h
 *	  A job in memory, and its three forms: live row, history row, and value of type
 *	  taskq.job.
 */
#ifndef TASKQ_JOB_H
#define TASKQ_JOB_H

#include "taskq.h"

#include "funcapi.h"
#include "utils/timestamp.h"

#include "store/store.h"

typedef struct AttemptFailure AttemptFailure;

/*
 * Pointers point into the row from which the job was read.  NULL stands for an SQL
 * NULL, and so does 0 in started_at, lease_expires_at, permit and last_outcome.
 */
typedef struct TaskqJob
{
	int64				  job_id;
	int64				  epoch;
	int64				  group_id;
	TimestampTz			  run_at;
	TimestampTz			  created_at;
	TimestampTz			  started_at;
	TimestampTz			  lease_expires_at;
	int32				  route_id;
	int32				  attempt;
	int32				  max_attempts;
	int32				  permit;
	Oid					  created_by; /* role that enqueued the job, or InvalidOid if unknown */
	int16				  priority;
	int16				  life;
	int16				  terminations;
	bool				  is_stored; /* the row says "running" while it runs here */
	int16				  crashes;	 /* number of server crashes certainly caused by this job */
	char				  state;
	char				  last_outcome;
	Interval			 *timeout;
	Interval			 *lease;
	struct varlena		 *worker_id;
	struct varlena		 *payload;
	struct varlena		 *progress;
	struct varlena		 *tags;
	struct varlena		 *tenant_id;
	struct varlena		 *group_key;
	struct varlena		 *last_error;
	struct varlena		 *checkpoint;
	struct varlena		 *correlation_id;
	const AttemptFailure *failure;	 /* failure of the run, while that is being settled */
	bool				  runs_here; /* this process runs a registered handler of version handler_version */
	const char			 *handler_version;
} TaskqJob;

/* The sort key of a job among the waiting jobs of its route. */
typedef struct JobKey
{
	int16		priority;
	TimestampTz run_at;
	int64		job_id;
} JobKey;

#define JOB_KEY_BEGIN ((JobKey){ PG_INT16_MIN, DT_NOBEGIN, PG_INT64_MIN })
#define JOB_KEY_END ((JobKey){ PG_INT16_MAX, DT_NOEND, PG_INT64_MAX })

/* The additional values of a finished job. */
typedef struct TaskqEnding
{
	TimestampTz		finished_at;
	int32			expires_on; /* DateADT; DATEVAL_NOBEGIN in the overflow partition */
	bool			superseded;
	struct varlena *handler_version;
	struct varlena *result;
} TaskqEnding;

extern int64		   JobIdOfRow(TupleTableSlot *slot);
extern int32		   JobRouteOfRow(TupleTableSlot *slot);
extern void			   JobRead(TaskqJob *job, TupleTableSlot *slot);
extern void			   JobReadKey(JobKey *key, TupleTableSlot *slot);
extern bool			   JobIsOpen(TupleTableSlot *slot);
extern StoreLockResult JobLock(Store *jobs, ItemPointer tid, bool follow, TaskqJob *job);
extern void			   JobWrite(const TaskqJob *job, TupleTableSlot *slot);
extern void			   JobReadEnded(TaskqJob *job, TaskqEnding *ending, TupleTableSlot *slot);
extern void			   JobWriteEnded(const TaskqJob *job, const TaskqEnding *ending, TupleTableSlot *slot);
extern HeapTuple	   JobTuple(const TaskqJob *job, TupleDesc desc);
extern Datum		   JobDatum(const TaskqJob *job);
extern void			   JobKeep(TaskqJob *job);
extern StoreLockResult JobOpenAndLock(Store *jobs, int64 job_id, TaskqJob *job);
extern StoreLockResult JobOpenAndLockWaiting(Store *jobs, int64 job_id, TaskqJob *job);
extern bool			   JobEnded(char state);
extern const char	  *JobStateName(const TaskqJob *job);
extern const char	  *StateName(char state, TimestampTz run_at);

#endif /* TASKQ_JOB_H */
