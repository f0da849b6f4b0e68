/*
 * operator.c
 *	  retry_job() and discard_job(), for operators, on jobs that are not running.
 */
#include "taskq.h"

#include "access/xact.h"
#include "fmgr.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/signature.h"
#include "base/text.h"
#include "config/route.h"
#include "job/current.h"
#include "job/fence.h"
#include "job/history.h"
#include "job/transition.h"
#include "settle/operator.h"
#include "shared/shmem.h"
#include "shared/wake.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_retry_job);
PG_FUNCTION_INFO_V1(taskq_discard_job);

/* Number of times that a history row is looked for in case it has moved to another leaf. */
#define MOVED_TRIES 5

/*
 * Raise an error for a job that is running or whose row is locked.  The job is running
 * if its row says so, or if a background worker's slot does.  Otherwise another
 * transaction has locked the row: a claim that has not committed yet, for example, or
 * another operator.
 */
static void
RefuseBusy(TaskqJob *job, const char *what)
{
	if (job->state != JOB_RUNNING && !ShmemRunsJob(job->job_id))
		RefuseHeld(job, what);
	job->state = JOB_RUNNING;
	RefuseTransition(job, what, "Ask for it to be cancelled with taskq.cancel_job(), then try again.");
}

/*
 * Open the table of live jobs and lock the row of one that is not running, without
 * waiting.  Raise an error if it is running or locked.  Returns false if there is no
 * live job with this id.
 */
static bool
LockWaiting(Store *jobs, TaskqJob *job, int64 job_id, const char *what)
{
	switch (JobOpenAndLockWaiting(jobs, job_id, job))
	{
		case STORE_GONE:
			return false;
		case STORE_BUSY:
			RefuseBusy(job, what);
			break;
		case STORE_LOCKED:
			if (job->state == JOB_RUNNING)
				RefuseBusy(job, what); /* it was claimed after its row was read and before it was locked */
			break;
	}
	return true;
}

/*
 * The last transaction that has put back jobs, and the highest id among them.  Their
 * history rows stay locked until that transaction ends.
 */
static TransactionId putter = InvalidTransactionId;
static int64		 highest_put_back;

/*
 * Return whether this transaction may wait for the lock of a job's history row.  It
 * may if it has put back no job with the same or a higher id.  So transactions that
 * put back several jobs, in whatever order, cannot deadlock.
 */
static bool
MayWaitFor(int64 job_id)
{
	return putter == InvalidTransactionId || putter != GetTopTransactionIdIfAny() || job_id > highest_put_back;
}

static void
NotePutBack(int64 job_id)
{
	TransactionId transaction = GetTopTransactionIdIfAny();

	if (putter != transaction)
		highest_put_back = job_id;
	putter = transaction;
	highest_put_back = Max(highest_put_back, job_id);
}

/*
 * Put an ended job back into the table of live jobs, with a new life and all of its
 * attempts.  Returns STORE_LOCKED if that is done, STORE_GONE if somebody else has put
 * the job back at the same time, and STORE_BUSY if somebody else is doing so and the
 * caller does not or must not wait.  The caller is the extension's owner and has
 * opened the table of live jobs.
 */
StoreLockResult
PutBackEnded(Store *jobs, TaskqJob *job, bool wait)
{
	StoreLockResult marked;

	AssertOwner();
	Assert(StoreIs(jobs, REL_JOBS));
	Assert(JobEnded(job->state) && job->payload != NULL);
	wait = wait && MayWaitFor(job->job_id);
	for (int tries = 1; (marked = HistorySupersede(job->job_id, job->life, wait)) == STORE_GONE; tries++)
	{
		TaskqJob	again;
		TaskqEnding ending;

		/* The row may only have moved from the overflow leaf to the leaf of its day. */
		if (tries == MOVED_TRIES || !HistoryFind(job->job_id, &again, &ending) || again.life != job->life)
			return STORE_GONE;
	}
	if (marked == STORE_BUSY)
		return STORE_BUSY;
	NotePutBack(job->job_id);
	job->route_id = RouteForPutBack(job->route_id);
	JobRevive(jobs, job);
	return STORE_LOCKED;
}

