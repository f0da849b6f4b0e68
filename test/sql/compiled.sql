-- Users' code does not use what the session has compiled or planned, and the
-- session does not use what users' code has compiled or planned.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
SELECT plan(18);

CREATE SCHEMA co_app;
CREATE SCHEMA co_low;
CREATE ROLE regress_low LOGIN;
CREATE ROLE regress_producer;
GRANT ALL ON SCHEMA co_low TO regress_low;
GRANT USAGE ON SCHEMA co_app, co_low TO PUBLIC;
GRANT TEMPORARY ON DATABASE :"DBNAME" TO regress_producer;
SELECT taskq.grant_access('regress_low', 'admin'), taskq.grant_access('regress_producer', 'producer') \g /dev/null

-- the session compiles first -----------------------------------------------------
SET ROLE regress_low;
SET search_path = co_low;
CREATE DOMAIN co_low.status AS text;
CREATE FUNCTION co_low.check_order(p jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	s status := p->>'status';
BEGIN
	RETURN NULL;
END $$;
CREATE FUNCTION co_low.check_day(p jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN CASE WHEN (p->>'day')::date >= '01/03/2027' THEN 'too late' END;
END $$;
CREATE FUNCTION co_low.later(attempt integer, error jsonb) RETURNS interval LANGUAGE plpgsql AS $$
DECLARE
	s status := 'x';
BEGIN
	RETURN '7 min';
END $$;
CREATE FUNCTION co_low.known(status text) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$;
CREATE FUNCTION co_low.is_known(status text) RETURNS boolean LANGUAGE sql AS $$ SELECT known(status) $$;
CREATE DOMAIN co_low.known_status AS text CHECK (co_low.is_known(value));
CREATE FUNCTION co_low.check_known(p jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	s co_low.known_status := p->>'status';
BEGIN
	RETURN NULL;
END $$;
CREATE FUNCTION co_low.work(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN jsonb_build_object('day', to_char('01/02/2027'::date, 'DD Mon'), 'hour', extract(hour FROM timestamptz '2027-01-02 09:00:00+00'));
END $$;
SELECT taskq.register_handler('co-order', 'co_low.work(jsonb)', validator => 'co_low.check_order(jsonb)'),
	taskq.register_handler('co-day', validator => 'co_low.check_day(jsonb)'),
	taskq.register_handler('co-known', validator => 'co_low.check_known(jsonb)'),
	taskq.register_handler('co-retry', retry_function => 'co_low.later(integer, jsonb)') \g /dev/null
-- what was compiled at their creation is out of date now
\o /dev/null
SELECT format('ALTER FUNCTION %s COST 200', oid::regprocedure) FROM pg_proc WHERE pronamespace = 'co_low'::regnamespace \gexec
\o
RESET search_path;
RESET ROLE;

SET ROLE regress_producer;
-- It detects whether it runs as another role.
CREATE FUNCTION pg_temp.spies(t text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF current_user <> 'regress_producer' THEN
		RAISE EXCEPTION 'spied as %', current_user;
	END IF;
	RETURN true;
END $$;
CREATE FUNCTION pg_temp.known(status text) RETURNS boolean LANGUAGE sql AS $$ SELECT pg_temp.spies($1) $$;
CREATE DOMAIN pg_temp.status AS text CHECK (pg_temp.spies(value));
SELECT co_low.check_order('{"status": "x"}') \g /dev/null
SELECT lives_ok($$ SELECT taskq.validate_task('co-order', '{"status": "x"}') $$, 'a validator does not use what a producer''s session has compiled');
SELECT lives_ok($$ SELECT co_low.check_order('{"status": "x"}') $$, 'the session does not use what a validator has compiled');
SET search_path = pg_temp, public, co_low;
SELECT lives_ok($$ SELECT co_low.check_known('{"status": "x"}') $$, 'a producer''s session plans the check of a domain');
RESET search_path;
SELECT lives_ok($$ SELECT taskq.validate_task('co-known', '{"status": "x"}') $$, 'a validator does not use the plan of that check');
SET datestyle = 'SQL, DMY';
SELECT is(co_low.check_day('{"day": "01/02/2027"}'), NULL, 'a producer''s session compiles with its own settings');
RESET datestyle;
SELECT throws_ok($$ SELECT taskq.validate_task('co-day', '{"day": "2027-02-01"}') $$, 'TQ009', NULL, 'a validator does not use those settings');
SELECT co_low.later(1, '{}') \g /dev/null
RESET ROLE;
SELECT taskq.enqueue_job('co-retry') AS retry \gset
SELECT job_id, epoch FROM taskq.claim_job(task_types => '{co-retry}') \gset
SELECT lives_ok(format('SELECT taskq.fail_job(%s, %s)', :job_id, :epoch), 'a retry function does not use what the session has compiled');
SELECT is(run_at - now() BETWEEN interval '6 min' AND interval '8 min', true, 'the retry function decides about the delay') FROM taskq.all_jobs WHERE job_id = :retry;

DROP DOMAIN pg_temp.status;

-- users' code compiles first -----------------------------------------------------
CREATE DOMAIN co_app.status AS text;
SET search_path = co_app;
CREATE FUNCTION co_app.set_status(s text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	new status := s;
BEGIN
	RETURN new;
END $$;
RESET search_path;
CREATE FUNCTION co_app.opens() RETURNS timestamptz LANGUAGE plpgsql SET search_path = co_app AS $$
BEGIN
	RETURN '01/02/2027 09:00'::timestamptz;
END $$;
CREATE FUNCTION co_app.has_no_value(x integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RETURN x = NULL;
END $$;
SET ROLE regress_low;
SET search_path = co_low;
CREATE FUNCTION co_low.takes(t text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF current_user <> 'regress_low' THEN
		RAISE EXCEPTION 'taken by %', current_user;
	END IF;
	RETURN true;
END $$;
ALTER DOMAIN co_low.status ADD CHECK (co_low.takes(value));
CREATE FUNCTION co_low.traps(p jsonb) RETURNS text LANGUAGE plpgsql SET datestyle = 'SQL, DMY' SET timezone = 'Asia/Tokyo' SET transform_null_equals = on AS $$
BEGIN
	PERFORM co_app.set_status('new');
	PERFORM co_app.opens();
	PERFORM co_app.has_no_value(1);
	RETURN NULL;
END $$;
SELECT taskq.register_handler('co-traps', validator => 'co_low.traps(jsonb)') \g /dev/null
RESET search_path;
RESET ROLE;
SET search_path = co_app, public;
SET timezone = 'Europe/Paris';
SELECT lives_ok($$ SELECT taskq.validate_task('co-traps', '{}') $$, 'a validator calls functions of other roles');
SELECT lives_ok($$ SELECT co_app.set_status('new') $$, 'the session does not use what the validator has compiled of them');
SELECT is(co_app.opens(), '2027-01-02 09:00+01', 'the session uses its own settings');
SELECT is(co_app.has_no_value(NULL), NULL, 'the session uses its own domain checks');
SELECT lives_ok($$ SELECT taskq.validate_task('co-traps', '{}') $$, 'the validator works again');
SELECT is(co_app.opens(), '2027-01-02 09:00+01', 'the session uses its own settings again');

-- runs by hand ---------------------------------------------------------------------
SELECT taskq.grant_access('regress_low', k) FROM unnest('{producer,operator,worker}'::text[]) k \g /dev/null
SELECT taskq.enqueue_job('co-order', '{"status": "x"}') AS by_hand \gset
SET SESSION AUTHORIZATION regress_low;
SET search_path = co_low, public;
SELECT is(result, '{"day": "02 Jan", "hour": 9}', 'a run by hand uses its own settings') FROM taskq.run_job(:by_hand);
SET datestyle = 'SQL, DMY';
SELECT is(co_low.work('{}'), '{"day": "01 Feb", "hour": 10}', 'the session keeps its own settings after the run');
RESET datestyle;
RESET timezone;
RESET SESSION AUTHORIZATION;
SET search_path = co_app, public;
CREATE OR REPLACE FUNCTION co_app.set_status(s text) RETURNS text LANGUAGE sql AS $$ SELECT 'replaced' $$;
SELECT is(co_app.set_status('new'), 'replaced', 'a function that users'' code has called can be replaced');
SELECT lives_ok($$ SELECT taskq.validate_task('co-traps', '{}') $$, 'the validator works after the replacement');
RESET search_path;

SELECT * FROM finish();
SELECT taskq.unregister_handler(task_type) FROM taskq.list_handlers() WHERE task_type LIKE 'co-%' \g /dev/null
SELECT taskq.cancel_job(:retry) \g /dev/null
DROP OWNED BY regress_low, regress_producer;
DROP SCHEMA co_app, co_low CASCADE;
DROP ROLE regress_low, regress_producer;
