/*
 * scan.c
 *	  Reading the index of waiting jobs, in the order of a claim: by priority,
 *	  run_at and job_id within each route.
 *
 * A claim reads the index itself if the ready list has no entry for a route.
 * Otherwise this code fills the lanes of the list, and each lane continues where
 * its last reading stopped.
 *
 * The jobs of a route whose limits ask for keys are in another index, lane by lane
 * (scan_lanes.c).
 */
#include "taskq.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/injection_point.h"
#include "claim/scan.h"

/*
 * Begin to read one of the indexes of waiting jobs.  If "steps" is not 0, reading stops after that many dead entries
 * of the index.
 */
void
ScanBegin(JobScan *scan, TaskqRel rel, Relation heap, int steps)
{
	memset(scan, 0, sizeof(*scan));
	scan->rel = rel;
	scan->heap = heap;
	scan->steps = steps;
}

void
ScanEnd(JobScan *scan)
{
	if (scan->by_route != NULL)
		index_endscan(scan->by_route);
	if (scan->by_lane != NULL)
		index_endscan(scan->by_lane);
	if (scan->index != NULL)
	{
		ExecDropSingleTupleTableSlot(scan->slot);
		index_close(scan->index, AccessShareLock);
	}
	if (scan->snapshot != NULL)
		UnregisterSnapshot(scan->snapshot);
}

/* Take a new snapshot, which sees what is committed now. */
Snapshot
ScanRefresh(JobScan *scan)
{
	Snapshot old = scan->snapshot;

	scan->snapshot = StoreSnapshot();
	scan->is_ahead = false;
	if (scan->by_route != NULL)
		scan->by_route->xs_snapshot = scan->snapshot;
	if (scan->by_lane != NULL)
		scan->by_lane->xs_snapshot = scan->snapshot;
	if (old != NULL)
		UnregisterSnapshot(old);
	return scan->snapshot;
}

static void
Start(JobScan *scan, IndexScanDesc *which, int nkeys)
{
	if (scan->snapshot == NULL)
		(void) ScanRefresh(scan);
	if (scan->index == NULL)
	{
		scan->index = index_open(CatalogRel(scan->rel), AccessShareLock);
		scan->slot = table_slot_create(scan->heap, NULL);
		scan->codec = CodecFor(REL_JOBS, RelationGetDescr(scan->heap));
	}
	if (*which == NULL)
	{
		*which = index_beginscan_compat(scan->heap, scan->index, scan->snapshot, nkeys);
		(*which)->xs_want_itup = scan->steps > 0;
	}
	scan->current = *which;
	index_rescan(scan->current, scan->keys, nkeys, NULL, 0);
}

/* Set a key: the columns of scan->place from this member on must be greater than its values. */
static void
SetPlace(JobScan *scan, ScanKey key, int member)
{
	memset(key, 0, sizeof(ScanKeyData));
	key->sk_flags = SK_ROW_HEADER;
	key->sk_attno = scan->place[member].sk_attno;
	key->sk_strategy = BTGreaterStrategyNumber;
	key->sk_argument = PointerGetDatum(&scan->place[member]);
}

static void
SetMember(JobScan *scan, int member, AttrNumber column, Oid type, Oid function, Datum value, int flags)
{
	ScanKeyEntryInitialize(&scan->place[member], SK_ROW_MEMBER | flags, column, BTGreaterStrategyNumber, type,
						   InvalidOid, function, value);
}

/* Set a key: a job must come after this one.  Its priority is in this column of the index. */
static void
SetJobPlace(JobScan *scan, ScanKey key, AttrNumber priority, const JobKey *after)
{
	SetMember(scan, 0, priority, INT2OID, F_BTINT2CMP, Int16GetDatum(after->priority), 0);
	SetMember(scan, 1, priority + 1, TIMESTAMPTZOID, F_TIMESTAMPTZ_CMP, TimestampTzGetDatum(after->run_at), 0);
	SetMember(scan, 2, priority + 2, INT8OID, F_BTINT8CMP, Int64GetDatum(after->job_id), SK_ROW_END);
	SetPlace(scan, key, 0);
}

/* Read a route's jobs after a key: route = r AND (p, t, id) > after. */
void
ScanRoute(JobScan *scan, int32 route_id, const JobKey *after)
{
	ScanKeyInit(&scan->keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(route_id));
	SetJobPlace(scan, &scan->keys[1], 2, after);
	Start(scan, &scan->by_route, 2);
}

/* Read a key lane's jobs after a key: route = r AND lane = l AND (p, t, id) > after. */
void
ScanKeyLane(JobScan *scan, int32 route_id, int64 lane, const JobKey *after)
{
	ScanKeyInit(&scan->keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(route_id));
	ScanKeyInit(&scan->keys[1], 2, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(lane));
	SetJobPlace(scan, &scan->keys[2], 3, after);
	Start(scan, &scan->by_lane, 3);
}

/* Read a route's jobs in the key lanes after this one. */
void
ScanLanesAfter(JobScan *scan, int32 route_id, int64 lane)
{
	ScanKeyInit(&scan->keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(route_id));
	ScanKeyInit(&scan->keys[1], 2, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(lane));
	Start(scan, &scan->by_route, 2);
}

