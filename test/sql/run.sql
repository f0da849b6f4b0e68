-- Jobs run by hand: run_job, run_next and run_all.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/named_jobs.sql
CREATE ROLE tq_run LOGIN;
CREATE ROLE tq_run_other LOGIN;
CREATE SCHEMA tq_run AUTHORIZATION tq_run;
SELECT count(taskq.grant_access(r::regrole, a)) FROM unnest('{producer,worker,observer}'::text[]) a, unnest('{tq_run,tq_run_other}'::text[]) r \gset
GRANT ALL ON j TO tq_run, tq_run_other;
CREATE FUNCTION pg_temp.add(n text, t text, pay jsonb DEFAULT '{}', p int DEFAULT 0, at timestamptz DEFAULT NULL, q text DEFAULT NULL) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO j VALUES (n, taskq.enqueue_job(t, pay || jsonb_build_object('name', n), priority => p, run_at => at, queue => q)) $$;
CREATE FUNCTION pg_temp.run(n text, h regprocedure DEFAULT NULL) RETURNS text LANGUAGE sql AS
	$$ SELECT concat_ws(' ', r.task_type, r.state, r.result, r.error) FROM taskq.run_job((SELECT id FROM j WHERE name = n), h) r $$;
-- throws_ok() does not catch a cancelled query
CREATE FUNCTION pg_temp.cancelled(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN query_canceled THEN
	RETURN SQLSTATE;
END $$;
SELECT plan(102);

SELECT taskq.create_pool('tq_run', size => 0, role => 'tq_run'), taskq.create_pool('tq_run_other', size => 0, role => 'tq_run_other'),
	taskq.create_queue('run-one'), taskq.create_queue('run-two') \gset
SET SESSION AUTHORIZATION tq_run;
CREATE TABLE tq_run.log (n serial, name text);
CREATE FUNCTION tq_run.double(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO tq_run.log (name) VALUES (payload->>'name');
	RETURN to_jsonb((payload->>'n')::int * 2);
END $$;
CREATE FUNCTION tq_run.boom(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO tq_run.log (name) VALUES (payload->>'name');
	RAISE EXCEPTION 'no luck';
END $$;
CREATE FUNCTION tq_run.chain(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO tq_run.log (name) VALUES (payload->>'n');
	IF (payload->>'n')::int > 0 THEN
		PERFORM taskq.enqueue_job('run-chain', jsonb_build_object('n', (payload->>'n')::int - 1));
	END IF;
	RETURN payload->'n';
END $$;
CREATE FUNCTION tq_run.name(job taskq.job) RETURNS jsonb LANGUAGE sql AS
	$$ SELECT jsonb_build_object('name', job.payload->'name', 'attempt', job.attempt, 'same', (taskq.current_job()).job_id = job.job_id) $$;
CREATE FUNCTION tq_run.slow(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO tq_run.log (name) VALUES (payload->>'name');
	PERFORM pg_sleep(20);
	RETURN '"slept"';
END $$;
CREATE FUNCTION tq_run.sets(payload jsonb) RETURNS jsonb LANGUAGE sql AS
	$$ SELECT to_jsonb(set_config('tq_run.x', 'handler', false) || ' ' || current_user) $$;
CREATE FUNCTION tq_run.nest(payload jsonb) RETURNS jsonb LANGUAGE sql AS
	$$ SELECT jsonb_build_object('inner', r.state, 'outer', (taskq.current_job()).payload->'name') FROM taskq.run_job((payload->>'id')::bigint) r $$;
CREATE FUNCTION tq_run.self(payload jsonb) RETURNS jsonb LANGUAGE sql AS
	$$ SELECT to_jsonb(r.state) FROM taskq.run_job((taskq.current_job()).job_id) r $$;
CREATE FUNCTION tq_run.no_handler(a int) RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE FUNCTION tq_run.mine(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
REVOKE ALL ON FUNCTION tq_run.mine(jsonb) FROM PUBLIC;
GRANT USAGE ON SCHEMA tq_run TO tq_run_other;
RESET SESSION AUTHORIZATION;
SELECT count(taskq.register_handler('run-' || f, format('tq_run.%I(jsonb)', f)::regprocedure, run_as => 'tq_run', retry_base => '1 h', version => '7',
	timeout => CASE f WHEN 'slow' THEN interval '50 ms' END)) FROM unnest('{double,boom,chain,slow,sets,nest,self}'::text[]) f \gset
SELECT taskq.register_handler('run-ext'), taskq.register_handler('run-other', 'tq_run.double(jsonb)', run_as => 'tq_run_other'),
	taskq.register_handler('run-path', 'tq_run.double(jsonb)', run_as => 'tq_run', retry_base => '1 h') \gset
SET SESSION AUTHORIZATION tq_run;

-- one job, by its registered handler
SELECT pg_temp.add('a', 'run-double', '{"n": 4}') \gset
SELECT is(pg_temp.state('a'), 'available 0', 'without a pool, the job stays available');
SELECT is(pg_temp.run('a'), 'run-double completed 8', 'run_job() runs the registered handler and returns its result');
SELECT is(pg_temp.state('a') || ' ' || result, 'completed 1 8', 'the job is completed in its first attempt') FROM taskq.all_jobs WHERE job_id = pg_temp.id('a');
SELECT is(attempt || ' ' || outcome || ' ' || handler_version, '1 completed 7', 'taskq.attempts has the completed attempt') FROM taskq.attempts WHERE job_id = pg_temp.id('a');
SELECT matches(worker_id, '^session:[0-9]+$', 'the worker id is that of the session') FROM taskq.all_jobs WHERE job_id = pg_temp.id('a');
SELECT is(array_agg(name), '{a}', 'the handler''s writes are kept') FROM tq_run.log;
SELECT ok(taskq.current_job() IS NULL, 'the session runs no job afterwards');
SELECT throws_ok($$ SELECT pg_temp.run('a') $$, 'TQ008', NULL, 'a completed job is not run again');
BEGIN;
SELECT pg_temp.add('b', 'run-double', '{"n": 5}') \gset
SELECT is(pg_temp.run('b'), 'run-double completed 10', 'a job enqueued in the same transaction is run');
COMMIT;
SELECT is(pg_temp.state('b'), 'completed 1', 'such a job is completed after the commit');
SELECT pg_temp.add('c', 'run-double', '{"n": 6}') \gset
BEGIN;
SELECT is(pg_temp.run('c'), 'run-double completed 12', 'run_job() runs a job in a transaction');
SELECT is(pg_temp.state('c'), 'completed 1', 'the job is completed for that transaction');
ROLLBACK;
SELECT is(pg_temp.state('c'), 'available 0', 'a rollback undoes the run');
SELECT ok(NOT EXISTS (SELECT FROM taskq.attempts WHERE job_id = pg_temp.id('c')) AND NOT EXISTS (SELECT FROM tq_run.log WHERE name = 'c'),
	'a rollback removes the attempt and the handler''s writes');
SELECT is(pg_temp.run('c'), 'run-double completed 12', 'a job whose run was rolled back can be run again');
SELECT pg_temp.add('ahead', 'run-double', '{"n": 7}', 0, taskq.clock_now() + '1 h') \gset
SELECT is(count(*), 0::bigint, 'run_next() does not run a job that is not due') FROM taskq.run_next();
SELECT is(pg_temp.run('ahead'), 'run-double completed 14', 'run_job() runs a job that is not due');
SELECT pg_temp.add('sets', 'run-sets') \gset
SET tq_run.x = 'session';
SELECT is(pg_temp.run('sets'), 'run-sets completed "handler tq_run"', 'a handler runs as the session user');
SELECT is(current_setting('tq_run.x'), 'session', 'settings of the session are restored after a handler');

-- failures
SELECT pg_temp.add('boom', 'run-boom') \gset
BEGIN;
INSERT INTO tq_run.log (name) VALUES ('caller');
SELECT is(pg_temp.run('boom'), 'run-boom retryable no luck', 'a failure of a handler is returned, not raised');
COMMIT;
SELECT is(pg_temp.state('boom'), 'retryable 1', 'a failed job waits for its retry');
SELECT is(outcome || ' ' || error_type || ' ' || sqlstate || ' ' || error_message, 'failed handler_error P0001 no luck', 'taskq.attempts has the failed attempt') FROM taskq.attempts WHERE job_id = pg_temp.id('boom');
SELECT is(array_agg(name), '{caller}', 'the caller''s writes are kept, and the failed handler''s writes are not') FROM tq_run.log WHERE name IN ('caller', 'boom');
SELECT is(pg_temp.run('boom'), 'run-boom retryable no luck', 'run_job() runs a retryable job before it is due');
SELECT is(pg_temp.state('boom'), 'retryable 2', 'the second failure is the second attempt');
INSERT INTO j VALUES ('last', taskq.enqueue_job('run-boom', max_attempts => 1));
SELECT is(pg_temp.run('last'), 'run-boom discarded no luck', 'a job without attempts left is discarded');
SELECT throws_ok($$ SELECT pg_temp.run('last') $$, 'TQ008', NULL, 'a discarded job is not run');

-- run_next()
SELECT is(count(*), 0::bigint, 'run_next() returns no row if no job is due') FROM taskq.run_next();
SELECT pg_temp.add('p5', 'run-double', '{"n": 1}', 5), pg_temp.add('p1', 'run-chain', '{"n": 0}', 1, NULL, 'run-one'), pg_temp.add('p1 later', 'run-double', '{"n": 1}', 1),
	pg_temp.add('p-1', 'run-double', '{"n": 1}', -1, NULL, 'run-two'), pg_temp.add('p-9', 'run-ext', '{}', -9), pg_temp.add('p-9 other', 'run-other', '{"n": 1}', -9),
	pg_temp.add('p1 first', 'run-double', '{"n": 1}', 1, NULL, 'run-two'), pg_temp.add('p1 future', 'run-double', '{"n": 1}', -9, taskq.clock_now() + '1 h') \gset
CREATE FUNCTION pg_temp.next(types text[] DEFAULT NULL, h regprocedure DEFAULT NULL) RETURNS text LANGUAGE sql AS
	$$ SELECT name || ' ' || r.state FROM taskq.run_next(types, h) r JOIN j ON j.id = r.job_id $$;
SELECT is(pg_temp.next('{run-chain}'), 'p1 completed', 'run_next() runs a job of the given types');
SELECT is(pg_temp.next(), 'p-1 completed', 'run_next() takes the lowest priority number first, across all queues');
SELECT is(pg_temp.next(), 'p1 later completed', 'run_next() takes jobs of one priority in the order of enqueue');
SELECT is(pg_temp.next('{run-none}'), NULL, 'run_next() returns no row for an unregistered type');
SELECT is(pg_temp.next('{run-ext}'), NULL, 'run_next() returns no row for an external type');
SELECT is(pg_temp.next('{run-other}'), NULL, 'run_next() returns no row for a type of another role');
SELECT is(pg_temp.next(), 'p1 first completed', 'run_next() takes the next job of that priority');
SELECT is(pg_temp.next(), 'p5 completed', 'run_next() takes the last job');
SELECT is(pg_temp.next(), NULL, 'run_next() returns no row after the last job');
SELECT is(pg_temp.state('p-9') || ', ' || pg_temp.state('p-9 other') || ', ' || pg_temp.state('p1 future'), 'available 0, available 0, scheduled 0', 'run_next() leaves future jobs and jobs of other types and roles');

-- run_all()
TRUNCATE tq_run.log;
SELECT pg_temp.add('all1', 'run-double', '{"n": 1}', 3), pg_temp.add('all2', 'run-chain', '{"n": 3}', 2), pg_temp.add('all3', 'run-boom', '{}', 1) \gset
CREATE TEMP TABLE ran AS SELECT * FROM taskq.run_all() WITH ORDINALITY AS r (job_id, task_type, state, result, error, n);
SELECT is(array_agg(task_type || ' ' || state ORDER BY n),
	'{run-boom retryable,run-chain completed,run-chain completed,run-chain completed,run-chain completed,run-double completed}'::text[] COLLATE "C",
	'run_all() runs all due jobs and the jobs that their handlers enqueue') FROM (SELECT n, task_type, state FROM ran) x;
SELECT is(array_agg(name ORDER BY n), '{3,2,1,0,all1}', 'run_all() runs jobs in the order of priority') FROM tq_run.log;
SELECT is(count(*), 0::bigint, 'run_all() leaves no due job') FROM taskq.run_all();
SELECT pg_temp.add('m' || i, 'run-double', '{"n": 1}') FROM generate_series(1, 5) i \g /dev/null
SELECT is(count(*), 2::bigint, 'run_all() runs up to max_jobs jobs') FROM taskq.run_all(max_jobs => 2);
SELECT is(string_agg(name, ' ' ORDER BY name), 'm3 m4 m5', 'run_all() with max_jobs leaves the later jobs') FROM j JOIN taskq.all_jobs ON job_id = id WHERE name LIKE 'm_' AND state = 'available';
SELECT is(count(*), 0::bigint, 'run_all() returns no row for types without jobs') FROM taskq.run_all('{run-chain,run-none}');
SELECT is(count(*), 3::bigint, 'run_all() with types runs the remaining jobs') FROM taskq.run_all('{run-double}', 100);
SELECT throws_ok($$ SELECT * FROM taskq.run_all(max_jobs => 0) $$, '22023', NULL, 'max_jobs must be at least 1');
BEGIN;
SELECT pg_temp.add('r1', 'run-double', '{"n": 1}'), pg_temp.add('r2', 'run-double', '{"n": 1}') \gset
SAVEPOINT s;
SELECT is(count(*), 2::bigint, 'run_all() runs jobs in a subtransaction') FROM taskq.run_all();
ROLLBACK TO s;
SELECT is(pg_temp.state('r1') || ', ' || pg_temp.state('r2'), 'available 0, available 0', 'a rollback of the subtransaction undoes the runs');
SELECT is(count(*), 2::bigint, 'the jobs can be run again') FROM taskq.run_all();
ROLLBACK;

-- a handler as an argument
SELECT is(pg_temp.run('p-9', 'tq_run.name(taskq.job)'), 'run-ext completed {"name": "p-9", "same": true, "attempt": 1}', 'a given handler runs a job of an external type');
SELECT pg_temp.add('g1', 'run-none', '{"n": 3}') \gset
SELECT is(pg_temp.run('g1', 'tq_run.double(jsonb)'), 'run-none completed 6', 'a given handler runs a job of an unregistered type');
SELECT pg_temp.add('g2', 'run-double', '{"n": 3}') \gset
SELECT is(pg_temp.run('g2', 'tq_run.name(taskq.job)'), 'run-double completed {"name": "g2", "same": true, "attempt": 1}', 'a given handler runs a job of a type with another handler');
SELECT pg_temp.add('g3', 'run-none', '{"n": 3}', 1), pg_temp.add('g4', 'run-none', '{"n": 4}', -1), pg_temp.add('g5', 'run-else') \gset
SELECT is(pg_temp.next('{run-none}', 'tq_run.double(jsonb)'), 'g4 completed', 'run_next() with a handler runs the first job of the type');
SELECT is(pg_temp.next('{run-none}', 'tq_run.double(jsonb)'), 'g3 completed', 'run_next() with a handler runs the next job of the type');
SELECT is(pg_temp.next('{run-none}', 'tq_run.double(jsonb)'), NULL, 'run_next() with a handler runs no job of other types');
SELECT throws_ok($$ SELECT * FROM taskq.run_next(NULL, 'tq_run.double(jsonb)') $$, '22023', NULL, 'run_next() with a handler requires task types');
SELECT is(pg_temp.run('g5', 'tq_run.boom(jsonb)'), 'run-else retryable no luck', 'a failure of a given handler is recorded');
SELECT throws_ok($$ SELECT pg_temp.run('g5', 'tq_run.no_handler(int)') $$, '42P13', NULL, 'a function with other arguments is refused as a handler');
SELECT throws_ok($$ SELECT taskq.run_job(pg_temp.id('g5'), 'tq_run.nothing(jsonb)') $$, '42883', NULL, 'a handler that does not exist is refused');

-- nobody runs another role's jobs
SELECT throws_ok($$ SELECT pg_temp.run('p-9 other') $$, 'TQ002', NULL, 'run_job() refuses a job of another role''s type');
SELECT throws_ok($$ SELECT pg_temp.run('p-9 other', 'tq_run.double(jsonb)') $$, 'TQ002', NULL, 'run_job() refuses it with a given handler, too');
SELECT is(pg_temp.next('{run-other}', 'tq_run.double(jsonb)'), NULL, 'run_next() with a handler does not run it');
SELECT is(pg_temp.state('p-9 other'), 'available 0', 'the job stays available for its role');
RESET SESSION AUTHORIZATION;
GRANT tq_run_other TO tq_run;
SET SESSION AUTHORIZATION tq_run;
BEGIN;
SELECT is(pg_temp.run('p-9 other', 'tq_run.double(jsonb)'), 'run-other completed 2', 'a member of the role can run the job with a given handler');
ROLLBACK;
SELECT throws_ok($$ SELECT pg_temp.run('p-9 other') $$, 'TQ002', NULL, 'a member of the role cannot run the role''s registered handler');
SET ROLE tq_run_other;
SELECT throws_ok($$ SELECT pg_temp.run('p-9 other') $$, '42501', NULL, 'run_job() is refused after SET ROLE');
SELECT throws_ok($$ SELECT * FROM taskq.run_next() $$, '42501', NULL, 'run_next() is refused after SET ROLE');
SELECT throws_ok($$ SELECT * FROM taskq.run_all() $$, '42501', NULL, 'run_all() is refused after SET ROLE');
RESET ROLE;
CREATE FUNCTION tq_run.lend() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT count(*)::text FROM taskq.run_all() $$;
SET SESSION AUTHORIZATION tq_run_other;
SELECT throws_ok($$ SELECT tq_run.lend() $$, '42501', NULL, 'run_all() is refused in a SECURITY DEFINER function');
SELECT throws_ok($$ SELECT taskq.run_next('{run-none}', 'tq_run.mine(jsonb)') $$, '42501', NULL, 'a given handler requires the right to execute it');
RESET SESSION AUTHORIZATION;
SELECT is(array(SELECT r.state FROM taskq.run_all('{run-other,run-double}') r), '{}', 'a superuser does not run other roles'' handlers either');
SELECT is(pg_temp.state('p-9 other'), 'available 0', 'the job of the other role stays available');
REVOKE tq_run_other FROM tq_run;

-- refused calls
SELECT pg_temp.add('paused', 'run-double', '{"n": 1}', q => 'run-one'), pg_temp.add('stopped', 'run-chain', '{"n": 0}'), taskq.pause_queue('run-one'), taskq.pause_handler('run-chain'),
	pg_temp.add('claimed', 'run-ext'), pg_temp.add('cancelled', 'run-double'), taskq.cancel_job(pg_temp.id('cancelled')) \gset
INSERT INTO j VALUES ('gpu', taskq.enqueue_job('run-double', '{"n": 1}', required_capabilities => '{gpu}')), ('newer', taskq.enqueue_job('run-double', '{"n": 1}', min_version => '8'));
SELECT count(*) FROM taskq.claim_job('run-w', '{run-ext}') \gset
SET SESSION AUTHORIZATION tq_run;
SELECT throws_ok($$ SELECT taskq.run_job(-1) $$, 'TQ011', NULL, 'run_job() refuses an unknown job');
SELECT throws_ok($$ SELECT taskq.run_job(0, 'tq_run.double(jsonb)') $$, 'TQ011', NULL, 'run_job() refuses an unknown job with a given handler');
SELECT throws_ok($$ SELECT taskq.run_job(NULL) $$, '22004', NULL, 'job_id must not be NULL');
SELECT throws_ok($$ SELECT pg_temp.run('claimed', 'tq_run.double(jsonb)') $$, 'TQ008', NULL, 'run_job() refuses a claimed job');
SELECT throws_ok($$ SELECT pg_temp.run('cancelled') $$, 'TQ008', NULL, 'run_job() refuses a cancelled job');
SELECT throws_ok($$ SELECT pg_temp.run('paused') $$, 'TQ002', NULL, 'run_job() refuses a job of a paused queue');
SELECT matches(pg_temp.detail_of($$ SELECT pg_temp.run('paused') $$), 'queue paused', 'the detail says that the queue is paused');
SELECT throws_ok($$ SELECT pg_temp.run('stopped') $$, 'TQ002', NULL, 'run_job() refuses a job of a paused type');
SELECT throws_ok($$ SELECT pg_temp.run('gpu') $$, 'TQ002', NULL, 'run_job() refuses a job that requires capabilities');
SELECT throws_ok($$ SELECT pg_temp.run('newer') $$, 'TQ002', NULL, 'run_job() refuses a job that requires a newer handler');
SELECT is(count(*), 0::bigint, 'run_all() runs none of these jobs') FROM taskq.run_all();
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT throws_ok($$ SELECT taskq.run_all() $$, '25001', NULL, 'run_all() is refused under REPEATABLE READ');
ROLLBACK;
BEGIN READ ONLY;
SELECT throws_ok($$ SELECT taskq.run_next() $$, '25006', NULL, 'run_next() is refused in a read-only transaction');
ROLLBACK;

-- timeouts
SELECT pg_temp.add('slow', 'run-slow') \gset
SELECT is(pg_temp.run('slow'), 'run-slow retryable the job ran longer than its timeout of 0.05 s', 'a handler is interrupted at its timeout');
SELECT is(pg_temp.state('slow') || ' ' || outcome || ' ' || error_type, 'retryable 1 timeout timeout', 'a run that exceeds its timeout is an attempt') FROM taskq.attempts WHERE job_id = pg_temp.id('slow');
SELECT is(count(*), 0::bigint, 'a run that exceeds its timeout is rolled back') FROM tq_run.log WHERE name = 'slow';
SELECT is(pg_temp.cancelled('SELECT pg_sleep(0.15)'), 'no error', 'no timer is left after the run');
INSERT INTO j VALUES ('own timeout', taskq.enqueue_job('run-none', timeout => '20 ms'));
SELECT is(pg_temp.run('own timeout', 'tq_run.slow(jsonb)'), 'run-none retryable the job ran longer than its timeout of 0.02 s', 'the job''s own timeout applies to a given handler');
INSERT INTO j VALUES ('session', taskq.enqueue_job('run-none'));
SET statement_timeout = '100 ms';
SELECT is(pg_temp.cancelled($$ SELECT pg_temp.run('session', 'tq_run.slow(jsonb)') $$), '57014', 'statement_timeout cancels the statement');
SET statement_timeout = 0;
SELECT is(pg_temp.state('session'), 'available 0', 'statement_timeout does not count as an attempt');
SET statement_timeout = '200 ms';
SELECT is(pg_temp.cancelled($$ SELECT pg_temp.run('session', 'tq_run.name(taskq.job)'), pg_sleep(20) $$), '57014', 'a run does not reset statement_timeout');
SET statement_timeout = 0;

-- handlers in SQL: a cached function is the current one, with the current
-- search_path
RESET SESSION AUTHORIZATION;
CREATE SCHEMA tq_run_two AUTHORIZATION tq_run;
CREATE FUNCTION tq_run.who() RETURNS text LANGUAGE sql AS $$ SELECT 'one' $$;
CREATE FUNCTION tq_run_two.who() RETURNS text LANGUAGE sql AS $$ SELECT 'two' $$;
SET search_path = tq_run, public;
CREATE FUNCTION tq_run.say(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(who()) $$;
SELECT taskq.register_handler('run-say-one', 'tq_run.say(jsonb)', run_as => 'tq_run', search_path => 'tq_run', retry_base => '1 h'),
	taskq.register_handler('run-say-two', 'tq_run.say(jsonb)', run_as => 'tq_run', search_path => 'tq_run_two', retry_base => '1 h') \gset
RESET search_path;
ALTER FUNCTION tq_run.say(jsonb) OWNER TO tq_run;
ALTER FUNCTION tq_run.who() OWNER TO tq_run;
SET SESSION AUTHORIZATION tq_run;
SELECT count(pg_temp.add('say' || i, CASE WHEN i % 2 = 1 THEN 'run-say-one' ELSE 'run-say-two' END)) FROM generate_series(1, 6) i \gset
SELECT is((SELECT string_agg(result #>> '{}', ' ') FROM taskq.run_all(task_types => '{run-say-one,run-say-two}', max_jobs => 4)), 'one two one two', 'the body of a handler uses the search_path of its type');
CREATE OR REPLACE FUNCTION tq_run.who() RETURNS text LANGUAGE sql AS $$ SELECT 'new' $$;
SELECT is(pg_temp.run('say5'), 'run-say-one completed "new"', 'a handler uses a replaced function that it calls');
CREATE OR REPLACE FUNCTION tq_run.say(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ INSERT INTO tq_run.log (name) VALUES ('said') RETURNING to_jsonb(name) $$;
SELECT is(pg_temp.run('say6'), 'run-say-two completed "said"', 'a handler that was replaced is used');
SELECT is(count(*), 1::bigint, 'the body of the replaced handler runs once') FROM tq_run.log WHERE name = 'said';
CREATE OR REPLACE FUNCTION tq_run.say(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(1 / (payload->>'n')::int) $$;
SELECT pg_temp.add('divide', 'run-say-one', '{"n": 0}'), pg_temp.add('divided', 'run-say-one', '{"n": 1}') \gset
SELECT is(pg_temp.run('divide'), 'run-say-one discarded division by zero', 'an error in an expression fails the attempt');
SELECT is(pg_temp.run('divided'), 'run-say-one completed 1', 'an error in an expression does not affect the next run');

-- inside a handler
SELECT pg_temp.add('inner', 'run-double', '{"n": 1}') \gset
SELECT pg_temp.add('nest', 'run-nest', jsonb_build_object('id', pg_temp.id('inner'))), pg_temp.add('self', 'run-self') \gset
SELECT is(pg_temp.run('nest'), 'run-nest completed {"inner": "completed", "outer": "nest"}', 'a handler may run another job');
SELECT is(pg_temp.state('inner'), 'completed 1', 'the other job is completed, too');
SELECT matches(pg_temp.run('self'), '^run-self retryable job [0-9]+ is .* cannot be run$', 'a handler cannot run its own job');

RESET SESSION AUTHORIZATION;
SELECT finish();
SELECT count(taskq.unregister_handler(h.task_type)) FROM taskq.list_handlers() h WHERE h.task_type LIKE 'run-%' \gset
SELECT count(taskq.unregister_worker('run-w')), taskq.resume_queue('run-one') \gset
SELECT count(taskq.cancel_job(job_id)) FROM taskq.all_jobs WHERE task_type LIKE 'run-%' AND finished_at IS NULL \gset
SELECT taskq.drop_pool('tq_run'), taskq.drop_pool('tq_run_other') \gset
SELECT count(taskq.revoke_access(r::regrole, a)) FROM unnest('{producer,worker,observer}'::text[]) a, unnest('{tq_run,tq_run_other}'::text[]) r \gset
SET client_min_messages = error;
DROP OWNED BY tq_run, tq_run_other CASCADE;
DROP ROLE tq_run, tq_run_other;
