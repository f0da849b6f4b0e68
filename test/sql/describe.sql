-- describe_job(): the state of a job, and why it does not run.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
BEGIN;
SELECT plan(32);
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
SELECT is(pg_temp.told('a'), 'available 0/2 waits for its turn', 'a producer sees the state of its own job');
SELECT is(pg_temp.as_role('regress_describe', format('SELECT (d.job_id, d.task_type, d.queue, d.priority) FROM taskq.describe_job(%s) d', pg_temp.id('a'))),
	format('(%s,describe-a,default,0)', pg_temp.id('a')), 'describe_job() shows type, queue and priority');
SELECT is_empty($$ SELECT * FROM jsonb_object_keys((SELECT to_jsonb(d) FROM taskq.describe_job(pg_temp.id('a')) d)) k WHERE k IN ('payload', 'result', 'progress', 'checkpoint', 'tags', 'tenant_id') $$,
	'describe_job() shows no data of the job');
SELECT is(pg_temp.as_role('regress_describe', 'SELECT count(*) FROM taskq.all_jobs'), '42501', 'a producer cannot read all_jobs');
SELECT pg_temp.add('future', 'describe-a', at => taskq.clock_now() + interval '1 h') \gset
SELECT is(pg_temp.told('future'), 'scheduled 0/2 waits for its run_at', 'a future job waits for its run_at');
SELECT pg_temp.add('none', 'describe-none') \gset
SELECT is(pg_temp.told('none'), 'available 0/20 no handler registered', 'a job of an unregistered type has that as its reason');
SELECT pg_temp.add('gpu', 'describe-a', caps => '{gpu}') \gset
SELECT is(pg_temp.told('gpu'), 'available 0/2 no live worker with the capabilities', 'a job that lacks a worker with its capabilities has that as its reason');
SELECT pg_temp.add('q', 'describe-a', q => 'describe-q'), taskq.pause_queue('describe-q') \gset
SELECT is(pg_temp.told('q'), 'available 0/2 queue paused', 'a job in a paused queue has that as its reason');
SELECT is((SELECT reason FROM taskq.route_reasons WHERE queue = 'describe-q'), 'queue paused', 'route_reasons has the reason of each route');
SELECT is((SELECT count(*) FROM taskq.route_reasons WHERE task_type = 'describe-a' AND queue = 'default' AND required_capabilities = '{}' AND reason IS NULL), 1::bigint, 'the reason of a route with a worker is NULL');

SELECT is(pg_temp.take('describe-w'), 'a', 'a worker claims the job');
SELECT is(pg_temp.told('a'), 'running 1/2', 'a claimed job is running, without a reason');
SELECT is((SELECT worker_id || (started_at IS NOT NULL) FROM taskq.describe_job(pg_temp.id('a'))), 'describe-wtrue', 'describe_job() shows the worker and the start of a run');
SELECT is(taskq.cancel_job(pg_temp.id('a')), 'requested', 'the producer asks to cancel the job');
SELECT is(pg_temp.told('a'), 'running 1/2 is to be cancelled', 'the reason says that the job is to be cancelled');
SELECT taskq.complete_job(pg_temp.id('a'), pg_temp.e('a')) \gset
SELECT is(pg_temp.told('a'), 'completed 1/2', 'a completed job has no reason');

