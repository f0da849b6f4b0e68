/*
 * ready_lane.c
 *	  The memory of the ready list, and its lanes.
 *
 * A lane holds the hints of one priority of a route.  It has a block of memory
 * while it has hints.  Free lanes and free blocks are in chains, which the
 * spinlock guards.  The lock of the route's entry guards everything else of a lane.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "storage/shmem.h"

#include "base/guc.h"
#include "ready/ready_int.h"
#include "shared/shmem.h"

Ready	   *ready = NULL;
ReadyEntry *ready_entries;
ReadyLane  *ready_lanes;
ReadyBlock *ready_blocks;

/* memory ------------------------------------------------------------------- */

static int
CountBlocks(void)
{
	return (taskq_ready_list_size + READY_ROOM - 1) / READY_ROOM;
}

/* Lanes are smaller than blocks, and many have no hints. */
static int
CountLanes(void)
{
	return Max(64, taskq_ready_list_size / 8);
}

static Size
HeadSize(void)
{
	return MAXALIGN(offsetof(Ready, buckets) + sizeof(int) * CountLanes());
}

static Size
ReadyShmemSize(void)
{
	Size size = HeadSize();

	if (taskq_ready_list_size == 0)
		return 0;
	size = add_size(size, mul_size(sizeof(ReadyEntry), CountLanes()));
	size = add_size(size, mul_size(sizeof(ReadyLane), CountLanes()));
	return add_size(size, mul_size(sizeof(ReadyBlock), CountBlocks()));
}

static void
InitLists(void)
{
	memset(ready, 0, ReadyShmemSize());
	LWLockInitialize(&ready->lock, taskq_tranche);
	SpinLockInit(&ready->mutex);
	ready->n_lanes = CountLanes();
	ready->n_blocks = CountBlocks();
	pg_atomic_init_u64(&ready->version, 1);
	pg_atomic_init_u64(&ready->fills, 0);
	pg_atomic_init_u64(&ready->n_changes, 1); /* an element that was never written has the number 0 */
	for (int i = 0; i < READY_CHANGES; i++)
		pg_atomic_init_u64(&ready->changes[i], 0);
	for (int i = 0; i < ready->n_lanes; i++)
	{
		int next = i + 1 < ready->n_lanes ? i + 1 : NONE;

		ready->buckets[i] = NONE;
		ready_entries[i].next = ready_lanes[i].next = next;
		LWLockInitialize(&ready_entries[i].lock, taskq_tranche);
		pg_atomic_init_u64(&ready_entries[i].due_at, (uint64) DT_NOBEGIN);
		pg_atomic_init_u64(&ready_entries[i].head_changes, 0);
	}
	for (int i = 0; i < ready->n_blocks; i++)
		ready_blocks[i].next = i + 1 < ready->n_blocks ? i + 1 : NONE;
}

static void
ReadyShmemStartup(void)
{
	bool found;

	if (taskq_ready_list_size == 0)
		return;
	ready = ShmemInitStruct("taskq ready list", ReadyShmemSize(), &found);
	ready_entries = (ReadyEntry *) ((char *) ready + HeadSize());
	ready_lanes = (ReadyLane *) (ready_entries + CountLanes());
	ready_blocks = (ReadyBlock *) (ready_lanes + CountLanes());
	if (!found)
		InitLists();
}

void
ReadyLanesInit(void)
{
	ShmemRegister(ReadyShmemSize, ReadyShmemStartup);
}

/* Does this server keep ready lists? */
bool
ReadyPresent(void)
{
	return ready != NULL;
}

/* Do the claims of this session use the ready lists? */
bool
ReadyInUse(void)
{
	return ready != NULL && taskq_use_ready_list;
}

/* lanes -------------------------------------------------------------------- */

int
ReadyCompare(const ReadyKey *a, const ReadyKey *b)
{
	if (a->run_at != b->run_at)
		return a->run_at < b->run_at ? -1 : 1;
	if (a->job_id != b->job_id)
		return a->job_id < b->job_id ? -1 : 1;
	return 0;
}

ReadyHint *
LaneHints(ReadyLane *lane)
{
	Assert(lane->block != NONE);
	return &ready_blocks[lane->block].hints[lane->first];
}

/* Make sure that the lane has a block.  Returns false if no memory is left. */
static bool
TakeBlock(ReadyLane *lane)
{
	if (lane->block != NONE)
		return true;
	SpinLockAcquire(&ready->mutex);
	lane->block = ready->free_block;
	if (lane->block != NONE)
	{
		ready->free_block = ready_blocks[lane->block].next;
		ready->blocks_used++;
	}
	SpinLockRelease(&ready->mutex);
	lane->first = 0;
	return lane->block != NONE;
}

/* Set the number of hints; free the block when it reaches zero. */
void
LaneSetCount(ReadyLane *lane, int n)
{
	Assert(n >= 0 && n <= lane->n);
	lane->n = n;
	if (n > 0 || lane->block == NONE)
		return;
	SpinLockAcquire(&ready->mutex);
	ready_blocks[lane->block].next = ready->free_block;
	ready->free_block = lane->block;
	ready->blocks_used--;
	SpinLockRelease(&ready->mutex);
	lane->block = NONE;
}

