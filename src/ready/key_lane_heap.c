/*
 * key_lane_heap.c
 *	  The heaps that the entries of lanes are in (key_lane.c).
 *
 * The caller of each of these functions holds the lock.  They allocate no memory and cannot
 * fail.
 */
#include "taskq.h"

#include "ready/key_lane_int.h"

int
LaneCompare(const LaneKey *a, const LaneKey *b)
{
	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	return ReadyCompare(&a->key, &b->key);
}

#define ENTRY_OF(heap_node, member) pairingheap_container(LaneEntry, member, (pairingheap_node *) (heap_node))

/*
 * The first of a pairing heap is the greatest, so that is the one with the least key.  In a
 * fair queue it is the one with the least tag; in others, all tags are 0.
 */
static int
CompareFirst(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	uint64 left = ENTRY_OF(a, node)->tag;
	uint64 right = ENTRY_OF(b, node)->tag;

	if (left != right)
		return TagPrecedes(left, right) ? 1 : -1;
	return LaneCompare(&ENTRY_OF(b, node)->first.key, &ENTRY_OF(a, node)->first.key);
}

static int
CompareDue(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	TimestampTz left = ENTRY_OF(a, due_node)->due_at;
	TimestampTz right = ENTRY_OF(b, due_node)->due_at;

	return (left < right) - (left > right);
}

/*
 * A heap of the library has a pointer to a function, which may differ between processes.
 * So only its root is in shared memory.
 */
static void
HeapAdd(pairingheap_node **root, pairingheap_comparator compare, pairingheap_node *node)
{
	pairingheap heap = { .ph_compare = compare, .ph_root = *root };

	pairingheap_add(&heap, node);
	*root = heap.ph_root;
}

static void
HeapRemove(pairingheap_node **root, pairingheap_comparator compare, pairingheap_node *node)
{
	pairingheap heap = { .ph_compare = compare, .ph_root = *root };

	pairingheap_remove(&heap, node);
	*root = heap.ph_root;
}

/* Return the lane with the first job of a heap, or NULL. */
LaneEntry *
LaneFirst(pairingheap_node *first)
{
	return first == NULL ? NULL : ENTRY_OF(first, node);
}

/* Return the lane in which a job becomes due next, or NULL. */
LaneEntry *
LaneNextDue(const LaneRoute *route)
{
	return route->later == NULL ? NULL : ENTRY_OF(route->later, due_node);
}

/* Like CompareFirst(), but among lanes of one group. */
static int
CompareKeys(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	return LaneCompare(&ENTRY_OF(b, node)->first.key, &ENTRY_OF(a, node)->first.key);
}

/* Make a lane the one of its group that is in the heap of the route. */
static void
SetHead(LaneGroup *group, LaneEntry *entry, uint64 tag)
{
	group->head = entry;
	entry->tag = tag;
	HeapAdd(&entry->route->first, CompareFirst, &entry->node);
}

/* Put a lane among those with a due job. */
void
LaneList(LaneEntry *entry)
{
	LaneGroup *group = LaneMakeGroup(entry);
	LaneEntry *head = group == NULL ? NULL : group->head;

	Assert(entry->state != LANE_LISTED && entry->state != LANE_WAITS);
	entry->state = LANE_LISTED;
	entry->in_group = group;
	if (group == NULL)
		HeapAdd(&entry->route->first, CompareFirst, &entry->node);
	else if (head == NULL)
		SetHead(group, entry, entry->tag);
	else if (LaneCompare(&entry->first.key, &head->first.key) < 0)
	{
		HeapRemove(&entry->route->first, CompareFirst, &head->node);
		HeapAdd(&group->others, CompareKeys, &head->node);
		SetHead(group, entry, head->tag);
	}
	else
		HeapAdd(&group->others, CompareKeys, &entry->node);
}

/* Take a lane out of its group, whose next one takes its place. */
static void
LeaveGroup(LaneEntry *entry)
{
	LaneGroup *group = entry->in_group;
	LaneEntry *next = LaneFirst(group->others);

	entry->in_group = NULL;
	if (group->head != entry)
	{
		HeapRemove(&group->others, CompareKeys, &entry->node);
		return;
	}
	HeapRemove(&entry->route->first, CompareFirst, &entry->node);
	if (next == NULL)
	{
		(void) hash_search(lane_groups, &group->key, HASH_REMOVE, NULL);
		return;
	}
	HeapRemove(&group->others, CompareKeys, &next->node);
	SetHead(group, next, entry->tag);
}

/* Take a lane out of the heap that it is in. */
void
LaneUnlist(LaneEntry *entry)
{
	if (entry->state == LANE_LISTED && entry->in_group != NULL)
		LeaveGroup(entry);
	else if (entry->state == LANE_LISTED)
		HeapRemove(&entry->route->first, CompareFirst, &entry->node);
	else if (entry->state == LANE_WAITS)
		HeapRemove(&entry->wait->first, CompareFirst, &entry->node);
	else if (entry->state == LANE_BEHIND)
	{
		entry->route->n_behind--;
		LaneRouteShow(entry->route);
	}
	entry->state = LANE_EMPTY;
}

/* Give another tag to a lane that is in the heap of its route. */
void
LaneSetTag(LaneEntry *entry, uint64 tag)
{
	HeapRemove(&entry->route->first, CompareFirst, &entry->node);
	entry->tag = tag;
	HeapAdd(&entry->route->first, CompareFirst, &entry->node);
}

/* Let a lane, which is in no heap, wait. */
void
LaneWaitFor(LaneEntry *entry, LaneWait *wait)
{
	entry->state = LANE_WAITS;
	HeapAdd(&wait->first, CompareFirst, &entry->node);
}

/* Let a lane, which is in no heap, wait until a job has left it. */
void
LanePutBehind(LaneEntry *entry, int64 job_id)
{
	entry->state = LANE_BEHIND;
	entry->first.key.key.job_id = job_id;
	entry->is_exact = false;
	entry->route->n_behind++;
	LaneRouteShow(entry->route);
}

/* Look at the lane at this moment, or earlier. */
void
LaneDue(LaneEntry *entry, TimestampTz due_at)
{
	if (due_at >= entry->due_at)
		return;
	LaneUndue(entry);
	entry->due_at = due_at;
	HeapAdd(&entry->route->later, CompareDue, &entry->due_node);
}

void
LaneUndue(LaneEntry *entry)
{
	if (entry->due_at != DT_NOEND)
		HeapRemove(&entry->route->later, CompareDue, &entry->due_node);
	entry->due_at = DT_NOEND;
}
