-- Jobs run by hand: run_job, run_next and run_all.
\set ECHO none
\i test/sql/include/tap.sql
CREATE ROLE tq_run LOGIN;
CREATE ROLE tq_run_other LOGIN;
CREATE SCHEMA tq_run AUTHORIZATION tq_run;
SELECT count(taskq.grant_access(r::regrole, a)) FROM unnest('{producer,worker,observer}'::text[]) a, unnest('{tq_run,tq_run_other}'::text[]) r \gset
CREATE TEMP TABLE j (name text PRIMARY KEY, id bigint);
GRANT ALL ON j TO tq_run, tq_run_other;
CREATE FUNCTION pg_temp.add(n text, t text, pay jsonb DEFAULT '{}', p int DEFAULT 0, at timestamptz DEFAULT NULL, q text DEFAULT NULL) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO j VALUES (n, taskq.enqueue_job(t, pay || jsonb_build_object('name', n), priority => p, run_at => at, queue => q)) $$;
CREATE FUNCTION pg_temp.id(n text) RETURNS bigint LANGUAGE sql AS $$ SELECT id FROM j WHERE name = n $$;
CREATE FUNCTION pg_temp.state(n text) RETURNS text LANGUAGE sql AS
	$$ SELECT state || ' ' || attempt FROM taskq.all_jobs WHERE job_id = (SELECT id FROM j WHERE name = n) $$;
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
SELECT is(pg_temp.state('a'), 'available 0', 'there is no pool');
SELECT is(pg_temp.run('a'), 'run-double completed 8', 'run_job runs the registered handler and gives its result');
SELECT is(pg_temp.state('a') || ' ' || result, 'completed 1 8', 'the job is completed in its first attempt') FROM taskq.all_jobs WHERE job_id = pg_temp.id('a');
SELECT is(attempt || ' ' || outcome || ' ' || handler_version, '1 completed 7', 'the attempt is kept') FROM taskq.attempts WHERE job_id = pg_temp.id('a');
SELECT matches(worker_id, '^session:[0-9]+$', 'the worker was this session') FROM taskq.all_jobs WHERE job_id = pg_temp.id('a');
SELECT is(array_agg(name), '{a}', 'what the handler did is there') FROM tq_run.log;
SELECT ok(taskq.current_job() IS NULL, 'the session runs no job afterwards');
SELECT throws_ok($$ SELECT pg_temp.run('a') $$, 'TQ008', NULL, 'a completed job is not run again');
BEGIN;
SELECT pg_temp.add('b', 'run-double', '{"n": 5}') \gset
SELECT is(pg_temp.run('b'), 'run-double completed 10', 'a job of the same transaction is run');
COMMIT;
SELECT is(pg_temp.state('b'), 'completed 1', 'and completes with it');
SELECT pg_temp.add('c', 'run-double', '{"n": 6}') \gset
BEGIN;
SELECT is(pg_temp.run('c'), 'run-double completed 12', 'run');
SELECT is(pg_temp.state('c'), 'completed 1', 'completed for this transaction');
ROLLBACK;
SELECT is(pg_temp.state('c'), 'available 0', 'a rollback undoes the run');
SELECT ok(NOT EXISTS (SELECT FROM taskq.attempts WHERE job_id = pg_temp.id('c')) AND NOT EXISTS (SELECT FROM tq_run.log WHERE name = 'c'),
	'with its attempt and what the handler did');
SELECT is(pg_temp.run('c'), 'run-double completed 12', 'and it can be run anew');
SELECT pg_temp.add('ahead', 'run-double', '{"n": 7}', 0, taskq.clock_now() + '1 h') \gset
SELECT is(count(*), 0::bigint, 'run_next finds nothing that is not due') FROM taskq.run_next();
SELECT is(pg_temp.run('ahead'), 'run-double completed 14', 'run_job runs what is named, due or not');
SELECT pg_temp.add('sets', 'run-sets') \gset
SET tq_run.x = 'session';
SELECT is(pg_temp.run('sets'), 'run-sets completed "handler tq_run"', 'as the session user');
SELECT is(current_setting('tq_run.x'), 'session', 'settings of the session outlast the handler');

