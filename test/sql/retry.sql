-- Retries of failed attempts: the policies by name, and users' retry functions.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
SELECT plan(142);

-- the arithmetic --------------------------------------------------------------
SELECT is(taskq.retry_delay(policy, attempt, base, cap, jitter), delay, format('%s, attempt %s of %s up to %s, chance %s', policy, attempt, base, cap, jitter))
FROM (VALUES
	('exponential', 1, '1 s'::interval, '1 h'::interval, 0, '1 s'::interval), ('exponential', 2, '1 s', '1 h', 0, '2 s'), ('exponential', 3, '1 s', '1 h', 0, '4 s'),
	('exponential', 10, '1 s', '1 h', 0, '512 s'), ('exponential', 12, '1 s', '1 h', 0, '2048 s'), ('exponential', 13, '1 s', '1 h', 0, '1 h'), ('exponential', 2147483647, '1 s', '1 h', 0, '1 h'),
	('exponential', 64, '1 us', '10 years', 0, '3600 d'), ('exponential', 5, '0', '1 h', 0, '0'), ('exponential', 5, '1 s', '0', 0, '0'), ('exponential', 1, '10 s', '3 s', 0, '3 s'),
	('exponential', 3, '100 ms', '1 h', 0, '400 ms'), ('exponential', 1, '1 d', '10 d', 0, '24 h'),
	('linear', 1, '1 s', '1 h', 0, '1 s'), ('linear', 2, '1 s', '1 h', 0, '2 s'), ('linear', 7, '1 s', '1 h', 0, '7 s'), ('linear', 3600, '1 s', '1 h', 0, '1 h'),
	('linear', 3601, '1 s', '1 h', 0, '1 h'), ('linear', 2147483647, '10 years', '10 years', 0, '3600 d'), ('linear', 5, '0', '1 h', 0, '0'),
	('fixed', 1, '3 s', '1 h', 0, '3 s'), ('fixed', 100, '3 s', '1 h', 0, '3 s'), ('fixed', 1, '2 h', '1 h', 0, '1 h'), ('fixed', 1, '0', '0', 1, '0'),
	('none', 1, '1 s', '1 h', 0, NULL), ('none', 100, '1 s', '1 h', 1, NULL),
	('fixed', 1, '4 s', '1 h', 1, '5 s'), ('fixed', 1, '4 s', '1 h', -1, '3 s'), ('fixed', 1, '4 s', '1 h', 0.5, '4.5 s'), ('exponential', 3, '1 s', '1 h', -1, '3 s'),
	('exponential', 20, '1 s', '1 h', 1, '75 min'), ('linear', 2, '4 s', '1 h', -0.5, '7 s')) v (policy, attempt, base, cap, jitter, delay);
