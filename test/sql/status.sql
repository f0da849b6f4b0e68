-- status(): what is paused, and jobs that no worker would be given.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
SELECT plan(22);
SELECT ok(pg_temp.came('SELECT taskq.scheduler_pid() IS NOT NULL'), 'the scheduler is running');
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
SELECT is_empty($$ SELECT * FROM taskq.status() WHERE name LIKE 'paused%' OR name IN ('unroutable jobs', 'waiting jobs') $$, 'status() has no row about pauses or waiting jobs');

-- queues ----------------------------------------------------------------------
SELECT taskq.pause_queue('sta-q') \gset
SELECT is(pg_temp.says('paused queue'), 'sta-q: 0 jobs wait', 'status() shows a paused queue');
SELECT is(pg_temp.hint('paused queue'), 'When its jobs may start, call taskq.resume_queue(''sta-q'').', 'the hint has the statement that resumes it');
SELECT pg_temp.add('a', 'sta-a', q => 'sta-q') \gset
SELECT is(pg_temp.says('paused queue'), 'sta-q: 1 job waits', 'status() counts the waiting jobs of a paused queue');
SELECT pg_temp.add('b', 'sta-b', q => 'sta-q') \gset
SELECT is(pg_temp.says('paused queue'), 'sta-q: 2 jobs wait', 'status() counts jobs of all types');
SELECT is(pg_temp.says('unroutable jobs'), '1 of type sta-b: no handler registered', 'status() shows a job of an unregistered type as such');
SELECT taskq.pause_queue('default') \gset
SELECT is(pg_temp.says('paused queue'), 'sta-q: 2 jobs wait | default: 0 jobs wait', 'the queue with most waiting jobs comes first');
SELECT taskq.resume_queue('default'), taskq.resume_queue('sta-q') \gset
SELECT is(pg_temp.says('paused queue'), NULL, 'resumed queues are not shown');

-- task types ------------------------------------------------------------------
SELECT taskq.pause_handler('sta-a') \gset
SELECT is(pg_temp.says('paused task type'), 'sta-a: 1 job waits', 'status() shows a paused type');
SELECT is(pg_temp.hint('paused task type'), 'list_handlers() says in paused_because why taskq paused it; NULL means that an operator paused it. When the cause is gone, call taskq.resume_handler(''sta-a'').', 'the hint has the statement that resumes the type');
SELECT taskq.resume_handler('sta-a') \gset

-- pools -----------------------------------------------------------------------
SELECT taskq.register_handler('sta-f', 'status.f(jsonb)', run_as => 'regress_status'), taskq.pause_pool('regress_status') \gset
SELECT is(pg_temp.says('paused pool'), 'regress_status: an operator paused it', 'status() shows a paused pool');
SELECT is(pg_temp.hint('paused pool'), 'When it may start jobs, call taskq.resume_pool(''regress_status'').', 'the hint has the statement that resumes the pool');

-- what nobody would be given ----------------------------------------------------
SELECT pg_temp.add('f', 'sta-f'), pg_temp.add('c', 'sta-c'), pg_temp.add('d', 'sta-d'), pg_temp.add('e', 'sta-e'), pg_temp.add('gpu', 'sta-a', caps => '{gpu}') \gset
SELECT is(pg_temp.says('unroutable jobs'), '4 of types sta-b, sta-c, sta-d and 1 more: no handler registered | 1 of type sta-a: no live worker with the capabilities',
	'status() shows jobs that no worker would be given, by reason, except those of paused objects');
SELECT is(pg_temp.hint('unroutable jobs'), 'Register the type with taskq.register_handler(), or correct the name where it is enqueued. See taskq.unroutable_jobs. | See taskq.unroutable_jobs.', 'the hint says what to do about each reason');
SELECT count(*) FROM taskq.enqueue_jobs('sta-c', array_fill('{}'::jsonb, '{1001}')) \gset
SELECT is(split_part(pg_temp.says('unroutable jobs'), ' of', 1), 'more than 1000', 'status() counts at most 1000 jobs');

-- who asks ----------------------------------------------------------------------
SELECT taskq.enqueue_job('sta-t', tenant_id => 'acme'), taskq.pause_queue('sta-q') \gset
SELECT is(pg_temp.as_role('regress_status_tenant', $$ SELECT value FROM taskq.status() WHERE name = 'unroutable jobs' $$),
	'1 of type sta-t: no handler registered', 'an observer of a tenant sees only jobs of the tenant');
SELECT is(pg_temp.as_role('regress_status_tenant', $$ SELECT value FROM taskq.status() WHERE name = 'paused queue' $$), 'sta-q: 0 jobs wait', 'this holds for waiting jobs, too');
SELECT is(pg_temp.as_role('regress_status', $$ SELECT value FROM taskq.status() WHERE name = 'paused queue' $$), 'sta-q: 2 jobs wait', 'a role without the access observer sees the counts of all jobs');

-- many --------------------------------------------------------------------------
SELECT taskq.create_queue('sta-' || i), taskq.pause_queue('sta-' || i) FROM generate_series(1, 12) i \g /dev/null
SELECT is(count(*), 11::bigint, 'status() shows at most ten queues and one more row') FROM taskq.status() WHERE name = 'paused queue';
SELECT is((array_agg(value))[11], 'and 3 more', 'the last row has the number of the others') FROM taskq.status() WHERE name = 'paused queue';
SELECT is((array_agg(hint))[11], 'See taskq.queues.', 'its hint names the view') FROM taskq.status() WHERE name = 'paused queue';

SELECT * FROM finish();
ROLLBACK;
