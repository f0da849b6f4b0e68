/*
 * handler.c
 *	  Handlers in memory: which handler runs which task type.
 *
 * The signature of a handler's function is stored as text, together with the
 * function's cached OID and its owner (see resolve.c).  While the signature names
 * no function, or a function of another owner, the handler is unresolved and its
 * jobs wait.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/guc.h"
#include "config/cache.h"
#include "config/depends_on.h"
#include "config/handler.h"
#include "config/pause.h"
#include "config/roles.h"
#include "config/stale.h"
#include "shared/locks.h"
#include "shared/wake.h"
#include "store/row.h"

/* Return the contract of a handler, or NULL if payloads may be anything. */
static TaskqContract *
ContractOfRow(const HandlerRow *row)
{
	TaskqContract contract = {
		.payload_type = row->payload_type,
		.payload_type_oid = row->payload_type_oid,
		.required_fields = row->required_fields,
		.optional_fields = row->optional_fields,
		.validator = row->validator,
		.validator_oid = row->validator_oid,
		.payload_type_owner = row->payload_type_owner,
		.validator_owner = row->validator_owner,
	};

	if (!ContractExists(&contract))
		return NULL;
	return memcpy(palloc(sizeof(TaskqContract)), &contract, sizeof(TaskqContract));
}

static RetryPolicy
RetryOfRow(const HandlerRow *row)
{
	RetryPolicy retry = RetryDefault();

	if (row->retry_policy != NULL)
		(void) RetryKindByName(row->retry_policy, &retry.kind);
	if (row->retry_base != NO_MICROSECONDS)
		retry.base = row->retry_base;
	if (row->retry_cap != NO_MICROSECONDS)
		retry.cap = row->retry_cap;
	return retry;
}

/* Read a row.  What depends on anything but the row is found out by Judged(). */
static void *
ReadHandler(TupleTableSlot *slot)
{
	TaskqHandler *handler = palloc0(sizeof(TaskqHandler));
	HandlerRow	  row;

	RowReadHandler(&row, slot);
	strlcpy(handler->task_type, row.task_type, sizeof(handler->task_type));
	handler->stored_signature = handler->signature = row.signature;
	handler->form.takes_job = row.takes_job;
	handler->form.stepwise = row.stepwise;
	handler->function_recorded = row.function_oid;
	handler->function_owner = row.function_owner;
	handler->run_as = row.run_as;
	handler->registered_by = row.registered_by;
	handler->registered_at = row.registered_at;
	handler->search_path = row.search_path;
	handler->description = row.description;
	handler->version = row.version;
	handler->also_external = row.also_external;
	handler->queue = row.queue;
	handler->priority = row.priority;
	handler->max_attempts = row.max_attempts;
	handler->timeout = row.timeout;
	handler->lease = row.lease;
	handler->lock_timeout = row.lock_timeout;
	handler->share_commit = row.share_commit;
	handler->async_commit = row.async_commit;
	handler->retry = RetryOfRow(&row);
	handler->retry_function = row.retry_function;
	handler->retry_function_oid = row.retry_function_oid;
	handler->retry_function_owner = row.retry_function_owner;
	handler->permanent_errors = row.permanent_errors;
	handler->retryable_errors = row.retryable_errors;
	handler->contract = ContractOfRow(&row);
	handler->pause.paused = row.paused;
	handler->pause.because = row.paused_because;
	handler->pause.function_mark = row.paused_function;
	handler->pause.trial_at = row.trial_at;
	handler->pause.on_trial = row.on_trial;
	return handler;
}

static ConfigCache handlers = {
	.rel = REL_HANDLERS,
	.name = "taskq handlers",
	.read = ReadHandler,
};

/* judging ------------------------------------------------------------------ */

/* Find the function of a handler as it is now.  It may have been renamed. */
static void
FindFunction(TaskqHandler *handler)
{
	StoredName	stored = { handler->stored_signature, handler->function_recorded, handler->function_owner,
						   HandlerRole(handler), handler->registered_by };
	Oid			args[] = { handler->form.takes_job ? CatalogJobType() : JSONBOID, JSONBOID };
	const char *types = strrchr(handler->stored_signature, '('); /* the name may have a comma, too */

	/* the second argument is a procedure's result */
	int n_args = types == NULL || strchr(types, ',') == NULL ? 1 : 2;

	ResolveWatch(&stored, n_args, args);
	handler->function = ResolveFunction(&stored, n_args, args, &handler->owner_changed);
	if (!OidIsValid(handler->function))
		return;
	DependsOnFunction(handler->function);
	DependsOnSchema(get_func_namespace(handler->function));
	handler->signature = ConfigString(&handlers, format_procedure_qualified(handler->function));
}

