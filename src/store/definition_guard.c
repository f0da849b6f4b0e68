/*
 * definition_guard.c
 *	  Refusing changes of taskq's objects that would break its guarantees.
 *
 * The tables survive a crash, the sequences never give out a number twice, the
 * views show nobody more than the role may see, and the functions check the
 * arguments with which they are called.  An owner who alters one of these objects
 * in good faith would not notice that a guarantee is broken, so such changes are
 * refused.
 */
#include "taskq.h"

#include "access/relation.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "parser/parse_func.h"
#include "parser/parse_type.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "store/catalog.h"
#include "store/columns.h"
#include "store/definition_guard.h"
#include "store/ours.h"
#include "store/foreign_code.h"
#include "store/member_guard.h"

static void
RefuseChange(const char *name, const char *what, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s of %s.%s cannot be changed", what, TASKQ_SCHEMA, name),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

/* Check a column that is added or gets another type. */
static void
LookAtColumn(Oid relid, ColumnDef *column)
{
	Type	  type = column == NULL || column->typeName == NULL ? NULL : LookupTypeName(NULL, column->typeName, NULL, true);
	Oid		  type_id;
	ListCell *cell;
	bool	  wants_value = column != NULL && (column->is_not_null || column->identity != 0);

	foreach (cell, column == NULL ? NIL : column->constraints)
		wants_value |= lfirst_node(Constraint, cell)->contype == CONSTR_NOTNULL ||
					   lfirst_node(Constraint, cell)->contype == CONSTR_IDENTITY;
	if (wants_value)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s.%s takes no column that cannot be NULL", TASKQ_SCHEMA, get_rel_name(relid)),
				 errdetail("taskq writes NULL into columns that it does not know, whatever their default is."),
				 errhint("Add the column without NOT NULL and without an identity.")));

	if (type == NULL)
		return;
	type_id = typeTypeId(type);
	ReleaseSysCache(type);
	if (!TypeIsTrusted(type_id))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s.%s takes no such column", TASKQ_SCHEMA, get_rel_name(relid)),
				 errdetail("Its type belongs neither to a superuser nor to the extension's owner, or calls functions that are not safe when they run as the owner."),
				 errhint("Use a type of PostgreSQL's own.")));
}

/* Return which of the relations that the library knows this is, or TASKQ_RELS if it is none. */
static TaskqRel
KnownRel(Oid relid)
{
	TaskqRel rel = 0;

	if (!CatalogInstalled())
		return TASKQ_RELS;
	while (rel < TASKQ_RELS && CatalogRelIfThere(rel) != relid)
		rel++;
	return rel;
}

/* Has a user added this column to a table of the extension?  A leaf has the columns of its table, by name. */
static bool
IsAddedColumn(Oid relid, const char *column)
{
	Oid		 table = get_rel_relispartition(relid) ? get_partition_parent(relid, true) : relid;
	TaskqRel rel = KnownRel(table);

	return rel < TASKQ_RELS && column != NULL && get_attnum(table, column) > ColumnsCount(rel);
}

/*
 * Check whether a command on a relation of the extension is allowed.  Commands that
 * do not change the meaning of a table are allowed, and so are all changes of
 * columns that users have added.  Constraints and partitions are checked when they
 * are created: table_guard.c.
 */
static bool
MayBeChanged(Oid relid, char kind, AlterTableCmd *command)
{
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		return false;
	switch (command->subtype)
	{
		case AT_AddColumn:
		case AT_AddConstraint:
		case AT_DropConstraint:
		case AT_ValidateConstraint:
		case AT_AttachPartition:
		case AT_DetachPartition:
		case AT_DetachPartitionFinalize:
		case AT_SetStatistics:
		case AT_SetOptions:
		case AT_ResetOptions:
		case AT_SetStorage:
		case AT_SetCompression:
		case AT_SetRelOptions:
		case AT_ResetRelOptions:
		case AT_ReplaceRelOptions:
		case AT_SetTableSpace:
		case AT_SetLogged:
		case AT_ReplicaIdentity:
		case AT_ClusterOn:
		case AT_DropCluster:
		case AT_EnableTrigAll:
		case AT_EnableTrigUser:
		case AT_DisableTrigAll:
		case AT_DisableTrigUser:
		case AT_DisableRowSecurity:
		case AT_NoForceRowSecurity:
			return true;
		case AT_DropColumn:
		case AT_ColumnDefault:
		case AT_DropNotNull:
		case AT_AlterColumnType:
			return IsAddedColumn(relid, command->name);
		default:
			return false;
	}
}

static void
RefuseCommand(Oid relid, AlterTableCmd *command)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 command->name == NULL ? errmsg("%s.%s belongs to extension taskq and cannot be changed in this way", TASKQ_SCHEMA, get_rel_name(relid)) : errmsg("\"%s\" of %s.%s belongs to extension taskq and cannot be changed in this way", command->name, TASKQ_SCHEMA, get_rel_name(relid)),
			 errdetail("The library of the extension relies on its definitions and on their owner."),
			 errhint("Storage parameters, tablespace, statistics targets, additional indexes and columns can be changed.")));
}

