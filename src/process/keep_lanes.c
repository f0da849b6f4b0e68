/*
 * keep_lanes.c
 *	  Moving waiting jobs to the lanes in which they should wait.
 *
 * When a limit for each value of a key is made, jobs of its routes may wait already, and
 * they are in no lane, or in lanes of other keys.  Also a transaction that did not know
 * the limit may add such a job later.  Claims do not take jobs that are in no lane, as one
 * could be behind any number of jobs that cannot start.  So the scheduler moves them, in
 * batches, and those first that are claimed first.
 *
 * When the limit is dropped, the jobs stay in their lanes, and claims take them from there.
 */
#include "taskq.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "config/limit.h"
#include "config/queue.h"
#include "config/route.h"
#include "job/lane.h"
#include "process/keep_lanes.h"
#include "process/line_up.h"
#include "ready/key_lane.h"
#include "store/owner.h"

#define MAX_MOVED 500 /* in one transaction */

static bool any_lanes = false; /* limits ask for keys */
static bool lines_up = false;  /* jobs must be put in order, which may have to wait */

/* Due when limits have changed, when a claim has met such a job, and else now and then. */
TimestampTz
LanesDue(const WorkPast *past)
{
	if (past->changed || KeyLanesStrayed(false) || (lines_up && past->signalled))
		return DT_NOBEGIN;
	if (lines_up)
		return WorkAfter(past->ran_at, USECS_PER_SEC); /* the job that the last batch has met was locked */
	return any_lanes ? WorkByPoll(past) : DT_NOEND;
}

/* Return the lanes of a route: from *first to *last. */
static void
LanesOf(const RouteLimits *limits, int64 *first, int64 *last)
{
	uint8 keys = limits->ordered == 0 ? limits->keys : 0;

	*first = limits->ordered == 0 ? LANE_FIRST(keys) : PG_INT64_MIN;
	*last = keys == (KEY_TENANT | KEY_GROUP) ? PG_INT64_MAX : LANE_FIRST(keys + 1) - 1;
}

static bool
FindLane(Store *jobs, int32 route_id, StrategyNumber strategy, Oid function, int64 lane, Snapshot snapshot)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(route_id));
	ScanKeyInit(&keys[1], 2, strategy, function, Int64GetDatum(lane));
	return StoreFind(jobs, CatalogRel(REL_JOBS_LANES), 2, keys, snapshot);
}

/* Has a route a waiting job that is in another lane than its own ones? */
static bool
HasStray(Store *jobs, int32 route_id, Snapshot snapshot)
{
	ScanKeyData key;
	int64		first;
	int64		last;

	LanesOf(LimitsOfRoute(route_id), &first, &last);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(route_id));
	return StoreFind(jobs, CatalogRel(REL_JOBS_OPEN), 1, &key, snapshot) ||
		   FindLane(jobs, route_id, BTLessStrategyNumber, F_INT8LT, first, snapshot) ||
		   FindLane(jobs, route_id, BTGreaterStrategyNumber, F_INT8GT, last, snapshot);
}

/* Are the jobs of a route still put in order?  They are moved meanwhile. */
static bool
IsLiningUp(const TaskqRoute *route)
{
	return LimitsOfRoute(route->route_id)->ordered != 0 && QueueById(route->queue_id)->lined_up_to < PG_INT64_MAX;
}

/* Find a route with jobs to move, after this one.  Returns 0 if there is none. */
static int32
NextRoute(int32 after)
{
	int				   n;
	const TaskqRoute **all = RoutesAll(&n);
	Snapshot		   snapshot = StoreSnapshot();
	Store			   jobs;
	int32			   found = 0;

	StoreOpenRel(&jobs, REL_JOBS);
	for (int i = 0; i < n; i++)
	{
		int32 route_id = all[i]->route_id;
		uint8 keys = LimitsOfRoute(route_id)->keys;

		any_lanes |= keys != 0;
		if (keys != 0 && route_id > after && !IsLiningUp(all[i]) && (found == 0 || route_id < found) && HasStray(&jobs, route_id, snapshot))
			found = route_id;
	}
	StoreClose(&jobs, false);
	UnregisterSnapshot(snapshot);
	pfree(all);
	return found;
}

/* Move the jobs whose ids a query returns, and return how many there were. */
static int
MoveFound(const char *query, int n_params, Oid *types, Datum *values)
{
	OwnerScope	   scope;
	SPITupleTable *found;
	uint64		   n;

	OwnerEnterSpi(&scope);
	n = OwnerExecute(query, n_params, types, values, NULL);
	found = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
	{
		bool	 isnull;
		int64	 job_id = DatumGetInt64(SPI_getbinval(found->vals[i], found->tupdesc, 1, &isnull));
		Store	 jobs;
		TaskqJob job;

		if (JobOpenAndLockWaiting(&jobs, job_id, &job) == STORE_LOCKED && JobIsOpen(jobs.found))
			JobMoveToLane(&jobs, &job);
		StoreClose(&jobs, true);
	}
	OwnerLeaveSpi(&scope);
	return (int) n;
}

/* Move some jobs of a route.  Returns how many. */
static int
Move(int32 route_id)
{
	Oid	  types[] = { INT4OID, INT4OID, INT8OID, INT8OID };
	int64 first;
	int64 last;
	Datum values[4];
	int	  moved;

	LanesOf(LimitsOfRoute(route_id), &first, &last);
	values[0] = Int32GetDatum(route_id);
	values[1] = Int32GetDatum(MAX_MOVED);
	moved = MoveFound("SELECT job_id FROM taskq.jobs WHERE route_id = $1 AND gate = 'o'"
					  " ORDER BY priority, run_at, job_id LIMIT $2 FOR UPDATE SKIP LOCKED",
					  2, types, values);
	values[1] = Int32GetDatum(MAX_MOVED - moved);
	values[2] = Int64GetDatum(first);
	values[3] = Int64GetDatum(last);
	if (moved < MAX_MOVED)
		moved += MoveFound("SELECT job_id FROM taskq.jobs WHERE route_id = $1 AND gate = 'l' AND (lane < $3 OR lane > $4)"
						   " LIMIT $2 FOR UPDATE SKIP LOCKED",
						   4, types, values);
	return moved;
}

/* Move a batch of jobs.  Returns true if there may be more that can be moved. */
bool
MoveToLanes(void)
{
	int32 route_id = 0;

	if (LineUp())
		return true;
	while ((route_id = NextRoute(route_id)) != 0)
		if (Move(route_id) > 0)
			return true;
	return false;
}

/* Find out whether jobs must be moved, and leave that to batches. */
void
KeepLanes(WorkResult *result)
{
	(void) KeyLanesStrayed(true);
	any_lanes = false;
	lines_up = LineUpPending();
	result->more = NextRoute(0) != 0 || lines_up;
}
