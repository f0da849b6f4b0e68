/*
 * claim_wait.h
 *	  A call that claims, or waits to.
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
	const char	  *worker_id;
	ArrayType	  *narrow; /* the call's task_types */
	KnownWorker	  *known;  /* the worker, as it was at the last look; NULL: none yet */
	RouteSet	   routes;
	ClaimRequest   request;
	int			   most;
	int			   claimed;
	ReturnSetInfo *result; /* NULL in wait_for_job(), which names no types */
} ClaimCall;

/* What a waiting call looks for: true when it is there. */
typedef bool (*LookFunction)(ClaimCall *call);

extern void ClaimCheckIsolation(void);
extern void ClaimUpdateRoutes(ClaimCall *call);
extern void ClaimNoteBlindWait(void);
extern bool ClaimWait(ClaimCall *call, LookFunction look, TimestampTz deadline, bool between_transactions);
extern void ClaimPrepare(FunctionCallInfo fcinfo, ClaimCall *call, ArrayType *task_types);

#endif /* TASKQ_CLAIM_WAIT_H */
