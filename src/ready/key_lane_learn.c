/*
 * key_lane_learn.c
 *	  Making the entries of a route's lanes from the index.
 *
 * Several processes may learn the lanes of a route at once: each adds what it reads, and to
 * add a job twice does no harm.  Jobs that are committed since the learning has begun are
 * added by their commits.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "base/clock.h"
#include "base/guc.h"
#include "ready/key_lane_int.h"
#include "ready/ready_int.h"

#define LEARN_AGAIN (10 * USECS_PER_SEC) /* after there was no memory for all lanes */

/* Return the entry of a route, made if need be; or NULL if there is no room. */
static LaneRoute *
MakeRoute(int32 route_id)
{
	LaneRouteKey key = { MyDatabaseId, route_id };
	LaneRoute	*route = LaneRouteFind(route_id);

	if (route != NULL || hash_get_num_entries(lane_routes) >= taskq_max_lanes)
		return route;
	route = hash_search(lane_routes, &key, HASH_ENTER_NULL, NULL);
	if (route == NULL)
		return NULL;
	memset((char *) route + sizeof(LaneRouteKey), 0, sizeof(LaneRoute) - sizeof(LaneRouteKey));
	pg_atomic_init_u32(&route->missed, 0);
	LaneRouteShow(route);
	return route;
}

/* Begin to learn the lanes of a route.  Returns the number for the other calls, or 0 if there is no memory. */
uint64
KeyLanesLearnBegin(int32 route_id)
{
	LaneRoute *route;
	uint64	   number = 0;

	LWLockAcquire(&lane_memory->lock, LW_EXCLUSIVE);
	route = MakeRoute(route_id);
	if (route != NULL)
	{
		if (route->learning == 0 || route->short_of_memory)
			route->learning = ++lane_memory->numbers;
		route->short_of_memory = false;
		number = route->learning;
	}
	LWLockRelease(&lane_memory->lock);
	if (number == 0)
		KeyLanesNoteUnseen();
	return number;
}

/*
 * Add a lane that was read: its first due job or NULL, whether that is the only job, and the
 * moment when another one may become the first.  Returns false if the learning is of no use
 * any more.
 */
bool
KeyLanesLearn(int32 route_id, uint64 number, int64 lane, const LaneHint *hint, bool is_only, TimestampTz due_at)
{
	LaneRoute *route;
	LaneEntry *entry = NULL;

	LWLockAcquire(&lane_memory->lock, LW_EXCLUSIVE);
	route = LaneRouteFind(route_id);
	if (route != NULL && route->learning == number)
	{
		entry = LaneFindEntry(route_id, lane);
		if (entry == NULL)
			entry = LaneMakeEntry(route, lane);
		if (entry == NULL)
			route->short_of_memory = true;
	}
	if (entry != NULL && hint != NULL)
		LaneAdd(entry, hint);
	if (entry != NULL)
	{
		if (!is_only)
			LaneMayHaveMore(entry);
		LaneDue(entry, due_at);
		LaneRemoveIfEmpty(entry);
	}
	LWLockRelease(&lane_memory->lock);
	return entry != NULL;
}

/* End learning.  With "all", no other lane has a waiting job. */
void
KeyLanesLearnEnd(int32 route_id, uint64 number, bool all)
{
	LaneRoute *route;

	LWLockAcquire(&lane_memory->lock, LW_EXCLUSIVE);
	route = LaneRouteFind(route_id);
	if (route != NULL && route->learning == number)
	{
		if (all && !route->short_of_memory)
			route->known = true;
		else
		{
			LaneRouteClear(route);
			route->learn_at = ClockNow() + LEARN_AGAIN;
		}
		route->learning = 0;
		LaneRouteShow(route);
	}
	LWLockRelease(&lane_memory->lock);
	ReadyNoteChange(route_id);
}
