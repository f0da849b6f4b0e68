-- The definitions of taskq's objects stay as CREATE EXTENSION has made them. If
-- they are changed nevertheless, taskq raises an error and does not crash.
\set ECHO none
\i test/sql/include/tap.sql
BEGIN;
SELECT plan(63);
SELECT taskq.register_handler('definitions'), taskq.create_queue('definitions') \g /dev/null
SELECT taskq.enqueue_job('definitions', queue => 'definitions') \gset

-- changes past the guard, directly in the catalogs
CREATE FUNCTION pg_temp.retype(relation regclass, col name, type regtype) RETURNS void LANGUAGE sql AS $$
	UPDATE pg_attribute a SET atttypid = t.oid, attlen = t.typlen, attbyval = t.typbyval, attalign = t.typalign, attstorage = t.typstorage
		FROM pg_type t WHERE t.oid = type AND attrelid = relation AND attname = col $$;
SELECT throws_like(format('DO $d$ BEGIN SET LOCAL allow_system_table_mods = on; PERFORM pg_temp.retype(%L, %L, %L); PERFORM %s; END $d$', relation, col, type, call),
	'%' || message || '%', 'seen, and no crash: ' || relation || '.' || col)
FROM (VALUES ('taskq.job', 'priority', 'text', $$FROM taskq.claim_job('definitions', '{definitions}')$$, 'of different versions'),
	('taskq.job', 'payload', 'integer', $$FROM taskq.claim_job('definitions', '{definitions}')$$, 'of different versions'),
	('taskq.jobs', 'priority', 'text', $$taskq.enqueue_job('definitions')$$, 'column "priority" of table taskq.jobs was changed'),
	('taskq.queue_defs', 'paused', 'text', $$taskq.create_queue('definitions2')$$, 'column "paused" of table taskq.queue_defs was changed'),
	('taskq.handler_changes', 'changed_at', 'text', $$taskq.unregister_handler('definitions')$$, 'column "changed_at" of table taskq.handler_changes was changed')) v (relation, col, type, call, message);
SELECT lives_ok($$SELECT priority + 1 FROM taskq.claim_job('definitions', '{definitions}')$$, 'a claim works again after the change was rolled back');

-- the guard: nothing of the extension is renamed, moved, replaced, altered or given away
CREATE ROLE regress_definitions;
CREATE SCHEMA definitions;
SELECT throws_ok(sql, '0A000', NULL, 'refused: ' || sql) FROM unnest(ARRAY[
	'ALTER TYPE taskq.job ALTER ATTRIBUTE priority TYPE text', 'ALTER TYPE taskq.job ADD ATTRIBUTE more text',
	'ALTER TYPE taskq.job RENAME TO task', 'ALTER TYPE taskq.job SET SCHEMA definitions', 'ALTER TYPE taskq.job OWNER TO regress_definitions',
	'ALTER TYPE taskq.job RENAME ATTRIBUTE priority TO rank',
	'ALTER FUNCTION taskq.clock_now() RENAME TO now', 'ALTER ROUTINE taskq.clock_now() SET SCHEMA definitions', 'ALTER FUNCTION taskq.clock_now() OWNER TO regress_definitions',
	'ALTER PROCEDURE taskq.wait_for_job RENAME TO pause',
	'CREATE OR REPLACE FUNCTION taskq.clock_now() RETURNS timestamptz LANGUAGE sql AS $$SELECT now()$$',
	'CREATE OR REPLACE FUNCTION taskq.sees_tenant(tenant_id text) RETURNS boolean LANGUAGE sql AS $$SELECT true$$',
	'ALTER TABLE taskq.jobs ALTER priority DROP NOT NULL', 'ALTER TABLE taskq.jobs ALTER job_id SET DEFAULT 1', 'ALTER TABLE taskq.frame_log DROP COLUMN sqlstate',
	'ALTER TABLE taskq.frame_log ALTER message TYPE varchar', 'ALTER TABLE taskq.jobs OWNER TO regress_definitions', 'ALTER TABLE taskq.jobs ALTER route_id ADD GENERATED ALWAYS AS IDENTITY',
	'ALTER VIEW taskq.queues OWNER TO regress_definitions', 'ALTER VIEW taskq.queues ALTER COLUMN queue SET DEFAULT 1', 'ALTER VIEW taskq.queues RENAME COLUMN queue TO q',
	'ALTER SEQUENCE taskq.epoch_seq OWNER TO regress_definitions', 'ALTER SCHEMA taskq OWNER TO regress_definitions']) sql;
SELECT lives_ok(sql, 'allowed: ' || sql) FROM unnest(ARRAY[
	'ALTER FUNCTION taskq.clock_now() COST 2', 'ALTER TABLE taskq.jobs ADD COLUMN more integer', 'ALTER TABLE taskq.jobs ALTER more SET DEFAULT 1, ALTER more DROP NOT NULL',
	'ALTER TABLE taskq.jobs DROP COLUMN more', 'COMMENT ON FUNCTION taskq.clock_now() IS NULL', 'CREATE FUNCTION taskq.mine() RETURNS integer LANGUAGE sql AS $$SELECT 1$$',
	'CREATE OR REPLACE FUNCTION taskq.mine() RETURNS integer LANGUAGE sql AS $$SELECT 2$$', 'ALTER FUNCTION taskq.mine() RENAME TO my_own']) sql;

