/*
 * eligible.h
 *	  Deciding whether a worker may run jobs of a route.
 */
#ifndef TASKQ_ELIGIBLE_H
#define TASKQ_ELIGIBLE_H

#include "taskq.h"

#include "utils/array.h"

#include "config/handler.h"
#include "config/queue_weights.h"
#include "config/reason.h"
#include "config/route.h"
#include "shared/wait.h"

/*
 * Who claims: a worker of either kind, or a session.  Only what decides which jobs
 * it may be given, and how many, is described here.
 */
typedef struct Claimant
{
	bool	   background;
	Oid		   role;	   /* of a background worker */
	bool	   by_hand;	   /* claims inside a statement, where no procedure can commit */
	bool	   any_type;   /* brings its own handler, for all types whose handlers are not another role's */
	ArrayType *task_types; /* NULL means all that fit its kind */
	ArrayType *narrow;	   /* the call's task_types, or NULL */
	ArrayType *queues;	   /* NULL means all, in common order; otherwise in the order of the array */
	ArrayType *capabilities;
	ArrayType *tenants;				/* NULL means all; otherwise it is given only jobs of these */
	ArrayType *narrow_tenants;		/* the call's tenants, or NULL */
	int		   max_concurrent_jobs; /* of an external worker; 0: no limit */
	Oid		   owner;				/* role that registered an external worker, to which its claims belong, or InvalidOid */

	const QueueWeights *weights; /* the queues take turns by these, and not in the order of the array; or NULL */
	ShareScope			share;	 /* those who take these turns together */
} Claimant;

extern ReasonCode WhyNoWorkerMay(const TaskqHandler *handler, const TaskqRoute *route);
extern ReasonCode WhyNotRun(const Claimant *worker, const TaskqRoute *route);
extern bool		  MayRun(const Claimant *worker, const TaskqRoute *route);
extern RouteSet	  EligibleRoutes(const Claimant *worker);

#endif /* TASKQ_ELIGIBLE_H */
