-- The registry: what can be registered by which role, and what is shown of it.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/wait.sql
SELECT plan(137);
BEGIN;
CREATE SCHEMA reg;
GRANT USAGE ON SCHEMA reg TO PUBLIC;
CREATE ROLE regress_registry LOGIN;
CREATE ROLE regress_registry_other LOGIN;
CREATE ROLE regress_registry_member LOGIN IN ROLE regress_registry;
SELECT taskq.grant_access(r, 'admin') FROM unnest('{regress_registry,regress_registry_other,regress_registry_member}'::regrole[]) r \g /dev/null
CREATE FUNCTION reg.f(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"f"'::jsonb $$;
CREATE FUNCTION reg.g(taskq.job) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"g"'::jsonb $$;

-- register --------------------------------------------------------------------
SELECT lives_ok($$ SELECT taskq.register_handler('reg-ext') $$, 'an external type can be registered without a function');
SELECT lives_ok($$ SELECT taskq.register_handler('reg-in', 'reg.f(jsonb)', run_as => 'regress_registry') $$, 'a function of jsonb can be registered');
SELECT lives_ok($$ SELECT taskq.register_handler('reg-job', 'reg.g(taskq.job)', run_as => 'regress_registry') $$, 'a function of taskq.job can be registered');
SELECT throws_ok($$ SELECT taskq.register_handler('reg-in', 'reg.f(jsonb)', run_as => 'regress_registry') $$, 'TQ001',
	'task type "reg-in" already has a handler', 'a registered type cannot be registered again');
SELECT throws_ok($$ SELECT taskq.register_handler('reg-ext') $$, 'TQ001', NULL, 'a registered external type cannot be registered again');
SELECT is(pg_temp.detail_of($$ SELECT taskq.register_handler('reg-in') $$), 'It is registered for reg.f(pg_catalog.jsonb).', 'the detail names the registered handler');
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_handler('reg-in') $$), 'Replace it with allow_override => true, or unregister it first.',
	'the hint names allow_override');
SELECT lives_ok($$ SELECT taskq.register_handler('reg-in', 'reg.f(jsonb)', run_as => 'regress_registry', version => '2', allow_override => true) $$, 'allow_override replaces a handler');
SELECT is(version, '2', 'the new handler is registered') FROM taskq.get_handler_info('reg-in');

SELECT throws_ok(format('SELECT taskq.register_handler(%L)', name), '22023', NULL, 'no task type is called ' || what)
FROM (VALUES ('', 'nothing'), (' ', 'a blank'), ('a b', 'with a blank'), ('größe', 'with other letters'), (repeat('x', 64), 'longer than 63 bytes'), ('a"b', 'with a quote'), (E'a\n', 'with a new line')) v (name, what);
SELECT throws_ok('SELECT taskq.register_handler(NULL)', '22004', 'task type must not be NULL', 'task_type must not be NULL');
SELECT lives_ok(format('SELECT taskq.register_handler(%L)', name), 'but ' || name)
FROM (VALUES ('a'), ('App.Mail:send/now-1\2_x'), (repeat('x', 63))) v (name);

