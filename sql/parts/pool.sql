-- pool ----------------------------------------------------------------------

CREATE FUNCTION taskq.create_pool(
	pool text, size integer DEFAULT NULL, role regrole DEFAULT NULL, task_types text[] DEFAULT NULL,
	queues text[] DEFAULT NULL, capabilities text[] DEFAULT NULL, min_size integer DEFAULT 0,
	tenants text[] DEFAULT NULL, queue_weights jsonb DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_create_pool' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.create_pool(text, integer, regrole, text[], text[], text[], integer, text[], jsonb) IS 'create a pool of at most "size" background workers (taskq.default_pool_size) that run the handlers of one role (by default, the caller); with task_types, queues or tenants, only jobs of these. With queue_weights ({"mail": 3, "reports": 1}; 0.01 to 100, otherwise 1) its queues take turns by these weights, instead of in the order of queues. Errors: 22023 for a wrong value, also an empty array, 42501 if the caller is not a member of the role, 42704 for a queue that does not exist, 42710 if the pool exists. For admins';

CREATE FUNCTION taskq.alter_pool(
	pool text, size integer DEFAULT NULL, task_types text[] DEFAULT NULL,
	queues text[] DEFAULT NULL, capabilities text[] DEFAULT NULL, min_size integer DEFAULT NULL,
	tenants text[] DEFAULT NULL, queue_weights jsonb DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_alter_pool' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.alter_pool(text, integer, text[], text[], text[], integer, text[], jsonb) IS 'change a pool while it runs; a NULL leaves a value as it is, and an empty array means all (for capabilities: none). queue_weights replaces all weights, and {} removes them. The arguments and errors are those of create_pool(); 42704 also if there is no such pool. For admins';

CREATE FUNCTION taskq.drop_pool(pool text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_drop_pool' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.drop_pool(text) IS 'drop a pool; its workers finish their current jobs and leave. False if there is no pool of that name';

CREATE FUNCTION taskq.pause_pool(pool text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_pause_pool' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.pause_pool(text) IS 'start no more jobs in a pool; running jobs finish. False if it was already paused';

CREATE FUNCTION taskq.resume_pool(pool text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_resume_pool' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.resume_pool(text) IS 'end the pause of a pool; false if it was not paused';

