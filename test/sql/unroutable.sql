-- unroutable_jobs: each reason why no worker would be given a job, and what removes
-- it.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
SELECT plan(34);
SELECT ok(pg_temp.came('SELECT taskq.scheduler_pid() IS NOT NULL'), 'the scheduler is running');
BEGIN;
CREATE ROLE regress_unroutable LOGIN;
CREATE SCHEMA unroutable;
GRANT USAGE ON SCHEMA unroutable TO PUBLIC;
CREATE FUNCTION unroutable.f(jsonb) RETURNS jsonb LANGUAGE sql RETURN $1;
-- The reason for a type's jobs, with their number; NULL if a worker would be given
-- them.
CREATE FUNCTION pg_temp.why(t text) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(reason || ' ' || jobs, ', ' ORDER BY min_version NULLS FIRST, required_capabilities) FROM taskq.unroutable_jobs WHERE task_type = t $$;
SELECT taskq.create_queue('unr-q') \gset
SELECT taskq.unregister_worker(worker_id) FROM taskq.workers WHERE kind = 'external' \g /dev/null

-- external types --------------------------------------------------------------------
SELECT pg_temp.add('a', 'unr-a'), pg_temp.add('b', 'unr-a') \gset
SELECT is(pg_temp.why('unr-a'), 'no handler registered 2', 'the type is not registered');
SELECT results_eq($$ SELECT queue, required_capabilities, oldest, min_version FROM taskq.unroutable_jobs WHERE task_type = 'unr-a' $$,
	$$ SELECT 'default', '{}'::text[], created_at, NULL::text FROM taskq.all_jobs WHERE job_id = pg_temp.id('a') $$, 'there is one row for each route, with the time of its oldest job');
SELECT taskq.register_handler('unr-a') \gset
SELECT is(pg_temp.why('unr-a'), 'no live worker with the type 2', 'no worker has the type');
SELECT taskq.register_worker('unr-w', '{unr-a}', queues => '{unr-q}') \gset
SELECT is(pg_temp.why('unr-a'), 'no live worker with the type 2', 'a worker of another queue does not count');
SELECT taskq.register_worker('unr-w', '{unr-a}', take_over => true) \gset
SELECT is(pg_temp.why('unr-a'), NULL, 'a worker with the type removes the reason');
SELECT taskq.drain_worker('unr-w') \gset
SELECT is(pg_temp.why('unr-a'), 'no live worker with the type 2', 'a draining worker does not count');
SELECT taskq.register_worker('unr-w', '{unr-a}', take_over => true) \gset
SET LOCAL taskq.clock_offset = '1 h';
SELECT is(pg_temp.why('unr-a'), 'no live worker with the type 2', 'a worker that was not seen for a long time does not count');
SET LOCAL taskq.clock_offset = 0;
SELECT taskq.pause_queue('default') \gset
SELECT is(pg_temp.why('unr-a'), 'queue paused 2', 'the queue is paused');
SELECT taskq.resume_queue('default'), taskq.pause_handler('unr-a') \gset
SELECT is(pg_temp.why('unr-a'), 'handler paused, see taskq.resume_handler() 2', 'the type is paused');
SELECT taskq.resume_handler('unr-a') \gset
SELECT is(pg_temp.why('unr-a'), NULL, 'resuming both removes the reason');
SELECT pg_temp.add('gpu', 'unr-a', caps => '{gpu}'), pg_temp.add('both', 'unr-a', caps => '{eu,gpu}') \gset
SELECT is(pg_temp.why('unr-a'), 'no live worker with the capabilities 1, no live worker with the capabilities 1', 'no worker has the capabilities');
SELECT taskq.register_worker('unr-gpu', capabilities => '{gpu}') \gset
SELECT is(pg_temp.why('unr-a'), 'no live worker with the capabilities 1', 'a worker must have all capabilities');
SELECT taskq.register_worker('unr-eu', capabilities => '{eu}') \gset
SELECT is(pg_temp.why('unr-a'), 'no live worker with the capabilities 1', 'two workers with one capability each do not count');
SELECT taskq.enqueue_job('unr-a', min_version => '2') AS v \gset
SELECT taskq.register_worker('unr-both', capabilities => '{gpu,eu}') \gset
SELECT is(pg_temp.why('unr-a'), 'handler version is older than min_version 1', 'the jobs need a newer handler');
SELECT is(min_version, '2', 'min_version is shown') FROM taskq.unroutable_jobs WHERE task_type = 'unr-a';
SELECT taskq.register_handler('unr-a', version => '2.1', allow_override => true) \gset
SELECT is(pg_temp.why('unr-a'), NULL, 'a newer handler removes the reason');
SELECT pg_temp.add('later', 'unr-b', at => taskq.clock_now() + '1 h') \gset
SELECT is(pg_temp.why('unr-b'), 'no handler registered 1', 'jobs that are not due are shown, too');
SELECT taskq.discard_job(pg_temp.id('later')) \gset
SELECT is(pg_temp.why('unr-b'), NULL, 'an ended job is not shown');
SELECT taskq.register_handler('unr-b'), pg_temp.add('runs', 'unr-b'), pg_temp.take('unr-both', 'unr-b'), taskq.unregister_handler('unr-b') \gset
SELECT is(pg_temp.why('unr-b'), NULL, 'a running job is not shown');

