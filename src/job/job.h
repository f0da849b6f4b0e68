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

#include "store/row.h"

typedef struct AttemptFailure AttemptFailure;

/*
 * Fields of a job, by the kinds of row.h and two more.  Pointers point into the row from
 * which the job was read.
 */
#define FIELD_GATE(name)				 /* follows from the state */
#define FIELD_GROUP_ID(name) int64 name; /* NULL in the row without a group_key */

/* A job in memory: a field for each column, and what is known only in this process. */

typedef struct TaskqJob
{
	JOBS_COLUMNS(COLUMN_FIELD, jobs)
	bool				  is_stored; /* the row says "running" while it runs here */
	bool				  runs_here; /* this process runs a registered handler of version handler_version */
	const char			 *handler_version;
	const AttemptFailure *failure; /* failure of the run, while that is being settled */
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

/*
 * The additional values of a finished job.  expires_on is DATEVAL_NOBEGIN in the
 * overflow partition.
 */
#define ENDING_FIELD(t, column, type, kind, owner) ENDING_FIELD_##owner(kind, column)
#define ENDING_FIELD_job(kind, column)
#define ENDING_FIELD_ending(kind, column) FIELD_##kind(column)

typedef struct TaskqEnding
{
	JOB_HISTORY_COLUMNS(ENDING_FIELD, job_history)
} TaskqEnding;

extern int64		   JobIdOfRow(TupleTableSlot *slot);
extern int32		   JobRouteOfRow(TupleTableSlot *slot);
extern void			   JobRead(TaskqJob *job, TupleTableSlot *slot);
extern void			   JobReadKey(JobKey *key, TupleTableSlot *slot);
extern TimestampTz	   JobCreatedAtOfRow(TupleTableSlot *slot);
extern int32		   JobWeight(const TaskqJob *job);
extern int32		   JobWeightOfRow(TupleTableSlot *slot);
extern char			   JobStateOfRow(TupleTableSlot *slot);
extern bool			   JobIsOpen(TupleTableSlot *slot);
extern StoreLockResult JobLock(Store *jobs, ItemPointer tid, bool follow, TaskqJob *job);
extern void			   JobWrite(const TaskqJob *job, TupleTableSlot *slot);
extern void			   JobWriteNext(const TaskqJob *job, TupleTableSlot *slot);
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
