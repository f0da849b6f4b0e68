/*
 * admit_running_here.c
 *	  Rule: a handler that claims jobs is not given the job that it runs.
 */
#include "taskq.h"

#include "job/admit_rules.h"
#include "job/current.h"

static Verdict
AdmitJob(Admitting *claim, void *reserved, TaskqJob *job)
{
	return CurrentIs(job->job_id) ? ADMIT_NOT_NOW : ADMIT_YES;
}

const AdmissionRule admit_running_here = {
	.name = "running here",
	.admit = AdmitJob,
};
