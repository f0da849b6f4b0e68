-- rights --------------------------------------------------------------------
-- Only the owner has rights on these objects. PUBLIC does not even have USAGE on the
-- types. announce_installation() ensures this at the end of this script, regardless of
-- ALTER DEFAULT PRIVILEGES. A script that updates the extension must revoke the rights
-- on what it creates in the same way, before it grants any.

INSERT INTO taskq.access_rights (access, object)
SELECT a, o FROM (VALUES
	('producer', ARRAY['FUNCTION taskq.enqueue_job', 'FUNCTION taskq.enqueue_jobs', 'FUNCTION taskq.cancel_job',
		'FUNCTION taskq.validate_task', 'FUNCTION taskq.describe_job',
		'FUNCTION taskq.is_registered', 'FUNCTION taskq.get_registered_types', 'FUNCTION taskq.clock_now']),
	('worker', ARRAY['TYPE taskq.job',
		'FUNCTION taskq.register_worker', 'FUNCTION taskq.worker_heartbeat', 'FUNCTION taskq.unregister_worker', 'FUNCTION taskq.drain_worker',
		'FUNCTION taskq.claim_job', 'FUNCTION taskq.claim_jobs', 'PROCEDURE taskq.wait_for_job',
		'FUNCTION taskq.explain_claim',
		'FUNCTION taskq.heartbeat_job', 'FUNCTION taskq.complete_job', 'FUNCTION taskq.complete_jobs', 'FUNCTION taskq.fail_job',
		'FUNCTION taskq.snooze_job', 'FUNCTION taskq.release_job', 'FUNCTION taskq.cancel_job',
		'FUNCTION taskq.run_job', 'FUNCTION taskq.run_next', 'FUNCTION taskq.run_all',
		'FUNCTION taskq.current_job', 'FUNCTION taskq.raise_permanent', 'FUNCTION taskq.raise_retryable',
		'FUNCTION taskq.success', 'FUNCTION taskq.failure', 'FUNCTION taskq.snooze', 'FUNCTION taskq.decision',
		'FUNCTION taskq.save_checkpoint(jsonb)', 'FUNCTION taskq.save_checkpoint(bigint, bigint, jsonb, interval)',
		'FUNCTION taskq.update_progress',
		'FUNCTION taskq.report_usage(text, numeric, text, boolean)', 'FUNCTION taskq.report_usage(bigint, bigint, text, numeric, text, boolean)',
		'FUNCTION taskq.append_frame(text, text)', 'FUNCTION taskq.append_frame(bigint, bigint, text, text)',
		'FUNCTION taskq.is_standard_error_type', 'FUNCTION taskq.is_retryable_error_type', 'FUNCTION taskq.retry_delay',
		'FUNCTION taskq.standard_error_types', 'FUNCTION taskq.error_type_of_http_status',
		'FUNCTION taskq.is_registered', 'FUNCTION taskq.get_registered_types', 'FUNCTION taskq.clock_now']),
	('observer', ARRAY['FUNCTION taskq.sees_tenant', 'FUNCTION taskq.sees_all_tenants', 'TABLE taskq.handler_history', 'FUNCTION taskq.version_at_least', 'FUNCTION taskq.is_adopted', 'FUNCTION taskq.explain_routes', 'FUNCTION taskq.route_counts', 'FUNCTION taskq.waiting_jobs', 'FUNCTION taskq.worker_lives_until', 'FUNCTION taskq.capabilities_digest', 'FUNCTION taskq.job_state', 'TABLE taskq.all_jobs', 'TABLE taskq.attempts', 'TABLE taskq.unroutable_jobs', 'TABLE taskq.route_reasons', 'FUNCTION taskq.describe_job', 'FUNCTION taskq.explain_claim', 'FUNCTION taskq.jobs_of_route',
		'TABLE taskq.workers', 'TABLE taskq.pools', 'TABLE taskq.queues', 'TABLE taskq.limits', 'TABLE taskq.limit_usage', 'FUNCTION taskq.limit_states', 'FUNCTION taskq.limit_values', 'TABLE taskq.budgets', 'TABLE taskq.budget_usage', 'TABLE taskq.budget_history', 'FUNCTION taskq.budget_states',
		'TABLE taskq.stat_queues', 'TABLE taskq.stat_handlers', 'TABLE taskq.stat_workers', 'TABLE taskq.events', 'FUNCTION taskq.read_events', 'FUNCTION taskq.event_position',
		'TABLE taskq.frames', 'FUNCTION taskq.read_frames', 'FUNCTION taskq.running_frames',
		'FUNCTION taskq.running_jobs', 'FUNCTION taskq.background_workers', 'FUNCTION taskq.handler_statistics',
		'FUNCTION taskq.scheduler_pid', 'FUNCTION taskq.pool_state', 'FUNCTION taskq.status', 'FUNCTION taskq.clock_now',
		'FUNCTION taskq.list_handlers', 'FUNCTION taskq.get_handler', 'FUNCTION taskq.get_handler_info',
		'FUNCTION taskq.is_registered', 'FUNCTION taskq.get_registered_types']),
	('operator', ARRAY['FUNCTION taskq.cancel_job', 'FUNCTION taskq.retry_job', 'FUNCTION taskq.redrive_jobs', 'FUNCTION taskq.discard_job', 'FUNCTION taskq.describe_job',
		'FUNCTION taskq.explain_claim',
		'FUNCTION taskq.pause_queue', 'FUNCTION taskq.resume_queue', 'FUNCTION taskq.pause_pool',
		'FUNCTION taskq.resume_pool', 'FUNCTION taskq.pause_handler', 'FUNCTION taskq.resume_handler',
		'FUNCTION taskq.drain_worker', 'FUNCTION taskq.stat_reset', 'FUNCTION taskq.status']),
	('admin', ARRAY['FUNCTION taskq.register_handler(text, text, text, text, boolean, regrole, boolean, text, integer, integer, interval, interval, text, interval, interval, text, text[], text[], boolean, regtype, jsonb, jsonb, text, interval, text, boolean)',
		'FUNCTION taskq.register_handler(text, regprocedure, text, text, boolean, regrole, boolean, text, integer, integer, interval, interval, text, interval, interval, text, text[], text[], boolean, regtype, jsonb, jsonb, regprocedure, interval, regprocedure, boolean)', 'FUNCTION taskq.unregister_handler',
		'FUNCTION taskq.clear_handlers', 'FUNCTION taskq.list_handlers', 'FUNCTION taskq.get_handler',
		'FUNCTION taskq.get_handler_info', 'FUNCTION taskq.is_registered', 'FUNCTION taskq.get_registered_types',
		'FUNCTION taskq.validate_task',
		'FUNCTION taskq.create_queue', 'FUNCTION taskq.alter_queue', 'FUNCTION taskq.drop_queue',
		'FUNCTION taskq.set_limit', 'FUNCTION taskq.alter_limit', 'FUNCTION taskq.drop_limit',
		'FUNCTION taskq.set_budget', 'FUNCTION taskq.alter_budget', 'FUNCTION taskq.add_to_budget', 'FUNCTION taskq.drop_budget',
		'FUNCTION taskq.create_pool', 'FUNCTION taskq.alter_pool', 'FUNCTION taskq.drop_pool',
		'FUNCTION taskq.grant_access', 'FUNCTION taskq.revoke_access', 'FUNCTION taskq.adopt_database',
		'FUNCTION taskq.unregister_worker', 'FUNCTION taskq.status', 'FUNCTION taskq.prune', 'TYPE taskq.job'])
) AS v (a, objects), pg_catalog.unnest(v.objects) AS o;

