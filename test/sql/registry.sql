-- The registry: what can be registered by which role, and what is shown of it.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/wait.sql
SELECT plan(134);
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
SELECT lives_ok($$ SELECT taskq.register_handler('reg-ext') $$, 'a type for external workers needs no function');
SELECT lives_ok($$ SELECT taskq.register_handler('reg-in', 'reg.f(jsonb)', run_as => 'regress_registry') $$, 'a function of jsonb is a handler');
SELECT lives_ok($$ SELECT taskq.register_handler('reg-job', 'reg.g(taskq.job)', run_as => 'regress_registry') $$, 'a function of a job is one');
SELECT throws_ok($$ SELECT taskq.register_handler('reg-in', 'reg.f(jsonb)', run_as => 'regress_registry') $$, 'TQ001',
	'task type "reg-in" already has a handler', 'a type is registered once');
SELECT throws_ok($$ SELECT taskq.register_handler('reg-ext') $$, 'TQ001', NULL, 'an external one too');
SELECT is(pg_temp.detail_of($$ SELECT taskq.register_handler('reg-in') $$), 'It is registered for reg.f(pg_catalog.jsonb).', 'the detail says for what');
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_handler('reg-in') $$), 'Replace it with allow_override => true, or unregister it first.',
	'the hint what to do');
SELECT lives_ok($$ SELECT taskq.register_handler('reg-in', 'reg.f(jsonb)', run_as => 'regress_registry', version => '2', allow_override => true) $$, 'allow_override replaces it');
SELECT is(version, '2', 'by the new one') FROM taskq.get_handler_info('reg-in');

SELECT throws_ok(format('SELECT taskq.register_handler(%L)', name), '22023', NULL, 'no task type is called ' || what)
FROM (VALUES ('', 'nothing'), (' ', 'a blank'), ('a b', 'with a blank'), ('größe', 'with other letters'), (repeat('x', 64), 'longer than 63 bytes'), ('a"b', 'with a quote'), (E'a\n', 'with a new line')) v (name, what);
SELECT throws_ok('SELECT taskq.register_handler(NULL)', '22004', 'task type must not be NULL', 'nor NULL');
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
SELECT is(pg_temp.detail_of($$ SELECT taskq.register_handler('reg-bad', 'reg.to_set(jsonb)', run_as => 'regress_registry') $$), 'It returns a set.', 'the detail says why');
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_handler('reg-bad', 'reg.to_set(jsonb)', run_as => 'regress_registry') $$),
	'A handler is a function f(payload jsonb) RETURNS jsonb or f(job taskq.job) RETURNS jsonb, or a procedure with one of these arguments.', 'the hint what is one');
SELECT throws_ok($$ SELECT taskq.register_handler('reg-bad', 1, run_as => 'regress_registry') $$, '42883', NULL, 'nor what does not exist');
SELECT throws_ok($$ SELECT taskq.register_handler('reg-bad', 'reg.nowhere(jsonb)', run_as => 'regress_registry') $$, '42883', NULL, 'nor a name of nothing');
SELECT ok(NOT taskq.is_registered('reg-bad'), 'of all that nothing is registered');

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
SELECT is(pg_temp.as_role('regress_registry_nobody', $$ SELECT taskq.register_handler('reg-r') $$), '42501', 'not everybody may register');
SELECT is(pg_temp.as_role('regress_registry', $$ SELECT taskq.register_handler('reg-r', 'reg.private(jsonb)') $$), '42501', 'nobody registers a function that they may not call');
GRANT EXECUTE ON FUNCTION reg.private TO regress_registry_member;
SELECT is(pg_temp.as_role('regress_registry_member', $$ SELECT taskq.register_handler('reg-r', 'reg.private(jsonb)', run_as => 'regress_registry') $$), '42501', 'nor one that its role may not call');
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_handler('reg-r', 'reg.private(jsonb)', run_as => 'regress_registry') $$),
	'GRANT EXECUTE ON ROUTINE reg.private(pg_catalog.jsonb) TO regress_registry;', 'the hint is what to type');
