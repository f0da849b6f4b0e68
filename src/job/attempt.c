/*
 * attempt.c
 *	  Recording attempts that did not complete.
 */
#include "taskq.h"

#include "utils/builtins.h"

#include "base/text.h"
#include "config/handler.h"
#include "config/route.h"
#include "job/attempt.h"
#include "store/columns.h"
#include "store/owner.h"
#include "store/store.h"

/*
 * Some failures are caused by the state of the database, mostly during a migration.
 * They pause the type (outcome.c, pause.c).  A job has this many extra attempts for
 * them, so that a migration does not discard a backlog.
 */
#define SETUP_ATTEMPTS 3

/*
 * Return the handler version that an attempt is recorded with.  If the type was
 * registered again during the run, that is still the version that ran.
 */
const char *
AttemptHandlerVersion(const TaskqJob *job)
{
	const TaskqHandler *handler;

	if (job->runs_here)
		return job->handler_version;
	handler = HandlerFind(RouteById(job->route_id)->task_type);
	return handler == NULL ? NULL : handler->version;
}

static void
SetCut(TupleTableSlot *slot, int attnum, const char *string)
{
	SlotSetPointer(slot, attnum, ErrorText(string));
}

/* Write the row of an attempt that did not complete.  The current user is the owner. */
void
AttemptRecordFailure(const TaskqJob *job, const AttemptFailure *failure, TimestampTz now)
{
	Store			store;
	TupleTableSlot *row;

	AssertOwner();
	Assert(job->job_id != 0 && job->epoch != 0);
	Assert(failure->outcome != NULL && failure->error_type != NULL);
	StoreOpenRel(&store, REL_FAILURES);
	row = StoreNewRow(&store);
	SlotSet(row, Anum_attempt_failures_job_id, Int64GetDatum(job->job_id));
	SlotSet(row, Anum_attempt_failures_epoch, Int64GetDatum(job->epoch));
	SlotSet(row, Anum_attempt_failures_attempt, Int32GetDatum(job->attempt));
	if (job->started_at != 0)
		SlotSet(row, Anum_attempt_failures_started_at, TimestampTzGetDatum(job->started_at));
	SlotSet(row, Anum_attempt_failures_finished_at, TimestampTzGetDatum(now));
	SlotSetPointer(row, Anum_attempt_failures_worker_id, job->worker_id);
	SlotSetString(row, Anum_attempt_failures_handler_version, AttemptHandlerVersion(job));
	SlotSetString(row, Anum_attempt_failures_outcome, failure->outcome);
	SlotSetString(row, Anum_attempt_failures_error_type, failure->error_type);
	SetCut(row, Anum_attempt_failures_error_code, failure->error_code);
	SetCut(row, Anum_attempt_failures_error_message, failure->message);
	SlotSetString(row, Anum_attempt_failures_sqlstate, failure->sqlstate);
	SetCut(row, Anum_attempt_failures_detail, failure->detail);
	SetCut(row, Anum_attempt_failures_hint, failure->hint);
	SetCut(row, Anum_attempt_failures_context, failure->context);
	StoreInsert(&store);
	StoreClose(&store, true);
}

/* Does the job have attempts left after this failure? */
bool
AttemptsLeft(const TaskqJob *job, const AttemptFailure *failure)
{
	return job->attempt < job->max_attempts + (failure->of_setup ? SETUP_ATTEMPTS : 0);
}
