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
SELECT throws_ok($$ SELECT taskq.validate_task('pay') $$, 'TQ002', 'no handler registered for task type "pay"', 'validate_task() refuses a type that is not registered');
SELECT is(pg_temp.expects('version => ''1'''), '', 'a handler without a contract');
SELECT lives_ok(format('SELECT taskq.validate_task(''pay'', %L)', p), 'takes ' || p) FROM unnest('{"{}","null","5","[1]","\"x\"","true"}'::text[]) p;
SELECT lives_ok($$ SELECT taskq.validate_task('pay'), taskq.validate_task('pay', NULL) $$, 'without a payload only the type is looked at');
SELECT throws_ok($$ SELECT taskq.validate_task(NULL) $$, '22004', NULL, 'NULL is no type');
SELECT throws_ok($$ SELECT taskq.validate_task('a b') $$, '22023', NULL, 'nor is what is no name');
SELECT throws_ok($$ SELECT taskq.validate_task('pay', to_jsonb(repeat('x', 2000000))) $$, 'TQ009', NULL, 'too large is too large');

-- fields ----------------------------------------------------------------------
SELECT is(pg_temp.expects($$ required_fields => '{"amount": "number", "currency": "string"}', optional_fields => '{"note": "string|null", "n": "integer"}' $$), '', 'fields can be declared');
SELECT is(pg_temp.wrong(p), d, what) FROM (VALUES
	('{"amount": 1.5, "currency": "EUR"}', 'no error', 'a payload that has them'),
	('{"amount": 1, "currency": "EUR", "note": null, "n": 3}', 'no error', 'and the optional ones'),
	('{"amount": 1, "currency": "EUR", "other": {}}', 'no error', 'others are nobody''s business'),
	('{"amount": 1}', 'Field "currency" is missing.', 'a missing one is named'),
	('{}', 'Field "amount" is missing. Field "currency" is missing.', 'each of them is'),
	('{"amount": "1", "currency": 5, "note": 7, "n": 1.5}',
		'Field "amount" must be number, not string. Field "currency" must be string, not number. Field "n" must be integer, not number. Field "note" must be string|null, not number.', 'and each of a wrong type'),
	('{"amount": null, "currency": ["EUR"], "n": "1"}',
		'Field "amount" must be number, not null. Field "currency" must be string, not array. Field "n" must be integer, not string.', 'null is a type of its own'),
	('{"amount": {}}', 'Field "amount" must be number, not object. Field "currency" is missing.', 'wrong and missing ones at once'),
	('[1]', 'The payload is not an object.', 'what is no object has no fields'),
	('null', 'The payload is not an object.', 'nor has null')) v (p, d, what);
SELECT throws_ok($$ SELECT taskq.validate_task('pay', '{}') $$, 'TQ009', 'the payload is not valid for task type "pay"', 'that is TQ009');
SELECT is(pg_temp.hint_of($$ SELECT taskq.validate_task('pay', '{}') $$), 'It must have "amount" (number), "currency" (string). It may have "n" (integer), "note" (string|null).', 'the hint says what it must be');
SELECT is(pg_temp.expects(format('required_fields => ''{"x": "%s"}''', t)), '', t || ' is a type') FROM unnest('{string,number,integer,boolean,object,array,"null",any,string|null|array}'::text[]) t;
SELECT is((SELECT string_agg(t, ' ' ORDER BY n) FROM unnest('{string,number,integer,boolean,object,array,"null",any}'::text[]) WITH ORDINALITY u (t, n)
	WHERE pg_temp.expects(format('required_fields => ''{"x": "%s"}''', t)) = '' AND pg_temp.wrong(format('{"x": %s}', v)) = 'no error'), fit, v || ' is ' || fit)
FROM (VALUES ('"a"', 'string any'), ('1.5', 'number any'), ('1', 'number integer any'), ('1.0', 'number integer any'), ('1e3', 'number integer any'), ('-12345678901234567890123', 'number integer any'),
	('true', 'boolean any'), ('{"a": 1}', 'object any'), ('{}', 'object any'), ('[]', 'array any'), ('null', 'null any')) v (v, fit);
