/*
 * lease.c
 *	  Until when a claim holds without a heartbeat: extending and expiry.
 *
 * Leases are compared with the server's clock only, and grow by what a pause of the
 * machine or a jump of the clock has taken from them (watch.c).  After a restart a lease
 * counts from the start of the server at least, for the smaller of itself and a
 * minute: workers that were healthy all the time get the chance to say so.
 */
#include "taskq.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/guard.h"
#include "base/guc.h"
#include "claim/lease.h"
#include "claim/register.h"
#include "config/handler.h"
#include "config/route.h"
#include "job/cancel.h"
#include "job/events.h"
#include "job/settle.h"
#include "shared/blame.h"
#include "shared/shmem.h"
#include "shared/wake.h"
#include "shared/watch.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_heartbeat_job);
PG_FUNCTION_INFO_V1(taskq_save_checkpoint_of);
PG_FUNCTION_INFO_V1(taskq_worker_heartbeat);

#define RESTART_GRACE (60 * USECS_PER_SEC)

/* The call's lease, or the job's, the worker's, the handler's, the default. */
int64
LeaseLength(const TaskqJob *job, int64 given, int64 worker_lease)
{
	const TaskqHandler *handler;

	if (given != NO_MICROSECONDS)
		return given;
	if (job->lease != NULL)
		return IntervalMicroseconds(job->lease);
	if (worker_lease != NO_MICROSECONDS)
		return worker_lease;
	handler = HandlerFind(RouteById(job->route_id)->task_type);
	if (handler != NULL && handler->lease != NO_MICROSECONDS)
		return handler->lease;
	return (int64) taskq_lease * 1000;
}

/*
 * The claim of a procedure in a background worker has no lease: it holds as long
 * as the worker's slot says that it runs it.  The worker says so before the claim
 * is committed and until its settle is, so who has seen the row running and then
 * finds no such slot knows that the worker has gone.  What ended it is recorded
 * before the job is given back, if it counts.
 */
static bool
HasWorker(const TaskqJob *job)
{
	return ShmemRuns(job->job_id, job->epoch) || ShmemTerminationPending(job->job_id) || BlameHolds(job->job_id);
}

/*
 * When a claim is over whose row this is, with the time that was lost and the grace
 * after a restart, which a clock that was set back does not make any longer.
 */
static TimestampTz
LeaseEnd(const TaskqJob *job, TupleTableSlot *row)
{
	int64		length = job->lease_expires_at - job->started_at;
	TimestampTz grace = ShmemUpSince() + Min(length, RESTART_GRACE);
	TimestampTz end;

	if (job->lease_expires_at == 0)
		return HasWorker(job) ? DT_NOEND : job->started_at;
	end = WatchLease(job->lease_expires_at, row);
	return ClockIsAhead(grace, RESTART_GRACE) ? Max(end, grace) : end;
}

/*
 * The timeout of an external run, if the job or its handler has one; else 0.  The
 * default is for handlers in the server: a program outside says by its heartbeats
 * that it is at work.
 */
static int64
OutsideTimeout(const TaskqJob *job)
{
	const TaskqHandler *handler;

	if (job->lease_expires_at == 0)
		return 0;
	if (job->timeout != NULL)
		return IntervalMicroseconds(job->timeout);
	handler = HandlerFind(RouteById(job->route_id)->task_type);
	return handler != NULL && handler->timeout != NO_MICROSECONDS ? handler->timeout : 0;
}

/* Has an external run lasted longer than its timeout at this moment? */
static bool
IsOverTime(const TaskqJob *job, TimestampTz moment)
{
	int64 timeout = OutsideTimeout(job);

	return timeout > 0 && moment - job->started_at >= timeout;
}

/* extend ------------------------------------------------------------------- */

typedef enum BeatResult
{
	BEAT_OK,
	BEAT_CANCEL,  /* it was asked to be cancelled */
	BEAT_TIMEOUT, /* its timeout is over, and the lease was not extended */
	BEAT_BUSY	  /* it is being settled at this moment */
} BeatResult;

/*
 * Extend one lease, never shortening it, unless the run's timeout is over, and
 * keep what is not NULL of progress and checkpoint.  When it is lost: TQ003, or without "complain" BEAT_BUSY.
 */
