/*
 * admit_alone.c
 *	  Rule: while a job that may have crashed the server is tried alone, background
 *	  workers start no other job.
 *
 * Claims of external workers and runs by hand are not held up, as their jobs cannot
 * be suspects.  Whenever the list of suspects changes, suspects.c wakes everybody.
 */
#include "taskq.h"

#include "config/handler.h"
#include "job/admit_rules.h"
#include "shared/blame.h"

#define ALONE_LIMIT PG_UINT64_MAX /* no worker waits for this limit by its key */

static bool
Waits(const Claimant *claimant)
{
	return claimant->background && !claimant->by_hand;
}

/* Is this the type of jobs that only background workers run? */
static bool
IsForServer(const TaskqRoute *route)
{
	const TaskqHandler *handler = HandlerFind(route->task_type);

	return handler != NULL && handler->signature != NULL && !handler->also_external;
}

static int
Begin(Admitting *claim, void **reserved, int most)
{
	int64 suspect;

	if (!Waits(claim->claimant) || !BlamePending(&suspect) || (suspect != 0 && claim->job_id == suspect))
		return most;
	claim->limit_key = ALONE_LIMIT;
	return 0;
}

static bool
Explain(const AdmissionQuestion *question, Refusal *refusal)
{
	int64 suspect;

	if (question->claimant != NULL ? !Waits(question->claimant) : question->job == NULL || !IsForServer(question->route))
		return false;
	if (!BlamePending(&suspect) || (question->job != NULL && question->job->job_id == suspect))
		return false;
	refusal->reason_code = REASON_SUSPECT_ALONE;
	return true;
}

const AdmissionRule admit_alone = {
	.name = "alone",
	.begin = Begin,
	.explain = Explain,
};
