/*
 * fail.c
 *	  fail_job(), release_job() and snooze_job(): the holder of a claim gives its
 *	  job back.
 */
#include "taskq.h"

#include "fmgr.h"

#include "base/args.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/signature.h"
#include "registry/retry_function.h"
#include "settle/settle.h"
#include "store/owner.h"

PG_FUNCTION_INFO_V1(taskq_fail_job);
PG_FUNCTION_INFO_V1(taskq_release_job);
PG_FUNCTION_INFO_V1(taskq_snooze_job);

Datum
taskq_fail_job(PG_FUNCTION_ARGS)
{
	SettleScope	   scope;
	AttemptFailure failure = { 0 };
	bool		   retryable;
	int64		   retry_in;
	bool		   held;

	CheckCall(fcinfo);
	CheckWritable("taskq.fail_job()");
	failure.outcome = "failed";
	failure.message = ArgErrorTextOrNull(fcinfo, 2);
	failure.error_type = ArgNameOrNull(fcinfo, 3, "error_type");
	if (failure.error_type == NULL)
		failure.error_type = !PG_ARGISNULL(5) && !PG_GETARG_BOOL(5) ? ERROR_PERMANENT : ERROR_HANDLER;
	failure.error_code = ArgErrorTextOrNull(fcinfo, 4);
	retryable = PG_ARGISNULL(5) ? IsRetryableErrorType(failure.error_type) : PG_GETARG_BOOL(5);
	retry_in = ArgMicroseconds(fcinfo, 6, "retry_in", 0);
	failure.detail = ArgErrorTextOrNull(fcinfo, 7);
	failure.hint = ArgErrorTextOrNull(fcinfo, 8);
	failure.context = ArgErrorTextOrNull(fcinfo, 9);

	held = BeginSettle(&scope, ArgId(fcinfo, 0, "job_id"), ArgId(fcinfo, 1, "epoch"), OUTCOME_FAILED);
	if (held)
	{
		OwnerLeave(&scope.owner);
		RetryFunctionAsk(&scope.job, &failure, &retryable, &retry_in);
		OwnerEnter(&scope.owner);
		SettleFailed(&scope.jobs, &scope.job, OUTCOME_FAILED, &failure, retryable, retry_in);
	}
	EndSettle(&scope);
	PG_RETURN_BOOL(held);
}

Datum
taskq_release_job(PG_FUNCTION_ARGS)
{
	SettleScope scope;
	bool		held;

	CheckCall(fcinfo);
	CheckWritable("taskq.release_job()");
	held = BeginSettle(&scope, ArgId(fcinfo, 0, "job_id"), ArgId(fcinfo, 1, "epoch"), OUTCOME_RELEASED);
	if (held)
		SettleGivenBack(&scope.jobs, &scope.job, OUTCOME_RELEASED, scope.job.run_at);
	EndSettle(&scope);
	PG_RETURN_BOOL(held);
}

Datum
taskq_snooze_job(PG_FUNCTION_ARGS)
{
	SettleScope scope;
	int64		delay;
	bool		held;

	CheckCall(fcinfo);
	CheckWritable("taskq.snooze_job()");
	delay = ArgMicroseconds(fcinfo, 2, "delay", 0);
	if (delay == NO_MICROSECONDS)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("delay must not be NULL"),
				 errhint("To give the job back at once, use taskq.release_job().")));
	held = BeginSettle(&scope, ArgId(fcinfo, 0, "job_id"), ArgId(fcinfo, 1, "epoch"), OUTCOME_SNOOZED);
	if (held)
		SettleGivenBack(&scope.jobs, &scope.job, OUTCOME_SNOOZED, ClockNow() + delay);
	EndSettle(&scope);
	PG_RETURN_BOOL(held);
}
