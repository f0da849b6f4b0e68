/*
 * retry_function.c
 *	  Retry functions of users: f(attempt integer, error jsonb) RETURNS interval.
 *	  The result is the delay until the next attempt; NULL means no retry.
 *
 * The process that reports a failure calls the handler's retry function: the worker
 * that ran the handler, or the session that calls fail_job().  It has locked the
 * job's row, and does not act as the extension's owner during the call.  If nobody
 * reports the failure, because a lease expired or a worker was terminated, the
 * retry_policy decides: the scheduler runs as a superuser and for all roles, so it
 * runs no users' code.
 *
 * The failure is settled whatever the function does: the function runs for at most a
 * second and in a subtransaction, and an unusable answer is ignored.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/json.h"
#include "base/log_pace.h"
#include "config/handler.h"
#include "config/resolve.h"
#include "config/roles.h"
#include "config/route.h"
#include "job/attempt.h"
#include "registry/retry_function.h"
#include "registry/usercode.h"

#define TIME_LIMIT USECS_PER_SEC

static const Oid argument_types[] = { INT4OID, JSONBOID };

/* Return why a function is not a retry function, or NULL if it is one. */
static const char *
Refusal(Oid function)
{
	Oid			answer;
	const char *refusal = FunctionRefusal(function, lengthof(argument_types), argument_types, &answer);

	if (refusal == NULL && answer != INTERVALOID)
		refusal = "It does not return interval.";
	return refusal;
}

/* Raise an error if a function cannot be a handler's retry function, or the caller or the handler's role may not call it. */
void
RetryFunctionCheck(Oid function, Oid role)
{
	const char *refusal;

	CheckFunctionExists(function, "retry function");
	refusal = Refusal(function);
	if (refusal != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("function %s cannot be a retry function", format_procedure(function)),
				 errdetail("%s", refusal),
				 errhint("A retry function is a function f(attempt integer, error jsonb) RETURNS interval.")));
	RoleRefuseSuperuser(role);
	RoleCheckExecute(GetUserId(), function);
	RoleCheckExecute(role, function);
}

/*
 * Find a stored retry function, and update its OID and name.  Returns NULL, or why
 * it cannot be called.
 */
const char *
RetryFunctionRefusal(StoredName *stored)
{
	const char *refusal = RoleCodeRefusal(stored->role);
	bool		others;

	if (refusal != NULL)
		return psprintf("unrunnable: %s", refusal);
	stored->oid = ResolveFunction(stored, lengthof(argument_types), argument_types, &others);
	if (others)
		return psprintf("unresolved: owner changed of retry function %s", stored->name);
	if (!OidIsValid(stored->oid))
		return psprintf("unresolved: retry function %s does not exist", stored->name);
	stored->name = format_procedure_qualified(stored->oid);
	if (Refusal(stored->oid) != NULL)
		return psprintf("unresolved: function %s is not a retry function any more", stored->name);
	if (!MayExecute_compat(stored->oid, stored->role))
		return psprintf("unrunnable: its role may not execute function %s", stored->name);
	return NULL;
}

/* ask ---------------------------------------------------------------------- */

/* A call of a retry function, and its answer. */
typedef struct RetryCall
{
	StoredName			  function;
	int32				  attempt;
	const AttemptFailure *failure;
	bool				  retry; /* the function did not return NULL */
	int64				  delay; /* microseconds; set if "retry" */
} RetryCall;

/* Return the failure as a jsonb object whose members are named as the columns of taskq.attempts. */
static Jsonb *
ErrorAsJson(const AttemptFailure *failure)
{
	StringInfoData json;

	JsonBegin(&json);
	JsonAddTextOrNull(&json, "outcome", failure->outcome);
	JsonAddTextOrNull(&json, "error_type", failure->error_type);
	JsonAddTextOrNull(&json, "error_code", failure->error_code);
	JsonAddTextOrNull(&json, "message", failure->message);
	JsonAddTextOrNull(&json, "sqlstate", failure->sqlstate);
	JsonAddTextOrNull(&json, "detail", failure->detail);
	JsonAddTextOrNull(&json, "hint", failure->hint);
	JsonAddTextOrNull(&json, "context", failure->context);
	return JsonEnd(&json);
}

static void
CallRetryFunction(void *arg)
{
	RetryCall *call = arg;
	LOCAL_FCINFO(fcinfo, 2);
	FmgrInfo flinfo;
	Datum	 answer;

	fmgr_info(call->function.oid, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 2, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = Int32GetDatum(call->attempt);
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = JsonbPGetDatum(ErrorAsJson(call->failure));
	fcinfo->args[1].isnull = false;
	answer = FunctionCallInvoke(fcinfo);
	call->retry = !fcinfo->isnull;
	if (call->retry)
		call->delay = CheckMicroseconds(DatumGetIntervalP(answer), "the delay", 0);
}

/* Warn that a retry function gave no usable answer, at most once a minute for a task type. */
static void
Warn(const char *task_type, const char *signature, const char *why)
{
	if (!LogIsDue(psprintf("retry function of %s", task_type)))
		return;
	ereport(WARNING,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg("retry function %s of task type \"%s\" gave no usable answer", signature, task_type),
			 errdetail("%s", why),
			 errhint("The type's retry_policy is used instead. This is reported at most once a minute.")));
}

/* Call the retry function as the role of the handler.  The job is the current job meanwhile. */
static void
Call(RetryCall *call, UserCode *code, const char *task_type, bool *retryable, int64 *retry_in)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "taskq retry function", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	ErrorData	 *error;

	code->what = psprintf("retry function %s", call->function.name);
	code->until = ClockNow() + TIME_LIMIT;
	error = UserCodeRun(code, CallRetryFunction, call);

	if (error != NULL)
		Warn(task_type, call->function.name, psprintf("It failed: %s", error->message));
	else if (call->retry)
		*retry_in = call->delay;
	else
		*retryable = false;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * Call the handler's retry function after an attempt has failed, and change
 * *retryable or *retry_in by its answer.  The function is called only if the job
 * would otherwise be retried by its retry_policy.  The caller has locked the job's
 * row and does not act as the extension's owner.
 */
void
RetryFunctionAsk(const TaskqJob *job, const AttemptFailure *failure, bool *retryable, int64 *retry_in)
{
	const TaskqHandler *handler;
	TaskqJob			shown = *job; /* a copy, which the function may change without effect */
	char				task_type[TASKQ_NAME_MAX + 1];
	RetryCall			call = { .attempt = job->attempt, .failure = failure };
	UserCode			code = { .job = &shown, .time_limit = TIME_LIMIT, .settles = true };
	const char		   *refusal;

	Assert(job->state == JOB_RUNNING && failure->error_type != NULL);
	if (!*retryable || *retry_in != NO_MICROSECONDS || !AttemptsLeft(job, failure))
		return;
	handler = HandlerFind(RouteById(job->route_id)->task_type);
	if (handler == NULL || handler->retry_function == NULL)
		return;

	/* Copy what is needed, because the registry may be reloaded while the function runs. */
	strlcpy(task_type, handler->task_type, sizeof(task_type));
	call.function = HandlerRetryFunction(handler);
	call.function.name = pstrdup(call.function.name);
	code.role = call.function.role;
	code.search_path = handler->search_path == NULL ? NULL : pstrdup(handler->search_path);
	refusal = RetryFunctionRefusal(&call.function);
	if (refusal != NULL)
		Warn(task_type, call.function.name, psprintf("It is %s.", refusal));
	else
		Call(&call, &code, task_type, retryable, retry_in);
}