static BeatResult
Extend(int64 job_id, int64 epoch, int64 given, struct varlena *progress, struct varlena *checkpoint,
	   bool complain, TimestampTz *expires_at)
{
	OwnerScope scope;
	Store	   jobs;
	TaskqJob   job = { 0 };
	BeatResult result = BEAT_BUSY;

	OwnerEnter(&scope);
	StoreOpenRel(&jobs, REL_JOBS);
	if (TryLockClaim(&jobs, &job, job_id, epoch, OUTCOME_NONE, complain))
	{
		int64 length = LeaseLength(&job, given, WorkerSeen(job.worker_id));
		bool  over = IsOverTime(&job, ClockNow());

		if (job.lease_expires_at != 0)
			job.lease_expires_at = Max(WatchLease(job.lease_expires_at, jobs.found), over ? 0 : ClockNow() + length);
		if (progress != NULL)
			job.progress = progress;
		if (checkpoint != NULL)
			job.checkpoint = checkpoint;
		JobWrite(&job, StoreNewRow(&jobs));
		StoreUpdate(&jobs);
		if (progress != NULL)
			EventRecordProgress(&job, ClockNow());
		result = over ? BEAT_TIMEOUT : BEAT_OK;
	}
	if (CancelRequested(job_id, NULL))
		result = BEAT_CANCEL;
	*expires_at = job.lease_expires_at;
	StoreClose(&jobs, true);
	OwnerLeave(&scope);
	return result;
}

static const char *
BeatAnswer(BeatResult result)
{
	switch (result)
	{
		case BEAT_CANCEL:
			return "cancel";
		case BEAT_TIMEOUT:
			return "timeout";
		case BEAT_OK:
		case BEAT_BUSY:
			break;
	}
	return "ok";
}

/* A call by the holder of a claim: (job_id, epoch), and the lease where it is. */
static Datum
Beat(FunctionCallInfo fcinfo, int lease_arg, struct varlena *progress, struct varlena *checkpoint)
{
	int64		job_id = ArgId(fcinfo, 0, "job_id");
	int64		epoch = ArgId(fcinfo, 1, "epoch");
	int64		lease = ArgMicroseconds(fcinfo, lease_arg, "lease", USECS_PER_SEC);
	TimestampTz expires_at;

	PG_RETURN_TEXT_P(cstring_to_text(BeatAnswer(Extend(job_id, epoch, lease, progress, checkpoint, true, &expires_at))));
}

Datum
taskq_heartbeat_job(PG_FUNCTION_ARGS)
{
	struct varlena *progress = NULL;

	CheckArgCount(fcinfo, 4);
	CheckWritable("taskq.heartbeat_job()");
	if (!PG_ARGISNULL(3))
		progress = ArgJson(fcinfo, 3, "progress");
	return Beat(fcinfo, 2, progress, NULL);
}

Datum
taskq_save_checkpoint_of(PG_FUNCTION_ARGS)
{
	CheckArgCount(fcinfo, 4);
	CheckWritable("taskq.save_checkpoint()");
	return Beat(fcinfo, 3, NULL, ArgJson(fcinfo, 2, "checkpoint"));
}

/* The running jobs of a worker, or those of them that end a lease. */
typedef struct RunningList
{
	int			n;
	int64		after; /* of a worker's jobs, those of higher ids are next */
	bool		more;  /* there may be such */
	int64	   *job_ids;
	int64	   *epochs;
	TimestampTz next_end; /* of those that were not overdue */
} RunningList;

/*
 * Read the running jobs of one worker, from those after list->after on in the order
 * of their ids, or with NULL those overdue of all.
 */
static void
ListRunning(RunningList *list, const char *worker_id, int most)
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
			/* that a background worker has gone is announced by nobody */
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

/* The (job, epoch) pairs of the two array arguments. */
static void
ReadPairs(FunctionCallInfo fcinfo, RunningList *list)
{
	int n_epochs;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("job_ids and epochs must be given together")));
	list->job_ids = ArgIds(fcinfo, 1, "job_ids", &list->n);
	list->epochs = ArgIds(fcinfo, 2, "epochs", &n_epochs);
	CheckSameLength("job_ids", list->n, "epochs", n_epochs);
}

/* Does this claim still hold the job?  Looks, locks nothing. */
static bool
StillHeld(int64 job_id, int64 epoch)
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

