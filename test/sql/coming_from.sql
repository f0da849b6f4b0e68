-- How taskq handles handlers, claims and results where other queues behave
-- differently: behavior that doc/coming-from.md promises and that no other test
-- covers.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
SELECT plan(82);
BEGIN;
-- Enqueue many jobs of a type, ahead of all others.
CREATE FUNCTION pg_temp.pile(t text, most integer) RETURNS bigint LANGUAGE sql AS
	$$ SELECT count(*) FROM taskq.enqueue_jobs(t, array_fill(jsonb_build_object('n', t), ARRAY[most]), priority => -100) $$;
-- Are all jobs of a type unchanged since they were enqueued?
CREATE FUNCTION pg_temp.untouched(t text) RETURNS boolean LANGUAGE sql AS
	$$ SELECT bool_and(state = 'available' AND attempt = 0 AND epoch = 0 AND worker_id IS NULL AND NOT EXISTS (SELECT FROM taskq.attempts a WHERE a.job_id = j.job_id))
	   FROM taskq.all_jobs j WHERE task_type = t $$;
-- How many live jobs, and index entries of them, this transaction has read or
-- written.
CREATE FUNCTION pg_temp.touched() RETURNS numeric LANGUAGE sql AS $$
	SELECT pg_stat_get_xact_tuples_returned(c) + pg_stat_get_xact_tuples_fetched(c) + pg_stat_get_xact_tuples_updated(c)
		+ (SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid)) FROM pg_index WHERE indrelid = c)
	FROM CAST('taskq.jobs'::regclass AS oid) c $$;

-- a queue on object storage ---------------------------------------------------
-- In that queue, workers claimed jobs without having a handler for them, failed
-- them, and counted the attempt.
SELECT taskq.register_handler(t) FROM unnest('{store-a,store-b,store-c}'::text[]) t \g /dev/null
SELECT taskq.register_worker('store-wa', '{store-a}'), taskq.register_worker('store-wb', '{store-b}'), taskq.register_worker('store-wab', '{store-a,store-b}') \gset
SELECT pg_temp.pile('store-a', 300), pg_temp.pile('store-none', 300) \g /dev/null
SELECT pg_temp.touched() AS before \gset
SELECT is(pg_temp.take('store-wb'), NULL, 'a worker that has not registered a type is never given its jobs, however many wait');
SELECT is(pg_temp.touched() - :before, 0::numeric, 'a claim does not read the jobs of other types');
SELECT pg_temp.add('b' || i, 'store-b') FROM generate_series(1, 9) i \g /dev/null
SELECT is(pg_temp.take('store-wb'), 'b1', 'a worker is given its own job behind many jobs of other types');
SELECT ok(pg_temp.touched() > :before, 'a claim reads the jobs of its own types');
SELECT is(pg_temp.take_many('store-wb', 3), 'b2 b3 b4', 'jobs of other types do not count against max_jobs: a worker that asks for three jobs gets three');
SELECT taskq.register_worker('store-wb', '{store-b}', max_concurrent_jobs => 6, take_over => true) \gset
SELECT is(pg_temp.take_many('store-wb', 9), 'b5 b6', 'jobs of other types do not count against max_concurrent_jobs');
SELECT ok(taskq.complete_job(pg_temp.id('b1'), pg_temp.e('b1')), 'a job of the worker is completed');
SELECT is(pg_temp.take_many('store-wb', 9), 'b7', 'only the worker''s own jobs count against max_concurrent_jobs');
SELECT ok(pg_temp.untouched('store-a') AND pg_temp.untouched('store-none'), 'a claim does not change the attempt or epoch of any job of another type');
SELECT results_eq($$ SELECT task_type, reason, jobs FROM taskq.unroutable_jobs WHERE task_type LIKE 'store-%' $$, $$ VALUES ('store-none', 'no handler registered', 300::bigint) $$,
	'unroutable_jobs counts the jobs of an unregistered type, with the reason');
