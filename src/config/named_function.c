/*
 * named_function.c
 *	  Functions that a caller names in text, with or without argument types.
 *
 * A parameter of type regprocedure takes a signature only, and says of a plain
 * name no more than that it expects a parenthesis.  As text, a name that only
 * one function has is enough, and the error can say what is wanted.
 */
#include "taskq.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "config/named_function.h"

/* Add what is wanted to PostgreSQL's own error about the name. */
static void
SayWhatIsWanted(void *arg)
{
	errhint("Give %s as the name of one function, such as \"app.work\", or with the types of its arguments, such as \"app.work(jsonb)\".",
			(const char *) arg);
}

/*
 * The function, found as the caller finds it: by the search_path and with the
 * caller's rights on schemas.  "argument" is the argument's name, for errors.
 */
Oid
NamedFunction(const char *name, const char *argument)
{
	PGFunction			 input = strchr(name, '(') != NULL ? regprocedurein : regprocin;
	ErrorContextCallback callback = { .callback = SayWhatIsWanted, .arg = unconstify(char *, argument) };
	Oid					 function;

	/* the input functions take a number, or "-", for any oid at all */
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
