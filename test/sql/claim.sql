-- Claims: the order of the jobs, which worker is given a job, and how many.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
SELECT plan(93);

-- isolation levels ------------------------------------------------------------
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('claim-w') $$, '25001',
	'jobs cannot be claimed in a transaction of isolation level REPEATABLE READ', 'no claim under REPEATABLE READ');
SELECT throws_ok($$ SELECT * FROM taskq.claim_jobs('claim-w', 5) $$, '25001',
	'jobs cannot be claimed in a transaction of isolation level REPEATABLE READ', 'nor of several jobs');
SELECT is(pg_temp.hint_of('SELECT * FROM taskq.claim_job()'), 'Claim in a transaction of its own, or use READ COMMITTED.',
	'and the hint says what to do');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('claim-w') $$, '25001',
	'jobs cannot be claimed in a transaction of isolation level SERIALIZABLE', 'nor under SERIALIZABLE');
COMMIT;
BEGIN READ ONLY;
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('claim-w') $$, '25006', NULL, 'nor in a read-only transaction');
COMMIT;

BEGIN;
SELECT taskq.register_handler('claim-a'), taskq.register_handler('claim-b'),
	taskq.create_queue('claim-1'), taskq.create_queue('claim-2') \gset
SELECT count(taskq.register_worker(w)) FROM unnest('{claim-w,claim-v,claim-n,claim-x,claim-z}'::text[]) w \gset

-- order -----------------------------------------------------------------------
SELECT is_empty($$ SELECT * FROM taskq.claim_job('claim-w') $$, 'nothing there: no row, no error');
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
SELECT is(pg_temp.take('claim-w'), 'two-hours-old', 'of one priority the earliest run_at goes first, whatever its type and queue');
SET LOCAL taskq.clock_offset = '2 s';
SELECT is(pg_temp.take_many('claim-w', 100), 'one-hour-old young same-1 same-2 same-3 last',
	'priority, then run_at, then id, across all routes; in a batch the same');
SELECT is(pg_temp.take('claim-w'), NULL, 'a future job is not given, however urgent');
SELECT is(pg_temp.state('urgent-but-future'), 'scheduled 0', 'it is scheduled');
SET LOCAL taskq.clock_offset = '61 min';
SELECT is(pg_temp.state('urgent-but-future'), 'available 0', 'it is available when the time has come');
SELECT is(pg_temp.take('claim-w'), 'urgent-but-future', 'and is given then');
SET LOCAL taskq.clock_offset = 0;

-- queues in the order of the worker's list ------------------------------------
SELECT taskq.register_worker('claim-lines', queues => '{claim-2,default}') \gset
SELECT pg_temp.add('q-default', 'claim-a', -5), pg_temp.add('q-2', 'claim-a', 5, q => 'claim-2'),
	pg_temp.add('q-1', 'claim-a', -9, q => 'claim-1'), pg_temp.add('q-2-first', 'claim-b', 4, q => 'claim-2') \gset
SELECT is(pg_temp.take_many('claim-lines', 10), 'q-2-first q-2 q-default',
	'a worker with a list of queues takes them in that order, and in each by priority');
SELECT is(pg_temp.state('q-1'), 'available 0', 'a queue that is not in its list is not its own');
SELECT is(pg_temp.take('claim-w'), 'q-1', 'but another''s');

-- types -----------------------------------------------------------------------
SELECT taskq.register_worker('claim-only-a', '{claim-a}') \gset
SELECT pg_temp.add('t-b', 'claim-b', -1), pg_temp.add('t-a', 'claim-a'), pg_temp.add('t-none', 'claim-unknown', -9) \gset
SELECT is(pg_temp.take('claim-only-a', 'claim-b'), NULL, 'narrowing a claim to a type that the worker has not registered gives nothing');
SELECT is(pg_temp.take('claim-only-a', 'claim-b', 'claim-unknown'), NULL, 'nor do several');
SELECT is_empty($$ SELECT * FROM taskq.claim_job('claim-only-a', '{}') $$, 'narrowed to no type, a claim gives nothing');
SELECT is(pg_temp.take('claim-only-a'), 't-a', 'a worker is given its own types');
SELECT is(pg_temp.take('claim-only-a'), NULL, 'and no other');
SELECT is(pg_temp.take('claim-w', 'claim-unknown'), NULL, 'a type that nobody has registered is given to nobody');
SELECT is(pg_temp.take('claim-w', 'claim-a', 'claim-b'), 't-b', 'task_types narrow a claim to several');
SELECT is(pg_temp.take('claim-w'), NULL, 'an unregistered type not even to those who take all');
SELECT is(pg_temp.state('t-none'), 'available 0', 'its job is untouched');
SELECT is(epoch, 0::bigint, 'by any claim') FROM taskq.all_jobs WHERE job_id = pg_temp.id('t-none');
SELECT taskq.register_handler('claim-unknown') \gset
SELECT is(pg_temp.take('claim-w'), 't-none', 'once its type is registered it is given');
SELECT pg_temp.add('t-gone', 'claim-unknown') \gset
SELECT taskq.unregister_handler('claim-unknown') \gset
SELECT is(pg_temp.take('claim-w'), NULL, 'once it is unregistered, no more');
SELECT is(pg_temp.state('t-gone'), 'available 0', 'and the job waits');
SELECT ok(taskq.complete_job(pg_temp.id('t-none'), pg_temp.e('t-none')), 'what was claimed before is settled as ever');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('claim-w', ARRAY['claim-a', NULL]) $$, '22004', NULL, 'NULL is not a type');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('claim-w', ARRAY[ARRAY['claim-a']]) $$, '2202E', NULL, 'an array of arrays is none of types');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('claim-w', '{not a name}') $$, '22023', NULL, 'nor is any text');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('') $$, '22023', 'worker_id is empty', 'a worker has a name');

