/*
 * lane_cursor.c
 *	  One route in the look of a claim: its first due job that is in a lane.
 *
 * Shared memory knows the lanes of a route and their first jobs (ready/key_lane.c).  Where
 * it does not, and for jobs that the current transaction has added itself, the claim reads
 * the index (lane_reader.c).
 */
#include "taskq.h"

#include "miscadmin.h"

#include "claim/heads.h"
#include "claim/lane_cursor.h"
#include "claim/lane_first.h"
#include "claim/lane_reader.h"
#include "config/limit.h"
#include "config/weight.h"
#include "job/lane.h"
#include "job/order.h"
#include "ready/key_lane.h"
#include "ready/ready.h"

static JobKey
JobKeyOf(const LaneKey *key)
{
	return (JobKey){ key->priority, key->key.run_at, key->key.job_id };
}

/*
 * Is no job of this database in a lane?  If nothing is known, the index is read, once in
 * a claim.
 */
static bool
AreAbsent(ClaimScan *scan)
{
	uint64	 state = KeyLanesState();
	ScanHint hint;

	if (KeyLanesAbsent())
		return true;
	if (!KeyLanesUnknown(state))
		return false;
	if (!scan->lanes_looked)
	{
		scan->lanes_absent = !ScanAny(LanesOpen(scan), &hint);
		ScanRest(&scan->lanes);
		if (scan->lanes_absent)
			KeyLanesNoteAbsent(state);
		scan->lanes_looked = true;
	}
	return scan->lanes_absent;
}

/* memory ---------------------------------------------------------------------- */

/* Add the lanes of a route to the memory. */
static void
Learn(ClaimScan *scan, int32 route_id)
{
	uint64		number = KeyLanesLearnBegin(route_id);
	JobScan	   *lanes;
	int64		lane = PG_INT64_MIN;
	ScanHint	hint;
	TimestampTz next_due;
	bool		is_only;
	bool		all = true;

	if (number == 0)
		return;
	lanes = LanesOpen(scan);
	while (all && ScanNextLane(lanes, route_id, &lane, scan->now, &hint, &next_due, &is_only))
	{
		LaneHint first = LaneHintOf(&hint);

		CHECK_FOR_INTERRUPTS();
		if (OrderHolds(route_id, lane))
			all = KeyLanesLearn(route_id, number, lane, &first, false, DT_NOEND); /* the first one is read later */
		else
			all = KeyLanesLearn(route_id, number, lane, hint.key.run_at <= scan->now ? &first : NULL, is_only, next_due);
	}
	ScanRest(lanes);
	KeyLanesLearnEnd(route_id, number, all);
}

/* Read what the memory does not know of the first lane of a route. */
static void
Read(ClaimScan *scan, int32 route_id, const LanePlace *place)
{
	JobKey		from = JobKeyOf(&place->key);
	JobScan	   *lanes;
	LaneJobs	found = { 0 };
	ScanHint	hint;
	TimestampTz next_due;
	bool		any;

	if (OrderHolds(route_id, place->lane))
	{
		LaneReadFirst(scan, route_id, place);
		return;
	}
	lanes = LanesOpen(scan);
	any = ScanFirstDue(lanes, route_id, place->lane, &from, scan->now, &hint, &next_due);
	while (any && hint.key.run_at <= scan->now && found.n < lengthof(found.jobs))
	{
		found.jobs[found.n++] = LaneHintOf(&hint);
		any = ScanNext(lanes, &hint);
	}
	found.is_whole = !any;
	ScanRest(lanes);
	KeyLaneRead(route_id, place, &found, next_due);
}

/* Ask the memory for the first due job of a route.  Returns whether it knows, and sets *any. */
static bool
AskMemory(ClaimScan *scan, ClaimCursor *cursor, JobKey *key, bool *any)
{
	bool has_learnt = false;

	for (;;)
	{
		LanePlace	place;
		TimestampTz changes_at;
		LaneTurns	turns = LimitsOfRoute(cursor->route_id)->turns;
		LaneLook	look = KeyLanePeek(cursor->route_id, &turns, scan->now, &place, &changes_at, &cursor->timed);

		if ((look == LANE_LOOK_READ || look == LANE_LOOK_HEAD) && OrderIsStray(cursor->route_id, place.lane))
		{
			KeyLaneBehind(cursor->route_id, &place, place.key.key.job_id, DT_NOEND);
			KeyLanesStray();
			continue;
		}
		if (look == LANE_LOOK_READ)
		{
			CHECK_FOR_INTERRUPTS();
			Read(scan, cursor->route_id, &place);
			continue;
		}
		if (look == LANE_LOOK_UNKNOWN && !has_learnt)
		{
			Learn(scan, cursor->route_id);
			has_learnt = true;
			continue;
		}
		if (look == LANE_LOOK_UNKNOWN || look == LANE_LOOK_UNLISTED)
			return false;
		cursor->changes_at = Min(cursor->changes_at, changes_at);
		*any = look == LANE_LOOK_HEAD;
		if (*any)
		{
			*key = JobKeyOf(&place.key);
			cursor->tag = place.tag;
		}
		return true;
	}
}

