/*
 * job.c
 *	  The state of a job, and its row found and locked.
 */
#include "taskq.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/signature.h"
#include "job/job.h"
#include "ready/ready.h"
#include "shared/wake.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_job_state);

/* Is the row of a job in this state in the history? */
bool
JobEnded(char state)
{
	return state == JOB_COMPLETED || state == JOB_DISCARDED ||
		   state == JOB_CANCELLED || state == JOB_QUARANTINED;
}

/* Return the name of a state.  A job that waits is named by whether it is due, too. */
const char *
StateName(char state, TimestampTz run_at)
{
	switch (state)
	{
		case JOB_NEW:
			return "new";
		case JOB_AVAILABLE:
			return run_at > ClockNow() ? "scheduled" : "available";
		case JOB_RETRYABLE:
			return run_at > ClockNow() ? "retryable" : "available";
		case JOB_RUNNING:
			return "running";
		case JOB_COMPLETED:
			return "completed";
		case JOB_DISCARDED:
			return "discarded";
		case JOB_CANCELLED:
			return "cancelled";
		case JOB_QUARANTINED:
			return "quarantined";
	}
	return "unknown";
}

const char *
JobStateName(const TaskqJob *job)
{
	return StateName(job->state, job->run_at);
}

/* SQL-callable: the name of the state of a stored job. */
Datum
taskq_job_state(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(StateName(PG_GETARG_CHAR(0), PG_GETARG_TIMESTAMPTZ(1))));
}

/*
 * Lock a row and read the job.  While a waiting job is locked, claims pass over it,
 * so it is put back on the ready list at the end of the transaction.
 */
StoreLockResult
JobLock(Store *jobs, ItemPointer tid, bool follow, TaskqJob *job)
{
	StoreLockResult result = StoreLock(jobs, tid, SnapshotSelf, false, follow);

	if (result != STORE_LOCKED)
		return result;
	JobRead(job, jobs->found);
	if (JobIsOpen(jobs->found))
	{
		ReadyHint hint = { { job->run_at, job->job_id }, jobs->found->tts_tid };

		ReadyHeld(job->route_id, job->priority, job->lane, &hint, 1);
	}
	return STORE_LOCKED;
}

static StoreLockResult
OpenAndLock(Store *jobs, int64 job_id, TaskqJob *job, bool running)
{
	Snapshot		snapshot = StoreSnapshot();
	StoreLockResult result = STORE_GONE;

	AssertOwner();
	StoreOpenRel(jobs, REL_JOBS);
	if (StoreFindById(jobs, CatalogRel(REL_JOBS_PKEY), job_id, snapshot))
	{
		ItemPointerData tid = jobs->found->tts_tid;

		JobRead(job, jobs->found);
		if (job->state == JOB_RUNNING && !running)
			result = STORE_BUSY;
		else
			result = JobLock(jobs, &tid, true, job);
		if (result == STORE_LOCKED && JobIsOpen(jobs->found))
			WakeLocked(job->route_id);
	}
	UnregisterSnapshot(snapshot);
	return result;
}

/*
 * Open the table of live jobs and lock one row, without waiting if another
 * transaction has locked it.  Returns STORE_GONE if the row does not exist.  The
 * table is open afterwards in any case. The current user is the owner.
 */
StoreLockResult
JobOpenAndLock(Store *jobs, int64 job_id, TaskqJob *job)
{
	return OpenAndLock(jobs, job_id, job, true);
}

/*
 * Like JobOpenAndLock(), but only for a waiting job.  For a running job this
 * returns STORE_BUSY, as for a locked row.  If it locked that row until the end of
 * the caller's transaction, the job's heartbeats and its settle would have to wait
 * for it.
 */
StoreLockResult
JobOpenAndLockWaiting(Store *jobs, int64 job_id, TaskqJob *job)
{
	return OpenAndLock(jobs, job_id, job, false);
}
