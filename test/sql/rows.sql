-- Rows as taskq writes them: values of all lengths, constraints and indexes.
\set ECHO none
\i test/sql/include/tap.sql
BEGIN;
-- the scheduler waits meanwhile
LOCK TABLE taskq.jobs, taskq.job_history;
SELECT plan(35);

SELECT taskq.register_handler('rows', retry_policy => 'none') \gset

-- How many rows differ from what INSERT makes of the same values.
CREATE FUNCTION pg_temp.differ(which text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	differ bigint;
BEGIN
	EXECUTE format('CREATE TEMP TABLE copy ON COMMIT DROP AS SELECT * FROM taskq.%I', which);
	EXECUTE format($q$ SELECT count(*) FROM taskq.%I r FULL JOIN copy c USING (job_id, life)
		WHERE r::text IS DISTINCT FROM c::text OR pg_column_size(r.payload) IS DISTINCT FROM pg_column_size(c.payload)
		OR pg_column_size(r.correlation_id) IS DISTINCT FROM pg_column_size(c.correlation_id)
		OR pg_column_size(r.tags) IS DISTINCT FROM pg_column_size(c.tags) $q$, which) INTO differ;
	DROP TABLE copy;
	RETURN differ;
END $$;

-- lengths around those at which the header of a value, and its alignment, change
SELECT count(taskq.enqueue_job('rows', to_jsonb(repeat('x', n)), correlation_id => NULLIF(repeat('c', n % 150), ''))) FROM generate_series(0, 300) n \gset
SELECT count(taskq.enqueue_job('rows', to_jsonb((SELECT string_agg(md5((n * i)::text), '') FROM generate_series(1, n) i)))) FROM unnest('{60,63,64,200,1000}'::int[]) n \gset
SELECT count(taskq.enqueue_job('rows', to_jsonb(repeat('x', 30000)), tags => ARRAY['a', repeat('b', n)], tenant_id => 't' || n, group_key => repeat('g', n),
	timeout => '1 min', lease => '1 day 2 hours', max_attempts => n, priority => -n, correlation_id => 'c')) FROM generate_series(1, 60) n \gset
SELECT is((SELECT count(*) FROM taskq.jobs JOIN taskq.routes USING (route_id) WHERE task_type = 'rows'), 366::bigint, 'jobs are enqueued');
SELECT is(pg_temp.differ('jobs'), 0::bigint, 'the row of a waiting job is the one that INSERT makes');
CREATE TEMP TABLE was AS SELECT * FROM taskq.jobs;
-- How many rows have the values that the job had when it was enqueued.
CREATE FUNCTION pg_temp.kept(which text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE format($q$ SELECT count(*) FROM taskq.%I r JOIN was w USING (job_id)
		WHERE (r.created_at, r.route_id, r.max_attempts, r.priority, r.group_id, r.timeout, r.lease, r.payload, r.tags, r.tenant_id, r.group_key, r.correlation_id, r.created_by)
		IS NOT DISTINCT FROM (w.created_at, w.route_id, w.max_attempts, w.priority, w.group_id, w.timeout, w.lease, w.payload, w.tags, w.tenant_id, w.group_key, w.correlation_id, w.created_by) $q$, which) INTO n;
	RETURN n;
END $$;
SELECT count(*) AS claimed FROM taskq.claim_jobs('rows-w', 366, '{rows}') \gset
SELECT is(pg_temp.differ('jobs'), 0::bigint, 'so is the row of a running job');
SELECT is(pg_temp.kept('jobs'), 366::bigint, 'which has the values of the waiting job');
SELECT count(*) FROM (SELECT array_agg(job_id) ids, array_agg(epoch) epochs, array_agg(jsonb_build_object('r', repeat('r', (epoch % 300)::int))) results
	FROM taskq.jobs WHERE job_id % 2 = 0) j, taskq.complete_jobs(ids, epochs, results) \gset
SELECT count(taskq.fail_job(job_id, epoch, repeat('m', (epoch % 300)::int))) FROM taskq.jobs \gset
SELECT is((SELECT count(*) FROM taskq.job_history JOIN taskq.routes USING (route_id) WHERE task_type = 'rows'), 366::bigint, 'the jobs end');
SELECT is(pg_temp.differ('job_history'), 0::bigint, 'so is the row of an ended job');
SELECT is(pg_temp.kept('job_history'), 366::bigint, 'which has the values of the running job');

-- rows that are inserted together
SELECT taskq.register_handler('rows-many'), taskq.register_handler('rows-odd') \gset
SELECT taskq.create_queue('rows-' || d, retain_completed => d * interval '1 day') FROM generate_series(1, 6) d \g /dev/null
CREATE FUNCTION pg_temp.many(n int, q text DEFAULT 'default') RETURNS bigint LANGUAGE sql AS
	$$ SELECT count(*) FROM taskq.enqueue_jobs('rows-many', (SELECT array_agg(to_jsonb(i)) FROM generate_series(1, n) i), queue => q) $$;
CREATE FUNCTION pg_temp.claimed(n int) RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM taskq.claim_jobs('rows-m', n, '{rows-many}') $$;
CREATE FUNCTION pg_temp.complete(results jsonb DEFAULT NULL) RETURNS bigint LANGUAGE sql AS
	$$ SELECT count(*) FROM (SELECT array_agg(job_id ORDER BY job_id) ids, array_agg(epoch ORDER BY job_id) epochs,
		array_agg(results->(n::int - 1) ORDER BY job_id) results FROM (SELECT *, row_number() OVER (ORDER BY job_id) n FROM taskq.jobs WHERE worker_id = 'rows-m') r) j,
		taskq.complete_jobs(ids, epochs, results) WHERE status = 'completed' $$;
SELECT count(pg_temp.many(1)) FROM generate_series(1, 3) \gset
SELECT is(pg_temp.many(1000), 1000::bigint, 'a thousand jobs are enqueued together');
SELECT results_eq($$ SELECT payload::text::int FROM taskq.jobs JOIN taskq.routes USING (route_id) WHERE task_type = 'rows-many' AND payload > '1' ORDER BY job_id $$,
	$$ SELECT generate_series(2, 1000) $$, 'each has its payload, and their ids have its order');
SELECT is(pg_temp.claimed(700), 700::bigint, 'many are claimed');
SELECT is(pg_temp.complete(), 700::bigint, 'and completed together');
SELECT is((SELECT count(*) FROM taskq.job_history h JOIN taskq.routes USING (route_id) WHERE task_type = 'rows-many' AND state = 'c'), 700::bigint, 'each is in the history');
SELECT is((SELECT count(*) FROM generate_series(1, 6) d, pg_temp.many(20, 'rows-' || d)), 6::bigint, 'jobs of queues with other retentions are enqueued');
SELECT is(pg_temp.claimed(1000), 423::bigint, 'they and the rest are claimed');
SELECT is(pg_temp.complete(), 423::bigint, 'and completed together');
SELECT is((SELECT count(*) FROM taskq.job_history h JOIN taskq.routes USING (route_id) WHERE task_type = 'rows-many' AND state = 'c'), 1123::bigint, 'each is in the history');

-- the second of two claims of one job finds the row of the first
SELECT pg_temp.many(3), pg_temp.claimed(3) \gset
SELECT is((SELECT array_agg(status ORDER BY job_id, status) FROM (SELECT array_agg(job_id) ids, array_agg(epoch) epochs FROM taskq.jobs WHERE worker_id = 'rows-m') j,
	taskq.complete_jobs(ids || ids, epochs || epochs)), '{completed,repeated,completed,repeated,completed,repeated}', 'a job that is named twice is completed once');

-- nothing of a batch stays after an error
SELECT pg_temp.many(300), pg_temp.claimed(300) \gset
SELECT count(*) AS before FROM taskq.job_history \gset
SELECT throws_ok($$ SELECT pg_temp.complete((SELECT jsonb_agg(CASE WHEN i = 299 THEN taskq.decision('{nobody}') END ORDER BY i) FROM generate_series(1, 300) i)) $$, 'TQ020', NULL, 'the last but one of a batch fails');
SELECT is((SELECT count(*) FROM taskq.job_history), :before::bigint, 'no row of the batch is left');
SELECT is(pg_temp.complete(), 300::bigint, 'the jobs can be completed afterwards');

-- a decision in the middle of a batch
SELECT pg_temp.many(5), pg_temp.claimed(5) \gset
SELECT is(pg_temp.complete(jsonb_build_array(1, 2, taskq.decision('{rows-odd}'), 4, 5)), 5::bigint, 'jobs before and after a decision are completed with it');
SELECT is((SELECT count(*) FROM taskq.all_jobs WHERE task_type = 'rows-odd' AND state = 'available'), 1::bigint, 'and its step is enqueued');

-- unique indexes
CREATE UNIQUE INDEX regress_rows ON taskq.jobs (correlation_id) WHERE gate = 'o';
SELECT throws_ok($$ SELECT count(*) FROM taskq.enqueue_jobs('rows', '{1,2}', correlation_id => 'same') $$, '23505', NULL, 'a unique index is enforced within a batch');
DROP INDEX taskq.regress_rows;
SELECT taskq.enqueue_job('rows') AS one \gset
INSERT INTO taskq.jobs SELECT (jsonb_populate_record(j, jsonb_build_object('job_id', job_id + 2))).* FROM taskq.jobs j WHERE job_id = :one;
SELECT throws_ok($$ SELECT count(*) FROM taskq.enqueue_jobs('rows', '{1,2}') $$, '23505', NULL, 'so is the key of jobs');
SELECT pg_temp.many(2), pg_temp.claimed(2) \gset
SELECT max(job_id) AS last FROM taskq.jobs WHERE worker_id = 'rows-m' \gset
INSERT INTO taskq.job_history SELECT (jsonb_populate_record(h, jsonb_build_object('job_id', :last, 'life', 0))).* FROM taskq.job_history h ORDER BY finished_at DESC, job_id DESC LIMIT 1;
SELECT throws_ok($$ SELECT pg_temp.complete() $$, '23505', NULL, 'and that of the history');

-- what an administrator changes; NOT NULL can be set by a session that has not loaded the library
SET LOCAL allow_system_table_mods = on;
UPDATE pg_attribute SET attnotnull = true WHERE attrelid = 'taskq.jobs'::regclass AND attname = 'tenant_id';
SELECT throws_ok($$ SELECT taskq.enqueue_job('rows') $$, '23502', NULL, 'a column that is NOT NULL takes no NULL');
SELECT lives_ok($$ SELECT taskq.enqueue_job('rows', tenant_id => 't') $$, 'and takes other values');
UPDATE pg_attribute SET attnotnull = false WHERE attrelid = 'taskq.jobs'::regclass AND attname = 'tenant_id';
ALTER TABLE taskq.jobs ADD regress_rows int DEFAULT 7;
SELECT lives_ok($$ SELECT taskq.enqueue_job('rows', tenant_id => 't') $$, 'a new column may be NULL');
SELECT is((SELECT array_agg(regress_rows ORDER BY job_id) FROM taskq.jobs WHERE tenant_id = 't'), '{7,NULL}', 'and is NULL in a new job, and has its default in older ones');
ALTER TABLE taskq.jobs DROP regress_rows, ALTER correlation_id SET STORAGE PLAIN;
SELECT taskq.enqueue_job('rows', correlation_id => 'plain') AS plain \gset
SELECT is((SELECT correlation_id || pg_column_size(correlation_id) FROM taskq.jobs WHERE job_id = :plain), 'plain9', 'the storage of a column may be changed');

ALTER TABLE taskq.jobs ALTER correlation_id SET STORAGE EXTENDED, ADD regress_rows int;
SELECT taskq.enqueue_job('rows', tags => '{a}', correlation_id => 'short') AS short \gset
SELECT is((SELECT string_agg(correlation_id || COALESCE(tags::text, ''), ' ' ORDER BY job_id) FROM taskq.claim_jobs('rows-w3', 100, '{rows}') WHERE job_id IN (:plain, :short)), 'plain short{a}',
	'rows from before and after such changes are claimed');
SELECT is((SELECT array_agg(correlation_id ORDER BY job_id) FROM taskq.jobs WHERE job_id IN (:plain, :short)), '{plain,short}', 'and keep their values');

-- a leaf by hand, with its columns in another order
SELECT taskq.register_handler('rows-leaf') \gset
SELECT taskq.create_queue('rows-leaf', retain_completed => '20 days') \gset
SELECT to_char((now() + '20 days') AT TIME ZONE 'UTC' + interval '1 day', 'YYYYMMDD') AS day,
	((now() + '20 days') AT TIME ZONE 'UTC')::date + 1 AS from, ((now() + '20 days') AT TIME ZONE 'UTC')::date + 2 AS to \gset
SELECT format('CREATE TABLE taskq.job_history_%s (%s)', :'day', string_agg(format('%I %s %s', attname, format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'NOT NULL' END), ', ' ORDER BY attname))
	FROM pg_attribute WHERE attrelid = 'taskq.job_history'::regclass AND attnum > 0 AND NOT attisdropped \gexec
ALTER TABLE taskq.job_history_:day ADD PRIMARY KEY (job_id, life, expires_on);
ALTER TABLE taskq.job_history ATTACH PARTITION taskq.job_history_:day FOR VALUES FROM (:'from') TO (:'to');
SELECT taskq.enqueue_job('rows-leaf', queue => 'rows-leaf') AS odd \gset
SELECT throws_ok($$ SELECT taskq.complete_job(job_id, epoch) FROM taskq.claim_job('rows-w2', '{rows-leaf}') $$, '55000', NULL, 'a leaf with its columns in another order is refused');
ALTER TABLE taskq.job_history DETACH PARTITION taskq.job_history_:day;
DROP TABLE taskq.job_history_:day;
SELECT is((SELECT taskq.complete_job(job_id, epoch) FROM taskq.claim_job('rows-w2', '{rows-leaf}')), true, 'without it the job is completed');
SELECT is((SELECT state FROM taskq.all_jobs WHERE job_id = :odd), 'completed', 'and has ended');

SELECT * FROM finish();
ROLLBACK;
