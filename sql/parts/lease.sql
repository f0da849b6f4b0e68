-- lease ---------------------------------------------------------------------

CREATE FUNCTION taskq.heartbeat_job(
	job_id bigint, epoch bigint, lease interval DEFAULT NULL, progress jsonb DEFAULT NULL) RETURNS text
	AS 'MODULE_PATHNAME', 'taskq_heartbeat_job' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.heartbeat_job(bigint, bigint, interval, jsonb) IS 'extend the lease of a claimed job; returns ok, cancel if somebody asked to cancel the job, or timeout if the run has exceeded its timeout and the lease was not extended. While another transaction settles the job, it returns without extending the lease. Raises 42501 if the claim belongs to a role of which the caller is no member';

CREATE FUNCTION taskq.save_checkpoint(
	job_id bigint, epoch bigint, checkpoint jsonb, lease interval DEFAULT NULL) RETURNS text
	AS 'MODULE_PATHNAME', 'taskq_save_checkpoint_of' LANGUAGE C VOLATILE;
COMMENT ON FUNCTION taskq.save_checkpoint(bigint, bigint, jsonb, interval) IS 'store how far the work on a claimed job has got, and extend its lease; returns the same values as heartbeat_job()';

