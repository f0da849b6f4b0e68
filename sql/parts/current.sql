-- current: the job that a handler runs --------------------------------------

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

