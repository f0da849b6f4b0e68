-- What a session caches for writing rows, when the table changes.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql

-- what the first savepoint has locked is not locked any more
BEGIN;
SELECT taskq.register_handler('kit') \gset
SAVEPOINT a;
SELECT taskq.enqueue_job('kit') \gset
ROLLBACK TO a;
SELECT taskq.enqueue_job('kit') \gset
SELECT count(*) AS locks FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'taskq.jobs'::regclass AND mode = 'RowExclusiveLock' \gset
ROLLBACK;

BEGIN;
-- the scheduler waits meanwhile, as it would deadlock with what changes the table
LOCK TABLE taskq.jobs;
SELECT plan(17);

SELECT is(:locks, 1, 'a table is locked again after a rollback to a savepoint');

SELECT taskq.register_handler('kit') \gset
SELECT taskq.enqueue_job('kit', '{"k": 1}') \gset
SET LOCAL enable_seqscan = off;

CREATE INDEX regress_kit ON taskq.jobs (tenant_id) WHERE tenant_id IS NOT NULL;
SELECT taskq.enqueue_job('kit', tenant_id => 'anna') \gset
SELECT is((SELECT count(*) FROM taskq.jobs WHERE tenant_id = 'anna'), 1::bigint, 'the next insert maintains an index that an administrator has created');
DROP INDEX taskq.regress_kit;
SELECT lives_ok($$ SELECT taskq.enqueue_job('kit', tenant_id => 'anna') $$, 'a job is enqueued after the index was dropped');
CREATE INDEX regress_kit ON taskq.jobs USING gin (tags);
SELECT taskq.enqueue_job('kit', tags => '{a,b}'), taskq.enqueue_job('kit', tags => '{b,c}') \gset
SELECT taskq.enqueue_jobs('kit', '{1,2,3}', tags => '{c}') \g /dev/null
SELECT is((SELECT array_agg(count ORDER BY tag) FROM (SELECT tag, count(*) FROM unnest('{a,b,c}'::text[]) tag JOIN taskq.jobs ON tags @> ARRAY[tag] GROUP BY tag) c),
	'{1,2,4}', 'inserts maintain an index of another kind');
DROP INDEX taskq.regress_kit;

CREATE UNIQUE INDEX regress_kit ON taskq.jobs ((payload->>'k')) WHERE gate = 'o';
SELECT throws_ok($$ SELECT taskq.enqueue_job('kit', '{"k": 1}') $$, '23505', NULL, 'a unique index is enforced');
SELECT lives_ok($$ SELECT taskq.enqueue_job('kit', '{"k": 2}') $$, 'the next job is enqueued after the error');
DO $$ BEGIN
	FOR i IN 1 .. 100 LOOP
		BEGIN
			PERFORM taskq.enqueue_jobs('kit', ARRAY[jsonb_build_object('k', i + 100), '{"k": 2}']);
		EXCEPTION WHEN unique_violation THEN NULL;
		END;
	END LOOP;
END $$;
SELECT is((SELECT count(*) FROM taskq.jobs WHERE payload->>'k' IS NOT NULL), 2::bigint, 'the next job is enqueued after a hundred errors');
SELECT cmp_ok((SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'taskq kit'), '<=', 16::bigint, 'errors leave no memory behind');
DROP INDEX taskq.regress_kit;

ALTER TABLE taskq.jobs ADD regress_kit integer DEFAULT 7, ADD CONSTRAINT regress_kit CHECK (payload <> '"no"');
SELECT throws_ok($$ SELECT taskq.enqueue_job('kit', '"no"') $$, '23514', NULL, 'a new constraint is enforced');
SELECT count(*) = 1 AS claimed FROM taskq.claim_job('kit-w', '{kit}') \gset
SELECT ok(:'claimed', 'rows from before a new column are claimed');
SELECT is((SELECT count(*) FROM taskq.jobs WHERE regress_kit = 7), (SELECT count(*) FROM taskq.jobs), 'all rows have the default of the new column, also the one that was claimed');
UPDATE taskq.jobs SET regress_kit = 8 WHERE gate = 'r';
SELECT count(taskq.heartbeat_job(job_id, epoch, progress => '1')) AS n FROM taskq.jobs WHERE gate = 'r' \gset
SELECT is((SELECT regress_kit FROM taskq.jobs WHERE gate = 'r'), 8, 'a heartbeat keeps the value of the column');
SELECT results_eq($$ SELECT status FROM taskq.jobs j, taskq.complete_jobs(ARRAY[j.job_id], ARRAY[j.epoch]) WHERE gate = 'r' $$, $$ VALUES ('completed') $$, 'a job is completed after the new column was added');
ALTER TABLE taskq.jobs DROP regress_kit, DROP CONSTRAINT regress_kit;
SELECT lives_ok($$ SELECT taskq.enqueue_job('kit', '"no"') $$, 'a dropped constraint is not enforced');
TRUNCATE taskq.jobs;
SELECT taskq.enqueue_job('kit') \gset
SELECT is((SELECT count(*) FROM taskq.jobs WHERE gate = 'o'), 1::bigint, 'jobs are enqueued after the table was truncated');

-- a primary key whose second column has another collation
ALTER TABLE taskq.external_workers DROP CONSTRAINT external_workers_pkey;
CREATE UNIQUE INDEX regress_kit ON taskq.external_workers (worker_id, instance_id COLLATE "C");
SELECT throws_ok($$ SELECT taskq.register_worker('kit-v') $$, '42704', 'index "external_workers_pkey" of table taskq.external_workers does not exist', 'an index of another collation is not used');
DROP INDEX taskq.regress_kit;
ALTER TABLE taskq.external_workers ADD CONSTRAINT external_workers_pkey PRIMARY KEY (worker_id, instance_id);
SELECT lives_ok($$ SELECT taskq.register_worker('kit-v') $$, 'the index is found when it is there again');

SELECT * FROM finish();
ROLLBACK;
