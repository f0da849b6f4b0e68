-- Leases: heartbeats extend them, the clock ends them, and both tell the worker if
-- its job is to be cancelled.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
SELECT plan(68);
SELECT ok(pg_temp.came('SELECT taskq.scheduler_pid() IS NOT NULL'), 'the scheduler is running');
BEGIN;
CREATE FUNCTION pg_temp.beat(n text, more text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE pg_temp.of(n, 'SELECT taskq.heartbeat_job(%s, %s' || more || ')') INTO answer;
	RETURN answer;
END $$;
-- How long a job's lease lasts from now, to the second.
CREATE FUNCTION pg_temp.lasts(n text) RETURNS interval LANGUAGE sql AS
	$$ SELECT make_interval(secs => round(extract(epoch FROM lease_expires_at - taskq.clock_now()))) FROM taskq.all_jobs WHERE job_id = pg_temp.id(n) $$;
SELECT taskq.register_handler('lease-a', retry_policy => 'fixed', retry_base => '0', lease => '100 s'), taskq.register_handler('lease-b'),
	taskq.register_worker('lease-w'), taskq.register_worker('lease-own', lease => '200 s'), pg_temp.add('a', 'lease-a'), pg_temp.add('own', 'lease-a'), pg_temp.add('job', 'lease-a', lease => '300 s'),
	pg_temp.add('b', 'lease-b') \gset
SELECT pg_temp.take('lease-w', 'lease-a'), pg_temp.take('lease-own', 'lease-a'), pg_temp.take('lease-own', 'lease-a'), pg_temp.take('lease-w', 'lease-b') \gset

-- how long --------------------------------------------------------------------
SELECT is(ARRAY(SELECT pg_temp.lasts(n) FROM unnest('{a,own,job,b}'::text[]) n), '{100 s,200 s,300 s,60 s}', 'leases come from the handler, the worker, the job and the setting');
SET LOCAL taskq.clock_offset = '50 s';
SELECT is(ARRAY(SELECT pg_temp.beat(n) FROM unnest('{a,own,job,b}'::text[]) n), '{ok,ok,ok,ok}', 'a heartbeat is accepted for each job');
SELECT is(ARRAY(SELECT pg_temp.lasts(n) FROM unnest('{a,own,job,b}'::text[]) n), '{100 s,200 s,300 s,60 s}', 'a heartbeat extends each lease by its own length');
SELECT is(pg_temp.beat('a', ', ''40 s'''), 'ok', 'a heartbeat with a shorter lease is accepted');
SELECT is(pg_temp.lasts('a'), '100 s', 'a heartbeat with a shorter lease does not shorten the lease');
SELECT is(pg_temp.beat('a', ', ''1 h'''), 'ok', 'a heartbeat with a longer lease is accepted');
SELECT is(pg_temp.lasts('a'), '1 h', 'a heartbeat with a longer lease extends the lease');
SELECT throws_ok(pg_temp.of('a', 'SELECT taskq.heartbeat_job(%s, %s, ' || l || ')'), '22023', NULL, 'not ' || l) FROM unnest('{''0'',''999 ms'',''-1 s'',''11 years''}'::text[]) l;
SELECT throws_ok('SELECT taskq.heartbeat_job(-1, 1)', 'TQ011', NULL, 'a heartbeat for an unknown job raises TQ011');
SELECT throws_ok('SELECT taskq.heartbeat_job(NULL, 1)', '22004', NULL, 'job_id must not be NULL');
SELECT throws_ok(pg_temp.of('a', 'SELECT taskq.heartbeat_job(%s, NULL)'), '22004', NULL, 'epoch must not be NULL');
SELECT throws_ok(pg_temp.of('a', 'SELECT taskq.heartbeat_job(%s, %s + 1)'), 'TQ003', NULL, 'a heartbeat with a wrong epoch raises TQ003');
SELECT is(pg_temp.beat('a', ', progress => ''{"n": 1}'''), 'ok', 'a heartbeat with progress is accepted');
SELECT is(pg_temp.beat('a'), 'ok', 'a heartbeat without progress is accepted');
SELECT is(progress, '{"n": 1}', 'a heartbeat without progress keeps the last progress') FROM taskq.all_jobs WHERE job_id = pg_temp.id('a');

-- all jobs of a worker ----------------------------------------------------------
SET LOCAL taskq.clock_offset = '80 s';
SELECT results_eq($$ SELECT name, status, make_interval(secs => round(extract(epoch FROM lease_expires_at - taskq.clock_now()))) FROM taskq.worker_heartbeat('lease-own') JOIN j ON id = job_id ORDER BY 1 $$,
	$$ VALUES ('job', 'ok', '300 s'::interval), ('own', 'ok', '200 s') $$, 'worker_heartbeat() extends the leases of all jobs of the worker');
SELECT results_eq($$ SELECT name, status FROM taskq.worker_heartbeat('lease-own', ARRAY[pg_temp.id('job')], ARRAY[pg_temp.e('job')]) JOIN j ON id = job_id $$, $$ VALUES ('job', 'ok') $$, 'worker_heartbeat() with a list extends the leases of the listed jobs');
SELECT results_eq($$ SELECT name, status, lease_expires_at FROM taskq.worker_heartbeat('lease-own', ARRAY[pg_temp.id('job'), pg_temp.id('own')], ARRAY[1, pg_temp.e('own') + 1]) JOIN j ON id = job_id ORDER BY 1 $$,
	$$ VALUES ('job', 'lost', NULL::timestamptz), ('own', 'lost', NULL) $$, 'worker_heartbeat() returns lost for a stale epoch');
SELECT results_eq($$ SELECT status FROM taskq.worker_heartbeat('lease-own', '{-5}', '{1}') $$, $$ VALUES ('lost') $$, 'worker_heartbeat() returns lost for an unknown job');
SELECT is_empty($$ SELECT FROM taskq.worker_heartbeat('lease-own', '{}', '{}') $$, 'worker_heartbeat() with an empty list returns no row');
SELECT throws_ok(format('SELECT taskq.worker_heartbeat(%s)', a), code, NULL, 'refused: ' || a)
FROM (VALUES ('NULL', '22004'), ('''lease-nobody''', 'TQ012'), ('''lease-w'', ''{1}''', '22004'), ('''lease-w'', ''{1}'', ''{1,2}''', '2202E'), ('''lease-w'', ''{NULL}'', ''{1}''', '22004')) v (a, code);

-- over ------------------------------------------------------------------------
-- No scheduler sees what this transaction did, and nothing else ends its leases.
SET LOCAL taskq.clock_offset = '2 h';
SELECT is(pg_temp.state('a'), 'running 1', 'a claim whose lease is over holds until it is ended');
SELECT ok(taskq.complete_job(pg_temp.id('a'), pg_temp.e('a')), 'a claim whose lease is over can be settled');
SELECT is(pg_temp.beat('b'), 'ok', 'a claim whose lease is over can be extended');
SELECT is(pg_temp.lasts('b'), '60 s', 'the lease is extended from the current time');
ROLLBACK;

-- The scheduler uses the server's clock, so leases of a second end after a second.
SELECT taskq.register_handler('lease-a', retry_policy => 'fixed', retry_base => '1 h'), taskq.register_handler('lease-now', retry_policy => 'fixed', retry_base => '0'),
	taskq.register_worker('lease-w', lease => '1 s'), pg_temp.add('late', 'lease-a'), pg_temp.add('last', 'lease-a', attempts => 1), pg_temp.add('now', 'lease-now'), pg_temp.add('asked', 'lease-a') \gset
SELECT pg_temp.take('lease-w', 'lease-a'), pg_temp.take('lease-w', 'lease-a'), pg_temp.take('lease-w', 'lease-a'), pg_temp.take('lease-w', 'lease-now') \gset
SELECT taskq.cancel_job(pg_temp.id('asked'), reason => 'too late') \gset
SELECT is(pg_temp.reaches(pg_temp.id('late'), 'retryable'), 'retryable 1', 'after its lease, a job waits for its retry delay');
SELECT is(pg_temp.reaches(pg_temp.id('last')), 'discarded 1', 'after the lease of its last attempt, a job is discarded');
SELECT is(pg_temp.reaches(pg_temp.id('now'), 'available'), 'available 1', 'after its lease, a job without a retry delay can be claimed');
SELECT is(pg_temp.reaches(pg_temp.id('asked')), 'cancelled 1', 'after its lease, a job for which there is a request is cancelled');
SELECT results_eq($$ SELECT outcome, error_type, error_message, worker_id FROM taskq.attempts WHERE job_id = pg_temp.id('late') $$,
	$$ VALUES ('expired', 'timeout', 'the lease expired without a heartbeat', 'lease-w') $$, 'the attempt counts, with outcome expired');
SELECT is(last_error, 'too late', 'the reason of the request is kept') FROM taskq.all_jobs WHERE job_id = pg_temp.id('asked');
SELECT throws_ok(pg_temp.of('late', 'SELECT taskq.' || call), 'TQ003', NULL, call || ' is too late')
FROM unnest('{"complete_job(%s, %s)","fail_job(%s, %s)","release_job(%s, %s)","heartbeat_job(%s, %s)","cancel_job(%s, %s)"}'::text[]) call;
SELECT is(pg_temp.detail_of(pg_temp.of('late', 'SELECT taskq.complete_job(%s, %s)')), 'Its lease expired.', 'the detail says that the lease expired');
SELECT is(pg_temp.take('lease-v', 'lease-now'), 'now', 'another worker claims the expired job');
SELECT is(pg_temp.state('now'), 'running 2', 'the claim of an expired job is its second attempt');

-- to be cancelled -----------------------------------------------------------------
SELECT is(taskq.cancel_job(pg_temp.id('now'), reason => 'no need'), 'requested', 'cancel_job() returns requested for a running job');
SELECT is(taskq.heartbeat_job(pg_temp.id('now'), pg_temp.e('now')), 'cancel', 'a heartbeat returns cancel');
SELECT is(taskq.heartbeat_job(pg_temp.id('now'), pg_temp.e('now'), '5 min'), 'cancel', 'a later heartbeat returns cancel again');
SELECT is(status, 'cancel', 'worker_heartbeat() returns cancel') FROM taskq.worker_heartbeat('lease-v');
SELECT ok(lease_expires_at > taskq.clock_now() + '4 min', 'these heartbeats extend the lease nevertheless') FROM taskq.all_jobs WHERE job_id = pg_temp.id('now');
SELECT is(taskq.cancel_job(pg_temp.id('now'), pg_temp.e('now')), 'cancelled', 'the worker cancels the job with its epoch');
SELECT is(status, 'lost', 'worker_heartbeat() returns lost after that') FROM taskq.worker_heartbeat('lease-v', ARRAY[pg_temp.id('now')], ARRAY[pg_temp.e('now')]);
SELECT is(pg_temp.attempts('now'), '1 expired timeout, 2 cancelled cancelled', 'taskq.attempts shows both attempts');

-- timeouts --------------------------------------------------------------------------
SELECT taskq.register_handler('lease-over', timeout => '1 ms', retry_policy => 'none'), taskq.register_handler('lease-long', retry_policy => 'none') \gset
INSERT INTO j SELECT n, taskq.enqueue_job(t, jsonb_build_object('n', n), timeout => x::interval)
FROM (VALUES ('job''s', 'lease-long', '1 ms'), ('handler''s', 'lease-over', NULL), ('settled', 'lease-over', NULL), ('longer', 'lease-over', '1 d'), ('default', 'lease-long', NULL)) v (n, t, x);
UPDATE j SET e = c.epoch FROM taskq.claim_jobs('lease-v', 10, '{lease-over,lease-long}', lease => '2 s') c WHERE id = c.job_id;
SELECT lease_expires_at AS over_at FROM taskq.all_jobs WHERE job_id = pg_temp.id('handler''s') \gset
SELECT is(taskq.heartbeat_job(pg_temp.id(n), pg_temp.e(n), progress => '{"half": 1}'), 'timeout', 'a heartbeat tells that a timeout is over: the ' || n) FROM unnest('{job''s,handler''s}'::text[]) n;
SELECT is(taskq.save_checkpoint(pg_temp.id('handler''s'), pg_temp.e('handler''s'), '2'), 'timeout', 'save_checkpoint() returns timeout, too');
SELECT is(string_agg(job_id::text, ',' ORDER BY job_id), (SELECT string_agg(id::text, ',' ORDER BY id) FROM j WHERE name IN ('job''s', 'handler''s', 'settled')), 'worker_heartbeat() returns timeout for these jobs')
	FROM taskq.worker_heartbeat('lease-v') WHERE status = 'timeout';
SELECT results_eq($$ SELECT lease_expires_at, progress, checkpoint FROM taskq.all_jobs WHERE job_id = pg_temp.id('handler''s') $$,
	format('VALUES (%L::timestamptz, %L::jsonb, %L::jsonb)', :'over_at', '{"half": 1}', '2'), 'these calls do not extend the lease, but store progress and checkpoint');
SELECT is(taskq.heartbeat_job(pg_temp.id(n), pg_temp.e(n), '1 h'), 'ok', n || ' timeout is not over') FROM unnest('{longer,default}'::text[]) n;
SELECT ok(taskq.complete_job(pg_temp.id('settled'), pg_temp.e('settled')), 'a job that exceeds its timeout can be settled until its lease is over');
SELECT is(pg_temp.reaches(pg_temp.id('handler''s')), 'discarded 1', 'after its lease, the job has no attempts left');
SELECT is(pg_temp.attempts('handler''s'), '1 timeout timeout', 'the outcome of the attempt is timeout');
SELECT is(last_error, 'the job ran longer than its timeout of 0.001 s', 'the error says that the job exceeded its timeout') FROM taskq.all_jobs WHERE job_id = pg_temp.id('handler''s');
SET taskq.clock_offset = '30 min';
SELECT is(taskq.heartbeat_job(pg_temp.id('default'), pg_temp.e('default')), 'ok', 'taskq.job_timeout does not apply to external workers');
RESET taskq.clock_offset;
SELECT throws_ok(pg_temp.of('handler''s', 'SELECT taskq.complete_job(%s, %s)'), 'TQ003', NULL, 'the claim cannot complete the job any more');
SELECT taskq.complete_job(pg_temp.id(n), pg_temp.e(n)) FROM unnest('{longer,default}'::text[]) n \g /dev/null
SELECT taskq.unregister_handler('lease-over'), taskq.unregister_handler('lease-long') \gset

SELECT taskq.cancel_job(pg_temp.id('late')), taskq.unregister_handler('lease-a'), taskq.unregister_handler('lease-now'), taskq.unregister_worker('lease-w'), taskq.unregister_worker('lease-v') \gset
SELECT * FROM finish();
