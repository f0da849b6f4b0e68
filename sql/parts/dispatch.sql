-- dispatch: inside a handler ------------------------------------------------

CREATE FUNCTION taskq.current_job() RETURNS taskq.job
	AS 'MODULE_PATHNAME', 'taskq_current_job' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.current_job() IS 'inside a handler, the job that it runs; NULL elsewhere';

CREATE FUNCTION taskq.raise_permanent(
	message text, code text DEFAULT NULL, detail text DEFAULT NULL, hint text DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_raise_permanent' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.raise_permanent(text, text, text, text) IS 'inside a handler: fail the attempt without a retry (raises TQ020)';

CREATE FUNCTION taskq.raise_retryable(
	message text, code text DEFAULT NULL, retry_in interval DEFAULT NULL, detail text DEFAULT NULL,
	hint text DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_raise_retryable' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.raise_retryable(text, text, interval, text, text) IS 'inside a handler: fail the attempt with a retry, after retry_in if that is given (raises TQ021)';

CREATE FUNCTION taskq.success(result jsonb DEFAULT NULL) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'taskq_success' LANGUAGE C VOLATILE;	-- volatile, because the value must be built in each run
COMMENT ON FUNCTION taskq.success(jsonb) IS 'return value of a handler: the attempt has completed with this result';

CREATE FUNCTION taskq.failure(
	message text, error_type text DEFAULT NULL, error_code text DEFAULT NULL,
	retryable boolean DEFAULT NULL, retry_in interval DEFAULT NULL, detail text DEFAULT NULL,
	hint text DEFAULT NULL) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'taskq_failure' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.failure(text, text, text, boolean, interval, text, text) IS 'return value of a handler: the attempt has failed, and its work is rolled back; the arguments are those of fail_job()';

CREATE FUNCTION taskq.snooze(delay interval DEFAULT '0') RETURNS jsonb
	AS 'MODULE_PATHNAME', 'taskq_snooze' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.snooze(interval) IS 'return value of a handler: its work is kept, and the job runs again after the delay; the attempt does not count';

CREATE FUNCTION taskq.decision(
	activated_steps text[], routing_context jsonb DEFAULT '{}', payload jsonb DEFAULT NULL,
	step_options jsonb DEFAULT NULL) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'taskq_decision' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.decision(text[], jsonb, jsonb, jsonb) IS 'return value of a handler, or result for complete_job(): the job is completed, and a job of each of these task types is enqueued in the same transaction';

CREATE FUNCTION taskq.save_checkpoint(checkpoint jsonb) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_save_checkpoint' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.save_checkpoint(jsonb) IS 'inside a handler: store how far the work has got, in the transaction of the run; the next run finds it in its job';

CREATE FUNCTION taskq.update_progress(progress jsonb) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_update_progress' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.update_progress(jsonb) IS 'inside a handler: store the progress of the work for people to read, in the transaction of the run';

