/*
 * admit_cancelled.c
 *	  Rule: a job that was asked to be cancelled does not start.
 */
#include "taskq.h"

#include "base/error.h"
#include "job/admit_rules.h"
#include "job/cancel_requests.h"

static Verdict
AdmitJob(Admitting *claim, void *reserved, TaskqJob *job)
{
	return CancelRequested(job->job_id, NULL) ? ADMIT_CANCELLED : ADMIT_YES;
}

static bool
Explain(const AdmissionQuestion *question, Refusal *refusal)
{
	if (question->job == NULL || !CancelRequested(question->job->job_id, NULL))
		return false;
	refusal->reason_code = REASON_CANCEL_REQUESTED;
	refusal->sqlstate = ERRCODE_TQ_INVALID_TRANSITION;
	refusal->problem = "is to be cancelled and cannot be run";
	return true;
}

const AdmissionRule admit_cancelled = {
	.name = "cancelled",
	.admit = AdmitJob,
	.explain = Explain,
};
