/*
 * admit_suspect.c
 *	  Rule: if a crash or SIGTERM has ended the last run of a job, the job does not
 *	  start until that run is recorded.
 */
#include "taskq.h"

#include "job/admit_rules.h"
#include "shared/blame.h"
#include "shared/shmem.h"

static Verdict
AdmitJob(Admitting *claim, void *reserved, TaskqJob *job)
{
	return ShmemTerminationPending(job->job_id) || BlameHolds(job->job_id) ? ADMIT_NOT_NOW : ADMIT_YES;
}

static bool
Explain(const AdmissionQuestion *question, Refusal *refusal)
{
	if (question->job == NULL)
		return false;
	if (BlameHolds(question->job->job_id))
		refusal->reason_code = REASON_CRASH_TO_RECORD;
	else if (ShmemTerminationPending(question->job->job_id))
		refusal->reason_code = REASON_END_TO_RECORD;
	else
		return false;
	refusal->sqlstate = ERRCODE_LOCK_NOT_AVAILABLE;
	refusal->problem = "cannot be run before the end of its last run is recorded";
	refusal->detail = "The worker that ran it was ended.";
	refusal->hint = "Try again in a moment.";
	return true;
}

const AdmissionRule admit_suspect = {
	.name = "suspect",
	.admit = AdmitJob,
	.explain = Explain,
};
