-- frames ---------------------------------------------------------------------

CREATE FUNCTION taskq.append_frame(message text, level text DEFAULT 'info') RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_append_frame' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.append_frame(text, text) IS 'inside a handler: keep a message of the run, which can be read at once and stays when the run fails';

CREATE FUNCTION taskq.append_frame(job_id bigint, epoch bigint, message text, level text DEFAULT 'info') RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_append_frame_of' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.append_frame(bigint, bigint, text, text) IS 'keep a message of the run of a claimed job; false when it has had 1000 of them';

CREATE FUNCTION taskq.running_frames(
	OUT job_id bigint, OUT epoch bigint, OUT frame integer, OUT attempt integer, OUT at timestamptz,
	OUT level text, OUT sqlstate text, OUT message text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_running_frames' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION taskq.running_frames() IS 'messages of the runs of background workers that are not settled, from shared memory';

