/*
 * turns.c
 *	  Choosing the databases that have a scheduler, if there are not enough slots
 *	  for all.
 *
 * Schedulers are started in the order in which they became needed.  If one cannot
 * be started, other schedulers are asked to make room (slots.c).  A scheduler that
 * has made room is started again when there is work for it, or after some minutes.
 * A probe that hangs does not delay other databases.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "base/clock.h"
#include "base/guc.h"
#include "base/log_pace.h"
#include "process/known.h"
#include "process/probe.h"
#include "process/turns.h"
#include "shared/shmem.h"
#include "shared/slots.h"

#define PROBES_AT_ONCE 2
#define HANGS_AFTER (2 * USECS_PER_SEC)	   /* a probe that is not up by then does not delay others */
#define VISIT_AFTER (4 * USECS_PER_MINUTE) /* so each database is looked at every five minutes */
#define TRY_AGAIN_AFTER USECS_PER_MINUTE   /* while slots are short */

static void
NoteMissingSlot(SlotsShort lack)
{
	SlotsNoteShort();
	if (!LogIsDue(lack == SLOTS_NO_SLOT ? "slots for schedulers" : "places for schedulers"))
		return;
	if (lack == SLOTS_NO_SLOT)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("out of background worker slots for a taskq scheduler"),
				 errhint("You might need to increase \"max_worker_processes\".")));
	else
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("more databases need a taskq scheduler than the %d that there may be, so they take turns", SlotsForSchedulers()),
				 errdetail("Of max_worker_processes (%d), one is the launcher's, taskq.reserved_workers leaves %d to others, and a quarter is for workers.",
						   max_worker_processes, taskq_reserved_workers),
				 errhint("You might need to increase \"max_worker_processes\".")));
}

/*
 * Return when a database needs a scheduler that it does not have, or DT_NOEND if
 * that is not known.  If it is needed at once, "now" is returned.
 */
static TimestampTz
NeededAt(const Known *entry, TimestampTz now)
{
	TaskqDatabase *db = ShmemDatabase(entry->dboid, false);
	TimestampTz	   moment;

	if (entry->handle != NULL || KnownIsBlocked(entry->dboid) || (db != NULL && db->scheduler_pid != 0))
		return DT_NOEND;
	if (entry->probed && db == NULL)
		return DT_NOEND; /* taskq is not installed there */
	moment = ClockIsAhead(entry->not_before, RETRY_AT_MOST) ? entry->not_before : now;
	if (!entry->probed || !db->rests || pg_atomic_read_u32(&db->signalled) != 0 || !SlotsAreShort())
		return moment;
	return Max(moment, Min((TimestampTz) Min(pg_atomic_read_u64(&db->next_moment), (uint64) DT_NOEND),
						   db->looked_at + VISIT_AFTER));
}

/* The limits on starting schedulers. */
typedef struct Places
{
	int taken;	/* slots in use, of those for schedulers */
	int probes; /* running probes, except those that hang */
} Places;

/*
 * Count the places in use.  A probe that hangs does not count, as long as one place
 * remains for schedulers.
 */
static Places
CountPlaces(void)
{
	Places			places = { 0 };
	int				hanging = 0;
	HASH_SEQ_STATUS status;
	Known		   *entry;

	hash_seq_init(&status, known_databases);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (KnownHasScheduler(entry->dboid))
			places.taken++;
		else if (entry->handle == NULL)
			continue;
		else if (ClockHasPassed(entry->started_at, HANGS_AFTER))
			hanging++;
		else
		{
			places.taken++;
			places.probes++;
		}
	}
	places.taken += Min(hanging, SlotsForSchedulers() - 1);
	return places;
}

static void
NoteWaiting(Known *entry, bool waits)
{
	TaskqDatabase *db = ShmemDatabase(entry->dboid, false);

	if (!waits)
		entry->waits_since = 0;
	else if (entry->waits_since == 0)
		entry->waits_since = ClockNow();
	if (db == NULL)
		return;
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	db->waits_since = entry->waits_since;
	LWLockRelease(&taskq_shared->lock);
}

/*
 * Return the database that has needed a scheduler for the longest time.  Also
 * return when the next database will need one, and how many need one now.
 */
static Known *
NextNeeded(TimestampTz *again, int *n)
{
	TimestampTz		now = ClockNow();
	Known		   *first = NULL;
	HASH_SEQ_STATUS status;
	Known		   *entry;

	*n = 0;
	hash_seq_init(&status, known_databases);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		TimestampTz at = NeededAt(entry, now);

		if (at > now)
		{
			if (entry->waits_since != 0)
				NoteWaiting(entry, false);
			*again = Min(*again, at);
			continue;
		}
		if (entry->waits_since == 0)
			NoteWaiting(entry, true);
		(*n)++;
		if (first == NULL || entry->waits_since < first->waits_since)
			first = entry;
	}
	return first;
}

/*
 * Start the schedulers that are needed, in the order in which they became needed.
 * If some cannot be started, ask others to make room.  Returns when to try again.
 */
TimestampTz
TurnsStartNeeded(void)
{
	TimestampTz again = DT_NOEND;
	SlotsShort	lack = SLOTS_ENOUGH;
	Known	   *entry;
	int			n;

	ProbeCheckStarted();
	while (lack == SLOTS_ENOUGH && (entry = NextNeeded(&again, &n)) != NULL)
	{
		Places places = CountPlaces();

		if (!KnownIsStillThere(entry->dboid))
		{
			KnownList();
			KnownForgetDropped();
			continue;
		}

		/* limit the number of concurrent starts: start the next when these are up */
		if (places.probes >= PROBES_AT_ONCE)
		{
			again = Min(again, ClockNow() + HANGS_AFTER);
			break;
		}
		if (places.taken >= SlotsForSchedulers())
			lack = SLOTS_NO_PLACE;
		else if (ProbeStart(entry))
			NoteWaiting(entry, false);
		else
			lack = SLOTS_NO_SLOT;
	}
	if (lack != SLOTS_ENOUGH)
		NoteMissingSlot(lack);
	if (SlotsMakeRoom(lack, lack == SLOTS_ENOUGH ? 0 : n))
		again = Min(again, ClockNow() + USECS_PER_SEC);
	if (SlotsAreShort())
		again = Min(again, ClockNow() + TRY_AGAIN_AFTER);
	return again;
}
