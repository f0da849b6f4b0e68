/*
 * register_handler.c
 *	  register_handler(): register the handler of a task type.
 *
 * This file has more than 400 lines, as the function has 26 arguments, and each is
 * checked and stored here.
 */
#include "taskq.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/regproc.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/signature.h"
#include "config/changes.h"
#include "config/handler.h"
#include "config/named_function.h"
#include "config/pool.h"
#include "config/queue.h"
#include "config/roles.h"
#include "registry/register_handler.h"
#include "registry/retry_function.h"
#include "registry/unregister_handler.h"
#include "store/columns.h"
#include "store/object_owner.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_register_handler);
PG_FUNCTION_INFO_V1(taskq_register_handler_by_name);

#define REGISTER_ARGS 26
#define N_COLUMNS (Anum_handlers_end - 1)

/* Raise an error if a function cannot be a handler that runs as "run_as".  Returns its form. */
HandlerForm
HandlerCheckFunction(Oid function, Oid run_as)
{
	HandlerForm form;
	const char *misfit;

	CheckFunctionExists(function, "handler function");
	misfit = HandlerMisfit(function, &form);
	if (misfit != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("%s %s cannot be a handler", form.stepwise ? "procedure" : "function", format_procedure(function)),
				 errdetail("%s", misfit),
				 errhint("A handler is a function f(payload jsonb) RETURNS jsonb or f(job taskq.job) RETURNS jsonb, or a procedure with one of these arguments.")));

	if (!MayExecute_compat(function, GetUserId()))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION, format_procedure(function));
	RoleCheckExecute(run_as, function);
	return form;
}

/* Set a column of the row. */
static void
SetColumn(Datum *values, char *nulls, int column, Datum value)
{
	values[column - 1] = value;
	nulls[column - 1] = ' ';
}

static void
SetInterval(FunctionCallInfo fcinfo, int n, const char *what, int64 least, Datum *values, char *nulls, int column)
{
	if (ArgMicroseconds(fcinfo, n, what, least) != NO_MICROSECONDS)
		SetColumn(values, nulls, column, PG_GETARG_DATUM(n));
}

/* Set a column to an array of SQLSTATEs (five characters) and classes of them (two), if it was given. */
static void
SetErrors(FunctionCallInfo fcinfo, int n, const char *what, Datum *values, char *nulls, int column)
{
	ArrayType *errors = ArgNamesOrNull(fcinfo, n, what);
	Datum	  *elements;
	int		   count;

	if (errors == NULL)
		return;
	deconstruct_array(errors, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count; i++)
	{
		char *error = TextDatumGetCString(elements[i]);
		int	  len = strlen(error);

		if ((len != 2 && len != 5) || strspn(error, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != len)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s: \"%s\" is neither an SQLSTATE nor a class of them", what, error),
					 errhint("An SQLSTATE has five digits or capital letters, a class two.")));
	}
	SetColumn(values, nulls, column, PointerGetDatum(errors));
}

/* Set the columns for the arguments that in-server and external handlers have in common. */
static void
SetDefaultsOfJobs(FunctionCallInfo fcinfo, Datum *values, char *nulls)
{
	char	 *queue = ArgNameOrNull(fcinfo, 7, "queue");
	char	 *policy = ArgNameOrNull(fcinfo, 12, "retry_policy");
	RetryKind kind;

	CheckArgText(fcinfo, 2, "description");
	if (!PG_ARGISNULL(2))
		SetColumn(values, nulls, Anum_handlers_description, PG_GETARG_DATUM(2));
	if (!PG_ARGISNULL(3))
	{
		if (VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(3)) > TASKQ_NAME_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("version is longer than %d bytes", TASKQ_NAME_MAX),
					 errhint("Keep more in the description.")));
		SetColumn(values, nulls, Anum_handlers_version, PG_GETARG_DATUM(3));
	}
	SetColumn(values, nulls, Anum_handlers_also_external, BoolGetDatum(ArgBool(fcinfo, 6, "also_external")));
	if (queue != NULL)
	{
		QueueByName(queue, false);
		SetColumn(values, nulls, Anum_handlers_queue, CStringGetTextDatum(queue));
	}
	if (!PG_ARGISNULL(8))
		SetColumn(values, nulls, Anum_handlers_priority, Int32GetDatum(ArgInt(fcinfo, 8, "priority", PG_INT16_MIN, PG_INT16_MAX)));
	if (!PG_ARGISNULL(9))
		SetColumn(values, nulls, Anum_handlers_max_attempts,
				  Int32GetDatum(ArgInt(fcinfo, 9, "max_attempts", 1, TASKQ_MAX_MAX_ATTEMPTS)));
	SetInterval(fcinfo, 10, "timeout", 1000, values, nulls, Anum_handlers_timeout);
	SetInterval(fcinfo, 11, "lease", USECS_PER_SEC, values, nulls, Anum_handlers_lease);
	if (policy != NULL)
	{
		if (!RetryKindByName(policy, &kind))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown retry policy \"%s\"", policy),
					 errhint("Use exponential, linear, fixed or none.")));
		SetColumn(values, nulls, Anum_handlers_retry_policy, CStringGetTextDatum(policy));
	}
	SetInterval(fcinfo, 13, "retry_base", 0, values, nulls, Anum_handlers_retry_base);
	SetInterval(fcinfo, 14, "retry_cap", 0, values, nulls, Anum_handlers_retry_cap);
	SetErrors(fcinfo, 16, "permanent_errors", values, nulls, Anum_handlers_permanent_errors);
	SetErrors(fcinfo, 17, "retryable_errors", values, nulls, Anum_handlers_retryable_errors);
}

