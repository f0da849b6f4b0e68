/*
 * table_guard.c
 *	  Refusing code of users on taskq's tables.
 *
 * taskq reads and writes its tables as the extension's owner.  The code of a
 * trigger, rule, foreign key or policy on one of them would run as the owner, too,
 * and tables of others that inherit from one would be read as the owner.  All of
 * that is refused when it is created, for everybody.  Even a superuser who adds a
 * trigger in good faith would give the owner's privileges to the owner of its
 * function.  Expressions in indexes, constraints, defaults and statistics may call
 * only functions of superusers and of the extension's owner.
 *
 * If the library is not preloaded, what a session without it creates is not seen
 * here.  So the tables are also checked before they are used: see table_check.c.
 */
#include "taskq.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_trigger.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "store/definition_guard.h"
#include "store/foreign_code.h"
#include "store/member_guard.h"
#include "store/ours.h"
#include "store/table_guard.h"
#include "store/write_guard.h"

static object_access_hook_type	previous_access_hook = NULL;
static ProcessUtility_hook_type previous_utility_hook = NULL;

/*
 * Is this the extension's own script, or pg_upgrade, which recreates what existed
 * before?  They are not checked.
 */
static bool
IsTrustedScript(void)
{
	return IsBinaryUpgrade || InOwnScript();
}

static void
Refuse(Oid relid, const char *what, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s.%s takes no %s", TASKQ_SCHEMA, get_rel_name(relid), what),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

static void
RefuseOurs(Oid relid, const char *what)
{
	if (RelationIsInSchema(relid))
		Refuse(relid, what, "taskq works on its tables as the extension's owner, and so would the code that comes with it.",
			   "To act on what happens to jobs, follow taskq.read_events() or enqueue another job.");
}

/* expressions -------------------------------------------------------------- */

/*
 * Refuse an expression that is stored in a catalog, or NULL, if it calls code that
 * is not trusted.
 */
static void
RefuseForeignCode(Oid relid, HeapTuple tuple, TupleDesc desc, int attnum, const char *what)
{
	bool  isnull;
	Datum expression = heap_getattr(tuple, attnum, desc, &isnull);

	if (!isnull && CallsForeignCode(stringToNode(TextDatumGetCString(expression)), NULL))
		Refuse(relid, what, "It would be evaluated as the extension's owner, with the settings of whoever writes the row, and calls a function, or uses a domain, that is not safe there.",
			   "Use functions of PostgreSQL's own, or functions in C of a superuser.");
}

/* what is made ------------------------------------------------------------- */

typedef void (*RowFunction)(HeapTuple tuple, TupleDesc desc);

/*
 * Call a function with the row of a catalog that this command has written.  The row
 * is found by its OID.
 */
static void
WithRow(Oid catalog, Oid index, AttrNumber key, Oid object, RowFunction function)
{
	Relation	rel = table_open(catalog, AccessShareLock);
	ScanKeyData scankey;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&scankey, key, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object));
	scan = systable_beginscan(rel, index, true, SnapshotSelf, 1, &scankey);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		function(tuple, RelationGetDescr(rel));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static void
