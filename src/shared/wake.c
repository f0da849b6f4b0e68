/*
 * wake.c
 *	  What this transaction tells other processes when it ends.
 *
 * An enqueue notes the route and the number of jobs.  Its commit sets the latches
 * of as many processes that wait for the route.  NOTIFY is not used, as it would
 * make all commits of the cluster wait for each other.
 *
 * The notes are acted on when the invalidations of the commit have been sent and
 * its locks are released.  An error in that callback would be a PANIC, so the
 * callback allocates no memory, raises no error and reads no catalog; the array
 * of notes grows when a note is made.  A rollback drops the notes, but those of
 * claims and of changed registrations are acted on: others have passed over the
 * jobs, ids and types that the transaction had locked, and must look again.  PREPARE
 * TRANSACTION drops all notes; when the prepared transaction ends, taskq's processes
 * look for all changes instead (prepared.c).  A lost wake-up delays a job by
 * taskq.poll_interval at most; so does a wake-up of the wrong process, which is
 * possible with more than 1024 routes.
 *
 * This file has more than 400 lines, as the notes and the three callbacks that end
 * them are one subject, and nothing else may see the notes.
 */
#include "taskq.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "base/grow.h"
#include "base/guc.h"
#include "shared/prepared.h"
#include "shared/shmem.h"
#include "shared/wake.h"

typedef enum WakeKind
{
	WAKE_JOBS,			 /* key: route; count: number of jobs */
	WAKE_SCHEDULER_AT,	 /* key: moment */
	WAKE_LEASE_AT,		 /* key: the end of a lease */
	WAKE_CONFIG_CHANGED, /* also at abort, because types that were locked are free again */
	WAKE_CLAIMED,		 /* key: route; at abort its job is free again; forbids PREPARE */
	WAKE_LOCKED,		 /* key: route; its waiting job was locked: free again at abort */
	WAKE_LEFT,			 /* key: route; its job was locked and not claimed: free again at commit and at abort */
	WAKE_WORKER,		 /* key: external worker, whose registration has changed; also at abort, because the id is free again */
	WAKE_CANCEL,		 /* key: job */
	WAKE_LAUNCHER,		 /* key: database to look at */
	WAKE_UNBLOCK,		 /* key: database; acted on at commit and at abort */
	WAKE_EVENTS			 /* wake readers of events; also at abort, because an open transaction holds them back */
} WakeKind;

typedef struct WakeNote
{
	WakeKind kind;
	int		 level; /* nesting level of the subtransaction that made the note */
	int64	 key;
	int		 count;
} WakeNote;

#define MERGE_WITHIN 8 /* a note is merged with one of the last 8, as calls make notes of a few kinds in turn */

/* Ordered by level, so the notes of the innermost subtransaction are the last ones. */
static WakeNote		 *notes = NULL;
static int			  n_notes = 0;
static int			  max_notes = 0;
static TaskqDatabase *notes_db = NULL;
static bool			  events_noted = false;

/* How the transaction has ended; set until its notes have been acted on. */
static enum
{
	TRANSACTION_RUNS,
	TRANSACTION_COMMITTED,
	TRANSACTION_ABORTED
} ended = TRANSACTION_RUNS;

/* Where the transaction has announced that it commits a change of the configuration; NULL if it has not. */
static TaskqDatabase *announced_in = NULL;

/* Nesting level of the subtransaction that is being rolled back; 0 if there is none. */
static int aborted_level = 0;

/* Merge a note into another of its kind.  Of moments, the earliest is kept. */
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

/* Merge a note into one of the last notes of the same subtransaction, if possible. */
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
	notes = GrowArray(notes, sizeof(WakeNote), &max_notes, n_notes + 1);
	notes[n_notes].kind = kind;
	notes[n_notes].level = level;
	notes[n_notes].key = key;
	notes[n_notes].count = 1;
	n_notes++;
}

/* Note that a job of this route becomes available, now or at run_at. */
void
WakeForJob(int32 route_id, TimestampTz run_at, TimestampTz now)
{
	if (run_at > now)
		AddNote(WAKE_SCHEDULER_AT, run_at);
	else
		AddNote(WAKE_JOBS, route_id);
}

/* Note that the scheduler must look for work at this moment. */
void
WakeSchedulerAt(TimestampTz moment)
{
	AddNote(WAKE_SCHEDULER_AT, moment);
}

/* Note the end of the lease of a claim. */
void
WakeLeaseAt(TimestampTz moment)
{
	AddNote(WAKE_LEASE_AT, moment);
}

/*
 * Note that queues, handlers, routes, pools or the like change.  Whoever locks a type
 * that claims pass over must make this note before.
 */
void
WakeConfigChanged(void)
{
	AddNote(WAKE_CONFIG_CHANGED, 0);
}

/*
 * Note that a job of this route was claimed.  Such a transaction cannot be
 * prepared, because the claim's lease and permit could not be kept until COMMIT
 * PREPARED if the server restarts.
 */
void
WakeClaimed(int32 route_id)
{
	AddNote(WAKE_CLAIMED, route_id);
}

/*
 * Note that a waiting job of this route was locked, because it is about to be changed.
 * If that is rolled back, the job is free again for those that pass over it now.
 */
void
WakeLocked(int32 route_id)
{
	AddNote(WAKE_LOCKED, route_id);
}

/*
 * Note that a job of this route was locked and then left, because the worker may not
 * take it any more.  All who wait for the route look again: some have passed over the
 * locked row.
 */
void
WakeLeft(int32 route_id)
{
	AddNote(WAKE_LEFT, route_id);
}

