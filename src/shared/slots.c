/*
 * slots.c
 *	  Sharing the server's worker slots between databases.
 *
 * Launcher, schedulers and workers are background workers, of which the server
 * has max_worker_processes.  The number of schedulers is limited, so that a quarter
 * of the slots is left to workers, and taskq.reserved_workers slots to others.  When
 * there are more databases than that, or no slot is left, helpers exit, and schedulers
 * without work make room.  If all have work, databases take turns: a scheduler that has
 * run for ten seconds exits, or a worker after its job.  The launcher chooses which.
 *
 * A scheduler that has made room rests.  The launcher starts it again when a commit
 * brings work, when something is due, and once in a while (turns.c).
 */
#include "taskq.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/clock.h"
#include "base/guc.h"
#include "base/signature.h"
#include "shared/shmem.h"
#include "shared/slots.h"

PG_FUNCTION_INFO_V1(taskq_pool_state);

#define TURN (10 * USECS_PER_SEC)	   /* a database keeps its slots for this time */
#define SHORT_FOR (60 * USECS_PER_SEC) /* slots count as short for this time */
#define WANT_LASTS (5 * USECS_PER_SEC) /* a scheduler repeats each second that it lacks slots */

/* The greatest number of schedulers and probes. */
int
SlotsForSchedulers(void)
{
	return Max(max_worker_processes - taskq_reserved_workers - 1 - Max(max_worker_processes / 4, 1), 1);
}

/* Has a process lacked a slot lately? */
bool
SlotsAreShort(void)
{
	TimestampTz short_at = (TimestampTz) pg_atomic_read_u64(&taskq_shared->slots_short_at);

	return short_at != 0 && !ClockHasPassed(short_at, SHORT_FOR);
}

void
SlotsNoteShort(void)
{
	pg_atomic_write_u64(&taskq_shared->slots_short_at, (uint64) ClockNow());
}

/* Note that a scheduler lacks slots for n workers.  It repeats this each second. */
void
SlotsWant(TaskqDatabase *db, int n)
{
	Assert(n >= 0);
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	db->slots_wanted = n;
	db->slots_wanted_at = ClockNow();
	LWLockRelease(&taskq_shared->lock);
	if (n == 0)
		return;
	SlotsNoteShort();
	ShmemWakeLauncher();
}

/* Does a database lack slots for workers?  The caller holds TaskqShared.lock. */
static bool
Wants(const TaskqDatabase *db)
{
	Assert(LWLockHeldByMe(&taskq_shared->lock));
	return OidIsValid(db->dboid) && db->slots_wanted > 0 && !ClockHasPassed(db->slots_wanted_at, WANT_LASTS);
}

/* Count the workers of a database that were not asked to exit. */
static int
CountWorkers(Oid dboid)
{
	int n = 0;

	for (int i = 0; i < taskq_shared->n_slots; i++)
		if (taskq_slots[i].worker && !taskq_slots[i].leave && taskq_slots[i].dboid == dboid)
			n++;
	return n;
}

/*
 * May a database start a worker?  It may not while another database lacks a slot
 * and has fewer workers, or as many and was given a slot longer ago.
 */
bool
SlotsMayTake(const TaskqDatabase *db)
{
	int	 mine = CountWorkers(db->dboid);
	bool may = true;

	LWLockAcquire(&taskq_shared->lock, LW_SHARED);
	if (mine > 0 && taskq_shared->schedulers_lack_slots)
		may = false;
	for (int i = 0; i < taskq_shared->n_databases && may; i++)
	{
		TaskqDatabase *other = &taskq_databases[i];
		int			   theirs;

		if (other == db || !Wants(other))
			continue;
		theirs = CountWorkers(other->dboid);
		if (theirs < mine || (theirs == mine && other->slot_taken_at < db->slot_taken_at))
			may = false;
	}
	LWLockRelease(&taskq_shared->lock);
	return may;
}

/* Note that a database has started a worker. */
void
SlotsTaken(TaskqDatabase *db)
{
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	db->slot_taken_at = ClockNow();
	LWLockRelease(&taskq_shared->lock);
}

/*
 * May a database start a helper?  Only if a slot for a worker is left besides those
 * that taskq.reserved_workers leaves to others.  If so, the helper is counted from now
 * on.
 */
bool
SlotsForHelper(TaskqDatabase *db)
{
	int	 taken = 1; /* the launcher's */
	bool may;

	for (int i = 0; i < taskq_shared->n_slots; i++)
		if (taskq_slots[i].worker)
			taken++;
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < taskq_shared->n_databases; i++)
	{
		const TaskqDatabase *other = &taskq_databases[i];

		if (!OidIsValid(other->dboid))
			continue;
		if (other->scheduler_pid != 0)
			taken++;
		if (other->helper_pid != 0 || other->helper_starts)
			taken++;
	}
	may = !SlotsAreShort() && taken + 2 <= max_worker_processes - taskq_reserved_workers;
	db->helper_starts = may;
	db->helper_lacks = !may;
	LWLockRelease(&taskq_shared->lock);
	return may;
}

/* make room ---------------------------------------------------------------- */

/* Count the schedulers that were asked to exit and still run.  The caller holds TaskqShared.lock. */
static int
CountLeaving(void)
{
	int n = 0;

	Assert(LWLockHeldByMe(&taskq_shared->lock));
	for (int i = 0; i < taskq_shared->n_databases; i++)
		if (OidIsValid(taskq_databases[i].dboid) && taskq_databases[i].scheduler_pid != 0 && taskq_databases[i].make_room)
			n++;
	return n;
}

/*
 * Ask a scheduler to exit: with "idle" the one that has been without work for the
 * longest time, otherwise the one that was started first.  The caller holds
 * TaskqShared.lock.
 */
