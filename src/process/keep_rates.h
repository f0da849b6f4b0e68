/*
 * keep_rates.h
 *	  Reserving what quotas and slow rates let start.
 */
#ifndef TASKQ_KEEP_RATES_H
#define TASKQ_KEEP_RATES_H

#include "taskq.h"

#include "process/work.h"

extern TimestampTz RatesDue(const WorkPast *past);
extern void		   KeepRates(WorkResult *result);

#endif /* TASKQ_KEEP_RATES_H */
