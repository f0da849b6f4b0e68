-- The cache of the configuration follows each change, and reads again only the rows that have changed.
\set ECHO none
\i test/sql/include/tap.sql
SELECT plan(27);

-- How often this transaction has read a table as a whole.
CREATE FUNCTION pg_temp.whole(tab regclass) RETURNS bigint LANGUAGE sql AS $$ SELECT pg_stat_get_xact_numscans(tab) $$;
SET client_min_messages = warning;

-- Vacuum and analyze invalidate a table, and then it is read as a whole.
ALTER TABLE taskq.handlers SET (autovacuum_enabled = off);
ALTER TABLE taskq.routes SET (autovacuum_enabled = off);
ALTER TABLE taskq.queue_defs SET (autovacuum_enabled = off);

-- subtransactions, rollback and prepared transactions
BEGIN;
SELECT taskq.create_queue('cc-q'), taskq.register_handler('cc-a'), taskq.enqueue_job('cc-a', queue => 'cc-q') \gset
SELECT ok(taskq.is_registered('cc-a'), 'a transaction sees the change that it has made');
SAVEPOINT s;
SELECT taskq.register_handler('cc-b'), taskq.unregister_handler('cc-a'), taskq.create_queue('cc-r') \gset
SELECT is(ARRAY[taskq.is_registered('cc-a'), taskq.is_registered('cc-b')], ARRAY[false, true], 'a subtransaction sees its changes');
SAVEPOINT t;
SELECT taskq.register_handler('cc-c') \gset
SELECT taskq.is_registered('cc-c') \gset
RELEASE t;
ROLLBACK TO s;
SELECT is(ARRAY[taskq.is_registered('cc-a'), taskq.is_registered('cc-b'), taskq.is_registered('cc-c')], ARRAY[true, false, false],
	'a rollback to a savepoint undoes the changes, also those of a released subtransaction');
SELECT throws_ok($$ SELECT taskq.enqueue_job('cc-a', queue => 'cc-r') $$, '42704', 'queue "cc-r" does not exist', 'a rollback to a savepoint undoes the creation of a queue');
ROLLBACK;
SELECT ok(NOT taskq.is_registered('cc-a'), 'a rollback undoes a registration');
SELECT throws_ok($$ SELECT taskq.alter_queue('cc-q') $$, '42704', 'queue "cc-q" does not exist', 'a rollback undoes the creation of a queue');

BEGIN;
SELECT taskq.register_handler('cc-p'), taskq.create_queue('cc-p') \gset
SELECT taskq.is_registered('cc-p') \gset
PREPARE TRANSACTION 'cc-p';
SELECT ok(NOT taskq.is_registered('cc-p'), 'a registration is not seen while its transaction is prepared');
COMMIT PREPARED 'cc-p';
SELECT ok(taskq.is_registered('cc-p'), 'a registration is seen after COMMIT PREPARED');
SELECT lives_ok($$ SELECT taskq.alter_queue('cc-p') $$, 'a new queue is seen after COMMIT PREPARED');
BEGIN;
SELECT taskq.unregister_handler('cc-p') \gset
PREPARE TRANSACTION 'cc-p';
SELECT ok(taskq.is_registered('cc-p'), 'a removal is not seen while its transaction is prepared');
ROLLBACK PREPARED 'cc-p';
SELECT ok(taskq.is_registered('cc-p'), 'a removal is not seen after ROLLBACK PREPARED');

-- statements by hand
BEGIN;
DELETE FROM taskq.handlers WHERE task_type = 'cc-p';
SELECT ok(NOT taskq.is_registered('cc-p'), 'a handler whose row was deleted by hand is not registered');
ROLLBACK;
SELECT ok(taskq.is_registered('cc-p'), 'the handler is registered after the rollback');
SELECT taskq.enqueue_job('cc-p', queue => 'cc-p'), count(*) FROM taskq.explain_routes() \gset x_
UPDATE taskq.queue_defs SET queue = 'cc-renamed' WHERE queue = 'cc-p';
SELECT throws_ok($$ SELECT taskq.alter_queue('cc-p') $$, '42704', 'queue "cc-p" does not exist', 'a queue that was renamed by hand does not have its old name');
SELECT is(queue, 'cc-renamed', 'its routes have the new name') FROM taskq.explain_routes() WHERE task_type = 'cc-p';
UPDATE taskq.queue_defs SET queue = 'cc-p' WHERE queue = 'cc-renamed';
SELECT lives_ok($$ SELECT taskq.alter_queue('cc-p') $$, 'the queue has its old name after it was renamed back by hand');
TRUNCATE taskq.handlers;
SELECT ok(NOT taskq.is_registered('cc-p'), 'no handler is registered after TRUNCATE by hand');

