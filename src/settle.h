/*
 * settle.h
 *	  The state machine: every change of a job's state goes through here.
 */
#ifndef TASKQ_SETTLE_H
#define TASKQ_SETTLE_H

#include "taskq.h"

#include "history.h"
#include "job.h"
#include "store.h"

/* What a settle finds of the claim that it names. */
typedef enum ClaimHold
{
	CLAIM_HELD,
	CLAIM_BUSY,					/* another settle or heartbeat of it has the row */
	CLAIM_SETTLED,				/* this was done before, by this claim */
	CLAIM_STALE,
	CLAIM_NOT_FOUND				/* the job */
} ClaimHold;

extern void JobTransition(Store *jobs, TaskqJob *job, char to, struct varlena *result);
extern void RefuseTransition(const TaskqJob *job, const char *what, const char *hint);
extern bool SettleMayRetry(const TaskqJob *job, const AttemptFailure *failure);
extern void SettleFailed(Store *jobs, TaskqJob *job, char outcome, const AttemptFailure *failure,
						 bool retryable, int64 retry_in);
extern void SettleCrashed(Store *jobs, TaskqJob *job, const AttemptFailure *failure);
extern void SettleCompleted(Store *jobs, TaskqJob *job, struct varlena *result);
extern bool SettleIfCancelled(Store *jobs, TaskqJob *job);
extern void SettleGivenBack(Store *jobs, TaskqJob *job, char outcome, TimestampTz run_at);
extern bool SettleCancelled(int64 job_id, int64 epoch, const char *reason);
extern ClaimHold FindClaim(Store *jobs, TaskqJob *job, int64 job_id, int64 epoch, char outcome);
extern bool LockClaim(Store *jobs, TaskqJob *job, int64 job_id, int64 epoch, char outcome);
extern bool TryLockClaim(Store *jobs, TaskqJob *job, int64 job_id, int64 epoch, char outcome, bool complain);
TASKQ_NORETURN extern void JobNotFound(int64 job_id);
extern int64 EpochNext(void);
extern void EpochKeep(void);
extern void EpochPassLost(void);
extern bool EpochIsOurs(int64 epoch);

#endif							/* TASKQ_SETTLE_H */
