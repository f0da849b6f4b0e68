-- Procedures as handlers: steps that commit, the claim before and the settle after
-- them, and nothing left for the next job.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/wait.sql
\i test/sql/include/named_jobs.sql
SELECT plan(79);

-- a role with settings that would disturb taskq, and its one worker
CREATE ROLE regress_stepwise LOGIN;
CREATE ROLE regress_stepwise_group;
GRANT regress_stepwise_group TO regress_stepwise;
ALTER ROLE regress_stepwise SET default_transaction_isolation = 'serializable';
ALTER ROLE regress_stepwise SET default_transaction_read_only = on;
ALTER ROLE regress_stepwise SET statement_timeout = '5 ms';
SELECT taskq.grant_access('regress_stepwise', a) FROM unnest('{producer,worker}'::text[]) a \g /dev/null
CREATE SCHEMA st AUTHORIZATION regress_stepwise;
SELECT taskq.create_pool('st-one', size => 1, min_size => 1, role => 'regress_stepwise') \gset

SET SESSION AUTHORIZATION regress_stepwise;
SET transaction_read_only = off;
SET default_transaction_read_only = off;
SET default_transaction_isolation = 'read committed';
CREATE TABLE st.log (n serial, entry text, x xid8 DEFAULT pg_current_xact_id());
CREATE TABLE st.parents (id integer PRIMARY KEY);
CREATE TABLE st.children (id integer REFERENCES st.parents DEFERRABLE INITIALLY DEFERRED);

-- the steps of a job: as many as the payload says, from its checkpoint on
CREATE PROCEDURE st.steps(payload jsonb, INOUT result jsonb) LANGUAGE plpgsql AS $$
DECLARE
	done integer := COALESCE(((taskq.current_job()).checkpoint->>'done')::integer, 0);
BEGIN
	FOR i IN done + 1 .. (payload->>'steps')::integer LOOP
		INSERT INTO log (entry) VALUES (format('%s: %s', payload->>'n', i));
		PERFORM taskq.save_checkpoint(jsonb_build_object('done', i)), taskq.update_progress(to_jsonb(i));
		COMMIT;
		IF payload->'fails' = to_jsonb(i) AND (taskq.current_job()).attempt = 1 THEN
			INSERT INTO log (entry) VALUES ('must not stay');
			PERFORM taskq.save_checkpoint('{"done": 100}');
			RAISE EXCEPTION 'no luck at %', i;
		END IF;
	END LOOP;
	result := jsonb_build_object('from', done + 1);
END $$;
CREATE PROCEDURE st.plain(p jsonb) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log (entry) VALUES ('plain'); COMMIT; INSERT INTO log (entry) VALUES ('plain'); END $$;
CREATE PROCEDURE st.whole(j taskq.job) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log (entry) VALUES (j.task_type); COMMIT; INSERT INTO log (entry) VALUES (j.payload->>'n'); END $$;
CREATE PROCEDURE st.whole_result(j taskq.job, OUT result jsonb) LANGUAGE plpgsql AS $$ BEGIN COMMIT; result := to_jsonb(j) - '{job_id,epoch,run_at,created_at,started_at,worker_id}'::text[]; END $$;
CREATE PROCEDURE st.in_sql(p jsonb) LANGUAGE sql AS $$ INSERT INTO st.log (entry) VALUES ('sql') $$;
CREATE PROCEDURE st.big(p jsonb, INOUT result jsonb) LANGUAGE plpgsql AS $$ BEGIN COMMIT; result := to_jsonb(length(p->>'big')) || to_jsonb(repeat('0123456789', 100000)); COMMIT; END $$;
CREATE PROCEDURE st.returns(p jsonb, INOUT result jsonb) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO log (entry) VALUES (p->>'n');
	COMMIT;
	EXECUTE 'SELECT ' || (p->>'what') INTO result;
END $$;
-- the state of a session, before and after a commit and a rollback
CREATE PROCEDURE st.looks(p jsonb, INOUT result jsonb) LANGUAGE plpgsql AS $$
DECLARE
	seen jsonb := '[]';
BEGIN
	FOR i IN 1 .. 3 LOOP
		seen := seen || jsonb_build_array(current_schema, session_user, current_user, current_setting('transaction_isolation'), current_setting('transaction_read_only'));
		IF i = 1 THEN ROLLBACK; ELSE COMMIT; END IF;
	END LOOP;
	result := seen;