-- versions --------------------------------------------------------------------
SELECT taskq.register_handler('claim-v', version => '1.9') \gset
INSERT INTO j VALUES ('v', taskq.enqueue_job('claim-v', '{"n": "v"}', min_version => '1.10'));
SELECT is(pg_temp.take('claim-w'), NULL, 'a job is not given to a handler older than its min_version');
SELECT taskq.register_handler('claim-v', version => '1.10', allow_override => true) \gset
SELECT is(pg_temp.take('claim-w'), 'v', 'but to one that is not');

-- capabilities ----------------------------------------------------------------
SELECT taskq.register_worker('claim-gpu', capabilities => '{gpu}'),
	taskq.register_worker('claim-all', capabilities => '{region=eu,gpu,large}') \gset
SELECT pg_temp.add('c-both', 'claim-a', 1, caps => '{region=eu,gpu,gpu}'), pg_temp.add('c-gpu', 'claim-a', 2, caps => '{gpu}'),
	pg_temp.add('c-none', 'claim-a', 3) \gset
SELECT is(pg_temp.take('claim-w'), 'c-none', 'a worker without capabilities is given what needs none');
SELECT is(pg_temp.take('claim-w'), NULL, 'and nothing else');
SELECT is(pg_temp.take('claim-gpu'), 'c-gpu', 'a worker with some is given what needs those');
SELECT is(pg_temp.take('claim-gpu'), NULL, 'not what needs more');
SELECT results_eq($$ SELECT payload->>'n', required_capabilities FROM taskq.claim_job('claim-all') $$,
	$$ VALUES ('c-both', '{gpu,region=eu}'::text[]) $$, 'a worker with more is given it, the set in its normal form');

-- how many --------------------------------------------------------------------
SELECT count(*) FROM taskq.enqueue_jobs('claim-a', array_fill('{}'::jsonb, ARRAY[60])) \gset
SELECT is(count(*), 7::bigint, 'claim_jobs gives as many as asked') FROM taskq.claim_jobs('claim-n', 7);
SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;
SELECT is(count(*), 5::bigint, 'whatever the planner is told') FROM taskq.claim_jobs('claim-n', 5);
RESET enable_indexscan; RESET enable_bitmapscan; RESET enable_hashjoin; RESET enable_mergejoin;
SELECT is(count(DISTINCT job_id), 20::bigint, 'claims on the inner side of a join give as many as there are outer rows')
	FROM generate_series(1, 20) i, taskq.claim_job('claim-n' || left(i::text, 0)) c;
SELECT is(count(*), 1::bigint, 'claim_jobs() without arguments gives one') FROM taskq.claim_jobs();
SELECT is(count(*), 27::bigint, 'and no more than there are') FROM taskq.claim_jobs('claim-n', 10000);
SELECT is(count(*), 60::bigint, 'each job was given once') FROM taskq.all_jobs
	WHERE task_type = 'claim-a' AND state = 'running' AND payload = '{}' AND attempt = 1;
SELECT throws_ok($$ SELECT * FROM taskq.claim_jobs('claim-n', 0) $$, '22023', 'max_jobs 0 is out of range', 'not none');
SELECT throws_ok($$ SELECT * FROM taskq.claim_jobs('claim-n', -1) $$, '22023', NULL, 'nor less');
SELECT throws_ok($$ SELECT * FROM taskq.claim_jobs('claim-n', 10001) $$, '22023', NULL, 'nor more than 10000');
SELECT throws_ok($$ SELECT * FROM taskq.claim_jobs('claim-n', NULL) $$, '22004', NULL, 'nor NULL');

