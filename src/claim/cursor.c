/*
 * cursor.c
 *	  One route in the look of a claim: its first due job.
 *
 * The ready list knows the first job of a route (ready.c).  If the list has no entry
 * for a route, the cursor reads the index, a few hints ahead.  The index orders the
 * jobs of one priority by run_at, so the cursor seeks the next priority as soon as it
 * meets a future job.  It never walks through future jobs, nor through jobs of other
 * routes.
 */
#include "taskq.h"

#include "utils/memutils.h"

#include "claim/cursor.h"
#include "claim/heads.h"
#include "claim/lane_cursor.h"
#include "config/limit.h"
#include "ready/key_lane.h"
#include "ready/ready.h"

/*
 * Must the claim read the index of this route?  The ready list does not have the
 * jobs that the current transaction has added.
 */
bool
CursorMustRead(int32 route_id, bool sees_own)
{
	return !ReadyInUse() || (sees_own && ReadyOpenedHere(route_id));
}

/* Empty the cursor's hints, and make room for them. */
void
CursorMakeHints(ClaimScan *scan, ClaimCursor *cursor)
{
	if (cursor->hints == NULL)
		cursor->hints = MemoryContextAlloc(scan->context, sizeof(ScanHint) * scan->ahead);
	cursor->at = cursor->n_hints = 0;
}

/* Read the next hints of a route. */
void
CursorReadAhead(ClaimScan *scan, ClaimCursor *cursor)
{
	ScanHint hint;

	if (cursor->age_every != 0)
	{
		CursorReadAged(scan, cursor);
		return;
	}
	CursorMakeHints(scan, cursor);
	ScanRoute(&scan->scan, cursor->route_id, &cursor->after);
	while (cursor->n_hints < scan->ahead)
	{
		if (!ScanNext(&scan->scan, &hint))
		{
			cursor->finished = true;
			break;
		}
		cursor->after = hint.key;
		if (hint.key.run_at <= scan->now)
		{
			cursor->hints[cursor->n_hints++] = hint;
			continue;
		}
		/* the rest of this priority is in the future too: seek the next priority */
		scan->next_due = Min(scan->next_due, hint.key.run_at);
		cursor->after.run_at = DT_NOEND;
		cursor->after.job_id = PG_INT64_MAX;
		ScanRoute(&scan->scan, cursor->route_id, &cursor->after);
	}
	ScanRest(&scan->scan);
}

/* Ask the ready list what it knows of the first due job. */
static ReadyLook
Peek(ClaimScan *scan, ClaimCursor *cursor, ReadyKey *key)
{
	ReadyKey  second;
	ReadyLook look;

	if (cursor->age_every == 0)
		return ReadyPeek(cursor->route_id, scan->now, &cursor->priority, key, &cursor->changes_at);
	look = ReadyPeekAged(cursor->route_id, scan->now, cursor->age_every, &cursor->priority, key, &second, &cursor->changes_at);
	cursor->second = (JobKey){ 0, second.run_at, second.job_id };
	return look;
}

/* Ask the ready list for the first due job of a route; returns false if none is due. */
static bool
AskList(ClaimScan *scan, ClaimCursor *cursor, JobKey *key)
{
	const ReadyKey begin = READY_BEGIN;
	ReadyKey	   place = READY_END;
	ReadyLook	   look = Peek(scan, cursor, &place);

	if (look == READY_UNKNOWN)
	{
		ScanLearn(&scan->scan, cursor->route_id);
		look = Peek(scan, cursor, &place);
	}

	/*
	 * If the lane was not read yet, fill it now.  Otherwise, with many routes, each
	 * choice would ask for every one of them again.
	 */
	while (look == READY_FILL && ReadyCompare(&place, &begin) == 0 &&
		   ScanFill(&scan->scan, cursor->route_id, cursor->priority, scan->now, &begin, 0, NULL) == 0)
		look = Peek(scan, cursor, &place);
	if (look == READY_UNKNOWN || look == READY_UNLISTED)
		cursor->reads = true;
	cursor->must_fill = look == READY_FILL;
	*key = (JobKey){ cursor->priority, place.run_at, place.job_id };
	*key = CursorOrder(cursor, key);
	return look == READY_HINT || look == READY_FILL;
}

/* Does the first job come from the index, and not from shared memory? */
bool
CursorReads(const ClaimCursor *cursor)
{
	return cursor->in_lane ? cursor->reader != NULL : cursor->reads;
}

/* Was the first job taken, and not tried yet? */
bool
CursorHasHint(const ClaimCursor *cursor)
{
	return cursor->in_lane ? cursor->has_lane_hint : cursor->at < cursor->n_hints;
}

/* Return the job to try. */
const ScanHint *
CursorHint(const ClaimCursor *cursor)
{
	Assert(CursorHasHint(cursor));
	return cursor->in_lane ? &cursor->lane_hint : &cursor->hints[cursor->at];
}

/* Find the first due job that is in no lane. */
static bool
ListHead(ClaimScan *scan, ClaimCursor *cursor, JobKey *key)
{
	if (cursor->finished && cursor->at == cursor->n_hints)
		return false;
	if (!cursor->reads && AskList(scan, cursor, key))
		return true;
	if (!cursor->reads)
		return false;
	if (cursor->at == cursor->n_hints)
		CursorReadAhead(scan, cursor);
	if (cursor->at == cursor->n_hints)
		return false;
	*key = CursorOrder(cursor, &cursor->hints[cursor->at].key);
	return true;
}

/*
 * Find the first due job of a route: cursor->head, or a key before which there is none, and
 * in a fair queue cursor->tag.  Returns false if no job is due.
 *
 * If limits of the route ask for keys of its jobs, all of them belong into lanes.  Those
 * that are in none are moved by the scheduler, which is told that there are some.
 */
bool
CursorHead(ClaimScan *scan, ClaimCursor *cursor)
{
	bool   belongs = LimitsOfRoute(cursor->route_id)->keys != 0;
	bool   listed;
	JobKey in_lane;

	cursor->tag = 0;
	if (cursor->given_up)
		return false;
	listed = ListHead(scan, cursor, &cursor->head);
	if (belongs && listed)
	{
		KeyLanesStray();
		listed = false;
	}
	cursor->in_lane = LaneCursorHead(scan, cursor, &in_lane);
	if (cursor->in_lane)
		in_lane = CursorOrder(cursor, &in_lane);
	cursor->in_lane = cursor->in_lane && (!listed || HeadPrecedes(&in_lane, &cursor->head));
	if (cursor->in_lane)
		cursor->head = in_lane;
	return listed || cursor->in_lane;
}
