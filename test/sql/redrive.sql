-- redrive_jobs(): put back many ended jobs, selected by their failures.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
BEGIN;
SELECT plan(28);

SELECT taskq.register_handler('redrive-a', max_attempts => 1), taskq.register_handler('redrive-b', max_attempts => 1),
	taskq.create_queue('redrive-q'), taskq.create_queue('redrive-nopay', keep_payload => false, on_unhandled => 'fail') \gset
-- Enqueue a job and make it fail without a retry; its error contains its name.
CREATE FUNCTION pg_temp.fail(n text, t text, type text, code text, q text DEFAULT NULL, tenant text DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO j VALUES (n, taskq.enqueue_job(t, jsonb_build_object('n', n), queue => q, tenant_id => tenant));
	PERFORM pg_temp.take('redrive-w', t);
	PERFORM taskq.fail_job(id, e, 'no answer for ' || n, type, code) FROM j WHERE name = n;
END $$;
SELECT set_config('regress.start', taskq.clock_now()::text, true) \gset
-- The names of the jobs of this test that a call puts back; the call is undone.
CREATE FUNCTION pg_temp.redriven(args text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
	n integer;
BEGIN
	BEGIN
		EXECUTE format('SELECT taskq.redrive_jobs(%s)', concat_ws(', ', NULLIF(args, ''),
			CASE WHEN args !~ 'finished_after' THEN format('finished_after => %L', current_setting('regress.start')) END)) INTO n;
		SELECT n || ':' || COALESCE(string_agg(' ' || name, '' ORDER BY name), '') INTO answer FROM j WHERE pg_temp.state(name) = 'available 0';
		RAISE EXCEPTION 'undo';
	EXCEPTION WHEN raise_exception THEN
		RETURN answer;
	END;
END $$;
SELECT pg_temp.fail('a1', 'redrive-a', 'permanent_error', 'E1'), pg_temp.fail('a2', 'redrive-a', 'timeout', NULL, tenant => 'acme'),
	pg_temp.fail('b1', 'redrive-b', 'permanent_error', 'E2'), pg_temp.fail('b2', 'redrive-b', 'handler_error', 'E1', 'redrive-q') \gset
SELECT pg_temp.add('done', 'redrive-a'), pg_temp.take('redrive-w'), pg_temp.add('gone', 'redrive-a') \gset
SELECT taskq.complete_job(pg_temp.id('done'), pg_temp.e('done')), taskq.cancel_job(pg_temp.id('gone')) \gset

SELECT is(pg_temp.redriven(), '4: a1 a2 b1 b2', 'redrive_jobs() puts back discarded jobs');
SELECT is(pg_temp.redriven($$'redrive-a'$$), '2: a1 a2', 'redrive_jobs() can be restricted to a type');
SELECT is(pg_temp.redriven($$queue => 'redrive-q'$$), '1: b2', 'redrive_jobs() can be restricted to a queue');
SELECT is(pg_temp.redriven($$queue => 'default'$$), '3: a1 a2 b1', 'redrive_jobs() can be restricted to the queue default');
SELECT is(pg_temp.redriven($$error_type => 'permanent_error'$$), '2: a1 b1', 'redrive_jobs() can be restricted to an error type');
SELECT is(pg_temp.redriven($$error_code => 'E1'$$), '2: a1 b2', 'redrive_jobs() can be restricted to an error code');
SELECT is(pg_temp.redriven($$error_like => 'no answer for %2'$$), '2: a2 b2', 'redrive_jobs() can be restricted to a message');
SELECT is(pg_temp.redriven($$tenant_id => 'acme'$$), '1: a2', 'redrive_jobs() can be restricted to a tenant');
SELECT is(pg_temp.redriven($$'redrive-b', error_code => 'E1'$$), '1: b2', 'redrive_jobs() applies all restrictions together');
SELECT is(pg_temp.redriven($$'redrive-c'$$), '0:', 'redrive_jobs() puts back nothing for a type without jobs');
SELECT is(pg_temp.redriven($$max_jobs => 2$$), '2: a1 a2', 'redrive_jobs() puts back up to max_jobs jobs, in the order in which they ended');
SELECT is(pg_temp.redriven($$states => '{cancelled}'$$), '1: gone', 'redrive_jobs() can be restricted to cancelled jobs');
SELECT is(pg_temp.redriven($$states => '{cancelled,discarded,quarantined}'$$), '5: a1 a2 b1 b2 gone', 'redrive_jobs() accepts several states');
SELECT is(pg_temp.redriven($$states => NULL$$), '5: a1 a2 b1 b2 gone', 'states of NULL means all states except completed');
SELECT is(pg_temp.redriven(format('finished_after => %L', taskq.clock_now() + interval '1 min')), '0:', 'redrive_jobs() can be restricted to jobs that ended after a time');
SELECT is(pg_temp.redriven(format('finished_before => %L', taskq.clock_now() - interval '1 min')), '0:', 'redrive_jobs() can be restricted to jobs that ended before a time');
SELECT is(pg_temp.redriven(format('finished_after => %L, finished_before => %L', current_setting('regress.start'), taskq.clock_now() + interval '1 min')),
	'4: a1 a2 b1 b2', 'redrive_jobs() can be restricted to jobs that ended between two times');

SELECT is(taskq.redrive_jobs('redrive-a'), 2, 'redrive_jobs() returns the number of jobs');
SELECT is(taskq.redrive_jobs('redrive-a'), 0, 'redrive_jobs() puts back each job once');
SELECT is(pg_temp.take_many('redrive-w', 5, 'redrive-a'), 'a1 a2', 'the jobs that were put back can be claimed');
SELECT is(pg_temp.attempts('a1'), '1 failed permanent_error', 'their earlier attempts are kept');
SELECT is(pg_temp.state('a1'), 'running 1', 'their attempts are counted from 1 again');

INSERT INTO j SELECT 'nopay', taskq.enqueue_job('redrive-none', queue => 'redrive-nopay');
SELECT is(pg_temp.redriven($$queue => 'redrive-nopay'$$), '1: nopay', 'an unhandled job is put back with its payload, which only completed jobs lose');

SELECT throws_ok($$ SELECT taskq.redrive_jobs(states => '{completed}') $$, '22023', NULL, 'completed jobs are refused');
SELECT throws_ok($$ SELECT taskq.redrive_jobs(states => '{running}') $$, '22023', NULL, 'live jobs are refused');
SELECT throws_ok($$ SELECT taskq.redrive_jobs(queue => 'redrive-typo') $$, '42704', NULL, 'an unknown queue is refused');
SELECT throws_ok($$ SELECT taskq.redrive_jobs(error_like => 'no answer\') $$, '22023', NULL, 'a pattern that ends with a backslash is refused');
SELECT throws_ok($$ SELECT taskq.redrive_jobs(max_jobs => 0) $$, '22023', NULL, 'max_jobs must not be 0');
SELECT * FROM finish();
ROLLBACK;
