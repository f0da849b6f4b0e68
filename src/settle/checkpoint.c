/*
 * checkpoint.c
 *	  save_checkpoint() and update_progress(): save the checkpoint and the progress of
 *	  the job that the calling handler runs.
 *
 * Both commit together with the handler's work, or with the work that a procedure has
 * done so far, and are rolled back with it.
 */
#include "taskq.h"

#include "fmgr.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/signature.h"
#include "job/current.h"
#include "job/events.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_save_checkpoint);
PG_FUNCTION_INFO_V1(taskq_update_progress);

/*
 * Save the values in the row of a job that a procedure runs.  NULL leaves a value as
 * it is.  The row is that of the committed claim; the change commits with the
 * procedure's next commit.
 */
static void
SaveInRow(const TaskqJob *running, struct varlena *checkpoint, struct varlena *progress)
{
	OwnerScope scope;
	Store	   jobs;
	TaskqJob   job;
	bool	   held;

	OwnerEnter(&scope);
	held = JobOpenAndLock(&jobs, running->job_id, &job) == STORE_LOCKED &&
		   job.state == JOB_RUNNING && job.epoch == running->epoch;
	if (held)
	{
		if (checkpoint != NULL)
			job.checkpoint = checkpoint;
		if (progress != NULL)
			job.progress = progress;
		JobWrite(&job, StoreNextVersion(&jobs));
		StoreUpdate(&jobs);
		if (progress != NULL)
			EventRecordProgress(&job, ClockNow());
	}
	StoreClose(&jobs, true);
	OwnerLeave(&scope);
	if (!held)
		ereport(ERROR,
				(errcode(ERRCODE_TQ_STALE_LEASE),
				 errmsg("claim " INT64_FORMAT " of job " INT64_FORMAT " is not in force", running->epoch, running->job_id),
				 errdetail("The job was settled by somebody else while its procedure runs.")));
}

/* Save the values where the current run keeps them: in the job's row for a procedure, else in memory. */
static void
SaveInRun(struct varlena *checkpoint, struct varlena *progress, const char *what, const char *instead)
{
	const TaskqJob *running = CurrentJob();

	if (running != NULL && running->is_stored)
		SaveInRow(running, checkpoint, progress);
	if (CurrentSave(checkpoint, progress))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("%s can only be called in a handler", what),
			 errdetail("This session runs no job."),
			 errhint("A program that has claimed a job calls %s.", instead)));
}

Datum
taskq_save_checkpoint(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	SaveInRun(ArgJson(fcinfo, 0, "checkpoint"), NULL, "taskq.save_checkpoint(checkpoint)",
			  "taskq.save_checkpoint(job_id, epoch, checkpoint)");
	PG_RETURN_VOID();
}

Datum
taskq_update_progress(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	SaveInRun(NULL, ArgJson(fcinfo, 0, "progress"), "taskq.update_progress()",
			  "taskq.heartbeat_job(job_id, epoch, progress => ...)");
	PG_RETURN_VOID();
}
