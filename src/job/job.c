/*
 * job.c
 *	  A job in memory, and its three forms: live row, history row, and value of type
 *	  taskq.job.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/rows.h"
#include "config/route.h"
#include "job/job.h"
#include "ready/ready.h"

PG_FUNCTION_INFO_V1(taskq_job_state);

/* Columns of taskq.jobs, in order. */
enum
{
	JOBS_JOB_ID = 1,
	JOBS_RUN_AT,
	JOBS_CREATED_AT,
	JOBS_EPOCH,
	JOBS_ROUTE_ID,
	JOBS_ATTEMPT,
	JOBS_MAX_ATTEMPTS,
	JOBS_PRIORITY,
	JOBS_LIFE,
	JOBS_TERMINATIONS,
	JOBS_CRASHES,
	JOBS_GATE,
	JOBS_STATE,
	JOBS_GROUP_ID,
	JOBS_STARTED_AT,
	JOBS_LEASE_EXPIRES_AT,
	JOBS_PERMIT,
	JOBS_LAST_OUTCOME,
	JOBS_TIMEOUT,
	JOBS_LEASE,
	JOBS_WORKER_ID,
	JOBS_PAYLOAD,
	JOBS_PROGRESS,
	JOBS_TAGS,
	JOBS_TENANT_ID,
	JOBS_GROUP_KEY,
	JOBS_LAST_ERROR,
	JOBS_CHECKPOINT,
	JOBS_CORRELATION_ID,
	JOBS_CREATED_BY
};

/* Columns of taskq.job_history, in order. */
enum
{
	HIST_JOB_ID = 1,
	HIST_RUN_AT,
	HIST_CREATED_AT,
	HIST_EPOCH,
	HIST_FINISHED_AT,
	HIST_EXPIRES_ON,
	HIST_ROUTE_ID,
	HIST_ATTEMPT,
	HIST_MAX_ATTEMPTS,
	HIST_PRIORITY,
	HIST_LIFE,
	HIST_STATE,
	HIST_SUPERSEDED,
	HIST_GROUP_ID,
	HIST_STARTED_AT,
	HIST_LAST_OUTCOME,
	HIST_TIMEOUT,
	HIST_LEASE,
	HIST_WORKER_ID,
	HIST_HANDLER_VERSION,
	HIST_PAYLOAD,
	HIST_RESULT,
	HIST_PROGRESS,
	HIST_TAGS,
	HIST_TENANT_ID,
	HIST_GROUP_KEY,
	HIST_LAST_ERROR,
	HIST_CHECKPOINT,
	HIST_CORRELATION_ID,
	HIST_CREATED_BY
};

/* Attributes of the type taskq.job, in order. */
enum
{
	TYPE_JOB_ID = 1,
	TYPE_EPOCH,
	TYPE_TASK_TYPE,
	TYPE_QUEUE,
	TYPE_PRIORITY,
	TYPE_ATTEMPT,
	TYPE_MAX_ATTEMPTS,
	TYPE_PAYLOAD,
	TYPE_PROGRESS,
	TYPE_TAGS,
	TYPE_TENANT_ID,
	TYPE_GROUP_KEY,
	TYPE_REQUIRED_CAPABILITIES,
	TYPE_TIMEOUT,
	TYPE_RUN_AT,
	TYPE_CREATED_AT,
	TYPE_STARTED_AT,
	TYPE_LEASE_EXPIRES_AT,
	TYPE_WORKER_ID,
	TYPE_CHECKPOINT,
	TYPE_CORRELATION_ID,
	TYPE_COUNT = TYPE_CORRELATION_ID
};

/* The types of these attributes. */
static const Oid type_columns[TYPE_COUNT] = {
	INT8OID, INT8OID, TEXTOID, TEXTOID, INT4OID, INT4OID, INT4OID,
	JSONBOID, JSONBOID, TEXTARRAYOID, TEXTOID, TEXTOID, TEXTARRAYOID, INTERVALOID,
	TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, JSONBOID, TEXTOID
};

static int64
ReadTime(TupleTableSlot *slot, int attnum)
{
	return SlotIsNull(slot, attnum) ? 0 : DatumGetTimestampTz(SlotDatum(slot, attnum));
}

static void
WriteTime(TupleTableSlot *slot, int attnum, TimestampTz time)
{
	if (time != 0)
		SlotSet(slot, attnum, TimestampTzGetDatum(time));
	else
		SlotSetNull(slot, attnum);
}

