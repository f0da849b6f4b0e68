/*
 * scheduler.c
 *	  The scheduler: one process a database that has taskq.
 *
 * It knows when something is due: a job whose run_at comes, a lease that ends.
 * It then wakes as many waiting processes as there are jobs, or ends the lease,
 * and sleeps until the next such moment; commits that bring an earlier one say
 * so (wake.c).  It starts workers for pools that have more jobs due than
 * workers, records runs that were terminated, acts on cancel requests that
 * found nobody, and keeps the history's leaves.
 *
 * It is started by the launcher as a probe of a database, and leaves when taskq
 * is not there.  It connects as the bootstrap superuser and works as the
 * extension's owner.  An error ends it, and the launcher starts it anew.
 * TaskqDatabase.scheduler_pid, under TaskqShared.lock, makes it the only one.
 */
#include "taskq.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "adopt.h"
#include "args.h"
#include "cancel.h"
#include "catalog.h"
#include "claim.h"
#include "clock.h"
#include "compat.h"
#include "eligible.h"
#include "error.h"
#include "guc.h"
#include "history.h"
#include "lease.h"
#include "owner.h"
#include "pool.h"
#include "register.h"
#include "route.h"
#include "settle.h"
#include "shmem.h"
#include "unhandled.h"
#include "wake.h"
#include "worker.h"

PGDLLEXPORT void taskq_scheduler_main(Datum arg);

#define LEAST_PAUSE 10			/* ms between two looks, however many wake-ups */
#define PAUSE_FACTOR 10			/* and times what the last look took */
#define MAINTAIN_EVERY USECS_PER_MINUTE
#define DUE_AHEAD 64			/* jobs of a route that a look counts */
#define MAX_START_DELAY (60 * USECS_PER_SEC)

/* A worker that was asked for and has not shown up yet. */
typedef struct Start
{
	BackgroundWorkerHandle *handle;
	int			mark;
	char		pool[TASKQ_NAME_MAX + 1];
} Start;

/* A pool whose workers could not start: not tried again before then. */
typedef struct Trouble
{
	char		pool[TASKQ_NAME_MAX + 1];
	int			failures;
	TimestampTz not_before;
	TimestampTz warned_at;
} Trouble;

static TaskqDatabase *db;
static MemoryContext look_context;
static Start starts[MAX_START_MARKS];
static int	n_starts = 0;
static int	next_mark = 0;
static List *troubles = NIL;
static TimestampTz slots_retry_at = 0;
static TimestampTz slots_warned_at = 0;
static TimestampTz maintained_at = 0;

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
	bool		attached = false;

	db = ShmemDatabase(MyDatabaseId, true);
	if (db == NULL)
		return false;
	before_shmem_exit(Detach, (Datum) 0);
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	if (db->scheduler_pid == 0 && db->blocked == 0)
	{
		db->scheduler_pid = MyProcPid;
		db->scheduler_latch = MyLatch;
		attached = true;
	}
	LWLockRelease(&taskq_shared->lock);
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

/*
 * Count the attempt of a run that was ended from outside: put back at once the
 * first time, with the retry delay after that.
 */
static bool
RecordTermination(const TaskqTermination *termination)
{
	AttemptFailure failure = {
		.outcome = "terminated",
		.error_type = ERROR_TERMINATED,
		.message = "the worker was terminated",
	};
	Store		jobs;
	TaskqJob	job;
	OwnerScope	scope;
	StoreLockResult locked;

	OwnerEnter(&scope);
	locked = JobOpenAndLock(&jobs, termination->job_id, &job);
	if (locked == STORE_LOCKED && job.state != JOB_RUNNING && job.epoch < termination->epoch)
	{
		job.state = JOB_RUNNING;
		job.epoch = termination->epoch;
		job.attempt++;
		job.started_at = termination->started_at;
		job.worker_id = TextOrNull(termination->worker_id);
		job.terminations++;
		SettleFailed(&jobs, &job, OUTCOME_TERMINATED, &failure, true,
					 job.terminations == 1 ? 0 : NO_MICROSECONDS);
	}
	StoreClose(&jobs, true);
	OwnerLeave(&scope);

	/* the worker may still be rolling back */
	return locked != STORE_BUSY;
}

