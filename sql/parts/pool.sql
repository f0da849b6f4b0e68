-- pool ----------------------------------------------------------------------

CREATE FUNCTION taskq.create_pool(
	pool text, size integer DEFAULT NULL, role regrole DEFAULT NULL, task_types text[] DEFAULT NULL,
	queues text[] DEFAULT NULL, capabilities text[] DEFAULT NULL, min_size integer DEFAULT 0) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_create_pool' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.create_pool(text, integer, regrole, text[], text[], text[], integer) IS 'make a pool of background workers that run the handlers of one role';

CREATE FUNCTION taskq.alter_pool(
	pool text, size integer DEFAULT NULL, task_types text[] DEFAULT NULL,
	queues text[] DEFAULT NULL, capabilities text[] DEFAULT NULL, min_size integer DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_alter_pool' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.alter_pool(text, integer, text[], text[], text[], integer) IS 'change a pool, live; what is NULL stays as it is, an empty array means all (capabilities: none)';

CREATE FUNCTION taskq.drop_pool(pool text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_drop_pool' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.drop_pool(text) IS 'drop a pool; its workers finish the job in hand and leave. False when there is none of that name';

CREATE FUNCTION taskq.pause_pool(pool text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_pause_pool' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.pause_pool(text) IS 'let a pool start no more jobs; running ones finish. False when it was paused already';

CREATE FUNCTION taskq.resume_pool(pool text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_resume_pool' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.resume_pool(text) IS 'end pause_pool(); false when the pool was not paused';

