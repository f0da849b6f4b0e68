-- The guarantees of every claim and settle, in one transaction and without a pool.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
BEGIN;
SELECT plan(58);

SELECT taskq.register_handler('a'), taskq.register_handler('b', max_attempts => 2, retry_policy => 'fixed', retry_base => '0'),
	taskq.create_queue('other') \gset

-- order and filter
SELECT is(pg_temp.take('w'), NULL, 'a claim without a job returns no row and no error');
SELECT pg_temp.add('late', 'a', 5), pg_temp.add('foreign', 'nobody', -9), pg_temp.add('second', 'b', 1),
	pg_temp.add('first', 'a', -1), pg_temp.add('ahead', 'a', -5, taskq.clock_now() + '1 h'), pg_temp.add('third', 'a', 1, NULL, 'other') \gset
SELECT is(pg_temp.take('w', 'nobody'), NULL, 'a claim that names an unregistered type returns no row');
SELECT is(pg_temp.take('w', 'b'), 'second', 'task_types narrow a claim');
SELECT is(pg_temp.take('w'), 'first', 'the lowest priority number goes first');
SELECT is(pg_temp.take('w'), 'third', 'the order is the same across queues and types');
SELECT is(pg_temp.take('w'), 'late', 'the job with the next priority follows');
SELECT is(pg_temp.take('w'), NULL, 'neither a future job nor one of an unregistered type is claimed');
SELECT is(pg_temp.state('ahead'), 'scheduled 0', 'a future job is scheduled');
SELECT is(pg_temp.state('foreign'), 'available 0', 'a job of an unregistered type is not changed');
SELECT is(pg_temp.state('first'), 'running 1', 'a claimed job is running, in its first attempt');
SELECT is(reason, 'no handler registered', 'unroutable_jobs says why a job of an unregistered type waits')
	FROM taskq.unroutable_jobs WHERE task_type = 'nobody';

-- settle and its fence
SELECT ok(taskq.complete_job(pg_temp.id('first'), pg_temp.e('first'), '{"r": 1}'), 'complete_job() returns true');
SELECT ok(NOT taskq.complete_job(pg_temp.id('first'), pg_temp.e('first')), 'complete_job() returns false if it is repeated');
SELECT is(result, '{"r": 1}', 'the first result is kept') FROM taskq.all_jobs WHERE job_id = pg_temp.id('first');
SELECT throws_ok($$ SELECT taskq.fail_job(pg_temp.id('first'), pg_temp.e('first')) $$, 'TQ003', NULL, 'another outcome for a settled claim is stale');
SELECT throws_ok($$ SELECT taskq.complete_job(pg_temp.id('late'), 1) $$, 'TQ003', NULL, 'a wrong epoch is stale');
SELECT throws_ok($$ SELECT taskq.complete_job(-1, 1) $$, 'TQ011', NULL, 'an unknown job raises TQ011');
SELECT throws_ok($$ SELECT taskq.complete_job(NULL, 1) $$, '22004', NULL, 'job_id must not be NULL');
SELECT ok(taskq.release_job(pg_temp.id('late'), pg_temp.e('late')), 'release_job() returns true');
SELECT is(pg_temp.state('late'), 'available 0', 'a released job is available, and the attempt does not count');
SELECT ok(NOT taskq.release_job(pg_temp.id('late'), pg_temp.e('late')), 'release_job() returns false if it is repeated');
SELECT throws_ok($$ SELECT taskq.complete_job(pg_temp.id('late'), pg_temp.e('late')) $$, 'TQ003', NULL, 'a released claim cannot complete the job');
SELECT is(pg_temp.take('w'), 'late', 'a released job is claimed again');
SELECT ok(taskq.snooze_job(pg_temp.id('late'), pg_temp.e('late'), '1 h'), 'snooze_job() returns true');
SELECT is(pg_temp.state('late'), 'scheduled 0', 'a snoozed job is scheduled, and the attempt does not count');
SELECT ok(taskq.retry_job(pg_temp.id('late')), 'retry_job() of a snoozed job returns true');
SELECT is(pg_temp.state('late'), 'available 0', 'retry_job() makes a snoozed job available');
SELECT ok(NOT taskq.retry_job(pg_temp.id('late')), 'retry_job() returns false for an available job');

