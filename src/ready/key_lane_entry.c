/*
 * key_lane_entry.c
 *	  The entries of lanes in shared memory (key_lane.c).
 *
 * The caller of each of these functions holds the lock.  They allocate no memory and cannot
 * fail.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "base/guc.h"
#include "ready/key_lane_int.h"

/* entries ---------------------------------------------------------------------- */

LaneRoute *
LaneRouteFind(int32 route_id)
{
	LaneRouteKey key = { MyDatabaseId, route_id };

	Assert(LWLockHeldByMe(&lane_memory->lock));
	return hash_search(lane_routes, &key, HASH_FIND, NULL);
}

/* Note whether a release of a limit must look at this route. */
void
LaneRouteShow(LaneRoute *route)
{
	bool is_stopped = route->n_waits > 0 || route->n_behind > 0 || !route->known;
	bool was_stopped = route->node.next != NULL;

	if (is_stopped && !was_stopped)
	{
		dlist_push_tail(&lane_memory->stopped, &route->node);
		pg_atomic_fetch_add_u32(&lane_memory->n_stopped, 1);
	}
	if (!is_stopped && was_stopped)
	{
		dlist_delete(&route->node);
		route->node.next = NULL;
		pg_atomic_fetch_sub_u32(&lane_memory->n_stopped, 1);
	}
}

LaneEntry *
LaneFindEntry(int32 route_id, int64 lane)
{
	LaneEntryKey key = { MyDatabaseId, route_id, lane };

	return hash_search(lane_entries, &key, HASH_FIND, NULL);
}

/* Make an entry without jobs.  Returns NULL if there is no room. */
LaneEntry *
LaneMakeEntry(LaneRoute *route, int64 lane)
{
	LaneEntryKey key = { route->key.dboid, route->key.route_id, lane };
	LaneEntry	*entry = NULL;

	if (hash_get_num_entries(lane_entries) < taskq_max_lanes)
		entry = hash_search(lane_entries, &key, HASH_ENTER_NULL, NULL);
	if (entry == NULL)
		return NULL;
	memset((char *) entry + sizeof(LaneEntryKey), 0, sizeof(LaneEntry) - sizeof(LaneEntryKey));
	entry->route = route;
	entry->state = LANE_EMPTY;
	entry->is_exact = entry->is_whole = true;
	entry->due_at = DT_NOEND;
	entry->first.key = entry->pushed.key = LANE_KEY_END;
	LaneFindGroup(entry);
	route->n_lanes++;
	return entry;
}

/* A lane does not wait, or was tried after it was let go. */
void
LaneLeaveWait(LaneEntry *entry)
{
	LaneWait *wait = entry->wait;

	Assert(entry->state != LANE_WAITS);
	entry->wait = NULL;
	if (wait == NULL || --wait->n_lanes > 0)
		return;
	Assert(wait->first == NULL);
	LaneWaitUntil(wait, HELD_NEVER);
	wait->route->n_waits--;
	wait->route->n_waits_for[wait->key.value.kind]--;
	LaneRouteShow(wait->route);
	(void) hash_search(lane_waits, &wait->key, HASH_REMOVE, NULL);
}

static void
LaneRemove(LaneEntry *entry)
{
	if (entry->state == LANE_TAKEN)
		entry->route->n_taken--;
	LaneUnlist(entry);
	LaneUndue(entry);
	LaneLeaveWait(entry);
	entry->route->n_lanes--;
	(void) hash_search(lane_entries, &entry->key, HASH_REMOVE, NULL);
}

/* Remove the entry of a lane in which no job waits. */
void
LaneRemoveIfEmpty(LaneEntry *entry)
{
	if (entry->state == LANE_EMPTY && entry->due_at == DT_NOEND)
		LaneRemove(entry);
}

/* Remove the lanes of a database, or of one of its routes. */
void
LanesRemove(Oid dboid, const LaneRoute *route)
{
	HASH_SEQ_STATUS status;
	LaneEntry	   *entry;

	hash_seq_init(&status, lane_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->key.dboid == dboid && (route == NULL || entry->route == route))
			LaneRemove(entry);
}

/* Remove all lanes of a route. */
void
LaneRouteClear(LaneRoute *route)
{
	LanesRemove(route->key.dboid, route);
	route->known = false;
	LaneRouteShow(route);
}

/* Let the first of the lanes go that wait.  The caller holds the lock. */
bool
LaneLetNextGo(LaneWait *wait)
{
	LaneEntry *next = LaneFirst(wait->first);

	if (next == NULL)
		return false;
	LaneUnlist(next);
	LaneJoin(next);
	LaneList(next);
	return true;
}

/* A lane whose jobs do not wait is in no heap.  Let the next one go that waits for the same value. */
void
LaneLeaveUntried(LaneEntry *entry)
{
	if (entry->wait != NULL)
		(void) LaneLetNextGo(entry->wait);
	LaneLeaveWait(entry);
}