/* Read a route's jobs of one priority, beginning with a key. */
void
ScanLane(JobScan *scan, int32 route_id, int16 priority, const ReadyKey *from)
{
	int64 before = from->job_id == PG_INT64_MIN ? PG_INT64_MIN : from->job_id - 1;

	ScanKeyInit(&scan->keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(route_id));
	ScanKeyInit(&scan->keys[1], 2, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(priority));
	SetMember(scan, 1, 3, TIMESTAMPTZOID, F_TIMESTAMPTZ_CMP, TimestampTzGetDatum(from->run_at), 0);
	SetMember(scan, 2, 4, INT8OID, F_BTINT8CMP, Int64GetDatum(before), SK_ROW_END);
	SetPlace(scan, &scan->keys[2], 1);
	Start(scan, &scan->by_lane, 3);
}

/* Read the current key from the index entry alone. */
static void
ReadPlace(JobScan *scan, JobKey *key)
{
	TupleDesc  desc = scan->current->xs_itupdesc;
	IndexTuple entry = scan->current->xs_itup;
	bool	   isnull;

	key->priority = DatumGetInt16(index_getattr(entry, 2, desc, &isnull));
	key->run_at = DatumGetTimestampTz(index_getattr(entry, 3, desc, &isnull));
	key->job_id = DatumGetInt64(index_getattr(entry, 4, desc, &isnull));
}

/*
 * Return the next job.  Returns false if there is none, or if the scan has stopped
 * at the key in the hint.
 */
bool
ScanNext(JobScan *scan, ScanHint *hint)
{
	while (index_getnext_tid(scan->current, ForwardScanDirection) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (index_fetch_heap(scan->current, scan->slot))
		{
			CodecReadStart(scan->codec, scan->slot, Anum_jobs_priority);
			JobReadKey(&hint->key, scan->slot);
			hint->tid = scan->slot->tts_tid;
			return true;
		}
		if (scan->steps > 0 && --scan->steps == 0)
		{
			ReadPlace(scan, &hint->key);
			scan->stopped = true;
			return false;
		}
	}
	return false;
}

/* Return the key lane of the job that was found. */
int64
ScanLaneFound(JobScan *scan)
{
	bool isnull;

	return DatumGetInt64(slot_getattr(scan->slot, Anum_jobs_lane, &isnull));
}

/* Find any job. */
bool
ScanAny(JobScan *scan, ScanHint *hint)
{
	ScanKeyInit(&scan->keys[0], 1, BTGreaterEqualStrategyNumber, F_INT4GE, Int32GetDatum(PG_INT32_MIN));
	ScanKeyInit(&scan->keys[1], 2, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(PG_INT64_MIN));
	Start(scan, &scan->by_route, 2);
	return ScanNext(scan, hint);
}

/* Release the pinned page until the next read. */
void
ScanRest(JobScan *scan)
{
	if (scan->slot != NULL)
		ExecClearTuple(scan->slot);
}

/*
 * Fill a lane of the ready list, and take up to "most" of its first jobs that do
 * not come after the bound.  Returns their number, or -1 if another process is
 * filling the lane.
 */
int
ScanFill(JobScan *scan, int32 route_id, int16 priority, TimestampTz now, const ReadyKey *bound, int most,
		 ReadyHint *hints)
{
	int		   room = most + READY_ROOM;
	ReadyHint *found = palloc(sizeof(ReadyHint) * room);
	ReadyKey   from;
	ReadyKey   until = READY_END;
	ScanHint   hint;
	int		   n = 0;
	int		   taken = 0;

	ReadyReserve(most);
	if (!ReadyFillBegin(route_id, priority, &from))
	{
		pfree(found);
		return -1;
	}
	(void) ScanRefresh(scan);
	ScanLane(scan, route_id, priority, &from);
	while (ScanNext(scan, &hint))
	{
		ReadyKey key = { hint.key.run_at, hint.key.job_id };

		if (n == room || key.run_at > now)
		{
			until = key;
			break;
		}
		found[n].key = key;
		found[n++].tid = hint.tid;
	}
	ScanRest(scan);
	TASKQ_INJECTION_POINT("list-read");
	while (taken < most && taken < n && ReadyCompare(&found[taken].key, bound) <= 0)
		taken++;
	ReadyFillEnd(found + taken, n - taken, until);
	ReadyHeld(route_id, priority, 0, found, taken);
	Assert(taken <= most && n <= room);
	if (taken > 0)
		memcpy(hints, found, sizeof(ReadyHint) * taken);
	pfree(found);
	return taken;
}

/* Find the priorities of a route's jobs, and give each one a lane. */
void
ScanLearn(JobScan *scan, int32 route_id)
{
	int16	 priorities[READY_MAX_LANES];
	JobKey	 after = { PG_INT16_MIN, DT_NOBEGIN, PG_INT64_MIN };
	ScanHint hint;
	int		 n = 0;
	bool	 all = true;
	uint64	 number = ReadyLearnBegin(route_id);

	if (number == 0)
		return;
	(void) ScanRefresh(scan);
	for (;;)
	{
		ScanRoute(scan, route_id, &after);
		if (!ScanNext(scan, &hint))
			break;
		all = n < READY_MAX_LANES;
		if (!all)
			break;
		priorities[n++] = after.priority = hint.key.priority;
		after.run_at = DT_NOEND;
		after.job_id = PG_INT64_MAX;
	}
	ScanRest(scan);
	TASKQ_INJECTION_POINT("list-learnt");
	ReadyLearnEnd(route_id, number, priorities, n, all);
}
