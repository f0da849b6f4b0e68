/*
 * handler.c
 *	  The registry: which handler runs which task type.
 *
 * The handler's function is stored as signature text with its oid as a cache.
 * The oid holds while the function of that oid still has the signature; else
 * the text is resolved again (after a restore, or DROP and CREATE FUNCTION);
 * else the handler is unresolved and its jobs wait.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "args.h"
#include "catalog.h"
#include "clock.h"
#include "compat.h"
#include "error.h"
#include "guc.h"
#include "handler.h"
#include "job.h"
#include "locks.h"
#include "owner.h"
#include "pool.h"
#include "queue.h"
#include "roles.h"
#include "store.h"

PG_FUNCTION_INFO_V1(taskq_register_handler);
PG_FUNCTION_INFO_V1(taskq_unregister_handler);
PG_FUNCTION_INFO_V1(taskq_is_registered);
PG_FUNCTION_INFO_V1(taskq_get_handler);
PG_FUNCTION_INFO_V1(taskq_get_registered_types);
PG_FUNCTION_INFO_V1(taskq_list_handlers);
PG_FUNCTION_INFO_V1(taskq_get_handler_info);
PG_FUNCTION_INFO_V1(taskq_clear_handlers);
PG_FUNCTION_INFO_V1(taskq_pause_handler);
PG_FUNCTION_INFO_V1(taskq_resume_handler);

/* Columns of taskq.handlers, in order. */
enum
{
	H_TASK_TYPE = 1, H_SIGNATURE, H_FUNCTION_OID, H_TAKES_JOB, H_RUN_AS, H_SEARCH_PATH,
	H_DESCRIPTION, H_VERSION, H_ALSO_EXTERNAL, H_QUEUE, H_PRIORITY, H_MAX_ATTEMPTS, H_TIMEOUT,
	H_LEASE, H_RETRY_POLICY, H_RETRY_BASE, H_RETRY_CAP, H_REGISTERED_BY, H_REGISTERED_AT,
	H_PERMANENT_ERRORS, H_RETRYABLE_ERRORS, H_PAUSED
};
#define H_COLUMNS H_RETRYABLE_ERRORS	/* that register_handler() writes */

/* Result columns of list_handlers() and get_handler_info(), in order. */
#define INFO_COLUMNS 21

/* All handlers, as of handlers_version. */
static MemoryContext handlers_context = NULL;
static HTAB *handlers = NULL;
static uint64 handlers_version = 0;

/* the cache ---------------------------------------------------------------- */

static char *
CopyString(TupleTableSlot *slot, int attnum)
{
	char	   *string = SlotString(slot, attnum);

	return string == NULL ? NULL : MemoryContextStrdup(handlers_context, string);
}

static ArrayType *
CopyNames(TupleTableSlot *slot, int attnum)
{
	MemoryContext old = MemoryContextSwitchTo(handlers_context);
	ArrayType  *names = SlotIsNull(slot, attnum) ? NULL : DatumGetArrayTypePCopy(SlotDatum(slot, attnum));

	MemoryContextSwitchTo(old);
	return names;
}

static int64
ReadMicroseconds(TupleTableSlot *slot, int attnum)
{
	return SlotIsNull(slot, attnum) ? NO_MICROSECONDS : IntervalMicroseconds(SlotPointer(slot, attnum));
}

/* The function that a handler's signature names now, or InvalidOid. */
static Oid
ResolveFunction(const TaskqHandler *handler, Oid cached)
{
	Oid			arg = handler->takes_job ? JobTypeOid() : JSONBOID;
	char	   *name;
	char	   *paren;

	if (SearchSysCacheExists1(PROCOID, ObjectIdGetDatum(cached)) &&
		strcmp(format_procedure_qualified(cached), handler->signature) == 0)
		return cached;
	name = pstrdup(handler->signature);
	paren = strrchr(name, '(');
	if (paren == NULL)
		return InvalidOid;
	*paren = '\0';
	return LookupFuncName(stringToQualifiedNameList_compat(name), 1, &arg, true);
}

