/*
 * scheduler.c
 *	  The scheduler: one process a database that has taskq.
 *
 * It knows when something is due: a job whose run_at comes, a lease that ends.
 * It then wakes as many waiting processes as there are jobs, or ends the lease,
 * and sleeps until the next such moment; commits that bring an earlier one say
 * so (wake.c).  It starts workers for pools that have more jobs due than
 * workers (start_workers.c), records runs that were terminated, acts on cancel requests that
 * found nobody, and keeps the history's leaves.
 *
 * It is started by the launcher as a probe of a database, and leaves when taskq
 * is not there.  It connects as the bootstrap superuser and works as the
 * extension's owner.  An error ends it, and the launcher starts it anew.
 * TaskqDatabase.scheduler_pid, under TaskqShared.lock, makes it the only one.
 */
#include "taskq.h"

#include "access/xact.h"
#include "commands/async.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/pidfile.h"
#include "utils/snapmgr.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/guard.h"
#include "base/guc.h"
#include "base/injection_point.h"
#include "base/text.h"
#include "claim/claim.h"
#include "claim/external_worker.h"
#include "claim/lease.h"
#include "claim/recheck.h"
#include "config/adopt.h"
#include "config/eligible.h"
#include "config/pause.h"
#include "config/pool.h"
#include "config/route.h"
#include "config/route_care.h"
#include "enqueue/unhandled.h"
#include "job/event_position.h"
#include "job/retention.h"
#include "process/crash.h"
#include "process/prepared_end.h"
#include "process/start_workers.h"
#include "process/stuck.h"
#include "process/worker.h"
#include "registry/record_owners.h"
#include "settle/cancel.h"
#include "settle/settle.h"
#include "shared/blame.h"
#include "shared/shmem.h"
#include "shared/slots.h"
#include "shared/wake.h"
#include "shared/watch.h"
#include "store/catalog.h"
#include "store/owner.h"

PGDLLEXPORT void taskq_scheduler_main(Datum arg);

#define LEAST_PAUSE 10	/* ms between two looks, however many wake-ups */
#define PAUSE_FACTOR 10 /* and times what the last look took */
#define MAINTAIN_EVERY USECS_PER_MINUTE
#define LOCK_PATIENCE "2s"				/* long enough for the server to send autovacuum away */
#define MAX_EXPIRE 10000				/* claims that a look ends */
#define PIECES_TIME (USECS_PER_SEC / 5) /* for a step of a look, but for its last piece */
#define WATCH_EVERY 250					/* ms between two looks at the clocks, while there are leases */
#define IDLE_PATIENCE USECS_PER_MINUTE	/* before an idle scheduler leaves its slot to others */
#define DUE_AHEAD 64					/* jobs of a route that a look counts at least */

static TaskqDatabase *db;
static MemoryContext  look_context;
static TimestampTz	  maintained_at = 0;
static bool			  lost_epochs_passed = false;
static bool			  behind = false;	  /* the last look has left pieces of its steps */
static TimestampTz	  leases_read_at = 0; /* 0: not since this database is ours */

/* attach ------------------------------------------------------------------- */

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

/* Become the scheduler; false: there is one, or there is to be none. */
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
		attached = true;
	}
	LWLockRelease(&taskq_shared->lock);
	if (attached)
		ShmemWakeLauncher();
	return attached;
}

static void
BeginTransaction(const char *activity)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	XactIsoLevel = XACT_READ_COMMITTED;
	XactReadOnly = false;
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, activity);
	MemoryContextSwitchTo(look_context);
}

static void
EndTransaction(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(look_context);
}

/* terminated runs ---------------------------------------------------------- */

typedef struct TerminationStep
{
	TaskqTermination termination;
	bool			 done;
} TerminationStep;

/*
 * Count the attempt of a run that was ended from outside: put back at once the
 * first time, with the retry delay after that.
 */
