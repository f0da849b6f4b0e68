/*
 * recheck.c
 *	  Checking the ready list against the index of waiting jobs.
 *
 * Jobs can bypass the ready list: a restore or a replication can write them, or
 * somebody can release a row that was locked by hand.  So now and then the
 * scheduler reads the index from its start to the end of each lane, and adds the
 * jobs that it finds.  An extra hint does no harm.  The index may begin with any
 * number of dead entries, so one check reads a limited number of them, and the next
 * check continues from there.
 */
#include "taskq.h"

#include "access/table.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "claim/recheck.h"
#include "claim/scan.h"
#include "ready/key_lane.h"
#include "ready/ready.h"

#define STEPS 2000		 /* dead entries that one check reads */
#define PAUSE_FACTOR 100 /* at most a hundredth of a core is spent on it */

/* Routes left to check in this round, and the place to continue in the last of them. */
static int32 *routes = NULL;
static int	  n_routes = 0;
static JobKey place = JOB_KEY_BEGIN;

/* Time of the last check, and the pause after it. */
static TimestampTz checked_at = 0;
static int64	   pause_length = 0;

/*
 * Add the jobs of a route that lie within the range of its lanes.  Beyond that
 * range, the list will read the index anyway.  Returns false if there is more to
 * check.
 */
static bool
RecheckRoute(JobScan *scan, int32 route_id, TimestampTz now)
{
	ScanHint hint = { place };

	(void) ScanRefresh(scan);
	ScanRoute(scan, route_id, &place);
	while (ScanNext(scan, &hint))
	{
		ReadyHint ready = { { hint.key.run_at, hint.key.job_id }, hint.tid };

		if (ReadyPush(route_id, hint.key.priority, &ready, now))
			continue;
		place = (JobKey){ hint.key.priority, DT_NOEND, PG_INT64_MAX };
		ScanRoute(scan, route_id, &place);
	}
	ScanRest(scan);
	place = scan->stopped ? hint.key : JOB_KEY_BEGIN;
	return !scan->stopped;
}

/* Has any job a lane?  Nobody may have told of it. */
static bool
AnyLane(Relation jobs)
{
	JobScan	 scan;
	ScanHint hint;
	bool	 any;

	ScanBegin(&scan, REL_JOBS_LANES, jobs, 0);
	any = ScanAny(&scan, &hint);
	ScanEnd(&scan);
	if (any)
		KeyLanesNotePresent();
	return any;
}

/* Add the first due job of each lane of a route, as nobody may have told of it. */
static void
RecheckLanes(Relation jobs, int32 route_id, TimestampTz now)
{
	int64		lane = PG_INT64_MIN;
	JobScan		scan;
	ScanHint	hint;
	TimestampTz next_due;
	bool		is_only;

	ScanBegin(&scan, REL_JOBS_LANES, jobs, 0);
	while (ScanNextLane(&scan, route_id, &lane, now, &hint, &next_due, &is_only))
	{
		LaneHint first = { { hint.key.priority, { hint.key.run_at, hint.key.job_id } }, hint.tid };

		if (LANE_IN_ORDER(lane))
		{
			/* whichever job is the first one now */
			first.key.key.job_id = PG_INT64_MIN;
			KeyLanePush(route_id, lane, &first, false, now);
			continue;
		}
		if (hint.key.run_at <= now)
			KeyLanePush(route_id, lane, &first, is_only, now);
		if (next_due == DT_NOEND)
			continue;
		first.key.key.run_at = next_due;
		KeyLanePush(route_id, lane, &first, is_only, now);
	}
	ScanEnd(&scan);
}

/* Begin a round with the routes that the list has now. */
static void
BeginRound(void)
{
	int32 *all;

	ReadySweep();
	n_routes = ReadyRoutes(&all);
	if (routes != NULL)
		pfree(routes);
	routes = MemoryContextAlloc(TopMemoryContext, sizeof(int32) * (n_routes + 1));
	memcpy(routes, all, sizeof(int32) * n_routes);
	pfree(all);
	place = JOB_KEY_BEGIN;
}

/*
 * Check the routes of this database, if the pause is over.  Returns when to
 * continue this round, or DT_NOEND if it is finished.
 */
TimestampTz
RecheckReadyList(void)
{
	TimestampTz now = ClockNow();
	Relation	jobs;
	JobScan		scan;
	bool		any_lane;

	if (!ReadyPresent())
		return DT_NOEND;
	if (!ClockHasPassed(checked_at, pause_length))
		return checked_at + pause_length;
	if (n_routes == 0)
		BeginRound();
	jobs = CatalogOpen(REL_JOBS, AccessShareLock);
	any_lane = AnyLane(jobs);
	ScanBegin(&scan, REL_JOBS_OPEN, jobs, STEPS);
	while (n_routes > 0 && RecheckRoute(&scan, routes[n_routes - 1], now))
	{
		if (any_lane)
			RecheckLanes(jobs, routes[n_routes - 1], now);
		n_routes--;
	}
	ScanEnd(&scan);
	table_close(jobs, AccessShareLock);
	checked_at = ClockNow();
	pause_length = Max(checked_at - now, 0) * PAUSE_FACTOR;
	return n_routes > 0 ? checked_at + pause_length : DT_NOEND;
}