/* Extend the leases of these jobs, and say of each what has become of it. */
static void
BeatAll(ReturnSetInfo *result, const RunningList *list)
{
	for (int i = 0; i < list->n; i++)
	{
		Datum		values[4];
		bool		nulls[4] = { false, false, false, true };
		const char *status = "lost";
		TimestampTz expires_at = 0;

		CHECK_FOR_INTERRUPTS();
		if (StillHeld(list->job_ids[i], list->epochs[i]))
		{
			BeatResult beat = Extend(list->job_ids[i], list->epochs[i], NO_MICROSECONDS, NULL, NULL, false, &expires_at);

			/* it may have been settled since the look */
			if (beat == BEAT_OK || StillHeld(list->job_ids[i], list->epochs[i]))
			{
				status = BeatAnswer(beat);
				nulls[3] = expires_at == 0;
			}
		}
		values[0] = Int64GetDatum(list->job_ids[i]);
		values[1] = Int64GetDatum(list->epochs[i]);
		values[2] = CStringGetTextDatum(status);
		values[3] = TimestampTzGetDatum(expires_at);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

Datum
taskq_worker_heartbeat(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	char		  *worker_id;
	RunningList	   list = { .after = PG_INT64_MIN };

	CheckArgCount(fcinfo, 3);
	CheckWritable("taskq.worker_heartbeat()");
	BeginRows(fcinfo, 4);
	worker_id = ArgName(fcinfo, 0, "worker_id");
	WorkerBeat(worker_id);
	if (!PG_ARGISNULL(1) || !PG_ARGISNULL(2))
	{
		ReadPairs(fcinfo, &list);
		BeatAll(result, &list);
		return (Datum) 0;
	}
	do
	{
		ListRunning(&list, worker_id, TASKQ_MAX_BATCH);
		BeatAll(result, &list);
	} while (list.more);
	return (Datum) 0;
}

/* expire ------------------------------------------------------------------- */

/*
 * End one claim whose lease is over, if it still is once the row is ours.  A
 * row that somebody has is being settled, and is left to them.
 */
static void
ExpireOne(void *arg)
{
	int64		   job_id = ((int64 *) arg)[0];
	int64		   epoch = ((int64 *) arg)[1];
	OwnerScope	   scope;
	Store		   jobs;
	TaskqJob	   job;
	TimestampTz	   now = WatchNow();
	AttemptFailure failure = {
		.outcome = "expired",
		.error_type = ERROR_TIMEOUT,
		.message = "the lease expired without a heartbeat",
	};

	OwnerEnter(&scope);
	if (JobOpenAndLock(&jobs, job_id, &job) == STORE_LOCKED &&
		job.state == JOB_RUNNING && job.epoch == epoch && LeaseEnd(&job, jobs.found) <= now)
	{
		if (job.lease_expires_at == 0)
			SettleGivenBack(&jobs, &job, OUTCOME_RELEASED, job.run_at);
		else
		{
			if (IsOverTime(&job, job.lease_expires_at))
			{
				failure.outcome = "timeout";
				failure.message = psprintf("the job ran longer than its timeout of %g s",
										   OutsideTimeout(&job) / 1000000.0);
			}
			SettleFailed(&jobs, &job, OUTCOME_EXPIRED, &failure, true, NO_MICROSECONDS);
		}
	}
	StoreClose(&jobs, true);
	OwnerLeave(&scope);
}

/*
 * Find claims whose leases are over, up to "most", and when the next one will be.
 * Costs what runs, never the backlog; but what has run since an old snapshot was
 * taken, too, so this is called when a lease may be over only.
 */
void
LeaseFindOverdue(LeaseSweep *sweep, int most)
{
	RunningList list = { 0 };

	ListRunning(&list, NULL, most);
	sweep->n = list.n;
	sweep->done = 0;
	sweep->job_ids = list.job_ids;
	sweep->epochs = list.epochs;
	sweep->next = list.next_end;
	if (list.n == most)
		sweep->next = ClockNow();
	else if (list.n > 0)
		/* one that somebody is settling may be left to us after all */
		sweep->next = Min(list.next_end, ClockNow() + USECS_PER_SEC);
}

/* End some of those claims, in the caller's transaction; false: that were the last. */
bool
LeaseEndSome(LeaseSweep *sweep)
{
	int end = Min(sweep->n, sweep->done + TASKQ_PIECE);

	for (; sweep->done < end; sweep->done++)
	{
		int64 claim[] = { sweep->job_ids[sweep->done], sweep->epochs[sweep->done] };

		(void) Guard("end a lease", ExpireOne, claim);
	}
	return sweep->done < sweep->n;
}

/* Give these back, those of them that are still held; how many. */
static int
ReleaseListed(const RunningList *list)
{
	int released = 0;

	for (int i = 0; i < list->n; i++)
	{
		OwnerScope scope;
		Store	   jobs;
		TaskqJob   job;

		CHECK_FOR_INTERRUPTS();
		if (!StillHeld(list->job_ids[i], list->epochs[i]))
			continue;
		OwnerEnter(&scope);
		StoreOpenRel(&jobs, REL_JOBS);
		if (TryLockClaim(&jobs, &job, list->job_ids[i], list->epochs[i], OUTCOME_RELEASED, false) &&
			job.lease_expires_at != 0)
		{
			SettleGivenBack(&jobs, &job, OUTCOME_RELEASED, job.run_at);
			released++;
		}
		StoreClose(&jobs, true);
		OwnerLeave(&scope);
	}
	return released;
}

/* Give back all jobs of an external worker that leaves; how many. */
int
LeaseReleaseAll(const char *worker_id)
{
	RunningList list = { .after = PG_INT64_MIN };
	int			released = 0;

	do
	{
		ListRunning(&list, worker_id, TASKQ_MAX_BATCH);
		released += ReleaseListed(&list);
	} while (list.more);
	return released;
}
