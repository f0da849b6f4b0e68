/*
 * key_lane.c
 *	  Lanes: the waiting jobs of a route that have the same values of the keys by which
 *	  they are limited, in shared memory.
 *
 * A limit can be for each value of a key, such as one job at a time for each group key.
 * Then a claim must not read the jobs of a value without room one after another to find
 * one of another value.  So the jobs of such a route are in lanes, one for each combination
 * of values, and the index jobs_lanes has the jobs of a lane side by side.  The memory has
 * an entry for each lane with a waiting job.  The entries of a route are in a heap by their
 * first jobs.  A claim takes the first of them.  When a limit has no room for its value, the
 * lane moves to the lanes that wait for this value, and nobody looks at it until there is
 * room (key_lane_take.c), or until the moment when a rate has a token (key_lane_time.c).
 *
 * An entry has the first job of its lane and some of those that follow it, so that a claim
 * seldom reads the index.  The first job is not always known.  When a claim has taken the last
 * one that is known, the entry says only that no due job precedes the next key.  The claim that finds the lane at the top of
 * the heap reads the index from there on.  A job that is committed meanwhile may not be
 * seen by the snapshot of that claim.  So commits keep the first of the jobs that they add
 * to such a lane ("pushed").
 *
 * As in the ready list, the first job may be wrong: a claim locks the row and checks it.
 * Each job that waits has been told here since the lanes of its route are known, or was
 * read from the index while they were learnt (key_lane_learn.c).
 *
 * If there is no memory for all lanes of a route, it has none here, and claims read the
 * index, lane by lane (claim/lane_cursor.c).
 *
 * Functions that are called at the end of a transaction allocate no memory and cannot fail.
 *
 * This file has more than 400 lines, as all that changes the structure of the memory is in one place.
 */
#include "taskq.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/shmem.h"

#include "base/compat.h"
#include "base/guc.h"
#include "ready/key_lane_int.h"
#include "ready/ready_int.h"
#include "shared/shmem.h"
#include "shared/wait.h"

LaneMemory *lane_memory = NULL;
HTAB	   *lane_entries = NULL;
HTAB	   *lane_routes = NULL;
HTAB	   *lane_waits = NULL;
HTAB	   *lane_groups = NULL;

/* memory ---------------------------------------------------------------------- */

static Size
StructSize(void)
{
	return add_size(offsetof(LaneMemory, databases), mul_size(sizeof(LaneDatabase), taskq_max_databases));
}

static Size
LanesSize(void)
{
	Size size = MAXALIGN(StructSize());

	size = add_size(size, hash_estimate_size(taskq_max_lanes, sizeof(LaneEntry)));
	size = add_size(size, hash_estimate_size(taskq_max_lanes, sizeof(LaneRoute)));
	size = add_size(size, hash_estimate_size(taskq_max_lanes, sizeof(LaneGroup)));
	return add_size(size, hash_estimate_size(taskq_max_lanes, sizeof(LaneWait)));
}

/* The hash function of the waits of lanes. */
static uint32
HashWait(const void *key, Size size)
{
	const LaneWaitKey *wait = key;

	return hash_combine(murmurhash32((uint32) wait->route_id), HeldHash(wait->value.limit_id, wait->value.value));
}

static void
LanesStart(void)
{
	HASHCTL entry_ctl = { .keysize = sizeof(LaneEntryKey), .entrysize = sizeof(LaneEntry) };
	HASHCTL route_ctl = { .keysize = sizeof(LaneRouteKey), .entrysize = sizeof(LaneRoute) };
	HASHCTL wait_ctl = { .keysize = sizeof(LaneWaitKey), .entrysize = sizeof(LaneWait), .hash = HashWait };
	HASHCTL group_ctl = { .keysize = sizeof(LaneEntryKey), .entrysize = sizeof(LaneGroup) };
	bool	found;

	lane_memory = ShmemInitStruct("taskq lanes", StructSize(), &found);
	lane_entries = ShmemInitHash_compat("taskq entries of lanes", taskq_max_lanes, &entry_ctl, HASH_ELEM | HASH_BLOBS);
	lane_routes = ShmemInitHash_compat("taskq routes with lanes", taskq_max_lanes, &route_ctl, HASH_ELEM | HASH_BLOBS);
	lane_waits = ShmemInitHash_compat("taskq waits of lanes", taskq_max_lanes, &wait_ctl, HASH_ELEM | HASH_FUNCTION);
	lane_groups = ShmemInitHash_compat("taskq groups of lanes", taskq_max_lanes, &group_ctl, HASH_ELEM | HASH_BLOBS);
	if (found)
		return;
	memset(lane_memory, 0, StructSize());
	LWLockInitialize(&lane_memory->lock, taskq_tranche);
	dlist_init(&lane_memory->stopped);
	pg_atomic_init_u32(&lane_memory->n_stopped, 0);
	for (int i = 0; i < taskq_max_databases; i++)
	{
		pg_atomic_init_u64(&lane_memory->databases[i].state, 0);
		pg_atomic_init_u32(&lane_memory->databases[i].strays, 0);
		pg_atomic_init_u32(&lane_memory->databases[i].unseen, 0);
	}
}

