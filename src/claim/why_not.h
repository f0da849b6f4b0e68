/*
 * why_not.h
 *	  Why does this route or this job not run?
 */
#ifndef TASKQ_WHY_NOT_H
#define TASKQ_WHY_NOT_H

#include "taskq.h"

#include "claim/external_worker.h"
#include "config/route.h"
#include "job/admit.h"
#include "job/job.h"

/* A claimant that is asked about. */
typedef struct Asked
{
	Claimant	claimant;
	const char *reason; /* why it is given no job at all, or NULL */
	bool		gone;	/* that is for good, so it comes before what is said of a route */
} Asked;

/* Those of whom anyone may run a job: what was read once for many routes. */
typedef struct AnyWorker
{
	ExternalWorker *external; /* those that are alive and not draining */
	int				n_external;
} AnyWorker;

extern void		   AnyWorkerRead(AnyWorker *any);
extern const char *WhyNot(const Asked *asked, const AnyWorker *any, const TaskqRoute *route, const TaskqJob *job);
extern const char *WhyNotAdmitted(const AdmissionQuestion *question);
extern const char *WhyJobWaits(int64 job_id);
extern bool		   StatusSaysWhy(const char *reason);

#endif /* TASKQ_WHY_NOT_H */
