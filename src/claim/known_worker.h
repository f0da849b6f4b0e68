/*
 * known_worker.h
 *	  What a session knows of the workers that it claims for.
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
	char		   worker_id[TASKQ_NAME_MAX + 1]; /* empty: nothing is known */
	ExternalWorker worker;						  /* as it is registered, narrowed by the call */
	RouteSet	   routes;						  /* none while it is draining */
	uint64		   catalog_version;				  /* under which that is so, with the next one */
	uint64		   workers_version;
	Oid			   caller;	  /* the role that claims */
	bool		   of_others; /* another role has registered the worker */
	TimestampTz	   touch_at;  /* when its row is to say again that it was seen */
	uint64		   used;	  /* larger than that of all used before */
	MemoryContext  context;
} KnownWorker;

extern KnownWorker	  *KnownWorkerFind(const char *worker_id, ArrayType *narrow, bool names_types);
extern const Claimant *KnownWorkerNow(const ClaimRequest *request);
extern void			   KnownWorkerHasClaimed(KnownWorker *known, bool has_jobs);

#endif /* TASKQ_KNOWN_WORKER_H */