/* Return why a handler's function cannot be found, for its status, or NULL. */
static const char *
WhyUnresolved(const TaskqHandler *handler)
{
	if (handler->owner_changed)
		return "unresolved: owner changed";
	if (!OidIsValid(handler->function))
		return "unresolved: its function does not exist";
	if (!HandlerFunctionFits(handler->function, handler->form))
		return "unresolved: its function is not a handler any more";
	return NULL;
}

/* Return why a handler's function cannot be called, for its status, or NULL. */
static const char *
WhyUnrunnable(const TaskqHandler *handler)
{
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(handler->run_as)))
		return "unrunnable: its role does not exist";
	if (WorkerNeedsLogin_compat() && !RoleMayLogin(handler->run_as))
		return "unrunnable: its role may not log in, and needs LOGIN";
	if (!MayConnect_compat(MyDatabaseId, handler->run_as))
		return "unrunnable: its role may not connect to this database";
	if (!MayExecute_compat(handler->function, handler->run_as))
		return "unrunnable: its role may not execute the function";
	if (superuser_arg(handler->run_as) && !taskq_allow_superuser_handlers)
		return "unrunnable: its role is a superuser and taskq.allow_superuser_handlers is off";
	return NULL;
}

/* Set whether the handler can run, and its status. */
static void
JudgeHandler(TaskqHandler *handler)
{
	const char *why;

	handler->cannot_run = REASON_NONE;
	handler->status = "ok";
	if (handler->paused && !handler->on_trial)
	{
		handler->cannot_run = REASON_HANDLER_PAUSED;
		handler->status = "paused";
	}
	else if (handler->signature == NULL)
		return;
	else if ((why = WhyUnresolved(handler)) != NULL)
	{
		handler->cannot_run = REASON_HANDLER_UNRESOLVED;
		handler->status = why;
	}
	else if ((why = WhyUnrunnable(handler)) != NULL)
	{
		handler->cannot_run = REASON_HANDLER_UNRUNNABLE;
		handler->status = why;
	}
}

/*
 * Read whether the type is paused, and until when.  The handler's function must
 * have been found before.
 */
static void
JudgePause(TaskqHandler *handler)
{
	const HandlerPause *pause = &handler->pause;

	handler->pause_is_over = pause->paused && pause->function_mark != NULL &&
							 strcmp(pause->function_mark, PauseFunctionMark(handler->function)) != 0;
	handler->paused = pause->paused && !handler->pause_is_over;
	handler->on_trial = handler->paused && pause->on_trial;
	handler->paused_because = handler->pause_is_over ? NULL : pause->because;
	handler->trial_at = handler->pause_is_over ? 0 : pause->trial_at;
}

/*
 * Find out what depends on functions, schemas, roles and settings.  This does not
 * read the table.  Callers may still use the handler as it was judged before, so
 * another judgement makes a copy.
 */
static const TaskqHandler *
Judged(TaskqHandler *handler)
{
	uint64 version = ConfigJudgementVersion();

	if (handler->judged == version)
		return handler;
	if (handler->judged != 0)
		handler = ConfigCopy(&handlers, handler, sizeof(TaskqHandler));
	handler->function = InvalidOid;
	handler->owner_changed = false;
	handler->signature = handler->stored_signature;
	if (handler->signature != NULL)
		FindFunction(handler);
	JudgePause(handler);
	JudgeHandler(handler);
	handler->judged = version;
	return handler;
}

/* look-up ------------------------------------------------------------------ */

/* Find the handler of a task type.  Returns NULL if the type is not registered. */
const TaskqHandler *
HandlerFind(const char *task_type)
{
	TaskqHandler *handler = ConfigFind(&handlers, task_type);

	return handler == NULL ? NULL : Judged(handler);
}

