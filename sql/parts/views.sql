-- views ---------------------------------------------------------------------
-- New columns are always appended. Each branch that shows jobs, or attempts and
-- messages of jobs, checks which tenants the reader may see. A UNION ALL in a view with
-- such checks is always in a subquery: at the outermost level, the planner would flatten
-- it and push the reader's own conditions down into the branches, regardless of
-- security_barrier.

CREATE VIEW taskq.handler_history WITH (security_barrier) AS
SELECT task_type, handler, run_as, description, version, registered_by, registered_at, change, changed_by, changed_at,
	payload_type, required_fields, optional_fields, validator, retry_function
FROM taskq.handler_changes;
COMMENT ON VIEW taskq.handler_history IS 'handlers that were overridden or unregistered, with role and time';

CREATE VIEW taskq.queues WITH (security_barrier) AS
SELECT queue, description, paused, keep_payload,
	COALESCE(retain_completed, '7 days') AS retain_completed,
	COALESCE(retain_other, '30 days') AS retain_other, on_unhandled, created_at,
	events, COALESCE(retain_events, '3 days') AS retain_events, validate_payloads,
	ordered, on_delayed,
	fair, fair_by, CASE WHEN taskq.sees_all_tenants() THEN weights END AS weights, age_every
FROM taskq.queue_defs
UNION ALL
SELECT 'default', NULL, false, true, '7 days', '30 days', 'wait', NULL, false, '3 days', true, false, 'hold', false, '{group_key}', NULL, NULL
WHERE NOT EXISTS (SELECT FROM taskq.queue_defs WHERE queue_id = 1);
COMMENT ON VIEW taskq.queues IS 'queues; default always exists';

CREATE VIEW taskq.limits WITH (security_barrier) AS
SELECT l.name, l.queue, l.task_type, l.concurrency, s.state, s.waits_for, l.description, l.changed_by, l.changed_at,
	l.rate, l.per, l.burst, l.quota, l.quota_window,
	l.tenant_id, l.for_each, CASE WHEN taskq.sees_all_tenants() THEN l.overrides END AS overrides
FROM taskq.limit_defs l LEFT JOIN taskq.limit_states() s USING (limit_id)
WHERE l.tenant_id IS NULL OR taskq.sees_tenant(l.tenant_id);
COMMENT ON VIEW taskq.limits IS 'limits of what may run at the same time, and start';

CREATE VIEW taskq.limit_usage WITH (security_barrier) AS
SELECT * FROM (
	SELECT l.name, l.concurrency, s.in_use,
		CASE WHEN l.tenant_id IS NULL THEN
			(SELECT COALESCE(sum(c.available), 0) FROM taskq.route_counts() c
				JOIN taskq.routes r USING (route_id) LEFT JOIN taskq.queue_defs q USING (queue_id)
			 WHERE (l.queue IS NULL OR l.queue = COALESCE(q.queue, 'default'))
				AND (l.task_type IS NULL OR l.task_type = r.task_type))::bigint END AS waiting,
		l.rate, s.tokens, l.quota, s.quota_left, s.next_start_at,
		l.tenant_id, NULL::text AS group_key
	FROM taskq.limit_defs l LEFT JOIN taskq.limit_states() s USING (limit_id)
	WHERE l.tenant_id IS NULL OR taskq.sees_tenant(l.tenant_id)
	UNION ALL
	SELECT l.name, v.concurrency, v.in_use, NULL, v.rate, v.tokens, v.quota, v.quota_left, v.next_start_at, COALESCE(v.tenant_id, l.tenant_id), v.group_key
	FROM taskq.limit_values() v JOIN taskq.limit_defs l USING (limit_id)) u;
COMMENT ON VIEW taskq.limit_usage IS 'how many jobs hold each limit, how many may start, and how many wait under it; a limit for each value of a key has a row for all its jobs, and one for each value that running jobs have or that has used its rate or quota';

CREATE VIEW taskq.budgets WITH (security_barrier) AS
WITH counts AS MATERIALIZED (
	SELECT b.budget, sum(c.available)::bigint AS waiting
	FROM taskq.route_counts() c JOIN taskq.routes r USING (route_id), unnest(r.budgets) AS b (budget) GROUP BY b.budget)
