/*
 * wake.c
 *	  What is to be told to other processes when this transaction commits.
 *
 * An enqueue notes (route, how many jobs); its commit wakes as many waiting
 * processes that look at the route, by their latches.  No NOTIFY: that would
 * serialise every commit of the cluster.
 *
 * That happens once the commit's invalidations are sent and its locks are free.
 * The callback cannot fail, an error there would be a PANIC: it
 * allocates nothing, reports nothing and reads no catalogue.  The notes are in
 * an array that was grown when they were made.  A subtransaction's notes go
 * with it.  A prepared transaction drops its notes; once it has ended, everything
 * is looked at (prepared.c).  A lost wake-up costs at most taskq.poll_interval; so may one
 * that goes to the wrong waiter, which takes more than 1024 routes.
 */
#include "taskq.h"

#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/clock.h"
#include "base/guc.h"
#include "shared/prepared.h"
#include "shared/shmem.h"
#include "shared/wake.h"

typedef enum WakeKind
{
	WAKE_JOBS,		   /* key: route; count: jobs */
	WAKE_SCHEDULER_AT, /* key: moment */
	WAKE_LEASE_AT,	   /* the same, when the lease of a claim will be over */
	WAKE_CONFIG_CHANGED,
	WAKE_CLAIMED,	  /* the same, of jobs that are free again at abort; no PREPARE */
	WAKE_WORKER,	  /* key: external worker; its registration has changed */
	WAKE_PERMIT,	  /* key: external worker; one of its runs has ended */
	WAKE_PERMIT_HELD, /* the same, of permits that are free again at abort */
	WAKE_CANCEL,	  /* key: job */
	WAKE_LAUNCHER,	  /* key: database to look at */
	WAKE_UNBLOCK,	  /* key: database; at commit and abort alike */
	WAKE_EVENTS		  /* those who read events; also at abort, which held them back */
} WakeKind;

typedef struct WakeNote
{
	WakeKind kind;
	int		 level; /* of the subtransaction that made it */
	int64	 key;
	int		 count;
} WakeNote;

#define MERGE_WITHIN 8 /* notes back: calls make a few of different kinds in turn */

/* In the order of their levels: those of the subtransaction that ends are the last. */
static WakeNote		 *notes = NULL;
static int			  n_notes = 0;
static int			  max_notes = 0;
static TaskqDatabase *notes_db = NULL;
static bool			  events_noted = false;

/* How the transaction has ended, from its end until the notes were acted on. */
static enum
{
	TRANSACTION_RUNS,
	TRANSACTION_COMMITTED,
	TRANSACTION_ABORTED
} ended = TRANSACTION_RUNS;

/* Of the subtransaction that is being rolled back; 0: none is. */
static int aborted_level = 0;

/* Notes of moments become one, of the first; so do those that say the same. */
static bool
MergeNote(WakeNote *into, WakeKind kind, int64 key, int count)
{
	if (into->kind != kind)
		return false;
	if (kind == WAKE_SCHEDULER_AT || kind == WAKE_LEASE_AT)
		into->key = Min(into->key, key);
	else if (into->key == key)
		into->count += count;
	else
		return false;
	return true;
}

/* Does a note go with one of the last "of" notes, of its subtransaction? */
static bool
MergeWithLast(int of, WakeKind kind, int level, int64 key, int count)
{
	int first = Max(of - MERGE_WITHIN, 0);

	for (int i = of - 1; i >= first && notes[i].level == level; i--)
		if (MergeNote(&notes[i], kind, key, count))
			return true;
	return false;
}

static void
AddNote(WakeKind kind, int64 key)
{
	int level = GetCurrentTransactionNestLevel();

	if (!ShmemPresent() && kind != WAKE_CLAIMED)
		return;
	notes_db = ShmemMyDatabase();
	if (MergeWithLast(n_notes, kind, level, key, 1))
		return;
	if (n_notes == max_notes)
	{
		int more = Max(16, max_notes * 2);

		if (notes == NULL)
			notes = MemoryContextAlloc(TopMemoryContext, more * sizeof(WakeNote));
		else
			notes = repalloc_huge(notes, more * sizeof(WakeNote));
		max_notes = more;
	}
	notes[n_notes].kind = kind;
	notes[n_notes].level = level;
	notes[n_notes].key = key;
	notes[n_notes].count = 1;
	n_notes++;
}

