-- Tenants: what an observer of some tenants sees, and that no other way leads to
-- more.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
BEGIN;
SELECT plan(67);
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
SELECT is(pg_temp.names(), 'acme-done acme-failed acme-waits', 'an observer of a tenant sees its jobs');
SELECT is(pg_temp.names('regress_tenants_all'), 'acme-done acme-failed acme-waits bolt-done bolt-failed bolt-waits none-done none-failed none-waits', 'an observer of all sees all, also those of nobody');
SELECT is(pg_temp.names('regress_tenants_none'), '42501', 'who is no observer sees nothing');
SELECT is(pg_temp.seen($$ SELECT string_agg(error_message, ' ') FROM taskq.attempts WHERE error_message LIKE 'error of %' $$), 'error of acme-failed', 'the attempts that failed');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.attempts WHERE worker_id = 'tenants-w' $$), '2', 'and those that completed');
SELECT is(pg_temp.seen($$ SELECT string_agg(message, ', ' ORDER BY message) FROM taskq.frames WHERE message LIKE 'frame of %' $$), 'frame of acme-done, frame of acme-failed', 'what was said');
SELECT is(pg_temp.seen($$ SELECT string_agg(DISTINCT tenant_id, ' ') FROM taskq.events $$), 'acme', 'what happened');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.events WHERE task_type = 'tenants-a' $$), '8', 'all of it');
SELECT is(pg_temp.seen($$ SELECT scheduled FROM taskq.stat_queues WHERE queue = 'tenants-q' $$), '1', 'stat_queues counts its jobs');
SELECT taskq.pause_queue('tenants-q') \gset
SELECT is(pg_temp.seen($$ SELECT jobs FROM taskq.unroutable_jobs WHERE queue = 'tenants-q' $$), '1', 'so does unroutable_jobs');
SELECT is(pg_temp.seen($$ SELECT jobs FROM taskq.unroutable_jobs WHERE queue = 'tenants-q' $$, 'regress_tenants_all'), '3', 'others see the others'' too');
SELECT taskq.resume_queue('tenants-q') \gset

