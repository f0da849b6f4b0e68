/*
 * ready.c
 *	  The ready list: hints in shared memory that say which jobs are due.
 *
 * Each route has a lane for each priority that its jobs have.  A lane holds hints
 * in the order in which claims take them, and a key, "until", below which the lane
 * is complete.  A commit adds the hints of its jobs that lie below "until".  Jobs
 * beyond it are found by filling the lane: a claim reads the index from "until"
 * on (scan.c).  So each entry of the index is read once, and the cost of a claim
 * depends neither on the backlog, nor on dead rows at the head of the index, nor
 * on the number of claimers.
 *
 * A hint may be wrong: a claim locks the row and checks it.  A process that takes
 * a hint, or locks the row of a waiting job, puts the hint back at the end of its
 * transaction unless the job has left its state (ready_xact.c).
 *
 * A fill reads with a snapshot.  A job that commits after that snapshot was taken
 * may lie beyond "until", and yet before the key that the fill is going to set.
 * Commits therefore keep the lowest such key in "missed" while a lane is filled,
 * and the lane becomes complete up to "missed" only.
 *
 * Only routes from which jobs are claimed have lanes.  Where memory is short, a
 * lane has no hints and its "until" says where to read, or a route has no lane
 * and its claims read the index from its head.  A crash restart empties the
 * lists, and the first claims make them anew.
 *
 * Functions that are called during a commit allocate no memory and cannot fail.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "base/clock.h"
#include "base/guc.h"
#include "ready/key_lane.h"
#include "ready/ready_int.h"
#include "shared/shmem.h"

#define LOW_WATER (READY_ROOM / 4)		 /* a lane with fewer hints is filled again */
#define LEARN_AGAIN (10 * USECS_PER_SEC) /* after a lane could not be made for want of memory */

/* The fill that this process has under way; its number is 0 if there is none. */
static struct
{
	uint64	 number;
	int32	 route_id;
	int16	 priority;
	ReadyKey from;
} fill = { 0 };

/* for claims ---------------------------------------------------------------- */

/*
 * Find the first due job of a route.  "changes_at" is set to the moment when another may
 * be the first because it becomes due.
 */
ReadyLook
ReadyPeek(int32 route_id, TimestampTz now, int16 *priority, ReadyKey *key, TimestampTz *changes_at)
{
	ReadyEntry *entry = EntryFindOrMake(route_id);
	ReadyLook	look = READY_NOTHING;
	TimestampTz due_at;

	*changes_at = DT_NOEND;
	if (entry == NULL)
		return READY_UNLISTED;
	due_at = (TimestampTz) pg_atomic_read_u64(&entry->due_at);
	if (due_at > now && EntryIs(entry, route_id))
	{
		*changes_at = due_at;
		return READY_NOTHING;
	}
	look = EntryPeekHead(entry, route_id, now, priority, key);
	if (look != READY_UNKNOWN)
		return look;
	look = READY_NOTHING;
	entry = EntryLock(route_id, LW_SHARED);
	if (entry == NULL)
		return READY_UNLISTED;
	if (!entry->known)
		look = entry->learn_at <= now ? READY_UNKNOWN : READY_UNLISTED;
	for (int i = entry->first_lane; i != NONE && look == READY_NOTHING; i = ready_lanes[i].next)
	{
		*key = LaneHead(&ready_lanes[i]);
		*priority = ready_lanes[i].priority;
		if (key->run_at <= now)
			look = ready_lanes[i].n > 0 ? READY_HINT : READY_FILL;
		else
			*changes_at = Min(*changes_at, key->run_at);
	}
	LWLockRelease(&entry->lock);
	return look;
}

/*
 * Take the first due hints of a lane, up to the bound, and return their number.
 * "low" is set when the caller should fill the lane.
 */
int
ReadyTake(int32 route_id, int16 priority, TimestampTz now, const ReadyKey *bound, int most,
		  ReadyHint *hints, bool *low)
{
	ReadyEntry *entry = EntryLock(route_id, LW_EXCLUSIVE);
	ReadyLane  *lane;
	int			n = 0;

	*low = false;
	if (entry == NULL)
		return 0;
	entry->claimed_at = now;
	lane = LaneFind(entry, priority);
	if (lane != NULL)
	{
		while (n < most && n < lane->n && LaneHints(lane)[n].key.run_at <= now &&
			   ReadyCompare(&LaneHints(lane)[n].key, bound) <= 0)
			n++;
		if (n > 0)
			memcpy(hints, LaneHints(lane), sizeof(ReadyHint) * n);
		lane->first += n;
		LaneSetCount(lane, lane->n - n);
		*low = lane->n < LOW_WATER && lane->until.run_at <= now && lane->filling == 0;
	}
	EntryUnlock(entry);
	return n;
}