static void
RecordTermination(void *arg)
{
	TerminationStep		   *step = arg;
	const TaskqTermination *termination = &step->termination;
	AttemptFailure			failure = {
				 .outcome = "terminated",
				 .error_type = ERROR_TERMINATED,
				 .message = "the worker was terminated",
	};
	AttemptFailure timeout = {
		.outcome = "timeout",
		.error_type = ERROR_TIMEOUT,
		.message = "the job ran longer than its timeout, and its worker had to be ended",
	};
	Store			jobs;
	TaskqJob		job;
	OwnerScope		scope;
	StoreLockResult locked;

	OwnerEnter(&scope);
	locked = JobOpenAndLock(&jobs, termination->job_id, &job);
	if (locked == STORE_LOCKED &&
		(job.state == JOB_RUNNING ? job.epoch == termination->epoch : job.epoch < termination->epoch))
	{
		/* a procedure's run is stored, any other's is not */
		if (job.state != JOB_RUNNING)
		{
			job.state = JOB_RUNNING;
			job.epoch = termination->epoch;
			job.attempt++;
			job.started_at = termination->started_at;
			job.worker_id = TextOrNull(termination->worker_id);
		}
		if (termination->timed_out)
			SettleFailed(&jobs, &job, OUTCOME_FAILED, &timeout, true, NO_MICROSECONDS);
		else
		{
			job.terminations++;
			SettleFailed(&jobs, &job, OUTCOME_TERMINATED, &failure, true,
						 job.terminations == 1 ? 0 : NO_MICROSECONDS);
		}
	}
	StoreClose(&jobs, true);
	OwnerLeave(&scope);

	/* the worker may still be rolling back */
	step->done = locked != STORE_BUSY;
}

/*
 * Is the server shutting down?  Its SIGTERM to the workers looks like anybody's,
 * but a shutdown costs no attempt.  The postmaster says so in its lock file
 * before it signals anyone.
 */
static bool
ServerIsStopping(void)
{
	FILE *file = AllocateFile("postmaster.pid", "r");
	char  line[MAXPGPATH] = "";
	bool  read = file != NULL;

	for (int i = 0; read && i < LOCK_FILE_LINE_PM_STATUS; i++)
		read = fgets(line, sizeof(line), file) != NULL;
	if (file != NULL)
		FreeFile(file);
	return read && strncmp(line, PM_STATUS_STOPPING, strlen("stopping")) == 0;
}

/* Record what is reported; false: something is left for later. */
static bool
RecordTerminations(void)
{
	bool all = true;

	if (pg_atomic_read_u32(&db->n_terminations) == 0 || ServerIsStopping())
		return true;
	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		TerminationStep step = { .done = true };

		LWLockAcquire(&taskq_shared->lock, LW_SHARED);
		step.termination = taskq_terminations[i];
		LWLockRelease(&taskq_shared->lock);
		if (step.termination.job_id == 0 || step.termination.dboid != MyDatabaseId)
			continue;

		/* one that cannot be recorded is given up: its job must not wait for that */
		BeginTransaction("taskq: record a terminated run");
		(void) Guard("record a terminated run", RecordTermination, &step);
		EndTransaction();
		if (!step.done)
		{
			all = false;
			continue;
		}

		/* committed: from now on the job may be claimed again */
		LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
		taskq_terminations[i].job_id = 0;
		LWLockRelease(&taskq_shared->lock);
		pg_atomic_fetch_sub_u32(&db->n_terminations, 1);
	}
	return all;
}

/* crashes ------------------------------------------------------------------ */

/*
 * Record jobs that may have crashed the server, and leave on the list those that
 * are to run again alone; when to look again.  Before any worker is started.
 */
static TimestampTz
RecordCrashes(void)
{
	BlameSuspect suspects[MAX_SUSPECTS];
	int			 n = BlameList(MyDatabaseId, suspects);

	for (int i = 0; i < n; i++)
	{
		if (suspects[i].recorded)
			continue;
		BeginTransaction("taskq: record a crash");
		suspects[i].recorded = CrashRecord(&suspects[i]);
		EndTransaction();
		if (!suspects[i].recorded)
			return ClockNow() + USECS_PER_SEC;
		BlameSetRecorded(&suspects[i]);
	}
	for (int i = 0; i < n; i++)
	{
		bool may_run;

		if (suspects[i].runner != 0)
			continue;
		BeginTransaction("taskq: look for suspects");
		may_run = CrashMayRunNow(&suspects[i]);
		EndTransaction();
		if (!may_run)
			BlameForget(&suspects[i]);
	}
	return BlameForgetOverdue();
}

/* looking ------------------------------------------------------------------ */

static void
CountDue(DueJobs *jobs)
{
	int n = RouteCount();
	int ahead = DUE_AHEAD;

	jobs->routes.n = n;
	jobs->routes.ids = palloc(sizeof(int32) * (n + 1));
	jobs->routes.ranks = palloc0(sizeof(int) * (n + 1));
	jobs->due = palloc0(sizeof(int) * (n + 1));
	jobs->next_due = DT_NOEND;
	for (int i = 0; i < n; i++)
		jobs->routes.ids[i] = RouteAt(i)->route_id;
	for (int i = 0; i < PoolCount(); i++)
		ahead = Max(ahead, PoolAt(i)->size);
	if (n > 0)
		(void) ClaimCountDue(&jobs->routes, ahead, jobs->due, &jobs->next_due);
}

