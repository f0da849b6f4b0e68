-- run: by hand ---------------------------------------------------------------

CREATE FUNCTION taskq.run_job(
	job_id bigint, handler regprocedure DEFAULT NULL,
	OUT job_id bigint, OUT task_type text, OUT state text, OUT result jsonb, OUT error text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_run_job' LANGUAGE C VOLATILE ROWS 1;
COMMENT ON FUNCTION taskq.run_job(bigint, regprocedure) IS 'run and settle one waiting job in this session and transaction, with its registered handler or the given one';

CREATE FUNCTION taskq.run_next(
	task_types text[] DEFAULT NULL, handler regprocedure DEFAULT NULL,
	OUT job_id bigint, OUT task_type text, OUT state text, OUT result jsonb, OUT error text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_run_next' LANGUAGE C VOLATILE ROWS 1;
COMMENT ON FUNCTION taskq.run_next(text[], regprocedure) IS 'run and settle the next due job in this session and transaction; returns no row if there is none';

CREATE FUNCTION taskq.run_all(
	task_types text[] DEFAULT NULL, max_jobs integer DEFAULT NULL, handler regprocedure DEFAULT NULL,
	OUT job_id bigint, OUT task_type text, OUT state text, OUT result jsonb, OUT error text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_run_all' LANGUAGE C VOLATILE ROWS 100;
COMMENT ON FUNCTION taskq.run_all(text[], integer, regprocedure) IS 'call run_next() until no job is due or max_jobs have run; for testing handlers without a pool';

