/*
 * waiting_jobs.c
 *	  The number of waiting jobs of a route, and the oldest one, for the view
 *	  unroutable_jobs.
 *
 * If shared memory has the counts of the routes (shared/counts.c), it also knows a job
 * than which none is older.  If that job still waits, no other row is read.
 * Otherwise the waiting jobs of the route are read by the index, also for a
 * caller who may not see all jobs.
 */
#include "taskq.h"

#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/names.h"
#include "base/rows.h"
#include "base/signature.h"
#include "claim/scan.h"
#include "job/live.h"
#include "job/tenants.h"
#include "shared/counts.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(taskq_waiting_jobs);

/* The columns of waiting_jobs(). */
static const Oid waiting_columns[] = { INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID };

typedef struct Waiting
{
	int64		jobs;
	JobAge		oldest;		/* the oldest of them; created_at is DT_NOEND if there is none */
	TimestampTz counted_at; /* 0 if the rows were counted */
} Waiting;

/* Does the job in a row belong to one of these tenants?  NULL means all jobs. */
static bool
IsSeen(ArrayType *tenants, TupleTableSlot *slot)
{
	if (tenants == NULL)
		return true;
	slot_getsomeattrs(slot, Anum_jobs_tenant_id);
	return !SlotIsNull(slot, Anum_jobs_tenant_id) && NamesContain(tenants, SlotString(slot, Anum_jobs_tenant_id));
}

/* Add the rows of a scan that belong to these tenants. */
static void
AddRows(JobScan *scan, ArrayType *tenants, Waiting *waiting)
{
	ScanHint hint;

	while (ScanNext(scan, &hint))
	{
		JobAge age = { JobCreatedAtOfRow(scan->slot), hint.key.job_id };

		if (!IsSeen(tenants, scan->slot))
			continue;
		waiting->jobs++;
		waiting->oldest = CountsOlder(waiting->oldest, age);
	}
	ScanEnd(scan);
}

/* Read the rows of the waiting jobs of a route that belong to these tenants. */
static void
ReadRows(int32 route_id, ArrayType *tenants, Waiting *waiting)
{
	Relation jobs = CatalogOpen(REL_JOBS, AccessShareLock);
	JobKey	 after = JOB_KEY_BEGIN;
	JobScan	 scan;

	waiting->jobs = 0;
	waiting->oldest = (JobAge){ DT_NOEND, PG_INT64_MAX };
	ScanBegin(&scan, REL_JOBS_OPEN, jobs, 0);
	ScanRoute(&scan, route_id, &after);
	AddRows(&scan, tenants, waiting);
	ScanBegin(&scan, REL_JOBS_LANES, jobs, 0);
	ScanLanesAfter(&scan, route_id, PG_INT64_MIN);
	AddRows(&scan, tenants, waiting);
	table_close(jobs, AccessShareLock);
}

/* Does this job wait in this route? */
static bool
IsWaiting(int32 route_id, JobAge age)
{
	TaskqJob job;

	return age.created_at != DT_NOEND && LiveFind(age.job_id, &job) && job.state != JOB_RUNNING &&
		   job.route_id == route_id && job.created_at == age.created_at;
}

/*
 * Find the oldest waiting job of a route.  If the one that is known has ended, the rows
 * are read, and the result is noted for the next reader.  A transaction that has
 * changed jobs itself sees other jobs than that reader, so it notes nothing.
 */
static JobAge
FindOldest(int32 route_id, JobAge known)
{
	Oid		relid = CatalogRel(REL_JOBS);
	uint64	number;
	Waiting found;

	if (IsWaiting(route_id, known))
		return known;
	number = CountsChangedHere() || IsInParallelMode() ? 0 : CountsBeginSearch(relid, route_id);
	ReadRows(route_id, NULL, &found);
	CountsEndSearch(relid, route_id, number, found.oldest);
	return found.oldest;
}

/* Read the counts of shared memory.  Returns false if there are none. */
static bool
ReadCounts(int32 route_id, Waiting *waiting)
{
	JobCounts counts;

	if (RecoveryInProgress() || !CountsReadRoute(CatalogRel(REL_JOBS), route_id, &counts, &waiting->counted_at))
		return false;
	waiting->jobs = Max(counts.n[COUNT_AT_ONCE] + counts.n[COUNT_LATER] + counts.n[COUNT_RETRYABLE], 0);
	waiting->oldest = (JobAge){ DT_NOEND, PG_INT64_MAX };
	if (waiting->jobs > 0)
		waiting->oldest = FindOldest(route_id, counts.oldest);
	return true;
}

/* SQL-callable waiting_jobs(): the number of waiting jobs of a route, and when the oldest was enqueued. */
Datum
taskq_waiting_jobs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int32		   route_id;
	ArrayType	  *tenants;
	Waiting		   waiting = { 0 };
	Datum		   values[lengthof(waiting_columns)];
	bool		   nulls[lengthof(waiting_columns)] = { false };

	CheckCall(fcinfo);
	BeginRows(fcinfo, lengthof(waiting_columns), waiting_columns);
	route_id = ArgInt(fcinfo, 0, "route_id", PG_INT32_MIN, PG_INT32_MAX);
	tenants = TenantsSeen(false);
	if (tenants != NULL || !ReadCounts(route_id, &waiting))
	{
		ReadRows(route_id, tenants, &waiting);
		waiting.counted_at = 0;
	}
	values[0] = Int64GetDatum(waiting.jobs);
	values[1] = TimestampTzGetDatum(waiting.oldest.created_at);
	values[2] = TimestampTzGetDatum(waiting.counted_at);
	nulls[1] = waiting.oldest.created_at == DT_NOEND;
	nulls[2] = waiting.counted_at == 0;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return (Datum) 0;
}
