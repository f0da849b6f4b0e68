/*
 * resolve.c
 *	  Functions and types that are stored by name, together with their cached OIDs.
 *
 * Columns of type regprocedure or regtype cannot be used, because pg_upgrade
 * refuses them.  A name is looked up in the system catalogs without a check of
 * privileges.  Callers check the privileges of the role that matters.
 *
 * A name alone does not identify the owner of an object.  After DROP, anybody who
 * may create objects in the schema can take the name, and the owner of the schema
 * can do both.  So another object of the same name is accepted only if its owner
 * could have run code there anyway: the owner of the registered object, the role as
 * which it runs, the role that registered it, and superusers.  An object that was
 * renamed or moved to another schema is still found by its OID.
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
#include "config/depends_on.h"
#include "store/object_owner.h"

/*
 * Split a qualified name.  Returns the OID of the schema, or InvalidOid, and the
 * rest of the name.
 */
static Oid
SchemaOf(char *qualified, char **name)
{
	char *schema;

	DeconstructQualifiedName(stringToQualifiedNameList_compat(qualified), &schema, name);
	return schema == NULL ? InvalidOid : get_namespace_oid(schema, true);
}

/* owners ------------------------------------------------------------------- */

/* Is an object of this owner accepted in place of the registered one? */
static bool
IsTrusted(const StoredName *stored, Oid owner)
{
	return OidIsValid(owner) &&
		   (owner == stored->owner || owner == stored->role || owner == stored->registrar || superuser_arg(owner));
}

/*
 * Choose between the object that has the name now and the object of the cached OID,
 * which may have been renamed.  In a database that is not adopted yet, the cached
 * OID comes from another database and is ignored.
 */
static Oid
ChooseObject(const StoredName *stored, Oid named, Oid (*owner_of)(Oid), bool *others)
{
	Oid cached = AdoptedHere() ? stored->oid : InvalidOid;

	*others = false;
	if (OidIsValid(named) && (named == cached || !OidIsValid(stored->owner) || IsTrusted(stored, owner_of(named))))
		return named;
	if (OidIsValid(cached) && OidIsValid(owner_of(cached)))
		return cached;											/* the registered object itself; its owner does not matter */
	*others = OidIsValid(named) && OidIsValid(owner_of(named)); /* it may just have been dropped */
	return InvalidOid;
}

/* names -------------------------------------------------------------------- */

/*
 * Find the function of a stored signature with these argument types.  Returns
 * InvalidOid if there is none.  Then "others" says whether there is one of an owner
 * who is not accepted.
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
	return ChooseObject(stored, named, FunctionOwner, others);
}

/* Watch the name and the OID, so that handlers are judged again if either means another function. */
void
ResolveWatch(const StoredName *stored, int n_args, const Oid *args)
{
	char *qualified = pstrdup(stored->name);
	char *paren = strrchr(qualified, '(');
	char *schema_name;
	char *name;
	Oid	  schema;

	if (OidIsValid(stored->oid))
		DependsOnFunction(stored->oid);
	if (paren == NULL)
		return;
	*paren = '\0';
	DeconstructQualifiedName(stringToQualifiedNameList_compat(qualified), &schema_name, &name);
	if (schema_name == NULL)
		return;
	DependsOnSchemaName(schema_name);
	schema = get_namespace_oid(schema_name, true);
	if (OidIsValid(schema))
		DependsOnFunctionName(schema, name, n_args, args);
}

/*
 * Return why a function cannot be called with these arguments later, or NULL if it can.
 * Then "answer" is the type that it returns.
 */
const char *
FunctionRefusal(Oid function, int n_args, const Oid *args, Oid *answer)
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
	*answer = proc->prorettype;
	ReleaseSysCache(tuple);
	return refusal;
}

/*
 * Lock a function or type, so that it is not dropped, renamed or moved before the
 * transaction ends or ReleaseObject() is called.  Returns false if it does not
 * exist any more.
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

/*
 * Check that a function that is about to be registered exists, and lock it so that
 * it is not dropped before that.
 */
void
CheckFunctionExists(Oid function, const char *what)
{
	if (!HoldObject(ProcedureRelationId, function))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("%s with OID %u does not exist", what, function)));
}

/* Find the type of a stored name, or return InvalidOid, like ResolveFunction(). */
Oid
ResolveType(const StoredName *stored, bool *others)
{
	char *name;
	Oid	  schema = SchemaOf(pstrdup(stored->name), &name);
	Oid	  named = InvalidOid;

	if (OidIsValid(schema))
		named = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(name), ObjectIdGetDatum(schema));
	return ChooseObject(stored, named, TypeOwner, others);
}

/* Return a type's name, or NULL if the type does not exist any more. */
char *
QualifiedTypeName(Oid type)
{
	return format_type_extended(type, -1, FORMAT_TYPE_FORCE_QUALIFY | FORMAT_TYPE_INVALID_AS_NULL);
}
