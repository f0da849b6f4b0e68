/*
 * confine_plan.c
 *	  Check the queries of confined code before they are planned.
 *
 * The planner itself calls functions, without the object access hook: its estimators
 * apply an operator, its negator or its commutator to the values that ANALYZE has
 * stored.  So all functions and operators in a query are checked before the query is
 * planned.  What the planner takes from the definition of a table, such as predicates
 * of indexes and generated columns, is checked when the planner reads the table's
 * definition.
 *
 * Inlining an SQL function would add its body to the query after that check.  So
 * while users' code is confined, SQL functions are not inlined: needs_fmgr_hook says
 * that a hook must be called for them, which keeps the planner from inlining.  The
 * queries of these functions are planned, and checked, when they run.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_language.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "registry/confine.h"
#include "registry/confine_plan.h"

static planner_hook_type			  previous_planner = NULL;
static relation_info_hook_type_compat previous_relation_info = NULL;
static needs_fmgr_hook_type			  previous_needs_fmgr = NULL;

/* queries ------------------------------------------------------------------ */

static bool
CheckOne(Oid function, void *context)
{
	if (OidIsValid(function))
		ConfineCheckFunction(function);
	return false;
}

/*
 * Check the functions of an operator, and of all operators by which the planner can
 * replace it: its negator and commutator, their negators and commutators, and so on.
 * The negator of a negator need not be the first operator again.
 */
static void
CheckOperator(Oid operator)
{
	List *operators = list_make1_oid(operator);

	for (int i = 0; i < list_length(operators); i++)
	{
		HeapTuple			 tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(list_nth_oid(operators, i)));
		FormData_pg_operator form;

		CHECK_FOR_INTERRUPTS();
		if (!HeapTupleIsValid(tuple))
			continue;
		form = *(Form_pg_operator) GETSTRUCT(tuple);
		ReleaseSysCache(tuple);
		(void) CheckOne(form.oprcode, NULL);
		operators = list_append_unique_oid(operators, form.oprnegate);
		operators = list_append_unique_oid(operators, form.oprcom);
	}
	list_free(operators);
}

static void
CheckOperators(Node *node)
{
	ListCell *cell;

	switch (nodeTag(node))
	{
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
			CheckOperator(((OpExpr *) node)->opno);
			break;
		case T_ScalarArrayOpExpr:
			CheckOperator(((ScalarArrayOpExpr *) node)->opno);
			break;
		case T_RowCompareExpr:
			foreach (cell, ((RowCompareExpr *) node)->opnos)
				CheckOperator(lfirst_oid(cell));
			break;
		default:
			break;
	}
}

static bool
CheckNode(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, CheckNode, context, 0);
	if (IsA(node, TableFunc) && IsXmlTable_compat((TableFunc *) node))
		ConfineRefuseXmlTable();
	(void) check_functions_in_node(node, CheckOne, context);
	CheckOperators(node);
	return expression_tree_walker(node, CheckNode, context);
}

static PlannedStmt *
ConfinePlanner(PLANNER_ARGS_COMPAT)
{
	if (ConfineIsOn())
	{
		ConfineCheckCommand(parse->commandType);
		(void) CheckNode((Node *) parse, NULL);
	}
	if (previous_planner)
		return previous_planner(PLANNER_PASS_COMPAT);
	return standard_planner(PLANNER_PASS_COMPAT);
}

/* tables ------------------------------------------------------------------- */

static void
CheckGeneratedColumns(Relation relation)
{
	TupleConstr *constr = RelationGetDescr(relation)->constr;

	for (int i = 0; constr != NULL && i < constr->num_defval; i++)
		if (TupleDescAttr(RelationGetDescr(relation), constr->defval[i].adnum - 1)->attgenerated != '\0')
			(void) CheckNode(stringToNode(constr->defval[i].adbin), NULL);
}

static void
CheckRelation(Oid oid, RelOptInfo *rel)
{
	Relation  relation = table_open(oid, NoLock);
	ListCell *cell;

	CheckGeneratedColumns(relation);
	table_close(relation, NoLock);
	foreach (cell, rel->indexlist)
	{
		IndexOptInfo *index = lfirst_node(IndexOptInfo, cell);

		(void) CheckNode((Node *) index->indpred, NULL);
		(void) CheckNode((Node *) index->indexprs, NULL);
	}
}

/* The hook that is called for each table of a query, including the children of a table. */
static void
ConfineRelationInfo(RELATION_INFO_ARGS_COMPAT)
{
	if (ConfineIsOn() && OidIsValid(RELATION_INFO_OID_COMPAT))
		CheckRelation(RELATION_INFO_OID_COMPAT, rel);
	if (previous_relation_info)
		previous_relation_info(RELATION_INFO_PASS_COMPAT);
}

/* functions ---------------------------------------------------------------- */

static bool
IsInSql(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool	  is_sql;

	if (!HeapTupleIsValid(tuple))
		return false;
	is_sql = ((Form_pg_proc) GETSTRUCT(tuple))->prolang == SQLlanguageId;
	ReleaseSysCache(tuple);
	return is_sql;
}

/*
 * The hook that keeps SQL functions from being inlined.  It also causes fmgr_hook to be
 * called for them (compiled.c), which has no further effect.
 */
static bool
ConfineNeedsFmgr(Oid function)
{
	return (previous_needs_fmgr && previous_needs_fmgr(function)) || (ConfineIsOn() && IsInSql(function));
}

/* Install the hooks, when the library is loaded. */
void
ConfinePlanInit(void)
{
	previous_planner = planner_hook;
	planner_hook = ConfinePlanner;
	previous_relation_info = relation_info_hook_compat;
	relation_info_hook_compat = ConfineRelationInfo;
	previous_needs_fmgr = needs_fmgr_hook;
	needs_fmgr_hook = ConfineNeedsFmgr;
}
