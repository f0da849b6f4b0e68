-- How the return value or error of a handler settles its job.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/wait.sql
\i test/sql/include/named_jobs.sql
SET client_min_messages = error;
CREATE ROLE tq_results LOGIN;
CREATE SCHEMA tq_results AUTHORIZATION tq_results;
SELECT count(taskq.grant_access('tq_results', a)) FROM unnest('{producer,worker,observer}'::text[]) a \gset
GRANT ALL ON j TO tq_results;
-- run the statement as a job and return the outcome: state, attempt, result, with - for
-- a random member; error type, code, SQLSTATE, message and delay
CREATE FUNCTION pg_temp.runs(statement text, t text DEFAULT 'res-plain', max_attempts int DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	id bigint := taskq.enqueue_job(t, jsonb_build_object('sql', statement), max_attempts => runs.max_attempts);
BEGIN
	PERFORM taskq.run_job(id);
	RETURN (SELECT concat_ws(' ', j.state, j.attempt, COALESCE(regexp_replace(j.result::text, '("\$nonce": )"[0-9a-f]{16}"', '\1"-"'), CASE j.state WHEN 'completed' THEN 'none' END),
				CASE WHEN a.outcome <> 'completed' THEN concat_ws(' ', a.outcome, a.error_type, COALESCE(NULLIF(a.error_code, ''), '-'), a.sqlstate,
					quote_literal(a.error_message), CASE WHEN j.finished_at IS NULL THEN (SELECT CASE WHEN d BETWEEN 2700 AND 4500 THEN 'by policy' ELSE d || ' s' END
						FROM round(extract(epoch FROM j.run_at - a.finished_at)) d) END) END)
			FROM taskq.all_jobs j JOIN taskq.attempts a USING (job_id) WHERE j.job_id = id);
END $$;
SELECT plan(152);

SELECT taskq.create_pool('tq_results', size => 0, role => 'tq_results') \gset
SET SESSION AUTHORIZATION tq_results;
CREATE TABLE tq_results.log (n int NOT NULL UNIQUE, CONSTRAINT small CHECK (n < 100));
CREATE FUNCTION tq_results.does(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE result jsonb;
BEGIN
	EXECUTE payload->>'sql' INTO result;
	RETURN result;
END $$;
CREATE FUNCTION tq_results.logs(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE result jsonb;
BEGIN
	INSERT INTO tq_results.log VALUES (7);
	EXECUTE payload->>'sql' INTO result;
	RETURN result;
END $$;
CREATE FUNCTION tq_results.raises(code text, message text DEFAULT 'raised', constr text DEFAULT '', col text DEFAULT '') RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = code, MESSAGE = message, CONSTRAINT = constr, COLUMN = col;
END $$;
CREATE FUNCTION tq_results.catches(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM taskq.raise_permanent('never');
EXCEPTION WHEN SQLSTATE 'TQ020' THEN
	RETURN '"caught"';
END $$;
RESET SESSION AUTHORIZATION;
CREATE FUNCTION pg_temp.register(t text, f text DEFAULT 'does', permanent text[] DEFAULT NULL, retryable text[] DEFAULT NULL, base interval DEFAULT '1 h') RETURNS void LANGUAGE sql AS
	$$ SELECT taskq.register_handler(t, format('tq_results.%I(jsonb)', f)::regprocedure, run_as => 'tq_results', retry_policy => 'fixed', retry_base => base,
		retry_cap => base, permanent_errors => permanent, retryable_errors => retryable, allow_override => true) $$;
SELECT pg_temp.register('res-plain'), pg_temp.register('res-logs', 'logs'), pg_temp.register('res-catches', 'catches'),
	pg_temp.register('res-permanent', 'does', '{23505,40}'), pg_temp.register('res-retryable', 'does', NULL, '{22012,0A,23514}'),
	pg_temp.register('res-both', 'does', '{22012}', '{22}'), pg_temp.register('res-setup') \gset
SET SESSION AUTHORIZATION tq_results;

-- snooze() does not undo a timeout
CREATE FUNCTION tq_results.naps(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; EXCEPTION WHEN query_canceled THEN RETURN taskq.snooze('1 h'); END $$;
RESET SESSION AUTHORIZATION;
SELECT taskq.register_handler('res-naps', 'tq_results.naps(jsonb)', run_as => 'tq_results', timeout => '50 ms') \gset
SET SESSION AUTHORIZATION tq_results;
SELECT job_id AS napping FROM taskq.run_job(taskq.enqueue_job('res-naps')) \gset
SELECT is(outcome || ' ' || attempt, 'timeout 1', 'a handler that catches its timeout and returns snooze() has timed out') FROM taskq.attempts WHERE job_id = :napping;
RESET SESSION AUTHORIZATION;
SELECT taskq.cancel_job(:napping), taskq.unregister_handler('res-naps') \gset
SET SESSION AUTHORIZATION tq_results;

-- success and plain results
SELECT is(pg_temp.runs($$ SELECT '{"a": 1}'::jsonb $$), 'completed 1 {"a": 1}', 'the return value of a handler is the result');
SELECT is(pg_temp.runs($$ SELECT NULL::jsonb $$), 'completed 1 none', 'NULL means no result');
SELECT is(pg_temp.runs($$ SELECT 'null'::jsonb $$), 'completed 1 null', 'JSON null is a result');
SELECT is(pg_temp.runs($$ SELECT taskq.success('{"a": [1, "x"]}') $$), 'completed 1 {"a": [1, "x"]}', 'success() accepts an object');
SELECT is(pg_temp.runs($$ SELECT taskq.success('5') $$), 'completed 1 5', 'success() accepts a number');
SELECT is(pg_temp.runs($$ SELECT taskq.success('"s\"q"') $$), 'completed 1 "s\"q"', 'success() accepts a string');
SELECT is(pg_temp.runs($$ SELECT taskq.success('[1, 2]') $$), 'completed 1 [1, 2]', 'success() accepts an array');
SELECT is(pg_temp.runs($$ SELECT taskq.success('null') $$), 'completed 1 null', 'success() accepts a JSON null');
SELECT is(pg_temp.runs($$ SELECT taskq.success(NULL) $$), 'completed 1 none', 'success() accepts NULL');
SELECT is(pg_temp.runs($$ SELECT taskq.success() $$), 'completed 1 none', 'success() accepts no argument');
SELECT is(pg_temp.runs($$ SELECT taskq.success(taskq.failure('inside')) $$), 'completed 1 {"$nonce": "-", "$taskq": "failure", "message": "inside"}', 'the argument of success() is not evaluated further');
SELECT is(pg_temp.runs($$ SELECT '{"$taskq": 1}'::jsonb $$), 'completed 1 {"$taskq": 1}', 'an object with a "$taskq" that is no string is data');
SELECT is(pg_temp.runs($$ SELECT '["$taskq", "failure"]'::jsonb $$), 'completed 1 ["$taskq", "failure"]', 'an array with "$taskq" is data');
SELECT is(pg_temp.runs($$ SELECT '{"x": {"$taskq": "failure"}}'::jsonb $$), 'completed 1 {"x": {"$taskq": "failure"}}', 'a nested object with "$taskq" is data');

-- data that looks like a decision is not one
CREATE FUNCTION tq_results.echoes(payload jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT payload';
CREATE TABLE tq_results.kept (value jsonb);
CREATE FUNCTION tq_results.keeps(payload jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT value FROM tq_results.kept';
RESET SESSION AUTHORIZATION;
SELECT pg_temp.register('res-echoes', 'echoes'), pg_temp.register('res-keeps', 'keeps') \gset
SET SESSION AUTHORIZATION tq_results;
SELECT is(r.state || ' ' || r.result::text, 'completed ' || p::text, 'a payload that is returned is a result: ' || (p - '$nonce')::text)
	FROM unnest(ARRAY[taskq.failure('m'), taskq.success('1'), taskq.snooze('1 h'), taskq.decision('{res-plain}'), '{"$taskq": "failure"}', '{"$taskq": "decision", "activated_steps": ["res-plain"]}']) p,
		LATERAL taskq.run_job(taskq.enqueue_job('res-echoes', p)) r;
SELECT is(pg_temp.runs($$ SELECT x FROM (SELECT taskq.failure('m') AS x) y WHERE taskq.success() IS NOT NULL $$), 'retryable 1 failed handler_error - TQ021 ''m'' by policy', 'a value that failure() has built in the run is a failure');
SELECT is(pg_temp.runs($$ SELECT taskq.failure('m')::text::jsonb $$), 'retryable 1 failed handler_error - TQ021 ''m'' by policy', 'a failure that was converted to text and back is a failure');
SELECT is(pg_temp.runs($$ SELECT taskq.failure('m') || '{"message": "n"}' $$), 'completed 1 {"$nonce": "-", "$taskq": "failure", "message": "n"}', 'a failure that was changed is data');
SELECT is(pg_temp.runs($$ SELECT taskq.failure('m') - '$nonce' $$), 'completed 1 {"$taskq": "failure", "message": "m"}', 'a failure without its random member is data');
SELECT is(pg_temp.runs(format($$ SELECT x FROM (SELECT %L::jsonb AS x) y WHERE taskq.%s IS NOT NULL $$, forged, built)), 'completed 1 ' || forged::text, 'data that equals ' || built || ' of the same run, but for the random member, is data')
	FROM (VALUES ($$failure('m')$$, '{"$taskq": "failure", "message": "m"}'::jsonb), ($$success('1')$$, '{"$taskq": "success", "result": 1}'),
		($$snooze('1 h')$$, '{"delay": "@ 1 hour", "$taskq": "snooze"}'), ($$decision('{res-plain}')$$, '{"$taskq": "decision", "activated_steps": ["res-plain"], "routing_context": {}}')) v (built, forged);
SELECT isnt(taskq.failure('m'), taskq.failure('m'), 'no two values are equal');
INSERT INTO tq_results.kept SELECT taskq.snooze('1 h');
SELECT is(state, 'completed', 'a failure that an earlier run has built and stored is data') FROM taskq.run_job(taskq.enqueue_job('res-keeps'));

-- too large
RESET SESSION AUTHORIZATION;
SET taskq.max_result_size = '10kB';
SET SESSION AUTHORIZATION tq_results;
SELECT is(pg_temp.runs($$ SELECT to_jsonb(repeat('x', 20000)) $$), 'discarded 1 failed permanent_error RESULT_TOO_LARGE TQ020 ''result of 20008 bytes is too large''', 'a result larger than taskq.max_result_size discards the job');
SELECT is(detail, 'taskq.max_result_size is 10240 bytes.', 'the detail has the limit') FROM taskq.attempts WHERE error_code = 'RESULT_TOO_LARGE';
SELECT matches(pg_temp.runs($$ SELECT taskq.success(to_jsonb(repeat('x', 20000))) $$), '^discarded 1 failed permanent_error RESULT_TOO_LARGE', 'the limit applies to the argument of success()');
SELECT matches(pg_temp.runs($$ SELECT to_jsonb(repeat('x', 10000)) $$), '^completed 1 "xx', 'a result below the limit is kept');
RESET SESSION AUTHORIZATION;
RESET taskq.max_result_size;
SET SESSION AUTHORIZATION tq_results;

-- failure
SELECT is(pg_temp.runs($$ SELECT taskq.failure('no luck') $$), 'retryable 1 failed handler_error - TQ021 ''no luck'' by policy', 'failure() is retried by the policy');
SELECT is(pg_temp.runs($$ SELECT taskq.failure(NULL) $$), 'retryable 1 failed handler_error - TQ021 ''the handler failed'' by policy', 'failure() may have no message');
SELECT is(pg_temp.runs($$ SELECT taskq.failure('a "b" \ c') $$), 'retryable 1 failed handler_error - TQ021 E''a "b" \\ c'' by policy', 'a message may contain any characters');
SELECT is(pg_temp.runs($$ SELECT taskq.failure('m', error_code => 'GATEWAY') $$), 'retryable 1 failed handler_error GATEWAY TQ021 ''m'' by policy', 'failure() may have an error code');
SELECT is(pg_temp.runs($$ SELECT taskq.failure('m', 'validation_error') $$), 'discarded 1 failed validation_error - TQ020 ''m''', 'failure() of an error type that is not retried discards the job');
SELECT is(pg_temp.runs($$ SELECT taskq.failure('m', 'permanent_error', 'C') $$), 'discarded 1 failed permanent_error C TQ020 ''m''', 'failure() may have a permanent error type and a code');
SELECT is(pg_temp.runs($$ SELECT taskq.failure('m', 'timeout') $$), 'retryable 1 failed timeout - TQ021 ''m'' by policy', 'failure() may have a retryable error type');
SELECT is(pg_temp.runs($$ SELECT taskq.failure('m', 'app.busy') $$), 'retryable 1 failed app.busy - TQ021 ''m'' by policy', 'failure() may have an error type of the application');
SELECT is(pg_temp.runs($$ SELECT taskq.failure('m', retryable => false) $$), 'discarded 1 failed permanent_error - TQ020 ''m''', 'failure() with retryable => false discards the job');
SELECT is(pg_temp.runs($$ SELECT taskq.failure('m', 'app.busy', retryable => false) $$), 'discarded 1 failed app.busy - TQ020 ''m''', 'retryable => false applies to an error type of the application');
SELECT is(pg_temp.runs($$ SELECT taskq.failure('m', 'validation_error', retryable => true) $$), 'retryable 1 failed validation_error - TQ021 ''m'' by policy', 'retryable => true overrides the error type');
SELECT is(pg_temp.runs($$ SELECT taskq.failure('m', retry_in => '5 min') $$), 'retryable 1 failed handler_error - TQ021 ''m'' 300 s', 'failure() may have a delay');
SELECT is(pg_temp.runs($$ SELECT taskq.failure('m', retry_in => '1 mon 2 h') $$), 'retryable 1 failed handler_error - TQ021 ''m'' 2599200 s', 'a month in a delay has 30 days');
SELECT is(pg_temp.runs($$ SELECT taskq.failure('m', retry_in => '0') $$), 'available 1 failed handler_error - TQ021 ''m'' 0 s', 'failure() with a delay of 0 makes the job available');
SELECT is(pg_temp.runs($$ SELECT taskq.failure('m', retry_in => '5 min') $$, max_attempts => 1), 'discarded 1 failed handler_error - TQ021 ''m''', 'failure() of the last attempt discards the job');
SELECT is(pg_temp.runs($$ SELECT taskq.failure('m', 'app.busy', 'C', true, '1 s') $$), 'retryable 1 failed app.busy C TQ021 ''m'' 1 s', 'failure() accepts its arguments by position');
SELECT throws_ok($$ SELECT taskq.failure('m', 'no such name') $$, '22023', NULL, 'failure() refuses an invalid error type');
SELECT throws_ok($$ SELECT taskq.failure('m', retry_in => '-1 s') $$, '22023', NULL, 'failure() refuses a negative delay');
SET intervalstyle = 'iso_8601';
SELECT is(pg_temp.runs($$ SELECT taskq.failure('m', retry_in => '1 day 00:05') $$), 'retryable 1 failed handler_error - TQ021 ''m'' 86700 s', 'a delay does not depend on IntervalStyle');
SET intervalstyle = 'sql_standard';
SELECT is(pg_temp.runs($$ SELECT taskq.failure('m', retry_in => '1 day 00:05') $$), 'retryable 1 failed handler_error - TQ021 ''m'' 86700 s', 'a delay is the same in another IntervalStyle');
RESET intervalstyle;
SELECT is(pg_temp.runs($$ SELECT taskq.failure('m') $$, 'res-logs'), 'retryable 1 failed handler_error - TQ021 ''m'' by policy', 'a handler writes a row and returns failure()');
SELECT is(count(*), 0::bigint, 'the row is rolled back') FROM tq_results.log;
SELECT is(pg_temp.runs($$ SELECT taskq.success('1') $$, 'res-logs'), 'completed 1 1', 'a handler writes a row and returns success()');
SELECT is(array_agg(n), '{7}', 'the row is kept') FROM tq_results.log;

-- raise_permanent, raise_retryable
SELECT is(pg_temp.runs($$ SELECT taskq.raise_permanent('never') $$), 'discarded 1 failed permanent_error - TQ020 ''never''', 'raise_permanent() discards the job');
SELECT is(pg_temp.runs($$ SELECT taskq.raise_permanent('never', code => 'NO_ADDRESS') $$), 'discarded 1 failed permanent_error NO_ADDRESS TQ020 ''never''', 'raise_permanent() may have a code');
SELECT is(pg_temp.runs($$ SELECT taskq.raise_permanent(NULL) $$), 'discarded 1 failed permanent_error - TQ020 ''the handler failed''', 'raise_permanent() may have no message');
SELECT is(pg_temp.runs($$ SELECT taskq.raise_retryable('later') $$), 'retryable 1 failed retryable_error - TQ021 ''later'' by policy', 'raise_retryable() is retried by the policy');
SELECT is(pg_temp.runs($$ SELECT taskq.raise_retryable('later', 'BUSY', '90 s') $$), 'retryable 1 failed retryable_error BUSY TQ021 ''later'' 90 s', 'raise_retryable() may have a code and a delay');
SELECT is(pg_temp.runs($$ SELECT taskq.raise_retryable('later', retry_in => '90 s') $$, max_attempts => 1), 'discarded 1 failed retryable_error - TQ021 ''later''', 'raise_retryable() in the last attempt discards the job');
SELECT is(pg_temp.runs($$ SELECT tq_results.raises('TQ021', 'gateway is down', 'GATEWAY_DOWN', '30 s') $$), 'retryable 1 failed retryable_error GATEWAY_DOWN TQ021 ''gateway is down'' 30 s', 'RAISE with TQ021 is the same as raise_retryable()');
SELECT is(pg_temp.runs($$ SELECT tq_results.raises('TQ020', 'no', 'NO', '30 s') $$), 'discarded 1 failed permanent_error NO TQ020 ''no''', 'RAISE with TQ020 is the same as raise_permanent()');
SELECT is(pg_temp.runs($$ SELECT tq_results.raises('TQ021', 'm', col => 'soon') $$), 'retryable 1 failed retryable_error - TQ021 ''m'' by policy', 'an invalid delay in RAISE is ignored');
SELECT is(pg_temp.runs($$ SELECT tq_results.raises('TQ021', 'm', col => '-5 s') $$), 'retryable 1 failed retryable_error - TQ021 ''m'' by policy', 'a negative delay in RAISE is ignored');
SELECT is(pg_temp.runs('', 'res-catches'), 'completed 1 "caught"', 'a handler can catch these errors');
CREATE FUNCTION tq_results.raises_type(error_type text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'TQ021', MESSAGE = 'm', DATATYPE = error_type;
END $$;
SELECT is(pg_temp.runs($$ SELECT tq_results.raises_type('app.busy') $$), 'retryable 1 failed app.busy - TQ021 ''m'' by policy', 'RAISE may have an error type in DATATYPE');
SELECT is(pg_temp.runs($$ SELECT tq_results.raises_type('my own') $$), 'retryable 1 failed retryable_error - TQ021 ''m'' by policy', 'DATATYPE is ignored if it is no name');
SELECT throws_ok($$ SELECT taskq.raise_permanent('x') $$, 'TQ020', 'x', 'raise_permanent() outside a handler raises an error');
SELECT throws_ok($$ SELECT taskq.raise_retryable('x', retry_in => '1 s') $$, 'TQ021', 'x', 'raise_retryable() outside a handler raises an error');
SELECT throws_ok($$ SELECT taskq.raise_retryable('x', retry_in => '-1 s') $$, '22023', NULL, 'raise_retryable() refuses a negative delay');

-- by SQLSTATE
SELECT is(pg_temp.runs($$ SELECT to_jsonb(1 / 0) $$), 'discarded 1 failed permanent_error - 22012 ''division by zero''', 'SQLSTATE class 22 is permanent');
SELECT is(pg_temp.runs($$ SELECT tq_results.raises('22P02') $$), 'discarded 1 failed permanent_error - 22P02 ''raised''', 'this holds for every SQLSTATE of the class');
SELECT matches(pg_temp.runs($$ INSERT INTO tq_results.log VALUES (NULL) RETURNING '1'::jsonb $$), '^discarded 1 failed permanent_error - 23502 ', 'a NULL in a NOT NULL column is permanent');
SELECT matches(pg_temp.runs($$ INSERT INTO tq_results.log VALUES (100) RETURNING '1'::jsonb $$), '^discarded 1 failed permanent_error - 23514 ', 'a check violation is permanent, and has no error code');
SELECT is(pg_temp.runs($$ SELECT tq_results.raises('0A000') $$), 'discarded 1 failed permanent_error - 0A000 ''raised''', 'SQLSTATE class 0A is permanent');
SELECT is(pg_temp.runs($$ SELECT tq_results.raises('P0001') $$), 'retryable 1 failed handler_error - P0001 ''raised'' by policy', 'RAISE EXCEPTION is retried');
SELECT matches(pg_temp.runs($$ INSERT INTO tq_results.log VALUES (7) RETURNING '1'::jsonb $$), '^retryable 1 failed handler_error - 23505 .* by policy$', 'a unique violation is retried');
SELECT is(string_agg(split_part(pg_temp.runs(format('SELECT tq_results.raises(%L)', s)), '-', 1), ', ' ORDER BY s), repeat('retryable 1 failed handler_error , ', 6) || 'retryable 1 failed handler_error ',
	'other SQLSTATEs are retried') FROM unnest('{23503,40001,40P01,53200,55P03,57014,XX000}'::text[]) s;

-- a handler's own lists
SELECT is(permanent_errors::text || COALESCE(retryable_errors::text, ''), '{23505,40}', 'list_handlers() shows the lists of the handler') FROM taskq.list_handlers() WHERE task_type = 'res-permanent';
SELECT is(pg_temp.runs($$ SELECT tq_results.raises('23505') $$, 'res-permanent'), 'discarded 1 failed permanent_error - 23505 ''raised''', 'permanent_errors may contain a SQLSTATE');
SELECT is(pg_temp.runs($$ SELECT tq_results.raises('40P01') $$, 'res-permanent'), 'discarded 1 failed permanent_error - 40P01 ''raised''', 'permanent_errors may contain a class');
SELECT is(pg_temp.runs($$ SELECT tq_results.raises('23503') $$, 'res-permanent'), 'retryable 1 failed handler_error - 23503 ''raised'' by policy', 'permanent_errors does not apply to other SQLSTATEs');
SELECT is(pg_temp.runs($$ SELECT tq_results.raises('22012') $$, 'res-permanent'), 'discarded 1 failed permanent_error - 22012 ''raised''', 'the general rules apply besides permanent_errors');
SELECT is(pg_temp.runs($$ SELECT tq_results.raises('22012') $$, 'res-retryable'), 'retryable 1 failed retryable_error - 22012 ''raised'' by policy', 'retryable_errors may contain a SQLSTATE');
SELECT is(pg_temp.runs($$ SELECT tq_results.raises('0A000') $$, 'res-retryable'), 'retryable 1 failed retryable_error - 0A000 ''raised'' by policy', 'retryable_errors may contain a class');
SELECT is(pg_temp.runs($$ SELECT tq_results.raises('23514', constr => 'c') $$, 'res-retryable'), 'retryable 1 failed retryable_error - 23514 ''raised'' by policy', 'a check violation in retryable_errors has no error code');
SELECT is(pg_temp.runs($$ SELECT tq_results.raises('22P02') $$, 'res-retryable'), 'discarded 1 failed permanent_error - 22P02 ''raised''', 'retryable_errors does not apply to other SQLSTATEs');
SELECT is(pg_temp.runs($$ SELECT tq_results.raises('22012') $$, 'res-retryable', 1), 'discarded 1 failed retryable_error - 22012 ''raised''', 'a retryable error of the last attempt discards the job');
SELECT is(split_part(pg_temp.runs($$ SELECT tq_results.raises('22012') $$, 'res-both'), '-', 1), 'discarded 1 failed permanent_error ', 'a SQLSTATE in both lists is permanent');
SELECT is(split_part(pg_temp.runs($$ SELECT tq_results.raises('22P02') $$, 'res-both'), '-', 1), 'retryable 1 failed retryable_error ', 'a SQLSTATE in one list is handled by that list');
RESET SESSION AUTHORIZATION;
SELECT throws_ok(format('SELECT taskq.register_handler(''res-x'', permanent_errors => %L)', e), '22023', NULL, 'no SQLSTATE: ' || e)
	FROM unnest('{"{2}","{235}","{23505x}","{235-5}","{\"\"}"}'::text[]) e;
SELECT throws_ok($$ SELECT taskq.register_handler('res-x', retryable_errors => '{division_by_zero}') $$, '22023', NULL, 'a condition name is refused');

-- failures of setup, in the pool: no job is lost
SELECT pg_temp.register('res-setup', base => '20 ms') \gset
INSERT INTO j SELECT 'setup' || n, taskq.enqueue_job('res-setup', '{"sql": "INSERT INTO tq_results.later VALUES (1) RETURNING ''1''::jsonb"}', max_attempts => 1) FROM generate_series(1, 6) n;
CREATE FUNCTION pg_temp.status(t text) RETURNS text LANGUAGE sql AS $$ SELECT status FROM taskq.list_handlers() WHERE task_type = t $$;
CREATE FUNCTION pg_temp.reason(t text) RETURNS text LANGUAGE sql AS $$ SELECT reason || ' ' || jobs FROM taskq.unroutable_jobs WHERE task_type = t $$;
SELECT is(pg_temp.status('res-setup'), 'ok', 'the status of a type is ok while its table is missing');
SELECT taskq.alter_pool('tq_results', size => 1) \gset
SELECT pg_temp.came($$ SELECT pg_temp.status('res-setup') = 'paused' $$) \gset
SELECT is(pg_temp.status('res-setup'), 'paused', 'failures because of the missing table pause the type');
SELECT is(count(*), 3::bigint, 'the type is paused after three failures') FROM taskq.attempts WHERE job_id IN (SELECT id FROM j WHERE name LIKE 'setup%');
SELECT is(count(*), 6::bigint, 'no job is discarded, although each had only one attempt') FROM taskq.all_jobs WHERE task_type = 'res-setup' AND state IN ('available', 'scheduled', 'retryable');
SELECT is(pg_temp.reason('res-setup'), 'handler paused, see taskq.resume_handler() 6', 'unroutable_jobs says that the type is paused');
SELECT ok(bool_and(error_type = 'handler_error' AND sqlstate = '42P01' AND attempt <= 2), 'taskq.attempts shows the cause') FROM taskq.attempts WHERE job_id IN (SELECT id FROM j WHERE name LIKE 'setup%');
INSERT INTO j VALUES ('other', taskq.enqueue_job('res-plain', '{"sql": "SELECT ''2''::jsonb"}'));
SELECT pg_temp.came($$ SELECT pg_temp.state('other') = 'completed 1' $$) \gset
SELECT is(pg_temp.state('other'), 'completed 1', 'jobs of other types in the pool run');
SELECT is(count(*), 3::bigint, 'jobs of the paused type do not run') FROM taskq.attempts WHERE job_id IN (SELECT id FROM j WHERE name LIKE 'setup%');
SELECT ok(taskq.resume_handler('res-setup'), 'resume_handler() returns true before the table exists');
SELECT pg_temp.came($$ SELECT pg_temp.status('res-setup') = 'paused' $$) \gset
SELECT is(pg_temp.status('res-setup'), 'paused', 'the type is paused again');
SELECT is(count(*), 6::bigint, 'no job is discarded') FROM taskq.all_jobs WHERE task_type = 'res-setup' AND state IN ('available', 'scheduled', 'retryable');
SET SESSION AUTHORIZATION tq_results;
CREATE TABLE tq_results.later (n int);
RESET SESSION AUTHORIZATION;
SELECT ok(taskq.resume_handler('res-setup'), 'resume_handler() returns true after the table was created');
SELECT pg_temp.came($$ SELECT (SELECT count(*) FROM taskq.all_jobs WHERE task_type = 'res-setup' AND state = 'completed') = 6 $$) \gset
SELECT is(count(*), 6::bigint, 'all jobs complete') FROM taskq.all_jobs WHERE task_type = 'res-setup' AND state = 'completed';
SELECT is(count(*), 6::bigint, 'each job completes once') FROM tq_results.later;
SELECT ok(NOT taskq.resume_handler('res-setup'), 'resume_handler() returns false for a type that is not paused');
SELECT taskq.alter_pool('tq_results', size => 0) \gset

-- failures in a row: a completed run resets the count; runs by hand count, too
SET SESSION AUTHORIZATION tq_results;
SELECT is(string_agg(replace(split_part(pg_temp.runs(s, 'res-setup', 1), ' ', 1), 'available', 'retryable'), ' ' ORDER BY n), 'retryable retryable completed retryable retryable', 'two failures, a completed run and two more failures follow each other')
	FROM unnest(ARRAY['SELECT a FROM b', 'SELECT tq_results.raises(''28000'')', 'SELECT ''1''::jsonb', 'SELECT c FROM d', 'SELECT a FROM b']) WITH ORDINALITY AS x (s, n);
SELECT is(pg_temp.status('res-setup'), 'ok', 'these are not three failures in a row, so the type is not paused');
SELECT is(split_part(pg_temp.runs('SELECT', 'res-setup', 1), ' ', 1), 'completed', 'a handler that returns no columns completes');
SELECT is(string_agg(replace(split_part(pg_temp.runs('SELECT tq_results.raises(''28000'')', 'res-setup', 1), ' ', 1), 'available', 'retryable'), ' '), 'retryable retryable retryable', 'three failures of class 28 follow each other') FROM generate_series(1, 3);
SELECT is(pg_temp.status('res-setup'), 'paused', 'three failures of class 28 pause the type');
RESET SESSION AUTHORIZATION;

-- an object that the payload names does not count, and one that the code names does
SELECT ok(taskq.resume_handler('res-setup'), 'the type is resumed for other errors');
CREATE FUNCTION tq_results.named(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE result jsonb;
BEGIN
	EXECUTE 'SELECT to_jsonb((' || (payload->>'sql') || ')::text)' INTO result USING payload->>'name';
	RETURN result;
END $$;
SELECT pg_temp.register('res-setup', 'named') \gset
CREATE FUNCTION pg_temp.names(statement text, name text) RETURNS text LANGUAGE sql AS
	$$ SELECT state FROM taskq.run_job(taskq.enqueue_job('res-setup', jsonb_build_object('sql', statement, 'name', name), max_attempts => 1)) $$;
SET SESSION AUTHORIZATION tq_results;
SELECT is(pg_temp.names(s, n), 'discarded', 'no failure of the setup: ' || s || ' ' || n)
	FROM (VALUES ('$1::regclass', 'nosuch'), ('$1::regclass', 'public.nosuch'), ('nextval($1)', 'nosuch'), ('$1::regprocedure', 'nosuch(int)'), ('$1::regnamespace', 'nosuch'),
		('has_table_privilege($1, ''SELECT'')', 'nosuch'), ('query_to_xml(format(''SELECT * FROM %I'', $1), true, false, '''')', 'nosuch'),
		('set_config(''role'', $1, true)', 'postgres'), ('tq_results.raises(''42P01'')', ''), ('tq_results.raises(''42883'')', '')) v (s, n);
SELECT is(pg_temp.status('res-setup'), 'ok', 'these failures do not pause the type');
SELECT is(string_agg(pg_temp.names(s, 'other'), ' '), 'retryable retryable retryable', 'failures because of objects that the code names count') FROM unnest(ARRAY['nosuch(1)', '(SELECT x::regclass FROM (SELECT ''nosuch''::text OFFSET 0) y (x))', '(SELECT a FROM nosuch)']) s;
SELECT is(pg_temp.status('res-setup'), 'paused', 'three of these pause the type');
RESET SESSION AUTHORIZATION;
SELECT pg_temp.register('res-setup') \gset

-- the payloads of one tenant do not pause a type for the others
CREATE FUNCTION pg_temp.fails_for(tenant text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM taskq.run_job(taskq.enqueue_job('res-setup', '{"sql": "SELECT a FROM b"}', tenant_id => tenant));
	RETURN pg_temp.status('res-setup');
END $$;
SELECT is(pg_temp.status('res-setup'), 'ok', 'another registration resumes the type');
SET SESSION AUTHORIZATION tq_results;
SELECT is(string_agg(pg_temp.fails_for('res-acme'), ' '), 'ok ok ok ok ok', 'five failures of one tenant do not pause the type') FROM generate_series(1, 5);
SELECT is(pg_temp.fails_for('other'), 'paused', 'a failure of another tenant after these pauses the type');
RESET SESSION AUTHORIZATION;
SELECT ok(taskq.resume_handler('res-setup'), 'the type is resumed after the failures of two tenants');
SET SESSION AUTHORIZATION tq_results;
SELECT is(string_agg(pg_temp.fails_for(t), ' ' ORDER BY n), 'ok ok paused', 'a failure without a tenant after two of one tenant pauses the type') FROM unnest(ARRAY['res-acme', 'res-acme', NULL]) WITH ORDINALITY v (t, n);
RESET SESSION AUTHORIZATION;
SELECT ok(taskq.resume_handler('res-setup'), 'the type is resumed after the failure without a tenant');
SET SESSION AUTHORIZATION tq_results;
SELECT is(string_agg(pg_temp.fails_for(t), ' ' ORDER BY n), 'ok ok paused', 'failures of three tenants pause the type') FROM unnest('{a,b,c}'::text[]) WITH ORDINALITY v (t, n);
RESET SESSION AUTHORIZATION;

-- pause_handler for an external type
SELECT taskq.register_handler('res-ext') \gset
INSERT INTO j VALUES ('ext', taskq.enqueue_job('res-ext'));
SELECT ok(taskq.pause_handler('res-ext'), 'pause_handler() pauses an external type');
SELECT ok(NOT taskq.pause_handler('res-ext'), 'pause_handler() returns false for a paused type');
SELECT is(count(*), 0::bigint, 'jobs of a paused external type are not claimed') FROM taskq.claim_job('res-w', '{res-ext}');
SELECT is(pg_temp.status('res-ext') || ', ' || pg_temp.reason('res-ext'), 'paused, handler paused, see taskq.resume_handler() 1', 'list_handlers() and unroutable_jobs show the pause');
SELECT ok(taskq.resume_handler('res-ext'), 'resume_handler() resumes an external type');
SELECT is(count(*), 1::bigint, 'jobs of the resumed type are claimed') FROM taskq.claim_job('res-w', '{res-ext}');
SELECT taskq.pause_handler('res-ext'), taskq.register_handler('res-ext', allow_override => true) \gset
SELECT is(pg_temp.status('res-ext'), 'paused', 'the same registration again keeps a pause');
SELECT taskq.register_handler('res-ext', description => 'another', allow_override => true) \gset
SELECT is(pg_temp.status('res-ext'), 'ok', 'another registration ends a pause');
SELECT throws_ok($$ SELECT taskq.pause_handler('res-none') $$, 'TQ002', NULL, 'pause_handler() raises TQ002 for an unregistered type');
SELECT throws_ok($$ SELECT taskq.resume_handler('res-none') $$, 'TQ002', NULL, 'resume_handler() raises TQ002 for an unregistered type');

SELECT finish();
SELECT taskq.unregister_worker('res-w') \gset
SELECT count(taskq.unregister_handler(h.task_type)) FROM taskq.list_handlers() h WHERE h.task_type LIKE 'res-%' \gset
SELECT count(taskq.cancel_job(job_id)) FROM taskq.all_jobs WHERE task_type LIKE 'res-%' AND finished_at IS NULL \gset
SELECT taskq.drop_pool('tq_results') \gset
SELECT count(taskq.revoke_access('tq_results', a)) FROM unnest('{producer,worker,observer}'::text[]) a \gset
DROP OWNED BY tq_results CASCADE;
DROP ROLE tq_results;