SELECT is(pg_temp.as_role('regress_registry', $$ SELECT taskq.register_handler('reg-r', 'reg.f(jsonb)', run_as => 'regress_registry_other') $$), '42501', 'nor to run as a role that one is not a member of');
SELECT is(pg_temp.as_role('regress_registry', format($$ SELECT taskq.register_handler('reg-r', 'reg.f(jsonb)', run_as => %L) $$, quote_ident(current_user))), '42501', 'least of all a superuser');
SELECT is(pg_temp.as_role('regress_registry_member', $$ SELECT taskq.register_handler('reg-r', 'reg.f(jsonb)', run_as => 'regress_registry') $$), '', 'but as one that one is a member of');
SELECT results_eq($$ SELECT run_as, registered_by FROM taskq.get_handler_info('reg-r') $$, $$ VALUES ('regress_registry'::regrole, 'regress_registry_member'::regrole) $$, 'who and as whom is kept');
SELECT is(pg_temp.as_role('regress_registry_other', $$ SELECT taskq.register_handler('reg-r', 'reg.f(jsonb)', allow_override => true) $$), '42501', 'another role cannot override it');
SELECT is(pg_temp.as_role('regress_registry_other', $$ SELECT taskq.unregister_handler('reg-r') $$), '42501', 'nor unregister it');
SELECT is(pg_temp.as_role('regress_registry', $$ SELECT taskq.unregister_handler('reg-r') $$), 'true', 'its own can');
SELECT is(pg_temp.as_role('regress_registry_other', $$ SELECT taskq.unregister_handler('reg-ext') $$), '42501', 'an external type belongs to who registered it');

SELECT throws_ok($$ SELECT taskq.register_handler('reg-s', 'reg.f(jsonb)') $$, '42501', format('handlers do not run as superuser "%s"', current_user), 'no handler runs as a superuser');
SELECT matches(pg_temp.hint_of($$ SELECT taskq.register_handler('reg-s', 'reg.f(jsonb)') $$),
	'CREATE ROLE app LOGIN;\nSELECT taskq.grant_access.*;\nSET ROLE app;\n.*taskq.allow_superuser_handlers = on', 'the hint has the statements that make an ordinary role, and the setting');
CREATE ROLE regress_registry_nologin;
SELECT throws_ok($$ SELECT taskq.register_handler('reg-s', 'reg.f(jsonb)', run_as => 'regress_registry_nologin') $$, '22023',
	'role "regress_registry_nologin" cannot log in, so no worker can run as it', 'its role can log in') WHERE current_setting('server_version_num')::integer < 170000
UNION ALL SELECT pass('its role can log in') WHERE current_setting('server_version_num')::integer >= 170000;
SELECT current_database() AS db \gset
REVOKE CONNECT ON DATABASE :"db" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"db" TO regress_registry, regress_registry_other;
SELECT throws_ok($$ SELECT taskq.register_handler('reg-s', 'reg.f(jsonb)', run_as => 'regress_registry_nobody') $$, '22023',
	'role "regress_registry_nobody" may not connect to this database, so no worker can run as it', 'and connect');
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_handler('reg-s', 'reg.f(jsonb)', run_as => 'regress_registry_nobody') $$),
	format('GRANT CONNECT ON DATABASE %I TO regress_registry_nobody;', current_database()), 'the hint is what to type');

