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
#include "store/store.h"

/*
 * Some failures are caused by the state of the database, mostly during a migration.
 * They pause the type (outcome.c, pause.c).  A job has this many extra attempts for
 * them, so that a migration does not discard a backlog.
 */
#define SETUP_ATTEMPTS 3

/* Columns of taskq.attempt_failures, in order. */
enum
{
	F_JOB_ID = 1,
	F_EPOCH,
	F_ATTEMPT,
	F_STARTED_AT,
	F_FINISHED_AT,
	F_WORKER_ID,
	F_HANDLER_VERSION,
	F_OUTCOME,
	F_ERROR_TYPE,
	F_ERROR_CODE,
	F_ERROR_MESSAGE,
	F_SQLSTATE,
	F_DETAIL,
	F_HINT,
	F_CONTEXT
};

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

	StoreOpenRel(&store, REL_FAILURES);
	row = StoreNewRow(&store);
	SlotSet(row, F_JOB_ID, Int64GetDatum(job->job_id));
	SlotSet(row, F_EPOCH, Int64GetDatum(job->epoch));
	SlotSet(row, F_ATTEMPT, Int32GetDatum(job->attempt));
	if (job->started_at != 0)
		SlotSet(row, F_STARTED_AT, TimestampTzGetDatum(job->started_at));
	SlotSet(row, F_FINISHED_AT, TimestampTzGetDatum(now));
	SlotSetPointer(row, F_WORKER_ID, job->worker_id);
	SlotSetString(row, F_HANDLER_VERSION, AttemptHandlerVersion(job));
	SlotSetString(row, F_OUTCOME, failure->outcome);
	SlotSetString(row, F_ERROR_TYPE, failure->error_type);
	SetCut(row, F_ERROR_CODE, failure->error_code);
	SetCut(row, F_ERROR_MESSAGE, failure->message);
	SlotSetString(row, F_SQLSTATE, failure->sqlstate);
	SetCut(row, F_DETAIL, failure->detail);
	SetCut(row, F_HINT, failure->hint);
	SetCut(row, F_CONTEXT, failure->context);
	StoreInsert(&store);
	StoreClose(&store, true);
}

/* Does the job have attempts left after this failure? */
bool
AttemptsLeft(const TaskqJob *job, const AttemptFailure *failure)
{
	return job->attempt < job->max_attempts + (failure->of_setup ? SETUP_ATTEMPTS : 0);
}
