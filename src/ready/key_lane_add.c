/*
 * key_lane_add.c
 *	  Adding jobs to the entry of a lane, and what is known of its first jobs (key_lane.c).
 *
 * The caller of each of these functions holds the lock.  They allocate no memory and cannot
 * fail.
 */
#include "taskq.h"

#include "ready/key_lane_int.h"

/* Jobs may follow the first one that are not known. */
void
LaneMayHaveMore(LaneEntry *entry)
{
	entry->n_ahead = 0;
	entry->is_whole = false;
}

/* Add a job that follows the first one to those ahead, if it is not behind a job that is not known. */
static void
AddAhead(LaneEntry *entry, const LaneHint *hint)
{
	int at = 0;

	while (at < entry->n_ahead && LaneCompare(&entry->ahead[at].key, &hint->key) < 0)
		at++;
	if (at < entry->n_ahead && LaneCompare(&entry->ahead[at].key, &hint->key) == 0)
		return;
	if (at == entry->n_ahead && !entry->is_whole)
		return;
	if (entry->n_ahead == LANE_AHEAD)
		entry->is_whole = false;
	else
		entry->n_ahead++;
	if (at == LANE_AHEAD)
		return;
	memmove(&entry->ahead[at + 1], &entry->ahead[at], sizeof(LaneHint) * (entry->n_ahead - at - 1));
	entry->ahead[at] = *hint;
}

/* A due job precedes what is known of the lane, which is in no heap. */
static void
SetFirst(LaneEntry *entry, const LaneHint *hint)
{
	LaneHint before = entry->first;

	entry->first = *hint;
	if (!entry->is_exact)
		LaneMayHaveMore(entry);
	else if (LaneCompare(&before.key, &LANE_KEY_END) < 0)
		AddAhead(entry, &before);
	entry->is_exact = true;
}

/* Nothing is known of the first job of a lane, which is in no heap. */
void
LaneForgetFirst(LaneEntry *entry)
{
	entry->first.key = LANE_KEY_BEGIN;
	entry->is_exact = false;
	LaneMayHaveMore(entry);
	entry->pushed.key = LANE_KEY_END;
	entry->turn++;
}

/* Have a lane read again that is not taken, as its first job may be another one, which may not wait. */
void
LaneReread(LaneEntry *entry)
{
	LaneState state = entry->state;

	Assert(state != LANE_TAKEN);
	LaneUnlist(entry);
	if (state == LANE_WAITS)
		LaneLeaveWait(entry);
	LaneUndue(entry);
	LaneForgetFirst(entry);
	if (state == LANE_EMPTY || state == LANE_BEHIND || state == LANE_WAITS)
		LaneJoin(entry);
	LaneList(entry);
}

/*
 * Add a job to a lane whose jobs start in the order of their ids.  Which of them is first is
 * read from the index, as it may be of another route, or not be due.
 */
static void
AddInOrder(LaneEntry *entry, const LaneHint *hint)
{
	bool is_known = entry->state == LANE_WAITS || (entry->state == LANE_LISTED && entry->is_exact);
	bool is_later = hint->key.key.job_id > entry->first.key.key.job_id;

	if (entry->state == LANE_TAKEN)
		entry->pushed.key = LANE_KEY_BEGIN;
	else if (entry->state == LANE_BEHIND ? !is_later : !is_known || !is_later || LaneCompare(&hint->key, &entry->first.key) < 0)
		LaneReread(entry);
}

/* Add a due job to a lane. */
void
LaneAdd(LaneEntry *entry, const LaneHint *hint)
{
	LaneState state = entry->state;
	int		  order = LaneCompare(&hint->key, &entry->first.key);

	if (LANE_IN_ORDER(entry->key.lane))
	{
		AddInOrder(entry, hint);
		return;
	}
	if ((state == LANE_TAKEN || !entry->is_exact) && LaneCompare(&hint->key, &entry->pushed.key) < 0)
		entry->pushed = *hint;
	if (order > 0 && entry->is_exact)
		AddAhead(entry, hint);
	if (state == LANE_TAKEN || order >= 0)
		return;
	LaneUnlist(entry);
	SetFirst(entry, hint);
	if (state == LANE_EMPTY)
		LaneJoin(entry);
	if (state == LANE_WAITS)
		LaneWaitFor(entry, entry->wait);
	else
		LaneList(entry);
}
