-- explain_claim(): the routes, whether a worker is given their jobs, and why not.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
BEGIN;
SELECT plan(38);
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
SELECT is(pg_temp.told('a'), 'yes', 'a worker is given jobs of a type that it has registered');
SELECT is(pg_temp.told('both'), 'yes', 'a worker is given jobs of a type with also_external');
SELECT is(pg_temp.told('b'), 'the worker does not take this type', 'a worker is not given jobs of other types');
SELECT is(pg_temp.told('q'), 'the worker does not take this queue', 'a worker is not given jobs of other queues');
SELECT is(pg_temp.told('gpu'), 'the worker lacks capabilities', 'a worker is not given jobs that need capabilities that it lacks');
SELECT is(pg_temp.told('in', $$'explain-new'$$), 'the type is handled in the server, and not also_external', 'a worker is not given jobs of a type with a handler in the server');
SELECT results_eq($$ SELECT min_version, reason, due FROM taskq.explain_claim('explain-w') WHERE task_type = 'explain-a' AND min_version IS NOT NULL $$,
	$$ VALUES ('2', 'handler version is older than min_version', true) $$, 'a worker is not given jobs that need a newer handler');
SELECT is(pg_temp.told('none', $$'explain-new'$$), 'no handler registered', 'no worker is given jobs of an unregistered type');
SELECT is(pg_temp.told('b', $$'explain-new'$$), 'the worker is not registered, and the call names no task types', 'a worker that is not registered must name types');
SELECT is(pg_temp.told('b', $$'explain-new', '{explain-b}'$$), 'yes', 'an unregistered worker is given the types that it names');
SELECT is((SELECT count(*) FROM taskq.workers WHERE worker_id = 'explain-new'), 0::bigint, 'explain_claim() does not register the worker');
SELECT is(pg_temp.told('b', ''), 'yes', 'without a worker id, explain_claim() is about this session');
SELECT is(pg_temp.told('a', $$'explain-w', '{explain-both}'$$), 'the type is not among those of the call', 'task_types restricts the answer as in claim_job()');
SELECT is((SELECT due FROM taskq.explain_claim('explain-new') WHERE route_id = (SELECT route_id FROM taskq.jobs WHERE job_id = pg_temp.id('future'))), false, 'due says whether the route has a due job');
SELECT pg_temp.add('first', 'explain-a', -1), pg_temp.add('later', 'explain-a', -2, taskq.clock_now() + interval '1 h') \gset
SELECT route_id FROM taskq.jobs WHERE job_id = pg_temp.id('a') \gset
SELECT is((SELECT string_agg(payload->>'n' || ' ' || state, ', ' ORDER BY o) FROM taskq.jobs_of_route(:route_id) WITH ORDINALITY AS r (job_id, task_type, queue, state, priority, attempt, max_attempts, epoch, worker_id, lease_expires_at, payload, result, progress, tags, tenant_id, group_key, run_at, created_at, started_at, finished_at, last_error, checkpoint, correlation_id, o)),
	'later scheduled, first available, a available', 'jobs_of_route() lists what waits, in the order of a claim');
