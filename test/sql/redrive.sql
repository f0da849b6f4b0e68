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

SELECT is(pg_temp.redriven(), '4: a1 a2 b1 b2', 'redrive_jobs() puts back what was discarded');
SELECT is(pg_temp.redriven($$'redrive-a'$$), '2: a1 a2', 'of one type');
SELECT is(pg_temp.redriven($$queue => 'redrive-q'$$), '1: b2', 'of one queue');
SELECT is(pg_temp.redriven($$queue => 'default'$$), '3: a1 a2 b1', 'also of the default one');
SELECT is(pg_temp.redriven($$error_type => 'permanent_error'$$), '2: a1 b1', 'with an error type');
SELECT is(pg_temp.redriven($$error_code => 'E1'$$), '2: a1 b2', 'with the application''s code');
SELECT is(pg_temp.redriven($$error_like => 'no answer for %2'$$), '2: a2 b2', 'with a message');
SELECT is(pg_temp.redriven($$tenant_id => 'acme'$$), '1: a2', 'of one tenant');
SELECT is(pg_temp.redriven($$'redrive-b', error_code => 'E1'$$), '1: b2', 'with all that is asked for');
SELECT is(pg_temp.redriven($$'redrive-c'$$), '0:', 'a type without jobs has none');
SELECT is(pg_temp.redriven($$max_jobs => 2$$), '2: a1 a2', 'not more than asked for, those first that ended first');
SELECT is(pg_temp.redriven($$states => '{cancelled}'$$), '1: gone', 'or cancelled ones');
SELECT is(pg_temp.redriven($$states => '{cancelled,discarded,quarantined}'$$), '5: a1 a2 b1 b2 gone', 'or all that have not completed');
SELECT is(pg_temp.redriven($$states => NULL$$), '5: a1 a2 b1 b2 gone', 'which NULL stands for too');
SELECT is(pg_temp.redriven(format('finished_after => %L', taskq.clock_now() + interval '1 min')), '0:', 'that ended after a moment');
SELECT is(pg_temp.redriven(format('finished_before => %L', taskq.clock_now() - interval '1 min')), '0:', 'or before it');
SELECT is(pg_temp.redriven(format('finished_after => %L, finished_before => %L', current_setting('regress.start'), taskq.clock_now() + interval '1 min')),
	'4: a1 a2 b1 b2', 'or between two');

SELECT is(taskq.redrive_jobs('redrive-a'), 2, 'it says how many');
SELECT is(taskq.redrive_jobs('redrive-a'), 0, 'each is put back once');
SELECT is(pg_temp.take_many('redrive-w', 5, 'redrive-a'), 'a1 a2', 'they can be claimed');
SELECT is(pg_temp.attempts('a1'), '1 failed permanent_error', 'their earlier attempts stay');
SELECT is(pg_temp.state('a1'), 'running 1', 'and are counted anew');

INSERT INTO j SELECT 'nopay', taskq.enqueue_job('redrive-none', queue => 'redrive-nopay');
SELECT is(pg_temp.redriven($$queue => 'redrive-nopay'$$), '1: nopay', 'a job that nobody handled, with the payload that only completed jobs lose');

SELECT throws_ok($$ SELECT taskq.redrive_jobs(states => '{completed}') $$, '22023', NULL, 'completed jobs are not put back');
SELECT throws_ok($$ SELECT taskq.redrive_jobs(states => '{running}') $$, '22023', NULL, 'nor live ones');
SELECT throws_ok($$ SELECT taskq.redrive_jobs(queue => 'redrive-typo') $$, '42704', NULL, 'a queue that is not there is a mistake');
SELECT throws_ok($$ SELECT taskq.redrive_jobs(error_like => 'no answer\') $$, '22023', NULL, 'a pattern that ends halfway');
SELECT throws_ok($$ SELECT taskq.redrive_jobs(max_jobs => 0) $$, '22023', NULL, 'so is none at all');
SELECT * FROM finish();
ROLLBACK;