-- types in the server -----------------------------------------------------------------
SELECT taskq.create_pool('unr-none', 0, 'regress_unroutable'), taskq.register_handler('unr-in', 'unroutable.f(jsonb)', run_as => 'regress_unroutable'), pg_temp.add('in', 'unr-in') \gset
SELECT is(pg_temp.why('unr-in'), 'no pool for the handler''s role 1', 'the role has no pool with workers');
SELECT taskq.alter_pool('unr-none', 1, '{unr-other}') \gset
SELECT is(pg_temp.why('unr-in'), 'no live worker with the type 1', 'no pool has the type');
SELECT taskq.alter_pool('unr-none', task_types => '{unr-in}', queues => '{unr-q}') \gset
SELECT is(pg_temp.why('unr-in'), 'no live worker with the type 1', 'no pool has the queue');
SELECT taskq.alter_pool('unr-none', queues => '{}') \gset
SELECT is(pg_temp.why('unr-in'), NULL, 'a pool with both removes the reason, because a worker starts when there are jobs');
SELECT taskq.pause_pool('unr-none') \gset
SELECT is(pg_temp.why('unr-in'), 'pool paused 1', 'the pool is paused');
SELECT taskq.create_pool('unr-second', 1, 'regress_unroutable') \gset
SELECT is(pg_temp.why('unr-in'), NULL, 'another pool removes the reason');
SELECT taskq.drop_pool('unr-second'), taskq.resume_pool('unr-none'), pg_temp.add('in gpu', 'unr-in', caps => '{gpu}') \gset
SELECT is(pg_temp.why('unr-in'), 'no live worker with the capabilities 1', 'no pool has the capabilities');
SELECT taskq.alter_pool('unr-none', capabilities => '{gpu}') \gset
SELECT is(pg_temp.why('unr-in'), NULL, 'a pool with the capabilities removes the reason');
SELECT taskq.pause_handler('unr-in') \gset
SELECT is(pg_temp.why('unr-in'), 'handler paused, see taskq.resume_handler() 1, handler paused, see taskq.resume_handler() 1', 'the type with a handler in the server is paused');
SELECT taskq.resume_handler('unr-in') \gset
REVOKE EXECUTE ON FUNCTION unroutable.f FROM PUBLIC;
SELECT matches(pg_temp.why('unr-in'), '^handler unrunnable: its role may not execute the function 1, ', 'the role may not execute the function');
DROP FUNCTION unroutable.f;
SELECT is(pg_temp.why('unr-in'), 'handler unresolved: its function does not exist 1, handler unresolved: its function does not exist 1', 'the function was dropped');
CREATE FUNCTION unroutable.f(jsonb) RETURNS jsonb LANGUAGE sql RETURN $1;
SELECT is(pg_temp.why('unr-in'), NULL, 'creating the function again removes the reason');
SELECT taskq.alter_pool('unr-none', 0), taskq.register_handler('unr-in', 'unroutable.f(jsonb)', run_as => 'regress_unroutable', also_external => true, allow_override => true) \gset
SELECT is(pg_temp.why('unr-in'), NULL, 'with also_external, an external worker removes the reason');
SELECT taskq.unregister_worker(w) FROM unnest('{unr-w,unr-gpu,unr-eu,unr-both}'::text[]) w \g /dev/null
SELECT is(pg_temp.why('unr-in'), 'no pool for the handler''s role 1, no pool for the handler''s role 1', 'without that worker, the reason is shown again');

SELECT * FROM finish();
ROLLBACK;
