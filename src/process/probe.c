/*
 * probe.c
 *	  Starting schedulers, each of which begins as a probe of its database.
 *
 * The launcher connects to no user database.  To find out whether taskq is
 * installed in one, it starts a scheduler there, which leaves if taskq is not
 * installed.  The launcher remembers the answer until CREATE EXTENSION or the end
 * of DDL requests another probe.
 */
#include "taskq.h"

#include "postmaster/bgworker.h"

#include "base/clock.h"
#include "process/probe.h"
#include "process/start_process.h"
#include "shared/shmem.h"

#define RETRY_AFTER USECS_PER_SEC
#define RETRY_AFTER_FAILURE (5 * USECS_PER_SEC)
#define GIVE_UP_AFTER USECS_PER_MINUTE /* a probe that is not up by then is asked to end */

/* Start a database's scheduler; returns NULL if there is no slot for it. */
static BackgroundWorkerHandle *
StartScheduler(Oid dboid, int number)
{
	BackgroundWorker worker;

	ProcessDescribe(&worker, "taskq scheduler", "taskq_scheduler_main");
	worker.bgw_main_arg = ObjectIdGetDatum(dboid);
	memcpy(worker.bgw_extra, &number, sizeof(number));
	snprintf(worker.bgw_name, BGW_MAXLEN, "taskq scheduler for database %u", dboid);
	return ProcessStart(&worker);
}

/* Return a free number for a probe, or -1 if all are in use. */
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

/* Note that a database's scheduler is up, so it is no longer a probe. */
static void
NoteUp(Known *entry)
{
	entry->probed = true;
	entry->again = false;
	entry->number = -1;
}

/* Note that a probe or a scheduler has ended. */
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
		/* a scheduler that has made room is started again when it is needed */
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
		/* the probe could not look, so the answer is still unknown */
		entry->not_before = ClockNow() + Min(RETRY_AFTER_FAILURE << entry->failures, RETRY_AT_MOST);
		return;
	}
	entry->probed = true;
	if (db == NULL)
		return;

	/* taskq is not installed any more, so remove the database's entry */
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	if (db->scheduler_pid == 0 && db->blocked == 0 && !db->probe)
		KnownForget(db);
	LWLockRelease(&taskq_shared->lock);
}

/* Check the schedulers and probes that were started. */
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
			/* a probe that hangs, or that DDL waits for */
			entry->ended = true;
			TerminateBackgroundWorker(entry->handle);
		}
	}
}

/*
 * Start a database's scheduler, which begins as a probe; returns false if there is
 * no slot.
 */
bool
ProbeStart(Known *entry)
{
	TaskqDatabase *db = ShmemDatabase(entry->dboid, false);

	/* a scheduler that fails repeatedly is started at growing intervals */
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
