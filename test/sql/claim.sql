-- Claims: the order of the jobs, which worker is given a job, and how many.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
SELECT plan(93);

-- isolation levels ------------------------------------------------------------
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('claim-w') $$, '25001',
	'jobs cannot be claimed in a transaction of isolation level REPEATABLE READ', 'claim_job() is refused under REPEATABLE READ');
SELECT throws_ok($$ SELECT * FROM taskq.claim_jobs('claim-w', 5) $$, '25001',
	'jobs cannot be claimed in a transaction of isolation level REPEATABLE READ', 'claim_jobs() is refused under REPEATABLE READ');
SELECT is(pg_temp.hint_of('SELECT * FROM taskq.claim_job()'), 'Claim in a transaction of its own, or use READ COMMITTED.',
	'the hint names READ COMMITTED');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('claim-w') $$, '25001',
	'jobs cannot be claimed in a transaction of isolation level SERIALIZABLE', 'claim_job() is refused under SERIALIZABLE');
COMMIT;
BEGIN READ ONLY;
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('claim-w') $$, '25006', NULL, 'claim_job() is refused in a read-only transaction');
COMMIT;

BEGIN;
SELECT taskq.register_handler('claim-a'), taskq.register_handler('claim-b'),
	taskq.create_queue('claim-1'), taskq.create_queue('claim-2') \gset
SELECT count(taskq.register_worker(w)) FROM unnest('{claim-w,claim-v,claim-n,claim-x,claim-z}'::text[]) w \gset

-- order -----------------------------------------------------------------------
SELECT is_empty($$ SELECT * FROM taskq.claim_job('claim-w') $$, 'a claim without a job returns no row and no error');
SET LOCAL taskq.clock_offset = '-2 h';
SELECT pg_temp.add('two-hours-old', 'claim-b', 0, q => 'claim-1') \gset
SET LOCAL taskq.clock_offset = '-1 h';
SELECT pg_temp.add('one-hour-old', 'claim-a', 0), pg_temp.add('last', 'claim-a', 32767) \gset
SET LOCAL taskq.clock_offset = 0;
SELECT taskq.clock_now() + '1 s' AS soon \gset
SELECT pg_temp.add('young', 'claim-b', 0) \gset
SELECT pg_temp.add('first', 'claim-b', -32768, q => 'claim-2') \gset
SELECT pg_temp.add('same-1', 'claim-b', 1, :'soon', 'claim-2'), pg_temp.add('same-2', 'claim-a', 1, :'soon'),
	pg_temp.add('same-3', 'claim-b', 1, :'soon', 'claim-1') \gset
SELECT pg_temp.add('urgent-but-future', 'claim-a', -32768, taskq.clock_now() + '1 h') \gset
SELECT is(pg_temp.take('claim-w'), 'first', 'the lowest priority number goes first');
SELECT is(pg_temp.take('claim-w'), 'two-hours-old', 'within one priority, the earliest run_at goes first, whatever its type and queue');
SET LOCAL taskq.clock_offset = '2 s';
SELECT is(pg_temp.take_many('claim-w', 100), 'one-hour-old young same-1 same-2 same-3 last',
	'a batch is in the order of priority, run_at and id, across all routes');
SELECT is(pg_temp.take('claim-w'), NULL, 'a future job is not claimed, however urgent it is');
SELECT is(pg_temp.state('urgent-but-future'), 'scheduled 0', 'a future job is scheduled');
SET LOCAL taskq.clock_offset = '61 min';
SELECT is(pg_temp.state('urgent-but-future'), 'available 0', 'a future job is available when it is due');
SELECT is(pg_temp.take('claim-w'), 'urgent-but-future', 'a job is claimed when it is due');
SET LOCAL taskq.clock_offset = 0;

-- queues in the order of the worker's list ------------------------------------
SELECT taskq.register_worker('claim-lines', queues => '{claim-2,default}') \gset
SELECT pg_temp.add('q-default', 'claim-a', -5), pg_temp.add('q-2', 'claim-a', 5, q => 'claim-2'),
	pg_temp.add('q-1', 'claim-a', -9, q => 'claim-1'), pg_temp.add('q-2-first', 'claim-b', 4, q => 'claim-2') \gset
SELECT is(pg_temp.take_many('claim-lines', 10), 'q-2-first q-2 q-default',
	'a worker with a list of queues takes the queues in that order, and each by priority');