-- rows are read by their keys
SELECT count(taskq.register_handler('cc-' || i)) FROM generate_series(1, 5) i \gset x_
SELECT taskq.register_handler('cc-0'), taskq.enqueue_job('cc-0', queue => 'cc-p') \gset
BEGIN;
SELECT taskq.is_registered('cc-0') \gset
SELECT pg_temp.whole('taskq.handlers') AS handlers, pg_temp.whole('taskq.routes') AS routes, pg_temp.whole('taskq.queue_defs') AS queues \gset before_
SELECT count(taskq.register_handler('many-' || i)) FROM generate_series(1, 50) i \gset
SELECT is(count(*) FILTER (WHERE taskq.is_registered('many-' || i)), 50::bigint, 'fifty handlers are registered') FROM generate_series(1, 50) i;
SELECT cmp_ok(pg_temp.whole('taskq.handlers') - :before_handlers, '<=', 0::bigint, 'the registrations do not scan taskq.handlers as a whole');
SELECT count(taskq.enqueue_job('many-' || i, queue => 'cc-p')) FROM generate_series(1, 50) i \gset x_
-- The view is read later: a nested loop in its plan scans taskq.routes once for each job.
SELECT pg_temp.whole('taskq.routes') AS routes \gset after_
SELECT is(count(DISTINCT task_type), 50::bigint, 'fifty routes are created') FROM taskq.all_jobs WHERE task_type LIKE 'many-%';
SELECT cmp_ok(:after_routes - :before_routes, '<=', 2, 'new routes do not each scan taskq.routes as a whole');
ROLLBACK;

-- functions
CREATE ROLE regress_cc LOGIN;
SELECT count(taskq.grant_access('regress_cc', a)) AS n FROM unnest('{producer,worker,admin}'::text[]) a \gset x_
CREATE SCHEMA cc;
GRANT ALL ON SCHEMA cc TO regress_cc;
SET ROLE regress_cc;
CREATE FUNCTION cc.h(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
SELECT taskq.register_handler('cc-h', 'cc.h') \gset
BEGIN;
SELECT handler FROM taskq.list_handlers() WHERE task_type = 'cc-h' \gset
RESET ROLE;
SELECT pg_temp.whole('taskq.handlers') AS handlers, pg_temp.whole('taskq.routes') AS routes, pg_temp.whole('taskq.queue_defs') AS queues \gset before_
CREATE FUNCTION pg_temp.other() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE SCHEMA cc_other;
SELECT taskq.enqueue_job('cc-0', queue => 'cc-p') \gset
SELECT is(ARRAY[pg_temp.whole('taskq.handlers') - :before_handlers, pg_temp.whole('taskq.routes') - :before_routes, pg_temp.whole('taskq.queue_defs') - :before_queues],
	ARRAY[0, 0, 0]::bigint[], 'a new function or schema does not cause a scan of the tables');
SELECT is((SELECT status FROM taskq.list_handlers() WHERE task_type = 'cc-h'), 'ok', 'the status of a handler whose function exists is ok');
ALTER FUNCTION cc.h(jsonb) RENAME TO i;
SELECT is((SELECT handler FROM taskq.list_handlers() WHERE task_type = 'cc-h'), 'cc.i(pg_catalog.jsonb)', 'a handler follows the renaming of its function');
DROP FUNCTION cc.i(jsonb);
SELECT is((SELECT status FROM taskq.list_handlers() WHERE task_type = 'cc-h'), 'unresolved: its function does not exist', 'a handler whose function was dropped is unresolved');
CREATE FUNCTION cc.h(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
SELECT is((SELECT status FROM taskq.list_handlers() WHERE task_type = 'cc-h'), 'ok', 'the status is ok after the function was created again');
ALTER SCHEMA cc RENAME TO cd;
SELECT is((SELECT status FROM taskq.list_handlers() WHERE task_type = 'cc-h'), 'unresolved: its function does not exist', 'a handler is unresolved after the schema of its function was renamed');
ROLLBACK;

RESET ROLE;
ALTER TABLE taskq.handlers RESET (autovacuum_enabled);
ALTER TABLE taskq.routes RESET (autovacuum_enabled);
ALTER TABLE taskq.queue_defs RESET (autovacuum_enabled);
SELECT count(taskq.cancel_job(job_id)) FROM taskq.all_jobs WHERE task_type LIKE 'cc-%' AND state = 'available' \gset x_
SELECT count(taskq.unregister_handler(task_type)) FROM taskq.list_handlers() WHERE task_type LIKE 'cc-%' \gset x_
SELECT taskq.drop_pool('regress_cc'), count(taskq.revoke_access('regress_cc', a)) FROM unnest('{producer,worker,admin}'::text[]) a \gset x_
DROP SCHEMA cc CASCADE;
DROP ROLE regress_cc;
