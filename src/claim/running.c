/*
 * running.c
 *	  Reading the running jobs: those of one worker, or all whose leases are over.
 */
#include "taskq.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/guc.h"
#include "claim/lease.h"
#include "claim/running.h"
#include "job/fence.h"
#include "shared/watch.h"
#include "store/owner.h"

/*
 * Read the running jobs of a worker whose ids are above list->after, in the order
 * of ids; or, if worker_id is NULL, the jobs of all workers whose leases are over.
 */
void
RunningOf(RunningList *list, const char *worker_id, int most)
{
	Relation		heap = CatalogOpen(REL_JOBS, AccessShareLock);
	Relation		index = index_open(CatalogRel(REL_JOBS_RUNNING), AccessShareLock);
	Snapshot		snapshot = StoreSnapshot();
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	int				nkeys = worker_id != NULL ? 2 : 0;
	IndexScanDesc	scan = index_beginscan_compat(heap, index, snapshot, nkeys);
	TimestampTz		now = WatchNow();
	ScanKeyData		keys[2];
	TaskqJob		job;

	list->n = 0;
	list->next_end = DT_NOEND;
	list->job_ids = palloc(sizeof(int64) * most);
	list->epochs = palloc(sizeof(int64) * most);
	if (worker_id != NULL)
	{
		ScanKeyEntryInitialize(&keys[0], 0, 1, BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID,
							   F_TEXTEQ, CStringGetTextDatum(worker_id));
		ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(list->after));
	}
	index_rescan(scan, keys, nkeys, NULL, 0);
	while (list->n < most && index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		slot_getallattrs(slot);
		JobRead(&job, slot);
		if (worker_id == NULL && LeaseEnd(&job, slot) > now)
		{
			/* nobody announces that a background worker has gone, so look again soon */
			list->next_end = Min(list->next_end, job.lease_expires_at == 0 ? now + (int64) taskq_poll_interval * 1000 : LeaseEnd(&job, slot));
			continue;
		}
		list->job_ids[list->n] = job.job_id;
		list->epochs[list->n++] = job.epoch;
		list->after = job.job_id;
	}
	list->more = list->n == most;
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	index_close(index, AccessShareLock);
	table_close(heap, AccessShareLock);
}

/* Does this claim still hold the job?  Takes no lock. */
bool
IsStillHeld(int64 job_id, int64 epoch)
{
	OwnerScope scope;
	Store	   jobs;
	TaskqJob   job;
	Snapshot   snapshot;
	bool	   held = false;

	OwnerEnter(&scope);
	snapshot = StoreSnapshot();
	StoreOpenRel(&jobs, REL_JOBS);
	if (StoreFindById(&jobs, CatalogRel(REL_JOBS_PKEY), job_id, snapshot))
	{
		JobRead(&job, jobs.found);
		held = job.state == JOB_RUNNING && job.epoch == epoch && EpochIsOurs(epoch);
	}
	StoreClose(&jobs, false);
	UnregisterSnapshot(snapshot);
	OwnerLeave(&scope);
	return held;
}