SELECT is(pg_temp.state('q-1'), 'available 0', 'a worker takes no job of a queue that is not in its list');
SELECT is(pg_temp.take('claim-w'), 'q-1', 'a worker without a list of queues takes that job');

-- types -----------------------------------------------------------------------
SELECT taskq.register_worker('claim-only-a', '{claim-a}') \gset
SELECT pg_temp.add('t-b', 'claim-b', -1), pg_temp.add('t-a', 'claim-a'), pg_temp.add('t-none', 'claim-unknown', -9) \gset
SELECT is(pg_temp.take('claim-only-a', 'claim-b'), NULL, 'a claim narrowed to a type that the worker has not registered returns nothing');
SELECT is(pg_temp.take('claim-only-a', 'claim-b', 'claim-unknown'), NULL, 'a claim narrowed to several such types returns nothing');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('claim-only-a', '{}') $$, '22023', NULL, 'a claim for no type is refused');
SELECT is(pg_temp.take('claim-only-a'), 't-a', 'a worker is given jobs of its own types');
SELECT is(pg_temp.take('claim-only-a'), NULL, 'a worker is given no jobs of other types');
SELECT is(pg_temp.take('claim-w', 'claim-unknown'), NULL, 'a claim that names an unregistered type returns nothing');
SELECT is(pg_temp.take('claim-w', 'claim-a', 'claim-b'), 't-b', 'task_types narrow a claim to several types');
SELECT is(pg_temp.take('claim-w'), NULL, 'a worker for all types is given no job of an unregistered type');
SELECT is(pg_temp.state('t-none'), 'available 0', 'a job of an unregistered type stays available, with no attempt');
SELECT is(epoch, 0::bigint, 'a job of an unregistered type uses no epoch') FROM taskq.all_jobs WHERE job_id = pg_temp.id('t-none');
SELECT taskq.register_handler('claim-unknown') \gset
SELECT is(pg_temp.take('claim-w'), 't-none', 'the job is claimed after its type was registered');
SELECT pg_temp.add('t-gone', 'claim-unknown') \gset
SELECT taskq.unregister_handler('claim-unknown') \gset
SELECT is(pg_temp.take('claim-w'), NULL, 'no job is claimed after its type was unregistered');
SELECT is(pg_temp.state('t-gone'), 'available 0', 'a job of an unregistered type waits');
SELECT ok(taskq.complete_job(pg_temp.id('t-none'), pg_temp.e('t-none')), 'a job that was claimed before its type was unregistered can be settled');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('claim-w', ARRAY['claim-a', NULL]) $$, '22004', NULL, 'task_types must not contain NULL');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('claim-w', ARRAY[ARRAY['claim-a']]) $$, '2202E', NULL, 'task_types must have one dimension');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('claim-w', '{not a name}') $$, '22023', NULL, 'task_types must contain valid names');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('') $$, '22023', 'worker_id is empty', 'worker_id must not be empty');

-- versions --------------------------------------------------------------------
SELECT taskq.register_handler('claim-v', version => '1.9') \gset
INSERT INTO j VALUES ('v', taskq.enqueue_job('claim-v', '{"n": "v"}', min_version => '1.10'));
SELECT is(pg_temp.take('claim-w'), NULL, 'a job is not given to a handler older than its min_version');
SELECT taskq.register_handler('claim-v', version => '1.10', allow_override => true) \gset
SELECT is(pg_temp.take('claim-w'), 'v', 'the job is claimed after a newer handler was registered');

-- capabilities ----------------------------------------------------------------
SELECT taskq.register_worker('claim-gpu', capabilities => '{gpu}'),
	taskq.register_worker('claim-all', capabilities => '{region=eu,gpu,large}') \gset
SELECT pg_temp.add('c-both', 'claim-a', 1, caps => '{region=eu,gpu,gpu}'), pg_temp.add('c-gpu', 'claim-a', 2, caps => '{gpu}'),
	pg_temp.add('c-none', 'claim-a', 3) \gset
SELECT is(pg_temp.take('claim-w'), 'c-none', 'a worker without capabilities is given a job that needs none');
SELECT is(pg_temp.take('claim-w'), NULL, 'a worker without capabilities is given no other job');
SELECT is(pg_temp.take('claim-gpu'), 'c-gpu', 'a worker with a capability is given a job that needs it');
SELECT is(pg_temp.take('claim-gpu'), NULL, 'a worker is given no job that needs more capabilities than it has');
SELECT results_eq($$ SELECT payload->>'n', required_capabilities FROM taskq.claim_job('claim-all') $$,
	$$ VALUES ('c-both', '{gpu,region=eu}'::text[]) $$, 'a worker with more capabilities is given the job, with its capabilities sorted and unique');

