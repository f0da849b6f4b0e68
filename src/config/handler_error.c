/*
 * handler_error.c
 *	  What errors in handlers are, as they were registered.
 */
#include "taskq.h"

#include "utils/array.h"

#include "base/args.h"
#include "base/error.h"
#include "config/handler.h"

/* Does a list of SQLSTATEs and classes name this one? */
static bool
ErrorsContain(ArrayType *errors, const char *sqlstate)
{
	char class[3] = { sqlstate[0], sqlstate[1], '\0' };

	return NamesContain(errors, sqlstate) || NamesContain(errors, class);
}

/* What an error in a type's handler is: as registered, else as usual. */
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

/* Has who registered the type said what an error of this kind is? */
bool
HandlerDeclaresError(const char *task_type, int sqlstate)
{
	const TaskqHandler *handler = HandlerFind(task_type);
	const char		   *text = unpack_sql_state(sqlstate);

	return handler != NULL && (ErrorsContain(handler->permanent_errors, text) || ErrorsContain(handler->retryable_errors, text));
}