static bool
AskScheduler(bool idle)
{
	TaskqDatabase *chosen = NULL;

	Assert(LWLockHeldByMeInMode(&taskq_shared->lock, LW_EXCLUSIVE));
	for (int i = 0; i < taskq_shared->n_databases; i++)
	{
		TaskqDatabase *db = &taskq_databases[i];
		TimestampTz	   since = idle ? db->idle_since : db->scheduler_since;

		if (!OidIsValid(db->dboid) || db->scheduler_pid == 0 || db->make_room || since == 0 ||
			(!idle && !ClockHasPassed(since, TURN)))
			continue;
		if (chosen == NULL || since < (idle ? chosen->idle_since : chosen->scheduler_since))
			chosen = db;
	}
	if (chosen == NULL)
		return false;
	chosen->make_room = true;
	if (chosen->scheduler_latch != NULL)
		SetLatch(chosen->scheduler_latch);
	return true;
}

/*
 * Ask a worker to exit, for a database that lacks slots and has "least" workers.  Only
 * a worker of a database that has more is asked.  A worker that waits for jobs is
 * preferred; otherwise it is the oldest worker of the database with the most workers.
 * The caller holds TaskqShared.lock.
 */
static void
AskWorker(int least)
{
	TaskqSlot *chosen = NULL;
	int		   most = 0;

	Assert(LWLockHeldByMeInMode(&taskq_shared->lock, LW_EXCLUSIVE));
	Assert(least >= 0);
	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		TaskqSlot *slot = &taskq_slots[i];
		bool	   idle = pg_atomic_read_u32(&slot->waiting) == WAITING;
		int		   n;

		if (!slot->worker || slot->leave)
			continue;
		n = idle ? INT_MAX : CountWorkers(slot->dboid);
		if (!idle && (!ClockHasPassed(slot->started_at, TURN) || (least > 0 ? n < least + 2 : n == 0)))
			continue;
		if (idle && CountWorkers(slot->dboid) <= least)
			continue;
		if (chosen == NULL || n > most || (n == most && slot->started_at < chosen->started_at))
		{
			chosen = slot;
			most = n;
		}
	}
	if (chosen == NULL)
		return;
	LWLockAcquire(&chosen->lock, LW_EXCLUSIVE);
	if (chosen->worker)
	{
		chosen->leave = true;
		SetLatch(chosen->latch);
	}
	LWLockRelease(&chosen->lock);
}

/* The lowest number of workers among databases that lack slots; -1 if none lacks any. */
static int
LeastWorkers(void)
{
	int least = -1;

	for (int i = 0; i < taskq_shared->n_databases; i++)
		if (Wants(&taskq_databases[i]))
		{
			int n = CountWorkers(taskq_databases[i].dboid);

			least = least < 0 ? n : Min(least, n);
		}
	return least;
}

/*
 * Ask processes to make room for n schedulers that cannot be started, and for
 * workers.  Called by the launcher.  Returns true if it must look again in a second.
 */
bool
SlotsMakeRoom(SlotsShort schedulers, int n_schedulers)
{
	static TimestampTz worker_asked_at = 0;
	int				   least;
	int				   leaving;
	bool			   asked = true;

	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	taskq_shared->schedulers_lack_slots = schedulers == SLOTS_NO_SLOT;
	least = schedulers == SLOTS_NO_SLOT ? 0 : LeastWorkers();
	leaving = CountLeaving();
	for (int i = leaving; i < n_schedulers && asked; i++)
		asked = AskScheduler(true) || (schedulers == SLOTS_NO_PLACE && AskScheduler(false));

	/* Schedulers without work may hold the slots that workers lack. */
	if (least >= 0 && leaving == 0 && n_schedulers == 0)
		asked = AskScheduler(true);
	if (least >= 0 && (!asked || n_schedulers > 0) && ClockHasPassed(worker_asked_at, USECS_PER_SEC))
	{
		worker_asked_at = ClockNow();
		AskWorker(least);
	}
	LWLockRelease(&taskq_shared->lock);
	return n_schedulers > 0 || least >= 0;
}

/* SQL ---------------------------------------------------------------------- */

/* Does this pool of this database have a worker? */
static bool
HasWorker(const char *pool)
{
	bool found = false;

	for (int i = 0; i < taskq_shared->n_slots && !found; i++)
	{
		TaskqSlot *slot = &taskq_slots[i];

		LWLockAcquire(&slot->lock, LW_SHARED);
		found = slot->worker && slot->dboid == MyDatabaseId && strcmp(slot->pool, pool) == 0;
		LWLockRelease(&slot->lock);
	}
	return found;
}

/*
 * Return whether a pool of this database can have workers.  A NULL pool stands for one
 * that has no worker now.
 */
SlotsState
SlotsStateOf(const char *pool)
{
	TaskqDatabase *db = ShmemMyDatabase();

	if (db == NULL || !taskq_enabled || (db->scheduler_pid == 0 && !db->rests && db->waits_since == 0))
		return SLOTS_NOT_RUNNING;
	if (((db->scheduler_pid == 0 && db->waits_since != 0) || db->slots_wanted > 0) &&
		(pool == NULL || !HasWorker(pool)))
		return SLOTS_NONE_FREE;
	return SLOTS_READY;
}

Datum
taskq_pool_state(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {
		[SLOTS_READY] = "ready",
		[SLOTS_NONE_FREE] = "no slot",
		[SLOTS_NOT_RUNNING] = "not running",
	};

	CheckCall(fcinfo);
	PG_RETURN_TEXT_P(cstring_to_text(names[SlotsStateOf(PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0)))]));
}