/* "ok", or why the handler cannot run now; its jobs wait meanwhile. */
static const char *
JudgeHandler(const TaskqHandler *handler)
{
	if (handler->paused)
		return "paused";
	if (handler->signature == NULL)
		return "ok";
	if (!OidIsValid(handler->function))
		return "unresolved: its function does not exist";
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(handler->run_as)))
		return "unrunnable: its role does not exist";
	if (!MayExecute_compat(handler->function, handler->run_as))
		return "unrunnable: its role may not execute the function";
	if (superuser_arg(handler->run_as) && !taskq_allow_superuser_handlers)
		return "unrunnable: its role is a superuser and taskq.allow_superuser_handlers is off";
	return "ok";
}

static void
AddHandlerOfRow(TupleTableSlot *slot, void *arg)
{
	char	   *task_type = SlotString(slot, H_TASK_TYPE);
	TaskqHandler *handler = hash_search(handlers, task_type, HASH_ENTER, NULL);
	char	   *policy = SlotString(slot, H_RETRY_POLICY);

	handler->signature = CopyString(slot, H_SIGNATURE);
	handler->takes_job = DatumGetBool(SlotDatum(slot, H_TAKES_JOB));
	handler->run_as = SlotIsNull(slot, H_RUN_AS) ? InvalidOid : DatumGetObjectId(SlotDatum(slot, H_RUN_AS));
	handler->registered_by = DatumGetObjectId(SlotDatum(slot, H_REGISTERED_BY));
	handler->search_path = CopyString(slot, H_SEARCH_PATH);
	handler->description = CopyString(slot, H_DESCRIPTION);
	handler->version = CopyString(slot, H_VERSION);
	handler->also_external = DatumGetBool(SlotDatum(slot, H_ALSO_EXTERNAL));
	handler->queue = CopyString(slot, H_QUEUE);
	handler->has_priority = !SlotIsNull(slot, H_PRIORITY);
	handler->priority = handler->has_priority ? DatumGetInt32(SlotDatum(slot, H_PRIORITY)) : 0;
	handler->max_attempts = SlotIsNull(slot, H_MAX_ATTEMPTS) ? 0 : DatumGetInt32(SlotDatum(slot, H_MAX_ATTEMPTS));
	handler->timeout = ReadMicroseconds(slot, H_TIMEOUT);
	handler->lease = ReadMicroseconds(slot, H_LEASE);
	handler->retry = RetryDefault();
	if (policy != NULL)
		(void) RetryKindByName(policy, &handler->retry.kind);
	if (!SlotIsNull(slot, H_RETRY_BASE))
		handler->retry.base = ReadMicroseconds(slot, H_RETRY_BASE);
	if (!SlotIsNull(slot, H_RETRY_CAP))
		handler->retry.cap = ReadMicroseconds(slot, H_RETRY_CAP);
	handler->registered_at = DatumGetTimestampTz(SlotDatum(slot, H_REGISTERED_AT));
	handler->permanent_errors = CopyNames(slot, H_PERMANENT_ERRORS);
	handler->retryable_errors = CopyNames(slot, H_RETRYABLE_ERRORS);
	handler->paused = DatumGetBool(SlotDatum(slot, H_PAUSED));
	handler->function = InvalidOid;
	if (handler->signature != NULL)
		handler->function = ResolveFunction(handler, SlotIsNull(slot, H_FUNCTION_OID) ? InvalidOid :
											DatumGetObjectId(SlotDatum(slot, H_FUNCTION_OID)));
	handler->status = JudgeHandler(handler);
}