/*
 * Wake as many waiting processes as jobs are due; all of them when a function,
 * role or the like has changed, which nobody announces: handlers may have become
 * runnable that those who wait do not look for.
 */
static void
WakeForDue(const DueJobs *jobs)
{
	static uint64 version = 0;

	if (version != CatalogVersion())
	{
		version = CatalogVersion();
		WakeAllWaiters(MyDatabaseId);
	}
	for (int i = 0; i < jobs->routes.n; i++)
		if (jobs->due[i] > 0)
			(void) WakeWaiters(MyDatabaseId, jobs->routes.ids[i], jobs->due[i]);
}

/* In a database of another origin nothing is done; said once. */
static bool
IsAdopted(void)
{
	static bool said = false;
	bool		adopted = AdoptedHere();

	if (!adopted && !said)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("database \"%s\" was restored, copied or renamed, so its taskq jobs wait",
						get_database_name(MyDatabaseId)),
				 errhint("If they are to run there, SELECT taskq.adopt_database().")));
	said = !adopted;
	return adopted;
}

/* With SQL definitions of another version nothing can be done; said once. */
static bool
DefinitionsMatch(void)
{
	static Definitions said = DEFINITIONS_MATCH;
	Definitions		   definitions = CatalogDefinitions();

	if (definitions == DEFINITIONS_OLDER && said != definitions)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("taskq's SQL definitions in database \"%s\" are older than its library, so its jobs wait",
						get_database_name(MyDatabaseId)),
				 errhint("Run ALTER EXTENSION taskq UPDATE there.")));
	if (definitions == DEFINITIONS_NEWER && said != definitions)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("taskq's SQL definitions in database \"%s\" are newer than its library, so its jobs wait",
						get_database_name(MyDatabaseId)),
				 errhint("Restart the server to load the library that was installed with them.")));
	said = definitions;
	return definitions == DEFINITIONS_MATCH;
}

/* One look: what its steps find. */
typedef struct LookState
{
	bool		leave;		   /* taskq has gone from this database */
	bool		idle;		   /* or is not to do anything here */
	TimestampTz next;		   /* when to look again */
	bool		busy;		   /* there are jobs for its workers, or pieces left */
	bool		more;		   /* a step has another piece to do */
	LeaseSweep	leases;		   /* that are over */
	int64		cancels_after; /* where the sweep of requests goes on */
} LookState;

static void
LookAround(void *arg)
{
	LookState *look = arg;

	look->leave = !CatalogInstalled();
	look->idle = look->leave || !DefinitionsMatch() || !IsAdopted();
	if (look->idle)
		leases_read_at = 0;
}

/* Before this scheduler starts its first worker. */
static void
PassLostEpochs(void *arg)
{
	EpochPassLost();
	lost_epochs_passed = true;
}

/* No lease of those that were read is over any more. */
static void
LeasesDone(LookState *look)
{
	(void) WakeBringForward(&db->next_lease, look->leases.next);
	leases_read_at = ClockNow();
}

/*
 * Find leases that are over, when one may be.  A claim that is committed from here on brings
 * the moment forward again.  Claims that came with a restore have told nobody, so
 * now and then all are read whatever is known.
 */
static void
LookForLeases(void *arg)
{
	LookState  *look = arg;
	TimestampTz next = (TimestampTz) pg_atomic_read_u64(&db->next_lease);

	if (WatchNote())
		leases_read_at = 0;
	if (leases_read_at == 0 || next <= ClockNow() || ClockHasPassed(leases_read_at, MAINTAIN_EVERY))
	{
		leases_read_at = 0;
		pg_atomic_write_u64(&db->next_lease, (uint64) DT_NOEND);
		pg_memory_barrier();
		LeaseFindOverdue(&look->leases, MAX_EXPIRE);
		next = look->leases.next;
		if (look->leases.n == 0)
			LeasesDone(look);
	}
	look->next = Min(look->next, next);
}

static void
EndLeases(void *arg)
{
	LookState *look = arg;

	look->more = LeaseEndSome(&look->leases);
	if (!look->more)
		LeasesDone(look);
}

static void
LookForStuck(void *arg)
{
	LookState *look = arg;

	look->next = Min(look->next, StuckLook());
}

