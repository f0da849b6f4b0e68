-- Every function of taskq, called with invalid values: it raises one of its
-- documented errors or does its work, and never fails with an internal error.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
BEGIN;
SELECT plan(32);
SET client_min_messages = error; -- claims are for unregistered types

-- something of each kind to hit -----------------------------------------------
CREATE ROLE regress_misuse LOGIN;
CREATE SCHEMA misuse;
GRANT USAGE ON SCHEMA misuse TO regress_misuse;
CREATE FUNCTION misuse.handler(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT $1 $$;
CREATE FUNCTION misuse.set(jsonb) RETURNS SETOF jsonb LANGUAGE sql AS $$ SELECT $1 $$;
CREATE PROCEDURE misuse.procedure(jsonb) LANGUAGE sql AS $$ SELECT $1 $$;
SELECT taskq.register_handler('ext'), taskq.register_handler('in', 'misuse.handler(jsonb)', run_as => 'regress_misuse'),
	taskq.create_queue('queue'), taskq.set_budget('budget', hard => 1), taskq.create_pool('pool', 1, 'regress_misuse'), taskq.register_worker('worker', max_concurrent_jobs => 3),
	taskq.pause_pool('pool'), taskq.pause_handler('in') \gset
SELECT pg_temp.add('done', 'ext'), pg_temp.add('run', 'ext'), pg_temp.add('wait', 'ext'), pg_temp.add('inside', 'in') \gset
SELECT pg_temp.take('worker'), pg_temp.take('worker') \gset
SELECT taskq.complete_job(pg_temp.id('done'), pg_temp.e('done')), taskq.grant_access('regress_misuse', 'producer') \gset
SET LOCAL taskq.max_wait = '1 ms';

-- the values ------------------------------------------------------------------
CREATE TEMP TABLE vals (type text, value text);
INSERT INTO vals
SELECT 'text', quote_nullable(v) FROM unnest(ARRAY[NULL, '', ' ', 'ext', 'in', 'queue', 'default', 'pool', 'worker', 'producer', 'admin', 'fail', 'linear', 'none',
	'permanent_error', '1.2.3', 'a''b"c;--', '$$', '%s%n', E'\x01\x7f', E'line\nbreak', 'größer', '🙂', '..', '\', repeat('x', 63), repeat('x', 64), repeat('é', 40)]) v
UNION ALL VALUES ('text', 'repeat(''x'', 100000)'), ('text', 'repeat(''1.'', 30000) || 1');
INSERT INTO vals SELECT 'integer', v FROM unnest('{NULL,0,1,-1,2,5,32767,32768,-32769,100001,2147483647,-2147483648}'::text[]) v;
INSERT INTO vals SELECT 'bigint', v FROM unnest('{NULL,0,1,-1,281474976710655,281474976710656,9223372036854775807,-9223372036854775808}'::text[]) v;
INSERT INTO vals SELECT 'bigint', pg_temp.id(n)::text FROM unnest('{done,run,wait,inside}'::text[]) n UNION ALL SELECT 'bigint', e::text FROM j WHERE e IS NOT NULL;
INSERT INTO vals SELECT 'interval', quote_nullable(v) FROM unnest(ARRAY[NULL, '0', '1 us', '-1 us', '1 ms', '1 s', '10 s', '-1 month 30 days', '10 years', '11 years',
	'178000000 years', '-178000000 years', '2147483647 months 2147483647 days 2562047788 hours', '-2147483648 months -2147483648 days -2562047788 hours']) v;
INSERT INTO vals SELECT 'timestamp with time zone', quote_nullable(v) FROM unnest(ARRAY[NULL, 'infinity', '-infinity', '4713-01-01 BC', '294276-12-31', '1970-01-01', 'tomorrow']) v;
INSERT INTO vals SELECT 'jsonb', v FROM unnest(ARRAY['NULL', '''{}''', '''[]''', '''null''', '''0''', '''{"$taskq": "failure"}''', '''{"$taskq": "success"}''', '''{"$taskq": 1}''', '''{"$taskq": "snooze"}''', '''{"$taskq": "decision", "activated_steps": ["ext"]}''',
	'to_jsonb(repeat(''x'', 2000000))', '(repeat(''['', 500) || repeat('']'', 500))::jsonb']) v;
INSERT INTO vals SELECT 'boolean', v FROM unnest('{NULL,true,false}'::text[]) v;
INSERT INTO vals SELECT 'text[]', v FROM unnest(ARRAY['NULL', '''{}''', '''{ext}''', '''{in,ext,ext}''', '''{queue,default}''', '''{NULL}''', '''{ext,NULL}''', '''{""}''', '''{{ext},{in}}''',
	'''[5:6]={ext,in}''', '''[-2147483648:-2147483647]={ext,in}''', 'array_fill(''x''::text, ARRAY[20000])', 'ARRAY[repeat(''x'', 100000)]', '''{22,23505}''', '''{"a b",é}''']) v;
INSERT INTO vals SELECT 'jsonb[]', v FROM unnest(ARRAY['NULL', '''{}''', '''{NULL}''', 'ARRAY[''{}'', NULL]::jsonb[]', 'ARRAY[ARRAY[''{}''::jsonb]]', '''[7:8]={1,2}''',
	'array_fill(''1''::jsonb, ARRAY[2000])', 'ARRAY[to_jsonb(repeat(''x'', 2000000))]']) v;
INSERT INTO vals SELECT 'bigint[]', v FROM unnest(ARRAY['NULL', '''{}''', '''{NULL}''', '''{1,2}''', '''{{1},{2}}''', '''[9:10]={1,2}''', 'array_fill(1::bigint, ARRAY[2000])']) v;
INSERT INTO vals SELECT 'regprocedure', v FROM unnest(ARRAY['NULL', '0', '1', '4294967295', '''misuse.handler(jsonb)''', '''misuse.set(jsonb)''', '''misuse.procedure(jsonb)''',
	'(SELECT oid FROM pg_catalog.pg_proc WHERE prokind = ''a'' ORDER BY 1 LIMIT 1)', '(SELECT oid FROM pg_catalog.pg_proc WHERE prokind = ''w'' ORDER BY 1 LIMIT 1)', '''pg_catalog.now()''', '''taskq.success(jsonb)''', '''taskq.current_job()''']) v;
INSERT INTO vals SELECT 'regtype', v FROM unnest(ARRAY['NULL', '0', '1', '4294967295', '''text''', '''record''', '''anyelement''', '''taskq.job''', '''taskq.jobs''', '''pg_catalog.pg_class''', '''information_schema.cardinal_number''', '''_int4''']) v;
INSERT INTO vals SELECT 'regrole', v FROM unnest(ARRAY['NULL', '0', '1', '4294967295', '''regress_misuse''', '''pg_monitor''', 'current_user::regrole']) v;
INSERT INTO vals SELECT 'double precision', v FROM unnest(ARRAY['NULL', '0', '-1', '1', '5', '''NaN''', '''Infinity''', '''-Infinity''', '1e-300']) v;
INSERT INTO vals SELECT 'numeric', quote_nullable(v) FROM unnest(ARRAY[NULL, '0', '1', '-1', '0.1', 'NaN', 'Infinity', '-Infinity', '999999999999999.999999999999', '1e15', '1e-13', '1e1000', '-1e-1000']) v;
INSERT INTO vals SELECT '"char"', quote_nullable(v) FROM unnest(ARRAY[NULL, '', 'a', 'r', 'c', '?']) v;

CREATE TEMP TABLE functions AS
SELECT p.proname, p.prokind, p.pronargs - p.pronargdefaults AS required, ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY a (t, i) ORDER BY i) AS types,
	ARRAY(SELECT n FROM unnest(p.proargnames, p.proargmodes) WITH ORDINALITY a (n, m, i) WHERE COALESCE(m, 'i') IN ('i', 'b') ORDER BY i) AS names
FROM pg_proc p WHERE pronamespace = 'taskq'::regnamespace;
SELECT ok(count(*) >= 60, 'the functions of taskq') FROM functions;
SELECT is_empty($$ SELECT DISTINCT t FROM functions, unnest(types) t WHERE t NOT IN (SELECT type FROM vals) $$, 'there are values for every type of argument');

-- the calls -------------------------------------------------------------------
CREATE TEMP TABLE answers (call text, answer text);
-- Call a function with some of its arguments, record its result, and undo its work.
-- An argument that is '' is left out.
CREATE FUNCTION pg_temp.try(f functions, arguments text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	call text := format('taskq.%I(%s)', f.proname,
		(SELECT string_agg(format('%I => (%s)::%s', n, a, t), ', ' ORDER BY i) FROM unnest(arguments, f.types, f.names) WITH ORDINALITY v (a, t, n, i) WHERE a <> ''));
	answer text;
BEGIN
	BEGIN
		IF f.prokind = 'p' THEN
			EXECUTE 'CALL ' || call;
		ELSE
			EXECUTE 'SELECT count(*) FROM ' || call;
		END IF;
		RAISE SQLSTATE 'ZZDON';
	EXCEPTION WHEN OTHERS THEN
		answer := SQLSTATE;
	END;
	INSERT INTO answers VALUES (left(call, 300), answer);
END $$;

-- every value in every argument, with harmless values for the required ones; all
-- NULL; and random combinations, which are the same in each run
DO $$
DECLARE
	harmless jsonb := jsonb_build_object('task_type', '''ext''', 'queue', '''queue''', 'budget', '''budget''', 'amount', '1', 'name', '''limit''', 'pool', '''pool''', 'worker_id', '''worker''', 'access', '''producer''',
		'job_id', pg_temp.id('run'), 'epoch', pg_temp.e('run'), 'job_ids', '''{}''', 'epochs', '''{}''', 'delay', '''1 s''', 'role', '''regress_misuse''', 'payloads', '''{1,2}''', 'retry_policy', '''linear''',
		'attempt', '1', 'version', '''1.2''', 'min_version', '''1.10''', 'error_type', '''timeout''', 'message', '''m''');
	f functions;
	n integer;
	v text;
	plain text[];
	arguments text[];
BEGIN
	PERFORM setseed(0.25);
	FOR f IN SELECT * FROM functions ORDER BY proname LOOP
		n := cardinality(f.types);
		plain := ARRAY(SELECT CASE WHEN i > f.required THEN '' WHEN f.proname = 'create_pool' THEN '''new''' ELSE harmless->>a END FROM unnest(f.names) WITH ORDINALITY u (a, i));
		PERFORM pg_temp.try(f, plain);
		PERFORM pg_temp.try(f, array_fill('NULL'::text, ARRAY[n]));
		IF f.proname = 'set_limit' THEN
			PERFORM pg_temp.try(f, ARRAY['''l''', '''queue''', 'NULL', 'NULL', '''{tenant_id,group_key}''', '100', 'NULL', 'NULL', 'NULL', 'NULL', 'NULL', 'NULL', '''{"ext": {"in": 200}}''']);
		END IF;
		IF f.proname = 'run_job' THEN
			PERFORM pg_temp.try(f, ARRAY[pg_temp.id('wait')::text, '''misuse.handler(jsonb)''']);
		END IF;
		IF f.proname = 'set_limit' THEN
			PERFORM pg_temp.try(f, ARRAY(SELECT CASE a WHEN 'name' THEN '''new''' WHEN 'concurrency' THEN '5' ELSE '' END FROM unnest(f.names) a));
		END IF;
		FOR i IN 1..n LOOP
			FOR v IN SELECT value FROM vals WHERE type = f.types[i] LOOP
				arguments := plain;
				arguments[i] := v;
				PERFORM pg_temp.try(f, arguments);
			END LOOP;
		END LOOP;
		FOR i IN 1..CASE WHEN n > 1 THEN 60 ELSE 0 END LOOP
			PERFORM pg_temp.try(f, ARRAY(SELECT (SELECT value FROM vals WHERE type = t AND o > 0 ORDER BY random() LIMIT 1) FROM unnest(f.types) WITH ORDINALITY a (t, o)));
		END LOOP;
	END LOOP;
END $$;

SELECT ok(count(*) > 5000, 'thousands of calls were made') FROM answers;
SELECT is_empty($$ SELECT answer, call FROM answers WHERE answer LIKE 'XX%' OR answer LIKE '53%' OR answer LIKE '57%' OR answer LIKE '58%' $$, 'none failed inside');
SELECT is_empty($$ SELECT answer, min(call) FROM answers
	WHERE answer NOT IN ('ZZDON', 'TQ001', 'TQ002', 'TQ003', 'TQ008', 'TQ009', 'TQ010', 'TQ011', 'TQ012', 'TQ020', 'TQ021', 'TQ022',
		'0A000', '22023', '22004', '2202E', '2D000', '42501', '42601', '42602', '42725', '42704', '42710', '42809', '42883', '42P13', '2BP01', '55000', '55006') GROUP BY 1 $$,
	'every error is one that the documentation names');
SELECT is_empty($$ SELECT f.proname FROM functions f WHERE NOT EXISTS (SELECT FROM answers WHERE call LIKE 'taskq.' || f.proname || '(%' AND answer = 'ZZDON')
		AND f.proname NOT IN ('raise_permanent', 'raise_retryable', 'update_progress', 'wait_for_job', 'alter_limit', 'report_usage') $$,
	'every function has done its work at least once, but those that raise, the one that commits, the one for handlers and those that do nothing after such changes in the same transaction');

-- texts have a limit -----------------------------------------------------------
CREATE TEMP TABLE long_texts (what, call) AS VALUES
	('description', $$taskq.register_handler('long', description => %s)$$),
	('description', $$taskq.register_handler('long-in', 'misuse.handler(jsonb)', description => %s, run_as => 'regress_misuse')$$),
	('search_path', $$taskq.register_handler('long', 'misuse.handler(jsonb)', run_as => 'regress_misuse', search_path => %s)$$),
	('description', $$taskq.create_queue('long', description => %s)$$),
	('description', $$taskq.alter_queue('queue', description => %s)$$),
	('reason', $$taskq.cancel_job(pg_temp.id('wait'), reason => %s)$$),
	('reason', $$taskq.discard_job(pg_temp.id('wait'), reason => %s)$$),
	('error_like', $$taskq.redrive_jobs(error_like => %s)$$),
	('error_code', $$taskq.redrive_jobs(error_code => %s)$$);
SELECT throws_ok('SELECT ' || format(call, $$repeat('é', 2048) || 'x'$$), '22023', what || ' of 4097 bytes is too long', 'too long: ' || format(call, '...')) FROM long_texts;
SELECT is(pg_temp.detail_of('SELECT ' || format(call, $$repeat('x', 4097)$$)), 'It can have up to 4096 bytes.', 'the detail says how long it can be') FROM long_texts LIMIT 1;
SELECT is(pg_temp.hint_of('SELECT ' || format(call, $$repeat('x', 4097)$$)), 'Keep longer texts in a table of your own.', 'and the hint what else to do') FROM long_texts LIMIT 1;
SELECT set_config('search_path', string_agg('s' || n, ', ') || ', ' || current_setting('search_path'), true) FROM generate_series(1, 1000) n \g /dev/null
SELECT throws_like($$ SELECT taskq.register_handler('long', 'misuse.handler(jsonb)', run_as => 'regress_misuse') $$, 'search_path of % bytes is too long', 'nor is a longer search_path taken from the session');
RESET search_path;
SELECT lives_ok('SELECT ' || format(call, $$repeat('é', 2048)$$), 'long enough: ' || format(call, '...')) FROM long_texts WHERE what <> 'search_path' AND call !~ 'discard';
-- the text of a failure is cut to its limit, because a failure must be reported
SELECT is(octet_length(v), 4096, 'cut: ' || k) FROM jsonb_each_text(taskq.failure(repeat('é', 9000), error_code => repeat('x', 9000), detail => repeat('y', 9000), hint => repeat('z', 9000))) f (k, v) WHERE k NOT LIKE '$%';
SELECT throws_ok(format($$ SELECT taskq.%s(repeat('é', 9000)) $$, f), s, repeat('é', 2048), 'cut: the message of ' || f) FROM (VALUES ('raise_permanent', 'TQ020'), ('raise_retryable', 'TQ021')) v (f, s);
SELECT is(pg_temp.detail_of($$ SELECT taskq.raise_permanent('m', detail => repeat('x', 9000)) $$), repeat('x', 4096), 'and its detail');

SELECT * FROM finish();
ROLLBACK;
