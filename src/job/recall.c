/*
 * recall.c
 *	  Finding the rows that this process has claimed without an index.
 *
 * The session that claims a job mostly settles it, too.  The primary key of jobs
 * has two entries for such a job, and the first one leads to the row version from
 * before the claim.  So each process remembers where its claims wrote their row
 * versions.  This is only a hint.  It is used if the snapshot sees the job's row
 * there; a snapshot sees only one version of a row.
 */
#include "taskq.h"

#include "job/job.h"
#include "job/recall.h"

#define MAX_RECALLED 1024 /* more than a large batch; a power of two */

static struct
{
	int64			job_id; /* 0: none */
	ItemPointerData tid;
} recalled[MAX_RECALLED];

/*
 * Return the place of a job.  Consecutive ids, as most batches have, get different
 * places.
 */
static int
PlaceOf(int64 job_id)
{
	return (int) (job_id & (MAX_RECALLED - 1));
}

/* Observer of transitions: remember where the row of a claim was written. */
void
RecallObserve(const Transition *transition)
{
	int64 job_id = transition->job->job_id;

	if (transition->job->state != JOB_RUNNING)
		return;
	recalled[PlaceOf(job_id)].job_id = job_id;
	recalled[PlaceOf(job_id)].tid = transition->tid;
}

/* Fetch a job's row into jobs->found; returns false if the index must be used. */
bool
RecallFind(Store *jobs, int64 job_id, Snapshot snapshot)
{
	if (recalled[PlaceOf(job_id)].job_id != job_id ||
		!StoreFetch(jobs, &recalled[PlaceOf(job_id)].tid, snapshot) ||
		JobIdOfRow(jobs->found) != job_id)
		return false;
	StoreReadFound(jobs);
	return true;
}
