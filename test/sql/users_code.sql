-- Users' code outside handlers, and that it cannot use the session in which it
-- runs. The caller is a superuser, because that would gain the most.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
SELECT plan(206);

CREATE SCHEMA uc;
CREATE ROLE regress_uc LOGIN;
GRANT ALL ON SCHEMA uc TO regress_uc;
GRANT USAGE ON SCHEMA uc TO PUBLIC;
GRANT TEMPORARY ON DATABASE :"DBNAME" TO regress_uc;
SELECT taskq.grant_access('regress_uc', k) FROM unnest('{admin,worker,producer,operator,observer}'::text[]) k \g /dev/null
SET ROLE regress_uc;
-- Do what the payload says, and return the result.
CREATE FUNCTION uc.try(p jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE p->>'sql' INTO answer;
	RETURN COALESCE(answer, 'NULL');
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
-- Do it without returning a result.
CREATE FUNCTION uc.obey(p jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE p->>'sql';
	RETURN NULL;
END $$;
CREATE FUNCTION uc.obey(attempt integer, error jsonb) RETURNS interval LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE error->>'message';
	RETURN '7 min';
END $$;
CREATE FUNCTION uc.obeys(p jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE p->>'sql';
	RETURN true;
END $$;
CREATE DOMAIN uc.obeyed AS jsonb CHECK (uc.obeys(VALUE));
CREATE FUNCTION uc.handler(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
SELECT taskq.register_handler('uc-try', 'uc.handler(jsonb)', validator => 'uc.try(jsonb)'),
	taskq.register_handler('uc-obey', 'uc.handler(jsonb)', validator => 'uc.obey(jsonb)'),
	taskq.register_handler('uc-domain', payload_type => 'uc.obeyed'),
	taskq.register_handler('uc-retry', retry_function => 'uc.obey(integer, jsonb)', retry_policy => 'fixed', retry_base => '1 h') \g /dev/null
RESET ROLE;
CREATE FUNCTION pg_temp.payload(sql text) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('sql', sql) $$;
-- The result of a validator that has tried this.
CREATE FUNCTION pg_temp.tries(sql text) RETURNS text LANGUAGE sql AS $$ SELECT pg_temp.detail_of(format('SELECT taskq.validate_task(''uc-try'', %L)', pg_temp.payload(sql))) $$;
-- The result of a call with a validator, or a type, that does this.
CREATE FUNCTION pg_temp.obeys(sql text, t text DEFAULT 'uc-obey') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM taskq.validate_task(t, pg_temp.payload(sql));
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;

-- cursors ---------------------------------------------------------------------
SET ROLE regress_uc;
CREATE FUNCTION uc.pwn() RETURNS text LANGUAGE plpgsql AS $$ BEGIN ALTER ROLE regress_uc SUPERUSER; RETURN 'pwned'; END $$;
CREATE FUNCTION uc.reopen(p jsonb) RETURNS text LANGUAGE plpgsql AS $$ DECLARE r refcursor := 'c'; BEGIN CLOSE r; OPEN r FOR SELECT uc.pwn(); RETURN NULL; END $$;
CREATE FUNCTION uc.insist(name text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	r refcursor := name;
BEGIN
	FOR i IN 1..3 LOOP
		BEGIN
			IF i = 1 THEN CLOSE r; ELSIF i = 2 THEN MOVE r; ELSE EXECUTE format('CLOSE %I', name); END IF;
		EXCEPTION WHEN OTHERS THEN
			NULL;
		END;
	END LOOP;
	BEGIN
		OPEN r FOR SELECT uc.pwn();
	EXCEPTION WHEN duplicate_cursor THEN
		NULL;
	END;
	RETURN true;
END $$;
CREATE PROCEDURE uc.insists(name text) LANGUAGE plpgsql AS $$ BEGIN PERFORM uc.insist(name); END $$;
CREATE PROCEDURE uc.commits() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$;
SELECT taskq.register_handler('uc-reopen', 'uc.handler(jsonb)', validator => 'uc.reopen(jsonb)') \g /dev/null
RESET ROLE;
BEGIN;
DECLARE h CURSOR WITH HOLD FOR SELECT 'held ' || n FROM generate_series(1, 9) n;
COMMIT;
BEGIN;
DECLARE c CURSOR FOR SELECT 'caller ' || n FROM generate_series(1, 40) n;
SAVEPOINT s;
SELECT throws_ok($$ SELECT taskq.validate_task('uc-reopen', '{}') $$, '24000', NULL, 'a validator cannot close its caller''s cursor');
FETCH c;
SELECT is(pg_temp.tries(sql), answer, sql) FROM (VALUES
	('CLOSE c', '42501'), ('CLOSE h', '42501'), ('FETCH c', '55000'), ('FETCH h', '55000'), ('MOVE c', '55000'), ('MOVE ALL IN h', '55000'), ('FETCH BACKWARD ALL FROM c', '55000'),
	('CLOSE ALL', '42501'), ('DECLARE c CURSOR FOR SELECT 1', '42P03'), ('DECLARE x CURSOR WITH HOLD FOR SELECT 1', '42501'),
	('SELECT count(*) FROM pg_cursors', '42501'), ('SELECT count(*) FROM pg_cursor()', '42501'),
	('SELECT cursor_to_xml(''c'', 1, true, true, '''')', '42501'), ('SELECT cursor_to_xmlschema(''c'', true, true, '''')', '42501'),
	('DO $x$ DECLARE r refcursor := ''c''; BEGIN CLOSE r; OPEN r FOR SELECT 1; END $x$', '24000'),
	('DO $x$ DECLARE r refcursor := ''c''; t text; BEGIN FETCH r INTO t; END $x$', '55000'),
	('CALL uc.commits()', '2D000')) v (sql, answer);
SELECT is(pg_temp.obeys(sql), 'done', sql) FROM (VALUES
	('SELECT uc.insist(''c'')'), ('SELECT uc.insist(''h'')'), ('CALL uc.insists(''c'')'), ('DO $x$ BEGIN PERFORM uc.insist(''c''); END $x$'),
	('SELECT uc.insist(format(''<unnamed portal %s>'', n)) FROM generate_series(1, 300) n'), ('SELECT uc.insist(''''), uc.insist(''<unnamed>'')'),
	('DECLARE mine CURSOR FOR SELECT 1'), ('DECLARE mine CURSOR FOR SELECT 2'),
	('DO $x$ DECLARE r refcursor; n integer; BEGIN OPEN r FOR SELECT 1; MOVE r; CLOSE r; FOR n IN SELECT 1 LOOP END LOOP; END $x$')) v (sql);
SELECT is(pg_temp.obeys(sql, 'uc-domain'), answer, 'a constraint: ' || sql) FROM (VALUES ('CLOSE c', '42501'), ('FETCH c', '55000'), ('SELECT uc.insist(''c'')', 'done')) v (sql, answer);
SELECT is(pg_temp.obeys('DO $x$ BEGIN PERFORM uc.insist(''c''); RAISE EXCEPTION ''no''; END $x$'), 'TQ009', 'an error while the caller''s cursors are hidden is reported');
ROLLBACK TO s;
SELECT throws_ok($$ SELECT taskq.enqueue_jobs('uc-obey', ARRAY[pg_temp.payload('SELECT uc.insist(''c'')'), pg_temp.payload('FETCH c')]) $$, '55000', NULL, 'the second payload of two is refused');
FETCH c;
SELECT is(array_agg(name ORDER BY name), '{c,h}', 'cursors of the code are closed, and those of the caller are kept') FROM pg_cursors WHERE NOT name LIKE '<unnamed%' AND name <> '';
SELECT pg_temp.add('retry', 'uc-retry'), pg_temp.take('uc-w', 'uc-retry') \gset
SELECT is(taskq.fail_job(pg_temp.id('retry'), pg_temp.e('retry'), 'SELECT uc.insist(''c'')'), true, 'fail_job() returns true if a retry function tries to use the caller''s cursors');
SELECT is(state || ' ' || (run_at < now() + '10 min'), 'retryable true', 'the delay of that retry function is used') FROM taskq.all_jobs WHERE job_id = pg_temp.id('retry');
FETCH c;
FETCH h;
-- loops of the caller, whose portals are between two fetches
DO $$
DECLARE
	n integer;
	all_of integer := 0;
BEGIN
	FOR n IN SELECT g FROM generate_series(1, 25) g LOOP
		PERFORM taskq.validate_task('uc-obey', '{"sql": "SELECT uc.insist(name) FROM unnest(ARRAY[''c'']) name UNION ALL SELECT uc.insist(format(''<unnamed portal %s>'', n)) FROM generate_series(1, 400) n"}');
		all_of := all_of + n;
	END LOOP;
	IF all_of <> 325 THEN
		RAISE EXCEPTION 'the loop ended with %', all_of;
	END IF;
END $$;
SELECT pass('a loop over a query continues');
COMMIT;
FETCH h;
CLOSE h;
SELECT is(rolsuper, false, 'the role has not become a superuser') FROM pg_roles WHERE rolname = 'regress_uc';

-- other languages
SELECT bool_or(name = 'plperl') AS perl, bool_or(name = 'plpython3u') AS python FROM pg_available_extensions \gset
\if :perl
CREATE EXTENSION IF NOT EXISTS plperl;
CREATE FUNCTION uc.perl(p jsonb) RETURNS text LANGUAGE plperl AS $$
	my @said;
	spi_cursor_close('c') if $_[0] =~ /close/;
	for my $do (sub { spi_fetchrow('c') }, sub { spi_exec_query('CLOSE c') }, sub { spi_exec_query('SELECT pg_advisory_lock(1)') },
		sub { spi_exec_query("SET seed = 0.5") }, sub { my $q = spi_query('SELECT 1 AS a'); push @said, spi_fetchrow($q)->{a}; die "mine\n" }) {
		eval { $do->(); }; push @said, $@ ? 'error' : 'done';
	}
	return join(' ', @said);
$$;
\else
CREATE FUNCTION uc.perl(p jsonb) RETURNS text LANGUAGE sql AS $$ SELECT CASE WHEN p ? 'close' THEN 1 / (p::text = '')::int || '' ELSE 'error error error error 1 error' END $$;
\endif
\if :python
CREATE EXTENSION IF NOT EXISTS plpython3u;
CREATE FUNCTION uc.python(p jsonb) RETURNS text LANGUAGE plpython3u AS $$
said = []
for sql in ('CLOSE c', 'FETCH c', 'SELECT pg_advisory_lock(1)', "SET seed = 0.5", 'SELECT 1'):
	try:
		with plpy.subtransaction():
			plpy.execute(sql)
		said.append('done')
	except plpy.SPIError as e:
		said.append(e.sqlstate)
said.append(str(next(plpy.cursor('SELECT 1 AS a'))['a']))
return ' '.join(said)
$$;
\else
CREATE FUNCTION uc.python(p jsonb) RETURNS text LANGUAGE sql AS $$ SELECT '42501 55000 42501 42501 done 1' $$;
\endif
SET ROLE regress_uc;
SELECT taskq.register_handler('uc-perl', validator => 'uc.perl(jsonb)'), taskq.register_handler('uc-python', validator => 'uc.python(jsonb)') \g /dev/null
RESET ROLE;
BEGIN;
DECLARE c CURSOR FOR SELECT 'caller ' || n FROM generate_series(1, 9) n;
SELECT is(pg_temp.detail_of($$ SELECT taskq.validate_task('uc-perl', '{}') $$), 'error error error error 1 error', 'PL/Perl can use only its own cursors');
SELECT throws_like($$ SELECT taskq.validate_task('uc-perl', '{"close": true}') $$, '%', 'PL/Perl cannot unpin a cursor');
SELECT is(pg_temp.detail_of($$ SELECT taskq.validate_task('uc-python', '{}') $$), '42501 55000 42501 42501 done 1', 'PL/Python can use only its own cursors');
FETCH c;
COMMIT;

-- what belongs to the session ---------------------------------------------------
SET ROLE regress_uc;
CREATE TABLE uc.t (a integer UNIQUE DEFERRABLE INITIALLY DEFERRED, b serial);
CREATE TEMP TABLE mine (a integer, b serial);
CREATE OPERATOR uc.!! (rightarg = bigint, procedure = pg_try_advisory_lock);
CREATE AGGREGATE uc.sets(text, boolean) (sfunc = set_config, stype = text, initcond = 'uc.x');
CREATE FUNCTION uc.with_default(a boolean DEFAULT pg_try_advisory_lock(1)) RETURNS boolean LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION uc.inlined() RETURNS boolean LANGUAGE sql AS 'SELECT pg_catalog.pg_try_advisory_lock(1)';
CREATE DOMAIN uc.locked AS integer CHECK (pg_try_advisory_lock(VALUE));
CREATE VIEW uc.view AS SELECT pg_try_advisory_lock(1);
CREATE FUNCTION uc.ends() RETURNS integer LANGUAGE plpgsql SET exit_on_error = on AS $$ BEGIN RETURN 1/0; END $$;
CREATE FUNCTION uc.secret() RETURNS text LANGUAGE plpgsql PARALLEL SAFE AS $$ BEGIN RETURN current_setting('uc.secret', true); END $$;
CREATE FUNCTION uc.parallel() RETURNS text LANGUAGE plpgsql SET parallel_leader_participation = off SET max_parallel_workers_per_gather = 4 SET parallel_setup_cost = 0 SET parallel_tuple_cost = 0 SET min_parallel_table_scan_size = 0 AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE 'SELECT min(uc.secret()) FROM uc.many' INTO answer;
	RETURN answer;
END $$;
CREATE FUNCTION uc.assigns() RETURNS boolean LANGUAGE plpgsql AS $$ DECLARE b boolean; BEGIN b := pg_try_advisory_lock(1); RETURN b; END $$;
CREATE TABLE uc.many AS SELECT n FROM generate_series(1, 1000) n;
-- Later versions refuse to create these.
DO $do$
BEGIN
	CREATE FUNCTION uc.seeds() RETURNS integer LANGUAGE sql SET seed = 0.5 AS 'SELECT 1';
	CREATE FUNCTION uc.writable() RETURNS integer LANGUAGE sql SET transaction_read_only = off AS 'SELECT 1';
EXCEPTION WHEN OTHERS THEN
	CREATE FUNCTION uc.seeds() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '55P02'; END $$;
	CREATE FUNCTION uc.writable() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '25001'; END $$;
END $do$;
CREATE FUNCTION uc.its_own() RETURNS text LANGUAGE sql SET timezone = 'Europe/Berlin' AS $$ SELECT to_char(timestamptz '2026-01-01 00:00+00', 'HH24') $$;
RESET ROLE;
CREATE TABLE uc.caller (a integer UNIQUE DEFERRABLE INITIALLY DEFERRED, b serial);
SET uc.secret = 'xyzzy';
SET ROLE regress_uc;
SELECT lo_create(4711) \g /dev/null
RESET ROLE;
PREPARE secret AS SELECT 'xyzzy';
LISTEN uc_secret;
SELECT pg_advisory_lock(17) \g /dev/null
BEGIN;
INSERT INTO uc.caller VALUES (1), (1);
SELECT setseed(0.25) \g /dev/null
SELECT is(pg_temp.tries(sql), '42501', sql) FROM unnest(ARRAY[
	'SELECT pg_advisory_lock(1)', 'SELECT pg_try_advisory_lock(1, 2)', 'SELECT pg_advisory_lock_shared(1)', 'SELECT pg_advisory_xact_lock(1)', 'SELECT pg_advisory_unlock(17)', 'SELECT pg_advisory_unlock_all()',
	'SELECT OPERATOR(uc.!!) 1::bigint', 'SELECT uc.sets(''x'', false)', 'SELECT uc.with_default()', 'SELECT uc.inlined()', 'SELECT 1::uc.locked', 'TABLE uc.view',
	'SELECT 1 WHERE pg_try_advisory_lock(1)', 'SELECT 1 ORDER BY pg_try_advisory_lock(1)', 'SELECT * FROM pg_advisory_lock(1)', 'SELECT CASE WHEN random() < 2 THEN pg_try_advisory_lock(1) END', 'VALUES (pg_try_advisory_lock(1))',
	'SELECT setseed(0.5)', 'SET seed = 0.5', 'SELECT set_config(''seed'', ''0.5'', true)', 'SELECT set_config(''work_mem'', ''1MB'', true)',
	'UPDATE pg_settings SET setting = 1 WHERE name = ''work_mem''', 'SET work_mem = ''1MB''', 'SET LOCAL timezone = ''UTC''', 'RESET ALL', 'RESET transaction_read_only', 'SET transaction_read_only TO DEFAULT', 'SET TRANSACTION READ WRITE',
	'SET exit_on_error = on', 'SELECT set_config(''exit_on_error'', ''on'', true)',
	'SET CONSTRAINTS ALL IMMEDIATE', 'NOTIFY x', 'SELECT pg_notify(''x'', '''')', 'LISTEN x', 'UNLISTEN *', 'SELECT pg_listening_channels()',
	'SELECT nextval(''uc.t_b_seq'')', 'SELECT nextval(''mine_b_seq'')', 'SELECT lastval()', 'SELECT currval(''uc.t_b_seq'')', 'SELECT setval(''uc.t_b_seq'', 5)',
	'SELECT lo_create(0)', 'SELECT lo_open(4711, 131072)', 'SELECT lo_get(4711)', 'SELECT loread(0, 10)', 'SELECT lo_tell(0)', 'SELECT lo_unlink(4711)', 'SELECT lo_from_bytea(0, '''')',
	'SELECT current_query()', 'SELECT current_setting(''uc.secret'')', 'SELECT current_setting(''uc.secret'', true)', 'SHOW uc.secret', 'SHOW ALL', 'SELECT * FROM pg_settings',
	'SELECT count(*) FROM pg_prepared_statements', 'EXECUTE secret', 'EXPLAIN EXECUTE secret', 'PREPARE x AS SELECT 1', 'DEALLOCATE secret', 'DEALLOCATE ALL', 'DISCARD ALL',
	'SELECT pg_cancel_backend(pg_backend_pid())', 'SELECT pg_terminate_backend(pg_backend_pid())', 'SELECT pg_export_snapshot()', 'LOAD ''plpgsql''', 'LOCK TABLE uc.t', 'COPY uc.t FROM PROGRAM ''true''',
	'CREATE TABLE uc.x ()', 'CREATE TABLE uc.x AS SELECT 1', 'DROP TABLE uc.t', 'TRUNCATE uc.t', 'ANALYZE uc.t', 'REFRESH MATERIALIZED VIEW uc.m', 'EXPLAIN SELECT 1',
	'SELECT taskq.enqueue_job(''x'')', 'SELECT taskq.validate_task(''uc-try'', ''{}'')', 'SELECT taskq.save_checkpoint(''{}'')', 'SELECT taskq.append_frame(''x'', ''y'')', 'SELECT taskq.run_all()', 'SELECT taskq.stat_reset()']) sql;
SELECT is(pg_temp.tries(sql), '25006', sql) FROM unnest(ARRAY[
	'INSERT INTO uc.t VALUES (1)', 'UPDATE uc.t SET a = 1', 'DELETE FROM uc.t', 'WITH w AS (DELETE FROM uc.t RETURNING 1) SELECT 1', 'INSERT INTO mine VALUES (1)', 'DELETE FROM mine', 'SELECT 1 FROM uc.t FOR SHARE']) sql;
SELECT is(pg_temp.tries(sql), answer, sql) FROM (VALUES
	('SELECT current_user', 'regress_uc'), ('SELECT count(*) FROM uc.t', '0'), ('SELECT max(a) FROM (VALUES (1), (2)) v (a)', '2'), ('SELECT length(md5(random()::text)) + length(gen_random_uuid()::text)', '68'),
	('SELECT clock_timestamp() >= now()', 'true'), ('SELECT uc.its_own()', '01'), ('SELECT to_jsonb(now()) IS NOT NULL', 'true'), ('SELECT pg_sleep(0) IS NOT NULL', 'true'), ('SELECT uc.writable()', '25001'), ('SELECT uc.parallel()', '42501'), ('SELECT uc.assigns()', '42501'), ('SELECT uc.assigns()', '42501'), ('SELECT uc.ends()', '55P02'), ('SELECT uc.seeds()', '55P02')) v (sql, answer);

SELECT is(count(*), 1::bigint, 'the caller still has its lock') FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objid = 17 AND classid = 0;
SELECT is((SELECT lastval() WHERE n > 0 AND pg_temp.tries('SELECT nextval(''uc.t_b_seq'')') = '42501'), n, 'the caller still has its lastval()') FROM (SELECT nextval('uc.caller_b_seq') AS n OFFSET 0) x;
SELECT is(pg_listening_channels(), 'uc_secret', 'the caller still has its channel');
SELECT throws_ok('SET CONSTRAINTS ALL IMMEDIATE', '23505', NULL, 'the caller still has its deferred constraints');
ROLLBACK;
UNLISTEN *;
SELECT pg_advisory_unlock(17) \g /dev/null
SELECT lo_unlink(4711) \g /dev/null

-- what the planner does -----------------------------------------------------------
-- It calls the functions of operators itself, with values from ANALYZE.
SELECT bool_or(name = 'xml2') AS xml2 FROM pg_available_extensions \gset
\if :xml2
CREATE EXTENSION xml2 SCHEMA uc;
\else
CREATE FUNCTION uc.xpath_bool(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE insufficient_privilege; END $$;
\endif
SET ROLE regress_uc;
CREATE TABLE uc.ones AS SELECT 1 AS n FROM generate_series(1, 100);
CREATE TABLE uc.indexed AS SELECT 1 AS n FROM generate_series(1, 100);
CREATE OPERATOR uc.!!! (leftarg = integer, rightarg = integer, function = pg_catalog.pg_advisory_unlock, restrict = eqsel, join = eqjoinsel);
CREATE OPERATOR uc.!!@ (leftarg = integer, rightarg = integer, function = pg_catalog.pg_advisory_unlock, restrict = eqsel, join = eqjoinsel);
CREATE OPERATOR uc.<>@ (leftarg = integer, rightarg = integer, function = int4ne, negator = OPERATOR(uc.!!@), restrict = neqsel, join = neqjoinsel);
CREATE OPERATOR uc.!!# (leftarg = integer, rightarg = integer, function = pg_catalog.pg_advisory_unlock, restrict = scalargtsel);
CREATE OPERATOR uc.<<# (leftarg = integer, rightarg = integer, function = int4lt, commutator = OPERATOR(uc.!!#), restrict = scalarltsel);
CREATE INDEX ON uc.indexed (n) WHERE n OPERATOR(uc.<>@) 17;
CREATE FUNCTION uc.hides(integer) RETURNS boolean LANGUAGE sql AS 'SELECT $1 OPERATOR(uc.!!!) 17';
CREATE FUNCTION uc.hides_set() RETURNS SETOF integer LANGUAGE sql STABLE AS 'SELECT n FROM uc.ones WHERE n OPERATOR(uc.!!!) 17';
CREATE FUNCTION uc.hides_default(integer, boolean DEFAULT 1 OPERATOR(uc.!!!) 17) RETURNS boolean LANGUAGE sql AS 'SELECT $2';
CREATE DOMAIN uc.hidden AS integer CHECK (uc.hides(VALUE));
CREATE VIEW uc.hiding AS SELECT n FROM uc.ones WHERE n OPERATOR(uc.!!!) 17;
CREATE FUNCTION uc.adds(integer, integer) RETURNS integer LANGUAGE sql AS 'SELECT $1 + $2';
CREATE FUNCTION uc.above(integer) RETURNS SETOF integer LANGUAGE sql STABLE AS 'SELECT n FROM uc.many WHERE n > $1';
CREATE FUNCTION uc.same(anyelement) RETURNS anyelement LANGUAGE sql AS 'SELECT $1';
RESET ROLE;
ANALYZE uc.ones, uc.indexed;
BEGIN;
SELECT pg_advisory_lock(1, 17) \g /dev/null
CREATE FUNCTION pg_temp.locks(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text := pg_temp.tries(sql);
BEGIN
	IF NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND classid = 1 AND objid = 17 AND objsubid = 2) THEN
		PERFORM pg_advisory_lock(1, 17);
		RETURN answer || ' lost';
	END IF;
	RETURN answer || ' held';
END $$;
SELECT is(pg_temp.locks(sql), '42501 held', sql) FROM unnest(ARRAY[
	'SELECT 1 FROM uc.ones WHERE n OPERATOR(uc.!!!) 17', 'SELECT 1 FROM uc.ones WHERE NOT n OPERATOR(uc.!!!) 17', 'SELECT 1 FROM uc.ones WHERE n OPERATOR(uc.!!!) ANY (ARRAY[17])',
	'SELECT 1 FROM uc.ones WHERE n OPERATOR(uc.<>@) 17', 'SELECT 1 FROM uc.ones WHERE 17 OPERATOR(uc.<<#) n', 'SELECT 1 FROM uc.ones a JOIN uc.ones b ON a.n OPERATOR(uc.<>@) b.n', 'SELECT 1 FROM uc.indexed WHERE n = 1',
	'SELECT 1 WHERE EXISTS (SELECT 1 FROM uc.ones WHERE n OPERATOR(uc.<>@) 17)', 'WITH w AS MATERIALIZED (SELECT n FROM uc.ones WHERE n OPERATOR(uc.!!!) 17) TABLE w', 'SELECT * FROM (SELECT n FROM uc.ones WHERE n OPERATOR(uc.!!!) 17 OFFSET 0) x',
	'SELECT 1 FROM uc.many UNION ALL SELECT 1 FROM uc.ones WHERE n OPERATOR(uc.<>@) 17', 'TABLE uc.hiding', 'SELECT 1 FROM uc.ones WHERE uc.hides(n)', 'SELECT * FROM uc.hides_set()', 'SELECT 1 FROM uc.ones WHERE uc.hides_default(n)',
	'SELECT n::uc.hidden FROM uc.ones', 'DECLARE hides CURSOR FOR SELECT 1 FROM uc.ones WHERE n OPERATOR(uc.!!!) 17', 'DO $x$ BEGIN PERFORM 1 FROM uc.ones WHERE n OPERATOR(uc.!!!) 17; END $x$']) sql;
ROLLBACK;
SELECT pg_advisory_unlock_all() \g /dev/null
SELECT is(pg_temp.tries(sql), answer, sql) FROM (VALUES
	('SELECT uc.adds(1, 2)', '3'), ('SELECT sum(uc.adds(n, 1)) FROM uc.ones', '200'), ('SELECT count(*) FROM uc.above(990)', '10'), ('SELECT uc.same(uc.above(998)) LIMIT 1', '999'), ('SELECT uc.same(now()) IS NOT NULL', 'true')) v (sql, answer);
-- code that cannot be interrupted, and code that gives the caller a transaction id
SELECT is(pg_temp.tries(sql), '42501', sql) FROM unnest(ARRAY[
	'SELECT xpath(''//a'', NULL::xml)', 'SELECT xpath(''//a'', NULL::xml, ''{}'')', 'SELECT xpath_exists(''//a'', NULL::xml)', 'SELECT XMLEXISTS(''//a'' PASSING (NULL::xml))', 'SELECT uc.xpath_bool(NULL, NULL)',
	'SELECT * FROM XMLTABLE(''//a'' PASSING (NULL::xml) COLUMNS a text)', 'SELECT 1 FROM uc.ones, LATERAL (SELECT * FROM XMLTABLE(''//a'' PASSING (NULL::xml) COLUMNS a text) x) y',
	'SELECT pg_current_xact_id()', 'SELECT pg_current_xact_id_if_assigned()', 'SELECT txid_current()', 'SELECT txid_current_if_assigned()', 'SELECT pg_trigger_depth()', 'SELECT pg_my_temp_schema()', 'SELECT pg_client_encoding()', 'SELECT inet_server_port()']) sql;
SET ROLE regress_uc;
CREATE FUNCTION uc.garbles() RETURNS integer LANGUAGE plpgsql SET client_encoding = 'LATIN1' AS $$ BEGIN RAISE WARNING 'x'; RETURN 1; END $$;
RESET ROLE;
SELECT is(pg_temp.tries('SELECT uc.garbles()'), '55P02', 'the client encoding cannot be changed');

-- what the caller does ----------------------------------------------------------
SET ROLE regress_uc;
CREATE FUNCTION uc.context(p jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	here text;
	there text;
BEGIN
	GET DIAGNOSTICS here = PG_CONTEXT;
	BEGIN
		RAISE EXCEPTION 'x';
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS there = PG_EXCEPTION_CONTEXT;
	END;
	RETURN here || ' ' || there;
END $$;
CREATE FUNCTION uc.broken(p jsonb) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT a FROM uc.nowhere); END $$;
SELECT taskq.register_handler('uc-context', validator => 'uc.context(jsonb)'), taskq.register_handler('uc-broken', validator => 'uc.broken(jsonb)') \g /dev/null
RESET ROLE;
CREATE FUNCTION pg_temp.xyzzy() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	said text;
BEGIN
	PERFORM taskq.validate_task('uc-context', '{}') WHERE 'xyzzy' <> '';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS said = PG_EXCEPTION_DETAIL;
	RETURN said;
END $$;
SELECT ok(said LIKE '%uc.context%' AND said NOT LIKE '%xyzzy%', 'the context of an error does not contain the caller''s statements') FROM pg_temp.xyzzy() said;
CREATE FUNCTION pg_temp.told() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	said text;
BEGIN
	PERFORM taskq.validate_task('uc-broken', '{}');
EXCEPTION WHEN undefined_table THEN
	GET STACKED DIAGNOSTICS said = PG_EXCEPTION_CONTEXT;
	RETURN said;
END $$;
SELECT matches(pg_temp.told(), 'uc.broken.*payload of task type "uc-broken".*pg_temp.*told', 'the caller gets the complete context');

-- settings that change what is read and written ------------------------------------
CREATE FUNCTION pg_temp.look() RETURNS text LANGUAGE sql AS $look$ VALUES ($$ SELECT concat_ws('|', E'\\' = '\', timestamptz '01/02/2026 00:00+00', interval '1 day -2 hours', '\x5c'::bytea, 0.1::float8 + 0.2, array_length('{NULL}'::text[], 1), to_char(date '2026-03-01', 'TMMonth'), to_char(1234.5, '9G999D9'), quote_ident('plain'), '{NULL}'::text[]) $$) $look$;
CREATE FUNCTION uc.looks(sql jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE sql->>'sql' INTO answer;
	RETURN to_jsonb(answer);
END $$;
CREATE FUNCTION pg_temp.by_hand() RETURNS text LANGUAGE sql AS $$ SELECT result #>> '{}' FROM taskq.run_job(taskq.enqueue_job('uc-hand', pg_temp.payload(pg_temp.look())), 'uc.looks(jsonb)') $$;
CREATE TEMP TABLE seen AS SELECT pg_temp.tries(pg_temp.look()) AS tried;
SELECT is(tried, 't|2026-01-02 00:00:00+00|1 day -02:00:00|\x5c|0.30000000000000004|1|March| 1,234.5|plain|{NULL}', 'users'' code uses fixed settings for input and output') FROM seen;
SET client_min_messages = error;
BEGIN;
SET LOCAL standard_conforming_strings = off;
SET LOCAL datestyle = 'SQL, DMY';
SET LOCAL timezone = 'Asia/Tokyo';
SET LOCAL intervalstyle = 'sql_standard';
SET LOCAL bytea_output = 'escape';
SET LOCAL extra_float_digits = -5;
SET LOCAL array_nulls = off;
SET LOCAL quote_all_identifiers = on;
SET LOCAL transform_null_equals = on;
SET LOCAL backslash_quote = on;
SET LOCAL default_text_search_config = 'german';
SET LOCAL timezone_abbreviations = 'Australia';
SET LOCAL plpgsql.check_asserts = off;
SELECT is(pg_temp.tries(pg_temp.look()), tried, 'these do not depend on the caller''s settings') FROM seen;
SELECT is(pg_temp.by_hand(), tried, 'these apply to runs by hand, too') FROM seen;
SELECT is(pg_temp.tries(sql), answer, what) FROM (VALUES
	('SELECT to_tsvector($x$running$x$)::text', $x$'running':1$x$, 'text search uses a fixed configuration'),
	('SELECT count(*) FROM (VALUES (1)) v (a) WHERE NULLIF(a, 1) = NULL', '0', 'transform_null_equals is off')) v (sql, answer, what);
SELECT is(pg_temp.obeys('DO $x$ BEGIN ASSERT false; END $x$'), 'TQ009', 'plpgsql.check_asserts is on');
SELECT is(format('%s %s %s %s', current_setting('standard_conforming_strings'), current_setting('datestyle'), current_setting('timezone'), current_setting('bytea_output')), 'off SQL, DMY Asia/Tokyo escape', 'the caller''s settings are kept');
ROLLBACK;
SET exit_on_error = on;
SELECT taskq.validate_task('uc-obey', pg_temp.payload('SELECT uc.insist(''x'') UNION ALL SELECT uc.insist(''y'')')) \g /dev/null
RESET exit_on_error;
SELECT pass('an error that the code catches does not end a session with exit_on_error');
SET client_min_messages = warning;

-- time ---------------------------------------------------------------------------
SET taskq.validation_timeout = '200 ms';
SET ROLE regress_uc;
CREATE FUNCTION uc.sleeps(catches boolean) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_sleep(60);
	RETURN true;
EXCEPTION WHEN query_canceled THEN
	IF NOT catches THEN
		RAISE;
	END IF;
	RETURN true;
END $$;
RESET ROLE;
CREATE FUNCTION pg_temp.message_of(sql text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE sql;
	RETURN 'no error';
EXCEPTION WHEN query_canceled THEN
	RETURN SQLERRM;
END $$;
SELECT is(pg_temp.message_of(format('SELECT taskq.validate_task(%L, %L)', t, pg_temp.payload('SELECT uc.sleeps(false)'))), what || ' took longer than 0.2 s', what || ' has its time')
FROM (VALUES ('uc-obey', 'validator uc.obey(pg_catalog.jsonb)'), ('uc-domain', 'payload type uc.obeyed')) v (t, what);
SELECT is(pg_temp.message_of(format('SELECT taskq.validate_task(%L, %L)', t, pg_temp.payload('SELECT uc.sleeps(true)'))), what || ' took longer than 0.2 s', 'also where it goes on after that')
FROM (VALUES ('uc-obey', 'validator uc.obey(pg_catalog.jsonb)'), ('uc-domain', 'payload type uc.obeyed')) v (t, what);
SET taskq.validation_timeout = '1 min';
SET statement_timeout = '200 ms';
SELECT is(pg_temp.message_of(format('SELECT taskq.validate_task(''uc-obey'', %L)', pg_temp.payload('SELECT uc.sleeps(false)'))), 'canceling statement due to statement timeout', 'the caller''s statement_timeout cancels the statement');
SELECT is(pg_temp.message_of(format('SELECT taskq.validate_task(''uc-obey'', %L)', pg_temp.payload('SELECT uc.sleeps(true)'))), 'canceling statement due to statement timeout', 'users'' code cannot catch that');
RESET statement_timeout;
RESET taskq.validation_timeout;

-- the answer ---------------------------------------------------------------------
SET ROLE regress_uc;
CREATE TABLE uc.long (said text);
ALTER TABLE uc.long ALTER said SET STORAGE EXTERNAL;
INSERT INTO uc.long VALUES (repeat('too long ', 20000));
CREATE FUNCTION uc.verbose(p jsonb) RETURNS text LANGUAGE sql AS $$ SELECT said FROM uc.long $$;
SELECT taskq.register_handler('uc-verbose', validator => 'uc.verbose(jsonb)') \g /dev/null
RESET ROLE;
SELECT matches(pg_temp.detail_of($$ SELECT taskq.validate_task('uc-verbose', '{}') $$), '^too long too long', 'the text of a validator may come from a table');

-- what it calls is dropped -------------------------------------------------------
-- PostgreSQL's own error, if that happens between plan and execution
SELECT is(pg_temp.obeys(format('DO $d$ BEGIN RAISE EXCEPTION USING ERRCODE = ''XX000'', MESSAGE = %L; END $d$', m), t), c, 'no internal error is passed on: ' || t || ', ' || m)
FROM (VALUES ('uc-obey', 'cache lookup failed for function 1', '42883'), ('uc-domain', 'cache lookup failed for type 1', '42704'),
	('uc-obey', 'could not open relation with OID 1', '42P01')) v (t, m, c);

-- placeholders ---------------------------------------------------------------------
SET ROLE regress_uc;
SELECT throws_ok($$ CREATE FUNCTION uc.places(jsonb) RETURNS text LANGUAGE sql SET uc.unknown = 'x' AS 'SELECT NULL::text' $$, '42501', NULL, 'an ordinary role cannot create a function with an unknown setting');
RESET ROLE;
GRANT SET ON PARAMETER uc.unknown TO regress_uc;
SET ROLE regress_uc;
SELECT lives_ok($$ CREATE FUNCTION uc.places(jsonb) RETURNS text LANGUAGE sql SET uc.unknown = 'x' AS 'SELECT NULL::text' $$, 'a role that was granted the setting can');
RESET ROLE;
REVOKE SET ON PARAMETER uc.unknown FROM regress_uc;

SELECT * FROM finish();
SELECT taskq.unregister_handler(task_type) FROM taskq.list_handlers() WHERE task_type LIKE 'uc-%' \g /dev/null
SELECT taskq.cancel_job(pg_temp.id('retry')) \g /dev/null
DROP SCHEMA uc CASCADE;
DROP OWNED BY regress_uc;
DROP ROLE regress_uc;
