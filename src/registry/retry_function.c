/*
 * retry_function.c
 *	  Retry policies that users bring: f(attempt integer, error jsonb) RETURNS
 *	  interval, where NULL is for no retry.
 *
 * A handler's function is asked by whoever reports the failure: the worker that
 * ran the handler, or the session that calls fail_job(), which has the job's row
 * and is not the extension's owner at that moment.  Where nobody reports it, as
 * after a lease that is over or a worker that was ended, the policy by name
 * decides: the scheduler is a superuser's session, serves everybody, and runs
 * nobody's code.
 *
 * Whatever the function does, the failure is settled: it has a second, a
 * subtransaction, and an answer that is not usable is as good as none.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/compat.h"
#include "config/handler.h"
#include "config/resolve.h"
#include "config/roles.h"
#include "config/route.h"
#include "job/attempt.h"
#include "registry/retry_function.h"
#include "registry/usercode.h"

#define TIME_LIMIT USECS_PER_SEC

static const Oid argument_types[] = { INT4OID, JSONBOID };

/* NULL, or why a function is no retry function. */
static const char *
Refusal(Oid function)
{
	const char *refusal = FunctionRefusal(function, lengthof(argument_types), argument_types);

	if (refusal == NULL && get_func_rettype(function) != INTERVALOID)
		refusal = "It does not return interval.";
	return refusal;
}

/* May this be a handler's retry function, and may its role call it? */
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

/* Find the function as it is now, oid and name; NULL, or why it cannot be asked. */
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
	bool				  retry; /* the answer is not NULL */
	int64				  delay; /* microseconds */
} RetryCall;

static void
AddMember(StringInfo json, const char *key, const char *text)
{
	appendStringInfo(json, "%s\"%s\": ", json->len > 1 ? ", " : "", key);
	if (text == NULL)
		appendStringInfoString(json, "null");
	else
		escape_json(json, text);
}

/* The failure as attempts shows it. */
static Datum
ErrorAsJson(const AttemptFailure *failure)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	AddMember(&json, "outcome", failure->outcome);
	AddMember(&json, "error_type", failure->error_type);
	AddMember(&json, "error_code", failure->error_code);
	AddMember(&json, "message", failure->message);
	AddMember(&json, "sqlstate", failure->sqlstate);
	AddMember(&json, "detail", failure->detail);
	AddMember(&json, "hint", failure->hint);
	AddMember(&json, "context", failure->context);
	appendStringInfoChar(&json, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
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
	fcinfo->args[1].value = ErrorAsJson(call->failure);
	fcinfo->args[1].isnull = false;
	answer = FunctionCallInvoke(fcinfo);
	call->retry = !fcinfo->isnull;
	if (call->retry)
		call->delay = CheckMicroseconds(DatumGetIntervalP(answer), "the delay", 0);
}

/* Say that a function is of no use, but not again and again. */
static void
Warn(const char *task_type, const char *signature, const char *why)
{
	static TimestampTz warned_at = 0;
	static char		   warned_of[TASKQ_NAME_MAX + 1];

	if (warned_at != 0 && ClockNow() - warned_at < USECS_PER_MINUTE && strcmp(warned_of, task_type) == 0)
		return;
	warned_at = ClockNow();
	strlcpy(warned_of, task_type, sizeof(warned_of));
	ereport(WARNING,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg("retry function %s of task type \"%s\" gave no usable answer", signature, task_type),
			 errdetail("%s", why),
			 errhint("The type's retry_policy is used instead. This is said once a minute.")));
}

/* Call it in the role of the handler, with the job as the current one. */
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
 * An attempt has failed: if the job would be retried after a delay by policy,
 * have the handler's function say whether and when.  The caller is not the
 * owner, and has the job's row.
 */
void
RetryFunctionAsk(const TaskqJob *job, const AttemptFailure *failure, bool *retryable, int64 *retry_in)
{
	const TaskqHandler *handler;
	TaskqJob			shown = *job; /* what the function does to it is nothing */
	char				task_type[TASKQ_NAME_MAX + 1];
	RetryCall			call = { .attempt = job->attempt, .failure = failure };
	UserCode			code = { .job = &shown, .time_limit = TIME_LIMIT, .settles = true };
	const char		   *refusal;

	if (!*retryable || *retry_in != NO_MICROSECONDS || !AttemptsLeft(job, failure))
		return;
	handler = HandlerFind(RouteById(job->route_id)->task_type);
	if (handler == NULL || handler->retry_function == NULL)
		return;

	/* the registry may be read anew while the function runs */
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
