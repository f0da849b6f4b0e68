/*
 * clock.c
 *	  The current time.  All of taskq takes it from here, so that in a build for
 *	  tests one setting, taskq.clock_offset, moves it everywhere, and another one,
 *	  taskq.steady_offset, the time that cannot be set.
 */
#include "taskq.h"

#include "fmgr.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"

#include "base/clock.h"
#include "base/guc.h"
#include "base/signature.h"

PG_FUNCTION_INFO_V1(taskq_clock_now);

/* Return the current time. */
TimestampTz
ClockNow(void)
{
	TimestampTz now = GetCurrentTimestamp();

#ifdef TASKQ_TESTING
	now += (TimestampTz) taskq_clock_offset * 1000;
#endif
	return now;
}

/*
 * Return the microseconds since some moment before the start of the server.  They go on
 * when the system's clock is set.
 */
int64
ClockSteady(void)
{
	instr_time now;
	int64	   steady;

	INSTR_TIME_SET_CURRENT(now);
	steady = (int64) INSTR_TIME_GET_MICROSEC(now);
#ifdef TASKQ_TESTING
	steady += (int64) taskq_steady_offset * 1000;
#endif
	return steady;
}

/*
 * Return whether at least "length" microseconds have passed since a moment.  If
 * the moment lies in the future, the clock was set back, and the answer is true.
 */
bool
ClockHasPassed(TimestampTz since, int64 length)
{
	TimestampTz now = ClockNow();

	return now < since || now - since >= length;
}

/*
 * Return whether a moment is in the future, but at most "most" microseconds away.
 * Callers choose moments that are no further ahead than that; if the moment is
 * further away, the clock was set back since, and the answer is false.
 */
bool
ClockIsAhead(TimestampTz moment, int64 most)
{
	TimestampTz now = ClockNow();

	return moment > now && moment - now <= most;
}

/* Return the milliseconds from now to a moment, rounded up, between 0 and "most". */
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

/* Convert a moment of taskq's clock to the server's clock, which timeouts use. */
TimestampTz
ClockForTimer(TimestampTz moment)
{
#ifdef TASKQ_TESTING
	moment -= (TimestampTz) taskq_clock_offset * 1000;
#endif
	return moment;
}

/*
 * Return the length of an interval in microseconds, with 30 days to the month.  It
 * may be negative.  A length that would overflow is replaced by a smaller one.
 */
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
	CheckCall(fcinfo);
	PG_RETURN_TIMESTAMPTZ(ClockNow());
}
