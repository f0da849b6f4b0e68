/*
 * admit_cancelled.c
 *	  Rule: a job that was asked to be cancelled does not start.
 */
#include "taskq.h"

#include "job/admit_rules.h"
#include "job/cancel_requests.h"

static Verdict
AdmitJob(Admitting *claim, void *reserved, TaskqJob *job)
{
	return CancelRequested(job->job_id, NULL) ? ADMIT_CANCELLED : ADMIT_YES;
}

static const char *
Explain(const AdmissionQuestion *question)
{
	if (question->job != NULL && CancelRequested(question->job->job_id, NULL))
		return "is to be cancelled";
	return NULL;
}

const AdmissionRule admit_cancelled = {
	.name = "cancelled",
	.admit = AdmitJob,
	.explain = Explain,
};
