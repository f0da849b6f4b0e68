/*
 * store.c
 *	  Reading and writing rows of taskq's tables through the table and index access
 *	  methods.
 *
 * Hot paths do not use SQL.  So no query plan can change how many rows a claim
 * locks or in which order it reads, and no time is spent on parsing, planning and
 * executor start.  Constraints and indexes are handled by the same executor
 * functions that logical replication uses.
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
#include "store/columns.h"
#include "store/kept.h"
#include "store/owner.h"
#include "store/store.h"
#include "store/table_check.h"

static void
Begin(Store *store, Relation rel, TaskqRel table, bool is_kept)
{
	store->rel = rel;
	TableCheck(store->rel);
	store->kit = KitTake(store->rel, table);
	store->found = store->kit->found;
	store->row = store->kit->row;
	store->scan = NULL;
	store->n_blocks = 0;
	store->deleted = false;
	store->batch = NULL;
	store->is_kept = is_kept;
}

/* Open a table to read and write rows. */
void
StoreOpenRel(Store *store, TaskqRel rel)
{
	bool	 is_kept;
	Relation opened = CatalogOpenToWrite(rel, &is_kept);

	Begin(store, opened, rel, is_kept);
}

/*
 * Open a leaf of a table, whose OID was looked up before.  Returns false if it does not
 * exist any more.
 */
bool
StoreOpenLeaf(Store *store, TaskqRel table, Oid leaf)
{
	bool	 is_kept;
	Relation rel = KeptOpen(leaf, &is_kept);

	/* an index that is a partition may have the name of a leaf, too */
	if (rel != NULL &&
		(!rel->rd_rel->relispartition || rel->rd_rel->relkind == RELKIND_INDEX || rel->rd_rel->relkind == RELKIND_PARTITIONED_INDEX))
	{
		table_close(rel, is_kept ? NoLock : RowExclusiveLock);
		rel = NULL;
	}
	if (rel != NULL)
		Begin(store, rel, table, is_kept);
	return rel != NULL;
}

/* Prepare an all-NULL row, which the caller fills and writes. */
TupleTableSlot *
StoreNewRow(Store *store)
{
	ExecClearTuple(store->row);
	memset(store->row->tts_isnull, true, store->row->tts_tupleDescriptor->natts * sizeof(bool));
	return store->row;
}

/*
 * Prepare the next version of the row that was found, which the caller fills and writes.
 * Columns that users have added to the table keep their values, which point into
 * store->found.
 */
TupleTableSlot *
StoreNextVersion(Store *store)
{
	TupleDesc desc = store->row->tts_tupleDescriptor;
	int		  ours = ColumnsCount(store->kit->table);

	StoreNewRow(store);
	if (desc->natts > ours)
		slot_getallattrs(store->found);
	for (int i = ours; i < desc->natts; i++)
	{
		store->row->tts_values[i] = store->found->tts_values[i];
		store->row->tts_isnull[i] = store->found->tts_isnull[i] || TupleDescAttr(desc, i)->attisdropped;
	}
	return store->row;
}

/* Prepare the row that was written last, of which the caller changes some columns. */
TupleTableSlot *
StoreSameRow(Store *store)
{
	ExecClearTuple(store->row);
	return store->row;
}

/*
 * Prepare a copy of the row that was found, which the caller changes and writes.
 * The copy points into store->found.
 */
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
 * Close the table.  With "keep_lock", which is for callers that have written or
 * locked a row, the lock on the table is kept until the transaction ends.
 */
void
StoreClose(Store *store, bool keep_lock)
{
	CloseScan(store);
	KitReturn(store->kit);
	if (keep_lock)
		KeptNote(RelationGetRelid(store->rel));
	table_close(store->rel, keep_lock || store->is_kept ? NoLock : RowExclusiveLock);

	/* a later call in the same statement must see what was written */
	if (keep_lock)
		CommandCounterIncrement();
}

/*
 * Read all columns of store->found.  The codec reads rows that have all columns.  Rows
 * from before a column was added are read by the server's functions.
 */
void
StoreReadFound(Store *store)
{
	TupleTableSlot *found = store->found;
	const Codec	   *codec = store->kit->codec;
	int				natts = found->tts_tupleDescriptor->natts;
	HeapTuple		tuple = TTS_IS_BUFFERTUPLE(found) ? ((HeapTupleTableSlot *) found)->tuple : NULL;

	if (codec == NULL || tuple == NULL || HeapTupleHeaderGetNatts(tuple->t_data) != natts)
	{
		slot_getallattrs(found);
		return;
	}
	codec->read(tuple, found->tts_values, found->tts_isnull);
	found->tts_nvalid = natts;
}

/*
 * Lock a row FOR UPDATE.  All row locks have this strength, so no two transactions
 * share a row, and a multixact arises only within one transaction, from a
 * subtransaction that was rolled back.  With "follow", if the row has been updated,
 * its newest version is locked, and the caller must check it again.
 */
