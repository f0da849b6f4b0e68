-- Versions of handlers: jobs that wait for a newer one, and the history of the registry.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/wait.sql
SET client_min_messages = error;
CREATE ROLE tq_versions LOGIN;
CREATE SCHEMA tq_versions AUTHORIZATION tq_versions;
SELECT count(taskq.grant_access('tq_versions', a)) FROM unnest('{producer,worker,observer,admin}'::text[]) a \gset
CREATE TEMP TABLE j (name text PRIMARY KEY, id bigint, e bigint);
CREATE FUNCTION pg_temp.add(n text, t text, v text, at timestamptz DEFAULT NULL) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO j VALUES (n, taskq.enqueue_job(t, jsonb_build_object('n', n), min_version => v, run_at => at)) $$;
CREATE FUNCTION pg_temp.id(n text) RETURNS bigint LANGUAGE sql AS $$ SELECT id FROM j WHERE name = n $$;
CREATE FUNCTION pg_temp.e(n text) RETURNS bigint LANGUAGE sql AS $$ SELECT e FROM j WHERE name = n $$;
CREATE FUNCTION pg_temp.state(n text) RETURNS text LANGUAGE sql AS
	$$ SELECT concat_ws(' ', state, attempt, result) FROM taskq.all_jobs WHERE job_id = (SELECT id FROM j WHERE name = n) $$;
