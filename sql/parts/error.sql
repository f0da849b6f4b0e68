-- error ---------------------------------------------------------------------

CREATE FUNCTION taskq.standard_error_types() RETURNS text[]
	AS 'MODULE_PATHNAME', 'taskq_standard_error_types' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION taskq.standard_error_types() IS 'the error types that taskq knows';

CREATE FUNCTION taskq.is_standard_error_type(error_type text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_is_standard_error_type' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION taskq.is_standard_error_type(text) IS 'whether this is one of the error types that taskq knows';

CREATE FUNCTION taskq.is_retryable_error_type(error_type text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_is_retryable_error_type' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION taskq.is_retryable_error_type(text) IS 'whether an attempt that failed with this error type is retried by default';

CREATE FUNCTION taskq.error_type_of_http_status(status integer) RETURNS text
	AS 'MODULE_PATHNAME', 'taskq_error_type_of_http_status' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION taskq.error_type_of_http_status(integer) IS 'the error type for an HTTP status: 408, 425, 429, 5xx and NULL (no answer) are retryable, other 3xx and 4xx are permanent; NULL below 300';

