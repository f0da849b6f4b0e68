/*
 * cancel_requests.c
 *	  Requests to cancel running jobs.
 *
 * A request is a row in a table of its own.  It cannot be a flag in the job's row,
 * because the process that runs the job has locked that row.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "job/cancel_requests.h"
#include "shared/shmem.h"
#include "shared/wake.h"
#include "store/owner.h"
#include "store/store.h"

/* Return the reason of the first request that has one. */
static char *
FirstReason(int64 job_id)
{
	Oid			  types[] = { INT8OID };
	Datum		  values[] = { Int64GetDatum(job_id) };
	MemoryContext context = CurrentMemoryContext;
	OwnerScope	  scope;
	char		 *reason = NULL;

	OwnerEnterSpi(&scope);
	if (OwnerExecute("SELECT reason FROM taskq.cancel_requests WHERE job_id = $1 AND reason IS NOT NULL"
					 " ORDER BY request_id LIMIT 1",
					 1, types, values, NULL) > 0)
		reason = MemoryContextStrdup(context, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	OwnerLeaveSpi(&scope);
	return reason;
}

/*
 * Are there certainly no requests?  Every claim asks this, and there is rarely any
 * request. Each request is counted after it is inserted.  When the scheduler finds
 * no request, committed or not, it stores the count at which it looked.
 */
static bool
NoRequests(void)
{
	TaskqDatabase *db = ShmemMyDatabase();

	return db != NULL && pg_atomic_read_u64(&db->cancels_none_at) == pg_atomic_read_u64(&db->cancels);
}

/* Return a number that changes with each request, or 0 if there is no request. */
uint64
CancelCount(void)
{
	TaskqDatabase *db = ShmemMyDatabase();

	return db == NULL || NoRequests() ? 0 : pg_atomic_read_u64(&db->cancels);
}

static void
CountRequest(void)
{
	TaskqDatabase *db = ShmemMyDatabase();

	if (db != NULL)
		pg_atomic_fetch_add_u64(&db->cancels, 1);
}

/*
 * Is there a request to cancel this job?  If the caller wants it, also return the
 * reason.  The current user is the owner.
 */
bool
CancelRequested(int64 job_id, char **reason)
{
	Store	 store;
	Snapshot snapshot;
	bool	 found;

	AssertOwner();
	if (NoRequests())
		return false;
	snapshot = StoreSnapshot();
	StoreOpenRel(&store, REL_CANCELS);
	found = StoreFindById(&store, CatalogRel(REL_CANCELS_JOB), job_id, snapshot);
	StoreClose(&store, false);
	UnregisterSnapshot(snapshot);
	if (found && reason != NULL)
		*reason = FirstReason(job_id);
	return found;
}

/* Is there any request at all?  Requests of open and prepared transactions count. */
bool
CancelAnyRequest(void)
{
	TaskqDatabase *db = ShmemMyDatabase();
	uint64		   count = db == NULL ? 0 : pg_atomic_read_u64(&db->cancels); /* read before the table */
	Store		   store;
	SnapshotData   dirty;
	bool		   found;

	InitDirtySnapshot(dirty);
	StoreOpenRel(&store, REL_CANCELS);
	found = StoreFind(&store, CatalogRel(REL_CANCELS_JOB), 0, NULL, &dirty);
	StoreClose(&store, false);
	if (!found && db != NULL)
		pg_atomic_write_u64(&db->cancels_none_at, count);
	else if (found && NoRequests())
		CountRequest(); /* the request was restored, so it was not counted */
	return found;
}

/*
 * Does an existing request already say what this one would?  A request of another
 * open transaction does not count, because that may roll back, and nobody waits for
 * it.  So sessions that ask at the same time each make a request, but repeated
 * calls do not.
 */
static bool
SaysEnough(int64 job_id, const char *reason)
{
	char	  *first = NULL;
	bool	   found;
	OwnerScope scope;

	OwnerEnter(&scope);
	found = CancelRequested(job_id, &first);
	OwnerLeave(&scope);
	return found && (first != NULL || reason == NULL);
}

/* Request that a job be cancelled, once.  Each call interrupts the run. */
void
CancelRequest(int64 job_id, const char *reason)
{
	Oid	  types[] = { INT8OID, TEXTOID, TIMESTAMPTZOID };
	Datum values[3];

	if (SaysEnough(job_id, reason))
	{
		WakeCancel(job_id);
		return;
	}
	values[0] = Int64GetDatum(job_id);
	values[1] = reason == NULL ? (Datum) 0 : CStringGetTextDatum(reason);
	values[2] = TimestampTzGetDatum(ClockNow());
	(void) OwnerRun("INSERT INTO taskq.cancel_requests (job_id, reason, requested_at) VALUES ($1, $2, $3)",
					3, types, values, reason == NULL ? " n " : NULL);
	CountRequest();
	WakeCancel(job_id);
}

/* Remove the requests of a job. */
static void
Forget(int64 job_id)
{
	Oid	  types[] = { INT8OID };
	Datum values[] = { Int64GetDatum(job_id) };

	(void) OwnerRun("DELETE FROM taskq.cancel_requests WHERE job_id = $1", 1, types, values, NULL);
}

/*
 * Observer of transitions: remove the requests that have cancelled a job, and those
 * that an earlier life of a job has left.  The sweep removes the requests of jobs
 * that end in another way.
 */
void
CancelObserve(const Transition *transition)
{
	const TaskqJob *job = transition->job;

	if ((job->state == JOB_CANCELLED || JobEnded(transition->from)) && CancelRequested(job->job_id, NULL))
		Forget(job->job_id);
}

/*
 * Remove the requests of a job, except those that another transaction has locked.
 * That transaction removes them, or the next sweep finds them again.
 */
void
CancelForgetFree(int64 job_id)
{
	Oid	  types[] = { INT8OID };
	Datum values[] = { Int64GetDatum(job_id) };

	(void) OwnerRun("DELETE FROM taskq.cancel_requests WHERE ctid = ANY (ARRAY("
					"SELECT ctid FROM taskq.cancel_requests WHERE job_id = $1 FOR UPDATE SKIP LOCKED))",
					1, types, values, NULL);
}
