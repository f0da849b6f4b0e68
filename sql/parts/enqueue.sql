-- enqueue -------------------------------------------------------------------

CREATE FUNCTION taskq.enqueue_job(
	task_type text, payload jsonb DEFAULT '{}', queue text DEFAULT NULL, priority integer DEFAULT NULL,
	run_at timestamptz DEFAULT NULL, delay interval DEFAULT NULL, max_attempts integer DEFAULT NULL,
	timeout interval DEFAULT NULL, lease interval DEFAULT NULL, tags text[] DEFAULT NULL,
	tenant_id text DEFAULT NULL, group_key text DEFAULT NULL, required_capabilities text[] DEFAULT NULL,
	min_version text DEFAULT NULL, correlation_id text DEFAULT NULL,
	weight integer DEFAULT NULL, budgets text[] DEFAULT NULL, estimated_cost numeric DEFAULT NULL) RETURNS bigint
	AS 'MODULE_PATHNAME', 'taskq_enqueue_job' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.enqueue_job(text, jsonb, text, integer, timestamptz, interval, integer, interval, interval, text[], text, text, text[], text, text, integer, text[], numeric)
	IS 'put a job into a queue, in the caller''s transaction; returns its job_id. "weight" is how many starts it counts as, under the rates and quotas of limits; the default is 1. Error of a weight over what a limit allows at once: 22023';

CREATE FUNCTION taskq.enqueue_jobs(
	task_type text, payloads jsonb[], queue text DEFAULT NULL, priority integer DEFAULT NULL,
	run_at timestamptz DEFAULT NULL, delay interval DEFAULT NULL, max_attempts integer DEFAULT NULL,
	timeout interval DEFAULT NULL, lease interval DEFAULT NULL, tags text[] DEFAULT NULL,
	tenant_id text DEFAULT NULL, group_key text DEFAULT NULL, required_capabilities text[] DEFAULT NULL,
	min_version text DEFAULT NULL, correlation_id text DEFAULT NULL,
	weight integer DEFAULT NULL, budgets text[] DEFAULT NULL, estimated_cost numeric DEFAULT NULL) RETURNS SETOF bigint
	AS 'MODULE_PATHNAME', 'taskq_enqueue_jobs' LANGUAGE C VOLATILE ROWS 1000;
COMMENT ON FUNCTION taskq.enqueue_jobs(text, jsonb[], text, integer, timestamptz, interval, integer, interval, interval, text[], text, text, text[], text, text, integer, text[], numeric)
	IS 'put a job into a queue for each payload; returns the job_ids in the order of the payloads';