-- failures
SELECT pg_temp.add('boom', 'run-boom') \gset
BEGIN;
INSERT INTO tq_run.log (name) VALUES ('caller');
SELECT is(pg_temp.run('boom'), 'run-boom retryable no luck', 'a failure is reported, not raised');
COMMIT;
SELECT is(pg_temp.state('boom'), 'retryable 1', 'the job waits for its retry');
SELECT is(outcome || ' ' || error_type || ' ' || sqlstate || ' ' || error_message, 'failed handler_error P0001 no luck', 'the attempt is kept') FROM taskq.attempts WHERE job_id = pg_temp.id('boom');
SELECT is(array_agg(name), '{caller}', 'the caller''s writes stay, the handler''s do not') FROM tq_run.log WHERE name IN ('caller', 'boom');
SELECT is(pg_temp.run('boom'), 'run-boom retryable no luck', 'a retryable job is run before its time');
SELECT is(pg_temp.state('boom'), 'retryable 2', 'for its second attempt');
INSERT INTO j VALUES ('last', taskq.enqueue_job('run-boom', max_attempts => 1));
SELECT is(pg_temp.run('last'), 'run-boom discarded no luck', 'out of attempts');
SELECT throws_ok($$ SELECT pg_temp.run('last') $$, 'TQ008', NULL, 'a discarded job is not run');

-- run_next()
SELECT is(count(*), 0::bigint, 'nothing due: no row') FROM taskq.run_next();
SELECT pg_temp.add('p5', 'run-double', '{"n": 1}', 5), pg_temp.add('p1', 'run-chain', '{"n": 0}', 1, NULL, 'run-one'), pg_temp.add('p1 later', 'run-double', '{"n": 1}', 1),
	pg_temp.add('p-1', 'run-double', '{"n": 1}', -1, NULL, 'run-two'), pg_temp.add('p-9', 'run-ext', '{}', -9), pg_temp.add('p-9 other', 'run-other', '{"n": 1}', -9),
	pg_temp.add('p1 first', 'run-double', '{"n": 1}', 1, NULL, 'run-two'), pg_temp.add('p1 future', 'run-double', '{"n": 1}', -9, taskq.clock_now() + '1 h') \gset
CREATE FUNCTION pg_temp.next(types text[] DEFAULT NULL, h regprocedure DEFAULT NULL) RETURNS text LANGUAGE sql AS
	$$ SELECT name || ' ' || r.state FROM taskq.run_next(types, h) r JOIN j ON j.id = r.job_id $$;
SELECT is(pg_temp.next('{run-chain}'), 'p1 completed', 'run_next of the types named');
SELECT is(pg_temp.next(), 'p-1 completed', 'the lower priority number first, over all queues');
SELECT is(pg_temp.next(), 'p1 later completed', 'then in the order of enqueue');
SELECT is(pg_temp.next('{run-none}'), NULL, 'a type that is not registered: no row');
SELECT is(pg_temp.next('{run-ext}'), NULL, 'an external type: no row');
SELECT is(pg_temp.next('{run-other}'), NULL, 'another role''s type: no row');
SELECT is(pg_temp.next(), 'p1 first completed', 'the next');
SELECT is(pg_temp.next(), 'p5 completed', 'the last');
SELECT is(pg_temp.next(), NULL, 'then none');
SELECT is(pg_temp.state('p-9') || ', ' || pg_temp.state('p-9 other') || ', ' || pg_temp.state('p1 future'), 'available 0, available 0, scheduled 0', 'the others are untouched');

-- run_all()
TRUNCATE tq_run.log;
SELECT pg_temp.add('all1', 'run-double', '{"n": 1}', 3), pg_temp.add('all2', 'run-chain', '{"n": 3}', 2), pg_temp.add('all3', 'run-boom', '{}', 1) \gset
CREATE TEMP TABLE ran AS SELECT * FROM taskq.run_all() WITH ORDINALITY AS r (job_id, task_type, state, result, error, n);
SELECT is(array_agg(task_type || ' ' || state ORDER BY n),
	'{run-boom retryable,run-chain completed,run-chain completed,run-chain completed,run-chain completed,run-double completed}'::text[] COLLATE "C",
	'run_all runs all that is due, and what the handlers enqueue') FROM (SELECT n, task_type, state FROM ran) x;
