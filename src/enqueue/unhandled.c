/*
 * unhandled.c
 *	  Treat jobs whose task type is not registered as their queue's on_unhandled says.
 *
 * By default such jobs wait, and claims do not look at them.  With 'reject', they are
 * refused when they are enqueued.  With 'fail', they are discarded when they are
 * enqueued.  If the type is unregistered, or the queue's on_unhandled is changed, while
 * jobs wait, the scheduler discards them.  It locks the type (in shared mode) before
 * it looks at the registry, so it does not overlook a registration that has committed.
 */
#include "taskq.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "config/handler.h"
#include "config/route.h"
#include "enqueue/unhandled.h"
#include "job/attempt.h"
#include "job/fence.h"
#include "job/transition.h"
#include "store/owner.h"
#include "store/store.h"

#define MAX_DISCARD 500 /* jobs that are discarded in one transaction, of one route */
#define MAX_TYPES 200	/* routes that one transaction goes through */

void
RejectIfUnhandled(const TaskqQueue *queue, const char *task_type)
{
	if (queue->on_unhandled != UNHANDLED_REJECT || HandlerFind(task_type) != NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_TQ_NOT_REGISTERED),
			 errmsg("no handler registered for task type \"%s\"", task_type),
			 errdetail("Queue \"%s\" takes only registered types: %s.", queue->name, HandlerTypesText()),
			 errhint("Register the type with taskq.register_handler(), or use another queue.")));
}

/*
 * Discard a job as unhandled.  The caller is the extension's owner and has locked the
 * job's row, unless the job is new and has none.
 */
static void
Discard(Store *jobs, TaskqJob *job, const char *task_type)
{
	AttemptFailure failure = {
		.outcome = "unhandled",
		.error_type = ERROR_PERMANENT,
		.message = psprintf("no handler registered for task type \"%s\"; registered types: %s",
							task_type, HandlerTypesText()),
	};

	AssertOwner();
	Assert(job->state == JOB_NEW || job->state == JOB_AVAILABLE || job->state == JOB_RETRYABLE);
	job->epoch = EpochNext();
	job->attempt = 0;
	AttemptRecordFailure(job, &failure, ClockNow());
	job->failure = &failure;
	job->last_outcome = OUTCOME_FAILED;
	job->last_error = ErrorText(failure.message);
	JobEnd(jobs, job, JOB_DISCARDED, NULL);
	job->failure = NULL;
}

/* Return whether the route's queue discards unhandled jobs and the route's type is not registered. */
static bool
IsDiscarded(const TaskqRoute *route)
{
	return QueueById(route->queue_id)->on_unhandled == UNHANDLED_FAIL && HandlerFind(route->task_type) == NULL;
}

/*
 * Discard new jobs if they are unhandled and their queue discards such jobs.  They differ
 * from "job" in their ids and payloads.  Returns whether they were discarded.
 */
bool
DiscardIfUnhandled(Store *jobs, TaskqJob *job, const int64 *ids, const Datum *payloads, int n)
{
	const TaskqRoute *route = RouteById(job->route_id);
	char			 *task_type;

	if (!IsDiscarded(route))
		return false;
	task_type = pstrdup(route->task_type);
	for (int i = 0; i < n; i++)
	{
		TaskqJob discarded = *job;

		CHECK_FOR_INTERRUPTS();
		discarded.job_id = ids[i];
		discarded.payload = (struct varlena *) DatumGetPointer(payloads[i]);
		Discard(jobs, &discarded, task_type);
	}
	return true;
}

/* Discard the waiting jobs whose ids a query returns.  Returns their number. */
static int
DiscardFound(const char *query, int32 route_id, const char *task_type, int most)
{
	Oid			   types[] = { INT4OID, INT4OID };
	Datum		   values[] = { Int32GetDatum(route_id), Int32GetDatum(most) };
	OwnerScope	   scope;
	SPITupleTable *found;
	uint64		   n;

	OwnerEnterSpi(&scope);
	n = OwnerExecute(query, 2, types, values, NULL);
	found = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
	{
		bool	 isnull;
		int64	 job_id = DatumGetInt64(SPI_getbinval(found->vals[i], found->tupdesc, 1, &isnull));
		Store	 jobs;
		TaskqJob job;

		if (JobOpenAndLockWaiting(&jobs, job_id, &job) == STORE_LOCKED &&
			(job.state == JOB_AVAILABLE || job.state == JOB_RETRYABLE))
			Discard(&jobs, &job, task_type);
		StoreClose(&jobs, true);
	}
	OwnerLeaveSpi(&scope);
	return (int) n;
}

/*
 * Discard up to MAX_DISCARD waiting jobs of one route, in lanes or in none.  Returns the
 * number of jobs that were found.  Rows that others have locked are skipped, so that they
 * do not use up the limit.
 */
static int
DiscardWaiting(int32 route_id, const char *task_type)
{
	int n = DiscardFound("SELECT job_id FROM taskq.jobs WHERE route_id = $1 AND gate = 'o' LIMIT $2 FOR UPDATE SKIP LOCKED",
						 route_id, task_type, MAX_DISCARD);

	return n + DiscardFound("SELECT job_id FROM taskq.jobs WHERE route_id = $1 AND gate = 'l' LIMIT $2 FOR UPDATE SKIP LOCKED",
							route_id, task_type, MAX_DISCARD - n);
}

/*
 * Find the routes whose waiting jobs are to be discarded, and return their number.
 * They are copied, because looking at the registry can invalidate cached routes.
 */
static int
RoutesToDiscard(TaskqRoute **discard)
{
	int				   count;
	const TaskqRoute **all = RoutesAll(&count);
	TaskqRoute		  *routes = palloc(sizeof(TaskqRoute) * (count + 1));
	int				   n = 0;
	Snapshot		   snapshot = StoreSnapshot();
	Store			   jobs;

	StoreOpenRel(&jobs, REL_JOBS);
	for (int i = 0; i < count; i++)
	{
		const TaskqRoute *route = all[i];
		ScanKeyData		  key;

		if (!IsDiscarded(route))
			continue;
		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(route->route_id));
		if (StoreFind(&jobs, CatalogRel(REL_JOBS_OPEN), 1, &key, snapshot) ||
			StoreFind(&jobs, CatalogRel(REL_JOBS_LANES), 1, &key, snapshot))
			routes[n++] = *route;
	}
	StoreClose(&jobs, false);
	UnregisterSnapshot(snapshot);
	*discard = routes;
	return n;
}

/*
 * Discard jobs that have become unhandled while they waited.  The scheduler calls
 * this in a transaction of its own.  Returns whether there may be more such jobs.
 */
bool
UnhandledSweep(void)
{
	TaskqRoute *routes;
	int			n = RoutesToDiscard(&routes);
	bool		more = false;

	for (int i = 0; i < n && !more; i++)
	{
		if (!HandlerLockType(routes[i].task_type, false, false))
			continue;
		AcceptInvalidationMessages();
		if (IsDiscarded(&routes[i]))
			more = DiscardWaiting(routes[i].route_id, routes[i].task_type) == MAX_DISCARD;

		/* Stop after some routes, because the lock of each type is held until the commit. */
		more = more || i == MAX_TYPES;
	}
	pfree(routes);
	return more;
}