-- functions that cannot be handlers -------------------------------------------
CREATE FUNCTION reg.of_text(text) RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE FUNCTION reg.of_json(json) RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE FUNCTION reg.of_nothing() RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE FUNCTION reg.of_two(jsonb, integer DEFAULT 1) RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE FUNCTION reg.of_anything(anyelement) RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE FUNCTION reg.of_many(VARIADIC jsonb[]) RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE FUNCTION reg.to_text(jsonb) RETURNS text LANGUAGE sql AS $$ SELECT '1' $$;
CREATE FUNCTION reg.to_nothing(jsonb) RETURNS void LANGUAGE sql AS $$ SELECT $$;
CREATE FUNCTION reg.to_set(jsonb) RETURNS SETOF jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE FUNCTION reg.to_table(jsonb) RETURNS TABLE (a jsonb) LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE PROCEDURE reg.procedure(jsonb) LANGUAGE sql SECURITY DEFINER AS $$ SELECT $$;
CREATE AGGREGATE reg.aggregate(jsonb) (SFUNC = jsonb_concat, STYPE = jsonb);
CREATE FUNCTION pg_temp.temporary(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
SELECT throws_ok(format('SELECT taskq.register_handler(%L, %L, run_as => %L)', 'reg-bad', oid::regprocedure, 'regress_registry'),
	'42P13', NULL, 'no handler is ' || proname || '(' || pg_get_function_identity_arguments(oid) || ')')
FROM pg_proc WHERE proname <> 'f' AND proname <> 'g' AND pronamespace = 'reg'::regnamespace OR proname = 'temporary' AND pronamespace = pg_my_temp_schema()
ORDER BY proname COLLATE "C";
SELECT is(pg_temp.detail_of($$ SELECT taskq.register_handler('reg-bad', 'reg.to_set(jsonb)', run_as => 'regress_registry') $$), 'It returns a set.', 'the detail says why a function cannot be a handler');
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_handler('reg-bad', 'reg.to_set(jsonb)', run_as => 'regress_registry') $$),
	'A handler is a function f(payload jsonb) RETURNS jsonb or f(job taskq.job) RETURNS jsonb, or a procedure with one of these arguments.', 'the hint describes a handler');
SELECT throws_ok($$ SELECT taskq.register_handler('reg-bad', 1, run_as => 'regress_registry') $$, '42883', NULL, 'an unknown function oid is refused');
SELECT throws_ok($$ SELECT taskq.register_handler('reg-bad', 'reg.nowhere(jsonb)', run_as => 'regress_registry') $$, '42883', NULL, 'an unknown function name is refused');
SELECT ok(NOT taskq.is_registered('reg-bad'), 'a refused registration leaves no handler');

