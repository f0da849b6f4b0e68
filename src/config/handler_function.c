/*
 * handler_function.c
 *	  Checking whether a function can be a handler.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "config/handler.h"
#include "store/catalog.h"

static const char *
MisfitOfFunction(Form_pg_proc proc)
{
	if (proc->proretset)
		return "It returns a set.";
	if (proc->prorettype != JSONBOID)
		return "It does not return jsonb.";
	if (proc->pronargs != 1)
		return "Its argument is not one jsonb or one taskq.job.";
	return NULL;
}

/*
 * Return why a procedure cannot be a handler, or NULL if it can.  It may have a
 * second argument, for the result.
 */
static const char *
MisfitOfProcedure(HeapTuple tuple)
{
	Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(tuple);
	Oid			*types;
	char	   **names;
	char		*modes;
	int			 n = get_func_arg_info(tuple, &types, &names, &modes);

	if (proc->prosecdef)
		return "It is SECURITY DEFINER, and such a procedure cannot commit.";
	if (!heap_attisnull(tuple, Anum_pg_proc_proconfig, NULL))
		return "It has a SET clause, and such a procedure cannot commit.";
	if (n == 2 && types[1] == JSONBOID && modes != NULL && modes[0] == PROARGMODE_IN &&
		(modes[1] == PROARGMODE_INOUT || modes[1] == PROARGMODE_OUT))
		return NULL;
	if (n != 1 || (modes != NULL && modes[0] != PROARGMODE_IN))
		return "Its arguments are not one jsonb or one taskq.job, and INOUT one jsonb for a result if it has one.";
	return NULL;
}

/*
 * Find the form of a handler's function.  Returns why the function cannot be a
 * handler, or NULL if it can.
 */
const char *
HandlerMisfit(Oid function, HandlerForm *form)
{
	HeapTuple	 tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc proc;
	const char	*misfit;

	if (!HeapTupleIsValid(tuple))
		return "It does not exist.";
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	form->stepwise = proc->prokind == PROKIND_PROCEDURE;
	if (!form->stepwise && proc->prokind != PROKIND_FUNCTION)
		misfit = "It is not an ordinary function.";
	else if (isAnyTempNamespace(proc->pronamespace))
		misfit = "It is temporary, so no worker sees it.";
	else
		misfit = form->stepwise ? MisfitOfProcedure(tuple) : MisfitOfFunction(proc);
	if (misfit == NULL)
	{
		form->takes_job = proc->proargtypes.values[0] != JSONBOID;
		if (form->takes_job && proc->proargtypes.values[0] != CatalogJobType())
			misfit = "Its argument is not one jsonb or one taskq.job.";
	}
	ReleaseSysCache(tuple);
	return misfit;
}

/*
 * Does a function still have the form that was registered?  Only the signature is
 * stored.  The function may have been dropped and created again with another result
 * type, and values of that must not be used as jsonb.
 */
bool
HandlerFunctionFits(Oid function, HandlerForm form)
{
	HandlerForm now;

	return HandlerMisfit(function, &now) == NULL && now.takes_job == form.takes_job && now.stepwise == form.stepwise;
}
