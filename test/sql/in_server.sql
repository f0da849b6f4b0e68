-- Handlers in the server: what the pool runs, how errors and timeouts are recorded,
-- and that a job leaves nothing behind for the next.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/wait.sql
\i test/sql/include/named_jobs.sql
SELECT plan(102);

-- a role whose defaults would be in the way, and its one worker ----------------
CREATE ROLE regress_in_server LOGIN;
CREATE ROLE regress_in_server_group;
GRANT regress_in_server_group TO regress_in_server;
ALTER ROLE regress_in_server SET default_transaction_isolation = 'serializable';
ALTER ROLE regress_in_server SET default_transaction_read_only = on;
ALTER ROLE regress_in_server SET statement_timeout = '5 ms';
SELECT taskq.grant_access('regress_in_server', a) FROM unnest('{producer,worker,observer,operator}'::text[]) a \g /dev/null
CREATE SCHEMA ins AUTHORIZATION regress_in_server;
SELECT taskq.create_pool('ins-one', size => 1, min_size => 1, role => 'regress_in_server') \gset

SET SESSION AUTHORIZATION regress_in_server;
SET default_transaction_read_only = off;
SET default_transaction_isolation = 'read committed';
SET transaction_isolation = 'read committed';
CREATE TABLE ins.log (entry text);
CREATE TABLE ins.parents (id integer PRIMARY KEY);
CREATE TABLE ins.children (id integer REFERENCES ins.parents DEFERRABLE INITIALLY DEFERRED);
CREATE SEQUENCE ins.numbers;