/* A job of this route becomes available, now or at run_at. */
void
WakeForJob(int32 route_id, TimestampTz run_at, TimestampTz now)
{
	if (run_at > now)
		AddNote(WAKE_SCHEDULER_AT, run_at);
	else
		AddNote(WAKE_JOBS, route_id);
}

/* The scheduler must look at this moment, at the latest. */
void
WakeSchedulerAt(TimestampTz moment)
{
	AddNote(WAKE_SCHEDULER_AT, moment);
}

/* A claim was made that must be looked at then, unless it has been settled. */
void
WakeLeaseAt(TimestampTz moment)
{
	AddNote(WAKE_LEASE_AT, moment);
}

/* Queues, handlers, routes, pools or the like have changed. */
void
WakeConfigChanged(void)
{
	AddNote(WAKE_CONFIG_CHANGED, 0);
}

/*
 * A job of this route was claimed.  The claim's lease and permit would outlive a
 * server that ends between PREPARE and COMMIT PREPARED, so there is no PREPARE
 * after it.
 */
void
WakeClaimed(int32 route_id)
{
	AddNote(WAKE_CLAIMED, route_id);
}

/* What an external worker is given has changed. */
void
WakeWorker(uint64 worker_key)
{
	AddNote(WAKE_WORKER, (int64) worker_key);
}

/* A run of an external worker ends. */
void
WakePermit(uint64 worker_key)
{
	AddNote(WAKE_PERMIT, (int64) worker_key);
}

/* This transaction holds permits of an external worker. */
void
WakePermitHeld(uint64 worker_key)
{
	AddNote(WAKE_PERMIT_HELD, (int64) worker_key);
}

/* Interrupt the job if a background worker runs it. */
void
WakeCancel(int64 job_id)
{
	AddNote(WAKE_CANCEL, job_id);
}

/* Have the launcher look at a database. */
void
WakeLauncher(Oid dboid)
{
	AddNote(WAKE_LAUNCHER, dboid);
}

/* Let taskq's processes back into a database, however this ends. */
void
WakeUnblock(Oid dboid)
{
	AddNote(WAKE_UNBLOCK, dboid);
}

/* Events were written: those who wait for them must look, however this ends. */
void
WakeForEvents(void)
{
	if (!events_noted)
		AddNote(WAKE_EVENTS, 0);
	events_noted = true;
}

/* the acts ----------------------------------------------------------------- */

/* Wake one waiting process, unless another was faster. */
static bool
WakeSlot(TaskqSlot *slot)
{
	uint32 expected = WAITING;
	Latch *latch = slot->latch;

	if (latch == NULL || !pg_atomic_compare_exchange_u32(&slot->waiting, &expected, WOKEN))
		return false;
	SetLatch(latch);
	return true;
}

/* Wake up to n processes that wait for jobs of a route; how many it were. */
int
WakeWaiters(Oid dboid, int32 route_id, int n)
{
	int	   word = (route_id / 64) % INTEREST_WORDS;
	uint64 bit = UINT64CONST(1) << (route_id % 64);
	int	   woken = 0;

	if (pg_atomic_read_u32(&taskq_shared->n_waiting) == 0)
		return 0;
	for (int i = 0; i < taskq_shared->n_slots && woken < n; i++)
	{
		TaskqSlot *slot = &taskq_slots[i];

		if (pg_atomic_read_u32(&slot->waiting) == WAITING && slot->dboid == dboid &&
			(slot->interest[word] & bit) != 0 && WakeSlot(slot))
			woken++;
	}
	return woken;
}

/* Wake every waiting process, to look at a changed configuration. */
void
WakeAllWaiters(Oid dboid)
{
	for (int i = 0; i < taskq_shared->n_slots; i++)
		if (pg_atomic_read_u32(&taskq_slots[i].waiting) == WAITING && taskq_slots[i].dboid == dboid)
			WakeSlot(&taskq_slots[i]);
}

/* Wake every process that waits for jobs of an external worker, or those at its limit. */
static void
WakeForWorker(uint64 worker_key, bool only_at_limit)
{
	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		TaskqSlot *slot = &taskq_slots[i];

		if (pg_atomic_read_u32(&slot->waiting) == WAITING && slot->dboid == MyDatabaseId &&
			slot->worker_key == worker_key && (slot->at_limit || !only_at_limit))
			WakeSlot(slot);
	}
}