SELECT pg_temp.add('f', 'describe-a'), pg_temp.take('describe-w') \gset
SELECT taskq.fail_job(pg_temp.id('f'), pg_temp.e('f'), 'no answer', 'timeout', 'SMTP') \gset
SELECT is(pg_temp.told('f'), 'retryable 1/2 waits for its next attempt', 'a failed job waits for its next attempt');
SELECT results_eq($$ SELECT error_type, error_code, last_error FROM taskq.describe_job(pg_temp.id('f')) $$, $$ VALUES ('timeout', 'SMTP', 'no answer') $$, 'describe_job() shows the error of a failed job');
SELECT taskq.retry_job(pg_temp.id('f')), pg_temp.take('describe-w') \gset
SELECT taskq.fail_job(pg_temp.id('f'), pg_temp.e('f'), 'again', 'timeout') \gset
SELECT is(pg_temp.told('f'), 'discarded 2/2 no attempts left', 'a discarded job has no attempts left');
SELECT pg_temp.add('p', 'describe-a'), pg_temp.take('describe-w') \gset
SELECT taskq.fail_job(pg_temp.id('p'), pg_temp.e('p'), 'no such user', 'permanent_error') \gset
SELECT is(pg_temp.told('p'), 'discarded 1/2 not worth a retry', 'a job that failed permanently has that as its reason');
SELECT taskq.discard_job(pg_temp.id('gpu'), 'no gpu') \gset
SELECT is(pg_temp.told('gpu'), 'discarded 0/2 discarded by an operator', 'a job discarded by an operator has that as its reason');
SELECT pg_temp.add('u', 'describe-none', q => 'describe-f') \gset
SELECT is(pg_temp.told('u'), 'discarded 0/20 no handler registered', 'a job discarded unhandled has that as its reason');
SELECT throws_ok('SELECT * FROM taskq.describe_job(0)', 'TQ011', NULL, 'an unknown job raises TQ011');
SELECT throws_ok('SELECT * FROM taskq.describe_job(NULL)', '22004', NULL, 'job_id must not be NULL');
SELECT taskq.retry_job(pg_temp.id('p')) \gset
SELECT is(pg_temp.told('p'), 'available 0/2 waits for its turn', 'a job that was put back has the reason of a waiting job');

-- place: the position among the due jobs of the line, by strict and by ageing priorities.
SELECT taskq.create_queue('describe-s'), taskq.create_queue('describe-age', age_every => '1 min') \gset
SELECT count(taskq.enqueue_job('describe-a', '{}', queue => q, priority => i % 7 - 3, run_at => taskq.clock_now() - i * 37 % 100 * interval '10 s'))
	FROM generate_series(1, 120) i, unnest('{describe-s,describe-age}'::text[]) q \gset
SELECT taskq.enqueue_job('describe-a', '{}', queue => 'describe-s', priority => -9, delay => '1 h') AS later \gset
SELECT is(count(*) FILTER (WHERE d.place = p.n::text), 120::bigint, 'describe_job() tells the place of each job: ' || p.queue)
FROM (SELECT job_id, queue, row_number() OVER (PARTITION BY queue ORDER BY CASE queue WHEN 'describe-s' THEN priority END, run_at + CASE queue WHEN 'describe-age' THEN priority ELSE 0 END * interval '1 min', job_id) n
	FROM taskq.all_jobs WHERE queue IN ('describe-s', 'describe-age') AND state = 'available') p, LATERAL taskq.describe_job(p.job_id) d GROUP BY p.queue ORDER BY p.queue;
SELECT is(place, NULL, 'a job that is not due has no place') FROM taskq.describe_job(:later);
SELECT taskq.enqueue_job('describe-a', '{}', queue => 'describe-age', priority => 32767) AS last, taskq.enqueue_job('describe-a', '{}', queue => 'describe-age', priority => -32768) AS first,
	taskq.alter_queue('describe-age', age_every => '365 days') \gset
SELECT is(array_agg(place ORDER BY job_id), '{122,1}', 'also with priorities as far apart as they can be') FROM unnest(ARRAY[:last, :first]) id, taskq.describe_job(id);
SELECT count(*) AS n, max(id) AS end FROM taskq.enqueue_jobs('describe-a', array_fill('{}'::jsonb, ARRAY[881]), queue => 'describe-s', priority => 9) id \gset
SELECT is(string_agg(place, ' ' ORDER BY job_id), '999 1000 1000+', 'the place is exact to 1000') FROM generate_series(:end - 2, :end) id, taskq.describe_job(id);
SELECT is(pg_temp.as_role('regress_describe', format('SELECT place FROM taskq.describe_job(%s)', pg_temp.id('p'))), NULL, 'who does not see all tenants is not told a place');
SELECT is(place, NULL, 'a finished job has no place') FROM taskq.describe_job(pg_temp.id('a'));
SELECT * FROM finish();
ROLLBACK;
