/*
 * settle.c
 *	  Settle a claimed job, for each outcome and for claims of all kinds.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "base/args.h"
#include "base/clock.h"
#include "base/text.h"
#include "config/handler.h"
#include "config/retry.h"
#include "config/route.h"
#include "job/cancel_requests.h"
#include "settle/settle.h"

/* A job that has certainly crashed the server this often is quarantined. */
#define MAX_CRASHES 2

/* outcomes, for claims of every kind --------------------------------------- */

void
SettleCompleted(Store *jobs, TaskqJob *job, struct varlena *result)
{
	Assert(job->state == JOB_RUNNING && EpochIsOurs(job->epoch));
	job->last_outcome = OUTCOME_COMPLETED;
	JobEnd(jobs, job, JOB_COMPLETED, result);
}

/* Cancel a job that would otherwise wait, if somebody has requested that.  Returns whether it is cancelled. */
bool
SettleIfCancelled(Store *jobs, TaskqJob *job)
{
	char *reason = NULL;

	AssertOwner();
	if (!CancelRequested(job->job_id, &reason))
		return false;
	if (reason != NULL)
		job->last_error = ErrorText(reason);
	JobEnd(jobs, job, JOB_CANCELLED, NULL);
	return true;
}

/*
 * Settle a failed attempt: record it, and retry the job or discard it.  retry_in is
 * the delay of the retry in microseconds, or NO_MICROSECONDS for the delay of the
 * retry policy.
 */
void
SettleFailed(Store *jobs, TaskqJob *job, char outcome, const AttemptFailure *failure,
			 bool retryable, int64 retry_in)
{
	TimestampTz now = ClockNow();
	int64		delay;

	/* only the lease of a claim from another timeline may end here */
	Assert(job->state == JOB_RUNNING && job->attempt > 0);
	Assert(EpochIsOurs(job->epoch) || outcome == OUTCOME_EXPIRED);
	Assert(outcome == OUTCOME_FAILED || outcome == OUTCOME_EXPIRED || outcome == OUTCOME_TERMINATED);
	AttemptRecordFailure(job, failure, now);
	job->failure = failure;
	job->last_outcome = outcome;
	job->last_error = ErrorText(failure->message);
	if (SettleIfCancelled(jobs, job))
		return;
	delay = RetryDelay(HandlerRetryPolicy(RouteById(job->route_id)->task_type), job->attempt, RetryJitter());
	if (!retryable || delay < 0 || !AttemptsLeft(job, failure))
	{
		JobEnd(jobs, job, JOB_DISCARDED, NULL);
		return;
	}
	if (retry_in != NO_MICROSECONDS)
		delay = retry_in;
	job->run_at = now + delay;
	JobChange(jobs, job, delay > 0 ? JOB_RETRYABLE : JOB_AVAILABLE);
}

/*
 * Settle a run that crashed the server.  The job runs again, or is quarantined if it
 * has no attempts left or has crashed the server MAX_CRASHES times.
 */
void
SettleCrashed(Store *jobs, TaskqJob *job, const AttemptFailure *failure)
{
	Assert(job->state == JOB_RUNNING && EpochIsOurs(job->epoch));
	AttemptRecordFailure(job, failure, ClockNow());
	job->failure = failure;
	job->last_outcome = OUTCOME_CRASHED;
	job->last_error = ErrorText(failure->message);
	job->crashes++;
	if (SettleIfCancelled(jobs, job))
		return;
	if (job->crashes >= MAX_CRASHES || job->attempt >= job->max_attempts)
		JobEnd(jobs, job, JOB_QUARANTINED, NULL);
	else
		JobChange(jobs, job, JOB_AVAILABLE);
}

/*
 * Give a claimed job back, because it was released, snoozed or interrupted, or because
 * its worker has gone.  The attempt does not count, and the job waits until run_at.
 */
void
SettleGivenBack(Store *jobs, TaskqJob *job, char outcome, TimestampTz run_at)
{
	Assert(job->state == JOB_RUNNING && job->epoch != 0 && job->attempt > 0);
	Assert(outcome == OUTCOME_RELEASED || outcome == OUTCOME_SNOOZED);
	Assert(EpochIsOurs(job->epoch) || outcome == OUTCOME_RELEASED);
	job->attempt--;
	job->last_outcome = outcome;
	job->run_at = run_at;
	if (!SettleIfCancelled(jobs, job))
		JobChange(jobs, job, JOB_AVAILABLE);
}

/* by the holder of a claim ------------------------------------------------- */

static bool
Begin(SettleScope *scope, int64 job_id, int64 epoch, char outcome, Oid caller)
{
	OwnerEnter(&scope->owner);
	StoreOpenRel(&scope->jobs, REL_JOBS);
	return LockClaim(&scope->jobs, &scope->job, job_id, epoch, outcome, caller, GRIP_LOCK);
}

/*
 * Act as the extension's owner, open the table of jobs and lock the claim's row.
 * Returns false if the claim was settled with this outcome already.  The caller must
 * call EndSettle() in both cases.
 */
bool
BeginSettle(SettleScope *scope, int64 job_id, int64 epoch, char outcome)
{
	return Begin(scope, job_id, epoch, outcome, GetUserId());
}

void
EndSettle(SettleScope *scope)
{
	StoreClose(&scope->jobs, true);
	OwnerLeave(&scope->owner);
}

/*
 * Settle a job that the holder of its claim cancels, or, with "may_cancel", somebody who
 * may cancel the job.  Returns false if the claim was cancelled already.
 */
bool
SettleCancelled(int64 job_id, int64 epoch, bool may_cancel, const char *reason)
{
	SettleScope scope;
	bool		held = Begin(&scope, job_id, epoch, OUTCOME_CANCELLED, may_cancel ? CALLER_WAS_CHECKED : GetUserId());

	if (held)
	{
		if (reason != NULL)
			scope.job.last_error = ErrorText(reason);
		scope.job.last_outcome = OUTCOME_CANCELLED;
		JobEnd(&scope.jobs, &scope.job, JOB_CANCELLED, NULL);
	}
	EndSettle(&scope);
	return held;
}