SELECT is(pg_temp.take('store-wa'), 'store-a', 'a worker for the other type is given its jobs');

-- the three tests of that project, and two more
SELECT pg_temp.add('only c', 'store-c') \gset
SELECT is(pg_temp.take('store-wb', 'store-c'), NULL, 'a worker does not claim a type that it has no handler for');
SELECT is(pg_temp.state('only c'), 'available 0', 'a job of another type stays available');
SELECT is(pg_temp.take('store-wab', 'store-b', 'store-c'), 'b8', 'a claim with several types returns only jobs of those that the worker has registered');
SELECT taskq.discard_job(job_id) FROM taskq.all_jobs WHERE task_type IN ('store-a', 'store-none') AND state = 'available' \g /dev/null
SELECT pg_temp.add('a1', 'store-a'), pg_temp.add('c1', 'store-c'), pg_temp.add('a2', 'store-a'), pg_temp.add('c2', 'store-c') \gset
SELECT taskq.register_worker('store-wc', '{store-c}'), taskq.register_worker('store-wb', '{store-b}', take_over => true) \gset
SELECT is(pg_temp.take_many('store-wa', 10) || ', ' || pg_temp.take_many('store-wb', 10) || ', ' || pg_temp.take_many('store-wc', 10), 'a1 a2, b9, only c c1 c2',
	'each of several workers with different types gets all jobs of its types and no other job');
SELECT pg_temp.add('left over', 'store-old', -5), pg_temp.add('of today', 'store-a') \gset
SELECT is(pg_temp.take('store-wa'), 'of today', 'old jobs of an unregistered type do not delay jobs of other types');
SELECT taskq.unregister_handler('store-a') \gset
SELECT pg_temp.add('late', 'store-a') \gset
SELECT is(pg_temp.take('store-wa'), NULL, 'a worker is given no more jobs of a type that was unregistered');
SELECT taskq.register_handler('store-a') \gset
SELECT is(pg_temp.take('store-wa'), 'late', 'a worker is given jobs again when the type is registered again');

-- a worker with an empty list of handlers
SELECT throws_ok($$ SELECT taskq.register_worker('store-w', '{}') $$, '22023', 'task_types is an empty array', 'an empty list of types is refused');
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_worker('store-w', '{}') $$), 'Leave it out, or give NULL, for all.', 'the hint says how to register for all types');
SELECT throws_ok($$ SELECT taskq.register_worker('store-w', queues => '{}') $$, '22023', 'queues is an empty array', 'an empty list of queues is refused');
CREATE ROLE regress_coming_from LOGIN;
SELECT throws_ok(format('SELECT taskq.create_pool(''store-p'', 1, ''regress_coming_from'', %s)', a), '22023', NULL, 'nor a pool: ' || a)
FROM unnest('{task_types => ''\{\}'',queues => ''\{\}''}'::text[]) a;
SELECT ok(taskq.register_worker('store-w', capabilities => '{}'), 'an empty list of capabilities means none');

