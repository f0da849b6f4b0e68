-- The guarantees of every claim and settle, in one transaction and without a pool.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
BEGIN;
SELECT plan(58);

SELECT taskq.register_handler('a'), taskq.register_handler('b', max_attempts => 2, retry_policy => 'fixed', retry_base => '0'),
	taskq.create_queue('other') \gset

-- order and filter
SELECT is(pg_temp.take('w'), NULL, 'nothing there: no row, no error');
SELECT pg_temp.add('late', 'a', 5), pg_temp.add('foreign', 'nobody', -9), pg_temp.add('second', 'b', 1),
	pg_temp.add('first', 'a', -1), pg_temp.add('ahead', 'a', -5, taskq.clock_now() + '1 h'), pg_temp.add('third', 'a', 1, NULL, 'other') \gset
SELECT is(pg_temp.take('w', 'nobody'), NULL, 'a type that nobody has registered gives no row');
SELECT is(pg_temp.take('w', 'b'), 'second', 'task_types narrow a claim');
SELECT is(pg_temp.take('w'), 'first', 'the lower priority number first');
SELECT is(pg_temp.take('w'), 'third', 'across queues and types');
SELECT is(pg_temp.take('w'), 'late', 'then the next');
SELECT is(pg_temp.take('w'), NULL, 'neither a future nor a foreign job');
SELECT is(pg_temp.state('ahead'), 'scheduled 0', 'a future job is scheduled');
SELECT is(pg_temp.state('foreign'), 'available 0', 'a foreign job is untouched');
SELECT is(pg_temp.state('first'), 'running 1', 'a claimed one is running, in its first attempt');
SELECT is(reason, 'no handler registered', 'and the view says why a foreign one waits')
	FROM taskq.unroutable_jobs WHERE task_type = 'nobody';

-- settle and its fence
SELECT ok(taskq.complete_job(pg_temp.id('first'), pg_temp.e('first'), '{"r": 1}'), 'complete');
SELECT ok(NOT taskq.complete_job(pg_temp.id('first'), pg_temp.e('first')), 'again: false, and harmless');
SELECT is(result, '{"r": 1}', 'the first result stays') FROM taskq.all_jobs WHERE job_id = pg_temp.id('first');
SELECT throws_ok($$ SELECT taskq.fail_job(pg_temp.id('first'), pg_temp.e('first')) $$, 'TQ003', NULL, 'another outcome is stale');
SELECT throws_ok($$ SELECT taskq.complete_job(pg_temp.id('late'), 1) $$, 'TQ003', NULL, 'another epoch is stale');
SELECT throws_ok($$ SELECT taskq.complete_job(-1, 1) $$, 'TQ011', NULL, 'an unknown job is not found');
SELECT throws_ok($$ SELECT taskq.complete_job(NULL, 1) $$, '22004', NULL, 'a NULL id is refused');
SELECT ok(taskq.release_job(pg_temp.id('late'), pg_temp.e('late')), 'release');
SELECT is(pg_temp.state('late'), 'available 0', 'gives the attempt back');
SELECT ok(NOT taskq.release_job(pg_temp.id('late'), pg_temp.e('late')), 'again: false');
SELECT throws_ok($$ SELECT taskq.complete_job(pg_temp.id('late'), pg_temp.e('late')) $$, 'TQ003', NULL, 'a released claim completes nothing');
SELECT is(pg_temp.take('w'), 'late', 'and the job is claimed again');
SELECT ok(taskq.snooze_job(pg_temp.id('late'), pg_temp.e('late'), '1 h'), 'snooze');
SELECT is(pg_temp.state('late'), 'scheduled 0', 'puts it off at no cost');
SELECT ok(taskq.retry_job(pg_temp.id('late')), 'an operator makes it available now');
SELECT is(pg_temp.state('late'), 'available 0', 'which it is');
SELECT ok(NOT taskq.retry_job(pg_temp.id('late')), 'again: false');

