-- Tenants: what an observer of some tenants sees, and that no other way leads to
-- more.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
BEGIN;
SELECT plan(76);
CREATE ROLE regress_tenants LOGIN;
CREATE ROLE regress_tenants_all LOGIN;
CREATE ROLE regress_tenants_bolt LOGIN;
CREATE ROLE regress_tenants_none LOGIN;
-- The names of the jobs that a role sees in all_jobs.
CREATE FUNCTION pg_temp.names(role text DEFAULT 'regress_tenants') RETURNS text LANGUAGE sql AS
	$$ SELECT pg_temp.as_role(role, $q$ SELECT string_agg(payload->>'n', ' ' ORDER BY payload->>'n' COLLATE "C") FROM taskq.all_jobs WHERE task_type LIKE 'tenants-%' $q$) $$;
-- What a query returns to an observer of one tenant.
CREATE FUNCTION pg_temp.seen(sql text, role text DEFAULT 'regress_tenants') RETURNS text LANGUAGE sql AS $$ SELECT pg_temp.as_role(role, sql) $$;

SELECT taskq.create_queue('tenants-q', events => true), taskq.register_handler('tenants-a', max_attempts => 1),
	taskq.register_worker('tenants-w', '{tenants-a}') \gset
-- Three jobs of a tenant: one has completed, one has failed and written a message,
-- one waits.
CREATE FUNCTION pg_temp.three(tenant text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	n text;
	pre text := COALESCE(tenant, 'none');
BEGIN
	FOREACH n IN ARRAY '{done,failed,waits}'::text[] LOOP
		INSERT INTO j VALUES (pre || '-' || n, taskq.enqueue_job('tenants-a', jsonb_build_object('n', pre || '-' || n), queue => 'tenants-q',
			tenant_id => tenant, run_at => CASE n WHEN 'waits' THEN taskq.clock_now() + interval '1 h' END));
	END LOOP;
	PERFORM pg_temp.take('tenants-w');
	PERFORM taskq.append_frame(id, e, 'frame of ' || name), taskq.complete_job(id, e, to_jsonb('result of ' || name)) FROM j WHERE name = pre || '-done';
	PERFORM pg_temp.take('tenants-w');
	PERFORM taskq.append_frame(id, e, 'frame of ' || name), taskq.fail_job(id, e, 'error of ' || name) FROM j WHERE name = pre || '-failed';
END $$;
SELECT pg_temp.three('acme'), pg_temp.three('bolt'), pg_temp.three(NULL) \gset
SELECT taskq.grant_access('regress_tenants', 'observer', '{acme}'), taskq.grant_access('regress_tenants_all', 'observer') \gset
CREATE TEMP TABLE bolt AS SELECT id FROM j WHERE name = 'bolt-failed';
GRANT SELECT ON bolt TO PUBLIC;

-- who sees what ---------------------------------------------------------------
SELECT is(pg_temp.names(), 'acme-done acme-failed acme-waits', 'an observer of a tenant sees the tenant''s jobs');
SELECT is(pg_temp.names('regress_tenants_all'), 'acme-done acme-failed acme-waits bolt-done bolt-failed bolt-waits none-done none-failed none-waits', 'an observer of all tenants sees all jobs, including those without a tenant');
SELECT is(pg_temp.names('regress_tenants_none'), '42501', 'a role without access sees nothing');
SELECT is(pg_temp.seen($$ SELECT string_agg(error_message, ' ') FROM taskq.attempts WHERE error_message LIKE 'error of %' $$), 'error of acme-failed', 'the observer sees the tenant''s failed attempts');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.attempts WHERE worker_id = 'tenants-w' $$), '2', 'the observer sees the tenant''s completed attempts');
SELECT is(pg_temp.seen($$ SELECT string_agg(message, ', ' ORDER BY message) FROM taskq.frames WHERE message LIKE 'frame of %' $$), 'frame of acme-done, frame of acme-failed', 'the observer sees the tenant''s messages');
SELECT is(pg_temp.seen($$ SELECT string_agg(DISTINCT tenant_id, ' ') FROM taskq.events $$), 'acme', 'the observer sees the tenant''s events');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.events WHERE task_type = 'tenants-a' $$), '8', 'the observer sees all events of the tenant');
SELECT is(pg_temp.seen($$ SELECT scheduled FROM taskq.stat_queues WHERE queue = 'tenants-q' $$), '1', 'stat_queues counts the tenant''s jobs');
SELECT taskq.pause_queue('tenants-q') \gset
SELECT is(pg_temp.seen($$ SELECT jobs FROM taskq.unroutable_jobs WHERE queue = 'tenants-q' $$), '1', 'unroutable_jobs counts the tenant''s jobs');
SELECT is(pg_temp.seen($$ SELECT sum(jobs) FROM taskq.unroutable_jobs WHERE queue = 'tenants-q' $$, 'regress_tenants_all'), '3', 'an observer of all tenants sees the jobs of all');
SELECT taskq.resume_queue('tenants-q') \gset
SELECT is(pg_temp.seen($$ SELECT sum(scheduled) || ' ' || count(counted_at) FROM taskq.route_counts() $$), '1 0', 'route_counts() counts the rows of the tenant''s jobs');
SELECT is(pg_temp.seen($$ SELECT sum(w.jobs) || ' ' || count(w.counted_at) FROM taskq.route_reasons, taskq.waiting_jobs(route_id) w $$), '1 0', 'waiting_jobs() counts the rows of the tenant''s jobs');

