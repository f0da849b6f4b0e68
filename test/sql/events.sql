-- What can be followed of a job: its correlation id.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
BEGIN;
SELECT plan(12);
CREATE ROLE regress_events LOGIN;
CREATE SCHEMA regress_events AUTHORIZATION regress_events;
SELECT count(taskq.grant_access('regress_events', a)) FROM unnest('{producer,worker,observer}'::text[]) a \gset
CREATE FUNCTION regress_events.chain(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT to_jsonb(taskq.enqueue_job('ev-ext', correlation_id => payload->>'correlation')) $$;
SELECT taskq.create_pool('regress_events', 0, 'regress_events'), taskq.register_handler('ev-ext', retry_policy => 'none'),
	taskq.register_handler('ev-chain', 'regress_events.chain(jsonb)', run_as => 'regress_events') \gset

-- correlation -------------------------------------------------------------------
INSERT INTO j SELECT 'first', taskq.enqueue_job('ev-chain', correlation_id => 'req 1 é');
INSERT INTO j SELECT 'other', taskq.enqueue_job('ev-chain', '{"correlation": "mine"}', correlation_id => 'req 1 é');
INSERT INTO j SELECT 'none', taskq.enqueue_job('ev-chain');
INSERT INTO j SELECT 'many' || n, id FROM taskq.enqueue_jobs('ev-ext', '{1,2}', correlation_id => 'batch') WITH ORDINALITY x (id, n);
CREATE FUNCTION pg_temp.correlation(n text) RETURNS text LANGUAGE sql AS $$ SELECT correlation_id FROM taskq.all_jobs WHERE job_id = pg_temp.id(n) $$;
SELECT is(pg_temp.correlation('first'), 'req 1 é', 'a job has the correlation id that it was given');
SELECT is(pg_temp.correlation('none'), NULL, 'or none');
SELECT is(pg_temp.correlation('many2'), 'batch', 'each of a batch has it');
SET SESSION AUTHORIZATION regress_events;
SELECT result FROM taskq.run_all('{ev-chain}') \g /dev/null
RESET SESSION AUTHORIZATION;
INSERT INTO j SELECT n || ' next', (result)::bigint FROM unnest('{first,other,none}'::text[]) n, taskq.all_jobs WHERE job_id = pg_temp.id(n);
SELECT is(pg_temp.correlation('first next'), 'req 1 é', 'a job that a handler enqueues inherits it');
SELECT is(pg_temp.correlation('other next'), 'mine', 'unless it is given another');
SELECT is(pg_temp.correlation('none next'), NULL, 'none is inherited from none');
SELECT is(pg_temp.correlation('first'), 'req 1 é', 'the finished job keeps it');
SELECT is(c.correlation_id, 'batch', 'a worker is told') FROM taskq.claim_job('ev-w') c;
SELECT taskq.retry_job(pg_temp.id('first'), force => true) \gset
SELECT is(pg_temp.correlation('first'), 'req 1 é', 'a job that is put back has it still');
SELECT throws_ok($$ SELECT taskq.enqueue_job('ev-ext', correlation_id => '') $$, '22023', 'correlation_id is empty or longer than 255 bytes', 'an empty one is refused');
SELECT throws_ok($$ SELECT taskq.enqueue_job('ev-ext', correlation_id => repeat('x', 256)) $$, '22023', NULL, 'and one of more than 255 bytes');
SELECT lives_ok($$ SELECT taskq.enqueue_job('ev-ext', correlation_id => repeat('x', 255)) $$, '255 are fine');

SELECT finish();
ROLLBACK;
