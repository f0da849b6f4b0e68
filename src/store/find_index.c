/*
 * find_index.c
 *	  Which index of a table serves a look-up.
 *
 * An index is known by what it is, not by its name: while one is swapped for
 * another by hand there is none of the name for a moment, or the one of the name
 * is not valid yet.  The name only decides between several that would do.
 *
 * Everything is read from the system catalogues and nothing is locked, so that
 * nobody waits here for whoever rebuilds an index.  The caller has locked the
 * table: an index that is valid then stays so until the lock is released, because
 * DROP INDEX waits for the table and its concurrent form, as that of REINDEX, for
 * everybody who has it.
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

/* Is this predicate column = 'gate'? */
static bool
IsGate(Node *predicate, const IndexWanted *wanted)
{
	OpExpr *comparison;
	Node   *column;
	Node   *value;

	/* as it is stored: a list of what is to be true, or the only such thing */
	if (IsA(predicate, List) && list_length((List *) predicate) == 1)
		predicate = linitial((List *) predicate);
	if (!IsA(predicate, OpExpr))
		return false;
	comparison = (OpExpr *) predicate;
	if (get_opcode(comparison->opno) != F_CHAREQ)
		return false;
	column = linitial(comparison->args);
	value = lsecond(comparison->args);
	return IsA(column, Var) && ((Var *) column)->varattno == wanted->gate_column &&
		   IsA(value, Const) && !((Const *) value)->constisnull &&
		   DatumGetChar(((Const *) value)->constvalue) == wanted->gate;
}

/* Does an index hold the rows that are wanted? */
static bool
HoldsRows(HeapTuple tuple, TupleDesc desc, const IndexWanted *wanted)
{
	bool  isnull;
	Datum predicate = heap_getattr(tuple, Anum_pg_index_indpred, desc, &isnull);

	if (wanted->gate == '\0')
		return isnull;
	return !isnull && IsGate(stringToNode(TextDatumGetCString(predicate)), wanted);
}

/* Are its columns those that are wanted, in that order, ascending? */
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
		if (index->indkey.values[i] != wanted->keys[i] || options->values[i] != 0)
			return false;
	return !OidIsValid(wanted->collation) || collations->values[0] == wanted->collation;
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

/* The index of a table that serves, the one of this name if there are several; or InvalidOid. */
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
