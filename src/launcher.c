/*
 * launcher.c
 *	  The launcher: one process a cluster.
 *
 * It connects to no user database, only to the shared catalogs.  It sees to it
 * that each database with taskq has a scheduler: for a database that it does
 * not know it starts one as a probe, one at a time, which stays or leaves.  It
 * looks again when CREATE EXTENSION or the end of DDL says so (TaskqDatabase.
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

#include "blame.h"
#include "clock.h"
#include "compat.h"
#include "guc.h"
#include "launcher.h"
#include "shmem.h"

PGDLLEXPORT void taskq_launcher_main(Datum arg);

#define LIST_EVERY (60 * 1000L)	/* ms; new databases appear rarely */
#define RETRY_AFTER USECS_PER_SEC
#define RETRY_AFTER_FAILURE (5 * USECS_PER_SEC)
#define RETRY_AT_MOST (60 * USECS_PER_SEC)

/* What is known of a database. */
typedef struct Known
{
	Oid			dboid;			/* hash key */
	bool		listed;			/* in the last list */
	bool		probed;			/* nothing to do until somebody says so */
	TimestampTz not_before;
	TimestampTz started_at;		/* its scheduler, the last time */
	int			failures;		/* schedulers in a row that did not live long */
} Known;

static HTAB *known;

/* Register the static process; called while the library is preloaded. */
void
LauncherRegister(void)
{
	BackgroundWorker worker = {0};

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
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;
	HASH_SEQ_STATUS status;
	Known	   *entry;

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
		bool		found;

		if (!MayBeProbed(form))
			continue;
		entry = hash_search(known, &form->oid, HASH_ENTER, &found);
		if (!found)
		{
			entry->probed = false;
			entry->not_before = entry->started_at = 0;
			entry->failures = 0;
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
	HeapTuple	tuple;
	bool		there;

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
	Known	   *entry;

	hash_seq_init(&status, known);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		TaskqDatabase *db;

		if (entry->listed)
			continue;
		db = ShmemDatabase(entry->dboid, false);
		LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
		if (db != NULL && db->scheduler_pid == 0 && db->blocked == 0)
			db->dboid = InvalidOid;
		LWLockRelease(&taskq_shared->lock);
		(void) hash_search(known, &entry->dboid, HASH_REMOVE, NULL);
	}
}

/* Which databases are to be looked at again? */
static bool
TakeProbeRequests(void)
{
	bool		unknown = false;

	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < taskq_shared->n_databases; i++)
	{
		TaskqDatabase *db = &taskq_databases[i];
		Known	   *entry;

		if (!OidIsValid(db->dboid) || !db->probe || db->blocked > 0)
			continue;
		db->probe = false;
		entry = hash_search(known, &db->dboid, HASH_FIND, NULL);
		if (entry == NULL)
			unknown = true;
		else
		{
			entry->probed = false;
			entry->not_before = entry->started_at = 0;
		}
	}
	LWLockRelease(&taskq_shared->lock);
	return unknown;
}

/* probe -------------------------------------------------------------------- */

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
StartScheduler(Oid dboid)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	worker.bgw_main_arg = ObjectIdGetDatum(dboid);
	strlcpy(worker.bgw_library_name, "taskq", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "taskq_scheduler_main", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "taskq scheduler for database %u", dboid);
	strlcpy(worker.bgw_type, "taskq scheduler", BGW_MAXLEN);
	return RegisterDynamicBackgroundWorker(&worker, &handle) ? handle : NULL;
}

static void
NoteMissingSlot(void)
{
	static TimestampTz warned_at = 0;

	if (warned_at != 0 && ClockNow() - warned_at < USECS_PER_MINUTE)
		return;
	warned_at = ClockNow();
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("out of background worker slots for a taskq scheduler"),
			 errhint("You might need to increase \"max_worker_processes\".")));
}

/* Wait until the probe has left or has become the scheduler, but not for ever. */
static void
AwaitProbe(BackgroundWorkerHandle *handle, Oid dboid)
{
	static uint32 event = 0;
	TimestampTz give_up = ClockNow() + USECS_PER_MINUTE;

	while (ClockNow() < give_up)
	{
		pid_t		pid;

		if (GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED || HasScheduler(dboid) || IsBlocked(dboid))
			return;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 100,
						 WaitEvent_compat(&event, "TaskqLauncherProbe"));
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* A database that is to be probed now; NULL: none is before "again". */
static Known *
NextToProbe(TimestampTz *again)
{
	HASH_SEQ_STATUS status;
	Known	   *entry;

	*again = DT_NOEND;
	hash_seq_init(&status, known);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		TaskqDatabase *db = ShmemDatabase(entry->dboid, false);

		/* a database with taskq has an entry; without a scheduler it needs one */
		if (entry->probed && (db == NULL || db->scheduler_pid != 0))
			continue;
		if (HasScheduler(entry->dboid) || IsBlocked(entry->dboid))
			continue;
		if (!ClockIsAhead(entry->not_before, RETRY_AT_MOST))
		{
			hash_seq_term(&status);
			return entry;
		}
		*again = Min(*again, entry->not_before);
	}
	return NULL;
}

/* Start a probe in a database, and keep what it found; or when to try again. */
static void
Probe(Known *entry)
{
	TaskqDatabase *db = ShmemDatabase(entry->dboid, false);
	BackgroundWorkerHandle *handle;

	/* one that fails again and again is started ever more seldom */
	if (entry->started_at == 0 || (db != NULL && !db->scheduler_failed))
		entry->failures = 0;
	else
		entry->failures = Min(entry->failures + 1, 6);
	entry->started_at = ClockNow();
	entry->not_before = entry->started_at + Min(RETRY_AFTER << entry->failures, RETRY_AT_MOST);
	pg_atomic_write_u32(&taskq_shared->probe_answer, 0);
	handle = StartScheduler(entry->dboid);
	if (handle == NULL)
	{
		NoteMissingSlot();
		return;
	}
	AwaitProbe(handle, entry->dboid);
	pfree(handle);
	if (HasScheduler(entry->dboid))
	{
		entry->probed = true;
		return;
	}
	if (pg_atomic_read_u32(&taskq_shared->probe_answer) == 0)
	{
		/* it could not even look: not a no */
		entry->not_before = ClockNow() + Min(RETRY_AFTER_FAILURE << entry->failures, RETRY_AT_MOST);
		return;
	}
	entry->probed = true;
	if (db != NULL && !IsBlocked(entry->dboid))
	{
		/* taskq has gone from here: the entry goes too */
		LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
		if (db->scheduler_pid == 0 && db->blocked == 0 && !db->probe)
			db->dboid = InvalidOid;
		LWLockRelease(&taskq_shared->lock);
	}
}

/* See to the databases that need it; when to try again. */
static TimestampTz
ProbeDatabases(void)
{
	TimestampTz again;
	Known	   *entry;

	while ((entry = NextToProbe(&again)) != NULL)
	{
		if (IsStillThere(entry->dboid))
		{
			Probe(entry);
			continue;
		}
		ListDatabases();
		ForgetDropped();
	}
	return again;
}

void
taskq_launcher_main(Datum arg)
{
	static uint32 event = 0;
	HASHCTL		ctl;
	TimestampTz listed_at = 0;

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
			again = ProbeDatabases();
		}
		pgstat_report_activity(STATE_IDLE, NULL);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 ClockMillisecondsUntil(again, LIST_EVERY),
						 WaitEvent_compat(&event, "TaskqLauncherMain"));
		ResetLatch(MyLatch);
	}
}
