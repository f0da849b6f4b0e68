/*
 * key_lane_look.c
 *	  Looking for the first due job of a route that is in a lane (key_lane.c).
 */
#include "taskq.h"

#include "miscadmin.h"

#include "ready/key_lane_int.h"

/* Lanes in which a job has become due have an unknown first job. */
static void
ListDue(LaneRoute *route, TimestampTz now)
{
	LaneEntry *entry;

	while ((entry = LaneNextDue(route)) != NULL && entry->due_at <= now)
	{
		LaneState state = entry->state;

		LaneUndue(entry);
		if (state == LANE_TAKEN)
		{
			/* it is read when it is let go */
			entry->pushed.key = LANE_KEY_BEGIN;
			continue;
		}
		if (LANE_IN_ORDER(entry->key.lane))
		{
			LaneReread(entry);
			continue;
		}
		LaneUnlist(entry);
		LaneForgetFirst(entry);
		if (state == LANE_EMPTY)
			LaneJoin(entry);
		if (state == LANE_WAITS)
			LaneWaitFor(entry, entry->wait);
		else
			LaneList(entry);
	}
}

/*
 * The clock may have been set back, so that the first job of a lane is not due any more.
 * Nothing is known of the lane then.
 */
static void
ListNotDue(LaneRoute *route, TimestampTz now)
{
	LaneEntry *entry;

	while ((entry = LaneFirst(route->first)) != NULL && entry->is_exact && entry->first.key.key.run_at > now)
	{
		LaneUnlist(entry);
		LaneDue(entry, entry->first.key.key.run_at);
		LaneForgetFirst(entry);
		LaneList(entry);
	}
}

/* The group of the first lane may have had turns in other routes. */
static void
ListLate(LaneRoute *route)
{
	LaneEntry *entry;
	uint64	   tag;

	while ((entry = LaneFirst(route->first)) != NULL && LaneIsLate(entry, &tag))
		LaneSetTag(entry, tag);
}

/* Do the lanes of a route take their turns in another way than this? */
static bool
DifferTurns(const LaneRoute *route, const LaneTurns *turns)
{
	return route->turns.queue_id != turns->queue_id || route->turns.fair_by != turns->fair_by;
}

/* Must the heaps be changed before the route is looked at? */
static bool
IsOutdated(const LaneRoute *route, const LaneTurns *turns, TimestampTz now)
{
	LaneEntry *first = LaneFirst(route->first);
	LaneEntry *due = LaneNextDue(route);
	uint64	   tag;

	if (DifferTurns(route, turns) || (first != NULL && LaneIsLate(first, &tag)))
		return true;

	return (due != NULL && due->due_at <= now) || LaneTimeHasPassed(route) ||
		   (first != NULL && first->is_exact && first->first.key.key.run_at > now);
}

/*
 * Look at the first lane of a route.  The caller holds the lock.  If there is none, but
 * another claim has taken a lane, that may have a second job; then the other claim wakes a
 * process when it lets the lane go.
 */
static LaneLook
Look(LaneRoute *route, LanePlace *place, TimestampTz *changes_at)
{
	LaneEntry *entry = LaneFirst(route->first);
	LaneEntry *due = LaneNextDue(route);

	if (due != NULL)
		*changes_at = due->due_at;
	if (entry == NULL && route->n_taken > 0)
		(void) pg_atomic_fetch_add_u32(&route->missed, 1);
	if (entry == NULL)
		return LANE_LOOK_NOTHING;
	*place = (LanePlace){ entry->key.lane, entry->first.key, entry->tag, entry->turn };
	return entry->is_exact ? LANE_LOOK_HEAD : LANE_LOOK_READ;
}

/*
 * Find the first due job of a route that is in a lane.  "changes_at" is set to the moment
 * when another may be the first because it becomes due.  With *timed, another may also be
 * the first because lanes wait until a moment of another clock.
 */
LaneLook
KeyLanePeek(int32 route_id, const LaneTurns *turns, TimestampTz now, LanePlace *place, TimestampTz *changes_at, bool *timed)
{
	LaneRoute *route;
	LaneLook   look;
	int		   n = 0;

	*changes_at = DT_NOEND;
	*timed = false;
	if (lane_memory == NULL)
		return LANE_LOOK_UNLISTED;
	LWLockAcquire(&lane_memory->lock, LW_SHARED);
	route = LaneRouteFind(route_id);
	if (route != NULL && IsOutdated(route, turns, now))
	{
		LWLockRelease(&lane_memory->lock);
		LWLockAcquire(&lane_memory->lock, LW_EXCLUSIVE);
		route = LaneRouteFind(route_id);
		if (route != NULL)
		{
			n = LanePassTime(route);
			if (DifferTurns(route, turns))
				LanesTakeTurns(route, turns);
			ListDue(route, now);
			ListNotDue(route, now);
			ListLate(route);
		}
	}
	if (route == NULL)
		look = LANE_LOOK_UNKNOWN;
	else if (!route->known)
		look = route->learn_at <= now ? LANE_LOOK_UNKNOWN : LANE_LOOK_UNLISTED;
	else
		look = Look(route, place, changes_at);
	*timed = route != NULL && route->timed != NULL;
	LWLockRelease(&lane_memory->lock);
	if (*timed)
		LaneNoteRoute(route_id);
	if (n > 1)
		LaneWakeFor(route_id, n - 1); /* this process takes one of them */
	return look;
}

