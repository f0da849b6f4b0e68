-- clock ---------------------------------------------------------------------

CREATE FUNCTION taskq.clock_now() RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'taskq_clock_now' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION taskq.clock_now() IS 'the current time, as taskq uses it';