/* Set the search_path with which the type's code runs: by default, the current one of the caller. */
static void
SetSearchPath(FunctionCallInfo fcinfo, Datum *values, char *nulls)
{
	char *path = ArgShortTextOrNull(fcinfo, 15, "search_path");

	if (path == NULL)
	{
		path = pstrdup(namespace_search_path);
		CheckText(path, "search_path");
	}
	else
		(void) set_config_option("search_path", path, PGC_USERSET, PGC_S_TEST, GUC_ACTION_SET, false, ERROR, false);
	SetColumn(values, nulls, Anum_handlers_search_path, CStringGetTextDatum(path));
}

/* Raise an error if the handler is a procedure, and an argument is for functions only. */
static void
RefuseForProcedure(FunctionCallInfo fcinfo)
{
	if (ArgBool(fcinfo, 18, "share_commit"))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a procedure cannot share commits"),
				 errdetail("It commits by itself."),
				 errhint("Make it a function, or leave share_commit out.")));
	if (ArgBool(fcinfo, 25, "async_commit"))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("async_commit is not for procedures"),
				 errdetail("A procedure commits by itself, and its job is settled in a transaction of its own."),
				 errhint("Make it a function, or leave async_commit out and set synchronous_commit in the procedure.")));
}

/* Set the columns for a handler that runs in the server.  Returns its role. */
static Oid
SetFunction(FunctionCallInfo fcinfo, Datum *values, char *nulls)
{
	Oid			function = PG_GETARG_OID(1);
	Oid			run_as = PG_ARGISNULL(5) ? GetUserId() : PG_GETARG_OID(5);
	HandlerForm form;

	RoleCheckRunAs(run_as);
	form = HandlerCheckFunction(function, run_as);
	if (form.stepwise)
		RefuseForProcedure(fcinfo);
	SetColumn(values, nulls, Anum_handlers_takes_job, BoolGetDatum(form.takes_job));
	SetColumn(values, nulls, Anum_handlers_stepwise, BoolGetDatum(form.stepwise));
	SetColumn(values, nulls, Anum_handlers_signature, CStringGetTextDatum(format_procedure_qualified(function)));
	SetColumn(values, nulls, Anum_handlers_function_oid, ObjectIdGetDatum(function));
	SetColumn(values, nulls, Anum_handlers_function_owner, ObjectIdGetDatum(FunctionOwner(function)));
	SetColumn(values, nulls, Anum_handlers_run_as, ObjectIdGetDatum(run_as));
	SetInterval(fcinfo, 23, "lock_timeout", 0, values, nulls, Anum_handlers_lock_timeout);
	return run_as;
}

/* Set the columns of the payload contract.  Returns whether checking it runs users' code. */
static bool
SetContract(FunctionCallInfo fcinfo, Oid role, Datum *values, char *nulls)
{
	TaskqContract contract;

	ContractRead(fcinfo, 19, &contract);
	ContractCheck(&contract, role);
	if (contract.payload_type != NULL)
	{
		SetColumn(values, nulls, Anum_handlers_payload_type, CStringGetTextDatum(contract.payload_type));
		SetColumn(values, nulls, Anum_handlers_payload_type_oid, ObjectIdGetDatum(contract.payload_type_oid));
		SetColumn(values, nulls, Anum_handlers_payload_type_owner, ObjectIdGetDatum(contract.payload_type_owner));
	}
	if (contract.required_fields != NULL)
		SetColumn(values, nulls, Anum_handlers_required_fields, PointerGetDatum(contract.required_fields));
	if (contract.optional_fields != NULL)
		SetColumn(values, nulls, Anum_handlers_optional_fields, PointerGetDatum(contract.optional_fields));
	if (contract.validator != NULL)
	{
		SetColumn(values, nulls, Anum_handlers_validator, CStringGetTextDatum(contract.validator));
		SetColumn(values, nulls, Anum_handlers_validator_oid, ObjectIdGetDatum(contract.validator_oid));
		SetColumn(values, nulls, Anum_handlers_validator_owner, ObjectIdGetDatum(contract.validator_owner));
	}
	return ContractHasCode(&contract);
}

