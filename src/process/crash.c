/*
 * crash.c
 *	  Handling the jobs that crashed the server, as blame.c found out.
 *
 * The scheduler records such jobs before it starts a worker.  If a job's worker was
 * the only suspect, the job has crashed the server, and the attempt counts.  The
 * job is run again alone, and it is quarantined at its second crash, or when it has
 * no attempts left.  If there were several suspects, no attempt counts, and each
 * job is run again alone.  A pool is paused if its workers were suspects in three
 * crashes within ten minutes.
 */
#include "taskq.h"

#include "miscadmin.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/guard.h"
#include "base/guc.h"
#include "config/eligible.h"
#include "config/pool.h"
#include "config/route.h"
#include "job/live.h"
#include "job/lost_run.h"
#include "process/crash.h"
#include "settle/settle.h"
#include "shared/blame.h"
#include "store/owner.h"

static void
SayWhatBecame(const TaskqJob *job, const char *task_type)
{
	if (job->state == JOB_QUARANTINED)
		ereport(WARNING,
				(errcode(ERRCODE_CRASH_SHUTDOWN),
				 errmsg("job " INT64_FORMAT " of task type \"%s\" crashed the server, and is quarantined", job->job_id, task_type),
				 errhint("When its handler is repaired, call taskq.retry_job(" INT64_FORMAT ").", job->job_id)));
	else
		ereport(WARNING,
				(errcode(ERRCODE_CRASH_SHUTDOWN),
				 errmsg("job " INT64_FORMAT " of task type \"%s\" crashed the server", job->job_id, task_type),
				 errdetail("It is run again while no other job runs, and quarantined if that happens again.")));
}

/* Record the attempt of a run that certainly crashed the server. */
static void
CountCrash(void *arg)
{
	const BlameSuspect *suspect = arg;
	const BlameRun	   *run = &suspect->run;
	AttemptFailure		failure = {
			 .outcome = "crashed",
			 .error_type = ERROR_WORKER_CRASH,
			 .message = "the worker's process crashed",
			 .detail = "The server log has the signal or exit code of the process that worker_id names.",
	};
	char	  *task_type;
	Store	   jobs;
	TaskqJob   job;
	OwnerScope scope;

	OwnerEnter(&scope);
	if (JobOpenAndLock(&jobs, run->job_id, &job) == STORE_LOCKED &&
		LostRunRestore(&job, run->epoch, run->started_at, run->worker_id))
	{
		task_type = pstrdup(RouteById(job.route_id)->task_type);
		SettleCrashed(&jobs, &job, &failure);
		SayWhatBecame(&job, task_type);
	}
	StoreClose(&jobs, true);
	OwnerLeave(&scope);
}

static void
CountPoolCrash(void *arg)
{
	const BlameSuspect *suspect = arg;

	if (!PoolNoteCrash(suspect->run.pool, suspect->crashed_at))
		return;
	ereport(WARNING,
			(errcode(ERRCODE_CRASH_SHUTDOWN),
			 errmsg("taskq pool \"%s\" is paused because its workers crashed the server %d times within %d minutes",
					suspect->run.pool, POOL_CRASHES, (int) (POOL_CRASH_TIME / USECS_PER_MINUTE)),
			 errdetail("The jobs are those with outcome \"crashed\" in taskq.attempts."),
			 errhint("When their cause is removed, call taskq.resume_pool('%s').", suspect->run.pool)));
}

/* Record a suspect; returns false if that must be repeated. */
static bool
Record(const BlameSuspect *suspect)
{
	if (!suspect->certain)
		ereport(LOG,
				(errmsg("job " INT64_FORMAT " may have crashed the server, and is run again while no other job runs",
						suspect->run.job_id)));
	return (!suspect->certain || Guard("record a job that crashed the server", CountCrash, unconstify(BlameSuspect *, suspect))) &&
		   Guard("record a crash of a pool", CountPoolCrash, unconstify(BlameSuspect *, suspect));
}

/* Is the suspect's job still waiting, and is there a pool that would run it? */
static bool
MayRunNow(const BlameSuspect *suspect)
{
	const TaskqPool **pools;
	int				  n;
	TaskqJob		  job;
	Claimant		  worker;

	if (!LiveFind(suspect->run.job_id, &job) || (job.state != JOB_AVAILABLE && job.state != JOB_RETRYABLE))
		return false;
	pools = PoolsAll(&n);
	for (int i = 0; i < n; i++)
	{
		const TaskqPool *pool = pools[i];

		if (pool->paused || pool->size == 0)
			continue;
		PoolWorker(pool, &worker);
		if (MayRun(&worker, RouteById(job.route_id)))
			return true;
	}
	return false;
}

typedef struct SuspectStep
{
	BlameSuspect *suspect;
	bool		  answer;
} SuspectStep;

static void
RecordOne(void *arg)
{
	SuspectStep *step = arg;

	step->answer = Record(step->suspect);
}

static void
AskOne(void *arg)
{
	SuspectStep *step = arg;

	step->answer = MayRunNow(step->suspect);
}

/* As long as there are suspects, each signal may mean that one of them has run. */
TimestampTz
CrashDue(const WorkPast *past)
{
	BlameSuspect suspects[MAX_SUSPECTS];

	if (BlameList(MyDatabaseId, suspects) == 0)
		return DT_NOEND;
	if (past->signalled || past->changed)
		return DT_NOBEGIN;
	return WorkAfter(past->ran_at, (int64) taskq_poll_interval * 1000);
}

/*
 * Record jobs that may have crashed the server, and keep those on the list that
 * must run again alone.  This comes before any worker is started.
 */
void
CrashLook(WorkResult *result)
{
	BlameSuspect suspects[MAX_SUSPECTS];
	int			 n = BlameList(MyDatabaseId, suspects);

	for (int i = 0; i < n; i++)
	{
		SuspectStep step = { &suspects[i] };

		if (suspects[i].recorded)
			continue;
		suspects[i].recorded = WorkInTransaction("record a crash", RecordOne, &step) && step.answer;
		if (!suspects[i].recorded)
		{
			result->next = ClockNow() + USECS_PER_SEC;
			return;
		}
		BlameSetRecorded(&suspects[i]);
	}
	for (int i = 0; i < n; i++)
	{
		SuspectStep step = { &suspects[i] };

		if (suspects[i].runner == 0 && WorkInTransaction("look for suspects of a crash", AskOne, &step) && !step.answer)
			BlameForget(&suspects[i]);
	}
	result->next = BlameForgetOverdue();
}
