-- Jobs whose task type nobody has registered: on_unhandled.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/wait.sql
CREATE ROLE tq_unhandled LOGIN;
CREATE SCHEMA tq_unhandled AUTHORIZATION tq_unhandled;
SELECT count(taskq.grant_access('tq_unhandled', a)) FROM unnest('{producer,worker,observer}'::text[]) a \gset
CREATE FUNCTION tq_unhandled.twice(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb((payload->>'n')::int * 2) $$;
ALTER FUNCTION tq_unhandled.twice(jsonb) OWNER TO tq_unhandled;
CREATE TEMP TABLE j (name text PRIMARY KEY, id bigint, e bigint);
GRANT ALL ON j TO tq_unhandled;
CREATE FUNCTION pg_temp.add(n text, t text, q text, at timestamptz DEFAULT NULL) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO j VALUES (n, taskq.enqueue_job(t, '{"n": 21}', queue => q, run_at => at)) $$;
CREATE FUNCTION pg_temp.id(n text) RETURNS bigint LANGUAGE sql AS $$ SELECT id FROM j WHERE name = n $$;
CREATE FUNCTION pg_temp.e(n text) RETURNS bigint LANGUAGE sql AS $$ SELECT e FROM j WHERE name = n $$;
CREATE FUNCTION pg_temp.state(n text) RETURNS text LANGUAGE sql AS
	$$ SELECT state || ' ' || attempt FROM taskq.all_jobs WHERE job_id = (SELECT id FROM j WHERE name = n) $$;
CREATE FUNCTION pg_temp.attempts(n text) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(attempt || ' ' || outcome, ', ' ORDER BY epoch) FROM taskq.attempts WHERE job_id = (SELECT id FROM j WHERE name = n) $$;
SELECT plan(64);

-- the setting
SELECT taskq.create_queue('uh-wait'), taskq.create_queue('uh-fail', on_unhandled => 'fail'),
	taskq.create_queue('uh-reject', on_unhandled => 'reject'), taskq.create_queue('uh-later'), taskq.create_queue('uh-mark') \gset
SELECT is(string_agg(queue || ' ' || on_unhandled, ', ' ORDER BY queue), 'default wait, uh-fail fail, uh-reject reject, uh-wait wait',
	'a queue waits unless it was made to fail or reject') FROM taskq.queues WHERE queue IN ('default', 'uh-fail', 'uh-reject', 'uh-wait');
SELECT throws_ok($$ SELECT taskq.create_queue('uh-x', on_unhandled => 'drop') $$, '22023', NULL, 'another word is refused');
SELECT throws_ok($$ SELECT taskq.alter_queue('uh-wait', on_unhandled => 'FAIL') $$, '22023', NULL, 'by alter_queue too');
SELECT throws_ok($$ SELECT taskq.alter_queue('uh-none', on_unhandled => 'fail') $$, '42704', NULL, 'no such queue');
SELECT taskq.alter_queue('uh-fail', description => 'gives up') \gset
SELECT is(on_unhandled, 'fail', 'an alter_queue that does not name it leaves it') FROM taskq.queues WHERE queue = 'uh-fail';
SELECT taskq.register_handler('uh-ext'), taskq.register_handler('uh-run', 'tq_unhandled.twice(jsonb)', run_as => 'tq_unhandled') \gset

-- wait
SELECT pg_temp.add('waits', 'uh-none', 'uh-wait') \gset
SELECT is(pg_temp.state('waits'), 'available 0', 'wait: the job is there');
SELECT is(pg_temp.attempts('waits'), NULL, 'with no attempt');
SELECT is(reason || ' ' || jobs, 'no handler registered 1', 'and the view says why') FROM taskq.unroutable_jobs WHERE task_type = 'uh-none' AND queue = 'uh-wait';

-- fail, at enqueue
SELECT pg_temp.add('fails', 'uh-none', 'uh-fail') \gset
SELECT is(pg_temp.state('fails'), 'discarded 0', 'fail: the job is discarded at once, before its first attempt');
SELECT is(pg_temp.attempts('fails'), '0 unhandled', 'attempts has the row of attempt 0');
SELECT is(error_type, 'permanent_error', 'of a permanent error') FROM taskq.attempts WHERE job_id = pg_temp.id('fails');
SELECT matches(error_message, 'no handler registered for task type "uh-none".*uh-ext.*uh-run', 'which names the type and lists the registered ones')
	FROM taskq.attempts WHERE job_id = pg_temp.id('fails');
SELECT ok(a.worker_id IS NULL AND a.started_at IS NULL AND a.sqlstate IS NULL AND a.finished_at IS NOT NULL AND a.epoch > 0,
	'nobody ran it') FROM taskq.attempts a WHERE job_id = pg_temp.id('fails');
SELECT ok(j.last_error = a.error_message AND j.finished_at IS NOT NULL AND j.worker_id IS NULL AND j.payload = '{"n": 21}' AND j.queue = 'uh-fail',
	'and the ended job says the same') FROM taskq.all_jobs j JOIN taskq.attempts a USING (job_id) WHERE job_id = pg_temp.id('fails');
SELECT is(count(*), 0::bigint, 'it does not wait for anybody') FROM taskq.unroutable_jobs WHERE queue = 'uh-fail';
SELECT is(available + scheduled + retryable + running, 0::bigint, 'it is in no depth of its queue') FROM taskq.stat_queues WHERE queue = 'uh-fail';
SELECT is(count(*), 0::bigint, 'and in no statistics of handlers') FROM taskq.stat_handlers WHERE task_type = 'uh-none';
SELECT pg_temp.add('ahead', 'uh-none', 'uh-fail', taskq.clock_now() + '1 h') \gset
SELECT is(pg_temp.state('ahead'), 'discarded 0', 'a job with a future run_at does not wait for it');
CREATE TEMP TABLE many AS SELECT id, n FROM taskq.enqueue_jobs('uh-none', '{1,2,3}', queue => 'uh-fail') WITH ORDINALITY AS x (id, n);
SELECT is(array_agg(j.payload::text || j.state ORDER BY m.n), '{1discarded,2discarded,3discarded}', 'enqueue_jobs: each of them, in order')
	FROM many m JOIN taskq.all_jobs j ON j.job_id = m.id;
SELECT is(count(DISTINCT epoch), 3::bigint, 'each with a row and an epoch of its own') FROM taskq.attempts WHERE job_id IN (SELECT id FROM many);
BEGIN;
SELECT pg_temp.add('undone', 'uh-none', 'uh-fail') \gset
SELECT id AS undone FROM j WHERE name = 'undone' \gset
ROLLBACK;
SELECT ok(NOT EXISTS (SELECT FROM taskq.all_jobs WHERE job_id = :undone) AND NOT EXISTS (SELECT FROM taskq.attempts WHERE job_id = :undone),
	'a producer that rolls back leaves nothing');
BEGIN;
SELECT taskq.alter_queue('default', on_unhandled => 'fail') \gset
SELECT pg_temp.add('default', 'uh-none', NULL) \gset
SELECT is(pg_temp.state('default'), 'discarded 0', 'the queue default can be told so too');
SELECT taskq.alter_queue('default', on_unhandled => 'wait') \gset
SELECT pg_temp.add('default again', 'uh-none', 'default') \gset
SELECT is(pg_temp.state('default again'), 'available 0', 'and back');
ROLLBACK;
SET SESSION AUTHORIZATION tq_unhandled;
SELECT pg_temp.add('producer', 'uh-none', 'uh-fail') \gset
SELECT is(pg_temp.state('producer'), 'discarded 0', 'an ordinary producer''s job likewise');
SELECT throws_ok($$ SELECT taskq.alter_queue('uh-wait', on_unhandled => 'fail') $$, '42501', NULL, 'who may not change a queue');
RESET SESSION AUTHORIZATION;

-- registered types are handled
SELECT pg_temp.add('handled', 'uh-ext', 'uh-fail'), pg_temp.add('pool', 'uh-run', 'uh-fail') \gset
SELECT is(pg_temp.state('handled'), 'available 0', 'a registered type waits for its worker in any queue');
SELECT pg_temp.came($$ SELECT pg_temp.state('pool') = 'completed 1' $$) \gset
SELECT is(pg_temp.state('pool') || ' ' || result, 'completed 1 42', 'and runs in the pool') FROM taskq.all_jobs WHERE job_id = pg_temp.id('pool');

-- an operator puts a job back
SELECT taskq.register_handler('uh-none'), taskq.register_worker('uh-w', queues => '{uh-fail,uh-wait}') \gset
SELECT is(pg_temp.state('fails'), 'discarded 0', 'a type that is registered later does not bring a job back');
SELECT ok(taskq.retry_job(pg_temp.id('fails')), 'but an operator does');
UPDATE j SET e = c.epoch FROM taskq.claim_job('uh-w', '{uh-none}') c WHERE c.job_id = j.id AND j.name = 'fails';
SELECT is(pg_temp.state('fails'), 'running 1', 'and it is claimed for its first attempt');
SELECT ok(taskq.complete_job(pg_temp.id('fails'), pg_temp.e('fails')), 'and completes');
SELECT is(pg_temp.attempts('fails'), '0 unhandled, 1 completed', 'both can be read');
SELECT is(max_attempts - attempt, 19, 'the discard has used up no attempt') FROM taskq.all_jobs WHERE job_id = pg_temp.id('fails');

-- unregister_handler: waiting jobs are discarded, running jobs are not
SELECT pg_temp.add('due', 'uh-none', 'uh-fail'), pg_temp.add('future', 'uh-none', 'uh-fail', taskq.clock_now() + '1 h'),
	pg_temp.add('failed', 'uh-none', 'uh-fail'), pg_temp.add('running', 'uh-none', 'uh-fail'), pg_temp.add('released', 'uh-none', 'uh-fail') \gset
UPDATE j SET e = c.epoch FROM taskq.claim_jobs('uh-w', 10, '{uh-none}') c WHERE c.job_id = j.id;
SELECT taskq.release_job(pg_temp.id('due'), pg_temp.e('due')), taskq.release_job(pg_temp.id('waits'), pg_temp.e('waits')),
	taskq.fail_job(pg_temp.id('failed'), pg_temp.e('failed'), 'no luck', retry_in => '1 h') \gset
SELECT is(string_agg(name || ' ' || pg_temp.state(name), ', ' ORDER BY name),
	'due available 0, failed retryable 1, future scheduled 0, released running 1, running running 1, waits available 0', 'jobs in all kinds of states')
	FROM j WHERE name IN ('due', 'future', 'failed', 'running', 'released', 'waits');
BEGIN;
SELECT ok(taskq.unregister_handler('uh-none'), 'unregistered');
SELECT taskq.register_handler('uh-none') \gset
COMMIT;
BEGIN;
SELECT ok(taskq.unregister_handler('uh-none'), 'and again');
ROLLBACK;
SELECT taskq.alter_queue('uh-mark', on_unhandled => 'wait'), pg_temp.add('mark', 'uh-mark', 'uh-mark') \gset
SELECT taskq.alter_queue('uh-mark', on_unhandled => 'fail') \gset
SELECT pg_temp.came($$ SELECT pg_temp.state('mark') = 'discarded 0' $$) \gset
SELECT is(pg_temp.state('mark'), 'discarded 0', 'the scheduler has looked');
SELECT is(pg_temp.state('due') || ', ' || pg_temp.state('future'), 'available 0, scheduled 0',
	'an unregistration that is undone, or made good in its transaction, discards nothing');
SELECT ok(taskq.unregister_handler('uh-none'), 'unregistered for good');
SELECT pg_temp.came($$ SELECT pg_temp.state('due') = 'discarded 0' AND pg_temp.state('future') = 'discarded 0' AND pg_temp.state('failed') LIKE 'discarded%' $$) \gset
SELECT is(pg_temp.state('due'), 'discarded 0', 'an available job is discarded');
SELECT is(pg_temp.state('future'), 'discarded 0', 'a scheduled one');
SELECT is(pg_temp.state('failed'), 'discarded 0', 'a retryable one');
SELECT is(pg_temp.attempts('due'), '0 unhandled', 'with the row of attempt 0');
SELECT is(pg_temp.attempts('failed'), '1 failed, 0 unhandled', 'beside those of the attempts there were');
SELECT matches(last_error, 'no handler registered for task type "uh-none"', 'and the reason in the job') FROM taskq.all_jobs WHERE job_id = pg_temp.id('failed');
SELECT is(pg_temp.state('waits'), 'available 0', 'a job in a queue that waits is let alone');
SELECT is(pg_temp.state('running') || ', ' || pg_temp.state('released'), 'running 1, running 1', 'and so are those that run');
SELECT ok(taskq.complete_job(pg_temp.id('running'), pg_temp.e('running'), '1'), 'which can complete');
SELECT is(pg_temp.state('running') || ' ' || pg_temp.attempts('running'), 'completed 1 1 completed', 'as ever');
SELECT ok(taskq.release_job(pg_temp.id('released'), pg_temp.e('released')), 'but one that is given back');
SELECT pg_temp.came($$ SELECT pg_temp.state('released') = 'discarded 0' $$) \gset
SELECT is(pg_temp.state('released') || ' ' || pg_temp.attempts('released'), 'discarded 0 0 unhandled', 'is discarded then');

-- alter_queue: jobs that wait already
SELECT pg_temp.add('old', 'uh-none', 'uh-later'), pg_temp.add('old ext', 'uh-ext', 'uh-later'),
	pg_temp.add('old ahead', 'uh-other', 'uh-later', taskq.clock_now() + '1 h') \gset
SELECT is(pg_temp.state('old') || ', ' || pg_temp.state('old ahead'), 'available 0, scheduled 0', 'jobs wait in a queue that waits');
SELECT taskq.alter_queue('uh-later', on_unhandled => 'fail') \gset
SELECT pg_temp.came($$ SELECT pg_temp.state('old') = 'discarded 0' AND pg_temp.state('old ahead') = 'discarded 0' $$) \gset
SELECT is(pg_temp.state('old') || ', ' || pg_temp.state('old ahead'), 'discarded 0, discarded 0', 'until it is told to fail');
SELECT is(pg_temp.attempts('old') || ', ' || pg_temp.attempts('old ahead'), '0 unhandled, 0 unhandled', 'as at enqueue');
SELECT is(pg_temp.state('old ext'), 'available 0', 'one of a registered type waits on');

-- a type is registered even if it is paused, too old or without its function
SELECT taskq.register_handler('uh-old', version => '1'), taskq.pause_handler('uh-ext') \gset
CREATE FUNCTION tq_unhandled.gone(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT payload $$;
SELECT taskq.register_handler('uh-gone', 'tq_unhandled.gone(jsonb)', run_as => 'tq_unhandled') \gset
DROP FUNCTION tq_unhandled.gone(jsonb);
INSERT INTO j VALUES ('too old', taskq.enqueue_job('uh-old', queue => 'uh-fail', min_version => '2'));
SELECT pg_temp.add('paused', 'uh-ext', 'uh-fail'), pg_temp.add('unresolved', 'uh-gone', 'uh-fail'), taskq.alter_queue('uh-mark', on_unhandled => 'wait') \gset
SELECT pg_temp.add('mark 2', 'uh-mark', 'uh-mark'), taskq.alter_queue('uh-mark', on_unhandled => 'fail') \gset
SELECT pg_temp.came($$ SELECT pg_temp.state('mark 2') = 'discarded 0' $$) \gset
SELECT is(pg_temp.state('mark 2'), 'discarded 0', 'the scheduler has looked again');
SELECT is(string_agg(pg_temp.state(n), ', '), 'available 0, available 0, available 0', 'a paused, an outdated and an unresolved handler are handlers')
	FROM unnest('{paused,too old,unresolved}'::text[]) n;

-- reject
SELECT throws_ok($$ SELECT taskq.enqueue_job('uh-none', queue => 'uh-reject') $$, 'TQ002',
	'no handler registered for task type "uh-none"', 'reject: enqueue_job raises');
SELECT throws_ok($$ SELECT * FROM taskq.enqueue_jobs('uh-none', '{1,2}', queue => 'uh-reject') $$, 'TQ002', NULL, 'enqueue_jobs too');
SELECT matches(pg_temp.detail_of($$ SELECT taskq.enqueue_job('uh-none', queue => 'uh-reject') $$), 'uh-ext.*uh-gone.*uh-old.*uh-run', 'the detail lists the registered types');
SELECT is(count(*), 0::bigint, 'and there is no job') FROM taskq.all_jobs WHERE queue = 'uh-reject';
SELECT pg_temp.add('taken', 'uh-old', 'uh-reject') \gset
SELECT is(pg_temp.state('taken'), 'available 0', 'a registered type is taken');
SELECT taskq.unregister_handler('uh-old') \gset
SELECT taskq.alter_queue('uh-mark', on_unhandled => 'wait') \gset
SELECT pg_temp.add('mark 3', 'uh-mark', 'uh-mark'), taskq.alter_queue('uh-mark', on_unhandled => 'fail') \gset
SELECT pg_temp.came($$ SELECT pg_temp.state('mark 3') = 'discarded 0' AND pg_temp.state('too old') = 'discarded 0' $$) \gset
SELECT is(pg_temp.state('too old'), 'discarded 0', 'unregistered afterwards, it is discarded where the queue fails');
SELECT is(pg_temp.state('taken'), 'available 0', 'and waits where the queue only refuses new ones');

SELECT finish();
SELECT count(taskq.unregister_handler(t)) FROM unnest('{uh-ext,uh-run,uh-gone}'::text[]) t \gset
SELECT count(taskq.cancel_job(job_id)) FROM taskq.all_jobs WHERE queue LIKE 'uh-%' AND finished_at IS NULL \gset
SELECT taskq.unregister_worker('uh-w'), taskq.drop_pool('tq_unhandled') \gset
SELECT count(taskq.revoke_access('tq_unhandled', a)) FROM unnest('{producer,worker,observer}'::text[]) a \gset
DROP SCHEMA tq_unhandled CASCADE;
DROP TABLE j;
DROP ROLE tq_unhandled;
