-- A job is found by its id in a history of many partitions, and an id that no job has is
-- refused without a look into any of them.
\set ECHO none
\i test/sql/include/tap.sql
BEGIN;
SELECT plan(23);
SELECT taskq.register_handler('lf'), taskq.create_queue('lf') \gset
CREATE FUNCTION pg_temp.ended(kept interval DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	job bigint;
BEGIN
	IF kept IS NOT NULL THEN
		PERFORM taskq.alter_queue('lf', retain_completed => kept);
	END IF;
	job := taskq.enqueue_job('lf', queue => 'lf');
	PERFORM taskq.complete_job(c.job_id, c.epoch) FROM taskq.claim_job('lf', '{lf}') c;
	IF kept IS NOT NULL THEN
		-- create the partition, and move the row to it while the queue keeps it that long
		PERFORM taskq.prune();
		PERFORM taskq.prune();
	END IF;
	RETURN job;
END $$;
-- what a call says that must look for a job in the history
CREATE FUNCTION pg_temp.look(id bigint) RETURNS text LANGUAGE sql AS $$ SELECT status FROM taskq.complete_jobs(ARRAY[id], ARRAY[1::bigint]) $$;
-- pages of the partitions' indexes that this transaction has asked for
CREATE FUNCTION pg_temp.pages() RETURNS bigint LANGUAGE sql AS $$
	SELECT COALESCE(sum(pg_stat_get_xact_blocks_fetched(i.indexrelid)), 0)::bigint FROM pg_inherits h JOIN pg_index i ON i.indrelid = h.inhrelid
	WHERE h.inhparent = 'taskq.job_history'::regclass $$;
CREATE FUNCTION pg_temp.leaf(id bigint) RETURNS text LANGUAGE sql AS $$ SELECT tableoid::regclass::text FROM taskq.job_history WHERE job_id = id $$;
-- a finished job with this id, in the partition of another
CREATE FUNCTION pg_temp.restore(id bigint, beside bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO %s SELECT (jsonb_populate_record(h, jsonb_build_object(''job_id'', %s))).* FROM taskq.job_history h WHERE job_id = %s', pg_temp.leaf(beside), id, beside);
END $$;

CREATE TEMP TABLE ended AS SELECT n, pg_temp.ended(make_interval(days => n)) AS job FROM generate_series(1, 20) n;
SELECT is(count(DISTINCT pg_temp.leaf(job)), 20::bigint, 'there are partitions for twenty days') FROM ended;
SELECT is(count(*), 20::bigint, 'a job of each is found') FROM ended WHERE pg_temp.look(job) = 'stale';
SELECT 1000000 + max(job_id) AS unknown FROM taskq.job_history \gset
SELECT is(pg_temp.look(:unknown), 'not_found', 'an id that no job has is not found');
SELECT pg_temp.pages() AS pages \gset
SELECT is(pg_temp.look(:unknown), 'not_found', 'nor is it later');
SELECT is(pg_temp.look(0), 'not_found', 'nor one that is lower than all');
SELECT is(pg_temp.pages(), :pages::bigint, 'and that reads no page of any index');

-- describe_job() queries the partition of the job alone
CREATE FUNCTION pg_temp.scans() RETURNS bigint LANGUAGE sql AS $$
	SELECT sum(pg_stat_get_xact_numscans(i.indexrelid))::bigint FROM pg_inherits h JOIN pg_index i ON i.indrelid = h.inhrelid
	WHERE h.inhparent = 'taskq.job_history'::regclass $$;
SELECT pg_temp.scans() AS scans \gset
SELECT is(state, 'completed', 'describe_job() describes a job of the history') FROM ended, taskq.describe_job(job) WHERE n = 7;
SELECT cmp_ok(pg_temp.scans() - :scans, '<=', 6::bigint, 'and reads few of twenty indexes');
SELECT is(e.expires_on, right(pg_temp.leaf(job), 8)::date, 'the view all_jobs shows the day of its partition') FROM ended JOIN taskq.all_jobs e ON job_id = job WHERE n = 7;

-- what is written later, by others, too
SELECT pg_temp.ended('3 days') AS later \gset
SELECT is(pg_temp.look(:later), 'stale', 'a job that ends later is found');
SELECT is(pg_temp.leaf(:later), pg_temp.leaf(job), 'in a partition that was there') FROM ended WHERE n = 3;
SELECT pg_temp.restore(:unknown, job), pg_temp.restore(-5, job) FROM ended WHERE n = 7 \gset
SELECT is(pg_temp.look(:unknown), 'stale', 'a higher id that was restored is found');
SELECT is(pg_temp.look(-5), 'stale', 'a lower one, too');
SELECT is(pg_temp.look(:unknown - 1), 'not_found', 'an id between them is not');
DELETE FROM taskq.job_history WHERE job_id = :unknown;
SELECT is(pg_temp.look(:unknown), 'not_found', 'nor one that was deleted');
SELECT taskq.retry_job(job, force => true) FROM ended WHERE n = 5 \gset
SELECT is(pg_temp.look(job), 'stale', 'a job that was put back is found') FROM ended WHERE n = 5;
SELECT taskq.complete_job(c.job_id, c.epoch) FROM taskq.claim_job('lf', '{lf}') c \gset
SELECT isnt_empty(format('SELECT FROM taskq.describe_job(%s)', job), 'and when it has ended again') FROM ended WHERE n = 5;

-- partitions
SAVEPOINT s;
SELECT pg_temp.ended('25 days') AS undone \gset
SELECT is(pg_temp.look(:undone), 'stale', 'a job in a new partition is found');
SELECT is(pg_temp.leaf(:undone) LIKE '%overflow', false, 'which is not the overflow partition');
ROLLBACK TO s;
SELECT is(pg_temp.look(:undone), 'not_found', 'it is not when that is rolled back');
SELECT is(pg_temp.look(job), 'stale', 'and others still are') FROM ended WHERE n = 20;
SELECT format('ALTER TABLE taskq.job_history DETACH PARTITION %s', pg_temp.leaf(job)) AS detach FROM ended WHERE n = 11 \gset
SELECT format('DROP TABLE %s', pg_temp.leaf(job)) AS drop FROM ended WHERE n = 12 \gset
:detach;
:drop;
SELECT is(string_agg(n || pg_temp.look(job), ' ' ORDER BY n), '10stale 11not_found 12not_found 13stale', 'jobs of a partition that was detached or dropped are not found') FROM ended WHERE n BETWEEN 10 AND 13;
SELECT format('REINDEX TABLE %s', pg_temp.leaf(job)) AS reindex FROM ended WHERE n = 14 \gset
:reindex;
SELECT is(pg_temp.look(job), 'stale', 'a job is found after its partition was reindexed') FROM ended WHERE n = 14;
SELECT * FROM finish();
ROLLBACK;