-- failures
SELECT ok(taskq.fail_job(pg_temp.id('second'), pg_temp.e('second'), 'no luck', error_code => 'E1', detail => 'd'), 'fail');
SELECT is(pg_temp.state('second'), 'available 1', 'retried at once by its policy');
SELECT ok(NOT taskq.fail_job(pg_temp.id('second'), pg_temp.e('second'), 'no luck'), 'again: false');
SELECT is(pg_temp.take('w', 'b'), 'second', 'claimed for its second attempt');
SELECT ok(taskq.fail_job(pg_temp.id('second'), pg_temp.e('second'), 'no luck again'), 'fails again');
SELECT is(pg_temp.state('second'), 'discarded 2', 'out of attempts: discarded');
SELECT is(array_agg(attempt || outcome || error_type || COALESCE(error_code, '') ORDER BY attempt), '{1failedhandler_errorE1,2failedhandler_error}',
	'both attempts can be read') FROM taskq.attempts WHERE job_id = pg_temp.id('second');
SELECT ok(taskq.fail_job(pg_temp.id('third'), pg_temp.e('third'), 'never', retryable => false), 'a permanent failure');
SELECT is(pg_temp.state('third'), 'discarded 1', 'is not retried');
SELECT ok(taskq.retry_job(pg_temp.id('third')), 'but by an operator');
SELECT is(pg_temp.state('third'), 'available 0', 'with all its attempts');
SELECT throws_ok($$ SELECT taskq.retry_job(pg_temp.id('first')) $$, 'TQ008', NULL, 'a completed job is not retried');
SELECT ok(taskq.retry_job(pg_temp.id('first'), force => true), 'unless forced');

-- cancel, discard
SELECT is(taskq.cancel_job(pg_temp.id('ahead')), 'cancelled', 'a waiting job is cancelled');
SELECT is(taskq.cancel_job(pg_temp.id('ahead')), 'final', 'and then final');
SELECT is(pg_temp.take('w'), 'first', 'first runs again');
SELECT is(taskq.cancel_job(pg_temp.id('first'), reason => 'no'), 'requested', 'a running one is asked to');
SELECT is(taskq.heartbeat_job(pg_temp.id('first'), pg_temp.e('first')), 'cancel', 'its worker hears of it');
SELECT is(taskq.cancel_job(pg_temp.id('first'), pg_temp.e('first')), 'cancelled', 'and gives it up');
SELECT is(pg_temp.state('first'), 'cancelled 1', 'so it is');
SELECT ok(taskq.discard_job(pg_temp.id('foreign')), 'an operator discards');
SELECT is(pg_temp.state('foreign'), 'discarded 0', 'what nobody takes');

-- the fence against a claim that was rolled back
SELECT pg_temp.add('fence', 'a', -20) \gset
SAVEPOINT s;
SELECT pg_temp.take('w') \gset claim_
SELECT pg_temp.e('fence') AS stale \gset
ROLLBACK TO s;
SELECT is(pg_temp.take('v'), 'fence', 'a claim that was rolled back is given to another worker');
SELECT isnt(pg_temp.e('fence'), :stale, 'under another epoch');
SELECT throws_ok(format('SELECT taskq.complete_job(%s, %s)', pg_temp.id('fence'), :stale), 'TQ003', NULL, 'and the first worker completes nothing');
SELECT ok(taskq.complete_job(pg_temp.id('fence'), pg_temp.e('fence')), 'the second does');

-- no more jobs than requested, and no more than allowed
SELECT count(*) FROM taskq.enqueue_jobs('a', array_fill('{}'::jsonb, ARRAY[50])) \gset
SELECT is(count(*), 5::bigint, 'never more rows than asked for') FROM taskq.claim_jobs('w', 5);
SELECT ok(taskq.register_worker('limited', ARRAY['a'], max_concurrent_jobs => 3), 'a worker with a limit');
SELECT is(count(*), 3::bigint, 'is given no more than that') FROM taskq.claim_jobs('limited', 10);
SELECT is_empty($$ SELECT * FROM taskq.claim_job('limited') $$, 'and then nothing');

SELECT * FROM finish();
ROLLBACK;
