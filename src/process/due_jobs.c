/*
 * due_jobs.c
 *	  Handling jobs that have become due: waking the processes that wait for them,
 *	  and starting workers.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "base/clock.h"
#include "base/guc.h"
#include "claim/claim.h"
#include "config/pool.h"
#include "config/route.h"
#include "config/stale.h"
#include "job/admit.h"
#include "process/due_jobs.h"
#include "process/start_workers.h"
#include "ready/key_lane.h"
#include "shared/wake.h"
#include "store/catalog.h"

#define DUE_AHEAD 64						  /* count at least up to this many jobs of a route */
#define LOOK_PACE (10 * USECS_PER_SEC / 1000) /* between two looks for lanes that wait for a moment */

static TimestampTz next_moment = DT_NOEND; /* earliest moment announced by a commit */
static bool		   are_there = false;

static void
CountDue(DueJobs *jobs)
{
	int				   n;
	int				   n_pools;
	const TaskqRoute **routes = RoutesAll(&n);
	const TaskqPool	 **pools = PoolsAll(&n_pools);
	int				   ahead = DUE_AHEAD;

	jobs->routes = (RouteSet){ .n = n, .ids = palloc(sizeof(int32) * (n + 1)), .ranks = palloc0(sizeof(int) * (n + 1)) };
	jobs->due = palloc0(sizeof(int) * (n + 1));
	jobs->next_due = DT_NOEND;
	for (int i = 0; i < n; i++)
		jobs->routes.ids[i] = routes[i]->route_id;
	for (int i = 0; i < n_pools; i++)
		ahead = Max(ahead, pools[i]->size);
	if (n > 0)
		(void) ClaimCountDue(&jobs->routes, ahead, jobs->due, &jobs->next_due);

	/*
	 * Jobs that background workers run count as due, too.  A limit has the scheduler look
	 * again when it allows more of them.
	 */
	for (int i = 0; i < n; i++)
	{
		if (jobs->due[i] == 0)
			continue;
		jobs->due[i] = Min(jobs->due[i], AdmitMost(jobs->routes.ids[i]));
		if (jobs->due[i] == 0)
			jobs->next_due = Min(jobs->next_due, AdmitNext(jobs->routes.ids[i]));
	}
}

/*
 * Wake one waiting process for each due job.  If a function, a role or the like has
 * changed, wake all of them.  Nobody announces such a change, but it may allow
 * waiting processes to run jobs of other routes.
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

/* Note that a commit has announced a job that becomes due at this moment. */
void
DueJobsAt(TimestampTz moment)
{
	next_moment = Min(next_moment, moment);
}

/*
 * When does a lane wait no longer, for which nobody waits?  Not too often, as such a look is
 * of use only if a worker can be started.
 */
static TimestampTz
LanesDueAt(const WorkPast *past)
{
	int64 moment = KeyLanesMoment();

	if (moment == HELD_NEVER)
		return DT_NOEND;
	return Max(ClockNow() + Max(moment - ClockSteady(), 0), WorkAfter(past->ran_at, LOOK_PACE));
}

TimestampTz
DueJobsDue(const WorkPast *past)
{
	TimestampTz lanes_due = LanesDueAt(past);

	if (past->signalled || past->changed)
		return DT_NOBEGIN;
	return Min(Min(next_moment, lanes_due), WorkByPoll(past));
}

/* Did the last look find due jobs for a pool, or a worker that is starting? */
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
	KeyLanesPassTime();
	CountDue(&jobs);
	WakeForDue(&jobs);
	result->next = StartWorkers(ShmemMyDatabase(), &jobs, &are_there);
	result->next = Min(result->next, jobs.next_due);
	for (int i = 0; i < jobs.routes.n && !any; i++)
		any = jobs.due[i] > 0;

	/* the processes that were woken may have gone, and a worker may fail to start */
	if (any || are_there)
		result->next = Min(result->next, ClockNow() + (int64) taskq_poll_interval * 1000);
}
