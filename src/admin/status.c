/*
 * status.c
 *	  Show the runs and background workers of this server, and the status of taskq.
 */
#include "taskq.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "admin/budget_states.h"
#include "admin/held.h"
#include "admin/horizon.h"
#include "admin/never_start.h"
#include "base/clock.h"
#include "base/guc.h"
#include "base/rows.h"
#include "base/signature.h"
#include "config/adopt.h"
#include "config/reason.h"
#include "job/tenants.h"
#include "process/work.h"
#include "ready/key_lane.h"
#include "ready/ready.h"
#include "shared/shmem.h"
#include "shared/counts.h"
#include "shared/stats.h"
#include "store/catalog.h"

PG_FUNCTION_INFO_V1(taskq_running_jobs);
PG_FUNCTION_INFO_V1(taskq_background_workers);
PG_FUNCTION_INFO_V1(taskq_status);
PG_FUNCTION_INFO_V1(taskq_scheduler_pid);

/* workers ------------------------------------------------------------------ */

/* Copy a slot.  Returns false if it has no worker of this database. */
static bool
CopyWorker(int i, TaskqSlot *copy)
{
	TaskqSlot *slot = &taskq_slots[i];
	bool	   ours;

	LWLockAcquire(&slot->lock, LW_SHARED);
	ours = slot->worker && slot->dboid == MyDatabaseId;
	if (ours)
		memcpy(copy, slot, sizeof(TaskqSlot));
	LWLockRelease(&slot->lock);
	return ours;
}

/* The columns of running_jobs(). */
static const Oid running_columns[] = { INT8OID, INT8OID, INT4OID, TEXTOID, TIMESTAMPTZOID, INT4OID };