END $$;
CREATE PROCEDURE st.rolls_back(p jsonb, INOUT result jsonb) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM taskq.save_checkpoint('"kept"');
	COMMIT;
	PERFORM taskq.save_checkpoint('"taken back"'), taskq.update_progress('"taken back"');
	INSERT INTO log (entry) VALUES ('must not stay');
	ROLLBACK;
	result := jsonb_build_array((taskq.current_job()).checkpoint, (taskq.current_job()).progress);
	BEGIN
		PERFORM taskq.save_checkpoint('"of a block"');
		RAISE EXCEPTION 'undo';
	EXCEPTION WHEN raise_exception THEN
		result := result || (taskq.current_job()).checkpoint;
	END;
END $$;
CREATE PROCEDURE st.orphan(p jsonb) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO log (entry) VALUES ('first step');
	COMMIT;
	INSERT INTO children VALUES (1);
	IF p ? 'commits' THEN
		COMMIT;
		INSERT INTO log (entry) VALUES ('not reached');
	END IF;
END $$;
CREATE PROCEDURE st.waits(p jsonb) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO log (entry) VALUES (p->>'n');
	COMMIT;
	INSERT INTO log (entry) VALUES ('must not stay');
	PERFORM pg_sleep(60);
END $$;
CREATE PROCEDURE st.meddles(p jsonb, INOUT result jsonb) LANGUAGE plpgsql AS $$
DECLARE
	j taskq.job := taskq.current_job();
BEGIN
	COMMIT;
	BEGIN
		PERFORM taskq.complete_job(j.job_id, j.epoch);
	EXCEPTION WHEN OTHERS THEN
		result := to_jsonb(SQLSTATE);
	END;
	BEGIN
		PERFORM taskq.cancel_job(j.job_id);
	EXCEPTION WHEN OTHERS THEN
		result := result || to_jsonb(SQLSTATE);
	END;
END $$;
CREATE PROCEDURE st.leaves(p jsonb) LANGUAGE plpgsql AS $$
BEGIN
	SET work_mem = '1 MB';
	SET default_transaction_read_only = on;
	SET default_transaction_isolation = 'serializable';
	PERFORM set_config('st.custom', 'left', false), set_config('search_path', 'pg_temp', false), pg_catalog.pg_advisory_lock(4713);
	COMMIT;
	SET TRANSACTION READ WRITE;
	CREATE TEMP TABLE leaked (a integer);
	EXECUTE 'PREPARE leaked AS SELECT 1';
	EXECUTE 'DECLARE leaked CURSOR WITH HOLD FOR SELECT 1';
	SET ROLE regress_stepwise_group;
	COMMIT;
	IF p ? 'fails' THEN
		RAISE EXCEPTION 'after all that';
	END IF;
