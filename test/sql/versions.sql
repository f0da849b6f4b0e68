-- Versions of handlers: jobs that wait for a newer one, and the history of the registry.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/wait.sql
\i test/sql/include/named_jobs.sql
SET client_min_messages = error;
CREATE ROLE tq_versions LOGIN;
CREATE SCHEMA tq_versions AUTHORIZATION tq_versions;
SELECT count(taskq.grant_access('tq_versions', a)) FROM unnest('{producer,worker,observer,admin}'::text[]) a \gset
CREATE FUNCTION pg_temp.add(n text, t text, v text, at timestamptz DEFAULT NULL) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO j VALUES (n, taskq.enqueue_job(t, jsonb_build_object('n', n), min_version => v, run_at => at)) $$;
CREATE FUNCTION pg_temp.outcome(n text) RETURNS text LANGUAGE sql AS
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
SELECT throws_ok($$ SELECT taskq.enqueue_job('ver-a', min_version => '') $$, '22023', NULL, 'min_version must not be empty');
SELECT throws_ok($$ SELECT taskq.enqueue_job('ver-a', min_version => repeat('1', 64)) $$, '22023', NULL, 'min_version must not be longer than 63 bytes');
SELECT throws_ok($$ SELECT taskq.register_handler('ver-a', version => repeat('1', 64)) $$, '22023', NULL, 'version must not be longer than 63 bytes');

-- external workers
SELECT taskq.register_handler('ver-ext', version => '1.9') \gset
SELECT pg_temp.add('new', 'ver-ext', '1.10'), pg_temp.add('newest', 'ver-ext', '2'), pg_temp.add('any', 'ver-ext', NULL), pg_temp.add('old', 'ver-ext', '1.2') \gset
SELECT is(pg_temp.outcome('new'), 'available 0', 'a job for a newer handler is available');
SELECT is(pg_temp.take('ver-ext'), 'any', 'a job without min_version is claimed');
SELECT is(pg_temp.take('ver-ext'), 'old', 'a job for an older handler is claimed');
SELECT is(pg_temp.take('ver-ext'), NULL, 'a job for a newer handler is not claimed');
SELECT is(pg_temp.waiting('ver-ext'), '1.10 1 handler version is older than min_version, 2 1 handler version is older than min_version', 'unroutable_jobs has the reason, and one row for each version');
SELECT ok(taskq.release_job(pg_temp.id('old'), pg_temp.e('old')), 'the job for the older handler is released');
SELECT taskq.register_handler('ver-ext', version => '1.2', allow_override => true) \gset
SELECT is(pg_temp.take('ver-ext'), 'old', 'an older handler takes a job with a lower min_version');
SELECT taskq.release_job(pg_temp.id('old'), pg_temp.e('old')), taskq.register_handler('ver-ext', allow_override => true) \gset
SELECT is(pg_temp.take('ver-ext'), NULL, 'a handler without a version takes no job with min_version');
SELECT taskq.register_handler('ver-ext', version => '1.10.0', allow_override => true) \gset
SELECT is(pg_temp.take('ver-ext') || ' ' || pg_temp.take('ver-ext'), 'new old', 'a newer handler takes the jobs that waited for it, in order');
SELECT is(pg_temp.take('ver-ext'), NULL, 'a newer handler takes no other jobs');
SELECT is(pg_temp.waiting('ver-ext'), '2 1 handler version is older than min_version', 'unroutable_jobs has the remaining reason');
SELECT ok(taskq.complete_job(pg_temp.id('new'), pg_temp.e('new')), 'the job for the newer handler is completed');
SELECT is(attempt || ' ' || handler_version, '1 1.10.0', 'taskq.attempts has the version of the handler') FROM taskq.attempts WHERE job_id = pg_temp.id('new');
SELECT taskq.unregister_handler('ver-ext') \gset
SELECT is(reason, 'no handler registered', 'unroutable_jobs says that the type is not registered') FROM taskq.unroutable_jobs WHERE task_type = 'ver-ext' AND min_version = '2';
SELECT taskq.register_handler('ver-ext', version => 'nightly') \gset
INSERT INTO j SELECT 'many' || n, id FROM taskq.enqueue_jobs('ver-ext', '{"{\"n\": \"many1\"}","{\"n\": \"many2\"}"}', min_version => 'nightly') WITH ORDINALITY x (id, n);
SELECT is(pg_temp.take('ver-ext') || ' ' || pg_temp.take('ver-ext'), 'many1 many2', 'a version that is no number takes jobs with the same min_version');
SELECT is(pg_temp.take('ver-ext'), NULL, 'a version that is no number takes no job with a number');
BEGIN;
SELECT taskq.register_handler('ver-ext', version => '2', allow_override => true) \gset
SELECT is(pg_temp.take('ver-ext'), 'newest', 'an override takes effect in its own transaction');
ROLLBACK;
SELECT is(pg_temp.take('ver-ext'), NULL, 'an override that is rolled back has no effect');
SELECT is(pg_temp.outcome('newest'), 'available 0', 'a job that waits for a newer handler stays available');
SELECT ok(NOT EXISTS (SELECT FROM taskq.attempts WHERE job_id = pg_temp.id('newest')), 'a job that waits for a newer handler has no attempt');

