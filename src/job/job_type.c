/*
 * job_type.c
 *	  A job as a value of the type taskq.job, as callers and handlers see it.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/typcache.h"

#include "base/cost.h"
#include "base/rows.h"
#include "config/route.h"
#include "job/job.h"
#include "store/forming.h"

/*
 * The attributes of taskq.job, in order: X(t, name, type, how it is set, its value).
 */
#define JOB_TYPE_ATTRIBUTES(X, t)                                                   \
	X(t, job_id, INT8OID, SET, Int64GetDatum(job->job_id))                          \
	X(t, epoch, INT8OID, SET, Int64GetDatum(job->epoch))                            \
	X(t, task_type, TEXTOID, SET, CStringGetTextDatum(route->task_type))            \
	X(t, queue, TEXTOID, SET, CStringGetTextDatum(route->queue))                    \
	X(t, priority, INT4OID, SET, Int32GetDatum(job->priority))                      \
	X(t, attempt, INT4OID, SET, Int32GetDatum(job->attempt))                        \
	X(t, max_attempts, INT4OID, SET, Int32GetDatum(job->max_attempts))              \
	X(t, payload, JSONBOID, SET_POINTER, job->payload)                              \
	X(t, progress, JSONBOID, SET_POINTER, job->progress)                            \
	X(t, tags, TEXTARRAYOID, SET_POINTER, job->tags)                                \
	X(t, tenant_id, TEXTOID, SET_POINTER, job->tenant_id)                           \
	X(t, group_key, TEXTOID, SET_POINTER, job->group_key)                           \
	X(t, required_capabilities, TEXTARRAYOID, SET_POINTER, route->capabilities)     \
	X(t, timeout, INTERVALOID, SET_POINTER, job->timeout)                           \
	X(t, run_at, TIMESTAMPTZOID, SET, TimestampTzGetDatum(job->run_at))             \
	X(t, created_at, TIMESTAMPTZOID, SET, TimestampTzGetDatum(job->created_at))     \
	X(t, started_at, TIMESTAMPTZOID, SET_TIME_OR_NULL, job->started_at)             \
	X(t, lease_expires_at, TIMESTAMPTZOID, SET_TIME_OR_NULL, job->lease_expires_at) \
	X(t, worker_id, TEXTOID, SET_POINTER, job->worker_id)                           \
	X(t, checkpoint, JSONBOID, SET_POINTER, job->checkpoint)                        \
	X(t, correlation_id, TEXTOID, SET_POINTER, job->correlation_id)                 \
	X(t, weight, INT4OID, SET, Int32GetDatum(JobWeight(job)))                       \
	X(t, budgets, TEXTARRAYOID, SET_POINTER, route->budgets)                        \
	X(t, estimated_cost, NUMERICOID, SET_COST_OR_NULL, route->estimated_cost)

#define ATTRIBUTE_TYPE(t, name, type, set, value) type,
#define ATTRIBUTE_NUMBER(t, name, type, set, value) Anum_##t##_##name,

static const Oid types[] = { JOB_TYPE_ATTRIBUTES(ATTRIBUTE_TYPE, job_type) };

/* Anum_job_type_<attribute>, from 1 */
enum
{
	Anum_job_type_none,
	JOB_TYPE_ATTRIBUTES(ATTRIBUTE_NUMBER, job_type)
	Anum_job_type_end
};

FORM_FUNCTION(FormJobType, job_type, JOB_TYPE_ATTRIBUTES)

static inline void
Set(Datum *values, bool *nulls, int i, Datum value, bool is_null)
{
	values[i] = value;
	nulls[i] = is_null;
}

#define SET(i, value) Set(values, nulls, i, value, false);
#define SET_POINTER(i, value) Set(values, nulls, i, PointerGetDatum(value), (value) == NULL);
#define SET_TIME_OR_NULL(i, value) Set(values, nulls, i, TimestampTzGetDatum(value), (value) == 0);
#define SET_COST_OR_NULL(i, value) Set(values, nulls, i, (value) == 0 ? (Datum) 0 : CostDatum(value), (value) == 0);
#define SET_ATTRIBUTE(t, name, type, set, value) set(Anum_##t##_##name - 1, value)

static void
SetAttributes(const TaskqJob *job, TupleDesc desc, Datum *values, bool *nulls)
{
	const TaskqRoute *route = RouteById(job->route_id);

	CheckColumns(desc, lengthof(types), types);
	JOB_TYPE_ATTRIBUTES(SET_ATTRIBUTE, job_type);
}

/*
 * Form the row of a job for a function that returns rows of type taskq.job.  How its attributes
 * are stored follows from their types, so that FormJobType() need not look at the descriptor.
 */
HeapTuple
JobTuple(const TaskqJob *job, TupleDesc desc)
{
	Datum values[lengthof(types)];
	bool  nulls[lengthof(types)];

	SetAttributes(job, desc, values, nulls);
	return FormJobType(values, nulls);
}

/*
 * Form a job as a value of type taskq.job, as that is defined in this database now.  Only the
 * server knows the header of such a value.
 */
Datum
JobDatum(const TaskqJob *job)
{
	TupleDesc desc = lookup_rowtype_tupdesc(CatalogJobType(), -1);
	Datum	  values[lengthof(types)];
	bool	  nulls[lengthof(types)];
	HeapTuple tuple;

	SetAttributes(job, desc, values, nulls);
	tuple = heap_form_tuple(desc, values, nulls);
	ReleaseTupleDesc(desc);
	return HeapTupleGetDatum(tuple);
}