-- arguments -------------------------------------------------------------------
SELECT throws_ok(format('SELECT taskq.register_handler(''reg-args'', %s)', a), code, NULL, 'refused: ' || a)
FROM (VALUES ('queue => ''nowhere''', '42704'), ('queue => ''''', '22023'), ('priority => 32768', '22023'), ('priority => -32769', '22023'),
	('max_attempts => 0', '22023'), ('max_attempts => 1000001', '22023'), ('timeout => ''0''', '22023'), ('timeout => ''-1 s''', '22023'), ('lease => ''999 ms''', '22023'),
	('lease => ''11 years''', '22023'), ('retry_policy => ''quadratic''', '22023'), ('retry_base => ''-1 s''', '22023'), ('retry_cap => ''-1 s''', '22023'),
	('version => repeat(''1'', 64)', '22023'), ('permanent_errors => ''{2350}''', '22023'), ('retryable_errors => ''{2x}''', '22023'), ('also_external => NULL', '22004'),
	('run_as => ''regress_registry''', '22023'), ('search_path => ''x''', '22023'),
	('''reg.f(jsonb)'', run_as => ''regress_registry'', search_path => ''a, "b''', '22023'), ('''reg.f(jsonb)'', run_as => 1', '42704')) v (a, code);

-- rights ----------------------------------------------------------------------
CREATE FUNCTION reg.private(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
REVOKE EXECUTE ON FUNCTION reg.private FROM PUBLIC;
CREATE ROLE regress_registry_nobody LOGIN;
SELECT is(pg_temp.as_role('regress_registry_nobody', $$ SELECT taskq.register_handler('reg-r') $$), '42501', 'a role without access cannot register');
SELECT is(pg_temp.as_role('regress_registry', $$ SELECT taskq.register_handler('reg-r', 'reg.private(jsonb)') $$), '42501', 'a role cannot register a function that it may not execute');
GRANT EXECUTE ON FUNCTION reg.private TO regress_registry_member;
SELECT is(pg_temp.as_role('regress_registry_member', $$ SELECT taskq.register_handler('reg-r', 'reg.private(jsonb)', run_as => 'regress_registry') $$), '42501', 'a role cannot register a function that the handler''s role may not execute');
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_handler('reg-r', 'reg.private(jsonb)', run_as => 'regress_registry') $$),
	'Run GRANT EXECUTE ON ROUTINE reg.private(pg_catalog.jsonb) TO regress_registry.', 'the hint has the GRANT statement for the function');
SELECT is(pg_temp.as_role('regress_registry', $$ SELECT taskq.register_handler('reg-r', 'reg.f(jsonb)', run_as => 'regress_registry_other') $$), '42501', 'a role cannot register a handler for a role that it is not a member of');
SELECT is(pg_temp.as_role('regress_registry', format($$ SELECT taskq.register_handler('reg-r', 'reg.f(jsonb)', run_as => %L) $$, quote_ident(current_user))), '42501', 'a role cannot register a handler for a superuser');
SELECT is(pg_temp.as_role('regress_registry_member', $$ SELECT taskq.register_handler('reg-r', 'reg.f(jsonb)', run_as => 'regress_registry') $$), '', 'a role can register a handler for a role that it is a member of');
SELECT results_eq($$ SELECT run_as, registered_by FROM taskq.get_handler_info('reg-r') $$, $$ VALUES ('regress_registry'::regrole, 'regress_registry_member'::regrole) $$, 'get_handler_info() shows both roles');
SELECT is(pg_temp.as_role('regress_registry_other', $$ SELECT taskq.register_handler('reg-r', 'reg.f(jsonb)', allow_override => true) $$), '42501', 'another role cannot override the handler');
SELECT is(pg_temp.as_role('regress_registry_other', $$ SELECT taskq.unregister_handler('reg-r') $$), '42501', 'another role cannot unregister the handler');
SELECT is(pg_temp.as_role('regress_registry', $$ SELECT taskq.unregister_handler('reg-r') $$), 'true', 'the handler''s role can unregister it');
SELECT is(pg_temp.as_role('regress_registry_other', $$ SELECT taskq.unregister_handler('reg-ext') $$), '42501', 'another role cannot unregister an external type');

SELECT throws_ok($$ SELECT taskq.register_handler('reg-s', 'reg.f(jsonb)') $$, '42501', format('handlers do not run as superuser "%s"', current_user), 'a superuser cannot register a handler for itself');
SELECT matches(pg_temp.hint_of($$ SELECT taskq.register_handler('reg-s', 'reg.f(jsonb)') $$),
	'CREATE ROLE app LOGIN;\nSELECT taskq.grant_access.*;\nSET ROLE app;\n.*taskq.allow_superuser_handlers = on', 'the hint has the statements that create an ordinary role, and the setting');
CREATE ROLE regress_registry_nologin;
SELECT throws_ok($$ SELECT taskq.register_handler('reg-s', 'reg.f(jsonb)', run_as => 'regress_registry_nologin') $$, '22023',
	'role "regress_registry_nologin" cannot log in, so no worker can run as it', 'its role can log in') WHERE current_setting('server_version_num')::integer < 170000
UNION ALL SELECT pass('its role can log in') WHERE current_setting('server_version_num')::integer >= 170000;
SELECT current_database() AS db \gset
REVOKE CONNECT ON DATABASE :"db" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"db" TO regress_registry, regress_registry_other;
SELECT throws_ok($$ SELECT taskq.register_handler('reg-s', 'reg.f(jsonb)', run_as => 'regress_registry_nobody') $$, '22023',
	'role "regress_registry_nobody" may not connect to this database, so no worker can run as it', 'the handler''s role must be allowed to connect');
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_handler('reg-s', 'reg.f(jsonb)', run_as => 'regress_registry_nobody') $$),
	format('Run GRANT CONNECT ON DATABASE %I TO regress_registry_nobody.', current_database()), 'the hint has the GRANT statement for the database');

-- status ----------------------------------------------------------------------
CREATE FUNCTION pg_temp.status(t text) RETURNS text LANGUAGE sql AS $$ SELECT status FROM taskq.get_handler_info(t) $$;
SELECT is(pg_temp.status('reg-in'), 'ok', 'the status of a handler that can run is ok');
REVOKE CONNECT ON DATABASE :"db" FROM regress_registry;
SELECT is(pg_temp.status('reg-in'), 'unrunnable: its role may not connect to this database', 'the status shows that the role may not connect');
GRANT CONNECT ON DATABASE :"db" TO PUBLIC;
REVOKE EXECUTE ON FUNCTION reg.f FROM PUBLIC;
SELECT is(pg_temp.status('reg-in'), 'unrunnable: its role may not execute the function', 'the status shows that the role may not execute the function');
GRANT EXECUTE ON FUNCTION reg.f TO PUBLIC;
ALTER ROLE regress_registry SUPERUSER;
SELECT is(pg_temp.status('reg-in'), 'unrunnable: its role is a superuser and taskq.allow_superuser_handlers is off', 'the status shows that the role is a superuser');
ALTER ROLE regress_registry NOSUPERUSER;
SELECT is(pg_temp.status('reg-in'), 'ok', 'the status is ok again');
DROP FUNCTION reg.f(jsonb);
SELECT is(pg_temp.status('reg-in'), 'unresolved: its function does not exist', 'the status shows that the function does not exist');
SELECT is(taskq.get_handler('reg-in'), 'reg.f(pg_catalog.jsonb)', 'get_handler() returns the signature of a dropped function');
CREATE FUNCTION reg.f(jsonb) RETURNS text LANGUAGE sql AS $$ SELECT '1' $$;
SELECT is(pg_temp.status('reg-in'), 'unresolved: its function is not a handler any more', 'the status shows that the function is not a handler any more');
DROP FUNCTION reg.f(jsonb);
CREATE FUNCTION reg.f(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"new"'::jsonb $$;
SELECT is(pg_temp.status('reg-in'), 'ok', 'a new function with the same signature is found');
ALTER SCHEMA reg RENAME TO reg_renamed;
SELECT is(pg_temp.status('reg-in'), 'unresolved: its function does not exist', 'the status shows that the schema was renamed');
ALTER SCHEMA reg_renamed RENAME TO reg;
SELECT ok(taskq.pause_handler('reg-in'), 'pause_handler() returns true');
SELECT ok(NOT taskq.pause_handler('reg-in'), 'pause_handler() returns false for a paused type');
SELECT is(pg_temp.status('reg-in'), 'paused', 'the status shows the pause');
SELECT ok(taskq.resume_handler('reg-in') AND NOT taskq.resume_handler('reg-in'), 'resume_handler() returns true, and false if it is repeated');
SELECT taskq.pause_handler('reg-in'), taskq.register_handler('reg-in', 'reg.f(jsonb)', run_as => 'regress_registry', allow_override => true) \gset
SELECT is(pg_temp.status('reg-in'), 'ok', 'a new registration ends a pause');
SELECT taskq.pause_handler('reg-in'), taskq.register_handler('reg-in', 'reg.f(jsonb)', run_as => 'regress_registry', allow_override => true) \gset
SELECT is(pg_temp.status('reg-in'), 'paused', 'the same registration again keeps a pause');
SELECT taskq.resume_handler('reg-in') \gset
SELECT throws_ok($$ SELECT taskq.pause_handler('reg-nobody') $$, 'TQ002', NULL, 'pause_handler() raises TQ002 for an unregistered type');

-- look ------------------------------------------------------------------------
SELECT taskq.clear_handlers() \gset
SELECT taskq.create_queue('reg-q') \gset
SET LOCAL search_path = reg, public;
SELECT taskq.register_handler('reg-full', 'f(jsonb)', 'for people', '1.2.3', run_as => 'regress_registry', also_external => true, queue => 'reg-q', priority => 7, max_attempts => 3,
	timeout => '2 min', lease => '3 min', retry_policy => 'linear', retry_base => '4 s', retry_cap => '5 min', permanent_errors => '{23505}', retryable_errors => '{22,0A000}', share_commit => true, lock_timeout => '6 s', async_commit => true) \gset
RESET search_path;
SELECT taskq.register_handler('reg-ext', description => 'measured outside') \gset
SELECT results_eq($$ SELECT * FROM taskq.list_handlers() $$, $$ VALUES
	('reg-ext', NULL, 'measured outside', NULL, 'external', 'ok', NULL::regrole, false, 'default', 0, 20, NULL::interval, '60 s'::interval, 'exponential', '1 s'::interval, '1 h'::interval,
		NULL, current_user::regrole, (taskq.get_handler_info('reg-ext')).registered_at, NULL::text[], NULL::text[], false, NULL::text, NULL::jsonb, NULL::jsonb, NULL::text, NULL::text, NULL::interval, NULL::text, NULL::text, NULL::text, NULL::timestamptz, false),
	('reg-full', 'reg.f(pg_catalog.jsonb)', 'for people', '1.2.3', 'in-server', 'ok', 'regress_registry', true, 'reg-q', 7, 3, '2 min', '3 min', 'linear', '4 s', '5 min',
		'reg, public', current_user::regrole, (taskq.get_handler_info('reg-full')).registered_at, '{23505}', '{22,0A000}', true, NULL, NULL, NULL, NULL, NULL, '6 s', NULL, NULL, NULL, NULL, true) $$,
	'list_handlers() shows all types in order, with their defaults');
SELECT results_eq($$ SELECT * FROM taskq.get_handler_info('reg-full') $$, $$ SELECT * FROM taskq.list_handlers() WHERE task_type = 'reg-full' $$, 'get_handler_info() returns one of these rows');
SELECT ok(registered_at BETWEEN now() AND clock_timestamp(), 'get_handler_info() shows the time of registration') FROM taskq.get_handler_info('reg-full');
SELECT is(taskq.get_handler_info('reg-none')::text, NULL, 'get_handler_info() returns NULL for an unregistered type');
SELECT is(taskq.get_handler_info(NULL)::text, NULL, 'get_handler_info() returns NULL for NULL');
SELECT is(taskq.get_handler('reg-full'), 'reg.f(pg_catalog.jsonb)', 'get_handler() returns the qualified signature');
SELECT is(taskq.get_handler('reg-ext'), NULL, 'get_handler() returns NULL for an external type');
SELECT throws_ok($$ SELECT taskq.get_handler('reg-none') $$, 'TQ002', 'no handler registered for task type "reg-none"', 'get_handler() raises TQ002 for an unregistered type');
SELECT is(pg_temp.detail_of($$ SELECT taskq.get_handler('reg-none') $$), 'Registered types: reg-ext, reg-full.', 'the detail lists the registered types');
SELECT throws_ok($$ SELECT taskq.get_handler(NULL) $$, '22004', NULL, 'get_handler() refuses NULL');
SELECT is(taskq.get_registered_types(), '{reg-ext,reg-full}', 'get_registered_types() is sorted');
SELECT is(ARRAY[taskq.is_registered('reg-ext'), taskq.is_registered('reg-none'), taskq.is_registered(''), taskq.is_registered(NULL)], '{t,f,f,f}', 'is_registered() is true only for a registered type');

-- unregister ------------------------------------------------------------------
SELECT ok(taskq.unregister_handler('reg-ext'), 'unregister_handler() returns true for a registered type');
SELECT ok(NOT taskq.unregister_handler('reg-ext'), 'unregister_handler() returns false for an unregistered type');
SELECT throws_ok($$ SELECT taskq.unregister_handler(NULL) $$, '22004', NULL, 'unregister_handler() refuses NULL');
SELECT pg_temp.as_role('regress_registry_other', $$ SELECT taskq.register_handler('reg-other', 'reg.f(jsonb)') $$) \g /dev/null
SELECT is(pg_temp.as_role('regress_registry', $$ SELECT taskq.clear_handlers() $$), '1', 'clear_handlers() unregisters the handlers that the caller may unregister');
SELECT is(taskq.get_registered_types(), '{reg-other}', 'clear_handlers() keeps other handlers');
SELECT results_eq($$ SELECT handler, run_as, description, version, registered_by = current_user, change, changed_by FROM taskq.handler_history WHERE task_type = 'reg-full' $$,
	$$ VALUES ('reg.f(pg_catalog.jsonb)', 'regress_registry', 'for people', '1.2.3', true, 'unregistered', 'regress_registry') $$, 'handler_history shows an unregistered handler, and the role that made the change');
SELECT results_eq($$ SELECT change, version FROM taskq.handler_history WHERE task_type = 'reg-in' ORDER BY changed_at $$,
	$$ VALUES ('overridden', NULL), ('overridden', '2'), ('unregistered', NULL) $$, 'handler_history shows overridden handlers');
SELECT is(taskq.clear_handlers(), 1, 'clear_handlers() by a superuser unregisters all handlers');
SELECT is(taskq.get_registered_types(), '{}', 'no handler is left');

-- the default pool ------------------------------------------------------------
SELECT results_eq($$ SELECT pool, role, size, min_size, task_types, queues, capabilities, paused FROM taskq.pools WHERE role = 'regress_registry'::regrole $$,
	$$ VALUES ('regress_registry', 'regress_registry'::regrole, 4, 0, NULL::text[], NULL::text[], NULL::text[], false) $$,
	'the first handler of a role creates a pool, and later ones do not');
CREATE ROLE "regress registry" LOGIN;
SELECT taskq.register_handler('reg-p', 'reg.f(jsonb)', run_as => '"regress registry"') \gset
SELECT is(pool, 'role-' || '"regress registry"'::regrole::oid, 'the pool has another name if the role''s name is not a valid pool name') FROM taskq.pools WHERE role = '"regress registry"'::regrole;
SELECT taskq.create_pool('regress_registry_nobody', role => 'regress_registry_other', size => 1),
	taskq.register_handler('reg-n', 'reg.f(jsonb)', run_as => 'regress_registry_nobody') \gset
SELECT is(pool, 'role-' || 'regress_registry_nobody'::regrole::oid, 'the pool has another name if a pool of the role''s name exists') FROM taskq.pools WHERE role = 'regress_registry_nobody'::regrole;
SELECT is(count(*), 2::bigint, 'a role that has a pool is given no other') FROM taskq.pools WHERE role = 'regress_registry_other'::regrole;
ROLLBACK;

-- while the pool runs ---------------------------------------------------------
CREATE ROLE regress_registry LOGIN;
CREATE SCHEMA reg;
GRANT USAGE ON SCHEMA reg TO regress_registry;
CREATE FUNCTION reg.f(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"old"'::jsonb $$;
CREATE FUNCTION reg.marker(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
SELECT taskq.create_pool('reg', size => 1, role => 'regress_registry') \gset
SELECT taskq.register_handler('reg-f', 'reg.f(jsonb)', run_as => 'regress_registry'), taskq.register_handler('reg-marker', 'reg.marker(jsonb)', run_as => 'regress_registry') \gset
SELECT taskq.enqueue_job('reg-f') AS first \gset
SELECT is(pg_temp.reaches(:first), 'completed 1', 'the handler runs a job');
DROP FUNCTION reg.f(jsonb);
BEGIN;
SELECT taskq.enqueue_job('reg-f', priority => -1) AS waits, taskq.enqueue_job('reg-marker') AS marker \gset
COMMIT;
SELECT is(pg_temp.reaches(:marker), 'completed 1', 'another handler runs after the function was dropped');
SELECT is(state || ' ' || attempt, 'available 0', 'jobs of a handler without its function wait') FROM taskq.all_jobs WHERE job_id = :waits;
SELECT is(reason, 'handler unresolved: its function does not exist', 'unroutable_jobs shows the reason') FROM taskq.unroutable_jobs WHERE task_type = 'reg-f';
CREATE FUNCTION reg.f(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"new"'::jsonb $$;
SELECT is(pg_temp.reaches(:waits), 'completed 1', 'the jobs run when the function exists again');
SELECT is(result, '"new"', 'the new function runs them') FROM taskq.all_jobs WHERE job_id = :waits;
CREATE OR REPLACE FUNCTION reg.f(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"replaced"'::jsonb $$;
SELECT taskq.enqueue_job('reg-f') AS replaced \gset
SELECT is(pg_temp.reaches(:replaced), 'completed 1', 'a job runs after the function was replaced');
SELECT is(result, '"replaced"', 'the replaced function is called') FROM taskq.all_jobs WHERE job_id = :replaced;
SELECT taskq.register_handler('reg-f', 'reg.marker(jsonb)', run_as => 'regress_registry', allow_override => true) \gset
SELECT taskq.enqueue_job('reg-f') AS overridden \gset
SELECT is(pg_temp.reaches(:overridden), 'completed 1', 'a job runs after the handler was overridden');
SELECT is(result, '1', 'the new handler is called') FROM taskq.all_jobs WHERE job_id = :overridden;
SELECT taskq.unregister_handler('reg-f') \gset
BEGIN;
SELECT taskq.enqueue_job('reg-f', priority => -1) AS unhandled, taskq.enqueue_job('reg-marker') AS marker \gset
COMMIT;
SELECT is(pg_temp.reaches(:marker), 'completed 1', 'unregistered');
SELECT is(state || ' ' || attempt, 'available 0', 'jobs of an unregistered type stay available') FROM taskq.all_jobs WHERE job_id = :unhandled;
SELECT taskq.discard_job(:unhandled) \gset

-- a role that was dropped -----------------------------------------------------
CREATE ROLE regress_registry_gone LOGIN;
GRANT regress_registry_gone TO regress_registry;
GRANT USAGE ON SCHEMA reg TO regress_registry_gone, regress_registry;
SELECT taskq.grant_access('regress_registry', 'admin') \gset
SET SESSION AUTHORIZATION regress_registry;
SELECT taskq.register_handler('reg-gone', 'reg.marker(jsonb)', run_as => 'regress_registry_gone') \gset
RESET SESSION AUTHORIZATION;
REVOKE USAGE ON SCHEMA reg FROM regress_registry_gone;
DROP ROLE regress_registry_gone;
SET SESSION AUTHORIZATION regress_registry;
SELECT lives_ok($$ SELECT taskq.register_handler('reg-gone', 'reg.marker(jsonb)', allow_override => true) $$, 'when the role of a handler was dropped, every admin may register the type anew');
SELECT is(taskq.unregister_handler('reg-gone'), true, 'the new handler is its registrar''s');
SELECT lives_ok($$ SELECT taskq.drop_pool('regress_registry_gone') $$, 'every admin may drop the pool of such a role');
RESET SESSION AUTHORIZATION;
SELECT taskq.revoke_access('regress_registry', 'admin') \gset
REVOKE USAGE ON SCHEMA reg FROM regress_registry;

-- superusers, where the administrator wants it --------------------------------
ALTER SYSTEM SET taskq.allow_superuser_handlers = on;
\set setting taskq.allow_superuser_handlers
\set value on
\i test/sql/include/reload.sql
SELECT lives_ok($$ SELECT taskq.register_handler('reg-super', 'reg.marker(jsonb)') $$, 'with allow_superuser_handlers, a handler of a superuser can be registered');
SELECT taskq.enqueue_job('reg-super') AS super \gset
SELECT is(pg_temp.reaches(:super), 'completed 1', 'with allow_superuser_handlers, it runs');
ALTER SYSTEM RESET taskq.allow_superuser_handlers;
\set value off
\i test/sql/include/reload.sql
SELECT is((taskq.get_handler_info('reg-super')).status, 'unrunnable: its role is a superuser and taskq.allow_superuser_handlers is off', 'without allow_superuser_handlers, it does not run');

SELECT taskq.unregister_handler('reg-super'), taskq.unregister_handler('reg-marker') \gset
SELECT taskq.drop_pool('reg') \gset
SELECT taskq.drop_pool(pool) FROM taskq.pools WHERE role = current_user::regrole \g /dev/null
SELECT ok(pg_temp.came($$ SELECT NOT EXISTS (SELECT FROM taskq.workers WHERE kind = 'background') $$), 'the workers of dropped pools leave');
DROP SCHEMA reg CASCADE;
DROP ROLE regress_registry;
SELECT * FROM finish();
