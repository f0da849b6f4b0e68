/*
 * lane_first.h
 *	  The first job of a lane in which jobs are in order.
 */
#ifndef TASKQ_LANE_FIRST_H
#define TASKQ_LANE_FIRST_H

#include "taskq.h"

#include "claim/cursor.h"
#include "ready/key_lane.h"

/* What the first job of a lane is, in which jobs are in order. */
typedef enum FirstInOrder
{
	FIRST_NONE,	 /* there is no job */
	FIRST_DUE,	 /* it can be tried */
	FIRST_LATER, /* it is not due */
	FIRST_BEHIND /* it is of another route, or jobs before it may still have to be moved */
} FirstInOrder;

static inline LaneHint
LaneHintOf(const ScanHint *hint)
{
	return (LaneHint){ { hint->key.priority, { hint->key.run_at, hint->key.job_id } }, hint->tid };
}

extern FirstInOrder LaneFindFirst(ClaimScan *scan, int32 route_id, int64 lane, ScanHint *hint);
extern void			LaneLookAgain(ClaimScan *scan, int32 route_id, int64 lane, const ScanHint *was);
extern void			LaneReadFirst(ClaimScan *scan, int32 route_id, const LanePlace *place);

#endif /* TASKQ_LANE_FIRST_H */
