/*
 * probe.c
 *	  Starting schedulers, each of which begins as a probe of its database.
 *
 * The launcher connects to no user database.  Whether taskq is installed in one is
 * found out by a scheduler that looks and leaves if it is not.  The answer is
 * remembered until CREATE EXTENSION or the end of DDL says otherwise.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "process/probe.h"
#include "shared/shmem.h"

#define RETRY_AFTER USECS_PER_SEC
#define RETRY_AFTER_FAILURE (5 * USECS_PER_SEC)
#define GIVE_UP_AFTER USECS_PER_MINUTE /* a probe that hangs is then asked to end */

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

/* A number for a probe; -1: all are in use. */
static int
FreeNumber(void)
{
	bool			used[MAX_PROBES] = { false };
	HASH_SEQ_STATUS status;
	Known		   *entry;

	hash_seq_init(&status, known_databases);
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
	if (entry->again || KnownIsBlocked(entry->dboid))
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
void
ProbeCheckStarted(void)
{
	HASH_SEQ_STATUS status;
	Known		   *entry;

	hash_seq_init(&status, known_databases);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		pid_t pid;

		if (entry->handle == NULL)
			continue;
		if (KnownHasScheduler(entry->dboid))
			NoteUp(entry);
		if (GetBackgroundWorkerPid(entry->handle, &pid) == BGWH_STOPPED)
			NoteEnd(entry);
		else if (entry->number >= 0 && !entry->ended &&
				 (KnownIsBlocked(entry->dboid) || ClockHasPassed(entry->started_at, GIVE_UP_AFTER)))
		{
			/* a probe that hangs, or is in somebody's way */
			entry->ended = true;
			TerminateBackgroundWorker(entry->handle);
		}
	}
}

/* Start a database's scheduler, or its probe; false: there is no slot. */
bool
ProbeStart(Known *entry)
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