static Oid
ReadOid(TupleTableSlot *slot, int attnum)
{
	return SlotIsNull(slot, attnum) ? InvalidOid : DatumGetObjectId(SlotDatum(slot, attnum));
}

static void
WriteOid(TupleTableSlot *slot, int attnum, Oid oid)
{
	if (OidIsValid(oid))
		SlotSet(slot, attnum, ObjectIdGetDatum(oid));
	else
		SlotSetNull(slot, attnum);
}

static char
ReadChar(TupleTableSlot *slot, int attnum)
{
	return SlotIsNull(slot, attnum) ? '\0' : DatumGetChar(SlotDatum(slot, attnum));
}

static void
WriteChar(TupleTableSlot *slot, int attnum, char value)
{
	if (value != '\0')
		SlotSet(slot, attnum, CharGetDatum(value));
	else
		SlotSetNull(slot, attnum);
}

static char
GateOfState(char state)
{
	switch (state)
	{
		case JOB_AVAILABLE:
		case JOB_RETRYABLE:
			return GATE_OPEN;
		case JOB_RUNNING:
			return GATE_RUNNING;
		case JOB_SUSPENDED:
			return GATE_SUSPENDED;
		case JOB_BLOCKED:
			return GATE_BLOCKED;
	}
	elog(ERROR, "a job in state \"%c\" has no live row", state);
}

int64
JobIdOfRow(TupleTableSlot *slot)
{
	slot_getsomeattrs(slot, JOBS_JOB_ID);
	return DatumGetInt64(SlotDatum(slot, JOBS_JOB_ID));
}

void
JobReadKey(JobKey *key, TupleTableSlot *slot)
{
	slot_getsomeattrs(slot, JOBS_PRIORITY);
	key->priority = DatumGetInt16(SlotDatum(slot, JOBS_PRIORITY));
	key->run_at = DatumGetTimestampTz(SlotDatum(slot, JOBS_RUN_AT));
	key->job_id = DatumGetInt64(SlotDatum(slot, JOBS_JOB_ID));
}

int32
JobRouteOfRow(TupleTableSlot *slot)
{
	slot_getsomeattrs(slot, JOBS_ROUTE_ID);
	return DatumGetInt32(SlotDatum(slot, JOBS_ROUTE_ID));
}

/* Does the job wait to be claimed? */
bool
JobIsOpen(TupleTableSlot *slot)
{
	slot_getsomeattrs(slot, JOBS_GATE);
	return ReadChar(slot, JOBS_GATE) == GATE_OPEN;
}

void
JobRead(TaskqJob *job, TupleTableSlot *slot)
{
	job->job_id = DatumGetInt64(SlotDatum(slot, JOBS_JOB_ID));
	job->group_id = SlotIsNull(slot, JOBS_GROUP_ID) ? 0 : DatumGetInt64(SlotDatum(slot, JOBS_GROUP_ID));
	job->run_at = ReadTime(slot, JOBS_RUN_AT);
	job->created_at = ReadTime(slot, JOBS_CREATED_AT);
	job->epoch = DatumGetInt64(SlotDatum(slot, JOBS_EPOCH));
	job->started_at = ReadTime(slot, JOBS_STARTED_AT);
	job->lease_expires_at = ReadTime(slot, JOBS_LEASE_EXPIRES_AT);
	job->route_id = DatumGetInt32(SlotDatum(slot, JOBS_ROUTE_ID));
	job->attempt = DatumGetInt32(SlotDatum(slot, JOBS_ATTEMPT));
	job->max_attempts = DatumGetInt32(SlotDatum(slot, JOBS_MAX_ATTEMPTS));
	job->permit = SlotIsNull(slot, JOBS_PERMIT) ? 0 : DatumGetInt32(SlotDatum(slot, JOBS_PERMIT));
	job->priority = DatumGetInt16(SlotDatum(slot, JOBS_PRIORITY));
	job->life = DatumGetInt16(SlotDatum(slot, JOBS_LIFE));
	job->terminations = DatumGetInt16(SlotDatum(slot, JOBS_TERMINATIONS));
	job->state = ReadChar(slot, JOBS_STATE);
	job->last_outcome = ReadChar(slot, JOBS_LAST_OUTCOME);
	job->timeout = SlotPointer(slot, JOBS_TIMEOUT);
	job->lease = SlotPointer(slot, JOBS_LEASE);
	job->worker_id = SlotPointer(slot, JOBS_WORKER_ID);
	job->payload = SlotPointer(slot, JOBS_PAYLOAD);
	job->progress = SlotPointer(slot, JOBS_PROGRESS);
	job->tags = SlotPointer(slot, JOBS_TAGS);
	job->tenant_id = SlotPointer(slot, JOBS_TENANT_ID);
	job->group_key = SlotPointer(slot, JOBS_GROUP_KEY);
	job->last_error = SlotPointer(slot, JOBS_LAST_ERROR);
	job->checkpoint = SlotPointer(slot, JOBS_CHECKPOINT);
	job->correlation_id = SlotPointer(slot, JOBS_CORRELATION_ID);
	job->created_by = ReadOid(slot, JOBS_CREATED_BY);
	job->failure = NULL;
	job->runs_here = false;
	job->handler_version = NULL;
	job->is_stored = false;
	job->crashes = DatumGetInt16(SlotDatum(slot, JOBS_CRASHES));
}

