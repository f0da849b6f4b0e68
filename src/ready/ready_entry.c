/*
 * ready_entry.c
 *	  Which routes have a ready list: their entries in shared memory.
 *
 * The first claim from a route makes its entry.  An entry is removed when memory is
 * short and no claim has used it for ten minutes.  Each process caches where the
 * entries are; a process that locks an entry checks that it is still the route's.
 */
#include "taskq.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "ready/ready_int.h"

#define FORGET_AFTER (10 * USECS_PER_MINUTE)
#define MAX_CACHED_ROUTES 65536

/* Cached entries by route_id, and the version of the lists for which they are right. */
static ReadyEntry **cached = NULL;
static int			n_cached = 0;
static uint64		cached_version = 0;

/* Set the moment before which no job of the route is due. */
void
EntrySetDueAt(ReadyEntry *entry, TimestampTz due_at)
{
	TimestampTz was = (TimestampTz) pg_atomic_read_u64(&entry->due_at);

	Assert(LWLockHeldByMeInMode(&entry->lock, LW_EXCLUSIVE));
	if (due_at != was)
		pg_atomic_write_u64(&entry->due_at, (uint64) due_at);
	if (due_at < was)
		ReadyNoteChange(entry->route_id);
}

/* Compute the moment before which no job of the route is due. */
static void
SetDueAt(ReadyEntry *entry)
{
	TimestampTz due_at = entry->known ? DT_NOEND : DT_NOBEGIN;

	Assert(LWLockHeldByMeInMode(&entry->lock, LW_EXCLUSIVE));
	for (int i = entry->first_lane; i != NONE; i = ready_lanes[i].next)
		due_at = Min(due_at, LaneHead(&ready_lanes[i]).run_at);
	EntrySetDueAt(entry, due_at);
}

/* Copy the head of the first lane to where others read it without a lock. */
void
EntryShowHead(ReadyEntry *entry)
{
	ReadyLane *lane = entry->first_lane == NONE ? NULL : &ready_lanes[entry->first_lane];
	uint64	   changes = pg_atomic_read_u64(&entry->head_changes);
	bool	   was_known = entry->was_known;

	Assert(LWLockHeldByMeInMode(&entry->lock, LW_EXCLUSIVE));
	Assert(changes % 2 == 0);
	pg_atomic_write_u64(&entry->head_changes, changes + 1);
	pg_write_barrier();
	entry->head_known = entry->known && lane != NULL;
	if (entry->head_known)
	{
		entry->head_hint = lane->n > 0;
		entry->head_priority = lane->priority;
		entry->head = LaneHead(lane);
	}
	pg_write_barrier();
	pg_atomic_write_u64(&entry->head_changes, changes + 2);
	entry->was_known = entry->known;
	if (was_known && !entry->known)
		ReadyNoteChange(entry->route_id); /* later commits add their jobs to no lane */
}

/*
 * Find the route's first due job without a lock, if it is in the first lane.  Returns
 * READY_UNKNOWN if it may not be, or if the entry is changing.
 */
ReadyLook
EntryPeekHead(ReadyEntry *entry, int32 route_id, TimestampTz now, int16 *priority, ReadyKey *key)
{
	uint64 changes = pg_atomic_read_u64(&entry->head_changes);
	bool   hint;
	bool   usable;

	pg_read_barrier();
	usable = changes % 2 == 0 && EntryIs(entry, route_id) && entry->head_known;
	hint = entry->head_hint;
	*priority = entry->head_priority;
	*key = entry->head;
	pg_read_barrier();
	if (!usable || pg_atomic_read_u64(&entry->head_changes) != changes || key->run_at > now)
		return READY_UNKNOWN;
	return hint ? READY_HINT : READY_FILL;
}

static int *
Bucket(Oid dboid, int32 route_id)
{
	return &ready->buckets[hash_combine(murmurhash32(dboid), murmurhash32(route_id)) % ready->n_lanes];
}

static ReadyEntry *
FindShared(int32 route_id)
{
	Assert(LWLockHeldByMe(&ready->lock));
	for (int i = *Bucket(MyDatabaseId, route_id); i != NONE; i = ready_entries[i].next)
		if (ready_entries[i].route_id == route_id && ready_entries[i].dboid == MyDatabaseId)
			return &ready_entries[i];
	return NULL;
}

/* Remove the entries that no claim has used for long.  The caller holds Ready.lock. */
static void
Sweep(TimestampTz now)
{
	Assert(LWLockHeldByMeInMode(&ready->lock, LW_EXCLUSIVE));
	if (!ClockHasPassed(ready->swept_at, USECS_PER_SEC))
		return;
	ready->swept_at = now;
	for (int b = 0; b < ready->n_lanes; b++)
		for (int *link = &ready->buckets[b]; *link != NONE;)
		{
			int			i = *link;
			ReadyEntry *entry = &ready_entries[i];

			LWLockAcquire(&entry->lock, LW_EXCLUSIVE);
			if (now - entry->claimed_at > FORGET_AFTER)
			{
				LanesFree(entry);
				entry->dboid = InvalidOid;
				*link = entry->next;
				entry->next = ready->free_route;
				ready->free_route = i;
				pg_atomic_fetch_add_u64(&ready->version, 1);
			}
			else
				link = &entry->next;
			LWLockRelease(&entry->lock);
		}
}