/* Set the columns of the retry function.  Returns whether there is one. */
static bool
SetRetryFunction(FunctionCallInfo fcinfo, Oid role, Datum *values, char *nulls)
{
	Oid function;

	if (PG_ARGISNULL(24))
		return false;
	function = PG_GETARG_OID(24);
	RetryFunctionCheck(function, role);
	if (!PG_ARGISNULL(12) && strcmp(text_to_cstring(PG_GETARG_TEXT_PP(12)), "none") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("retry_function and retry_policy \"none\" cannot both be given"),
				 errhint("A retry function that returns NULL ends the job; the policy applies when the function cannot be called.")));
	SetColumn(values, nulls, Anum_handlers_retry_function, CStringGetTextDatum(format_procedure_qualified(function)));
	SetColumn(values, nulls, Anum_handlers_retry_function_oid, ObjectIdGetDatum(function));
	SetColumn(values, nulls, Anum_handlers_retry_function_owner, ObjectIdGetDatum(FunctionOwner(function)));
	return true;
}

/* Does registering leave the column as it is, if nothing else changes? */
static bool
IsKept(int attnum)
{
	switch (attnum)
	{
		case Anum_handlers_registered_at:
		case Anum_handlers_paused:
		case Anum_handlers_paused_because:
		case Anum_handlers_paused_function:
		case Anum_handlers_trial_at:
		case Anum_handlers_trials:
		case Anum_handlers_on_trial:
			return true;
	}
	return false;
}

/* Return whether the stored row has the same values, except for when it was registered and its pause. */
static bool
IsSameRow(HeapTuple tuple, TupleDesc tupdesc, Datum *values, const char *nulls)
{
	for (int i = 0; i < N_COLUMNS; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(tupdesc, i);
		bool			  is_null;
		Datum			  old = SPI_getbinval(tuple, tupdesc, i + 1, &is_null);

		if (IsKept(i + 1))
			continue;
		if (is_null != (nulls[i] == 'n') ||
			(!is_null && !datum_image_eq(old, values[i], attr->attbyval, attr->attlen)))
			return false;
	}
	return true;
}

/* Return the statement that inserts a row of parameters. */
static const char *
InsertStatement(void)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "INSERT INTO taskq.handlers VALUES (");
	for (int i = 1; i <= N_COLUMNS; i++)
		appendStringInfo(&sql, "%s$%d", i == 1 ? "" : ", ", i);
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/*
 * Write the row, in place of an old one of the type.  If the old row has the same
 * values, nothing is changed: many programs register all their types at each start,
 * which must neither end a pause by an operator nor invalidate the caches.
 */
static void
WriteHandler(Datum *values, const char *nulls)
{
	static Oid types[] = { HANDLERS_COLUMNS(COLUMN_TYPE, handlers) };
	OwnerScope scope;

	Assert(HandlerTypeIsLocked(TextDatumGetCString(values[Anum_handlers_task_type - 1]), true));
	OwnerEnterSpi(&scope);
	if (OwnerExecute("SELECT * FROM taskq.handlers WHERE task_type = $1", 1, types, values, nulls) > 0 &&
		IsSameRow(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, values, nulls))
	{
		OwnerLeaveSpi(&scope);
		return;
	}
	HandlerRecordChange(TextDatumGetCString(values[Anum_handlers_task_type - 1]), "overridden", scope.caller);
	OwnerExecute("DELETE FROM taskq.handlers WHERE task_type = $1", 1, types, values, nulls);
	OwnerExecute(InsertStatement(), N_COLUMNS, types, values, nulls);
	OwnerLeaveSpi(&scope);
	ConfigNameChanged(REL_HANDLERS, TextDatumGetCString(values[Anum_handlers_task_type - 1]));
}