-- max_concurrent_jobs ---------------------------------------------------------
SELECT taskq.register_handler('claim-p'), taskq.register_worker('claim-five', '{claim-p}', max_concurrent_jobs => 5) \gset
SELECT pg_temp.add('five-' || i, 'claim-p') FROM generate_series(1, 9) i \g /dev/null
SELECT is(pg_temp.take_many('claim-five', 10), 'five-1 five-2 five-3 five-4 five-5', 'a worker is given five');
SELECT taskq.complete_job(id, e) FROM j WHERE name IN ('five-1', 'five-2', 'five-4') \g /dev/null
SELECT taskq.register_worker('claim-five', '{claim-p}', max_concurrent_jobs => 3, take_over => true) \gset
SELECT is(pg_temp.take_many('claim-five', 10), 'five-6', 'of the two that it still runs when its limit is lowered to three, each takes a place');
SELECT taskq.register_worker('claim-two', '{claim-b}', max_concurrent_jobs => 2) \gset
SELECT pg_temp.add('m' || i, 'claim-b') FROM generate_series(1, 8) i \g /dev/null
SAVEPOINT s;
SELECT count(*) FROM taskq.claim_jobs('claim-two', 10) \gset rolled_back_
ROLLBACK TO s;
SELECT is(:rolled_back_count, 2, 'a worker is given as many as its max_concurrent_jobs');
SELECT is(pg_temp.take_many('claim-two', 10), 'm1 m2', 'what was rolled back to a savepoint takes no place');
SELECT is(pg_temp.take('claim-two'), NULL, 'at its limit it is given no row');
SELECT taskq.complete_job(pg_temp.id('m1'), pg_temp.e('m1')) \gset
SELECT is(pg_temp.take_many('claim-two', 10), 'm3', 'a completed job gives its place to another');
SELECT taskq.fail_job(pg_temp.id('m2'), pg_temp.e('m2')) \gset
SELECT taskq.snooze_job(pg_temp.id('m3'), pg_temp.e('m3'), '1 h') \gset
SELECT is(pg_temp.take_many('claim-two', 10), 'm4 m5', 'so does a failed one, and one that was put off');
SAVEPOINT s;
SELECT taskq.complete_job(pg_temp.id('m4'), pg_temp.e('m4')) \gset
ROLLBACK TO s;
SELECT is(pg_temp.take('claim-two'), NULL, 'a completion that was rolled back gives none');
SELECT is(taskq.register_worker('claim-two', '{claim-b}', max_concurrent_jobs => 3, take_over => true), false, 'with a new registration');
SELECT is(pg_temp.take_many('claim-two', 10), 'm6', 'the new limit holds, and counts what the old one runs');
SELECT is(taskq.register_worker('claim-two', '{claim-b}', max_concurrent_jobs => 1, take_over => true), false, 'a lower one');
SELECT taskq.complete_job(pg_temp.id('m4'), pg_temp.e('m4')), taskq.complete_job(pg_temp.id('m5'), pg_temp.e('m5')) \gset
SELECT is(pg_temp.take('claim-two'), NULL, 'counts them too');
SELECT taskq.complete_job(pg_temp.id('m6'), pg_temp.e('m6')) \gset
SELECT is(pg_temp.take_many('claim-two', 10), 'm7', 'and gives again when there is room');

-- in-server types -------------------------------------------------------------
CREATE ROLE regress_claim LOGIN;
CREATE FUNCTION public.claim_inside(jsonb) RETURNS jsonb LANGUAGE sql RETURN $1;
SELECT taskq.register_handler('claim-inside', 'public.claim_inside(jsonb)', run_as => 'regress_claim') \gset
SELECT pg_temp.add('inside', 'claim-inside', -9) \gset
SELECT is(pg_temp.take('claim-x', 'claim-inside', 'claim-v'), NULL, 'a type with a handler in the server is not given to an external worker');
SELECT is_empty($$ SELECT * FROM taskq.claim_jobs('claim-x', 100) WHERE task_type = 'claim-inside' $$, 'not even when it takes all there is');
SELECT throws_ok($$ SELECT taskq.register_worker('claim-y', '{claim-inside}') $$, 'TQ002',
	'task type "claim-inside" is handled in the server', 'nor can it be registered for');
SELECT taskq.register_handler('claim-inside', 'public.claim_inside(jsonb)', run_as => 'regress_claim',
	also_external => true, allow_override => true) \gset
