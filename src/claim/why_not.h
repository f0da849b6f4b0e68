/*
 * why_not.h
 *	  Explaining why a route or a job does not run.
 */
#ifndef TASKQ_WHY_NOT_H
#define TASKQ_WHY_NOT_H

#include "taskq.h"

#include "claim/external_worker.h"
#include "config/route.h"
#include "job/admit.h"
#include "job/job.h"

/* A claimant that a question is about. */
typedef struct Asked
{
	Claimant	claimant;
	const char *reason; /* why it is given no jobs at all, or NULL */
	bool		gone;	/* the reason is permanent, so it comes before those of a route */
} Asked;

/* All workers that might run a job, read once for many routes. */
typedef struct AnyWorker
{
	ExternalWorker *external; /* alive and not draining */
	int				n_external;
} AnyWorker;

/* A reason that callers compare by pointer, see config/eligible.h. */
extern const char why_pool_paused[];

extern void		   AnyWorkerRead(AnyWorker *any);
extern const char *WhyNot(const Asked *asked, const AnyWorker *any, const TaskqRoute *route, const TaskqJob *job, Refusal *refusal);
extern bool		   WhyNotAdmitted(const AdmissionQuestion *question, Refusal *refusal);
extern const char *WhyJobWaits(int64 job_id);
extern bool		   StatusSaysWhy(const char *reason);
extern void		   PutRouteColumns(const TaskqRoute *route, Datum *values, bool *nulls);

#endif /* TASKQ_WHY_NOT_H */
