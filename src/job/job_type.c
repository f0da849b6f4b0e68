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

/*
 * The attributes of taskq.job, in order: X(name, type, how it is set, its value).
 */
#define JOB_TYPE_ATTRIBUTES(X)                                                   \
	X(job_id, INT8OID, SET, Int64GetDatum(job->job_id))                          \
	X(epoch, INT8OID, SET, Int64GetDatum(job->epoch))                            \
	X(task_type, TEXTOID, SET, CStringGetTextDatum(route->task_type))            \
	X(queue, TEXTOID, SET, CStringGetTextDatum(route->queue))                    \
	X(priority, INT4OID, SET, Int32GetDatum(job->priority))                      \
	X(attempt, INT4OID, SET, Int32GetDatum(job->attempt))                        \
	X(max_attempts, INT4OID, SET, Int32GetDatum(job->max_attempts))              \
	X(payload, JSONBOID, SET_POINTER, job->payload)                              \
	X(progress, JSONBOID, SET_POINTER, job->progress)                            \
	X(tags, TEXTARRAYOID, SET_POINTER, job->tags)                                \
	X(tenant_id, TEXTOID, SET_POINTER, job->tenant_id)                           \
	X(group_key, TEXTOID, SET_POINTER, job->group_key)                           \
	X(required_capabilities, TEXTARRAYOID, SET_POINTER, route->capabilities)     \
	X(timeout, INTERVALOID, SET_POINTER, job->timeout)                           \
	X(run_at, TIMESTAMPTZOID, SET, TimestampTzGetDatum(job->run_at))             \
	X(created_at, TIMESTAMPTZOID, SET, TimestampTzGetDatum(job->created_at))     \
	X(started_at, TIMESTAMPTZOID, SET_TIME_OR_NULL, job->started_at)             \
	X(lease_expires_at, TIMESTAMPTZOID, SET_TIME_OR_NULL, job->lease_expires_at) \
	X(worker_id, TEXTOID, SET_POINTER, job->worker_id)                           \
	X(checkpoint, JSONBOID, SET_POINTER, job->checkpoint)                        \
	X(correlation_id, TEXTOID, SET_POINTER, job->correlation_id)

#define ATTRIBUTE_TYPE(name, type, set, value) type,

static const Oid types[] = { JOB_TYPE_ATTRIBUTES(ATTRIBUTE_TYPE) };

static inline void
Set(Datum *values, bool *nulls, int i, Datum value, bool is_null)
{
	values[i] = value;
	nulls[i] = is_null;
}

#define SET(i, value) Set(values, nulls, i, value, false);
#define SET_POINTER(i, value) Set(values, nulls, i, PointerGetDatum(value), (value) == NULL);
#define SET_TIME_OR_NULL(i, value) Set(values, nulls, i, TimestampTzGetDatum(value), (value) == 0);
#define SET_NEXT(name, type, set, value) set(n++, value)

/* Form a job as callers and handlers see it. */
HeapTuple
JobTuple(const TaskqJob *job, TupleDesc desc)
{
	Datum			  values[lengthof(types)];
	bool			  nulls[lengthof(types)];
	int				  n = 0;
	const TaskqRoute *route = RouteById(job->route_id);

	CheckColumns(desc, lengthof(types), types);
	JOB_TYPE_ATTRIBUTES(SET_NEXT);
	Assert(n == lengthof(types));
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
