/*
 * definition_guard.c
 *	  Changes of taskq's objects that would break what it promises.
 *
 * Its tables survive a crash, its sequences never give out a number twice, its
 * views show nobody more than he may see, and its functions are called with the
 * arguments that they check themselves.  An owner who alters one of these in good
 * faith would be told of it by nothing, so it is refused.
 */
#include "taskq.h"

#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "parser/parse_func.h"
#include "parser/parse_type.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "store/catalog.h"
#include "store/definition_guard.h"
#include "store/ours.h"
#include "store/foreign_code.h"

static void
RefuseChange(const char *name, const char *what, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s of %s.%s cannot be changed", what, TASKQ_SCHEMA, name),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

/* A column is added, or given another type. */
static void
LookAtColumn(Oid relid, ColumnDef *column)
{
	Type type = column == NULL || column->typeName == NULL ? NULL : LookupTypeName(NULL, column->typeName, NULL, true);
	Oid	 type_id;

	if (type == NULL)
		return;
	type_id = typeTypeId(type);
	ReleaseSysCache(type);
	if (!TypeIsTrusted(type_id))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s.%s takes no such column", TASKQ_SCHEMA, get_rel_name(relid)),
				 errdetail("Its type belongs neither to a superuser nor to the extension's owner, or calls functions that do not, and they would run as the owner."),
				 errhint("Use a type of PostgreSQL's own.")));
}

static void
LookAtAlterTable(AlterTableStmt *statement)
{
	Oid		  relid = RangeVarGetRelid(statement->relation, NoLock, true);
	char	  kind;
	ListCell *cell;

	if (!OidIsValid(relid) || !RelationIsOurs(relid))
		return;
	kind = get_rel_relkind(relid);
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

				/* what users have made in the schema is their own */
				if (kind == RELKIND_VIEW && OidIsValid(getExtensionOfObject(RelationRelationId, relid)))
					RefuseChange(get_rel_name(relid), "the options",
								 "The view is a security barrier: without it a condition of its reader would be shown rows that are not for him.",
								 "Make a view of your own that selects from it.");
				break;
			default:
				break;
		}
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

/* What a function costs may be said, as it changes no answer. */
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

/* A statement is about to be run that is not one of the extension's own script. */
void
DefinitionGuard(Node *statement)
{
	if (IsA(statement, AlterTableStmt))
		LookAtAlterTable((AlterTableStmt *) statement);
	else if (IsA(statement, AlterSeqStmt))
		LookAtAlterSequence((AlterSeqStmt *) statement);
	else if (IsA(statement, AlterFunctionStmt))
		LookAtAlterFunction((AlterFunctionStmt *) statement);
}
