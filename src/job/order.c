/*
 * order.c
 *	  The order of the jobs of a group in an ordered queue.
 *
 * The waiting jobs of a group, of all routes of the queue, are in one lane.  Its number is
 * negative (config/limit_keys.c), so the index jobs_ordered has them side by side, in the
 * order of their ids.  The first of them is the only one that may start, and only when no
 * other job of the group runs (job/admit_order.c).
 *
 * When a queue becomes ordered, jobs wait in it already.  The scheduler moves them to
 * their lanes in the order of their ids (process/line_up.c), and says up to which id it
 * has come.  Later jobs do not start, as one before them may still have to be moved.
 */
#include "taskq.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "config/limit.h"
#include "config/queue.h"
#include "config/route.h"
#include "job/order.h"
#include "ready/key_lane.h"
#include "store/catalog.h"
#include "store/owner.h"
#include "store/store.h"

/* Are the jobs of a lane in order?  They stay in such a lane when the queue is not ordered any more. */
bool
OrderHolds(int32 route_id, int64 lane)
{
	return LANE_IN_ORDER(lane) && LimitsOfRoute(route_id)->ordered != 0;
}

/* Must the jobs of a lane be moved, because the queue has become ordered? */
bool
OrderIsStray(int32 route_id, int64 lane)
{
	return lane >= LANE_FIRST(1) && LimitsOfRoute(route_id)->ordered != 0;
}

/* Are all waiting jobs up to this one in the lanes of their ordered queue? */
bool
OrderLinedUp(int32 route_id, int64 job_id)
{
	return job_id < QueueById(RouteById(route_id)->queue_id)->lined_up_to;
}

/* Find the first job of a lane, by what is committed now. */
bool
OrderFind(int64 lane, OrderFirst *first)
{
	Snapshot	snapshot = StoreSnapshot();
	ScanKeyData key;
	Store		jobs;
	bool		found;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(lane));
	StoreOpenRel(&jobs, REL_JOBS);
	found = StoreFind(&jobs, CatalogRel(REL_JOBS_ORDERED), 1, &key, snapshot);
	if (found)
	{
		JobReadKey(&first->key, jobs.found);
		first->route_id = JobRouteOfRow(jobs.found);
		first->tid = jobs.found->tts_tid;
	}
	StoreClose(&jobs, false);
	UnregisterSnapshot(snapshot);
	return found;
}

/* Count the jobs of a lane that are before this one, up to "most". */
int
OrderCount(int64 lane, int64 job_id, int most)
{
	Oid		   types[] = { INT8OID, INT8OID, INT4OID };
	Datum	   values[] = { Int64GetDatum(lane), Int64GetDatum(job_id), Int32GetDatum(most) };
	OwnerScope scope;
	uint64	   n;

	OwnerEnterSpi(&scope);
	n = OwnerExecute("SELECT FROM taskq.jobs WHERE gate = 'l' AND lane < 0 AND lane = $1 AND job_id < $2 LIMIT $3",
					 3, types, values, NULL);
	OwnerLeaveSpi(&scope);
	return (int) n;
}