static void
LoadHandlers(void)
{
	uint64		version = CatalogVersion();
	HASHCTL		ctl;

	if (handlers_version == version)
		return;
	handlers_version = 0;
	if (handlers_context == NULL)
		handlers_context = AllocSetContextCreate(TopMemoryContext, "taskq handlers", ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(handlers_context);
	ctl.hcxt = handlers_context;
	ctl.keysize = TASKQ_NAME_MAX + 1;
	ctl.entrysize = sizeof(TaskqHandler);
	handlers = hash_create("taskq handlers", 64, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	StoreScan(REL_HANDLERS, AddHandlerOfRow, NULL);
	handlers_version = version;
}

/* A task type's handler, or NULL when the type is not registered. */
const TaskqHandler *
HandlerFind(const char *task_type)
{
	LoadHandlers();
	return hash_search(handlers, task_type, HASH_FIND, NULL);
}

RetryPolicy
HandlerRetryPolicy(const char *task_type)
{
	const TaskqHandler *handler = HandlerFind(task_type);

	return handler == NULL ? RetryDefault() : handler->retry;
}

/* Does a list of SQLSTATEs and classes name this one? */
static bool
ErrorsContain(ArrayType *errors, const char *sqlstate)
{
	char		class[3] = {sqlstate[0], sqlstate[1], '\0'};

	return NamesContain(errors, sqlstate) || NamesContain(errors, class);
}

/* What an error in a type's handler is: as registered, else as usual. */
const char *
HandlerErrorType(const char *task_type, int sqlstate)
{
	const TaskqHandler *handler = HandlerFind(task_type);
	const char *text = unpack_sql_state(sqlstate);

	if (handler != NULL && ErrorsContain(handler->permanent_errors, text))
		return ERROR_PERMANENT;
	if (handler != NULL && ErrorsContain(handler->retryable_errors, text))
		return ERROR_RETRYABLE;
	return ErrorTypeOfSqlstate(sqlstate);
}

static int
CompareHandlers(const void *a, const void *b)
{
	return strcmp((*(TaskqHandler *const *) a)->task_type, (*(TaskqHandler *const *) b)->task_type);
}

/* All handlers by task type. */
static TaskqHandler **
SortedHandlers(int *n)
{
	HASH_SEQ_STATUS status;
	TaskqHandler *handler;
	TaskqHandler **sorted;

	LoadHandlers();
	sorted = palloc(sizeof(TaskqHandler *) * (hash_get_num_entries(handlers) + 1));
	*n = 0;
	hash_seq_init(&status, handlers);
	while ((handler = hash_seq_search(&status)) != NULL)
		sorted[(*n)++] = handler;
	qsort(sorted, *n, sizeof(TaskqHandler *), CompareHandlers);
	return sorted;
}

/* The registered task types in words, for error messages. */
char *
HandlerTypesText(void)
{
	StringInfoData text;
	int			n;
	TaskqHandler **sorted = SortedHandlers(&n);

	initStringInfo(&text);
	for (int i = 0; i < n && text.len < 1000; i++)
		appendStringInfo(&text, "%s%s", i > 0 ? ", " : "", sorted[i]->task_type);
	if (n == 0)
		appendStringInfoString(&text, "none");
	return text.data;
}

static void
RefuseUnregistered(const char *task_type)
{
	ereport(ERROR,
			(errcode(ERRCODE_TQ_NOT_REGISTERED),
			 errmsg("No handler registered for task type \"%s\"", task_type),
			 errdetail("Registered types: %s.", HandlerTypesText()),
			 errhint("Register one with taskq.register_handler().")));
}

/* locks -------------------------------------------------------------------- */

/*
 * A claim holds its job's type shared while it chooses and stamps;
 * unregister_handler() holds it exclusively until it commits.  So no claim is
 * decided for a type after its unregistration has committed.  A claim does not
 * wait for the lock: it leaves the type alone.
 */
bool
HandlerLockType(const char *task_type, bool exclusive, bool wait)
{
	return LockKey(LOCK_TASK_TYPE, hash_bytes_extended((const unsigned char *) task_type, strlen(task_type), 0),
				   exclusive, wait);
}

void
HandlerUnlockType(const char *task_type)
{
	UnlockKey(LOCK_TASK_TYPE, hash_bytes_extended((const unsigned char *) task_type, strlen(task_type), 0), false);
}

/* register ----------------------------------------------------------------- */

static void
RefuseSignature(Oid function, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
			 errmsg("function %s cannot be a handler", format_procedure(function)),
			 errdetail("%s", why),
			 errhint("A handler is a function f(payload jsonb) RETURNS jsonb or f(job taskq.job) RETURNS jsonb.")));
}

/* Check that a function can be a handler; does it take the whole job? */
bool
HandlerCheckFunction(Oid function, Oid run_as)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc proc;
	bool		takes_job;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("handler function with oid %u does not exist", function)));
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	if (proc->prokind != PROKIND_FUNCTION)
		RefuseSignature(function, "It is not an ordinary function.");
	if (isAnyTempNamespace(proc->pronamespace))
		RefuseSignature(function, "It is temporary, so no worker sees it.");
	if (proc->proretset)
		RefuseSignature(function, "It returns a set.");
	if (proc->prorettype != JSONBOID)
		RefuseSignature(function, "It does not return jsonb.");
	if (proc->pronargs != 1 ||
		(proc->proargtypes.values[0] != JSONBOID && proc->proargtypes.values[0] != JobTypeOid()))
		RefuseSignature(function, "Its argument is not one jsonb or one taskq.job.");
	takes_job = proc->proargtypes.values[0] != JSONBOID;
	ReleaseSysCache(tuple);

	if (!MayExecute_compat(function, GetUserId()))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION, format_procedure(function));
	if (!MayExecute_compat(function, run_as))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" may not execute function %s", GetUserNameFromId(run_as, false), format_procedure(function)),
				 errhint("GRANT EXECUTE ON FUNCTION %s TO %s;", format_procedure_qualified(function),
						 quote_identifier(GetUserNameFromId(run_as, false)))));
	return takes_job;
}