void
JobWrite(const TaskqJob *job, TupleTableSlot *slot)
{
	SlotSet(slot, JOBS_JOB_ID, Int64GetDatum(job->job_id));
	if (job->group_key != NULL)
		SlotSet(slot, JOBS_GROUP_ID, Int64GetDatum(job->group_id));
	SlotSet(slot, JOBS_RUN_AT, TimestampTzGetDatum(job->run_at));
	SlotSet(slot, JOBS_CREATED_AT, TimestampTzGetDatum(job->created_at));
	SlotSet(slot, JOBS_EPOCH, Int64GetDatum(job->epoch));
	WriteTime(slot, JOBS_STARTED_AT, job->started_at);
	WriteTime(slot, JOBS_LEASE_EXPIRES_AT, job->lease_expires_at);
	SlotSet(slot, JOBS_ROUTE_ID, Int32GetDatum(job->route_id));
	SlotSet(slot, JOBS_ATTEMPT, Int32GetDatum(job->attempt));
	SlotSet(slot, JOBS_MAX_ATTEMPTS, Int32GetDatum(job->max_attempts));
	if (job->permit != 0)
		SlotSet(slot, JOBS_PERMIT, Int32GetDatum(job->permit));
	SlotSet(slot, JOBS_PRIORITY, Int16GetDatum(job->priority));
	SlotSet(slot, JOBS_LIFE, Int16GetDatum(job->life));
	SlotSet(slot, JOBS_TERMINATIONS, Int16GetDatum(job->terminations));
	WriteChar(slot, JOBS_GATE, GateOfState(job->state));
	WriteChar(slot, JOBS_STATE, job->state);
	WriteChar(slot, JOBS_LAST_OUTCOME, job->last_outcome);
	SlotSetPointer(slot, JOBS_TIMEOUT, job->timeout);
	SlotSetPointer(slot, JOBS_LEASE, job->lease);
	SlotSetPointer(slot, JOBS_WORKER_ID, job->worker_id);
	SlotSetPointer(slot, JOBS_PAYLOAD, job->payload);
	SlotSetPointer(slot, JOBS_PROGRESS, job->progress);
	SlotSetPointer(slot, JOBS_TAGS, job->tags);
	SlotSetPointer(slot, JOBS_TENANT_ID, job->tenant_id);
	SlotSetPointer(slot, JOBS_GROUP_KEY, job->group_key);
	SlotSetPointer(slot, JOBS_LAST_ERROR, job->last_error);
	SlotSetPointer(slot, JOBS_CHECKPOINT, job->checkpoint);
	SlotSetPointer(slot, JOBS_CORRELATION_ID, job->correlation_id);
	WriteOid(slot, JOBS_CREATED_BY, job->created_by);
	SlotSet(slot, JOBS_CRASHES, Int16GetDatum(job->crashes));
}

