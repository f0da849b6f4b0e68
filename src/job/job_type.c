/*
 * job_type.c
 *	  A job as a value of the type taskq.job, as callers and handlers see it.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/typcache.h"

#include "base/rows.h"
#include "config/route.h"
#include "job/job.h"

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

/* A job as callers and handlers see it. */
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

/* The same as a value of the type as it is in this database now. */
Datum
JobDatum(const TaskqJob *job)
{
	TupleDesc desc = lookup_rowtype_tupdesc(CatalogJobType(), -1);
	HeapTuple tuple = JobTuple(job, desc);

	ReleaseTupleDesc(desc);
	return HeapTupleGetDatum(tuple);
}