static void
LookForCancels(void *arg)
{
	LookState *look = arg;

	look->more = CancelSweep(&look->cancels_after);
}

static void
LookForUnhandled(void *arg)
{
	LookState *look = arg;

	look->more = UnhandledSweep();
}

static void
LookForTrials(void *arg)
{
	LookState *look = arg;

	look->next = Min(look->next, TrialLook());
}

static void
LookForPrepared(void *arg)
{
	PreparedLook(db);
}

static void
CareForRoutes(void *arg)
{
	LookState *look = arg;

	look->next = Min(look->next, RouteCare());
}

static void
Recheck(void *arg)
{
	LookState *look = arg;

	look->next = Min(look->next, RecheckReadyList());
}

static void
LookForDue(void *arg)
{
	LookState *look = arg;
	DueJobs	   jobs;

	CountDue(&jobs);
	WakeForDue(&jobs);
	look->next = Min(look->next, StartWorkers(db, &jobs, &look->busy));
	look->next = Min(look->next, jobs.next_due);
}

static void
KeepHistory(void *arg)
{
	LookState *look = arg;

	look->more = HistoryMaintain(false);
}

static void
KeepEvents(void *arg)
{
	EventMaintain(false);
}

/* Tell who listens of new events, unless that was done a moment ago. */
static void
NotifyOfEvents(void *arg)
{
	static TimestampTz notified_at = 0;
	LookState		  *look = arg;
	int64			   interval = (int64) taskq_event_notify_interval * 1000;

	if (taskq_event_notify_interval == 0 || pg_atomic_read_u32(&db->events_to_notify) == 0)
		return;
	if (!ClockHasPassed(notified_at, interval))
	{
		look->next = Min(look->next, notified_at + interval);
		return;
	}
	notified_at = ClockNow();
	pg_atomic_write_u32(&db->events_to_notify, 0);
	pg_memory_barrier();
	Async_Notify("taskq_events", psprintf(INT64_FORMAT, EventHorizon(PG_INT64_MIN)));
}

/* Of handlers that came with a dump of before owners were recorded. */
static void
RecordMissingOwners(void *arg)
{
	RecordOwners(false);
}

static bool
MustLeave(void)
{
	return !taskq_enabled || db->blocked > 0;
}

static void
ForgetWorkers(void *arg)
{
	WorkerForgetOld();
}

/*
 * A step of a look, in a transaction of its own; one that fails is tried again
 * before long, and the others are done all the same.
 */
static void
Step(const char *what, GuardedFunction step, LookState *look)
{
	BeginTransaction(psprintf("taskq: %s", what));
	if (!Guard(what, step, look))
		look->next = Min(look->next, ClockNow() + USECS_PER_SEC);
	EndTransaction();
}

/*
 * A step of many pieces, each in a transaction of its own: none is long, and
 * between two of them the look goes on when they have taken long together.  False:
 * there are more.
 */
static bool
InPieces(const char *what, GuardedFunction step, LookState *look)
{
	TimestampTz started = ClockNow();

	do
	{
		CHECK_FOR_INTERRUPTS();
		look->more = false;
		Step(what, step, look);
	} while (look->more && !MustLeave() && !ClockHasPassed(started, PIECES_TIME));
	if (!look->more)
		return true;
	look->next = ClockNow();
	look->busy = behind = true;
	return false;
}

/* Note when everything was looked at, and since when there is no work. */
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

/* Look at everything once; when to look next. */
static TimestampTz
Look(bool *leave)
{
	LookState look = { .idle = true, .next = DT_NOEND };

	behind = false;
	Step("look around", LookAround, &look);
	*leave = look.leave;
	if (look.idle)
	{
		NoteLook(false);
		return look.next;
	}
	if (!lost_epochs_passed)
		Step("pass lost epochs", PassLostEpochs, &look);
	if (!RecordTerminations())
		look.next = Min(look.next, ClockNow() + USECS_PER_SEC / 100);
	look.next = Min(look.next, RecordCrashes());
	if (PreparedAny(db))
		Step("look for prepared transactions that have ended", LookForPrepared, &look);
	Step("check the ready list", Recheck, &look);
	Step("try paused task types", LookForTrials, &look);
	Step("look for jobs that are due", LookForDue, &look);
	Step("end leases", LookForLeases, &look);
	if (look.leases.n > 0)
		(void) InPieces("end leases", EndLeases, &look);
	Step("look for stuck workers", LookForStuck, &look);
	(void) InPieces("act on cancel requests", LookForCancels, &look);
	(void) InPieces("discard unhandled jobs", LookForUnhandled, &look);
	Step("notify of events", NotifyOfEvents, &look);
	Step("remove unused routes", CareForRoutes, &look);

	/* once a minute, and when a settle has asked for a leaf of the history */
	if (pg_atomic_exchange_u32(&db->leaves_wanted, 0) != 0 || ClockHasPassed(maintained_at, MAINTAIN_EVERY))
	{
		maintained_at = ClockNow();
		if (!InPieces("keep the history", KeepHistory, &look))
			pg_atomic_write_u32(&db->leaves_wanted, 1);
		Step("keep the events", KeepEvents, &look);
		Step("forget old workers", ForgetWorkers, &look);
		Step("record who owns the handlers", RecordMissingOwners, &look);
	}
	NoteLook(look.busy);
	return look.next;
}

