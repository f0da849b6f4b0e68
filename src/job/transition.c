/*
 * transition.c
 *	  The state machine: every change of a job's state goes through
 *	  JobTransition().
 */
#include "taskq.h"

#include "utils/snapmgr.h"

#include "base/clock.h"
#include "base/error.h"
#include "job/admit_xact.h"
#include "job/events.h"
#include "job/history.h"
#include "job/recall.h"
#include "job/transition.h"
#include "ready/ready.h"
#include "shared/wake.h"

/* To which states each state may go. */
static const struct
{
	char		from;
	const char *to;
} transitions[] = {
	{ JOB_NEW, "asbd" },
	{ JOB_AVAILABLE, "arxd" },
	{ JOB_RETRYABLE, "arxd" },
	{ JOB_BLOCKED, "axd" },
	{ JOB_RUNNING, "ctdxqasb" },
	{ JOB_SUSPENDED, "arxd" },
	{ JOB_DISCARDED, "a" },
	{ JOB_CANCELLED, "a" },
	{ JOB_QUARANTINED, "a" },
	{ JOB_COMPLETED, "a" }, /* with force, which retry_job() checks */
};

void
RefuseTransition(const TaskqJob *job, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_TQ_INVALID_TRANSITION),
			 errmsg("job " INT64_FORMAT " is %s and cannot be %s", job->job_id, JobStateName(job), what),
			 hint != NULL ? errhint("%s", hint) : 0));
}

static void
CheckTransition(const TaskqJob *job, char to)
{
	TaskqJob wanted = *job;

	for (int i = 0; i < lengthof(transitions); i++)
		if (transitions[i].from == job->state && strchr(transitions[i].to, to) != NULL)
			return;
	wanted.state = to;
	RefuseTransition(job, JobStateName(&wanted), NULL);
}

/*
 * Give a job another state and write it: the one writer of states.  The caller
 * is the owner, has the row locked in jobs->found if there is one, and has set
 * everything else of the job as it is to be.
 */
void
JobTransition(Store *jobs, TaskqJob *job, char to, struct varlena *result)
{
	char		from = job->state;
	TimestampTz now = ClockNow();
	bool		bring_snapshot = !ActiveSnapshotSet();
	bool		waited;

	CheckTransition(job, to);
	waited = from != JOB_NEW && !JobEnded(from) && JobIsOpen(jobs->found); /* also of a run in a worker */

	/* a large payload is read and stored anew when it moves to another table */
	if (bring_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	job->state = to;
	EventRecord(job, from, result, now);
	if (from == JOB_RUNNING)
	{
		AdmissionEnds(job, !waited);
		job->permit = 0;
	}
	if (from == JOB_RUNNING && !JobEnded(to))
	{
		job->worker_id = NULL;
		job->started_at = 0;
		job->lease_expires_at = 0;
	}

	if (from == JOB_NEW && JobEnded(to))
		HistoryInsert(job, result, now);
	else if (from == JOB_NEW || JobEnded(from))
	{
		JobWrite(job, StoreNewRow(jobs));
		StoreInsert(jobs);
	}
	else if (JobEnded(to))
	{
		HistoryInsert(job, result, now);
		StoreDelete(jobs);
	}
	else
	{
		JobWrite(job, StoreNewRow(jobs));
		StoreUpdate(jobs);
		if (to == JOB_RUNNING)
		{
			AdmissionStored(job->job_id);
			RecallNote(job->job_id, &jobs->row->tts_tid);
		}
	}
	if (bring_snapshot)
		PopActiveSnapshot();
	if (waited)
		ReadyLeft(job->job_id);
	if (to == JOB_AVAILABLE || to == JOB_RETRYABLE)
	{
		ReadyHint hint = { { job->run_at, job->job_id }, jobs->row->tts_tid };

		ReadyOpened(job->route_id, job->priority, &hint);
	}
	if (from != JOB_NEW && (to == JOB_AVAILABLE || to == JOB_RETRYABLE))
		WakeForJob(job->route_id, job->run_at, now);
}
