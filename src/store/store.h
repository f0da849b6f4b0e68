/*
 * store.h
 *	  Reading and writing rows of taskq's tables through the table and index access
 *	  methods.
 */
#ifndef TASKQ_STORE_H
#define TASKQ_STORE_H

#include "taskq.h"

#include "access/genam.h"
#include "access/skey.h"
#include "utils/array.h"
#include "utils/snapshot.h"

#include "store/catalog.h"
#include "store/kit.h"

typedef struct Store
{
	Relation		rel;
	StoreKit	   *kit;
	TupleTableSlot *found;	  /* the row that was found or locked last */
	TupleTableSlot *row;	  /* the row to write */
	IndexScanDesc	scan;	  /* scan of the last look-up, kept for the next, or NULL */
	bool			is_kept;  /* the transaction had the lock of the table already, and keeps it */
	BlockNumber		n_blocks; /* size of the table when last read, or 0 if not read yet */
	bool			deleted;  /* StoreTryDelete() has deleted the row that was found last */

	struct JobBatch *batch; /* of jobs: it takes the rows of those that end, and events; NULL: they are written at once */
} Store;

typedef enum StoreLockResult
{
	STORE_LOCKED, /* locked, or deleted; "found" contains the present version */
	STORE_BUSY,	  /* another transaction has locked the row */
	STORE_GONE	  /* the row has been updated or deleted since the snapshot */
} StoreLockResult;

extern void			   StoreOpenRel(Store *store, TaskqRel rel);
extern bool			   StoreOpenLeaf(Store *store, TaskqRel table, Oid leaf);
extern void			   StoreClose(Store *store, bool keep_lock);
extern TupleTableSlot *StoreNewRow(Store *store);
extern TupleTableSlot *StoreSameRow(Store *store);
extern TupleTableSlot *StoreNextVersion(Store *store);
extern TupleTableSlot *StoreCopyRow(Store *store);
extern void			   StoreReadFound(Store *store);
extern void			   StoreInsert(Store *store);
extern bool			   StoreGather(Store *store);
extern void			   StoreInsertGathered(Store *store, ItemPointer tids);
extern void			   StoreUpdate(Store *store);
extern void			   StoreDelete(Store *store);
extern StoreLockResult StoreTryDelete(Store *store);
extern StoreLockResult StoreLock(Store *store, ItemPointer tid, Snapshot snapshot, bool wait, bool follow);
extern bool			   StoreIs(const Store *store, TaskqRel rel);
extern bool			   StoreIsLocked(Store *store);
extern bool			   StoreFind(Store *store, Oid index, int nkeys, ScanKey keys, Snapshot snapshot);
extern bool			   StoreFindLast(Store *store, Oid index, int nkeys, ScanKey keys, Snapshot snapshot);
extern bool			   StoreFetch(Store *store, ItemPointer tid, Snapshot snapshot);
extern bool			   StoreFindById(Store *store, Oid index, int64 id, Snapshot snapshot);
extern int64		   StoreNextId(TaskqRel sequence);
extern void			   StoreSetId(TaskqRel sequence, int64 value);
extern int64		   StoreLastId(TaskqRel sequence);
extern Snapshot		   StoreSnapshot(void);

typedef void (*StoreRowFunction)(TupleTableSlot *slot, void *arg);
extern void StoreScan(TaskqRel rel, StoreRowFunction function, void *arg);
extern void StoreScanKey(TaskqRel rel, ScanKey key, StoreRowFunction function, void *arg);

/* Columns of a slot.  NULL pointers stand for NULL.  SlotString() and SlotNames() return copies. */
extern char		 *SlotString(TupleTableSlot *slot, int attnum);
extern ArrayType *SlotNames(TupleTableSlot *slot, int attnum);
extern void		  SlotSetString(TupleTableSlot *slot, int attnum, const char *value);

static inline Datum
SlotDatum(TupleTableSlot *slot, int attnum)
{
	return slot->tts_values[attnum - 1];
}

static inline bool
SlotIsNull(TupleTableSlot *slot, int attnum)
{
	return slot->tts_isnull[attnum - 1];
}

static inline void
SlotSet(TupleTableSlot *slot, int attnum, Datum value)
{
	slot->tts_values[attnum - 1] = value;
	slot->tts_isnull[attnum - 1] = false;
}

static inline void *
SlotPointer(TupleTableSlot *slot, int attnum)
{
	return SlotIsNull(slot, attnum) ? NULL : DatumGetPointer(SlotDatum(slot, attnum));
}

static inline void
SlotSetPointer(TupleTableSlot *slot, int attnum, const void *value)
{
	slot->tts_values[attnum - 1] = PointerGetDatum(value);
	slot->tts_isnull[attnum - 1] = value == NULL;
}

static inline void
SlotSetNull(TupleTableSlot *slot, int attnum)
{
	slot->tts_values[attnum - 1] = (Datum) 0;
	slot->tts_isnull[attnum - 1] = true;
}

#endif /* TASKQ_STORE_H */