/*
 * Note that the registration of an external worker changes.  Whoever locks an id that
 * claims pass over must make this note before.
 */
void
WakeWorker(uint64 worker_key)
{
	AddNote(WAKE_WORKER, (int64) worker_key);
}

/* Note that a job is to be interrupted if a background worker runs it. */
void
WakeCancel(int64 job_id)
{
	AddNote(WAKE_CANCEL, job_id);
}

/* Note that the launcher must look at a database. */
void
WakeLauncher(Oid dboid)
{
	AddNote(WAKE_LAUNCHER, dboid);
}

/* Note that taskq's processes may return to a database, at commit and at abort. */
void
WakeUnblock(Oid dboid)
{
	AddNote(WAKE_UNBLOCK, dboid);
}

/* Note that events were written, so that their readers look, at commit and at abort. */
void
WakeForEvents(void)
{
	if (!events_noted)
		AddNote(WAKE_EVENTS, 0);
	events_noted = true;
}

/* acting on notes ---------------------------------------------------------- */

static void
ActOnNote(const WakeNote *note)
{
	TaskqDatabase *db = notes_db;
	bool		   first = false;

	switch (note->kind)
	{
		case WAKE_JOBS:
		case WAKE_CLAIMED:
		case WAKE_LOCKED:
			if (WakeWaiters(MyDatabaseId, (int32) note->key, note->count) < note->count &&
				db != NULL && pg_atomic_read_u32(&db->may_grow) != 0)
				ShmemWakeScheduler(db);
			break;
		case WAKE_LEFT:
			(void) WakeWaiters(MyDatabaseId, (int32) note->key, PG_INT32_MAX);
			if (db != NULL)
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

			/* The first lease also wakes the scheduler: it watches the clock while there are leases. */
			if (WakeBringForward(&db->next_moment, note->key) || first)
				ShmemWakeScheduler(db);
			break;
		case WAKE_CONFIG_CHANGED:
			if (db != NULL)
				ShmemWakeScheduler(db);
			WakeAllWaiters(MyDatabaseId);
			break;
		case WAKE_WORKER:
			if (pg_atomic_read_u32(&taskq_shared->n_waiting) > 0)
				WakeForWorker((uint64) note->key);
			break;
		case WAKE_CANCEL:
			WakeCancelledRun(MyDatabaseId, note->key);
			if (db != NULL)
				ShmemWakeScheduler(db);
			break;
		case WAKE_LAUNCHER:
			WakeLauncherNow((Oid) note->key);
			break;
		case WAKE_UNBLOCK:
			WakeUnblockNow((Oid) note->key, note->count);
			break;
		case WAKE_EVENTS:
			WakeEventReaders();
			if (db != NULL && taskq_event_notify_interval > 0 &&
				pg_atomic_exchange_u32(&db->events_to_notify, 1) == 0)
				ShmemWakeScheduler(db);
			break;
	}
}

/* Does the note say that the transaction holds a lock which claims pass over? */
static bool
HoldsLock(const WakeNote *note)
{
	switch (note->kind)
	{
		case WAKE_CLAIMED:
		case WAKE_LOCKED:
		case WAKE_LEFT:
		case WAKE_WORKER:
		case WAKE_CONFIG_CHANGED:
			return ShmemPresent();
		default:
			return false;
	}
}

/* Must a note be acted on at this end of the transaction? */
static bool
IsForEnd(const WakeNote *note, bool committed)
{
	if (committed)
		return note->kind != WAKE_CLAIMED && note->kind != WAKE_LOCKED;
	return HoldsLock(note) || note->kind == WAKE_UNBLOCK || note->kind == WAKE_EVENTS;
}

/*
 * Act on all notes.  Changes of the configuration come first: a process that is
 * woken for a job must see the job's route, which may be new.
 */
static void
ActOnNotes(bool committed)
{
	for (int i = 0; i < n_notes; i++)
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

/*
 * Announce, before the commit, that it changes what workers may take.  Until the
 * announcement is withdrawn, every claim reads the configuration again (stale.c).
 */
static void
AnnounceChange(void)
{
	Assert(announced_in == NULL);
	for (int i = 0; i < n_notes && announced_in == NULL; i++)
		if (notes[i].kind == WAKE_CONFIG_CHANGED || notes[i].kind == WAKE_WORKER)
			announced_in = notes_db;
	if (announced_in != NULL)
		(void) pg_atomic_fetch_add_u32(&announced_in->config_commits, 1);
}

/* Withdraw the announcement, after the news of the change has been sent. */
static void
WithdrawChange(void)
{
	if (announced_in != NULL)
		(void) pg_atomic_fetch_sub_u32(&announced_in->config_commits, 1);
	announced_in = NULL;
}

/* Called before PREPARE, when an error is still possible. */
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
	if (event == XACT_EVENT_PRE_COMMIT)
		AnnounceChange();
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
 * Handle the notes of a subtransaction that has ended.  If it has committed, they
 * belong to its parent from now on.  If it has aborted, they are dropped, but those
 * of locks are acted on, because the locks are released now.
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
		if (!committed && HoldsLock(note))
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
 * Act on the notes now, when the invalidations of the transaction have been sent
 * and its locks are released, so that the processes woken need not wait for it.
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
	WithdrawChange();
}

/* Called once in a process, as callbacks stay registered. */
void
WakeInit(void)
{
	RegisterXactCallback(AtTransactionEnd, NULL);
	RegisterSubXactCallback(AtSubtransactionEnd, NULL);
	RegisterResourceReleaseCallback(AfterLocks, NULL);
}
