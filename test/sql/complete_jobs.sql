-- complete_jobs(): many claims in one call, each with its own result.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
BEGIN;
SELECT plan(32);

SELECT taskq.register_handler('cj-a', retry_policy => 'fixed', retry_base => '0'), taskq.register_handler('cj-next') \gset
SELECT pg_temp.add(n, 'cj-a') FROM unnest('{a,b,c,d,released,expired,again,late,one,two,three}'::text[]) n \g /dev/null
SELECT pg_temp.take_many('cj-w', 9, 'cj-a') \gset

-- The result of a call, with the names of the jobs, in the order of the result.
CREATE FUNCTION pg_temp.complete(names text[], results jsonb[] DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(COALESCE((SELECT name FROM j WHERE id = r.job_id), r.job_id::text) || ' ' || r.status, ', ' ORDER BY r.ordinality)
	FROM (SELECT array_agg(pg_temp.id(n) ORDER BY o) AS ids, array_agg(COALESCE(pg_temp.e(n), 1) ORDER BY o) AS epochs
		FROM unnest(names) WITH ORDINALITY u (n, o)) c,
		taskq.complete_jobs(c.ids, c.epochs, results) WITH ORDINALITY r $$;

SELECT is(pg_temp.complete('{b,a}', '{2,1}'), 'b completed, a completed', 'results are in the order of the call');
SELECT results_eq($$ SELECT name, state, attempt, result FROM j JOIN taskq.all_jobs ON job_id = id WHERE name IN ('a', 'b') ORDER BY name $$,
	$$ VALUES ('a', 'completed', 1, '1'::jsonb), ('b', 'completed', 1, '2') $$, 'each job has its own result');
SELECT is(pg_temp.complete('{a,b}', '{7,8}'), 'a repeated, b repeated', 'a repeated call returns repeated');
SELECT is((SELECT result FROM taskq.all_jobs WHERE job_id = pg_temp.id('a')), '1', 'a repeated call does not change the results');

SELECT taskq.release_job(pg_temp.id('released'), pg_temp.e('released')) \gset
SELECT taskq.fail_job(pg_temp.id('expired'), pg_temp.e('expired')) \gset
SELECT e AS old FROM j WHERE name = 'again' \gset
SELECT taskq.release_job(pg_temp.id('again'), pg_temp.e('again')) \gset
SELECT is(pg_temp.complete('{released,c,expired,again,late,d}'), 'released stale, c completed, expired stale, again stale, late completed, d completed',
	'stale claims do not prevent the completion of other jobs');
SELECT is(pg_temp.state(n), s, n || ' is ' || s) FROM (VALUES ('c', 'completed 1'), ('d', 'completed 1'), ('released', 'available 0'),
	('expired', 'available 1'), ('again', 'available 0')) v (n, s);
SELECT results_eq($$ SELECT job_id, epoch, status FROM taskq.complete_jobs('{-7}', '{1}') $$, $$ VALUES (-7::bigint, 1::bigint, 'not_found') $$,
	'an unknown job is not found');
SELECT is(pg_temp.complete('{one,one}', '{1,2}'), 'one completed, one repeated', 'a job that is listed twice is completed once');
SELECT is((SELECT result FROM taskq.all_jobs WHERE job_id = pg_temp.id('one')), '1', 'the job has the result that is listed first');
SELECT is_empty($$ SELECT * FROM taskq.complete_jobs('{}', '{}') $$, 'empty arrays return no row');
SELECT is_empty($$ SELECT * FROM taskq.complete_jobs('{}', '{}', '{}') $$, 'empty arrays with results return no row');

SELECT pg_temp.take_many('cj-w', 9, 'cj-a') \gset
SELECT is(pg_temp.complete('{two,three}', ARRAY[NULL, taskq.decision('{cj-next}')]), 'two completed, three completed', 'a result can be NULL, or a decision');
SELECT is((SELECT result FROM taskq.all_jobs WHERE job_id = pg_temp.id('two')), NULL, 'a job with a NULL result has none');
SELECT is((SELECT count(*) FROM taskq.all_jobs WHERE task_type = 'cj-next'), 1::bigint, 'the steps of the decision are enqueued');

-- the place where a claim wrote its row is remembered, and may belong to another
-- row or to none now
SELECT pg_temp.add('m' || n, 'cj-a') FROM generate_series(1, 5) n \g /dev/null
SELECT pg_temp.take_many('cj-w', 5, 'cj-a') \gset
CLUSTER taskq.jobs USING jobs_pkey;
SELECT is(pg_temp.complete('{m1,m2,m3,m4}', '{1,2,3,4}'), 'm1 completed, m2 completed, m3 completed, m4 completed', 'jobs are completed after the table was rewritten');
SELECT is(string_agg(name || ' ' || result, ', ' ORDER BY name), 'm1 1, m2 2, m3 3, m4 4', 'each job has its own result after that')
	FROM j JOIN taskq.all_jobs ON job_id = id WHERE name LIKE 'm_' AND state = 'completed';
SAVEPOINT emptied;
TRUNCATE taskq.jobs;
SELECT is(pg_temp.complete('{m5}'), 'm5 not_found', 'a job is not found after the table was emptied');
ROLLBACK TO emptied;

-- errors ------------------------------------------------------------------------
SELECT throws_ok(format('SELECT taskq.complete_jobs(%L, %L, %L)', ARRAY[pg_temp.id('released'), pg_temp.id('again')],
		ARRAY[pg_temp.e('released'), pg_temp.e('again')], ARRAY['1', taskq.decision('{nobody}')]::jsonb[]),
	'TQ020', NULL, 'a decision with an unknown step raises an error');
SELECT is(pg_temp.state(n), 'running 1', 'and ' || n || ' is not completed') FROM unnest('{released,again}'::text[]) n;
SELECT throws_ok(call, code, message, message) FROM (VALUES
	($$ SELECT taskq.complete_jobs(NULL, '{1}') $$, '22004', 'job_ids must not be NULL'),
	($$ SELECT taskq.complete_jobs('{1}', NULL) $$, '22004', 'epochs must not be NULL'),
	($$ SELECT taskq.complete_jobs('{1,NULL}', '{1,1}') $$, '22004', 'job_ids must not contain NULL'),
	($$ SELECT taskq.complete_jobs('{1,2}', '{1,NULL}') $$, '22004', 'epochs must not contain NULL'),
	($$ SELECT taskq.complete_jobs('{1,2}', '{1}') $$, '2202E', 'job_ids has 2 elements and epochs has 1'),
	($$ SELECT taskq.complete_jobs('{1,2}', '{1,1}', '{1}') $$, '2202E', 'job_ids has 2 elements and results has 1'),
	($$ SELECT taskq.complete_jobs('{{1},{2}}', '{1,1}') $$, '2202E', 'job_ids must be an array of one dimension'),
	($$ SELECT taskq.complete_jobs('{1,2}', '{1,1}', '{{1},{2}}') $$, '2202E', 'results must be an array of one dimension')) v (call, code, message);

SELECT * FROM finish();
ROLLBACK;