SELECT is((SELECT string_agg(payload->>'n', ' ') FROM taskq.jobs_of_route(:route_id, 1)), 'later', 'jobs_of_route() returns up to max_jobs jobs');
SELECT is_empty('SELECT * FROM taskq.jobs_of_route(-1)', 'jobs_of_route() returns nothing for an unknown route');
SELECT throws_ok('SELECT * FROM taskq.jobs_of_route(1, 0)', '22023', NULL, 'max_jobs must not be 0');
SELECT throws_ok('SELECT * FROM taskq.jobs_of_route(NULL)', '22004', NULL, 'route_id must not be NULL');
SELECT taskq.discard_job(pg_temp.id('first')), taskq.discard_job(pg_temp.id('later')) \gset
SELECT taskq.pause_queue('explain-q'), taskq.pause_handler('explain-b') \gset
SELECT is(pg_temp.told('q', $$'explain-new'$$), 'queue paused', 'a paused queue is a reason');
SELECT is(pg_temp.told('b', $$'explain-new', '{explain-b}'$$), 'handler paused, see taskq.resume_handler()', 'a paused type is a reason');
SELECT is(pg_temp.take_many('explain-w', 10), 'a both', 'a claim returns the jobs that explain_claim() has announced');
SELECT pg_temp.add('more', 'explain-a') \gset
SELECT is(pg_temp.told('more'), 'the worker has max_concurrent_jobs', 'a worker at its limit is given nothing');
SELECT is(pg_temp.told('b'), 'the worker does not take this type', 'a reason of the route comes before that of the limit');
SELECT taskq.complete_job(pg_temp.id('a'), pg_temp.e('a')) \gset
SELECT is(pg_temp.told('more'), 'yes', 'a worker below its limit is given jobs');
SELECT taskq.drain_worker('explain-w') \gset
SELECT is(pg_temp.told('more'), 'the worker is draining', 'a draining worker is given nothing');
SELECT is((SELECT string_agg(DISTINCT reason, ';') FROM taskq.explain_claim('explain-w')), 'the worker is draining', 'draining is the reason for every route');
SELECT is((SELECT string_agg(DISTINCT reason, ';') FROM taskq.explain_claim('nobody#1')), 'no such background worker runs', 'an unknown background worker is the reason for every route');
SELECT is(pg_temp.as_role('regress_explain', 'SELECT * FROM taskq.explain_claim()'), '42501', 'explain_claim() is refused to a role without access');
SELECT taskq.grant_access('regress_explain', 'worker') \gset
SELECT is(pg_temp.as_role('regress_explain', $$ SELECT count(*) > 0 FROM taskq.explain_claim('explain-w') $$), 'true', 'a worker may call explain_claim()');
SELECT throws_ok($$ SELECT * FROM taskq.explain_claim('no name') $$, '22023', NULL, 'worker_id must be a name');
SELECT throws_ok($$ SELECT * FROM taskq.explain_claim(task_types => '{NULL}') $$, '22004', NULL, 'task_types must not contain NULL');

-- workers of other roles
CREATE ROLE regress_explain_other LOGIN;
SELECT taskq.grant_access('regress_explain_other', 'worker') \gset
SELECT taskq.register_worker('explain-mine', '{explain-a}', capabilities => '{secret}') \gset
SELECT pg_temp.add('mine', 'explain-a') \gset
SELECT route_id AS mine FROM taskq.jobs WHERE job_id = pg_temp.id('mine') \gset
SET SESSION AUTHORIZATION regress_explain_other;
SELECT is((SELECT reason FROM taskq.explain_claim('explain-mine') WHERE route_id = :mine), 'the worker was registered by another role', 'a worker of another role is a reason');
SELECT is((SELECT count(capabilities_digest) FROM taskq.explain_claim('explain-mine')), 0::bigint, 'the digest of its capabilities is not shown');
RESET SESSION AUTHORIZATION;
SELECT taskq.revoke_access('regress_explain_other', 'worker'), taskq.grant_access('regress_explain_other', 'observer') \gset
SET SESSION AUTHORIZATION regress_explain_other;
SELECT is((SELECT claimable FROM taskq.explain_claim('explain-mine') WHERE route_id = :mine), true, 'an observer asks on behalf of the worker');
RESET SESSION AUTHORIZATION;

-- there is no route before the first enqueue
SELECT taskq.register_worker('explain-drains', '{explain-a}'), taskq.drain_worker('explain-drains') \gset
DELETE FROM taskq.jobs;
DELETE FROM taskq.routes;
SELECT taskq.create_queue('explain-anew') \gset
SELECT results_eq($$ SELECT route_id, due, claimable, reason FROM taskq.explain_claim('explain-drains') $$,
	$$ VALUES (NULL::integer, false, false, 'the worker is draining') $$, 'without any route, one row shows that the worker is draining');
SELECT is_empty($$ SELECT FROM taskq.explain_claim('explain-mine') $$, 'without any route, there is no row for a worker that may claim');
SELECT is((SELECT reason FROM taskq.explain_claim('explain-nobody')), 'the worker is not registered, and the call names no task types', 'without any route, one row shows that the worker is not registered');
SELECT * FROM finish();
ROLLBACK;