/* May the caller replace or remove this handler? */
static bool
MayChange(const TaskqHandler *handler)
{
	return MayActAs_compat(GetUserId(), OidIsValid(handler->run_as) ? handler->run_as : handler->registered_by);
}

static void
CheckMayChange(const TaskqHandler *handler)
{
	Oid			role = OidIsValid(handler->run_as) ? handler->run_as : handler->registered_by;

	if (MayChange(handler))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("must be a member of role \"%s\" to change the handler of task type \"%s\"",
					RoleNameOrOid(role), handler->task_type)));
}

/* A value for the row, if it was given. */
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

/* SQLSTATEs of five characters, or classes of two. */
static void
SetErrors(FunctionCallInfo fcinfo, int n, const char *what, Datum *values, char *nulls, int column)
{
	ArrayType  *errors = ArgNamesOrNull(fcinfo, n, what);
	Datum	   *elements;
	int			count;

	if (errors == NULL)
		return;
	deconstruct_array(errors, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count; i++)
	{
		char	   *error = TextDatumGetCString(elements[i]);
		int			len = strlen(error);

		if ((len != 2 && len != 5) || strspn(error, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != len)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s: \"%s\" is neither an SQLSTATE nor a class of them", what, error),
					 errhint("An SQLSTATE has five digits or capital letters, a class two.")));
	}
	SetColumn(values, nulls, column, PointerGetDatum(errors));
}

/* The arguments that are the same for in-server and external handlers. */
static void
SetDefaultsOfJobs(FunctionCallInfo fcinfo, Datum *values, char *nulls)
{
	char	   *queue = ArgNameOrNull(fcinfo, 7, "queue");
	char	   *policy = ArgNameOrNull(fcinfo, 12, "retry_policy");
	RetryKind	kind;

	if (!PG_ARGISNULL(2))
		SetColumn(values, nulls, H_DESCRIPTION, PG_GETARG_DATUM(2));
	if (!PG_ARGISNULL(3))
	{
		if (VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(3)) > TASKQ_NAME_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("version is longer than %d bytes", TASKQ_NAME_MAX),
					 errhint("Keep more in the description.")));
		SetColumn(values, nulls, H_VERSION, PG_GETARG_DATUM(3));
	}
	SetColumn(values, nulls, H_ALSO_EXTERNAL, BoolGetDatum(ArgBool(fcinfo, 6, "also_external")));
	if (queue != NULL)
	{
		QueueByName(queue, false);
		SetColumn(values, nulls, H_QUEUE, CStringGetTextDatum(queue));
	}
	if (!PG_ARGISNULL(8))
		SetColumn(values, nulls, H_PRIORITY, Int32GetDatum(ArgInt(fcinfo, 8, "priority", PG_INT16_MIN, PG_INT16_MAX)));
	if (!PG_ARGISNULL(9))
		SetColumn(values, nulls, H_MAX_ATTEMPTS,
				  Int32GetDatum(ArgInt(fcinfo, 9, "max_attempts", 1, TASKQ_MAX_MAX_ATTEMPTS)));
	SetInterval(fcinfo, 10, "timeout", 1000, values, nulls, H_TIMEOUT);
	SetInterval(fcinfo, 11, "lease", USECS_PER_SEC, values, nulls, H_LEASE);
	if (policy != NULL)
	{
		if (!RetryKindByName(policy, &kind))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown retry policy \"%s\"", policy),
					 errhint("Use exponential, linear, fixed or none.")));
		SetColumn(values, nulls, H_RETRY_POLICY, CStringGetTextDatum(policy));
	}
	SetInterval(fcinfo, 13, "retry_base", 0, values, nulls, H_RETRY_BASE);
	SetInterval(fcinfo, 14, "retry_cap", 0, values, nulls, H_RETRY_CAP);
	SetErrors(fcinfo, 16, "permanent_errors", values, nulls, H_PERMANENT_ERRORS);
	SetErrors(fcinfo, 17, "retryable_errors", values, nulls, H_RETRYABLE_ERRORS);
}

