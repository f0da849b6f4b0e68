/*
 * write.c
 *	  Writing rows of taskq's tables.
 *
 * If the constraints and indexes of a table are simple, as those that taskq has created
 * are, we write its rows directly: the tuple is formed by a function that knows its
 * columns (codec.c), and the entries are made in every index that the relcache lists.
 * The executor does what is left: the bounds of a leaf, and the error for a NULL in a
 * column that takes none.  If there is anything else, such as a check constraint, or an
 * index with an expression, of another kind or one that is being built, then the executor
 * writes the row, as logical replication does.
 *
 * Rows can be gathered, to be inserted together: then a page is locked and logged once
 * for all the rows that go there, and an index is gone through in order.  They are kept
 * in the kit, which an abort of their subtransaction discards.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "access/tableam.h"
#include "miscadmin.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "store/columns.h"
#include "store/owner.h"
#include "store/store.h"

#define MAX_GATHERED_SIZE (64 * 1024) /* as much as COPY keeps, some pages */

/* Return the column that has the day on which a row of a leaf expires. */
static AttrNumber
DayColumn(TaskqRel table)
{
	switch (table)
	{
		case REL_HISTORY:
		case REL_HISTORY_OVERFLOW:
			return Anum_job_history_expires_on;
		case REL_EVENTS:
		case REL_EVENTS_OVERFLOW:
			return Anum_event_log_expires_on;
		default:
			return InvalidAttrNumber;
	}
}

/*
 * Check the bounds of a leaf.  They are days, and rows that are written one after the
 * other mostly expire on the same day, which is then checked once.  If the bounds change,
 * the kit is made anew.
 */
static void
CheckBounds(StoreKit *kit)
{
	AttrNumber column = DayColumn(kit->table);
	DateADT	   day = AttributeNumberIsValid(column) ? DatumGetDateADT(SlotDatum(kit->row, column)) : 0;

	if (AttributeNumberIsValid(column) && kit->knows_day && day == kit->day)
		return;
	ExecPartitionCheck(kit->result, kit->row, kit->estate, true);
	kit->knows_day = AttributeNumberIsValid(column);
	kit->day = day;
}

/* Check the row against the constraints that a simple table has.  "tuple" is the row, formed. */
static void
CheckConstraints(StoreKit *kit, Relation rel, HeapTuple tuple)
{
	if ((kit->not_null & ~CodecPresent(tuple)) != 0)
		ExecConstraints(kit->result, kit->row, kit->estate);
	if (rel->rd_rel->relispartition)
		CheckBounds(kit);
}

/* Form the tuple of the row. */
static HeapTuple
FormTuple(StoreKit *kit)
{
	TupleTableSlot *row = kit->row;

	if (kit->codec != NULL)
		return kit->codec->form(row->tts_values, row->tts_isnull);
	return heap_form_tuple(row->tts_tupleDescriptor, row->tts_values, row->tts_isnull);
}

/* Does an index have rows like this one? */
static bool
HasSuchRows(const StoreKit *kit, const KitIndex *which, TupleTableSlot *row)
{
	if (which->gate == '\0')
		return true;
	CodecReadStart(kit->codec, row, Anum_jobs_gate);
	if (DatumGetChar(row->tts_values[Anum_jobs_gate - 1]) != which->gate)
		return false;
	if (which->negative == 0)
		return true;
	CodecReadStart(kit->codec, row, which->negative);
	return !row->tts_isnull[which->negative - 1] && DatumGetInt64(row->tts_values[which->negative - 1]) < 0;
}

/*
 * Make the entry of a row in one index, if the index has such rows.  "replaced" is the
 * older version of the row, or NULL.  If the index has that, too, the b-tree first removes
 * entries of older versions when a page is full.  The new entry is beside that of the older
 * version then, and mostly not at the end.
 */
static void
InsertEntry(StoreKit *kit, int i, TupleTableSlot *row, ItemPointer tid, TupleTableSlot *replaced)
{
	KitIndex  *which = &kit->indexes[i];
	Relation   index;
	IndexInfo *info = kit->result->ri_IndexRelationInfo[i];
	Datum	   values[INDEX_MAX_KEYS];
	bool	   isnull[INDEX_MAX_KEYS];
	bool	   unchanged = replaced != NULL && HasSuchRows(kit, which, replaced);

	if (!HasSuchRows(kit, which, row))
		return;
	index = KitIndexRelation(kit, i);
	CodecReadStart(kit->codec, row, which->last_column);
	for (int k = 0; k < info->ii_NumIndexAttrs; k++)
	{
		int column = info->ii_IndexAttrNumbers[k];

		Assert(column > 0);
		values[k] = row->tts_values[column - 1];
		isnull[k] = row->tts_isnull[column - 1];
	}
	if (!unchanged)
		LastPageTell(&which->last_page, index);
	(void) index_insert(index, values, isnull, tid, kit->result->ri_RelationDesc,
						index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, unchanged, info);
}

static void
InsertEntries(StoreKit *kit, TupleTableSlot *row, ItemPointer tid, TupleTableSlot *replaced)
{
	for (int i = 0; i < kit->result->ri_NumIndices; i++)
		InsertEntry(kit, i, row, tid, replaced);
}