/* Put back an ended job for retry_job(), or raise an error that says why that is not possible. */
static void
PutBackOrRefuse(Store *jobs, TaskqJob *job, bool force)
{
	if (job->state == JOB_COMPLETED && !force)
		RefuseTransition(job, "retried", "To run it again all the same, say force => true.");
	if (job->payload == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TQ_INVALID_TRANSITION),
				 errmsg("job " INT64_FORMAT " cannot be retried because its payload was not kept", job->job_id),
				 errhint("Its queue has keep_payload => false; enqueue a new job.")));
	switch (PutBackEnded(jobs, job, true))
	{
		case STORE_LOCKED:
			break;
		case STORE_BUSY:
			ereport(ERROR,
					(errcode(ERRCODE_TQ_INVALID_TRANSITION),
					 errmsg("job " INT64_FORMAT " is being put back by another transaction", job->job_id),
					 errdetail("This transaction has put back job " INT64_FORMAT ", so it cannot wait for a job with a lower id.", highest_put_back),
					 errhint("Put back several jobs in the order of their ids, or with taskq.redrive_jobs().")));
			break;
		case STORE_GONE:
			ereport(ERROR,
					(errcode(ERRCODE_TQ_INVALID_TRANSITION),
					 errmsg("job " INT64_FORMAT " was put back by somebody else at the same time", job->job_id)));
			break;
	}
}

Datum
taskq_retry_job(PG_FUNCTION_ARGS)
{
	int64		job_id;
	bool		force;
	OwnerScope	scope;
	Store		jobs;
	TaskqJob	job;
	TaskqEnding ending;
	bool		changed = true;

	CheckCall(fcinfo);
	CheckWritable("taskq.retry_job()");
	job_id = ArgId(fcinfo, 0, "job_id");
	force = ArgBool(fcinfo, 1, "force");
	CurrentRefuse(job_id, "retry");

	OwnerEnter(&scope);
	if (LockWaiting(&jobs, &job, job_id, "retried"))
	{
		TimestampTz now = ClockNow();

		changed = job.run_at > now;
		if (changed)
		{
			job.run_at = now;
			JobChange(&jobs, &job, JOB_AVAILABLE);
		}
		else
			WakeLeft(job.route_id); /* its row stays locked until the transaction ends */
	}
	else if (HistoryFind(job_id, &job, &ending))
		PutBackOrRefuse(&jobs, &job, force);
	else
		JobNotFound(job_id);
	StoreClose(&jobs, true);
	OwnerLeave(&scope);
	PG_RETURN_BOOL(changed);
}

Datum
taskq_discard_job(PG_FUNCTION_ARGS)
{
	int64		job_id;
	char	   *reason;
	OwnerScope	scope;
	Store		jobs;
	TaskqJob	job;
	TaskqEnding ending;
	bool		changed = true;

	CheckCall(fcinfo);
	CheckWritable("taskq.discard_job()");
	job_id = ArgId(fcinfo, 0, "job_id");
	reason = ArgShortTextOrNull(fcinfo, 1, "reason");
	CurrentRefuse(job_id, "discard");

	OwnerEnter(&scope);
	if (LockWaiting(&jobs, &job, job_id, "discarded"))
	{
		if (reason != NULL)
			job.last_error = ErrorText(reason);
		JobEnd(&jobs, &job, JOB_DISCARDED, NULL);
	}
	else if (!HistoryFind(job_id, &job, &ending))
		JobNotFound(job_id);
	else if (job.state == JOB_DISCARDED)
		changed = false;
	else
		RefuseTransition(&job, "discarded", "The job has ended already, and nothing of it will run.");
	StoreClose(&jobs, true);
	OwnerLeave(&scope);
	PG_RETURN_BOOL(changed);
}
