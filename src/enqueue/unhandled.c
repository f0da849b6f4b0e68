/*
 * unhandled.c
 *	  Jobs whose task type nobody has registered: what their queue's
 *	  on_unhandled says.
 *
 * By default they wait and cost nobody anything.  'reject' refuses them at
 * enqueue.  'fail' discards them, at enqueue or, when the type is unregistered
 * or the queue's choice changes while jobs wait, by the scheduler.  Whoever
 * discards holds the type's lock shared, so that a registration which has
 * committed is never overlooked.
 */
#include "taskq.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
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

#define MAX_DISCARD 500 /* jobs in one transaction */
#define MAX_TYPES 200	/* and types */

void
RejectIfUnhandled(const TaskqQueue *queue, const char *task_type)
{
	if (queue->on_unhandled != UNHANDLED_REJECT || HandlerFind(task_type) != NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_TQ_NOT_REGISTERED),
			 errmsg("No handler registered for task type \"%s\"", task_type),
			 errdetail("Queue \"%s\" takes only registered types: %s.", queue->name, HandlerTypesText()),
			 errhint("Register the type with taskq.register_handler(), or use another queue.")));
}

/* End a job as unhandled.  The caller is the owner and has its row, if any. */
static void
Discard(Store *jobs, TaskqJob *job, const char *task_type)
{
	AttemptFailure failure = {
		.outcome = "unhandled",
		.error_type = ERROR_PERMANENT,
		.message = psprintf("No handler registered for task type \"%s\"; registered types: %s",
							task_type, HandlerTypesText()),
	};

	job->epoch = EpochNext();
	job->attempt = 0;
	AttemptRecordFailure(job, &failure, ClockNow());
	job->failure = &failure;
	job->last_outcome = OUTCOME_FAILED;
	job->last_error = ErrorText(failure.message);
	JobEnd(jobs, job, JOB_DISCARDED, NULL);
	job->failure = NULL;
}

/* Does this route's queue discard jobs of this type, as things are? */
static bool
IsDiscarded(const TaskqRoute *route)
{
	return QueueById(route->queue_id)->on_unhandled == UNHANDLED_FAIL && HandlerFind(route->task_type) == NULL;
}

/* At enqueue: discard a new job if that is its queue's choice. */
bool
DiscardIfUnhandled(Store *jobs, TaskqJob *job)
{
	const TaskqRoute *route = RouteById(job->route_id);

	if (!IsDiscarded(route))
		return false;
	Discard(jobs, job, route->task_type);
	return true;
}

/* Discard waiting jobs of one route; how many were found. */
static int
DiscardWaiting(int32 route_id, const char *task_type)
{
	Oid			   types[] = { INT4OID, INT4OID };
	Datum		   values[] = { Int32GetDatum(route_id), Int32GetDatum(MAX_DISCARD) };
	OwnerScope	   scope;
	SPITupleTable *found;
	uint64		   n;

	OwnerEnterSpi(&scope);
	/* what somebody has is his, and hides no other */
	n = OwnerExecute("SELECT job_id FROM taskq.jobs WHERE route_id = $1 AND gate = 'o' LIMIT $2 FOR UPDATE SKIP LOCKED",
					 2, types, values, NULL);
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
 * The routes of unhandled types in which jobs wait, of queues that discard them.
 * They are copies: who works through them looks up others.
 */
static int
RoutesToDiscard(TaskqRoute **discard)
{
	int			count = RouteCount(); /* asked once: the next answer may be another */
	TaskqRoute *routes = palloc(sizeof(TaskqRoute) * (count + 1));
	int			n = 0;
	Snapshot	snapshot = StoreSnapshot();
	Store		jobs;

	StoreOpenRel(&jobs, REL_JOBS);
	for (int i = 0; i < count; i++)
	{
		const TaskqRoute *route = RouteAt(i);
		ScanKeyData		  key;

		if (!IsDiscarded(route))
			continue;
		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(route->route_id));
		if (StoreFind(&jobs, CatalogRel(REL_JOBS_OPEN), 1, &key, snapshot))
			routes[n++] = *route;
	}
	StoreClose(&jobs, false);
	UnregisterSnapshot(snapshot);
	*discard = routes;
	return n;
}

/*
 * Discard jobs that have become unhandled while they waited.  Called by the
 * scheduler, in a transaction of its own; true when there may be more.
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

		/* a few hundred at a time: each holds its type's lock until we commit */
		more = more || i == MAX_TYPES;
	}
	pfree(routes);
	return more;
}