void
JobReadEnded(TaskqJob *job, TaskqEnding *ending, TupleTableSlot *slot)
{
	memset(job, 0, sizeof(*job));
	job->job_id = DatumGetInt64(SlotDatum(slot, HIST_JOB_ID));
	job->group_id = SlotIsNull(slot, HIST_GROUP_ID) ? 0 : DatumGetInt64(SlotDatum(slot, HIST_GROUP_ID));
	job->run_at = ReadTime(slot, HIST_RUN_AT);
	job->created_at = ReadTime(slot, HIST_CREATED_AT);
	job->epoch = DatumGetInt64(SlotDatum(slot, HIST_EPOCH));
	job->started_at = ReadTime(slot, HIST_STARTED_AT);
	job->route_id = DatumGetInt32(SlotDatum(slot, HIST_ROUTE_ID));
	job->attempt = DatumGetInt32(SlotDatum(slot, HIST_ATTEMPT));
	job->max_attempts = DatumGetInt32(SlotDatum(slot, HIST_MAX_ATTEMPTS));
	job->priority = DatumGetInt16(SlotDatum(slot, HIST_PRIORITY));
	job->life = DatumGetInt16(SlotDatum(slot, HIST_LIFE));
	job->state = ReadChar(slot, HIST_STATE);
	job->last_outcome = ReadChar(slot, HIST_LAST_OUTCOME);
	job->timeout = SlotPointer(slot, HIST_TIMEOUT);
	job->lease = SlotPointer(slot, HIST_LEASE);
	job->worker_id = SlotPointer(slot, HIST_WORKER_ID);
	job->payload = SlotPointer(slot, HIST_PAYLOAD);
	job->progress = SlotPointer(slot, HIST_PROGRESS);
	job->tags = SlotPointer(slot, HIST_TAGS);
	job->tenant_id = SlotPointer(slot, HIST_TENANT_ID);
	job->group_key = SlotPointer(slot, HIST_GROUP_KEY);
	job->last_error = SlotPointer(slot, HIST_LAST_ERROR);
	job->checkpoint = SlotPointer(slot, HIST_CHECKPOINT);
	job->correlation_id = SlotPointer(slot, HIST_CORRELATION_ID);
	job->created_by = ReadOid(slot, HIST_CREATED_BY);

	ending->finished_at = ReadTime(slot, HIST_FINISHED_AT);
	ending->expires_on = DatumGetDateADT(SlotDatum(slot, HIST_EXPIRES_ON));
	ending->superseded = DatumGetBool(SlotDatum(slot, HIST_SUPERSEDED));
	ending->handler_version = SlotPointer(slot, HIST_HANDLER_VERSION);
	ending->result = SlotPointer(slot, HIST_RESULT);
}

void
JobWriteEnded(const TaskqJob *job, const TaskqEnding *ending, TupleTableSlot *slot)
{
	SlotSet(slot, HIST_JOB_ID, Int64GetDatum(job->job_id));
	if (job->group_key != NULL)
		SlotSet(slot, HIST_GROUP_ID, Int64GetDatum(job->group_id));
	SlotSet(slot, HIST_RUN_AT, TimestampTzGetDatum(job->run_at));
	SlotSet(slot, HIST_CREATED_AT, TimestampTzGetDatum(job->created_at));
	SlotSet(slot, HIST_EPOCH, Int64GetDatum(job->epoch));
	WriteTime(slot, HIST_STARTED_AT, job->started_at);
	SlotSet(slot, HIST_FINISHED_AT, TimestampTzGetDatum(ending->finished_at));
	SlotSet(slot, HIST_EXPIRES_ON, DateADTGetDatum(ending->expires_on));
	SlotSet(slot, HIST_ROUTE_ID, Int32GetDatum(job->route_id));
	SlotSet(slot, HIST_ATTEMPT, Int32GetDatum(job->attempt));
	SlotSet(slot, HIST_MAX_ATTEMPTS, Int32GetDatum(job->max_attempts));
	SlotSet(slot, HIST_PRIORITY, Int16GetDatum(job->priority));
	SlotSet(slot, HIST_LIFE, Int16GetDatum(job->life));
	WriteChar(slot, HIST_STATE, job->state);
	WriteChar(slot, HIST_LAST_OUTCOME, job->last_outcome);
	SlotSet(slot, HIST_SUPERSEDED, BoolGetDatum(ending->superseded));
	SlotSetPointer(slot, HIST_TIMEOUT, job->timeout);
	SlotSetPointer(slot, HIST_LEASE, job->lease);
	SlotSetPointer(slot, HIST_WORKER_ID, job->worker_id);
	SlotSetPointer(slot, HIST_HANDLER_VERSION, ending->handler_version);
	SlotSetPointer(slot, HIST_PAYLOAD, job->payload);
	SlotSetPointer(slot, HIST_RESULT, ending->result);
	SlotSetPointer(slot, HIST_PROGRESS, job->progress);
	SlotSetPointer(slot, HIST_TAGS, job->tags);
	SlotSetPointer(slot, HIST_TENANT_ID, job->tenant_id);
	SlotSetPointer(slot, HIST_GROUP_KEY, job->group_key);
	SlotSetPointer(slot, HIST_LAST_ERROR, job->last_error);
	SlotSetPointer(slot, HIST_CHECKPOINT, job->checkpoint);
	SlotSetPointer(slot, HIST_CORRELATION_ID, job->correlation_id);
	WriteOid(slot, HIST_CREATED_BY, job->created_by);
}

