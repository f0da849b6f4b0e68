/*
 * settle.c
 *	  What becomes of a claimed job: each outcome, for claims of every kind.
 */
#include "taskq.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/text.h"
#include "config/handler.h"
#include "config/retry.h"
#include "config/route.h"
#include "job/cancel_requests.h"
#include "settle/settle.h"

/* A job that has certainly crashed the server so often is not run again. */
#define MAX_CRASHES 2

/* outcomes, for claims of every kind --------------------------------------- */

void
SettleCompleted(Store *jobs, TaskqJob *job, struct varlena *result)
{
	job->last_outcome = OUTCOME_COMPLETED;
	JobEnd(jobs, job, JOB_COMPLETED, result);
}

/* A job is to wait, again or still: was it to be cancelled?  Then it is. */
bool
SettleIfCancelled(Store *jobs, TaskqJob *job)
{
	char *reason = NULL;

	if (!CancelRequested(job->job_id, &reason))
		return false;
	if (reason != NULL)
		job->last_error = ErrorText(reason);
	JobEnd(jobs, job, JOB_CANCELLED, NULL);
	return true;
}

/*
 * The attempt failed: record it, and retry the job by its policy or discard
 * it.  retry_in is NO_MICROSECONDS unless the failure wishes a delay.
 */
void
SettleFailed(Store *jobs, TaskqJob *job, char outcome, const AttemptFailure *failure,
			 bool retryable, int64 retry_in)
{
	TimestampTz now = ClockNow();
	int64		delay;

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

/* The run crashed the server: that may happen once. */
void
SettleCrashed(Store *jobs, TaskqJob *job, const AttemptFailure *failure)
{
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

/* The run did not end by its own doing: the attempt does not count. */
void
SettleGivenBack(Store *jobs, TaskqJob *job, char outcome, TimestampTz run_at)
{
	job->attempt--;
	job->last_outcome = outcome;
	job->run_at = run_at;
	if (!SettleIfCancelled(jobs, job))
		JobChange(jobs, job, JOB_AVAILABLE);
}

/* by the holder of a claim ------------------------------------------------- */

/* Take the claim's row; false: nothing is to be done. */
bool
BeginSettle(SettleScope *scope, int64 job_id, int64 epoch, char outcome)
{
	OwnerEnter(&scope->owner);
	StoreOpenRel(&scope->jobs, REL_JOBS);
	return LockClaim(&scope->jobs, &scope->job, job_id, epoch, outcome);
}

void
EndSettle(SettleScope *scope)
{
	StoreClose(&scope->jobs, true);
	OwnerLeave(&scope->owner);
}

/* The holder gives the job up for good. */
bool
SettleCancelled(int64 job_id, int64 epoch, const char *reason)
{
	SettleScope scope;
	bool		held = BeginSettle(&scope, job_id, epoch, OUTCOME_CANCELLED);

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
