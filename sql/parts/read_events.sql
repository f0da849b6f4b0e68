-- read_events ----------------------------------------------------------------

CREATE FUNCTION taskq.read_events(
	"after" bigint DEFAULT 0, "limit" integer DEFAULT 1000, wait interval DEFAULT NULL,
	queues text[] DEFAULT NULL, task_types text[] DEFAULT NULL, job_id bigint DEFAULT NULL) RETURNS SETOF taskq.events
	AS 'MODULE_PATHNAME', 'taskq_read_events' LANGUAGE C VOLATILE ROWS 1000;
COMMENT ON FUNCTION taskq.read_events(bigint, integer, interval, text[], text[], bigint) IS 'the events after a position, in order; a reader that continues after the last event_id that it got misses none';

CREATE FUNCTION taskq.event_position() RETURNS bigint
	AS 'MODULE_PATHNAME', 'taskq_event_position' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.event_position() IS 'the position up to which events can be read now; to follow later events, read after it';

CREATE FUNCTION taskq.prune() RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_prune' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.prune() IS 'maintain history and events as the scheduler does: create partitions, and drop those that have expired';