/* A permit is free: those who wait for one must look. */
void
WakeForPermit(uint64 worker_key)
{
	if (!ShmemPresent())
		return;
	pg_memory_barrier();
	if (pg_atomic_read_u32(&taskq_shared->n_at_limit) > 0)
		WakeForWorker(worker_key, true);
}

/* Wake every process that waits for events. */
static void
WakeEventReaders(void)
{
	if (pg_atomic_read_u32(&taskq_shared->n_event_readers) == 0)
		return;
	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		TaskqSlot *slot = &taskq_slots[i];
		Latch	  *latch = slot->latch;

		if (pg_atomic_read_u32(&slot->reads_events) == 0 || slot->dboid != MyDatabaseId || latch == NULL)
			continue;
		if (pg_atomic_exchange_u32(&slot->reads_events, 0) != 0)
		{
			pg_atomic_fetch_sub_u32(&taskq_shared->n_event_readers, 1);
			SetLatch(latch);
		}
	}
}

/* Set a moment in shared memory to an earlier one; false: it is not. */
bool
WakeBringForward(pg_atomic_uint64 *place, TimestampTz moment)
{
	uint64 next = pg_atomic_read_u64(place);

	while ((uint64) moment < next)
		if (pg_atomic_compare_exchange_u64(place, &next, (uint64) moment))
			return true;
	return false;
}

/*
 * Tell the worker that runs the job.  It is named by job and epoch under the
 * slot's lock, so the interrupt can never be meant for its next job.
 */
static void
CancelRun(Oid dboid, int64 job_id)
{
	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		TaskqSlot *slot = &taskq_slots[i];

		if (!slot->worker || slot->dboid != dboid)
			continue;
		LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
		if (slot->worker && slot->job_id == job_id)
		{
			slot->cancel_epoch = slot->epoch;
			slot->cancelled_at = slot->interrupted_at = ClockNow();
			if (slot->interruptible)
				kill(slot->pid, SIGINT);
		}
		LWLockRelease(&slot->lock);
	}
}

static void
Unblock(Oid dboid, int count)
{
	TaskqDatabase *db = ShmemDatabase(dboid, false);

	if (db == NULL)
		return;
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	db->blocked = Max(db->blocked - count, 0);
	db->probe = true;
	LWLockRelease(&taskq_shared->lock);
	ShmemWakeLauncher();
}

static void
ProbeDatabase(Oid dboid)
{
	/* a probe that saw nothing of this transaction yet has done away with the entry */
	TaskqDatabase *db = ShmemDatabase(dboid, true);

	if (db == NULL)
		return;
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	db->probe = true;
	LWLockRelease(&taskq_shared->lock);
	ShmemWakeLauncher();
}

static void
ActOnNote(const WakeNote *note)
{
	TaskqDatabase *db = notes_db;
	bool		   first = false;

	switch (note->kind)
	{
		case WAKE_JOBS:
		case WAKE_CLAIMED:
			if (WakeWaiters(MyDatabaseId, (int32) note->key, note->count) < note->count &&
				db != NULL && pg_atomic_read_u32(&db->may_grow) != 0)
				ShmemWakeScheduler(db);
			break;
		case WAKE_LEASE_AT:
		case WAKE_SCHEDULER_AT:
			if (db == NULL)
				break;
			if (note->kind == WAKE_LEASE_AT)
			{
				first = pg_atomic_read_u64(&db->next_lease) == (uint64) DT_NOEND;
				(void) WakeBringForward(&db->next_lease, note->key);
			}

			/* while there are leases it watches the clock */
			if (WakeBringForward(&db->next_moment, note->key) || first)
				ShmemWakeScheduler(db);
			break;
		case WAKE_CONFIG_CHANGED:
			if (db != NULL)
			{
				pg_atomic_fetch_add_u64(&db->config_version, 1);
				ShmemWakeScheduler(db);
			}
			WakeAllWaiters(MyDatabaseId);
			break;
		case WAKE_WORKER:
			if (pg_atomic_read_u32(&taskq_shared->n_waiting) > 0)
				WakeForWorker((uint64) note->key, false);
			break;
		case WAKE_PERMIT:
		case WAKE_PERMIT_HELD:
			WakeForPermit((uint64) note->key);
			break;
		case WAKE_CANCEL:
			CancelRun(MyDatabaseId, note->key);
			if (db != NULL)
				ShmemWakeScheduler(db);
			break;
		case WAKE_LAUNCHER:
			ProbeDatabase((Oid) note->key);
			break;
		case WAKE_UNBLOCK:
			Unblock((Oid) note->key, note->count);
			break;
		case WAKE_EVENTS:
			WakeEventReaders();
			if (db != NULL && taskq_event_notify_interval > 0 &&
				pg_atomic_exchange_u32(&db->events_to_notify, 1) == 0)
				ShmemWakeScheduler(db);
			break;
	}
}

