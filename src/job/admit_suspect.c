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

static const char *
Explain(const AdmissionQuestion *question)
{
	if (question->job == NULL)
		return NULL;
	if (BlameHolds(question->job->job_id))
		return "it may have crashed the server, which is still to be recorded";
	if (ShmemTerminationPending(question->job->job_id))
		return "the end of its last run is still to be recorded";
	return NULL;
}

const AdmissionRule admit_suspect = {
	.name = "suspect",
	.admit = AdmitJob,
	.explain = Explain,
};