-- failures
SELECT ok(taskq.fail_job(pg_temp.id('second'), pg_temp.e('second'), 'no luck', error_code => 'E1', detail => 'd'), 'fail_job() returns true');
SELECT is(pg_temp.state('second'), 'available 1', 'a failed job is retried at once by its policy');
SELECT ok(NOT taskq.fail_job(pg_temp.id('second'), pg_temp.e('second'), 'no luck'), 'fail_job() returns false if it is repeated');
SELECT is(pg_temp.take('w', 'b'), 'second', 'a failed job is claimed for its second attempt');
SELECT ok(taskq.fail_job(pg_temp.id('second'), pg_temp.e('second'), 'no luck again'), 'fail_job() of the second attempt returns true');
SELECT is(pg_temp.state('second'), 'discarded 2', 'a job without attempts left is discarded');
SELECT is(array_agg(attempt || outcome || error_type || COALESCE(error_code, '') ORDER BY attempt), '{1failedhandler_errorE1,2failedhandler_error}',
	'taskq.attempts shows both attempts') FROM taskq.attempts WHERE job_id = pg_temp.id('second');
SELECT ok(taskq.fail_job(pg_temp.id('third'), pg_temp.e('third'), 'never', retryable => false), 'fail_job() with retryable => false returns true');
SELECT is(pg_temp.state('third'), 'discarded 1', 'a job that failed permanently is not retried');
SELECT ok(taskq.retry_job(pg_temp.id('third')), 'retry_job() puts back a job that failed permanently');
SELECT is(pg_temp.state('third'), 'available 0', 'a job that was put back has all its attempts');
SELECT throws_ok($$ SELECT taskq.retry_job(pg_temp.id('first')) $$, 'TQ008', NULL, 'retry_job() refuses a completed job');
SELECT ok(taskq.retry_job(pg_temp.id('first'), force => true), 'retry_job() with force puts back a completed job');

-- cancel, discard
SELECT is(taskq.cancel_job(pg_temp.id('ahead')), 'cancelled', 'cancel_job() cancels a waiting job');
SELECT is(taskq.cancel_job(pg_temp.id('ahead')), 'final', 'cancel_job() returns final for a cancelled job');
SELECT is(pg_temp.take('w'), 'first', 'a completed job that was put back runs again');
SELECT is(taskq.cancel_job(pg_temp.id('first'), reason => 'no'), 'requested', 'cancel_job() returns requested for a running job');
SELECT is(taskq.heartbeat_job(pg_temp.id('first'), pg_temp.e('first')), 'cancel', 'the worker learns of the request at its heartbeat');
SELECT is(taskq.cancel_job(pg_temp.id('first'), pg_temp.e('first')), 'cancelled', 'the worker cancels the job with its epoch');
SELECT is(pg_temp.state('first'), 'cancelled 1', 'the running job is cancelled');
SELECT ok(taskq.discard_job(pg_temp.id('foreign')), 'discard_job() returns true');
SELECT is(pg_temp.state('foreign'), 'discarded 0', 'a job that no worker takes can be discarded');

-- the fence against a claim that was rolled back
SELECT pg_temp.add('fence', 'a', -20) \gset
SAVEPOINT s;
SELECT pg_temp.take('w') \gset claim_
SELECT pg_temp.e('fence') AS stale \gset
ROLLBACK TO s;
SELECT is(pg_temp.take('v'), 'fence', 'a claim that was rolled back is given to another worker');
SELECT isnt(pg_temp.e('fence'), :stale, 'the second claim has another epoch');
SELECT throws_ok(format('SELECT taskq.complete_job(%s, %s)', pg_temp.id('fence'), :stale), 'TQ003', NULL, 'the epoch that was rolled back cannot complete the job');
SELECT ok(taskq.complete_job(pg_temp.id('fence'), pg_temp.e('fence')), 'the second claim completes the job');

-- no more jobs than requested, and no more than allowed
SELECT count(*) FROM taskq.enqueue_jobs('a', array_fill('{}'::jsonb, ARRAY[50])) \gset
SELECT is(count(*), 5::bigint, 'a claim returns no more rows than requested') FROM taskq.claim_jobs('w', 5);
SELECT ok(taskq.register_worker('limited', ARRAY['a'], max_concurrent_jobs => 3), 'a worker registers with a limit');
SELECT is(count(*), 3::bigint, 'a worker is given no more jobs than its limit') FROM taskq.claim_jobs('limited', 10);
SELECT is_empty($$ SELECT * FROM taskq.claim_job('limited') $$, 'a worker at its limit is given nothing');

SELECT * FROM finish();
ROLLBACK;