/* If memory is short, remove entries that are not used, such as those of dropped databases. */
void
ReadySweep(void)
{
	if (ready->free_route != NONE && ready->free_lane != NONE && ready->free_block != NONE)
		return;
	LWLockAcquire(&ready->lock, LW_EXCLUSIVE);
	Sweep(ClockNow());
	LWLockRelease(&ready->lock);
}

/* Make an entry.  Returns NULL if there is no room.  The caller holds Ready.lock. */
static ReadyEntry *
MakeEntry(int32 route_id)
{
	int		   *bucket = Bucket(MyDatabaseId, route_id);
	TimestampTz now = ClockNow();
	ReadyEntry *entry;
	int			i;

	Assert(LWLockHeldByMeInMode(&ready->lock, LW_EXCLUSIVE));
	Assert(FindShared(route_id) == NULL);
	if (ready->free_route == NONE || ready->free_lane == NONE)
		Sweep(now);
	i = ready->free_route;
	if (i == NONE)
		return NULL;
	entry = &ready_entries[i];
	Assert(!OidIsValid(entry->dboid));
	ready->free_route = entry->next;
	LWLockAcquire(&entry->lock, LW_EXCLUSIVE);
	entry->dboid = MyDatabaseId;
	entry->route_id = route_id;
	entry->next = *bucket;
	*bucket = i;
	entry->first_lane = NONE;
	LanesFree(entry);
	entry->claimed_at = now;
	LWLockRelease(&entry->lock);
	pg_atomic_fetch_add_u64(&ready->version, 1);
	return entry;
}

bool
EntryIs(const ReadyEntry *entry, int32 route_id)
{
	return entry->route_id == route_id && entry->dboid == MyDatabaseId;
}

/* Make room for a route in the cache, and clear the cache if it is out of date. */
static void
PrepareCache(int32 route_id)
{
	uint64 version = pg_atomic_read_u64(&ready->version);

	if (cached_version != version && cached != NULL)
		memset(cached, 0, sizeof(ReadyEntry *) * n_cached);
	cached_version = version;
	if (route_id >= n_cached && route_id < MAX_CACHED_ROUTES)
	{
		int n = Max(256, Min(route_id * 2, MAX_CACHED_ROUTES));

		if (cached == NULL)
			cached = MemoryContextAlloc(TopMemoryContext, sizeof(ReadyEntry *) * n);
		else
			cached = repalloc(cached, sizeof(ReadyEntry *) * n);
		memset(cached + n_cached, 0, sizeof(ReadyEntry *) * (n - n_cached));
		n_cached = n;
	}
}

/* Find a route's entry.  It can be removed at any moment, so use EntryLock(). */
static ReadyEntry *
FindEntry(int32 route_id)
{
	ReadyEntry *entry;

	if (route_id >= 0 && route_id < n_cached && cached_version == pg_atomic_read_u64(&ready->version) &&
		cached[route_id] != NULL)
		return cached[route_id];
	LWLockAcquire(&ready->lock, LW_SHARED);
	entry = FindShared(route_id);
	LWLockRelease(&ready->lock);
	return entry;
}

ReadyEntry *
EntryFindOrMake(int32 route_id)
{
	ReadyEntry *entry = FindEntry(route_id);

	if (entry == NULL && ready->free_route == NONE && !ClockHasPassed(ready->swept_at, USECS_PER_SEC))
		return NULL;
	if (entry == NULL)
	{
		LWLockAcquire(&ready->lock, LW_EXCLUSIVE);
		entry = FindShared(route_id);
		if (entry == NULL)
			entry = MakeEntry(route_id);
		LWLockRelease(&ready->lock);
	}
	PrepareCache(route_id);
	if (route_id >= 0 && route_id < n_cached && entry != NULL && EntryIs(entry, route_id))
		cached[route_id] = entry;
	return entry;
}

/* Lock a route's entry.  Returns NULL if the route has none. */
ReadyEntry *
EntryLock(int32 route_id, LWLockMode mode)
{
	ReadyEntry *entry = FindEntry(route_id);

	if (entry == NULL)
		return NULL;
	LWLockAcquire(&entry->lock, mode);
	if (EntryIs(entry, route_id))
		return entry;
	LWLockRelease(&entry->lock);
	return NULL;
}

void
EntryUnlock(ReadyEntry *entry)
{
	EntryShowHead(entry);
	SetDueAt(entry);
	LWLockRelease(&entry->lock);
}
