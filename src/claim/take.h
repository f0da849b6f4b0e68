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

extern int	TakeBegin(Admitting *admitting, ClaimRequest *request, int most);
extern bool TakeNext(ClaimScan *scan, const ClaimRequest *request, Admitting *admitting, TaskqJob *job);
extern bool TakeById(Store *jobs, const ClaimRequest *request, int64 job_id, Admitting *admitting, TaskqJob *job);
extern void TakeStamp(TaskqJob *job, const ClaimRequest *request);

#ifdef TASKQ_TESTING
extern int64 TakeTries(void);
#endif

#endif /* TASKQ_TAKE_H */