/* Register a handler.  The functions among the arguments are OIDs. */
static void
Register(FunctionCallInfo fcinfo)
{
	Datum				values[N_COLUMNS] = { 0 };
	char				nulls[N_COLUMNS + 1];
	char			   *task_type;
	const TaskqHandler *old;
	Oid					run_as = InvalidOid;
	Oid					role;
	bool				share_commit;
	bool				async_commit;
	bool				has_code;

	CheckWritable("taskq.register_handler()");
	memset(nulls, 'n', N_COLUMNS);
	nulls[N_COLUMNS] = '\0';
	task_type = ArgName(fcinfo, 0, "task type");
	share_commit = ArgBool(fcinfo, 18, "share_commit");
	async_commit = ArgBool(fcinfo, 25, "async_commit");

	/* Wait for a concurrent registration or unregistration of the same type. */
	HandlerLockType(task_type, true, true);
	AcceptInvalidationMessages();
	old = HandlerFind(task_type);
	if (old != NULL && !ArgBool(fcinfo, 4, "allow_override"))
		ereport(ERROR,
				(errcode(ERRCODE_TQ_ALREADY_REGISTERED),
				 errmsg("task type \"%s\" already has a handler", task_type),
				 errdetail("It is registered for %s.", old->signature != NULL ? old->signature : "external workers"),
				 errhint("Replace it with allow_override => true, or unregister it first.")));
	if (old != NULL)
		HandlerCheckMayChange(old);

	SetColumn(values, nulls, Anum_handlers_task_type, CStringGetTextDatum(task_type));
	SetColumn(values, nulls, Anum_handlers_takes_job, BoolGetDatum(false));
	SetColumn(values, nulls, Anum_handlers_paused, BoolGetDatum(false));
	SetColumn(values, nulls, Anum_handlers_share_commit, BoolGetDatum(share_commit));
	SetColumn(values, nulls, Anum_handlers_stepwise, BoolGetDatum(false));
	SetColumn(values, nulls, Anum_handlers_trials, Int32GetDatum(0));
	SetColumn(values, nulls, Anum_handlers_on_trial, BoolGetDatum(false));
	SetColumn(values, nulls, Anum_handlers_async_commit, BoolGetDatum(async_commit));
	if (!PG_ARGISNULL(1))
		run_as = SetFunction(fcinfo, values, nulls);
	else if (!PG_ARGISNULL(5) || share_commit || async_commit || !PG_ARGISNULL(23))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("run_as, share_commit, async_commit and lock_timeout are for handlers in the server"),
				 errhint("Name the function, or leave them out to declare a type for external workers.")));
	role = OidIsValid(run_as) ? run_as : GetUserId();
	has_code = SetContract(fcinfo, role, values, nulls);
	has_code = SetRetryFunction(fcinfo, role, values, nulls) || has_code;
	if (OidIsValid(run_as) || has_code)
		SetSearchPath(fcinfo, values, nulls);
	else if (!PG_ARGISNULL(15))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("search_path is for what runs in the server"),
				 errhint("Name a function or payload type, or leave search_path out.")));
	SetDefaultsOfJobs(fcinfo, values, nulls);
	SetColumn(values, nulls, Anum_handlers_registered_by, ObjectIdGetDatum(GetUserId()));
	SetColumn(values, nulls, Anum_handlers_registered_at, TimestampTzGetDatum(ClockNow()));
	WriteHandler(values, nulls);
	if (OidIsValid(run_as))
		PoolMakeDefault(run_as);
}

Datum
taskq_register_handler(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	Register(fcinfo);
	PG_RETURN_VOID();
}

/* Put the OID of the function that a text argument names into a copy of the arguments. */
static void
ReadName(FunctionCallInfo fcinfo, int n, const char *argument, FunctionCallInfo with_oids)
{
	if (!PG_ARGISNULL(n))
		with_oids->args[n].value = ObjectIdGetDatum(NamedFunction(ArgTextOrNull(fcinfo, n), argument));
}

/*
 * SQL-callable register_handler() with functions named as text.  The OIDs go into a
 * copy of the arguments, because the executor may use its arguments again.
 */
Datum
taskq_register_handler_by_name(PG_FUNCTION_ARGS)
{
	LOCAL_FCINFO(with_oids, REGISTER_ARGS);

	CheckCall(fcinfo);
	memcpy(with_oids, fcinfo, SizeForFunctionCallInfo(REGISTER_ARGS));
	ReadName(fcinfo, 1, "handler", with_oids);
	ReadName(fcinfo, 22, "validator", with_oids);
	ReadName(fcinfo, 24, "retry_function", with_oids);
	Register(with_oids);
	PG_RETURN_VOID();
}
