-- retry ---------------------------------------------------------------------

CREATE FUNCTION taskq.retry_delay(
	retry_policy text, attempt integer, retry_base interval DEFAULT '1 s', retry_cap interval DEFAULT '1 h',
	jitter double precision DEFAULT NULL) RETURNS interval
	AS 'MODULE_PATHNAME', 'taskq_retry_delay' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.retry_delay(text, integer, interval, interval, double precision) IS 'the delay after a failed attempt; jitter is a number from -1 to 1 in place of a random one';

