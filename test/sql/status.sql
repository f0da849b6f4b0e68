-- status(): what is paused, and jobs that no worker would be given.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
SELECT plan(22);
SELECT ok(pg_temp.came('SELECT taskq.scheduler_pid() IS NOT NULL'), 'the scheduler runs');
BEGIN;
CREATE ROLE regress_status LOGIN;
CREATE ROLE regress_status_tenant LOGIN;
CREATE SCHEMA status AUTHORIZATION regress_status;
CREATE FUNCTION status.f(jsonb) RETURNS jsonb LANGUAGE sql RETURN $1;
SELECT taskq.unregister_worker(worker_id) FROM taskq.workers WHERE kind = 'external' \g /dev/null
SELECT taskq.create_queue('sta-q'), taskq.register_handler('sta-a'), taskq.register_worker('sta-w'),
	taskq.grant_access('regress_status', 'admin'), taskq.grant_access('regress_status_tenant', 'observer', tenants => '{acme}') \gset
-- The values of status() for one name, in order.
CREATE FUNCTION pg_temp.says(n text) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(value, ' | ') FROM taskq.status() WHERE name = n $$;
CREATE FUNCTION pg_temp.hint(n text) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(hint, ' | ') FROM taskq.status() WHERE name = n $$;
SELECT is_empty($$ SELECT * FROM taskq.status() WHERE name LIKE 'paused%' OR name IN ('unroutable jobs', 'waiting jobs') $$, 'nothing is paused, and there is nothing to say');

-- queues ----------------------------------------------------------------------
SELECT taskq.pause_queue('sta-q') \gset
SELECT is(pg_temp.says('paused queue'), 'sta-q: 0 jobs wait', 'a queue that is paused');
SELECT is(pg_temp.hint('paused queue'), 'When its jobs may start, SELECT taskq.resume_queue(''sta-q'').', 'with the statement that ends it');
SELECT pg_temp.add('a', 'sta-a', q => 'sta-q') \gset
SELECT is(pg_temp.says('paused queue'), 'sta-q: 1 job waits', 'and what waits in it');
SELECT pg_temp.add('b', 'sta-b', q => 'sta-q') \gset
SELECT is(pg_temp.says('paused queue'), 'sta-q: 2 jobs wait', 'of any type');
SELECT is(pg_temp.says('unroutable jobs'), '1 of type sta-b: no handler registered', 'a job that nobody could be given anyway is said to be so');
SELECT taskq.pause_queue('default') \gset
SELECT is(pg_temp.says('paused queue'), 'sta-q: 2 jobs wait | default: 0 jobs wait', 'where most wait, comes first');
SELECT taskq.resume_queue('default'), taskq.resume_queue('sta-q') \gset
SELECT is(pg_temp.says('paused queue'), NULL, 'until they are resumed');

-- task types ------------------------------------------------------------------
SELECT taskq.pause_handler('sta-a') \gset
SELECT is(pg_temp.says('paused task type'), 'sta-a: 1 job waits', 'a type that is paused');
SELECT is(pg_temp.hint('paused task type'), 'When the cause is gone, SELECT taskq.resume_handler(''sta-a'').', 'with the statement that ends it');
SELECT taskq.resume_handler('sta-a') \gset

-- pools -----------------------------------------------------------------------
SELECT taskq.register_handler('sta-f', 'status.f(jsonb)', run_as => 'regress_status'), taskq.pause_pool('regress_status') \gset
SELECT is(pg_temp.says('paused pool'), 'regress_status: somebody paused it', 'a pool that is paused');
SELECT is(pg_temp.hint('paused pool'), 'When it may start jobs, SELECT taskq.resume_pool(''regress_status'').', 'with the statement that ends it');

-- what nobody would be given ----------------------------------------------------
SELECT pg_temp.add('f', 'sta-f'), pg_temp.add('c', 'sta-c'), pg_temp.add('d', 'sta-d'), pg_temp.add('e', 'sta-e'), pg_temp.add('gpu', 'sta-a', caps => '{gpu}') \gset
SELECT is(pg_temp.says('unroutable jobs'), '4 of types sta-b, sta-c, sta-d and 1 more: no handler registered | 1 of type sta-a: no live worker with the capabilities',
	'jobs that nobody would be given, by their reason; what a pause explains is not said twice');
SELECT is(pg_temp.hint('unroutable jobs'), 'Register the type with taskq.register_handler(), or correct the name where it is enqueued. See taskq.unroutable_jobs. | See taskq.unroutable_jobs.', 'with what to do');
SELECT count(*) FROM taskq.enqueue_jobs('sta-c', array_fill('{}'::jsonb, '{1001}')) \gset
SELECT is(split_part(pg_temp.says('unroutable jobs'), ' of', 1), 'more than 1000', 'many are not counted to the end');

-- who asks ----------------------------------------------------------------------
SELECT taskq.enqueue_job('sta-t', tenant_id => 'acme'), taskq.pause_queue('sta-q') \gset
SELECT is(pg_temp.as_role('regress_status_tenant', $$ SELECT value FROM taskq.status() WHERE name = 'unroutable jobs' $$),
	'1 of type sta-t: no handler registered', 'an observer of a tenant is told of its jobs alone');
SELECT is(pg_temp.as_role('regress_status_tenant', $$ SELECT value FROM taskq.status() WHERE name = 'paused queue' $$), 'sta-q: 0 jobs wait', 'also what waits');
SELECT is(pg_temp.as_role('regress_status', $$ SELECT value FROM taskq.status() WHERE name = 'paused queue' $$), 'sta-q: 2 jobs wait', 'who is no observer, of all');

-- many --------------------------------------------------------------------------
SELECT taskq.create_queue('sta-' || i), taskq.pause_queue('sta-' || i) FROM generate_series(1, 12) i \g /dev/null
SELECT is(count(*), 11::bigint, 'of a kind ten are named') FROM taskq.status() WHERE name = 'paused queue';
SELECT is((array_agg(value))[11], 'and 3 more', 'with how many there are beside') FROM taskq.status() WHERE name = 'paused queue';
SELECT is((array_agg(hint))[11], 'See taskq.queues.', 'and where') FROM taskq.status() WHERE name = 'paused queue';

SELECT * FROM finish();
ROLLBACK;
