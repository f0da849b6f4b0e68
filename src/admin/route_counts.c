/*
 * route_counts.c
 *	  The number of live jobs of each route by state, for the view stat_queues.
 *
 * If shared memory has the counts of the routes (shared/counts.c), no row is counted
 * except those of jobs that are not due yet.  The counts do not say which jobs are due,
 * so these rows are read by the index, and so is the first due job of each route.  A route
 * without such jobs has no such rows.  Otherwise the rows are counted, also for a caller who may not see all jobs.
 */
#include "taskq.h"

#include "access/table.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/tuplestore.h"

#include "base/clock.h"
#include "base/rows.h"
#include "base/signature.h"
#include "claim/scan.h"
#include "job/live.h"
#include "job/tenants.h"
#include "shared/counts.h"
#include "shared/shmem.h"
#include "store/owner.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(taskq_route_counts);

/* The columns of route_counts(). */
static const Oid count_columns[] = { INT4OID, INT8OID, INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID };

/* What is counted of a route. */
typedef struct Depth
{
	int64		available;
	int64		scheduled;
	int64		retryable;
	int64		running;
	TimestampTz oldest; /* run_at of the first available job; DT_NOEND if there is none */
} Depth;

/* A job whose row says that it waits, while a background worker runs it. */
typedef struct HiddenRun
{
	int64 job_id;
	int32 route_id;
} HiddenRun;

typedef struct HiddenRuns
{
	HiddenRun *runs;
	int		   n;
} HiddenRuns;

/* jobs that run ------------------------------------------------------------- */

static void
FindHiddenRuns(HiddenRuns *hidden)
{
	int n = ShmemPresent() ? taskq_shared->n_slots : 0;

	hidden->runs = palloc(sizeof(HiddenRun) * (n + 1));
	hidden->n = 0;
	for (int i = 0; i < n; i++)
	{
		TaskqSlot *slot = &taskq_slots[i];
		int64	   job_id;
		TaskqJob   job;

		LWLockAcquire(&slot->lock, LW_SHARED);
		job_id = slot->worker && slot->dboid == MyDatabaseId ? slot->job_id : 0;
		LWLockRelease(&slot->lock);
		if (job_id != 0 && LiveFind(job_id, &job) && job.state != JOB_RUNNING)
			hidden->runs[hidden->n++] = (HiddenRun){ job_id, job.route_id };
	}
}

static bool
IsHiddenRun(const HiddenRuns *hidden, int64 job_id)
{
	for (int i = 0; i < hidden->n; i++)
		if (hidden->runs[i].job_id == job_id)
			return true;
	return false;
}

/* the index -------------------------------------------------------------------- */

/* Find the first due job that does not run.  The scan has found the first job of this priority. */
static void
FindOldest(JobScan *scan, ScanHint *hint, const HiddenRuns *hidden, TimestampTz now, Depth *depth)
{
	int16 priority = hint->key.priority;
	bool  found = true;

	while (found && IsHiddenRun(hidden, hint->key.job_id))
		found = ScanNext(scan, hint) && hint->key.priority == priority;
	if (found && hint->key.run_at <= now)
		depth->oldest = Min(depth->oldest, hint->key.run_at);
}

/* Read jobs of a route after a key: those of a lane, or with lane 0 those that are in none. */
static void
ScanAfter(JobScan *scan, int32 route_id, int64 lane, const JobKey *after)
{
	if (lane != 0)
		ScanKeyLane(scan, route_id, lane, after);
	else
		ScanRoute(scan, route_id, after);
}

/* Count the jobs of a priority that are not due. */
static void
CountNotDue(JobScan *scan, int32 route_id, int64 lane, int16 priority, const HiddenRuns *hidden, TimestampTz now, Depth *depth)
{
	JobKey	 after = { priority, now, PG_INT64_MAX };
	ScanHint hint;

	ScanAfter(scan, route_id, lane, &after);
	while (ScanNext(scan, &hint) && hint.key.priority == priority)
	{
		if (IsHiddenRun(hidden, hint.key.job_id))
			continue;
		if (JobStateOfRow(scan->slot) == JOB_RETRYABLE)
			depth->retryable++;
		else
			depth->scheduled++;
	}
}

/* Return the number of jobs whose rows say that they wait. */
static int64
CountOpen(const JobCounts *counts)
{
	return counts->n[COUNT_AT_ONCE] + counts->n[COUNT_LATER] + counts->n[COUNT_RETRYABLE];
}

/* Find in the index what the counts of a route do not tell. */
static void
ReadIndex(JobScan *scan, const RouteCounts *route, int64 lane, const HiddenRuns *hidden, TimestampTz now, Depth *depth)
{
	const JobCounts *counts = &route->counts;
	JobKey			 after = JOB_KEY_BEGIN;
	ScanHint		 hint;

	for (;;)
	{
		ScanAfter(scan, route->route_id, lane, &after);
		if (!ScanNext(scan, &hint))
			break;
		after = (JobKey){ hint.key.priority, DT_NOEND, PG_INT64_MAX };
		FindOldest(scan, &hint, hidden, now, depth);

		/* the clock may have been set back after a job was created */
		if (counts->n[COUNT_LATER] > 0 || counts->n[COUNT_RETRYABLE] > 0 || counts->newest > now)
			CountNotDue(scan, route->route_id, lane, after.priority, hidden, now, depth);
	}
	ScanRest(scan);
}