/* Insert store->row, which the caller has filled by SlotSet...(). */
void
StoreInsert(Store *store)
{
	StoreKit *kit = store->kit;

	AssertOwner();
	KitOpenIndexes(kit);
	ExecStoreVirtualTuple(store->row);
	if (kit->direct)
	{
		HeapTuple tuple = FormTuple(kit);

		CheckConstraints(kit, store->rel, tuple);
		ExecStoreHeapTuple(tuple, kit->formed, true);
		simple_table_tuple_insert(store->rel, kit->formed);
		store->row->tts_tid = kit->formed->tts_tid;
		InsertEntries(kit, store->row, &store->row->tts_tid, NULL);
		ExecClearTuple(kit->formed);
	}
	else
		ExecSimpleRelationInsert(kit->result, kit->estate, store->row);
	ResetPerTupleExprContext(kit->estate);
}

/*
 * Keep a copy of store->row, to be inserted by StoreInsertGathered().  Returns whether
 * that must be called before another row is kept.
 */
bool
StoreGather(Store *store)
{
	StoreKit	 *kit = store->kit;
	MemoryContext old;
	HeapTuple	  tuple;

	AssertOwner();
	KitOpenIndexes(kit);
	ExecStoreVirtualTuple(store->row);
	old = MemoryContextSwitchTo(kit->context);
	tuple = FormTuple(kit);
	MemoryContextSwitchTo(old);
	if (kit->direct)
	{
		CheckConstraints(kit, store->rel, tuple);
		ResetPerTupleExprContext(kit->estate);
	}
	ExecStoreHeapTuple(tuple, KitGatherSlot(kit), true);
	kit->gathered_size += tuple->t_len;
	return kit->n_gathered == STORE_MAX_GATHERED || kit->gathered_size >= MAX_GATHERED_SIZE;
}

/* Insert the gathered rows, and then their entries, one index after the other. */
static void
InsertTogether(Store *store)
{
	StoreKit	 *kit = store->kit;
	MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(kit->estate));

	table_multi_insert(store->rel, kit->gathered, kit->n_gathered, GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < kit->result->ri_NumIndices; i++)
		for (int k = 0; k < kit->n_gathered; k++)
			InsertEntry(kit, i, kit->gathered[k], &kit->gathered[k]->tts_tid, NULL);
	MemoryContextSwitchTo(old);
}

/*
 * Insert the gathered rows.  If "tids" is not NULL, it gets the place of each, in the
 * order in which they were gathered.
 */
void
StoreInsertGathered(Store *store, ItemPointer tids)
{
	StoreKit *kit = store->kit;

	AssertOwner();
	if (kit->direct && kit->n_gathered > 0)
		InsertTogether(store);
	for (int k = 0; k < kit->n_gathered; k++)
	{
		if (!kit->direct)
			ExecSimpleRelationInsert(kit->result, kit->estate, kit->gathered[k]);
		if (tids != NULL)
			tids[k] = kit->gathered[k]->tts_tid;
		ExecClearTuple(kit->gathered[k]);
		ResetPerTupleExprContext(kit->estate);
	}
	kit->n_gathered = 0;
	kit->gathered_size = 0;
}

/* Replace the locked row store->found by store->row. */
void
StoreUpdate(Store *store)
{
	StoreKit *kit = store->kit;

	AssertOwner();
	Assert(StoreIsLocked(store));
	KitOpenIndexes(kit);
	ExecStoreVirtualTuple(store->row);
	if (kit->direct)
	{
		HeapTuple tuple = FormTuple(kit);
		bool	  entries;

		CheckCmdReplicaIdentity(store->rel, CMD_UPDATE);
		CheckConstraints(kit, store->rel, tuple);
		ExecStoreHeapTuple(tuple, kit->formed, true);
		entries = simple_table_tuple_update_compat(store->rel, &store->found->tts_tid, kit->formed, kit->estate->es_snapshot);
		store->row->tts_tid = kit->formed->tts_tid;
		if (entries)
			InsertEntries(kit, store->row, &store->row->tts_tid, store->found);
		ExecClearTuple(kit->formed);
	}
	else
		ExecSimpleRelationUpdate(kit->result, kit->estate, &kit->epq, store->found, store->row);
	ResetPerTupleExprContext(kit->estate);
}

/* Delete the locked row store->found, unless StoreTryDelete() has done that. */
void
StoreDelete(Store *store)
{
	AssertOwner();
	Assert(StoreIsLocked(store));
	if (!store->deleted)
		ExecSimpleRelationDelete(store->kit->result, store->kit->estate, &store->kit->epq, store->found);
	store->deleted = false;
}

/*
 * Delete the row version store->found, which is not locked, if it is the newest.  If
 * another transaction has locked it, we wait.  Returns STORE_GONE if the row was updated or
 * deleted.  The snapshot that sees the version is still registered, so that no other row
 * has got its place.
 */
StoreLockResult
StoreTryDelete(Store *store)
{
	TM_FailureData failure;
	TM_Result	   result;

	AssertOwner();
	CheckCmdReplicaIdentity(store->rel, CMD_DELETE);
	result = table_tuple_delete_compat(store->rel, &store->found->tts_tid, GetCurrentCommandId(true),
									   store->kit->estate->es_snapshot, &failure);
	store->deleted = result == TM_Ok;
	return store->deleted ? STORE_LOCKED : STORE_GONE;
}