END $$;
CREATE FUNCTION st.look(p jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT pg_catalog.jsonb_build_array(pg_catalog.current_setting('work_mem') = '1MB', NULLIF(pg_catalog.current_setting('st.custom', true), ''),
		pg_catalog.current_setting('search_path'), pg_catalog.current_setting('default_transaction_read_only'), pg_catalog.current_setting('transaction_isolation'),
		pg_catalog.to_regclass('pg_temp.leaked') IS NOT NULL, current_user,
		(SELECT count(*) FROM pg_catalog.pg_prepared_statements), (SELECT count(*) FROM pg_catalog.pg_cursors WHERE name = 'leaked'),
		(SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid() AND objid = 4713)) $$;
-- procedures that cannot be handlers
CREATE PROCEDURE st.bad_definer(p jsonb) SECURITY DEFINER LANGUAGE sql AS '';
CREATE PROCEDURE st.bad_set(p jsonb) SET work_mem = '1 MB' LANGUAGE sql AS '';
CREATE PROCEDURE st.bad_none() LANGUAGE sql AS '';
CREATE PROCEDURE st.bad_text(p text) LANGUAGE sql AS '';
CREATE PROCEDURE st.bad_inout(INOUT p jsonb) LANGUAGE sql AS 'SELECT p';
CREATE PROCEDURE st.bad_second(p jsonb, q jsonb) LANGUAGE sql AS '';
CREATE PROCEDURE st.bad_third(p jsonb, q jsonb, INOUT r jsonb) LANGUAGE sql AS 'SELECT r';
CREATE PROCEDURE st.bad_result(p jsonb, INOUT r text) LANGUAGE sql AS 'SELECT r';
RESET SESSION AUTHORIZATION;

SET search_path = st, public;
SELECT taskq.register_handler('st-' || replace(proname, '_', '-'), oid::regprocedure, run_as => 'regress_stepwise', max_attempts => 1, version => '2.0')
FROM pg_proc WHERE pronamespace = 'st'::regnamespace AND proname NOT LIKE 'bad%' \g /dev/null
SELECT taskq.register_handler('st-retried', 'st.steps(jsonb,jsonb)', run_as => 'regress_stepwise', max_attempts => 2, retry_policy => 'fixed', retry_base => '0') \gset
SELECT taskq.register_handler('st-short', 'st.waits(jsonb)', run_as => 'regress_stepwise', max_attempts => 1, timeout => '50 ms') \gset
RESET search_path;

CREATE FUNCTION pg_temp.start(t text, n text, payload jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS
	$$ INSERT INTO j (name, id) VALUES (n, taskq.enqueue_job('st-' || t, payload || jsonb_build_object('n', n))) $$;
CREATE FUNCTION pg_temp.result(n text) RETURNS jsonb LANGUAGE sql AS $$ SELECT result FROM taskq.all_jobs WHERE job_id = pg_temp.id($1) $$;
CREATE FUNCTION pg_temp.attempts(n text) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(concat_ws(' ', attempt, outcome, error_type, sqlstate), ', ' ORDER BY epoch) FROM taskq.attempts WHERE job_id = pg_temp.id($1) $$;
CREATE FUNCTION pg_temp.log(prefix text DEFAULT '') RETURNS text[] LANGUAGE sql AS $$ SELECT array_agg(entry ORDER BY n) FROM st.log WHERE starts_with(entry, $1) $$;
-- Wait until no job of these tests is due or runs.
CREATE FUNCTION pg_temp.run() RETURNS boolean LANGUAGE sql AS
	$$ SELECT pg_temp.came($q$ SELECT NOT EXISTS (SELECT FROM taskq.all_jobs WHERE task_type LIKE 'st-%' AND state IN ('available', 'running')) $q$) $$;
-- Wait until a job runs, and is in its second step.
CREATE FUNCTION pg_temp.runs(n text) RETURNS boolean LANGUAGE sql AS
	$$ SELECT pg_temp.came(format('SELECT EXISTS (SELECT FROM st.log WHERE entry = %L) AND state = ''running'' FROM taskq.all_jobs WHERE job_id = %s', $1, pg_temp.id($1))) $$;

-- registry --------------------------------------------------------------------
SELECT results_eq($$ SELECT kind, handler, status FROM taskq.list_handlers() WHERE task_type IN ('st-look', 'st-plain', 'st-steps', 'st-whole-result') ORDER BY task_type $$,
	$$ VALUES ('in-server', 'st.look(pg_catalog.jsonb)', 'ok'), ('stepwise', 'st.plain(pg_catalog.jsonb)', 'ok'),
		('stepwise', 'st.steps(pg_catalog.jsonb,pg_catalog.jsonb)', 'ok'), ('stepwise', 'st.whole_result(taskq.job)', 'ok') $$, 'list_handlers() shows procedures as stepwise');
SELECT throws_ok(format('SELECT taskq.register_handler(''st-x'', %s::regprocedure, run_as => ''regress_stepwise'')', oid), '42P13', NULL, 'not ' || proname)
FROM pg_proc WHERE pronamespace = 'st'::regnamespace AND proname LIKE 'bad%' ORDER BY proname;
SELECT throws_ok($$ SELECT taskq.register_handler('st-x', 'st.plain(jsonb)', run_as => 'regress_stepwise', share_commit => true) $$, '22023', NULL, 'share_commit is refused for a procedure');
SELECT throws_ok($$ SELECT taskq.register_handler('st-x', 'st.plain(jsonb)', run_as => 'regress_stepwise', async_commit => true) $$, '22023', 'async_commit is not for procedures', 'async_commit is refused for a procedure');
SELECT lives_ok($$ SELECT taskq.register_handler('st-plain', 'st.plain(jsonb)', run_as => 'regress_stepwise', max_attempts => 1, version => '2.0', search_path => 'st, public', allow_override => true) $$,
	'it can be registered again');

-- forms and results -----------------------------------------------------------
BEGIN;
SELECT pg_temp.start(t, t) FROM unnest('{plain,whole,whole-result,in-sql,looks,rolls-back,meddles}'::text[]) t \g /dev/null
SELECT pg_temp.start('steps', 'three', '{"steps": 3}'), pg_temp.start('big', 'big', jsonb_build_object('big', repeat('x', 500000))) \gset
COMMIT;
SELECT ok(pg_temp.run(), 'the pool runs procedures');
SELECT is(array_agg(DISTINCT pg_temp.attempts(name)), '{1 completed}', 'each job completes in its first attempt') FROM j;
SELECT is(count(DISTINCT x), 2::bigint, 'a commit makes two transactions') FROM st.log WHERE entry = 'plain';
SELECT is(pg_temp.log('st-whole') || pg_temp.log('whole'), '{st-whole,whole}', 'the job is available after a commit, too');
SELECT is(pg_temp.result('plain'), NULL, 'a procedure without a result argument has no result');
SELECT is(pg_temp.result('whole-result'), '{"task_type": "st-whole-result", "queue": "default", "priority": 0, "attempt": 1, "max_attempts": 1, "payload": {"n": "whole-result"}, "progress": null,
	"tags": null, "tenant_id": null, "group_key": null, "required_capabilities": [], "timeout": null, "lease_expires_at": null, "checkpoint": null, "correlation_id": null, "budgets": null, "estimated_cost": null, "weight": 1}',
	'an OUT argument is the result');
SELECT is(pg_temp.result('three'), '{"from": 1}', 'an INOUT argument is the result');
SELECT is(pg_temp.log('sql'), '{sql}', 'a procedure in SQL runs');
SELECT is((pg_temp.result('big')->>0) || length(pg_temp.result('big')->>1), '5000001000000', 'payload and result may be large');
SELECT is(pg_temp.log('three'), '{three: 1,three: 2,three: 3}', 'steps');
SELECT is(count(DISTINCT x), 3::bigint, 'each step has a transaction of its own') FROM st.log WHERE entry LIKE 'three%';
SELECT is(progress::text || checkpoint::text, '3{"done": 3}', 'progress and checkpoint are stored') FROM taskq.all_jobs WHERE job_id = pg_temp.id('three');
SELECT is(pg_temp.result('looks'), (SELECT jsonb_agg(v) FROM generate_series(1, 3),
	LATERAL jsonb_array_elements('["st", "regress_stepwise", "regress_stepwise", "read committed", "off"]') v),
	'search_path, role and mode of transactions are the same after commit and rollback, whatever the role''s defaults are');
SELECT is(pg_temp.result('rolls-back'), '["kept", null, "kept"]', 'a rollback restores the checkpoint of the last commit');
SELECT is(checkpoint, '"kept"', 'the job has that checkpoint, too') FROM taskq.all_jobs WHERE job_id = pg_temp.id('rolls-back');
SELECT is(pg_temp.result('meddles'), '["TQ008", "TQ008"]', 'a procedure cannot settle or cancel its own job');
SELECT results_eq($$ SELECT handler_version, worker_id LIKE 'st-one%', finished_at >= started_at FROM taskq.attempts WHERE job_id = pg_temp.id('three') $$,
	$$ VALUES ('2.0', true, true) $$, 'taskq.attempts has the version and the worker');
SELECT results_eq($$ SELECT runs, completed, failed FROM taskq.stat_handlers WHERE task_type = 'st-steps' $$, $$ VALUES (1::bigint, 1::bigint, 0::bigint) $$, 'stat_handlers counts the run once');
SELECT is((SELECT count(*) FROM st.log WHERE entry = 'must not stay'), 0::bigint, 'rolled back writes are gone');

-- what it returns ---------------------------------------------------------------
TRUNCATE j, st.log;
BEGIN;
SELECT pg_temp.start('returns', n, jsonb_build_object('what', what)) FROM (VALUES
	('success', $q$ taskq.success('{"a": 1}') $q$), ('failure', $q$ taskq.failure('over quota', 'quota_error', 'QUOTA', retryable => false) $q$),
	('snooze', $q$ CASE WHEN (taskq.current_job()).checkpoint IS NULL THEN taskq.snooze('1 h') END $q$), ('nothing', 'NULL::jsonb')) v (n, what) \g /dev/null
COMMIT;
SELECT ok(pg_temp.run(), 'procedures with other results end');
SELECT is(pg_temp.result('success'), '{"a": 1}', 'success() is the result');
SELECT is(pg_temp.attempts('failure'), '1 failed quota_error TQ020', 'failure() fails the job');
SELECT is(pg_temp.state('snooze'), 'scheduled 0', 'snooze() snoozes the job');
SELECT is(pg_temp.state('nothing') || COALESCE(pg_temp.result('nothing')::text, ''), 'completed 1', 'NULL completes the job without a result');
SELECT is(pg_temp.log(), '{success,failure,snooze,nothing}', 'their committed writes are kept');
SELECT is(taskq.cancel_job(pg_temp.id('snooze')), 'cancelled', 'a snoozed job can be cancelled');

-- errors --------------------------------------------------------------------------
TRUNCATE j, st.log;
BEGIN;
SELECT pg_temp.start('steps', 'once', '{"steps": 3, "fails": 2}'), pg_temp.start('retried', 'retried', '{"steps": 3, "fails": 2}'),
	pg_temp.start('orphan', 'at the end'), pg_temp.start('orphan', 'at a step', '{"commits": true}'), pg_temp.start('short', 'short') \gset
COMMIT;
SELECT ok(pg_temp.run(), 'failing procedures end');
SELECT is(pg_temp.attempts('once'), '1 failed handler_error P0001', 'an error fails the attempt');
SELECT is(pg_temp.log('once'), '{once: 1,once: 2}', 'the writes committed before are kept');
SELECT is(pg_temp.attempts('retried'), '1 failed handler_error P0001, 2 completed', 'the next attempt completes');
SELECT is(pg_temp.log('retried'), '{retried: 1,retried: 2,retried: 3}', 'the next attempt continues from the last checkpoint');
SELECT is(pg_temp.attempts('at the end'), '1 failed handler_error 23503', 'a deferred constraint that fails at the last commit fails the attempt');
SELECT is(pg_temp.attempts('at a step'), '1 failed handler_error 23503', 'a deferred constraint that fails at a step fails the attempt');
SELECT is(pg_temp.log('first step') || pg_temp.log('not reached'), '{first step,first step}', 'nothing runs after that step');
SELECT is(pg_temp.attempts('short'), '1 timeout timeout 57014', 'the timeout applies to all steps together');
SELECT is(pg_temp.log('short'), '{short}', 'the first step is kept');
SELECT is((SELECT count(*) FROM st.log WHERE entry = 'must not stay'), 0::bigint, 'the remaining steps are rolled back');

-- a running one ---------------------------------------------------------------------
TRUNCATE j, st.log;
SELECT pg_temp.start('waits', 'cancelled') \gset
SELECT ok(pg_temp.runs('cancelled'), 'a procedure runs its second step');
SELECT results_eq($$ SELECT state, attempt, worker_id LIKE 'st-one%', lease_expires_at, started_at IS NOT NULL FROM taskq.all_jobs WHERE job_id = pg_temp.id('cancelled') $$,
	$$ VALUES ('running', 1, true, NULL::timestamptz, true) $$, 'all_jobs shows one running job without a lease');
SELECT results_eq($$ SELECT kind, running_jobs, current_job_id FROM taskq.workers WHERE pool = 'st-one' $$,
	$$ SELECT 'background', 1, pg_temp.id('cancelled') $$, 'taskq.workers shows one worker with the job');
SELECT throws_ok(format('SELECT taskq.retry_job(%s)', pg_temp.id('cancelled')), 'TQ008', NULL, 'retry_job() refuses the job');
SELECT throws_ok(format('SELECT taskq.discard_job(%s)', pg_temp.id('cancelled')), 'TQ008', NULL, 'discard_job() refuses the job');
SELECT throws_ok(format(c, job_id, epoch), 'TQ003', NULL, 'only its worker may settle the run of a procedure: ' || c)
	FROM taskq.all_jobs, unnest(ARRAY['SELECT taskq.heartbeat_job(%s, %s)', 'SELECT taskq.complete_job(%s, %s)', 'SELECT taskq.fail_job(%s, %s)', 'SELECT taskq.release_job(%s, %s)', 'SELECT taskq.snooze_job(%s, %s, ''1 s'')', 'SELECT taskq.cancel_job(%s, %s)', 'SELECT taskq.append_frame(%s, %s, ''x'')']) c
	WHERE job_id = pg_temp.id('cancelled');
SELECT is(taskq.cancel_job(pg_temp.id('cancelled'), reason => 'no more'), 'requested', 'cancel_job() returns requested');
SELECT ok(pg_temp.run(), 'the run ends after the request');
SELECT is(pg_temp.state('cancelled') || ': ' || pg_temp.attempts('cancelled'), 'cancelled 1: 1 cancelled cancelled', 'the job is cancelled');
SELECT is(pg_temp.log(), '{cancelled}', 'its first step is kept');

-- by hand ---------------------------------------------------------------------------
SELECT taskq.pause_pool('st-one') \gset
SELECT pg_temp.start('plain', 'by hand') \gset
SELECT pg_temp.id('by hand') AS by_hand \gset
SET SESSION AUTHORIZATION regress_stepwise;
SET statement_timeout = 0;
SELECT throws_ok(format('SELECT * FROM taskq.run_job(%s)', :by_hand), 'TQ002', NULL, 'run_job() refuses a registered procedure');
SELECT throws_ok(format('SELECT * FROM taskq.run_job(%s, ''st.plain(jsonb)'')', :by_hand), '2D000', NULL, 'run_job() refuses a given procedure');
SELECT results_eq(format('SELECT state FROM taskq.run_job(%s, ''st.look(jsonb)'')', :by_hand), ARRAY['completed'], 'run_job() accepts a function instead');
RESET SESSION AUTHORIZATION;
SELECT taskq.resume_pool('st-one') \gset

-- nothing of one job for the next -----------------------------------------------------
TRUNCATE j;
BEGIN;
SELECT pg_temp.start('look', 'before'), pg_temp.start('leaves', 'leaves'), pg_temp.start('look', 'after'),
	pg_temp.start('leaves', 'fails', '{"fails": true}'), pg_temp.start('look', 'after a failure') \gset
COMMIT;
SELECT ok(pg_temp.run(), 'a procedure that leaves session state behind ends');
SELECT is(pg_temp.attempts('leaves') || ', ' || pg_temp.attempts('fails'), '1 completed, 1 failed handler_error P0001', 'one such job completes, and one fails');
SELECT is(pg_temp.result('before'), '[false, null, "st, public", "off", "read committed", false, "regress_stepwise", 0, 0, 0]', 'the first job finds a clean session');
SELECT is(pg_temp.result('after'), pg_temp.result('before'), 'a job after it finds a clean session');
SELECT is(pg_temp.result('after a failure'), pg_temp.result('before'), 'a job after a failed one finds a clean session');

-- another under its name ---------------------------------------------------------------
DROP PROCEDURE st.plain(jsonb);
SELECT ok(status LIKE 'unresolved%', 'a dropped procedure is unresolved') FROM taskq.get_handler_info('st-plain');
CREATE FUNCTION st.plain(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
SELECT ok(status LIKE 'unresolved%', 'a function of the same name is not used') FROM taskq.get_handler_info('st-plain');
DROP FUNCTION st.plain(jsonb);
CREATE PROCEDURE st.plain(jsonb) LANGUAGE sql AS '';
SELECT is(status, 'ok', 'a procedure of the same name is found') FROM taskq.get_handler_info('st-plain');

-- events
SELECT taskq.create_queue('st-events', events => true) \gset
INSERT INTO j VALUES ('events', taskq.enqueue_job('st-steps', '{"n": "events", "steps": 1}', 'st-events'));
SELECT pg_temp.reaches(pg_temp.id('events')) \gset
SELECT set_eq($$ SELECT event, metadata ? 'lease_expires_at' FROM taskq.events WHERE job_id = pg_temp.id('events') $$,
	$$ VALUES ('enqueued', false), ('claimed', false), ('progressed', false), ('completed', false) $$, 'the events of a procedure have no lease');
DELETE FROM taskq.event_log WHERE job_id = pg_temp.id('events');

-- as it was ------------------------------------------------------------------------------
SELECT taskq.unregister_handler(task_type) FROM taskq.list_handlers() WHERE task_type LIKE 'st-%' \g /dev/null
SELECT taskq.drop_pool('st-one') \gset
SELECT ok(pg_temp.came($$ SELECT NOT EXISTS (SELECT FROM taskq.workers WHERE pool = 'st-one') $$), 'the worker leaves');
SELECT is_empty($$ SELECT FROM taskq.jobs j JOIN taskq.routes USING (route_id) WHERE task_type LIKE 'st-%' $$, 'no job is left');
SELECT taskq.revoke_access('regress_stepwise', a) FROM unnest('{producer,worker}'::text[]) a \g /dev/null
DROP SCHEMA st CASCADE;
DROP OWNED BY regress_stepwise, regress_stepwise_group;
DROP ROLE regress_stepwise, regress_stepwise_group;
SELECT * FROM finish();