/* Called while the library is loaded. */
void
KeyLanesInit(void)
{
	ShmemRegister(LanesSize, LanesStart);
	WaitAlsoWatch(&lane_watch);
}

/* whether there are lanes ------------------------------------------------------ */

/*
 * The state of a database has its oid in the high half, and in the low half one of these and a
 * number, which is incremented when the state is forgotten.
 */
#define NOT_KNOWN 0
#define NO_LANES 1 /* no waiting job of the database is in a lane */
#define SOME_LANES 2
#define STATES 4
#define STATE_OF(was, state) ((uint64) MyDatabaseId << 32 | ((uint32) (was) & ~(STATES - 1)) | (state))
#define IS_MINE(state) ((state) >> 32 == MyDatabaseId)

static LaneDatabase *
Mine(void)
{
	TaskqDatabase *db = lane_memory == NULL ? NULL : ShmemMyDatabase();

	return db == NULL ? NULL : &lane_memory->databases[db - taskq_databases];
}

/* Return what is known of this database, for KeyLanesNoteAbsent(). */
uint64
KeyLanesState(void)
{
	LaneDatabase *mine = Mine();

	return mine == NULL ? 0 : pg_atomic_read_u64(&mine->state);
}

/* Is it known that no waiting job of this database is in a lane?  This makes claims cheap where there are no such limits. */
bool
KeyLanesAbsent(void)
{
	uint64 state = KeyLanesState();

	return IS_MINE(state) && state % STATES == NO_LANES;
}

/* Does this state say nothing of this database? */
bool
KeyLanesUnknown(uint64 state)
{
	return !IS_MINE(state) || state % STATES == NOT_KNOWN;
}

/* The index has no lane, and KeyLanesState() has returned this before it was read. */
void
KeyLanesNoteAbsent(uint64 seen)
{
	LaneDatabase *mine = Mine();

	if (mine != NULL && KeyLanesUnknown(seen))
		(void) pg_atomic_compare_exchange_u64(&mine->state, &seen, STATE_OF(seen, NO_LANES));
}

static void
SetState(LaneDatabase *mine, uint32 state)
{
	uint64 was = pg_atomic_read_u64(&mine->state);

	while (!pg_atomic_compare_exchange_u64(&mine->state, &was, STATE_OF(was + (state == NOT_KNOWN ? STATES : 0), state)))
		;
}

/* A waiting job of this database is in a lane. */
void
KeyLanesNotePresent(void)
{
	LaneDatabase *mine = Mine();
	uint64		  state = KeyLanesState();

	if (mine != NULL && !(IS_MINE(state) && state % STATES == SOME_LANES))
		SetState(mine, SOME_LANES);
}

/* A job belongs into a lane and is in none.  Have the scheduler of this database move it. */
void
KeyLanesStray(void)
{
	LaneDatabase *mine = Mine();

	if (mine != NULL && pg_atomic_read_u32(&mine->strays) == 0 && pg_atomic_exchange_u32(&mine->strays, 1) == 0)
		ShmemWakeScheduler(ShmemMyDatabase());
}

/* Was such a job met? */
bool
KeyLanesStrayed(bool clear)
{
	LaneDatabase *mine = Mine();

	if (mine == NULL)
		return false;
	return (clear ? pg_atomic_exchange_u32(&mine->strays, 0) : pg_atomic_read_u32(&mine->strays)) != 0;
}

/*
 * A claim reads lanes that may wait, and of which a release does not know: there is no
 * memory for the route, or the jobs are of the current transaction.  The next release wakes
 * all processes.  Called before the claim asks for room.
 */
void
KeyLanesNoteUnseen(void)
{
	LaneDatabase *mine = Mine();

	if (mine != NULL)
		(void) pg_atomic_exchange_u32(&mine->unseen, 1);
}

