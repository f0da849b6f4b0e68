/*
 * find_index.c
 *	  Finding the index of a table for a look-up.
 *
 * An index is identified by its definition, not by its name.  While somebody
 * replaces an index by hand, there may be no index of the name for a moment, or the
 * index of that name may not be valid yet.  The name only decides if several
 * indexes are suitable.
 *
 * Everything is read from the system catalogs without locks on indexes, so that
 * nobody waits here for a rebuild of an index.  The caller has locked the table.
 * An index that is valid then stays valid until the lock is released, because DROP
 * INDEX waits for the lock on the table, and DROP INDEX CONCURRENTLY and REINDEX
 * CONCURRENTLY wait for all transactions that hold one.
 */
#include "taskq.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "nodes/primnodes.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "store/find_index.h"

/* Is this a comparison of a column with a constant, by this function?  Returns the column and the constant. */
static bool
IsComparison(Node *condition, Oid function, AttrNumber *column, Datum *value)
{
	OpExpr *comparison = (OpExpr *) condition;
	Node   *compared;
	Node   *constant;

	if (!IsA(condition, OpExpr) || get_opcode(comparison->opno) != function)
		return false;
	compared = linitial(comparison->args);
	constant = lsecond(comparison->args);
	if (!IsA(compared, Var) || !IsA(constant, Const) || ((Const *) constant)->constisnull)
		return false;
	*column = ((Var *) compared)->varattno;
	*value = ((Const *) constant)->constvalue;
	return true;
}

/*
 * Return which rows an index has, if its predicate is column = 'value' for a column of type
 * "char", or that AND other < 0 for a column of type bigint.  Otherwise the gate is '\0'.
 */
IndexRows
IndexRowsOf(Node *predicate, AttrNumber gate_column)
{
	IndexRows  none = { 0 };
	IndexRows  rows = { 0 };
	List	  *conditions;
	AttrNumber column;
	Datum	   value;

	/* a predicate is stored as a list of conditions, as AND, or as a single condition */
	if (IsA(predicate, List))
		conditions = (List *) predicate;
	else if (IsA(predicate, BoolExpr) && ((BoolExpr *) predicate)->boolop == AND_EXPR)
		conditions = ((BoolExpr *) predicate)->args;
	else
		conditions = list_make1(predicate);
	if (list_length(conditions) < 1 || list_length(conditions) > 2)
		return none;
	if (!IsComparison(linitial(conditions), F_CHAREQ, &column, &value) || column != gate_column)
		return none;
	rows.gate = DatumGetChar(value);
	if (list_length(conditions) == 1)
		return rows;
	if (!IsComparison(lsecond(conditions), F_INT84LT, &rows.negative, &value) || DatumGetInt32(value) != 0)
		return none;
	return rows;
}

/* Does the index contain the wanted rows? */
static bool
HoldsRows(HeapTuple tuple, TupleDesc desc, const IndexWanted *wanted)
{
	bool	  isnull;
	Datum	  predicate = heap_getattr(tuple, Anum_pg_index_indpred, desc, &isnull);
	IndexRows rows;

	if (wanted->gate == '\0' || isnull)
		return wanted->gate == '\0' && isnull;
	rows = IndexRowsOf(stringToNode(TextDatumGetCString(predicate)), wanted->gate_column);
	return rows.gate == wanted->gate && rows.negative == wanted->negative;
}

/* Does the index have the wanted columns, in this order and ascending, and all texts with the wanted collation? */
static bool
HasKeys(HeapTuple tuple, TupleDesc desc, const IndexWanted *wanted)
{
	Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);
	bool		  isnull;
	oidvector	 *collations;
	int2vector	 *options;

	if (index->indnkeyatts != wanted->n_keys)
		return false;
	collations = (oidvector *) DatumGetPointer(heap_getattr(tuple, Anum_pg_index_indcollation, desc, &isnull));
	options = (int2vector *) DatumGetPointer(heap_getattr(tuple, Anum_pg_index_indoption, desc, &isnull));
	for (int i = 0; i < wanted->n_keys; i++)
		if (index->indkey.values[i] != wanted->keys[i] || options->values[i] != 0 ||
			(OidIsValid(collations->values[i]) && collations->values[i] != wanted->collation))
			return false;
	return true;
}

static bool
IsBtree(Oid index)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(index));
	bool	  is_btree = HeapTupleIsValid(tuple) && ((Form_pg_class) GETSTRUCT(tuple))->relam == BTREE_AM_OID;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return is_btree;
}

static bool
Serves(HeapTuple tuple, TupleDesc desc, const IndexWanted *wanted)
{
	Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);

	return index->indisvalid && index->indisready && index->indislive &&
		   HasKeys(tuple, desc, wanted) && HoldsRows(tuple, desc, wanted) && IsBtree(index->indexrelid);
}

/*
 * Find a suitable index of a table.  If there are several, the one of this name is
 * preferred.  Returns InvalidOid if there is none.
 */
Oid
IndexFind(const IndexWanted *wanted, const char *name, Oid table)
{
	Relation	rel = table_open(IndexRelationId, AccessShareLock);
	Oid			found = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(table));
	scan = systable_beginscan(rel, IndexIndrelidIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid	  index = ((Form_pg_index) GETSTRUCT(tuple))->indexrelid;
		char *its_name;

		if (!Serves(tuple, RelationGetDescr(rel), wanted))
			continue;
		its_name = get_rel_name(index);
		if (!OidIsValid(found) || (its_name != NULL && strcmp(its_name, name) == 0))
			found = index;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}
