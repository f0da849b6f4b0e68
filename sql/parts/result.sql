-- result: return values of handlers -----------------------------------------

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

