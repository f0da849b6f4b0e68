-- The C functions of taskq, declared in another way than by the extension: each refuses the
-- call before it reads an argument, and the server does not crash.
\set ECHO none
\i test/sql/include/tap.sql
BEGIN;
SELECT plan(9);
CREATE FUNCTION pg_temp.sample(type oid) RETURNS text LANGUAGE sql AS $$
	SELECT CASE type::regtype::text WHEN 'bigint' THEN '1' WHEN 'text' THEN '''x''' WHEN 'jsonb' THEN '''{}''::jsonb' WHEN 'text[]' THEN '''{x}''::text[]'
		WHEN 'boolean' THEN 'true' WHEN 'integer' THEN '1::integer' WHEN 'numeric' THEN '1.5' ELSE 'NULL::' || type::regtype END $$;
CREATE FUNCTION pg_temp.other(type oid) RETURNS oid LANGUAGE sql AS $$ SELECT CASE WHEN typbyval THEN 'text'::regtype ELSE 'bigint'::regtype END::oid FROM pg_type WHERE oid = type $$;

-- each function, with one argument, the number of arguments, or the result changed
CREATE TEMP TABLE declared AS
WITH f AS (SELECT p.prosrc, p.probin, p.proargtypes::oid[] AS args, p.pronargs AS n, p.prorettype AS result, p.proretset AS many, p.prorettype::regtype::text AS returns
	FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e' JOIN pg_extension e ON e.oid = d.refobjid AND extname = 'taskq'
	WHERE p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'c') AND prokind = 'f'),
v AS (SELECT f.*, 'argument ' || i AS what, args[0:i - 2] || pg_temp.other(args[i - 1]) || args[i:n] AS types, result AS as_result, many AS as_many FROM f, generate_series(1, n) i
	UNION ALL SELECT f.*, 'an argument less', args[0:n - 2], result, many FROM f WHERE n > 0
	UNION ALL SELECT f.*, 'an argument more', args || 'text'::regtype::oid, result, many FROM f WHERE n < 99
	UNION ALL SELECT f.*, 'result', args, CASE WHEN result = 'void'::regtype THEN 'text'::regtype ELSE pg_temp.other(result) END, many FROM f
	UNION ALL SELECT f.*, 'set', args, result, NOT many FROM f)
SELECT row_number() OVER () AS no, prosrc, probin, what, types, CASE WHEN as_many THEN 'SETOF ' ELSE '' END || as_result::regtype::text AS as_result FROM v;

CREATE FUNCTION pg_temp.call(d declared) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text;
BEGIN
	EXECUTE format('CREATE FUNCTION pg_temp.f%s(%s) RETURNS %s AS %L, %L LANGUAGE C', d.no,
		(SELECT string_agg(t::regtype::text, ', ' ORDER BY i) FROM unnest(d.types) WITH ORDINALITY a (t, i)), d.as_result, d.probin, d.prosrc);
	EXECUTE format('SELECT pg_temp.f%s(%s)', d.no, (SELECT string_agg(pg_temp.sample(t), ', ' ORDER BY i) FROM unnest(d.types) WITH ORDINALITY a (t, i)));
	RETURN 'called';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLERRM;
END $$;
SELECT cmp_ok((SELECT count(DISTINCT prosrc) FROM declared), '>', 100::bigint, 'all functions are declared in other ways');
SELECT is_empty($$ SELECT prosrc, what, pg_temp.call(d) FROM declared d WHERE pg_temp.call(d) <> 'taskq''s library and its SQL definitions are of different versions' $$,
	'each of them refuses the call');

-- functions that return rows, declared with other rows
CREATE TYPE pg_temp.other_row AS (a bigint, b text);
CREATE TEMP TABLE others AS
SELECT row_number() OVER () + 10000 AS no, p.prosrc, p.probin, 'row' AS what, p.proargtypes::oid[] AS types, CASE WHEN proretset THEN 'SETOF ' ELSE '' END || 'pg_temp.other_row' AS as_result
FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e' JOIN pg_extension e ON e.oid = d.refobjid AND extname = 'taskq'
JOIN pg_type t ON t.oid = p.prorettype WHERE p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'c') AND prokind = 'f' AND (typtype = 'c' OR t.oid = 'record'::regtype);
SELECT cmp_ok((SELECT count(*) FROM others), '>', 20::bigint, 'all functions that return rows are declared with others');
SELECT is_empty($$ SELECT prosrc, pg_temp.call((no, prosrc, probin, what, types, as_result)::declared) FROM others
	WHERE pg_temp.call((no, prosrc, probin, what, types, as_result)::declared) NOT IN ('taskq''s library and its SQL definitions are of different versions')
	AND prosrc NOT IN ('taskq_current_job', 'taskq_report_usage', 'taskq_report_usage_of', 'taskq_claim_job', 'taskq_claim_jobs', 'taskq_get_handler_info', 'taskq_jobs_of_route', 'taskq_read_events', 'taskq_run_job') $$,
	'each of them refuses the call, except those that find no row or no job before');

-- a function that was declared as by the extension can be called, until it is declared in another way
CREATE FUNCTION pg_temp.again(text) RETURNS boolean AS '$libdir/taskq', 'taskq_is_registered' LANGUAGE C;
SELECT is(pg_temp.again('x'), false, 'the same declaration');
DROP FUNCTION pg_temp.again(text);
CREATE FUNCTION pg_temp.again(text) RETURNS bigint AS '$libdir/taskq', 'taskq_is_registered' LANGUAGE C;
CREATE FUNCTION pg_temp.detail(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	EXECUTE sql;
	RETURN 'no error';
EXCEPTION WHEN object_not_in_prerequisite_state THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN detail;
END $$;
SELECT is(pg_temp.detail($$ SELECT pg_temp.again('x') $$), 'The result of the function is declared as bigint and is boolean.', 'another result');
CREATE FUNCTION pg_temp.again(bigint) RETURNS boolean AS '$libdir/taskq', 'taskq_is_registered' LANGUAGE C;
SELECT is(pg_temp.detail($$ SELECT pg_temp.again(1::bigint) $$), 'Argument 1 of the function is declared as bigint and is text.', 'another argument');
CREATE FUNCTION pg_temp.again() RETURNS boolean AS '$libdir/taskq', 'taskq_is_registered' LANGUAGE C;
SELECT is(pg_temp.detail($$ SELECT pg_temp.again() $$), 'The function was called with 0 arguments and expects 1.', 'no argument');
CREATE FUNCTION pg_temp.answer() RETURNS trigger AS '$libdir/taskq', 'taskq_clock_now' LANGUAGE C;
CREATE TEMP TABLE t (i integer);
CREATE TRIGGER t BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION pg_temp.answer();
SELECT is(pg_temp.detail('INSERT INTO t VALUES (1)'), 'The result of the function is declared as trigger and is timestamp with time zone.', 'a trigger');
SELECT * FROM finish();
ROLLBACK;