SELECT is(pg_temp.expects($$ required_fields => '{}' $$), '', 'no field at all');
SELECT is(pg_temp.wrong('{"x": 1}') || ' ' || pg_temp.wrong('1'), 'no error The payload is not an object.', 'still is an object');
SELECT is(pg_temp.expects(format('required_fields => (SELECT jsonb_object_agg(n, ''any'') FROM generate_series(1, 1000) n)')), '', 'there can be many');
SELECT matches(pg_temp.wrong('{}'), '^(Field "[0-9]+" is missing. ){100}And so on.$', 'the first hundred are named');
SELECT is(pg_temp.expects($$ required_fields => '{"": "any", "größe \"x\" %s": "any"}' $$), '', 'a field may be called anything');
SELECT is(pg_temp.wrong('{}'), 'Field "" is missing. Field "größe "x" %s" is missing.', 'and is named so');

SELECT throws_ok(format('SELECT taskq.register_handler(''pay-bad'', %s)', a), '22023', NULL, 'no fields: ' || a) FROM unnest(ARRAY[
	$$required_fields => '[]'$$, $$required_fields => 'null'$$, $$required_fields => '"x"'$$, $$optional_fields => '5'$$, $$required_fields => '{"a": 1}'$$, $$required_fields => '{"a": null}'$$,
	$$required_fields => '{"a": {"b": "string"}}'$$, $$required_fields => '{"a": "text"}'$$, $$required_fields => '{"a": ""}'$$, $$required_fields => '{"a": "string|"}'$$,
	$$required_fields => '{"a": "|string"}'$$, $$required_fields => '{"a": "String"}'$$, $$optional_fields => '{"a": "string | null"}'$$]) a;
SELECT is(pg_temp.detail_of($$ SELECT taskq.register_handler('pay-bad', required_fields => '{"a": "strin"}') $$), 'Field "a" has the unknown type "strin".', 'the detail says what is wrong');
SELECT matches(pg_temp.hint_of($$ SELECT taskq.register_handler('pay-bad', required_fields => '{"a": "strin"}') $$), 'types are string, number, integer, boolean, object, array, null and any', 'the hint which types there are');
SELECT is(pg_temp.detail_of($$ SELECT taskq.register_handler('pay-bad', required_fields => '{"a": "any", "b": "any"}', optional_fields => '{"b": "any"}') $$),
	'Field "b" is in required_fields as well.', 'no field is required and optional');
SELECT lives_ok($$ SELECT taskq.register_handler('pay-super', required_fields => '{"a": "any"}') $$, 'a superuser can declare fields of an external type: there is no code in that');

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
	('{"to": "a@b", "subject": "x", "n": 1, "place": {"street": "y", "zip": 1}, "tags": ["a"], "at": "2026-01-01"}', 'no error', 'a row in full'),
	('{"to": "a@b"}', 'no error', 'what a type lets be NULL may be left out'),
	('{"to": "a@b", "n": null, "place": null, "tags": null}', 'no error', 'or null'),
	('{"to": "a@b", "n": "5", "subject": 7}', 'no error', 'text and numbers are read as PostgreSQL reads them'),
	('{}', 'Field "to" is missing.', 'a missing member is named'),
	('{"to": null}', 'Field "to": domain pay.email does not allow null values.', 'or null'),
	('{"to": "ab"}', 'Field "to": value for domain pay.email violates check constraint "email_check".', 'or one that violates its domain'),
	('{"to": "a@b", "subjct": "x"}', 'Field "subjct" is unknown.', 'or one that the type does not have'),
	('{"to": "a@b", "n": 40000}', 'Field "n": value "40000" is out of range for type smallint.', 'or one out of range'),
	('{"n": "x", "place": {"zip": "y", "town": 1}, "at": "never", "more": 1}',
		'Field "to" is missing. Field "n": invalid input syntax for type smallint: "x". Field "place.zip": invalid input syntax for type integer: "y". Field "place.town" is unknown. '
		'Field "at": invalid input syntax for type date: "never". Field "more" is unknown.', 'all of them at once, also inside'),
	('{"to": "a@b", "place": {"town": 1}}', 'Field "place.town" is unknown.', 'an unknown one inside'),
	('[]', 'The payload is not an object.', 'an array is no row'), ('null', 'The payload is not an object.', 'nor is null')) v (p, d, what);