-- all ways to the same --------------------------------------------------------
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.read_events(job_id => (SELECT id FROM bolt)) $$), '0', 'read_events() gives nothing of another tenant''s job');
SELECT is(pg_temp.seen($$ SELECT string_agg(DISTINCT tenant_id, ' ') FROM taskq.read_events("limit" => 10000) $$), 'acme', 'and of all what is its own');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.read_frames((SELECT id FROM bolt)) $$), '0', 'nor does read_frames()');
SELECT is(pg_temp.seen(format('SELECT count(*) FROM taskq.read_frames(%s)', pg_temp.id('acme-failed'))), '1', 'but of its own it does');
SELECT is(pg_temp.seen($$ SELECT state FROM taskq.describe_job((SELECT id FROM bolt)) $$), 'TQ011', 'describe_job() knows no such job');
SELECT is(pg_temp.seen(format('SELECT state FROM taskq.describe_job(%s)', pg_temp.id('acme-failed'))), 'discarded', 'but its own');
SELECT is(pg_temp.seen($$ SELECT string_agg(payload->>'n', ' ') FROM taskq.route_reasons, taskq.jobs_of_route(route_id) j WHERE route_reasons.task_type = 'tenants-a' $$), 'acme-waits', 'jobs_of_route() lists its jobs');
SELECT is(pg_temp.seen($$ SELECT taskq.sees_tenant('bolt') OR taskq.sees_tenant(NULL) OR taskq.sees_all_tenants() $$), 'false', 'it may ask what it sees');
SELECT is(pg_temp.seen($$ SELECT taskq.sees_tenant('acme') $$), 'true', 'and be told');
SELECT is(pg_temp.seen($$ SELECT taskq.sees_tenant('ACME') $$), 'false', 'names are compared as they are');
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
SELECT is(pg_temp.seen('SELECT count(*) > 0 FROM taskq.all_jobs WHERE public.tenants_leak(all_jobs::text)'), 'true', 'a function in WHERE is not shown other jobs');
SELECT is(pg_temp.seen('SELECT count(*) > 0 FROM taskq.all_jobs WHERE job_id OPERATOR(public.===) job_id'), 'true', 'nor is an operator');
SELECT is(pg_temp.seen('SELECT count(*) > 0 FROM taskq.attempts WHERE public.tenants_leak(attempts::text)'), 'true', 'nor other attempts');
SELECT is(pg_temp.seen('SELECT count(*) > 0 FROM taskq.events WHERE public.tenants_leak(events::text)'), 'true', 'nor other events');
SELECT is(pg_temp.seen('SELECT count(*) > 0 FROM taskq.frames WHERE public.tenants_leak(frames::text)'), 'true', 'nor other frames');
SELECT is(pg_temp.seen($$ SELECT count(*) > 0 FROM taskq.all_jobs a JOIN taskq.attempts b ON public.tenants_leak(a::text || b::text) $$), 'true', 'nor in a join');
SELECT is(pg_temp.seen($$ SELECT 1 / (payload->>'n' <> 'bolt-failed')::int FROM taskq.all_jobs WHERE 1 / (payload->>'n' <> 'bolt-failed')::int = 1 LIMIT 1 $$), '1', 'no error tells of one');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.all_jobs WHERE job_id = (SELECT id FROM bolt) $$), '0', 'nor does its id');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.all_jobs WHERE job_id = (SELECT id FROM bolt) OR taskq.sees_tenant('acme') $$), '3', 'nor a condition that holds');
SELECT is(pg_temp.seen($$ CREATE VIEW public.tenants_view AS SELECT * FROM taskq.all_jobs; SELECT count(*) FROM public.tenants_view $$), '3', 'a view of its own shows no more');
GRANT SELECT ON public.tenants_view TO regress_tenants_all, regress_tenants_none;
SELECT is(pg_temp.seen($$ SELECT count(*) FROM public.tenants_view WHERE task_type LIKE 'tenants-%' $$, 'regress_tenants_all'), '9', 'and whoever reads it sees what is his');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM public.tenants_view $$, 'regress_tenants_none'), '42501', 'or nothing');
SET LOCAL ROLE regress_tenants_all;
CREATE FUNCTION pg_temp.lent() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$ SELECT count(*) FROM taskq.all_jobs WHERE task_type LIKE 'tenants-%' $$;
RESET ROLE;
SELECT is(pg_temp.seen('SELECT pg_temp.lent()'), '9', 'what is lent by a function is the lender''s');
SELECT set_config(CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'debug_parallel_query' ELSE 'force_parallel_mode' END, 'on', true) \gset
SELECT is(pg_temp.names(), 'acme-done acme-failed acme-waits', 'a parallel query shows the same');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.events WHERE task_type = 'tenants-a' $$), '8', 'of events too');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.attempts WHERE worker_id = 'tenants-w' $$), '2', 'and attempts');
SELECT set_config(CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'debug_parallel_query' ELSE 'force_parallel_mode' END, 'off', true) \gset

-- what workers do -------------------------------------------------------------
INSERT INTO j VALUES ('run', taskq.enqueue_job('tenants-a', queue => 'tenants-q', tenant_id => 'bolt'));
SELECT count(*) FROM taskq.claim_job('tenants-w') \gset
SELECT is(pg_temp.seen($$ SELECT concat_ws(' ', state, running_jobs, current_job_id, current_task_type) FROM taskq.workers WHERE worker_id = 'tenants-w' $$), 'running 1', 'it sees that a worker works, not at what');
SELECT is(pg_temp.seen($$ SELECT concat_ws(' ', state, running_jobs, current_task_type) FROM taskq.workers WHERE worker_id = 'tenants-w' $$, 'regress_tenants_all'), 'running 1 tenants-a', 'others do');

