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

/* What the answer depends on, for background and external workers alike. */
typedef struct TaskqWorker
{
	bool	   background;
	Oid		   role;	   /* of a background worker */
	bool	   by_hand;	   /* inside a statement, where no procedure can commit */
	bool	   any_type;   /* brings its own handler, for all that is not another role's */
	ArrayType *task_types; /* NULL: all that fit its kind */
	ArrayType *narrow;	   /* this call's task_types; NULL: no narrower */
	ArrayType *queues;	   /* NULL: all, as one line; else in this order */
	ArrayType *capabilities;
} TaskqWorker;

extern const char *WhyNotRun(const TaskqWorker *worker, const TaskqRoute *route);
extern bool		   MayRun(const TaskqWorker *worker, const TaskqRoute *route);
extern RouteSet	   EligibleRoutes(const TaskqWorker *worker);

#endif /* TASKQ_ELIGIBLE_H */
