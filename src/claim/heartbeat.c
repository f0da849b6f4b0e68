/*
 * heartbeat.c
 *	  Heartbeats: a worker extends the leases of its jobs, and stores progress and
 *	  checkpoints.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/rows.h"
#include "base/signature.h"
#include "claim/external_worker.h"
#include "claim/lease.h"
#include "claim/running.h"
#include "job/cancel_requests.h"
#include "job/events.h"
#include "job/fence.h"
#include "shared/watch.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_heartbeat_job);
PG_FUNCTION_INFO_V1(taskq_save_checkpoint_of);
PG_FUNCTION_INFO_V1(taskq_worker_heartbeat);

typedef enum BeatResult
{
	BEAT_OK,
	BEAT_CANCEL,  /* somebody asked to cancel the job */
	BEAT_TIMEOUT, /* the timeout has passed, so the lease was not extended */
	BEAT_BUSY,	  /* the job is being settled at this moment */
	BEAT_LOST	  /* the claim is not in force, or is of another role */
} BeatResult;

/*
 * Extend one lease, unless the run's timeout has passed, and never shorten it.
 * Store progress and checkpoint unless they are NULL.  If the claim is lost, raise an
 * error or, without "complain", return BEAT_LOST.
 */
static BeatResult
Extend(int64 job_id, int64 epoch, int64 given, struct varlena *progress, struct varlena *checkpoint,
	   bool complain, TimestampTz *expires_at)
{
	OwnerScope scope;
	Store	   jobs;
	TaskqJob   job = { 0 };
	BeatResult result = BEAT_LOST;
	ClaimHold  hold;

	OwnerEnter(&scope);
	StoreOpenRel(&jobs, REL_JOBS);
	hold = TryLockClaim(&jobs, &job, job_id, epoch, OUTCOME_NONE, scope.caller, complain);
	if (hold == CLAIM_BUSY)
		result = BEAT_BUSY;
	if (hold == CLAIM_HELD)
	{
		int64 length = LeaseLength(&job, given, WorkerSeen(&job));
		bool  over = LeaseIsOverTime(&job, ClockNow());

		Assert(job.state == JOB_RUNNING && job.epoch == epoch);
		if (job.lease_expires_at != 0)
			job.lease_expires_at = Max(WatchLease(job.lease_expires_at, jobs.found), over ? 0 : ClockNow() + length);
		if (progress != NULL)
			job.progress = progress;
		if (checkpoint != NULL)
			job.checkpoint = checkpoint;
		JobWrite(&job, StoreNextVersion(&jobs));
		StoreUpdate(&jobs);
		if (progress != NULL)
			EventRecordProgress(&job, ClockNow());
		result = over ? BEAT_TIMEOUT : BEAT_OK;
	}
	if (result != BEAT_LOST && CancelRequested(job_id, NULL))
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
		case BEAT_LOST:
			return "lost";
		case BEAT_OK:
		case BEAT_BUSY:
			break;
	}
	return "ok";
}

/*
 * Handle a call by the holder of a claim.  The first arguments are job_id and
 * epoch, and argument lease_arg is the lease.
 */
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

	CheckCall(fcinfo);
	CheckWritable("taskq.heartbeat_job()");
	if (!PG_ARGISNULL(3))
		progress = ArgJson(fcinfo, 3, "progress");
	return Beat(fcinfo, 2, progress, NULL);
}

Datum
taskq_save_checkpoint_of(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	CheckWritable("taskq.save_checkpoint()");
	return Beat(fcinfo, 3, NULL, ArgJson(fcinfo, 2, "checkpoint"));
}

/* Read the pairs of job and epoch from the two array arguments. */
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

/* The columns of worker_heartbeat(). */
static const Oid columns[] = { INT8OID, INT8OID, TEXTOID, TIMESTAMPTZOID };

/* Extend the leases of these jobs, and return the status of each. */
static void
BeatAll(ReturnSetInfo *result, const RunningList *list)
{
	for (int i = 0; i < list->n; i++)
	{
		Datum		values[4];
		bool		nulls[4] = { false };
		BeatResult	beat = BEAT_LOST;
		TimestampTz expires_at = 0;

		CHECK_FOR_INTERRUPTS();
		if (IsStillHeld(list->job_ids[i], list->epochs[i]))
		{
			beat = Extend(list->job_ids[i], list->epochs[i], NO_MICROSECONDS, NULL, NULL, false, &expires_at);

			/* it may have been settled since the look */
			if (beat != BEAT_OK && !IsStillHeld(list->job_ids[i], list->epochs[i]))
				beat = BEAT_LOST;
		}
		values[0] = Int64GetDatum(list->job_ids[i]);
		values[1] = Int64GetDatum(list->epochs[i]);
		values[2] = CStringGetTextDatum(BeatAnswer(beat));
		values[3] = TimestampTzGetDatum(expires_at);
		nulls[3] = beat == BEAT_LOST || expires_at == 0;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

Datum
taskq_worker_heartbeat(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	WorkerName	   worker;
	Oid			   owner;
	RunningList	   list = { .after = PG_INT64_MIN };

	CheckCall(fcinfo);
	CheckWritable("taskq.worker_heartbeat()");
	BeginRows(fcinfo, lengthof(columns), columns);
	worker = WorkerNameOf(ArgName(fcinfo, 0, "worker_id"), ArgNameOrNull(fcinfo, 3, "instance_id"));
	owner = WorkerBeat(&worker);
	if (!PG_ARGISNULL(1) || !PG_ARGISNULL(2))
	{
		ReadPairs(fcinfo, &list);
		BeatAll(result, &list);
		return (Datum) 0;
	}
	do
	{
		RunningOf(&list, &worker, owner, TASKQ_MAX_BATCH);
		BeatAll(result, &list);
	} while (list.more);
	return (Datum) 0;
}
