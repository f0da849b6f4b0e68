/*
 * terminations.c
 *	  Recording runs that were terminated from outside.
 *
 * A worker that receives SIGTERM rolls back, and leaves a note of its run in shared
 * memory (worker.c).  The job is not claimed again until the scheduler has recorded
 * the attempt.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/pidfile.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/guard.h"
#include "job/lost_run.h"
#include "process/terminations.h"
#include "shared/shmem.h"
#include "settle/settle.h"
#include "store/owner.h"

#define TRY_AGAIN_AFTER (USECS_PER_SEC / 100) /* the worker may still be rolling back */

typedef struct TerminationStep
{
	TaskqTermination termination;
	bool			 done;
} TerminationStep;

/*
 * Record the attempt of a run that was terminated from outside.  After the first
 * termination the job is put back at once, and after later ones with the retry
 * delay.
 */
static void
RecordTermination(void *arg)
{
	TerminationStep		   *step = arg;
	const TaskqTermination *termination = &step->termination;
	AttemptFailure			failure = {
				 .outcome = "terminated",
				 .error_type = ERROR_TERMINATED,
				 .message = "the worker was terminated",
	};
	AttemptFailure timeout = {
		.outcome = "timeout",
		.error_type = ERROR_TIMEOUT,
		.message = "the job ran longer than its timeout, and its worker had to be ended",
	};
	Store			jobs;
	TaskqJob		job;
	OwnerScope		scope;
	StoreLockResult locked;

	OwnerEnter(&scope);
	locked = JobOpenAndLock(&jobs, termination->job_id, &job);
	if (locked == STORE_LOCKED &&
		LostRunRestore(&job, termination->epoch, termination->started_at, termination->worker_id))
	{
		if (termination->timed_out)
			SettleFailed(&jobs, &job, OUTCOME_FAILED, &timeout, true, NO_MICROSECONDS);
		else
		{
			job.terminations++;
			SettleFailed(&jobs, &job, OUTCOME_TERMINATED, &failure, true,
						 job.terminations == 1 ? 0 : NO_MICROSECONDS);
		}
	}
	StoreClose(&jobs, true);
	OwnerLeave(&scope);

	/* the worker may still be rolling back */
	step->done = locked != STORE_BUSY;
}

/*
 * Is the server shutting down?  Its SIGTERM to the workers looks like any other,
 * but a shutdown does not count as an attempt.  The postmaster writes its status to
 * its lock file before it signals the workers.
 */
static bool
ServerIsStopping(void)
{
	FILE *file = AllocateFile("postmaster.pid", "r");
	char  line[MAXPGPATH] = "";
	bool  read = file != NULL;

	for (int i = 0; read && i < LOCK_FILE_LINE_PM_STATUS; i++)
		read = fgets(line, sizeof(line), file) != NULL;
	if (file != NULL)
		FreeFile(file);
	return read && strncmp(line, PM_STATUS_STOPPING, strlen("stopping")) == 0;
}

static void
RecordOne(void *arg)
{
	TerminationStep *step = arg;

	/* give up a run that cannot be recorded, so that its job does not wait forever */
	step->done = true;
	(void) Guard("record a terminated run", RecordTermination, step);
}

TimestampTz
TerminationsDue(const WorkPast *past)
{
	TaskqDatabase *db = ShmemMyDatabase();

	if (db == NULL || pg_atomic_read_u32(&db->n_terminations) == 0)
		return DT_NOEND;
	return past->signalled || past->next == DT_NOEND ? DT_NOBEGIN : past->next;
}

/* Record the reported runs, each in a transaction of its own. */
void
TerminationsRecord(WorkResult *result)
{
	TaskqDatabase *db = ShmemMyDatabase();

	if (db == NULL || pg_atomic_read_u32(&db->n_terminations) == 0)
		return;
	if (ServerIsStopping())
	{
		result->next = ClockNow() + USECS_PER_SEC;
		return;
	}
	for (int i = 0; i < taskq_shared->n_slots; i++)
	{
		TerminationStep step = { .done = true };

		LWLockAcquire(&taskq_shared->lock, LW_SHARED);
		step.termination = taskq_terminations[i];
		LWLockRelease(&taskq_shared->lock);
		if (step.termination.job_id == 0 || step.termination.dboid != MyDatabaseId)
			continue;
		if (!WorkInTransaction("record a terminated run", RecordOne, &step) || !step.done)
		{
			result->next = ClockNow() + TRY_AGAIN_AFTER;
			continue;
		}

		/* the record is committed, so the job may be claimed again */
		LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
		Assert(taskq_terminations[i].job_id == step.termination.job_id);
		Assert(pg_atomic_read_u32(&db->n_terminations) > 0);
		taskq_terminations[i].job_id = 0;
		LWLockRelease(&taskq_shared->lock);
		pg_atomic_fetch_sub_u32(&db->n_terminations, 1);
	}
}
