-- A registered name means the object of the same owner: another object of that name
-- is foreign code, unless it belongs to the extension's owner, the role of the
-- handler, the role that registered it or a superuser.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/wait.sql
BEGIN;
SELECT plan(36);
CREATE ROLE regress_owners_hi LOGIN;
CREATE ROLE regress_owners_lo LOGIN;
CREATE ROLE regress_owners_dev LOGIN;
CREATE ROLE regress_owners_new;
CREATE ROLE regress_owners_boss LOGIN IN ROLE regress_owners_hi, regress_owners_dev;
SELECT taskq.grant_access('regress_owners_hi', a), taskq.grant_access('regress_owners_boss', a) FROM unnest('{producer,worker,admin}'::text[]) a \g /dev/null
CREATE SCHEMA own AUTHORIZATION regress_owners_lo;
CREATE SCHEMA other;
GRANT ALL ON SCHEMA own, other TO regress_owners_hi, regress_owners_dev, regress_owners_boss;
-- Create the function, validator, retry function and type of the test again, as a
-- given role.
CREATE FUNCTION pg_temp.make(role text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', role);
	CREATE FUNCTION own.work(jsonb) RETURNS jsonb LANGUAGE sql AS $f$ SELECT to_jsonb(current_user::text) $f$;
	CREATE PROCEDURE own.steps(jsonb, INOUT r jsonb) LANGUAGE plpgsql AS $f$ BEGIN r := '1'; END $f$;
	CREATE FUNCTION own.check(jsonb) RETURNS text LANGUAGE sql AS $f$ SELECT NULL::text $f$;
	CREATE FUNCTION own.again(integer, jsonb) RETURNS interval LANGUAGE sql AS $f$ SELECT interval '1 s' $f$;
	CREATE TYPE own.expected AS (n integer);
	GRANT USAGE ON TYPE own.expected TO PUBLIC;
	RESET ROLE;
END $$;
CREATE FUNCTION pg_temp.unmake() RETURNS void LANGUAGE sql AS $$
	DROP FUNCTION own.work, own.check, own.again; DROP PROCEDURE own.steps; DROP TYPE own.expected $$;
-- The status of handler, procedure, contract by type, contract by validator, and
-- retry function.
CREATE FUNCTION pg_temp.stand() RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(CASE task_type WHEN 'own-type' THEN contract_status WHEN 'own-check' THEN contract_status WHEN 'own-again' THEN retry_function_status
		ELSE status END, '; ' ORDER BY array_position('{own-work,own-steps,own-type,own-check,own-again}', task_type)) FROM taskq.list_handlers() WHERE task_type LIKE 'own-%' $$;
CREATE FUNCTION pg_temp.refused() RETURNS text LANGUAGE sql AS
	$$ SELECT 'unresolved: owner changed; unresolved: owner changed; unresolved: owner changed of payload type own.expected; '
		'unresolved: owner changed of validator own."check"(pg_catalog.jsonb); unresolved: owner changed of retry function own.again(integer,pg_catalog.jsonb)' $$;
CREATE FUNCTION pg_temp.ok() RETURNS text LANGUAGE sql AS $$ SELECT 'ok; ok; ok; ok; ok' $$;

SELECT pg_temp.make('regress_owners_dev') \g /dev/null
SET LOCAL SESSION AUTHORIZATION regress_owners_boss;
SELECT taskq.register_handler('own-work', 'own.work(jsonb)', run_as => 'regress_owners_hi') \g /dev/null
SELECT taskq.register_handler('own-steps', 'own.steps(jsonb,jsonb)', run_as => 'regress_owners_hi') \g /dev/null
SELECT taskq.register_handler('own-type', 'own.work(jsonb)', run_as => 'regress_owners_hi', payload_type => 'own.expected') \g /dev/null
SELECT taskq.register_handler('own-check', 'own.work(jsonb)', run_as => 'regress_owners_hi', validator => 'own.check(jsonb)') \g /dev/null
SELECT taskq.register_handler('own-again', 'own.work(jsonb)', run_as => 'regress_owners_hi', retry_function => 'own.again(integer,jsonb)') \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT is(pg_temp.stand(), pg_temp.ok(), 'objects of another role can be registered');
SELECT is(h.function_owner::text, 'regress_owners_dev', 'the owner of the function is recorded') FROM taskq.handlers h WHERE task_type = 'own-work';
SELECT is(concat_ws(' ', t.payload_type_owner, c.validator_owner, a.retry_function_owner), 'regress_owners_dev regress_owners_dev regress_owners_dev', 'the owners of type, validator and retry function are recorded')
FROM taskq.handlers t, taskq.handlers c, taskq.handlers a WHERE t.task_type = 'own-type' AND c.task_type = 'own-check' AND a.task_type = 'own-again';

-- whoever takes the names -------------------------------------------------------
SELECT pg_temp.unmake(), pg_temp.make('regress_owners_lo') \g /dev/null
SELECT is(pg_temp.stand(), pg_temp.refused(), 'objects that another role has created under these names are refused');
SELECT taskq.enqueue_job('own-work') AS work \gset
SET LOCAL SESSION AUTHORIZATION regress_owners_hi;
SELECT is_empty($$ SELECT * FROM taskq.run_next('{own-work}') $$, 'no such function runs');
SELECT throws_ok(format('SELECT taskq.enqueue_job(%L, %L)', t, '{"n": 1}'), '55000', format('payloads of task type "%s" cannot be checked', t), 'nor is asked: ' || t)
FROM unnest('{own-type,own-check}'::text[]) t;
RESET SESSION AUTHORIZATION;
SELECT is(reason, 'handler unresolved: owner changed', 'describe_job() gives the changed owner as the reason') FROM taskq.describe_job(:work);
SELECT matches(pg_temp.detail_of($$ SELECT taskq.enqueue_job('own-check') $$), 'owner changed of validator', 'the error detail names the changed owner');

-- whom it may come from -----------------------------------------------------------
SELECT pg_temp.unmake(), pg_temp.make('regress_owners_dev') \g /dev/null
SELECT is(pg_temp.stand(), pg_temp.ok(), 'objects that the same owner has created again are accepted');
SET LOCAL SESSION AUTHORIZATION regress_owners_hi;
SELECT is(state, 'completed', 'such a function runs') FROM taskq.run_next('{own-work}');
RESET SESSION AUTHORIZATION;
SELECT pg_temp.unmake(), pg_temp.make('regress_owners_hi') \g /dev/null
SELECT is(pg_temp.stand(), pg_temp.ok(), 'objects that the handler''s role has created are accepted');
SELECT pg_temp.unmake(), pg_temp.make('regress_owners_boss') \g /dev/null
SELECT is(pg_temp.stand(), pg_temp.ok(), 'objects that the registering role has created are accepted');
SELECT pg_temp.unmake(), pg_temp.make(current_user::text) \g /dev/null
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA own TO PUBLIC;
SELECT is(pg_temp.stand(), pg_temp.ok(), 'objects that a superuser has created are accepted');
SELECT pg_temp.unmake(), pg_temp.make('regress_owners_dev') \g /dev/null
GRANT ALL ON SCHEMA own TO regress_owners_lo;
ALTER FUNCTION own.work(jsonb) OWNER TO regress_owners_lo;
SELECT is(status, 'unresolved: owner changed', 'a new function that is given to another owner is refused') FROM taskq.get_handler_info('own-work');
ALTER FUNCTION own.work(jsonb) OWNER TO regress_owners_dev;
SET LOCAL SESSION AUTHORIZATION regress_owners_boss;
SELECT taskq.register_handler('own-work', 'own.work(jsonb)', run_as => 'regress_owners_hi', allow_override => true) \g /dev/null
RESET SESSION AUTHORIZATION;
ALTER FUNCTION own.work(jsonb) OWNER TO regress_owners_lo;
SELECT is(status, 'ok', 'the registered function itself may be given to another owner') FROM taskq.get_handler_info('own-work');
ALTER FUNCTION own.work(jsonb) OWNER TO regress_owners_dev;

-- the same object under another name ---------------------------------------------
SET LOCAL SESSION AUTHORIZATION regress_owners_boss;
SELECT taskq.unregister_handler(t) FROM unnest('{own-work,own-steps,own-type,own-check,own-again}'::text[]) t \g /dev/null
SELECT taskq.register_handler('own-work', 'own.work(jsonb)', run_as => 'regress_owners_hi') \g /dev/null
SELECT taskq.register_handler('own-steps', 'own.steps(jsonb,jsonb)', run_as => 'regress_owners_hi') \g /dev/null
SELECT taskq.register_handler('own-type', 'own.work(jsonb)', run_as => 'regress_owners_hi', payload_type => 'own.expected') \g /dev/null
SELECT taskq.register_handler('own-check', 'own.work(jsonb)', run_as => 'regress_owners_hi', validator => 'own.check(jsonb)') \g /dev/null
SELECT taskq.register_handler('own-again', 'own.work(jsonb)', run_as => 'regress_owners_hi', retry_function => 'own.again(integer,jsonb)') \g /dev/null
RESET SESSION AUTHORIZATION;
ALTER FUNCTION own.work(jsonb) RENAME TO labour;
ALTER PROCEDURE own.steps(jsonb, jsonb) SET SCHEMA other;
ALTER TYPE own.expected RENAME TO awaited;
ALTER FUNCTION own.check(jsonb) SET SCHEMA other;
ALTER FUNCTION own.again(integer, jsonb) RENAME TO once_more;
SELECT is(pg_temp.stand(), pg_temp.ok(), 'renamed and moved objects are found');
SELECT is(handler, 'own.labour(pg_catalog.jsonb)', 'get_handler_info() shows the new name of the function') FROM taskq.get_handler_info('own-work');
SELECT is(payload_type, 'own.awaited', 'get_handler_info() shows the new name of the type') FROM taskq.get_handler_info('own-type');
SELECT is(validator, 'other."check"(pg_catalog.jsonb)', 'get_handler_info() shows the new name of the validator') FROM taskq.get_handler_info('own-check');
SELECT is(retry_function, 'own.once_more(integer,pg_catalog.jsonb)', 'get_handler_info() shows the new name of the retry function') FROM taskq.get_handler_info('own-again');
REASSIGN OWNED BY regress_owners_dev TO regress_owners_lo;
SELECT is(pg_temp.stand(), pg_temp.ok(), 'renamed objects are found after REASSIGN OWNED');
SET LOCAL SESSION AUTHORIZATION regress_owners_hi;
SELECT lives_ok(format('SELECT taskq.enqueue_job(%L, %L)', t, '{"n": 1}'), 'and payloads are checked: ' || t) FROM unnest('{own-type,own-check}'::text[]) t;
RESET SESSION AUTHORIZATION;
ALTER FUNCTION own.labour(jsonb) OWNER TO regress_owners_new;
ALTER PROCEDURE other.steps(jsonb, jsonb) OWNER TO regress_owners_new;
ALTER TYPE own.awaited OWNER TO regress_owners_new;
ALTER FUNCTION other.check(jsonb) OWNER TO regress_owners_new;
ALTER FUNCTION own.once_more(integer, jsonb) OWNER TO regress_owners_new;
SELECT is(pg_temp.stand(), pg_temp.ok(), 'renamed objects of all kinds may be given to another owner');
SELECT pg_temp.make('regress_owners_lo') \g /dev/null
SELECT is(pg_temp.stand(), pg_temp.ok(), 'new objects under the old names are ignored');
SELECT is(handler, 'own.labour(pg_catalog.jsonb)', 'get_handler_info() shows the renamed function') FROM taskq.get_handler_info('own-work');
SELECT pg_temp.unmake(), pg_temp.make('regress_owners_dev') \g /dev/null
SELECT is(handler, 'own.work(pg_catalog.jsonb)', 'the owner can replace the function by another one of the old name') FROM taskq.get_handler_info('own-work');
SELECT pg_temp.unmake() \g /dev/null
ALTER SCHEMA own RENAME TO mine;
SELECT is(pg_temp.stand(), pg_temp.ok(), 'objects are found after their schema was renamed');
ALTER SCHEMA mine RENAME TO own;
DROP FUNCTION own.labour;
SELECT is(status, 'unresolved: its function does not exist', 'a dropped function is unresolved') FROM taskq.get_handler_info('own-work');

-- registered before owners were recorded, and restored -----------------------------
SELECT taskq.unregister_handler(t) FROM unnest('{own-work,own-steps,own-type,own-check,own-again}'::text[]) t \g /dev/null
DROP FUNCTION other.check, own.once_more; DROP PROCEDURE other.steps; DROP TYPE own.awaited;
SELECT pg_temp.make('regress_owners_dev') \g /dev/null
SET LOCAL SESSION AUTHORIZATION regress_owners_boss;
SELECT taskq.register_handler('own-work', 'own.work(jsonb)', run_as => 'regress_owners_hi', payload_type => 'own.expected', validator => 'own.check(jsonb)', retry_function => 'own.again(integer,jsonb)') \g /dev/null
RESET SESSION AUTHORIZATION;
UPDATE taskq.handlers SET function_owner = NULL, payload_type_owner = NULL, validator_owner = NULL, retry_function_owner = NULL;
-- oids from another database, which belong to objects of other owners here
UPDATE taskq.handlers SET function_oid = 'own.check(jsonb)'::regprocedure, validator_oid = 'own.work(jsonb)'::regprocedure, payload_type_oid = 'bool'::regtype, retry_function_oid = 1;
UPDATE taskq.installation SET database_name = 'elsewhere';
ALTER FUNCTION own.work(jsonb) COST 101;
SELECT is(concat_ws('; ', status, contract_status, retry_function_status), 'ok; ok; ok', 'without a recorded owner, the names decide') FROM taskq.get_handler_info('own-work');
DROP FUNCTION own.again;
SELECT is(taskq.adopt_database(), true, 'adopt_database() returns true');
SELECT is(concat_ws(' ', function_owner, payload_type_owner, validator_owner), 'regress_owners_dev regress_owners_dev regress_owners_dev', 'adopt_database() records the owners') FROM taskq.handlers WHERE task_type = 'own-work';
SELECT is(concat_ws(' ', function_oid::regprocedure, payload_type_oid::regtype, validator_oid::regprocedure), 'own.work(jsonb) own.expected own."check"(jsonb)', 'adopt_database() records the oids') FROM taskq.handlers WHERE task_type = 'own-work';
SELECT is(retry_function_oid::text, NULL, 'adopt_database() clears an oid that has no object') FROM taskq.handlers WHERE task_type = 'own-work';
DROP FUNCTION own.work;
CREATE FUNCTION own.work(jsonb) RETURNS jsonb LANGUAGE sql AS $f$ SELECT '0'::jsonb $f$;
ALTER FUNCTION own.work(jsonb) OWNER TO regress_owners_lo;
SELECT is(status, 'unresolved: owner changed', 'the recorded owner is checked after that') FROM taskq.get_handler_info('own-work');
SELECT * FROM finish();
ROLLBACK;