SELECT d.budget, d.soft, d.hard, d.added, u.used, trim_scale(GREATEST(s.taken - u.used, 0)) AS pending, s.held,
	trim_scale(d.hard + d.added - u.used) AS balance,
	COALESCE(c.waiting, 0) AS waiting, s.state, d.on_exceeded, d.period, d.started_at, d.resets_at, d.description, d.changed_by, d.changed_at
FROM taskq.budget_defs d LEFT JOIN taskq.budget_states() s USING (budget_id) LEFT JOIN counts c USING (budget),
	LATERAL (SELECT trim_scale(COALESCE((SELECT t.used FROM taskq.budget_totals t WHERE t.budget_id = d.budget_id AND t.period_no = d.period_no), 0)
		+ COALESCE((SELECT sum(r.amount) FROM taskq.budget_reports r
					WHERE r.gate = 'o' AND r.budget_id = d.budget_id AND r.period_no = d.period_no), 0)) AS used) u
WHERE taskq.sees_all_tenants();
COMMENT ON VIEW taskq.budgets IS 'budgets, and what was used of each in its present period; empty for observers of some tenants';

CREATE VIEW taskq.budget_usage WITH (security_barrier) AS
SELECT COALESCE(d.budget, (SELECT p.budget FROM taskq.budget_periods p WHERE p.budget_id = r.budget_id LIMIT 1)) AS budget,
	r.job_id, r.attempt, r.epoch, r.usage_key, r.amount, r.overrun, r.period_no, r.reported_at
FROM taskq.budget_reports r LEFT JOIN taskq.budget_defs d USING (budget_id)
WHERE taskq.sees_all_tenants()
	OR EXISTS (SELECT FROM taskq.jobs j WHERE j.job_id = r.job_id AND taskq.sees_tenant(j.tenant_id))
	OR EXISTS (SELECT FROM taskq.job_history h WHERE h.job_id = r.job_id AND taskq.sees_tenant(h.tenant_id));
COMMENT ON VIEW taskq.budget_usage IS 'what jobs have reported to have used of budgets';

CREATE VIEW taskq.budget_history WITH (security_barrier) AS
SELECT p.budget, p.period_no, p.started_at, p.ended_at, p.soft, p.hard, p.added, u.used, u.reports
FROM (SELECT budget_id, budget, period_no, started_at, ended_at, soft, hard, added FROM taskq.budget_periods
	UNION ALL
	SELECT budget_id, budget, period_no, started_at, NULL, soft, hard, added FROM taskq.budget_defs) p,
	LATERAL (SELECT trim_scale(COALESCE(sum(t.used), 0)) AS used, COALESCE(sum(t.reports), 0)::bigint AS reports
			 FROM (SELECT t.used, t.reports FROM taskq.budget_totals t WHERE t.budget_id = p.budget_id AND t.period_no = p.period_no
				UNION ALL
				SELECT r.amount, 1 FROM taskq.budget_reports r
				WHERE r.gate = 'o' AND r.budget_id = p.budget_id AND r.period_no = p.period_no) t) u
WHERE taskq.sees_all_tenants();
COMMENT ON VIEW taskq.budget_history IS 'the periods of budgets, and what was used in each; empty for observers of some tenants';

CREATE VIEW taskq.pools WITH (security_barrier) AS
SELECT p.pool, p.role, p.size, p.min_size, p.task_types, p.queues, p.capabilities, p.paused,
	(SELECT count(*) FROM taskq.background_workers() b WHERE b.pool = p.pool)::integer AS workers,
	(SELECT count(*) FROM taskq.background_workers() b WHERE b.pool = p.pool AND b.state = 'running')::integer AS busy,
	p.created_at, p.paused_because, CASE WHEN taskq.sees_all_tenants() THEN p.tenants END AS tenants, p.queue_weights
FROM taskq.pool_defs p;
COMMENT ON VIEW taskq.pools IS 'pools of background workers; a NULL in task_types or queues means all';

