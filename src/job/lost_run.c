/*
 * lost_run.c
 *	  A run in the server that ended without being settled.
 *
 * A run in the server is not stored while it lasts.  When its worker was terminated,
 * when it crashed the server, or when its commit failed, the job's row is as it was
 * before the claim.  To settle the run, the row is locked and the run is restored in
 * memory.
 */
#include "taskq.h"

#include "base/text.h"
#include "job/fence.h"
#include "job/lost_run.h"

/* Return whether the run with this epoch is the last one of the job.  Epochs of another timeline say nothing. */
static bool
IsLastRun(const TaskqJob *job, int64 epoch)
{
	if (!EpochIsOurs(epoch))
		return false;
	if (job->state == JOB_RUNNING)
		return job->epoch == epoch;
	return (job->state == JOB_AVAILABLE || job->state == JOB_RETRYABLE) && job->epoch < epoch;
}

/*
 * Make the run the current run of the job, whose row the caller has locked.  Returns
 * false if the job has been claimed again since or is in another state; nothing is to
 * be recorded then.  The run of a procedure is stored, and stays as it is.
 */
bool
LostRunRestore(TaskqJob *job, int64 epoch, TimestampTz started_at, const char *worker_id)
{
	Assert(epoch != 0 && started_at != 0 && worker_id[0] != '\0');
	if (!IsLastRun(job, epoch))
		return false;
	if (job->state == JOB_RUNNING)
		return true;
	job->state = JOB_RUNNING;
	job->epoch = epoch;
	job->attempt++;
	job->started_at = started_at;
	job->worker_id = TextOrNull(worker_id);
	job->instance_id = NULL;
	return true;
}