SELECT matches(pg_temp.wrong('{"to": "a@b", "place": 5, "tags": "x"}'), '^Field "place": .* Field "tags": ', 'nor are other values rows or arrays');
SELECT matches(pg_temp.wrong(format('{"to": "a@b", "n": "%s"}', repeat('x', 100000))), '^Field "n": invalid input syntax for type smallint: "x{200}x{200}x* \.\.\.$', 'what is quoted is not quoted for ever');
SELECT is(pg_temp.wrong(p, 'pay-' || t), d, what) FROM
	(SELECT t, pg_temp.expects(format('payload_type => %L', 'pay.' || t), 'pay-' || t) AS done FROM unnest('{good_mail,document,positive,names,orders}'::text[]) t) x JOIN (VALUES
	(1, 'good_mail', '{"to": "a@b", "n": 1}', 'no error', 'a domain over a row'),
	(2, 'good_mail', '{"to": "a@b", "n": 0}', 'The payload: value for domain pay.good_mail violates check constraint "good_mail_check".', 'has a word on the whole'),
	(3, 'good_mail', '{"to": "ab", "n": 0}', 'Field "to": value for domain pay.email violates check constraint "email_check".', 'after the members'),
	(4, 'document', '{"a": 1}', 'no error', 'a domain over jsonb'),
	(5, 'document', '{"b": 1}', 'The payload: value for domain pay.document violates check constraint "document_check".', 'checks the whole'),
	(6, 'document', '[1, "a"]', 'no error', 'whatever it is'),
	(7, 'positive', '5', 'no error', 'a domain over a number'),
	(8, 'positive', '-5', 'The payload: value for domain pay.positive violates check constraint "positive_check".', 'checks it'),
	(9, 'positive', 'null', 'The payload: domain pay.positive does not allow null values.', 'null too'),
	(10, 'positive', '{"a": 1}', 'The payload: invalid input syntax for type integer: "{"a": 1}".', 'and takes nothing else'),
	(11, 'names', '["a", "b"]', 'no error', 'a domain over an array'),
	(12, 'names', '["a", "b", "c"]', 'The payload: value for domain pay.names violates check constraint "names_check".', 'checks it'),
	(13, 'orders', '{"customer": "c"}', 'no error', 'the row of a table'),
	(14, 'orders', '{"amount": null, "gone": 1}', 'Field "customer" is missing. Field "amount" must not be null. Field "gone" is unknown.', 'has its NOT NULLs, too')) v (i, t, p, d, what) USING (t) WHERE x.done = '' ORDER BY i;
SELECT is(pg_temp.expects($$ payload_type => 'pay.place', required_fields => '{"zip": "number", "extra": "string"}' $$), '', 'a type and fields');
SELECT is(pg_temp.wrong('{"zip": 1, "extra": "x"}'), 'no error', 'hold together');
SELECT is(pg_temp.wrong('{"zip": "y", "town": 1}'), 'Field "zip" must be number, not string. Field "extra" is missing. Field "town" is unknown.', 'and name each field once');

CREATE TYPE pg_temp.temporary AS (a integer);
SELECT throws_ok(format('SELECT taskq.register_handler(''pay-bad'', payload_type => %s)', t), code, NULL, 'no payload type: ' || t)
FROM (VALUES ('''text''', '42809'), ('''record''', '42809'), ('''anyelement''', '42809'), ('''void''', '42809'), ('''pay.mood''', '42809'), ('''pay.mail[]''', '42809'), ('''int4range''', '42809'),
	('''pg_temp.temporary''', '42809'), ('1', '42704'), ('''pay.nowhere''', '42704')) v (t, code);
