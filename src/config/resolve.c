/*
 * resolve.c
 *	  Functions and types that are stored by name, with their oid as a cache.
 *
 * A column of type regprocedure or regtype would make pg_upgrade refuse the
 * cluster.  The name is looked up by the catalogue, which asks for no rights:
 * whose rights count is the business of the caller.
 *
 * A name says little about whose code it is.  After DROP, anybody who may create
 * objects in the schema can take it, and the schema's owner can do both.  So
 * another object of the name is accepted only from those who could have had
 * their code run there anyway: the owner at registration, the role as which it
 * runs, who registered it, and superusers.  One that was renamed or moved to
 * another schema is still found by its oid.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "config/adopt.h"
#include "config/resolve.h"
#include "config/watch.h"
#include "store/object_owner.h"

/* The schema of a qualified name, or InvalidOid, and the rest of the name. */
static Oid
SchemaOf(char *qualified, char **name)
{
	char *schema;

	DeconstructQualifiedName(stringToQualifiedNameList_compat(qualified), &schema, name);
	return schema == NULL ? InvalidOid : get_namespace_oid(schema, true);
}

/* owners ------------------------------------------------------------------- */

/* Is an object of this owner as good as the one that was registered? */
static bool
IsTrusted(const StoredName *stored, Oid owner)
{
	return OidIsValid(owner) &&
		   (owner == stored->owner || owner == stored->role || owner == stored->registrar || superuser_arg(owner));
}

/*
 * Which object is meant: the one that has the name now, or the one of the oid,
 * which may have been given another name.  The oid is a word of another
 * database's where jobs do not run yet.
 */
static Oid
Choose(const StoredName *stored, Oid named, Oid (*owner_of)(Oid), bool *others)
{
	Oid cached = AdoptedHere() ? stored->oid : InvalidOid;

	*others = false;
	if (OidIsValid(named) && (named == cached || !OidIsValid(stored->owner) || IsTrusted(stored, owner_of(named))))
		return named;
	if (OidIsValid(cached) && OidIsValid(owner_of(cached)))
		return cached; /* the very object, whoever owns it now */
	*others = OidIsValid(named);
	return InvalidOid;
}

/* names -------------------------------------------------------------------- */

/*
 * The function of this signature and these argument types, or InvalidOid, then
 * with "others" where there is one but in other hands.
 */
Oid
ResolveFunction(const StoredName *stored, int n_args, const Oid *args, bool *others)
{
	char *qualified = pstrdup(stored->name);
	char *paren = strrchr(qualified, '(');
	char *name;
	Oid	  schema;
	Oid	  named = InvalidOid;

	*others = false;
	if (paren == NULL)
		return InvalidOid;
	*paren = '\0';
	schema = SchemaOf(qualified, &name);
	if (OidIsValid(schema))
		named = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
								PointerGetDatum(buildoidvector(args, n_args)), ObjectIdGetDatum(schema));
	return Choose(stored, named, FunctionOwner, others);
}

/* Have judgements made anew when the name or the oid comes to mean something else. */
void
ResolveWatch(const StoredName *stored, int n_args, const Oid *args)
{
	char *qualified = pstrdup(stored->name);
	char *paren = strrchr(qualified, '(');
	char *schema_name;
	char *name;
	Oid	  schema;

	if (OidIsValid(stored->oid))
		WatchFunction(stored->oid);
	if (paren == NULL)
		return;
	*paren = '\0';
	DeconstructQualifiedName(stringToQualifiedNameList_compat(qualified), &schema_name, &name);
	if (schema_name == NULL)
		return;
	WatchSchemaName(schema_name);
	schema = get_namespace_oid(schema_name, true);
	if (OidIsValid(schema))
		WatchFunctionName(schema, name, n_args, args);
}

/* NULL, or why a function is not one that can be called with these arguments later. */
const char *
FunctionRefusal(Oid function, int n_args, const Oid *args)
{
	HeapTuple	 tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc proc;
	const char	*refusal = NULL;

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

/*
 * Keep a function or type from being dropped, renamed or moved until the
 * transaction ends, or ReleaseObject() is called; false: it has been dropped.
 */
bool
HoldObject(Oid class, Oid object)
{
	LockDatabaseObject(class, object, 0, AccessShareLock);
	return SearchSysCacheExists1(class == TypeRelationId ? TYPEOID : PROCOID, ObjectIdGetDatum(object));
}

void
ReleaseObject(Oid class, Oid object)
{
	UnlockDatabaseObject(class, object, 0, AccessShareLock);
}

/* A function that is about to be registered exists, and will until it is. */
void
CheckFunctionExists(Oid function, const char *what)
{
	if (!HoldObject(ProcedureRelationId, function))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("%s with oid %u does not exist", what, function)));
}

/* The type of this name, or InvalidOid, as above. */
Oid
ResolveType(const StoredName *stored, bool *others)
{
	char *name;
	Oid	  schema = SchemaOf(pstrdup(stored->name), &name);
	Oid	  named = InvalidOid;

	if (OidIsValid(schema))
		named = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(name), ObjectIdGetDatum(schema));
	return Choose(stored, named, TypeOwner, others);
}

char *
QualifiedTypeName(Oid type)
{
	return format_type_extended(type, -1, FORMAT_TYPE_FORCE_QUALIFY);
}
