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
#include "store/owner.h"
#include "store/row.h"

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

/*
 * Return the instance that is kept with an attempt.  NULL stands for the default
 * instance, so that its name, which is the worker's id, is not kept twice.
 */
struct varlena *
InstanceToKeep(const TaskqJob *job)
{
	text *worker_id;
	text *instance_id;

	if (job->worker_id == NULL || job->instance_id == NULL || job->instance_id == job->worker_id)
		return NULL;
	worker_id = DatumGetTextPP(PointerGetDatum(job->worker_id));
	instance_id = DatumGetTextPP(PointerGetDatum(job->instance_id));
	if (VARSIZE_ANY_EXHDR(worker_id) == VARSIZE_ANY_EXHDR(instance_id) &&
		memcmp(VARDATA_ANY(worker_id), VARDATA_ANY(instance_id), VARSIZE_ANY_EXHDR(worker_id)) == 0)
		return NULL;
	return job->instance_id;
}

/* Write the row of an attempt that did not complete.  The current user is the owner. */
void
AttemptRecordFailure(const TaskqJob *job, const AttemptFailure *failure, TimestampTz now)
{
	Store	   store;
	AttemptRow row = {
		.job_id = job->job_id,
		.epoch = job->epoch,
		.attempt = job->attempt,
		.started_at = job->started_at,
		.finished_at = now,
		.worker_id = job->worker_id,
		.handler_version = (char *) AttemptHandlerVersion(job),
		.outcome = (char *) failure->outcome,
		.error_type = (char *) failure->error_type,
		.error_code = ErrorText(failure->error_code),
		.error_message = ErrorText(failure->message),
		.sqlstate = (char *) failure->sqlstate,
		.detail = ErrorText(failure->detail),
		.hint = ErrorText(failure->hint),
		.context = ErrorText(failure->context),
		.instance_id = InstanceToKeep(job),
	};

	AssertOwner();
	Assert(job->job_id != 0 && job->epoch != 0);
	Assert(failure->outcome != NULL && failure->error_type != NULL);
	StoreOpenRel(&store, REL_FAILURES);
	RowWriteAttempt(&row, StoreNewRow(&store));
	StoreInsert(&store);
	StoreClose(&store, true);
}

/* Does the job have attempts left after this failure? */
bool
AttemptsLeft(const TaskqJob *job, const AttemptFailure *failure)
{
	return job->attempt < job->max_attempts + (failure->of_setup ? SETUP_ATTEMPTS : 0);
}