/* Does a claim read such lanes? */
bool
KeyLanesUnseen(bool clear)
{
	LaneDatabase *mine = Mine();

	if (mine == NULL || pg_atomic_read_u32(&mine->unseen) == 0)
		return false;
	return !clear || pg_atomic_exchange_u32(&mine->unseen, 0) != 0;
}

/* commits ---------------------------------------------------------------------- */

/*
 * Add a job to the lane of its route, if the lanes are known or being learnt.  Returns true if
 * the route has changed.  If they are not, claims may have found that no job was in a lane.
 */
static bool
Push(LaneRoute *route, int64 lane, const LaneHint *hint, bool is_only, TimestampTz now)
{
	LaneEntry *entry;

	if (route == NULL || (!route->known && route->learning == 0))
		return true;
	entry = LaneFindEntry(route->key.route_id, lane);
	if (entry == NULL)
		entry = LaneMakeEntry(route, lane);
	if (entry == NULL)
	{
		route->short_of_memory = true;
		if (route->known)
			LaneRouteClear(route);
		return true;
	}
	if (hint->key.key.run_at > now && !LANE_IN_ORDER(lane))
		LaneDue(entry, hint->key.key.run_at);
	else
		LaneAdd(entry, hint);
	if (!is_only)
		LaneMayHaveMore(entry);
	return route->first == &entry->node || route->later == &entry->due_node;
}

/* Add a waiting job.  Unless it is the only one, others may wait in its lane that were not told here. */
void
KeyLanePush(int32 route_id, int64 lane, const LaneHint *hint, bool is_only, TimestampTz now)
{
	bool changed;

	if (lane_memory == NULL)
		return;
	KeyLanesNotePresent();
	LWLockAcquire(&lane_memory->lock, LW_EXCLUSIVE);
	changed = Push(LaneRouteFind(route_id), lane, hint, is_only, now);
	LWLockRelease(&lane_memory->lock);
	if (changed)
		ReadyNoteChange(route_id);
}

/* Forget the lanes of a database that was dropped. */
void
KeyLanesForgetDatabase(Oid dboid)
{
	HASH_SEQ_STATUS status;
	LaneRoute	   *route;

	if (lane_memory == NULL)
		return;
	LWLockAcquire(&lane_memory->lock, LW_EXCLUSIVE);
	LanesRemove(dboid, NULL);
	hash_seq_init(&status, lane_routes);
	while ((route = hash_seq_search(&status)) != NULL)
		if (route->key.dboid == dboid)
		{
			route->known = true;
			LaneRouteShow(route);
			(void) hash_search(lane_routes, &route->key, HASH_REMOVE, NULL);
		}
	for (int i = 0; i < taskq_max_databases; i++)
		if (pg_atomic_read_u64(&lane_memory->databases[i].state) >> 32 == dboid)
			pg_atomic_write_u64(&lane_memory->databases[i].state, 0);
	LWLockRelease(&lane_memory->lock);
}

/*
 * Forget the lanes of this database, because jobs may wait that they do not have.  The
 * routes stay, as processes may wait for the release of a limit.
 */
void
KeyLanesForget(void)
{
	LaneDatabase   *mine = Mine();
	HASH_SEQ_STATUS status;
	LaneRoute	   *route;

	if (mine == NULL)
		return;
	LWLockAcquire(&lane_memory->lock, LW_EXCLUSIVE);
	LanesRemove(MyDatabaseId, NULL);
	hash_seq_init(&status, lane_routes);
	while ((route = hash_seq_search(&status)) != NULL)
		if (route->key.dboid == MyDatabaseId)
		{
			route->known = false;
			route->learning = 0;
			route->learn_at = 0;
			LaneRouteShow(route);
			ReadyNoteChange(route->key.route_id);
		}
	SetState(mine, NOT_KNOWN);
	LWLockRelease(&lane_memory->lock);
}

/* Return how many lanes all databases have. */
void
KeyLanesUsage(LaneUsage *usage)
{
	HASH_SEQ_STATUS status;
	LaneEntry	   *entry;

	memset(usage, 0, sizeof(*usage));
	usage->max_lanes = taskq_max_lanes;
	if (lane_memory == NULL)
		return;
	LWLockAcquire(&lane_memory->lock, LW_SHARED);
	usage->lanes = hash_get_num_entries(lane_entries);
	hash_seq_init(&status, lane_entries);
	while ((entry = hash_seq_search(&status)) != NULL)
		usage->waiting += entry->state == LANE_WAITS || entry->state == LANE_BEHIND ? 1 : 0;
	LWLockRelease(&lane_memory->lock);
}
