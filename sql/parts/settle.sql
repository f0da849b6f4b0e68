-- settle --------------------------------------------------------------------

CREATE FUNCTION taskq.complete_job(job_id bigint, epoch bigint, result jsonb DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_complete_job' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.complete_job(bigint, bigint, jsonb) IS 'settle a claimed job as completed; true if this call did so, false if it was done before';

CREATE FUNCTION taskq.complete_jobs(
	job_ids bigint[], epochs bigint[], results jsonb[] DEFAULT NULL,
	OUT job_id bigint, OUT epoch bigint, OUT status text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'taskq_complete_jobs' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.complete_jobs(bigint[], bigint[], jsonb[]) IS 'settle claimed jobs as completed; returns a row for each job, with status completed, repeated, stale or not_found. Each array has up to 100,000 elements';

CREATE FUNCTION taskq.fail_job(
	job_id bigint, epoch bigint, message text DEFAULT NULL, error_type text DEFAULT NULL, error_code text DEFAULT NULL,
	retryable boolean DEFAULT NULL, retry_in interval DEFAULT NULL, detail text DEFAULT NULL,
	hint text DEFAULT NULL, context text DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_fail_job' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.fail_job(bigint, bigint, text, text, text, boolean, interval, text, text, text) IS 'settle an attempt as failed; the job is retried by its retry policy, or discarded';

CREATE FUNCTION taskq.release_job(job_id bigint, epoch bigint) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_release_job' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.release_job(bigint, bigint) IS 'give a claimed job back; the attempt does not count. Operators may give back a claim from before a promotion';

CREATE FUNCTION taskq.snooze_job(job_id bigint, epoch bigint, delay interval) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_snooze_job' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.snooze_job(bigint, bigint, interval) IS 'give a claimed job back until later; the attempt does not count';

CREATE FUNCTION taskq.cancel_job(job_id bigint, epoch bigint DEFAULT NULL, reason text DEFAULT NULL) RETURNS text
	AS 'MODULE_PATHNAME', 'taskq_cancel_job' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.cancel_job(bigint, bigint, text) IS 'cancel a job; returns cancelled, requested if it is running and will be told, or final if it had ended. With an epoch, the worker that has the job gives it up; then it raises TQ003 if the epoch is not that of the claim, and 42501 if the claim belongs to a role of which the caller is no member. Raises TQ011 if there is no such job that the caller may cancel: producers may cancel their own jobs and those of tenants that they were granted, operators all jobs';

CREATE FUNCTION taskq.retry_job(job_id bigint, force boolean DEFAULT false) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_retry_job' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.retry_job(bigint, boolean) IS 'make a waiting job available now, or put an ended one back; a completed job only with force. False if it was already available';

CREATE FUNCTION taskq.discard_job(job_id bigint, reason text DEFAULT NULL) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_discard_job' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.discard_job(bigint, text) IS 'discard a job that waits; false if it was already discarded';

CREATE FUNCTION taskq.redrive_jobs(
	task_type text DEFAULT NULL, queue text DEFAULT NULL, error_type text DEFAULT NULL, error_code text DEFAULT NULL,
	error_like text DEFAULT NULL, states text[] DEFAULT '{discarded}', finished_after timestamptz DEFAULT NULL,
	finished_before timestamptz DEFAULT NULL, tenant_id text DEFAULT NULL, max_jobs integer DEFAULT 1000) RETURNS integer
	AS 'MODULE_PATHNAME', 'taskq_redrive_jobs' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.redrive_jobs(text, text, text, text, text, text[], timestamptz, timestamptz, text, integer)
	IS 'put back up to max_jobs ended jobs that did not complete, in the order in which they ended, skipping those that another transaction has locked; returns their number';