/* Let the lane be complete only below this key: set "until", and drop the hints from there on. */
void
LaneCut(ReadyLane *lane, ReadyKey until)
{
	int n = lane->n;

	Assert(ReadyCompare(&until, &lane->until) <= 0);
	lane->until = until;
	while (n > 0 && ReadyCompare(&LaneHints(lane)[n - 1].key, &until) >= 0)
		n--;
	LaneSetCount(lane, n);
}

/* Insert a hint in order.  If a hint finds no room, the lane is complete below that hint only. */
void
LaneInsert(ReadyLane *lane, const ReadyHint *hint)
{
	int at = lane->n;

	Assert(ReadyCompare(&hint->key, &lane->until) < 0);
	if (!TakeBlock(lane))
	{
		LaneCut(lane, hint->key);
		return;
	}
	while (at > 0 && ReadyCompare(&LaneHints(lane)[at - 1].key, &hint->key) > 0)
		at--;
	if (at > 0 && ReadyCompare(&LaneHints(lane)[at - 1].key, &hint->key) == 0)
	{
		LaneHints(lane)[at - 1] = *hint;
		return;
	}
	if (lane->n == READY_ROOM)
	{
		LaneCut(lane, at == READY_ROOM ? hint->key : LaneHints(lane)[READY_ROOM - 1].key);
		if (at == READY_ROOM)
			return;
	}
	if (lane->first + lane->n == READY_ROOM)
	{
		memmove(ready_blocks[lane->block].hints, LaneHints(lane), sizeof(ReadyHint) * lane->n);
		lane->first = 0;
	}
	Assert(lane->n < READY_ROOM && lane->first + lane->n < READY_ROOM);
	memmove(LaneHints(lane) + at + 1, LaneHints(lane) + at, sizeof(ReadyHint) * (lane->n - at));
	LaneHints(lane)[at] = *hint;
	lane->n++;
}

/* Return the lowest key that the lane's first job can have. */
ReadyKey
LaneHead(ReadyLane *lane)
{
	return lane->n > 0 ? LaneHints(lane)[0].key : lane->until;
}

ReadyLane *
LaneFind(ReadyEntry *entry, int16 priority)
{
	Assert(LWLockHeldByMe(&entry->lock));
	for (int i = entry->first_lane; i != NONE; i = ready_lanes[i].next)
		if (ready_lanes[i].priority == priority)
			return &ready_lanes[i];
	return NULL;
}

static void
FreeLane(int i)
{
	LaneSetCount(&ready_lanes[i], 0);
	SpinLockAcquire(&ready->mutex);
	ready_lanes[i].next = ready->free_lane;
	ready->free_lane = i;
	ready->lanes_used--;
	SpinLockRelease(&ready->mutex);
}

/* Free a lane whose priority has no jobs; the next job of that priority makes it again. */
static void
FreeOneEmptyLane(ReadyEntry *entry)
{
	ReadyKey end = READY_END;

	for (int *link = &entry->first_lane; *link != NONE; link = &ready_lanes[*link].next)
	{
		int i = *link;

		if (ready_lanes[i].n == 0 && ready_lanes[i].filling == 0 && ReadyCompare(&ready_lanes[i].until, &end) == 0)
		{
			*link = ready_lanes[i].next;
			FreeLane(i);
			return;
		}
	}
}

static int
CountLanesOf(const ReadyEntry *entry)
{
	int n = 0;

	for (int i = entry->first_lane; i != NONE; i = ready_lanes[i].next)
		n++;
	return n;
}

/* Make a lane.  Returns NULL if no memory is left; the route's priorities are not known then. */
ReadyLane *
LaneMake(ReadyEntry *entry, int16 priority, ReadyKey until)
{
	int *link = &entry->first_lane;
	int	 i = NONE;

	Assert(LWLockHeldByMeInMode(&entry->lock, LW_EXCLUSIVE));
	Assert(LaneFind(entry, priority) == NULL);
	if (CountLanesOf(entry) >= READY_MAX_LANES)
		FreeOneEmptyLane(entry);
	if (CountLanesOf(entry) < READY_MAX_LANES)
	{
		SpinLockAcquire(&ready->mutex);
		i = ready->free_lane;
		if (i != NONE)
		{
			ready->free_lane = ready_lanes[i].next;
			ready->lanes_used++;
		}
		SpinLockRelease(&ready->mutex);
	}
	if (i == NONE)
	{
		entry->known = false;
		entry->short_of_lanes = true;
		return NULL;
	}
	while (*link != NONE && ready_lanes[*link].priority < priority)
		link = &ready_lanes[*link].next;
	memset(&ready_lanes[i], 0, sizeof(ReadyLane));
	ready_lanes[i].next = *link;
	*link = i;
	ready_lanes[i].priority = priority;
	ready_lanes[i].block = NONE;
	ready_lanes[i].until = until;
	return &ready_lanes[i];
}

void
LanesFree(ReadyEntry *entry)
{
	Assert(LWLockHeldByMeInMode(&entry->lock, LW_EXCLUSIVE));
	for (int i = entry->first_lane; i != NONE;)
	{
		int next = ready_lanes[i].next;

		FreeLane(i);
		i = next;
	}
	entry->first_lane = NONE;
	entry->known = false;
	entry->learning = 0;
	entry->learn_at = 0;
	EntryShowHead(entry);
	EntrySetDueAt(entry, DT_NOBEGIN);
}
