/*
 * fence.h
 *	  The fence: a process that settles a job must name the claim that gave it the
 *	  job.
 */
#ifndef TASKQ_FENCE_H
#define TASKQ_FENCE_H

#include "taskq.h"

#include "job/job.h"
#include "store/store.h"

/* The state of the claim that a settle names. */
typedef enum ClaimHold
{
	CLAIM_HELD,
	CLAIM_BUSY,	   /* another settle or heartbeat has locked the row */
	CLAIM_SETTLED, /* this claim has already settled the job in the same way */
	CLAIM_STALE,
	CLAIM_FOREIGN,	/* the claim belongs to another role, also if it has ended */
	CLAIM_NOT_FOUND /* the job does not exist */
} ClaimHold;

/* For "caller" below: taskq itself, and a role that may end the claim whoever has made it. */
#define CALLER_IS_TASKQ InvalidOid
#define CALLER_WAS_CHECKED ((Oid) 1)

/* How the row of a claim is secured. */
typedef enum ClaimGrip
{
	GRIP_LOCK,	   /* lock it, and wait for another settle or heartbeat */
	GRIP_TRY_LOCK, /* lock it, without waiting */
	GRIP_DELETE,   /* delete it, and wait: for a caller that ends the job next */
	GRIP_LOOK	   /* only read it: for a caller that says what the claim did until now */
} ClaimGrip;

extern ClaimHold		   FindClaim(Store *jobs, TaskqJob *job, int64 job_id, int64 epoch, char outcome, Oid caller, ClaimGrip grip);
extern bool				   LockClaim(Store *jobs, TaskqJob *job, int64 job_id, int64 epoch, char outcome, Oid caller, ClaimGrip grip);
extern ClaimHold		   TryLockClaim(Store *jobs, TaskqJob *job, int64 job_id, int64 epoch, char outcome, Oid caller, bool complain);
TASKQ_NORETURN extern void JobNotFound(int64 job_id);
extern bool				   ClaimIsOf(const TaskqJob *job, Oid role);
extern int64			   EpochNext(void);
extern bool				   EpochIsOurs(int64 epoch);

#endif /* TASKQ_FENCE_H */