-- how many --------------------------------------------------------------------
SELECT count(*) FROM taskq.enqueue_jobs('claim-a', array_fill('{}'::jsonb, ARRAY[60])) \gset
SELECT is(count(*), 7::bigint, 'claim_jobs() returns as many jobs as requested') FROM taskq.claim_jobs('claim-n', 7);
SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;
SELECT is(count(*), 5::bigint, 'the number of jobs does not depend on planner settings') FROM taskq.claim_jobs('claim-n', 5);
RESET enable_indexscan; RESET enable_bitmapscan; RESET enable_hashjoin; RESET enable_mergejoin;
SELECT is(count(DISTINCT job_id), 20::bigint, 'claims on the inner side of a join return one job for each outer row')
	FROM generate_series(1, 20) i, taskq.claim_job('claim-n' || left(i::text, 0)) c;
SELECT is(count(*), 1::bigint, 'claim_jobs() without arguments returns one job') FROM taskq.claim_jobs();
SELECT is(count(*), 27::bigint, 'claim_jobs() returns no more jobs than there are') FROM taskq.claim_jobs('claim-n', 10000);
SELECT is(count(*), 60::bigint, 'each job was given once') FROM taskq.all_jobs
	WHERE task_type = 'claim-a' AND state = 'running' AND payload = '{}' AND attempt = 1;
SELECT throws_ok($$ SELECT * FROM taskq.claim_jobs('claim-n', 0) $$, '22023', 'max_jobs 0 is out of range', 'max_jobs must not be 0');
SELECT throws_ok($$ SELECT * FROM taskq.claim_jobs('claim-n', -1) $$, '22023', NULL, 'max_jobs must not be negative');
SELECT throws_ok($$ SELECT * FROM taskq.claim_jobs('claim-n', 10001) $$, '22023', NULL, 'max_jobs must not exceed 10000');
SELECT throws_ok($$ SELECT * FROM taskq.claim_jobs('claim-n', NULL) $$, '22004', NULL, 'max_jobs must not be NULL');

-- max_concurrent_jobs ---------------------------------------------------------
SELECT taskq.register_handler('claim-p'), taskq.register_worker('claim-five', '{claim-p}', max_concurrent_jobs => 5) \gset
SELECT pg_temp.add('five-' || i, 'claim-p') FROM generate_series(1, 9) i \g /dev/null
SELECT is(pg_temp.take_many('claim-five', 10), 'five-1 five-2 five-3 five-4 five-5', 'a worker with max_concurrent_jobs of five is given five jobs');
SELECT taskq.complete_job(id, e) FROM j WHERE name IN ('five-1', 'five-2', 'five-4') \g /dev/null
SELECT taskq.register_worker('claim-five', '{claim-p}', max_concurrent_jobs => 3, take_over => true) \gset
SELECT is(pg_temp.take_many('claim-five', 10), 'five-6', 'when the limit is lowered to three, the two running jobs take two places');
SELECT taskq.register_worker('claim-two', '{claim-b}', max_concurrent_jobs => 2) \gset
SELECT pg_temp.add('m' || i, 'claim-b') FROM generate_series(1, 8) i \g /dev/null
SAVEPOINT s;
SELECT count(*) FROM taskq.claim_jobs('claim-two', 10) \gset rolled_back_
ROLLBACK TO s;
SELECT is(:rolled_back_count, 2, 'a worker is given no more jobs than max_concurrent_jobs');
SELECT is(pg_temp.take_many('claim-two', 10), 'm1 m2', 'a claim that was rolled back to a savepoint takes no place');
SELECT is(pg_temp.take('claim-two'), NULL, 'a worker at its limit is given no row');
SELECT taskq.complete_job(pg_temp.id('m1'), pg_temp.e('m1')) \gset
SELECT is(pg_temp.take_many('claim-two', 10), 'm3', 'a completed job frees its place');
SELECT taskq.fail_job(pg_temp.id('m2'), pg_temp.e('m2')) \gset
SELECT taskq.snooze_job(pg_temp.id('m3'), pg_temp.e('m3'), '1 h') \gset
SELECT is(pg_temp.take_many('claim-two', 10), 'm4 m5', 'failed and snoozed jobs free their places');
SAVEPOINT s;
SELECT taskq.complete_job(pg_temp.id('m4'), pg_temp.e('m4')) \gset
ROLLBACK TO s;
SELECT is(pg_temp.take('claim-two'), NULL, 'a completion that was rolled back frees no place');
SELECT is(taskq.register_worker('claim-two', '{claim-b}', max_concurrent_jobs => 3, take_over => true), false, 'a worker is registered again with a higher limit');
SELECT is(pg_temp.take_many('claim-two', 10), 'm6', 'the new limit counts jobs that were claimed under the old one');
SELECT is(taskq.register_worker('claim-two', '{claim-b}', max_concurrent_jobs => 1, take_over => true), false, 'a worker is registered again with a lower limit');
SELECT taskq.complete_job(pg_temp.id('m4'), pg_temp.e('m4')), taskq.complete_job(pg_temp.id('m5'), pg_temp.e('m5')) \gset
SELECT is(pg_temp.take('claim-two'), NULL, 'the lower limit counts earlier jobs, too');
SELECT taskq.complete_job(pg_temp.id('m6'), pg_temp.e('m6')) \gset
SELECT is(pg_temp.take_many('claim-two', 10), 'm7', 'a worker below its limit is given jobs again');