static void
LookAtAlterTable(AlterTableStmt *statement)
{
	Oid		  relid = RangeVarGetRelid(statement->relation, NoLock, true);
	char	  kind;
	bool	  member;
	ListCell *cell;

	if (!OidIsValid(relid) || !RelationIsOurs(relid))
		return;
	kind = get_rel_relkind(relid);
	member = RelationIsMember(relid);
	foreach (cell, statement->cmds)
	{
		AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);

		switch (command->subtype)
		{
			case AT_AddColumn:
			case AT_AlterColumnType:
				LookAtColumn(relid, (ColumnDef *) command->def);
				break;
			case AT_SetUnLogged:
				RefuseChange(get_rel_name(relid), "the persistence",
							 "An unlogged table is emptied by a crash of the server, and its jobs would be lost.",
							 "To write less WAL, enqueue many jobs in one call or transaction.");
				break;
			case AT_SetRelOptions:
			case AT_ResetRelOptions:
			case AT_ReplaceRelOptions:

				/* objects that users have created in the schema are their own */
				if (kind == RELKIND_VIEW && OidIsValid(getExtensionOfObject(RelationRelationId, relid)))
					RefuseChange(get_rel_name(relid), "the options",
								 "The view is a security barrier: without it a condition of its reader could see rows that are not for its reader.",
								 "Make a view of your own that selects from it.");
				break;
			default:
				break;
		}
		if (member && !MayBeChanged(relid, kind, command))
			RefuseCommand(relid, command);
	}
}

static void
LookAtAlterSequence(AlterSeqStmt *statement)
{
	Oid relid = RangeVarGetRelid(statement->sequence, NoLock, true);

	if (OidIsValid(relid) && RelationIsOurs(relid) && OidIsValid(getExtensionOfObject(RelationRelationId, relid)))
		RefuseChange(get_rel_name(relid), "the definition",
					 "A number that is given out twice would name two jobs, claims or events.",
					 "A restored sequence is set by taskq.adopt_database().");
}

/*
 * Check ALTER FUNCTION.  COST and ROWS of a function may be changed, because they do
 * not affect results.
 */
static void
LookAtAlterFunction(AlterFunctionStmt *statement)
{
	Oid		  function = LookupFuncWithArgs(statement->objtype, statement->func, true);
	ListCell *cell;

	if (!OidIsValid(function) || !FunctionIsOurs(function))
		return;
	foreach (cell, statement->actions)
	{
		DefElem *action = lfirst_node(DefElem, cell);

		if (strcmp(action->defname, "cost") != 0 && strcmp(action->defname, "rows") != 0)
			RefuseChange(get_func_name(function), "the definition",
						 "The function relies on being called as it was declared, as the caller and with the caller's settings.",
						 "Make a function of your own that calls it.");
	}
}

/*
 * Is this an index that the library reads, or an index of a leaf?  Indexes
 * themselves are not members of the extension.
 */
static bool
IsOurIndex(Oid relid)
{
	char kind = get_rel_relkind(relid);
	Oid	 table;

	if ((kind != RELKIND_INDEX && kind != RELKIND_PARTITIONED_INDEX) || !RelationIsOurs(relid))
		return false;
	table = IndexGetRelation(relid, true);
	return KnownRel(relid) < TASKQ_RELS || (get_rel_relispartition(table) && RelationIsMember(table));
}

/*
 * Refuse DEPENDS ON EXTENSION, because DROP of the other extension would then drop
 * the object.  No hook is called for it.
 */
static void
LookAtDepends(AlterObjectDependsStmt *statement)
{
	Relation	  rel = NULL;
	ObjectAddress address = get_object_address_rv(statement->objectType, statement->relation, (List *) statement->object,
												  &rel, AccessShareLock, true);

	if (OidIsValid(address.objectId) &&
		(ObjectIsOurs(address.classId, address.objectId) ||
		 (address.classId == RelationRelationId && IsOurIndex(address.objectId))))
		MemberRefuse(address.classId, address.objectId);
	if (rel != NULL)
		relation_close(rel, AccessShareLock);
}

/*
 * Check ALTER EXTENSION ... ADD or DROP.  An object that is no longer a member
 * could be changed and dropped separately, and a leaf that is a member of another
 * extension would be dropped with that.
 */
static void
LookAtMembers(AlterExtensionContentsStmt *statement)
{
	Oid relid = InvalidOid;

	if (strcmp(statement->extname, "taskq") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the members of extension taskq cannot be changed"),
				 errdetail("The library of the extension relies on its definitions, which belong together."),
				 errhint("Make objects of your own in another schema.")));
	if (statement->objtype == OBJECT_TABLE)
		relid = RangeVarGetRelid(makeRangeVarFromNameList(castNode(List, statement->object)), NoLock, true);
	if (OidIsValid(relid) && RelationIsMember(relid))
		MemberRefuse(RelationRelationId, relid);
}

/*
 * Check a statement that does not belong to the extension's own script, before it
 * is executed.
 */
void
DefinitionGuard(Node *statement)
{
	if (IsA(statement, AlterTableStmt))
		LookAtAlterTable((AlterTableStmt *) statement);
	else if (IsA(statement, AlterSeqStmt))
		LookAtAlterSequence((AlterSeqStmt *) statement);
	else if (IsA(statement, AlterFunctionStmt))
		LookAtAlterFunction((AlterFunctionStmt *) statement);
	else if (IsA(statement, AlterObjectDependsStmt))
		LookAtDepends((AlterObjectDependsStmt *) statement);
	else if (IsA(statement, AlterExtensionContentsStmt))
		LookAtMembers((AlterExtensionContentsStmt *) statement);
}