static void
SetAttribute(Datum *values, bool *nulls, int attnum, Datum value)
{
	values[attnum - 1] = value;
	nulls[attnum - 1] = false;
}

static void
SetAttributePointer(Datum *values, bool *nulls, int attnum, void *value)
{
	values[attnum - 1] = PointerGetDatum(value);
	nulls[attnum - 1] = value == NULL;
}

/* Form a job as callers and handlers see it. */
HeapTuple
JobTuple(const TaskqJob *job, TupleDesc desc)
{
	Datum			  values[TYPE_COUNT] = { 0 };
	bool			  nulls[TYPE_COUNT];
	const TaskqRoute *route = RouteById(job->route_id);

	CheckColumns(desc, TYPE_COUNT, type_columns);
	memset(nulls, true, sizeof(nulls));
	SetAttribute(values, nulls, TYPE_JOB_ID, Int64GetDatum(job->job_id));
	SetAttribute(values, nulls, TYPE_EPOCH, Int64GetDatum(job->epoch));
	SetAttribute(values, nulls, TYPE_TASK_TYPE, CStringGetTextDatum(route->task_type));
	SetAttribute(values, nulls, TYPE_QUEUE, CStringGetTextDatum(route->queue));
	SetAttribute(values, nulls, TYPE_PRIORITY, Int32GetDatum(job->priority));
	SetAttribute(values, nulls, TYPE_ATTEMPT, Int32GetDatum(job->attempt));
	SetAttribute(values, nulls, TYPE_MAX_ATTEMPTS, Int32GetDatum(job->max_attempts));
	SetAttributePointer(values, nulls, TYPE_PAYLOAD, job->payload);
	SetAttributePointer(values, nulls, TYPE_PROGRESS, job->progress);
	SetAttributePointer(values, nulls, TYPE_TAGS, job->tags);
	SetAttributePointer(values, nulls, TYPE_TENANT_ID, job->tenant_id);
	SetAttributePointer(values, nulls, TYPE_GROUP_KEY, job->group_key);
	SetAttributePointer(values, nulls, TYPE_REQUIRED_CAPABILITIES, route->capabilities);
	SetAttributePointer(values, nulls, TYPE_TIMEOUT, job->timeout);
	SetAttribute(values, nulls, TYPE_RUN_AT, TimestampTzGetDatum(job->run_at));
	SetAttribute(values, nulls, TYPE_CREATED_AT, TimestampTzGetDatum(job->created_at));
	if (job->started_at != 0)
		SetAttribute(values, nulls, TYPE_STARTED_AT, TimestampTzGetDatum(job->started_at));
	if (job->lease_expires_at != 0)
		SetAttribute(values, nulls, TYPE_LEASE_EXPIRES_AT, TimestampTzGetDatum(job->lease_expires_at));
	SetAttributePointer(values, nulls, TYPE_WORKER_ID, job->worker_id);
	SetAttributePointer(values, nulls, TYPE_CHECKPOINT, job->checkpoint);
	SetAttributePointer(values, nulls, TYPE_CORRELATION_ID, job->correlation_id);
	return heap_form_tuple(desc, values, nulls);
}

/* Form a job as a value of type taskq.job, as that is defined in this database now. */
Datum
JobDatum(const TaskqJob *job)
{
	TupleDesc desc = lookup_rowtype_tupdesc(CatalogJobType(), -1);
	HeapTuple tuple = JobTuple(job, desc);

	ReleaseTupleDesc(desc);
	return HeapTupleGetDatum(tuple);
}

/* Is the row of a job in this state in the history? */
bool
JobEnded(char state)
{
	return state == JOB_COMPLETED || state == JOB_DISCARDED ||
		   state == JOB_CANCELLED || state == JOB_QUARANTINED;
}