SELECT is(taskq.retry_delay('exponential', 4, jitter => 0), '8 s', 'base is a second and cap is an hour by default');
SELECT ok(min(d) >= '3 s' AND max(d) <= '5 s', 'the jitter is at most 25 % in both directions') FROM (SELECT taskq.retry_delay('fixed', 1, '4 s') AS d FROM generate_series(1, 10000)) x;
SELECT ok(min(d) < '3.2 s' AND max(d) > '4.8 s' AND avg(d) BETWEEN '3.9 s' AND '4.1 s' AND count(DISTINCT d) > 9000, 'the jitter covers that range evenly') FROM (SELECT taskq.retry_delay('fixed', 1, '4 s') AS d FROM generate_series(1, 10000)) x;
SELECT throws_ok(format('SELECT taskq.retry_delay(%s)', a), code, NULL, 'no delay: ' || a)
FROM (VALUES ('''quadratic'', 1', '22023'), ('NULL, 1', '22004'), ('''fixed'', NULL', '22004'), ('''fixed'', 0', '22023'), ('''fixed'', -1', '22023'), ('''fixed'', 1, NULL', '22004'), ('''fixed'', 1, ''1 s'', NULL', '22004'),
	('''fixed'', 1, ''-1 s''', '22023'), ('''fixed'', 1, ''1 s'', ''-1 s''', '22023'), ('''fixed'', 1, ''11 years''', '22023'), ('''fixed'', 1, jitter => 1.1', '22023'), ('''fixed'', 1, jitter => -1.1', '22023'),
	('''fixed'', 1, jitter => ''NaN''', '22023'), ('''Fixed'', 1', '22023'), (''''', 1', '22023')) v (a, code);

-- a failure goes by its handler's policy --------------------------------------
SET taskq.retry_jitter = 0;
SET intervalstyle = 'postgres';
CREATE SCHEMA tq_retry;
GRANT USAGE ON SCHEMA tq_retry TO PUBLIC;
CREATE ROLE tq_retry LOGIN;
CREATE ROLE tq_retry_worker LOGIN;
GRANT ALL ON SCHEMA tq_retry TO tq_retry;
SELECT taskq.grant_access('tq_retry', k) FROM unnest('{admin,worker,producer,operator}'::text[]) k \g /dev/null
SELECT taskq.grant_access('tq_retry_worker', 'worker') \g /dev/null
-- Claim a job and fail it; returns its state, and its delay.
CREATE FUNCTION pg_temp.fails(n text, arguments text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	after text;
BEGIN
	PERFORM taskq.retry_job(id) FROM j WHERE name = n;
	PERFORM pg_temp.take('retry-w', (SELECT task_type FROM taskq.all_jobs WHERE job_id = pg_temp.id(n)));
	EXECUTE format('SELECT taskq.fail_job(%s, %s %s)', pg_temp.id(n), pg_temp.e(n), arguments);
	SELECT state || CASE state WHEN 'discarded' THEN '' ELSE ' ' || run_at - (SELECT max(finished_at) FROM taskq.attempts a WHERE a.job_id = all_jobs.job_id) END INTO after
	FROM taskq.all_jobs WHERE job_id = pg_temp.id(n);
	RETURN after;
END $$;
SELECT taskq.register_handler('retry-' || p, retry_policy => p, retry_base => '10 min', max_attempts => 4) FROM unnest('{exponential,linear,fixed,none}'::text[]) p \g /dev/null
SELECT pg_temp.add(p, 'retry-' || p) FROM unnest('{exponential,linear,fixed,none}'::text[]) p \g /dev/null
SELECT is(pg_temp.fails(p), s, p || ' ' || a) FROM (VALUES ('exponential', 1, 'retryable 00:10:00'), ('exponential', 2, 'retryable 00:20:00'), ('exponential', 3, 'retryable 00:40:00'), ('exponential', 4, 'discarded'),
	('linear', 1, 'retryable 00:10:00'), ('linear', 2, 'retryable 00:20:00'), ('linear', 3, 'retryable 00:30:00'), ('linear', 4, 'discarded'),
	('fixed', 1, 'retryable 00:10:00'), ('fixed', 2, 'retryable 00:10:00'), ('none', 1, 'discarded')) v (p, a, s);
SELECT is(pg_temp.fails('fixed', ', retry_in => ''5 s'''), 'retryable 00:00:05', 'retry_in takes precedence over the policy');

-- retry functions -------------------------------------------------------------
SET ROLE tq_retry;
CREATE FUNCTION tq_retry.external(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION tq_retry.minutes(attempt integer, error jsonb) RETURNS interval LANGUAGE sql AS $$ SELECT CASE WHEN error->>'error_code' = 'STOP' THEN NULL ELSE attempt * interval '7 min' END $$;
RESET ROLE;
-- Register a type with a retry function of the role; returns the result or the
-- SQLSTATE.
CREATE FUNCTION pg_temp.asks(t text, function text, more text DEFAULT '') RETURNS text LANGUAGE sql AS
	$$ SELECT pg_temp.as_role('tq_retry', format('SELECT taskq.register_handler(%L, retry_function => %L, allow_override => true, retry_policy => ''fixed'', retry_base => ''33 s'' %s)', 'retry-' || t, function, more)) $$;
SELECT is(pg_temp.asks('asks', 'tq_retry.minutes(integer, jsonb)', ', max_attempts => 3'), '', 'a handler may have a retry function');
SELECT pg_temp.add('a', 'retry-asks') \gset
SELECT is(pg_temp.fails('a'), 'retryable 00:07:00', 'the function returns the delay');
SELECT is(pg_temp.fails('a'), 'retryable 00:14:00', 'the function gets the number of the attempt');
SELECT is(pg_temp.fails('a'), 'discarded', 'the last attempt discards the job');
SELECT pg_temp.add('b', 'retry-asks') \gset
SELECT is(pg_temp.fails('b', ', error_code => ''STOP'''), 'discarded', 'NULL from the function means no retry');
SELECT pg_temp.add('c', 'retry-asks') \gset
SELECT is(pg_temp.fails('c', ', error_code => ''STOP'', retry_in => ''3 s'''), 'retryable 00:00:03', 'retry_in takes precedence over the function');
SELECT pg_temp.add('d', 'retry-asks') \gset
SELECT is(pg_temp.fails('d', ', retryable => false'), 'discarded', 'the function is not called for a permanent failure');
SELECT pg_temp.add('e', 'retry-asks'), pg_temp.take('retry-w', 'retry-asks') \gset
SELECT taskq.cancel_job(pg_temp.id('e')) \gset
SELECT taskq.fail_job(pg_temp.id('e'), pg_temp.e('e')) \gset
SELECT is(pg_temp.state('e'), 'cancelled 1', 'a job that is to be cancelled is cancelled, whatever the function returns');

-- the arguments of a retry function
SET ROLE tq_retry;
CREATE TABLE tq_retry.expected (attempt integer, job bigint, error jsonb);
-- Returns 0 if the arguments are as expected; it cannot record them.
CREATE FUNCTION tq_retry.expects(attempt integer, error jsonb) RETURNS interval LANGUAGE sql AS $$
	SELECT CASE WHEN EXISTS (SELECT FROM tq_retry.expected e WHERE e.attempt = expects.attempt AND e.job = (taskq.current_job()).job_id AND e.error = expects.error - 'context')
		AND current_user = 'tq_retry' AND (current_schemas(true))[1:2] = '{pg_catalog,tq_retry}' THEN interval '0' ELSE interval '5 min' END
$$;
CREATE FUNCTION tq_retry.writes(attempt integer, error jsonb) RETURNS interval LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO tq_retry.expected VALUES (attempt);
	RETURN '0';
END $$;
CREATE FUNCTION tq_retry.in_server(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	IF payload ? 'pass' THEN
		RETURN NULL;
	END IF;
	RAISE EXCEPTION 'no luck' USING ERRCODE = 'P1234', DETAIL = 'none at all', HINT = 'try again';
END $$;
RESET ROLE;
SELECT is(pg_temp.asks('writes', 'tq_retry.writes(integer, jsonb)'), '', 'a retry function that writes is registered');
SELECT pg_temp.add('writes', 'retry-writes') \gset
SELECT is(pg_temp.fails('writes'), 'retryable 00:00:33', 'the write fails, so the policy decides');
SELECT is(count(*), 0::bigint, 'the function has not written') FROM tq_retry.expected;
SELECT is(pg_temp.asks('expects', 'tq_retry.expects(integer, jsonb)', ', search_path => ''tq_retry'''), '', 'a retry function that compares its arguments is registered');
SELECT pg_temp.add('told', 'retry-expects') \gset
INSERT INTO tq_retry.expected VALUES (1, pg_temp.id('told'), '{"outcome": "failed", "error_type": "validation_error", "error_code": "E1", "message": "it broke", "sqlstate": null, "detail": "the detail", "hint": "the hint"}');
SELECT is(pg_temp.fails('told', $$, 'it broke', 'validation_error', 'E1', true, NULL, 'the detail', 'the hint', 'the context'$$), 'available 00:00:00', 'the function gets the attempt, the job and the error, and has its role and search_path; a delay of 0 is allowed');
SELECT pg_temp.add('told2', 'retry-expects') \gset
INSERT INTO tq_retry.expected VALUES (1, pg_temp.id('told2'), '{"outcome": "failed", "error_type": "handler_error", "error_code": null, "message": "no luck", "sqlstate": "P1234", "detail": "none at all", "hint": "try again"}');
SELECT is(state, 'available', 'the function is called for a run by hand, with the error that was raised') FROM taskq.run_job(pg_temp.id('told2'), 'tq_retry.in_server(jsonb)');
SELECT taskq.cancel_job(pg_temp.id('told')), taskq.cancel_job(pg_temp.id('told2')) \g /dev/null
SELECT pg_temp.add('told3', 'retry-expects') \gset
INSERT INTO tq_retry.expected VALUES (1, pg_temp.id('told3'), '{"outcome": "failed", "error_type": "handler_error", "error_code": null, "message": null, "sqlstate": null, "detail": null, "hint": null}');
SELECT is(pg_temp.as_role('tq_retry_worker', $$ SELECT taskq.fail_job(job_id, epoch) FROM taskq.claim_job('retry-v', '{retry-expects}') $$), 'true', 'another worker fails a job');
SELECT is(pg_temp.state('told3'), 'available 1', 'the function runs as the role of the handler');
SELECT taskq.cancel_job(pg_temp.id('told3')) \g /dev/null
SELECT is(pg_temp.as_role('tq_retry_worker', 'SELECT job FROM tq_retry.expected'), '42501', 'that worker cannot read the function''s table');

-- in a background worker
SET ROLE tq_retry;
CREATE FUNCTION tq_retry.asked(attempt integer, error jsonb) RETURNS interval LANGUAGE sql AS
	$$ SELECT CASE WHEN error->>'sqlstate' = 'P1234' AND current_user = 'tq_retry' AND attempt < 3 THEN interval '0' ELSE interval '1 h' END $$;
SELECT taskq.register_handler('retry-in', 'tq_retry.in_server(jsonb)', retry_function => 'tq_retry.asked(integer, jsonb)', max_attempts => 3, retry_policy => 'fixed', retry_base => '1 h') \g /dev/null
RESET ROLE;
SELECT taskq.enqueue_job('retry-in') AS in_server \gset
SELECT is(pg_temp.reaches(:in_server), 'discarded 3', 'the function is called by a background worker');

-- one that cannot be interrupted; the end of this test waits for it
SET ROLE tq_retry;
CREATE FUNCTION tq_retry.unstoppable(integer, jsonb) RETURNS interval LANGUAGE plpgsql AS $$
BEGIN
	LOOP
		BEGIN
			PERFORM pg_sleep(60);
		EXCEPTION WHEN query_canceled THEN
			NULL;
		END;
	END LOOP;
END $$;
SELECT taskq.register_handler('retry-unstoppable', 'tq_retry.in_server(jsonb)', retry_function => 'tq_retry.unstoppable(integer, jsonb)', retry_policy => 'fixed', retry_base => '1 h') \g /dev/null
RESET ROLE;
SELECT taskq.enqueue_job('retry-unstoppable') AS unstoppable \gset

-- useless answers -------------------------------------------------------------
SET ROLE tq_retry;
CREATE FUNCTION tq_retry.useless(attempt integer, error jsonb) RETURNS interval LANGUAGE plpgsql AS $$
DECLARE
	answer interval;
BEGIN
	EXECUTE error->>'message' INTO answer;
	RETURN answer;
END $$;
CREATE FUNCTION tq_retry.deaf() RETURNS interval LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_sleep(60);
	RETURN '1 s';
EXCEPTION WHEN query_canceled THEN
	PERFORM pg_sleep(60);
	RETURN '1 s';
END $$;
RESET ROLE;
SELECT is(pg_temp.asks('useless', 'tq_retry.useless(integer, jsonb)'), '', 'a retry function that runs the message is registered');
CREATE TEMP TABLE answers (n text, sql text, delay text, what text);
INSERT INTO answers VALUES
	('u1', 'SELECT interval ''5 s''', '00:00:05', 'the delay of the function is used'),
	('u2', 'SELECT interval ''-1 s''', '00:00:33', 'a negative delay is ignored'), ('u3', 'SELECT interval ''11 years''', '00:00:33', 'a delay of more than ten years is ignored'),
	('u4', 'SELECT interval ''2000000000 months''', '00:00:33', 'an even longer delay is ignored'), ('u5', 'SELECT interval ''10 years''', '3600 days', 'a delay of ten years is used'),
	('u6', 'SELECT 1/0', '00:00:33', 'an error of the function is ignored'), ('u7', 'no SQL', '00:00:33', 'a syntax error of the function is ignored'),
	('u8', 'DO $x$ BEGIN RAISE EXCEPTION ''x'' USING ERRCODE = ''57014''; END $x$', '00:00:33', 'an error with the SQLSTATE of a cancel is ignored'),
	('u9', 'SELECT pg_sleep(60)::text::interval', '00:00:33', 'the function is interrupted after a second'), ('u10', 'SELECT tq_retry.deaf()', '00:00:33', 'a function that catches interrupts is interrupted, too');
SELECT is(pg_temp.fails(n, format(', %L', sql)), 'retryable ' || delay, what) FROM (SELECT pg_temp.add(n, 'retry-useless'), * FROM answers) a;
SELECT is(count(*), 10::bigint, 'each failure is recorded once') FROM taskq.attempts JOIN taskq.all_jobs USING (job_id) WHERE task_type = 'retry-useless';

-- rights ----------------------------------------------------------------------
CREATE TABLE tq_retry.secret (a interval);
CREATE TABLE tq_retry.deferred (a integer UNIQUE DEFERRABLE INITIALLY DEFERRED);
GRANT ALL ON tq_retry.deferred TO tq_retry;
SET ROLE tq_retry;
-- Try a statement; returns the delay in minutes.
CREATE FUNCTION tq_retry.tries(attempt integer, error jsonb) RETURNS interval LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE error->>'message';
	RETURN '1 min';
EXCEPTION
	WHEN insufficient_privilege OR read_only_sql_transaction THEN RETURN '42 min';
END $$;
RESET ROLE;
SELECT is(pg_temp.asks('tries', 'tq_retry.tries(integer, jsonb)'), '', 'a retry function that tries forbidden statements is registered');
TRUNCATE answers;
INSERT INTO answers SELECT 't' || row_number() OVER (), sql, CASE what WHEN 'refused' THEN '00:42:00' ELSE '00:01:00' END, what FROM (VALUES
	('allowed', 'SELECT 1'), ('refused', 'SELECT * FROM tq_retry.secret'), ('refused', 'SELECT * FROM taskq.jobs'), ('refused', 'UPDATE taskq.jobs SET priority = 1'),
	('refused', 'RESET ROLE'), ('refused', 'SET ROLE NONE'), ('refused', 'SET SESSION AUTHORIZATION DEFAULT'),
	('refused', 'CREATE TEMP TABLE t (a integer)'), ('refused', 'DECLARE c CURSOR WITH HOLD FOR SELECT 1'), ('refused', 'LISTEN x'),
	('refused', 'INSERT INTO tq_retry.deferred VALUES (1), (1)'),
	('refused', 'SELECT taskq.complete_job((taskq.current_job()).job_id, (taskq.current_job()).epoch)'),
	('refused', 'SELECT taskq.fail_job((taskq.current_job()).job_id, (taskq.current_job()).epoch)'),
	('refused', 'SELECT taskq.release_job((taskq.current_job()).job_id, (taskq.current_job()).epoch)'),
	('refused', 'SELECT taskq.heartbeat_job((taskq.current_job()).job_id, (taskq.current_job()).epoch)'),
	('refused', 'SELECT taskq.cancel_job((taskq.current_job()).job_id, (taskq.current_job()).epoch)'),
	('refused', 'SELECT taskq.cancel_job((taskq.current_job()).job_id)'),
	('refused', 'SELECT taskq.retry_job((taskq.current_job()).job_id)'), ('refused', 'SELECT taskq.discard_job((taskq.current_job()).job_id)'),
	('refused', 'SELECT taskq.save_checkpoint(''"x"'')'), ('refused', 'SELECT taskq.unregister_handler(''retry-other'')')) v (what, sql);
SELECT pg_temp.add(n, 'retry-tries') FROM answers \g /dev/null
SELECT is(pg_temp.fails(n, format(', %L', sql)), 'retryable ' || delay, what || ': ' || sql) FROM answers;
SELECT is(count(*), 21::bigint, 'all jobs have the expected state') FROM taskq.all_jobs JOIN j ON id = job_id JOIN answers ON n = name WHERE state = 'retryable' AND attempt = 1 AND checkpoint IS NULL;
SELECT is(current_user, session_user, 'the role of the session is unchanged');

-- later -----------------------------------------------------------------------
SET ROLE tq_retry;
CREATE FUNCTION tq_retry.later(integer, jsonb) RETURNS interval LANGUAGE sql AS $$ SELECT interval '5 min' $$;
RESET ROLE;
CREATE FUNCTION pg_temp.status() RETURNS text LANGUAGE sql AS $$ SELECT retry_function_status FROM taskq.get_handler_info('retry-later') $$;
SELECT is(pg_temp.asks('later', 'tq_retry.later(integer, jsonb)'), '', 'a retry function is registered');
SELECT pg_temp.add('l', 'retry-later', attempts => 100) \g /dev/null
SELECT is(pg_temp.status() || ' ' || pg_temp.fails('l'), 'ok retryable 00:05:00', 'the function is used while it exists');
REVOKE EXECUTE ON FUNCTION tq_retry.later FROM PUBLIC, tq_retry;
SELECT is(pg_temp.status() || ' ' || pg_temp.fails('l'), 'unrunnable: its role may not execute function tq_retry.later(integer,pg_catalog.jsonb) retryable 00:00:33', 'without the right to execute the function, the policy decides');
DROP FUNCTION tq_retry.later;
SELECT is(pg_temp.status() || ' ' || pg_temp.fails('l'), 'unresolved: retry function tq_retry.later(integer,pg_catalog.jsonb) does not exist retryable 00:00:33', 'after the function was dropped, the policy decides');
CREATE FUNCTION tq_retry.later(integer, jsonb) RETURNS text LANGUAGE sql AS $$ SELECT '5 min' $$;
SELECT is(pg_temp.status() || ' ' || pg_temp.fails('l'), 'unresolved: function tq_retry.later(integer,pg_catalog.jsonb) is not a retry function any more retryable 00:00:33', 'if another kind of function has its name, the policy decides');
DROP FUNCTION tq_retry.later;
CREATE FUNCTION tq_retry.later(integer, jsonb) RETURNS interval LANGUAGE sql AS $$ SELECT interval '6 min' $$;
SELECT is(pg_temp.status() || ' ' || pg_temp.fails('l'), 'ok retryable 00:06:00', 'the function is found by its name again');
ALTER ROLE tq_retry SUPERUSER;
SELECT is(pg_temp.status() || ' ' || pg_temp.fails('l'), 'unrunnable: its role is a superuser and taskq.allow_superuser_handlers is off retryable 00:00:33', 'if the role becomes a superuser, the policy decides');
ALTER ROLE tq_retry NOSUPERUSER;

-- if no worker reports the failure, no user's code is run
BEGIN;
SET LOCAL taskq.clock_offset = '-1 h';
SELECT pg_temp.add('lost', 'retry-expects', lease => '1 s'), pg_temp.take('retry-w', 'retry-expects') \gset
COMMIT;
SELECT ok(pg_temp.came($$ SELECT pg_temp.state('lost') = 'retryable 1' $$), 'a lease ends');
SELECT ok(run_at - a.finished_at BETWEEN '24 s' AND '42 s', 'after the end of a lease, the policy decides') FROM taskq.all_jobs j JOIN taskq.attempts a USING (job_id) WHERE job_id = pg_temp.id('lost');

SELECT is(pg_temp.reaches(:unstoppable, 'retryable'), 'retryable 1', 'a worker does not wait for a function that cannot be interrupted');
SELECT is(outcome || ' ' || error_type, 'timeout timeout', 'the attempt has timed out') FROM taskq.attempts WHERE job_id = :unstoppable;

-- register --------------------------------------------------------------------
CREATE FUNCTION tq_retry.to_text(integer, jsonb) RETURNS text LANGUAGE sql AS 'SELECT NULL';
CREATE FUNCTION tq_retry.to_set(integer, jsonb) RETURNS SETOF interval LANGUAGE sql AS 'SELECT NULL::interval';
CREATE FUNCTION tq_retry.of_bigint(bigint, jsonb) RETURNS interval LANGUAGE sql AS 'SELECT NULL::interval';
CREATE FUNCTION tq_retry.of_one(integer) RETURNS interval LANGUAGE sql AS 'SELECT NULL::interval';
CREATE FUNCTION tq_retry.private(integer, jsonb) RETURNS interval LANGUAGE sql AS 'SELECT NULL::interval';
REVOKE EXECUTE ON FUNCTION tq_retry.private FROM PUBLIC;
SELECT is(pg_temp.as_role('tq_retry', format('SELECT taskq.register_handler(''retry-bad'', retry_function => %s)', f)), code, 'no retry function: ' || f)
FROM (VALUES ('''tq_retry.to_text(integer, jsonb)''', '42P13'), ('''tq_retry.to_set(integer, jsonb)''', '42P13'), ('''tq_retry.of_bigint(bigint, jsonb)''', '42P13'), ('''tq_retry.of_one(integer)''', '42P13'),
	('''tq_retry.external(jsonb)''', '42P13'), ('''tq_retry.private(integer, jsonb)''', '42501'), ('1', '42883'), ('''tq_retry.nowhere(integer, jsonb)''', '42883'),
	('''tq_retry.minutes(integer, jsonb)'', retry_policy => ''none''', '22023')) v (f, code);
SELECT is(pg_temp.detail_of($$ SELECT taskq.register_handler('retry-bad', retry_function => 'tq_retry.to_text(integer, jsonb)') $$), 'It does not return interval.', 'the detail says why a function is refused');
SELECT throws_ok($$ SELECT taskq.register_handler('retry-bad', retry_function => 'tq_retry.minutes(integer, jsonb)') $$, '42501', format('handlers do not run as superuser "%s"', current_user), 'a superuser cannot register a retry function');
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_handler('retry-bad', 'tq_retry.external(jsonb)', run_as => 'tq_retry', retry_function => 'tq_retry.private(integer, jsonb)') $$),
	'Run GRANT EXECUTE ON ROUTINE tq_retry.private(integer,pg_catalog.jsonb) TO tq_retry.', 'the hint has the GRANT statement for the function');
SELECT ok(NOT taskq.is_registered('retry-bad'), 'a refused registration leaves no handler');
SELECT results_eq($$ SELECT retry_function, retry_function_status, contract_status, search_path, retry_policy FROM taskq.get_handler_info('retry-expects') $$,
	$$ VALUES ('tq_retry.expects(integer,pg_catalog.jsonb)', 'ok', NULL, 'tq_retry', 'fixed') $$, 'get_handler_info() shows the retry function and the policy');
SELECT taskq.unregister_handler('retry-expects') \g /dev/null
SELECT is(retry_function, 'tq_retry.expects(integer,pg_catalog.jsonb)', 'handler_history shows the retry function') FROM taskq.handler_history WHERE task_type = 'retry-expects' ORDER BY changed_at DESC LIMIT 1;

SELECT finish();
SELECT taskq.unregister_worker(w) FROM unnest('{retry-w,retry-v}'::text[]) w \g /dev/null
SELECT count(taskq.cancel_job(job_id)) FROM taskq.all_jobs WHERE task_type LIKE 'retry-%' AND finished_at IS NULL \gset
SELECT count(taskq.unregister_handler(h.task_type)) FROM taskq.list_handlers() h WHERE h.task_type LIKE 'retry-%' \gset
SELECT taskq.drop_pool('tq_retry') \gset
SELECT count(taskq.revoke_access(r, a)) FROM unnest('{tq_retry,tq_retry_worker}'::regrole[]) r, unnest('{admin,producer,worker,operator}'::text[]) a \gset
DROP OWNED BY tq_retry, tq_retry_worker CASCADE;
DROP SCHEMA tq_retry CASCADE;
DROP ROLE tq_retry, tq_retry_worker;