-- the setting -----------------------------------------------------------------
SET LOCAL taskq.tenant_id = 'acme';
SELECT is(pg_temp.names('regress_tenants_all'), 'acme-done acme-failed acme-waits', 'taskq.tenant_id narrows what an observer of all sees');
SELECT is(pg_temp.names(session_user), 'acme-done acme-failed acme-waits', 'a superuser too');
SELECT is(pg_temp.names(), 'acme-done acme-failed acme-waits', 'and leaves one of this tenant what it has');
SELECT is(pg_temp.seen($$ SELECT string_agg(DISTINCT tenant_id, ' ') FROM taskq.read_events("limit" => 10000) $$, 'regress_tenants_all'), 'acme', 'events likewise');
SET LOCAL taskq.tenant_id = 'bolt';
SELECT is(pg_temp.names(), NULL, 'it widens nothing');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.read_events("limit" => 10000) $$), '0', 'no events');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.read_frames((SELECT id FROM bolt)) $$), '0', 'no frames');
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.attempts WHERE worker_id = 'tenants-w' $$), '0', 'no attempts');
SELECT throws_ok(format('SELECT * FROM taskq.describe_job(%s)', pg_temp.id('acme-failed')), 'TQ011', NULL, 'a job of another tenant is not there for who has narrowed');
SET LOCAL taskq.tenant_id = '';

-- giving and taking -----------------------------------------------------------
SELECT taskq.grant_access('regress_tenants', 'observer', '{acme,bolt}') \gset
SELECT is(pg_temp.names(), 'acme-done acme-failed acme-waits bolt-done bolt-failed bolt-waits', 'several tenants can be given');
SELECT taskq.grant_access('regress_tenants', 'observer', '{bolt}') \gset
SELECT is(pg_temp.names(), 'bolt-done bolt-failed bolt-waits', 'the last grant holds');
SELECT taskq.grant_access('regress_tenants', 'observer', '{acme}'), taskq.grant_access('regress_tenants_bolt', 'observer', '{bolt}') \gset
GRANT regress_tenants_bolt TO regress_tenants;
SELECT is(pg_temp.names(), 'acme-done acme-failed acme-waits bolt-done bolt-failed bolt-waits', 'who has another role''s rights sees its tenants too');
REVOKE regress_tenants_bolt FROM regress_tenants;
SELECT is(pg_temp.names(), 'acme-done acme-failed acme-waits', 'and no longer without them');
SELECT taskq.grant_access('regress_tenants', 'observer') \gset
SELECT matches(pg_temp.names(), 'none-waits$', 'a grant without tenants is one of all');
SELECT taskq.grant_access('regress_tenants', 'observer', '{acme}') \gset
SELECT is(taskq.revoke_access('regress_tenants', 'observer'), true, 'it is taken back whole');
SELECT is(pg_temp.names(), '42501', 'and shows nothing then');
SELECT taskq.grant_access('regress_tenants', 'producer') \gset
SELECT is(pg_temp.seen(format('SELECT state FROM taskq.describe_job(%s)', pg_temp.id('bolt-failed'))), 'TQ011', 'a producer is not told of a job that it has not enqueued');
SELECT taskq.grant_access('regress_tenants', 'observer', '{acme}') \gset
SELECT is(pg_temp.seen(format('SELECT state FROM taskq.describe_job(%s)', pg_temp.id('bolt-failed'))), 'TQ011', 'also where it is an observer of other tenants');
SELECT throws_ok($$ SELECT taskq.grant_access('regress_tenants', 'worker', '{acme}') $$, '22023', 'only observers and producers are granted some tenants', 'other kinds of access have no tenants');
SELECT throws_ok($$ SELECT taskq.grant_access('regress_tenants', 'observer', '{}') $$, '22023', NULL, 'none is no list');
SELECT throws_ok($$ SELECT taskq.grant_access('regress_tenants', 'observer', '{acme,NULL}') $$, '22004', NULL, 'nor is NULL a tenant');
SELECT throws_ok($$ SELECT taskq.grant_access('regress_tenants', 'observer', '{a b}') $$, '22023', NULL, 'nor what no job can have');
SELECT * FROM finish();
ROLLBACK;
