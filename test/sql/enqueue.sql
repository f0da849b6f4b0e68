-- enqueue_job() and enqueue_jobs(): every argument, its bounds and its default.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
SELECT plan(96);
BEGIN;
SET LOCAL timezone = 'UTC';
SELECT taskq.create_queue('enq-q'), taskq.create_queue('enq-reject', on_unhandled => 'reject'), taskq.register_handler('enq-plain'),
	taskq.register_handler('enq-set', queue => 'enq-q', priority => -7, max_attempts => 3, lease => '3 min') \gset

-- defaults --------------------------------------------------------------------
SELECT taskq.enqueue_job('enq-nobody') AS id \gset
SELECT results_eq(format('SELECT task_type, queue, state, priority, attempt, max_attempts, epoch, worker_id, payload, result, progress, tags, tenant_id, group_key, run_at = created_at,
		started_at, finished_at, last_error, checkpoint, correlation_id FROM taskq.all_jobs WHERE job_id = %s', :id),
	$$ SELECT 'enq-nobody', 'default', 'available', 0, 0, 20, 0::bigint, NULL::text, '{}'::jsonb, NULL::jsonb, NULL::jsonb, NULL::text[], NULL::text, NULL::text, true,
		NULL::timestamptz, NULL::timestamptz, NULL::text, NULL::jsonb, NULL::text $$,
	'a job of an unregistered type has the documented defaults');
SELECT is(taskq.enqueue_job('enq-nobody'), :id + 1::bigint, 'job ids are consecutive');
SELECT taskq.enqueue_job('enq-set') AS id \gset
SELECT results_eq(format('SELECT queue, priority, max_attempts FROM taskq.all_jobs WHERE job_id = %s', :id), $$ VALUES ('enq-q', -7, 3) $$, 'a job has the queue, priority and attempts of its handler');
SELECT taskq.enqueue_job('enq-set', queue => 'default', priority => 0, max_attempts => 20) AS id \gset
SELECT results_eq(format('SELECT queue, priority, max_attempts FROM taskq.all_jobs WHERE job_id = %s', :id), $$ VALUES ('default', 0, 20) $$, 'arguments take precedence over the handler''s values');
SELECT taskq.register_handler('enq-set', priority => 9, allow_override => true) \gset
SELECT is(priority, 0, 'a later registration does not change waiting jobs') FROM taskq.all_jobs WHERE job_id = :id;

-- every argument --------------------------------------------------------------
SELECT taskq.enqueue_job('enq-plain', '[1, null]', 'enq-q', 5, NULL, '1 h', 4, '7 s', '8 s', '{b,a,b}', 'acme', 'order/1', '{gpu,eu,gpu}', '1.2', 'request 1') AS id \gset
SELECT results_eq(format('SELECT queue, state, priority, max_attempts, payload, tags, tenant_id, group_key, run_at - created_at, correlation_id FROM taskq.all_jobs WHERE job_id = %s', :id),
	$$ SELECT 'enq-q', 'scheduled', 5, 4, '[1, null]'::jsonb, '{b,a,b}'::text[], 'acme', 'order/1', '1 h'::interval, 'request 1' $$, 'all that a job can be given is kept');
SELECT taskq.register_handler('enq-plain', version => '1.2', allow_override => true), taskq.register_worker('enq-w', capabilities => '{eu,gpu}') \gset
SET LOCAL taskq.clock_offset = '1 h';
SELECT results_eq($$ SELECT required_capabilities, timeout, lease_expires_at - started_at, tags FROM taskq.claim_job('enq-w', '{enq-plain}') $$,
	$$ VALUES ('{eu,gpu}'::text[], '7 s'::interval, '8 s'::interval, '{b,a,b}'::text[]) $$, 'and given to who claims it, capabilities sorted and once each');
SET LOCAL taskq.clock_offset = 0;

-- payloads --------------------------------------------------------------------
CREATE TEMP TABLE e AS SELECT p, taskq.enqueue_job('enq-nobody', p) AS id FROM unnest('{"null","true","0","\"x\"","[]","{}"}'::jsonb[]) p;
SELECT is(payload, p, 'a payload may be ' || jsonb_typeof(p)) FROM e JOIN taskq.all_jobs ON job_id = id ORDER BY id;
SELECT throws_ok($$ SELECT taskq.enqueue_job('enq-nobody', NULL) $$, '22004', 'payload must not be NULL', 'but not nothing');
SELECT is(pg_temp.hint_of($$ SELECT taskq.enqueue_job('enq-nobody', NULL) $$), 'Leave it out to enqueue an empty object.', 'with a hint');
SET LOCAL taskq.max_payload_size = 2000;
SELECT lives_ok($$ SELECT taskq.enqueue_job('enq-nobody', to_jsonb(repeat('x', 1900))) $$, 'up to taskq.max_payload_size');
SELECT throws_ok($$ SELECT taskq.enqueue_job('enq-nobody', to_jsonb(repeat('x', 2000))) $$, 'TQ009', NULL, 'and no larger, however well it compresses');
SELECT is(pg_temp.detail_of($$ SELECT taskq.enqueue_job('enq-nobody', to_jsonb(repeat('x', 2000))) $$), 'taskq.max_payload_size is 2000 bytes.', 'the detail names the setting');
SELECT throws_ok($$ SELECT taskq.enqueue_jobs('enq-nobody', ARRAY['1', to_jsonb(repeat('x', 2000))]) $$, 'TQ009', NULL, 'of several too');
RESET taskq.max_payload_size;

-- when ------------------------------------------------------------------------
CREATE FUNCTION pg_temp.due(arguments text) RETURNS interval LANGUAGE plpgsql AS $$
DECLARE
	id bigint;
BEGIN
	EXECUTE format('SELECT taskq.enqueue_job(''enq-nobody'', %s)', arguments) INTO id;
	RETURN (SELECT run_at - created_at FROM taskq.all_jobs WHERE job_id = id);
END $$;
SELECT is(pg_temp.due(a), d, a) FROM (VALUES ('delay => ''0''', interval '0'), ('delay => ''1 us''', '1 us'), ('delay => ''10 years''', '3600 days'), ('delay => ''1 month''', '30 days'),
	('run_at => ''2000-01-01''', '0'), ('run_at => ''-infinity''', '0'), ('run_at => now() - interval ''1 s''', '0'), ('run_at => NULL, delay => NULL', '0')) v (a, d);
SELECT taskq.enqueue_job('enq-nobody', run_at => '2030-01-01') AS id \gset
SELECT is(run_at, '2030-01-01', 'a moment ahead is kept exactly') FROM taskq.all_jobs WHERE job_id = :id;
SELECT throws_ok(format('SELECT taskq.enqueue_job(''enq-nobody'', %s)', a), '22023', NULL, 'refused: ' || a)
FROM (VALUES ('delay => ''-1 us'''), ('delay => ''11 years'''), ('run_at => ''infinity'''), ('run_at => now() + interval ''11 years'''),
	('run_at => ''2000-01-01'', delay => ''0''')) v (a);

-- bounds ----------------------------------------------------------------------
SELECT lives_ok(format('SELECT taskq.enqueue_job(''enq-nobody'', %s)', a), a)
FROM (VALUES ('priority => -32768'), ('priority => 32767'), ('max_attempts => 1'), ('max_attempts => 1000000'), ('timeout => ''1 ms'''), ('timeout => ''10 years'''), ('lease => ''1 s'''),
	('tags => ''{}'''), ('tags => array_fill(repeat(''x'', 255), ARRAY[100])'), ('tenant_id => repeat(''x'', 63)'), ('group_key => repeat(''x'', 63)'),
	('required_capabilities => ''{}'''), ('required_capabilities => ''{region=eu,large-fast}'''), ('min_version => repeat(''1'', 63)'), ('correlation_id => repeat(''x'', 255)')) v (a);
SELECT throws_ok(format('SELECT taskq.enqueue_job(''enq-nobody'', %s)', a), code, NULL, 'refused: ' || a)
FROM (VALUES ('priority => -32769', '22023'), ('priority => 32768', '22023'), ('max_attempts => 0', '22023'), ('max_attempts => 1000001', '22023'), ('timeout => ''0''', '22023'),
	('timeout => ''999 us''', '22023'), ('timeout => ''-1 s''', '22023'), ('lease => ''999 ms''', '22023'), ('tags => array_fill(''x''::text, ARRAY[101])', '22023'),
	('tags => ''{""}''', '22023'), ('tags => ''{NULL}''', '22004'), ('tags => ''{{a},{b}}''', '2202E'), ('tags => ARRAY[repeat(''x'', 256)]', '22023'), ('tenant_id => ''''', '22023'),
	('tenant_id => repeat(''x'', 64)', '22023'), ('tenant_id => ''a b''', '22023'), ('group_key => ''''', '22023'), ('group_key => repeat(''x'', 64)', '22023'),
	('required_capabilities => ''{NULL}''', '22004'), ('required_capabilities => ''{""}''', '22023'), ('required_capabilities => ''{"large, fast"}''', '22023'), ('min_version => ''a b''', '22023'), ('correlation_id => ''''', '22023'),
	('correlation_id => repeat(''x'', 256)', '22023'), ('queue => ''enq-none''', '42704'), ('queue => ''''', '22023'), ('queue => ''enq-reject''', 'TQ002')) v (a, code);
SELECT throws_ok(format('SELECT taskq.enqueue_job(%L)', t), code, NULL, 'no task type is ' || COALESCE(quote_literal(t), 'NULL'))
FROM (VALUES (NULL, '22004'), ('', '22023'), ('a b', '22023'), (repeat('x', 64), '22023')) v (t, code);
SELECT is(pg_temp.hint_of($$ SELECT taskq.enqueue_job('enq-nobody', queue => 'enq-none') $$), 'Make it with taskq.create_queue(''enq-none''), or see taskq.queues.', 'a queue that is not there can be made');

-- several ---------------------------------------------------------------------
CREATE TEMP TABLE several AS SELECT * FROM taskq.enqueue_jobs('enq-nobody', '{2,1,3,1}') WITH ORDINALITY e (id, o);
SELECT results_eq($$ SELECT payload FROM several JOIN taskq.all_jobs ON job_id = id ORDER BY o $$,
	$$ SELECT unnest('{2,1,3,1}'::jsonb[]) $$, 'enqueue_jobs returns the ids in the order of the payloads');
SELECT is(count(*), 10000::bigint, 'enqueue_jobs() enqueues ten thousand jobs') FROM taskq.enqueue_jobs('enq-nobody', array_fill('1'::jsonb, ARRAY[10000]), queue => 'enq-q', tags => '{all}');
SELECT is(count(*), 10000::bigint, 'all jobs of enqueue_jobs() have the same arguments') FROM taskq.all_jobs WHERE tags = '{all}' AND queue = 'enq-q';
SELECT throws_ok(format('SELECT taskq.enqueue_jobs(''enq-nobody'', %s)', a), code, NULL, 'refused: ' || a)
FROM (VALUES ('NULL', '22004'), ('''{1,NULL}''', '22004'), ('''{{1},{2}}''', '2202E'), ('''{1}'', priority => 32768', '22023'), ('''{1}'', queue => ''enq-none''', '42704')) v (a, code);
SELECT is_empty($$ SELECT taskq.enqueue_jobs('enq-nobody', '{}') $$, 'enqueue_jobs() without payloads returns no row');
SELECT taskq.create_queue('enq-unused') \gset
SELECT count(*) FROM taskq.enqueue_jobs('enq-nobody', '{}', queue => 'enq-unused') \gset
SELECT ok(taskq.drop_queue('enq-unused'), 'enqueue_jobs() without payloads does not use the queue');
SELECT throws_ok($$ SELECT taskq.enqueue_jobs('enq-nobody', '{}', queue => 'enq-none') $$, '42704', NULL, 'enqueue_jobs() without payloads checks its arguments');

-- a job is there if its transaction is -------------------------------------------
SAVEPOINT s;
SELECT taskq.enqueue_job('enq-nobody') AS id \gset
ROLLBACK TO s;
SELECT is_empty(format('SELECT FROM taskq.all_jobs WHERE job_id = %s', :id), 'what is rolled back is not enqueued');
SELECT ok(taskq.enqueue_job('enq-nobody') > :id, 'the id of a job that was rolled back is not given out again');

-- routes ----------------------------------------------------------------------
SELECT taskq.enqueue_job('enq-routes') \gset
SELECT count(*) AS contexts FROM pg_backend_memory_contexts WHERE name = 'taskq routes' \gset
SELECT taskq.enqueue_job('enq-routes', required_capabilities => ARRAY['c' || i]) FROM generate_series(1, 100) i \g /dev/null
SELECT is(count(*), :contexts::bigint, 'a transaction reads the routes once, however many it creates') FROM pg_backend_memory_contexts WHERE name = 'taskq routes';
SET LOCAL taskq.max_routes = 1;
SELECT lives_ok($$ SELECT taskq.enqueue_job('enq-nobody') $$, 'at taskq.max_routes, a job of an existing route is enqueued');
SELECT throws_ok($$ SELECT taskq.enqueue_job('enq-another') $$, 'TQ010', NULL, 'at taskq.max_routes, a job of a new route is refused');

SELECT * FROM finish();
ROLLBACK;
