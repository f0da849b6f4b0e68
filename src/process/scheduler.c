/*
 * scheduler.c
 *	  The scheduler: one process for each database that has taskq.
 *
 * It does the work in work_table.c, each piece when it is due, and sleeps until the
 * next piece is due.  A commit that brings an earlier moment, or other changes,
 * signals it (wake.c).
 *
 * The launcher starts it as a probe of a database, and it leaves if taskq is not
 * installed there.  It connects as the bootstrap superuser and works as the
 * extension's owner. TaskqDatabase.scheduler_pid, protected by TaskqShared.lock,
 * ensures that there is only one.
 */
#include "taskq.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/guc.h"
#include "base/injection_point.h"
#include "process/due_jobs.h"
#include "process/start_workers.h"
#include "process/work.h"
#include "shared/shmem.h"
#include "shared/slots.h"
#include "shared/wake.h"
#include "shared/watch.h"
#include "store/catalog.h"

PGDLLEXPORT void taskq_scheduler_main(Datum arg);

#define LEAST_PAUSE 10				   /* ms between two rounds, regardless of wake-ups */
#define PAUSE_FACTOR 10				   /* the pause is this many times the duration of the last round */
#define LOOK_AT_LEAST (60 * 1000)	   /* ms; a round with nothing due needs no transaction */
#define LOCK_PATIENCE "2s"			   /* long enough for the server to cancel autovacuum */
#define IDLE_PATIENCE USECS_PER_MINUTE /* time before an idle scheduler gives up its slot */

static TaskqDatabase *db;

static void
Detach(int code, Datum arg)
{
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	if (db->scheduler_pid == MyProcPid)
	{
		db->scheduler_pid = 0;
		db->scheduler_latch = NULL;
	}
	LWLockRelease(&taskq_shared->lock);
	ShmemWakeLauncher();
}

/* Become the scheduler; returns false if there is one already, or if there must be none. */
static bool
Attach(void)
{
	bool attached = false;

	db = ShmemDatabase(MyDatabaseId, true);
	if (db == NULL)
		return false;
	before_shmem_exit(Detach, (Datum) 0);
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	if (db->scheduler_pid == 0 && db->blocked == 0)
	{
		db->scheduler_pid = MyProcPid;
		db->scheduler_failed = false;
		db->scheduler_latch = MyLatch;
		db->scheduler_since = ClockNow();
		db->idle_since = 0;
		db->make_room = db->rests = false;
		db->helper_starts = db->helper_lacks = false;
		attached = true;
	}
	LWLockRelease(&taskq_shared->lock);
	if (attached)
		ShmemWakeLauncher();
	return attached;
}

/* Note the time of this look, and since when there is no work. */
static void
NoteLook(bool busy)
{
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	db->looked_at = ClockNow();
	if (busy)
		db->idle_since = 0;
	else if (db->idle_since == 0)
		db->idle_since = db->looked_at;
	LWLockRelease(&taskq_shared->lock);
}

/* Sleep for a while; returns false if nothing has happened. */
static bool
SleepFor(long milliseconds)
{
	static uint32 event = 0;
	int			  woken;

	if (WatchSleep(milliseconds))
	{
		WorkAllDue();
		return true;
	}
	woken = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds,
					  WaitEvent_compat(&event, "TaskqSchedulerMain"));
	ResetLatch(MyLatch);
	if (WatchNote())
	{
		WorkAllDue();
		return true;
	}
	return (woken & WL_LATCH_SET) != 0;
}

/*
 * Sleep until the next look is due.  While there are leases, sleep in short pieces.
 * Then a pause of the machine can be told apart from the sleep, and be measured.
 */
static void
Sleep(void)
{
	uint64		moment = pg_atomic_read_u64(&db->next_moment);
	TimestampTz next = (TimestampTz) Min(moment, (uint64) DT_NOEND);
	bool		watch = pg_atomic_read_u64(&db->next_lease) < (uint64) DT_NOEND;
	long		left = ClockMillisecondsUntil(next, Min(taskq_poll_interval, LOOK_AT_LEAST));

	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
	while (watch && left > WATCH_EVERY)
	{
		if (SleepFor(WATCH_EVERY))
			return;
		left -= WATCH_EVERY;
	}
	(void) SleepFor(left);
}

