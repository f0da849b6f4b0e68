-- External workers: their registrations, how long they live, and their end.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
SELECT plan(56);
CREATE FUNCTION pg_temp.worker(w text) RETURNS text LANGUAGE sql AS
	$$ SELECT state || ' ' || running_jobs FROM taskq.workers WHERE worker_id = w $$;

-- taskq.lease ---------------------------------------------------------------------
SELECT taskq.register_worker('rw-default') \gset
ALTER SYSTEM SET taskq.lease = '10 min';
\set setting taskq.lease
\set value 10min
\i test/sql/include/reload.sql
SET taskq.clock_offset = '19 min';
SELECT is(pg_temp.worker('rw-default'), 'idle 0', 'a worker without a lease of its own is alive for twice taskq.lease');
SET taskq.clock_offset = '21 min';
SELECT is(pg_temp.worker('rw-default'), 'lost 0', 'after that, the worker is lost');
RESET taskq.clock_offset;
ALTER SYSTEM RESET taskq.lease;
\set value 1min
\i test/sql/include/reload.sql
SELECT taskq.unregister_worker('rw-default') \gset

BEGIN;
SELECT taskq.register_handler('rw-a', retry_policy => 'fixed', retry_base => '0'), taskq.register_handler('rw-b'), taskq.create_queue('rw-q') \gset

-- what is kept ----------------------------------------------------------------
SELECT ok(taskq.register_worker('rw-1', '{rw-b,rw-a}', '{rw-q,default}', '{gpu,eu,gpu}', 3, '90 s'), 'register_worker() returns true for a new id');
SELECT results_eq($$ SELECT kind, pool, role, pid, task_types, queues, capabilities, state, running_jobs, max_concurrent_jobs FROM taskq.workers WHERE worker_id = 'rw-1' $$,
	$$ SELECT 'external', NULL::text, current_user::regrole, NULL::integer, '{rw-a,rw-b}'::text[], '{rw-q,default}'::text[], '{eu,gpu}'::text[], 'idle', 0, 3 $$,
	'taskq.workers shows types, queues in their order, unique capabilities and the limit');
SELECT ok(taskq.register_worker('rw-2'), 'register_worker() needs only an id');
SELECT results_eq($$ SELECT task_types @> '{rw-a,rw-b}', queues, capabilities, max_concurrent_jobs FROM taskq.workers WHERE worker_id = 'rw-2' $$,
	$$ VALUES (true, NULL::text[], NULL::text[], NULL::integer) $$, 'such a worker takes all types and queues, and has no capabilities and no limit');
SELECT taskq.unregister_handler('rw-b') \gset
SELECT is(task_types, '{rw-a}', 'taskq.workers does not show an unregistered type') FROM taskq.workers WHERE worker_id = 'rw-1';
SELECT taskq.register_handler('rw-b') \gset
SELECT is(task_types, '{rw-a,rw-b}', 'taskq.workers shows the type again after it is registered') FROM taskq.workers WHERE worker_id = 'rw-1';