/* Do so in each lane of the route. */
static void
ReadLanes(JobScan *scan, const RouteCounts *route, const HiddenRuns *hidden, TimestampTz now, Depth *depth)
{
	int64	 lane = PG_INT64_MIN;
	ScanHint hint;

	for (;;)
	{
		ScanLanesAfter(scan, route->route_id, lane);
		if (!ScanNext(scan, &hint))
			break;
		lane = ScanLaneFound(scan);
		ReadIndex(scan, route, lane, hidden, now, depth);
	}
	ScanRest(scan);
}

/* route_counts() ------------------------------------------------------------------ */

/*
 * Set the numbers of a route.  The index is read a moment after the counts, so a number
 * could become negative.
 */
static void
SetDepth(const RouteCounts *route, const HiddenRuns *hidden, Depth *depth)
{
	int n_hidden = 0;

	for (int i = 0; i < hidden->n; i++)
		if (hidden->runs[i].route_id == route->route_id)
			n_hidden++;
	depth->running = Max(route->counts.n[COUNT_RUNNING], 0) + n_hidden;
	depth->available = Max(CountOpen(&route->counts) - depth->scheduled - depth->retryable - n_hidden, 0);
}

static void
PutDepth(ReturnSetInfo *result, int32 route_id, const Depth *depth, TimestampTz counted_at)
{
	Datum values[lengthof(count_columns)];
	bool  nulls[lengthof(count_columns)] = { false };

	values[0] = Int32GetDatum(route_id);
	values[1] = Int64GetDatum(depth->available);
	values[2] = Int64GetDatum(depth->scheduled);
	values[3] = Int64GetDatum(depth->retryable);
	values[4] = Int64GetDatum(depth->running);
	values[5] = TimestampTzGetDatum(depth->oldest);
	values[6] = TimestampTzGetDatum(counted_at);
	nulls[5] = depth->oldest == DT_NOEND;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Add a row without a route, which says since when the counts are kept. */
static void
PutCountedAt(ReturnSetInfo *result, TimestampTz counted_at)
{
	Datum values[lengthof(count_columns)] = { 0 };
	bool  nulls[lengthof(count_columns)] = { true, true, true, true, true, true, false };

	values[6] = TimestampTzGetDatum(counted_at);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
PutKept(ReturnSetInfo *result, HTAB *routes, TimestampTz counted_at)
{
	Relation		jobs = CatalogOpen(REL_JOBS, AccessShareLock);
	TimestampTz		now = ClockNow();
	HASH_SEQ_STATUS status;
	RouteCounts	   *route;
	HiddenRuns		hidden;
	JobScan			scan;
	JobScan			lanes;

	FindHiddenRuns(&hidden);
	ScanBegin(&scan, REL_JOBS_OPEN, jobs, 0);
	ScanBegin(&lanes, REL_JOBS_LANES, jobs, 0);
	hash_seq_init(&status, routes);
	while ((route = hash_seq_search(&status)) != NULL)
	{
		Depth depth = { .oldest = DT_NOEND };

		if (CountOpen(&route->counts) > 0)
		{
			ReadIndex(&scan, route, 0, &hidden, now, &depth);
			ReadLanes(&lanes, route, &hidden, now, &depth);
		}
		SetDepth(route, &hidden, &depth);
		PutDepth(result, route->route_id, &depth, counted_at);
	}
	ScanEnd(&scan);
	ScanEnd(&lanes);
	PutCountedAt(result, counted_at);
	table_close(jobs, AccessShareLock);
}

/* Count the rows of the tenants that the caller sees. */
static void
PutCounted(ReturnSetInfo *result, ArrayType *tenants)
{
	static const char *const query =
		"SELECT route_id, count(*) FILTER (WHERE state = 'available'), count(*) FILTER (WHERE state = 'scheduled'),"
		" count(*) FILTER (WHERE state = 'retryable'), count(*) FILTER (WHERE state = 'running'),"
		" min(run_at) FILTER (WHERE state = 'available'), NULL::timestamptz"
		" FROM (SELECT j.route_id, j.run_at,"
		"   CASE WHEN s.job_id IS NOT NULL THEN 'running' ELSE taskq.job_state(j.state, j.run_at) END AS state"
		"  FROM taskq.jobs j LEFT JOIN taskq.running_jobs() s USING (job_id)"
		"  WHERE $1 IS NULL OR j.tenant_id = ANY ($1)) live"
		" GROUP BY route_id";
	Oid		   types[] = { TEXTARRAYOID };
	Datum	   values[] = { PointerGetDatum(tenants) };
	OwnerScope scope;
	uint64	   n;

	OwnerEnterSpi(&scope);
	n = OwnerExecute(query, 1, types, values, tenants == NULL ? "n" : NULL);
	CheckSameColumns(result->setDesc, SPI_tuptable->tupdesc);
	for (uint64 i = 0; i < n; i++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[i]);
	OwnerLeaveSpi(&scope);
}

/* Read the counts, or return NULL if the rows must be counted. */
static HTAB *
ReadCounts(ArrayType *tenants, TimestampTz *counted_at)
{
	if (tenants != NULL || RecoveryInProgress())
		return NULL;
	return CountsRead(CatalogRel(REL_JOBS), counted_at);
}

/* SQL-callable route_counts(): the number of live jobs of each route by state. */
Datum
taskq_route_counts(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ArrayType	  *tenants;
	HTAB		  *routes;
	TimestampTz	   counted_at;

	CheckCall(fcinfo);
	BeginRows(fcinfo, lengthof(count_columns), count_columns);
	tenants = TenantsSeen(false);
	routes = ReadCounts(tenants, &counted_at);
	if (routes != NULL)
		PutKept(result, routes, counted_at);
	else
		PutCounted(result, tenants);
	return (Datum) 0;
}
