-- explain_claim(): the routes, whether a worker is given their jobs, and why not.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
BEGIN;
SELECT plan(37);
CREATE ROLE regress_explain LOGIN;
CREATE SCHEMA explain;
CREATE FUNCTION explain.f(jsonb) RETURNS jsonb LANGUAGE sql RETURN $1;
GRANT USAGE ON SCHEMA explain TO regress_explain;
SELECT taskq.register_handler('explain-a', version => '1'), taskq.register_handler('explain-b'), taskq.create_queue('explain-q'),
	taskq.register_handler('explain-in', 'explain.f(jsonb)', run_as => 'regress_explain'),
	taskq.register_handler('explain-both', 'explain.f(jsonb)', run_as => 'regress_explain', also_external => true),
	taskq.register_worker('explain-w', '{explain-a,explain-both}', '{default}', max_concurrent_jobs => 2) \gset
SELECT pg_temp.add('a', 'explain-a'), pg_temp.add('b', 'explain-b'), pg_temp.add('none', 'explain-none'), pg_temp.add('both', 'explain-both'),
	pg_temp.add('in', 'explain-in'), pg_temp.add('q', 'explain-a', q => 'explain-q'), pg_temp.add('gpu', 'explain-a', caps => '{gpu}'),
	pg_temp.add('future', 'explain-both', q => 'explain-q', at => taskq.clock_now() + interval '1 h'),
	taskq.enqueue_job('explain-a', min_version => '2') \gset
-- The answer for a job's route.
CREATE FUNCTION pg_temp.told(n text, args text DEFAULT $$'explain-w'$$) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE format('SELECT string_agg(CASE WHEN claimable THEN ''yes'' ELSE reason END, '' '') FROM taskq.explain_claim(%s) WHERE route_id = (SELECT route_id FROM taskq.jobs WHERE job_id = %s)',
		args, pg_temp.id(n)) INTO answer;
	RETURN answer;
END $$;
SELECT is(pg_temp.told('a'), 'yes', 'a worker is given what it has registered for');
SELECT is(pg_temp.told('both'), 'yes', 'also what is handled in the server too');
SELECT is(pg_temp.told('b'), 'the worker does not take this type', 'not another type');
SELECT is(pg_temp.told('q'), 'the worker does not take this queue', 'nor of another queue');
SELECT is(pg_temp.told('gpu'), 'the worker lacks capabilities', 'nor what it is not fit for');
SELECT is(pg_temp.told('in', $$'explain-new'$$), 'the type is handled in the server, and not also_external', 'nor what is handled in the server');
SELECT results_eq($$ SELECT min_version, reason, due FROM taskq.explain_claim('explain-w') WHERE task_type = 'explain-a' AND min_version IS NOT NULL $$,
	$$ VALUES ('2', 'handler version is older than min_version', true) $$, 'nor what wants a newer handler');
SELECT is(pg_temp.told('none', $$'explain-new'$$), 'no handler registered', 'nobody is given what nobody handles');
SELECT is(pg_temp.told('b', $$'explain-new'$$), 'the worker is not registered, and the call names no task types', 'a worker that is not registered must name types');
SELECT is(pg_temp.told('b', $$'explain-new', '{explain-b}'$$), 'yes', 'and is given these');
SELECT is((SELECT count(*) FROM taskq.workers WHERE worker_id = 'explain-new'), 0::bigint, 'to ask does not register it');
SELECT is(pg_temp.told('b', ''), 'yes', 'this session is meant if no worker is named');
SELECT is(pg_temp.told('a', $$'explain-w', '{explain-both}'$$), 'the type is not among those of the call', 'task_types narrows as it does in claim_job()');
SELECT is((SELECT due FROM taskq.explain_claim('explain-new') WHERE route_id = (SELECT route_id FROM taskq.jobs WHERE job_id = pg_temp.id('future'))), false, 'it says whether a job is due');
SELECT pg_temp.add('first', 'explain-a', -1), pg_temp.add('later', 'explain-a', -2, taskq.clock_now() + interval '1 h') \gset
SELECT route_id FROM taskq.jobs WHERE job_id = pg_temp.id('a') \gset
SELECT is((SELECT string_agg(payload->>'n' || ' ' || state, ', ' ORDER BY o) FROM taskq.jobs_of_route(:route_id) WITH ORDINALITY AS r (job_id, task_type, queue, state, priority, attempt, max_attempts, epoch, worker_id, lease_expires_at, payload, result, progress, tags, tenant_id, group_key, run_at, created_at, started_at, finished_at, last_error, checkpoint, correlation_id, o)),
	'later scheduled, first available, a available', 'jobs_of_route() lists what waits, in the order of a claim');
