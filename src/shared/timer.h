/*
 * timer.h
 *	  The timers that bound runs and users' code.
 */
#ifndef TASKQ_TIMER_H
#define TASKQ_TIMER_H

#include "taskq.h"

#include "utils/timestamp.h"

extern TimestampTz TimerArm(TimestampTz until);
extern bool		   TimerFired(TimestampTz until);
extern void		   TimerRestore(TimestampTz before);
extern void		   TimerCodeStart(TimestampTz until);
extern bool		   TimerCodeOverdue(void);
extern bool		   TimerCodeStop(void);

#endif /* TASKQ_TIMER_H */
