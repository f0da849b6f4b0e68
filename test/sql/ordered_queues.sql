-- Ordered queues: their arguments, which job of a group a claim is given, who holds whom, and what is said about that.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
SELECT * FROM no_plan();
SELECT taskq.register_handler('ord-' || t) FROM unnest('{a,b}'::text[]) t \g /dev/null
CREATE FUNCTION ord_handler(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT payload $$;
-- enqueue a job, whose name begins with its group
CREATE FUNCTION pg_temp.put(n text, g text DEFAULT NULL, type text DEFAULT 'ord-a', p integer DEFAULT NULL, q text DEFAULT 'ord', at timestamptz DEFAULT NULL, t text DEFAULT NULL) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO j VALUES (n, taskq.enqueue_job(type, jsonb_build_object('n', n), queue => q, group_key => g, tenant_id => t, priority => p, run_at => at)) $$;
CREATE FUNCTION pg_temp.finish(VARIADIC names text[]) RETURNS bigint LANGUAGE sql AS
	$$ SELECT count(taskq.complete_job(pg_temp.id(n), pg_temp.e(n))) FROM unnest(names) n $$;
-- complete all that runs, and cancel all that waits
CREATE FUNCTION pg_temp.clear() RETURNS void LANGUAGE sql AS $$
	SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running';
	SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE state IN ('available', 'retryable', 'scheduled');
	TRUNCATE j $$;
CREATE FUNCTION pg_temp.lined_up() RETURNS boolean LANGUAGE sql AS
	$$ SELECT pg_temp.came($q$ SELECT bool_and(lined_up_to = 9223372036854775807) FROM taskq.queue_defs WHERE ordered $q$) $$;
CREATE FUNCTION pg_temp.why(n text) RETURNS text LANGUAGE sql AS
	$$ SELECT concat_ws(': ', reason_code, reason) FROM taskq.describe_job(pg_temp.id(n)) $$;

-- arguments ---------------------------------------------------------------------
SELECT throws_ok($$ SELECT taskq.create_queue('x', on_delayed => 'wait') $$, '22023', 'unknown on_delayed "wait"', 'on_delayed is hold or skip');
SELECT is(pg_temp.hint_of($$ SELECT taskq.create_queue('x', on_delayed => 'wait') $$), 'Use hold or skip.', 'the hint says so');
SELECT throws_ok($$ SELECT taskq.create_queue('x', ordered => NULL) $$, '22004', NULL, 'ordered must not be NULL');
SELECT throws_ok($$ SELECT taskq.create_queue('x', ordered => true, age_every => '1 min') $$, '22023', 'an ordered or fair queue cannot have age_every', 'an ordered queue cannot have age_every');
SELECT results_eq($$ SELECT ordered, on_delayed FROM taskq.queues WHERE queue = 'default' $$, $$ VALUES (false, 'hold') $$, 'no queue is ordered by default');
SELECT lives_ok($$ SELECT taskq.create_queue('ord', ordered => true) $$, 'create_queue() accepts ordered');
SELECT results_eq($$ SELECT ordered, on_delayed FROM taskq.queues WHERE queue = 'ord' $$, $$ VALUES (true, 'hold') $$, 'taskq.queues shows it');
SELECT throws_ok($$ SELECT taskq.alter_queue('ord', age_every => '1 min') $$, '22023', 'an ordered or fair queue cannot have age_every', 'nor can alter_queue() give it age_every');
SELECT is_empty($$ SELECT * FROM taskq.limits $$, 'the order is no limit');
SELECT taskq.register_worker('ord-w', '{ord-a,ord-b}', queues => '{ord}') \gset

-- order ---------------------------------------------------------------------------
SELECT pg_temp.put('x1', 'x', p => 9), pg_temp.put('x2', 'x', 'ord-b', p => 1), pg_temp.put('y1', 'y', 'ord-b'), pg_temp.put('x3', 'x', p => 1), pg_temp.put('free' || n) FROM generate_series(1, 1) n \g /dev/null
SELECT pg_temp.put('free2') \g /dev/null
SELECT ok(pg_temp.came($$ SELECT reason_code IS DISTINCT FROM 'limit_arming' FROM taskq.describe_job(pg_temp.id('x1')) $$), 'the order is armed');
SELECT is(pg_temp.take_many('ord-w', 100), 'y1 free1 free2 x1', 'a claim gets the first job of each group, whatever its priority is, and jobs without a group');
SELECT is(pg_temp.take_many('ord-w', 100), '', 'no other job may start');
SELECT is(pg_temp.why('x2'), 'order: another job of its group runs', 'describe_job() says why of the next one');
SELECT is(pg_temp.why('x3'), format('order: job %s of its group comes first, and 1 job waits before it', pg_temp.id('x2')), 'and of the one behind it');
SELECT is(string_agg(DISTINCT reason_code, ','), 'order', 'explain_claim() says so') FROM taskq.explain_claim('ord-w') WHERE queue = 'ord';
SELECT is_empty($$ SELECT * FROM taskq.route_reasons WHERE queue = 'ord' AND reason_code = 'order' $$, 'it is no reason for concern');
SELECT is(pg_temp.finish('x1'), 1::bigint, 'the first job is completed');
SELECT is(pg_temp.take_many('ord-w', 100), 'x2', 'the next one starts, which is of another type');
SELECT taskq.release_job(pg_temp.id('x2'), pg_temp.e('x2')) \gset
SELECT is(pg_temp.take_many('ord-w', 100), 'x2', 'it is still the first one after it was released');
SELECT taskq.fail_job(pg_temp.id('x2'), pg_temp.e('x2'), 'x', retry_in => '0 s') \gset
SELECT is(pg_temp.take_many('ord-w', 100), 'x2', 'and after a failure');
SELECT taskq.fail_job(pg_temp.id('x2'), pg_temp.e('x2'), 'x', retryable => false) \gset
SELECT is(pg_temp.take_many('ord-w', 100), 'x3', 'when it is discarded, the next one starts');
SELECT is(pg_temp.finish('x3'), 1::bigint, 'and is completed');
SELECT taskq.retry_job(pg_temp.id('x2')) \gset
SELECT pg_temp.put('x4', 'x') \g /dev/null
SELECT is(pg_temp.take_many('ord-w', 100), 'x2', 'a discarded job that gets a new life is before those with higher ids');
SELECT pg_temp.clear() \g /dev/null

-- those that hold others ----------------------------------------------------------
SELECT pg_temp.put('x1', 'x', at => now() + '1 h'), pg_temp.put('x2', 'x', 'ord-b'), pg_temp.put('y1', 'y') \g /dev/null
SELECT is(pg_temp.take_many('ord-w', 100), 'y1', 'a job that is due later holds the others of its group');
SELECT is(pg_temp.why('x2'), format('order: job %s of its group comes first, and 1 job waits before it', pg_temp.id('x1')), 'describe_job() names it');
BEGIN;
SET LOCAL taskq.clock_offset = '2 h';
SELECT is(pg_temp.take_many('ord-w', 100), 'x1', 'when its time has come, it starts');
ROLLBACK;
SELECT throws_ok(format('SELECT taskq.run_job(%s, ''public.ord_handler(jsonb)'')', pg_temp.id('x2')), '55P03', format('job %s cannot be run now', pg_temp.id('x2')), 'run_job() does not pass the order');
SELECT is(taskq.cancel_job(pg_temp.id('x1')), 'cancelled', 'it is cancelled');
SELECT is(pg_temp.take_many('ord-w', 100), 'x2', 'then it holds nobody');
SELECT taskq.snooze_job(pg_temp.id('x2'), pg_temp.e('x2'), '1 h') \gset
SELECT pg_temp.put('x3', 'x') \g /dev/null
SELECT is(pg_temp.take_many('ord-w', 100), '', 'a snoozed job holds the others');
SELECT pg_temp.clear() \g /dev/null
SELECT pg_temp.put('x1', 'x', at => now() + '1 h', t => 't'), pg_temp.put('x2', 'x', t => 'u') \g /dev/null
BEGIN;
SET LOCAL taskq.tenant_id = 'u';
SELECT is(pg_temp.why('x2'), 'order: another job of its group comes first', 'who does not see all tenants is not told the job of another one, nor how many there are');
ROLLBACK;
SELECT pg_temp.clear() \g /dev/null
SELECT pg_temp.put('x1', 'x', 'ord-nobody'), pg_temp.put('x2', 'x') \g /dev/null
SELECT is(pg_temp.take_many('ord-w', 100), '', 'so does a job whose type nobody takes');
SELECT pg_temp.clear() \g /dev/null

-- those that are skipped ------------------------------------------------------------
SELECT pg_temp.put('x1', 'x', at => now() + '1 h'), pg_temp.put('x2', 'x'), pg_temp.put('x3', 'x', 'ord-b') \g /dev/null
BEGIN;
SELECT taskq.alter_queue('ord', on_delayed => 'skip') \g /dev/null
SELECT is(pg_temp.take_many('ord-w', 100), '', 'a transaction that has changed the order starts no job of the queue');
SELECT is(pg_temp.why('x2'), 'limit_arming: this transaction has changed the order of the queue', 'describe_job() says so');
COMMIT;
SELECT ok(pg_temp.lined_up(), 'the jobs are put in order');
SELECT is(pg_temp.take_many('ord-w', 100), 'x2', 'with skip, a job passes one that is due later');
SELECT is(pg_temp.why('x3'), 'order: another job of its group runs', 'the one behind it waits');
BEGIN;
SET LOCAL taskq.clock_offset = '2 h';
SELECT is(pg_temp.take_many('ord-w', 100), '', 'one whose time has come waits as well');
ROLLBACK;
SELECT is(pg_temp.finish('x2'), 1::bigint, 'the first one is completed');
BEGIN;
SET LOCAL taskq.clock_offset = '2 h';
SELECT is(pg_temp.take_many('ord-w', 100), 'x3', 'it has its place by run_at');
SELECT is(pg_temp.finish('x3'), 1::bigint, 'one job runs at a time');
COMMIT;
BEGIN;
SET LOCAL taskq.clock_offset = '2 h';
SELECT is(pg_temp.take_many('ord-w', 100), 'x1', 'and starts then');
ROLLBACK;
SELECT taskq.alter_queue('ord', on_delayed => 'hold') \gset
SELECT pg_temp.put('x4', 'x') \g /dev/null
SELECT ok(pg_temp.lined_up(), 'the jobs are put in order again');
SELECT is(pg_temp.take_many('ord-w', 100), '', 'with hold, it holds the others');
SELECT pg_temp.clear() \g /dev/null

-- transactions ----------------------------------------------------------------------
BEGIN;
SELECT pg_temp.put('x' || n, 'x', CASE n % 2 WHEN 0 THEN 'ord-a' ELSE 'ord-b' END) FROM generate_series(1, 3) n \g /dev/null
SELECT is(pg_temp.take_many('ord-w', 100), 'x1', 'a transaction sees its own jobs, and their order');
SELECT is(pg_temp.finish('x1'), 1::bigint, 'it completes the first one');
SELECT is(pg_temp.take_many('ord-w', 100), '', 'the next one does not start in the same transaction');
COMMIT;
SELECT is(pg_temp.take_many('ord-w', 100), 'x2', 'but after its commit');
SELECT pg_temp.clear() \g /dev/null

-- other limits, and turns -------------------------------------------------------------
SELECT taskq.set_limit('ord', queue => 'ord', for_each => '{tenant_id}', concurrency => 1) \gset
SELECT pg_temp.put('x1', 'x', t => 't'), pg_temp.put('x2', 'x', t => 'u'), pg_temp.put('y1', 'y', t => 't'), pg_temp.put('z1', 'z', t => 'u') \g /dev/null
SELECT ok(pg_temp.came($$ SELECT bool_and(state = 'active') FROM taskq.limits $$), 'a limit for each tenant is armed');
SELECT is(pg_temp.take_many('ord-w', 100), 'x1 z1', 'a job needs room in limits as well');
SELECT is(pg_temp.finish('x1'), 1::bigint, 'the first one is completed');
SELECT is(pg_temp.take_many('ord-w', 100), 'y1', 'a group waits for the limit of its first job');
SELECT is(taskq.cancel_job(pg_temp.id('x2')), 'cancelled', 'that one is cancelled');
SELECT pg_temp.put('x3', 'x', t => 'v') \g /dev/null
SELECT is(pg_temp.take_many('ord-w', 100), 'x3', 'then it does not wait for it any more');
SELECT pg_temp.clear() \g /dev/null
SELECT pg_temp.put('h1', 'h', t => 't') \g /dev/null
SELECT is(pg_temp.take_many('ord-w', 100), 'h1', 'a job has the room of a tenant');
SELECT pg_temp.put('x1', 'x', t => 't', p => 5), pg_temp.put('x2', 'x', t => 'u', p => 5), pg_temp.put('y1', 'y', t => 't', p => 1), pg_temp.put('z1', 'z', t => 't', p => 1) \g /dev/null
SELECT is(pg_temp.take_many('ord-w', 100), '', 'three groups wait for it');
SELECT is(pg_temp.finish('h1'), 1::bigint, 'the job is completed');
BEGIN;
SELECT is((SELECT state FROM taskq.run_job(pg_temp.id('x1'), 'public.ord_handler(jsonb)')), 'completed', 'run_job() runs the first job of a group, whatever its turn is');
SELECT is(pg_temp.take_many('ord-w', 100), '', 'the others wait for its end');
COMMIT;
SELECT is(pg_temp.take_many('ord-w', 100), 'y1 x2', 'then its group does not wait for that tenant any more');
SELECT pg_temp.clear() \g /dev/null
SELECT taskq.drop_limit('ord'), taskq.alter_queue('ord', fair => true) \gset
SELECT pg_temp.put('x' || n, 'x') FROM generate_series(1, 3) n \g /dev/null
SELECT pg_temp.put('y' || n, 'y', p => 9) FROM generate_series(1, 3) n \g /dev/null
SELECT is(pg_temp.take_many('ord-w', 100), 'x1 y1', 'in a fair queue each group has a job');
SELECT is(pg_temp.finish('x1', 'y1'), 2::bigint, 'both are completed');
SELECT is(pg_temp.take_many('ord-w', 100), 'x2 y2', 'and the next ones follow in order');
SELECT pg_temp.clear() \g /dev/null
SELECT taskq.alter_queue('ord', fair => false) \gset

-- changes -----------------------------------------------------------------------------
SELECT taskq.alter_queue('ord', ordered => false) \gset
SELECT pg_temp.put('x' || n, 'x', CASE n % 2 WHEN 0 THEN 'ord-a' ELSE 'ord-b' END) FROM generate_series(1, 4) n \g /dev/null
SELECT is(pg_temp.take('ord-w'), 'x1', 'a queue that is not ordered runs its jobs as others do');
SELECT is(pg_temp.take('ord-w'), 'x2', 'side by side');
SELECT taskq.alter_queue('ord', ordered => true) \gset
SELECT ok(pg_temp.lined_up(), 'it becomes ordered again, with jobs that wait');
SELECT is(pg_temp.take_many('ord-w', 100), '', 'jobs that run already hold the others');
SELECT is(pg_temp.finish('x2'), 1::bigint, 'one of two ends');
SELECT is(pg_temp.take_many('ord-w', 100), '', 'the other one holds them still');
SELECT is(pg_temp.finish('x1'), 1::bigint, 'both have ended');
SELECT is(pg_temp.take_many('ord-w', 100), 'x3', 'then the first one starts');
SELECT taskq.alter_queue('ord', ordered => false) \gset
SELECT ok(pg_temp.came($$ SELECT pg_temp.take('ord-w') = 'x4' $$), 'when it is not ordered any more, the next one starts at once');
SELECT pg_temp.clear() \g /dev/null
DROP FUNCTION ord_handler;
SELECT taskq.unregister_worker('ord-w'), taskq.unregister_handler('ord-a'), taskq.unregister_handler('ord-b') \g /dev/null
SELECT * FROM finish();
