/*
 * checkpoint.c
 *	  What a handler keeps of its job while it runs: where it has got to, and how
 *	  far that is.
 *
 * Both belong to the run: they commit with what the handler did, and are rolled
 * back with it.
 */
#include "taskq.h"

#include "fmgr.h"

#include "args.h"
#include "current.h"

PG_FUNCTION_INFO_V1(taskq_save_checkpoint);
PG_FUNCTION_INFO_V1(taskq_update_progress);

/* The one place that knows where the values of a run are kept. */
static void
SaveInRun(struct varlena *checkpoint, struct varlena *progress, const char *what, const char *instead)
{
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
	CheckArgCount(fcinfo, 1);
	SaveInRun(ArgJson(fcinfo, 0, "checkpoint"), NULL, "taskq.save_checkpoint(checkpoint)",
			  "taskq.save_checkpoint(job_id, epoch, checkpoint)");
	PG_RETURN_VOID();
}

Datum
taskq_update_progress(PG_FUNCTION_ARGS)
{
	CheckArgCount(fcinfo, 1);
	SaveInRun(NULL, ArgJson(fcinfo, 0, "progress"), "taskq.update_progress()",
			  "taskq.heartbeat_job(job_id, epoch, progress => ...)");
	PG_RETURN_VOID();
}
