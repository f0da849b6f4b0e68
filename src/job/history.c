/*
 * history.c
 *	  Finished jobs, and failed attempts.
 *
 * job_history is partitioned by the day on which rows expire (leaf.c).  Rows
 * that had to go to its overflow leaf are moved by HistoryMaintain().
 */
#include "taskq.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/compat.h"
#include "config/handler.h"
#include "config/queue.h"
#include "config/route.h"
#include "job/history.h"
#include "store/leaf.h"
#include "store/owner.h"
#include "store/store.h"

static const LeafTable history = {
	.name = "job_history",
	.parent = REL_HISTORY,
	.overflow = REL_HISTORY_OVERFLOW,
	.key = "job_id, life, expires_on",
};

#define MAX_MOVE 500   /* rows in one transaction */
#define MAX_FORGET 500 /* jobs in one transaction */

/* How far attempts and frames of a leaf's jobs were forgotten. */
static struct
{
	char  leaf[NAMEDATALEN];
	int64 job_id;
	bool  all; /* but for rows that somebody had locked */
} forgotten;

/* Columns of taskq.attempt_failures, in order. */
enum
{
	F_JOB_ID = 1,
	F_EPOCH,
	F_ATTEMPT,
	F_STARTED_AT,
	F_FINISHED_AT,
	F_WORKER_ID,
	F_HANDLER_VERSION,
	F_OUTCOME,
	F_ERROR_TYPE,
	F_ERROR_CODE,
	F_ERROR_MESSAGE,
	F_SQLSTATE,
	F_DETAIL,
	F_HINT,
	F_CONTEXT
};

/* insert ------------------------------------------------------------------- */

/*
 * The version that an attempt is recorded with.  While a run lasted its type
 * may have been registered anew: then it is still that of what ran.
 */
const char *
HistoryHandlerVersion(const TaskqJob *job)
{
	const TaskqHandler *handler;

	if (job->runs_here)
		return job->handler_version;
	handler = HandlerFind(RouteById(job->route_id)->task_type);
	return handler == NULL ? NULL : handler->version;
}

/* Write a finished job's row.  The caller is the owner. */
void
HistoryInsert(const TaskqJob *job, struct varlena *result, TimestampTz now)
{
	const TaskqRoute *route = RouteById(job->route_id);
	const TaskqQueue *queue = QueueById(route->queue_id);
	TaskqJob		  copy = *job;
	TaskqEnding		  ending = { 0 };
	Store			  leaf;

	ending.finished_at = now;
	ending.result = result;
	ending.handler_version = TextOrNull(HistoryHandlerVersion(job));

	/* a job that did not complete may be put back, and needs its payload then */
	if (!queue->keep_payload && job->state == JOB_COMPLETED)
		copy.payload = NULL;

	LeafOpenForRow(&leaf, &history, now, job->state == JOB_COMPLETED ? queue->retain_completed : queue->retain_other,
				   &ending.expires_on);
	JobWriteEnded(&copy, &ending, StoreNewRow(&leaf));
	StoreInsert(&leaf);
	StoreClose(&leaf, true);
}

static void
SetCut(TupleTableSlot *slot, int attnum, const char *string)
{
	SlotSetPointer(slot, attnum, ErrorText(string));
}

/* Write the row of an attempt that did not complete.  The caller is the owner. */
void
HistoryInsertFailure(const TaskqJob *job, const AttemptFailure *failure, TimestampTz now)
{
	Store			store;
	TupleTableSlot *row;

	StoreOpenRel(&store, REL_FAILURES);
	row = StoreNewRow(&store);
	SlotSet(row, F_JOB_ID, Int64GetDatum(job->job_id));
	SlotSet(row, F_EPOCH, Int64GetDatum(job->epoch));
	SlotSet(row, F_ATTEMPT, Int32GetDatum(job->attempt));
	if (job->started_at != 0)
		SlotSet(row, F_STARTED_AT, TimestampTzGetDatum(job->started_at));
	SlotSet(row, F_FINISHED_AT, TimestampTzGetDatum(now));
	SlotSetPointer(row, F_WORKER_ID, job->worker_id);
	SlotSetString(row, F_HANDLER_VERSION, HistoryHandlerVersion(job));
	SlotSetString(row, F_OUTCOME, failure->outcome);
	SlotSetString(row, F_ERROR_TYPE, failure->error_type);
	SetCut(row, F_ERROR_CODE, failure->error_code);
	SetCut(row, F_ERROR_MESSAGE, failure->message);
	SlotSetString(row, F_SQLSTATE, failure->sqlstate);
	SetCut(row, F_DETAIL, failure->detail);
	SetCut(row, F_HINT, failure->hint);
	SetCut(row, F_CONTEXT, failure->context);
	StoreInsert(&store);
	StoreClose(&store, true);
}

