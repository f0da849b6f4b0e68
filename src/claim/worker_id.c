/*
 * worker_id.c
 *	  Whose a worker's id is.
 *
 * A worker's id belongs to the roles that have registered its instances.  Another role
 * cannot register an instance of that worker until all of them have ended.  So its jobs
 * are never taken for those of the worker.
 */
#include "taskq.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "claim/external_worker_row.h"
#include "shared/locks.h"
#include "store/owner.h"

/*
 * Lock a worker's id while a row of one of its instances is written.  The lock is
 * released again at once, so a registration in an open transaction does not stop those
 * of other instances.
 */
void
WorkerHoldId(const WorkerName *name)
{
	(void) LockKey(LOCK_FIRST_ROW, NameKey(name->worker_id), true, true);
}

void
WorkerReleaseId(const WorkerName *name)
{
	UnlockKey(LOCK_FIRST_ROW, NameKey(name->worker_id), true);
}

/* What the registrations of a worker's instances say to a caller. */
typedef struct IdLook
{
	bool has_row;	/* the instance in question has a row */
	bool is_denied; /* that row is in force and of another role */
	bool is_mine;	/* the caller may act for an instance */
	Oid	 other;		/* a role for whose instances the caller may not act, or InvalidOid */
} IdLook;

static void
LookAtRow(IdLook *look, TupleTableSlot *row, const WorkerName *name, Oid caller, AccessKind kind)
{
	Oid	 registered_by = DatumGetObjectId(SlotDatum(row, Anum_external_workers_registered_by));
	bool is_it = strcmp(TextDatumGetCString(SlotDatum(row, Anum_external_workers_instance_id)), name->instance_id) == 0;

	look->has_row |= is_it;
	if (!SlotIsNull(row, Anum_external_workers_ended_at) || look->is_denied)
		return;
	if (WorkerIsOf(registered_by, caller, kind))
		look->is_mine = true;
	else
	{
		look->other = registered_by;
		look->is_denied = is_it;
	}
}

/* A look at the rows of all instances of a worker. */
typedef struct RowScan
{
	Relation		index;
	IndexScanDesc	scan;
	TupleTableSlot *row;
} RowScan;

static void
RowScanBegin(RowScan *rows, Store *store, const char *worker_id, Snapshot snapshot)
{
	ScanKeyData key;

	AssertOwner();
	Assert(StoreIs(store, REL_WORKERS));
	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid, DEFAULT_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(worker_id));
	rows->index = index_open(CatalogRel(REL_WORKERS_PKEY), AccessShareLock);
	rows->row = table_slot_create(store->rel, NULL);
	rows->scan = index_beginscan_compat(store->rel, rows->index, snapshot, 1);
	index_rescan(rows->scan, &key, 1, NULL, 0);
}

static bool
RowScanNext(RowScan *rows)
{
	if (!index_getnext_slot(rows->scan, ForwardScanDirection, rows->row))
		return false;
	slot_getallattrs(rows->row);
	return true;
}

static void
RowScanEnd(RowScan *rows)
{
	index_endscan(rows->scan);
	ExecDropSingleTupleTableSlot(rows->row);
	index_close(rows->index, AccessShareLock);
}

/*
 * Return the role to which a worker's id belongs, if the caller may not register this
 * instance because of it, and else InvalidOid.  Registrations in open transactions count,
 * too, whether they commit or not.  *has_row is set if the instance has a row, also one
 * that has ended.
 */
Oid
WorkerIdOfOthers(Store *store, const WorkerName *name, Oid caller, AccessKind kind, bool *has_row)
{
	IdLook		 look = { 0 };
	SnapshotData dirty;
	RowScan		 rows;

	InitDirtySnapshot(dirty);
	RowScanBegin(&rows, store, name->worker_id, &dirty);
	while (RowScanNext(&rows))
		LookAtRow(&look, rows.row, name, caller, kind);
	RowScanEnd(&rows);
	*has_row = look.has_row;
	return look.is_mine && !look.is_denied ? InvalidOid : look.other;
}

/* Does the worker's id belong to another role, so that the caller's first claim for this instance will be refused? */
bool
WorkerIdIsOfOthers(const WorkerName *name, Oid caller)
{
	OwnerScope scope;
	Store	   store;
	bool	   has_row;
	bool	   is_of_others;

	OwnerEnter(&scope);
	StoreOpenRel(&store, REL_WORKERS);
	is_of_others = OidIsValid(WorkerIdOfOthers(&store, name, caller, ACCESS_OPERATOR, &has_row));
	StoreClose(&store, false);
	OwnerLeave(&scope);
	return is_of_others;
}

/* Is an instance of the worker registered?  With "by_call", those do not count that were registered by a claim. */
bool
WorkerHasInstances(const char *worker_id, bool by_call)
{
	OwnerScope scope;
	Store	   store;
	Snapshot   snapshot;
	RowScan	   rows;
	bool	   found = false;

	OwnerEnter(&scope);
	StoreOpenRel(&store, REL_WORKERS);
	snapshot = StoreSnapshot();
	RowScanBegin(&rows, &store, worker_id, snapshot);
	while (!found && RowScanNext(&rows))
		found = SlotIsNull(rows.row, Anum_external_workers_ended_at) &&
				!(by_call && DatumGetBool(SlotDatum(rows.row, Anum_external_workers_implicit)));
	RowScanEnd(&rows);
	UnregisterSnapshot(snapshot);
	StoreClose(&store, false);
	OwnerLeave(&scope);
	return found;
}
