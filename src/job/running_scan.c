/*
 * running_scan.c
 *	  Scan the running rows of one instance of a worker or of all, by the index jobs_running.
 *
 * Rows that other transactions have stored but not committed are not seen.  A job
 * that a background worker runs is not stored as running, unless its handler is a
 * procedure.
 */
#include "taskq.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "job/running_scan.h"
#include "store/store.h"

/* Columns of the index jobs_running. */
enum
{
	RUNNING_INSTANCE_ID = 1,
	RUNNING_JOB_ID
};

/*
 * Begin a scan of the running jobs of an instance of a worker whose ids are above
 * "after", in the order of ids.  If "worker" is NULL, the scan returns those of all
 * workers.
 */
void
RunningScanBegin(RunningScan *scan, const WorkerName *worker, int64 after)
{
	int			n_keys = worker != NULL ? 2 : 0;
	ScanKeyData keys[2];

	scan->worker_id = worker != NULL ? worker->worker_id : NULL;
	scan->heap = CatalogOpen(REL_JOBS, AccessShareLock);
	scan->index = index_open(CatalogRel(REL_JOBS_RUNNING), AccessShareLock);
	scan->snapshot = StoreSnapshot();
	scan->row = table_slot_create(scan->heap, NULL);
	scan->scan = index_beginscan_compat(scan->heap, scan->index, scan->snapshot, n_keys);
	if (worker != NULL)
	{
		ScanKeyEntryInitialize(&keys[0], 0, RUNNING_INSTANCE_ID, BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID,
							   F_TEXTEQ, CStringGetTextDatum(worker->instance_id));
		ScanKeyInit(&keys[1], RUNNING_JOB_ID, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(after));
	}
	index_rescan(scan->scan, keys, n_keys, NULL, 0);
}

/* Is the job one of the wanted worker?  Instances of several workers may have the same name. */
static bool
IsOfWorker(const RunningScan *scan, const TaskqJob *job)
{
	text *worker_id = DatumGetTextPP(PointerGetDatum(job->worker_id));

	return VARSIZE_ANY_EXHDR(worker_id) == strlen(scan->worker_id) &&
		   memcmp(VARDATA_ANY(worker_id), scan->worker_id, strlen(scan->worker_id)) == 0;
}

/* Read the next job.  Returns false if there are no more. */
bool
RunningScanNext(RunningScan *scan, TaskqJob *job)
{
	while (index_getnext_slot(scan->scan, ForwardScanDirection, scan->row))
	{
		slot_getallattrs(scan->row);
		JobRead(job, scan->row);
		Assert(job->state == JOB_RUNNING && job->worker_id != NULL);
		if (scan->worker_id == NULL || IsOfWorker(scan, job))
			return true;
	}
	return false;
}

void
RunningScanEnd(RunningScan *scan)
{
	index_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->row);
	UnregisterSnapshot(scan->snapshot);
	index_close(scan->index, AccessShareLock);
	table_close(scan->heap, AccessShareLock);
}