SELECT is(pg_temp.detail_of($$ SELECT taskq.register_handler('pay-bad', payload_type => 'text') $$), 'It is neither a composite type nor a domain.', 'the detail says why');

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
SELECT is(pg_temp.expects($$ validator => 'pay.is_glad(jsonb)' $$), '', 'a function that returns boolean is a validator');
SELECT is(pg_temp.wrong('{"glad": true}'), 'no error', 'true is for valid');
SELECT is(pg_temp.wrong('{"glad": false}'), 'Validator pay.is_glad(pg_catalog.jsonb) refuses it.', 'false is not');
SELECT is(pg_temp.wrong('{}'), 'Validator pay.is_glad(pg_catalog.jsonb) refuses it.', 'nor is NULL');
SELECT is(pg_temp.wrong('{"glad": "so so"}'), 'invalid input syntax for type boolean: "so so"', 'nor what it cannot read');
SELECT is(pg_temp.expects($$ validator => 'pay.reason(jsonb)', required_fields => '{"n": "integer"}' $$), '', 'one that returns text as well');
SELECT is(pg_temp.wrong('{"n": 1}'), 'no error', 'NULL is for valid');
SELECT is(pg_temp.wrong('{"n": 1, "reason": "no reason"}'), 'no reason', 'else it says why not');
SELECT is(pg_temp.wrong('{"n": 1, "raise": "P0001"}'), 'not today', 'it may raise it as well');
SELECT is(pg_temp.wrong('{"reason": "no reason"}'), 'Field "n" is missing.', 'it is asked when all fields are right');
SELECT throws_ok(format('SELECT taskq.validate_task(''pay'', ''{"n": 1, "raise": "%s"}'')', c), 'TQ009', NULL, 'what it says of the data with ' || c) FROM unnest('{22000,22P02,23505,23514,P0004}'::text[]) c;
SELECT throws_ok(format('SELECT taskq.validate_task(''pay'', ''{"n": 1, "raise": "%s"}'')', c), c, 'not today', 'another error is its own: ' || c) FROM unnest('{42P01,42501,40001,53200,XX000,TQ003}'::text[]) c;
SELECT throws_ok($$ DO $do$ BEGIN PERFORM taskq.validate_task('pay', '{"n": 1, "raise": "57014"}'); EXCEPTION WHEN query_canceled THEN RAISE EXCEPTION 'cancelled'; END $do$ $$,
	'P0001', 'cancelled', 'that the statement is cancelled is not for the payload to answer');

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
SELECT is(pg_temp.detail_of($$ SELECT taskq.register_handler('pay-bad', validator => 'pay.to_set(jsonb)') $$), 'It returns a set.', 'the detail says why');