RetryPolicy
HandlerRetryPolicy(const char *task_type)
{
	const TaskqHandler *handler = HandlerFind(task_type);

	return handler == NULL ? RetryDefault() : handler->retry;
}

/*
 * Return the role as which a handler's code runs.  For an external type, this is
 * the role that registered it.
 */
Oid
HandlerRole(const TaskqHandler *handler)
{
	return OidIsValid(handler->run_as) ? handler->run_as : handler->registered_by;
}

/*
 * Return the retry function of a handler as it is stored.  If there is none, the
 * name is NULL.
 */
StoredName
HandlerRetryFunction(const TaskqHandler *handler)
{
	return (StoredName){ handler->retry_function, handler->retry_function_oid, handler->retry_function_owner,
						 HandlerRole(handler), handler->registered_by };
}

static int
CompareHandlers(const void *a, const void *b)
{
	return strcmp((*(TaskqHandler *const *) a)->task_type, (*(TaskqHandler *const *) b)->task_type);
}

/* Return all handlers, sorted by task type, in an array that belongs to the caller. */
const TaskqHandler **
HandlersSorted(int *n)
{
	const TaskqHandler **sorted = (const TaskqHandler **) ConfigAll(&handlers, n);

	for (int i = 0; i < *n; i++)
		sorted[i] = Judged(unconstify(TaskqHandler *, sorted[i]));
	qsort(sorted, *n, sizeof(TaskqHandler *), CompareHandlers);
	return sorted;
}

/* Return the handlers whose rows say "paused", in an array that belongs to the caller. */
const TaskqHandler **
HandlersPaused(int *n)
{
	int					 n_all;
	const TaskqHandler **all = (const TaskqHandler **) ConfigAll(&handlers, &n_all);

	*n = 0;
	for (int i = 0; i < n_all; i++)
		if (all[i]->pause.paused)
			all[(*n)++] = Judged(unconstify(TaskqHandler *, all[i]));
	return all;
}

/* List the registered task types, for error messages. */
char *
HandlerTypesText(void)
{
	StringInfoData		 text;
	int					 n;
	const TaskqHandler **sorted = HandlersSorted(&n);

	initStringInfo(&text);
	for (int i = 0; i < n && text.len < 1000; i++)
		appendStringInfo(&text, "%s%s", i > 0 ? ", " : "", sorted[i]->task_type);
	if (n == 0)
		appendStringInfoString(&text, "none");
	return text.data;
}

/*
 * Return the number of those of the types that nobody has registered, and set *list to
 * their names, for messages.  The types may be NULL.
 */
int
HandlerUnknownTypes(ArrayType *task_types, char **list)
{
	StringInfoData text;
	char		 **types;
	int			   n = 0;
	int			   unknown = 0;

	initStringInfo(&text);
	types = task_types == NULL ? NULL : NamesToStrings(task_types, &n, "task_types");
	for (int i = 0; i < n; i++)
		if (HandlerFind(types[i]) == NULL)
			appendStringInfo(&text, "%s\"%s\"", unknown++ > 0 ? ", " : "", types[i]);
	*list = text.data;
	return unknown;
}

void
HandlerRefuseUnregistered(const char *task_type)
{
	ereport(ERROR,
			(errcode(ERRCODE_TQ_NOT_REGISTERED),
			 errmsg("no handler registered for task type \"%s\"", task_type),
			 errdetail("Registered types: %s.", HandlerTypesText()),
			 errhint("Register one with taskq.register_handler().")));
}

/* locks -------------------------------------------------------------------- */

/*
 * Lock a task type until the transaction ends.  Registrations and unregistrations of a type
 * exclude each other, and the sweep of unhandled jobs, which shares the lock.  A claim
 * needs no lock; see IsStillAllowed().
 */
bool
HandlerLockType(const char *task_type, bool exclusive, bool wait)
{
	return LockKey(LOCK_TASK_TYPE, NameKey(task_type), exclusive, wait);
}

/* Has this transaction locked the type in this mode?  For assertions. */
bool
HandlerTypeIsLocked(const char *task_type, bool exclusive)
{
	return LockKeyIsHeld(LOCK_TASK_TYPE, NameKey(task_type), exclusive);
}
