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

/* Why the jobs of a route, or one job, do not run. */
typedef struct Reason
{
	ReasonCode	code;	 /* REASON_NONE if nothing prevents it */
	const char *text;	 /* for people, or NULL */
	ArrayType  *missing; /* capabilities that the claimant, or the nearest live worker, lacks; or NULL */
	Refusal		refusal; /* what a rule of admission says; its code is REASON_NONE if the reason is not that of a rule */
} Reason;

/* A claimant that a question is about. */
typedef struct Asked
{
	Claimant   claimant;
	ReasonCode code;	/* why it is given no jobs at all, or REASON_NONE */
	bool	   gone;	/* the reason is permanent, so it comes before those of a route */
	Refusal	   refusal; /* of a rule of admission, if that is the reason */
} Asked;

/* All workers that might run a job, read once for many routes. */
typedef struct AnyWorker
{
	ExternalWorker *external; /* alive and not draining */
	int				n_external;
} AnyWorker;

#define REASON_COLUMNS 3 /* reason, reason_code, missing_capabilities */

extern void		   AnyWorkerRead(AnyWorker *any);
extern ReasonCode  WhyNot(const Asked *asked, const AnyWorker *any, const TaskqRoute *route, const TaskqJob *job, Reason *reason);
extern bool		   WhyNotAdmitted(const AdmissionQuestion *question, Refusal *refusal);
extern const char *WhoseTurn(int64 job_id);
extern List		  *WhyJobWaits(int64 job_id);
extern bool		   StatusSaysWhy(ReasonCode code);

/* explain_routes.c */
extern void ReasonHideBudget(Reason *reason);
extern void PutTenantColumn(const TaskqRoute *route, Datum *value, bool *isnull);
extern void PutRouteColumns(const TaskqRoute *route, Datum *values, bool *nulls);
extern void PutReasonColumns(const Reason *reason, Datum *values, bool *nulls);

#endif /* TASKQ_WHY_NOT_H */
