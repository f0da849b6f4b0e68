/*
 * confine_plan.h
 *	  What users' code outside handlers may not have planned.
 */
#ifndef TASKQ_CONFINE_PLAN_H
#define TASKQ_CONFINE_PLAN_H

#include "taskq.h"

extern void ConfinePlanInit(void);

#endif /* TASKQ_CONFINE_PLAN_H */