SELECT is(array_agg(name ORDER BY n), '{3,2,1,0,all1}', 'in the order of priority') FROM tq_run.log;
SELECT is(count(*), 0::bigint, 'nothing is left') FROM taskq.run_all();
SELECT pg_temp.add('m' || i, 'run-double', '{"n": 1}') FROM generate_series(1, 5) i \g /dev/null
SELECT is(count(*), 2::bigint, 'max_jobs') FROM taskq.run_all(max_jobs => 2);
SELECT is(string_agg(name, ' ' ORDER BY name), 'm3 m4 m5', 'leaves the later ones') FROM j JOIN taskq.all_jobs ON job_id = id WHERE name LIKE 'm_' AND state = 'available';
SELECT is(count(*), 0::bigint, 'task_types that there is nothing of') FROM taskq.run_all('{run-chain,run-none}');
SELECT is(count(*), 3::bigint, 'and the rest') FROM taskq.run_all('{run-double}', 100);
SELECT throws_ok($$ SELECT * FROM taskq.run_all(max_jobs => 0) $$, '22023', NULL, 'max_jobs from 1');
BEGIN;
SELECT pg_temp.add('r1', 'run-double', '{"n": 1}'), pg_temp.add('r2', 'run-double', '{"n": 1}') \gset
SAVEPOINT s;
SELECT is(count(*), 2::bigint, 'run_all in a subtransaction') FROM taskq.run_all();
ROLLBACK TO s;
SELECT is(pg_temp.state('r1') || ', ' || pg_temp.state('r2'), 'available 0, available 0', 'is undone with it');
SELECT is(count(*), 2::bigint, 'and can be repeated') FROM taskq.run_all();
ROLLBACK;

-- a handler as an argument
SELECT is(pg_temp.run('p-9', 'tq_run.name(taskq.job)'), 'run-ext completed {"name": "p-9", "same": true, "attempt": 1}', 'an external type by the handler given');
SELECT pg_temp.add('g1', 'run-none', '{"n": 3}') \gset
SELECT is(pg_temp.run('g1', 'tq_run.double(jsonb)'), 'run-none completed 6', 'a type that is not registered');
SELECT pg_temp.add('g2', 'run-double', '{"n": 3}') \gset
SELECT is(pg_temp.run('g2', 'tq_run.name(taskq.job)'), 'run-double completed {"name": "g2", "same": true, "attempt": 1}', 'one''s own type by another handler');
SELECT pg_temp.add('g3', 'run-none', '{"n": 3}', 1), pg_temp.add('g4', 'run-none', '{"n": 4}', -1), pg_temp.add('g5', 'run-else') \gset
SELECT is(pg_temp.next('{run-none}', 'tq_run.double(jsonb)'), 'g4 completed', 'run_next with a handler, in order');
SELECT is(pg_temp.next('{run-none}', 'tq_run.double(jsonb)'), 'g3 completed', 'the next');
SELECT is(pg_temp.next('{run-none}', 'tq_run.double(jsonb)'), NULL, 'and none of other types');
SELECT throws_ok($$ SELECT * FROM taskq.run_next(NULL, 'tq_run.double(jsonb)') $$, '22023', NULL, 'it must be said for which types');
SELECT is(pg_temp.run('g5', 'tq_run.boom(jsonb)'), 'run-else retryable no luck', 'it fails like any other');
SELECT throws_ok($$ SELECT pg_temp.run('g5', 'tq_run.no_handler(int)') $$, '42P13', NULL, 'a function of another form');
SELECT throws_ok($$ SELECT taskq.run_job(pg_temp.id('g5'), 'tq_run.nothing(jsonb)') $$, '42883', NULL, 'no such function');

