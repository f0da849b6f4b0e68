/*
 * resolve.c
 *	  Functions and types that are stored by name, with their oid as a cache.
 *
 * A column of type regprocedure or regtype would make pg_upgrade refuse the
 * cluster.  The oid holds while what has it still has the name; else the name is
 * looked up again (after a restore, or DROP and CREATE).  By the catalogue, which
 * asks for no rights: whose rights count is the business of the caller.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "compat.h"
#include "resolve.h"

/* The schema of a qualified name, or InvalidOid, and the rest of the name. */
static Oid
SchemaOf(char *qualified, char **name)
{
	char	   *schema;

	DeconstructQualifiedName(stringToQualifiedNameList_compat(qualified), &schema, name);
	return schema == NULL ? InvalidOid : get_namespace_oid(schema, true);
}

/* The function of this signature and these argument types, or InvalidOid. */
Oid
ResolveFunction(const char *signature, Oid cached, int n_args, const Oid *args)
{
	char	   *qualified;
	char	   *paren;
	char	   *name;
	Oid			schema;

	if (SearchSysCacheExists1(PROCOID, ObjectIdGetDatum(cached)) &&
		strcmp(format_procedure_qualified(cached), signature) == 0)
		return cached;
	qualified = pstrdup(signature);
	paren = strrchr(qualified, '(');
	if (paren == NULL)
		return InvalidOid;
	*paren = '\0';
	schema = SchemaOf(qualified, &name);
	if (!OidIsValid(schema))
		return InvalidOid;
	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
						   PointerGetDatum(buildoidvector(args, n_args)), ObjectIdGetDatum(schema));
}

/* NULL, or why a function is not one that can be called with these arguments later. */
const char *
FunctionRefusal(Oid function, int n_args, const Oid *args)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc proc;
	const char *refusal = NULL;

	if (!HeapTupleIsValid(tuple))
		return "It does not exist.";
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	if (proc->prokind != PROKIND_FUNCTION)
		refusal = "It is not an ordinary function.";
	else if (isAnyTempNamespace(proc->pronamespace))
		refusal = "It is temporary, so no other session sees it.";
	else if (proc->proretset)
		refusal = "It returns a set.";
	else if (proc->pronargs != n_args || memcmp(proc->proargtypes.values, args, n_args * sizeof(Oid)) != 0)
		refusal = "It takes other arguments.";
	ReleaseSysCache(tuple);
	return refusal;
}

void
CheckFunctionExists(Oid function, const char *what)
{
	if (!SearchSysCacheExists1(PROCOID, ObjectIdGetDatum(function)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("%s with oid %u does not exist", what, function)));
}

/* The type of this name, or InvalidOid. */
Oid
ResolveType(const char *type, Oid cached)
{
	char	   *name;
	Oid			schema;

	if (SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(cached)) && strcmp(QualifiedTypeName(cached), type) == 0)
		return cached;
	schema = SchemaOf(pstrdup(type), &name);
	if (!OidIsValid(schema))
		return InvalidOid;
	return GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(name), ObjectIdGetDatum(schema));
}

char *
QualifiedTypeName(Oid type)
{
	return format_type_extended(type, -1, FORMAT_TYPE_FORCE_QUALIFY);
}