-- at enqueue ------------------------------------------------------------------
CREATE FUNCTION pg_temp.jobs() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM taskq.all_jobs WHERE task_type LIKE 'pay%' $$;
SELECT throws_ok($$ SELECT taskq.enqueue_job('pay', '{"n": "x"}') $$, 'TQ009', 'the payload is not valid for task type "pay"', 'enqueue_job() asks as validate_task() does');
SELECT throws_ok($$ SELECT taskq.enqueue_job('pay') $$, 'TQ009', NULL, 'an empty payload is one');
SELECT throws_ok($$ SELECT taskq.enqueue_jobs('pay', '{"{\"n\": 1}","{\"n\": 2}","{\"m\": 3}","5"}') $$, 'TQ009', 'payload 3 is not valid for task type "pay"', 'enqueue_jobs() says which');
SELECT is(pg_temp.jobs(), 0::bigint, 'nothing is written');
SELECT is(count(*), 2::bigint, 'good ones are') FROM taskq.enqueue_jobs('pay', '{"{\"n\": 1}","{\"n\": 2}"}');
SELECT is(count(*), 0::bigint, 'and none of none') FROM taskq.enqueue_jobs('pay', '{}');
SELECT lives_ok($$ SELECT taskq.enqueue_job('pay-later', '{"n": "x"}') $$, 'a type that is not registered expects nothing');
SELECT is(validate_payloads, true, 'queues care') FROM taskq.queues WHERE queue = 'default';
SELECT taskq.create_queue('pay-load', validate_payloads => false), taskq.create_queue('pay-care') \g /dev/null
SELECT is(array_agg(validate_payloads ORDER BY queue), '{t,f}', 'one need not') FROM taskq.queues WHERE queue LIKE 'pay-%';
SELECT lives_ok($$ SELECT taskq.enqueue_job('pay', '{"n": "x"}', queue => 'pay-load') $$, 'and then takes anything');
SELECT throws_ok($$ SELECT taskq.enqueue_job('pay', '{"n": "x"}', queue => 'pay-care') $$, 'TQ009', NULL, 'the others do not');
SELECT taskq.alter_queue('pay-load', validate_payloads => true), taskq.alter_queue('pay-load', description => 'stays') \g /dev/null
SELECT throws_ok($$ SELECT taskq.enqueue_job('pay', '{"n": "x"}', queue => 'pay-load') $$, 'TQ009', NULL, 'until it is altered');
SELECT throws_ok($$ SELECT taskq.create_queue('pay-null', validate_payloads => NULL) $$, '22004', NULL, 'NULL is no answer');

-- as whom ---------------------------------------------------------------------
SELECT is(pg_temp.expects($$ validator => 'pay.try(jsonb)', search_path => 'pay' $$), '', 'a validator that does what it is told');
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
	('SELECT current_user', 'regress_payload', 'it runs as the role of its handler'),
	('SELECT (current_schemas(true))[1:2]', '{pg_catalog,pay}', 'with the search_path that was registered, temporary objects last'),
	('SELECT most FROM allowed', '1', 'so a caller cannot lay something before it'),
	('SELECT a FROM pay.secret', '42501', 'it has no right of the caller''s'),
	('SELECT count(*) FROM taskq.jobs', '42501', 'nor of the owner''s'),
	('SET ROLE NONE', '42501', 'it cannot become the caller'), ('RESET ROLE', '42501', 'in whatever way'),
	('SELECT set_config(''role'', session_user, false)', '42501', 'that it tries'),
	('SET SESSION AUTHORIZATION DEFAULT', '42501', 'nor the session''s user'), ('RESET SESSION AUTHORIZATION', '42501', 'either'),
	('CREATE TEMP TABLE t (a integer)', '42501', 'it leaves nothing temporary'), ('CREATE TEMP VIEW t AS SELECT 1', '42501', 'of any kind'),
	('PREPARE p AS SELECT 1', '42501', 'no prepared statement'), ('DECLARE c CURSOR WITH HOLD FOR SELECT 1', '42501', 'no cursor'), ('LISTEN x', '42501', 'no listener'),
	('INSERT INTO pay.deferred VALUES (1), (1)', '25006', 'no trigger for later'),
	('SELECT row_security_active(''pay.guarded'')', 'true', 'it is under row security'), ('SELECT count(*) FROM pay.guarded', '0', 'whatever the caller''s session says'),
	('SELECT taskq.current_job() IS NULL', 'true', 'it runs no job')) v (sql, answer, what);
RESET row_security;
SELECT is(current_setting('search_path'), '"$user", public', 'its path is over with it');
SELECT is(current_user, session_user, 'and its role');
SELECT is(pg_temp.as_role('regress_payload_producer', $$ SELECT taskq.enqueue_job('pay', '{"sql": "SELECT 1"}') $$), 'TQ009', 'a producer asks it');
SELECT is(pg_temp.as_role('regress_payload_producer', $$ SELECT pay.try('{"sql": "SELECT current_user"}') $$), 'regress_payload_producer', 'and called by itself it is nobody else''s');
SELECT is(pg_temp.as_role('regress_payload_producer', $$ SELECT pg_temp.tries('SELECT most FROM allowed') $$), '1', 'a producer''s temporary table is not found');

