/*
 * start_workers.c
 *	  Starting the workers that pools lack.  The scheduler calls this.
 *
 * All pools together leave some worker slots to other programs, and the pools of
 * one role leave some to other roles (pool.c), even if the pools are larger than
 * that.
 *
 * The size of a pool is a maximum.  A worker is started when more jobs are due for
 * the pool than it has workers.  If a start fails, because of the role or because
 * max_worker_processes is used up, it is tried again later, and logged once a
 * minute.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "postmaster/bgworker.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/guc.h"
#include "base/log_pace.h"
#include "config/adopt.h"
#include "config/pool.h"
#include "config/stale.h"
#include "process/pool_routes.h"
#include "process/start_process.h"
#include "process/start_workers.h"
#include "process/worker.h"
#include "shared/slots.h"
#include "store/catalog.h"

#define MAX_START_DELAY (60 * USECS_PER_SEC)

/* A worker that was requested and is not up yet. */
typedef struct Start
{
	BackgroundWorkerHandle *handle;
	int						mark;
	char					pool[TASKQ_NAME_MAX + 1];
	Oid						role;
} Start;

/* A pool whose workers have failed.  No worker is started before not_before. */
typedef struct Trouble
{
	char		pool[TASKQ_NAME_MAX + 1];
	int			failures;
	TimestampTz not_before;
	uint64		config_version; /* at that time; a change may remove the cause */
} Trouble;

static TaskqDatabase *db;
static Start		  starts[MAX_START_MARKS];
static int			  n_starts = 0;
static int			  next_mark = 0;
static List			 *troubles = NIL;
static TimestampTz	  slots_retry_at = 0;

/* starting workers --------------------------------------------------------- */

static Trouble *
FindTrouble(const char *pool)
{
	ListCell *cell;

	foreach (cell, troubles)
		if (strcmp(((Trouble *) lfirst(cell))->pool, pool) == 0)
			return lfirst(cell);
	return NULL;
}

/* Note that a worker of this pool failed to start, or ended with an error later. */
static void
NoteFailedStart(const char *pool)
{
	Trouble	   *trouble = FindTrouble(pool);
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
	/* no failure for a while: start to count again */
	if (now - trouble->not_before > MAX_START_DELAY)
		trouble->failures = 0;
	delay = Min(USECS_PER_SEC << Min(trouble->failures, 6), MAX_START_DELAY);
	trouble->failures++;
	trouble->not_before = now + delay;
	trouble->config_version = ConfigVersion();
	if (LogIsDue(psprintf("workers of pool %s fail", pool)))
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("workers of taskq pool \"%s\" fail, so fewer are started", pool),
				 errhint("The reason stands before this line; the role must exist, may need LOGIN, and must be allowed to connect.")));
}

/* Check which requested workers are up, and which have failed. */
static void
CheckStarts(void)
{
	int kept = 0;

	for (int i = 0; i < n_starts; i++)
	{
		Start		   *start = &starts[i];
		pid_t			pid;
		BgwHandleStatus status = GetBackgroundWorkerPid(start->handle, &pid);

		if (pg_atomic_read_u32(&db->start_marks[start->mark]) != 0)
			pfree(start->handle);
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

/* Check which pools have workers that ended with an error. */
static void
CheckFailures(void)
{
	char failed[MAX_FAILED_POOLS][TASKQ_NAME_MAX + 1];

	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	memcpy(failed, db->failed_pools, sizeof(failed));
	memset(db->failed_pools, 0, sizeof(db->failed_pools));
	LWLockRelease(&taskq_shared->lock);
	for (int i = 0; i < MAX_FAILED_POOLS; i++)
		if (failed[i][0] != '\0')
			NoteFailedStart(failed[i]);
}

/* Count the workers of a pool that are up or starting. */
static int
CountWorkers(const char *pool)
{
	int n = 0;

	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		TaskqSlot *slot = &taskq_slots[i];

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

/*
 * Count the workers that are up in any database or starting in this one.  With a
 * role, count only the workers of that role.
 */
static int
CountAllWorkers(Oid role)
{
	int n = 0;

	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		TaskqSlot *slot = &taskq_slots[i];

		LWLockAcquire(&slot->lock, LW_SHARED);
		if (slot->worker && (!OidIsValid(role) || slot->role == role))
			n++;
		LWLockRelease(&slot->lock);
	}
	for (int i = 0; i < n_starts; i++)
		if (!OidIsValid(role) || starts[i].role == role)
			n++;
	return n;
}

/* Log, once a minute, that a role has as many workers as it may have. */
static void
NoteShare(const TaskqPool *pool)
{
	if (!LogIsDue(psprintf("share of pool %s", pool->name)))
		return;
	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("taskq pool \"%s\" is given no more workers, as its role has its share", pool->name),
			 errdetail("The role's pools have %d workers, and taskq.role_share is %d percent.",
					   CountAllWorkers(pool->role), taskq_role_share),
			 errhint("You might need to increase \"max_worker_processes\".")));
}

/*
 * Note that max_worker_processes is used up.  Log it once a minute, and try again
 * in a second.
 */
