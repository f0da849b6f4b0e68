/*
 * key_lane_take.c
 *	  What claims take from the lanes of a route, and when lanes wait.
 *
 * A claim takes a lane with its first job, tries to start that, and lets the lane go.  If a
 * limit has no room for a value of the job, the lane waits for that value.  When a job with
 * the value ends, the first of the lanes that wait for it is let go in each route, as one
 * more job can start.  When a claim has tried such a lane, and there is room still, it lets
 * the next one go: its own may have had no job any more, or wait for another value now.
 *
 * The claim lets the lane wait first, and then asks again whether there is room.  A release
 * frees the value first, and then looks for lanes that wait.  So one of them sees the other.
 *
 * When a claim takes the last room of a value, its lane waits at once.  Otherwise nobody
 * would be woken by the release for the second job of a lane that nobody has tried since.
 * For the same reason a claim that finds no job, because another one has a lane taken, is
 * counted, and a process is woken for it when that lane is let go.
 */
#include "taskq.h"

#include "access/xact.h"
#include "miscadmin.h"

#include "base/guc.h"
#include "ready/key_lane_int.h"
#include "ready/ready_int.h"
#include "shared/rates.h"
#include "shared/shmem.h"
#include "shared/wake.h"

/* The lane that this process has taken. */
static struct
{
	bool   any;
	int32  route_id;
	int64  lane;
	uint64 number;
} taken = { false };

/* taking ----------------------------------------------------------------------- */

/*
 * Take the first lane of a route, if it does not come after the bound.  The
 * caller tries to start the job, and then calls KeyLaneLetGo().
 */
bool
KeyLaneTake(int32 route_id, const LaneBound *bound, LaneTaken *lane)
{
	LaneRoute *route;
	LaneEntry *entry = NULL;

	Assert(!taken.any);
	LWLockAcquire(&lane_memory->lock, LW_EXCLUSIVE);
	route = LaneRouteFind(route_id);
	if (route != NULL)
		entry = LaneFirst(route->first);
	if (entry != NULL && entry->is_exact && !TagPrecedes(bound->tag, entry->tag) &&
		(route->turns.queue_id != 0 || LaneCompare(&entry->first.key, &bound->key) <= 0))
	{
		LaneUnlist(entry);
		entry->state = LANE_TAKEN;
		entry->taken = taken.number = ++lane_memory->numbers;
		entry->pushed.key = LANE_KEY_END;
		route->n_taken++;
		*lane = (LaneTaken){ entry->key.lane, entry->first, entry->tag, route->turns.queue_id == 0 || entry->knows_group };
		taken.any = true;
		taken.route_id = route_id;
		taken.lane = lane->lane;
	}
	LWLockRelease(&lane_memory->lock);
	return taken.any;
}

/* The jobs of the lane that was taken are of this group.  Has it its turn now? */
bool
KeyLaneGroup(int64 group)
{
	LaneEntry *entry;
	uint64	   tag;
	bool	   is_late = false;

	Assert(taken.any);
	LWLockAcquire(&lane_memory->lock, LW_EXCLUSIVE);
	entry = LaneFindEntry(taken.route_id, taken.lane);
	if (entry != NULL && entry->state == LANE_TAKEN && entry->taken == taken.number)
	{
		entry->group = group;
		entry->knows_group = true;
		is_late = LaneIsLate(entry, &tag);
	}
	LWLockRelease(&lane_memory->lock);
	return !is_late;
}

/*
 * When may another job start with the value that lanes wait for?  0: now; HELD_NEVER: not
 * before it is freed.
 */
static int64
RoomAt(const HeldWait *wait, bool *reserve)
{
	if (wait->value.kind == HELD_JOBS)
		return HoldersHaveRoom(wait) ? 0 : HELD_NEVER;
	return RatesRoomAt(wait, reserve);
}

/* Find or make the entry of a wait.  Returns NULL if there is no room. */
static LaneWait *
MakeWait(LaneRoute *route, const HeldWait *waits_for)
{
	LaneWaitKey key = { MyDatabaseId, route->key.route_id };
	LaneWait   *wait;
	bool		found;

	memcpy(&key.value, &waits_for->value, sizeof(HeldValue));
	wait = hash_search(lane_waits, &key, HASH_ENTER_NULL, &found);
	if (wait == NULL)
		return NULL;
	wait->most = waits_for->most;
	wait->weight = waits_for->weight;
	if (found)
		return wait;
	wait->until = HELD_NEVER;
	wait->route = route;
	wait->n_lanes = 0;
	wait->first = NULL;
	route->n_waits++;
	route->n_waits_for[waits_for->value.kind]++;
	LaneRouteShow(route);
	return wait;
}

/*
 * A lane that was taken is let go.  A job that was added meanwhile may be its first one, or
 * nothing is known of it any more, see ListDue().  Returns whether that is so.
 */
static bool
UsePushed(LaneEntry *entry)
{
	if (LaneCompare(&entry->pushed.key, &entry->first.key) >= 0)
		return false;
	entry->is_exact = LaneCompare(&entry->pushed.key, &LANE_KEY_BEGIN) != 0;
	LaneMayHaveMore(entry);
	entry->turn++;
	entry->first = entry->pushed;
	entry->pushed.key = LANE_KEY_END;
	return true;
}

