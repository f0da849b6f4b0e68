-- Reason codes: each reason that is given for people has a code for programs.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
SELECT plan(38);
SELECT ok(pg_temp.came('SELECT taskq.scheduler_pid() IS NOT NULL'), 'the scheduler is running');
BEGIN;
CREATE ROLE regress_reasons LOGIN;
CREATE SCHEMA reasons;
GRANT USAGE ON SCHEMA reasons TO PUBLIC;
CREATE FUNCTION reasons.f(jsonb) RETURNS jsonb LANGUAGE sql RETURN $1;
CREATE FUNCTION reasons.broken(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM taskq.raise_permanent('broken'); RETURN NULL; END $$;
SELECT taskq.unregister_worker(worker_id) FROM taskq.workers WHERE kind = 'external' \g /dev/null
-- What describe_job() gives, and for a waiting job whether unroutable_jobs gives the same.
CREATE FUNCTION pg_temp.why(n text) RETURNS text LANGUAGE sql AS $$
	SELECT reason_code || ': ' || reason || CASE WHEN reason_code IN ('turn', 'run_at', 'next_attempt') OR state = 'discarded' THEN ''
		WHEN NOT EXISTS (SELECT FROM taskq.unroutable_jobs u WHERE u.task_type = d.task_type AND u.reason_code = d.reason_code AND u.reason = d.reason) THEN ' (not in unroutable_jobs)' ELSE '' END
	FROM taskq.describe_job(pg_temp.id(n)) d $$;
-- What explain_claim() gives for the routes of a type.
CREATE FUNCTION pg_temp.told(t text, w text, types text[] DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(DISTINCT CASE WHEN claimable AND reason IS NULL THEN 'yes' ELSE reason_code || ': ' || reason END, '; ') FROM taskq.explain_claim(w, types) WHERE task_type = t $$;
CREATE FUNCTION pg_temp.says(n text) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(DISTINCT reason_code, ' ') FROM taskq.status() WHERE name = n $$;

-- no worker is given them ---------------------------------------------------------------
SELECT taskq.create_queue('rea-q'), pg_temp.add('a', 'rea-a') \gset
SELECT is(pg_temp.why('a'), 'no_handler: no handler registered', 'no_handler');
SELECT is(pg_temp.says('unroutable jobs'), 'no_handler', 'status() gives it, too');
SELECT taskq.register_handler('rea-a', version => '1') \gset
SELECT is(pg_temp.why('a'), 'no_live_worker: no live worker with the type', 'no_live_worker');
SELECT count(*) FROM taskq.claim_job('rea-implicit', '{rea-a}') \gset
SELECT pg_temp.add('b', 'rea-a') \gset
SELECT is(pg_temp.why('b'), 'only_implicit_workers: only implicit workers take the type, see taskq.register_worker()', 'only_implicit_workers');
SELECT taskq.register_worker('rea-w', '{rea-a}', '{default}') \gset
SELECT is(pg_temp.why('b'), 'turn: waits for its turn', 'turn');
SELECT pg_temp.add('later', 'rea-a', at => taskq.clock_now() + '1 h') \gset
SELECT is(pg_temp.why('later'), 'run_at: waits for its run_at', 'run_at');
SELECT pg_temp.add('gpu', 'rea-a', caps => '{gpu}') \gset
SELECT is(pg_temp.why('gpu'), 'waiting_for_capable_worker: no live worker with the capabilities', 'waiting_for_capable_worker');
SELECT taskq.enqueue_job('rea-a', min_version => '2') AS newer \gset
INSERT INTO j VALUES ('newer', :newer);
SELECT is(pg_temp.why('newer'), 'handler_too_old: handler version is older than min_version', 'handler_too_old');
SELECT taskq.discard_job(:newer), taskq.pause_handler('rea-a') \gset
SELECT is(pg_temp.why('b'), 'handler_paused: handler paused, see taskq.resume_handler()', 'handler_paused');
SELECT is(pg_temp.says('paused task type'), 'handler_paused', 'status() gives it, too');
SELECT taskq.resume_handler('rea-a'), taskq.pause_queue('default') \gset
SELECT is(pg_temp.why('b'), 'queue_paused: queue paused', 'queue_paused');
SELECT is(pg_temp.says('paused queue'), 'queue_paused', 'status() gives it, too');
SELECT taskq.resume_queue('default') \gset

-- in the server ---------------------------------------------------------------------------
SELECT taskq.create_pool('rea-p', 0, 'regress_reasons'), taskq.register_handler('rea-in', 'reasons.f(jsonb)', run_as => 'regress_reasons'), pg_temp.add('in', 'rea-in') \gset
SELECT is(pg_temp.why('in'), 'no_pool_for_role: no pool for the handler''s role', 'no_pool_for_role');
SELECT taskq.alter_pool('rea-p', 1), taskq.pause_pool('rea-p') \gset
SELECT is(pg_temp.why('in'), 'pool_paused: pool paused', 'pool_paused');
SELECT is(pg_temp.says('paused pool'), 'pool_paused', 'status() gives it, too');
SELECT taskq.resume_pool('rea-p') \gset
REVOKE EXECUTE ON FUNCTION reasons.f(jsonb) FROM PUBLIC;
SELECT is(pg_temp.why('in'), 'handler_unrunnable: handler unrunnable: its role may not execute the function', 'handler_unrunnable');
DROP FUNCTION reasons.f(jsonb);
SELECT is(pg_temp.why('in'), 'handler_unresolved: handler unresolved: its function does not exist', 'handler_unresolved');

-- one worker ----------------------------------------------------------------------------
SELECT taskq.register_handler('rea-b'), pg_temp.add('c', 'rea-b'), pg_temp.add('q', 'rea-a', q => 'rea-q') \gset
SELECT is(pg_temp.told('rea-b', 'rea-w'), 'type_not_taken: the worker does not take this type', 'type_not_taken');
SELECT is(pg_temp.told('rea-a', 'rea-w'), 'handler_too_old: handler version is older than min_version; lacks_capabilities: the worker lacks capabilities; queue_not_taken: the worker does not take this queue; yes', 'queue_not_taken, lacks_capabilities');
SELECT is(pg_temp.told('rea-a', 'rea-w', '{rea-b}'), 'queue_not_taken: the worker does not take this queue; type_not_called: the type is not among those of the call', 'type_not_called');
SELECT is(pg_temp.told('rea-in', 'rea-new', '{rea-in}'), 'type_in_server: the type is handled in the server, and not also_external', 'type_in_server');
SELECT is(pg_temp.told('rea-b', 'rea-new'), 'worker_names_no_types: the worker is not registered, and the call names no task types', 'worker_names_no_types');
SET LOCAL taskq.implicit_workers = off;
SELECT is(pg_temp.told('rea-b', 'rea-new'), 'worker_not_registered: the worker is not registered, and taskq.implicit_workers is off', 'worker_not_registered');
RESET taskq.implicit_workers;
SELECT is(pg_temp.told('rea-b', 'nobody#1'), 'worker_unknown: no such background worker runs', 'worker_unknown');
SELECT taskq.register_worker('rea-one', '{rea-b}', max_concurrent_jobs => 1), pg_temp.take('rea-one'), pg_temp.add('more', 'rea-b') \gset
SELECT is(pg_temp.told('rea-b', 'rea-one'), 'max_concurrent_jobs: the worker has max_concurrent_jobs', 'max_concurrent_jobs');
SELECT taskq.drain_worker('rea-one') \gset
SELECT is(pg_temp.told('rea-b', 'rea-one'), 'worker_draining: the worker is draining', 'worker_draining');
SELECT taskq.unregister_worker('rea-one') \gset
SELECT is(pg_temp.told('rea-b', 'rea-one'), 'worker_unregistered: the worker was unregistered', 'worker_unregistered');

-- the end -------------------------------------------------------------------------------
SELECT taskq.discard_job(pg_temp.id('later')) \gset
SELECT is(pg_temp.why('later'), 'discarded: discarded by an operator', 'discarded');
SELECT pg_temp.take('rea-w'), taskq.fail_job(pg_temp.id('b'), pg_temp.e('b'), 'broken', error_type => 'permanent_error') \gset
SELECT is(pg_temp.why('b'), 'no_retry: not worth a retry', 'no_retry');
SELECT pg_temp.add('last', 'rea-a', -1, attempts => 1), pg_temp.take('rea-w'), taskq.fail_job(pg_temp.id('last'), pg_temp.e('last'), 'broken') \gset
SELECT is(pg_temp.why('last'), 'no_attempts_left: no attempts left', 'no_attempts_left');
SELECT pg_temp.add('again', 'rea-a', -1), pg_temp.take('rea-w'), taskq.fail_job(pg_temp.id('again'), pg_temp.e('again'), 'broken') \gset
SELECT is(pg_temp.why('again'), 'next_attempt: waits for its next attempt', 'next_attempt');
SELECT taskq.create_queue('rea-fails', on_unhandled => 'fail'), pg_temp.add('none', 'rea-none', q => 'rea-fails') \gset
SELECT is((SELECT reason_code FROM taskq.describe_job(pg_temp.id('none'))), 'no_handler', 'a job that is to be discarded for lack of a handler has the code no_handler');
SELECT pg_temp.add('done', 'rea-a', -1), pg_temp.take('rea-w'), taskq.complete_job(pg_temp.id('done'), pg_temp.e('done')) \gset
SELECT results_eq($$ SELECT reason_code, reason FROM taskq.describe_job(pg_temp.id('done')) $$, $$ VALUES (NULL::text, NULL::text) $$, 'a completed job has no reason');
SELECT pg_temp.add('runs', 'rea-a', -1), pg_temp.take('rea-w') \gset
SELECT results_eq($$ SELECT reason_code, reason FROM taskq.describe_job(pg_temp.id('runs')) $$, $$ VALUES (NULL::text, NULL::text) $$, 'a running job has no reason');
SELECT taskq.cancel_job(pg_temp.id('runs')) \gset
SELECT is((SELECT reason_code || ': ' || reason FROM taskq.describe_job(pg_temp.id('runs'))), 'cancel_requested: is to be cancelled', 'cancel_requested');

-- everywhere ------------------------------------------------------------------------------
SELECT is_empty($$ SELECT * FROM taskq.route_reasons WHERE (reason IS NULL) <> (reason_code IS NULL) $$, 'route_reasons has a code for each reason');
SELECT is_empty($$ SELECT * FROM taskq.explain_claim('rea-w') WHERE (reason IS NULL) <> (reason_code IS NULL) OR claimable = (reason IS NOT NULL) $$, 'explain_claim() has a code for each reason');
SELECT * FROM finish();
ROLLBACK;
