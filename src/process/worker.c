/*
 * worker.c
 *	  A background worker of a pool.
 *
 * The scheduler starts it when jobs wait for it.  It connects as the pool's role,
 * and runs jobs of its routes one after the other.  If there is no job, it waits on
 * its latch, which the commit of a matching job sets.  After taskq.worker_idle it
 * leaves, unless the pool's min_size keeps it.  When it has run long enough, by
 * number of jobs, age or memory, it leaves and a new worker takes its place.
 *
 * It leaves after its current job when it is asked to: by drain_worker(), by a
 * smaller or dropped pool, or by DDL on the database.  On SIGTERM it leaves during
 * the job.  Then its transaction is rolled back, so that the job is free at once,
 * and the scheduler records the attempt as terminated.
 */
#include "taskq.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/guc.h"
#include "base/memory.h"
#include "claim/claim.h"
#include "config/eligible.h"
#include "config/pool.h"
#include "config/stale.h"
#include "job/frames.h"
#include "process/worker.h"
#include "process/worker_slot.h"
#include "run/call.h"
#include "run/dispatch.h"
#include "run/reset.h"
#include "shared/shmem.h"
#include "shared/wait.h"
#include "store/catalog.h"

PGDLLEXPORT void taskq_worker_main(Datum arg);

#define MEMORY_LOOK_EVERY USECS_PER_SEC

static WorkerParams	  params;
static TaskqSlot	 *slot;
static TaskqDatabase *db;
static int64		  jobs_run = 0;

/* The jobs that this worker may run, as of request.config_version. */
static MemoryContext routes_context;
static Claimant		 me;
static RouteSet		 routes;
static ClaimRequest	 request;
static int			 pool_size;
static int			 pool_min_size;

/* what to run -------------------------------------------------------------- */

/*
 * Read the pool and compute this worker's routes, if anything has changed.  Returns
 * false if the pool does not need this worker any more.
 */
static bool
UpdateRoutes(void)
{
	const TaskqPool *pool;
	MemoryContext	 old;

	if (!CatalogMatches())
		return false;
	if (request.config_version == ConfigVersion())
		return true;
	request.config_version = ConfigVersion();
	MemoryContextReset(routes_context);
	memset(&routes, 0, sizeof(routes));
	pool = PoolFind(params.pool);
	if (pool == NULL || pool->role != params.role)
		return false;
	pool_size = pool->size;
	pool_min_size = pool->min_size;

	old = MemoryContextSwitchTo(routes_context);
	PoolWorker(pool, &me);
	me.task_types = NamesCopy(me.task_types);
	me.queues = NamesCopy(me.queues);
	me.capabilities = NamesCopy(me.capabilities);
	me.weights = QueueWeightsCopy(me.weights);
	if (!pool->paused)
		routes = EligibleRoutes(&me);
	MemoryContextSwitchTo(old);
	return WorkerRank() < pool_size;
}

/*
 * Has this worker run long enough, according to the settings?  Memory that
 * libraries and languages have leaked is freed only when the process ends.
 */
static bool
IsWornOut(bool idle)
{
	static int64	   first_used = 0;
	static TimestampTz looked_at = 0;
	TimestampTz		   now = ClockNow();

	if (!idle && DispatchMustRepeat())
		return false;
	if (taskq_worker_max_jobs > 0 && jobs_run >= taskq_worker_max_jobs)
		return true;
	if (taskq_worker_max_age > 0 && now - slot->started_at >= (int64) taskq_worker_max_age * USECS_PER_SEC)
		return true;
	if (taskq_worker_max_memory == 0 || (!idle && looked_at != 0 && now - looked_at < MEMORY_LOOK_EVERY))
		return false;
	looked_at = now;
	if (first_used == 0)
		first_used = MemoryUsed();
	return MemoryUsed() - first_used > (int64) taskq_worker_max_memory * 1024;
}

static bool
MustLeave(void)
{
	return slot->leave || !taskq_enabled || db->blocked > 0;
}

/*
 * Return this worker as a claimant according to what is committed now, for a claim
 * that is under way.  Returns NULL if it must not take a job any more.
 */
static const Claimant *
MeNow(const ClaimRequest *claim)
{
	static Claimant	 now;
	const TaskqPool *pool;

	if (MustLeave())
		return NULL;
	if (claim->config_version == ConfigVersion())
		return &me;
	pool = PoolFind(params.pool);
	if (pool == NULL || pool->role != params.role || pool->paused || WorkerRank() >= pool->size)
		return NULL;
	PoolWorker(pool, &now);
	return &now;
}

