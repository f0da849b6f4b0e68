/*
 * turns.c
 *	  Which databases have a scheduler, where there are not enough slots for all.
 *
 * Schedulers are started in the order in which they have been needed.  When one
 * cannot be started, others are asked to make room (slots.c), and a scheduler that
 * has done so is started again when there is work or once in a while.  A probe that
 * hangs holds up no other database.
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
#define HANGS_AFTER (2 * USECS_PER_SEC)	   /* a probe that is not up by then holds up no other */
#define VISIT_AFTER (4 * USECS_PER_MINUTE) /* so that each database is looked at within five */
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

/* When does a database need a scheduler that it has not got?  DT_NOEND: nobody knows. */
static TimestampTz
NeededAt(const Known *entry)
{
	TaskqDatabase *db = ShmemDatabase(entry->dboid, false);
	TimestampTz	   moment;

	if (entry->handle != NULL || KnownIsBlocked(entry->dboid) || (db != NULL && db->scheduler_pid != 0))
		return DT_NOEND;
	if (entry->probed && db == NULL)
		return DT_NOEND; /* there is no taskq */
	moment = ClockIsAhead(entry->not_before, RETRY_AT_MOST) ? entry->not_before : ClockNow();
	if (!entry->probed || !db->rests || pg_atomic_read_u32(&db->signalled) != 0 || !SlotsAreShort())
		return moment;
	return Max(moment, Min((TimestampTz) Min(pg_atomic_read_u64(&db->next_moment), (uint64) DT_NOEND),
						   db->looked_at + VISIT_AFTER));
}

/* What keeps schedulers that are needed from being started. */
typedef struct Places
{
	int taken;	/* of those for schedulers */
	int probes; /* under way, but for those that hang */
} Places;

/* A probe that hangs takes no place, as long as one is left for it to hang in. */
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

/* The database that has needed a scheduler for the longest time; and when the next one will. */
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
		TimestampTz at = NeededAt(entry);

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
 * Start the schedulers that are needed, in the order in which they are, and have
 * others make room for those that cannot be started; when to try again.
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

		/* a start of the server is no stampede: the next one when these are up */
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