CREATE VIEW taskq.workers WITH (security_barrier) AS
SELECT b.worker_id, 'background' AS kind, b.pool, p.role, b.pid,
	ARRAY(SELECT h.task_type FROM taskq.handlers h
		  WHERE h.signature IS NOT NULL AND h.run_as = p.role
			AND (p.task_types IS NULL OR h.task_type = ANY (p.task_types)) ORDER BY 1) AS task_types,
	p.queues, p.capabilities, b.state, (b.job_id IS NOT NULL)::integer AS running_jobs, 1 AS max_concurrent_jobs,
	b.job_id AS current_job_id, b.task_type AS current_task_type, b.started_at AS registered_at, NULL::timestamptz AS last_seen,
	false AS implicit, taskq.capabilities_digest(p.capabilities) AS capabilities_digest, NULL::text AS instance_id,
	CASE WHEN taskq.sees_all_tenants() THEN p.tenants END AS tenants, p.queue_weights
FROM taskq.background_workers() b LEFT JOIN taskq.pool_defs p USING (pool)
UNION ALL
SELECT e.worker_id, 'external', NULL, e.registered_by, NULL,
	ARRAY(SELECT h.task_type FROM taskq.handlers h
		  WHERE (h.signature IS NULL OR h.also_external)
			AND (e.task_types IS NULL OR h.task_type = ANY (e.task_types)) ORDER BY 1),
	e.queues, e.capabilities,
	CASE WHEN e.draining THEN 'draining'
		 WHEN r.n > 0 THEN 'running'
		 WHEN taskq.clock_now() <= taskq.worker_lives_until(e.last_seen, e.lease) THEN 'idle'
		 ELSE 'lost' END,
	r.n, e.max_concurrent_jobs, r.job_id, r.task_type, e.registered_at, e.last_seen,
	e.implicit, taskq.capabilities_digest(e.capabilities), e.instance_id,
	CASE WHEN taskq.sees_all_tenants() THEN e.tenants END, e.queue_weights
FROM taskq.external_workers e,
	LATERAL (SELECT count(*)::integer AS n, min(j.job_id) FILTER (WHERE taskq.sees_tenant(j.tenant_id)) AS job_id,
				min(t.task_type) FILTER (WHERE taskq.sees_tenant(j.tenant_id)) AS task_type
			 FROM taskq.jobs j JOIN taskq.routes t USING (route_id)
			 WHERE j.gate = 'r' AND j.instance_id = e.instance_id COLLATE "C" AND j.worker_id = e.worker_id COLLATE "C"
				-- not those that another role has claimed under the id before
				AND (j.claimed_by = e.registered_by OR j.claimed_by IS NULL
					OR j.started_at < (SELECT max(i.roles_from) FROM taskq.installation i))) r
WHERE e.ended_at IS NULL;
COMMENT ON VIEW taskq.workers IS 'background workers and the instances of external workers, with the task types that they are given';
COMMENT ON COLUMN taskq.workers.implicit IS 'whether the worker was registered by a claim, for the task types that its calls have named, and not by register_worker()';

CREATE VIEW taskq.all_jobs WITH (security_barrier) AS
SELECT u.* FROM (
	SELECT j.job_id, r.task_type, COALESCE(q.queue, 'default') AS queue,
		CASE WHEN s.job_id IS NOT NULL THEN 'running' ELSE taskq.job_state(j.state, j.run_at) END AS state,
		j.priority::integer AS priority, COALESCE(s.attempt, j.attempt) AS attempt, j.max_attempts,
		COALESCE(s.epoch, j.epoch) AS epoch, COALESCE(s.worker_id, j.worker_id) AS worker_id, j.lease_expires_at,
		j.payload, NULL::jsonb AS result, j.progress, j.tags, j.tenant_id, j.group_key, j.run_at, j.created_at,
		COALESCE(s.started_at, j.started_at) AS started_at, NULL::timestamptz AS finished_at, j.last_error, j.checkpoint, j.correlation_id,
		CASE WHEN j.created_at >= (SELECT max(i.roles_from) FROM taskq.installation i) THEN j.created_by::regrole END AS created_by,
		j.instance_id, COALESCE(j.weight, 1) AS weight, NULL::date AS expires_on, r.budgets, r.estimated_cost
	FROM taskq.jobs j JOIN taskq.routes r USING (route_id)
		LEFT JOIN taskq.queue_defs q USING (queue_id)
		LEFT JOIN taskq.running_jobs() s USING (job_id)
	WHERE taskq.sees_tenant(j.tenant_id)
	UNION ALL
	SELECT h.job_id, r.task_type, COALESCE(q.queue, 'default'),
		taskq.job_state(h.state, h.run_at),
		h.priority::integer, h.attempt, h.max_attempts, h.epoch, h.worker_id, NULL,
		h.payload, h.result, h.progress, h.tags, h.tenant_id, h.group_key, h.run_at, h.created_at,
		h.started_at, h.finished_at, h.last_error, h.checkpoint, h.correlation_id,
		CASE WHEN h.created_at >= (SELECT max(i.roles_from) FROM taskq.installation i) THEN h.created_by::regrole END,
		COALESCE(h.instance_id, CASE WHEN strpos(h.worker_id, '#') = 0 THEN h.worker_id END), COALESCE(h.weight, 1), h.expires_on, r.budgets, r.estimated_cost
	FROM taskq.job_history h JOIN taskq.routes r USING (route_id)
		LEFT JOIN taskq.queue_defs q USING (queue_id)
	WHERE NOT h.superseded AND taskq.sees_tenant(h.tenant_id)
) u;
COMMENT ON VIEW taskq.all_jobs IS 'all jobs, live and finished';

