/*
 * retry.c
 *	  How long to wait before the next attempt: arithmetic, no I/O.
 *
 *	  attempt that failed     1     2     3     4  ...
 *	  exponential           1 b   2 b   4 b   8 b     up to the cap
 *	  linear                1 b   2 b   3 b   4 b     up to the cap
 *	  fixed                 1 b   1 b   1 b   1 b     up to the cap
 *	  none                  no further attempt
 *
 * and 25 % jitter either way, so that jobs which failed together do not come
 * back together.
 */
#include "taskq.h"

#include "common/pg_prng.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/guc.h"
#include "base/signature.h"
#include "config/retry.h"

PG_FUNCTION_INFO_V1(taskq_retry_delay);

#define JITTER_SHARE 0.25

static const char *const kind_names[] = {
	[RETRY_EXPONENTIAL] = "exponential",
	[RETRY_LINEAR] = "linear",
	[RETRY_FIXED] = "fixed",
	[RETRY_NONE] = "none",
};

RetryPolicy
RetryDefault(void)
{
	RetryPolicy policy = { RETRY_EXPONENTIAL, USECS_PER_SEC, USECS_PER_HOUR };

	return policy;
}

bool
RetryKindByName(const char *name, RetryKind *kind)
{
	for (int i = 0; i < lengthof(kind_names); i++)
		if (strcmp(kind_names[i], name) == 0)
		{
			*kind = (RetryKind) i;
			return true;
		}
	return false;
}

const char *
RetryKindName(RetryKind kind)
{
	return kind_names[kind];
}

/* Return the delay after a failed attempt, or -1 if there is no further attempt. */
int64
RetryDelay(RetryPolicy policy, int attempt, double jitter)
{
	double delay = (double) policy.base;

	switch (policy.kind)
	{
		case RETRY_NONE:
			return -1;
		case RETRY_FIXED:
			break;
		case RETRY_LINEAR:
			delay *= Max(attempt, 1);
			break;
		case RETRY_EXPONENTIAL:
			/* doubles the delay; 2^62 microseconds exceed any cap */
			for (int i = 1; i < attempt && delay < (double) policy.cap; i++)
				delay *= 2;
			break;
	}
	delay = Min(delay, (double) policy.cap);
	delay += delay * JITTER_SHARE * jitter;
	return (int64) delay;
}

/* Return a random number from -1 to 1. */
double
RetryJitter(void)
{
#ifdef TASKQ_TESTING
	if (taskq_retry_jitter <= 1)
		return taskq_retry_jitter;
#endif
	return pg_prng_double(&pg_global_prng_state) * 2 - 1;
}

Datum
taskq_retry_delay(PG_FUNCTION_ARGS)
{
	RetryPolicy policy;
	char	   *name;
	int			attempt;
	double		jitter;
	int64		delay;

	CheckCall(fcinfo);
	name = ArgName(fcinfo, 0, "retry_policy");
	if (!RetryKindByName(name, &policy.kind))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown retry policy \"%s\"", name),
				 errhint("Use exponential, linear, fixed or none.")));
	attempt = ArgInt(fcinfo, 1, "attempt", 1, PG_INT32_MAX);
	policy.base = ArgMicroseconds(fcinfo, 2, "retry_base", 0);
	policy.cap = ArgMicroseconds(fcinfo, 3, "retry_cap", 0);
	if (policy.base == NO_MICROSECONDS || policy.cap == NO_MICROSECONDS)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("retry_base and retry_cap must not be NULL")));
	jitter = PG_ARGISNULL(4) ? RetryJitter() : PG_GETARG_FLOAT8(4);
	if (!(jitter >= -1 && jitter <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("jitter is out of range"),
				 errhint("It can be from -1 to 1.")));
	delay = RetryDelay(policy, attempt, jitter);
	if (delay < 0)
		PG_RETURN_NULL();
	PG_RETURN_INTERVAL_P(MakeInterval(delay));
}
