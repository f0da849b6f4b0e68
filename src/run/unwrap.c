/*
 * unwrap.c
 *	  Evaluate the value that a handler has returned.
 */
#include "taskq.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/error.h"
#include "job/current.h"
#include "run/unwrap.h"
#include "settle/decide.h"
#include "settle/result.h"
#include "shared/timer.h"

/* Raise the error that a result of failure() describes. */
static void
RaiseFailure(Jsonb *failure)
{
	char	   *error_type = ResultMember(failure, "error_type");
	char	   *retryable = ResultMember(failure, "retryable");
	bool		retry = retryable != NULL ? strcmp(retryable, "true") == 0 : error_type == NULL || IsRetryableErrorType(error_type);
	SaidFailure said;

	if (error_type == NULL || !IsName(error_type))
		error_type = retry ? ERROR_HANDLER : ERROR_PERMANENT;
	said.message = ResultMember(failure, "message");
	said.code = ResultMember(failure, "error_code");
	said.type = error_type;
	said.retry_in = ResultMember(failure, "retry_in");
	said.detail = ResultMember(failure, "detail");
	said.hint = ResultMember(failure, "hint");
	RaiseForJob(retry, &said);
}

/* Return the moment until which a result of snooze() delays the job. */
static TimestampTz
SnoozedUntil(Jsonb *snooze)
{
	char *delay = ResultMember(snooze, "delay");
	Datum interval;

	if (delay == NULL)
		return ClockNow();
	interval = DirectFunctionCall3(interval_in, CStringGetDatum(delay), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	return ClockNow() + CheckMicroseconds(DatumGetIntervalP(interval), "delay", 0);
}

/* Raise a permanent error if the result is too large: another attempt would fail again. */
static void
CheckSize(Run *run)
{
	SaidFailure said = {
		.code = RESULT_TOO_LARGE,
		.type = ERROR_PERMANENT,
		.hint = RESULT_HINT,
	};
	char *detail;

	if (run->result_is_null)
		return;
	said.message = ResultTooLarge((struct varlena *) DatumGetPointer(run->result), &detail);
	if (said.message == NULL)
		return;
	said.detail = detail;
	RaiseForJob(false, &said);
}

/*
 * Evaluate the result: take the value from success(), raise the error of failure(),
 * note the delay of snooze(), and enqueue the steps of decision().  Any other value is
 * left as it is.
 */
static void
Unwrap(Run *run)
{
	Jsonb *jsonb = DatumGetJsonbP(run->result);

	if (!ResultIsMeant(jsonb))
		return;
	if (ResultHasTag(jsonb, "failure"))
		RaiseFailure(jsonb);
	if (ResultHasTag(jsonb, "snooze"))
	{
		/* a handler that catches its timeout must not run again and again for that */
		if (run->timed_out || (run->deadline != 0 && TimerFired(run->deadline)))
			ereport(ERROR,
					(errcode(ERRCODE_QUERY_CANCELED),
					 errmsg("the handler returned snooze() after its timeout")));
		run->snoozed_until = SnoozedUntil(jsonb);
		run->result_is_null = true;
	}
	else if (ResultHasTag(jsonb, "success"))
	{
		run->result = PointerGetDatum(ResultOfSuccess(jsonb));
		run->result_is_null = DatumGetPointer(run->result) == NULL;
	}
	else
		run->result = PointerGetDatum(Decide(jsonb, &run->job));
}

void
ResultUnwrap(Run *run)
{
	Unwrap(run);
	CheckSize(run);
}
