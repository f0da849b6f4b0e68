/*
 * store.c
 *	  Rows of taskq's tables, by the table and index access methods.
 *
 * Hot paths do not go through SQL: no plan can then change how many rows a
 * claim locks or in which order it looks, and there is no parse, plan or
 * executor start to pay for.  Constraints and indexes are served by the same
 * executor functions that logical replication uses.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "store/catalog.h"
#include "store/store.h"
#include "store/table_check.h"

static void
Begin(Store *store, Relation rel)
{
	store->rel = rel;
	TableCheck(store->rel);
	store->kit = KitTake(store->rel);
	store->found = store->kit->found;
	store->row = store->kit->row;
	store->scan = NULL;
	store->n_blocks = 0;
}

/* Open a table to read and write rows. */
void
StoreOpenRel(Store *store, TaskqRel rel)
{
	Begin(store, CatalogOpen(rel, RowExclusiveLock));
}

/* The same of a leaf that was found a moment ago; false: it has gone since. */
bool
StoreOpenLeaf(Store *store, Oid leaf)
{
	Relation rel = try_table_open(leaf, RowExclusiveLock);

	if (rel != NULL && !rel->rd_rel->relispartition)
	{
		table_close(rel, RowExclusiveLock);
		rel = NULL;
	}
	if (rel != NULL)
		Begin(store, rel);
	return rel != NULL;
}

/* An all-NULL row to fill and write. */
TupleTableSlot *
StoreNewRow(Store *store)
{
	ExecClearTuple(store->row);
	memset(store->row->tts_isnull, true, store->row->tts_tupleDescriptor->natts * sizeof(bool));
	return store->row;
}

/* The row found, to change and write; it points into store->found. */
TupleTableSlot *
StoreCopyRow(Store *store)
{
	int natts = store->found->tts_tupleDescriptor->natts;

	StoreNewRow(store);
	memcpy(store->row->tts_values, store->found->tts_values, natts * sizeof(Datum));
	memcpy(store->row->tts_isnull, store->found->tts_isnull, natts * sizeof(bool));
	return store->row;
}

static void
CloseScan(Store *store)
{
	Relation index;

	if (store->scan == NULL)
		return;
	index = store->scan->indexRelation;
	index_endscan(store->scan);
	index_close(index, AccessShareLock);
	store->scan = NULL;
}

/*
 * Close it.  Whoever has written or locked a row keeps the table lock until
 * the transaction ends; whoever has found nothing holds nothing.
 */
void
StoreClose(Store *store, bool keep_lock)
{
	CloseScan(store);
	KitReturn(store->kit);
	table_close(store->rel, keep_lock ? NoLock : RowExclusiveLock);

	/* a later call in the same statement must see what this one wrote */
	if (keep_lock)
		CommandCounterIncrement();
}

/* Insert store->row, which the caller has filled by SlotSet...(). */
void
StoreInsert(Store *store)
{
	KitOpenIndexes(store->kit);
	ExecStoreVirtualTuple(store->row);
	ExecSimpleRelationInsert(store->kit->result, store->kit->estate, store->row);
	ResetPerTupleExprContext(store->kit->estate);
}

/* Replace the locked row store->found by store->row. */
void
StoreUpdate(Store *store)
{
	KitOpenIndexes(store->kit);
	ExecStoreVirtualTuple(store->row);
	ExecSimpleRelationUpdate(store->kit->result, store->kit->estate, &store->kit->epq, store->found, store->row);
	ResetPerTupleExprContext(store->kit->estate);
}

/* Delete the locked row store->found. */
void
StoreDelete(Store *store)
{
	ExecSimpleRelationDelete(store->kit->result, store->kit->estate, &store->kit->epq, store->found);
}

/*
 * Lock a row FOR UPDATE.  As every lock has this strength, no two transactions
 * share a row, and a multixact arises only within one transaction, from a
 * subtransaction that was rolled back.  With "follow", the newest version of the row is taken when it
 * was changed meanwhile; the caller then checks it again.
 */
StoreLockResult
StoreLock(Store *store, ItemPointer tid, Snapshot snapshot, bool wait, bool follow)
{
	ItemPointerData row = *tid;
	TM_FailureData	failure;
	TM_Result		result;

	result = table_tuple_lock(store->rel, &row, snapshot, store->found, GetCurrentCommandId(true),
							  LockTupleExclusive, wait ? LockWaitBlock : LockWaitSkip,
							  follow ? TUPLE_LOCK_FLAG_FIND_LAST_VERSION : 0, &failure);
	switch (result)
	{
		case TM_Ok:
			/* a copy: a handler may run for long, and no page stays pinned for it */
			ExecMaterializeSlot(store->found);
			slot_getallattrs(store->found);
			return STORE_LOCKED;
		case TM_WouldBlock:
			return STORE_BUSY;
		default:
			return STORE_GONE;
	}
}

/*
 * Did this transaction lock the row found last?  For assertions.  A row that a
 * subtransaction locked after its parent, and let go when it was rolled back, has
 * several lockers, which are not looked at.
 */
bool
StoreIsLocked(Store *store)
{
	HeapTupleHeader header = ExecFetchSlotHeapTuple(store->found, false, NULL)->t_data;

	return (header->t_infomask & HEAP_XMAX_IS_MULTI) != 0 ||
		   TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmax(header));
}