-- if a handler enqueues, the validator does not see the handler's job
CREATE FUNCTION pay.enqueues(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN to_jsonb(pg_temp.tries('SELECT taskq.current_job() IS NULL') || ' ' || pg_temp.tries('SELECT taskq.save_checkpoint(''1'')') || ' ' || ((taskq.current_job()).job_id IS NOT NULL));
END $$;
SELECT taskq.register_handler('pay-outer') \g /dev/null
SELECT is(result, '"true 42501 true"', 'a validator knows nothing of the job that enqueues') FROM taskq.run_job(taskq.enqueue_job('pay-outer'), 'pay.enqueues(jsonb)');

-- code inside a type
SET LOCAL ROLE regress_payload;
CREATE FUNCTION pay.who(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'checked by %', current_user; END $$;
CREATE DOMAIN pay.watched AS text CHECK (pay.who(VALUE));
CREATE FUNCTION pay.only_mine(text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
REVOKE EXECUTE ON FUNCTION pay.only_mine FROM PUBLIC;
CREATE DOMAIN pay.mine AS text CHECK (pay.only_mine(VALUE));
RESET ROLE;
SELECT is(pg_temp.expects($$ payload_type => 'pay.watched' $$), '', 'a constraint may call functions');
SELECT is(pg_temp.wrong('"x"'), 'The payload: checked by regress_payload.', 'as the role of the handler');
SELECT is(pg_temp.as_role('regress_payload_producer', $$ SELECT pg_temp.wrong('"x"') $$), 'The payload: checked by regress_payload.', 'whoever enqueues');
SELECT is(pg_temp.expects($$ payload_type => 'pay.mine' $$), '', 'which only that role');
SELECT is(pg_temp.as_role('regress_payload_producer', $$ SELECT pg_temp.wrong('"x"') $$), 'no error', 'may call');

-- a validator that enqueues what it validates
SET LOCAL ROLE regress_payload;
CREATE FUNCTION pay.again(p jsonb) RETURNS boolean LANGUAGE sql AS $$ SELECT taskq.enqueue_job('pay-again', p) > 0 $$;
SELECT taskq.register_handler('pay-again', validator => 'pay.again(jsonb)') \g /dev/null
RESET ROLE;
SELECT throws_ok($$ SELECT taskq.enqueue_job('pay-again') $$, '42501', NULL, 'is refused that');

-- who may register ------------------------------------------------------------
REVOKE USAGE ON TYPE pay.place FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION pay.is_glad FROM PUBLIC;
SELECT is(pg_temp.as_role('regress_payload_other', $$ SELECT taskq.register_handler('pay-x', payload_type => 'pay.place') $$), '42501', 'a type is only for who may use it');
SELECT is(pg_temp.as_role('regress_payload_other', $$ SELECT taskq.register_handler('pay-x', validator => 'pay.is_glad(jsonb)') $$), '42501', 'a validator for who may execute it');
GRANT EXECUTE ON FUNCTION pay.is_glad TO regress_payload_other;
CREATE ROLE regress_payload_less LOGIN;
GRANT regress_payload_less TO regress_payload_other;
SELECT is(pg_temp.as_role('regress_payload_other', $$ SELECT taskq.register_handler('pay-x', 'pay.f(jsonb)', run_as => 'regress_payload_less', validator => 'pay.is_glad(jsonb)') $$), '42501', 'the role of the handler too');
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_handler('pay-x', 'pay.f(jsonb)', run_as => 'regress_payload_less', validator => 'pay.is_glad(jsonb)') $$),
	'GRANT EXECUTE ON ROUTINE pay.is_glad(pg_catalog.jsonb) TO regress_payload_less;', 'the hint is what to type');
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_handler('pay-x', 'pay.f(jsonb)', run_as => 'regress_payload_less', payload_type => 'pay.place') $$),
	'GRANT USAGE ON TYPE pay.place TO regress_payload_less;', 'for a type as well');