-- budgets have no tenant: an observer of some tenants sees none, and of its own jobs what they name
SAVEPOINT budgets;
SELECT taskq.set_budget('tenants-budget', hard => 5), taskq.set_budget('tenants-other', hard => 5) \gset
SELECT taskq.enqueue_job('tenants-a', tenant_id => 'acme', budgets => '{tenants-budget}') AS acme_job,
	taskq.enqueue_job('tenants-a', tenant_id => 'bolt', budgets => '{tenants-other}', estimated_cost => 2) AS bolt_job \gset
CREATE FUNCTION pg_temp.budgets_seen(role text) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', pg_temp.seen('SELECT count(*) FROM taskq.budgets', role), pg_temp.seen('SELECT count(*) > 0 FROM taskq.budget_history', role),
		pg_temp.seen('SELECT count(*) FROM taskq.budget_states()', role)) $$;
SELECT is(pg_temp.budgets_seen('regress_tenants_all'), '2 true 2', 'an observer of all tenants sees all budgets');
SELECT is(pg_temp.budgets_seen('regress_tenants'), '0 false 0', 'an observer of a tenant sees no budget');
SELECT is(pg_temp.budgets_seen('regress_tenants_none'), '42501 42501 42501', 'a role without access is refused');
SET LOCAL taskq.tenant_id = 'acme';
SELECT is(pg_temp.budgets_seen('regress_tenants_all'), '0 false 0', 'with taskq.tenant_id, nobody sees a budget');
RESET taskq.tenant_id;
CREATE FUNCTION pg_temp.routes_seen(role text) RETURNS text LANGUAGE sql AS
	$$ SELECT pg_temp.seen($q$ SELECT string_agg(concat_ws(' ', budgets, estimated_cost), ', ' ORDER BY budgets) FROM taskq.explain_claim('tenants-w') WHERE budgets <@ '{tenants-budget,tenants-other}' $q$, role) $$;
SELECT is(pg_temp.routes_seen('regress_tenants_all'), '{tenants-budget}, {tenants-other} 2', 'explain_claim() shows the budgets of all routes to an observer of all tenants');
SELECT is(pg_temp.routes_seen('regress_tenants'), '{tenants-budget}', 'and to an observer of a tenant those of the tenant''s jobs');
SELECT is(pg_temp.seen($$ SELECT string_agg(budgets::text, ' ') FROM taskq.all_jobs WHERE budgets IS NOT NULL $$), '{tenants-budget}', 'all_jobs shows the budgets of the tenant''s jobs');
ROLLBACK TO budgets;

