/*
 * small_table.c
 *	  Reading the rows of a small table: all of them, or the row of a primary key.
 */
#include "taskq.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "executor/executor.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "store/catalog.h"
#include "store/store.h"

/* Does a row have the value of a key? */
static bool
HasKey(TupleTableSlot *slot, ScanKey key)
{
	return !SlotIsNull(slot, key->sk_attno) &&
		   DatumGetBool(FunctionCall2Coll(&key->sk_func, key->sk_collation, SlotDatum(slot, key->sk_attno), key->sk_argument));
}

static void
ScanWithoutIndex(Relation heap, Snapshot snapshot, ScanKey key, StoreRowFunction function, void *arg)
{
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	TableScanDesc	scan = table_beginscan_compat(heap, snapshot);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		slot_getallattrs(slot);
		if (key == NULL || HasKey(slot, key))
			function(slot, arg);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
}

static void
ScanByIndex(Relation heap, Oid index_id, Snapshot snapshot, ScanKey key, StoreRowFunction function, void *arg)
{
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	Relation		index = index_open(index_id, AccessShareLock);
	IndexScanDesc	scan = index_beginscan_compat(heap, index, snapshot, 1);

	index_rescan(scan, key, 1, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		slot_getallattrs(slot);
		function(slot, arg);
	}
	index_endscan(scan);
	index_close(index, AccessShareLock);
	ExecDropSingleTupleTableSlot(slot);
}

/* Call a function for each row of a small table. */
void
StoreScan(TaskqRel rel, StoreRowFunction function, void *arg)
{
	StoreScanKey(rel, NULL, function, arg);
}

/* The same for the row with this value of the first column, which is the table's primary key. */
void
StoreScanKey(TaskqRel rel, ScanKey key, StoreRowFunction function, void *arg)
{
	Relation heap = CatalogOpen(rel, AccessShareLock);
	Oid		 index = key == NULL ? InvalidOid : RelationGetPrimaryKeyIndex_compat(heap);
	Snapshot snapshot = StoreSnapshot();

	Assert(key == NULL || key->sk_attno == 1);
	if (OidIsValid(index))
		ScanByIndex(heap, index, snapshot, key, function, arg);
	else
		ScanWithoutIndex(heap, snapshot, key, function, arg);
	UnregisterSnapshot(snapshot);
	table_close(heap, AccessShareLock);
}
