/*
 * eligible.h
 *	  May this worker run jobs of this route?
 */
#ifndef TASKQ_ELIGIBLE_H
#define TASKQ_ELIGIBLE_H

#include "taskq.h"

#include "utils/array.h"

#include "config/route.h"
#include "shared/wait.h"

/* Who claims, as far as it says which jobs it may be given: workers of both kinds, and sessions. */
typedef struct Claimant
{
	bool	   background;
	Oid		   role;	   /* of a background worker */
	bool	   by_hand;	   /* inside a statement, where no procedure can commit */
	bool	   any_type;   /* brings its own handler, for all that is not another role's */
	ArrayType *task_types; /* NULL: all that fit its kind */
	ArrayType *narrow;	   /* this call's task_types; NULL: no narrower */
	ArrayType *queues;	   /* NULL: all, as one line; else in this order */
	ArrayType *capabilities;
} Claimant;

/* Reasons that callers compare, as pointers.  All other reasons are only shown. */
extern const char why_no_handler[];
extern const char why_handler_paused[];
extern const char why_queue_paused[];

extern bool		   ClaimantTakes(const Claimant *worker, const TaskqRoute *route);
extern const char *WhyNotRun(const Claimant *worker, const TaskqRoute *route);
extern bool		   MayRun(const Claimant *worker, const TaskqRoute *route);
extern RouteSet	   EligibleRoutes(const Claimant *worker);

#endif /* TASKQ_ELIGIBLE_H */