static void
NoteMissingSlots(const char *pool)
{
	TimestampTz now = ClockNow();

	slots_retry_at = now + USECS_PER_SEC;
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	if (taskq_shared->slots_missing_since == 0)
		taskq_shared->slots_missing_since = now;
	LWLockRelease(&taskq_shared->lock);
	if (!LogIsDue("slots for workers"))
		return;
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

/* Ask the postmaster to start a worker. */
static bool
StartWorker(const TaskqPool *pool)
{
	BackgroundWorker worker;
	WorkerParams	 params = { 0 };
	Start			*start = &starts[n_starts];

	/* a restore may have changed this since the round began */
	if (n_starts == MAX_START_MARKS || !AdoptedHere())
		return false;
	params.dboid = MyDatabaseId;
	params.role = pool->role;
	params.start_mark = next_mark;
	strlcpy(params.pool, pool->name, sizeof(params.pool));
	pg_atomic_write_u32(&db->start_marks[next_mark], 0);

	ProcessDescribe(&worker, "taskq worker", CppAsString(taskq_worker_main));
	snprintf(worker.bgw_name, BGW_MAXLEN, "taskq worker: %s", pool->name);
	memcpy(worker.bgw_extra, &params, sizeof(params));
	start->handle = ProcessStart(&worker);
	if (start->handle == NULL)
	{
		NoteMissingSlots(pool->name);
		return false;
	}
	NoteSlotsAgain();
	SlotsTaken(db);
	start->mark = next_mark;
	strlcpy(start->pool, pool->name, sizeof(start->pool));
	start->role = pool->role;
	n_starts++;
	next_mark = (next_mark + 1) % MAX_START_MARKS;
	return true;
}

/* The result of a look at all pools. */
typedef struct StartState
{
	bool may_grow; /* a pool would start more workers if it had more jobs */
	bool busy;	   /* jobs are due for a pool */
	int	 lacking;  /* number of workers for which there is no slot */
} StartState;

/* Start the workers that a pool lacks; returns when to try again if that fails. */
static TimestampTz
StartForPool(const TaskqPool *pool, const DueRoutes *due_routes, StartState *state)
{
	Trouble *trouble;
	int		 have;
	int		 due;
	int		 want;

	if (pool->paused || pool->size == 0)
		return DT_NOEND;
	due = DueForPool(due_routes, pool);
	if (due > 0)
		state->busy = true;

	/* keep no idle workers while other databases have no slot at all */
	want = Max(SlotsAreShort() ? 0 : pool->min_size, due);
	if (want == 0 && state->may_grow)
		return DT_NOEND;
	have = CountWorkers(pool->name);
	if (have >= pool->size)
		return DT_NOEND;
	trouble = FindTrouble(pool->name);
	for (; have < want; have++)
	{
		if (trouble != NULL && ClockIsAhead(trouble->not_before, MAX_START_DELAY) && trouble->config_version == ConfigVersion())
			return trouble->not_before;
		if (!ClockIsAhead(slots_retry_at, USECS_PER_SEC) && !SlotsMayTake(db))
			NoteMissingSlots(pool->name);
		if (ClockIsAhead(slots_retry_at, USECS_PER_SEC))
		{
			state->lacking += want - have;
			return slots_retry_at;
		}
		if (CountAllWorkers(pool->role) >= PoolRoleShare(pool->role) && CountAllWorkers(InvalidOid) < PoolMostWorkers())
		{
			NoteShare(pool);
			return ClockNow() + USECS_PER_SEC;
		}
		if (CountAllWorkers(InvalidOid) >= PoolMostWorkers())
		{
			NoteMissingSlots(pool->name);
			state->lacking += want - have;
			return slots_retry_at;
		}
		if (!StartWorker(pool))
		{
			state->lacking += want - have;
			return ClockNow() + USECS_PER_SEC;
		}
	}
	if (have < pool->size)
		state->may_grow = true;
	return DT_NOEND;
}

/*
 * Start the workers that pools lack; returns when to try again if that fails.  A
 * worker that exceeds its pool's size notices that itself, and leaves.
 */
TimestampTz
StartWorkers(TaskqDatabase *database, const DueJobs *jobs, bool *busy)
{
	TimestampTz		  again = DT_NOEND;
	StartState		  state = { 0 };
	DueRoutes		  due_routes;
	int				  n;
	const TaskqPool **all = PoolsAll(&n);
	TaskqPool		 *pools = palloc(sizeof(TaskqPool) * (n + 1));

	for (int i = 0; i < n; i++)
		pools[i] = *all[i];
	db = database;
	CheckStarts();
	CheckFailures();
	DueRoutesFind(&jobs->routes, jobs->due, &due_routes);
	for (int i = 0; i < n; i++)
		again = Min(again, StartForPool(&pools[i], &due_routes, &state));
	pg_atomic_write_u32(&db->may_grow, state.may_grow ? 1 : 0);
	if (state.lacking > 0 || db->slots_wanted > 0)
		SlotsWant(db, state.lacking);
	*busy = state.busy || n_starts > 0;
	return again;
}

/* Is a requested worker not up yet? */
bool
WorkersArePending(void)
{
	return n_starts > 0;
}
