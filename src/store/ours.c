/*
 * ours.c
 *	  Deciding whether an object belongs to taskq.  This is called for any object
 *	  that is altered, so the name of the schema is checked first, which decides
 *	  most cases.
 */
#include "taskq.h"

#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "utils/lsyscache.h"

#include "store/ours.h"

/*
 * Return the OID of the extension if the schema has the name of its schema, or
 * InvalidOid.
 */
static Oid
ExtensionOfSchemaName(Oid schema)
{
	char *name = OidIsValid(schema) ? get_namespace_name(schema) : NULL;

	return name != NULL && strcmp(name, TASKQ_SCHEMA) == 0 ? get_extension_oid("taskq", true) : InvalidOid;
}

/* Is this the schema of the extension?  A schema that only has the name is not. */
bool
SchemaIsOurs(Oid schema)
{
	Oid extension = ExtensionOfSchemaName(schema);

	return OidIsValid(extension) && getExtensionOfObject(NamespaceRelationId, schema) == extension;
}

/*
 * Is this a table, view, index or sequence in taskq's schema?  It may have been
 * created by others.
 */
bool
RelationIsOurs(Oid relid)
{
	return SchemaIsOurs(get_rel_namespace(relid));
}

/* Is this a function of the extension? */
bool
FunctionIsOurs(Oid function)
{
	Oid extension = ExtensionOfSchemaName(get_func_namespace(function));

	return OidIsValid(extension) && getExtensionOfObject(ProcedureRelationId, function) == extension;
}

/*
 * Does an object of any kind belong to the extension?  For a composite type, the
 * type belongs to it and the relation does not.
 */
bool
ObjectIsOurs(Oid class, Oid object)
{
	Oid extension;

	if (class == RelationRelationId && get_rel_relkind(object) == RELKIND_COMPOSITE_TYPE)
		return ObjectIsOurs(TypeRelationId, get_rel_type_id(object));
	extension = getExtensionOfObject(class, object);
	return OidIsValid(extension) && extension == get_extension_oid("taskq", true);
}

/*
 * Does a relation belong to the extension, or is it a leaf of such a table?  Users
 * may have created other relations in the schema.
 */
bool
RelationIsMember(Oid relid)
{
	if (!RelationIsOurs(relid))
		return false;
	return ObjectIsOurs(RelationRelationId, relid) ||
		   (get_rel_relispartition(relid) && ObjectIsOurs(RelationRelationId, get_partition_parent(relid, true)));
}

/* Does the script of this extension run? */
bool
InOwnScript(void)
{
	return creating_extension && CurrentExtensionObject == get_extension_oid("taskq", true);
}
