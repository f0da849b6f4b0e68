/*
 * transition.h
 *	  The state machine, which makes every change of a job's state.
 */
#ifndef TASKQ_TRANSITION_H
#define TASKQ_TRANSITION_H

#include "taskq.h"

#include "job/job.h"
#include "store/store.h"

/*
 * A change of a job's state, as observers see it.  The job has its new state and
 * its row is written, but nothing is committed.  If the change ends a run, the job
 * no longer has the values of that run, so they are kept here.
 */
typedef struct Transition
{
	const TaskqJob	*job;
	char			 from;
	bool			 waited;	 /* the job waited to be claimed when it was in state "from" */
	TimestampTz		 now;		 /* time of the change */
	char			 row_state;	 /* the state in the live row before the change; JOB_NEW if there was none */
	int64			 was_lane;	 /* the lane in which it waited, or 0 */
	TimestampTz		 was_due_at; /* run_at before the change; 0 if the job had no live row */
	struct JobBatch *batch;		 /* gathers rows that observers write; NULL: they are written at once */
	ItemPointerData	 tid;		 /* place of the job's live row; invalid if it has none any more */
	struct varlena	*result;	 /* result of a job that has completed */

	/* the run that begins or ends */
	struct varlena *worker_id;
	struct varlena *instance_id;
	TimestampTz		started_at;
	TimestampTz		lease_expires_at; /* 0 if the run is in a background worker */
	int				permit;			  /* 0 if it has none */
} Transition;

/*
 * An observer is called in the transaction that changes the state, as the
 * extension's owner, with the job's row locked.  It may write other tables, and an
 * error that it raises rolls the change back.  It must not change the job or its
 * row.
 */
typedef struct TransitionObserver
{
	const char *name;
	void (*observe)(const Transition *transition);
} TransitionObserver;

extern void				   TransitionSetObservers(const TransitionObserver *table, int n);
extern void				   JobDrawIds(int64 *ids, int n);
extern void				   JobCreate(Store *jobs, TaskqJob *job);
extern void				   JobCreateMany(Store *jobs, TaskqJob *job, const int64 *ids, const Datum *payloads, int n);
extern void				   JobChange(Store *jobs, TaskqJob *job, char to);
extern void				   JobEnd(Store *jobs, TaskqJob *job, char to, struct varlena *result);
extern void				   JobRevive(Store *jobs, TaskqJob *job);
TASKQ_NORETURN extern void RefuseTransition(const TaskqJob *job, const char *what, const char *hint);
TASKQ_NORETURN extern void RefuseHeld(const TaskqJob *job, const char *what);

#endif /* TASKQ_TRANSITION_H */