/* Have a scan of the index ready; that of the last look-up will do. */
static void
OpenScan(Store *store, Oid index, int nkeys, Snapshot snapshot)
{
	if (store->scan != NULL &&
		(RelationGetRelid(store->scan->indexRelation) != index || store->scan->numberOfKeys != nkeys))
		CloseScan(store);
	if (store->scan == NULL)
		store->scan = index_beginscan_compat(store->rel, index_open(index, AccessShareLock), snapshot, nkeys);
	store->scan->xs_snapshot = snapshot;
}

static bool
FindOne(Store *store, Oid index, int nkeys, ScanKey keys, Snapshot snapshot, ScanDirection direction)
{
	MemoryContext old = MemoryContextSwitchTo(store->kit->context); /* as long as the scan */
	bool		  found;

	OpenScan(store, index, nkeys, snapshot);
	index_rescan(store->scan, keys, nkeys, NULL, 0);
	found = index_getnext_slot(store->scan, direction, store->found);
	if (found)
	{
		/* a copy, as the pages are let go */
		ExecMaterializeSlot(store->found);
		slot_getallattrs(store->found);
	}
	index_rescan(store->scan, keys, nkeys, NULL, 0); /* holds no page any more */
	MemoryContextSwitchTo(old);
	return found;
}

/* Put the first row that the keys find into store->found. */
bool
StoreFind(Store *store, Oid index, int nkeys, ScanKey keys, Snapshot snapshot)
{
	return FindOne(store, index, nkeys, keys, snapshot, ForwardScanDirection);
}

/* Or the last one, in the order of the index. */
bool
StoreFindLast(Store *store, Oid index, int nkeys, ScanKey keys, Snapshot snapshot)
{
	return FindOne(store, index, nkeys, keys, snapshot, BackwardScanDirection);
}

bool
StoreFindById(Store *store, Oid index, int64 id, Snapshot snapshot)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	return StoreFind(store, index, 1, &key, snapshot);
}

/*
 * Put the version of a row that was at a place into store->found; false: the
 * snapshot sees none there.  The caller looks whether it is the row wanted, and
 * soon, as its page is held.
 */
bool
StoreFetch(Store *store, ItemPointer tid, Snapshot snapshot)
{
	/* the table may have been cut off since, but not while it is open */
	if (store->n_blocks == 0)
		store->n_blocks = RelationGetNumberOfBlocks(store->rel);
	return ItemPointerIsValid(tid) && ItemPointerGetBlockNumber(tid) < store->n_blocks &&
		   table_tuple_fetch_row_version(store->rel, tid, snapshot, store->found);
}

/* The next value of one of taskq's sequences, which is held so that it is there. */
int64
StoreNextId(TaskqRel sequence)
{
	Relation rel = CatalogOpen(sequence, RowExclusiveLock);
	int64	 next = nextval_internal(RelationGetRelid(rel), false);

	relation_close(rel, RowExclusiveLock);
	return next;
}

/* Have a sequence go on after this value. */
void
StoreSetId(TaskqRel sequence, int64 value)
{
	Relation rel = CatalogOpen(sequence, RowExclusiveLock);

	DirectFunctionCall2(setval_oid, ObjectIdGetDatum(RelationGetRelid(rel)), Int64GetDatum(value));
	relation_close(rel, RowExclusiveLock);
}

/*
 * The last value that a sequence has given out, made safe: called before values
 * leave the server in a transaction that is still open, or one that commits
 * without waiting for the disk, so that a crash does not make the sequence give
 * them out again.  It logs 32 values ahead, so there is something to flush once
 * in 32 values.
 */
int64
StoreLastId(TaskqRel sequence)
{
	Relation			  rel = CatalogOpen(sequence, AccessShareLock);
	Buffer				  buffer = ReadBuffer(rel, 0);
	Page				  page;
	HeapTupleData		  tuple;
	Form_pg_sequence_data data;
	XLogRecPtr			  logged;
	int64				  last;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	tuple.t_data = (HeapTupleHeader) PageGetItem(page, PageGetItemId(page, FirstOffsetNumber));
	data = (Form_pg_sequence_data) GETSTRUCT(&tuple);
	last = data->is_called ? data->last_value : data->last_value - 1;
	logged = PageGetLSN(page);
	UnlockReleaseBuffer(buffer);

	/* who waits for events keeps nothing locked: DROP EXTENSION need not wait for him */
	relation_close(rel, AccessShareLock);
	XLogFlush(logged);
	return last;
}

/*
 * A snapshot of this moment, whatever the caller's statement sees.  Claims and
 * settles decide on what is, then lock and check.  Unregister it after use.
 */
Snapshot
StoreSnapshot(void)
{
	/* a parallel query is given no other than its own, and only looks */
	return RegisterSnapshot(IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot());
}

/* Call a function for each row of a small table. */
void
StoreScan(TaskqRel rel, StoreRowFunction function, void *arg)
{
	Relation		heap = CatalogOpen(rel, AccessShareLock);
	Snapshot		snapshot = StoreSnapshot();
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	TableScanDesc	scan = table_beginscan_compat(heap, snapshot);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		slot_getallattrs(slot);
		function(slot, arg);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	table_close(heap, AccessShareLock);
}

char *
SlotString(TupleTableSlot *slot, int attnum)
{
	return SlotIsNull(slot, attnum) ? NULL : TextDatumGetCString(SlotDatum(slot, attnum));
}

void
SlotSetString(TupleTableSlot *slot, int attnum, const char *value)
{
	SlotSetPointer(slot, attnum, value == NULL ? NULL : cstring_to_text(value));
}
