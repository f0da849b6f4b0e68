/*
 * named_function.c
 *	  Functions that a caller names by text, with or without argument types.
 *
 * A parameter of type regprocedure accepts a signature only.  For a name without
 * arguments, its error message says only that a parenthesis is expected.  With a
 * parameter of type text, a name that belongs to only one function is enough, and
 * the error message can say what is expected.
 */
#include "taskq.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "config/named_function.h"

/* Add to PostgreSQL's own error about a name what is expected. */
static void
SayWhatIsWanted(void *arg)
{
	if (geterrcode() == ERRCODE_INSUFFICIENT_PRIVILEGE)
		return;
	errhint("Give %s as the name of one function, such as \"app.work\", or with the types of its arguments, such as \"app.work(jsonb)\".",
			(const char *) arg);
}

/*
 * Find a function by its name or signature, with the caller's search_path and
 * privileges on schemas.  "argument" is the name of the argument, for error
 * messages.
 */
Oid
NamedFunction(const char *name, const char *argument)
{
	PGFunction			 input = strchr(name, '(') != NULL ? regprocedurein : regprocin;
	ErrorContextCallback callback = { .callback = SayWhatIsWanted, .arg = unconstify(char *, argument) };
	Oid					 function;

	/* the input functions also accept a number, which may be any OID, and "-" */
	if (name[0] == '\0' || name[0] == '-' || strspn(name, "0123456789") == strlen(name))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function \"%s\" does not exist", name),
				 errhint("Give %s as the name of one function, such as \"app.work\", or with the types of its arguments, such as \"app.work(jsonb)\".",
						 argument)));
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	function = DatumGetObjectId(DirectFunctionCall1(input, CStringGetDatum(name)));
	error_context_stack = callback.previous;
	return function;
}
