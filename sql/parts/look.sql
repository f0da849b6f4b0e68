-- look: functions behind the views ------------------------------------------

CREATE FUNCTION taskq.running_jobs(
	OUT job_id bigint, OUT epoch bigint, OUT attempt integer, OUT worker_id text, OUT started_at timestamptz,
	OUT pid integer) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_running_jobs' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION taskq.running_jobs() IS 'jobs that the background workers of this database run now, from shared memory';

CREATE FUNCTION taskq.background_workers(
	OUT worker_id text, OUT pool text, OUT pid integer, OUT state text, OUT job_id bigint, OUT task_type text,
	OUT started_at timestamptz, OUT completed bigint, OUT failed bigint) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_background_workers' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION taskq.background_workers() IS 'the background workers of this database, from shared memory';

CREATE FUNCTION taskq.handler_statistics(
	OUT task_type text, OUT runs bigint, OUT completed bigint, OUT failed bigint, OUT total_time double precision,
	OUT min_time double precision, OUT max_time double precision, OUT last_run_at timestamptz,
	OUT p50_time double precision, OUT p95_time double precision, OUT p99_time double precision,
	OUT total_wait double precision, OUT p50_wait double precision, OUT p95_wait double precision, OUT p99_wait double precision,
	OUT since timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_handler_statistics' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION taskq.handler_statistics() IS 'settled attempts of this database by task type, from shared memory; times are in milliseconds';

CREATE FUNCTION taskq.stat_reset(task_type text DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'taskq_stat_reset' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.stat_reset(text) IS 'reset the statistics of a task type, or of all types in this database';

CREATE FUNCTION taskq.route_counts(
	OUT route_id integer, OUT available bigint, OUT scheduled bigint, OUT retryable bigint, OUT running bigint,
	OUT oldest_available timestamptz, OUT counted_at timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_route_counts' LANGUAGE C VOLATILE ROWS 100;
COMMENT ON FUNCTION taskq.route_counts() IS 'number of live jobs of each route by state, of the tenants that the caller sees; used by the view stat_queues. A row without a route has only counted_at';

CREATE FUNCTION taskq.waiting_jobs(route_id integer, OUT jobs bigint, OUT oldest timestamptz, OUT counted_at timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_waiting_jobs' LANGUAGE C VOLATILE ROWS 1;
COMMENT ON FUNCTION taskq.waiting_jobs(integer) IS 'number of waiting jobs of a route, of the tenants that the caller sees, and when the oldest was enqueued; used by the view unroutable_jobs';

CREATE FUNCTION taskq.describe_job(
	job_id bigint, OUT job_id bigint, OUT task_type text, OUT queue text, OUT state text, OUT reason text,
	OUT priority integer, OUT attempt integer, OUT max_attempts integer, OUT run_at timestamptz, OUT created_at timestamptz,
	OUT started_at timestamptz, OUT finished_at timestamptz, OUT worker_id text,
	OUT error_type text, OUT error_code text, OUT last_error text, OUT reason_code text, OUT missing_capabilities text[],
	OUT instance_id text, OUT other_reasons text[], OUT other_reason_codes text[], OUT place text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_describe_job' LANGUAGE C VOLATILE ROWS 1;
COMMENT ON FUNCTION taskq.describe_job(bigint) IS 'the state of a job and, if it does not run, the reason, its code, and the capabilities that the nearest live worker lacks, and what else keeps it from starting: what must be changed before a worker is given it comes before limits and budgets. place is that among the due jobs of its line, exact to 1000, and then 1000+; NULL for a job that is not due, for one with a group key in an ordered queue, and for callers who do not see all tenants. Raises TQ011 if there is no such job that the caller may see. Producers see their own jobs and those of tenants that they were granted, observers the jobs of their tenants, operators all jobs';

CREATE FUNCTION taskq.explain_claim(
	worker_id text DEFAULT NULL, task_types text[] DEFAULT NULL, instance_id text DEFAULT NULL, tenants text[] DEFAULT NULL,
	OUT route_id integer, OUT queue text, OUT task_type text, OUT required_capabilities text[], OUT min_version text,
	OUT due boolean, OUT claimable boolean, OUT reason text, OUT reason_code text, OUT missing_capabilities text[],
	OUT capabilities_digest text, OUT budgets text[], OUT estimated_cost numeric, OUT tenant_id text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_explain_claim' LANGUAGE C VOLATILE ROWS 100;
COMMENT ON FUNCTION taskq.explain_claim(text, text[], text, text[]) IS 'the routes, whether a worker is given their jobs, and why not, with the code of the reason, the capabilities that the worker lacks, and the digest of those that it has; budgets and estimated_cost are those of the jobs, and observers of some tenants see them only if jobs of these are due. Jobs of a tenant to which a worker is bound have routes of their own, with tenant_id; observers of some tenants see those of theirs. The arguments are those of claim_job(). For workers, observers and operators';

CREATE FUNCTION taskq.explain_routes(
	OUT route_id integer, OUT queue text, OUT task_type text, OUT required_capabilities text[], OUT min_version text,
	OUT reason text, OUT reason_code text, OUT missing_capabilities text[], OUT tenant_id text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_explain_routes' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION taskq.explain_routes() IS 'all routes, and why no worker would be given their jobs now; used by the view route_reasons';

CREATE FUNCTION taskq.capabilities_digest(capabilities text[]) RETURNS text
	AS 'MODULE_PATHNAME', 'taskq_capabilities_digest' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION taskq.capabilities_digest(text[]) IS 'the digest by which the log and the view workers name a set of capabilities: the first 8 hexadecimal digits of the SHA-256 of its elements, sorted by bytes, without duplicates and joined by commas, in the encoding of the database; NULL if the set is NULL, empty, or has a NULL or more than one dimension';

CREATE FUNCTION taskq.job_state(state "char", run_at timestamptz) RETURNS text
	AS 'MODULE_PATHNAME', 'taskq_job_state' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION taskq.job_state("char", timestamptz) IS 'the name of a job''s state, from the stored letter and the time when the job is due; NULL if one of them is NULL. The views use it';

CREATE FUNCTION taskq.worker_lives_until(last_seen timestamptz, lease interval) RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'taskq_worker_lives_until' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION taskq.worker_lives_until(timestamptz, interval) IS 'the time until which an external worker counts as alive, from the time when it was last seen and its lease; that is two leases, or twice taskq.lease if lease is NULL';

CREATE FUNCTION taskq.status(OUT name text, OUT value text, OUT hint text, OUT reason_code text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_status' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION taskq.status() IS 'the state of taskq in this database and, if something is missing, what to do about it; reason_code is set if the row says why jobs wait. For observers, operators and admins';

CREATE FUNCTION taskq.scheduler_pid() RETURNS integer
	AS 'MODULE_PATHNAME', 'taskq_scheduler_pid' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION taskq.scheduler_pid() IS 'process id of this database''s scheduler; NULL if none runs';

CREATE FUNCTION taskq.pool_state(pool text) RETURNS text
	AS 'MODULE_PATHNAME', 'taskq_pool_state' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION taskq.pool_state(text) IS 'whether a pool of this database can have workers: ready; no slot if it has no worker and no slot of max_worker_processes is free; not running if taskq starts no workers here';

