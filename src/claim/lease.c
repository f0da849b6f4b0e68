/*
 * lease.c
 *	  Until when a claim holds without a heartbeat: its length and its end.
 *
 * Leases are compared with the server's clock only, and grow by what a pause of the
 * machine or a jump of the clock has taken from them (watch.c).  After a restart a lease
 * counts from the start of the server at least, for the smaller of itself and a
 * minute: workers that were healthy all the time get the chance to say so.
 */
#include "taskq.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/guard.h"
#include "base/guc.h"
#include "claim/lease.h"
#include "claim/running.h"
#include "config/handler.h"
#include "config/route.h"
#include "settle/settle.h"
#include "shared/blame.h"
#include "shared/shmem.h"
#include "shared/watch.h"
#include "store/owner.h"

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
TimestampTz
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
LeaseTimeout(const TaskqJob *job)
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
bool
LeaseIsOverTime(const TaskqJob *job, TimestampTz moment)
{
	int64 timeout = LeaseTimeout(job);

	return timeout > 0 && moment - job->started_at >= timeout;
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
			if (LeaseIsOverTime(&job, job.lease_expires_at))
			{
				failure.outcome = "timeout";
				failure.message = psprintf("the job ran longer than its timeout of %g s",
										   LeaseTimeout(&job) / 1000000.0);
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

	RunningOf(&list, NULL, most);
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

/* Release those of the listed jobs that are still held; return how many. */
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
		if (!IsStillHeld(list->job_ids[i], list->epochs[i]))
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

/* Release all jobs of an external worker; return how many. */
int
LeaseReleaseAll(const char *worker_id)
{
	RunningList list = { .after = PG_INT64_MIN };
	int			released = 0;

	do
	{
		RunningOf(&list, worker_id, TASKQ_MAX_BATCH);
		released += ReleaseListed(&list);
	} while (list.more);
	return released;
}
