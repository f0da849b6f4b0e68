/*
 * take.h
 *	  Locking and stamping the job that a claim has chosen.
 */
#ifndef TASKQ_TAKE_H
#define TASKQ_TAKE_H

#include "taskq.h"

#include "claim/choose.h"
#include "claim/claim.h"
#include "job/admit.h"
#include "job/job.h"

/*
 * The shared lock on a task type that a claim holds while it chooses and stamps;
 * see HandlerLockType().
 */
typedef struct TypeHold
{
	char task_type[TASKQ_NAME_MAX + 1]; /* empty if no lock is held */
} TypeHold;

extern void TypeRelease(TypeHold *hold);
extern int	TakeBegin(Admitting *admitting, ClaimRequest *request, int most);
extern bool TakeNext(ClaimScan *scan, const ClaimRequest *request, Admitting *admitting, TypeHold *hold, TaskqJob *job);
extern bool TakeById(Store *jobs, const ClaimRequest *request, int64 job_id, Admitting *admitting, TypeHold *hold, TaskqJob *job);
extern void TakeStamp(TaskqJob *job, const ClaimRequest *request);

#endif /* TASKQ_TAKE_H */