-- writing
CREATE ROLE regress_definitions_writer;
GRANT pg_write_all_data, pg_read_all_data TO regress_definitions_writer;
GRANT TRUNCATE ON taskq.handlers TO regress_definitions_writer;
SET LOCAL ROLE regress_definitions_writer;
SELECT count(*) >= 0 FROM taskq.handlers \g /dev/null
RESET ROLE;
CREATE FUNCTION pg_temp.as_writer(sql text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET LOCAL ROLE regress_definitions_writer; EXECUTE sql; END $$;
GRANT pg_read_server_files TO regress_definitions_writer;
GRANT CREATE ON SCHEMA definitions TO regress_definitions_writer;
SET LOCAL ROLE regress_definitions_writer;
CREATE VIEW definitions.through AS SELECT * FROM taskq.handlers;
RESET ROLE;
GRANT ALL ON definitions.through TO PUBLIC;
SELECT throws_ok(format('SELECT pg_temp.as_writer(%L)', sql), '42501', 'role "regress_definitions_writer" cannot write to ' || t, 'refused: ' || sql) FROM (VALUES
	('taskq.handlers', $$UPDATE taskq.handlers SET run_as = NULL$$), ('taskq.handlers', 'TRUNCATE taskq.handlers'),
	('taskq.handlers', $$INSERT INTO taskq.handlers (task_type) VALUES ('mine')$$), ('taskq.handlers', 'DELETE FROM taskq.handlers'),
	('taskq.handlers', $$COPY taskq.handlers FROM '/dev/null'$$),
	('taskq.handlers', $$MERGE INTO taskq.handlers h USING (VALUES ('definitions')) v (t) ON h.task_type = v.t WHEN MATCHED THEN UPDATE SET run_as = NULL$$),
	('taskq.handlers', $$WITH gone AS (DELETE FROM taskq.handlers RETURNING 1) SELECT count(*) FROM gone$$),
	('taskq.handlers', 'SELECT 1 FROM taskq.handlers FOR UPDATE'), ('taskq.handlers', 'DELETE FROM definitions.through'),
	('taskq.job_history', 'DELETE FROM taskq.job_history'), ('taskq.job_history_overflow', 'DELETE FROM taskq.job_history_overflow')) v (t, sql);

-- by the owner of the extension, which may change
CREATE ROLE regress_definitions_owner SUPERUSER;
CREATE ROLE regress_definitions_next;
GRANT pg_read_server_files TO regress_definitions_next;
CREATE FUNCTION pg_temp.as_next(sql text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN SET LOCAL ROLE regress_definitions_next; EXECUTE sql; RESET ROLE; END $$;
CREATE FUNCTION pg_temp.writes() RETURNS TABLE (sql text) LANGUAGE sql AS $f$ VALUES
	($$INSERT INTO taskq.queue_defs SELECT (q).* FROM (SELECT q FROM taskq.queue_defs q LIMIT 0) x$$), ('UPDATE taskq.queue_defs SET description = NULL'),
	('DELETE FROM taskq.queue_defs WHERE queue = $$none$$'), ('COPY taskq.queue_defs FROM $$/dev/null$$'), ('TRUNCATE taskq.frame_log'),
	($$MERGE INTO taskq.queue_defs d USING (VALUES ('definitions')) v (q) ON d.queue = v.q WHEN MATCHED THEN UPDATE SET description = 'merged'$$) $f$;
SELECT lives_ok(sql, 'a superuser: ' || sql) FROM pg_temp.writes() w (sql);
DROP EXTENSION taskq CASCADE;
SET LOCAL ROLE regress_definitions_owner;
CREATE EXTENSION taskq;
RESET ROLE;
REASSIGN OWNED BY regress_definitions_owner TO regress_definitions_next;
SELECT is((SELECT extowner::regrole::text FROM pg_extension WHERE extname = 'taskq') || (SELECT string_agg(DISTINCT relowner::regrole::text, ',') FROM pg_class WHERE relnamespace = 'taskq'::regnamespace),
	'regress_definitions_nextregress_definitions_next', 'REASSIGN OWNED gives away the extension and its tables');
SELECT lives_ok(format('SELECT pg_temp.as_next(%L)', sql), 'its owner: ' || sql) FROM pg_temp.writes() w (sql);
SELECT lives_ok($$SELECT taskq.create_queue('definitions'), taskq.register_handler('definitions'), taskq.enqueue_job('definitions', queue => 'definitions')$$, 'taskq works for the new owner');
ALTER ROLE regress_definitions_owner NOSUPERUSER;
GRANT ALL ON ALL TABLES IN SCHEMA taskq TO regress_definitions_owner;
GRANT USAGE ON SCHEMA taskq TO regress_definitions_owner;
SET LOCAL ROLE regress_definitions_owner;
SELECT throws_ok('DELETE FROM taskq.jobs', '42501', 'role "regress_definitions_owner" cannot write to taskq.jobs', 'the former owner cannot write to the tables');
RESET ROLE;
SELECT * FROM finish();
ROLLBACK;