/* The arguments of a handler that runs in the server; its role. */
static Oid
SetFunction(FunctionCallInfo fcinfo, Datum *values, char *nulls)
{
	Oid			function = PG_GETARG_OID(1);
	Oid			run_as = PG_ARGISNULL(5) ? GetUserId() : PG_GETARG_OID(5);
	char	   *path = ArgTextOrNull(fcinfo, 15);

	RoleCheckRunAs(run_as);
	SetColumn(values, nulls, H_TAKES_JOB, BoolGetDatum(HandlerCheckFunction(function, run_as)));
	SetColumn(values, nulls, H_SIGNATURE, CStringGetTextDatum(format_procedure_qualified(function)));
	SetColumn(values, nulls, H_FUNCTION_OID, ObjectIdGetDatum(function));
	SetColumn(values, nulls, H_RUN_AS, ObjectIdGetDatum(run_as));

	/* the path in force now, unless said otherwise; refused here if wrong */
	if (path == NULL)
		path = pstrdup(namespace_search_path);
	else
		(void) set_config_option("search_path", path, PGC_USERSET, PGC_S_TEST, GUC_ACTION_SET, false, ERROR, false);
	SetColumn(values, nulls, H_SEARCH_PATH, CStringGetTextDatum(path));
	return run_as;
}

/* Keep what a type's row says before it is replaced or removed; as the owner. */
static void
RecordChange(const char *task_type, const char *change, Oid by)
{
	Oid			types[] = {TEXTOID, TEXTOID, REGROLEOID, TIMESTAMPTZOID};
	Datum		values[] = {CStringGetTextDatum(task_type), CStringGetTextDatum(change), ObjectIdGetDatum(by),
		TimestampTzGetDatum(ClockNow())};

	OwnerExecute("INSERT INTO taskq.handler_changes (task_type, handler, run_as, description, version,"
				 "  registered_by, registered_at, change, changed_by, changed_at)"
				 " SELECT task_type, signature, run_as::text, description, version, registered_by::text, registered_at,"
				 "  $2, $3::text, $4 FROM taskq.handlers WHERE task_type = $1", 4, types, values, NULL);
}

/* Write the row over whatever was there. */
static void
WriteHandler(Datum *values, const char *nulls)
{
	static Oid	types[H_COLUMNS] = {
		TEXTOID, TEXTOID, OIDOID, BOOLOID, REGROLEOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID, TEXTOID,
		INT4OID, INT4OID, INTERVALOID, INTERVALOID, TEXTOID, INTERVALOID, INTERVALOID, REGROLEOID, TIMESTAMPTZOID,
		TEXTARRAYOID, TEXTARRAYOID
	};
	OwnerScope	scope;

	OwnerEnterSpi(&scope);
	RecordChange(TextDatumGetCString(values[H_TASK_TYPE - 1]), "overridden", scope.caller);
	OwnerExecute("DELETE FROM taskq.handlers WHERE task_type = $1", 1, types, values, nulls);
	OwnerExecute("INSERT INTO taskq.handlers VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,"
				 " $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)", H_COLUMNS, types, values, nulls);
	OwnerLeaveSpi(&scope);
	CatalogChanged(REL_HANDLERS);
}

Datum
taskq_register_handler(PG_FUNCTION_ARGS)
{
	Datum		values[H_COLUMNS] = {0};
	char		nulls[H_COLUMNS + 1];
	char	   *task_type;
	const TaskqHandler *old;
	Oid			run_as = InvalidOid;

	CheckArgCount(fcinfo, 18);
	CheckWritable("taskq.register_handler()");
	memset(nulls, 'n', H_COLUMNS);
	nulls[H_COLUMNS] = '\0';
	task_type = ArgName(fcinfo, 0, "task type");

	/* against a registration or unregistration of the same type that is under way */
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
		CheckMayChange(old);

	SetColumn(values, nulls, H_TASK_TYPE, CStringGetTextDatum(task_type));
	SetColumn(values, nulls, H_TAKES_JOB, BoolGetDatum(false));
	if (!PG_ARGISNULL(1))
		run_as = SetFunction(fcinfo, values, nulls);
	else if (!PG_ARGISNULL(5) || !PG_ARGISNULL(15))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("run_as and search_path are for handlers in the server"),
				 errhint("Name the function, or leave the two out to declare a type for external workers.")));
	SetDefaultsOfJobs(fcinfo, values, nulls);
	SetColumn(values, nulls, H_REGISTERED_BY, ObjectIdGetDatum(GetUserId()));
	SetColumn(values, nulls, H_REGISTERED_AT, TimestampTzGetDatum(ClockNow()));
	WriteHandler(values, nulls);
	if (OidIsValid(run_as))
		PoolMakeDefault(run_as);
	PG_RETURN_VOID();
}

