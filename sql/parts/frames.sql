-- frames ---------------------------------------------------------------------

CREATE FUNCTION taskq.append_frame(message text, level text DEFAULT 'info') RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_append_frame' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.append_frame(text, text) IS 'inside a handler: add a message to the run, which can be read at once and is kept if the run fails';

CREATE FUNCTION taskq.append_frame(job_id bigint, epoch bigint, message text, level text DEFAULT 'info') RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_append_frame_of' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.append_frame(bigint, bigint, text, text) IS 'add a message to the run of a claimed job; false if the run already has 1000 messages';

CREATE FUNCTION taskq.running_frames(
	OUT job_id bigint, OUT epoch bigint, OUT frame integer, OUT attempt integer, OUT at timestamptz,
	OUT level text, OUT sqlstate text, OUT message text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_running_frames' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION taskq.running_frames() IS 'messages of background workers'' runs that are not settled, from shared memory';

