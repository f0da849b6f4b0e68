/*
 * settle.h
 *	  Settle a claimed job.
 */
#ifndef TASKQ_SETTLE_H
#define TASKQ_SETTLE_H

#include "taskq.h"

#include "job/attempt.h"
#include "job/fence.h"
#include "job/job.h"
#include "job/transition.h"
#include "store/owner.h"
#include "store/store.h"

/* A settle by the holder of a claim, between BeginSettle() and EndSettle(). */
typedef struct SettleScope
{
	OwnerScope owner;
	Store	   jobs;
	TaskqJob   job;
} SettleScope;

extern void SettleFailed(Store *jobs, TaskqJob *job, char outcome, const AttemptFailure *failure,
						 bool retryable, int64 retry_in);
extern void SettleCrashed(Store *jobs, TaskqJob *job, const AttemptFailure *failure);
extern void SettleCompleted(Store *jobs, TaskqJob *job, struct varlena *result);
extern bool SettleIfCancelled(Store *jobs, TaskqJob *job);
extern void SettleGivenBack(Store *jobs, TaskqJob *job, char outcome, TimestampTz run_at);
extern bool BeginSettle(SettleScope *scope, int64 job_id, int64 epoch, char outcome);
extern void EndSettle(SettleScope *scope);
extern bool SettleCancelled(int64 job_id, int64 epoch, bool may_cancel, const char *reason);

#endif /* TASKQ_SETTLE_H */
