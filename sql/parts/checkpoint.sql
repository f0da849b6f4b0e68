-- checkpoint: what a handler stores while it works --------------------------

CREATE FUNCTION taskq.save_checkpoint(checkpoint jsonb) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_save_checkpoint' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.save_checkpoint(jsonb) IS 'inside a handler: store how far the work has got, in the transaction of the run; the next run finds it in its job';

CREATE FUNCTION taskq.update_progress(progress jsonb) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_update_progress' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.update_progress(jsonb) IS 'inside a handler: store the progress of the work for people to read, in the transaction of the run';

