-- No user's code on taskq's tables, and no rights on them, regardless of default
-- privileges and of the role that creates a trigger, a rule, a policy or the like.
\set ECHO none
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS taskq CASCADE;
CREATE ROLE regress_guard_app;
CREATE ROLE regress_guard_other;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO regress_guard_app;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO regress_guard_app;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO regress_guard_app, PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TYPES TO regress_guard_app;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO regress_guard_app;
\i test/sql/include/tap.sql
BEGIN;
SELECT plan(90);
CREATE FUNCTION pg_temp.foreign_rights() RETURNS TABLE (what text) LANGUAGE sql AS $$
	SELECT c.oid::regclass::text FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = 'taskq'::regnamespace AND a.grantee <> c.relowner
	UNION ALL SELECT p.oid::regprocedure::text FROM pg_proc p, aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) a WHERE p.pronamespace = 'taskq'::regnamespace AND a.grantee <> p.proowner
	UNION ALL SELECT 'type ' || t.oid::regtype FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid, aclexplode(COALESCE(t.typacl, acldefault('T', t.typowner))) a
		WHERE t.typnamespace = 'taskq'::regnamespace AND t.typelem = 0 AND c.relkind IS DISTINCT FROM 'v' AND a.grantee <> t.typowner
	UNION ALL SELECT 'schema' FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'taskq' AND a.grantee <> n.nspowner $$;
-- rights ------------------------------------------------------------------------
SELECT is_empty('SELECT * FROM pg_temp.foreign_rights()', 'CREATE EXTENSION grants no rights, whatever the default privileges are');
SELECT taskq.register_handler('guard'), taskq.create_queue('guard', events => true, retain_completed => '5 d', retain_events => '5 d') \g /dev/null
SELECT taskq.cancel_job(taskq.enqueue_job('guard', queue => 'guard')) \g /dev/null
SELECT taskq.prune() \g /dev/null
SELECT cmp_ok((SELECT count(*) FROM pg_class WHERE relnamespace = 'taskq'::regnamespace AND relname ~ '^(job_history|event_log)_[0-9]{8}$' AND relkind = 'r'), '>=', 2::bigint, 'partitions are created later');
SELECT is_empty('SELECT * FROM pg_temp.foreign_rights()', 'new partitions have no rights of other roles');
SELECT relname AS leaf FROM pg_class WHERE relnamespace = 'taskq'::regnamespace AND relname ~ '^job_history_[0-9]{8}$' AND relkind = 'r' ORDER BY relname DESC LIMIT 1 \gset
GRANT SELECT, TRIGGER ON taskq.:leaf TO regress_guard_app;
GRANT UPDATE (payload) ON taskq.:leaf TO regress_guard_app;
GRANT USAGE ON TYPE taskq.:leaf TO PUBLIC;
UPDATE taskq.installation SET database_name = 'elsewhere';
ALTER FUNCTION taskq.prune() COST 2;
SELECT is(taskq.adopt_database(), true, 'adopt_database() returns true');
SELECT is_empty('SELECT * FROM pg_temp.foreign_rights()', 'adopt_database() revokes rights that tables have brought from elsewhere');

