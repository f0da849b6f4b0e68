/*
 * lane_first.c
 *	  The first job of a lane in which jobs are in order (job/order.c).
 *
 * It may be of another route, or not be due.  Then no job of the lane can start, and the lane
 * waits.  It is let go when the first job has left the lane.  That may have happened already
 * before the lane waits, so the claim looks again afterwards.
 */
#include "taskq.h"

#include "claim/lane_first.h"
#include "job/order.h"
#include "ready/key_lane.h"

/* Find the first job of a lane in which jobs are in order. */
FirstInOrder
LaneFindFirst(ClaimScan *scan, int32 route_id, int64 lane, ScanHint *hint)
{
	OrderFirst first;

	if (!OrderFind(lane, &first))
		return FIRST_NONE;
	*hint = (ScanHint){ first.key, first.tid };
	if (first.route_id != route_id || !OrderLinedUp(route_id, first.key.job_id))
		return FIRST_BEHIND;
	return first.key.run_at <= scan->now ? FIRST_DUE : FIRST_LATER;
}

/* Look again at a lane that waits until this job has left it.  It may have left before the lane has waited. */
void
LaneLookAgain(ClaimScan *scan, int32 route_id, int64 lane, const ScanHint *was)
{
	ScanHint hint;

	if (!LANE_IN_ORDER(lane))
		return;
	if (LaneFindFirst(scan, route_id, lane, &hint) == FIRST_NONE || hint.key.job_id != was->key.job_id)
		KeyLaneLookAgain(route_id, lane);
}

/* Read which job is the first of a lane, in which jobs are in order. */
void
LaneReadFirst(ClaimScan *scan, int32 route_id, const LanePlace *place)
{
	ScanHint	 hint;
	LaneJobs	 found = { 0 };
	FirstInOrder which = LaneFindFirst(scan, route_id, place->lane, &hint);

	if (which == FIRST_DUE)
		found.jobs[found.n++] = LaneHintOf(&hint);
	if (which == FIRST_DUE || which == FIRST_NONE)
		KeyLaneRead(route_id, place, &found, DT_NOEND);
	else
	{
		KeyLaneBehind(route_id, place, hint.key.job_id, which == FIRST_LATER ? hint.key.run_at : DT_NOEND);
		LaneLookAgain(scan, route_id, place->lane, &hint);
	}
}
