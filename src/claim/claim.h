/*
 * claim.h
 *	  Claiming jobs: choose, lock, stamp.  Nothing else may start a job.
 */
#ifndef TASKQ_CLAIM_H
#define TASKQ_CLAIM_H

#include "taskq.h"

#include "config/eligible.h"
#include "job/job.h"
#include "shared/worker_name.h"
#include "store/store.h"

typedef struct ClaimRequest ClaimRequest;

/*
 * Return the claimant of a request according to what is committed now.  This is
 * request->worker if nothing has changed, and NULL if the claimant may no longer be
 * given any job.
 */
typedef const Claimant *(*ClaimantFunction)(const ClaimRequest *request);

typedef struct ClaimHeads ClaimHeads;

/*
 * What a claim keeps for the next one with the same routes; zeroed before the first.  A
 * worker in the server keeps it for one transaction, and claims on where it has stopped: a
 * job that was passed over is not looked at again.  An external worker keeps it for its
 * next calls, which look at all jobs again ("restarts").
 */
typedef struct ClaimPlace
{
	MemoryContext parent; /* how long it is kept; NULL: until the transaction ends */
	MemoryContext context;
	bool		  restarts;
	ClaimHeads	 *heads; /* NULL if there is nothing yet, or if an error has ended the last claim */
} ClaimPlace;

struct ClaimRequest
{
	const Claimant			 *worker;
	ClaimantFunction		  worker_now; /* NULL if the claimant cannot change */
	const struct KnownWorker *known;	  /* for worker_now, if it is an external worker */
	const RouteSet			 *routes;	  /* valid for config_version */
	ClaimPlace				 *place;	  /* of an external worker, for these routes; or NULL */
	uint64					  config_version;
	bool					  shared_only; /* stop at a job whose handler does not share commits */
	Oid						  function;	   /* the SQL function by which an external worker claims, or InvalidOid */
	const char				 *worker_id;
	const WorkerName		 *external;		/* the name of an external worker, or NULL */
	int64					  lease;		/* argument of the call, or NO_MICROSECONDS */
	int64					  worker_lease; /* from the registration, or NO_MICROSECONDS */
	uint64					  limit_key;	/* set by the claim: the limit that allows it no job, or 0 */
};

typedef void (*ClaimFunction)(const TaskqJob *job, void *arg);

extern int	ClaimStamped(ClaimRequest *request, int most, ClaimFunction function, void *arg);
extern bool ClaimCould(ClaimRequest *request);
extern bool ClaimToRun(const ClaimRequest *request, ClaimPlace *place, Store *jobs, TaskqJob *job);
extern bool ClaimByIdToRun(const ClaimRequest *request, int64 job_id, Store *jobs, TaskqJob *job);
extern int	ClaimCountDue(const RouteSet *routes, int most, int *due, TimestampTz *next_due);

#endif /* TASKQ_CLAIM_H */