-- nobody runs another role's jobs
SELECT throws_ok($$ SELECT pg_temp.run('p-9 other') $$, 'TQ002', NULL, 'another role''s job is not run');
SELECT throws_ok($$ SELECT pg_temp.run('p-9 other', 'tq_run.double(jsonb)') $$, 'TQ002', NULL, 'nor by a handler that is given');
SELECT is(pg_temp.next('{run-other}', 'tq_run.double(jsonb)'), NULL, 'nor as the next one');
SELECT is(pg_temp.state('p-9 other'), 'available 0', 'it waits for its own');
RESET SESSION AUTHORIZATION;
GRANT tq_run_other TO tq_run;
SET SESSION AUTHORIZATION tq_run;
BEGIN;
SELECT is(pg_temp.run('p-9 other', 'tq_run.double(jsonb)'), 'run-other completed 2', 'a member of that role may stand in');
ROLLBACK;
SELECT throws_ok($$ SELECT pg_temp.run('p-9 other') $$, 'TQ002', NULL, 'but does not run that role''s handler');
SET ROLE tq_run_other;
SELECT throws_ok($$ SELECT pg_temp.run('p-9 other') $$, '42501', NULL, 'not even by SET ROLE');
SELECT throws_ok($$ SELECT * FROM taskq.run_next() $$, '42501', NULL, 'nor the next');
SELECT throws_ok($$ SELECT * FROM taskq.run_all() $$, '42501', NULL, 'nor all');
RESET ROLE;
CREATE FUNCTION tq_run.lend() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$ SELECT count(*)::text FROM taskq.run_all() $$;
SET SESSION AUTHORIZATION tq_run_other;
SELECT throws_ok($$ SELECT tq_run.lend() $$, '42501', NULL, 'nor can it be lent by SECURITY DEFINER');
SELECT throws_ok($$ SELECT taskq.run_next('{run-none}', 'tq_run.mine(jsonb)') $$, '42501', NULL, 'a handler that one may not execute');
RESET SESSION AUTHORIZATION;
SELECT is(array(SELECT r.state FROM taskq.run_all('{run-other,run-double}') r), '{}', 'a superuser does not run other roles'' handlers either');
SELECT is(pg_temp.state('p-9 other'), 'available 0', 'and the job still waits');
REVOKE tq_run_other FROM tq_run;

-- refused calls
SELECT pg_temp.add('paused', 'run-double', '{"n": 1}', q => 'run-one'), pg_temp.add('stopped', 'run-chain', '{"n": 0}'), taskq.pause_queue('run-one'), taskq.pause_handler('run-chain'),
	pg_temp.add('claimed', 'run-ext'), pg_temp.add('cancelled', 'run-double'), taskq.cancel_job(pg_temp.id('cancelled')) \gset
INSERT INTO j VALUES ('gpu', taskq.enqueue_job('run-double', '{"n": 1}', required_capabilities => '{gpu}')), ('newer', taskq.enqueue_job('run-double', '{"n": 1}', min_version => '8'));
SELECT count(*) FROM taskq.claim_job('run-w', '{run-ext}') \gset
SET SESSION AUTHORIZATION tq_run;
SELECT throws_ok($$ SELECT taskq.run_job(-1) $$, 'TQ011', NULL, 'an unknown job');
SELECT throws_ok($$ SELECT taskq.run_job(0, 'tq_run.double(jsonb)') $$, 'TQ011', NULL, 'even by a handler that is given');
SELECT throws_ok($$ SELECT taskq.run_job(NULL) $$, '22004', NULL, 'no job');
SELECT throws_ok($$ SELECT pg_temp.run('claimed', 'tq_run.double(jsonb)') $$, 'TQ008', NULL, 'a job that somebody has claimed');
SELECT throws_ok($$ SELECT pg_temp.run('cancelled') $$, 'TQ008', NULL, 'a cancelled job');
SELECT throws_ok($$ SELECT pg_temp.run('paused') $$, 'TQ002', NULL, 'a paused queue');
SELECT matches(pg_temp.detail_of($$ SELECT pg_temp.run('paused') $$), 'queue paused', 'which the error says');
SELECT throws_ok($$ SELECT pg_temp.run('stopped') $$, 'TQ002', NULL, 'a paused handler');
SELECT throws_ok($$ SELECT pg_temp.run('gpu') $$, 'TQ002', NULL, 'a job that requires capabilities');
SELECT throws_ok($$ SELECT pg_temp.run('newer') $$, 'TQ002', NULL, 'a job that waits for a newer handler');
SELECT is(count(*), 0::bigint, 'and run_all takes none of these') FROM taskq.run_all();
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT throws_ok($$ SELECT taskq.run_all() $$, '25001', NULL, 'needs READ COMMITTED');
ROLLBACK;
BEGIN READ ONLY;
SELECT throws_ok($$ SELECT taskq.run_next() $$, '25006', NULL, 'and read write');
ROLLBACK;

