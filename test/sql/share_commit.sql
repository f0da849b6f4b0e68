-- share_commit: several jobs in one transaction, each of which fails alone, sees
-- nothing of the others' session state, and counts once.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/wait.sql
\i test/sql/include/named_jobs.sql
SELECT plan(47);

CREATE ROLE regress_share LOGIN;
SELECT taskq.grant_access('regress_share', a) FROM unnest('{producer,worker}'::text[]) a \g /dev/null
CREATE SCHEMA sh AUTHORIZATION regress_share;
SELECT taskq.create_pool('sh-one', size => 1, min_size => 1, role => 'regress_share') \gset

SET SESSION AUTHORIZATION regress_share;
CREATE TABLE sh.log (n serial, entry text, x xid8 DEFAULT pg_current_xact_id());
CREATE TABLE sh.parents (id integer PRIMARY KEY);
CREATE TABLE sh.children (id integer REFERENCES sh.parents DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE sh.strict (id integer REFERENCES sh.parents DEFERRABLE INITIALLY IMMEDIATE);
CREATE TABLE sh.watched (entry text);
CREATE SEQUENCE sh.numbers;
CREATE FUNCTION sh.at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.entry = 'raise' THEN
		RAISE EXCEPTION 'refused at commit' USING ERRCODE = 'P0009';
	END IF;
	INSERT INTO log VALUES (DEFAULT, 'at commit: ' || NEW.entry);
	PERFORM taskq.enqueue_job('sh-note', jsonb_build_object('n', 'enqueued at commit by ' || NEW.entry));
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON sh.watched DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION sh.at_commit();

CREATE FUNCTION sh.note(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN INSERT INTO sh.log VALUES (DEFAULT, p->>'n'); RETURN to_jsonb(pg_current_xact_id()::text); END $$;
CREATE FUNCTION sh.plain(p jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(pg_current_xact_id()::text) $$;
CREATE FUNCTION sh.fails(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO sh.log VALUES (DEFAULT, 'must not stay');
	PERFORM taskq.enqueue_job('sh-note', '{"n": "must not stay"}');
	RAISE EXCEPTION 'no luck';
END $$;
CREATE FUNCTION sh.many(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 10 LOOP
		BEGIN
			INSERT INTO sh.log VALUES (DEFAULT, 'one of many');
		EXCEPTION WHEN OTHERS THEN
			RAISE;
		END;
	END LOOP;
	RETURN to_jsonb(pg_current_xact_id()::text);
END $$;
-- a child row before its parent, or without one: only a deferred constraint allows
-- the first
CREATE FUNCTION sh.family(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO sh.log VALUES (DEFAULT, p->>'n');
	IF p ? 'set' THEN
		EXECUTE 'SET CONSTRAINTS ALL ' || (p->>'set');
	END IF;
	EXECUTE format('INSERT INTO sh.%I VALUES (%s)', p->>'table', p->>'id');
	IF p ? 'parent' THEN
		INSERT INTO sh.parents VALUES ((p->>'id')::integer);
	END IF;
	RETURN to_jsonb(pg_current_xact_id()::text);
END $$;
CREATE FUNCTION sh.watch(p jsonb) RETURNS jsonb LANGUAGE sql AS $$ INSERT INTO sh.watched VALUES (p->>'n') RETURNING '1'::jsonb $$;
CREATE FUNCTION sh.parent(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO sh.log VALUES (DEFAULT, p->>'n');
	PERFORM taskq.enqueue_job('sh-note', jsonb_build_object('n', 'child of ' || (p->>'n')));
	RETURN '1';
END $$;
CREATE FUNCTION sh.holds(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO sh.log VALUES (DEFAULT, 'must not stay');
	CREATE TEMP TABLE held () ON COMMIT DROP;	-- ends a shared commit
	EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT 1 / (i - 1) FROM generate_series(1, 2) i';
	RETURN CASE WHEN p ? 'snooze' THEN taskq.snooze('1 h') ELSE '1' END;
END $$;
CREATE FUNCTION sh.leave(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	SET work_mem = '1 MB';
	PERFORM set_config('sh.custom', 'left', false), set_config('search_path', 'pg_temp', false);
	PERFORM pg_catalog.pg_advisory_lock(4712), pg_catalog.nextval('sh.numbers');
	EXECUTE 'PREPARE leaked AS SELECT 1';
	EXECUTE 'DECLARE leaked CURSOR FOR SELECT 1';
	IF p ? 'temp' THEN
		CREATE TEMP TABLE leaked (a integer);
	END IF;
	RETURN pg_catalog.to_jsonb(pg_catalog.pg_current_xact_id()::text);
END $$;
CREATE FUNCTION sh.look(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	seen jsonb;
BEGIN
	seen := pg_catalog.jsonb_build_array(pg_catalog.current_setting('work_mem') = '1MB', NULLIF(pg_catalog.current_setting('sh.custom', true), ''),
		pg_catalog.current_setting('search_path') LIKE '%pg_temp%', pg_catalog.to_regclass('pg_temp.leaked') IS NOT NULL,
		(SELECT count(*) FROM pg_catalog.pg_prepared_statements), (SELECT count(*) FROM pg_catalog.pg_cursors WHERE name = 'leaked'),
		(SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid() AND objid = 4712));
	BEGIN
		seen := seen || pg_catalog.to_jsonb(pg_catalog.currval('sh.numbers'));
	EXCEPTION WHEN OTHERS THEN
		seen := seen || pg_catalog.to_jsonb(SQLSTATE);
	END;
	RETURN seen;
END $$;
RESET SESSION AUTHORIZATION;

SET search_path = sh, public;
SELECT taskq.register_handler('sh-' || proname, oid::regprocedure, run_as => 'regress_share', max_attempts => 1, share_commit => true)
FROM pg_proc WHERE pronamespace = 'sh'::regnamespace AND prorettype = 'jsonb'::regtype \g /dev/null
SELECT taskq.register_handler('sh-alone', 'sh.note(jsonb)', run_as => 'regress_share', max_attempts => 1) \gset
SELECT taskq.register_handler('sh-' || f || '-alone', ('sh.' || f || '(jsonb)')::regprocedure, run_as => 'regress_share', max_attempts => 1)
FROM unnest('{family,watch,holds}'::text[]) f \g /dev/null
RESET search_path;

CREATE FUNCTION pg_temp.start(t text, n text, payload jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS
	$$ INSERT INTO j (name, id) VALUES (n, taskq.enqueue_job('sh-' || t, payload || jsonb_build_object('n', n))) $$;
CREATE FUNCTION pg_temp.result(n text) RETURNS jsonb LANGUAGE sql AS
	$$ SELECT result FROM taskq.all_jobs WHERE job_id = pg_temp.id(n) $$;
CREATE FUNCTION pg_temp.attempts(n text) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(concat_ws(' ', attempt, outcome, sqlstate), ', ' ORDER BY epoch) FROM taskq.attempts WHERE job_id = pg_temp.id(n) $$;
-- Wait until no job of these tests is due or runs.
CREATE FUNCTION pg_temp.run() RETURNS boolean LANGUAGE sql AS
	$$ SELECT pg_temp.came($q$ SELECT NOT EXISTS (SELECT FROM taskq.all_jobs WHERE task_type LIKE 'sh-%' AND state IN ('available', 'running')) $q$) $$;
SELECT pg_temp.came($$ SELECT workers = 1 FROM taskq.pools WHERE pool = 'sh-one' $$) \gset

-- registry --------------------------------------------------------------------
SELECT results_eq($$ SELECT task_type, share_commit FROM taskq.list_handlers() WHERE task_type IN ('sh-note', 'sh-alone') ORDER BY 1 $$,
	$$ VALUES ('sh-alone', false), ('sh-note', true) $$, 'list_handlers() shows share_commit, which is off by default');
SELECT throws_ok($$ SELECT taskq.register_handler('sh-x', share_commit => true) $$, '22023', NULL, 'share_commit is refused for external types');
SELECT throws_ok($$ SELECT taskq.register_handler('sh-x', 'sh.note(jsonb)', share_commit => NULL) $$, '22004', NULL, 'share_commit must not be NULL');
SELECT throws_ok($$ SELECT taskq.register_handler('sh-x', async_commit => true) $$, '22023', 'run_as, share_commit, async_commit and lock_timeout are for handlers in the server', 'async_commit is refused for external types');
SELECT throws_ok($$ SELECT taskq.register_handler('sh-x', 'sh.note(jsonb)', async_commit => NULL) $$, '22004', NULL, 'async_commit must not be NULL');

-- sharing ---------------------------------------------------------------------
BEGIN;
SELECT pg_temp.start('note', 'w' || i) FROM generate_series(1, 120) i \g /dev/null
SELECT pg_temp.start('plain', 'p' || i) FROM generate_series(1, 120) i \g /dev/null
SELECT pg_temp.start('many', 'm' || i) FROM generate_series(1, 12) i \g /dev/null
COMMIT;
SELECT ok(pg_temp.run(), 'the jobs end');
SELECT is(array_agg(DISTINCT pg_temp.state(name)), '{completed 1}', 'each completes in its first attempt') FROM j;
SELECT is(array_agg(DISTINCT pg_temp.attempts(name)), '{1 completed}', 'each job has one attempt') FROM j;
SELECT is(array_agg(entry ORDER BY n), ARRAY(SELECT 'w' || i FROM generate_series(1, 120) i), 'the jobs run in order') FROM sh.log WHERE entry LIKE 'w%';
SELECT ok(count(DISTINCT pg_temp.result(name)) < 120, 'some jobs share a transaction') FROM j WHERE name LIKE 'w%';
SELECT cmp_ok(max(c), '<=', 50::bigint, 'at most 50 jobs that write share a transaction')
FROM (SELECT count(*) AS c FROM j WHERE name LIKE 'w%' GROUP BY pg_temp.result(name)) t;
SELECT cmp_ok(max(c), '<=', 50::bigint, 'at most 50 jobs that do not write share a transaction')
FROM (SELECT count(*) AS c FROM j WHERE name LIKE 'p%' GROUP BY pg_temp.result(name)) t;
SELECT cmp_ok(max(c), '<=', 4::bigint, 'subtransactions of the handler count against the limit')
FROM (SELECT count(*) AS c FROM j WHERE name LIKE 'm%' GROUP BY pg_temp.result(name)) t;
SELECT results_eq($$ SELECT runs, completed, failed FROM taskq.stat_handlers WHERE task_type = 'sh-note' $$,
	$$ VALUES (120::bigint, 120::bigint, 0::bigint) $$, 'stat_handlers counts each run once');
SELECT ok(pg_temp.came($$ SELECT completed = 252 FROM taskq.stat_workers WHERE pool = 'sh-one' $$), 'stat_workers counts each run once');

-- each fails alone --------------------------------------------------------------
TRUNCATE j, sh.log;
BEGIN;
SELECT pg_temp.start(CASE WHEN i % 3 = 0 THEN 'fails' ELSE 'note' END, 'e' || i) FROM generate_series(1, 30) i \g /dev/null
COMMIT;
SELECT ok(pg_temp.run(), 'the jobs end, and some fail');
SELECT is(array_agg(DISTINCT pg_temp.attempts(name)), '{1 failed P0001}', 'each failing job has one failed attempt') FROM j WHERE substr(name, 2)::integer % 3 = 0;
SELECT is(array_agg(DISTINCT pg_temp.attempts(name)), '{1 completed}', 'the other jobs complete') FROM j WHERE substr(name, 2)::integer % 3 <> 0;
SELECT is(array_agg(entry ORDER BY n), ARRAY(SELECT 'e' || i FROM generate_series(1, 30) i WHERE i % 3 <> 0), 'the writes of the failed jobs are rolled back') FROM sh.log;
SELECT is_empty($$ SELECT FROM taskq.all_jobs WHERE payload->>'n' = 'must not stay' $$, 'the jobs that they have enqueued are rolled back');

-- constraints -------------------------------------------------------------------
TRUNCATE j, sh.log, sh.parents, sh.children, sh.strict;
BEGIN;
SELECT pg_temp.start('family', 'd1', '{"table": "children", "id": 1, "parent": true}'),
	pg_temp.start('family', 'd2', '{"table": "children", "id": 2, "parent": true}'),
	pg_temp.start('family', 's1', '{"table": "strict", "id": 3, "parent": true}'),
	pg_temp.start('family', 's2', '{"table": "strict", "id": 4, "parent": true, "set": "DEFERRED"}'),
	pg_temp.start('family', 's3', '{"table": "strict", "id": 5, "parent": true}'),
	pg_temp.start('family', 'd3', '{"table": "children", "id": 6, "parent": true, "set": "IMMEDIATE"}'),
	pg_temp.start('family', 'd4', '{"table": "children", "id": 7, "parent": true}') \gset
COMMIT;
SELECT ok(pg_temp.run(), 'jobs with constraints end');
SELECT is(string_agg(name || ': ' || pg_temp.attempts(name), ', ' ORDER BY id),
	'd1: 1 completed, d2: 1 completed, s1: 1 failed 23503, s2: 1 completed, s3: 1 failed 23503, d3: 1 failed 23503, d4: 1 completed',
	'deferred constraints are checked after each job, immediate ones at once, and SET CONSTRAINTS applies to the job itself') FROM j;
TRUNCATE j, sh.log, sh.parents, sh.children, sh.strict;
SELECT runs, completed, failed FROM taskq.stat_handlers WHERE task_type = 'sh-family' \gset before_
BEGIN;
SELECT pg_temp.start('note', 'before'), pg_temp.start('family', 'bad', '{"table": "children", "id": 1}'),
	pg_temp.start('family', 'good', '{"table": "children", "id": 2, "parent": true}'), pg_temp.start('note', 'after') \gset
COMMIT;
SELECT ok(pg_temp.run(), 'jobs end, and one violates a deferred constraint');
SELECT is(string_agg(name || ': ' || pg_temp.attempts(name), ', ' ORDER BY id),
	'before: 1 completed, bad: 1 failed 23503, good: 1 completed, after: 1 completed', 'only the job that violates the constraint fails, and no attempt counts twice') FROM j;
SELECT is(array_agg(entry ORDER BY n), '{before,good,after}', 'the writes of that job are rolled back') FROM sh.log;
SELECT results_eq($$ SELECT runs, completed, failed FROM taskq.stat_handlers WHERE task_type = 'sh-family' $$,
	format('VALUES (%s::bigint, %s::bigint, %s::bigint)', :before_runs + 2, :before_completed + 1, :before_failed + 1), 'runs that were undone are not counted');

-- triggers at commit --------------------------------------------------------------
TRUNCATE j, sh.log;
BEGIN;
SELECT pg_temp.start('watch', 'a'), pg_temp.start('note', 'b'), pg_temp.start('watch', 'raise'), pg_temp.start('watch', 'c'),
	pg_temp.start('watch-alone', 'd'), pg_temp.start('note', 'e') \gset
INSERT INTO j (name, id) VALUES ('raise alone', taskq.enqueue_job('sh-watch-alone', '{"n": "raise"}'));
COMMIT;
SELECT ok(pg_temp.run(), 'jobs with deferred triggers end');
SELECT is(string_agg(name || ': ' || pg_temp.attempts(name), ', ' ORDER BY id),
	'a: 1 completed, b: 1 completed, raise: 1 failed P0009, c: 1 completed, d: 1 completed, e: 1 completed, raise alone: 1 failed P0009',
	'an error of a deferred trigger fails its job') FROM j;
SELECT is(array_agg(entry ORDER BY n), '{at commit: a,b,at commit: c,at commit: d,e,enqueued at commit by a,enqueued at commit by c,enqueued at commit by d}',
	'deferred triggers fire after their job and before the next, with the handler''s search_path, and may enqueue jobs') FROM sh.log;
SELECT is((SELECT count(*) FROM sh.watched WHERE entry = 'raise'), 0::bigint, 'the writes of the failed job are rolled back');

-- order and transactions ----------------------------------------------------------
TRUNCATE j, sh.log;
BEGIN;
SELECT pg_temp.start(CASE WHEN i % 4 = 0 THEN 'alone' ELSE 'note' END, 'o' || i) FROM generate_series(1, 40) i \g /dev/null
COMMIT;
SELECT ok(pg_temp.run(), 'jobs of a handler that shares commits and of one that does not end');
SELECT is(array_agg(entry ORDER BY n), ARRAY(SELECT 'o' || i FROM generate_series(1, 40) i), 'the order of the jobs is exact') FROM sh.log;
SELECT is(count(*), 0::bigint, 'the jobs of the other handler have transactions of their own') FROM sh.log a JOIN sh.log b USING (x)
WHERE substr(a.entry, 2)::integer % 4 = 0 AND a.entry <> b.entry;
TRUNCATE j, sh.log;
BEGIN;
SELECT pg_temp.start('parent', 'f' || i) FROM generate_series(1, 3) i \g /dev/null
COMMIT;
SELECT ok(pg_temp.run(), 'jobs that enqueue jobs end');
SELECT is(array_agg(entry ORDER BY n), '{f1,f2,f3,child of f1,child of f2,child of f3}', 'the enqueued jobs run after the jobs that were waiting, once each') FROM sh.log;

-- a commit that fails -------------------------------------------------------------
TRUNCATE j, sh.log;
BEGIN;
SELECT pg_temp.start('note', 'one'), pg_temp.start('holds', 'last') \gset
COMMIT;
SELECT ok(pg_temp.run(), 'jobs with a cursor WITH HOLD that fails at the commit end');
SELECT is(string_agg(name || ': ' || pg_temp.attempts(name), ', ' ORDER BY id), 'one: 1 completed, last: 1 failed 22012',
	'only the job with the cursor fails in a shared transaction') FROM j;
SELECT pg_temp.start('holds-alone', 'alone') \gset
SELECT ok(pg_temp.run(), 'a job with such a cursor ends alone');
SELECT is(pg_temp.attempts('alone'), '1 failed 22012', 'the job fails in a transaction of its own');
SELECT pg_temp.start('holds-alone', 'snoozed', '{"snooze": true}') \gset
SELECT ok(pg_temp.run(), 'a job that returns snooze() and has such a cursor ends');
SELECT is(pg_temp.attempts('snoozed') || ', ' || (t.started_at < t.finished_at) || ', ' || (t.worker_id IS NOT NULL), '1 failed 22012, true, true',
	'the failed attempt has its start and its worker') FROM taskq.attempts t JOIN j ON t.job_id = id WHERE name = 'snoozed';
SELECT is(array_agg(entry ORDER BY n), '{one}', 'the writes of the failed jobs are rolled back, too') FROM sh.log;

-- nothing of one job for the next ---------------------------------------------------
TRUNCATE j;
BEGIN;
SELECT pg_temp.start('leave', 'leave1'), pg_temp.start('look', 'look1'), pg_temp.start('leave', 'leave2', '{"temp": true}'), pg_temp.start('look', 'look2') \gset
COMMIT;
SELECT ok(pg_temp.run(), 'a job that leaves session state behind ends');
SELECT is(array_agg(DISTINCT pg_temp.attempts(name)), '{1 completed}', 'all jobs complete') FROM j;
SELECT is(pg_temp.result('look1'), '[false, null, false, false, 0, 0, 0, "55000"]', 'the next job finds no session state');
SELECT is(pg_temp.result('look2'), '[false, null, false, false, 0, 0, 0, "55000"]', 'the next job finds no temporary table');

-- as it was -------------------------------------------------------------------------
SELECT count(taskq.unregister_handler(h.task_type)) FROM taskq.list_handlers() h WHERE h.task_type LIKE 'sh-%' \gset
SELECT taskq.drop_pool('sh-one') \gset
SELECT is((SELECT count(*) FROM taskq.jobs j JOIN taskq.routes USING (route_id) WHERE task_type LIKE 'sh-%'), 0::bigint, 'no job is left');
SELECT pg_temp.came($$ SELECT NOT EXISTS (SELECT FROM taskq.workers WHERE pool = 'sh-one') $$) \gset
SELECT * FROM finish();
DROP SCHEMA sh CASCADE;
SELECT taskq.revoke_access('regress_share', a) FROM unnest('{producer,worker}'::text[]) a \g /dev/null
DROP ROLE regress_share;
