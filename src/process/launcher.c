/*
 * launcher.c
 *	  The launcher: one process a cluster.
 *
 * It connects to no user database, only to the shared catalogs.  It sees to it
 * that each database with taskq has a scheduler: for a database that it does
 * not know it starts one as a probe, which stays or leaves.  One that hangs holds
 * up no other.  Where there are more databases than places for schedulers, they
 * have them in turn (slots.c).  It looks again when CREATE EXTENSION or the end of DDL says so (TaskqDatabase.
 * probe), when a scheduler has ended, and at each new database.  Databases that
 * are templates or take no connections are left alone.
 */
#include "taskq.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/guc.h"
#include "process/launcher.h"
#include "shared/blame.h"
#include "shared/shmem.h"
#include "shared/slots.h"

PGDLLEXPORT void taskq_launcher_main(Datum arg);

#define LIST_EVERY (60 * 1000L) /* ms; new databases appear rarely */
#define RETRY_AFTER USECS_PER_SEC
#define RETRY_AFTER_FAILURE (5 * USECS_PER_SEC)
#define RETRY_AT_MOST (60 * USECS_PER_SEC)
#define PROBES_AT_ONCE 2
#define HANGS_AFTER (2 * USECS_PER_SEC)	   /* a probe that is not up by then holds up no other */
#define GIVE_UP_AFTER USECS_PER_MINUTE	   /* and is then asked to end */
#define VISIT_AFTER (4 * USECS_PER_MINUTE) /* so that each database is looked at within five */

/* What is known of a database. */
typedef struct Known
{
	Oid						dboid;	/* hash key */
	bool					listed; /* in the last list */
	bool					probed; /* nothing to do until somebody says so */
	TimestampTz				not_before;
	TimestampTz				started_at;	 /* its scheduler, the last time */
	int						failures;	 /* schedulers in a row that did not live long */
	TimestampTz				waits_since; /* it needs one for which there is no slot; 0: it does not */
	BackgroundWorkerHandle *handle;		 /* of its scheduler or probe; NULL: none that we have started */
	int						number;		 /* of the probe; -1: it is the scheduler */
	bool					ended;		 /* the probe, by us */
	bool					again;		 /* it was to be looked at anew while the probe was under way */
} Known;

static HTAB *known;

/* Register the static process; called while the library is preloaded. */
void
LauncherRegister(void)
{
	BackgroundWorker worker = { 0 };

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "taskq", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, CppAsString(taskq_launcher_main), BGW_MAXLEN);
	strlcpy(worker.bgw_name, "taskq launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "taskq launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

static void
Detach(int code, Datum arg)
{
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	taskq_shared->launcher_latch = NULL;
	taskq_shared->launcher_pid = 0;
	LWLockRelease(&taskq_shared->lock);
}

static void
Attach(void)
{
	before_shmem_exit(Detach, (Datum) 0);
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	taskq_shared->launcher_latch = MyLatch;
	taskq_shared->launcher_pid = MyProcPid;
	if (taskq_shared->up_since == 0)
	{
		taskq_shared->up_since = ClockNow();
		BlameRecoveryOver();
	}
	LWLockRelease(&taskq_shared->lock);
}

/* list --------------------------------------------------------------------- */

/* -2: what a DROP DATABASE that was cut short leaves behind */
static bool
MayBeProbed(Form_pg_database form)
{
	return !form->datistemplate && form->datallowconn && form->datconnlimit != -2;
}

/* Read which databases there are. */
static void
ListDatabases(void)
{
	Relation		rel;
	TableScanDesc	scan;
	HeapTuple		tuple;
	HASH_SEQ_STATUS status;
	Known		   *entry;

	hash_seq_init(&status, known);
	while ((entry = hash_seq_search(&status)) != NULL)
		entry->listed = false;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		bool			 found;

		if (!MayBeProbed(form))
			continue;
		entry = hash_search(known, &form->oid, HASH_ENTER, &found);
		if (!found)
		{
			TaskqDatabase *db = ShmemDatabase(form->oid, false);

			/* of one that rests we know, though we may be new */
			entry->probed = db != NULL && db->rests;
			entry->not_before = entry->started_at = entry->waits_since = 0;
			entry->failures = 0;
			entry->handle = NULL;
			entry->number = -1;
			entry->ended = entry->again = false;
		}
		entry->listed = true;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
}

/* Is a database still there?  A process that looks for one that is not logs a FATAL. */
static bool
IsStillThere(Oid dboid)
{
	HeapTuple tuple;
	bool	  there;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(dboid));
	there = HeapTupleIsValid(tuple) && MayBeProbed((Form_pg_database) GETSTRUCT(tuple));
	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	CommitTransactionCommand();
	return there;
}