/* find --------------------------------------------------------------------- */

/* Find the row of a job's last life in one leaf; leaf->found holds it. */
static bool
FindInLeaf(Store *leaf, int64 job_id, int life, Snapshot snapshot)
{
	Oid			index = RelationGetPrimaryKeyIndex_compat(leaf->rel);
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(job_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(life));
	return OidIsValid(index) && StoreFindLast(leaf, index, life < 0 ? 1 : 2, keys, snapshot);
}

/* What to do with each row of a job that is found. */
typedef bool (*FoundFunction)(Store *leaf, Snapshot snapshot, void *arg);

/* Look a job up leaf by leaf, until the function says it is enough. */
static bool
ProbeLeaves(int64 job_id, int life, FoundFunction function, void *arg)
{
	Snapshot snapshot = StoreSnapshot(); /* first: what it sees is in a leaf that is listed */
	int		 n;
	Oid		*leaves = LeafList(&history, &n);
	bool	 enough = false;

	for (int i = 0; i < n && !enough; i++)
	{
		Store leaf;

		/* it may have been dropped since it was listed */
		if (!StoreOpenLeaf(&leaf, leaves[i]))
			continue;
		if (FindInLeaf(&leaf, job_id, life, snapshot))
			enough = function(&leaf, snapshot, arg);
		StoreClose(&leaf, enough);
	}
	UnregisterSnapshot(snapshot);
	return enough;
}

typedef struct FindState
{
	TaskqJob	*job;
	TaskqEnding *ending;
} FindState;

static bool
KeepFound(Store *leaf, Snapshot snapshot, void *arg)
{
	FindState	   *state = arg;
	HeapTuple		copy;
	TupleTableSlot *slot;

	JobReadEnded(state->job, state->ending, leaf->found);
	if (state->ending->superseded)
		return false;

	/* again from a copy that stays when the leaf is closed */
	copy = ExecCopySlotHeapTuple(leaf->found);
	slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(leaf->found->tts_tupleDescriptor), &TTSOpsHeapTuple);
	ExecStoreHeapTuple(copy, slot, false);
	slot_getallattrs(slot);
	JobReadEnded(state->job, state->ending, slot);
	return true;
}

/* Find a finished job that was not put back. */
bool
HistoryFind(int64 job_id, TaskqJob *job, TaskqEnding *ending)
{
	FindState state = { job, ending };

	return ProbeLeaves(job_id, -1, KeepFound, &state);
}

typedef struct SupersedeState
{
	bool			wait;
	StoreLockResult result;
} SupersedeState;

static bool
MarkSuperseded(Store *leaf, Snapshot snapshot, void *arg)
{
	SupersedeState *state = arg;
	TaskqJob		job;
	TaskqEnding		ending;
	StoreLockResult locked = StoreLock(leaf, &leaf->found->tts_tid, snapshot, state->wait, false);

	if (locked == STORE_BUSY)
		state->result = STORE_BUSY;
	if (locked != STORE_LOCKED)
		return false;
	JobReadEnded(&job, &ending, leaf->found);
	if (ending.superseded)
		return false;
	ending.superseded = true;
	JobWriteEnded(&job, &ending, StoreCopyRow(leaf));
	StoreUpdate(leaf);
	state->result = STORE_LOCKED;
	return true;
}

/*
 * Mark a finished job's row as put back, and so keep it locked.  Gone: somebody
 * else did that; busy, without "wait": is just doing it.
 */
StoreLockResult
HistorySupersede(int64 job_id, int life, bool wait)
{
	SupersedeState state = { wait, STORE_GONE };

	(void) ProbeLeaves(job_id, life, MarkSuperseded, &state);
	return state.result;
}

/* maintain ----------------------------------------------------------------- */

/*
 * Give rows of the overflow leaf their expiry day, make the leaves of those
 * days and move the rows there; true: there may be more.  The day is computed here
 * as HistoryInsert() computes it, queue by queue.  Leaves that are missing are made
 * first, and the rows moved by another call: a query that was planned before the
 * leaf was there would find a row that moves at once in neither place.
 */
