/*
 * keep_limits.c
 *	  Arming limits, and freeing what jobs hold that do not run.
 *
 * A limit is new after the start of the server, and when its transaction has committed.
 * Jobs may run then that nobody has counted.  Claims that know the limit start no job.
 * Claims that do not know it belong to transactions that are open now.  When these have
 * ended, every job under the limit that runs has a running row, and no other job can start.
 * So the running rows are read once, and the limit is armed.
 *
 * The memory may be wrong if rows were changed by hand, or by a prepared transaction.  So
 * each job in it is looked up now and then.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "base/clock.h"
#include "base/injection_point.h"
#include "config/limit.h"
#include "job/lane.h"
#include "job/live.h"
#include "job/running_scan.h"
#include "process/keep_limits.h"
#include "ready/key_lane.h"
#include "shared/holders.h"
#include "shared/shmem.h"
#include "shared/wake.h"
#include "store/catalog.h"
#include "store/owner.h"

static bool	  is_unarmed = true;
static uint64 known_version = 0; /* LimitsVersion() at the last look */

/* Due when limits have changed, when an awaited claim has ended, and when holders are in doubt. */
TimestampTz
LimitsDue(const WorkPast *past)
{
	if (!HoldersPresent())
		return DT_NOEND;
	if (past->changed || HoldersInDoubt(false) || (is_unarmed && past->signalled))
		return DT_NOBEGIN;
	if (is_unarmed)
		return WorkByPoll(past);
	return HoldersAny() ? WorkAfter(past->ran_at, USECS_PER_MINUTE) : DT_NOEND;
}

/* Let a running job hold the limits that are not armed.  Returns false if there is no room. */
static bool
AddRunning(const TaskqJob *job)
{
	HeldLimits held;
	JobKeys	   keys;

	if (!LimitsToHold(job->route_id, KeysOfJob(job, &keys), &held))
		return true;
	return HoldersAdd(&held, job->job_id, job->epoch);
}

/* Read the running rows, and arm the limits. */
static bool
Arm(Oid relid)
{
	OwnerScope	scope;
	RunningScan scan;
	TaskqJob	job;
	bool		complete = true;

	HoldersBeginCount();
	OwnerEnter(&scope);
	RunningScanBegin(&scan, NULL, PG_INT64_MIN);
	TASKQ_INJECTION_POINT("limits-read");
	while (RunningScanNext(&scan, &job))
		complete = AddRunning(&job) && complete;
	RunningScanEnd(&scan);
	OwnerLeave(&scope);
	TASKQ_INJECTION_POINT("limits-added");
	HoldersEndCount(relid, complete);
	return complete;
}

/* Free what the jobs hold whose claims have ended. */
static void
FreeStale(void)
{
	HeldJob *jobs;
	int		 n = HoldersCopy(&jobs);
	int		 freed = 0;

	for (int i = 0; i < n; i++)
	{
		TaskqJob job;

		if (LiveFind(jobs[i].job_id, &job) && job.state == JOB_RUNNING && job.epoch == jobs[i].epoch)
			continue;
		freed += LimitsRelease(jobs[i].job_id, jobs[i].epoch) ? 1 : 0;
	}
	pfree(jobs);
	if (freed > 0)
		ereport(LOG,
				(errmsg_plural("taskq freed what %d job held of limits, as it does not run",
							   "taskq freed what %d jobs held of limits, as they do not run", freed, freed)));
}

/* Make the memory of all limits that exist, and arm those that are new. */
void
KeepLimits(WorkResult *result)
{
	Oid	   relid = CatalogRel(REL_LIMITS);
	int32 *ids;
	int	   n;

	if (!HoldersPresent() || ShmemMyDatabase() == NULL)
		return;
	n = LimitsArmed(&ids);
	is_unarmed = HoldersMake(relid, ids, n);
	if (known_version != LimitsVersion())
	{
		/* there may be more room for a value now */
		known_version = LimitsVersion();
		KeyLanesFreeAll();
		WakeAllWaiters(MyDatabaseId);
	}
	if (is_unarmed && HoldersAwaitClaims() && Arm(relid))
	{
		TASKQ_INJECTION_POINT("limits-armed");
		is_unarmed = false;
		WakeAllWaiters(MyDatabaseId);
		ShmemWakeScheduler(ShmemMyDatabase());
	}
	(void) HoldersInDoubt(true);
	FreeStale();
}