SELECT throws_ok($$ SELECT taskq.register_handler('pay-x', validator => 'pay.is_glad(jsonb)') $$, '42501', format('handlers do not run as superuser "%s"', current_user), 'no user''s code runs as a superuser');
SELECT throws_ok($$ SELECT taskq.register_handler('pay-x', payload_type => 'pay.document') $$, '42501', NULL, 'nor does a type''s');
SELECT throws_ok($$ SELECT taskq.register_handler('pay-x', search_path => 'pay', required_fields => '{}') $$, '22023', 'search_path is for what runs in the server', 'without code there is no path');

-- what is shown ---------------------------------------------------------------
SET LOCAL ROLE regress_payload;
SET LOCAL search_path = pay, public;
SELECT taskq.register_handler('pay-shown', payload_type => 'place', required_fields => '{"zip": "any"}', optional_fields => '{"street": "string"}', validator => 'try(jsonb)') \g /dev/null
RESET search_path;
RESET ROLE;
SELECT results_eq($$ SELECT payload_type, required_fields, optional_fields, validator, contract_status, search_path, registered_by FROM taskq.get_handler_info('pay-shown') $$,
	$$ VALUES ('pay.place', '{"zip": "any"}'::jsonb, '{"street": "string"}'::jsonb, 'pay.try(pg_catalog.jsonb)', 'ok', 'pay, public', 'regress_payload'::regrole) $$, 'the registry shows the contract, and the path');
SELECT results_eq($$ SELECT payload_type, required_fields, optional_fields, validator, contract_status FROM taskq.list_handlers() WHERE task_type = 'pay-outer' $$,
	$$ VALUES (NULL::text, NULL::jsonb, NULL::jsonb, NULL::text, NULL::text) $$, 'or that there is none');
SELECT taskq.register_handler('pay-shown', allow_override => true) \g /dev/null
SELECT results_eq($$ SELECT payload_type, required_fields, optional_fields, validator FROM taskq.handler_history WHERE task_type = 'pay-shown' $$,
	$$ VALUES ('pay.place', '{"zip": "any"}'::jsonb, '{"street": "string"}'::jsonb, 'pay.try(pg_catalog.jsonb)') $$, 'the history too');
SELECT is(contract_status, NULL, 'an override without a contract has none') FROM taskq.get_handler_info('pay-shown');

