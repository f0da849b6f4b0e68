/*
 * lease.c
 *	  Leases: how long a claim holds without a heartbeat, and what happens at its
 *	  end.
 *
 * Leases are compared with the server's clock only.  A lease grows by the time that
 * a pause of the machine or a jump of the clock has taken from it (watch.c).  After
 * a restart of the server, a lease lasts at least for its own length from the start
 * of the server, or for a minute if that is shorter.  So a worker that was healthy
 * all the time can send its heartbeat.
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

/*
 * Return the length of a lease.  It comes from the call, the job, the worker, the
 * handler or the default, in this order.
 */
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
 * Does a background worker run the job, or is its end yet to be handled?
 *
 * The claim of a handler in the server has no lease.  It holds as long as a
 * background worker's slot says that the worker runs the job.  The worker sets the
 * slot before the claim commits, and clears it after the job is settled.  So if a
 * process has seen the row running, and then finds no such slot, the worker has
 * gone.  If the end of the worker counts against the job, it is recorded before the
 * job is given back.
 */
static bool
HasWorker(const TaskqJob *job)
{
	return ShmemRuns(job->job_id, job->epoch) || ShmemTerminationPending(job->job_id) || BlameHolds(job->job_id);
}

/*
 * Return the end of the claim in this row.  It includes the time that was lost, and
 * the grace period after a restart.  If the clock was set back, the grace period
 * does not get longer.
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
 * Return the timeout of an external run, if the job or its handler has one, and
 * else 0. The default timeout is only for handlers in the server.  An external
 * worker shows by its heartbeats that it is still working.
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

/* Had an external run exceeded its timeout at this moment? */
bool
LeaseIsOverTime(const TaskqJob *job, TimestampTz moment)
{
	int64 timeout = LeaseTimeout(job);

	return timeout > 0 && moment - job->started_at >= timeout;
}

/* expire ------------------------------------------------------------------- */

/*
 * End one claim whose lease is over, if that is still so after the row is locked.
 * If another transaction has locked the row, it is settling the job, so leave the
 * row alone.
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
 * Find up to "most" claims whose leases are over, and the moment when the next
 * lease ends. The cost grows with the number of running jobs, not with the backlog.
 * It also grows with the number of jobs that have run since the oldest snapshot was
 * taken, so call this only when a lease may be over.
 */
void
LeaseFindOverdue(LeaseSweep *sweep, int most)
{
	RunningList list = { 0 };

	RunningOf(&list, NULL, InvalidOid, most);
	Assert(list.n <= most);
	sweep->n = list.n;
	sweep->done = 0;
	sweep->job_ids = list.job_ids;
	sweep->epochs = list.epochs;
	sweep->next = list.next_end;
	if (list.n == most)
		sweep->next = ClockNow();
	else if (list.n > 0)
		/* a job that is being settled may still be left to us */
		sweep->next = Min(list.next_end, ClockNow() + USECS_PER_SEC);
}

/* End some of those claims in the caller's transaction; returns false if none are left. */
bool
LeaseEndSome(LeaseSweep *sweep)
{
	int end = Min(sweep->n, sweep->done + TASKQ_PIECE);

	Assert(sweep->done >= 0 && sweep->done <= sweep->n);
	for (; sweep->done < end; sweep->done++)
	{
		int64 claim[] = { sweep->job_ids[sweep->done], sweep->epochs[sweep->done] };

		(void) Guard("end a lease", ExpireOne, claim);
	}
	return sweep->done < sweep->n;
}

/* Release the listed jobs that are still held; returns their number. */
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
		OwnerEnter(&scope);
		StoreOpenRel(&jobs, REL_JOBS);
		if (TryLockClaim(&jobs, &job, list->job_ids[i], list->epochs[i], OUTCOME_RELEASED, CALLER_WAS_CHECKED, false) == CLAIM_HELD)
		{
			SettleGivenBack(&jobs, &job, OUTCOME_RELEASED, job.run_at);
			released++;
		}
		StoreClose(&jobs, true);
		OwnerLeave(&scope);
	}
	return released;
}

/*
 * Release the jobs of an instance of a worker, for a caller that may end its registration.  An
 * id can have passed to another role while jobs of the earlier worker run.  If "owner" is
 * valid, only claims of this role are released, and the others end with their leases.
 * Returns the number of jobs.
 */
int
LeaseReleaseAll(const WorkerName *worker, Oid owner)
{
	RunningList list = { .after = PG_INT64_MIN };
	int			released = 0;

	do
	{
		RunningOf(&list, worker, owner, TASKQ_MAX_BATCH);
		released += ReleaseListed(&list);
	} while (list.more);
	return released;
}