/* Is a lane as it was when its place was returned? */
static bool
IsAt(const LaneEntry *entry, const LanePlace *place)
{
	return entry != NULL && entry->state == LANE_LISTED && entry->turn == place->turn &&
		   LaneCompare(&entry->first.key, &place->key) == 0;
}

/*
 * Set the first job of a lane that was read.  A job that was added meanwhile may be the first
 * one.  Others may be added then between those that were read, so only the first is known.
 */
static void
SetRead(LaneEntry *entry, const LaneJobs *found)
{
	bool is_all = LaneCompare(&entry->pushed.key, &LANE_KEY_END) == 0;

	entry->first = entry->pushed;
	if (found->n > 0 && LaneCompare(&found->jobs[0].key, &entry->first.key) < 0)
		entry->first = found->jobs[0];
	entry->is_exact = true;
	entry->is_whole = is_all && found->is_whole;
	entry->n_ahead = is_all && found->n > 0 ? found->n - 1 : 0;
	memcpy(entry->ahead, &found->jobs[1], sizeof(LaneHint) * entry->n_ahead);
}

/*
 * A lane was read from this place on: these are its first due jobs, and another one may become
 * the first at "next_due".
 */
void
KeyLaneRead(int32 route_id, const LanePlace *place, const LaneJobs *found, TimestampTz next_due)
{
	LaneEntry *entry;

	LWLockAcquire(&lane_memory->lock, LW_EXCLUSIVE);
	entry = LaneFindEntry(route_id, place->lane);
	if (IsAt(entry, place) && !entry->is_exact)
	{
		LaneUnlist(entry);
		SetRead(entry, found);
		LaneDue(entry, next_due);
		if (LaneCompare(&entry->first.key, &LANE_KEY_END) < 0)
			LaneList(entry);
		else
		{
			LaneLeaveUntried(entry);
			LaneRemoveIfEmpty(entry);
		}
	}
	LWLockRelease(&lane_memory->lock);
}

/*
 * No job of a lane can start before this one leaves it: it is of another route, or not due
 * before "due_at", or must be moved.  The caller looks afterwards whether it is there still.
 */
void
KeyLaneBehind(int32 route_id, const LanePlace *place, int64 job_id, TimestampTz due_at)
{
	LaneEntry *entry;

	LWLockAcquire(&lane_memory->lock, LW_EXCLUSIVE);
	entry = LaneFindEntry(route_id, place->lane);
	if (IsAt(entry, place))
	{
		LaneUnlist(entry);
		LaneLeaveUntried(entry);
		LanePutBehind(entry, job_id);
		LaneDue(entry, due_at);
	}
	LWLockRelease(&lane_memory->lock);
}

/* The job has left the lane, or was moved. */
void
KeyLaneLookAgain(int32 route_id, int64 lane)
{
	LaneEntry *entry;

	LWLockAcquire(&lane_memory->lock, LW_EXCLUSIVE);
	entry = LaneFindEntry(route_id, lane);
	if (entry != NULL && entry->state == LANE_BEHIND)
		LaneReread(entry);
	LWLockRelease(&lane_memory->lock);
}

/* Find lanes whose jobs are due and that do not wait.  Returns their number. */
static int
CopyLanes(pairingheap_node *node, int64 *lane_ids, int n, int most)
{
	for (; node != NULL && n < most; node = node->next_sibling)
	{
		const LaneEntry *entry = LaneFirst(node);

		lane_ids[n++] = entry->key.lane;
		if (entry->in_group != NULL && entry->in_group->head == entry)
			n = CopyLanes(entry->in_group->others, lane_ids, n, most);
		n = CopyLanes(node->first_child, lane_ids, n, most);
	}
	return n;
}

/* Copy some of the lanes of a route that have a due job and do not wait. */
int
KeyLanesListed(int32 route_id, int64 *lane_ids, int most)
{
	LaneRoute *route;
	int		   n = 0;

	LWLockAcquire(&lane_memory->lock, LW_SHARED);
	route = LaneRouteFind(route_id);
	if (route != NULL)
		n = CopyLanes(route->first, lane_ids, 0, most);
	LWLockRelease(&lane_memory->lock);
	return n;
}

/* Do all lanes of a route with due jobs wait for a limit?  If so, returns for what. */
bool
KeyLanesAllWait(int32 route_id, LaneWaits *waits)
{
	LaneRoute *route;
	bool	   all;

	if (lane_memory == NULL)
		return false;
	LWLockAcquire(&lane_memory->lock, LW_SHARED);
	route = LaneRouteFind(route_id);
	all = route != NULL && route->known && route->first == NULL && route->n_waits + route->n_behind > 0;
	if (all)
	{
		waits->kind = HELD_JOBS;
		while (route->n_waits > 0 && route->n_waits_for[waits->kind] == 0)
			waits->kind++;
		waits->until = LaneFirstMoment(route);
	}
	LWLockRelease(&lane_memory->lock);
	return all;
}