-- arguments -------------------------------------------------------------------
SELECT throws_ok(format('SELECT taskq.register_worker(%s)', a), code, NULL, 'refused: ' || a)
FROM (VALUES ('NULL', '22004'), ('''''', '22023'), ('''a b''', '22023'), ('repeat(''x'', 64)', '22023'),
	('''rw-x'', ''{rw-none}''', 'TQ002'), ('''rw-x'', ''{NULL}''', '22004'), ('''rw-x'', ''{{rw-a},{rw-b}}''', '2202E'), ('''rw-x'', ''{"r w"}''', '22023'),
	('''rw-x'', queues => ''{rw-nowhere}''', '42704'), ('''rw-x'', queues => ''{NULL}''', '22004'),
	('''rw-x'', capabilities => ''{NULL}''', '22004'), ('''rw-x'', capabilities => ARRAY[repeat(''x'', 256)]', '22023'),
	('''rw-x'', max_concurrent_jobs => 0', '22023'), ('''rw-x'', max_concurrent_jobs => 100001', '22023'),
	('''rw-x'', lease => ''999 ms''', '22023'), ('''rw-x'', lease => ''11 years''', '22023'), ('''rw-x'', take_over => NULL', '22004')) v (a, code);
SELECT is(pg_temp.worker('rw-x'), NULL, 'a refused registration leaves no row');
SELECT ok(taskq.register_worker(repeat('x', 63), max_concurrent_jobs => 100000, lease => '1 s', capabilities => ARRAY[repeat('x', 255)]), 'register_worker() accepts the largest values');

-- an id that is in use ----------------------------------------------------------
SELECT throws_ok($$ SELECT taskq.register_worker('rw-1') $$, 'TQ022', 'worker "rw-1" is already registered and alive', 'a live worker is not replaced');
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_worker('rw-1') $$), 'Give another process of the worker another instance_id. If the process that used this one has ended, call taskq.unregister_worker() first, which gives its jobs back at once; with take_over => true they stay claimed until their leases are over. To change the types or capabilities of your own process, use take_over => true, too.', 'the hint names unregister_worker() and take_over');
SET LOCAL taskq.clock_offset = '179 s';
SELECT throws_ok($$ SELECT taskq.register_worker('rw-1') $$, 'TQ022', NULL, 'a worker is not replaced within twice its lease');
SELECT is(pg_temp.worker('rw-1'), 'idle 0', 'taskq.workers shows that it is alive');
SET LOCAL taskq.clock_offset = '181 s';
SELECT is(pg_temp.worker('rw-1'), 'lost 0', 'after twice its lease, the worker is lost');
SELECT is(taskq.register_worker('rw-1', lease => '90 s'), false, 'a lost worker is replaced');
SELECT is(taskq.register_worker('rw-1', lease => '2 s', take_over => true), false, 'a live worker is replaced with take_over');
SELECT count(*) FROM taskq.claim_job('rw-implicit', '{rw-a}') \gset
SELECT is(taskq.register_worker('rw-implicit'), false, 'an implicit registration is replaced');
SELECT throws_ok($$ SELECT taskq.register_worker('rw-implicit') $$, 'TQ022', NULL, 'the registration that replaced it is not replaced');

-- each kind of call counts as a sign of life, also with the shortest lease
CREATE FUNCTION pg_temp.alive_after(sign text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM taskq.register_worker('rw-sign', '{rw-a}', lease => '2 s', take_over => true), set_config('taskq.clock_offset', '300s', true);
	PERFORM pg_temp.add(sign, 'rw-a'), pg_temp.take('rw-sign');
	FOR i IN 1 .. 4 LOOP
		PERFORM set_config('taskq.clock_offset', 300 + 2 * i || 's', true);
		EXECUTE pg_temp.of(sign, sign);
	END LOOP;
	RETURN (SELECT state <> 'lost' FROM taskq.workers WHERE worker_id = 'rw-sign')
		AND pg_temp.detail_of($q$ SELECT taskq.register_worker('rw-sign') $q$) ~ 'last seen';
END $$;
SET LOCAL taskq.clock_offset = '300 s';
SELECT ok(pg_temp.alive_after('SELECT FROM taskq.claim_job(''rw-sign'')'), 'a claim without a job is a sign of life');
SELECT ok(pg_temp.alive_after('SELECT FROM taskq.worker_heartbeat(''rw-sign'')'), 'worker_heartbeat() is a sign of life');
SELECT ok(pg_temp.alive_after('SELECT taskq.heartbeat_job(%1$s, %2$s)'), 'heartbeat_job() is a sign of life');
SET LOCAL taskq.clock_offset = 0;

-- jobs of a registration that is replaced or ended --------------------------------
SELECT taskq.register_worker('rw-3', '{rw-a}', take_over => true), pg_temp.add('a', 'rw-a', -9), pg_temp.add('b', 'rw-a', -8), pg_temp.add('c', 'rw-a', -7) \gset
SELECT is(pg_temp.take_many('rw-3', 3), 'a b c', 'the worker claims three jobs');
SELECT is(pg_temp.worker('rw-3'), 'running 3', 'taskq.workers shows the number of running jobs');
SELECT is(taskq.register_worker('rw-3', '{rw-b}', take_over => true), false, 'the worker is replaced');
SELECT ok(taskq.complete_job(pg_temp.id('a'), pg_temp.e('a')), 'a job can be settled with its epoch after the worker was replaced');
SELECT is(status, 'ok', 'a heartbeat of the new worker extends the leases of the old jobs') FROM taskq.worker_heartbeat('rw-3') WHERE job_id = pg_temp.id('b');
SELECT ok(taskq.unregister_worker('rw-3'), 'unregister_worker() returns true');
SELECT is(pg_temp.state('b') || ', ' || pg_temp.state('c'), 'available 0, available 0', 'its jobs are released, and the attempts do not count');
SELECT throws_ok(pg_temp.of('b', 'SELECT taskq.complete_job(%s, %s)'), 'TQ003', NULL, 'the epochs of the released jobs are stale');
SELECT ok(NOT taskq.unregister_worker('rw-3'), 'unregister_worker() returns false for an unknown id');
SELECT throws_ok($$ SELECT FROM taskq.worker_heartbeat('rw-3') $$, 'TQ012', 'worker "rw-3" is not registered', 'worker_heartbeat() of an unregistered worker raises TQ012');

-- more jobs than one call of claim_jobs() returns
SELECT taskq.register_handler('rw-much'), taskq.register_worker('rw-much', '{rw-much}') \gset
SELECT count(*) FROM taskq.enqueue_jobs('rw-much', (SELECT array_agg('{}'::jsonb) FROM generate_series(1, 10001))) \gset
SELECT is((SELECT sum(n) FROM (SELECT (SELECT count(*) FROM taskq.claim_jobs('rw-much', most)) FROM unnest('{10000,10000}'::integer[]) most) c (n)), 10001::numeric, 'a worker without a limit may have any number of jobs');
SELECT is((SELECT string_agg(status || ' ' || n, ', ') FROM (SELECT status, count(*) FROM taskq.worker_heartbeat('rw-much') GROUP BY 1) h (status, n)), 'ok 10001', 'worker_heartbeat() returns all jobs');
SELECT ok(taskq.unregister_worker('rw-much'), 'such a worker is unregistered');
SELECT is((SELECT count(*) FROM taskq.jobs WHERE worker_id = 'rw-much' AND state = 'r'), 0::bigint, 'all its jobs are released');

SELECT lives_ok($$ DO $do$ BEGIN
	FOR i IN 1 .. 1100 LOOP
		BEGIN PERFORM taskq.register_worker('rw-undone', '{rw-a}'); RAISE EXCEPTION 'undo';
		EXCEPTION WHEN raise_exception THEN NULL; END;
	END LOOP; END $do$ $$, 'locks that a rolled back savepoint has released do not count');
SELECT throws_ok($$ SELECT taskq.register_worker('rw-many-' || i, '{rw-a}') FROM generate_series(1, 2000) i $$, 'TQ010', 'too many locks of taskq in one transaction', 'a loop of registrations does not fill the lock table');
SELECT throws_ok($$ SELECT FROM generate_series(1, 2000) i, taskq.claim_job('rw-each-' || i, '{rw-a}') $$, 'TQ010', NULL, 'a loop of claims for unregistered ids does not fill the lock table');

SELECT * FROM finish();
ROLLBACK;