-- all ways to the same --------------------------------------------------------
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.read_events(job_id => (SELECT id FROM bolt)) $$), '0', 'read_events() returns nothing about a job of another tenant');
SELECT is(pg_temp.seen($$ SELECT string_agg(DISTINCT tenant_id, ' ') FROM taskq.read_events("limit" => 10000) $$), 'acme', 'read_events() returns only events of the tenant');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.read_frames((SELECT id FROM bolt)) $$), '0', 'read_frames() returns nothing about a job of another tenant');
SELECT is(pg_temp.seen(format('SELECT count(*) FROM taskq.read_frames(%s)', pg_temp.id('acme-failed'))), '1', 'read_frames() returns messages of the tenant''s job');
SELECT is(pg_temp.seen($$ SELECT state FROM taskq.describe_job((SELECT id FROM bolt)) $$), 'TQ011', 'describe_job() raises TQ011 for a job of another tenant');
SELECT is(pg_temp.seen(format('SELECT state FROM taskq.describe_job(%s)', pg_temp.id('acme-failed'))), 'discarded', 'describe_job() describes the tenant''s job');
SELECT is(pg_temp.seen($$ SELECT string_agg(payload->>'n', ' ') FROM taskq.route_reasons, taskq.jobs_of_route(route_id) j WHERE route_reasons.task_type = 'tenants-a' $$), 'acme-waits', 'jobs_of_route() returns only the tenant''s jobs');
SELECT is(pg_temp.seen($$ SELECT taskq.sees_tenant('bolt') OR taskq.sees_tenant(NULL) OR taskq.sees_all_tenants() $$), 'false', 'sees_tenant() is false for other tenants');
SELECT is(pg_temp.seen($$ SELECT taskq.sees_tenant('acme') $$), 'true', 'sees_tenant() is true for the tenant');
SELECT is(pg_temp.seen($$ SELECT taskq.sees_tenant('ACME') $$), 'false', 'tenant names are case-sensitive');
SELECT is(pg_temp.seen('SELECT count(*) FROM taskq.' || r), '42501', 'the table ' || r || ' is nobody''s') FROM unnest('{jobs,job_history,attempt_failures,frame_log,event_log,access_grants}'::text[]) r;

-- leaks -----------------------------------------------------------------------
-- A cheap function in WHERE, which the planner would call first.
GRANT CREATE ON SCHEMA public TO regress_tenants;
SET ROLE regress_tenants;
CREATE FUNCTION public.tenants_leak(t text) RETURNS boolean COST 0.0000001 LANGUAGE plpgsql AS $$
BEGIN
	IF t ~ 'bolt|none' THEN
		RAISE EXCEPTION 'leak';
	END IF;
	RETURN true;
END $$;
CREATE FUNCTION public.tenants_equal(bigint, bigint) RETURNS boolean COST 0.0000001 LANGUAGE plpgsql AS $$
BEGIN
	IF $1 = (SELECT id FROM bolt) THEN
		RAISE EXCEPTION 'leak';
	END IF;
	RETURN true;