SELECT is((SELECT string_agg(payload->>'n', ' ') FROM taskq.jobs_of_route(:route_id, 1)), 'later', 'as many as are asked for');
SELECT is_empty('SELECT * FROM taskq.jobs_of_route(-1)', 'none of a route that is not there');
SELECT throws_ok('SELECT * FROM taskq.jobs_of_route(1, 0)', '22023', NULL, 'a list has a length');
SELECT throws_ok('SELECT * FROM taskq.jobs_of_route(NULL)', '22004', NULL, 'and a route');
SELECT taskq.discard_job(pg_temp.id('first')), taskq.discard_job(pg_temp.id('later')) \gset
SELECT taskq.pause_queue('explain-q'), taskq.pause_handler('explain-b') \gset
SELECT is(pg_temp.told('q', $$'explain-new'$$), 'queue paused', 'a queue that is paused');
SELECT is(pg_temp.told('b', $$'explain-new', '{explain-b}'$$), 'handler paused', 'a handler that is');
SELECT is(pg_temp.take_many('explain-w', 10), 'a both', 'a claim gives what was said');
SELECT pg_temp.add('more', 'explain-a') \gset
SELECT is(pg_temp.told('more'), 'the worker has max_concurrent_jobs', 'at its limit a worker is given nothing');
SELECT is(pg_temp.told('b'), 'the worker does not take this type', 'what it would not be given anyhow says so');
SELECT taskq.complete_job(pg_temp.id('a'), pg_temp.e('a')) \gset
SELECT is(pg_temp.told('more'), 'yes', 'below it it is');
SELECT taskq.drain_worker('explain-w') \gset
SELECT is(pg_temp.told('more'), 'the worker is draining', 'one that drains is not');
SELECT is((SELECT string_agg(DISTINCT reason, ';') FROM taskq.explain_claim('explain-w')), 'the worker is draining', 'which is said of every route');
SELECT is((SELECT string_agg(DISTINCT reason, ';') FROM taskq.explain_claim('nobody#1')), 'no such background worker runs', 'as it is that there is no such worker');
SELECT is(pg_temp.as_role('regress_explain', 'SELECT * FROM taskq.explain_claim()'), '42501', 'a role without access is told nothing');
SELECT taskq.grant_access('regress_explain', 'worker') \gset
SELECT is(pg_temp.as_role('regress_explain', $$ SELECT count(*) > 0 FROM taskq.explain_claim('explain-w') $$), 'true', 'a worker may ask');
SELECT throws_ok($$ SELECT * FROM taskq.explain_claim('no name') $$, '22023', NULL, 'a worker has a name');
SELECT throws_ok($$ SELECT * FROM taskq.explain_claim(task_types => '{NULL}') $$, '22004', NULL, 'and so have types');

-- workers of other roles
CREATE ROLE regress_explain_other LOGIN;
SELECT taskq.grant_access('regress_explain_other', 'worker') \gset
SELECT taskq.register_worker('explain-mine', '{explain-a}') \gset
SELECT pg_temp.add('mine', 'explain-a') \gset
SELECT route_id AS mine FROM taskq.jobs WHERE job_id = pg_temp.id('mine') \gset
SET SESSION AUTHORIZATION regress_explain_other;
SELECT is((SELECT reason FROM taskq.explain_claim('explain-mine') WHERE route_id = :mine), 'the worker was registered by another role', 'another role''s worker: it may not claim for it');
RESET SESSION AUTHORIZATION;
SELECT taskq.revoke_access('regress_explain_other', 'worker'), taskq.grant_access('regress_explain_other', 'observer') \gset
SET SESSION AUTHORIZATION regress_explain_other;
SELECT is((SELECT claimable FROM taskq.explain_claim('explain-mine') WHERE route_id = :mine), true, 'who only observes asks for the worker');
RESET SESSION AUTHORIZATION;

-- there is no route before the first enqueue
SELECT taskq.register_worker('explain-drains', '{explain-a}'), taskq.drain_worker('explain-drains') \gset
DELETE FROM taskq.jobs;
DELETE FROM taskq.routes;
SELECT taskq.create_queue('explain-anew') \gset
SELECT results_eq($$ SELECT route_id, due, claimable, reason FROM taskq.explain_claim('explain-drains') $$,
	$$ VALUES (NULL::integer, false, false, 'the worker is draining') $$, 'without any route a draining worker is told so all the same');
SELECT is_empty($$ SELECT FROM taskq.explain_claim('explain-mine') $$, 'one that may claim is told nothing');
SELECT is((SELECT reason FROM taskq.explain_claim('explain-nobody')), 'the worker is not registered, and the call names no task types', 'one that nobody knows is told so');
SELECT * FROM finish();
ROLLBACK;
