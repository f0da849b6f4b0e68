/*
 * clock.c
 *	  The one door to the time.  Nothing else in taskq asks what time it is, so
 *	  a build for tests can move everything by one setting.
 */
#include "taskq.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/guc.h"

PG_FUNCTION_INFO_V1(taskq_clock_now);

/* What time it is. */
TimestampTz
ClockNow(void)
{
	TimestampTz now = GetCurrentTimestamp();

#ifdef TASKQ_TESTING
	now += (TimestampTz) taskq_clock_offset * 1000;
#endif
	return now;
}

/* Has so much time passed since a moment?  Also when the clock was set back behind it. */
bool
ClockHasPassed(TimestampTz since, int64 length)
{
	TimestampTz now = ClockNow();

	return now < since || now - since >= length;
}

/*
 * Is a moment still to come that was at most so far ahead when it was chosen?  One
 * that is further away was chosen before the clock was set back.
 */
bool
ClockIsAhead(TimestampTz moment, int64 most)
{
	TimestampTz now = ClockNow();

	return moment > now && moment - now <= most;
}

/* Milliseconds to sleep until a moment, rounded up, from 0 to "most". */
long
ClockMillisecondsUntil(TimestampTz moment, long most)
{
	TimestampTz now = ClockNow();

	if (moment <= now)
		return 0;
	if (moment - now >= (int64) most * 1000)
		return most;
	return (long) ((moment - now + 999) / 1000);
}

/* A moment of ours as the server's timers count. */
TimestampTz
ClockForTimer(TimestampTz moment)
{
#ifdef TASKQ_TESTING
	moment -= (TimestampTz) taskq_clock_offset * 1000;
#endif
	return moment;
}

/* An interval's length, a month counting 30 days.  May be negative. */
int64
IntervalMicroseconds(const Interval *interval)
{
	int64 days = (int64) interval->month * DAYS_PER_MONTH + interval->day;

	if (days > PG_INT64_MAX / USECS_PER_DAY / 2)
		return PG_INT64_MAX / 2;
	if (days < PG_INT64_MIN / USECS_PER_DAY / 2)
		return PG_INT64_MIN / 2;
	if (interval->time > PG_INT64_MAX / 2 || interval->time < PG_INT64_MIN / 2)
		return interval->time / 2;
	return days * USECS_PER_DAY + interval->time;
}

Interval *
MakeInterval(int64 microseconds)
{
	Interval *interval = palloc0(sizeof(Interval));

	interval->time = microseconds;
	return interval;
}

Datum
taskq_clock_now(PG_FUNCTION_ARGS)
{
	CheckArgCount(fcinfo, 0);
	PG_RETURN_TIMESTAMPTZ(ClockNow());
}