END $$;
CREATE OPERATOR public.=== (FUNCTION = public.tenants_equal, LEFTARG = bigint, RIGHTARG = bigint);
RESET ROLE;
SELECT is(pg_temp.seen('SELECT count(*) > 0 FROM taskq.all_jobs WHERE public.tenants_leak(all_jobs::text)'), 'true', 'a function in WHERE does not get other jobs');
SELECT is(pg_temp.seen('SELECT count(*) > 0 FROM taskq.all_jobs WHERE job_id OPERATOR(public.===) job_id'), 'true', 'an operator does not get other jobs');
SELECT is(pg_temp.seen('SELECT count(*) > 0 FROM taskq.attempts WHERE public.tenants_leak(attempts::text)'), 'true', 'a function in WHERE does not get other attempts');
SELECT is(pg_temp.seen('SELECT count(*) > 0 FROM taskq.events WHERE public.tenants_leak(events::text)'), 'true', 'a function in WHERE does not get other events');
SELECT is(pg_temp.seen('SELECT count(*) > 0 FROM taskq.frames WHERE public.tenants_leak(frames::text)'), 'true', 'a function in WHERE does not get other messages');
SELECT is(pg_temp.seen($$ SELECT count(*) > 0 FROM taskq.all_jobs a JOIN taskq.attempts b ON public.tenants_leak(a::text || b::text) $$), 'true', 'a function in a join does not get other rows');
SELECT is(pg_temp.seen($$ SELECT 1 / (payload->>'n' <> 'bolt-failed')::int FROM taskq.all_jobs WHERE 1 / (payload->>'n' <> 'bolt-failed')::int = 1 LIMIT 1 $$), '1', 'an error does not reveal another job');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.all_jobs WHERE job_id = (SELECT id FROM bolt) $$), '0', 'the id does not reveal another job');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.all_jobs WHERE job_id = (SELECT id FROM bolt) OR taskq.sees_tenant('acme') $$), '3', 'a condition with OR does not reveal another job');
SELECT is(pg_temp.seen($$ CREATE VIEW public.tenants_view AS SELECT * FROM taskq.all_jobs; SELECT count(*) FROM public.tenants_view $$), '3', 'a view of the observer shows no other jobs');
GRANT SELECT ON public.tenants_view TO regress_tenants_all, regress_tenants_none;
SELECT is(pg_temp.seen($$ SELECT count(*) FROM public.tenants_view WHERE task_type LIKE 'tenants-%' $$, 'regress_tenants_all'), '9', 'such a view shows each reader the jobs that it may see');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM public.tenants_view $$, 'regress_tenants_none'), '42501', 'such a view shows nothing to a role without access');
SET LOCAL ROLE regress_tenants_all;
CREATE FUNCTION pg_temp.lent() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$ SELECT count(*) FROM taskq.all_jobs WHERE task_type LIKE 'tenants-%' $$;
RESET ROLE;
SELECT is(pg_temp.seen('SELECT pg_temp.lent()'), '9', 'a SECURITY DEFINER function shows what its owner sees');
SELECT set_config(CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'debug_parallel_query' ELSE 'force_parallel_mode' END, 'on', true) \gset
SELECT is(pg_temp.names(), 'acme-done acme-failed acme-waits', 'a parallel query shows the same jobs');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.events WHERE task_type = 'tenants-a' $$), '8', 'a parallel query shows the same events');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.attempts WHERE worker_id = 'tenants-w' $$), '2', 'a parallel query shows the same attempts');
SELECT set_config(CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'debug_parallel_query' ELSE 'force_parallel_mode' END, 'off', true) \gset

-- what workers do -------------------------------------------------------------
INSERT INTO j VALUES ('run', taskq.enqueue_job('tenants-a', queue => 'tenants-q', tenant_id => 'bolt'));
SELECT count(*) FROM taskq.claim_job('tenants-w') \gset
SELECT is(pg_temp.seen($$ SELECT concat_ws(' ', state, running_jobs, current_job_id, current_task_type) FROM taskq.workers WHERE worker_id = 'tenants-w' $$), 'running 1', 'the observer sees that a worker runs a job, but not which one of another tenant');
SELECT is(pg_temp.seen($$ SELECT concat_ws(' ', state, running_jobs, current_task_type) FROM taskq.workers WHERE worker_id = 'tenants-w' $$, 'regress_tenants_all'), 'running 1 tenants-a', 'an observer of all tenants sees the job of the worker');