-- timeouts
SELECT pg_temp.add('slow', 'run-slow') \gset
SELECT is(pg_temp.run('slow'), 'run-slow retryable the job ran longer than its timeout of 0.05 s', 'a handler is stopped at its timeout');
SELECT is(pg_temp.state('slow') || ' ' || outcome || ' ' || error_type, 'retryable 1 timeout timeout', 'which is an attempt') FROM taskq.attempts WHERE job_id = pg_temp.id('slow');
SELECT is(count(*), 0::bigint, 'and rolled back') FROM tq_run.log WHERE name = 'slow';
SELECT is(pg_temp.cancelled('SELECT pg_sleep(0.15)'), 'no error', 'no timer is left behind');
INSERT INTO j VALUES ('own timeout', taskq.enqueue_job('run-none', timeout => '20 ms'));
SELECT is(pg_temp.run('own timeout', 'tq_run.slow(jsonb)'), 'run-none retryable the job ran longer than its timeout of 0.02 s', 'the job''s own timeout, with a given handler');
INSERT INTO j VALUES ('session', taskq.enqueue_job('run-none'));
SET statement_timeout = '100 ms';
SELECT is(pg_temp.cancelled($$ SELECT pg_temp.run('session', 'tq_run.slow(jsonb)') $$), '57014', 'statement_timeout ends the statement, not the attempt');
SET statement_timeout = 0;
SELECT is(pg_temp.state('session'), 'available 0', 'and leaves the job as it was');
SET statement_timeout = '200 ms';
SELECT is(pg_temp.cancelled($$ SELECT pg_temp.run('session', 'tq_run.name(taskq.job)'), pg_sleep(20) $$), '57014', 'a run does not end it');
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
SELECT is((SELECT string_agg(result #>> '{}', ' ') FROM taskq.run_all(task_types => '{run-say-one,run-say-two}', max_jobs => 4)), 'one two one two', 'the body is read with the search_path of the type');
CREATE OR REPLACE FUNCTION tq_run.who() RETURNS text LANGUAGE sql AS $$ SELECT 'new' $$;
SELECT is(pg_temp.run('say5'), 'run-say-one completed "new"', 'a function that it calls was replaced');
CREATE OR REPLACE FUNCTION tq_run.say(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ INSERT INTO tq_run.log (name) VALUES ('said') RETURNING to_jsonb(name) $$;
SELECT is(pg_temp.run('say6'), 'run-say-two completed "said"', 'it was replaced itself, by a statement');
SELECT is(count(*), 1::bigint, 'which was run once') FROM tq_run.log WHERE name = 'said';
CREATE OR REPLACE FUNCTION tq_run.say(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(1 / (payload->>'n')::int) $$;
SELECT pg_temp.add('divide', 'run-say-one', '{"n": 0}'), pg_temp.add('divided', 'run-say-one', '{"n": 1}') \gset
SELECT is(pg_temp.run('divide'), 'run-say-one discarded division by zero', 'an error in an expression');
SELECT is(pg_temp.run('divided'), 'run-say-one completed 1', 'does not harm the next run');

-- inside a handler
SELECT pg_temp.add('inner', 'run-double', '{"n": 1}') \gset
SELECT pg_temp.add('nest', 'run-nest', jsonb_build_object('id', pg_temp.id('inner'))), pg_temp.add('self', 'run-self') \gset
SELECT is(pg_temp.run('nest'), 'run-nest completed {"inner": "completed", "outer": "nest"}', 'a handler may run another job');
SELECT is(pg_temp.state('inner'), 'completed 1', 'which is completed too');
SELECT matches(pg_temp.run('self'), '^run-self retryable job [0-9]+ is .* cannot be run$', 'but not its own');

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
