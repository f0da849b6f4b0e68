-- Following jobs: their correlation id, and their events.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
BEGIN;
SELECT plan(57);
CREATE ROLE regress_events LOGIN;
CREATE SCHEMA regress_events AUTHORIZATION regress_events;
SELECT count(taskq.grant_access('regress_events', a)) FROM unnest('{producer,worker,observer}'::text[]) a \gset
CREATE FUNCTION regress_events.chain(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT to_jsonb(taskq.enqueue_job('ev-ext', correlation_id => payload->>'correlation')) $$;
SELECT taskq.create_pool('regress_events', 0, 'regress_events'), taskq.register_handler('ev-ext', retry_policy => 'none'),
	taskq.register_handler('ev-chain', 'regress_events.chain(jsonb)', run_as => 'regress_events'), taskq.register_worker('ev-w') \gset

-- correlation -------------------------------------------------------------------
INSERT INTO j SELECT 'first', taskq.enqueue_job('ev-chain', correlation_id => 'req 1 é');
INSERT INTO j SELECT 'other', taskq.enqueue_job('ev-chain', '{"correlation": "mine"}', correlation_id => 'req 1 é');
INSERT INTO j SELECT 'none', taskq.enqueue_job('ev-chain');
INSERT INTO j SELECT 'many' || n, id FROM taskq.enqueue_jobs('ev-ext', '{1,2}', correlation_id => 'batch') WITH ORDINALITY x (id, n);
CREATE FUNCTION pg_temp.correlation(n text) RETURNS text LANGUAGE sql AS $$ SELECT correlation_id FROM taskq.all_jobs WHERE job_id = pg_temp.id(n) $$;
SELECT is(pg_temp.correlation('first'), 'req 1 é', 'a job has the correlation id that it was given');
SELECT is(pg_temp.correlation('none'), NULL, 'a job may have no correlation id');
SELECT is(pg_temp.correlation('many2'), 'batch', 'each job of a batch has the correlation id');
SET SESSION AUTHORIZATION regress_events;
SELECT result FROM taskq.run_all('{ev-chain}') \g /dev/null
RESET SESSION AUTHORIZATION;
INSERT INTO j SELECT n || ' next', (result)::bigint FROM unnest('{first,other,none}'::text[]) n, taskq.all_jobs WHERE job_id = pg_temp.id(n);
SELECT is(pg_temp.correlation('first next'), 'req 1 é', 'a job that a handler enqueues inherits it');
SELECT is(pg_temp.correlation('other next'), 'mine', 'a job that a handler enqueues may have another correlation id');
SELECT is(pg_temp.correlation('none next'), NULL, 'a job inherits no correlation id from a job without one');
SELECT is(pg_temp.correlation('first'), 'req 1 é', 'a finished job keeps its correlation id');
SELECT is(c.correlation_id, 'batch', 'a claim returns the correlation id') FROM taskq.claim_job('ev-w') c;
SELECT taskq.retry_job(pg_temp.id('first'), force => true) \gset
SELECT is(pg_temp.correlation('first'), 'req 1 é', 'a job that was put back keeps its correlation id');
SELECT throws_ok($$ SELECT taskq.enqueue_job('ev-ext', correlation_id => '') $$, '22023', 'correlation_id is empty or longer than 255 bytes', 'correlation_id must not be empty');
SELECT throws_ok($$ SELECT taskq.enqueue_job('ev-ext', correlation_id => repeat('x', 256)) $$, '22023', NULL, 'correlation_id must not be longer than 255 bytes');
SELECT lives_ok($$ SELECT taskq.enqueue_job('ev-ext', correlation_id => repeat('x', 255)) $$, 'correlation_id may have 255 bytes');

-- events --------------------------------------------------------------------------
SELECT is_empty('SELECT FROM taskq.events', 'no event is recorded unless a queue asks for it');
SELECT results_eq($$ SELECT events, retain_events FROM taskq.queues WHERE queue = 'default' $$, $$ VALUES (false, interval '3 days') $$, 'taskq.queues shows that default records no events');
SELECT taskq.create_queue('ev-q', events => true, retain_events => '1 day'), taskq.create_queue('ev-silent') \gset
SELECT results_eq($$ SELECT events, retain_events FROM taskq.queues WHERE queue = 'ev-q' $$, $$ VALUES (true, interval '1 day') $$, 'taskq.queues shows that a queue records events');
SELECT taskq.register_handler('ev-retry', version => '1.2', retry_policy => 'fixed', retry_base => '1 h', max_attempts => 2) \gset

-- The recorded events of a job: event, attempt, state after it.
CREATE FUNCTION pg_temp.events(n text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(event || ' ' || attempt || ' ' || (metadata->>'state'), ', ' ORDER BY event_id) FROM taskq.events WHERE job_id = pg_temp.id(n) $$;
CREATE FUNCTION pg_temp.last(n text) RETURNS taskq.events LANGUAGE sql AS $$
	SELECT * FROM taskq.events WHERE job_id = pg_temp.id(n) ORDER BY event_id DESC LIMIT 1 $$;

-- one life of a job
INSERT INTO j VALUES ('a', taskq.enqueue_job('ev-retry', '{"n": "a"}', 'ev-q', 7, tags => '{x,y z}', tenant_id => 't', group_key => 'g', correlation_id => 'c'));
SELECT results_eq($$ SELECT event, job_id, attempt, epoch, task_type, queue, tenant_id, correlation_id, worker_id, result, error_type, error_code, error_message FROM taskq.events $$,
	$$ VALUES ('enqueued', pg_temp.id('a'), 0, NULL::bigint, 'ev-retry', 'ev-q', 't', 'c', NULL, NULL::jsonb, NULL, NULL, NULL) $$, 'enqueued');
SELECT results_eq($$ SELECT e.metadata FROM taskq.events e $$,
	$$ SELECT jsonb_build_object('state', 'available', 'run_at', run_at, 'priority', 7, 'max_attempts', 2, 'tags', '{x,y z}'::text[], 'group_key', 'g') FROM taskq.all_jobs WHERE job_id = pg_temp.id('a') $$,
	'the metadata of enqueued has the further values');
SELECT is(pg_temp.take('ev-w', 'ev-retry'), 'a', 'a worker claims the job');
SELECT results_eq($$ SELECT e.event, e.attempt, e.epoch, e.worker_id, e.correlation_id, e.metadata FROM pg_temp.last('a') e $$,
	$$ SELECT 'claimed', 1, pg_temp.e('a'), 'ev-w', 'c', jsonb_build_object('state', 'running', 'lease_expires_at', lease_expires_at) FROM taskq.all_jobs WHERE job_id = pg_temp.id('a') $$, 'claimed');
SELECT taskq.heartbeat_job(pg_temp.id('a'), pg_temp.e('a')) \gset
SELECT is((pg_temp.last('a')).event, 'claimed', 'a heartbeat without progress is no event');
SELECT taskq.heartbeat_job(pg_temp.id('a'), pg_temp.e('a'), progress => '{"done": 3}') \gset
SELECT results_eq($$ SELECT e.event, e.attempt, e.metadata->'progress' FROM pg_temp.last('a') e $$, $$ VALUES ('progressed', 1, '{"done": 3}'::jsonb) $$, 'progressed');
SELECT taskq.fail_job(pg_temp.id('a'), pg_temp.e('a'), 'no "luck"', 'timeout', 'E1') \gset
SELECT results_eq($$ SELECT e.event, e.attempt, e.epoch, e.worker_id, e.error_type, e.error_code, e.error_message, e.metadata - 'started_at' FROM pg_temp.last('a') e $$,
	$$ SELECT 'failed', 1, pg_temp.e('a'), 'ev-w', 'timeout', 'E1', 'no "luck"', jsonb_build_object('state', 'retryable', 'run_at', run_at, 'outcome', 'failed', 'handler_version', '1.2')
	   FROM taskq.all_jobs WHERE job_id = pg_temp.id('a') $$, 'failed');
SELECT ok((pg_temp.last('a')).metadata ? 'started_at', 'the end of a run has its start time');
SELECT taskq.retry_job(pg_temp.id('a')) \gset
SELECT is(pg_temp.take('ev-w', 'ev-retry'), 'a', 'a worker claims the job again');
SELECT taskq.complete_job(pg_temp.id('a'), pg_temp.e('a'), '{"r": 1}') \gset
SELECT results_eq($$ SELECT e.event, e.attempt, e.result, e.error_message FROM pg_temp.last('a') e $$, $$ VALUES ('completed', 2, '{"r": 1}'::jsonb, NULL) $$, 'the event completed has the result');
SELECT is(pg_temp.events('a'), 'enqueued 0 available, claimed 1 running, progressed 1 running, failed 1 retryable, retried 1 available, claimed 2 running, completed 2 completed',
	'the log has all events of the job in order, including a retry by hand');
SELECT taskq.retry_job(pg_temp.id('a'), force => true) \gset
SELECT is((pg_temp.last('a')).event || (pg_temp.last('a')).attempt, 'retried0', 'the event retried is recorded when a completed job is put back');

-- other ends
SELECT pg_temp.take('ev-w', 'ev-retry'), taskq.fail_job(pg_temp.id('a'), pg_temp.e('a'), 'never', retryable => false) \gset
SELECT alike(pg_temp.events('a'), '%, retried 0 available, claimed 1 running, failed 1 discarded, discarded 1 discarded', 'the last failure is recorded as failed and discarded');
SELECT is((pg_temp.last('a')).error_message, 'never', 'both events have the message');
SELECT pg_temp.add('b', 'ev-ext', q => 'ev-q'), pg_temp.take('ev-w', 'ev-ext') \gset
SELECT pg_temp.add('c', 'ev-retry', q => 'ev-q'), pg_temp.add('d', 'ev-retry', q => 'ev-q'), pg_temp.add('e', 'ev-retry', q => 'ev-q', at => taskq.clock_now() + '1 h') \gset
SELECT pg_temp.take('ev-w', 'ev-retry'), taskq.release_job(pg_temp.id('c'), pg_temp.e('c')) \gset
SELECT is(pg_temp.events('c'), 'enqueued 0 available, claimed 1 running, released 0 available', 'the event released is recorded');
SELECT pg_temp.take('ev-w', 'ev-retry'), taskq.snooze_job(pg_temp.id('c'), pg_temp.e('c'), '1 h') \gset
SELECT is((pg_temp.last('c')).event || ' ' || ((pg_temp.last('c')).metadata->>'state') || ' ' || (pg_temp.last('c')).worker_id, 'snoozed scheduled ev-w', 'the event snoozed is recorded');
SELECT taskq.cancel_job(pg_temp.id('c'), reason => 'no need') \gset
SELECT results_eq($$ SELECT e.event, e.error_message, e.error_type FROM pg_temp.last('c') e $$, $$ VALUES ('cancelled', 'no need', NULL) $$, 'the event cancelled of a waiting job has the reason');
SELECT pg_temp.take('ev-w', 'ev-retry'), taskq.cancel_job(pg_temp.id('d'), pg_temp.e('d'), 'given up') \gset
SELECT is(pg_temp.events('d') || (pg_temp.last('d')).error_message, 'enqueued 0 available, claimed 1 running, cancelled 1 cancelledgiven up', 'a worker that cancels its job causes one event');
SELECT is(pg_temp.events('e'), 'enqueued 0 scheduled', 'the event enqueued of a future job is recorded');
SELECT taskq.discard_job(pg_temp.id('e'), 'old') \gset
SELECT is((pg_temp.last('e')).event || (pg_temp.last('e')).error_message, 'discardedold', 'the event discarded is recorded');
SELECT taskq.alter_queue('ev-q', on_unhandled => 'fail') \gset
SELECT pg_temp.add('g', 'ev-nobody', q => 'ev-q') \gset
SELECT is(pg_temp.events('g') || ' ' || (pg_temp.last('g')).error_type, 'enqueued 0 discarded, discarded 0 discarded permanent_error', 'the events of an unhandled job are recorded');
INSERT INTO j VALUES ('h', taskq.enqueue_job('ev-chain', queue => 'ev-q'));
SELECT pg_temp.id('h') AS h \gset
SET SESSION AUTHORIZATION regress_events;
SELECT result FROM taskq.run_job(:h) \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT is(pg_temp.events('h'), 'enqueued 0 available, completed 1 completed', 'a run in the server causes one event, with its outcome');
SELECT ok((pg_temp.last('h')).metadata ? 'started_at', 'that event has the start time of the run');
SELECT count(*) AS before FROM taskq.events \gset
SELECT pg_temp.add('silent', 'ev-ext', q => 'ev-silent') \gset
SELECT is((SELECT count(*) FROM taskq.events), :before::bigint, 'a queue that records no events adds none');
SAVEPOINT s;
SELECT pg_temp.add('undone', 'ev-ext', q => 'ev-q') \gset
SELECT is(pg_temp.events('undone'), 'enqueued 0 available', 'an event is recorded in a savepoint');
ROLLBACK TO s;
SELECT is((SELECT count(*) FROM taskq.events), :before::bigint, 'the event is gone after a rollback to the savepoint');

-- reading -------------------------------------------------------------------------
SELECT results_eq('SELECT * FROM taskq.read_events()', 'SELECT * FROM taskq.events ORDER BY event_id', 'read_events() reads the log in order');
SELECT max(event_id) AS last, min(event_id) AS first FROM taskq.events \gset
SELECT is((SELECT array_agg(event_id) FROM taskq.read_events(:first, 2)), (SELECT array_agg(event_id) FROM (SELECT event_id FROM taskq.events ORDER BY 1 OFFSET 1 LIMIT 2) x), 'read_events() returns max_events events after a position');
SELECT is_empty('SELECT FROM taskq.read_events(' || :last || ')', 'read_events() returns nothing after the last event');
SELECT ok(taskq.event_position() >= :last, 'event_position() is at or after the last event');
SELECT is_empty('SELECT FROM taskq.read_events(taskq.event_position())', 'read_events() returns nothing after event_position()');
SELECT results_eq($$ SELECT event FROM taskq.read_events(job_id => pg_temp.id('c')) $$, $$ SELECT event FROM taskq.events WHERE job_id = pg_temp.id('c') ORDER BY event_id $$, 'read_events() can be restricted to one job');
SELECT is((SELECT count(*) FROM taskq.read_events(task_types => '{ev-nobody,ev-chain}')), 4::bigint, 'read_events() can be restricted to task types');
SELECT is((SELECT count(*) FROM taskq.read_events(queues => '{ev-silent}')), 0::bigint, 'read_events() can be restricted to queues');
SET LOCAL taskq.max_wait = '1 ms';
SELECT is((SELECT count(*) FROM taskq.read_events(:last, wait => '1 h')), 0::bigint, 'taskq.max_wait limits the wait');
SELECT throws_ok('SELECT taskq.read_events(NULL)', '22004', NULL, 'after must not be NULL');
SELECT throws_ok('SELECT taskq.read_events(0, 0)', '22023', NULL, 'max_events must not be 0');
SELECT throws_ok('SELECT taskq.read_events(0, 10001)', '22023', NULL, 'max_events must not exceed 10000');
SELECT throws_ok($$ SELECT taskq.read_events(0, wait => '-1 s') $$, '22023', NULL, 'wait must not be negative');
SELECT throws_ok($$ SELECT taskq.alter_queue('ev-q', retain_events => '-1 s') $$, '22023', NULL, 'retain_events must not be negative');
SELECT taskq.alter_queue('ev-q', events => false) \gset
SELECT pg_temp.add('off', 'ev-ext', q => 'ev-q') \gset
SELECT is(pg_temp.events('off'), NULL, 'no event is recorded after events were switched off');
SELECT is(retain_events, interval '1 day', 'alter_queue() keeps values that are not given') FROM taskq.queues WHERE queue = 'ev-q';

SELECT finish();
ROLLBACK;