/* work --------------------------------------------------------------------- */

typedef enum WorkResult
{
	WORKED,
	NOTHING_TO_DO,
	NOT_WANTED
} WorkResult;

/*
 * Begin to wait for jobs of the current routes; returns false if this worker is not
 * needed any more.
 */
static bool
WaitForRoutes(void)
{
	for (;;)
	{
		WaitBegin(&routes, 0, 0);

		/* a change before WaitBegin() has not woken this worker */
		if (request.config_version == ConfigVersion())
			return true;
		if (!UpdateRoutes())
			return false;
	}
}

/* Run one job, if there is one. */
static WorkResult
WorkOnce(bool waiting)
{
	int n_runs;

	BeginJobTransaction();
	if (!UpdateRoutes())
	{
		CommitTransactionCommand();
		return NOT_WANTED;
	}
	if (waiting && !WaitForRoutes())
	{
		CommitTransactionCommand();
		return NOT_WANTED;
	}
	n_runs = DispatchNext(&request);
	if (n_runs > 0)
	{
		jobs_run += n_runs;
		pgstat_report_stat(false);
		return WORKED;
	}
	CommitTransactionCommand();
	return NOTHING_TO_DO;
}

/* Wait for a job; returns false if this worker was idle for too long. */
static bool
Idle(TimestampTz *idle_since)
{
	bool		stays = WorkerRank() < pool_min_size;
	TimestampTz until = *idle_since + (int64) taskq_worker_idle * 1000;
	long		most = stays ? 3600 * 1000L : ClockMillisecondsUntil(until, 3600 * 1000L);

	if (taskq_worker_max_age > 0)
		most = ClockMillisecondsUntil(slot->started_at + (int64) taskq_worker_max_age * USECS_PER_SEC, most);
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
	WaitSleep(most);
	CHECK_FOR_INTERRUPTS();
	if (WaitEnd())
		return true;
	return stays || ClockNow() < until;
}

static void
WorkLoop(void)
{
	TimestampTz idle_since = ClockNow();

	for (;;)
	{
		WorkResult result;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			FrameReload();
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (MustLeave() || IsWornOut(false))
			return;
		result = WorkOnce(false);
		if (result == NOTHING_TO_DO)
		{
			/* register as waiting, then look again */
			result = WorkOnce(true);
			if (result == NOTHING_TO_DO && !MustLeave())
			{
				if (IsWornOut(true) || !Idle(&idle_since))
					return;
				continue;
			}
			WaitEnd();
		}
		if (result == NOT_WANTED)
			return;
		idle_since = ClockNow();
	}
}

/* Override settings of the role that would disturb taskq. */
static void
SetSession(void)
{
	/* the role's settings may contain SET ROLE */
	SetConfigOption("role", "none", PGC_USERSET, PGC_S_OVERRIDE);

	/* for the transactions that a procedure begins by its commits */
	SetConfigOption("default_transaction_isolation", "read committed", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_deferrable", "off", PGC_USERSET, PGC_S_OVERRIDE);

	SetConfigOption("max_parallel_workers_per_gather", "0", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("jit", "off", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("application_name", MyBgworkerEntry->bgw_name, PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("client_min_messages", "error", PGC_USERSET, PGC_S_OVERRIDE);

	/* these settings of the role would end the process; not all versions have the second */
	SetConfigOption("exit_on_error", "off", PGC_USERSET, PGC_S_OVERRIDE);
	if (GetConfigOption("transaction_timeout", true, false) != NULL)
		SetConfigOption("transaction_timeout", "0", PGC_USERSET, PGC_S_OVERRIDE);
}

void
taskq_worker_main(Datum arg)
{
	memcpy(&params, MyBgworkerEntry->bgw_extra, sizeof(params));
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	WorkerConnect_compat(params.dboid, params.role);
	SetSession();
	db = WorkerAttach(&params);
	slot = ShmemMySlot();
	ResetInit();
	RunInit();
	FrameInit();
	MemoryInit();

	routes_context = AllocSetContextCreate(TopMemoryContext, "taskq worker routes", ALLOCSET_DEFAULT_SIZES);
	request.worker = &me;
	request.worker_now = MeNow;
	request.routes = &routes;
	request.worker_id = slot->worker_id;
	request.lease = request.worker_lease = NO_MICROSECONDS;
	PG_TRY();
	{
		WorkLoop();
	}
	PG_CATCH();
	{
		/* this is not reached by SIGTERM */
		WorkerEndsByError();
		PG_RE_THROW();
	}
	PG_END_TRY();
	proc_exit(0);
}
