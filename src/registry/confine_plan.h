/*
 * confine_plan.h
 *	  Check the queries of confined code before they are planned.
 */
#ifndef TASKQ_CONFINE_PLAN_H
#define TASKQ_CONFINE_PLAN_H

#include "taskq.h"

extern void ConfinePlanInit(void);

#endif /* TASKQ_CONFINE_PLAN_H */