-- the pool
SELECT taskq.register_handler('ver-run', 'tq_versions.one(jsonb)', version => '1', run_as => 'tq_versions') \gset
SELECT pg_temp.add('pool 2', 'ver-run', '2'), pg_temp.add('pool 3', 'ver-run', '3'), pg_temp.add('pool', 'ver-run', NULL), pg_temp.add('pool 1', 'ver-run', '1.0') \gset
SELECT pg_temp.came($$ SELECT pg_temp.outcome('pool') = 'completed 1 1' AND pg_temp.outcome('pool 1') = 'completed 1 1' $$) \gset
SELECT is(pg_temp.outcome('pool') || ', ' || pg_temp.outcome('pool 1'), 'completed 1 1, completed 1 1', 'the pool runs jobs whose min_version its handler has');
SELECT is(pg_temp.outcome('pool 2') || ', ' || pg_temp.outcome('pool 3'), 'available 0, available 0', 'the pool does not run the other jobs');
SELECT is(pg_temp.waiting('ver-run'), '2 1 handler version is older than min_version, 3 1 handler version is older than min_version', 'unroutable_jobs has the reason for each version');
SELECT taskq.register_handler('ver-run', 'tq_versions.two(jsonb)', version => '2.1', run_as => 'tq_versions', allow_override => true) \gset
SELECT pg_temp.came($$ SELECT pg_temp.outcome('pool 2') = 'completed 1 2' $$) \gset
SELECT is(pg_temp.outcome('pool 2'), 'completed 1 2', 'an override makes the pool run waiting jobs');
SELECT is(handler_version, '2.1', 'these jobs have the version of the new handler') FROM taskq.attempts WHERE job_id = pg_temp.id('pool 2');
SELECT is(pg_temp.outcome('pool 3'), 'available 0', 'a job for an even newer handler waits');
SELECT pg_temp.add('no such', 'ver-none', '1') \gset
SELECT is(pg_temp.waiting('ver-none'), '1 1 no handler registered', 'unroutable_jobs shows an unregistered type with min_version');

-- history of the registry
SELECT is(array_agg(concat_ws(' ', version, change) ORDER BY changed_at), '{1.9 overridden,1.2 overridden,overridden,1.10.0 unregistered}',
	'handler_history has each override and unregistration, except those rolled back') FROM taskq.handler_history WHERE task_type = 'ver-ext';
SELECT ok(handler = 'tq_versions.one(pg_catalog.jsonb)' AND run_as = 'tq_versions' AND version = '1' AND change = 'overridden' AND registered_by = current_user AND changed_by = current_user
	AND registered_at < changed_at, 'handler_history has the former values of the handler') FROM taskq.handler_history WHERE task_type = 'ver-run';
SELECT is(count(*), 1::bigint, 'handler_history has no row for the first registration') FROM taskq.handler_history WHERE task_type = 'ver-run';
SET SESSION AUTHORIZATION tq_versions;
SELECT taskq.register_handler('ver-mine', description => 'first'), taskq.register_handler('ver-mine', description => 'second', allow_override => true) \gset
SELECT throws_ok($$ SELECT taskq.register_handler('ver-mine') $$, 'TQ001', NULL, 'a refused registration raises TQ001');
SELECT ok(NOT taskq.unregister_handler('ver-nothing'), 'unregister_handler() of an unregistered type returns false');
SELECT taskq.unregister_handler('ver-mine') \gset
SELECT is(array_agg(concat_ws(' ', description, change, registered_by, changed_by) ORDER BY changed_at), '{first overridden tq_versions tq_versions,second unregistered tq_versions tq_versions}',
	'these add no row to handler_history; other rows have the roles') FROM taskq.handler_history WHERE task_type IN ('ver-mine', 'ver-nothing');

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
SELECT is(handler_version, '1', 'an attempt has the version that ran, not the one registered at its end') FROM taskq.attempts WHERE job_id = :anew;
SELECT is(version, '2', 'get_handler_info() has the version registered at its end') FROM taskq.get_handler_info('ver-anew');
RESET SESSION AUTHORIZATION;

SELECT finish();
SELECT taskq.unregister_worker('ver-w') \gset
SELECT count(taskq.unregister_handler(h.task_type)) FROM taskq.list_handlers() h WHERE h.task_type LIKE 'ver-%' \gset
SELECT count(taskq.cancel_job(job_id)) FROM taskq.all_jobs WHERE task_type LIKE 'ver-%' AND finished_at IS NULL \gset
SELECT taskq.drop_pool('tq_versions') \gset
SELECT count(taskq.revoke_access('tq_versions', a)) FROM unnest('{producer,worker,observer,admin}'::text[]) a \gset
DROP SCHEMA tq_versions CASCADE;
DROP ROLE tq_versions;
