/*
 * notices.c
 *	  Telling earlier rooms about a job's change: observers of transitions
 *	  (src/observers.c) for statistics, counts, the ready list and wake-ups.
 *
 * These rooms know nothing about jobs.  They keep what they are told until the
 * transaction ends.
 */
#include "taskq.h"

#include "base/guc.h"
#include "config/route.h"
#include "job/count_rows.h"
#include "job/notices.h"
#include "ready/ready.h"
#include "shared/counts.h"
#include "shared/stats.h"
#include "shared/wake.h"

/* Does a job in this state wait to be claimed? */
static bool
IsOpen(char state)
{
	return state == JOB_AVAILABLE || state == JOB_RETRYABLE;
}

/*
 * Count a run that has completed or failed.  A run that was given back counts as
 * neither.
 */
void
NoticeStatistics(const Transition *transition)
{
	const TaskqJob *job = transition->job;

	if (transition->from != JOB_RUNNING)
		return;
	switch (job->last_outcome)
	{
		case OUTCOME_COMPLETED:
		case OUTCOME_FAILED:
		case OUTCOME_EXPIRED:
		case OUTCOME_TERMINATED:
		case OUTCOME_CRASHED:
			StatsCountRun(RouteById(job->route_id)->task_type, job->last_outcome == OUTCOME_COMPLETED,
						  transition->now - transition->started_at,
						  transition->started_at - transition->was_due_at);
	}
}

/* Count the job in its new class instead of its old one. */
void
NoticeCounts(const Transition *transition)
{
	const TaskqJob *job = transition->job;
	JobAge			age = { job->created_at, job->job_id };

	CountsChange(job->route_id,
				 CountClassOf(transition->row_state, transition->was_due_at, job->created_at),
				 CountClassOf(job->state, job->run_at, job->created_at), &age);
}

/* Tell the ready list which job has left it, and which job must be added. */
void
NoticeReadyList(const Transition *transition)
{
	const TaskqJob *job = transition->job;

	if (transition->waited)
		ReadyLeft(job->job_id);

	/* the end of a run lets those behind it start that wait for its limits (lane.c) */
	if (transition->was_lane != 0 && IsOpen(transition->from) && job->state != JOB_RUNNING)
		ReadyLaneLeft(transition->was_lane);
	if (IsOpen(job->state))
	{
		ReadyHint hint = { { job->run_at, job->job_id }, transition->tid };

		ReadyOpened(job->route_id, job->priority, job->lane, &hint);
	}
}

/* Note which processes to wake when the transaction ends. */
void
NoticeWakeups(const Transition *transition)
{
	const TaskqJob *job = transition->job;

	if (IsOpen(job->state))
		WakeForJob(job->route_id, job->run_at, transition->now);
	if (job->state == JOB_RUNNING)
	{
		/* a claim without a lease is checked at intervals, see lease.c */
		WakeLeaseAt(job->lease_expires_at != 0 ? job->lease_expires_at : transition->now + (int64) taskq_poll_interval * 1000);
		WakeClaimed(job->route_id);
	}
}