/*
 * Pause between rounds, so that frequent wake-ups use at most a tenth of a core.
 * If there is too much work for that, the pause is short.
 */
static void
Pause(TimestampTz last_look, int64 took)
{
	static uint32 event = 0;
	int64		  pause = Max(LEAST_PAUSE * 1000, Min(WorkIsBehind() ? 0 : took * PAUSE_FACTOR, USECS_PER_SEC));
	long		  left = ClockMillisecondsUntil(last_look + pause, 1000);

	if (left <= 0)
		return;
	if (WatchSleep(left))
		WorkAllDue();
	(void) WaitLatch(NULL, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, left,
					 WaitEvent_compat(&event, "TaskqSchedulerPause"));
	if (WatchNote())
		WorkAllDue();
}

/*
 * Decide whether to give up the slot to another database.  Nothing is lost: the
 * launcher starts the scheduler again when there is work (slots.c).
 */
static bool
MakeRoom(void)
{
	bool busy = db->idle_since == 0;

	if (WorkersArePending() || pg_atomic_read_u32(&db->n_terminations) > 0)
		return false;
	if (!db->make_room && (busy || !SlotsAreShort() || !ClockHasPassed(db->idle_since, IDLE_PATIENCE)))
		return false;
	pg_atomic_write_u32(&db->may_grow, 1);
	if (busy)
		pg_atomic_write_u32(&db->signalled, 1);
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	db->slots_wanted = 0;
	db->rests = true;
	LWLockRelease(&taskq_shared->lock);
	return true;
}

/*
 * Do the work that is due, and note when the next piece is due.  Returns false if
 * taskq is no longer installed.  A moment that a commit sets during the round is
 * not lost.
 */
static bool
Round(void)
{
	uint64		moment = pg_atomic_exchange_u64(&db->next_moment, PG_UINT64_MAX);
	bool		signalled = pg_atomic_exchange_u32(&db->signalled, 0) != 0;
	TimestampTz next;
	bool		leave;

	Assert(db->scheduler_pid == MyProcPid && !IsTransactionState());

	/* the moment was set by this scheduler, or by a commit for its first due job */
	if (moment <= (uint64) ClockNow())
		signalled = true;
	else if (moment < (uint64) DT_NOEND)
		DueJobsAt((TimestampTz) moment);
	next = WorkRound(signalled, &leave);
	(void) WakeBringForward(&db->next_moment, Max(next, 0));
	NoteLook(DueJobsAreThere() || WorkIsPending());
	return !leave;
}

static void
RoundLoop(void)
{
	TimestampTz last = 0;
	int64		took = 0;
	bool		leave = false;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			WorkAllDue();
		}
		if (!taskq_enabled || db->blocked > 0)
			break;
		Pause(last, took);
		last = ClockNow();
		leave = !Round();
		took = ClockNow() - last;
		if (leave || MakeRoom())
			break;
		Sleep();
	}
}

/* Return the place where the launcher looks for the probe's answer. */
static int
ProbeNumber(void)
{
	int number;

	memcpy(&number, MyBgworkerEntry->bgw_extra, sizeof(number));
	return number;
}

void
taskq_scheduler_main(Datum arg)
{
	bool leave;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	TASKQ_INJECTION_POINT("probe");

	/* a piece of work that must wait for a lock must not block the others */
	SetConfigOption("lock_timeout", LOCK_PATIENCE, PGC_USERSET, PGC_S_OVERRIDE);
	StartTransactionCommand();
	leave = !CatalogInstalled();
	CommitTransactionCommand();
	if (leave)
		pg_atomic_write_u32(&taskq_shared->probe_answers[ProbeNumber()], MyDatabaseId);
	if (leave || !Attach())
		proc_exit(0);
	SetConfigOption("application_name", "taskq scheduler", PGC_USERSET, PGC_S_OVERRIDE);

	WatchBegin(db);
	WorkInit(db, false);
	PG_TRY();
	{
		RoundLoop();
	}
	PG_CATCH();
	{
		/* this is not reached by SIGTERM */
		LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
		db->scheduler_failed = true;
		LWLockRelease(&taskq_shared->lock);
		PG_RE_THROW();
	}
	PG_END_TRY();
	proc_exit(0);
}