-- code ----------------------------------------------------------------------------
CREATE SCHEMA guard;
CREATE FUNCTION guard.fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE FUNCTION guard.same(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT $1 $$;
CREATE FUNCTION guard.theirs(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT $1 $$;
ALTER FUNCTION guard.theirs(integer) OWNER TO regress_guard_other;
CREATE DOMAIN guard.theirs AS integer CHECK (guard.theirs(VALUE) > 0);
ALTER DOMAIN guard.theirs OWNER TO regress_guard_other;
SELECT throws_ok(sql, '0A000', 'taskq.' || t || ' takes no ' || what, 'refused: ' || sql) FROM (VALUES
	('jobs', 'triggers', 'CREATE TRIGGER t AFTER INSERT ON taskq.jobs FOR EACH ROW EXECUTE FUNCTION guard.fire()'),
	('access_grants', 'triggers', 'CREATE TRIGGER t BEFORE INSERT ON taskq.access_grants FOR EACH ROW EXECUTE FUNCTION guard.fire()'),
	('routes', 'triggers', 'CREATE TRIGGER t AFTER INSERT ON taskq.routes EXECUTE FUNCTION guard.fire()'),
	('job_history', 'triggers', 'CREATE TRIGGER t AFTER INSERT ON taskq.job_history FOR EACH ROW EXECUTE FUNCTION guard.fire()'),
	('event_log_overflow', 'triggers', 'CREATE CONSTRAINT TRIGGER t AFTER INSERT ON taskq.event_log_overflow DEFERRABLE FOR EACH ROW EXECUTE FUNCTION guard.fire()'),
	('all_jobs', 'triggers', 'CREATE TRIGGER t INSTEAD OF INSERT ON taskq.all_jobs FOR EACH ROW EXECUTE FUNCTION guard.fire()'),
	('handlers', 'rules', 'CREATE RULE r AS ON INSERT TO taskq.handlers DO ALSO SELECT guard.same(1)'),
	('queues', 'rules', 'CREATE RULE r AS ON INSERT TO taskq.queues DO INSTEAD NOTHING'),
	('queues', 'rules', 'CREATE OR REPLACE VIEW taskq.queues AS SELECT queue, description, paused, keep_payload, retain_completed, retain_other, on_unhandled, created_at, events, retain_events, validate_payloads, ordered, on_delayed, fair, fair_by, weights, age_every FROM taskq.queues'),
	('jobs', 'foreign keys', 'CREATE TABLE guard.mine (job bigint REFERENCES taskq.jobs ON DELETE CASCADE)'),
	('queue_defs', 'foreign keys', 'ALTER TABLE taskq.jobs ADD FOREIGN KEY (route_id) REFERENCES taskq.queue_defs'),
	('frame_log', 'policies', 'CREATE POLICY p ON taskq.frame_log USING (guard.same(1) = 1)'),
	('jobs', 'policies', 'ALTER TABLE taskq.jobs ENABLE ROW LEVEL SECURITY'),
	('jobs', 'policies', 'ALTER TABLE taskq.jobs SET (fillfactor = 70), FORCE ROW LEVEL SECURITY'),
	('jobs', 'children', 'CREATE TABLE guard.child () INHERITS (taskq.jobs)'),
	('jobs', 'children', 'CREATE TABLE taskq.child () INHERITS (taskq.jobs)'),
	('job_history', 'children', $$CREATE TABLE guard.part PARTITION OF taskq.job_history FOR VALUES FROM ('2000-01-01') TO ('2000-01-02')$$),
	('jobs', 'such index', 'CREATE INDEX ON taskq.jobs (guard.theirs(route_id))'),
	('jobs', 'such index', 'CREATE INDEX ON taskq.jobs (guard.same(route_id))'),
	('jobs', 'such constraint', 'ALTER TABLE taskq.jobs ADD CHECK (guard.same(route_id) > 0)'),
	('jobs', 'such default', 'ALTER TABLE taskq.jobs ADD COLUMN x integer GENERATED ALWAYS AS (guard.same(route_id)) STORED'),
	('jobs', 'column that cannot be NULL', 'ALTER TABLE taskq.jobs ADD COLUMN x integer NOT NULL DEFAULT 1'),
	('jobs', 'column that cannot be NULL', 'ALTER TABLE taskq.jobs ADD COLUMN x integer GENERATED ALWAYS AS IDENTITY'),
	('jobs', 'such index', 'CREATE INDEX ON taskq.jobs (job_id) WHERE guard.theirs(route_id) = 1'),
	('jobs', 'such index', 'CREATE INDEX ON taskq.jobs ((route_id::guard.theirs))'),
	('jobs', 'such constraint', 'ALTER TABLE taskq.jobs ADD CHECK (guard.theirs(route_id) > 0)'),
	('jobs', 'such constraint', 'ALTER TABLE taskq.jobs ADD CHECK (guard.theirs(route_id) > 0) NOT VALID'),
	('jobs', 'such default', 'ALTER TABLE taskq.jobs ADD COLUMN x bigint DEFAULT guard.theirs(1)'),
	('jobs', 'such statistics', 'CREATE STATISTICS guard.st ON (guard.theirs(route_id)), priority FROM taskq.jobs')
) v (t, what, sql) WHERE t <> 'queue_defs';
SELECT throws_ok('ALTER TABLE taskq.jobs ADD FOREIGN KEY (route_id) REFERENCES taskq.queue_defs', '0A000', 'taskq.jobs takes no foreign keys', 'refused: a foreign key between taskq''s tables');
CREATE DOMAIN guard.calls AS integer CHECK (guard.theirs(VALUE) > 0);
CREATE DOMAIN guard.over AS guard.calls;
CREATE DOMAIN guard.fine AS integer CHECK (VALUE > 0);
SELECT throws_ok(sql, '0A000', 'taskq.jobs takes no such column', 'refused: ' || sql) FROM (VALUES
	('ALTER TABLE taskq.jobs ADD COLUMN x guard.theirs'),
	('ALTER TABLE taskq.jobs ADD COLUMN x guard.theirs[]'),
	('ALTER TABLE taskq.jobs ADD COLUMN x guard.calls'),
	('ALTER TABLE taskq.jobs ADD COLUMN x guard.over'),
	('ALTER TABLE taskq.jobs ALTER route_id TYPE guard.theirs')) v (sql);
SELECT throws_ok('CREATE INDEX ON taskq.jobs ((route_id::guard.calls))', '0A000', 'taskq.jobs takes no such index', 'refused: a domain of a superuser that calls a function of another role');
SELECT throws_ok(sql, '0A000', what || ' cannot be changed', 'refused: ' || sql) FROM (VALUES
	('the persistence of taskq.jobs', 'ALTER TABLE taskq.jobs SET UNLOGGED'),
	('the definition of taskq.job_id_seq', 'ALTER SEQUENCE taskq.job_id_seq RESTART'),
	('the definition of taskq.epoch_seq', 'ALTER SEQUENCE taskq.epoch_seq CYCLE'),
	('the options of taskq.all_jobs', 'ALTER VIEW taskq.all_jobs RESET (security_barrier)'),
	('the options of taskq.all_jobs', 'ALTER TABLE taskq.all_jobs SET (security_barrier = false)'),
	('the definition of taskq.prune', 'ALTER FUNCTION taskq.prune() STRICT'),
	('the definition of taskq.prune', 'ALTER ROUTINE taskq.prune() SECURITY DEFINER')) v (what, sql);
SELECT throws_ok(sql, '0A000', what || ' belongs to extension taskq and cannot be changed', 'refused: ' || replace(sql, :'leaf', 'leaf')) FROM (VALUES
	('function taskq.prune()', 'ALTER FUNCTION taskq.prune() DEPENDS ON EXTENSION plpgsql'),
	('function taskq.prune()', 'ALTER ROUTINE taskq.prune() NO DEPENDS ON EXTENSION plpgsql'),
	('function taskq.wait_for_job(text,interval,boolean,text,text[])', 'ALTER PROCEDURE taskq.wait_for_job DEPENDS ON EXTENSION plpgsql'),
	('index taskq.jobs_pkey', 'ALTER INDEX taskq.jobs_pkey DEPENDS ON EXTENSION plpgsql'),
	('index taskq.jobs_open', 'ALTER INDEX taskq.jobs_open NO DEPENDS ON EXTENSION plpgsql'),
	('index taskq.job_history_overflow_pkey', 'ALTER INDEX taskq.job_history_overflow_pkey DEPENDS ON EXTENSION plpgsql'),
	('index taskq.' || :'leaf' || '_pkey', 'ALTER INDEX taskq.' || :'leaf' || '_pkey DEPENDS ON EXTENSION plpgsql'),
	('table taskq.' || :'leaf', 'ALTER EXTENSION plpgsql ADD TABLE taskq.' || :'leaf')) v (what, sql);
SELECT throws_ok(sql, '0A000', 'the members of extension taskq cannot be changed', 'refused: ' || sql) FROM (VALUES
	('ALTER EXTENSION taskq DROP TABLE taskq.jobs'), ('ALTER EXTENSION taskq DROP FUNCTION taskq.prune()'), ('ALTER EXTENSION taskq ADD SCHEMA guard')) v (sql);
SELECT lives_ok('ALTER FUNCTION guard.same DEPENDS ON EXTENSION plpgsql; ALTER FUNCTION guard.same NO DEPENDS ON EXTENSION plpgsql', 'allowed: DEPENDS ON EXTENSION for functions of users');
CREATE INDEX of_users ON taskq.jobs (correlation_id);
SELECT lives_ok('ALTER INDEX taskq.of_users DEPENDS ON EXTENSION plpgsql; ALTER INDEX taskq.of_users NO DEPENDS ON EXTENSION plpgsql', 'allowed: DEPENDS ON EXTENSION for indexes of users');
-- a partition is treated like its table
SELECT throws_ok(sql, '0A000', what || 'taskq.' || :'leaf' || ' belongs to extension taskq and cannot be changed in this way', 'refused: ' || replace(sql, :'leaf', 'leaf')) FROM (VALUES
	('"payload" of ', 'ALTER TABLE taskq.' || :'leaf' || ' ALTER payload SET NOT NULL'),
	('"state" of ', 'ALTER TABLE taskq.' || :'leaf' || ' ALTER state DROP NOT NULL'),
	('"payload" of ', 'ALTER TABLE taskq.' || :'leaf' || ' ALTER payload SET DEFAULT 1'),
	('"payload" of ', 'ALTER TABLE taskq.' || :'leaf' || ' ALTER payload TYPE text'),
	('', 'ALTER TABLE taskq.' || :'leaf' || ' OWNER TO regress_guard_other'),
	('"guard" of ', 'ALTER TABLE taskq.' || :'leaf' || ' DISABLE RULE guard')) v (what, sql);
ALTER TABLE taskq.job_history ADD COLUMN mine integer;
SELECT lives_ok(sql, 'allowed: ' || replace(sql, :'leaf', 'leaf')) FROM (VALUES
	('ALTER TABLE taskq.' || :'leaf' || ' ALTER mine SET DEFAULT 1'), ('ALTER TABLE taskq.' || :'leaf' || ' SET (fillfactor = 70)'),
	('ALTER TABLE taskq.' || :'leaf' || ' ALTER payload SET STATISTICS 10')) v (sql);
ALTER TABLE taskq.job_history DROP COLUMN mine;
SELECT matches(pg_temp.hint_of('ALTER TABLE taskq.jobs SET UNLOGGED'), 'many jobs in one call', 'the hint says how to write faster');
SELECT lives_ok(sql, 'allowed: ' || sql) FROM (VALUES
	('ALTER TABLE taskq.jobs ADD COLUMN x guard.fine'), ('ALTER TABLE taskq.jobs DROP COLUMN x')) v (sql);
CREATE TABLE guard.attached (LIKE taskq.job_history);
SELECT throws_ok($$ ALTER TABLE taskq.job_history ATTACH PARTITION guard.attached FOR VALUES FROM ('2000-01-01') TO ('2000-01-02') $$, '0A000', 'taskq.job_history takes no children', 'refused: a partition from elsewhere');
SELECT throws_ok($$ ALTER TABLE guard.attached INHERIT taskq.jobs $$, '42804', NULL, 'refused by PostgreSQL: INHERIT of a table with other columns');
SELECT matches(pg_temp.hint_of('CREATE TRIGGER t AFTER INSERT ON taskq.jobs EXECUTE FUNCTION guard.fire()'), 'taskq.read_events', 'the hint says what to use instead');
SELECT matches(pg_temp.detail_of('CREATE INDEX ON taskq.jobs (guard.theirs(route_id))'), 'evaluated as the extension''s owner', 'the detail says why');
SELECT lives_ok(sql, 'allowed: ' || sql) FROM (VALUES
	('CREATE INDEX ON taskq.jobs (tenant_id)'),
	($$CREATE INDEX ON taskq.jobs ((payload->>'customer')) WHERE gate = 'o'$$),
	('CREATE INDEX ON taskq.jobs (abs(route_id))'),
	('ALTER TABLE taskq.jobs SET (fillfactor = 70)'),
	('ALTER TABLE taskq.jobs ALTER priority SET STATISTICS 1000'),
	('CREATE VIEW taskq.mine AS SELECT queue FROM taskq.queues'),
	('CREATE TABLE guard.copy (LIKE taskq.jobs INCLUDING ALL)'),
	('CREATE TRIGGER t BEFORE INSERT ON guard.copy FOR EACH ROW EXECUTE FUNCTION guard.fire()')
) v (sql);

-- made where nobody saw it -----------------------------------------------------------
UPDATE pg_class SET relrowsecurity = true WHERE oid = 'taskq.access_grants'::regclass;
SELECT throws_ok($$ SELECT taskq.grant_access('regress_guard_app', 'producer') $$, '55000', 'table taskq.access_grants has row-level security', 'a table with row-level security is refused before a statement uses it');
UPDATE pg_class SET relrowsecurity = false WHERE oid = 'taskq.access_grants'::regclass;
UPDATE pg_class SET relrowsecurity = true WHERE oid = 'taskq.jobs'::regclass;
SELECT throws_ok($$ SELECT taskq.enqueue_job('guard') $$, '55000', 'table taskq.jobs has row-level security', 'a table with row-level security is refused before rows are written');
UPDATE pg_class SET relrowsecurity = false WHERE oid = 'taskq.jobs'::regclass;
SELECT lives_ok($$ SELECT taskq.enqueue_job('guard') $$, 'an enqueue succeeds without row-level security');

-- settings of the caller ---------------------------------------------------------------
SELECT taskq.alter_queue('guard', retain_completed => '20 d', retain_events => '20 d') \g /dev/null
CREATE ACCESS METHOD regress_heap TYPE TABLE HANDLER heap_tableam_handler;
SET LOCAL default_table_access_method = 'regress_heap';
SET LOCAL default_tablespace = 'pg_global'; -- which cannot contain such a table
SET LOCAL transform_null_equals = on;
SET LOCAL DateStyle = 'German';
SELECT taskq.cancel_job(taskq.enqueue_job('guard', queue => 'guard')) \g /dev/null
SELECT lives_ok('SELECT taskq.prune()', 'prune() does not depend on the caller''s settings');
SELECT is_empty($$ SELECT relname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE relnamespace = 'taskq'::regnamespace AND amname = 'regress_heap' $$, 'new partitions do not have the caller''s table access method');
SET LOCAL default_tablespace = '';
CREATE TABLE guard.above (LIKE taskq.handlers) PARTITION BY LIST (task_type);
SELECT throws_ok($$ ALTER TABLE guard.above ATTACH PARTITION taskq.handlers DEFAULT $$, '0A000', 'taskq.handlers takes no parents', 'refused: a table of taskq as the partition of another');

SELECT * FROM finish();
ROLLBACK;
DROP EXTENSION taskq;
DROP OWNED BY regress_guard_app;
DROP ROLE regress_guard_app;
DROP ROLE regress_guard_other;
