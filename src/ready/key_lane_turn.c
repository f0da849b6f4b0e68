/*
 * key_lane_turn.c
 *	  Turns of the lanes of a fair queue (key_lane.c).
 *
 * Lanes with a due job are in the order of their tags.  A tag belongs to a group, which
 * may have lanes in several routes (shared/fair_share.c).  A start makes the tag of the group
 * greater, and nobody looks for its other lanes: they are put right when they come to the top.
 * In one route a group has at most one lane there, as there could be any number of them if
 * a limit asks for another key, too.
 *
 * The caller of each of these functions holds the lock.  They allocate no memory and cannot
 * fail.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "base/guc.h"
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

/* Find or make the group in which a lane is listed with others, or return NULL if it is alone, or if there is no room. */
LaneGroup *
LaneMakeGroup(const LaneEntry *entry)
{
	LaneEntryKey key = { entry->key.dboid, entry->key.route_id, entry->group };
	LaneGroup	*group;
	bool		 found;

	if (!entry->knows_group || entry->group == entry->key.lane)
		return NULL;
	group = hash_search(lane_groups, &key, HASH_FIND, NULL);
	if (group != NULL || hash_get_num_entries(lane_groups) >= taskq_max_lanes)
		return group;
	group = hash_search(lane_groups, &key, HASH_ENTER_NULL, &found);
	if (group != NULL)
	{
		group->head = NULL;
		group->others = NULL;
	}
	return group;
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

/* The groups that have their turn before a lane, each as often as it has lanes. */
typedef struct GroupsBefore
{
	const LaneEntry *entry;
	uint64			 tag;
	int64			*groups;
	int				 n;
	int				 most;
} GroupsBefore;

/* Add the groups of a heap.  Below a lane that comes later, all do. */
static void
AddBefore(GroupsBefore *before, pairingheap_node *node)
{
	for (; node != NULL && before->n < before->most; node = node->next_sibling)
	{
		const LaneEntry *entry = LaneFirst(node);
		uint64			 tag = entry->tag;

		if (TagPrecedes(before->tag, tag))
			continue;
		(void) LaneIsLate(entry, &tag);
		if (entry->knows_group && entry->group != before->entry->group &&
			(TagPrecedes(tag, before->tag) || (tag == before->tag && LaneCompare(&entry->first.key, &before->entry->first.key) < 0)))
			before->groups[before->n++] = entry->group;
		AddBefore(before, node->first_child);
	}
}

static int
CompareGroups(const void *a, const void *b)
{
	int64 left = *(const int64 *) a;
	int64 right = *(const int64 *) b;

	return (left > right) - (left < right);
}

/* Find lanes of the same fair queue that have a due job and their turn before this one.  Returns false if that is not known. */
static bool
FindBefore(int32 route_id, int64 lane, GroupsBefore *before)
{
	HASH_SEQ_STATUS status;
	LaneRoute	   *route;

	before->entry = LaneFindEntry(route_id, lane);
	if (before->entry == NULL || !before->entry->knows_group)
		return false;
	if (before->entry->in_group != NULL)
		before->entry = before->entry->in_group->head;
	before->tag = before->entry->tag;
	(void) LaneIsLate(before->entry, &before->tag);
	hash_seq_init(&status, lane_routes);
	while ((route = hash_seq_search(&status)) != NULL)
		if (route->key.dboid == MyDatabaseId && route->turns.queue_id == before->entry->route->turns.queue_id)
			AddBefore(before, route->first);
	return true;
}

/*
 * Return how many groups of its fair queue have a due job and their turn before a lane, up to
 * about "most".  Returns -1 if that is not known.
 */
int
KeyLanesBefore(int32 route_id, int64 lane, int most)
{
	GroupsBefore before = { .groups = palloc(sizeof(int64) * most), .most = most };
	bool		 is_known;
	int			 n = 0;

	if (lane_memory == NULL)
		return -1;
	LWLockAcquire(&lane_memory->lock, LW_SHARED);
	is_known = FindBefore(route_id, lane, &before);
	LWLockRelease(&lane_memory->lock);
	qsort(before.groups, before.n, sizeof(int64), CompareGroups);
	for (int i = 0; i < before.n; i++)
		n += i == 0 || before.groups[i] != before.groups[i - 1] ? 1 : 0;
	return is_known ? n : -1;
}