/* Remove a type's row; its lock keeps claims of the type out until we commit. */
static void
RemoveHandler(const char *task_type)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(task_type)};
	OwnerScope	scope;

	OwnerEnterSpi(&scope);
	RecordChange(task_type, "unregistered", scope.caller);
	OwnerExecute("DELETE FROM taskq.handlers WHERE task_type = $1", 1, types, values, NULL);
	OwnerLeaveSpi(&scope);
	CatalogChanged(REL_HANDLERS);
}

Datum
taskq_unregister_handler(PG_FUNCTION_ARGS)
{
	char	   *task_type;
	const TaskqHandler *handler;

	CheckArgCount(fcinfo, 1);
	CheckWritable("taskq.unregister_handler()");
	task_type = ArgName(fcinfo, 0, "task type");
	HandlerLockType(task_type, true, true);
	AcceptInvalidationMessages();
	handler = HandlerFind(task_type);
	if (handler == NULL)
		PG_RETURN_BOOL(false);
	CheckMayChange(handler);
	RemoveHandler(task_type);
	PG_RETURN_BOOL(true);
}

Datum
taskq_clear_handlers(PG_FUNCTION_ARGS)
{
	TaskqHandler **sorted;
	int			n;
	int			n_mine = 0;
	char	  **mine;

	CheckArgCount(fcinfo, 0);
	CheckWritable("taskq.clear_handlers()");
	sorted = SortedHandlers(&n);
	mine = palloc(sizeof(char *) * (n + 1));
	for (int i = 0; i < n; i++)
		if (MayChange(sorted[i]))
			mine[n_mine++] = pstrdup(sorted[i]->task_type);
	for (int i = 0; i < n_mine; i++)
	{
		HandlerLockType(mine[i], true, true);
		RemoveHandler(mine[i]);
	}
	PG_RETURN_INT32(n_mine);
}

/* pause -------------------------------------------------------------------- */

/* Set or clear "paused"; did that change anything? */
static bool
SetPaused(const char *task_type, bool paused)
{
	Oid			types[] = {TEXTOID, BOOLOID};
	Datum		values[] = {CStringGetTextDatum(task_type), BoolGetDatum(paused)};
	OwnerScope	scope;
	bool		changed;

	OwnerEnterSpi(&scope);
	changed = OwnerExecute("UPDATE taskq.handlers SET paused = $2 WHERE task_type = $1 AND paused <> $2",
						   2, types, values, NULL) > 0;
	OwnerLeaveSpi(&scope);
	if (changed)
		CatalogChanged(REL_HANDLERS);
	return changed;
}

/* Let a type rest whose handler cannot work as the database is now. */
void
HandlerPause(const char *task_type)
{
	(void) SetPaused(task_type, true);
}

static bool
SetPausedBySql(FunctionCallInfo fcinfo, bool paused, const char *what)
{
	char	   *task_type;

	CheckArgCount(fcinfo, 1);
	CheckWritable(what);
	task_type = ArgName(fcinfo, 0, "task type");
	if (HandlerFind(task_type) == NULL)
		RefuseUnregistered(task_type);
	return SetPaused(task_type, paused);
}

Datum
taskq_pause_handler(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(SetPausedBySql(fcinfo, true, "taskq.pause_handler()"));
}

Datum
taskq_resume_handler(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(SetPausedBySql(fcinfo, false, "taskq.resume_handler()"));
}

/* look --------------------------------------------------------------------- */

Datum
taskq_is_registered(PG_FUNCTION_ARGS)
{
	CheckArgCount(fcinfo, 1);
	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(HandlerFind(text_to_cstring(PG_GETARG_TEXT_PP(0))) != NULL);
}

