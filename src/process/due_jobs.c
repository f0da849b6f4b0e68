/*
 * due_jobs.c
 *	  Jobs that have become due: waking those who wait for them, starting workers.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "base/clock.h"
#include "base/guc.h"
#include "claim/claim.h"
#include "config/pool.h"
#include "config/route.h"
#include "config/stale.h"
#include "process/due_jobs.h"
#include "process/start_workers.h"
#include "shared/wake.h"
#include "store/catalog.h"

#define DUE_AHEAD 64 /* jobs of a route that a look counts at least */

static TimestampTz next_moment = DT_NOEND; /* as a commit has said */
static bool		   are_there = false;

static void
CountDue(DueJobs *jobs)
{
	int				   n;
	int				   n_pools;
	const TaskqRoute **routes = RoutesAll(&n);
	const TaskqPool	 **pools = PoolsAll(&n_pools);
	int				   ahead = DUE_AHEAD;

	jobs->routes.n = n;
	jobs->routes.ids = palloc(sizeof(int32) * (n + 1));
	jobs->routes.ranks = palloc0(sizeof(int) * (n + 1));
	jobs->due = palloc0(sizeof(int) * (n + 1));
	jobs->next_due = DT_NOEND;
	for (int i = 0; i < n; i++)
		jobs->routes.ids[i] = routes[i]->route_id;
	for (int i = 0; i < n_pools; i++)
		ahead = Max(ahead, pools[i]->size);
	if (n > 0)
		(void) ClaimCountDue(&jobs->routes, ahead, jobs->due, &jobs->next_due);
}

/*
 * Wake as many waiting processes as jobs are due; all of them when a function,
 * role or the like has changed, which nobody announces: handlers may have become
 * runnable that those who wait do not look for.
 */
static void
WakeForDue(const DueJobs *jobs)
{
	static uint64 version = 0;

	if (version != ConfigVersion())
	{
		version = ConfigVersion();
		WakeAllWaiters(MyDatabaseId);
	}
	for (int i = 0; i < jobs->routes.n; i++)
		if (jobs->due[i] > 0)
			(void) WakeWaiters(MyDatabaseId, jobs->routes.ids[i], jobs->due[i]);
}

/* A commit has said that a job will be due at this moment. */
void
DueJobsAt(TimestampTz moment)
{
	next_moment = Min(next_moment, moment);
}

TimestampTz
DueJobsDue(const WorkPast *past)
{
	if (past->news || past->changed)
		return DT_NOBEGIN;
	return Min(next_moment, WorkByPoll(past));
}

/* Did the last look find jobs that are due for a pool, or a worker on its way? */
bool
DueJobsAreThere(void)
{
	return are_there;
}

void
DueJobsLook(WorkResult *result)
{
	DueJobs jobs;
	bool	any = false;

	next_moment = DT_NOEND;
	CountDue(&jobs);
	WakeForDue(&jobs);
	result->next = StartWorkers(ShmemMyDatabase(), &jobs, &are_there);
	result->next = Min(result->next, jobs.next_due);
	for (int i = 0; i < jobs.routes.n && !any; i++)
		any = jobs.due[i] > 0;

	/* who was woken may have gone, and a worker may never come up */
	if (any || are_there)
		result->next = Min(result->next, ClockNow() + (int64) taskq_poll_interval * 1000);
}