/* Record what is reported; false: something is left for later. */
static bool
RecordTerminations(void)
{
	bool		all = true;

	if (pg_atomic_read_u32(&db->n_terminations) == 0)
		return true;
	for (int i = 0; i < MAX_TERMINATIONS; i++)
	{
		TaskqTermination termination;

		LWLockAcquire(&taskq_shared->lock, LW_SHARED);
		termination = db->terminations[i];
		LWLockRelease(&taskq_shared->lock);
		if (termination.job_id == 0)
			continue;
		BeginTransaction("taskq: recording a terminated run");
		if (RecordTermination(&termination))
		{
			EndTransaction();

			/* committed: from now on the job may be claimed again */
			LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
			db->terminations[i].job_id = 0;
			LWLockRelease(&taskq_shared->lock);
			pg_atomic_fetch_sub_u32(&db->n_terminations, 1);
		}
		else
		{
			EndTransaction();
			all = false;
		}
	}
	return all;
}

/* starting workers --------------------------------------------------------- */

static Trouble *
FindTrouble(const char *pool)
{
	ListCell   *cell;

	foreach(cell, troubles)
		if (strcmp(((Trouble *) lfirst(cell))->pool, pool) == 0)
			return lfirst(cell);
	return NULL;
}

/* A worker of this pool ended before it was up. */
static void
NoteFailedStart(const char *pool)
{
	Trouble    *trouble = FindTrouble(pool);
	TimestampTz now = ClockNow();
	int64		delay;

	if (trouble == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		trouble = palloc0(sizeof(Trouble));
		strlcpy(trouble->pool, pool, sizeof(trouble->pool));
		troubles = lappend(troubles, trouble);
		MemoryContextSwitchTo(old);
	}
	delay = Min(USECS_PER_SEC << Min(trouble->failures, 6), MAX_START_DELAY);
	trouble->failures++;
	trouble->not_before = now + delay;
	if (now - trouble->warned_at >= USECS_PER_MINUTE)
	{
		trouble->warned_at = now;
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("workers of taskq pool \"%s\" cannot start", pool),
				 errhint("The reason stands before this line; the role must exist, may need LOGIN, and must be allowed to connect.")));
	}
}

/* See which of the workers that were asked for are up, or have failed. */
static void
CheckStarts(void)
{
	int			kept = 0;

	for (int i = 0; i < n_starts; i++)
	{
		Start	   *start = &starts[i];
		pid_t		pid;
		BgwHandleStatus status = GetBackgroundWorkerPid(start->handle, &pid);

		if (pg_atomic_read_u32(&db->start_marks[start->mark]) != 0)
		{
			Trouble    *trouble = FindTrouble(start->pool);

			if (trouble != NULL)
				troubles = list_delete_ptr(troubles, trouble);
			pfree(start->handle);
		}
		else if (status == BGWH_STOPPED)
		{
			NoteFailedStart(start->pool);
			pfree(start->handle);
		}
		else
			starts[kept++] = *start;
	}
	n_starts = kept;
}

/* Workers of a pool that are up or on their way. */
static int
CountWorkers(const char *pool)
{
	int			n = 0;

	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		TaskqSlot  *slot = &taskq_slots[i];

		LWLockAcquire(&slot->lock, LW_SHARED);
		if (slot->worker && slot->dboid == MyDatabaseId && !slot->leave && strcmp(slot->pool, pool) == 0)
			n++;
		LWLockRelease(&slot->lock);
	}
	for (int i = 0; i < n_starts; i++)
		if (strcmp(starts[i].pool, pool) == 0)
			n++;
	return n;
}

/* max_worker_processes is used up: say so once a minute, try again in a second. */
static void
NoteMissingSlots(const char *pool)
{
	TimestampTz now = ClockNow();

	slots_retry_at = now + USECS_PER_SEC;
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	if (taskq_shared->slots_missing_since == 0)
		taskq_shared->slots_missing_since = now;
	LWLockRelease(&taskq_shared->lock);
	if (now - slots_warned_at < USECS_PER_MINUTE)
		return;
	slots_warned_at = now;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("out of background worker slots for taskq pool \"%s\"", pool),
			 errhint("You might need to increase \"max_worker_processes\".")));
}

static void
NoteSlotsAgain(void)
{
	TimestampTz since;

	slots_retry_at = 0;
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	since = taskq_shared->slots_missing_since;
	taskq_shared->slots_missing_since = 0;
	LWLockRelease(&taskq_shared->lock);
	if (since != 0)
		ereport(LOG,
				(errmsg("taskq has background worker slots again, after %ld s",
						(long) ((ClockNow() - since) / USECS_PER_SEC))));
}

