/*
 * claim_wait.h
 *	  Calls that claim jobs or wait for them.
 */
#ifndef TASKQ_CLAIM_WAIT_H
#define TASKQ_CLAIM_WAIT_H

#include "taskq.h"

#include "fmgr.h"
#include "nodes/execnodes.h"

#include "claim/claim.h"
#include "claim/known_worker.h"

/* A call of claim_job() or claim_jobs(). */
typedef struct ClaimCall
{
	WorkerName	   name;
	ArrayType	  *narrow;		  /* argument task_types of the call */
	ArrayType	  *tenants;		  /* argument tenants of the call */
	bool		   binds;		  /* no worker was bound to one of these before, so this transaction must commit before jobs have their routes */
	KnownWorker	  *known;		  /* the worker as of the last look, or NULL before the first */
	TimestampTz	   registered_at; /* of the registration under which the call waits, or 0 */
	RouteSet	   routes;
	ClaimRequest   request;
	int			   most;
	int			   claimed;
	ReturnSetInfo *result; /* NULL in wait_for_job(), which has no task_types */
} ClaimCall;

/* Look for a job; returns true if there is one. */
typedef bool (*LookFunction)(ClaimCall *call);

extern void ClaimCheckIsolation(void);
extern void ClaimUpdateRoutes(ClaimCall *call);
extern void ClaimNoteBlindWait(void);
extern bool ClaimWait(ClaimCall *call, LookFunction look, TimestampTz deadline, bool between_transactions);
extern void ClaimPrepare(FunctionCallInfo fcinfo, ClaimCall *call, ArrayType *task_types, int instance_arg);

#endif /* TASKQ_CLAIM_WAIT_H */