CREATE FUNCTION taskq.jobs_of_route(route_id integer, max_jobs integer DEFAULT 100) RETURNS SETOF taskq.all_jobs
	AS 'MODULE_PATHNAME', 'taskq_jobs_of_route' LANGUAGE C VOLATILE ROWS 100;
COMMENT ON FUNCTION taskq.jobs_of_route(integer, integer) IS 'the waiting jobs of a route, in the order of a claim';

CREATE VIEW taskq.attempts WITH (security_barrier) AS
SELECT u.* FROM (
	SELECT job_id, attempt, epoch, worker_id, handler_version, started_at, finished_at, outcome,
		error_type, error_code, error_message, sqlstate, detail, hint, context,
		COALESCE(instance_id, CASE WHEN strpos(worker_id, '#') = 0 THEN worker_id END) AS instance_id
	FROM taskq.attempt_failures f
	WHERE taskq.sees_all_tenants()
		OR EXISTS (SELECT FROM taskq.jobs j WHERE j.job_id = f.job_id AND taskq.sees_tenant(j.tenant_id))
		OR EXISTS (SELECT FROM taskq.job_history h WHERE h.job_id = f.job_id AND taskq.sees_tenant(h.tenant_id))
	UNION ALL
	SELECT job_id, attempt, epoch, worker_id, handler_version, started_at, finished_at,
		CASE last_outcome WHEN 'c' THEN 'completed' ELSE 'cancelled' END,
		CASE last_outcome WHEN 'x' THEN 'cancelled' END, NULL, NULL, NULL, NULL, NULL, NULL,
		COALESCE(instance_id, CASE WHEN strpos(worker_id, '#') = 0 THEN worker_id END)
	FROM taskq.job_history
	WHERE last_outcome IN ('c', 'x') AND attempt > 0 AND taskq.sees_tenant(tenant_id)	-- attempt is 0 if the job was put back and ended without another run
) u;
COMMENT ON VIEW taskq.attempts IS 'every attempt that counted, and its outcome';

CREATE VIEW taskq.frames WITH (security_barrier) AS
SELECT u.* FROM (
	SELECT job_id, attempt, frame, at, level, sqlstate, message, epoch
	FROM taskq.frame_log f
	WHERE taskq.sees_all_tenants()
		OR EXISTS (SELECT FROM taskq.jobs j WHERE j.job_id = f.job_id AND taskq.sees_tenant(j.tenant_id))
		OR EXISTS (SELECT FROM taskq.job_history h WHERE h.job_id = f.job_id AND taskq.sees_tenant(h.tenant_id))
	UNION ALL
	SELECT r.job_id, r.attempt, r.frame, r.at, r.level, r.sqlstate, r.message, r.epoch
	FROM taskq.running_frames() r
	WHERE NOT EXISTS (SELECT FROM taskq.frame_log l WHERE l.job_id = r.job_id AND l.epoch = r.epoch AND l.frame = r.frame)
) u;
COMMENT ON VIEW taskq.frames IS 'messages of all runs, including current runs';

