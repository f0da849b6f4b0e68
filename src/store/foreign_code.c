/*
 * foreign_code.c
 *	  Deciding whether an expression or a type uses code that is not trusted like
 *	  the extension's own.
 *
 * An expression of an index, a constraint or a generated column is evaluated as the
 * extension's owner, with the settings of whoever writes the row.  A function in SQL
 * or a procedural language resolves names by search_path, so the writer could have it
 * call an operator of his own.  Therefore only PostgreSQL's own functions and those in
 * C, of superusers and of the extension's owner, are trusted.
 */
#include "taskq.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "store/catalog.h"
#include "store/foreign_code.h"
#include "store/object_owner.h"

/* Is code of this owner trusted? */
static bool
IsTrustedOwner(Oid owner)
{
	return superuser_arg(owner) || owner == CatalogOwner();
}

/* Is the function one of those that initdb creates, or in C? */
static bool
ResolvesNoNames(Oid function)
{
	HeapTuple tuple;
	bool	  in_c;

	if (function < FirstNormalObjectId)
		return true;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return false;
	in_c = ((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId;
	ReleaseSysCache(tuple);
	return in_c;
}

static bool
IsForeignFunction(Oid function, void *context)
{
	return !IsTrustedOwner(FunctionOwner(function)) || !ResolvesNoNames(function);
}

/* Do the constraints of a domain call code that is not trusted? */
static bool
DomainCallsForeignCode(Oid domain)
{
	Relation	rel = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		foreign = false;

	ScanKeyInit(&key, Anum_pg_constraint_contypid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(domain));
	scan = systable_beginscan(rel, ConstraintTypidIndexId, true, NULL, 1, &key);
	while (!foreign && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool  isnull;
		Datum expression = heap_getattr(tuple, Anum_pg_constraint_conbin, RelationGetDescr(rel), &isnull);

		foreign = !isnull && CallsForeignCode(stringToNode(TextDatumGetCString(expression)), NULL);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return foreign;
}

/* Return the base type of a domain, which may be another domain. */
static Oid
DomainBase(Oid domain)
{
	HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(domain));
	Oid		  base = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		base = ((Form_pg_type) GETSTRUCT(tuple))->typbasetype;
		ReleaseSysCache(tuple);
	}
	return base;
}

/*
 * Is all code that a type uses trusted?  The types of a composite type's columns are
 * not examined, so a composite type is not trusted.
 */
bool
TypeIsTrusted(Oid type)
{
	Oid element;

	check_stack_depth();
	if (!IsTrustedOwner(TypeOwner(type)) || get_typtype(type) == TYPTYPE_COMPOSITE)
		return false;
	if (get_typtype(type) == TYPTYPE_DOMAIN)
		return !DomainCallsForeignCode(type) && TypeIsTrusted(DomainBase(type));
	element = get_element_type(type);
	return !OidIsValid(element) || TypeIsTrusted(element);
}

/* Does an expression call code that is not trusted?  Call it with context NULL. */
bool
CallsForeignCode(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, IsForeignFunction, context))
		return true;
	if (IsA(node, CoerceToDomain) && !TypeIsTrusted(((CoerceToDomain *) node)->resulttype))
		return true;
	return expression_tree_walker(node, CallsForeignCode, context);
}