/* Ask the postmaster for a worker. */
static bool
StartWorker(const TaskqPool *pool)
{
	BackgroundWorker worker = {0};
	WorkerParams params = {0};
	Start	   *start = &starts[n_starts];
	MemoryContext old;

	if (n_starts == MAX_START_MARKS)
		return false;
	params.dboid = MyDatabaseId;
	params.role = pool->role;
	params.start_mark = next_mark;
	strlcpy(params.pool, pool->name, sizeof(params.pool));
	pg_atomic_write_u32(&db->start_marks[next_mark], 0);

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_notify_pid = MyProcPid;
	strlcpy(worker.bgw_library_name, "taskq", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, CppAsString(taskq_worker_main), BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "taskq worker: %s", pool->name);
	strlcpy(worker.bgw_type, "taskq worker", BGW_MAXLEN);
	memcpy(worker.bgw_extra, &params, sizeof(params));

	old = MemoryContextSwitchTo(TopMemoryContext);
	if (!RegisterDynamicBackgroundWorker(&worker, &start->handle))
	{
		MemoryContextSwitchTo(old);
		NoteMissingSlots(pool->name);
		return false;
	}
	MemoryContextSwitchTo(old);
	NoteSlotsAgain();
	start->mark = next_mark;
	strlcpy(start->pool, pool->name, sizeof(start->pool));
	n_starts++;
	next_mark = (next_mark + 1) % MAX_START_MARKS;
	return true;
}

/* looking ------------------------------------------------------------------ */

/* All routes of the database, and how many jobs of each are due. */
typedef struct DueJobs
{
	RouteSet	routes;
	int		   *due;
	TimestampTz next_due;
} DueJobs;

static void
CountDue(DueJobs *jobs)
{
	int			n = RouteCount();

	jobs->routes.n = n;
	jobs->routes.ids = palloc(sizeof(int32) * (n + 1));
	jobs->routes.ranks = palloc0(sizeof(int) * (n + 1));
	jobs->due = palloc0(sizeof(int) * (n + 1));
	jobs->next_due = DT_NOEND;
	for (int i = 0; i < n; i++)
		jobs->routes.ids[i] = RouteAt(i)->route_id;
	if (n > 0)
		(void) ClaimCountDue(&jobs->routes, DUE_AHEAD, jobs->due, &jobs->next_due);
}

/* Jobs due for a pool.  Those that its workers run count as due too. */
static int
DueForPool(const DueJobs *jobs, const TaskqPool *pool)
{
	TaskqWorker worker = {
		.background = true,
		.role = pool->role,
		.task_types = pool->task_types,
		.queues = pool->queues,
		.capabilities = pool->capabilities,
	};
	int			due = 0;

	for (int i = 0; i < jobs->routes.n; i++)
		if (jobs->due[i] > 0 && MayRun(&worker, RouteById(jobs->routes.ids[i])))
			due += jobs->due[i];
	return due;
}

/* Start the workers that a pool lacks; when to try again if it cannot be. */
static TimestampTz
FillPool(const TaskqPool *pool, const DueJobs *jobs, bool *may_grow)
{
	Trouble    *trouble = FindTrouble(pool->name);
	int			have = CountWorkers(pool->name);
	int			want;

	if (pool->paused || have >= pool->size)
		return DT_NOEND;
	want = Max(pool->min_size, Min(pool->size, DueForPool(jobs, pool)));
	for (; have < want; have++)
	{
		if (trouble != NULL && trouble->not_before > ClockNow())
			return trouble->not_before;
		if (slots_retry_at > ClockNow())
			return slots_retry_at;
		if (!StartWorker(pool))
			return ClockNow() + USECS_PER_SEC;
	}
	if (have < pool->size)
		*may_grow = true;
	return DT_NOEND;
}

/* Workers beyond their pool's size find that out themselves; others are filled. */
static TimestampTz
FillPools(const DueJobs *jobs)
{
	TimestampTz again = DT_NOEND;
	bool		may_grow = false;
	int			n = PoolCount();
	TaskqPool  *pools = palloc(sizeof(TaskqPool) * (n + 1));

	for (int i = 0; i < n; i++)
		pools[i] = *PoolAt(i);

	/* set before the look would be safer still, but a poll covers the gap */
	for (int i = 0; i < n; i++)
		again = Min(again, FillPool(&pools[i], jobs, &may_grow));
	pg_atomic_write_u32(&db->may_grow, may_grow ? 1 : 0);
	return again;
}

/* Wake as many waiting processes as jobs are due. */
static void
WakeForDue(const DueJobs *jobs)
{
	for (int i = 0; i < jobs->routes.n; i++)
		if (jobs->due[i] > 0)
			(void) WakeWaiters(MyDatabaseId, jobs->routes.ids[i], jobs->due[i]);
}