LookAtTrigger(HeapTuple tuple, TupleDesc desc)
{
	RefuseOurs(((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid, "triggers");
}

static void
LookAtRule(HeapTuple tuple, TupleDesc desc)
{
	Form_pg_rewrite rule = (Form_pg_rewrite) GETSTRUCT(tuple);

	/* a view that a user has created in the schema has a rule, too */
	if (get_rel_relkind(rule->ev_class) != RELKIND_VIEW ||
		OidIsValid(getExtensionOfObject(RelationRelationId, rule->ev_class)))
		RefuseOurs(rule->ev_class, "rules");
}

static void
LookAtPolicy(HeapTuple tuple, TupleDesc desc)
{
	RefuseOurs(((Form_pg_policy) GETSTRUCT(tuple))->polrelid, "policies");
}

static void
LookAtConstraint(HeapTuple tuple, TupleDesc desc)
{
	Form_pg_constraint constraint = (Form_pg_constraint) GETSTRUCT(tuple);

	if (constraint->contype == CONSTRAINT_FOREIGN)
	{
		RefuseOurs(constraint->conrelid, "foreign keys");
		RefuseOurs(constraint->confrelid, "foreign keys");
	}
	else if (constraint->contype == CONSTRAINT_CHECK && RelationIsInSchema(constraint->conrelid))
		RefuseForeignCode(constraint->conrelid, tuple, desc, Anum_pg_constraint_conbin, "such constraint");
}

static void
LookAtDefault(HeapTuple tuple, TupleDesc desc)
{
	Form_pg_attrdef def = (Form_pg_attrdef) GETSTRUCT(tuple);

	if (RelationIsInSchema(def->adrelid))
		RefuseForeignCode(def->adrelid, tuple, desc, Anum_pg_attrdef_adbin, "such default");
}

static void
LookAtIndex(HeapTuple tuple, TupleDesc desc)
{
	Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);

	if (!RelationIsInSchema(index->indrelid))
		return;
	RefuseForeignCode(index->indrelid, tuple, desc, Anum_pg_index_indexprs, "such index");
	RefuseForeignCode(index->indrelid, tuple, desc, Anum_pg_index_indpred, "such index");
}

static void
LookAtStatistics(HeapTuple tuple, TupleDesc desc)
{
	Form_pg_statistic_ext statistics = (Form_pg_statistic_ext) GETSTRUCT(tuple);

	if (RelationIsInSchema(statistics->stxrelid))
		RefuseForeignCode(statistics->stxrelid, tuple, desc, Anum_pg_statistic_ext_stxexprs, "such statistics");
}

/*
 * Check a table that is about to inherit or become a partition.  Leaves of a dump
 * are attached in this way.
 */
static void
LookAtInheritance(Oid child, Oid parent)
{
	if (RelationIsInSchema(parent) && (get_rel_relkind(parent) != RELKIND_PARTITIONED_TABLE || !RelationIsInSchema(child)))
		Refuse(parent, "children", "A table that inherits from it, or is its partition, would be read and written with it as the extension's owner.",
			   "Make the table LIKE it instead.");
	if (RelationIsInSchema(child) && !RelationIsInSchema(parent))
		Refuse(child, "parents", "Whoever may write to its parent could write to its rows.",
			   "Copy the rows to a table LIKE it instead.");
}

static void
LookAtObject(ObjectAccessType access, Oid class, Oid object, void *arg)
{
	if (access == OAT_POST_ALTER && class == InheritsRelationId)
		LookAtInheritance(object, ((ObjectAccessPostAlter *) arg)->auxiliary_id);
	if (access != OAT_POST_CREATE)
		return;
	switch (class)
	{
		case TriggerRelationId:
			WithRow(class, TriggerOidIndexId, Anum_pg_trigger_oid, object, LookAtTrigger);
			break;
		case RewriteRelationId:
			WithRow(class, RewriteOidIndexId, Anum_pg_rewrite_oid, object, LookAtRule);
			break;
		case PolicyRelationId:
			WithRow(class, PolicyOidIndexId, Anum_pg_policy_oid, object, LookAtPolicy);
			break;
		case ConstraintRelationId:
			WithRow(class, ConstraintOidIndexId, Anum_pg_constraint_oid, object, LookAtConstraint);
			break;
		case AttrDefaultRelationId: /* identified by its table */
			WithRow(class, AttrDefaultIndexId, Anum_pg_attrdef_adrelid, object, LookAtDefault);
			break;
		case RelationRelationId:
			WithRow(IndexRelationId, IndexRelidIndexId, Anum_pg_index_indexrelid, object, LookAtIndex);
			break;
		case StatisticExtRelationId:
			WithRow(class, StatisticExtOidIndexId, Anum_pg_statistic_ext_oid, object, LookAtStatistics);
			break;
	}
}

static void
AccessHook(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (previous_access_hook)
		previous_access_hook(access, class, object, sub, arg);
	if ((access == OAT_POST_CREATE || access == OAT_POST_ALTER) && !IsTrustedScript())
	{
		LookAtObject(access, class, object, arg);
		MemberGuardLook(access, class, object, arg);
	}
	if (access == OAT_TRUNCATE)
		WriteGuardTruncate(object);
}

/* Refuse to enable row-level security, which creates no object that the hook could see. */
static void
LookAtRowSecurity(AlterTableStmt *statement)
{
	ListCell *cell;

	foreach (cell, statement->cmds)
	{
		AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);

		if (command->subtype == AT_EnableRowSecurity || command->subtype == AT_ForceRowSecurity)
			RefuseOurs(RangeVarGetRelid(statement->relation, NoLock, true), "policies");
	}
}

static void
RunStatement(PlannedStmt *pstmt, const char *query, bool read_only_tree,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	if (previous_utility_hook)
		previous_utility_hook(pstmt, query, read_only_tree, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params, environment, dest, completion);
}

static void
UtilityHook(PlannedStmt *pstmt, const char *query, bool read_only_tree,
			ProcessUtilityContext context, ParamListInfo params,
			QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	bool before;

	if (!IsTrustedScript())
	{
		if (IsA(pstmt->utilityStmt, AlterTableStmt))
			LookAtRowSecurity((AlterTableStmt *) pstmt->utilityStmt);
		DefinitionGuard(pstmt->utilityStmt);
	}
	before = MemberGuardAllow(pstmt->utilityStmt);
	PG_TRY();
	{
		RunStatement(pstmt, query, read_only_tree, context, params, environment, dest, completion);
	}
	PG_FINALLY();
	{
		MemberGuardRestore(before);
	}
	PG_END_TRY();
}

void
TableGuardInit(void)
{
	previous_access_hook = object_access_hook;
	object_access_hook = AccessHook;
	previous_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = UtilityHook;
	WriteGuardInit();
}