-- in-server types -------------------------------------------------------------
CREATE ROLE regress_claim LOGIN;
CREATE FUNCTION public.claim_inside(jsonb) RETURNS jsonb LANGUAGE sql RETURN $1;
SELECT taskq.register_handler('claim-inside', 'public.claim_inside(jsonb)', run_as => 'regress_claim') \gset
SELECT pg_temp.add('inside', 'claim-inside', -9) \gset
SELECT is(pg_temp.take('claim-x', 'claim-inside', 'claim-v'), NULL, 'a type with a handler in the server is not given to an external worker');
SELECT is_empty($$ SELECT * FROM taskq.claim_jobs('claim-x', 100) WHERE task_type = 'claim-inside' $$, 'claim_jobs() without types does not return it either');
SELECT throws_ok($$ SELECT taskq.register_worker('claim-y', '{claim-inside}') $$, 'TQ002',
	'task type "claim-inside" is handled in the server', 'an external worker cannot register a type with a handler in the server');
SELECT taskq.register_handler('claim-inside', 'public.claim_inside(jsonb)', run_as => 'regress_claim',
	also_external => true, allow_override => true) \gset
SELECT is(pg_temp.take('claim-x', 'claim-inside'), 'inside', 'a type with also_external is given to an external worker');
SELECT ok(taskq.register_worker('claim-y', '{claim-inside}'), 'an external worker can register a type with also_external');

-- pauses and drains -----------------------------------------------------------
SELECT pg_temp.add('p1', 'claim-a', q => 'claim-1'), pg_temp.add('p2', 'claim-a', q => 'claim-2') \gset
SELECT taskq.pause_queue('claim-1') \gset
SELECT is(pg_temp.take_many('claim-w', 10, 'claim-a'), 'p2', 'a paused queue gives out no job');
SELECT taskq.resume_queue('claim-1') \gset
SELECT is(pg_temp.take('claim-w', 'claim-a'), 'p1', 'a resumed queue gives out its job');
SELECT pg_temp.add('p3', 'claim-a') \gset
SELECT taskq.pause_handler('claim-a') \gset
SELECT is(pg_temp.take('claim-w', 'claim-a'), NULL, 'no job of a paused type is claimed');
SELECT ok(taskq.complete_job(pg_temp.id('p1'), pg_temp.e('p1')), 'a running job of a paused type can be settled');
SELECT taskq.resume_handler('claim-a'), taskq.drain_worker('claim-w') \gset
SELECT is(pg_temp.take('claim-w', 'claim-a'), NULL, 'a draining worker is given no job');
SELECT ok(taskq.complete_job(pg_temp.id('p2'), pg_temp.e('p2')), 'a draining worker can settle its jobs');
SELECT is(pg_temp.take('claim-v', 'claim-a'), 'p3', 'another worker is given the job');
SELECT throws_ok($$ SELECT taskq.drain_worker('claim-nobody') $$, 'TQ012', 'worker "claim-nobody" is not registered',
	'only a registered worker can be drained');

