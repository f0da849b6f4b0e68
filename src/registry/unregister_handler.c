/*
 * unregister_handler.c
 *	  Change existing registrations: unregister_handler(), clear_handlers(),
 *	  pause_handler() and resume_handler().  Check who may change them, and record
 *	  the changes in taskq.handler_changes.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/signature.h"
#include "config/changes.h"
#include "config/pause.h"
#include "config/roles.h"
#include "job/job.h"
#include "registry/unregister_handler.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_unregister_handler);
PG_FUNCTION_INFO_V1(taskq_clear_handlers);
PG_FUNCTION_INFO_V1(taskq_pause_handler);
PG_FUNCTION_INFO_V1(taskq_resume_handler);

/* Return whether the caller may replace or remove this handler. */
static bool
MayChange(const TaskqHandler *handler)
{
	return RoleMayChange(HandlerRole(handler));
}

/* Raise an error if the caller may not replace or remove this handler. */
void
HandlerCheckMayChange(const TaskqHandler *handler)
{
	Oid role = HandlerRole(handler);

	if (MayChange(handler))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("must be a member of role \"%s\" to change the handler of task type \"%s\"",
					RoleNameOrOid(role), handler->task_type)));
}

/* Copy a type's row to handler_changes before it is replaced or removed.  The caller is the extension's owner, in SPI. */
void
HandlerRecordChange(const char *task_type, const char *change, Oid by)
{
	Oid	  types[] = { TEXTOID, TEXTOID, REGROLEOID, TIMESTAMPTZOID };
	Datum values[] = { CStringGetTextDatum(task_type), CStringGetTextDatum(change), ObjectIdGetDatum(by),
					   TimestampTzGetDatum(ClockNow()) };

	AssertOwner();
	Assert(HandlerTypeIsLocked(task_type, true));
	OwnerExecute("INSERT INTO taskq.handler_changes (task_type, handler, run_as, description, version,"
				 "  registered_by, registered_at, change, changed_by, changed_at,"
				 "  payload_type, required_fields, optional_fields, validator, retry_function)"
				 " SELECT task_type, signature, run_as::text, description, version, registered_by::text, registered_at,"
				 "  $2, $3::text, $4, payload_type, required_fields, optional_fields, validator, retry_function"
				 " FROM taskq.handlers WHERE task_type = $1",
				 4, types, values, NULL);
}

/* Remove a type's row.  The caller holds the type's lock. */
static void
RemoveHandler(const char *task_type)
{
	Oid		   types[] = { TEXTOID };
	Datum	   values[] = { CStringGetTextDatum(task_type) };
	OwnerScope scope;

	Assert(HandlerTypeIsLocked(task_type, true));
	OwnerEnterSpi(&scope);
	HandlerRecordChange(task_type, "unregistered", scope.caller);
	OwnerExecute("DELETE FROM taskq.handlers WHERE task_type = $1", 1, types, values, NULL);
	OwnerLeaveSpi(&scope);
	ConfigNameChanged(REL_HANDLERS, task_type);
}

Datum
taskq_unregister_handler(PG_FUNCTION_ARGS)
{
	char			   *task_type;
	const TaskqHandler *handler;

	CheckCall(fcinfo);
	CheckWritable("taskq.unregister_handler()");
	task_type = ArgName(fcinfo, 0, "task type");
	HandlerLockType(task_type, true, true);
	AcceptInvalidationMessages();
	handler = HandlerFind(task_type);
	if (handler == NULL)
		PG_RETURN_BOOL(false);
	HandlerCheckMayChange(handler);
	RemoveHandler(task_type);
	PG_RETURN_BOOL(true);
}

Datum
taskq_clear_handlers(PG_FUNCTION_ARGS)
{
	const TaskqHandler **sorted;
	int					 n;
	int					 n_mine = 0;
	int					 removed = 0;
	char			   **mine;

	CheckCall(fcinfo);
	CheckWritable("taskq.clear_handlers()");
	sorted = HandlersSorted(&n);
	mine = palloc(sizeof(char *) * (n + 1));
	for (int i = 0; i < n; i++)
		if (MayChange(sorted[i]))
			mine[n_mine++] = pstrdup(sorted[i]->task_type);
	for (int i = 0; i < n_mine; i++)
	{
		const TaskqHandler *handler;

		/* another session may have unregistered it meanwhile, or another role have registered it */
		HandlerLockType(mine[i], true, true);
		AcceptInvalidationMessages();
		handler = HandlerFind(mine[i]);
		if (handler == NULL || !MayChange(handler))
			continue;
		RemoveHandler(mine[i]);
		removed++;
	}
	PG_RETURN_INT32(removed);
}

/* pause -------------------------------------------------------------------- */

static bool
SetPausedBySql(FunctionCallInfo fcinfo, bool paused, const char *what)
{
	char *task_type;

	CheckWritable(what);
	task_type = ArgName(fcinfo, 0, "task type");
	if (HandlerFind(task_type) == NULL)
		HandlerRefuseUnregistered(task_type);
	return PauseSet(task_type, paused);
}

Datum
taskq_pause_handler(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	PG_RETURN_BOOL(SetPausedBySql(fcinfo, true, "taskq.pause_handler()"));
}

Datum
taskq_resume_handler(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	PG_RETURN_BOOL(SetPausedBySql(fcinfo, false, "taskq.resume_handler()"));
}
