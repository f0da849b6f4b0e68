/*
 * recall.c
 *	  Rows that this process has claimed, found again without an index.
 *
 * A session that claims jobs mostly settles them too.  The primary key of jobs has
 * two entries for such a job, and the first leads to the row version before the
 * claim.  So each process remembers where its claims wrote their versions.  That
 * is only a hint: it is used if the job's row that the snapshot sees is there, and
 * a snapshot sees one version of a row.
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

/* Consecutive ids, as a batch mostly has, take places of their own. */
static int
PlaceOf(int64 job_id)
{
	return (int) (job_id & (MAX_RECALLED - 1));
}

/* Remember where the row of a claim was written: an observer of transitions. */
void
RecallObserve(const Transition *transition)
{
	int64 job_id = transition->job->job_id;

	if (transition->job->state != JOB_RUNNING)
		return;
	recalled[PlaceOf(job_id)].job_id = job_id;
	recalled[PlaceOf(job_id)].tid = transition->tid;
}

/* Have jobs->found hold a job's row; false: ask the index. */
bool
RecallFind(Store *jobs, int64 job_id, Snapshot snapshot)
{
	if (recalled[PlaceOf(job_id)].job_id != job_id ||
		!StoreFetch(jobs, &recalled[PlaceOf(job_id)].tid, snapshot) ||
		JobIdOfRow(jobs->found) != job_id)
		return false;
	slot_getallattrs(jobs->found);
	return true;
}