CREATE FUNCTION taskq.read_frames(job_id bigint, attempt integer DEFAULT NULL, after integer DEFAULT 0) RETURNS SETOF taskq.frames
	AS 'MODULE_PATHNAME', 'taskq_read_frames' LANGUAGE C VOLATILE ROWS 100;
COMMENT ON FUNCTION taskq.read_frames(bigint, integer, integer) IS 'the messages of a job''s runs, or of one attempt, in order; to continue, give the number of the last frame in after';

CREATE VIEW taskq.route_reasons WITH (security_barrier) AS
SELECT route_id, queue, task_type, required_capabilities, min_version, reason,
	reason_code, missing_capabilities, tenant_id
FROM taskq.explain_routes();
COMMENT ON VIEW taskq.route_reasons IS 'all routes, and why no registered worker would be given their jobs now; the reason is NULL if a worker would';

CREATE VIEW taskq.unroutable_jobs WITH (security_barrier) AS
SELECT r.queue, r.task_type, r.required_capabilities, r.reason, o.jobs, o.oldest, r.min_version, o.counted_at,
	r.reason_code, r.missing_capabilities, r.tenant_id
FROM taskq.route_reasons r, LATERAL taskq.waiting_jobs(r.route_id) o
WHERE r.reason IS NOT NULL AND o.jobs > 0;
COMMENT ON VIEW taskq.unroutable_jobs IS 'waiting jobs that no worker would be given now, or only a worker that is not registered; a row for each route, with the reason';

CREATE VIEW taskq.stat_queues WITH (security_barrier) AS
WITH counts AS MATERIALIZED (SELECT * FROM taskq.route_counts())
SELECT q.queue, q.paused, COALESCE(c.available, 0) AS available, COALESCE(c.scheduled, 0) AS scheduled,
	COALESCE(c.retryable, 0) AS retryable, COALESCE(c.running, 0) AS running,
	0::bigint AS blocked, 0::bigint AS suspended, -- nothing makes these states yet
	taskq.clock_now() - c.oldest AS oldest_available_age,
	(SELECT max(counted_at) FROM counts) AS counted_at
FROM taskq.queues q LEFT JOIN (
	SELECT COALESCE(q.queue, 'default') AS queue, sum(n.available)::bigint AS available, sum(n.scheduled)::bigint AS scheduled,
		sum(n.retryable)::bigint AS retryable, sum(n.running)::bigint AS running, min(n.oldest_available) AS oldest
	FROM counts n JOIN taskq.routes r USING (route_id) LEFT JOIN taskq.queue_defs q USING (queue_id)
	GROUP BY 1) c USING (queue);
COMMENT ON VIEW taskq.stat_queues IS 'number of jobs of each queue by state, and how long its oldest available job has been due';

CREATE VIEW taskq.stat_handlers WITH (security_barrier) AS
SELECT task_type, runs, completed, failed, total_time, total_time / NULLIF(runs, 0) AS mean_time, min_time, max_time, last_run_at,
	p50_time, p95_time, p99_time, total_wait / NULLIF(runs, 0) AS mean_wait, p50_wait, p95_wait, p99_wait, since
FROM taskq.handler_statistics();
COMMENT ON VIEW taskq.stat_handlers IS 'runs, failures and durations by task type, and how long due jobs waited; times are in milliseconds';

CREATE VIEW taskq.stat_workers WITH (security_barrier) AS
SELECT worker_id, pool, pid, state, job_id, task_type, started_at, completed, failed
FROM taskq.background_workers();
COMMENT ON VIEW taskq.stat_workers IS 'what each background worker runs, and what it has done since it started';

CREATE VIEW taskq.events WITH (security_barrier) AS
SELECT event_id, at, event, job_id, attempt, epoch, task_type, queue, tenant_id, correlation_id,
	worker_id, result, error_type, error_code, error_message, metadata
FROM taskq.event_log
WHERE taskq.sees_tenant(tenant_id);
COMMENT ON VIEW taskq.events IS 'events of jobs in queues that record them; to follow them, use read_events()';

