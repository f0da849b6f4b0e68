/*
 * key_lane_turn.c
 *	  Turns of the lanes of a fair queue (key_lane.c).
 *
 * Lanes with a due job are in the order of their tags.  A tag belongs to a group, which
 * may have lanes in several routes (shared/fair_share.c).  A start makes the tag of the group
 * greater, and nobody looks for its other lanes: they are put right when they come to the top.
 *
 * The caller of each of these functions holds the lock.  They allocate no memory and cannot
 * fail.
 */
#include "taskq.h"

#include "ready/key_lane_int.h"
#include "shared/fair_share.h"

static ShareScope
ScopeOf(const LaneRoute *route)
{
	return (ShareScope){ SHARE_GROUPS, (uint32) route->turns.queue_id };
}

/*
 * A lane, which is in no heap, begins to wait for a turn.  If it does not know its group,
 * that may have its turn only later; the claim that takes the lane finds out.
 */
void
LaneJoin(LaneEntry *entry)
{
	ShareScope scope = ScopeOf(entry->route);

	if (entry->route->turns.queue_id == 0)
		entry->tag = 0;
	else
		entry->tag = entry->knows_group ? FairShareJoin(&scope, entry->group) : FairShareNow(&scope);
}

/* Has something been started for the group of a lane since it has its tag?  Then *tag is its new one. */
bool
LaneIsLate(const LaneEntry *entry, uint64 *tag)
{
	ShareScope scope = ScopeOf(entry->route);

	if (entry->route->turns.queue_id == 0 || !entry->knows_group)
		return false;
	*tag = FairShareStay(&scope, entry->group, entry->tag);
	return *tag != entry->tag;
}

/* If a lane has only the keys that make the groups, it is its group. */
void
LaneFindGroup(LaneEntry *entry)
{
	entry->group = entry->key.lane;
	entry->knows_group = entry->route->turns.queue_id != 0 && LANE_KEYS(entry->key.lane) == entry->route->turns.fair_by;
}

/* The queue of a route has become fair, or is not fair any more, or by other keys. */
void
LanesTakeTurns(LaneRoute *route, const LaneTurns *turns)
{
	HASH_SEQ_STATUS status;
	LaneEntry	   *entry;

	route->turns = *turns;
	hash_seq_init(&status, lane_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		LaneState state = entry->state;

		if (entry->route != route)
			continue;
		if (state == LANE_LISTED || state == LANE_WAITS)
			LaneUnlist(entry);
		LaneFindGroup(entry);
		LaneJoin(entry);
		if (state == LANE_LISTED)
			LaneList(entry);
		else if (state == LANE_WAITS)
			LaneWaitFor(entry, entry->wait);
	}
}
