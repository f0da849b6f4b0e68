/*
 * scan_lanes.c
 *	  Reading the index of waiting jobs that are in key lanes, lane by lane.
 */
#include "taskq.h"

#include "claim/scan.h"

/*
 * Find the first due job of a key lane that does not precede a key.  "next_due" is set to the
 * moment when another one may be the first.
 */
bool
ScanFirstDue(JobScan *scan, int32 route_id, int64 lane, const JobKey *from, TimestampTz now, ScanHint *hint,
			 TimestampTz *next_due)
{
	JobKey after = *from;

	*next_due = DT_NOEND;
	if (after.job_id > PG_INT64_MIN)
		after.job_id--;
	ScanKeyLane(scan, route_id, lane, &after);
	while (ScanNext(scan, hint))
	{
		if (hint->key.run_at <= now)
			return true;
		*next_due = Min(*next_due, hint->key.run_at);
		after = (JobKey){ hint->key.priority, DT_NOEND, PG_INT64_MAX };
		ScanKeyLane(scan, route_id, lane, &after);
	}
	return false;
}

/* Find the first job in the key lanes after this one. */
static bool
FirstAfter(JobScan *scan, int32 route_id, int64 *lane, ScanHint *hint)
{
	if (scan->is_ahead && scan->ahead_of == *lane)
	{
		*hint = scan->ahead;
		*lane = scan->ahead_lane;
		return true;
	}
	ScanLanesAfter(scan, route_id, *lane);
	if (!ScanNext(scan, hint))
		return false;
	*lane = ScanLaneFound(scan);
	return true;
}

/* Read one job ahead.  Returns true if it is in this lane, too; otherwise it is the first of the next one. */
static bool
ReadAhead(JobScan *scan, int64 lane)
{
	if (!ScanNext(scan, &scan->ahead))
		return false;
	scan->ahead_lane = ScanLaneFound(scan);
	scan->ahead_of = lane;
	scan->is_ahead = scan->ahead_lane != lane;
	return !scan->is_ahead;
}

/*
 * Find the next key lane of a route that has a waiting job, and its first due job.  Returns
 * false if there is no other lane.  Without a due job, the key in the hint is JOB_KEY_END.
 * "is_only" is set if no other job waits in the lane.  Between the calls for a route, the scan
 * is not used for another one.
 */
bool
ScanNextLane(JobScan *scan, int32 route_id, int64 *lane, TimestampTz now, ScanHint *hint, TimestampTz *next_due,
			 bool *is_only)
{
	bool found = FirstAfter(scan, route_id, lane, hint);

	scan->is_ahead = false;
	if (!found)
		return false;
	*next_due = DT_NOEND;
	*is_only = false;
	if (hint->key.run_at <= now)
		*is_only = !ReadAhead(scan, *lane);
	else if (!ScanFirstDue(scan, route_id, *lane, &JOB_KEY_BEGIN, now, hint, next_due))
		hint->key = JOB_KEY_END;
	return true;
}

/* Count due jobs of a key lane, up to "most". */
int
ScanCountDue(JobScan *scan, int32 route_id, int64 lane, TimestampTz now, int most)
{
	JobKey		from = JOB_KEY_BEGIN;
	ScanHint	hint;
	TimestampTz next_due;
	int			n = 0;

	if (!ScanFirstDue(scan, route_id, lane, &from, now, &hint, &next_due))
		return 0;
	do
	{
		if (hint.key.run_at <= now)
			n++;
		else
		{
			from = (JobKey){ hint.key.priority, DT_NOEND, PG_INT64_MAX };
			ScanKeyLane(scan, route_id, lane, &from);
		}
	} while (n < most && ScanNext(scan, &hint));
	return n;
}
