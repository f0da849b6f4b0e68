/*
 * cancel.c
 *	  cancel_job(), and requests to cancel a job that is running.
 *
 * A waiting job whose row is not locked is cancelled at once.  Otherwise the job is
 * running, or another transaction has locked its row, and cancel_job() does not wait
 * for that.  It inserts a request into a table of its own, because a flag in the job's
 * row would need the row's lock.  The process that has the job finds the request: an
 * external worker at its next heartbeat or settle, and a claim before it starts the
 * job.  A background worker is interrupted when the request commits.  The scheduler
 * acts on all other requests.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/args.h"
#include "base/error.h"
#include "base/guard.h"
#include "base/signature.h"
#include "base/text.h"
#include "job/cancel_requests.h"
#include "job/current.h"
#include "job/fence.h"
#include "job/history.h"
#include "job/whose.h"
#include "settle/cancel.h"
#include "settle/settle.h"
#include "store/owner.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(taskq_cancel_job);

typedef enum CancelResult
{
	CANCEL_DONE, /* the job was waiting, and is cancelled now */
	CANCEL_BUSY, /* the job is running, or its row is locked */
	CANCEL_GONE	 /* there is no live job with this id */
} CancelResult;

/* Cancel a job whose row is locked. */
static void
CancelLocked(Store *jobs, TaskqJob *job, const char *reason)
{
	if (reason != NULL)
		job->last_error = ErrorText(reason);
	JobEnd(jobs, job, JOB_CANCELLED, NULL);
}

/*
 * Lock the row of a job whose claim is from before a promotion.  Its worker can settle
 * nothing any more, and asks no more whether somebody wants to cancel the job.
 */
static bool
LockOrphan(Store *jobs, TaskqJob *job)
{
	if (job->state != JOB_RUNNING || EpochIsOurs(job->epoch) ||
		TryLockClaim(jobs, job, job->job_id, job->epoch, OUTCOME_CANCELLED, CALLER_WAS_CHECKED, false) != CLAIM_HELD)
		return false;
	job->last_outcome = OUTCOME_CANCELLED;
	return true;
}

/* Cancel a job if its row is not locked, and it is not running or its claim is from before a promotion. */
static CancelResult
CancelWaiting(int64 job_id, const char *reason)
{
	Store		 jobs;
	TaskqJob	 job;
	OwnerScope	 scope;
	CancelResult result = CANCEL_BUSY;

	OwnerEnter(&scope);
	switch (JobOpenAndLockWaiting(&jobs, job_id, &job))
	{
		case STORE_GONE:
			result = CANCEL_GONE;
			break;
		case STORE_BUSY:
			if (!LockOrphan(&jobs, &job))
				break;
			CancelLocked(&jobs, &job, reason);
			result = CANCEL_DONE;
			break;
		case STORE_LOCKED:
			if (job.state == JOB_RUNNING)
				break; /* it was claimed after its row was read and before it was locked */
			CancelLocked(&jobs, &job, reason);
			result = CANCEL_DONE;
			break;
	}
	StoreClose(&jobs, result != CANCEL_GONE);
	OwnerLeave(&scope);
	return result;
}

Datum
taskq_cancel_job(PG_FUNCTION_ARGS)
{
	int64		job_id;
	char	   *reason;
	bool		may_cancel;
	TaskqJob	job;
	TaskqEnding ending;

	CheckCall(fcinfo);
	CheckWritable("taskq.cancel_job()");
	job_id = ArgId(fcinfo, 0, "job_id");
	reason = ArgShortTextOrNull(fcinfo, 2, "reason");
	CurrentRefuse(job_id, "cancel");

	/* Check this before anything is locked, so that the answer does not tell of jobs that the caller may not see. */
	may_cancel = WhoseMayCancel(job_id);
	if (!may_cancel && (PG_ARGISNULL(1) || !WhoseMayWork()))
		WhoseNotSeen(job_id);

	/* With an epoch, the holder of the claim gives the job up, which is a settle. */
	if (!PG_ARGISNULL(1))
		PG_RETURN_TEXT_P(cstring_to_text(SettleCancelled(job_id, PG_GETARG_INT64(1), may_cancel, reason) ? "cancelled" : "final"));

	switch (CancelWaiting(job_id, reason))
	{
		case CANCEL_DONE:
			PG_RETURN_TEXT_P(cstring_to_text("cancelled"));
		case CANCEL_BUSY:
			CancelRequest(job_id, reason);
			PG_RETURN_TEXT_P(cstring_to_text("requested"));
		case CANCEL_GONE:
			break;
	}
	if (!HistoryFind(job_id, &job, &ending))
		WhoseNotSeen(job_id);
	PG_RETURN_TEXT_P(cstring_to_text("final"));
}

/* The requests to cancel one job, which the sweep has found. */
typedef struct SweepStep
{
	int64 job_id;
	char *reason;
} SweepStep;

static void
SweepOne(void *arg)
{
	SweepStep *step = arg;

	if (CancelWaiting(step->job_id, step->reason) != CANCEL_BUSY)
		CancelForgetFree(step->job_id);
}

/*
 * Cancel the jobs with requests that are not running any more, and remove the
 * requests of jobs that have ended.  Each call treats up to TASKQ_PIECE jobs with ids
 * above *after, in the order of the ids, and advances *after; so requests that must
 * wait do not hold up others.  Returns false if there are no more jobs with requests.
 * The scheduler makes each call in a transaction of its own.
 */
bool
CancelSweep(int64 *after)
{
	Oid			  types[] = { INT8OID, INT4OID };
	Datum		  values[] = { Int64GetDatum(*after), Int32GetDatum(TASKQ_PIECE) };
	MemoryContext context = CurrentMemoryContext;
	OwnerScope	  scope;
	SweepStep	  steps[TASKQ_PIECE];
	int			  n;

	if (*after == 0 && !CancelAnyRequest())
		return false;
	OwnerEnterSpi(&scope);
	n = (int) OwnerExecute("SELECT job_id, (array_agg(reason ORDER BY request_id) FILTER (WHERE reason IS NOT NULL))[1]"
						   " FROM taskq.cancel_requests WHERE job_id > $1 GROUP BY job_id ORDER BY job_id LIMIT $2",
						   2, types, values, NULL);
	for (int i = 0; i < n; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		bool	  isnull;
		char	 *reason = SPI_getvalue(row, SPI_tuptable->tupdesc, 2);

		steps[i].job_id = DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull));
		steps[i].reason = reason == NULL ? NULL : MemoryContextStrdup(context, reason);
	}
	OwnerLeaveSpi(&scope);

	for (int i = 0; i < n; i++)
	{
		(void) Guard("act on a cancel request", SweepOne, &steps[i]);
		*after = steps[i].job_id;
	}
	return n == TASKQ_PIECE;
}
