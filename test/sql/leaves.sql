-- If a relation has the name of a future partition of the history or of the events,
-- nothing else is delayed: rows of that day stay in the overflow partition.
\set ECHO none
\i test/sql/include/tap.sql
BEGIN;
SELECT plan(9);
SELECT taskq.create_queue('leaves', retain_completed => '11 days', events => true, retain_events => '12 days'), taskq.register_handler('leaves') \gset
-- the day after the expiry day of a row that is written now
CREATE FUNCTION pg_temp.leaf(t text, kept interval) RETURNS text LANGUAGE sql AS
	$$ SELECT t || to_char((taskq.clock_now() AT TIME ZONE 'UTC' + kept)::date + 1, '_YYYYMMDD') $$;
SELECT pg_temp.leaf('job_history', '11 days') AS history, pg_temp.leaf('event_log', '12 days') AS events,
	pg_temp.leaf('event_log', '13 days') AS next_events \gset
-- created by this transaction, and removed with it
SELECT is(count(*), 0::bigint, 'the partitions of these days do not exist yet') FROM pg_class WHERE relname IN (:'history', :'events');
CREATE TABLE taskq.:history ();
CREATE VIEW taskq.:events AS SELECT 1 AS one;
CREATE FUNCTION pg_temp.ended() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	job bigint := taskq.enqueue_job('leaves', queue => 'leaves');
BEGIN
	PERFORM taskq.complete_job(c.job_id, c.epoch) FROM taskq.claim_job('leaves', '{leaves}') c;
	RETURN job;
END $$;
SELECT pg_temp.ended() AS job \gset
SELECT is(tableoid::regclass::text, 'taskq.job_history_overflow', 'an ended job goes to the overflow partition') FROM taskq.job_history WHERE job_id = :job;
SET client_min_messages = error;
SELECT lives_ok('SELECT taskq.prune()', 'prune() works while the name is taken');
SELECT lives_ok('SELECT taskq.prune()', 'prune() works again');
RESET client_min_messages;
SELECT is(tableoid::regclass::text, 'taskq.job_history_overflow', 'the job stays in the overflow partition') FROM taskq.job_history WHERE job_id = :job;
SELECT ok(relispartition, 'the partition of the next day is created') FROM pg_class WHERE oid = ('taskq.' || :'next_events')::regclass;
SELECT isnt_empty(format('SELECT FROM taskq.read_events() WHERE job_id = %s', :job), 'events of the job can be read');

DROP TABLE taskq.:history;
DROP VIEW taskq.:events;
SELECT taskq.prune() \gset
SELECT taskq.prune() \gset
SELECT is(tableoid::regclass::text, 'taskq.' || :'history', 'the job goes to its partition when the name is free') FROM taskq.job_history WHERE job_id = :job;
SELECT ok(relispartition, 'the partition for events is created, too') FROM pg_class WHERE oid = ('taskq.' || :'events')::regclass;
SELECT * FROM finish();
ROLLBACK;
