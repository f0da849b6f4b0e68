/*
 * known_worker.h
 *	  What a session remembers of the workers that it claims for.
 */
#ifndef TASKQ_KNOWN_WORKER_H
#define TASKQ_KNOWN_WORKER_H

#include "taskq.h"

#include "utils/timestamp.h"

#include "claim/claim.h"
#include "claim/external_worker.h"
#include "config/eligible.h"

typedef struct KnownWorker
{
	bool		   is_used;
	char		   worker_id[TASKQ_NAME_MAX + 1];
	char		   instance_id[TASKQ_NAME_MAX + 1];
	WorkerName	   name;		   /* its strings are the two above */
	ExternalWorker worker;		   /* registration, narrowed by the call */
	RouteSet	   routes;		   /* empty while the worker is draining */
	uint64		   config_version; /* version of the configuration for which the entry is valid */
	uint64		   workers_version;
	Oid			   caller;	  /* role that claims */
	bool		   of_others; /* registered by another role */
	TimestampTz	   touch_at;  /* when to write last_seen again */
	uint64		   used;	  /* larger for entries used later */
	MemoryContext  context;
	ClaimPlace	   place; /* what its claims keep */
} KnownWorker;

extern KnownWorker	  *KnownWorkerFind(const WorkerName *name, ArrayType *narrow, ArrayType *tenants, bool names_types);
extern const Claimant *KnownWorkerNow(const ClaimRequest *request);
extern void			   KnownWorkerHasClaimed(KnownWorker *known, bool has_jobs);

#endif /* TASKQ_KNOWN_WORKER_H */
