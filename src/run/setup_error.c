/*
 * setup_error.c
 *	  Telling errors of the database's setup from those of one job's data.
 */
#include "taskq.h"

#include "fmgr.h"
#include "utils/jsonb.h"

#include "config/handler.h"
#include "run/setup_error.h"

#define MAX_NAME (4 * NAMEDATALEN) /* of an object, with its schema or argument types */

/* Return whether the error was raised by a RAISE of PL/pgSQL, with whatever SQLSTATE. */
static bool
IsRaisedByCode(const ErrorData *error)
{
	return error->funcname != NULL && strcmp(error->funcname, "exec_stmt_raise") == 0;
}

/* Return whether a setting has refused its new value, such as the role of a SET ROLE. */
static bool
IsOfSettingValue(const ErrorData *error)
{
	return error->funcname != NULL && strcmp(error->funcname, "call_string_check_hook") == 0;
}

/* Return whether a message names an object by this name, as in: relation "app.name". */
static bool
MessageNames(const char *message, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = strstr(message, name); at != NULL && length > 0; at = strstr(at + 1, name))
	{
		char before = at == message ? ' ' : at[-1];
		char after = at[length];

		if ((before == '"' || before == '.') && (after == '"' || after == '.'))
			return true;
		if ((before == ' ' || before == '.') && after == '(')
			return true;
	}
	return false;
}

/* Return whether a string of the payload is the name of an object that the error names. */
static bool
IsNamedByPayload(const Run *run)
{
	Jsonb			  *payload = (Jsonb *) run->job.payload;
	JsonbIterator	  *iterator;
	JsonbIteratorToken token;
	JsonbValue		   value;
	char			   name[MAX_NAME + 1];

	if (payload == NULL || run->error->message == NULL)
		return false;
	iterator = JsonbIteratorInit(&((Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(payload)))->root);
	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		if ((token != WJB_VALUE && token != WJB_ELEM) || value.type != jbvString || value.val.string.len > MAX_NAME)
			continue;
		memcpy(name, value.val.string.val, value.val.string.len);
		name[value.val.string.len] = '\0';
		if (MessageNames(run->error->message, name))
			return true;
	}
	return false;
}

/*
 * Return whether the error is probably caused by the database's setup, such as an
 * unfinished migration, and not by the job: an object is missing, is of another kind
 * or may not be used.  Errors that a payload can cause in a database that is set up
 * correctly do not count: an object that the payload names or that exists already, a
 * name that is too long, a row that a policy refuses, text of the payload that the input
 * function of a type or a setting refuses, what the handler itself says is missing, and
 * the SQLSTATEs that the handler declares.
 */
bool
ErrorIsOfSetup(const Run *run)
{
	const ErrorData *error = run->error;
	int				 sqlstate = error->sqlerrcode;

	if (run->refused == sqlstate || HandlerDeclaresError(run->task_type, sqlstate))
		return false;
	switch (sqlstate)
	{
		case ERRCODE_UNDEFINED_COLUMN:
		case ERRCODE_AMBIGUOUS_COLUMN:
		case ERRCODE_AMBIGUOUS_PARAMETER:
		case ERRCODE_AMBIGUOUS_ALIAS:
		case ERRCODE_DATATYPE_MISMATCH:
		case ERRCODE_CANNOT_COERCE:
		case ERRCODE_INVALID_COLUMN_REFERENCE:
		case ERRCODE_INVALID_FUNCTION_DEFINITION:
			return !IsRaisedByCode(error);
		case ERRCODE_UNDEFINED_TABLE:
		case ERRCODE_UNDEFINED_FUNCTION:
		case ERRCODE_UNDEFINED_SCHEMA:
		case ERRCODE_AMBIGUOUS_FUNCTION:
		case ERRCODE_WRONG_OBJECT_TYPE:
			return !IsRaisedByCode(error) && !IsNamedByPayload(run);
		case ERRCODE_INSUFFICIENT_PRIVILEGE:
			return !IsRaisedByCode(error) && !IsOfSettingValue(error) && !IsNamedByPayload(run);

		/* the parser says where in the statement; input functions have the same SQLSTATEs */
		case ERRCODE_UNDEFINED_OBJECT:
		case ERRCODE_SYNTAX_ERROR:
			return (error->cursorpos > 0 || error->internalpos > 0) && !IsNamedByPayload(run);
		default:
			return ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION;
	}
}
