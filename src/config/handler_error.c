/*
 * handler_error.c
 *	  Classifying errors in handlers, by what was registered.
 */
#include "taskq.h"

#include "utils/array.h"

#include "base/args.h"
#include "base/error.h"
#include "config/handler.h"

/* Does a list of SQLSTATEs and classes contain this SQLSTATE or its class? */
static bool
ErrorsContain(ArrayType *errors, const char *sqlstate)
{
	char class[3] = { sqlstate[0], sqlstate[1], '\0' };

	return NamesContain(errors, sqlstate) || NamesContain(errors, class);
}

/* Return the error type of an error in a handler, as registered or by default. */
const char *
HandlerErrorType(const char *task_type, int sqlstate)
{
	const TaskqHandler *handler = HandlerFind(task_type);
	const char		   *text = unpack_sql_state(sqlstate);

	if (handler != NULL && ErrorsContain(handler->permanent_errors, text))
		return ERROR_PERMANENT;
	if (handler != NULL && ErrorsContain(handler->retryable_errors, text))
		return ERROR_RETRYABLE;
	return ErrorTypeOfSqlstate(sqlstate);
}

/* Does the registration of the type say how to treat this error? */
bool
HandlerDeclaresError(const char *task_type, int sqlstate)
{
	const TaskqHandler *handler = HandlerFind(task_type);
	const char		   *text = unpack_sql_state(sqlstate);

	return handler != NULL && (ErrorsContain(handler->permanent_errors, text) || ErrorsContain(handler->retryable_errors, text));
}
