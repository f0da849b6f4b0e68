-- handler -------------------------------------------------------------------

CREATE FUNCTION taskq.register_handler(
	task_type text, handler text DEFAULT NULL, description text DEFAULT NULL, version text DEFAULT NULL,
	allow_override boolean DEFAULT false, run_as regrole DEFAULT NULL, also_external boolean DEFAULT false,
	queue text DEFAULT NULL, priority integer DEFAULT NULL, max_attempts integer DEFAULT NULL,
	timeout interval DEFAULT NULL, lease interval DEFAULT NULL,
	retry_policy text DEFAULT NULL, retry_base interval DEFAULT NULL, retry_cap interval DEFAULT NULL,
	search_path text DEFAULT NULL, permanent_errors text[] DEFAULT NULL, retryable_errors text[] DEFAULT NULL,
	share_commit boolean DEFAULT false, payload_type regtype DEFAULT NULL, required_fields jsonb DEFAULT NULL, optional_fields jsonb DEFAULT NULL,
	validator text DEFAULT NULL, lock_timeout interval DEFAULT NULL,
	retry_function text DEFAULT NULL, async_commit boolean DEFAULT false) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_register_handler_by_name' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.register_handler(text, text, text, text, boolean, regrole, boolean, text, integer, integer, interval, interval, text, interval, interval, text, text[], text[], boolean, regtype, jsonb, jsonb, text, interval, text, boolean)
	IS 'register the function or procedure that runs a task type; if handler is NULL, declare a type for external workers. handler, validator and retry_function are function names, with argument types if a name is not unique';

CREATE FUNCTION taskq.register_handler(
	task_type text, handler regprocedure, description text DEFAULT NULL, version text DEFAULT NULL,
	allow_override boolean DEFAULT false, run_as regrole DEFAULT NULL, also_external boolean DEFAULT false,
	queue text DEFAULT NULL, priority integer DEFAULT NULL, max_attempts integer DEFAULT NULL,
	timeout interval DEFAULT NULL, lease interval DEFAULT NULL,
	retry_policy text DEFAULT NULL, retry_base interval DEFAULT NULL, retry_cap interval DEFAULT NULL,
	search_path text DEFAULT NULL, permanent_errors text[] DEFAULT NULL, retryable_errors text[] DEFAULT NULL,
	share_commit boolean DEFAULT false, payload_type regtype DEFAULT NULL, required_fields jsonb DEFAULT NULL, optional_fields jsonb DEFAULT NULL,
	validator regprocedure DEFAULT NULL, lock_timeout interval DEFAULT NULL,
	retry_function regprocedure DEFAULT NULL, async_commit boolean DEFAULT false) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_register_handler' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.register_handler(text, regprocedure, text, text, boolean, regrole, boolean, text, integer, integer, interval, interval, text, interval, interval, text, text[], text[], boolean, regtype, jsonb, jsonb, regprocedure, interval, regprocedure, boolean)
	IS 'register the function or procedure that runs a task type; if handler is NULL, declare a type for external workers';

CREATE FUNCTION taskq.unregister_handler(task_type text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_unregister_handler' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.unregister_handler(text) IS 'remove a task type from the registry; false if it was not registered. Its jobs wait, or are discarded where the queue says on_unhandled => ''fail''';

CREATE FUNCTION taskq.is_registered(task_type text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_is_registered' LANGUAGE C STABLE;
COMMENT ON FUNCTION taskq.is_registered(text) IS 'whether a task type is registered';

CREATE FUNCTION taskq.get_handler(task_type text) RETURNS text
	AS 'MODULE_PATHNAME', 'taskq_get_handler' LANGUAGE C STABLE;
COMMENT ON FUNCTION taskq.get_handler(text) IS 'signature of a task type''s handler, or NULL for an external one; raises TQ002 if the type is not registered';

CREATE FUNCTION taskq.get_registered_types() RETURNS text[]
	AS 'MODULE_PATHNAME', 'taskq_get_registered_types' LANGUAGE C STABLE;
COMMENT ON FUNCTION taskq.get_registered_types() IS 'all registered task types, sorted';

CREATE FUNCTION taskq.list_handlers(
	OUT task_type text, OUT handler text, OUT description text, OUT version text, OUT kind text, OUT status text,
	OUT run_as regrole, OUT also_external boolean, OUT queue text, OUT priority integer, OUT max_attempts integer,
	OUT timeout interval, OUT lease interval, OUT retry_policy text, OUT retry_base interval, OUT retry_cap interval,
	OUT search_path text, OUT registered_by regrole, OUT registered_at timestamptz,
	OUT permanent_errors text[], OUT retryable_errors text[], OUT share_commit boolean,
	OUT payload_type text, OUT required_fields jsonb, OUT optional_fields jsonb, OUT validator text, OUT contract_status text,
	OUT lock_timeout interval, OUT retry_function text, OUT retry_function_status text,
	OUT paused_because text, OUT trial_at timestamptz, OUT async_commit boolean) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_list_handlers' LANGUAGE C STABLE ROWS 50;
COMMENT ON FUNCTION taskq.list_handlers() IS 'all registered task types, one row for each; values that were not given are shown with their defaults';

CREATE FUNCTION taskq.get_handler_info(
	task_type text,
	OUT task_type text, OUT handler text, OUT description text, OUT version text, OUT kind text, OUT status text,
	OUT run_as regrole, OUT also_external boolean, OUT queue text, OUT priority integer, OUT max_attempts integer,
	OUT timeout interval, OUT lease interval, OUT retry_policy text, OUT retry_base interval, OUT retry_cap interval,
	OUT search_path text, OUT registered_by regrole, OUT registered_at timestamptz,
	OUT permanent_errors text[], OUT retryable_errors text[], OUT share_commit boolean,
	OUT payload_type text, OUT required_fields jsonb, OUT optional_fields jsonb, OUT validator text, OUT contract_status text,
	OUT lock_timeout interval, OUT retry_function text, OUT retry_function_status text,
	OUT paused_because text, OUT trial_at timestamptz, OUT async_commit boolean) RETURNS record
	AS 'MODULE_PATHNAME', 'taskq_get_handler_info' LANGUAGE C STABLE;

COMMENT ON FUNCTION taskq.get_handler_info(text) IS 'the row of list_handlers() for a task type; NULL if the type is not registered';

CREATE FUNCTION taskq.version_at_least(version text, min_version text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_version_at_least' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION taskq.version_at_least(text, text) IS 'whether a handler of this version runs jobs with this min_version: dotted integers are compared by order, other versions must be equal';

CREATE FUNCTION taskq.pause_handler(task_type text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_pause_handler' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.pause_handler(text) IS 'start no more jobs of a task type; running jobs finish. False if it was already paused';

CREATE FUNCTION taskq.resume_handler(task_type text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_resume_handler' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.resume_handler(text) IS 'end the pause of a task type, made by pause_handler() or, when its jobs fail because of the state of the database, by taskq; false if it was not paused';

CREATE FUNCTION taskq.clear_handlers() RETURNS integer
	AS 'MODULE_PATHNAME', 'taskq_clear_handlers' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.clear_handlers() IS 'unregister every handler that the caller may unregister; returns their number';

CREATE FUNCTION taskq.validate_task(task_type text, payload jsonb DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_validate_task' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.validate_task(text, jsonb) IS 'check a payload as enqueue_job() does: raises TQ002 if the type is not registered, and TQ009 if its handler does not accept the payload';

