/*
 * keep_limits.h
 *	  Arming limits, and freeing what jobs hold that do not run.
 */
#ifndef TASKQ_KEEP_LIMITS_H
#define TASKQ_KEEP_LIMITS_H

#include "taskq.h"

#include "process/work.h"

extern TimestampTz LimitsDue(const WorkPast *past);
extern void		   KeepLimits(WorkResult *result);

#endif /* TASKQ_KEEP_LIMITS_H */