StoreLockResult
StoreLock(Store *store, ItemPointer tid, Snapshot snapshot, bool wait, bool follow)
{
	ItemPointerData row = *tid;
	TM_FailureData	failure;
	TM_Result		result;

	AssertOwner();
	Assert(ItemPointerIsValid(tid));
	result = table_tuple_lock(store->rel, &row, snapshot, store->found, GetCurrentCommandId(true),
							  LockTupleExclusive, wait ? LockWaitBlock : LockWaitSkip,
							  follow ? TUPLE_LOCK_FLAG_FIND_LAST_VERSION : 0, &failure);
	switch (result)
	{
		case TM_Ok:
			/* copy the row, so that no page stays pinned while a handler runs */
			ExecMaterializeSlot(store->found);
			StoreReadFound(store);
			return STORE_LOCKED;
		case TM_WouldBlock:
			return STORE_BUSY;
		default:
			return STORE_GONE;
	}
}

/* Is this the open table?  For assertions. */
bool
StoreIs(const Store *store, TaskqRel rel)
{
	return RelationGetRelid(store->rel) == CatalogRel(rel);
}

/*
 * Has this transaction locked or deleted the row that was found last?  For assertions.  A row
 * may have several lockers, if a subtransaction locked it after its parent and was
 * rolled back.  These are not checked.
 */
bool
StoreIsLocked(Store *store)
{
	HeapTupleHeader header = ExecFetchSlotHeapTuple(store->found, false, NULL)->t_data;

	return store->deleted || (header->t_infomask & HEAP_XMAX_IS_MULTI) != 0 ||
		   TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmax(header));
}

/* Prepare a scan of the index.  The scan of the last look-up is used again if possible. */
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
	MemoryContext old = MemoryContextSwitchTo(store->kit->context); /* lives as long as the scan */
	bool		  found;

	OpenScan(store, index, nkeys, snapshot);
	index_rescan(store->scan, keys, nkeys, NULL, 0);
	found = index_getnext_slot(store->scan, direction, store->found);
	if (found)
	{
		/* copy the row, because the scan releases its pages */
		ExecMaterializeSlot(store->found);
		StoreReadFound(store);
	}
	index_rescan(store->scan, keys, nkeys, NULL, 0); /* releases all pages */
	MemoryContextSwitchTo(old);
	return found;
}

/* Put the first row that the keys find into store->found. */
bool
StoreFind(Store *store, Oid index, int nkeys, ScanKey keys, Snapshot snapshot)
{
	return FindOne(store, index, nkeys, keys, snapshot, ForwardScanDirection);
}

/* Put the last row, in index order, that the keys find into store->found. */
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
 * Put the row version at this position into store->found.  Returns false if the
 * snapshot sees none there.  The caller must check that it is the wanted row, and
 * soon, because its page is pinned.
 */
bool
StoreFetch(Store *store, ItemPointer tid, Snapshot snapshot)
{
	/* the table may have been truncated in the meantime, but not while it is open */
	if (store->n_blocks == 0)
		store->n_blocks = RelationGetNumberOfBlocks(store->rel);
	return ItemPointerIsValid(tid) && ItemPointerGetBlockNumber(tid) < store->n_blocks &&
		   table_tuple_fetch_row_version(store->rel, tid, snapshot, store->found);
}

/*
 * Return the next value of one of taskq's sequences.  The sequence is locked
 * meanwhile, so that it is not dropped.
 */
int64
StoreNextId(TaskqRel sequence)
{
	Relation rel = CatalogOpen(sequence, RowExclusiveLock);
	int64	 next = nextval_internal(RelationGetRelid(rel), false);

	relation_close(rel, RowExclusiveLock);
	return next;
}

/* Set a sequence, so that it continues after this value. */
void
StoreSetId(TaskqRel sequence, int64 value)
{
	Relation rel = CatalogOpen(sequence, RowExclusiveLock);

	DirectFunctionCall2(setval_oid, ObjectIdGetDatum(RelationGetRelid(rel)), Int64GetDatum(value));
	relation_close(rel, RowExclusiveLock);
}

/*
 * Return the last value that a sequence has given out, after making sure that it is
 * not given out again after a crash.  This is called before values are shown
 * outside the server by a transaction that is still open, or that commits without
 * waiting for the disk.  A sequence writes WAL once for 32 values, so only one call
 * in 32 values has something to flush.
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

	/*
	 * sessions that wait for events keep no lock, so that DROP EXTENSION need not
	 * wait for them
	 */
	relation_close(rel, AccessShareLock);
	XLogFlush(logged);
	return last;
}

/*
 * Register a snapshot of the present moment, which may be newer than that of the
 * caller's statement.  Claims and settles decide by the present state, then lock
 * and check.  The caller unregisters it after use.
 */
Snapshot
StoreSnapshot(void)
{
	/* in a parallel query, only its own snapshot can be used; it only reads */
	return RegisterSnapshot(IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot());
}

char *
SlotString(TupleTableSlot *slot, int attnum)
{
	return SlotIsNull(slot, attnum) ? NULL : TextDatumGetCString(SlotDatum(slot, attnum));
}

ArrayType *
SlotNames(TupleTableSlot *slot, int attnum)
{
	return SlotIsNull(slot, attnum) ? NULL : DatumGetArrayTypePCopy(SlotDatum(slot, attnum));
}

void
SlotSetString(TupleTableSlot *slot, int attnum, const char *value)
{
	SlotSetPointer(slot, attnum, value == NULL ? NULL : cstring_to_text(value));
}
