/*
 * fence.h
 *	  The fence: whoever settles a job says which claim it was given by.
 */
#ifndef TASKQ_FENCE_H
#define TASKQ_FENCE_H

#include "taskq.h"

#include "job/job.h"
#include "store/store.h"

/* What a settle finds of the claim that it names. */
typedef enum ClaimHold
{
	CLAIM_HELD,
	CLAIM_BUSY,	   /* another settle or heartbeat of it has the row */
	CLAIM_SETTLED, /* this was done before, by this claim */
	CLAIM_STALE,
	CLAIM_NOT_FOUND /* the job */
} ClaimHold;

extern ClaimHold		   FindClaim(Store *jobs, TaskqJob *job, int64 job_id, int64 epoch, char outcome);
extern bool				   LockClaim(Store *jobs, TaskqJob *job, int64 job_id, int64 epoch, char outcome);
extern bool				   TryLockClaim(Store *jobs, TaskqJob *job, int64 job_id, int64 epoch, char outcome, bool complain);
TASKQ_NORETURN extern void JobNotFound(int64 job_id);
extern int64			   EpochNext(void);
extern void				   EpochKeep(void);
extern void				   EpochPassLost(void);
extern bool				   EpochIsOurs(int64 epoch);

#endif /* TASKQ_FENCE_H */