Datum
taskq_running_jobs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TaskqSlot	  *slot = palloc(sizeof(TaskqSlot));
	ArrayType	  *tenants = TenantsSeen(false);

	CheckCall(fcinfo);
	BeginRows(fcinfo, lengthof(running_columns), running_columns);
	for (int i = 0; ShmemPresent() && i < taskq_shared->n_slots; i++)
	{
		Datum values[6];
		bool  nulls[6] = { false };

		if (!CopyWorker(i, slot) || slot->job_id == 0 || !TenantsSeeRunning(tenants, slot->job_id))
			continue;
		values[0] = Int64GetDatum(slot->job_id);
		values[1] = Int64GetDatum(slot->epoch);
		values[2] = Int32GetDatum(slot->attempt);
		values[3] = CStringGetTextDatum(slot->worker_id);
		values[4] = TimestampTzGetDatum(slot->job_started_at);
		values[5] = Int32GetDatum(slot->pid);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* The columns of background_workers(). */
static const Oid worker_columns[] = { TEXTOID, TEXTOID, INT4OID, TEXTOID, INT8OID, TEXTOID, TIMESTAMPTZOID, INT8OID, INT8OID };

static const char *
StateOfWorker(const TaskqSlot *slot)
{
	if (slot->job_id != 0 && slot->stuck)
		return "stuck";
	if (slot->leave)
		return "draining";
	return slot->job_id != 0 ? "running" : "idle";
}

Datum
taskq_background_workers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TaskqSlot	  *slot = palloc(sizeof(TaskqSlot));
	ArrayType	  *tenants = TenantsSeen(false);

	CheckCall(fcinfo);
	BeginRows(fcinfo, lengthof(worker_columns), worker_columns);
	for (int i = 0; ShmemPresent() && i < taskq_shared->n_slots; i++)
	{
		Datum values[9];
		bool  nulls[9] = { false };
		bool  running;

		if (!CopyWorker(i, slot))
			continue;
		running = slot->job_id != 0;
		values[0] = CStringGetTextDatum(slot->worker_id);
		values[1] = CStringGetTextDatum(slot->pool);
		values[2] = Int32GetDatum(slot->pid);
		values[3] = CStringGetTextDatum(StateOfWorker(slot));
		values[4] = Int64GetDatum(slot->job_id);
		values[5] = CStringGetTextDatum(running ? slot->task_type : "");
		values[6] = TimestampTzGetDatum(slot->started_at);
		values[7] = Int64GetDatum((int64) slot->completed);
		values[8] = Int64GetDatum((int64) slot->failed);
		nulls[4] = nulls[5] = !running || !TenantsSeeRunning(tenants, slot->job_id);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

Datum
taskq_scheduler_pid(PG_FUNCTION_ARGS)
{
	TaskqDatabase *db = ShmemMyDatabase();

	CheckCall(fcinfo);
	if (db == NULL || db->scheduler_pid == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(db->scheduler_pid);
}

/* status ------------------------------------------------------------------- */

/* The columns of status(). */
static const Oid status_columns[] = { TEXTOID, TEXTOID, TEXTOID, TEXTOID };

/* Add a row that says why jobs wait, with the code of the reason, or REASON_NONE. */
static void
SayWhy(ReturnSetInfo *result, const char *name, const char *value, const char *hint, ReasonCode code)
{
	Datum values[4] = { 0 };
	bool  nulls[4] = { false, false, hint == NULL, code == REASON_NONE };

	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(value);
	if (hint != NULL)
		values[2] = CStringGetTextDatum(hint);
	if (code != REASON_NONE)
		values[3] = CStringGetTextDatum(ReasonName(code));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
Say(ReturnSetInfo *result, const char *name, const char *value, const char *hint)
{
	SayWhy(result, name, value, hint, REASON_NONE);
}

/* Report the scheduler of this database and, if it does not run, why. */
static void
SayOfScheduler(ReturnSetInfo *result, const TaskqDatabase *db)
{
	const char *state = "not running";
	const char *hint = "It starts within a second or two; the server log says if it cannot.";

	if (db != NULL && db->scheduler_pid != 0)
	{
		state = psprintf("running, pid %d", db->scheduler_pid);
		hint = NULL;
	}
	else if (db != NULL && db->waits_since != 0)
	{
		state = "waits for a slot";
		hint = "Databases with work take turns. Raise max_worker_processes and restart the server.";
	}
	else if (db != NULL && db->rests && taskq_enabled)
	{
		state = "rests, as there is no work";
		hint = "Slots of max_worker_processes are short; it starts again when there is work, and every few minutes.";
	}
	else if (!taskq_enabled)
		hint = "taskq.enabled is off.";
	else if (db != NULL && db->blocked > 0)
		hint = "A statement that drops, copies, renames or moves the database or the extension is under way.";
	else if (RecoveryInProgress())
		hint = "It starts when this standby is promoted.";
	Say(result, "scheduler", state, hint);
}

/* The process that does long work beside the scheduler. */
static void
SayOfHelper(ReturnSetInfo *result, const TaskqDatabase *db)
{
	int pid = 0;
	int does = -1;

	if (db != NULL)
	{
		LWLockAcquire(&taskq_shared->lock, LW_SHARED);
		pid = db->helper_pid;
		does = db->helper_does;
		LWLockRelease(&taskq_shared->lock);
	}
	if (pid != 0 && does >= 0)
		Say(result, "helper", psprintf("running, pid %d: %s", pid, work_table[does].name), NULL);
	else if (pid != 0)
		Say(result, "helper", psprintf("running, pid %d", pid), NULL);
	else if (db != NULL && db->scheduler_pid != 0 && db->helper_lacks)
		Say(result, "helper", "not running, as no slot is free",
			"The scheduler does its work. Raise max_worker_processes and restart the server.");
	else
		Say(result, "helper", "not needed", NULL);
}

static void
SayOfProcesses(ReturnSetInfo *result)
{
	TaskqSlot *slot = palloc(sizeof(TaskqSlot));
	int		   workers = 0;
	int		   running = 0;
	int		   stuck = 0;
	bool	   missing = taskq_shared->slots_missing_since != 0;

	for (int i = 0; i < taskq_shared->n_slots; i++)
		if (CopyWorker(i, slot))
		{
			workers++;
			running += slot->job_id != 0;
			stuck += slot->job_id != 0 && slot->stuck;
		}
	if (taskq_shared->launcher_pid != 0)
		Say(result, "launcher", psprintf("running, pid %d", taskq_shared->launcher_pid), NULL);
	else
		Say(result, "launcher", "not running",
			RecoveryInProgress() ? "It starts when this standby is promoted." : "The server log says why.");
	SayOfScheduler(result, ShmemMyDatabase());
	SayOfHelper(result, ShmemMyDatabase());
	if (stuck == 0)
		Say(result, "background workers", psprintf("%d, of which %d run a job", workers, running), NULL);
	else
		Say(result, "background workers",
			psprintf("%d, of which %d run a job, and %d are stuck in theirs", workers, running, stuck),
			"The server log names the handlers that cannot be interrupted.");
	if (StatsIsFull())
		Say(result, "statistics of handlers", psprintf("full, %d task types", taskq_max_handler_statistics),
			"Other types are not counted. Raise taskq.max_handler_statistics and restart the server.");
	if (CountsState().full)
		Say(result, "counts of jobs", psprintf("full, %d routes", taskq_max_route_counts),
			"stat_queues and unroutable_jobs count rows. Raise taskq.max_route_counts and restart the server.");
	SayWhy(result, "background worker slots", missing ? "exhausted" : "available",
		   missing ? "Raise max_worker_processes and restart the server." : NULL, missing ? REASON_NO_SLOT_FREE : REASON_NONE);
}

/* Report the ready list of all databases.  It is full if its blocks or its lanes are used up. */
static void
SayOfReadyList(ReturnSetInfo *result)
{
	ReadyUsage usage;
	bool	   full;

	if (!ReadyPresent())
	{
		Say(result, "ready list", "off", "Claims read the index from its head. Set taskq.ready_list_size and restart the server.");
		return;
	}
	ReadyCountUsage(&usage);
	full = usage.blocks == usage.max_blocks || usage.lanes == usage.max_lanes;
	Say(result, "ready list", psprintf("%d jobs of %d routes in %d of %d blocks, %d of %d lanes%s", usage.hints, usage.routes, usage.blocks, usage.max_blocks, usage.lanes, usage.max_lanes, full ? ": full" : ""),
		full ? "Some claims read the index from its head. Raise taskq.ready_list_size and restart the server." : NULL);
}

/* Report the lanes of all databases. */
static void
SayOfLanes(ReturnSetInfo *result)
{
	LaneUsage usage;
	bool	  full;

	KeyLanesUsage(&usage);
	if (usage.lanes == 0)
		return;
	full = usage.lanes == usage.max_lanes;
	Say(result, "lanes", psprintf("%d of %d, %d of them wait for a limit%s", usage.lanes, usage.max_lanes, usage.waiting, full ? ": full" : ""),
		full ? "Claims read the index of some routes, lane by lane. Raise taskq.max_lanes and restart the server." : NULL);
}

static void
SayOfDatabase(ReturnSetInfo *result)
{
	Definitions definitions = CatalogDefinitions();
	bool		adopted = definitions == DEFINITIONS_MATCH && AdoptedHere();
	const char *definition;
	const char *missing;

	if (definitions != DEFINITIONS_MATCH)
		Say(result, "definitions", definitions == DEFINITIONS_OLDER ? "older than the library" : "newer than the library",
			CatalogDefinitionsHint());
	else
		SayWhy(result, "adopted", adopted ? "yes" : "no",
			   adopted ? NULL : "This database was restored, copied or renamed; call taskq.adopt_database() if its jobs are to run here.",
			   adopted ? REASON_NONE : REASON_NOT_ADOPTED);
	missing = CatalogMissingIndex(&definition);
	if (missing != NULL)
		Say(result, "indexes", psprintf("%s is missing", missing), psprintf("Run %s;", definition));
}

/* SQL-callable status(): one row for each fact, with a hint where something is wrong. */
Datum
taskq_status(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	char		  *holder;

	CheckCall(fcinfo);
	BeginRows(fcinfo, lengthof(status_columns), status_columns);
	Say(result, "version", TASKQ_VERSION, NULL);
	SayWhy(result, "preloaded", ShmemPresent() ? "yes" : "no",
		   ShmemPresent() ? NULL : "Put shared_preload_libraries = 'taskq' into postgresql.conf and restart the server: without it there is no pool and no scheduler; enqueue, claim and settle work.",
		   ShmemPresent() ? REASON_NONE : REASON_NO_POOL_RUNS);
	SayWhy(result, "enabled", taskq_enabled ? "yes" : "no",
		   taskq_enabled ? NULL : "Set taskq.enabled = on and reload the configuration.",
		   taskq_enabled ? REASON_NONE : REASON_NO_POOL_RUNS);
	Say(result, "server", RecoveryInProgress() ? "standby" : "primary",
		RecoveryInProgress() ? "No job is enqueued, claimed or run on a standby." : NULL);
	SayOfDatabase(result);
	if (ShmemPresent())
		SayOfProcesses(result);
	if (ShmemPresent())
		SayOfReadyList(result);
	SayOfLanes(result);
	if (ShmemPresent() && CatalogMatches() && TenantsSeen(true) == NULL)
		BudgetsTell(result->setResult, result->setDesc);
	holder = RecoveryInProgress() ? NULL : HorizonHolder();
	Say(result, "oldest snapshot", holder == NULL ? "less than a minute old" : holder,
		holder == NULL ? NULL : "While it is held, rows of finished jobs cannot be removed, so the tables grow.");
	if (!CatalogMatches() || CatalogMissingIndex(NULL) != NULL)
		return (Datum) 0;
	if (HeldTell(result->setResult, result->setDesc, TenantsSeen(true)))
		NeverStartTell(result->setResult, result->setDesc, TenantsSeen(true));
	else
		Say(result, "waiting jobs", "not counted", "Somebody has locked one of taskq's tables; pg_locks shows who.");
	return (Datum) 0;
}