CREATE FUNCTION ins.echo_sql(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('echo', $1) $$;
CREATE FUNCTION ins.echo_plpgsql(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO ins.log VALUES (p->>'entry');
	RETURN jsonb_build_object('echo', p);
END $$;
CREATE FUNCTION ins.job_sql(j taskq.job) RETURNS jsonb LANGUAGE sql AS
	$$ SELECT jsonb_build_object('task_type', (j).task_type, 'attempt', (j).attempt, 'payload', (j).payload, 'lease', (j).lease_expires_at) $$;
CREATE FUNCTION ins.job_plpgsql(j taskq.job) RETURNS jsonb LANGUAGE plpgsql AS
	$$ BEGIN RETURN jsonb_build_object('queue', j.queue, 'priority', j.priority, 'same', j = taskq.current_job()); END $$;
CREATE FUNCTION ins.current(jsonb) RETURNS jsonb LANGUAGE sql AS
	$$ SELECT to_jsonb(j) - '{job_id,epoch,run_at,created_at,started_at,worker_id}'::text[] FROM taskq.current_job() j $$;
CREATE FUNCTION ins.nothing(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT NULL::jsonb $$;
CREATE FUNCTION ins.json_null(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN 'null'; END $$;
CREATE FUNCTION ins.big(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN to_jsonb(repeat('0123456789', 100000)); END $$;
CREATE FUNCTION ins.who(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RESET ROLE;
	RESET SESSION AUTHORIZATION;
	RETURN jsonb_build_array(session_user, current_user, current_setting('role'), current_setting('transaction_isolation'),
		current_setting('transaction_read_only'));
END $$;
CREATE FUNCTION ins.fails(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO ins.log VALUES ('must not stay');
	PERFORM taskq.enqueue_job('ins-nothing', '"must not stay"');
	RAISE EXCEPTION 'no luck with %', p USING DETAIL = 'the detail', HINT = 'the hint', ERRCODE = COALESCE(p->>'code', 'P0001');
END $$;
CREATE FUNCTION ins.permanent(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM taskq.raise_permanent('never', 'BAD_ADDRESS'); END $$;
CREATE FUNCTION ins.retryable(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM taskq.raise_retryable('later', 'BUSY', '90 min'); END $$;
CREATE FUNCTION ins.raised(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'down' USING ERRCODE = 'TQ021', CONSTRAINT = 'GATEWAY_DOWN', COLUMN = '2 h'; END $$;
CREATE FUNCTION ins.caught(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO ins.log VALUES ('caught');
	BEGIN
		PERFORM taskq.raise_permanent('caught');
	EXCEPTION WHEN SQLSTATE 'TQ020' THEN
		RETURN '"went on"';
	END;
END $$;
CREATE FUNCTION ins.success(p jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT taskq.success('{"a": 1}') $$;
CREATE FUNCTION ins.success_of_nothing(p jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT taskq.success() $$;
CREATE FUNCTION ins.failure(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO ins.log VALUES ('must not stay');
	RETURN taskq.failure('over quota', 'quota_error', 'QUOTA', retry_in => '3 h');
END $$;
CREATE FUNCTION ins.failure_for_good(p jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT taskq.failure('never', retryable => false) $$;
CREATE FUNCTION ins.loops(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN LOOP END LOOP; END $$;
CREATE FUNCTION ins.sleeps(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN INSERT INTO ins.log VALUES ('must not stay'); PERFORM pg_sleep(60); RETURN '1'; END $$;
CREATE FUNCTION ins.counts(p jsonb) RETURNS jsonb LANGUAGE sql AS
	$$ SELECT to_jsonb(count(*)) FROM generate_series(1, 100000) a, generate_series(1, 100000) b $$;
CREATE FUNCTION ins.catches(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(60); RETURN '1'; EXCEPTION WHEN OTHERS THEN RETURN '"swallowed"'; END $$;
CREATE FUNCTION ins.commits(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN INSERT INTO ins.log VALUES ('must not stay'); COMMIT; RETURN '1'; END $$;
CREATE FUNCTION ins.listens(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN LISTEN leaked; RETURN '1'; END $$;
CREATE FUNCTION ins.deferred(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO ins.children VALUES ((p->>'id')::integer);
	IF p ? 'with' THEN
		INSERT INTO ins.parents VALUES ((p->>'id')::integer);
	END IF;
	RETURN '1';
END $$;
CREATE FUNCTION ins.parent(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO ins.log VALUES ('parent');
	RETURN to_jsonb(taskq.enqueue_job('ins-echo-sql', '"child"'));
END $$;
CREATE FUNCTION ins.missing(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT to_jsonb(count(*)) FROM ins.not_there); END $$;
CREATE FUNCTION ins.meddles(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	j taskq.job := taskq.current_job();
	call text;
	answers jsonb := '{}';
BEGIN
	FOREACH call IN ARRAY '{complete_job(%s\, %s),complete_jobs(ARRAY[%s]\, ARRAY[%s]),fail_job(%s\, %s),release_job(%s\, %s),snooze_job(%s\, %s\, ''1 s''),heartbeat_job(%s\, %s),
			cancel_job(%s\, %s),cancel_job(%s),retry_job(%s),retry_job(%s\, true),discard_job(%s)}'::text[] LOOP
		BEGIN
			EXECUTE 'SELECT taskq.' || format(call, j.job_id, j.epoch);
			answers := answers || jsonb_build_object(call, 'done');
		EXCEPTION WHEN OTHERS THEN
			answers := answers || jsonb_build_object(call, SQLSTATE);
		END;
	END LOOP;
	RETURN answers;
END $$;

-- everything that a handler can see of its session
CREATE FUNCTION ins.look(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	seen jsonb := '{}';
BEGIN
	seen := seen || jsonb_build_object('settings', (SELECT jsonb_object_agg(name, setting) FROM pg_catalog.pg_settings
		WHERE source = 'session' OR name IN ('work_mem', 'search_path', 'role', 'statement_timeout', 'lock_timeout', 'TimeZone', 'session_replication_role')));
	seen := seen || jsonb_build_object('custom', NULLIF(pg_catalog.current_setting('ins.custom', true), ''),
		'user', current_user, 'session', session_user,
		'temp', pg_catalog.to_regclass('pg_temp.leaked') IS NOT NULL,
		'temp tables', (SELECT count(*) FROM pg_catalog.pg_class WHERE relpersistence = 't' AND relnamespace = pg_catalog.pg_my_temp_schema()),
		'prepared', (SELECT count(*) FROM pg_catalog.pg_prepared_statements),
		'cursors', (SELECT count(*) FROM pg_catalog.pg_cursors WHERE is_holdable),
		'locks', (SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid() AND objid = 4711),
		'channels', (SELECT count(*) FROM pg_catalog.pg_listening_channels()));
	BEGIN
		seen := seen || jsonb_build_object('currval', pg_catalog.currval('ins.numbers'));
	EXCEPTION WHEN OTHERS THEN
		seen := seen || jsonb_build_object('currval', SQLSTATE);
	END;
	RETURN seen;
END $$;
CREATE FUNCTION ins.leave(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	SET work_mem = '1 MB';
	SET lock_timeout = '1 s';
	SET statement_timeout = '1 ms';
	SET timezone = 'Asia/Tokyo';
	PERFORM set_config('ins.custom', 'left', false), set_config('search_path', 'pg_temp', false);
	PERFORM pg_catalog.pg_advisory_lock(4711), pg_catalog.pg_advisory_lock_shared(4711), pg_catalog.nextval('ins.numbers');
	CREATE TEMP TABLE leaked (a integer);
	EXECUTE 'PREPARE leaked AS SELECT 1';
	EXECUTE 'DECLARE leaked CURSOR WITH HOLD FOR SELECT 1';
	SET ROLE regress_in_server_group;
	IF p ? 'fail' THEN
		RAISE EXCEPTION 'after all that';
	END IF;
	RETURN pg_catalog.to_jsonb(current_user::text);
END $$;
RESET SESSION AUTHORIZATION;

-- register them all: ins.echo_sql() as ins-echo-sql and so on, one attempt each
SET search_path = ins, public;
SELECT taskq.register_handler('ins-' || replace(proname, '_', '-'), oid::regprocedure, run_as => 'regress_in_server', max_attempts => 1, version => '1.2')
FROM pg_proc WHERE pronamespace = 'ins'::regnamespace \g /dev/null
SELECT taskq.register_handler('ins-look-path', 'ins.look(jsonb)', run_as => 'regress_in_server', search_path => 'pg_catalog, ins') \gset
SELECT taskq.register_handler('ins-' || t, ('ins.' || f || '(jsonb)')::regprocedure, run_as => 'regress_in_server', max_attempts => 2, timeout => timeout,
	retry_policy => 'fixed', retry_base => '1 h', permanent_errors => p, retryable_errors => r)
FROM (VALUES ('short-loops', 'loops', '50 ms'::interval, NULL::text[], NULL::text[]), ('short-sleeps', 'sleeps', '50 ms', NULL, NULL),
	('short-counts', 'counts', '50 ms', NULL, NULL), ('short-catches', 'catches', '50 ms', NULL, NULL),
	('retried', 'fails', NULL, NULL, NULL), ('own-rules', 'fails', NULL, '{23505,55}', '{22012}')) v (t, f, timeout, p, r) \g /dev/null
RESET search_path;

-- Enqueue a job under a name, of the type ins-NAME unless said otherwise.
CREATE FUNCTION pg_temp.start(n text, payload jsonb DEFAULT '{}', t text DEFAULT NULL, timeout interval DEFAULT NULL) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO j VALUES (n, taskq.enqueue_job(COALESCE(t, 'ins-' || n), payload, timeout => timeout)) $$;
CREATE FUNCTION pg_temp.result(n text) RETURNS jsonb LANGUAGE sql AS $$ SELECT result FROM taskq.all_jobs WHERE job_id = pg_temp.id(n) $$;
-- outcome, error type, code and SQLSTATE of its last attempt
CREATE FUNCTION pg_temp.attempt(n text) RETURNS text LANGUAGE sql AS
	$$ SELECT concat_ws(' ', outcome, error_type, error_code, sqlstate) FROM taskq.attempts WHERE job_id = pg_temp.id(n) ORDER BY epoch DESC LIMIT 1 $$;
-- Wait until no job of these tests is due or runs.
CREATE FUNCTION pg_temp.idle() RETURNS boolean LANGUAGE sql AS
	$$ SELECT pg_temp.came($q$ SELECT NOT EXISTS (SELECT FROM taskq.all_jobs WHERE task_type LIKE 'ins-%' AND state IN ('available', 'running')) $q$) $$;

-- forms and results -----------------------------------------------------------
BEGIN;
SELECT pg_temp.start(n, jsonb_build_object('entry', n)) FROM unnest('{echo-sql,echo-plpgsql,job-sql,job-plpgsql,current,nothing,json-null,big,who,success,success-of-nothing}'::text[]) n \g /dev/null
COMMIT;
SELECT ok(pg_temp.idle(), 'the pool runs all jobs');
SELECT is(array_agg(DISTINCT pg_temp.state(name)), '{completed 1}', 'each job completes in its first attempt') FROM j;
SELECT is(pg_temp.result('echo-sql'), '{"echo": {"entry": "echo-sql"}}', 'a handler in SQL gets the payload');
SELECT is(pg_temp.result('echo-plpgsql'), '{"echo": {"entry": "echo-plpgsql"}}', 'a handler in PL/pgSQL gets the payload');
SELECT is(array_agg(entry), '{echo-plpgsql}', 'the writes of a handler are kept') FROM ins.log;
SELECT is(pg_temp.result('job-sql'), '{"task_type": "ins-job-sql", "attempt": 1, "payload": {"entry": "job-sql"}, "lease": null}', 'a handler in SQL gets the job');
SELECT is(pg_temp.result('job-plpgsql'), '{"queue": "default", "priority": 0, "same": true}', 'a handler in PL/pgSQL gets the job, which is the current job');
SELECT is(pg_temp.result('current'), '{"task_type": "ins-current", "queue": "default", "priority": 0, "attempt": 1, "max_attempts": 1, "payload": {"entry": "current"},
	"progress": null, "tags": null, "tenant_id": null, "group_key": null, "required_capabilities": [], "timeout": null, "lease_expires_at": null, "checkpoint": null, "correlation_id": null,
	"weight": 1, "budgets": null, "estimated_cost": null}',
	'current_job() returns the whole job');
SELECT is(taskq.current_job(), NULL, 'current_job() returns NULL outside a handler');
SELECT is(pg_temp.result('nothing'), NULL, 'a handler that returns NULL has no result');
SELECT is(pg_temp.result('json-null'), 'null', 'JSON null is a result');
SELECT is(length(pg_temp.result('big') #>> '{}'), 1000000, 'a large result is kept');
SELECT is(pg_temp.result('success'), '{"a": 1}', 'the result of success() is its argument');
SELECT is(pg_temp.result('success-of-nothing'), NULL, 'success() may have no result');
SELECT is(pg_temp.result('who'), '["regress_in_server", "regress_in_server", "none", "read committed", "off"]',
	'a handler runs as its role only, in a READ COMMITTED transaction that may write, whatever the role''s defaults are');
SELECT results_eq($$ SELECT attempt, outcome, handler_version, error_type, worker_id LIKE 'ins-one%' FROM taskq.attempts WHERE job_id = pg_temp.id('echo-sql') $$,
	$$ VALUES (1, 'completed', '1.2', NULL::text, true) $$, 'taskq.attempts has the attempt, with the handler''s version and the worker');
SELECT results_eq($$ SELECT runs, completed, failed, total_time >= max_time, min_time <= mean_time FROM taskq.stat_handlers WHERE task_type = 'ins-echo-sql' $$,
	$$ VALUES (1::bigint, 1::bigint, 0::bigint, true, true) $$, 'taskq.stat_handlers counts the attempt');

-- errors ----------------------------------------------------------------------
TRUNCATE ins.log;
BEGIN;
SELECT pg_temp.start('fails'), pg_temp.start('retried'), pg_temp.start('permanent'), pg_temp.start('retryable', t => 'ins-retryable'),
	pg_temp.start('raised'), pg_temp.start('caught'), pg_temp.start('failure'), pg_temp.start('failure-for-good'), pg_temp.start('commits'), pg_temp.start('listens') \gset
UPDATE taskq.jobs SET max_attempts = 2 WHERE job_id IN (pg_temp.id('retryable'), pg_temp.id('raised'), pg_temp.id('failure'));
SELECT pg_temp.start('code-' || code, jsonb_build_object('code', code), 'ins-retried') FROM unnest('{22012,22P02,23502,23514,23505,0A000,40001,57014,TQ020,TQ021}'::text[]) code \g /dev/null
SELECT pg_temp.start('own-' || code, jsonb_build_object('code', code), 'ins-own-rules') FROM unnest('{22012,22P02,23505,55006,40001}'::text[]) code \g /dev/null
COMMIT;
SELECT ok(pg_temp.idle(), 'jobs of failing handlers are settled');
SELECT is(pg_temp.state('fails'), 'discarded 1', 'the last attempt discards the job');
SELECT results_eq($$ SELECT attempt, outcome, error_type, error_code, error_message, sqlstate, detail, hint, handler_version FROM taskq.attempts WHERE job_id = pg_temp.id('fails') $$,
	$$ VALUES (1, 'failed', 'handler_error', NULL::text, 'no luck with {}', 'P0001', 'the detail', 'the hint', '1.2') $$, 'the attempt has all fields of the error');
SELECT matches(context, 'PL/pgSQL function fails\(jsonb\) line 5 at RAISE\ntaskq job [0-9]+ \(ins-fails\), attempt 1', 'the attempt has the context of the error')
	FROM taskq.attempts WHERE job_id = pg_temp.id('fails');
SELECT is(last_error, 'no luck with {}', 'the job has the message of the error') FROM taskq.all_jobs WHERE job_id = pg_temp.id('fails');
SELECT is(pg_temp.state('retried'), 'retryable 1', 'a job with attempts left is retried');
SELECT is(array_agg(entry), '{caught}', 'the writes of failed handlers are rolled back, except those of one that has caught its error') FROM ins.log;
SELECT is(count(*), 0::bigint, 'the jobs that failed handlers have enqueued are rolled back') FROM taskq.all_jobs WHERE payload = '"must not stay"';
SELECT is(pg_temp.result('caught'), '"went on"', 'a handler may catch raise_permanent()');
SELECT is(pg_temp.state('permanent') || ': ' || pg_temp.attempt('permanent'), 'discarded 1: failed permanent_error BAD_ADDRESS TQ020', 'raise_permanent() discards the job');
SELECT is(pg_temp.state('retryable') || ': ' || pg_temp.attempt('retryable'), 'retryable 1: failed retryable_error BUSY TQ021', 'raise_retryable() makes the job retryable');
SELECT is(j.run_at - a.finished_at, '90 min', 'raise_retryable() sets the delay') FROM taskq.all_jobs j JOIN taskq.attempts a USING (job_id) WHERE job_id = pg_temp.id('retryable');
SELECT is(pg_temp.state('raised') || ': ' || pg_temp.attempt('raised'), 'retryable 1: failed retryable_error GATEWAY_DOWN TQ021', 'RAISE with the same fields makes the job retryable');
SELECT is(j.run_at - a.finished_at, '2 h', 'RAISE with the same fields sets the delay') FROM taskq.all_jobs j JOIN taskq.attempts a USING (job_id) WHERE job_id = pg_temp.id('raised');
SELECT is(pg_temp.state('failure') || ': ' || pg_temp.attempt('failure'), 'retryable 1: failed quota_error QUOTA TQ021', 'failure() makes the job retryable');
SELECT is(j.run_at - a.finished_at, '3 h', 'failure() sets the delay') FROM taskq.all_jobs j JOIN taskq.attempts a USING (job_id) WHERE job_id = pg_temp.id('failure');
SELECT is(pg_temp.state('failure-for-good') || ': ' || pg_temp.attempt('failure-for-good'), 'discarded 1: failed permanent_error TQ020', 'failure() can discard the job');
SELECT is(pg_temp.state('commits') || ': ' || pg_temp.attempt('commits'), 'discarded 1: failed handler_error 2D000', 'a handler cannot commit');
SELECT is(pg_temp.state('listens') || ': ' || pg_temp.attempt('listens'), 'discarded 1: failed permanent_error 0A000', 'a handler cannot listen');
SELECT is(pg_temp.state('code-' || code) || ': ' || pg_temp.attempt('code-' || code), expected || ' ' || code, 'SQLSTATE ' || code)
FROM (VALUES ('22012', 'discarded 1: failed permanent_error'), ('22P02', 'discarded 1: failed permanent_error'), ('23502', 'discarded 1: failed permanent_error'),
	('23514', 'discarded 1: failed permanent_error'), ('0A000', 'discarded 1: failed permanent_error'), ('TQ020', 'discarded 1: failed permanent_error'),
	('23505', 'retryable 1: failed handler_error'), ('40001', 'retryable 1: failed handler_error'), ('57014', 'retryable 1: failed handler_error'),
	('TQ021', 'retryable 1: failed retryable_error')) v (code, expected);
SELECT is(pg_temp.state('own-' || code) || ': ' || pg_temp.attempt('own-' || code), expected || ' ' || code, 'by the handler''s own rules, ' || code)
FROM (VALUES ('23505', 'discarded 1: failed permanent_error'), ('55006', 'discarded 1: failed permanent_error'), ('22012', 'retryable 1: failed retryable_error'),
	('22P02', 'discarded 1: failed permanent_error'), ('40001', 'retryable 1: failed handler_error')) v (code, expected);

-- timeouts --------------------------------------------------------------------
BEGIN;
SELECT pg_temp.start('short-loops'), pg_temp.start('short-sleeps'), pg_temp.start('short-counts'), pg_temp.start('short-catches'),
	pg_temp.start('own-timeout', t => 'ins-sleeps', timeout => '50 ms') \gset
COMMIT;
SELECT ok(pg_temp.idle(), 'jobs that exceed their timeouts are settled');
SELECT is(pg_temp.state(n) || ': ' || pg_temp.attempt(n), 'retryable 1: timeout timeout 57014', what)
FROM (VALUES ('short-loops', 'a timeout ends a run in PL/pgSQL'), ('short-sleeps', 'a timeout ends a run in pg_sleep()'), ('short-counts', 'a timeout ends a run in SQL'), ('short-catches', 'a timeout ends a run that catches OTHERS')) v (n, what);
SELECT is(pg_temp.state('own-timeout'), 'discarded 1', 'a job can have a timeout of its own');
SELECT is(error_message, 'the job ran longer than its timeout of 0.05 s', 'the message has the length of the timeout') FROM taskq.attempts WHERE job_id = pg_temp.id('own-timeout');
SELECT is(array_agg(entry), '{caught}', 'the writes of these runs are rolled back') FROM ins.log;

-- deferred constraints --------------------------------------------------------
BEGIN;
SELECT pg_temp.start('deferred', '{"id": 1}'), pg_temp.start('deferred-ok', '{"id": 2, "with": true}', 'ins-deferred') \gset
COMMIT;
SELECT ok(pg_temp.idle(), 'jobs with deferred constraints are settled');
SELECT is(pg_temp.state('deferred') || ': ' || pg_temp.attempt('deferred'), 'discarded 1: failed handler_error 23503', 'a violated deferred constraint fails the attempt at the handler''s end');
SELECT is(pg_temp.state('deferred-ok'), 'completed 1', 'a deferred constraint that holds does not fail the attempt');
SELECT is(array_agg(id), '{2}', 'the rows that violate the constraint are rolled back') FROM ins.children;

-- jobs of jobs ----------------------------------------------------------------
SELECT pg_temp.start('parent') \gset
SELECT ok(pg_temp.idle(), 'a handler enqueues a job');
SELECT is(state, 'completed', 'the enqueued job completes') FROM taskq.all_jobs WHERE job_id = pg_temp.result('parent')::bigint;
SELECT is(result, '{"echo": "child"}', 'the enqueued job has its own result') FROM taskq.all_jobs WHERE job_id = pg_temp.result('parent')::bigint;

SELECT pg_temp.start('meddles') \gset
SELECT ok(pg_temp.idle(), 'a handler calls functions about its own job');
SELECT is(pg_temp.state('meddles'), 'completed 1', 'these calls do not affect the job');
SELECT is(value, 'TQ008', 'a handler cannot ' || rtrim(replace(key, '%s', '-'), ')') || ')') FROM jsonb_each_text(pg_temp.result('meddles')) ORDER BY key COLLATE "C";

-- nothing leaks ---------------------------------------------------------------
BEGIN;
SELECT pg_temp.start('look-1', t => 'ins-look'), pg_temp.start('leave'), pg_temp.start('look-2', t => 'ins-look'),
	pg_temp.start('leave-fail', '{"fail": 1}', 'ins-leave'), pg_temp.start('look-3', t => 'ins-look'), pg_temp.start('look-path') \gset
COMMIT;
SELECT ok(pg_temp.idle(), 'a handler leaves session state behind');
SELECT is(pg_temp.result('leave'), '"regress_in_server_group"', 'the handler ends as another role');
SELECT is(pg_temp.attempt('leave-fail'), 'failed handler_error P0001', 'the same handler leaves session state behind and fails');
SELECT is(count(DISTINCT worker_id), 1::bigint, 'all these jobs run in the same worker')
	FROM taskq.attempts WHERE job_id IN (SELECT id FROM j WHERE name LIKE 'l%');
SELECT is(pg_temp.result('look-1') - 'settings', '{"custom": null, "user": "regress_in_server", "session": "regress_in_server", "temp": false, "temp tables": 0,
	"prepared": 0, "cursors": 0, "locks": 0, "channels": 0, "currval": "55000"}', 'the first job finds a clean session');
SELECT is(pg_temp.result('look-2'), pg_temp.result('look-1'), 'the next job finds no setting, role, temporary table, prepared statement, cursor, lock, channel or sequence value');
SELECT is(pg_temp.result('look-3'), pg_temp.result('look-1'), 'a job after a failed one finds a clean session, too');
SELECT is(pg_temp.result('look-1')#>>'{settings,search_path}', 'ins, public', 'the search_path is that of the session that registered the type');
SELECT is(pg_temp.result('look-path')#>>'{settings,search_path}', 'pg_catalog, ins', 'the search_path can be given at registration');

-- cancelling ------------------------------------------------------------------
SELECT pg_temp.start('sleeps') \gset
SELECT is(pg_temp.reaches(pg_temp.id('sleeps'), 'running'), 'running 1', 'all_jobs shows that a job runs in the server');
SELECT results_eq($$ SELECT worker_id LIKE 'ins-one%', started_at IS NOT NULL, lease_expires_at, epoch > 0 FROM taskq.all_jobs WHERE job_id = pg_temp.id('sleeps') $$,
	$$ VALUES (true, true, NULL::timestamptz, true) $$, 'all_jobs shows its worker, start and epoch');
SELECT is(current_task_type, 'ins-sleeps', 'taskq.workers shows the job of the worker') FROM taskq.workers WHERE pool = 'ins-one' AND current_job_id = pg_temp.id('sleeps');
SELECT throws_ok(format('SELECT taskq.retry_job(%s)', pg_temp.id('sleeps')), 'TQ008', NULL, 'retry_job() refuses a running job');
SELECT throws_ok(format('SELECT taskq.discard_job(%s)', pg_temp.id('sleeps')), 'TQ008', NULL, 'discard_job() refuses a running job');
SELECT is(taskq.cancel_job(pg_temp.id('sleeps'), reason => 'enough'), 'requested', 'cancel_job() returns requested for a running job');
SELECT is(pg_temp.reaches(pg_temp.id('sleeps')), 'cancelled 1', 'the running job is cancelled');
SELECT is(pg_temp.attempt('sleeps'), 'cancelled cancelled', 'a cancelled run is an attempt');
SELECT is(last_error, 'enough', 'the reason is kept') FROM taskq.all_jobs WHERE job_id = pg_temp.id('sleeps');
SELECT is(array_agg(entry ORDER BY entry), '{caught,parent}', 'the writes of the cancelled run are rolled back') FROM ins.log;

-- a handler whose table is missing --------------------------------------------
SELECT taskq.register_handler('ins-missing', 'ins.missing(jsonb)', run_as => 'regress_in_server', max_attempts => 1, retry_policy => 'fixed', retry_base => '0', allow_override => true) \gset
SELECT pg_temp.start('missing'), count(taskq.enqueue_job('ins-missing')) FROM generate_series(1, 2) \gset
SELECT ok(pg_temp.came($$ SELECT status = 'paused' FROM taskq.get_handler_info('ins-missing') $$), 'three jobs that fail because a table is missing pause a type');
SELECT is(split_part(pg_temp.state('missing'), ' ', 1) || ': ' || pg_temp.attempt('missing'), 'available: failed handler_error 42P01', 'these jobs have attempts left');
CREATE TABLE ins.not_there ();
GRANT SELECT ON ins.not_there TO regress_in_server;
SELECT taskq.resume_handler('ins-missing') \gset
SELECT is(split_part(pg_temp.reaches(pg_temp.id('missing')), ' ', 1), 'completed', 'the jobs complete when the table exists and the type is resumed');

-- leave nothing behind --------------------------------------------------------
SELECT taskq.unregister_handler(task_type) FROM taskq.list_handlers() WHERE task_type LIKE 'ins-%' \g /dev/null
SELECT taskq.drop_pool('ins-one') \gset
SELECT ok(pg_temp.came($$ SELECT NOT EXISTS (SELECT FROM taskq.workers WHERE pool = 'ins-one') $$), 'the workers of a dropped pool leave');
SELECT taskq.revoke_access('regress_in_server', a) FROM unnest('{producer,worker,observer,operator}'::text[]) a \g /dev/null
DROP SCHEMA ins CASCADE;
DROP OWNED BY regress_in_server, regress_in_server_group;
DROP ROLE regress_in_server, regress_in_server_group;
SELECT * FROM finish();