/* for the cursor --------------------------------------------------------------- */

/*
 * Find the first due job of the route that is in a lane.  Returns false if none is due, or
 * if the route has no lanes.
 */
bool
LaneCursorHead(ClaimScan *scan, ClaimCursor *cursor, JobKey *key)
{
	bool any = false;

	if (cursor->reader == NULL)
	{
		bool reads_own = scan->heads_see_own && ReadyOpenedHere(cursor->route_id);

		if (!reads_own && AreAbsent(scan))
			return false;
		if (!reads_own && AskMemory(scan, cursor, key, &any))
			return any;
		if (reads_own)
			KeyLanesNoteUnseen();
		LaneReaderBegin(scan, cursor);
	}
	return LaneReaderHead(scan, cursor, key);
}

/* Take the first job, if it does not come after the bound. */
bool
LaneCursorTake(ClaimScan *scan, ClaimCursor *cursor, const HeadsBound *bound)
{
	LaneBound last = { bound->tag, { bound->key.priority, { bound->key.run_at, bound->key.job_id } } };
	LaneTaken taken;
	ReadyHint held;

	Assert(!cursor->has_lane_hint);
	if (cursor->age_every != 0)
		last.key = LANE_KEY_END; /* the bound is a place */
	if (cursor->reader != NULL)
	{
		LaneReaderTake(cursor);
		cursor->has_lane_hint = cursor->knows_group = true;
		return true;
	}
	ReadyReserve(1);
	if (!KeyLaneTake(cursor->route_id, &last, &taken))
		return false;
	held = (ReadyHint){ taken.first.key.key, taken.first.tid };
	ReadyHeld(cursor->route_id, taken.first.key.priority, taken.lane, &held, 1);
	cursor->lane_hint = (ScanHint){ JobKeyOf(&taken.first.key), taken.first.tid };
	cursor->has_lane_hint = true;
	cursor->lane = taken.lane;
	cursor->knows_group = taken.knows_group;
	cursor->tag = taken.tag;
	return true;
}

/*
 * The job that was taken has this row.  Has its group its turn?  If the group was not known,
 * the lane was taken as if nothing had ever been started for it.
 */
bool
LaneCursorHasTurn(ClaimCursor *cursor, TupleTableSlot *row)
{
	return cursor->knows_group || KeyLaneGroup(GroupOfRow(cursor->route_id, row));
}

/* The job that was taken was tried, see ChoosePass(). */
void
LaneCursorPass(ClaimScan *scan, ClaimCursor *cursor, bool passed, const HeldWait *waits_for)
{
	Assert(cursor->has_lane_hint);
	cursor->has_lane_hint = false;
	if (cursor->reader != NULL)
		LaneReaderPass(scan, cursor, true, waits_for);
	else
		KeyLaneLetGo(passed, waits_for);
}

/* Only the first job of a lane in which jobs are in order can be tried.  So the lane is kept until that has started. */
bool
LaneCursorInOrder(const ClaimCursor *cursor)
{
	return cursor->in_lane && OrderHolds(cursor->route_id, cursor->lane);
}

/* The job that was taken cannot start now, so no other job of its lane can. */
void
LaneCursorStall(ClaimScan *scan, ClaimCursor *cursor)
{
	Assert(cursor->has_lane_hint);
	cursor->has_lane_hint = false;
	if (cursor->reader != NULL)
		LaneReaderPass(scan, cursor, false, NULL);
	else
	{
		KeyLaneStall();
		LaneLookAgain(scan, cursor->route_id, cursor->lane, &cursor->lane_hint);
	}
}

/* Count due jobs of the route that are in lanes that do not wait, up to "most". */
int
LaneCursorCount(ClaimScan *scan, ClaimCursor *cursor, int most)
{
	int64 *lane_ids;
	JobKey head;
	int	   n;
	int	   due = 0;

	cursor->changes_at = DT_NOEND;
	if (most <= 0 || !LaneCursorHead(scan, cursor, &head))
	{
		scan->next_due = Min(scan->next_due, cursor->changes_at);
		return 0;
	}
	scan->next_due = Min(scan->next_due, cursor->changes_at);
	if (cursor->reader != NULL)
		return LaneReaderCount(cursor, most);
	lane_ids = palloc(sizeof(int64) * most);
	n = KeyLanesListed(cursor->route_id, lane_ids, most);
	for (int i = 0; i < n && due < most; i++)
	{
		ScanHint hint;

		if (OrderHolds(cursor->route_id, lane_ids[i]))
			due += LaneFindFirst(scan, cursor->route_id, lane_ids[i], &hint) == FIRST_DUE ? 1 : 0;
		else
			due += ScanCountDue(LanesOpen(scan), cursor->route_id, lane_ids[i], scan->now, most - due);
	}
	ScanRest(&scan->lanes);
	pfree(lane_ids);
	return due;
}
