/*
 * clock.h
 *	  The current time.
 */
#ifndef TASKQ_CLOCK_H
#define TASKQ_CLOCK_H

#include "taskq.h"

#include "utils/timestamp.h"

extern TimestampTz ClockNow(void);
extern int64	   ClockSteady(void);
extern TimestampTz ClockForTimer(TimestampTz moment);
extern bool		   ClockHasPassed(TimestampTz since, int64 length);
extern bool		   ClockIsAhead(TimestampTz moment, int64 most);
extern long		   ClockMillisecondsUntil(TimestampTz moment, long most);
extern int64	   IntervalMicroseconds(const Interval *interval);
extern Interval	  *MakeInterval(int64 microseconds);

#endif /* TASKQ_CLOCK_H */
