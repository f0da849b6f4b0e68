-- The contract of a handler's payloads: what is checked at enqueue, as which role,
-- and what remains of it when types, functions and roles change.
\set ECHO none
\i test/sql/include/tap.sql
SELECT plan(229);
BEGIN;
CREATE SCHEMA pay;
CREATE ROLE regress_payload LOGIN;
CREATE ROLE regress_payload_producer LOGIN;
CREATE ROLE regress_payload_other LOGIN;
GRANT ALL ON SCHEMA pay TO regress_payload;
GRANT USAGE ON SCHEMA pay TO PUBLIC;
SELECT taskq.grant_access('regress_payload', k) FROM unnest('{admin,worker,producer}'::text[]) k \g /dev/null
SELECT taskq.grant_access('regress_payload_other', 'admin'), taskq.grant_access('regress_payload_producer', 'producer') \g /dev/null
SET LOCAL ROLE regress_payload;
CREATE FUNCTION pay.f(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT $1 $$;

RESET ROLE;

-- The error for a payload.
CREATE FUNCTION pg_temp.wrong(payload text, t text DEFAULT 'pay') RETURNS text LANGUAGE sql AS
	$$ SELECT pg_temp.detail_of(format('SELECT taskq.validate_task(%L, %L)', t, payload)) $$;
-- Register a handler of the type "pay", which replaces the last one.
CREATE FUNCTION pg_temp.expects(contract text, t text DEFAULT 'pay') RETURNS text LANGUAGE sql AS
	$$ SELECT pg_temp.as_role('regress_payload', format('SELECT taskq.register_handler(%L, ''pay.f(jsonb)'', allow_override => true, %s)', t, contract)) $$;

-- no contract -----------------------------------------------------------------
SELECT throws_ok($$ SELECT taskq.validate_task('pay') $$, 'TQ002', 'no handler registered for task type "pay"', 'validate_task() refuses an unregistered type');
SELECT is(pg_temp.expects('version => ''1'''), '', 'a handler may have no contract');
SELECT lives_ok(format('SELECT taskq.validate_task(''pay'', %L)', p), 'takes ' || p) FROM unnest('{"{}","null","5","[1]","\"x\"","true"}'::text[]) p;
SELECT lives_ok($$ SELECT taskq.validate_task('pay'), taskq.validate_task('pay', NULL) $$, 'without a payload, validate_task() checks only the type');
SELECT throws_ok($$ SELECT taskq.validate_task(NULL) $$, '22004', NULL, 'task_type must not be NULL');
SELECT throws_ok($$ SELECT taskq.validate_task('a b') $$, '22023', NULL, 'task_type must be a name');
SELECT throws_ok($$ SELECT taskq.validate_task('pay', to_jsonb(repeat('x', 2000000))) $$, 'TQ009', NULL, 'a payload larger than the limit is refused');

-- fields ----------------------------------------------------------------------
SELECT is(pg_temp.expects($$ required_fields => '{"amount": "number", "currency": "string"}', optional_fields => '{"note": "string|null", "n": "integer"}' $$), '', 'a handler may declare fields');
SELECT is(pg_temp.wrong(p), d, what) FROM (VALUES
	('{"amount": 1.5, "currency": "EUR"}', 'no error', 'a payload with the required fields is valid'),
	('{"amount": 1, "currency": "EUR", "note": null, "n": 3}', 'no error', 'a payload with the optional fields is valid'),
	('{"amount": 1, "currency": "EUR", "other": {}}', 'no error', 'further fields are ignored'),
	('{"amount": 1}', 'Field "currency" is missing.', 'the error names a missing field'),
	('{}', 'Field "amount" is missing. Field "currency" is missing.', 'the error names each missing field'),
	('{"amount": "1", "currency": 5, "note": 7, "n": 1.5}',
		'Field "amount" must be number, not string. Field "currency" must be string, not number. Field "n" must be integer, not number. Field "note" must be string|null, not number.', 'the error names each field of a wrong type'),
	('{"amount": null, "currency": ["EUR"], "n": "1"}',
		'Field "amount" must be number, not null. Field "currency" must be string, not array. Field "n" must be integer, not string.', 'null is a separate type'),
	('{"amount": {}}', 'Field "amount" must be number, not object. Field "currency" is missing.', 'the error names wrong and missing fields together'),
	('[1]', 'The payload is not an object.', 'an array is not an object'),
	('null', 'The payload is not an object.', 'null is not an object')) v (p, d, what);
SELECT throws_ok($$ SELECT taskq.validate_task('pay', '{}') $$, 'TQ009', 'the payload is not valid for task type "pay"', 'an invalid payload raises TQ009');
SELECT is(pg_temp.hint_of($$ SELECT taskq.validate_task('pay', '{}') $$), 'It must have "amount" (number), "currency" (string). It may have "n" (integer), "note" (string|null).', 'the hint lists the fields');
SELECT is(pg_temp.expects(format('required_fields => ''{"x": "%s"}''', t)), '', t || ' is a type') FROM unnest('{string,number,integer,boolean,object,array,"null",any,string|null|array}'::text[]) t;
SELECT is((SELECT string_agg(t, ' ' ORDER BY n) FROM unnest('{string,number,integer,boolean,object,array,"null",any}'::text[]) WITH ORDINALITY u (t, n)
	WHERE pg_temp.expects(format('required_fields => ''{"x": "%s"}''', t)) = '' AND pg_temp.wrong(format('{"x": %s}', v)) = 'no error'), fit, v || ' is ' || fit)
FROM (VALUES ('"a"', 'string any'), ('1.5', 'number any'), ('1', 'number integer any'), ('1.0', 'number integer any'), ('1e3', 'number integer any'), ('-12345678901234567890123', 'number integer any'),
	('true', 'boolean any'), ('{"a": 1}', 'object any'), ('{}', 'object any'), ('[]', 'array any'), ('null', 'null any')) v (v, fit);
SELECT is(pg_temp.expects($$ required_fields => '{}' $$), '', 'a contract may have no fields');
SELECT is(pg_temp.wrong('{"x": 1}') || ' ' || pg_temp.wrong('1'), 'no error The payload is not an object.', 'such a contract requires an object');
SELECT is(pg_temp.expects(format('required_fields => (SELECT jsonb_object_agg(n, ''any'') FROM generate_series(1, 1000) n)')), '', 'a contract may have many fields');
SELECT matches(pg_temp.wrong('{}'), '^(Field "[0-9]+" is missing. ){100}And so on.$', 'the error names the first hundred fields');
SELECT is(pg_temp.expects($$ required_fields => '{"": "any", "größe \"x\" %s": "any"}' $$), '', 'field names may contain any characters');
SELECT is(pg_temp.wrong('{}'), 'Field "" is missing. Field "größe "x" %s" is missing.', 'the error shows such names');

SELECT throws_ok(format('SELECT taskq.register_handler(''pay-bad'', %s)', a), '22023', NULL, 'no fields: ' || a) FROM unnest(ARRAY[
	$$required_fields => '[]'$$, $$required_fields => 'null'$$, $$required_fields => '"x"'$$, $$optional_fields => '5'$$, $$required_fields => '{"a": 1}'$$, $$required_fields => '{"a": null}'$$,
	$$required_fields => '{"a": {"b": "string"}}'$$, $$required_fields => '{"a": "text"}'$$, $$required_fields => '{"a": ""}'$$, $$required_fields => '{"a": "string|"}'$$,
	$$required_fields => '{"a": "|string"}'$$, $$required_fields => '{"a": "String"}'$$, $$optional_fields => '{"a": "string | null"}'$$]) a;
SELECT is(pg_temp.detail_of($$ SELECT taskq.register_handler('pay-bad', required_fields => '{"a": "strin"}') $$), 'Field "a" has the unknown type "strin".', 'the detail says which field has an unknown type');
SELECT matches(pg_temp.hint_of($$ SELECT taskq.register_handler('pay-bad', required_fields => '{"a": "strin"}') $$), 'types are string, number, integer, boolean, object, array, null and any', 'the hint lists the known types');
SELECT is(pg_temp.detail_of($$ SELECT taskq.register_handler('pay-bad', required_fields => '{"a": "any", "b": "any"}', optional_fields => '{"b": "any"}') $$),
	'Field "b" is in required_fields as well.', 'a field cannot be both required and optional');
SELECT lives_ok($$ SELECT taskq.register_handler('pay-super', required_fields => '{"a": "any"}') $$, 'a superuser can declare fields of an external type');

-- types -----------------------------------------------------------------------
SET LOCAL ROLE regress_payload;
CREATE DOMAIN pay.email AS text NOT NULL CHECK (VALUE ~ '@');
CREATE TYPE pay.place AS (street text, zip integer);
CREATE TYPE pay.mail AS ("to" pay.email, subject text, n smallint, place pay.place, tags text[], at date);
CREATE DOMAIN pay.good_mail AS pay.mail CHECK ((VALUE).n > 0);
CREATE DOMAIN pay.document AS jsonb CHECK (VALUE ? 'a');
CREATE DOMAIN pay.positive AS integer NOT NULL CHECK (VALUE > 0);
CREATE DOMAIN pay.names AS text[] CHECK (cardinality(VALUE) < 3);
CREATE TABLE pay.orders (id bigint GENERATED ALWAYS AS IDENTITY, customer text NOT NULL, amount numeric(10, 2) NOT NULL DEFAULT 1, gone text, note text);
ALTER TABLE pay.orders DROP COLUMN gone;
CREATE TYPE pay.mood AS ENUM ('glad', 'sad');
RESET ROLE;
SELECT is(pg_temp.expects(format('payload_type => %L', t)), '', t || ' is a payload type') FROM unnest('{pay.orders,pay.names,pay.document,pay.good_mail,pay.mail}'::text[]) t;
SELECT is(pg_temp.wrong(p), d, what) FROM (VALUES
	('{"to": "a@b", "subject": "x", "n": 1, "place": {"street": "y", "zip": 1}, "tags": ["a"], "at": "2026-01-01"}', 'no error', 'a payload with all members of a row type is valid'),
	('{"to": "a@b"}', 'no error', 'nullable members may be omitted'),
	('{"to": "a@b", "n": null, "place": null, "tags": null}', 'no error', 'nullable members may be null'),
	('{"to": "a@b", "n": "5", "subject": 7}', 'no error', 'text and numbers are converted as by PostgreSQL'),
	('{}', 'Field "to" is missing.', 'the error names a missing member'),
	('{"to": null}', 'Field "to": domain pay.email does not allow null values.', 'the error names a member that must not be null'),
	('{"to": "ab"}', 'Field "to": value for domain pay.email violates check constraint "email_check".', 'the error names a member that violates its domain'),
	('{"to": "a@b", "subjct": "x"}', 'Field "subjct" is unknown.', 'the error names an unknown member'),
	('{"to": "a@b", "n": 40000}', 'Field "n": value "40000" is out of range for type smallint.', 'the error names a member that is out of range'),
	('{"n": "x", "place": {"zip": "y", "town": 1}, "at": "never", "more": 1}',
		'Field "to" is missing. Field "n": invalid input syntax for type smallint: "x". Field "place.zip": invalid input syntax for type integer: "y". Field "place.town" is unknown. '
		'Field "at": invalid input syntax for type date: "never". Field "more" is unknown.', 'the error names all of these together, also nested ones'),
	('{"to": "a@b", "place": {"town": 1}}', 'Field "place.town" is unknown.', 'the error names an unknown nested member'),
	('[]', 'The payload is not an object.', 'an array is not a row'), ('null', 'The payload is not an object.', 'null is not a row')) v (p, d, what);
SELECT matches(pg_temp.wrong('{"to": "a@b", "place": 5, "tags": "x"}'), '^Field "place": .* Field "tags": ', 'scalars are not rows or arrays');
SELECT matches(pg_temp.wrong(format('{"to": "a@b", "n": "%s"}', repeat('x', 100000))), '^Field "n": invalid input syntax for type smallint: "x{200}x{200}x* \.\.\.$', 'quoted values are cut');
SELECT is(pg_temp.wrong(p, 'pay-' || t), d, what) FROM
	(SELECT t, pg_temp.expects(format('payload_type => %L', 'pay.' || t), 'pay-' || t) AS done FROM unnest('{good_mail,document,positive,names,orders}'::text[]) t) x JOIN (VALUES
	(1, 'good_mail', '{"to": "a@b", "n": 1}', 'no error', 'a domain over a row type accepts a valid payload'),
	(2, 'good_mail', '{"to": "a@b", "n": 0}', 'The payload: value for domain pay.good_mail violates check constraint "good_mail_check".', 'a domain over a row type checks the whole row'),
	(3, 'good_mail', '{"to": "ab", "n": 0}', 'Field "to": value for domain pay.email violates check constraint "email_check".', 'a domain over a row type is checked after the members'),
	(4, 'document', '{"a": 1}', 'no error', 'a domain over jsonb accepts a valid payload'),
	(5, 'document', '{"b": 1}', 'The payload: value for domain pay.document violates check constraint "document_check".', 'a domain over jsonb checks the whole payload'),
	(6, 'document', '[1, "a"]', 'no error', 'a domain over jsonb accepts an array'),
	(7, 'positive', '5', 'no error', 'a domain over a number accepts a valid payload'),
	(8, 'positive', '-5', 'The payload: value for domain pay.positive violates check constraint "positive_check".', 'a domain over a number checks it'),
	(9, 'positive', 'null', 'The payload: domain pay.positive does not allow null values.', 'a domain over a number refuses null'),
	(10, 'positive', '{"a": 1}', 'The payload: invalid input syntax for type integer: "{"a": 1}".', 'a domain over a number refuses an object'),
	(11, 'names', '["a", "b"]', 'no error', 'a domain over an array accepts a valid payload'),
	(12, 'names', '["a", "b", "c"]', 'The payload: value for domain pay.names violates check constraint "names_check".', 'a domain over an array checks it'),
	(13, 'orders', '{"customer": "c"}', 'no error', 'the row type of a table accepts a valid payload'),
	(14, 'orders', '{"amount": null, "gone": 1}', 'Field "customer" is missing. Field "amount" must not be null. Field "gone" is unknown.', 'the row type of a table has the NOT NULL constraints of the table')) v (i, t, p, d, what) USING (t) WHERE x.done = '' ORDER BY i;
SELECT is(pg_temp.expects($$ payload_type => 'pay.place', required_fields => '{"zip": "number", "extra": "string"}' $$), '', 'a contract may have a type and fields');
SELECT is(pg_temp.wrong('{"zip": 1, "extra": "x"}'), 'no error', 'a payload must match both');
SELECT is(pg_temp.wrong('{"zip": "y", "town": 1}'), 'Field "zip" must be number, not string. Field "extra" is missing. Field "town" is unknown.', 'the error names each field once');

CREATE TYPE pg_temp.temporary AS (a integer);
SELECT throws_ok(format('SELECT taskq.register_handler(''pay-bad'', payload_type => %s)', t), code, NULL, 'no payload type: ' || t)
FROM (VALUES ('''text''', '42809'), ('''record''', '42809'), ('''anyelement''', '42809'), ('''void''', '42809'), ('''pay.mood''', '42809'), ('''pay.mail[]''', '42809'), ('''int4range''', '42809'),
	('''pg_temp.temporary''', '42809'), ('1', '42704'), ('''pay.nowhere''', '42704')) v (t, code);
SELECT is(pg_temp.detail_of($$ SELECT taskq.register_handler('pay-bad', payload_type => 'text') $$), 'It is neither a composite type nor a domain.', 'the detail says why a type is refused');

-- validators ------------------------------------------------------------------
SET LOCAL ROLE regress_payload;
CREATE FUNCTION pay.is_glad(p jsonb) RETURNS boolean LANGUAGE sql AS $$ SELECT (p->>'glad')::boolean $$;
CREATE FUNCTION pay.reason(p jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF p ? 'raise' THEN
		RAISE EXCEPTION 'not today' USING ERRCODE = p->>'raise';
	END IF;
	RETURN p->>'reason';
END $$;
-- Do what the payload says, and return the result.
CREATE FUNCTION pay.try(p jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE p->>'sql' INTO answer;
	RETURN COALESCE(answer, 'NULL');
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
RESET ROLE;
SELECT is(pg_temp.expects($$ validator => 'pay.is_glad(jsonb)' $$), '', 'a function that returns boolean can be a validator');
SELECT is(pg_temp.wrong('{"glad": true}'), 'no error', 'true means valid');
SELECT is(pg_temp.wrong('{"glad": false}'), 'Validator pay.is_glad(pg_catalog.jsonb) refuses it.', 'false means invalid');
SELECT is(pg_temp.wrong('{}'), 'Validator pay.is_glad(pg_catalog.jsonb) refuses it.', 'NULL from a boolean validator means invalid');
SELECT is(pg_temp.wrong('{"glad": "so so"}'), 'invalid input syntax for type boolean: "so so"', 'an error of a validator about the data means invalid');
SELECT is(pg_temp.expects($$ validator => 'pay.reason(jsonb)', required_fields => '{"n": "integer"}' $$), '', 'a function that returns text can be a validator');
SELECT is(pg_temp.wrong('{"n": 1}'), 'no error', 'NULL from a text validator means valid');
SELECT is(pg_temp.wrong('{"n": 1, "reason": "no reason"}'), 'no reason', 'the text of a validator is the detail');
SELECT is(pg_temp.wrong('{"n": 1, "raise": "P0001"}'), 'not today', 'the message of an error that a validator raises is the detail');
SELECT is(pg_temp.wrong('{"reason": "no reason"}'), 'Field "n" is missing.', 'the validator is called after the fields were checked');
SELECT throws_ok(format('SELECT taskq.validate_task(''pay'', ''{"n": 1, "raise": "%s"}'')', c), 'TQ009', NULL, 'what it says of the data with ' || c) FROM unnest('{22000,22P02,23505,23514,P0004}'::text[]) c;
SELECT throws_ok(format('SELECT taskq.validate_task(''pay'', ''{"n": 1, "raise": "%s"}'')', c), c, 'not today', 'another error is its own: ' || c) FROM unnest('{42P01,42501,40001,53200,XX000,TQ003}'::text[]) c;
SELECT throws_ok($$ DO $do$ BEGIN PERFORM taskq.validate_task('pay', '{"n": 1, "raise": "57014"}'); EXCEPTION WHEN query_canceled THEN RAISE EXCEPTION 'cancelled'; END $do$ $$,
	'P0001', 'cancelled', 'a validator cannot hide the cancellation of the statement');

CREATE FUNCTION pay.of_two(jsonb, integer DEFAULT 1) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION pay.of_text(text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION pay.of_anything(anyelement) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION pay.to_jsonb(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION pay.to_void(jsonb) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION pay.to_set(jsonb) RETURNS SETOF boolean LANGUAGE sql AS 'SELECT true';
CREATE PROCEDURE pay.procedure(jsonb) LANGUAGE sql AS '';
CREATE FUNCTION pg_temp.temporary(jsonb) RETURNS boolean LANGUAGE sql AS 'SELECT true';
SELECT throws_ok(format('SELECT taskq.register_handler(''pay-bad'', validator => %s)', v), code, NULL, 'no validator: ' || v)
FROM (VALUES ('''pay.of_two(jsonb, integer)''', '42P13'), ('''pay.of_text(text)''', '42P13'), ('''pay.of_anything(anyelement)''', '42P13'), ('''pay.to_jsonb(jsonb)''', '42P13'), ('''pay.to_void(jsonb)''', '42P13'),
	('''pay.to_set(jsonb)''', '42P13'), ('''pay.procedure(jsonb)''', '42P13'), ('''jsonb_agg(anyelement)''', '42P13'), ('''pg_temp.temporary(jsonb)''', '42P13'), ('1', '42883'), ('''pay.nowhere(jsonb)''', '42883')) v (v, code);
SELECT is(pg_temp.detail_of($$ SELECT taskq.register_handler('pay-bad', validator => 'pay.to_set(jsonb)') $$), 'It returns a set.', 'the detail says why a validator is refused');

-- at enqueue ------------------------------------------------------------------
CREATE FUNCTION pg_temp.jobs() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM taskq.all_jobs WHERE task_type LIKE 'pay%' $$;
SELECT throws_ok($$ SELECT taskq.enqueue_job('pay', '{"n": "x"}') $$, 'TQ009', 'the payload is not valid for task type "pay"', 'enqueue_job() checks payloads as validate_task() does');
SELECT throws_ok($$ SELECT taskq.enqueue_job('pay') $$, 'TQ009', NULL, 'enqueue_job() checks the default payload');
SELECT throws_ok($$ SELECT taskq.enqueue_jobs('pay', '{"{\"n\": 1}","{\"n\": 2}","{\"m\": 3}","5"}') $$, 'TQ009', 'payload 3 is not valid for task type "pay"', 'enqueue_jobs() says which payload is invalid');
SELECT is(pg_temp.jobs(), 0::bigint, 'no job is enqueued if a payload is invalid');
SELECT is(count(*), 2::bigint, 'enqueue_jobs() enqueues valid payloads') FROM taskq.enqueue_jobs('pay', '{"{\"n\": 1}","{\"n\": 2}"}');
SELECT is(count(*), 0::bigint, 'enqueue_jobs() without payloads returns no row') FROM taskq.enqueue_jobs('pay', '{}');
SELECT lives_ok($$ SELECT taskq.enqueue_job('pay-later', '{"n": "x"}') $$, 'payloads of an unregistered type are not checked');
SELECT is(validate_payloads, true, 'the queue default checks payloads') FROM taskq.queues WHERE queue = 'default';
SELECT taskq.create_queue('pay-load', validate_payloads => false), taskq.create_queue('pay-care') \g /dev/null
SELECT is(array_agg(validate_payloads ORDER BY queue), '{t,f}', 'validate_payloads can be set for each queue') FROM taskq.queues WHERE queue LIKE 'pay-%';
SELECT lives_ok($$ SELECT taskq.enqueue_job('pay', '{"n": "x"}', queue => 'pay-load') $$, 'a queue with validate_payloads => false accepts any payload');
SELECT throws_ok($$ SELECT taskq.enqueue_job('pay', '{"n": "x"}', queue => 'pay-care') $$, 'TQ009', NULL, 'other queues check payloads');
SELECT taskq.alter_queue('pay-load', validate_payloads => true), taskq.alter_queue('pay-load', description => 'stays') \g /dev/null
SELECT throws_ok($$ SELECT taskq.enqueue_job('pay', '{"n": "x"}', queue => 'pay-load') $$, 'TQ009', NULL, 'alter_queue() switches the check on');
SELECT throws_ok($$ SELECT taskq.create_queue('pay-null', validate_payloads => NULL) $$, '22004', NULL, 'validate_payloads must not be NULL');

-- as whom ---------------------------------------------------------------------
SELECT is(pg_temp.expects($$ validator => 'pay.try(jsonb)', search_path => 'pay' $$), '', 'a validator runs the statement in the payload');
CREATE TABLE pay.secret (a integer);
CREATE TABLE pay.allowed (most integer);
INSERT INTO pay.allowed VALUES (1);
GRANT SELECT ON pay.allowed TO regress_payload;
CREATE TABLE pay.deferred (a integer UNIQUE DEFERRABLE INITIALLY DEFERRED);
GRANT ALL ON pay.deferred TO regress_payload;
CREATE TABLE pay.guarded AS SELECT 1 AS a;
ALTER TABLE pay.guarded ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON pay.guarded TO regress_payload;
GRANT CREATE, TEMPORARY ON DATABASE :"DBNAME" TO regress_payload, regress_payload_producer;
SET LOCAL ROLE regress_payload_producer;
CREATE TABLE pg_temp.allowed (most integer);
INSERT INTO pg_temp.allowed VALUES (2);
GRANT ALL ON pg_temp.allowed TO PUBLIC;
RESET ROLE;
CREATE FUNCTION pg_temp.tries(sql text) RETURNS text LANGUAGE sql AS $$ SELECT pg_temp.wrong(jsonb_build_object('sql', sql)::text) $$;
SET LOCAL row_security = off;
SELECT is(pg_temp.tries(sql), answer, what) FROM (VALUES
	('SELECT current_user', 'regress_payload', 'a validator runs as the role of its handler'),
	('SELECT (current_schemas(true))[1:2]', '{pg_catalog,pay}', 'a validator has the registered search_path, with temporary objects last'),
	('SELECT most FROM allowed', '1', 'a validator does not find the caller''s temporary objects'),
	('SELECT a FROM pay.secret', '42501', 'a validator does not have the caller''s rights'),
	('SELECT count(*) FROM taskq.jobs', '42501', 'a validator does not have the owner''s rights'),
	('SET ROLE NONE', '42501', 'a validator cannot set the caller''s role'), ('RESET ROLE', '42501', 'a validator cannot reset the role'),
	('SELECT set_config(''role'', session_user, false)', '42501', 'a validator cannot set the role by set_config()'),
	('SET SESSION AUTHORIZATION DEFAULT', '42501', 'a validator cannot set the session user'), ('RESET SESSION AUTHORIZATION', '42501', 'a validator cannot reset the session user'),
	('CREATE TEMP TABLE t (a integer)', '42501', 'a validator cannot create a temporary table'), ('CREATE TEMP VIEW t AS SELECT 1', '42501', 'a validator cannot create a temporary view'),
	('PREPARE p AS SELECT 1', '42501', 'a validator cannot prepare a statement'), ('DECLARE c CURSOR WITH HOLD FOR SELECT 1', '42501', 'a validator cannot declare a cursor WITH HOLD'), ('LISTEN x', '42501', 'a validator cannot listen'),
	('INSERT INTO pay.deferred VALUES (1), (1)', '25006', 'a validator cannot fire deferred triggers'),
	('SELECT row_security_active(''pay.guarded'')', 'true', 'a validator is subject to row security'), ('SELECT count(*) FROM pay.guarded', '0', 'a validator sees no rows that row security hides, whatever the caller has set'),
	('SELECT taskq.current_job() IS NULL', 'true', 'a validator runs no job')) v (sql, answer, what);
RESET row_security;
SELECT is(current_setting('search_path'), '"$user", public', 'the search_path is restored after the validator');
SELECT is(current_user, session_user, 'the role is restored after the validator');
SELECT is(pg_temp.as_role('regress_payload_producer', $$ SELECT taskq.enqueue_job('pay', '{"sql": "SELECT 1"}') $$), 'TQ009', 'a producer''s enqueue calls the validator');
SELECT is(pg_temp.as_role('regress_payload_producer', $$ SELECT pay.try('{"sql": "SELECT current_user"}') $$), 'regress_payload_producer', 'called directly, the function runs as the caller');
SELECT is(pg_temp.as_role('regress_payload_producer', $$ SELECT pg_temp.tries('SELECT most FROM allowed') $$), '1', 'a validator does not find a producer''s temporary table');

-- if a handler enqueues, the validator does not see the handler's job
CREATE FUNCTION pay.enqueues(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN to_jsonb(pg_temp.tries('SELECT taskq.current_job() IS NULL') || ' ' || pg_temp.tries('SELECT taskq.save_checkpoint(''1'')') || ' ' || ((taskq.current_job()).job_id IS NOT NULL));
END $$;
SELECT taskq.register_handler('pay-outer') \g /dev/null
SELECT is(result, '"true 42501 true"', 'a validator does not see the job that enqueues') FROM taskq.run_job(taskq.enqueue_job('pay-outer'), 'pay.enqueues(jsonb)');

-- code inside a type
SET LOCAL ROLE regress_payload;
CREATE FUNCTION pay.who(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'checked by %', current_user; END $$;
CREATE DOMAIN pay.watched AS text CHECK (pay.who(VALUE));
CREATE FUNCTION pay.only_mine(text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
REVOKE EXECUTE ON FUNCTION pay.only_mine FROM PUBLIC;
CREATE DOMAIN pay.mine AS text CHECK (pay.only_mine(VALUE));
RESET ROLE;
SELECT is(pg_temp.expects($$ payload_type => 'pay.watched' $$), '', 'a domain constraint may call functions');
SELECT is(pg_temp.wrong('"x"'), 'The payload: checked by regress_payload.', 'the functions of a constraint run as the role of the handler');
SELECT is(pg_temp.as_role('regress_payload_producer', $$ SELECT pg_temp.wrong('"x"') $$), 'The payload: checked by regress_payload.', 'this holds for every caller');
SELECT is(pg_temp.expects($$ payload_type => 'pay.mine' $$), '', 'a domain constraint may call a function that only the handler''s role may execute');
SELECT is(pg_temp.as_role('regress_payload_producer', $$ SELECT pg_temp.wrong('"x"') $$), 'no error', 'such a constraint works for a producer');

-- a validator that enqueues what it validates
SET LOCAL ROLE regress_payload;
CREATE FUNCTION pay.again(p jsonb) RETURNS boolean LANGUAGE sql AS $$ SELECT taskq.enqueue_job('pay-again', p) > 0 $$;
SELECT taskq.register_handler('pay-again', validator => 'pay.again(jsonb)') \g /dev/null
RESET ROLE;
SELECT throws_ok($$ SELECT taskq.enqueue_job('pay-again') $$, '42501', NULL, 'a validator that enqueues the same type is refused');

-- who may register ------------------------------------------------------------
REVOKE USAGE ON TYPE pay.place FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION pay.is_glad FROM PUBLIC;
SELECT is(pg_temp.as_role('regress_payload_other', $$ SELECT taskq.register_handler('pay-x', payload_type => 'pay.place') $$), '42501', 'registering a payload type requires the right to use it');
SELECT is(pg_temp.as_role('regress_payload_other', $$ SELECT taskq.register_handler('pay-x', validator => 'pay.is_glad(jsonb)') $$), '42501', 'registering a validator requires the right to execute it');
GRANT EXECUTE ON FUNCTION pay.is_glad TO regress_payload_other;
CREATE ROLE regress_payload_less LOGIN;
GRANT regress_payload_less TO regress_payload_other;
SELECT is(pg_temp.as_role('regress_payload_other', $$ SELECT taskq.register_handler('pay-x', 'pay.f(jsonb)', run_as => 'regress_payload_less', validator => 'pay.is_glad(jsonb)') $$), '42501', 'registering a validator requires the right of the handler''s role, too');
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_handler('pay-x', 'pay.f(jsonb)', run_as => 'regress_payload_less', validator => 'pay.is_glad(jsonb)') $$),
	'Run GRANT EXECUTE ON ROUTINE pay.is_glad(pg_catalog.jsonb) TO regress_payload_less.', 'the hint has the GRANT statement for a validator');
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_handler('pay-x', 'pay.f(jsonb)', run_as => 'regress_payload_less', payload_type => 'pay.place') $$),
	'Run GRANT USAGE ON TYPE pay.place TO regress_payload_less.', 'the hint has the GRANT statement for a type');
SELECT throws_ok($$ SELECT taskq.register_handler('pay-x', validator => 'pay.is_glad(jsonb)') $$, '42501', format('handlers do not run as superuser "%s"', current_user), 'a validator does not run as a superuser');
SELECT throws_ok($$ SELECT taskq.register_handler('pay-x', payload_type => 'pay.document') $$, '42501', NULL, 'the constraint of a type does not run as a superuser');
SELECT throws_ok($$ SELECT taskq.register_handler('pay-x', search_path => 'pay', required_fields => '{}') $$, '22023', 'search_path is for what runs in the server', 'a search_path is refused if there is no code in the server');

-- what is shown ---------------------------------------------------------------
SET LOCAL ROLE regress_payload;
SET LOCAL search_path = pay, public;
SELECT taskq.register_handler('pay-shown', payload_type => 'place', required_fields => '{"zip": "any"}', optional_fields => '{"street": "string"}', validator => 'try(jsonb)') \g /dev/null
RESET search_path;
RESET ROLE;
SELECT results_eq($$ SELECT payload_type, required_fields, optional_fields, validator, contract_status, search_path, registered_by FROM taskq.get_handler_info('pay-shown') $$,
	$$ VALUES ('pay.place', '{"zip": "any"}'::jsonb, '{"street": "string"}'::jsonb, 'pay.try(pg_catalog.jsonb)', 'ok', 'pay, public', 'regress_payload'::regrole) $$, 'get_handler_info() shows the contract and the search_path');
SELECT results_eq($$ SELECT payload_type, required_fields, optional_fields, validator, contract_status FROM taskq.list_handlers() WHERE task_type = 'pay-outer' $$,
	$$ VALUES (NULL::text, NULL::jsonb, NULL::jsonb, NULL::text, NULL::text) $$, 'list_handlers() shows that there is no contract');
SELECT taskq.register_handler('pay-shown', allow_override => true) \g /dev/null
SELECT results_eq($$ SELECT payload_type, required_fields, optional_fields, validator FROM taskq.handler_history WHERE task_type = 'pay-shown' $$,
	$$ VALUES ('pay.place', '{"zip": "any"}'::jsonb, '{"street": "string"}'::jsonb, 'pay.try(pg_catalog.jsonb)') $$, 'handler_history shows the former contract');
SELECT is(contract_status, NULL, 'an override without a contract removes the contract') FROM taskq.get_handler_info('pay-shown');

-- later -----------------------------------------------------------------------
CREATE FUNCTION pg_temp.status() RETURNS text LANGUAGE sql AS $$ SELECT contract_status FROM taskq.get_handler_info('pay') $$;
SET LOCAL ROLE regress_payload;
CREATE TYPE pay.later AS (a integer);
CREATE FUNCTION pay.later(jsonb) RETURNS boolean LANGUAGE sql AS 'SELECT true';
RESET ROLE;
SELECT is(pg_temp.expects($$ payload_type => 'pay.later', validator => 'pay.later(jsonb)' $$), '', 'a contract with a type and a function is registered');
SELECT is(pg_temp.status(), 'ok', 'the status of the contract is ok');
ALTER TYPE pay.later ADD ATTRIBUTE b text;
SELECT is(pg_temp.wrong('{"a": 1, "b": "x"}'), 'no error', 'a change of the type changes the contract');
ALTER TYPE pay.later RENAME TO later_renamed;
SELECT is(pg_temp.status(), 'ok', 'a renamed type is still found');
DROP TYPE pay.later_renamed;
SELECT is(pg_temp.status(), 'unresolved: payload type pay.later does not exist', 'a dropped type is unresolved');
SELECT throws_ok($$ SELECT taskq.enqueue_job('pay', '{"a": 1}') $$, '55000', 'payloads of task type "pay" cannot be checked', 'an unresolved contract prevents an enqueue');
SELECT is(pg_temp.wrong('{"a": 1}'), 'Their contract is unresolved: payload type pay.later does not exist.', 'the detail says why the contract is unresolved');
SELECT matches(pg_temp.hint_of($$ SELECT taskq.enqueue_job('pay', '{"a": 1}') $$), 'register the handler anew; a queue with validate_payloads => false', 'the hint says what to do');
SELECT is(status, 'ok', 'the handler of existing jobs still has the status ok') FROM taskq.get_handler_info('pay');
CREATE DOMAIN pay.later AS jsonb;
SELECT is(pg_temp.status() || ' ' || pg_temp.wrong('5'), 'ok no error', 'another type of the same name is used');
DROP DOMAIN pay.later;
CREATE TYPE pay.later AS ENUM ('x');
SELECT is(pg_temp.status(), 'unresolved: type pay.later is not a payload type any more', 'a type of the same name that cannot be a payload type is unresolved');
DROP TYPE pay.later;
CREATE TYPE pay.later AS (a integer, b text);
REVOKE USAGE ON TYPE pay.later FROM PUBLIC, regress_payload;
ALTER TYPE pay.later OWNER TO CURRENT_USER;
REVOKE USAGE ON TYPE pay.later FROM PUBLIC, regress_payload;
SELECT is(pg_temp.status(), 'unrunnable: its role may not use type pay.later', 'without the right to use the type, the contract is unrunnable');
GRANT USAGE ON TYPE pay.later TO PUBLIC;
DROP FUNCTION pay.later(jsonb);
SELECT is(pg_temp.status(), 'unresolved: validator pay.later(pg_catalog.jsonb) does not exist', 'a dropped validator is unresolved');
CREATE FUNCTION pay.later(jsonb) RETURNS integer LANGUAGE sql AS 'SELECT 1';
SELECT is(pg_temp.status(), 'unresolved: function pay.later(pg_catalog.jsonb) is not a validator any more', 'a function of the same name that cannot be a validator is unresolved');
SELECT throws_ok($$ SELECT taskq.enqueue_job('pay', '{"a": 1}') $$, '55000', NULL, 'such a function is not called');
DROP FUNCTION pay.later(jsonb);
CREATE FUNCTION pay.later(jsonb) RETURNS text LANGUAGE sql AS $$ SELECT 'as text' $$;
SELECT is(pg_temp.status() || ' ' || pg_temp.wrong('{"a": 1}'), 'ok as text', 'a validator of the same name with the other result type is used');
REVOKE EXECUTE ON FUNCTION pay.later(jsonb) FROM PUBLIC;
SELECT is(pg_temp.status(), 'unrunnable: its role may not execute function pay.later(pg_catalog.jsonb)', 'without the right to execute the validator, the contract is unrunnable');
GRANT EXECUTE ON FUNCTION pay.later(jsonb) TO PUBLIC;
ALTER ROLE regress_payload SUPERUSER;
SELECT is(pg_temp.status(), 'unrunnable: its role is a superuser and taskq.allow_superuser_handlers is off', 'if the role becomes a superuser, the contract is unrunnable');
SELECT throws_ok($$ SELECT taskq.enqueue_job('pay', '{"a": 1}') $$, '55000', NULL, 'an unrunnable contract prevents an enqueue');
ALTER ROLE regress_payload NOSUPERUSER;
SELECT is(pg_temp.wrong('{"a": 1}'), 'as text', 'the contract works again when the role is no superuser');
SET LOCAL ROLE regress_payload_other;
SELECT taskq.register_handler('pay-gone', validator => 'pay.is_glad(jsonb)') \g /dev/null
RESET ROLE;
REVOKE EXECUTE ON FUNCTION pay.is_glad FROM regress_payload_other;
SELECT taskq.revoke_access('regress_payload_other', 'admin') \g /dev/null
DROP ROLE regress_payload_other;
SELECT throws_ok($$ SELECT taskq.validate_task('pay-gone', '{}') $$, '55000', NULL, 'without its role, the contract prevents an enqueue');
SELECT is(contract_status, 'unrunnable: its role does not exist', 'the status shows that the role does not exist') FROM taskq.get_handler_info('pay-gone');

SELECT * FROM finish();
ROLLBACK;