SELECT is(pg_temp.take('claim-x', 'claim-inside'), 'inside', 'but with also_external it is given');
SELECT ok(taskq.register_worker('claim-y', '{claim-inside}'), 'and can be registered for');

-- pauses and drains -----------------------------------------------------------
SELECT pg_temp.add('p1', 'claim-a', q => 'claim-1'), pg_temp.add('p2', 'claim-a', q => 'claim-2') \gset
SELECT taskq.pause_queue('claim-1') \gset
SELECT is(pg_temp.take_many('claim-w', 10, 'claim-a'), 'p2', 'a paused queue gives no job');
SELECT taskq.resume_queue('claim-1') \gset
SELECT is(pg_temp.take('claim-w', 'claim-a'), 'p1', 'until it is resumed');
SELECT pg_temp.add('p3', 'claim-a') \gset
SELECT taskq.pause_handler('claim-a') \gset
SELECT is(pg_temp.take('claim-w', 'claim-a'), NULL, 'a paused type gives none');
SELECT ok(taskq.complete_job(pg_temp.id('p1'), pg_temp.e('p1')), 'but its running jobs are settled');
SELECT taskq.resume_handler('claim-a'), taskq.drain_worker('claim-w') \gset
SELECT is(pg_temp.take('claim-w', 'claim-a'), NULL, 'a draining worker is given none');
SELECT ok(taskq.complete_job(pg_temp.id('p2'), pg_temp.e('p2')), 'and may finish what it has');
SELECT is(pg_temp.take('claim-v', 'claim-a'), 'p3', 'another is given it');
SELECT throws_ok($$ SELECT taskq.drain_worker('claim-nobody') $$, 'TQ012', 'worker "claim-nobody" is not registered',
	'only a registered worker can be drained');

-- implicit registration -------------------------------------------------------
SELECT is_empty($$ SELECT * FROM taskq.claim_job('claim-new', '{claim-unknown}') $$, 'a claim by an unknown worker');
SELECT results_eq($$ SELECT kind, task_types, queues, capabilities, max_concurrent_jobs, state FROM taskq.workers WHERE worker_id = 'claim-new' $$,
	$$ SELECT 'external', '{}'::text[], NULL::text[], NULL::text[], NULL::integer, 'idle' $$,
	'registers it for the types that it names, in all queues, without capabilities and limits');
SELECT ok(NOT taskq.register_worker('claim-new', '{claim-a}'), 'which a registration replaces');
SELECT is(count(*), 1::bigint, 'a claim without an id is one by the session')
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
SELECT is(lease_expires_at - started_at, '50 s', 'the worker''s own lease goes before the handler''s') FROM taskq.claim_job('claim-leased', '{claim-row}');
SELECT is(lease_expires_at - started_at, '70 s', 'the job''s own before the worker''s') FROM taskq.claim_job('claim-leased', '{claim-row}');
SELECT is(lease_expires_at - started_at, '80 s', 'the call''s before all') FROM taskq.claim_job('claim-leased', '{claim-row}', lease => '80 s');
SELECT is(lease_expires_at - started_at, '60 s', 'and taskq.lease is the last resort') FROM taskq.claim_job('claim-v', '{claim-a}');

-- claim and settle in one statement -------------------------------------------
SELECT pg_temp.add('o' || i, 'claim-b', -1) FROM generate_series(1, 3) i \g /dev/null
SELECT is(array_agg(taskq.complete_job(job_id, epoch)), '{t}', 'a claim can be completed in the statement that makes it')
	FROM taskq.claim_job('claim-v');
SELECT is(array_agg(taskq.complete_job(job_id, epoch)), '{t,t}', 'and so can several') FROM taskq.claim_jobs('claim-v', 2, '{claim-b}');
SELECT is(array_agg(DISTINCT state), '{completed}', 'which are completed then') FROM taskq.all_jobs WHERE payload->>'n' LIKE 'o_';

-- waiting ---------------------------------------------------------------------
SELECT pg_temp.add('w', 'claim-b', -32768) \gset
SELECT is(payload->>'n', 'w', 'a claim that may wait does not when there is a job') FROM taskq.claim_job('claim-v', '{claim-b}', wait => '5 s');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('claim-w', wait => '-1 s') $$, '22023', NULL, 'nobody waits for less than no time');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('claim-w', lease => '10 ms') $$, '22023', 'lease "@ 0.01 secs" is out of range', 'a lease is a second at least');
SELECT throws_ok($$ CALL taskq.wait_for_job('claim-w', '1 s') $$, '2D000', NULL, 'wait_for_job() needs a transaction of its own');

SELECT * FROM finish();
ROLLBACK;
