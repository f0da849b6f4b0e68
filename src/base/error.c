/*
 * error.c
 *	  Error types of an attempt.  Client programs in all languages use the same names.
 */
#include "taskq.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/errcodes.h"

#include "base/args.h"
#include "base/error.h"
#include "base/signature.h"

PG_FUNCTION_INFO_V1(taskq_standard_error_types);
PG_FUNCTION_INFO_V1(taskq_is_standard_error_type);
PG_FUNCTION_INFO_V1(taskq_is_retryable_error_type);
PG_FUNCTION_INFO_V1(taskq_error_type_of_http_status);

static const struct
{
	const char *name;
	bool		retryable;
} error_types[] = {
	{ ERROR_PERMANENT, false },
	{ ERROR_RETRYABLE, true },
	{ ERROR_VALIDATION, false },
	{ ERROR_TIMEOUT, true },
	{ ERROR_HANDLER, true },
	{ ERROR_WORKER_CRASH, true },
	{ ERROR_TERMINATED, true },
	{ ERROR_CANCELLED, false },
};

bool
IsStandardErrorType(const char *type)
{
	for (int i = 0; i < lengthof(error_types); i++)
		if (strcmp(error_types[i].name, type) == 0)
			return true;
	return false;
}

/*
 * Return whether an error of this type is retried.  A type that is not in the list
 * is the application's own and is retried.  An empty string is not a type: false.
 */
bool
IsRetryableErrorType(const char *type)
{
	for (int i = 0; i < lengthof(error_types); i++)
		if (strcmp(error_types[i].name, type) == 0)
			return error_types[i].retryable;
	return type[0] != '\0';
}

/*
 * Return the error type for an SQLSTATE that a handler raised.  Errors in the data
 * itself recur at each attempt, so they are permanent.  All others are retried.
 */
const char *
ErrorTypeOfSqlstate(int sqlstate)
{
	if (sqlstate == ERRCODE_TQ_PERMANENT)
		return ERROR_PERMANENT;
	if (sqlstate == ERRCODE_TQ_RETRYABLE)
		return ERROR_RETRYABLE;
	if (ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_DATA_EXCEPTION ||
		ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_FEATURE_NOT_SUPPORTED ||
		sqlstate == ERRCODE_NOT_NULL_VIOLATION ||
		sqlstate == ERRCODE_CHECK_VIOLATION)
		return ERROR_PERMANENT;
	return ERROR_HANDLER;
}

Datum
taskq_standard_error_types(PG_FUNCTION_ARGS)
{
	char *names[lengthof(error_types)];

	CheckCall(fcinfo);
	for (int i = 0; i < lengthof(error_types); i++)
		names[i] = unconstify(char *, error_types[i].name);
	PG_RETURN_ARRAYTYPE_P(StringsToNames(names, lengthof(error_types)));
}

Datum
taskq_is_standard_error_type(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(IsStandardErrorType(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

Datum
taskq_is_retryable_error_type(PG_FUNCTION_ARGS)
{
	char *name;

	CheckCall(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	PG_RETURN_BOOL(IsName(name) && IsRetryableErrorType(name));
}

/* Return whether an HTTP status is temporary: a timeout, too early, too many requests, or a server error. */
static bool
HttpStatusPasses(int status)
{
	return status == 408 || status == 425 || status == 429 || status >= 500;
}

/*
 * SQL-callable error_type_of_http_status(): classify an HTTP response.  Status NULL
 * means that no response arrived.  The result is NULL if the request succeeded.
 */
Datum
taskq_error_type_of_http_status(PG_FUNCTION_ARGS)
{
	int status;

	CheckCall(fcinfo);
	if (PG_ARGISNULL(0))
		PG_RETURN_TEXT_P(cstring_to_text(ERROR_RETRYABLE));
	status = ArgInt(fcinfo, 0, "status", 100, 599);
	if (status < 300)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(HttpStatusPasses(status) ? ERROR_RETRYABLE : ERROR_PERMANENT));
}