-- a registry of handlers in Python --------------------------------------------
CREATE SCHEMA coming_from;
GRANT USAGE ON SCHEMA coming_from TO regress_coming_from;
CREATE FUNCTION coming_from.mail(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb('mail ' || ($1->>'n')) $$;
CREATE FUNCTION coming_from.report(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb('report ' || ($1->>'n')) $$;
CREATE FUNCTION coming_from.every_type(job taskq.job) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(job.task_type || ' ' || (job.payload->>'n')) $$;
SELECT taskq.clear_handlers() \gset
SELECT lives_ok($$ SELECT taskq.register_handler('py-mail', 'coming_from.mail(jsonb)', 'Sends mail', '1.0.0', false, 'regress_coming_from') $$,
	'register_handler() takes type, handler, description, version and allow_override in this order');
SELECT results_eq($$ SELECT task_type, handler, description, version FROM taskq.get_handler_info('py-mail') $$,
	$$ VALUES ('py-mail', 'coming_from.mail(pg_catalog.jsonb)', 'Sends mail', '1.0.0') $$, 'and get_handler_info() returns them');
SELECT throws_ok($$ SELECT taskq.register_handler('py-mail', 'coming_from.report(jsonb)', run_as => 'regress_coming_from') $$, 'TQ001', NULL, 'a second handler for a type is refused');
SELECT is(taskq.get_handler('py-mail'), 'coming_from.mail(pg_catalog.jsonb)', 'the first handler is kept');
SELECT registered_at FROM taskq.get_handler_info('py-mail') \gset
SELECT taskq.register_handler('py-mail', 'coming_from.mail(jsonb)', 'Sends mail', '1.0.0', true, 'regress_coming_from') \gset
SELECT is((SELECT count(*) FROM taskq.handler_history WHERE task_type = 'py-mail') || ' ' || (registered_at = :'registered_at'), '0 true',
	'the same registration again is not recorded as an override') FROM taskq.get_handler_info('py-mail');
SELECT count(*) FROM (VALUES (NULL, '1.0.0', NULL, NULL), ('Sends mail', '1.0.1', NULL, NULL), ('Sends mail', '1.0.1', '{23505}', NULL), ('Sends mail', '1.0.1', '{23505}', interval '1 s')) v (d, v, p, t),
	taskq.register_handler('py-mail', 'coming_from.mail(jsonb)', d, v, true, 'regress_coming_from', permanent_errors => p::text[], timeout => t) \gset
SELECT is(count(*), 4::bigint, 'a registration with any difference is recorded as an override') FROM taskq.handler_history WHERE task_type = 'py-mail' AND change = 'overridden';
SELECT throws_ok($$ SELECT taskq.register_handler('', 'coming_from.mail(jsonb)') $$, '22023', 'task type is empty', 'a task type must not be empty');
SELECT throws_ok($$ SELECT taskq.register_handler('py-text', 'not_callable') $$, '42883', NULL, 'a handler that does not exist is refused');
SELECT pg_temp.add('found', 'py-discovered') \gset
SELECT is(taskq.get_registered_types(), '{py-mail}', 'a job does not register its type');
SELECT is(taskq.unregister_handler('py-discovered'), false, 'unregister_handler() returns false for an unregistered type');
SELECT is(taskq.unregister_handler('py-mail'), true, 'unregister_handler() returns true for a registered type');
SELECT is(taskq.is_registered('py-mail'), false, 'an unregistered type is not registered any more');
SELECT taskq.register_handler('py-mail', 'coming_from.mail(jsonb)', run_as => 'regress_coming_from') \gset
SELECT throws_ok($$ SELECT taskq.get_handler('py-discovered') $$, 'TQ002', 'no handler registered for task type "py-discovered"', 'get_handler() raises TQ002 for an unregistered type');
SELECT is(taskq.get_handler_info('py-discovered')::text, NULL, 'get_handler_info() is NULL for an unregistered type');
SELECT is(taskq.clear_handlers(), 1, 'clear_handlers() returns the number of handlers');
SELECT is(taskq.get_registered_types(), '{}', 'clear_handlers() leaves an empty registry');
SELECT is(pg_temp.state('found'), 'available 0', 'clear_handlers() leaves the jobs');

-- a queue that fails unhandled jobs at once
SELECT taskq.create_queue('py-now', on_unhandled => 'fail'), taskq.register_handler('py-backup'), taskq.register_handler('py-email'), taskq.register_handler('py-report') \gset
SELECT pg_temp.add('unknown', 'py-unknown', q => 'py-now', attempts => 5) \gset
SELECT is(pg_temp.state('unknown'), 'discarded 0', 'in a queue with on_unhandled => fail, an unhandled job fails at once, whatever its max_attempts');
SELECT is(last_error, 'no handler registered for task type "py-unknown"; registered types: py-backup, py-email, py-report', 'the error of an unhandled job lists the registered types')
	FROM taskq.all_jobs WHERE job_id = pg_temp.id('unknown');

-- a handler named in the call, beside the registry
CREATE FUNCTION pg_temp.ran(types text[], most integer DEFAULT NULL, h regprocedure DEFAULT NULL) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(concat_ws(' ', r.state, r.result, r.error), ', ') FROM taskq.run_all(types, most, h) r $$;
SELECT pg_temp.add('m', 'py-mail'), pg_temp.add('r', 'py-report'), pg_temp.add('x', 'py-else') \gset
SELECT is(pg_temp.ran('{py-mail,py-report,py-discovered}', h => 'coming_from.every_type(taskq.job)'), 'completed "py-discovered found", completed "py-mail m", completed "py-report r"',
	'run_all() with a handler runs all types that are named, registered or not');
SELECT is(pg_temp.state('x'), 'available 0', 'run_all() with a handler runs no other types');
SELECT throws_ok($$ SELECT * FROM taskq.run_all(handler => 'coming_from.every_type(taskq.job)') $$, '22023', 'a handler was given without the task types that it is for',
	'run_all() with a handler requires task types');
SELECT pg_temp.add('m' || i, 'py-mail') FROM generate_series(1, 3) i \g /dev/null
SELECT is(pg_temp.ran('{py-mail}', 2, 'coming_from.mail(jsonb)'), 'completed "mail m1", completed "mail m2"', 'run_all() runs up to max_jobs jobs');
SELECT is(pg_temp.state('m3'), 'available 0', 'run_all() runs no more than max_jobs jobs');
SELECT is(concat_ws(' ', r.state, r.result), 'completed "report m3"', 'run_job() runs a single job with another handler') FROM taskq.run_job(pg_temp.id('m3'), 'coming_from.report(jsonb)') r;

-- the payload does not choose the handler
SELECT pg_temp.add('inject', 'py-mail') \gset
SELECT taskq.enqueue_job('py-mail', '{"n": "data", "handler": "coming_from.report(jsonb)", "task_type": "py-report", "$taskq": "failure"}') AS inject \gset
SELECT is(concat_ws(' ', r.state, r.task_type, r.result), 'completed py-mail "mail data"', 'a payload that names a handler or a type is only data') FROM taskq.run_job(:inject, 'coming_from.mail(jsonb)') r;
SELECT taskq.cancel_job(pg_temp.id('inject')) \gset

-- a workflow engine's worker --------------------------------------------------
SELECT taskq.clear_handlers(), taskq.register_handler('flow-a'), taskq.register_handler('flow-b') \gset
SELECT throws_ok($$ SELECT taskq.register_worker('flow-w', max_concurrent_jobs => 0) $$, '22023', NULL, 'max_concurrent_jobs must not be 0');
SELECT throws_ok($$ SELECT taskq.register_worker('flow-w', queues => '{flow-nowhere}') $$, '42704', NULL, 'register_worker() refuses an unknown queue');
SELECT throws_ok($$ SELECT taskq.register_worker('flow-w', capabilities => '{""}') $$, '22023', NULL, 'register_worker() refuses an empty capability');
SELECT is(pg_temp.error_of(format($$ SELECT taskq.register_worker('flow-w', capabilities => %L) $$, ARRAY[c])), format('capability "%s" in capabilities is not valid', c), 'register_worker() refuses the capability "' || c || '" and names it') FROM (VALUES ('large,fast'), ('large fast'), (E'\u0085')) v (c);
SELECT pg_temp.add('needs gpu', 'flow-a', -1, caps => '{gpu}'), pg_temp.add('needs none', 'flow-a', 1) \gset
SELECT taskq.register_worker('flow-w', '{flow-a}') \gset
SELECT is(pg_temp.take_many('flow-w', 5), 'needs none', 'a job that needs a missing capability does not delay the jobs behind it');
SELECT is(pg_temp.state('needs gpu'), 'available 0', 'a job that needs a missing capability is not changed');
SELECT is(concat_ws(' ', reason_code, missing_capabilities), 'waiting_for_capable_worker {gpu}', 'unroutable_jobs says which job lacks a worker with the capabilities') FROM taskq.unroutable_jobs WHERE task_type = 'flow-a';
SELECT taskq.register_worker('flow-gpu', '{flow-a}', capabilities => '{gpu,large-fast}') \gset
SELECT is_empty($$ SELECT FROM taskq.unroutable_jobs WHERE task_type = 'flow-a' $$, 'unroutable_jobs does not list the job after a worker with the capabilities registers');
SELECT is(pg_temp.take('flow-gpu'), 'needs gpu', 'the job is given to the worker with the capabilities');
SELECT pg_temp.add('whole', 'flow-a', caps => '{large-fast}'), pg_temp.add('half', 'flow-a', caps => '{large}') \gset
SELECT is(pg_temp.take_many('flow-gpu', 5), 'whole', 'a capability is compared as a whole');
SELECT is(capabilities_digest, taskq.capabilities_digest('{large-fast,gpu}'), 'workers has a digest of the capabilities, whatever their order') FROM taskq.workers WHERE worker_id = 'flow-gpu';

-- one claim looks in all queues
SELECT taskq.create_queue('flow-' || i) FROM generate_series(1, 150) i \g /dev/null
SELECT pg_temp.add('far', 'flow-b', q => 'flow-150') \gset
SELECT taskq.enqueue_job('flow-none', queue => 'flow-' || i) FROM generate_series(1, 149) i \g /dev/null
SELECT is(pg_temp.take('flow-any'), 'far', 'one claim finds the only job in many queues');
SELECT is(pg_temp.take('flow-any'), NULL, 'no row means that there is no job');

-- the number of an attempt
SELECT taskq.register_handler('flow-n', retry_policy => 'fixed', retry_base => '0') \gset
CREATE FUNCTION pg_temp.numbers() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c taskq.job;
	numbers text := '';
BEGIN
	FOR i IN 1 .. 6 LOOP
		SELECT * INTO c FROM taskq.claim_job('flow-any', '{flow-n}');
		numbers := numbers || c.attempt;
		IF i IN (2, 4) THEN
			PERFORM taskq.release_job(c.job_id, c.epoch);
		ELSE
			PERFORM taskq.fail_job(c.job_id, c.epoch, 'try ' || i);
		END IF;
	END LOOP;
	RETURN numbers;
END $$;
SELECT pg_temp.add('numbers', 'flow-n') \gset
SELECT is(pg_temp.numbers(), '122334', 'the attempt number grows with each retry, and stays the same after a release');
SELECT is(string_agg(attempt || ' ' || error_message, ', ' ORDER BY epoch), '1 try 1, 2 try 3, 3 try 5, 4 try 6', 'taskq.attempts shows all attempts that counted')
	FROM taskq.attempts WHERE job_id = pg_temp.id('numbers');
SELECT is(count(DISTINCT epoch), 4::bigint, 'each attempt has an epoch of its own') FROM taskq.attempts WHERE job_id = pg_temp.id('numbers');

-- workers in several languages ------------------------------------------------
SELECT is(taskq.standard_error_types(), '{permanent_error,retryable_error,validation_error,timeout,handler_error,worker_crash,terminated,cancelled}', 'standard_error_types() lists the error types');
SELECT ok(bool_and(taskq.is_standard_error_type(t)), 'is_standard_error_type() is true for each of them') FROM unnest(taskq.standard_error_types()) t;
SELECT is(array_agg(t), '{retryable_error,timeout,handler_error,worker_crash,terminated}', 'is_retryable_error_type() is true for those that are retried') FROM unnest(taskq.standard_error_types()) t WHERE taskq.is_retryable_error_type(t);
SELECT is(ARRAY[taskq.is_standard_error_type('quota_error'), taskq.is_standard_error_type('TIMEOUT'), taskq.is_standard_error_type(''), taskq.is_standard_error_type(NULL)], '{f,f,f,f}', 'is_standard_error_type() is false for any other text');
SELECT is(ARRAY[taskq.is_retryable_error_type('quota_error'), taskq.is_retryable_error_type(NULL)], '{t,f}', 'an error type of the application is retried');
SELECT taskq.register_handler('lang-step', retry_policy => 'fixed', retry_base => '0') \gset
SELECT pg_temp.add('step', 'lang-step') \gset
SELECT is(pg_temp.take('lang-w', 'lang-step'), 'step', 'a worker claims a job');
SELECT ok(taskq.fail_job(pg_temp.id('step'), pg_temp.e('step'), 'Payment gateway timeout', 'timeout', 'PAYMENT_GATEWAY_TIMEOUT', retryable => true), 'a worker fails an attempt with an error type and a code');
SELECT results_eq($$ SELECT error_type, error_code, error_message FROM taskq.attempts WHERE job_id = pg_temp.id('step') $$, $$ VALUES ('timeout', 'PAYMENT_GATEWAY_TIMEOUT', 'Payment gateway timeout') $$,
	'taskq.attempts has the error type and the code');
SELECT is(pg_temp.take('lang-w', 'lang-step'), 'step', 'the failed job is claimed again');
SELECT ok(taskq.complete_job(pg_temp.id('step'), pg_temp.e('step'), '{"items_processed": 3}'), 'the job is completed with a result');
SELECT is(result, '{"items_processed": 3}', 'all_jobs has the result') FROM taskq.all_jobs WHERE job_id = pg_temp.id('step');
SELECT is(task_type || ' ' || taskq.is_registered(task_type), 'lang-step true', 'list_handlers() and is_registered() know the type') FROM taskq.list_handlers() WHERE task_type = 'lang-step';

-- detail and hint of a failure, in a handler and from an external worker
CREATE FUNCTION coming_from.says(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	CASE payload->>'n'
		WHEN 'failure' THEN RETURN taskq.failure('m', error_code => 'C', detail => 'more', hint => 'do this');
		WHEN 'permanent' THEN PERFORM taskq.raise_permanent('m', 'C', 'more', 'do this');
		WHEN 'retryable' THEN PERFORM taskq.raise_retryable('m', 'C', '1 h', 'more', 'do this');
	END CASE;
END $$;
SELECT pg_temp.add(n, 'lang-says') FROM unnest('{failure,permanent,retryable,outside}'::text[]) n \g /dev/null
SELECT count(*) FROM unnest('{failure,permanent,retryable}'::text[]) n, taskq.run_job(pg_temp.id(n), 'coming_from.says(jsonb)') \gset
SELECT taskq.register_handler('lang-says') \gset
SELECT pg_temp.take('lang-w', 'lang-says') \gset
SELECT taskq.fail_job(pg_temp.id('outside'), pg_temp.e('outside'), 'm', error_code => 'C', detail => 'more', hint => 'do this') \gset
SELECT is(array_agg(DISTINCT concat_ws(', ', error_message, error_code, detail, hint)), '{"m, C, more, do this"}', 'all ways to fail an attempt can give detail and hint')
	FROM taskq.attempts JOIN j ON id = job_id WHERE name IN ('failure', 'permanent', 'retryable', 'outside');
SELECT is(count(*), 4::bigint, 'all four attempts have the hint') FROM taskq.attempts JOIN j ON id = job_id WHERE name IN ('failure', 'permanent', 'retryable', 'outside') AND hint = 'do this';

SELECT * FROM finish();
ROLLBACK;