-- later -----------------------------------------------------------------------
CREATE FUNCTION pg_temp.status() RETURNS text LANGUAGE sql AS $$ SELECT contract_status FROM taskq.get_handler_info('pay') $$;
SET LOCAL ROLE regress_payload;
CREATE TYPE pay.later AS (a integer);
CREATE FUNCTION pay.later(jsonb) RETURNS boolean LANGUAGE sql AS 'SELECT true';
RESET ROLE;
SELECT is(pg_temp.expects($$ payload_type => 'pay.later', validator => 'pay.later(jsonb)' $$), '', 'a type and a function');
SELECT is(pg_temp.status(), 'ok', 'which are there');
ALTER TYPE pay.later ADD ATTRIBUTE b text;
SELECT is(pg_temp.wrong('{"a": 1, "b": "x"}'), 'no error', 'a type that changes changes the contract');
ALTER TYPE pay.later RENAME TO later_renamed;
SELECT is(pg_temp.status(), 'ok', 'one that is renamed is the same type');
DROP TYPE pay.later_renamed;
SELECT is(pg_temp.status(), 'unresolved: payload type pay.later does not exist', 'one that was dropped is none');
SELECT throws_ok($$ SELECT taskq.enqueue_job('pay', '{"a": 1}') $$, '55000', 'payloads of task type "pay" cannot be checked', 'without it nothing is enqueued');
SELECT is(pg_temp.wrong('{"a": 1}'), 'Their contract is unresolved: payload type pay.later does not exist.', 'the detail says why');
SELECT matches(pg_temp.hint_of($$ SELECT taskq.enqueue_job('pay', '{"a": 1}') $$), 'register the handler anew; a queue with validate_payloads => false', 'the hint what to do');
SELECT is(status, 'ok', 'jobs that are there run on') FROM taskq.get_handler_info('pay');
CREATE DOMAIN pay.later AS jsonb;
SELECT is(pg_temp.status() || ' ' || pg_temp.wrong('5'), 'ok no error', 'another type of the name is the type');
DROP DOMAIN pay.later;
CREATE TYPE pay.later AS ENUM ('x');
SELECT is(pg_temp.status(), 'unresolved: type pay.later is not a payload type any more', 'unless it is none');
DROP TYPE pay.later;
CREATE TYPE pay.later AS (a integer, b text);
REVOKE USAGE ON TYPE pay.later FROM PUBLIC, regress_payload;
ALTER TYPE pay.later OWNER TO CURRENT_USER;
REVOKE USAGE ON TYPE pay.later FROM PUBLIC, regress_payload;
SELECT is(pg_temp.status(), 'unrunnable: its role may not use type pay.later', 'a right can be withdrawn');
GRANT USAGE ON TYPE pay.later TO PUBLIC;
DROP FUNCTION pay.later(jsonb);
SELECT is(pg_temp.status(), 'unresolved: validator pay.later(pg_catalog.jsonb) does not exist', 'a function can be dropped');
CREATE FUNCTION pay.later(jsonb) RETURNS integer LANGUAGE sql AS 'SELECT 1';
SELECT is(pg_temp.status(), 'unresolved: function pay.later(pg_catalog.jsonb) is not a validator any more', 'or come back as another');
SELECT throws_ok($$ SELECT taskq.enqueue_job('pay', '{"a": 1}') $$, '55000', NULL, 'whose answer is not asked for');
DROP FUNCTION pay.later(jsonb);
CREATE FUNCTION pay.later(jsonb) RETURNS text LANGUAGE sql AS $$ SELECT 'as text' $$;
SELECT is(pg_temp.status() || ' ' || pg_temp.wrong('{"a": 1}'), 'ok as text', 'or as one that answers in the other way');
REVOKE EXECUTE ON FUNCTION pay.later(jsonb) FROM PUBLIC;
SELECT is(pg_temp.status(), 'unrunnable: its role may not execute function pay.later(pg_catalog.jsonb)', 'or be withdrawn');
GRANT EXECUTE ON FUNCTION pay.later(jsonb) TO PUBLIC;
ALTER ROLE regress_payload SUPERUSER;
SELECT is(pg_temp.status(), 'unrunnable: its role is a superuser and taskq.allow_superuser_handlers is off', 'a role can become a superuser');
SELECT throws_ok($$ SELECT taskq.enqueue_job('pay', '{"a": 1}') $$, '55000', NULL, 'as which nothing runs');
ALTER ROLE regress_payload NOSUPERUSER;
SELECT is(pg_temp.wrong('{"a": 1}'), 'as text', 'all is well again');
SET LOCAL ROLE regress_payload_other;
SELECT taskq.register_handler('pay-gone', validator => 'pay.is_glad(jsonb)') \g /dev/null
RESET ROLE;
REVOKE EXECUTE ON FUNCTION pay.is_glad FROM regress_payload_other;
SELECT taskq.revoke_access('regress_payload_other', 'admin') \g /dev/null
DROP ROLE regress_payload_other;
SELECT throws_ok($$ SELECT taskq.validate_task('pay-gone', '{}') $$, '55000', NULL, 'a role can be dropped');
SELECT is(contract_status, 'unrunnable: its role does not exist', 'which shows') FROM taskq.get_handler_info('pay-gone');

SELECT * FROM finish();
ROLLBACK;