CREATE FUNCTION pg_temp.take(VARIADIC types text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE c taskq.job;
BEGIN
	SELECT * INTO c FROM taskq.claim_job('ver-w', types);
	UPDATE j SET e = c.epoch WHERE id = c.job_id;
	RETURN c.payload->>'n';
END $$;
CREATE FUNCTION pg_temp.waiting(t text) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(min_version || ' ' || jobs || ' ' || reason, ', ' ORDER BY min_version) FROM taskq.unroutable_jobs WHERE task_type = t $$;
CREATE FUNCTION tq_versions.one(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE FUNCTION tq_versions.two(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '2'::jsonb $$;
SELECT plan(69);

-- version_at_least
SELECT is(taskq.version_at_least(v, m), expected, format('%s at least %s: %s', COALESCE(v, 'no version'), COALESCE(m, 'nothing'), expected))
FROM (VALUES
	('1.2.10', '1.2.9', true), ('1.2.9', '1.2.10', false), ('1.2', '1.2', true), ('1.2', '1.2.0', true), ('1.2.0.0', '1.2', true),
	('1.2', '1.2.1', false), ('2', '1.99.99', true), ('10', '9', true), ('9', '10', false), ('01.002', '1.2', true), ('1.2', '1.03', false),
	('0', '0.0', true), ('0.0.1', '0', true), ('0', '0.1', false),
	('99999999999999999999999999', '99999999999999999999999998', true), ('9999999999999999999', '10000000000000000000', false),
	('1.2-rc1', '1.2-rc1', true), ('1.2-rc1', '1.1', false), ('1.2', '1.2-rc1', false), ('v2', 'v1', false), ('v1', 'v1', true), ('abc', 'ABC', false),
	('1..2', '1..2', true), ('1..3', '1..2', false), ('1.', '1', false), ('.1', '0', false), ('-1', '-2', false), ('1.2 ', '1.2', false),
	(NULL, '1', false), ('1', NULL, true), (NULL, NULL, true)) AS x (v, m, expected);

-- what enqueue_job accepts
SELECT throws_ok($$ SELECT taskq.enqueue_job('ver-a', min_version => '') $$, '22023', NULL, 'an empty min_version is refused');
SELECT throws_ok($$ SELECT taskq.enqueue_job('ver-a', min_version => repeat('1', 64)) $$, '22023', NULL, 'and one of more than 63 bytes');
SELECT throws_ok($$ SELECT taskq.register_handler('ver-a', version => repeat('1', 64)) $$, '22023', NULL, 'as a handler''s version is');

-- external workers
SELECT taskq.register_handler('ver-ext', version => '1.9') \gset
SELECT pg_temp.add('new', 'ver-ext', '1.10'), pg_temp.add('newest', 'ver-ext', '2'), pg_temp.add('any', 'ver-ext', NULL), pg_temp.add('old', 'ver-ext', '1.2') \gset
SELECT is(pg_temp.state('new'), 'available 0', 'a job for a newer handler is there');
SELECT is(pg_temp.take('ver-ext'), 'any', 'jobs without min_version are claimed');
SELECT is(pg_temp.take('ver-ext'), 'old', 'and those for an older handler');
SELECT is(pg_temp.take('ver-ext'), NULL, 'those for a newer one are not');
SELECT is(pg_temp.waiting('ver-ext'), '1.10 1 handler version is older than min_version, 2 1 handler version is older than min_version', 'and the view says why, a row a version');
SELECT ok(taskq.release_job(pg_temp.id('old'), pg_temp.e('old')), 'given back');
SELECT taskq.register_handler('ver-ext', version => '1.2', allow_override => true) \gset
SELECT is(pg_temp.take('ver-ext'), 'old', 'an older handler takes what it is new enough for');
SELECT taskq.release_job(pg_temp.id('old'), pg_temp.e('old')), taskq.register_handler('ver-ext', allow_override => true) \gset
SELECT is(pg_temp.take('ver-ext'), NULL, 'a handler without a version takes none that want one');
SELECT taskq.register_handler('ver-ext', version => '1.10.0', allow_override => true) \gset
SELECT is(pg_temp.take('ver-ext') || ' ' || pg_temp.take('ver-ext'), 'new old', 'a newer one takes those that waited for it, in order');
SELECT is(pg_temp.take('ver-ext'), NULL, 'and no others');
SELECT is(pg_temp.waiting('ver-ext'), '2 1 handler version is older than min_version', 'the view follows');
SELECT ok(taskq.complete_job(pg_temp.id('new'), pg_temp.e('new')), 'complete');
SELECT is(attempt || ' ' || handler_version, '1 1.10.0', 'the attempt says which version it was') FROM taskq.attempts WHERE job_id = pg_temp.id('new');
SELECT taskq.unregister_handler('ver-ext') \gset
SELECT is(reason, 'no handler registered', 'unregistered: the reason is that') FROM taskq.unroutable_jobs WHERE task_type = 'ver-ext' AND min_version = '2';
SELECT taskq.register_handler('ver-ext', version => 'nightly') \gset
INSERT INTO j SELECT 'many' || n, id FROM taskq.enqueue_jobs('ver-ext', '{"{\"n\": \"many1\"}","{\"n\": \"many2\"}"}', min_version => 'nightly') WITH ORDINALITY x (id, n);
SELECT is(pg_temp.take('ver-ext') || ' ' || pg_temp.take('ver-ext'), 'many1 many2', 'enqueue_jobs: another version equal to itself');
SELECT is(pg_temp.take('ver-ext'), NULL, 'is not at least a number');
BEGIN;
SELECT taskq.register_handler('ver-ext', version => '2', allow_override => true) \gset
SELECT is(pg_temp.take('ver-ext'), 'newest', 'an override counts in its own transaction');
ROLLBACK;
SELECT is(pg_temp.take('ver-ext'), NULL, 'and no longer when it is undone');
SELECT is(pg_temp.state('newest'), 'available 0', 'the job has waited all the time, at no cost');
SELECT ok(NOT EXISTS (SELECT FROM taskq.attempts WHERE job_id = pg_temp.id('newest')), 'without an attempt');

-- the pool
SELECT taskq.register_handler('ver-run', 'tq_versions.one(jsonb)', version => '1', run_as => 'tq_versions') \gset
SELECT pg_temp.add('pool 2', 'ver-run', '2'), pg_temp.add('pool 3', 'ver-run', '3'), pg_temp.add('pool', 'ver-run', NULL), pg_temp.add('pool 1', 'ver-run', '1.0') \gset
SELECT pg_temp.came($$ SELECT pg_temp.state('pool') = 'completed 1 1' AND pg_temp.state('pool 1') = 'completed 1 1' $$) \gset
SELECT is(pg_temp.state('pool') || ', ' || pg_temp.state('pool 1'), 'completed 1 1, completed 1 1', 'the pool runs what its handler is new enough for');
SELECT is(pg_temp.state('pool 2') || ', ' || pg_temp.state('pool 3'), 'available 0, available 0', 'the rest waits');
SELECT is(pg_temp.waiting('ver-run'), '2 1 handler version is older than min_version, 3 1 handler version is older than min_version', 'for this reason');
SELECT taskq.register_handler('ver-run', 'tq_versions.two(jsonb)', version => '2.1', run_as => 'tq_versions', allow_override => true) \gset
SELECT pg_temp.came($$ SELECT pg_temp.state('pool 2') = 'completed 1 2' $$) \gset
SELECT is(pg_temp.state('pool 2'), 'completed 1 2', 'an override wakes the pool for what has waited');
SELECT is(handler_version, '2.1', 'and it runs by the new handler') FROM taskq.attempts WHERE job_id = pg_temp.id('pool 2');
SELECT is(pg_temp.state('pool 3'), 'available 0', 'what wants a newer one waits on');
SELECT pg_temp.add('no such', 'ver-none', '1') \gset
SELECT is(pg_temp.waiting('ver-none'), '1 1 no handler registered', 'a type that nobody has registered');

-- history of the registry
SELECT is(array_agg(concat_ws(' ', version, change) ORDER BY changed_at), '{1.9 overridden,1.2 overridden,overridden,1.10.0 unregistered}',
	'each override and unregistration leaves a row, one that is undone does not') FROM taskq.handler_history WHERE task_type = 'ver-ext';
SELECT ok(handler = 'tq_versions.one(pg_catalog.jsonb)' AND run_as = 'tq_versions' AND version = '1' AND change = 'overridden' AND registered_by = current_user AND changed_by = current_user
	AND registered_at < changed_at, 'with the handler as it was') FROM taskq.handler_history WHERE task_type = 'ver-run';
SELECT is(count(*), 1::bigint, 'a registration alone leaves none') FROM taskq.handler_history WHERE task_type = 'ver-run';
SET SESSION AUTHORIZATION tq_versions;
SELECT taskq.register_handler('ver-mine', description => 'first'), taskq.register_handler('ver-mine', description => 'second', allow_override => true) \gset
SELECT throws_ok($$ SELECT taskq.register_handler('ver-mine') $$, 'TQ001', NULL, 'a registration that is refused');
SELECT ok(NOT taskq.unregister_handler('ver-nothing'), 'or an unregistration of nothing');
SELECT taskq.unregister_handler('ver-mine') \gset
SELECT is(array_agg(concat_ws(' ', description, change, registered_by, changed_by) ORDER BY changed_at), '{first overridden tq_versions tq_versions,second unregistered tq_versions tq_versions}',
	'leave no row; the others name who it was') FROM taskq.handler_history WHERE task_type IN ('ver-mine', 'ver-nothing');

-- a type that is registered again while one of its jobs runs
CREATE FUNCTION tq_versions.anew(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM taskq.register_handler('ver-anew', 'tq_versions.two(jsonb)', version => '2', allow_override => true);
	RETURN '1';
END $$;
BEGIN;
SELECT taskq.register_handler('ver-anew', 'tq_versions.anew(jsonb)', version => '1'), taskq.enqueue_job('ver-anew') AS anew \gset
SELECT state AS anew_state FROM taskq.run_job(:anew) \gset
COMMIT;
SELECT is(handler_version, '1', 'the version is that of what ran, not of what is registered when it has run') FROM taskq.attempts WHERE job_id = :anew;
SELECT is(version, '2', 'which is another') FROM taskq.get_handler_info('ver-anew');
RESET SESSION AUTHORIZATION;

SELECT finish();
SELECT taskq.unregister_worker('ver-w') \gset
SELECT count(taskq.unregister_handler(h.task_type)) FROM taskq.list_handlers() h WHERE h.task_type LIKE 'ver-%' \gset
SELECT count(taskq.cancel_job(job_id)) FROM taskq.all_jobs WHERE task_type LIKE 'ver-%' AND finished_at IS NULL \gset
SELECT taskq.drop_pool('tq_versions') \gset
SELECT count(taskq.revoke_access('tq_versions', a)) FROM unnest('{producer,worker,observer,admin}'::text[]) a \gset
DROP SCHEMA tq_versions CASCADE;
DROP ROLE tq_versions;