Datum
taskq_get_handler(PG_FUNCTION_ARGS)
{
	char	   *task_type;
	const TaskqHandler *handler;

	CheckArgCount(fcinfo, 1);
	task_type = ArgName(fcinfo, 0, "task type");
	handler = HandlerFind(task_type);
	if (handler == NULL)
		RefuseUnregistered(task_type);
	if (handler->signature == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(handler->signature));
}

Datum
taskq_get_registered_types(PG_FUNCTION_ARGS)
{
	int			n;
	TaskqHandler **sorted = SortedHandlers(&n);
	Datum	   *types = palloc(sizeof(Datum) * (n + 1));

	CheckArgCount(fcinfo, 0);
	for (int i = 0; i < n; i++)
		types[i] = CStringGetTextDatum(sorted[i]->task_type);
	PG_RETURN_ARRAYTYPE_P(construct_array(types, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
SetText(Datum *values, bool *nulls, int i, const char *string)
{
	nulls[i] = string == NULL;
	values[i] = string == NULL ? (Datum) 0 : CStringGetTextDatum(string);
}

static void
SetDuration(Datum *values, bool *nulls, int i, int64 us)
{
	nulls[i] = us == NO_MICROSECONDS;
	values[i] = us == NO_MICROSECONDS ? (Datum) 0 : IntervalPGetDatum(MakeInterval(us));
}

/* A handler as it applies: what was not given is shown with its default. */
static void
InfoRow(const TaskqHandler *handler, Datum *values, bool *nulls)
{
	memset(nulls, false, sizeof(bool) * INFO_COLUMNS);
	SetText(values, nulls, 0, handler->task_type);
	SetText(values, nulls, 1, handler->signature);
	SetText(values, nulls, 2, handler->description);
	SetText(values, nulls, 3, handler->version);
	SetText(values, nulls, 4, handler->signature != NULL ? "in-server" : "external");
	SetText(values, nulls, 5, handler->status);
	values[6] = ObjectIdGetDatum(handler->run_as);
	nulls[6] = !OidIsValid(handler->run_as);
	values[7] = BoolGetDatum(handler->also_external);
	SetText(values, nulls, 8, handler->queue != NULL ? handler->queue : TASKQ_DEFAULT_QUEUE);
	values[9] = Int32GetDatum(handler->priority);
	values[10] = Int32GetDatum(handler->max_attempts > 0 ? handler->max_attempts : TASKQ_DEFAULT_MAX_ATTEMPTS);
	SetDuration(values, nulls, 11, handler->timeout != NO_MICROSECONDS ? handler->timeout :
				handler->signature != NULL ? (int64) taskq_job_timeout * 1000 : NO_MICROSECONDS);
	SetDuration(values, nulls, 12, handler->lease != NO_MICROSECONDS ? handler->lease : (int64) taskq_lease * 1000);
	SetText(values, nulls, 13, RetryKindName(handler->retry.kind));
	SetDuration(values, nulls, 14, handler->retry.base);
	SetDuration(values, nulls, 15, handler->retry.cap);
	SetText(values, nulls, 16, handler->search_path);
	values[17] = ObjectIdGetDatum(handler->registered_by);
	values[18] = TimestampTzGetDatum(handler->registered_at);
	values[19] = PointerGetDatum(handler->permanent_errors);
	nulls[19] = handler->permanent_errors == NULL;
	values[20] = PointerGetDatum(handler->retryable_errors);
	nulls[20] = handler->retryable_errors == NULL;
}

Datum
taskq_list_handlers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int			n;
	TaskqHandler **sorted;

	CheckArgCount(fcinfo, 0);
	InitMaterializedSRF(fcinfo, 0);
	sorted = SortedHandlers(&n);
	for (int i = 0; i < n; i++)
	{
		Datum		values[INFO_COLUMNS];
		bool		nulls[INFO_COLUMNS];

		InfoRow(sorted[i], values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* As a row of list_handlers(), or NULL when the type is not registered. */
Datum
taskq_get_handler_info(PG_FUNCTION_ARGS)
{
	Datum		values[INFO_COLUMNS];
	bool		nulls[INFO_COLUMNS];
	TupleDesc	desc;
	const TaskqHandler *handler;

	CheckArgCount(fcinfo, 1);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	handler = HandlerFind(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (handler == NULL)
		PG_RETURN_NULL();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	InfoRow(handler, values, nulls);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