/* Housekeeping once a minute, and when a settle has asked for a leaf. */
static void
Maintain(void)
{
	if (pg_atomic_exchange_u32(&db->history_wanted, 0) == 0 && ClockNow() - maintained_at < MAINTAIN_EVERY)
		return;
	maintained_at = ClockNow();
	BeginTransaction("taskq: keeping the history");
	HistoryMaintain();
	EndTransaction();
	BeginTransaction("taskq: forgetting old workers");
	WorkerForgetOld();
	EndTransaction();
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

/* With older SQL definitions nothing can be done; said once. */
static bool
DefinitionsMatch(void)
{
	static bool said = false;

	if (!CatalogMatches() && !said)
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("taskq's SQL definitions in database \"%s\" are older than its library, so its jobs wait",
						get_database_name(MyDatabaseId)),
				 errhint("Run ALTER EXTENSION taskq UPDATE there.")));
	said = !CatalogMatches();
	return CatalogMatches();
}

/*
 * Look at everything once; when to look next.  Sets *leave when there is no
 * more to be done in this database.
 */
static TimestampTz
Look(bool *leave)
{
	TimestampTz next = DT_NOEND;
	DueJobs		jobs;
	bool		adopted;

	BeginTransaction("taskq: looking for what is due");
	*leave = !CatalogInstalled();
	adopted = !*leave && DefinitionsMatch() && IsAdopted();
	if (adopted)
		(void) CancelSweep();
	if (adopted)
		next = LeaseExpireOverdue();
	EndTransaction();
	if (*leave || !adopted)
		return next;

	if (!RecordTerminations())
		next = Min(next, ClockNow() + USECS_PER_SEC / 100);
	Maintain();

	BeginTransaction("taskq: discarding unhandled jobs");
	if (UnhandledSweep())
		next = ClockNow();
	EndTransaction();

	BeginTransaction("taskq: filling pools");
	CheckStarts();
	CountDue(&jobs);
	WakeForDue(&jobs);
	next = Min(next, FillPools(&jobs));
	next = Min(next, jobs.next_due);
	EndTransaction();
	return next;
}

static bool
MustLeave(void)
{
	return !taskq_enabled || db->blocked > 0;
}

/* Take the next moment from shared memory, to which commits may bring another. */
static void
SetNextMoment(TimestampTz next)
{
	uint64		current = pg_atomic_read_u64(&db->next_moment);

	while ((uint64) next < current)
		if (pg_atomic_compare_exchange_u64(&db->next_moment, &current, (uint64) next))
			return;
}

static void
Sleep(void)
{
	static uint32 event = 0;
	uint64		moment = pg_atomic_read_u64(&db->next_moment);
	TimestampTz next = (TimestampTz) Min(moment, (uint64) DT_NOEND);

	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 ClockMillisecondsUntil(next, taskq_poll_interval),
					 WaitEvent_compat(&event, "TaskqSchedulerMain"));
	ResetLatch(MyLatch);
}

/* Under a hail of wake-ups, look at intervals: at most a tenth of a core. */
static void
Pause(TimestampTz last_look, int64 took)
{
	static uint32 event = 0;
	int64		pause = Max(LEAST_PAUSE * 1000, Min(took * PAUSE_FACTOR, USECS_PER_SEC));
	long		left = ClockMillisecondsUntil(last_look + pause, 1000);

	if (left > 0)
		(void) WaitLatch(NULL, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, left,
						 WaitEvent_compat(&event, "TaskqSchedulerPause"));
}

void
taskq_scheduler_main(Datum arg)
{
	bool		leave = false;
	TimestampTz last_look = 0;
	int64		took = 0;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	look_context = AllocSetContextCreate(TopMemoryContext, "taskq scheduler look", ALLOCSET_DEFAULT_SIZES);

	BeginTransaction("taskq: probing");
	leave = !CatalogInstalled();
	EndTransaction();
	if (leave)
		pg_atomic_write_u32(&taskq_shared->probe_answer, 1);
	if (leave || !Attach())
		proc_exit(0);
	SetConfigOption("application_name", "taskq scheduler", PGC_USERSET, PGC_S_OVERRIDE);

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
		last_look = ClockNow();
		SetNextMoment(Look(&leave));
		took = ClockNow() - last_look;
		if (leave)
			break;
		Sleep();
	}
	proc_exit(0);
}