/* Sleep for a while; false: until then nothing has happened. */
static bool
SleepFor(long milliseconds)
{
	static uint32 event = 0;
	int			  woken;

	WatchSleep(milliseconds);
	woken = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds,
					  WaitEvent_compat(&event, "TaskqSchedulerMain"));
	ResetLatch(MyLatch);
	if (WatchNote())
	{
		leases_read_at = 0;
		return true;
	}
	return (woken & WL_LATCH_SET) != 0;
}

/*
 * Sleep until the next look is due.  While somebody has a lease that is done in
 * short pieces, so that a pause of the machine is seen, and is seen for what it was.
 */
static void
Sleep(void)
{
	uint64		moment = pg_atomic_read_u64(&db->next_moment);
	TimestampTz next = (TimestampTz) Min(moment, (uint64) DT_NOEND);
	bool		watch = pg_atomic_read_u64(&db->next_lease) < (uint64) DT_NOEND;
	long		left = ClockMillisecondsUntil(next, taskq_poll_interval);

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
 * Under a hail of wake-ups, look at intervals: at most a tenth of a core, unless
 * there is so much to do.
 */
static void
Pause(TimestampTz last_look, int64 took)
{
	static uint32 event = 0;
	int64		  pause = Max(LEAST_PAUSE * 1000, Min(behind ? 0 : took * PAUSE_FACTOR, USECS_PER_SEC));
	long		  left = ClockMillisecondsUntil(last_look + pause, 1000);

	if (left <= 0)
		return;
	WatchSleep(left);
	(void) WaitLatch(NULL, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, left,
					 WaitEvent_compat(&event, "TaskqSchedulerPause"));
	if (WatchNote())
		leases_read_at = 0;
}

/*
 * Leave the slot to another database, if that is wanted and nothing would be lost:
 * the launcher starts us again when there is work (slots.c).
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

static void
LookLoop(void)
{
	bool		leave = false;
	TimestampTz last_look = 0;
	int64		took = 0;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (MustLeave())
			break;
		Pause(last_look, took);
		MemoryContextReset(look_context);
		pg_atomic_write_u64(&db->next_moment, PG_UINT64_MAX);
		(void) pg_atomic_exchange_u32(&db->signalled, 0);
		last_look = ClockNow();
		(void) WakeBringForward(&db->next_moment, Look(&leave));
		took = ClockNow() - last_look;
		if (leave || MakeRoom())
			break;
		Sleep();
	}
}

/* Where the launcher looks for our answer. */
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

	/* one step that has to wait must not keep the others from being done */
	SetConfigOption("lock_timeout", LOCK_PATIENCE, PGC_USERSET, PGC_S_OVERRIDE);
	look_context = AllocSetContextCreate(TopMemoryContext, "taskq scheduler look", ALLOCSET_DEFAULT_SIZES);

	BeginTransaction("taskq: probing");
	leave = !CatalogInstalled();
	EndTransaction();
	if (leave)
		pg_atomic_write_u32(&taskq_shared->probe_answers[ProbeNumber()], MyDatabaseId);
	if (leave || !Attach())
		proc_exit(0);
	SetConfigOption("application_name", "taskq scheduler", PGC_USERSET, PGC_S_OVERRIDE);

	WatchBegin(db);
	PG_TRY();
	{
		LookLoop();
	}
	PG_CATCH();
	{
		/* not by SIGTERM, which does not come by here */
		LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
		db->scheduler_failed = true;
		LWLockRelease(&taskq_shared->lock);
		PG_RE_THROW();
	}
	PG_END_TRY();
	proc_exit(0);
}
