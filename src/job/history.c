/*
 * history.c
 *	  The history, which keeps finished jobs.
 *
 * job_history is partitioned by the day on which rows expire (leaf.c).  If a row
 * finds no partition for its day, it goes to the overflow partition, and
 * HistoryMaintain() moves it later (retention.c).
 */
#include "taskq.h"

#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "base/text.h"
#include "config/queue.h"
#include "config/route.h"
#include "job/attempt.h"
#include "job/history.h"
#include "job/job_batch.h"
#include "store/leaf.h"
#include "store/leaf_find.h"
#include "store/owner.h"
#include "store/store.h"

const LeafTable history_table = {
	.name = "job_history",
	.parent = REL_HISTORY,
	.overflow = REL_HISTORY_OVERFLOW,
	.key = "job_id, life, expires_on",
};

/* insert ------------------------------------------------------------------- */

/*
 * Write the row of a finished job, or gather it if jobs->batch is set.  The current
 * user is the owner.
 */
void
HistoryInsert(Store *jobs, const TaskqJob *job, struct varlena *result, TimestampTz now)
{
	const TaskqRoute *route = RouteById(job->route_id);
	const TaskqQueue *queue = QueueById(route->queue_id);
	int64			  retention = job->state == JOB_COMPLETED ? queue->retain_completed : queue->retain_other;
	TaskqJob		  copy = *job;
	TaskqEnding		  ending = { 0 };
	Store			  leaf;

	AssertOwner();
	Assert(JobEnded(job->state) && job->job_id != 0);
	ending.finished_at = now;
	ending.result = result;
	ending.handler_version = TextOrNull(AttemptHandlerVersion(job));

	copy.instance_id = InstanceToKeep(job);

	/* a job that did not complete may be retried, and then needs its payload */
	if (!queue->keep_payload && job->state == JOB_COMPLETED)
		copy.payload = NULL;

	if (jobs->batch != NULL)
	{
		Store *gathering = LeafBatchFor(&jobs->batch->history, &history_table, now, retention, &ending.expires_on);

		JobWriteEnded(&copy, &ending, StoreNewRow(gathering));
		if (StoreGather(gathering))
			StoreInsertGathered(gathering, NULL);
		return;
	}
	LeafOpenForRow(&leaf, &history_table, now, retention, &ending.expires_on);
	JobWriteEnded(&copy, &ending, StoreNewRow(&leaf));
	StoreInsert(&leaf);
	StoreClose(&leaf, true);
}

/* find --------------------------------------------------------------------- */

/*
 * Find a job's row in one partition: that of this life or, if life is negative, of
 * the last. leaf->found holds the row.
 */
static bool
FindInLeaf(Store *leaf, int64 job_id, int life, Snapshot snapshot)
{
	Oid			index = RelationGetPrimaryKeyIndex_compat(leaf->rel);
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(job_id));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(life));
	return OidIsValid(index) && StoreFindLast(leaf, index, life < 0 ? 1 : 2, keys, snapshot);
}

/* What to do with a row that was found; returns true to end the search. */
typedef bool (*FoundFunction)(Store *leaf, Snapshot snapshot, void *arg);

/* Search a job in all partitions in which it may be, until the function returns true. */
static bool
ProbeLeaves(int64 job_id, int life, FoundFunction function, void *arg)
{
	Snapshot snapshot = StoreSnapshot(); /* taken first, as LeavesWithId() needs it */
	int		 n;
	Oid		*leaves = LeavesWithId(&history_table, job_id, &n);
	bool	 enough = false;

	for (int i = 0; i < n && !enough; i++)
	{
		Store leaf;

		/* mostly one of several has the job */
		if (n > 1 && !LeafHasEntry(leaves[i], job_id, snapshot))
			continue;

		/* it may have been dropped since the list was made */
		if (!StoreOpenLeaf(&leaf, REL_HISTORY, leaves[i]))
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

	/* read it again from a copy, which outlives the open partition */
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
 * Mark the row of a finished job as superseded, and thereby keep it locked.
 * Returns STORE_GONE if another transaction has done that and, without "wait",
 * STORE_BUSY if one is doing it now.
 */
StoreLockResult
HistorySupersede(int64 job_id, int life, bool wait)
{
	SupersedeState state = { wait, STORE_GONE };

	(void) ProbeLeaves(job_id, life, MarkSuperseded, &state);
	return state.result;
}
