/*
 * key_lane_free.c
 *	  Letting lanes go that wait (key_lane_take.c), when a job can start that could not.
 *
 * That is so when a job that has held a value of a limit has ended, and, in an ordered queue,
 * when a job has left a lane.  No function of this file can fail.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "ready/key_lane_int.h"
#include "ready/ready_int.h"
#include "shared/shmem.h"
#include "shared/wake.h"

#define MAX_WOKEN 64 /* routes that one release wakes; with more than these, all processes are woken */

/* There is room for values that a claim may wait for.  Have everybody look. */
static void
WakeAll(void)
{
	WakeAllWaiters(MyDatabaseId);
	if (ShmemMyDatabase() != NULL)
		ShmemWakeScheduler(ShmemMyDatabase());
}

/* Return the lane whose order a value stands for, or 0. */
static int64
LaneOfValue(const HeldValue *value)
{
	int64 lane = 0;

	if (value->limit_id < 0)
		memcpy(&lane, value->value, sizeof(lane));
	return lane;
}

/* Let a lane go in a route, of those that wait for a value.  Returns false if none does. */
static bool
LetOneGo(int32 route_id, const HeldValue *value)
{
	LaneWaitKey key = { MyDatabaseId, route_id };
	LaneWait   *wait;

	memcpy(&key.value, value, sizeof(HeldValue));
	wait = hash_search(lane_waits, &key, HASH_FIND, NULL);
	if (wait != NULL)
		(void) LaneLetNextGo(wait);
	return wait != NULL;
}

/*
 * A job has left a lane in which jobs are in order, or has ended that had left it.  Have the
 * lane read in a route where another job may start now.  That may also be so if it waits for
 * a limit: its first job has left it without this lane, if it was run by its id, and the
 * next one may be under another limit.
 */
static bool
ComeUp(int32 route_id, int64 lane)
{
	LaneEntry *entry = LANE_IN_ORDER(lane) ? LaneFindEntry(route_id, lane) : NULL;

	if (entry == NULL || (entry->state != LANE_BEHIND && entry->state != LANE_WAITS))
		return false;
	LaneReread(entry);
	return true;
}

/*
 * Let a lane go in each route, of those that wait for this value, or which is this lane.  Wake
 * so many processes, also if a lane was let go that nobody has tried yet: it may have two jobs.
 */
static void
LetGo(const HeldValue *value, int64 lane, int most)
{
	int32			   route_ids[MAX_WOKEN];
	int				   n = 0;
	dlist_mutable_iter iter;

	if (lane_memory == NULL)
		return;
	pg_memory_barrier();
	if (KeyLanesUnseen(true))
		WakeAll();
	if (pg_atomic_read_u32(&lane_memory->n_stopped) == 0)
		return;
	LWLockAcquire(&lane_memory->lock, LW_EXCLUSIVE);
	dlist_foreach_modify (iter, &lane_memory->stopped)
	{
		LaneRoute *route = dlist_container(LaneRoute, node, iter.cur);
		int32	   route_id = route->key.route_id;
		bool	   any;

		if (route->key.dboid != MyDatabaseId)
			continue;
		any = value != NULL && LetOneGo(route_id, value);
		any |= ComeUp(route_id, lane);
		if (!any && route->known)
			continue;
		ReadyNoteChange(route_id);
		if (n < MAX_WOKEN)
			route_ids[n] = route_id;
		n++;
	}
	LWLockRelease(&lane_memory->lock);
	if (n > MAX_WOKEN)
		WakeAll();
	for (int i = 0; i < n && n <= MAX_WOKEN; i++)
		if (most == 1 || WakeWaiters(MyDatabaseId, route_ids[i], most) == 0)
			LaneWakeFor(route_ids[i], 1);
}

/* So many more jobs with this value of a limit can start.  Cannot fail. */
void
KeyLanesFreed(const HeldValue *value, int most)
{
	LetGo(value, LaneOfValue(value), most);
}

/* A job that has waited has left a lane in which jobs are in order, without having run.  Cannot fail. */
void
KeyLaneLeft(int64 lane)
{
	LetGo(NULL, lane, 1);
}

/* Limits have changed.  Let all lanes of this database go. */
void
KeyLanesFreeAll(void)
{
	HASH_SEQ_STATUS status;
	LaneEntry	   *entry;

	if (lane_memory == NULL)
		return;
	LWLockAcquire(&lane_memory->lock, LW_EXCLUSIVE);
	hash_seq_init(&status, lane_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry->key.dboid != MyDatabaseId || (entry->state != LANE_WAITS && entry->state != LANE_BEHIND))
			continue;
		if (entry->state == LANE_BEHIND || LANE_IN_ORDER(entry->key.lane))
			LaneReread(entry);
		else
		{
			LaneUnlist(entry);
			LaneLeaveWait(entry);
			LaneJoin(entry);
			LaneList(entry);
		}
		ReadyNoteChange(entry->key.route_id);
	}
	LWLockRelease(&lane_memory->lock);
}