/* Return the name of a state.  A job that waits is named by whether it is due, too. */
const char *
StateName(char state, TimestampTz run_at)
{
	switch (state)
	{
		case JOB_NEW:
			return "new";
		case JOB_AVAILABLE:
			return run_at > ClockNow() ? "scheduled" : "available";
		case JOB_RETRYABLE:
			return run_at > ClockNow() ? "retryable" : "available";
		case JOB_RUNNING:
			return "running";
		case JOB_SUSPENDED:
			return "suspended";
		case JOB_BLOCKED:
			return "blocked";
		case JOB_COMPLETED:
			return "completed";
		case JOB_DISCARDED:
			return "discarded";
		case JOB_CANCELLED:
			return "cancelled";
		case JOB_QUARANTINED:
			return "quarantined";
	}
	return "unknown";
}

const char *
JobStateName(const TaskqJob *job)
{
	return StateName(job->state, job->run_at);
}

/* SQL-callable: the name of the state of a stored job. */
Datum
taskq_job_state(PG_FUNCTION_ARGS)
{
	CheckArgCount(fcinfo, 2);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(StateName(PG_GETARG_CHAR(0), PG_GETARG_TIMESTAMPTZ(1))));
}

/*
 * Lock a row and read the job.  While a waiting job is locked, claims pass over it,
 * so it is put back on the ready list at the end of the transaction.
 */
StoreLockResult
JobLock(Store *jobs, ItemPointer tid, bool follow, TaskqJob *job)
{
	StoreLockResult result = StoreLock(jobs, tid, SnapshotSelf, false, follow);

	if (result != STORE_LOCKED)
		return result;
	JobRead(job, jobs->found);
	if (JobIsOpen(jobs->found))
	{
		ReadyHint hint = { { job->run_at, job->job_id }, jobs->found->tts_tid };

		ReadyHeld(job->route_id, job->priority, &hint, 1);
	}
	return STORE_LOCKED;
}

static StoreLockResult
OpenAndLock(Store *jobs, int64 job_id, TaskqJob *job, bool running)
{
	Snapshot		snapshot = StoreSnapshot();
	StoreLockResult result = STORE_GONE;

	StoreOpenRel(jobs, REL_JOBS);
	if (StoreFindById(jobs, CatalogRel(REL_JOBS_PKEY), job_id, snapshot))
	{
		ItemPointerData tid = jobs->found->tts_tid;

		JobRead(job, jobs->found);
		if (job->state == JOB_RUNNING && !running)
			result = STORE_BUSY;
		else
			result = JobLock(jobs, &tid, true, job);
	}
	UnregisterSnapshot(snapshot);
	return result;
}

/*
 * Open the table of live jobs and lock one row, without waiting if another
 * transaction has locked it.  Returns STORE_GONE if the row does not exist.  The
 * table is open afterwards in any case. The current user is the owner.
 */
StoreLockResult
JobOpenAndLock(Store *jobs, int64 job_id, TaskqJob *job)
{
	return OpenAndLock(jobs, job_id, job, true);
}

/*
 * Like JobOpenAndLock(), but only for a waiting job.  For a running job this
 * returns STORE_BUSY, as for a locked row.  If it locked that row until the end of
 * the caller's transaction, the job's heartbeats and its settle would have to wait
 * for it.
 */
StoreLockResult
JobOpenAndLockWaiting(Store *jobs, int64 job_id, TaskqJob *job)
{
	return OpenAndLock(jobs, job_id, job, false);
}

static void
Keep(struct varlena **value)
{
	if (*value != NULL)
		*value = PG_DETOAST_DATUM_COPY(PointerGetDatum(*value));
}

static void
KeepInterval(Interval **value)
{
	Interval *copy;

	if (*value == NULL)
		return;
	copy = palloc(sizeof(Interval));
	*copy = **value;
	*value = copy;
}

/*
 * Copy the values of a job out of its row, so that they outlive the row and its
 * transaction.
 */
void
JobKeep(TaskqJob *job)
{
	KeepInterval(&job->timeout);
	KeepInterval(&job->lease);
	Keep(&job->worker_id);
	Keep(&job->payload);
	Keep(&job->progress);
	Keep(&job->tags);
	Keep(&job->tenant_id);
	Keep(&job->group_key);
	Keep(&job->last_error);
	Keep(&job->checkpoint);
	Keep(&job->correlation_id);
}
