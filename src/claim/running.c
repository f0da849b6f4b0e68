/*
 * running.c
 *	  Reading the running jobs: those of one instance of a worker, or all whose leases are over.
 */
#include "taskq.h"

#include "base/guc.h"
#include "claim/lease.h"
#include "claim/running.h"
#include "job/fence.h"
#include "job/live.h"
#include "job/running_scan.h"
#include "shared/watch.h"

/*
 * Read the running jobs of an instance of a worker whose ids are above list->after, in
 * the order of ids; or, if "worker" is NULL, the jobs of all workers whose leases are over.  If
 * "owner" is valid, only those of claims that belong to this role.
 */
void
RunningOf(RunningList *list, const WorkerName *worker, Oid owner, int most)
{
	RunningScan scan;
	TimestampTz now = WatchNow();
	TaskqJob	job;

	list->n = 0;
	list->next_end = DT_NOEND;
	list->job_ids = palloc(sizeof(int64) * most);
	list->epochs = palloc(sizeof(int64) * most);
	RunningScanBegin(&scan, worker, list->after);
	while (list->n < most && RunningScanNext(&scan, &job))
	{
		TimestampTz end;

		if (OidIsValid(owner) && !ClaimIsOf(&job, owner))
			continue;
		end = worker == NULL ? LeaseEnd(&job, scan.row) : DT_NOBEGIN;

		if (end > now)
		{
			/* nobody announces that a background worker has gone */
			list->next_end = Min(list->next_end, job.lease_expires_at == 0 ? now + (int64) taskq_poll_interval * 1000 : end);
			continue;
		}
		list->job_ids[list->n] = job.job_id;
		list->epochs[list->n++] = job.epoch;
		list->after = job.job_id;
	}
	list->more = list->n == most;
	RunningScanEnd(&scan);
}

/* Does this claim still hold the job, so that its worker may settle it?  Takes no lock. */
bool
IsStillHeld(int64 job_id, int64 epoch)
{
	TaskqJob job;

	return LiveFind(job_id, &job) && job.state == JOB_RUNNING && job.epoch == epoch && EpochIsOurs(epoch);
}
