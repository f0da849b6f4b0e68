/*
 * admit.c
 *	  What may keep a chosen job from starting, and what its end gives back.
 *	  Every claim passes Admit() between choose and stamp; every run that ends
 *	  passes Leave().
 *
 * A worker's max_concurrent_jobs are numbered permits.  A claim that is not
 * committed holds its permit by a lock, a committed one by the number in the
 * running row; a permit is free when neither is there.  So no claim is counted
 * that others cannot see yet, none waits for another, and a rollback, to a
 * savepoint too, needs no clean-up.
 */
#include "taskq.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_collation.h"
#include "common/hashfn.h"
#include "nodes/bitmapset.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "job/admit.h"
#include "job/cancel_requests.h"
#include "job/current.h"
#include "shared/blame.h"
#include "shared/locks.h"
#include "shared/shmem.h"
#include "shared/wake.h"
#include "store/store.h"

/* May this job, whose row is locked, start?  The caller is the owner. */
Admission
Admit(const TaskqJob *job)
{
	/* a handler that claims jobs is not given its own */
	if (CurrentIs(job->job_id))
		return ADMIT_LATER;
	if (ShmemTerminationPending(job->job_id) || BlameHolds(job->job_id))
		return ADMIT_LATER;
	if (CancelRequested(job->job_id, NULL))
		return ADMIT_CANCELLED;
	return ADMITTED;
}

/*
 * A run ends: give back what it held, and tell who waits for it.  Its row is
 * about to be written.  A run without a permit took a place, too, if the worker
 * has a limit by now.
 */
void
Leave(TaskqJob *job)
{
	job->permit = 0;
	if (job->worker_id != NULL && job->lease_expires_at != 0)
		WakePermit(NameKey(text_to_cstring((text *) job->worker_id)));
}

static uint64
PermitKey(const char *worker_id, int permit)
{
	return hash_bytes_extended((const unsigned char *) worker_id, strlen(worker_id), permit);
}

/* The permits that running rows of a worker hold, and how many hold none within max. */
static Bitmapset *
PermitsInRows(const char *worker_id, int max, int *n_outside)
{
	Relation		heap = CatalogOpen(REL_JOBS, AccessShareLock);
	Relation		index = index_open(CatalogRel(REL_JOBS_RUNNING), AccessShareLock);
	Snapshot		snapshot = StoreSnapshot();
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	IndexScanDesc	scan = index_beginscan_compat(heap, index, snapshot, 1);
	Bitmapset	   *permits = NULL;
	ScanKeyData		key;
	TaskqJob		job;

	*n_outside = 0;
	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(worker_id));
	index_rescan(scan, &key, 1, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		slot_getallattrs(slot);
		JobRead(&job, slot);
		if (job.permit >= 1 && job.permit <= max)
			permits = bms_add_member(permits, job.permit);
		else
			(*n_outside)++;
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	index_close(index, AccessShareLock);
	table_close(heap, AccessShareLock);
	return permits;
}

/*
 * The highest permit that a claim may use.  Runs from before the limit was
 * lowered hold none of these, and take places too: the highest that are free.
 */
static int
LastPermit(const Bitmapset *held, int max, int n_outside)
{
	int last = max;

	for (; last > 0 && n_outside > 0; last--)
		if (!bms_is_member(last, held))
			n_outside--;
	return last;
}

/*
 * Take up to "most" of a worker's permits until the transaction ends; how many.
 * One look finds which may be free, and one after the locks are ours finds those
 * whose holder has committed in between.
 */
int
PermitsTake(const char *worker_id, int max_concurrent_jobs, int most, int *permits)
{
	int		   n_outside;
	Bitmapset *held = PermitsInRows(worker_id, max_concurrent_jobs, &n_outside);
	int		   last = LastPermit(held, max_concurrent_jobs, n_outside);
	int		   locked = 0;
	int		   taken = 0;

	for (int permit = 1; permit <= last && locked < most; permit++)
		if (!bms_is_member(permit, held) && LockKey(LOCK_PERMIT, PermitKey(worker_id, permit), true, false))
			permits[locked++] = permit;
	if (locked == 0)
		return 0;
	held = PermitsInRows(worker_id, max_concurrent_jobs, &n_outside);
	last = LastPermit(held, max_concurrent_jobs, n_outside);
	for (int i = 0; i < locked; i++)
	{
		if (!bms_is_member(permits[i], held) && permits[i] <= last)
			permits[taken++] = permits[i];
		else
			UnlockKey(LOCK_PERMIT, PermitKey(worker_id, permits[i]), true);
	}
	return taken;
}

/* Give back permits that were taken for nothing: others may have found none meanwhile. */
void
PermitsReturn(const char *worker_id, const int *permits, int n)
{
	for (int i = 0; i < n; i++)
		UnlockKey(LOCK_PERMIT, PermitKey(worker_id, permits[i]), true);
	if (n > 0)
		WakeForPermit(NameKey(worker_id));
}
