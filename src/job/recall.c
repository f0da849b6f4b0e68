/*
 * recall.c
 *	  Rows that this process has claimed, found again without an index.
 *
 * Who claims jobs mostly settles them, in the same session.  The key of jobs has
 * two entries then, and the first leads to the version before the claim.  So
 * where the claim wrote its version is remembered.  That is a hint, whatever has
 * become of the place since: what is there counts only if it is the job's row
 * that the snapshot sees, of which there is one.
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

/* The version of a job's row that was just written is here. */
void
RecallNote(int64 job_id, const ItemPointerData *tid)
{
	recalled[PlaceOf(job_id)].job_id = job_id;
	recalled[PlaceOf(job_id)].tid = *tid;
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