static bool
EmptyOverflow(void)
{
	static const char *const rows =
		"SELECT h.job_id, h.life, h.finished_at, h.state = 'c', r.queue_id"
		" FROM taskq.job_history_overflow h JOIN taskq.routes r USING (route_id)"
		" LIMIT $1 FOR UPDATE OF h SKIP LOCKED";
	Oid			   limit_type[] = { INT4OID };
	Datum		   limit[] = { Int32GetDatum(MAX_MOVE) };
	SPITupleTable *found;
	uint64		   n;
	bool		   made = false;
	int			   moved = 0;

	n = OwnerExecute(rows, 1, limit_type, limit, NULL);
	found = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
	{
		Oid				  types[] = { INT8OID, INT2OID, DATEOID };
		Datum			  values[3];
		bool			  isnull;
		TimestampTz		  finished_at = DatumGetTimestampTz(SPI_getbinval(found->vals[i], found->tupdesc, 3, &isnull));
		bool			  completed = DatumGetBool(SPI_getbinval(found->vals[i], found->tupdesc, 4, &isnull));
		const TaskqQueue *queue = QueueById(DatumGetInt32(SPI_getbinval(found->vals[i], found->tupdesc, 5, &isnull)));
		DateADT			  day = LeafDay(finished_at, completed ? queue->retain_completed : queue->retain_other);

		LeafMaking making = LeafMake(&history, day);

		if (making == LEAF_IS_MADE)
			made = true;
		if (made || making == LEAF_NAME_IS_TAKEN)
			continue;
		moved++;
		values[0] = SPI_getbinval(found->vals[i], found->tupdesc, 1, &isnull);
		values[1] = SPI_getbinval(found->vals[i], found->tupdesc, 2, &isnull);
		values[2] = DateADTGetDatum(day);
		OwnerExecute("UPDATE taskq.job_history SET expires_on = $3"
					 " WHERE expires_on = '-infinity' AND job_id = $1 AND life = $2",
					 3, types, values, NULL);
	}
	if (made)
		LeafWant();
	if (n > 0)
		forgotten.leaf[0] = '\0'; /* one of them may have gone into that */
	return n == MAX_MOVE && moved > 0 && !made;
}

/* Delete a table's rows of these jobs; false: somebody has locked some of them. */
static bool
ForgetIn(const char *table, Datum job_ids)
{
	Oid	  types[] = { INT8ARRAYOID };
	Datum values[] = { job_ids };

	OwnerExecute(psprintf("DELETE FROM taskq.%s WHERE ctid = ANY (ARRAY("
						  "SELECT ctid FROM taskq.%s WHERE job_id = ANY ($1) FOR UPDATE SKIP LOCKED))",
						  table, table),
				 1, types, values, NULL);
	return OwnerExecute(psprintf("SELECT FROM taskq.%s WHERE job_id = ANY ($1) LIMIT 1", table), 1, types, values, NULL) == 0;
}

/*
 * Forget the attempts and frames of some jobs of a leaf whose day is over, from
 * where the last call has stopped; false: that was all.
 */
static bool
ForgetSome(const char *leaf)
{
	Oid	  types[] = { INT8OID, INT4OID };
	Datum values[2];
	Datum job_ids;
	int64 last;
	bool  isnull;
	bool  gone;

	if (strcmp(forgotten.leaf, leaf) != 0)
	{
		strlcpy(forgotten.leaf, leaf, sizeof(forgotten.leaf));
		forgotten.job_id = PG_INT64_MIN;
		forgotten.all = true;
	}
	values[0] = Int64GetDatum(forgotten.job_id);
	values[1] = Int32GetDatum(MAX_FORGET);
	OwnerExecute(psprintf("SELECT array_agg(job_id), max(job_id) FROM (SELECT job_id FROM taskq.%s"
						  " WHERE job_id > $1 AND NOT superseded ORDER BY job_id LIMIT $2) j",
						  leaf),
				 2, types, values, NULL);
	job_ids = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (isnull)
		return false;
	last = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	gone = ForgetIn("attempt_failures", job_ids);
	forgotten.all = ForgetIn("frame_log", job_ids) && gone && forgotten.all;
	forgotten.job_id = last;
	return true;
}

/*
 * Housekeeping of the history, a piece of it, in the caller's transaction: make
 * leaves that are missing, forget what belongs to the jobs of one that has
 * expired, and drop it at last, so that the locks on the history are held for a
 * moment only.  True: there is more to do.  Without "wait" it is left to whoever
 * does just that.
 */
bool
HistoryMaintain(bool wait)
{
	OwnerScope scope;
	char	  *expired;
	bool	   more;

	if (!LeafCare(wait))
		return false;
	OwnerEnterSpi(&scope);
	more = EmptyOverflow();
	if (!more && (expired = LeafExpired(&history)) != NULL)
	{
		more = ForgetSome(expired);
		if (!more)
		{
			if (forgotten.all)
				LeafDrop(&history, expired);
			forgotten.leaf[0] = '\0';
		}
	}
	OwnerLeaveSpi(&scope);
	return more;
}

/* All of that at once, in the caller's transaction. */
void
HistoryPrune(void)
{
	forgotten.leaf[0] = '\0'; /* the last transaction may have been rolled back */
	while (HistoryMaintain(true))
		CHECK_FOR_INTERRUPTS();
}
