-- Jobs whose task type nobody has registered: on_unhandled.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/wait.sql
\i test/sql/include/named_jobs.sql
CREATE ROLE tq_unhandled LOGIN;
CREATE SCHEMA tq_unhandled AUTHORIZATION tq_unhandled;
SELECT count(taskq.grant_access('tq_unhandled', a)) FROM unnest('{producer,worker,observer}'::text[]) a \gset
CREATE FUNCTION tq_unhandled.twice(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb((payload->>'n')::int * 2) $$;
ALTER FUNCTION tq_unhandled.twice(jsonb) OWNER TO tq_unhandled;
GRANT ALL ON j TO tq_unhandled;
CREATE FUNCTION pg_temp.add(n text, t text, q text, at timestamptz DEFAULT NULL) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO j VALUES (n, taskq.enqueue_job(t, '{"n": 21}', queue => q, run_at => at)) $$;
CREATE FUNCTION pg_temp.attempts(n text) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(attempt || ' ' || outcome, ', ' ORDER BY epoch) FROM taskq.attempts WHERE job_id = (SELECT id FROM j WHERE name = n) $$;
SELECT plan(64);

-- the setting
SELECT taskq.create_queue('uh-wait'), taskq.create_queue('uh-fail', on_unhandled => 'fail'),
	taskq.create_queue('uh-reject', on_unhandled => 'reject'), taskq.create_queue('uh-later'), taskq.create_queue('uh-mark') \gset
SELECT is(string_agg(queue || ' ' || on_unhandled, ', ' ORDER BY queue), 'default wait, uh-fail fail, uh-reject reject, uh-wait wait',
	'on_unhandled is wait unless it was given') FROM taskq.queues WHERE queue IN ('default', 'uh-fail', 'uh-reject', 'uh-wait');
SELECT throws_ok($$ SELECT taskq.create_queue('uh-x', on_unhandled => 'drop') $$, '22023', NULL, 'create_queue() refuses another value');
SELECT throws_ok($$ SELECT taskq.alter_queue('uh-wait', on_unhandled => 'FAIL') $$, '22023', NULL, 'alter_queue() refuses another value');
SELECT throws_ok($$ SELECT taskq.alter_queue('uh-none', on_unhandled => 'fail') $$, '42704', NULL, 'alter_queue() refuses an unknown queue');
SELECT taskq.alter_queue('uh-fail', description => 'gives up') \gset
SELECT is(on_unhandled, 'fail', 'alter_queue() keeps on_unhandled if it is not given') FROM taskq.queues WHERE queue = 'uh-fail';
SELECT taskq.register_handler('uh-ext'), taskq.register_handler('uh-run', 'tq_unhandled.twice(jsonb)', run_as => 'tq_unhandled') \gset

-- wait
SELECT pg_temp.add('waits', 'uh-none', 'uh-wait') \gset
SELECT is(pg_temp.state('waits'), 'available 0', 'wait: an unhandled job is available');
SELECT is(pg_temp.attempts('waits'), NULL, 'wait: an unhandled job has no attempt');
SELECT is(reason || ' ' || jobs, 'no handler registered 1', 'wait: unroutable_jobs has the reason') FROM taskq.unroutable_jobs WHERE task_type = 'uh-none' AND queue = 'uh-wait';

-- fail, at enqueue
SELECT pg_temp.add('fails', 'uh-none', 'uh-fail') \gset
SELECT is(pg_temp.state('fails'), 'discarded 0', 'fail: an unhandled job is discarded at once, before its first attempt');
SELECT is(pg_temp.attempts('fails'), '0 unhandled', 'fail: taskq.attempts has attempt 0');
SELECT is(error_type, 'permanent_error', 'fail: the error type is permanent_error') FROM taskq.attempts WHERE job_id = pg_temp.id('fails');
SELECT matches(error_message, 'no handler registered for task type "uh-none".*uh-ext.*uh-run', 'fail: the message names the type and lists the registered ones')
	FROM taskq.attempts WHERE job_id = pg_temp.id('fails');
SELECT ok(a.worker_id IS NULL AND a.started_at IS NULL AND a.sqlstate IS NULL AND a.finished_at IS NOT NULL AND a.epoch > 0,
	'fail: attempt 0 has no worker and no start') FROM taskq.attempts a WHERE job_id = pg_temp.id('fails');
SELECT ok(j.last_error = a.error_message AND j.finished_at IS NOT NULL AND j.worker_id IS NULL AND j.payload = '{"n": 21}' AND j.queue = 'uh-fail',
	'fail: the ended job has the same message') FROM taskq.all_jobs j JOIN taskq.attempts a USING (job_id) WHERE job_id = pg_temp.id('fails');
SELECT is(count(*), 0::bigint, 'fail: unroutable_jobs does not list the job') FROM taskq.unroutable_jobs WHERE queue = 'uh-fail';
SELECT is(available + scheduled + retryable + running, 0::bigint, 'fail: stat_queues does not count the job') FROM taskq.stat_queues WHERE queue = 'uh-fail';
SELECT is(count(*), 0::bigint, 'fail: stat_handlers does not count the job') FROM taskq.stat_handlers WHERE task_type = 'uh-none';
SELECT pg_temp.add('ahead', 'uh-none', 'uh-fail', taskq.clock_now() + '1 h') \gset
SELECT is(pg_temp.state('ahead'), 'discarded 0', 'fail: a future job is discarded at once');
CREATE TEMP TABLE many AS SELECT id, n FROM taskq.enqueue_jobs('uh-none', '{1,2,3}', queue => 'uh-fail') WITH ORDINALITY AS x (id, n);
SELECT is(array_agg(j.payload::text || j.state ORDER BY m.n), '{1discarded,2discarded,3discarded}', 'fail: enqueue_jobs() discards each job, in order')
	FROM many m JOIN taskq.all_jobs j ON j.job_id = m.id;
SELECT is(count(DISTINCT epoch), 3::bigint, 'fail: each of these jobs has an attempt and an epoch of its own') FROM taskq.attempts WHERE job_id IN (SELECT id FROM many);
BEGIN;
SELECT pg_temp.add('undone', 'uh-none', 'uh-fail') \gset
SELECT id AS undone FROM j WHERE name = 'undone' \gset
ROLLBACK;
SELECT ok(NOT EXISTS (SELECT FROM taskq.all_jobs WHERE job_id = :undone) AND NOT EXISTS (SELECT FROM taskq.attempts WHERE job_id = :undone),
	'fail: a rollback of the enqueue leaves no job and no attempt');
BEGIN;
SELECT taskq.alter_queue('default', on_unhandled => 'fail') \gset
SELECT pg_temp.add('default', 'uh-none', NULL) \gset
SELECT is(pg_temp.state('default'), 'discarded 0', 'on_unhandled of the queue default can be set to fail');
SELECT taskq.alter_queue('default', on_unhandled => 'wait') \gset
SELECT pg_temp.add('default again', 'uh-none', 'default') \gset
SELECT is(pg_temp.state('default again'), 'available 0', 'on_unhandled of the queue default can be set to wait');
ROLLBACK;
SET SESSION AUTHORIZATION tq_unhandled;
SELECT pg_temp.add('producer', 'uh-none', 'uh-fail') \gset
SELECT is(pg_temp.state('producer'), 'discarded 0', 'fail: a job of an ordinary producer is discarded');
SELECT throws_ok($$ SELECT taskq.alter_queue('uh-wait', on_unhandled => 'fail') $$, '42501', NULL, 'an ordinary producer cannot alter a queue');
RESET SESSION AUTHORIZATION;

-- registered types are handled
SELECT pg_temp.add('handled', 'uh-ext', 'uh-fail'), pg_temp.add('pool', 'uh-run', 'uh-fail') \gset
SELECT is(pg_temp.state('handled'), 'available 0', 'fail: a job of a registered external type is available');
SELECT pg_temp.came($$ SELECT pg_temp.state('pool') = 'completed 1' $$) \gset
SELECT is(pg_temp.state('pool') || ' ' || result, 'completed 1 42', 'fail: a job of a registered type runs in the pool') FROM taskq.all_jobs WHERE job_id = pg_temp.id('pool');

-- an operator puts a job back
SELECT taskq.register_handler('uh-none'), taskq.register_worker('uh-w', queues => '{uh-fail,uh-wait}') \gset
SELECT is(pg_temp.state('fails'), 'discarded 0', 'a discarded job stays discarded when its type is registered later');
SELECT ok(taskq.retry_job(pg_temp.id('fails')), 'retry_job() puts back a discarded job');
UPDATE j SET e = c.epoch FROM taskq.claim_job('uh-w', '{uh-none}') c WHERE c.job_id = j.id AND j.name = 'fails';
SELECT is(pg_temp.state('fails'), 'running 1', 'the job is claimed for its first attempt');
SELECT ok(taskq.complete_job(pg_temp.id('fails'), pg_temp.e('fails')), 'the job is completed');
SELECT is(pg_temp.attempts('fails'), '0 unhandled, 1 completed', 'taskq.attempts shows both attempts');
SELECT is(max_attempts - attempt, 19, 'the discard has not used an attempt') FROM taskq.all_jobs WHERE job_id = pg_temp.id('fails');

-- unregister_handler: waiting jobs are discarded, running jobs are not
SELECT pg_temp.add('due', 'uh-none', 'uh-fail'), pg_temp.add('future', 'uh-none', 'uh-fail', taskq.clock_now() + '1 h'),
	pg_temp.add('failed', 'uh-none', 'uh-fail'), pg_temp.add('running', 'uh-none', 'uh-fail'), pg_temp.add('released', 'uh-none', 'uh-fail') \gset
UPDATE j SET e = c.epoch FROM taskq.claim_jobs('uh-w', 10, '{uh-none}') c WHERE c.job_id = j.id;
SELECT taskq.release_job(pg_temp.id('due'), pg_temp.e('due')), taskq.release_job(pg_temp.id('waits'), pg_temp.e('waits')),
	taskq.fail_job(pg_temp.id('failed'), pg_temp.e('failed'), 'no luck', retry_in => '1 h') \gset
SELECT is(string_agg(name || ' ' || pg_temp.state(name), ', ' ORDER BY name),
	'due available 0, failed retryable 1, future scheduled 0, released running 1, running running 1, waits available 0', 'jobs in several states exist')
	FROM j WHERE name IN ('due', 'future', 'failed', 'running', 'released', 'waits');
BEGIN;
SELECT ok(taskq.unregister_handler('uh-none'), 'unregister_handler() returns true in a transaction that rolls back');
SELECT taskq.register_handler('uh-none') \gset
COMMIT;
BEGIN;
SELECT ok(taskq.unregister_handler('uh-none'), 'unregister_handler() returns true in a transaction that registers again');
ROLLBACK;
SELECT taskq.alter_queue('uh-mark', on_unhandled => 'wait'), pg_temp.add('mark', 'uh-mark', 'uh-mark') \gset
SELECT taskq.alter_queue('uh-mark', on_unhandled => 'fail') \gset
SELECT pg_temp.came($$ SELECT pg_temp.state('mark') = 'discarded 0' $$) \gset
SELECT is(pg_temp.state('mark'), 'discarded 0', 'the scheduler has looked for unhandled jobs');
SELECT is(pg_temp.state('due') || ', ' || pg_temp.state('future'), 'available 0, scheduled 0',
	'no job is discarded if the unregistration is rolled back, or the type registered again');
SELECT ok(taskq.unregister_handler('uh-none'), 'unregister_handler() returns true in a transaction that commits');
SELECT pg_temp.came($$ SELECT pg_temp.state('due') = 'discarded 0' AND pg_temp.state('future') = 'discarded 0' AND pg_temp.state('failed') LIKE 'discarded%' $$) \gset
SELECT is(pg_temp.state('due'), 'discarded 0', 'an available job is discarded');
SELECT is(pg_temp.state('future'), 'discarded 0', 'a scheduled job is discarded');
SELECT is(pg_temp.state('failed'), 'discarded 0', 'a retryable job is discarded');
SELECT is(pg_temp.attempts('due'), '0 unhandled', 'a job discarded after an unregistration has attempt 0');
SELECT is(pg_temp.attempts('failed'), '1 failed, 0 unhandled', 'its earlier attempts are kept');
SELECT matches(last_error, 'no handler registered for task type "uh-none"', 'the job has the reason') FROM taskq.all_jobs WHERE job_id = pg_temp.id('failed');
SELECT is(pg_temp.state('waits'), 'available 0', 'a job in a queue with on_unhandled => wait is kept');
SELECT is(pg_temp.state('running') || ', ' || pg_temp.state('released'), 'running 1, running 1', 'running jobs are kept');
SELECT ok(taskq.complete_job(pg_temp.id('running'), pg_temp.e('running'), '1'), 'a running job can be completed');
SELECT is(pg_temp.state('running') || ' ' || pg_temp.attempts('running'), 'completed 1 1 completed', 'the job is completed with one attempt');
SELECT ok(taskq.release_job(pg_temp.id('released'), pg_temp.e('released')), 'a running job can be released');
SELECT pg_temp.came($$ SELECT pg_temp.state('released') = 'discarded 0' $$) \gset
SELECT is(pg_temp.state('released') || ' ' || pg_temp.attempts('released'), 'discarded 0 0 unhandled', 'a released job is discarded');

-- alter_queue: jobs that wait already
SELECT pg_temp.add('old', 'uh-none', 'uh-later'), pg_temp.add('old ext', 'uh-ext', 'uh-later'),
	pg_temp.add('old ahead', 'uh-other', 'uh-later', taskq.clock_now() + '1 h') \gset
SELECT is(pg_temp.state('old') || ', ' || pg_temp.state('old ahead'), 'available 0, scheduled 0', 'unhandled jobs in a queue with on_unhandled => wait are kept');
SELECT taskq.alter_queue('uh-later', on_unhandled => 'fail') \gset
SELECT pg_temp.came($$ SELECT pg_temp.state('old') = 'discarded 0' AND pg_temp.state('old ahead') = 'discarded 0' $$) \gset
SELECT is(pg_temp.state('old') || ', ' || pg_temp.state('old ahead'), 'discarded 0, discarded 0', 'these jobs are discarded after alter_queue() sets fail');
SELECT is(pg_temp.attempts('old') || ', ' || pg_temp.attempts('old ahead'), '0 unhandled, 0 unhandled', 'these jobs have attempt 0');
SELECT is(pg_temp.state('old ext'), 'available 0', 'a job of a registered type is kept');

-- a type is registered even if it is paused, too old or without its function
SELECT taskq.register_handler('uh-old', version => '1'), taskq.pause_handler('uh-ext') \gset
CREATE FUNCTION tq_unhandled.gone(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT payload $$;
SELECT taskq.register_handler('uh-gone', 'tq_unhandled.gone(jsonb)', run_as => 'tq_unhandled') \gset
DROP FUNCTION tq_unhandled.gone(jsonb);
INSERT INTO j VALUES ('too old', taskq.enqueue_job('uh-old', queue => 'uh-fail', min_version => '2'));
SELECT pg_temp.add('paused', 'uh-ext', 'uh-fail'), pg_temp.add('unresolved', 'uh-gone', 'uh-fail'), taskq.alter_queue('uh-mark', on_unhandled => 'wait') \gset
SELECT pg_temp.add('mark 2', 'uh-mark', 'uh-mark'), taskq.alter_queue('uh-mark', on_unhandled => 'fail') \gset
SELECT pg_temp.came($$ SELECT pg_temp.state('mark 2') = 'discarded 0' $$) \gset
SELECT is(pg_temp.state('mark 2'), 'discarded 0', 'the scheduler has looked for unhandled jobs again');
SELECT is(string_agg(pg_temp.state(n), ', '), 'available 0, available 0, available 0', 'jobs of a paused, an outdated and an unresolved handler are not unhandled')
	FROM unnest('{paused,too old,unresolved}'::text[]) n;

-- reject
SELECT throws_ok($$ SELECT taskq.enqueue_job('uh-none', queue => 'uh-reject') $$, 'TQ002',
	'no handler registered for task type "uh-none"', 'reject: enqueue_job() raises TQ002');
SELECT throws_ok($$ SELECT * FROM taskq.enqueue_jobs('uh-none', '{1,2}', queue => 'uh-reject') $$, 'TQ002', NULL, 'reject: enqueue_jobs() raises TQ002');
SELECT matches(pg_temp.detail_of($$ SELECT taskq.enqueue_job('uh-none', queue => 'uh-reject') $$), 'uh-ext.*uh-gone.*uh-old.*uh-run', 'reject: the detail lists the registered types');
SELECT is(count(*), 0::bigint, 'reject: no job is enqueued') FROM taskq.all_jobs WHERE queue = 'uh-reject';
SELECT pg_temp.add('taken', 'uh-old', 'uh-reject') \gset
SELECT is(pg_temp.state('taken'), 'available 0', 'reject: a job of a registered type is enqueued');
SELECT taskq.unregister_handler('uh-old') \gset
SELECT taskq.alter_queue('uh-mark', on_unhandled => 'wait') \gset
SELECT pg_temp.add('mark 3', 'uh-mark', 'uh-mark'), taskq.alter_queue('uh-mark', on_unhandled => 'fail') \gset
SELECT pg_temp.came($$ SELECT pg_temp.state('mark 3') = 'discarded 0' AND pg_temp.state('too old') = 'discarded 0' $$) \gset
SELECT is(pg_temp.state('too old'), 'discarded 0', 'after an unregistration, a job in a queue with fail is discarded');
SELECT is(pg_temp.state('taken'), 'available 0', 'after an unregistration, a job in a queue with reject is kept');

SELECT finish();
SELECT count(taskq.unregister_handler(t)) FROM unnest('{uh-ext,uh-run,uh-gone}'::text[]) t \gset
SELECT count(taskq.cancel_job(job_id)) FROM taskq.all_jobs WHERE queue LIKE 'uh-%' AND finished_at IS NULL \gset
SELECT taskq.unregister_worker('uh-w'), taskq.drop_pool('tq_unhandled') \gset
SELECT count(taskq.revoke_access('tq_unhandled', a)) FROM unnest('{producer,worker,observer}'::text[]) a \gset
DROP SCHEMA tq_unhandled CASCADE;
DROP TABLE j;
DROP ROLE tq_unhandled;
