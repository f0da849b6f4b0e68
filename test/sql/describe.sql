-- describe_job(): the state of a job, and why it does not run.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
BEGIN;
SELECT plan(25);
CREATE ROLE regress_describe LOGIN;
SELECT taskq.register_handler('describe-a', max_attempts => 2, retry_base => '1 min'), taskq.create_queue('describe-q'),
	taskq.create_queue('describe-f', on_unhandled => 'fail'), taskq.register_worker('describe-w', '{describe-a}'),
	taskq.grant_access('regress_describe', 'producer') \gset
-- The jobs of the test are this producer's.
ALTER FUNCTION pg_temp.add(text, text, integer, timestamptz, text, text[], integer, interval) SECURITY DEFINER;
ALTER FUNCTION pg_temp.add(text, text, integer, timestamptz, text, text[], integer, interval) OWNER TO regress_describe;
GRANT INSERT ON j TO regress_describe;
-- State, attempt and reason, as a producer sees them.
CREATE FUNCTION pg_temp.told(n text) RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.as_role('regress_describe', format('SELECT concat_ws('' '', state, attempt || ''/'' || max_attempts, reason) FROM taskq.describe_job(%s)', pg_temp.id(n))) $$;

SELECT pg_temp.add('a', 'describe-a') \gset
SELECT is(pg_temp.told('a'), 'available 0/2 waits for its turn', 'a producer asks what becomes of its job');
SELECT is(pg_temp.as_role('regress_describe', format('SELECT (d.job_id, d.task_type, d.queue, d.priority) FROM taskq.describe_job(%s) d', pg_temp.id('a'))),
	format('(%s,describe-a,default,0)', pg_temp.id('a')), 'type, queue and priority are there');
SELECT is_empty($$ SELECT * FROM jsonb_object_keys((SELECT to_jsonb(d) FROM taskq.describe_job(pg_temp.id('a')) d)) k WHERE k IN ('payload', 'result', 'progress', 'checkpoint', 'tags', 'tenant_id') $$,
	'nothing is told of what is in it');
SELECT is(pg_temp.as_role('regress_describe', 'SELECT count(*) FROM taskq.all_jobs'), '42501', 'as a producer sees no job else');
SELECT pg_temp.add('future', 'describe-a', at => taskq.clock_now() + interval '1 h') \gset
SELECT is(pg_temp.told('future'), 'scheduled 0/2 waits for its run_at', 'one for later');
SELECT pg_temp.add('none', 'describe-none') \gset
SELECT is(pg_temp.told('none'), 'available 0/20 no handler registered', 'one that nobody handles');
SELECT pg_temp.add('gpu', 'describe-a', caps => '{gpu}') \gset
SELECT is(pg_temp.told('gpu'), 'available 0/2 no live worker with the capabilities', 'one that no worker is fit for');
SELECT pg_temp.add('q', 'describe-a', q => 'describe-q'), taskq.pause_queue('describe-q') \gset
SELECT is(pg_temp.told('q'), 'available 0/2 queue paused', 'one in a queue that is paused');
SELECT is((SELECT reason FROM taskq.route_reasons WHERE queue = 'describe-q'), 'queue paused', 'route_reasons has the reason of each route');
SELECT is((SELECT count(*) FROM taskq.route_reasons WHERE task_type = 'describe-a' AND queue = 'default' AND required_capabilities = '{}' AND reason IS NULL), 1::bigint, 'none where a worker is there');

SELECT is(pg_temp.take('describe-w'), 'a', 'a claimed one');
SELECT is(pg_temp.told('a'), 'running 1/2', 'runs');
SELECT is((SELECT worker_id || (started_at IS NOT NULL) FROM taskq.describe_job(pg_temp.id('a'))), 'describe-wtrue', 'since when, and where');
SELECT is(taskq.cancel_job(pg_temp.id('a')), 'requested', 'it is to be cancelled');
SELECT is(pg_temp.told('a'), 'running 1/2 is to be cancelled', 'and says so');
SELECT taskq.complete_job(pg_temp.id('a'), pg_temp.e('a')) \gset
SELECT is(pg_temp.told('a'), 'completed 1/2', 'a completed one');

SELECT pg_temp.add('f', 'describe-a'), pg_temp.take('describe-w') \gset
SELECT taskq.fail_job(pg_temp.id('f'), pg_temp.e('f'), 'no answer', 'timeout', 'SMTP') \gset
SELECT is(pg_temp.told('f'), 'retryable 1/2 waits for its next attempt', 'a failed one is tried again');
SELECT results_eq($$ SELECT error_type, error_code, last_error FROM taskq.describe_job(pg_temp.id('f')) $$, $$ VALUES ('timeout', 'SMTP', 'no answer') $$, 'and says how it failed');
SELECT taskq.retry_job(pg_temp.id('f')), pg_temp.take('describe-w') \gset
SELECT taskq.fail_job(pg_temp.id('f'), pg_temp.e('f'), 'again', 'timeout') \gset
SELECT is(pg_temp.told('f'), 'discarded 2/2 no attempts left', 'and then no more');
SELECT pg_temp.add('p', 'describe-a'), pg_temp.take('describe-w') \gset
SELECT taskq.fail_job(pg_temp.id('p'), pg_temp.e('p'), 'no such user', 'permanent_error') \gset
SELECT is(pg_temp.told('p'), 'discarded 1/2 not worth a retry', 'or was not worth it');
SELECT taskq.discard_job(pg_temp.id('gpu'), 'no gpu') \gset
SELECT is(pg_temp.told('gpu'), 'discarded 0/2 discarded by an operator', 'or was given up');
SELECT pg_temp.add('u', 'describe-none', q => 'describe-f') \gset
SELECT is(pg_temp.told('u'), 'discarded 0/20 no handler registered', 'or unhandled');
SELECT throws_ok('SELECT * FROM taskq.describe_job(0)', 'TQ011', NULL, 'a job that is not there');
SELECT throws_ok('SELECT * FROM taskq.describe_job(NULL)', '22004', NULL, 'nor may it be NULL');
SELECT taskq.retry_job(pg_temp.id('p')) \gset
SELECT is(pg_temp.told('p'), 'available 0/2 waits for its turn', 'one that was put back is as it is now');
SELECT * FROM finish();
ROLLBACK;
