/*
 * external_worker.h
 *	  External workers: their registrations and who may use them.
 */
#ifndef TASKQ_EXTERNAL_WORKER_H
#define TASKQ_EXTERNAL_WORKER_H

#include "taskq.h"

#include "utils/timestamp.h"

#include "config/eligible.h"
#include "job/access.h"
#include "job/job.h"

/* How a worker's id is known. */
typedef enum WorkerStanding
{
	WORKER_UNKNOWN,
	WORKER_REGISTERED,
	WORKER_IMPLICIT, /* registered by a claim */
	WORKER_ENDED	 /* unregistered, and not registered again */
} WorkerStanding;

typedef struct ExternalWorker
{
	const char	  *worker_id; /* NULL if it is unknown */
	Claimant	   base;
	WorkerStanding standing;
	bool		   of_session; /* the call names no worker id */
	int64		   lease;	   /* or NO_MICROSECONDS */
	bool		   draining;
	Oid			   registered_by; /* or InvalidOid */
	TimestampTz	   registered_at;
	TimestampTz	   ended_at; /* or 0 */
} ExternalWorker;

extern ExternalWorker *WorkersAlive(int *n);

/* for claims and heartbeats */
extern bool				   WorkerHold(const char *worker_id);
extern void				   WorkerRelease(const char *worker_id);
extern void				   WorkerHoldOff(const char *worker_id, bool wait);
extern void				   WorkerFind(const char *worker_id, ExternalWorker *worker);
extern TimestampTz		   WorkerHasClaimed(const char *worker_id, const ExternalWorker *worker, bool has_jobs);
extern Oid				   WorkerBeat(const char *worker_id);
extern int64			   WorkerSeen(const TaskqJob *job);
extern bool				   WorkerForgetOld(void);
TASKQ_NORETURN extern void WorkerNotRegistered(const char *worker_id);
extern void				   RegistrationChanged(const char *worker_id);
extern bool				   WorkerIsOfOthers(const ExternalWorker *worker, Oid caller);
extern bool				   WorkerIsOf(Oid registered_by, Oid caller, AccessKind kind);
extern void				   WorkerCheckOwner(const char *worker_id, Oid registered_by, Oid caller, const char *what, AccessKind kind);

#endif /* TASKQ_EXTERNAL_WORKER_H */