-- implicit registration -------------------------------------------------------
SELECT is_empty($$ SELECT * FROM taskq.claim_job('claim-new', '{claim-unknown}') $$, 'a claim by an unknown worker without a job returns no row');
SELECT results_eq($$ SELECT kind, task_types, queues, capabilities, max_concurrent_jobs, state FROM taskq.workers WHERE worker_id = 'claim-new' $$,
	$$ SELECT 'external', '{}'::text[], NULL::text[], NULL::text[], NULL::integer, 'idle' $$,
	'that claim registers the worker for its types, in all queues, without capabilities and limits');
SELECT ok(NOT taskq.register_worker('claim-new', '{claim-a}'), 'register_worker() replaces an implicit registration');
SELECT is(count(*), 1::bigint, 'a claim without an id registers the session as a worker')
	FROM taskq.workers WHERE worker_id LIKE 'session:' || pg_backend_pid() || '-%';

-- what a claim returns --------------------------------------------------------
SELECT taskq.register_handler('claim-row', lease => '40 s') \gset
INSERT INTO j VALUES ('row', taskq.enqueue_job('claim-row', '{"n": "row"}', priority => -3, max_attempts => 4, tags => '{x,y}',
	tenant_id => 'acme', group_key => 'order-1', timeout => '7 s', queue => 'claim-1'));
SELECT results_eq($$ SELECT job_id, task_type, queue, priority, attempt, max_attempts, payload, progress, tags, tenant_id, group_key,
		required_capabilities, timeout, run_at <= started_at, created_at <= started_at, lease_expires_at - started_at, worker_id
		FROM taskq.claim_job('claim-z', '{claim-row}') $$,
	$$ SELECT pg_temp.id('row'), 'claim-row', 'claim-1', -3, 1, 4, '{"n": "row"}'::jsonb, NULL::jsonb, '{x,y}'::text[], 'acme', 'order-1',
		'{}'::text[], '7 s'::interval, true, true, '40 s'::interval, 'claim-z' $$,
	'a claim returns the whole job, with a lease by its handler');
SELECT taskq.register_worker('claim-leased', lease => '50 s'), pg_temp.add('l1', 'claim-row'), pg_temp.add('l2', 'claim-row', lease => '70 s'),
	pg_temp.add('l3', 'claim-row', lease => '70 s'), pg_temp.add('l4', 'claim-a', lease => NULL) \gset
SELECT is(lease_expires_at - started_at, '50 s', 'the worker''s lease takes precedence over the handler''s') FROM taskq.claim_job('claim-leased', '{claim-row}');
SELECT is(lease_expires_at - started_at, '70 s', 'the job''s lease takes precedence over the worker''s') FROM taskq.claim_job('claim-leased', '{claim-row}');
SELECT is(lease_expires_at - started_at, '80 s', 'the call''s lease takes precedence over all others') FROM taskq.claim_job('claim-leased', '{claim-row}', lease => '80 s');
SELECT is(lease_expires_at - started_at, '60 s', 'taskq.lease applies if there is no other lease') FROM taskq.claim_job('claim-v', '{claim-a}');

-- claim and settle in one statement -------------------------------------------
SELECT pg_temp.add('o' || i, 'claim-b', -1) FROM generate_series(1, 3) i \g /dev/null
SELECT is(array_agg(taskq.complete_job(job_id, epoch)), '{t}', 'a job can be completed in the statement that claims it')
	FROM taskq.claim_job('claim-v');
SELECT is(array_agg(taskq.complete_job(job_id, epoch)), '{t,t}', 'several jobs can be completed in the statement that claims them') FROM taskq.claim_jobs('claim-v', 2, '{claim-b}');
SELECT is(array_agg(DISTINCT state), '{completed}', 'the jobs claimed and completed in one statement are completed') FROM taskq.all_jobs WHERE payload->>'n' LIKE 'o_';

-- waiting ---------------------------------------------------------------------
SELECT pg_temp.add('w', 'claim-b', -32768) \gset
SELECT is(payload->>'n', 'w', 'a claim with wait does not wait if there is a job') FROM taskq.claim_job('claim-v', '{claim-b}', wait => '5 s');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('claim-w', wait => '-1 s') $$, '22023', NULL, 'wait must not be negative');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('claim-w', lease => '10 ms') $$, '22023', 'lease "@ 0.01 secs" is out of range', 'lease must be at least a second');
SELECT throws_ok($$ CALL taskq.wait_for_job('claim-w', '1 s') $$, '2D000', NULL, 'wait_for_job() is refused in a transaction block');

SELECT * FROM finish();
ROLLBACK;