/* Begin to fill a lane.  The caller reads the index from *from on.  Returns false if another process fills the lane. */
bool
ReadyFillBegin(int32 route_id, int16 priority, ReadyKey *from)
{
	ReadyEntry *entry = EntryLock(route_id, LW_EXCLUSIVE);
	ReadyLane  *lane;

	Assert(fill.number == 0); /* a process fills one lane at a time */
	if (entry == NULL)
		return false;
	lane = LaneFind(entry, priority);
	if (lane != NULL && lane->filling == 0)
	{
		fill.number = pg_atomic_add_fetch_u64(&ready->fills, 1);
		fill.route_id = route_id;
		fill.priority = priority;
		fill.from = *from = lane->until;
		lane->filling = fill.number;
		lane->missed = READY_END;
		entry->claimed_at = ClockNow();
	}
	else
		lane = NULL;
	LWLockRelease(&entry->lock);
	return lane != NULL;
}

/*
 * End a fill with what it has found: the hints of due jobs, in order.  They are all
 * the jobs below "until" that were committed when the fill began.
 */
void
ReadyFillEnd(const ReadyHint *hints, int n, ReadyKey until)
{
	ReadyEntry *entry = EntryLock(fill.route_id, LW_EXCLUSIVE);
	ReadyLane  *lane;

	Assert(fill.number != 0);
	if (entry == NULL)
	{
		fill.number = 0;
		return;
	}
	lane = LaneFind(entry, fill.priority);
	if (lane != NULL && lane->filling == fill.number)
	{
		lane->filling = 0;
		if (ReadyCompare(&lane->until, &fill.from) == 0)
		{
			if (ReadyCompare(&lane->missed, &until) < 0)
				until = lane->missed;
			lane->until = until;
			for (int i = 0; i < n && ReadyCompare(&hints[i].key, &lane->until) < 0; i++)
				LaneInsert(lane, &hints[i]);
		}
	}
	fill.number = 0;
	EntryUnlock(entry);
}

/* Return a number that changes when a fill begins, of any lane. */
uint64
ReadyFills(void)
{
	return pg_atomic_read_u64(&ready->fills);
}

/* End a fill that has failed, if there is one. */
void
ReadyFillAbandon(void)
{
	if (fill.number != 0)
		ReadyFillEnd(NULL, 0, fill.from);
}

/*
 * Begin to learn which priorities a route's jobs have.  Returns the number to
 * pass to ReadyLearnEnd(), or 0 if the route has no list.  Several processes may
 * learn at once under the same number.  Once a commit could not make a lane, only
 * a process that begins afterwards can learn all priorities, so it gets a new one.
 */
uint64
ReadyLearnBegin(int32 route_id)
{
	ReadyEntry *entry = EntryLock(route_id, LW_EXCLUSIVE);
	uint64		number;

	if (entry == NULL)
		return 0;
	if (entry->learning == 0 || entry->short_of_lanes)
		entry->learning = pg_atomic_add_fetch_u64(&ready->fills, 1);
	entry->short_of_lanes = false;
	number = entry->learning;
	LWLockRelease(&entry->lock);
	return number;
}

/*
 * End learning: committed jobs have these priorities, and, with "all", no others.
 * Jobs that were committed since learning began have made their lanes themselves,
 * unless the lists were forgotten meanwhile.
 */
void
ReadyLearnEnd(int32 route_id, uint64 number, const int16 *priorities, int n, bool all)
{
	ReadyEntry *entry = EntryLock(route_id, LW_EXCLUSIVE);

	if (entry == NULL)
		return;
	if (entry->learning != number)
	{
		LWLockRelease(&entry->lock);
		return;
	}
	for (int i = 0; i < n && all; i++)
		all = LaneFind(entry, priorities[i]) != NULL || LaneMake(entry, priorities[i], READY_BEGIN) != NULL;
	entry->known = all && !entry->short_of_lanes;
	if (!entry->known)
	{
		/* Free the lanes, which nobody will use. */
		LanesFree(entry);
		entry->learn_at = ClockNow() + LEARN_AGAIN;
	}
	EntryUnlock(entry);
}

