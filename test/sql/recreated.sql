-- If the owner creates a registered object again, its new identity is recorded. So
-- it is also found when it is renamed or moved later.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/wait.sql
SELECT plan(9);
CREATE ROLE regress_recreated LOGIN;
CREATE SCHEMA rec AUTHORIZATION regress_recreated;
CREATE SCHEMA rec_moved AUTHORIZATION regress_recreated;
SELECT taskq.grant_access('regress_recreated', a) FROM unnest('{producer,worker,admin}'::text[]) a \g /dev/null
CREATE FUNCTION pg_temp.make() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL ROLE regress_recreated;
	CREATE FUNCTION rec.work(jsonb) RETURNS jsonb LANGUAGE sql AS $f$ SELECT $1 $f$;
	CREATE FUNCTION rec.valid(jsonb) RETURNS text LANGUAGE sql AS $f$ SELECT NULL::text $f$;
	CREATE FUNCTION rec.again(integer, jsonb) RETURNS interval LANGUAGE sql AS $f$ SELECT interval '1 s' $f$;
	CREATE TYPE rec.expected AS (n integer);
	RESET ROLE;
END $$;
CREATE FUNCTION pg_temp.stand() RETURNS text LANGUAGE sql AS
	$$ SELECT concat_ws('; ', status, contract_status, retry_function_status) FROM taskq.get_handler_info('rec-work') $$;

SELECT pg_temp.make() \g /dev/null
SET SESSION AUTHORIZATION regress_recreated;
SELECT taskq.register_handler('rec-work', 'rec.work(jsonb)', payload_type => 'rec.expected', validator => 'rec.valid(jsonb)',
	retry_function => 'rec.again(integer,jsonb)') \gset
RESET SESSION AUTHORIZATION;
DROP FUNCTION rec.work, rec.valid, rec.again;
DROP TYPE rec.expected;
SELECT matches(pg_temp.stand(), 'unresolved', 'dropped objects are unresolved');
SELECT pg_temp.make() \g /dev/null
SELECT is(pg_temp.stand(), 'ok; ok; ok', 'objects that their owner has created again are found');
SELECT ok(pg_temp.came($$ SELECT (function_oid, validator_oid, retry_function_oid, payload_type_oid)
	= ('rec.work'::regproc, 'rec.valid'::regproc, 'rec.again'::regproc, 'rec.expected'::regtype) FROM taskq.handlers WHERE task_type = 'rec-work' $$),
	'the scheduler records these objects');
ALTER FUNCTION rec.work RENAME TO labour;
ALTER FUNCTION rec.valid SET SCHEMA rec_moved;
ALTER FUNCTION rec.again RENAME TO once_more;
ALTER TYPE rec.expected SET SCHEMA rec_moved;
SELECT is(pg_temp.stand(), 'ok; ok; ok', 'the recorded objects are found under another name and in another schema');
SELECT is(concat_ws(' ', handler, validator, retry_function, payload_type),
	'rec.labour(pg_catalog.jsonb) rec_moved.valid(pg_catalog.jsonb) rec.once_more(integer,pg_catalog.jsonb) rec_moved.expected', 'get_handler_info() shows the new names')
FROM taskq.get_handler_info('rec-work');

-- objects of other owners are not recorded
DROP FUNCTION rec.labour;
CREATE ROLE regress_recreated_other;
BEGIN; -- the scheduler must not see it as a superuser's function
CREATE FUNCTION rec.work(jsonb) RETURNS jsonb LANGUAGE sql AS $f$ SELECT $1 $f$;
ALTER FUNCTION rec.work OWNER TO regress_recreated_other;
COMMIT;
SELECT matches(pg_temp.stand(), 'unresolved: owner changed', 'an object of another owner under the old name is not used');
ALTER FUNCTION rec_moved.valid COST 99;
SELECT function_oid AS before FROM taskq.handlers WHERE task_type = 'rec-work' \gset
SELECT is(function_oid::text, :'before', 'an object of another owner is not recorded') FROM taskq.handlers WHERE task_type = 'rec-work';
DROP FUNCTION rec.work;
SET ROLE regress_recreated;
CREATE FUNCTION rec.work(jsonb) RETURNS jsonb LANGUAGE sql AS $f$ SELECT $1 $f$;
RESET ROLE;
SELECT is(pg_temp.stand(), 'ok; ok; ok', 'the owner may create the object again');

-- a name with a comma
CREATE FUNCTION rec."a, (b"(jsonb) RETURNS jsonb LANGUAGE sql AS $f$ SELECT $1 $f$;
SELECT taskq.register_handler('rec-comma', 'rec."a, (b"(jsonb)'::regprocedure, run_as => 'regress_recreated') \gset
DROP FUNCTION rec."a, (b"(jsonb);
CREATE FUNCTION rec."a, (b"(jsonb) RETURNS jsonb LANGUAGE sql AS $f$ SELECT $1 $f$;
SELECT is(status, 'ok', 'a function whose name has a comma is found again') FROM taskq.get_handler_info('rec-comma');
SELECT taskq.unregister_handler('rec-comma') \gset

SELECT taskq.unregister_handler('rec-work') \gset
SELECT taskq.drop_pool('regress_recreated') \g /dev/null
SELECT taskq.revoke_access('regress_recreated', a) FROM unnest('{producer,worker,admin}'::text[]) a \g /dev/null
DROP SCHEMA rec, rec_moved CASCADE;
SELECT pg_temp.came($$ SELECT NOT EXISTS (SELECT FROM taskq.workers WHERE pool = 'regress_recreated') $$) \g /dev/null
DROP ROLE regress_recreated;
DROP ROLE regress_recreated_other;
SELECT * FROM finish();