/* Forget databases that are gone, and what shared memory has of them. */
static void
ForgetDropped(void)
{
	HASH_SEQ_STATUS status;
	Known		   *entry;

	hash_seq_init(&status, known);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		TaskqDatabase *db;

		if (entry->listed)
			continue;
		db = ShmemDatabase(entry->dboid, false);
		LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
		if (db != NULL && db->scheduler_pid == 0 && db->blocked == 0)
			ShmemForgetDatabase(db);
		LWLockRelease(&taskq_shared->lock);
		if (entry->handle != NULL)
			pfree(entry->handle);
		(void) hash_search(known, &entry->dboid, HASH_REMOVE, NULL);
	}
}

/* Which databases are to be looked at again? */
static bool
TakeProbeRequests(void)
{
	bool unknown = false;

	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < taskq_shared->n_databases; i++)
	{
		TaskqDatabase *db = &taskq_databases[i];
		Known		  *entry;

		if (!OidIsValid(db->dboid) || !db->probe || db->blocked > 0)
			continue;
		db->probe = false;
		entry = hash_search(known, &db->dboid, HASH_FIND, NULL);
		if (entry == NULL)
			unknown = true;
		else
		{
			/* a probe that is under way may have looked before */
			entry->again = entry->handle != NULL;
			entry->probed = false;
			entry->not_before = entry->started_at = 0;
		}
	}
	LWLockRelease(&taskq_shared->lock);
	return unknown;
}

/* start -------------------------------------------------------------------- */

static bool
HasScheduler(Oid dboid)
{
	TaskqDatabase *db = ShmemDatabase(dboid, false);

	return db != NULL && db->scheduler_pid != 0;
}

static bool
IsBlocked(Oid dboid)
{
	TaskqDatabase *db = ShmemDatabase(dboid, false);

	return db != NULL && db->blocked > 0;
}

/* Start a database's scheduler; NULL: there is no slot for it. */
static BackgroundWorkerHandle *
StartScheduler(Oid dboid, int number)
{
	BackgroundWorker		worker = { 0 };
	BackgroundWorkerHandle *handle;
	MemoryContext			old = MemoryContextSwitchTo(TopMemoryContext);
	bool					started;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = ObjectIdGetDatum(dboid);
	memcpy(worker.bgw_extra, &number, sizeof(number));
	strlcpy(worker.bgw_library_name, "taskq", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "taskq_scheduler_main", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "taskq scheduler for database %u", dboid);
	strlcpy(worker.bgw_type, "taskq scheduler", BGW_MAXLEN);
	started = RegisterDynamicBackgroundWorker(&worker, &handle);
	MemoryContextSwitchTo(old);
	return started ? handle : NULL;
}

static void
NoteMissingSlot(SlotsShort lack)
{
	static TimestampTz warned_at = 0;

	SlotsNoteShort();
	if (warned_at != 0 && !ClockHasPassed(warned_at, USECS_PER_MINUTE))
		return;
	warned_at = ClockNow();
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

/* A number for a probe; -1: all are in use. */
static int
FreeNumber(void)
{
	bool			used[MAX_PROBES] = { false };
	HASH_SEQ_STATUS status;
	Known		   *entry;

	hash_seq_init(&status, known);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->handle != NULL && entry->number >= 0)
			used[entry->number] = true;
	for (int i = 0; i < MAX_PROBES; i++)
		if (!used[i])
			return i;
	return -1;
}

/* A database's scheduler is up: it is no probe any more. */
static void
NoteUp(Known *entry)
{
	entry->probed = true;
	entry->again = false;
	entry->number = -1;
}

/* A probe has left, or a scheduler: what do we know now? */
static void
NoteEnd(Known *entry)
{
	TaskqDatabase *db = ShmemDatabase(entry->dboid, false);
	bool		   was_up = entry->number < 0;
	bool		   none = !was_up && pg_atomic_read_u32(&taskq_shared->probe_answers[entry->number]) == entry->dboid;

	pfree(entry->handle);
	entry->handle = NULL;
	entry->number = -1;
	if (was_up)
	{
		/* one that has made room comes back when it is needed */
		if (db != NULL && db->rests)
			entry->not_before = entry->started_at = 0;
		return;
	}
	if (entry->again || IsBlocked(entry->dboid))
	{
		entry->again = false;
		return;
	}
	if (!none)
	{
		/* it could not even look: not a no */
		entry->not_before = ClockNow() + Min(RETRY_AFTER_FAILURE << entry->failures, RETRY_AT_MOST);
		return;
	}
	entry->probed = true;
	if (db == NULL)
		return;

	/* taskq has gone from here: the entry goes too */
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	if (db->scheduler_pid == 0 && db->blocked == 0 && !db->probe)
		ShmemForgetDatabase(db);
	LWLockRelease(&taskq_shared->lock);
}