-- the setting -----------------------------------------------------------------
SET LOCAL taskq.tenant_id = 'acme';
SELECT is(pg_temp.names('regress_tenants_all'), 'acme-done acme-failed acme-waits', 'taskq.tenant_id restricts what an observer of all tenants sees');
SELECT is(pg_temp.names(session_user), 'acme-done acme-failed acme-waits', 'taskq.tenant_id restricts what a superuser sees');
SELECT is(pg_temp.names(), 'acme-done acme-failed acme-waits', 'taskq.tenant_id of the own tenant changes nothing for its observer');
SELECT is(pg_temp.seen($$ SELECT string_agg(DISTINCT tenant_id, ' ') FROM taskq.read_events("limit" => 10000) $$, 'regress_tenants_all'), 'acme', 'taskq.tenant_id restricts events');
SET LOCAL taskq.tenant_id = 'bolt';
SELECT is(pg_temp.names(), NULL, 'taskq.tenant_id of another tenant shows no jobs');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.read_events("limit" => 10000) $$), '0', 'taskq.tenant_id of another tenant shows no events');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.read_frames((SELECT id FROM bolt)) $$), '0', 'taskq.tenant_id of another tenant shows no messages');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.attempts WHERE worker_id = 'tenants-w' $$), '0', 'taskq.tenant_id of another tenant shows no attempts');
SELECT throws_ok(format('SELECT * FROM taskq.describe_job(%s)', pg_temp.id('acme-failed')), 'TQ011', NULL, 'describe_job() raises TQ011 for a job that taskq.tenant_id hides');
SET LOCAL taskq.tenant_id = '';

-- giving and taking -----------------------------------------------------------
SELECT taskq.grant_access('regress_tenants', 'observer', '{acme,bolt}') \gset
SELECT is(pg_temp.names(), 'acme-done acme-failed acme-waits bolt-done bolt-failed bolt-waits', 'an observer may have several tenants');
SELECT taskq.grant_access('regress_tenants', 'observer', '{bolt}') \gset
SELECT is(pg_temp.names(), 'bolt-done bolt-failed bolt-waits', 'the last grant replaces the earlier one');
SELECT taskq.grant_access('regress_tenants', 'observer', '{acme}'), taskq.grant_access('regress_tenants_bolt', 'observer', '{bolt}') \gset
GRANT regress_tenants_bolt TO regress_tenants;
SELECT is(pg_temp.names(), 'acme-done acme-failed acme-waits bolt-done bolt-failed bolt-waits', 'a member of a role sees the tenants of that role');
REVOKE regress_tenants_bolt FROM regress_tenants;
SELECT is(pg_temp.names(), 'acme-done acme-failed acme-waits', 'a role sees them no more when it is no member');
SELECT taskq.grant_access('regress_tenants', 'observer') \gset
SELECT matches(pg_temp.names(), 'none-waits$', 'a grant without tenants is for all tenants');
SELECT taskq.grant_access('regress_tenants', 'observer', '{acme}') \gset
SELECT is(taskq.revoke_access('regress_tenants', 'observer'), true, 'revoke_access() revokes the access for all tenants');
SELECT is(pg_temp.names(), '42501', 'the role sees nothing after that');
SELECT taskq.grant_access('regress_tenants', 'producer') \gset
SELECT is(pg_temp.seen(format('SELECT state FROM taskq.describe_job(%s)', pg_temp.id('bolt-failed'))), 'TQ011', 'a producer cannot describe a job that it has not enqueued');
SELECT taskq.grant_access('regress_tenants', 'observer', '{acme}') \gset
SELECT is(pg_temp.seen(format('SELECT state FROM taskq.describe_job(%s)', pg_temp.id('bolt-failed'))), 'TQ011', 'this holds also if it is an observer of other tenants');
SELECT throws_ok($$ SELECT taskq.grant_access('regress_tenants', 'worker', '{acme}') $$, '22023', 'only observers and producers are granted some tenants', 'other kinds of access cannot be restricted to tenants');
SELECT throws_ok($$ SELECT taskq.grant_access('regress_tenants', 'observer', '{}') $$, '22023', NULL, 'an empty list of tenants is refused');
SELECT throws_ok($$ SELECT taskq.grant_access('regress_tenants', 'observer', '{acme,NULL}') $$, '22004', NULL, 'a tenant must not be NULL');
SELECT throws_ok($$ SELECT taskq.grant_access('regress_tenants', 'observer', '{a b}') $$, '22023', NULL, 'a tenant must be a valid name');
SELECT * FROM finish();
ROLLBACK;