-- status ----------------------------------------------------------------------
CREATE FUNCTION pg_temp.status(t text) RETURNS text LANGUAGE sql AS $$ SELECT status FROM taskq.get_handler_info(t) $$;
SELECT is(pg_temp.status('reg-in'), 'ok', 'a handler that can run is ok');
REVOKE CONNECT ON DATABASE :"db" FROM regress_registry;
SELECT is(pg_temp.status('reg-in'), 'unrunnable: its role may not connect to this database', 'one whose role may not connect any more says so');
GRANT CONNECT ON DATABASE :"db" TO PUBLIC;
REVOKE EXECUTE ON FUNCTION reg.f FROM PUBLIC;
SELECT is(pg_temp.status('reg-in'), 'unrunnable: its role may not execute the function', 'one whose function is withdrawn');
GRANT EXECUTE ON FUNCTION reg.f TO PUBLIC;
ALTER ROLE regress_registry SUPERUSER;
SELECT is(pg_temp.status('reg-in'), 'unrunnable: its role is a superuser and taskq.allow_superuser_handlers is off', 'one whose role has become a superuser');
ALTER ROLE regress_registry NOSUPERUSER;
SELECT is(pg_temp.status('reg-in'), 'ok', 'and ok again');
DROP FUNCTION reg.f(jsonb);
SELECT is(pg_temp.status('reg-in'), 'unresolved: its function does not exist', 'one whose function is dropped');
SELECT is(taskq.get_handler('reg-in'), 'reg.f(pg_catalog.jsonb)', 'and which it is');
CREATE FUNCTION reg.f(jsonb) RETURNS text LANGUAGE sql AS $$ SELECT '1' $$;
SELECT is(pg_temp.status('reg-in'), 'unresolved: its function is not a handler any more', 'or is another one');
DROP FUNCTION reg.f(jsonb);
CREATE FUNCTION reg.f(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"new"'::jsonb $$;
SELECT is(pg_temp.status('reg-in'), 'ok', 'it is found again by its signature');
ALTER SCHEMA reg RENAME TO reg_renamed;
SELECT is(pg_temp.status('reg-in'), 'unresolved: its function does not exist', 'a renamed schema hides it');
ALTER SCHEMA reg_renamed RENAME TO reg;
SELECT ok(taskq.pause_handler('reg-in'), 'a handler can be paused');
SELECT ok(NOT taskq.pause_handler('reg-in'), 'once');
SELECT is(pg_temp.status('reg-in'), 'paused', 'which it shows');
SELECT ok(taskq.resume_handler('reg-in') AND NOT taskq.resume_handler('reg-in'), 'and resumed, once');
SELECT taskq.pause_handler('reg-in'), taskq.register_handler('reg-in', 'reg.f(jsonb)', run_as => 'regress_registry', allow_override => true) \gset
SELECT is(pg_temp.status('reg-in'), 'ok', 'registered anew it is not paused');
SELECT taskq.pause_handler('reg-in'), taskq.register_handler('reg-in', 'reg.f(jsonb)', run_as => 'regress_registry', allow_override => true) \gset
SELECT is(pg_temp.status('reg-in'), 'paused', 'the same registration again leaves a pause');
SELECT taskq.resume_handler('reg-in') \gset
SELECT throws_ok($$ SELECT taskq.pause_handler('reg-nobody') $$, 'TQ002', NULL, 'nobody pauses what is not registered');

-- look ------------------------------------------------------------------------
SELECT taskq.clear_handlers() \gset
SELECT taskq.create_queue('reg-q') \gset
SET LOCAL search_path = reg, public;
SELECT taskq.register_handler('reg-full', 'f(jsonb)', 'for people', '1.2.3', run_as => 'regress_registry', also_external => true, queue => 'reg-q', priority => 7, max_attempts => 3,
	timeout => '2 min', lease => '3 min', retry_policy => 'linear', retry_base => '4 s', retry_cap => '5 min', permanent_errors => '{23505}', retryable_errors => '{22,0A000}', share_commit => true, lock_timeout => '6 s') \gset
RESET search_path;
SELECT taskq.register_handler('reg-ext', description => 'measured outside') \gset
SELECT results_eq($$ SELECT * FROM taskq.list_handlers() $$, $$ VALUES
	('reg-ext', NULL, 'measured outside', NULL, 'external', 'ok', NULL::regrole, false, 'default', 0, 20, NULL::interval, '60 s'::interval, 'exponential', '1 s'::interval, '1 h'::interval,
		NULL, current_user::regrole, (taskq.get_handler_info('reg-ext')).registered_at, NULL::text[], NULL::text[], false, NULL::text, NULL::jsonb, NULL::jsonb, NULL::text, NULL::text, NULL::interval, NULL::text, NULL::text, NULL::text, NULL::timestamptz),
	('reg-full', 'reg.f(pg_catalog.jsonb)', 'for people', '1.2.3', 'in-server', 'ok', 'regress_registry', true, 'reg-q', 7, 3, '2 min', '3 min', 'linear', '4 s', '5 min',
		'reg, public', current_user::regrole, (taskq.get_handler_info('reg-full')).registered_at, '{23505}', '{22,0A000}', true, NULL, NULL, NULL, NULL, NULL, '6 s', NULL, NULL, NULL, NULL) $$,
	'list_handlers() shows all by type, what was not given as it applies');
SELECT results_eq($$ SELECT * FROM taskq.get_handler_info('reg-full') $$, $$ SELECT * FROM taskq.list_handlers() WHERE task_type = 'reg-full' $$, 'get_handler_info() one of them');
SELECT ok(registered_at BETWEEN now() AND clock_timestamp(), 'with when it was registered') FROM taskq.get_handler_info('reg-full');
SELECT is(taskq.get_handler_info('reg-none')::text, NULL, 'it is NULL when the type is not registered');
SELECT is(taskq.get_handler_info(NULL)::text, NULL, 'and for NULL');
SELECT is(taskq.get_handler('reg-full'), 'reg.f(pg_catalog.jsonb)', 'get_handler() is its qualified signature');
SELECT is(taskq.get_handler('reg-ext'), NULL, 'NULL for an external type');
SELECT throws_ok($$ SELECT taskq.get_handler('reg-none') $$, 'TQ002', 'no handler registered for task type "reg-none"', 'an error for what is not registered');
SELECT is(pg_temp.detail_of($$ SELECT taskq.get_handler('reg-none') $$), 'Registered types: reg-ext, reg-full.', 'which says what is');
SELECT throws_ok($$ SELECT taskq.get_handler(NULL) $$, '22004', NULL, 'and for NULL');
SELECT is(taskq.get_registered_types(), '{reg-ext,reg-full}', 'get_registered_types() is sorted');
SELECT is(ARRAY[taskq.is_registered('reg-ext'), taskq.is_registered('reg-none'), taskq.is_registered(''), taskq.is_registered(NULL)], '{t,f,f,f}', 'is_registered()');

-- unregister ------------------------------------------------------------------
SELECT ok(taskq.unregister_handler('reg-ext'), 'unregister_handler() says that it was there');
SELECT ok(NOT taskq.unregister_handler('reg-ext'), 'or not');
SELECT throws_ok($$ SELECT taskq.unregister_handler(NULL) $$, '22004', NULL, 'NULL never is');
SELECT pg_temp.as_role('regress_registry_other', $$ SELECT taskq.register_handler('reg-other', 'reg.f(jsonb)') $$) \g /dev/null
SELECT is(pg_temp.as_role('regress_registry', $$ SELECT taskq.clear_handlers() $$), '1', 'clear_handlers() unregisters what the caller may');
SELECT is(taskq.get_registered_types(), '{reg-other}', 'and nothing else');
SELECT results_eq($$ SELECT handler, run_as, description, version, registered_by = current_user, change, changed_by FROM taskq.handler_history WHERE task_type = 'reg-full' $$,
	$$ VALUES ('reg.f(pg_catalog.jsonb)', 'regress_registry', 'for people', '1.2.3', true, 'unregistered', 'regress_registry') $$, 'what was unregistered is kept, with who did it');
SELECT results_eq($$ SELECT change, version FROM taskq.handler_history WHERE task_type = 'reg-in' ORDER BY changed_at $$,
	$$ VALUES ('overridden', NULL), ('overridden', '2'), ('unregistered', NULL) $$, 'and what was overridden');
SELECT is(taskq.clear_handlers(), 1, 'a superuser clears all');
SELECT is(taskq.get_registered_types(), '{}', 'and nothing is left');

-- the default pool ------------------------------------------------------------
SELECT results_eq($$ SELECT pool, role, size, min_size, task_types, queues, capabilities, paused FROM taskq.pools WHERE role = 'regress_registry'::regrole $$,
	$$ VALUES ('regress_registry', 'regress_registry'::regrole, 4, 0, NULL::text[], NULL::text[], NULL::text[], false) $$,
	'the first handler of a role brings a pool, and only the first');
CREATE ROLE "regress registry" LOGIN;
SELECT taskq.register_handler('reg-p', 'reg.f(jsonb)', run_as => '"regress registry"') \gset
SELECT is(pool, 'role-' || '"regress registry"'::regrole::oid, 'also for a role whose name is none for a pool') FROM taskq.pools WHERE role = '"regress registry"'::regrole;
SELECT taskq.create_pool('regress_registry_nobody', role => 'regress_registry_other', size => 1),
	taskq.register_handler('reg-n', 'reg.f(jsonb)', run_as => 'regress_registry_nobody') \gset
SELECT is(pool, 'role-' || 'regress_registry_nobody'::regrole::oid, 'or is that of another''s') FROM taskq.pools WHERE role = 'regress_registry_nobody'::regrole;
SELECT is(count(*), 2::bigint, 'a role that has a pool gets no other') FROM taskq.pools WHERE role = 'regress_registry_other'::regrole;
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
SELECT is(pg_temp.reaches(:first), 'completed 1', 'a handler runs');
DROP FUNCTION reg.f(jsonb);
BEGIN;
SELECT taskq.enqueue_job('reg-f', priority => -1) AS waits, taskq.enqueue_job('reg-marker') AS marker \gset
COMMIT;
SELECT is(pg_temp.reaches(:marker), 'completed 1', 'without its function');
SELECT is(state || ' ' || attempt, 'available 0', 'its jobs wait') FROM taskq.all_jobs WHERE job_id = :waits;
SELECT is(reason, 'handler unresolved: its function does not exist', 'and the reason is seen') FROM taskq.unroutable_jobs WHERE task_type = 'reg-f';
CREATE FUNCTION reg.f(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"new"'::jsonb $$;
SELECT is(pg_temp.reaches(:waits), 'completed 1', 'they run when it is back');
SELECT is(result, '"new"', 'as it is then') FROM taskq.all_jobs WHERE job_id = :waits;
CREATE OR REPLACE FUNCTION reg.f(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"replaced"'::jsonb $$;
SELECT taskq.enqueue_job('reg-f') AS replaced \gset
SELECT is(pg_temp.reaches(:replaced), 'completed 1', 'a replaced function');
SELECT is(result, '"replaced"', 'is called from then on') FROM taskq.all_jobs WHERE job_id = :replaced;
SELECT taskq.register_handler('reg-f', 'reg.marker(jsonb)', run_as => 'regress_registry', allow_override => true) \gset
SELECT taskq.enqueue_job('reg-f') AS overridden \gset
SELECT is(pg_temp.reaches(:overridden), 'completed 1', 'an overridden handler');
SELECT is(result, '1', 'too') FROM taskq.all_jobs WHERE job_id = :overridden;
SELECT taskq.unregister_handler('reg-f') \gset
BEGIN;
SELECT taskq.enqueue_job('reg-f', priority => -1) AS unhandled, taskq.enqueue_job('reg-marker') AS marker \gset
COMMIT;
SELECT is(pg_temp.reaches(:marker), 'completed 1', 'unregistered');
SELECT is(state || ' ' || attempt, 'available 0', 'it leaves its jobs alone') FROM taskq.all_jobs WHERE job_id = :unhandled;
SELECT taskq.discard_job(:unhandled) \gset

-- superusers, where the administrator wants it --------------------------------
ALTER SYSTEM SET taskq.allow_superuser_handlers = on;
\set setting taskq.allow_superuser_handlers
\set value on
\i test/sql/include/reload.sql
SELECT lives_ok($$ SELECT taskq.register_handler('reg-super', 'reg.marker(jsonb)') $$, 'with allow_superuser_handlers a handler of a superuser is registered');
SELECT taskq.enqueue_job('reg-super') AS super \gset
SELECT is(pg_temp.reaches(:super), 'completed 1', 'and runs');
ALTER SYSTEM RESET taskq.allow_superuser_handlers;
\set value off
\i test/sql/include/reload.sql
SELECT is((taskq.get_handler_info('reg-super')).status, 'unrunnable: its role is a superuser and taskq.allow_superuser_handlers is off', 'without it does not');

SELECT taskq.unregister_handler('reg-super'), taskq.unregister_handler('reg-marker') \gset
SELECT taskq.drop_pool('reg') \gset
SELECT taskq.drop_pool(pool) FROM taskq.pools WHERE role = current_user::regrole \g /dev/null
SELECT ok(pg_temp.came($$ SELECT NOT EXISTS (SELECT FROM taskq.workers WHERE kind = 'background') $$), 'the workers leave');
DROP SCHEMA reg CASCADE;
DROP ROLE regress_registry;
SELECT * FROM finish();
