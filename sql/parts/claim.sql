-- claim ---------------------------------------------------------------------

CREATE FUNCTION taskq.claim_job(
	worker_id text DEFAULT NULL, task_types text[] DEFAULT NULL, wait interval DEFAULT NULL,
	lease interval DEFAULT NULL, instance_id text DEFAULT NULL,
	tenants text[] DEFAULT NULL) RETURNS SETOF taskq.job
	AS 'MODULE_PATHNAME', 'taskq_claim_job' LANGUAGE C VOLATILE ROWS 1;
COMMENT ON FUNCTION taskq.claim_job(text, text[], interval, interval, text, text[]) IS 'claim the next job for an instance of a worker; without instance_id, for the default instance. Returns no row if there is none. A call for an id that is not registered must name task_types; a session that gives no id is offered all external types. With tenants, only jobs of these tenants; the first call that names a tenant to which no worker was bound before does not wait, as others learn of it when its transaction commits. Errors: TQ012 for an id that was unregistered, or that is not registered if the call names no task_types, 22023 for a wrong value, 25001 if the isolation level is not READ COMMITTED, 42501 for the worker of another role. For workers';

CREATE FUNCTION taskq.claim_jobs(
	worker_id text DEFAULT NULL, max_jobs integer DEFAULT 1, task_types text[] DEFAULT NULL,
	wait interval DEFAULT NULL, lease interval DEFAULT NULL, instance_id text DEFAULT NULL,
	tenants text[] DEFAULT NULL) RETURNS SETOF taskq.job
	AS 'MODULE_PATHNAME', 'taskq_claim_jobs' LANGUAGE C VOLATILE ROWS 100;
COMMENT ON FUNCTION taskq.claim_jobs(text, integer, text[], interval, interval, text, text[]) IS 'claim up to max_jobs jobs, with the same rules as claim_job()';

CREATE PROCEDURE taskq.wait_for_job(
	worker_id text DEFAULT NULL, max_wait interval DEFAULT '30 s', INOUT found boolean DEFAULT NULL,
	instance_id text DEFAULT NULL, tenants text[] DEFAULT NULL)
	AS 'MODULE_PATHNAME', 'taskq_wait_for_job' LANGUAGE C;
COMMENT ON PROCEDURE taskq.wait_for_job(text, interval, boolean, text, text[]) IS 'commit, then wait without a snapshot until the instance of the worker can claim a job; found says whether it can. With tenants, a job of these tenants';