/* Is it to be acted on at this end of the transaction? */
static bool
IsForEnd(const WakeNote *note, bool committed)
{
	if (note->kind == WAKE_CLAIMED || note->kind == WAKE_PERMIT_HELD)
		return !committed && ShmemPresent();
	return committed || note->kind == WAKE_UNBLOCK || note->kind == WAKE_EVENTS;
}

/*
 * The configuration's news go first, whatever the order of the notes: who is
 * woken for a job must see the route that came with it.
 */
static void
ActOnNotes(bool committed)
{
	for (int i = 0; committed && i < n_notes; i++)
		if (notes[i].kind == WAKE_CONFIG_CHANGED)
		{
			ActOnNote(&notes[i]);
			break;
		}
	for (int i = 0; i < n_notes; i++)
		if (IsForEnd(&notes[i], committed) && notes[i].kind != WAKE_CONFIG_CHANGED)
			ActOnNote(&notes[i]);
	n_notes = 0;
	events_noted = false;
}

/* The last moment at which an error is one. */
static void
RefusePrepareAfterClaim(void)
{
	for (int i = 0; i < n_notes; i++)
		if (notes[i].kind == WAKE_CLAIMED)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot PREPARE a transaction that has claimed a taskq job"),
					 errhint("Claim in a transaction of its own; a transaction that only enqueues can be prepared.")));
}

static void
AtTransactionEnd(XactEvent event, void *arg)
{
	if (n_notes == 0)
		return;
	if (event == XACT_EVENT_PRE_PREPARE)
		RefusePrepareAfterClaim();
	if (event == XACT_EVENT_COMMIT)
		ended = TRANSACTION_COMMITTED;
	else if (event == XACT_EVENT_ABORT)
		ended = TRANSACTION_ABORTED;
	else if (event == XACT_EVENT_PREPARE)
	{
		PreparedNote();
		ActOnNotes(false);
	}
}

/*
 * A subtransaction has ended: its notes are its parent's from now on.  Those of
 * one that was rolled back go with it, but for those of claims: what they had is
 * free.
 */
static void
EndLevel(int level, bool committed)
{
	int first = n_notes;
	int end = n_notes;

	while (first > 0 && notes[first - 1].level >= level)
		first--;
	n_notes = first;
	for (int i = first; i < end; i++)
	{
		WakeNote *note = &notes[i];

		if (!committed && !IsForEnd(note, false))
			continue;
		if (!committed && (note->kind == WAKE_CLAIMED || note->kind == WAKE_PERMIT_HELD))
		{
			ActOnNote(note);
			continue;
		}
		note->level = level - 1;
		if (!MergeWithLast(n_notes, note->kind, note->level, note->key, note->count))
			notes[n_notes++] = *note;
	}
}

static void
AtSubtransactionEnd(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		EndLevel(GetCurrentTransactionNestLevel(), true);
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		aborted_level = GetCurrentTransactionNestLevel();
}

/*
 * The moment to act: the transaction's invalidations have been sent and its
 * locks are free, so whoever is woken finds nothing in the way.
 */
static void
AfterLocks(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *arg)
{
	int	 level = aborted_level;
	bool committed = ended == TRANSACTION_COMMITTED;

	if (phase != RESOURCE_RELEASE_AFTER_LOCKS)
		return;
	aborted_level = 0;
	if (level > 0 && !is_commit && !is_top_level)
		EndLevel(level, false);
	if (ended == TRANSACTION_RUNS)
		return;
	ended = TRANSACTION_RUNS;
	ActOnNotes(committed);
}

/* Registered once: each registration is kept for the life of the process. */
void
WakeInit(void)
{
	RegisterXactCallback(AtTransactionEnd, NULL);
	RegisterSubXactCallback(AtSubtransactionEnd, NULL);
	RegisterResourceReleaseCallback(AfterLocks, NULL);
}