/* See what has become of those that were started. */
static void
CheckStarted(void)
{
	HASH_SEQ_STATUS status;
	Known		   *entry;

	hash_seq_init(&status, known);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		pid_t pid;

		if (entry->handle == NULL)
			continue;
		if (HasScheduler(entry->dboid))
			NoteUp(entry);
		if (GetBackgroundWorkerPid(entry->handle, &pid) == BGWH_STOPPED)
			NoteEnd(entry);
		else if (entry->number >= 0 && !entry->ended &&
				 (IsBlocked(entry->dboid) || ClockHasPassed(entry->started_at, GIVE_UP_AFTER)))
		{
			/* a probe that hangs, or is in somebody's way */
			entry->ended = true;
			TerminateBackgroundWorker(entry->handle);
		}
	}
}

/* When does a database need a scheduler that it has not got?  DT_NOEND: nobody knows. */
static TimestampTz
NeededAt(const Known *entry)
{
	TaskqDatabase *db = ShmemDatabase(entry->dboid, false);
	TimestampTz	   moment;

	if (entry->handle != NULL || IsBlocked(entry->dboid) || (db != NULL && db->scheduler_pid != 0))
		return DT_NOEND;
	if (entry->probed && db == NULL)
		return DT_NOEND; /* there is no taskq */
	moment = ClockIsAhead(entry->not_before, RETRY_AT_MOST) ? entry->not_before : ClockNow();
	if (!entry->probed || !db->rests || pg_atomic_read_u32(&db->signalled) != 0 || !SlotsAreShort())
		return moment;
	return Max(moment, Min((TimestampTz) Min(pg_atomic_read_u64(&db->next_moment), (uint64) DT_NOEND),
						   db->looked_at + VISIT_AFTER));
}

/* Start a database's scheduler, or its probe; false: there is no slot. */
static bool
Start(Known *entry)
{
	TaskqDatabase *db = ShmemDatabase(entry->dboid, false);

	/* one that fails again and again is started ever more seldom */
	if (entry->started_at == 0 || (db != NULL && !db->scheduler_failed))
		entry->failures = 0;
	else
		entry->failures = Min(entry->failures + 1, 6);
	entry->number = FreeNumber();
	if (entry->number < 0)
		return false;
	pg_atomic_write_u32(&taskq_shared->probe_answers[entry->number], InvalidOid);
	entry->handle = StartScheduler(entry->dboid, entry->number);
	if (entry->handle == NULL)
		return false;
	entry->started_at = ClockNow();
	entry->not_before = entry->started_at + Min(RETRY_AFTER << entry->failures, RETRY_AT_MOST);
	entry->ended = false;
	return true;
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

	hash_seq_init(&status, known);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (HasScheduler(entry->dboid))
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
	hash_seq_init(&status, known);
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
static TimestampTz
StartNeeded(void)
{
	TimestampTz again = DT_NOEND;
	SlotsShort	lack = SLOTS_ENOUGH;
	Known	   *entry;
	int			n;

	CheckStarted();
	while (lack == SLOTS_ENOUGH && (entry = NextNeeded(&again, &n)) != NULL)
	{
		Places places = CountPlaces();

		if (!IsStillThere(entry->dboid))
		{
			ListDatabases();
			ForgetDropped();
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
		else if (Start(entry))
			NoteWaiting(entry, false);
		else
			lack = SLOTS_NO_SLOT;
	}
	if (lack != SLOTS_ENOUGH)
		NoteMissingSlot(lack);
	if (SlotsMakeRoom(lack, lack == SLOTS_ENOUGH ? 0 : n))
		again = Min(again, ClockNow() + USECS_PER_SEC);
	if (SlotsAreShort())
		again = Min(again, ClockNow() + LIST_EVERY * 1000);
	return again;
}

void
taskq_launcher_main(Datum arg)
{
	static uint32 event = 0;
	HASHCTL		  ctl;
	TimestampTz	  listed_at = 0;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(Known);
	known = hash_create("taskq databases", 32, &ctl, HASH_ELEM | HASH_BLOBS);
	Attach();

	for (;;)
	{
		TimestampTz again = DT_NOEND;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (taskq_enabled)
		{
			if (TakeProbeRequests() || ClockHasPassed(listed_at, LIST_EVERY * 1000))
			{
				listed_at = ClockNow();
				ListDatabases();
				ForgetDropped();
			}
			again = StartNeeded();
		}
		pgstat_report_activity(STATE_IDLE, NULL);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 ClockMillisecondsUntil(again, LIST_EVERY),
						 WaitEvent_compat(&event, "TaskqLauncherMain"));
		ResetLatch(MyLatch);
	}
}
