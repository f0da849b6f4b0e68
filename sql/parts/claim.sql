-- claim ---------------------------------------------------------------------

CREATE FUNCTION taskq.claim_job(
	worker_id text DEFAULT NULL, task_types text[] DEFAULT NULL, wait interval DEFAULT NULL,
	lease interval DEFAULT NULL) RETURNS SETOF taskq.job
	AS 'MODULE_PATHNAME', 'taskq_claim_job' LANGUAGE C VOLATILE ROWS 1;
COMMENT ON FUNCTION taskq.claim_job(text, text[], interval, interval) IS 'take the next job that the worker has registered for; no row when there is none. An id that nobody has registered must name task_types; without an id, the session in its current role takes all external types';

CREATE FUNCTION taskq.claim_jobs(
	worker_id text DEFAULT NULL, max_jobs integer DEFAULT 1, task_types text[] DEFAULT NULL,
	wait interval DEFAULT NULL, lease interval DEFAULT NULL) RETURNS SETOF taskq.job
	AS 'MODULE_PATHNAME', 'taskq_claim_jobs' LANGUAGE C VOLATILE ROWS 100;
COMMENT ON FUNCTION taskq.claim_jobs(text, integer, text[], interval, interval) IS 'take up to max_jobs jobs, as claim_job() takes one';

CREATE PROCEDURE taskq.wait_for_job(worker_id text DEFAULT NULL, max_wait interval DEFAULT '30 s', INOUT found boolean DEFAULT NULL)
	AS 'MODULE_PATHNAME', 'taskq_wait_for_job' LANGUAGE C;
COMMENT ON PROCEDURE taskq.wait_for_job(text, interval, boolean) IS 'commit, then wait without a snapshot until the worker could claim a job; found says whether it can';

