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
#include "shared/worker_name.h"

/* How an instance of a worker is known. */
typedef enum WorkerStanding
{
	WORKER_UNKNOWN,
	WORKER_REGISTERED,
	WORKER_IMPLICIT, /* registered by a claim */
	WORKER_ENDED	 /* unregistered, and not registered again */
} WorkerStanding;

typedef struct ExternalWorker
{
	const char	   *worker_id; /* NULL if it is unknown */
	Claimant		base;
	WorkerStanding	standing;
	bool			of_session;		/* the call names no worker id */
	bool			needs_instance; /* it names no instance, and others are registered */
	int64			lease;			/* or NO_MICROSECONDS */
	struct varlena *queue_weights;	/* as they are stored, or NULL */
	bool			draining;
	Oid				registered_by; /* or InvalidOid */
	TimestampTz		registered_at;
	TimestampTz		ended_at; /* or 0 */
} ExternalWorker;

extern ExternalWorker *WorkersAlive(int *n);

/* for claims and heartbeats */
extern bool				   WorkerHold(const WorkerName *name);
extern void				   WorkerRelease(const WorkerName *name);
extern void				   WorkerHoldOff(const WorkerName *name, bool wait);
extern void				   WorkerFind(const WorkerName *name, ExternalWorker *worker);
extern TimestampTz		   WorkerHasClaimed(const WorkerName *name, const ExternalWorker *worker, bool has_jobs);
extern Oid				   WorkerBeat(const WorkerName *name);
extern int64			   WorkerSeen(const TaskqJob *job);
extern bool				   WorkerForgetOld(void);
TASKQ_NORETURN extern void WorkerNotRegistered(const WorkerName *name);
extern void				   RegistrationChanged(const WorkerName *name);
extern bool				   WorkerIsOfOthers(const ExternalWorker *worker, Oid caller);
extern int				   WorkerDetailRole(const WorkerName *name, Oid registered_by);
extern bool				   WorkerIsOf(Oid registered_by, Oid caller, AccessKind kind);
extern void				   WorkerCheckOwner(const WorkerName *name, Oid registered_by, Oid caller, const char *what, AccessKind kind);

#endif /* TASKQ_EXTERNAL_WORKER_H */