/* for commits --------------------------------------------------------------- */

/*
 * Return the lane for a job that was committed, or NULL if it needs none.  If the
 * route's priorities are known and this one has no lane, the job is the only one
 * of its priority, so the new lane is complete.  If they are being learnt, the new
 * lane knows nothing.  Otherwise the process that learns them will see the job.
 */
static ReadyLane *
LaneForPush(ReadyEntry *entry, int16 priority)
{
	ReadyLane *lane = LaneFind(entry, priority);

	if (lane == NULL && (entry->known || entry->learning != 0))
		lane = LaneMake(entry, priority, entry->known ? READY_END : READY_BEGIN);
	return lane;
}

/* Is the key in the part of the lane that is complete?  If not, a fill will find the job. */
static bool
IsBelow(ReadyLane *lane, const ReadyKey *key)
{
	if (ReadyCompare(key, &lane->until) < 0)
		return true;
	if (lane->filling != 0 && ReadyCompare(key, &lane->missed) < 0)
		lane->missed = *key;
	return false;
}

/*
 * Has a commit changed which job of the route is the first, where "before" was the head of
 * the lane?  A job behind a lane with hints, which are due, is not, unless jobs improve their
 * priorities.
 */
static bool
ComesFirst(const ReadyEntry *entry, ReadyLane *lane, const ReadyKey *before)
{
	ReadyKey head = LaneHead(lane);

	if (ReadyCompare(&head, before) >= 0)
		return false;
	for (int i = entry->first_lane; !entry->aged && &ready_lanes[i] != lane; i = ready_lanes[i].next)
		if (ready_lanes[i].n > 0)
			return false;
	return true;
}

/* Add the hint of a waiting job.  Returns false if a fill will find the job. */
bool
ReadyPush(int32 route_id, int16 priority, const ReadyHint *hint, TimestampTz now)
{
	ReadyEntry *entry = EntryLock(route_id, LW_EXCLUSIVE);
	ReadyLane  *lane;
	ReadyKey	head = READY_END;
	bool		below;
	bool		is_first;

	if (entry == NULL)
		return false;
	lane = LaneForPush(entry, priority);
	if (lane != NULL)
		head = LaneHead(lane);
	below = lane != NULL && IsBelow(lane, &hint->key);
	if (below && hint->key.run_at <= now)
		LaneInsert(lane, hint);
	else if (below)
		LaneCut(lane, hint->key);
	is_first = below && ComesFirst(entry, lane, &head);
	EntryUnlock(entry);
	if (is_first)
		ReadyNoteChange(route_id);
	return below;
}

/* Note that jobs without hints are waiting from this key on. */
void
ReadyPushRest(int32 route_id, int16 priority, ReadyKey from)
{
	ReadyEntry *entry = EntryLock(route_id, LW_EXCLUSIVE);
	ReadyLane  *lane;
	ReadyKey	head = READY_END;
	bool		is_first = false;

	if (entry == NULL)
		return;
	lane = LaneForPush(entry, priority);
	if (lane != NULL)
		head = LaneHead(lane);
	if (lane != NULL && IsBelow(lane, &from))
	{
		LaneCut(lane, from);
		is_first = ComesFirst(entry, lane, &head);
	}
	EntryUnlock(entry);
	if (is_first)
		ReadyNoteChange(route_id);
}

/* Forget the lists of this database, because jobs may be waiting that they do not know. */
void
ReadyForget(void)
{
	KeyLanesForget();
	if (ready == NULL)
		return;
	LWLockAcquire(&ready->lock, LW_SHARED);
	for (int i = 0; i < ready->n_lanes; i++)
	{
		ReadyEntry *entry = &ready_entries[i];

		if (entry->dboid != MyDatabaseId)
			continue;
		LWLockAcquire(&entry->lock, LW_EXCLUSIVE);
		if (entry->dboid == MyDatabaseId)
			LanesFree(entry);
		LWLockRelease(&entry->lock);
	}
	LWLockRelease(&ready->lock);
}