/* A lane that was taken waits for a value. */
static void
LetWait(LaneEntry *entry, const HeldWait *waits_for)
{
	LaneWait *wait = MakeWait(entry->route, waits_for);

	if (wait == NULL)
	{
		LaneRouteClear(entry->route);
		return;
	}
	if (entry->wait != wait)
	{
		if (entry->wait != NULL)
			(void) LaneLetNextGo(entry->wait);
		LaneLeaveWait(entry);
		entry->wait = wait;
		wait->n_lanes++;
	}
	LaneWaitFor(entry, wait);
	entry->wakes = waits_for->value.kind == HELD_RATE;
	if (waits_for->until < wait->until)
		LaneWaitUntil(wait, waits_for->until);
}

/* Let the next of the lanes go that wait, or at the moment when it may.  Returns whether one was let go. */
static bool
TryNext(LaneWait *wait, bool *reserve)
{
	HeldWait waits_for = { wait->key.value, wait->most, wait->weight };
	int64	 at = RoomAt(&waits_for, reserve);

	if (at == 0)
		return LaneLetNextGo(wait);
	if (at < wait->until)
		LaneWaitUntil(wait, at);
	return false;
}

/* A lane that was taken does not wait.  Returns whether another one was let go. */
static bool
LetContinue(LaneEntry *entry, bool *reserve)
{
	LaneWait *wait = entry->wait;
	bool	  others = wait != NULL && TryNext(wait, reserve);

	LaneLeaveWait(entry);
	if (LaneCompare(&entry->first.key, &LANE_KEY_END) < 0)
		LaneList(entry);
	else
		LaneRemoveIfEmpty(entry);
	return others;
}

/* The first job of a lane that was taken has started, or is not there.  Only the job after it may be the first. */
static void
PassFirst(LaneEntry *entry)
{
	entry->turn++;
	if (entry->n_ahead > 0)
	{
		entry->first = entry->ahead[0];
		memmove(entry->ahead, &entry->ahead[1], sizeof(LaneHint) * --entry->n_ahead);
	}
	else if (entry->is_whole)
		entry->first.key = LANE_KEY_END;
	else
	{
		entry->is_exact = false;
		if (entry->first.key.key.job_id < PG_INT64_MAX)
			entry->first.key.key.job_id++;
	}
}

/*
 * Let the lane go that was taken, if there is one.  With "passed", its first job has started
 * or is not there.  "waits_for" is a value without room because of which no job of the lane
 * can start, or NULL.  If the route has lanes that wait for a moment that nobody watches,
 * wakes somebody who does.  Cannot fail.
 */
void
KeyLaneLetGo(bool passed, const HeldWait *waits_for)
{
	LaneRoute *route;
	LaneEntry *entry;
	uint32	   n = 0;
	bool	   reserve = false;
	bool	   unwatched = false;
	bool	   wakes = false;

	if (!taken.any)
		return;
	taken.any = false;
	LWLockAcquire(&lane_memory->lock, LW_EXCLUSIVE);
	route = LaneRouteFind(taken.route_id);
	entry = LaneFindEntry(taken.route_id, taken.lane);
	if (route != NULL)
		n = pg_atomic_exchange_u32(&route->missed, 0);
	if (entry != NULL && entry->state == LANE_TAKEN && entry->taken == taken.number)
	{
		route->n_taken--;
		entry->state = LANE_EMPTY;
		if (passed)
			PassFirst(entry);
		if (UsePushed(entry) && LANE_IN_ORDER(taken.lane))
			waits_for = NULL; /* another job may be the first one now, and not wait for this value */
		if (waits_for != NULL && LaneCompare(&entry->first.key, &LANE_KEY_END) < 0)
			LetWait(entry, waits_for);
		else
		{
			wakes = passed && entry->wakes;
			n += LetContinue(entry, &reserve) ? 1 : 0;
		}
		unwatched = LaneIsUnwatched(route);
	}
	LWLockRelease(&lane_memory->lock);
	ReadyNoteChange(taken.route_id);
	if (waits_for != NULL && waits_for->value.kind != HELD_MEMORY && RoomAt(waits_for, &reserve) == 0)
		KeyLanesFreed(&waits_for->value, 1);
	if (reserve)
		RatesAskForPortion();
	if (wakes)
		(void) WakeWaiters(MyDatabaseId, taken.route_id, 1);
	if (unwatched && !LaneIsNoted(taken.route_id))
		n = Max(n, 1);
	if (n > 0)
		LaneWakeFor(taken.route_id, n);
}

/*
 * The first job of the lane that was taken cannot start now, and no other one of the lane
 * can.  Let the lane wait until a job of it is added again, or has left it.  The caller looks
 * afterwards whether the first job is still the same.
 */
void
KeyLaneStall(void)
{
	LaneEntry *entry;

	if (!taken.any)
		return;
	LWLockAcquire(&lane_memory->lock, LW_EXCLUSIVE);
	entry = LaneFindEntry(taken.route_id, taken.lane);
	if (entry != NULL && entry->state == LANE_TAKEN && entry->taken == taken.number && !UsePushed(entry))
	{
		taken.any = false;
		entry->route->n_taken--;
		entry->state = LANE_EMPTY;
		LaneLeaveUntried(entry);
		/* the same job may be added again */
		LanePutBehind(entry, entry->first.key.key.job_id);
	}
	LWLockRelease(&lane_memory->lock);
	KeyLaneLetGo(false, NULL);
}
