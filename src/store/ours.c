/*
 * ours.c
 *	  Is an object taskq's own?  Asked of any object that is altered, so the name of
 *	  its schema decides most cases.
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

/* The extension, if the schema has its schema's name. */
static Oid
ExtensionOfSchemaName(Oid schema)
{
	char *name = OidIsValid(schema) ? get_namespace_name(schema) : NULL;

	return name != NULL && strcmp(name, TASKQ_SCHEMA) == 0 ? get_extension_oid("taskq", true) : InvalidOid;
}

/* A schema that only bears the name is not ours. */
bool
SchemaIsOurs(Oid schema)
{
	Oid extension = ExtensionOfSchemaName(schema);

	return OidIsValid(extension) && getExtensionOfObject(NamespaceRelationId, schema) == extension;
}

/* Is it a table, view, index or sequence in taskq's schema, be it made by others? */
bool
RelationIsOurs(Oid relid)
{
	return SchemaIsOurs(get_rel_namespace(relid));
}

/* Is it a function of the extension? */
bool
FunctionIsOurs(Oid function)
{
	Oid extension = ExtensionOfSchemaName(get_func_namespace(function));

	return OidIsValid(extension) && getExtensionOfObject(ProcedureRelationId, function) == extension;
}

/* Does an object of any kind belong to the extension?  Of a composite type, the type does and the relation does not. */
bool
ObjectIsOurs(Oid class, Oid object)
{
	Oid extension;

	if (class == RelationRelationId && get_rel_relkind(object) == RELKIND_COMPOSITE_TYPE)
		return ObjectIsOurs(TypeRelationId, get_rel_type_id(object));
	extension = getExtensionOfObject(class, object);
	return OidIsValid(extension) && extension == get_extension_oid("taskq", true);
}

/* Does a relation belong to the extension, or is it a leaf of such a table?  In the schema, users may have others. */
bool
RelationIsMember(Oid relid)
{
	if (!RelationIsOurs(relid))
		return false;
	return ObjectIsOurs(RelationRelationId, relid) ||
		   (get_rel_relispartition(relid) && ObjectIsOurs(RelationRelationId, get_partition_parent(relid, true)));
}
