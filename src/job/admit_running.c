/*
 * admit_running.c
 *	  Rule: a job that runs does not start.
 *
 * The lock on its row ensures that, except in the process that runs the job.  So a
 * handler that claims jobs must not be given the job that it runs.
 */
#include "taskq.h"

#include "base/error.h"
#include "job/admit_rules.h"
#include "job/current.h"
#include "shared/shmem.h"

static Verdict
AdmitJob(Admitting *claim, void *reserved, TaskqJob *job)
{
	return CurrentIs(job->job_id) ? ADMIT_NOT_NOW : ADMIT_YES;
}

static bool
Explain(const AdmissionQuestion *question, Refusal *refusal)
{
	const TaskqJob *job = question->job;

	if (job == NULL || (job->state != JOB_RUNNING && !CurrentIs(job->job_id) && !ShmemRunsJob(job->job_id)))
		return false;
	refusal->reason_code = REASON_RUNNING;
	refusal->sqlstate = ERRCODE_TQ_INVALID_TRANSITION;
	refusal->problem = "is running and cannot be run";
	return true;
}

const AdmissionRule admit_running = {
	.name = "running",
	.admit = AdmitJob,
	.explain = Explain,
};
