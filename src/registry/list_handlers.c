/*
 * list_handlers.c
 *	  Functions that show the registry: list_handlers(), get_handler() and the like.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/guc.h"
#include "base/rows.h"
#include "base/signature.h"
#include "config/contract.h"
#include "config/handler.h"
#include "registry/retry_function.h"

PG_FUNCTION_INFO_V1(taskq_is_registered);
PG_FUNCTION_INFO_V1(taskq_get_handler);
PG_FUNCTION_INFO_V1(taskq_get_registered_types);
PG_FUNCTION_INFO_V1(taskq_list_handlers);
PG_FUNCTION_INFO_V1(taskq_get_handler_info);

/* The result columns of list_handlers() and get_handler_info(). */
static const Oid info_columns[] = {
	TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, REGROLEOID, BOOLOID,
	TEXTOID, INT4OID, INT4OID, INTERVALOID, INTERVALOID, TEXTOID, INTERVALOID, INTERVALOID,
	TEXTOID, REGROLEOID, TIMESTAMPTZOID, TEXTARRAYOID, TEXTARRAYOID, BOOLOID, TEXTOID, JSONBOID,
	JSONBOID, TEXTOID, TEXTOID, INTERVALOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, BOOLOID
};

#define INFO_COLUMNS lengthof(info_columns)

Datum
taskq_is_registered(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(HandlerFind(text_to_cstring(PG_GETARG_TEXT_PP(0))) != NULL);
}

Datum
taskq_get_handler(PG_FUNCTION_ARGS)
{
	char			   *task_type;
	const TaskqHandler *handler;

	CheckCall(fcinfo);
	task_type = ArgName(fcinfo, 0, "task type");
	handler = HandlerFind(task_type);
	if (handler == NULL)
		HandlerRefuseUnregistered(task_type);
	if (handler->signature == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(handler->signature));
}

Datum
taskq_get_registered_types(PG_FUNCTION_ARGS)
{
	int					 n;
	const TaskqHandler **sorted = HandlersSorted(&n);
	Datum				*types = palloc(sizeof(Datum) * (n + 1));

	CheckCall(fcinfo);
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

static void
SetJson(Datum *values, bool *nulls, int i, struct varlena *json)
{
	nulls[i] = json == NULL;
	values[i] = PointerGetDatum(json);
}

static const char *
OkOr(const char *refusal)
{
	return refusal == NULL ? "ok" : refusal;
}

/* Fill in the columns of the type's contract, and whether payloads can be checked by it now. */
static void
ContractColumns(const TaskqHandler *handler, Datum *values, bool *nulls)
{
	static const TaskqContract none;
	TaskqContract			   contract = handler->contract != NULL ? *handler->contract : none;
	const char				  *refusal = ContractRefusal(&contract, HandlerRole(handler), handler->registered_by);

	SetText(values, nulls, 22, contract.payload_type);
	SetJson(values, nulls, 23, contract.required_fields);
	SetJson(values, nulls, 24, contract.optional_fields);
	SetText(values, nulls, 25, contract.validator);
	SetText(values, nulls, 26, handler->contract == NULL ? NULL : OkOr(refusal));
}

static void
RetryFunctionColumns(const TaskqHandler *handler, Datum *values, bool *nulls)
{
	StoredName	stored = HandlerRetryFunction(handler);
	const char *refusal = NULL;

	if (stored.name != NULL)
		refusal = RetryFunctionRefusal(&stored);
	SetText(values, nulls, 28, stored.name);
	SetText(values, nulls, 29, handler->retry_function == NULL ? NULL : OkOr(refusal));
}

static const char *
PlaceOfRun(const TaskqHandler *handler)
{
	if (handler->signature == NULL)
		return "external";
	return handler->form.stepwise ? "stepwise" : "in-server";
}

/* Return the timeout in microseconds.  Types without a function have NO_MICROSECONDS unless a timeout was registered. */
static int64
TimeoutOf(const TaskqHandler *handler)
{
	if (handler->timeout != NO_MICROSECONDS || handler->signature == NULL)
		return handler->timeout;
	return (int64) taskq_job_timeout * 1000;
}

/* Fill in the row of a handler.  What was not registered is shown with its default. */
static void
InfoRow(const TaskqHandler *handler, Datum *values, bool *nulls)
{
	memset(nulls, false, sizeof(bool) * INFO_COLUMNS);
	SetText(values, nulls, 0, handler->task_type);
	SetText(values, nulls, 1, handler->signature);
	SetText(values, nulls, 2, handler->description);
	SetText(values, nulls, 3, handler->version);
	SetText(values, nulls, 4, PlaceOfRun(handler));
	SetText(values, nulls, 5, handler->on_trial ? "on trial" : handler->status);
	values[6] = ObjectIdGetDatum(handler->run_as);
	nulls[6] = !OidIsValid(handler->run_as);
	values[7] = BoolGetDatum(handler->also_external);
	SetText(values, nulls, 8, handler->queue != NULL ? handler->queue : TASKQ_DEFAULT_QUEUE);
	values[9] = Int32GetDatum(handler->priority);
	values[10] = Int32GetDatum(handler->max_attempts > 0 ? handler->max_attempts : TASKQ_DEFAULT_MAX_ATTEMPTS);
	SetDuration(values, nulls, 11, TimeoutOf(handler));
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
	values[21] = BoolGetDatum(handler->share_commit);
	ContractColumns(handler, values, nulls);
	SetDuration(values, nulls, 27, handler->lock_timeout);
	RetryFunctionColumns(handler, values, nulls);
	SetText(values, nulls, 30, handler->paused_because);
	values[31] = TimestampTzGetDatum(handler->trial_at);
	nulls[31] = handler->trial_at == 0;
	values[32] = BoolGetDatum(handler->async_commit);
}

Datum
taskq_list_handlers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo		*result = (ReturnSetInfo *) fcinfo->resultinfo;
	int					 n;
	const TaskqHandler **sorted;

	CheckCall(fcinfo);
	BeginRows(fcinfo, INFO_COLUMNS, info_columns);
	sorted = HandlersSorted(&n);
	for (int i = 0; i < n; i++)
	{
		Datum values[INFO_COLUMNS];
		bool  nulls[INFO_COLUMNS];

		InfoRow(sorted[i], values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* SQL-callable get_handler_info(): a row of list_handlers(), or NULL if the type is not registered. */
Datum
taskq_get_handler_info(PG_FUNCTION_ARGS)
{
	Datum				values[INFO_COLUMNS];
	bool				nulls[INFO_COLUMNS];
	TupleDesc			desc;
	const TaskqHandler *handler;

	CheckCall(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	handler = HandlerFind(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (handler == NULL)
		PG_RETURN_NULL();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	CheckColumns(desc, INFO_COLUMNS, info_columns);
	InfoRow(handler, values, nulls);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
