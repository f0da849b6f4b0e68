-- A worker for all tenants without SECURITY DEFINER: an application's role with the
-- access "worker" and nothing else claims and completes the jobs of all tenants. It
-- cannot read any table, and cannot mislead taskq by objects that it creates.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
SELECT plan(35);
BEGIN;

-- The application: the rows of its tenants are under row-level security, also for
-- its owner.
CREATE ROLE regress_shop;
CREATE SCHEMA shop AUTHORIZATION regress_shop;
SET LOCAL ROLE regress_shop;
CREATE TABLE shop.orders (tenant text, item text);
INSERT INTO shop.orders SELECT t, 'book' FROM unnest('{acme,bolt,coil}'::text[]) t;
ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY;
ALTER TABLE shop.orders FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON shop.orders USING (tenant = current_setting('shop.tenant', true));
CREATE TABLE shop.secrets (secret text);
RESET ROLE;
SELECT taskq.register_handler('worker-access'), taskq.register_handler('worker-access-other') \gset
SELECT pg_temp.add(t, 'worker-access') FROM unnest('{first,waits,gone}'::text[]) t \g /dev/null
INSERT INTO j SELECT t, taskq.enqueue_job('worker-access', jsonb_build_object('n', t), tenant_id => t) FROM unnest('{acme,bolt,coil}'::text[]) t;

-- The worker's role. Its objects have the same names as those that taskq uses, and
-- record the role that calls them.
CREATE ROLE regress_worker_access LOGIN;
SELECT taskq.grant_access('regress_worker_access', 'worker') \gset
CREATE SCHEMA hostile AUTHORIZATION regress_worker_access;
SELECT format('GRANT TEMP ON DATABASE %I TO regress_worker_access', current_database()) \gexec
SET SESSION AUTHORIZATION regress_worker_access;
CREATE TABLE hostile.called (what text, who name);
CREATE FUNCTION hostile.trap(what text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
	INSERT INTO hostile.called VALUES (what, current_user);
	RETURN true;
END $$;
DO $$
DECLARE
	t text;
	o text;
BEGIN
	-- tables named as taskq's and as the catalogue's, in a schema and as temporary ones
	FOREACH t IN ARRAY '{jobs,routes,handlers,queue_defs,pool_defs,external_workers,job_history,attempt_failures,cancel_requests,installation,pg_class,pg_proc,pg_type,pg_authid,pg_namespace}'::text[] LOOP
		EXECUTE format('CREATE TABLE hostile.%I (a integer CHECK (hostile.trap(%L)))', t, t);
		EXECUTE format('CREATE TEMP TABLE %I (a integer CHECK (hostile.trap(%L)))', t, t);
	END LOOP;
	-- operators
	FOREACH t IN ARRAY '{text,bigint,integer,smallint,boolean,oid,"char",timestamptz,interval,jsonb,text[],regrole}'::text[] LOOP
		EXECUTE format('CREATE FUNCTION hostile.compare(%s, %s) RETURNS boolean LANGUAGE sql AS $f$ SELECT hostile.trap(''operator %s'') $f$', t, t, replace(t, '''', ''));
		FOREACH o IN ARRAY '{=,<>,<,<=,>,>=,@>,<@}'::text[] LOOP
			EXECUTE format('CREATE OPERATOR hostile.%s (FUNCTION = hostile.compare, LEFTARG = %s, RIGHTARG = %s)', o, t, t);
		END LOOP;
	END LOOP;
	CREATE FUNCTION hostile.plus(timestamptz, interval) RETURNS timestamptz LANGUAGE sql AS $f$ SELECT $1 FROM hostile.trap('+') $f$;
	CREATE OPERATOR hostile.+ (FUNCTION = hostile.plus, LEFTARG = timestamptz, RIGHTARG = interval);
	CREATE FUNCTION hostile.join_text(text, text) RETURNS text LANGUAGE sql AS $f$ SELECT $1 FROM hostile.trap('||') $f$;
	CREATE OPERATOR hostile.|| (FUNCTION = hostile.join_text, LEFTARG = text, RIGHTARG = text);
	-- functions
	CREATE FUNCTION hostile.now() RETURNS timestamptz LANGUAGE sql AS $f$ SELECT NULL::timestamptz FROM hostile.trap('now') $f$;
	CREATE FUNCTION hostile.jsonb_build_object(VARIADIC text[]) RETURNS jsonb LANGUAGE sql AS $f$ SELECT NULL::jsonb FROM hostile.trap('jsonb_build_object') $f$;
	CREATE FUNCTION hostile.unnest(text[]) RETURNS SETOF text LANGUAGE sql AS $f$ SELECT 'x' FROM hostile.trap('unnest') $f$;
	CREATE FUNCTION hostile.unnest(bigint[]) RETURNS SETOF bigint LANGUAGE sql AS $f$ SELECT 1 FROM hostile.trap('unnest') $f$;
	CREATE FUNCTION hostile.nextval(regclass) RETURNS bigint LANGUAGE sql AS $f$ SELECT 1 FROM hostile.trap('nextval') $f$;
	CREATE FUNCTION hostile."coalesce"(anyelement, anyelement) RETURNS anyelement LANGUAGE sql AS $f$ SELECT $1 FROM hostile.trap('coalesce') $f$;
	CREATE FUNCTION hostile.clock_now() RETURNS timestamptz LANGUAGE sql AS $f$ SELECT NULL::timestamptz FROM hostile.trap('clock_now') $f$;
	CREATE FUNCTION hostile.pg_notify(text, text) RETURNS void LANGUAGE sql AS $f$ SELECT hostile.trap('pg_notify') $f$;
	-- types
	CREATE DOMAIN hostile.text AS pg_catalog.text CHECK (hostile.trap('domain text'));
	CREATE DOMAIN hostile.jsonb AS pg_catalog.jsonb CHECK (hostile.trap('domain jsonb'));
	CREATE DOMAIN hostile.regrole AS pg_catalog.regrole CHECK (hostile.trap('domain regrole'));
	CREATE TYPE hostile.id AS (a pg_catalog.text);
	CREATE FUNCTION hostile.id_to_text(hostile.id) RETURNS pg_catalog.text LANGUAGE sql AS $f$ SELECT ($1).a FROM hostile.trap('cast') $f$;
	CREATE CAST (hostile.id AS pg_catalog.text) WITH FUNCTION hostile.id_to_text AS IMPLICIT;
END $$;
-- settings that change how a statement is parsed, planned or shown
SET search_path = hostile, pg_temp, pg_catalog, taskq;
SET row_security = off;
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SET transform_null_equals = on;
SET array_nulls = off;
SET intervalstyle = 'sql_standard';
SET datestyle = 'german';
SET timezone = 'Asia/Tokyo';
SET quote_all_identifiers = on;
SET plan_cache_mode = force_generic_plan;
SET enable_indexscan = off;
SET enable_bitmapscan = off;

-- the worker at work -----------------------------------------------------------
SELECT taskq.register_worker('worker-access', task_types => '{worker-access}', max_concurrent_jobs => 10, lease => '1 min') AS registered \gset
SELECT job_id, task_type, attempt, epoch, worker_id FROM taskq.claim_job('worker-access') \gset first_
SELECT taskq.heartbeat_job(:first_job_id, :first_epoch, '2 min', '{"done": 1}') AS beat \gset
SELECT taskq.snooze_job(:first_job_id, :first_epoch, '1 h') AS snoozed \gset
SELECT job_id, epoch FROM taskq.claim_job('worker-access') \gset second_
SELECT status FROM taskq.worker_heartbeat('worker-access', ARRAY[:second_job_id]::bigint[], ARRAY[:second_epoch]::bigint[]) \gset
SELECT taskq.release_job(:second_job_id, :second_epoch) AS released \gset
SELECT job_id, epoch FROM taskq.claim_job('worker-access') \gset second_
SELECT taskq.fail_job(:second_job_id, :second_epoch, 'no', 'timeout', 'CODE', retry_in => '1 h') AS failed \gset
SELECT job_id, epoch FROM taskq.claim_job('worker-access') \gset third_
SELECT taskq.cancel_job(:third_job_id, :third_epoch) AS cancelled \gset
CREATE TABLE hostile.claimed AS SELECT job_id, epoch, tenant_id FROM taskq.claim_jobs('worker-access', 10);
SELECT count(*) FILTER (WHERE taskq.complete_job(job_id, epoch, '{"sent": true}')) AS completed FROM hostile.claimed \gset
SELECT taskq.is_registered('worker-access') AS known, taskq.retry_delay('fixed', 1, '7 s', jitter => 0) AS delay \gset
SELECT count(*) AS ran FROM taskq.run_all() \gset
SELECT count(*) AS called_by_taskq FROM hostile.called \gset
RESET search_path;
RESET ALL;
RESET SESSION AUTHORIZATION;
SELECT is(:'first_task_type' || ' ' || :'first_attempt' || ' ' || :'first_worker_id', 'worker-access 1 worker-access', 'a role with the access worker claims a job, and its attempt counts');
SELECT is(:'first_job_id'::bigint, pg_temp.id('first'), 'the claim returns the first job in order');
SELECT is(:'registered' || :'beat' || :'snoozed' || :'status' || :'released' || :'failed' || :'cancelled', 'toktoktt' || 'cancelled', 'the worker registers, sends a heartbeat, snoozes, releases, fails and cancels');
SELECT is(:completed, 3, 'the worker completes jobs');
SELECT is(array_agg(tenant_id || ' ' || state || ' ' || (result->>'sent') ORDER BY tenant_id), '{acme completed true,bolt completed true,coil completed true}', 'the worker completes jobs of all tenants')
	FROM taskq.all_jobs WHERE tenant_id IS NOT NULL AND task_type = 'worker-access';
SELECT is(pg_temp.state('first') || ', ' || pg_temp.state('waits') || ', ' || pg_temp.state('gone'), 'scheduled 0, retryable 1, cancelled 1', 'the other jobs have the states of these calls');
SELECT is(:'known' || ' ' || :'delay', 't 0:00:07', 'helper functions work for the worker');
SELECT is(:ran, 0, 'run_all() runs no job without a handler of the role');

-- and whom its own objects were called by --------------------------------------
SELECT is(:called_by_taskq, 0, 'taskq used none of the tables, functions, operators, types and casts that the role has created');
SET SESSION AUTHORIZATION regress_worker_access;
SET search_path = hostile, pg_temp, pg_catalog, taskq;
SELECT 'a'::pg_catalog.text = 'b'::pg_catalog.text AS trapped, now() AS trapped_now \gset
INSERT INTO jobs VALUES (1);
SELECT taskq.is_registered(ROW('worker-access')::hostile.id) AS by_cast, taskq.is_registered('worker-access'::hostile.text) AS by_domain \gset
RESET search_path;
RESET SESSION AUTHORIZATION;
SELECT is(array_agg(what || ' ' || who ORDER BY what COLLATE "C"),
	'{cast regress_worker_access,domain text regress_worker_access,jobs regress_worker_access,now regress_worker_access,operator text regress_worker_access}'::text[] COLLATE "C",
	'the role''s own statements use these objects as the role, also for an argument of its own type') FROM hostile.called;
SELECT is(:'by_cast' || :'by_domain', 'tt', 'taskq gets the value of such an argument');

-- a handler of that role, run and settled in one session
TRUNCATE hostile.called;
CREATE FUNCTION hostile.handler(job taskq.job) RETURNS pg_catalog.jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('search_path', 'hostile, pg_temp, pg_catalog', false), set_config('row_security', 'off', false);
	IF job.task_type = 'worker-access-run'::text THEN
		CREATE TEMP TABLE attempts (a integer CHECK (hostile.trap('attempts')));
	END IF;
	PERFORM taskq.raise_retryable('not yet') WHERE job.payload->>'n' OPERATOR(pg_catalog.=) 'fails';
	RETURN '{}';
END $$;
SELECT taskq.register_handler('worker-access-run', 'hostile.handler(taskq.job)', run_as => 'regress_worker_access', search_path => 'hostile, pg_temp') \gset
SELECT pg_temp.add('runs', 'worker-access-run'), pg_temp.add('fails', 'worker-access-run') \gset
SET SESSION AUTHORIZATION regress_worker_access;
SET search_path = hostile, pg_temp, pg_catalog, taskq;
CREATE TEMP TABLE ran AS SELECT state FROM taskq.run_all();
RESET search_path;
RESET SESSION AUTHORIZATION;
SELECT is(array_agg(state ORDER BY state COLLATE "C"), '{completed,retryable}'::text[] COLLATE "C", 'a handler of the role runs, and one fails') FROM ran;
SELECT is(array_agg(DISTINCT who::text), '{regress_worker_access}', 'objects of the role are run as the role, never as the role that settles its jobs') FROM hostile.called;

-- what it cannot read ------------------------------------------------------------
CREATE FUNCTION pg_temp.readable(VARIADIC schemas text[]) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s %s', privilege, oid::regclass) FROM pg_catalog.pg_class c,
		unnest(CASE relkind WHEN 'S' THEN '{USAGE,SELECT,UPDATE}' ELSE '{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}' END::text[]) privilege
	WHERE relnamespace = ANY (schemas::regnamespace[]) AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
		AND CASE relkind WHEN 'S' THEN has_sequence_privilege('regress_worker_access', oid, privilege)
			ELSE has_table_privilege('regress_worker_access', oid, privilege) END $$;
SELECT is_empty($$ SELECT pg_temp.readable('taskq', 'shop') $$, 'the role has no right on any table, view or sequence of taskq or of the application');
SELECT is(pg_temp.as_role('regress_worker_access', format('SELECT count(*) FROM %s', what)), '42501', 'it cannot read ' || what)
FROM unnest('{taskq.jobs,taskq.job_history,taskq.all_jobs,taskq.attempts,taskq.handlers,taskq.access_grants,shop.orders,shop.secrets}'::text[]) what;
SELECT is(pg_temp.as_role('regress_worker_access', $$ SELECT taskq.list_handlers() $$), '42501', 'the role cannot list the registry');
SELECT is(pg_temp.as_role('regress_worker_access', $$ UPDATE taskq.jobs SET gate = 'o' $$), '42501', 'the role cannot update a job''s row');
SELECT is(pg_temp.as_role('regress_worker_access', $$ SELECT nextval('taskq.epoch_seq') $$), '42501', 'the role cannot draw an epoch');
SELECT is(pg_temp.as_role('regress_worker_access', $$ SELECT taskq.enqueue_job('worker-access') $$), '42501', 'the role cannot enqueue');
SELECT is(pg_temp.as_role('regress_worker_access', $$ SELECT taskq.register_handler('worker-access-new') $$), '42501', 'the role cannot register a handler');
SELECT is(pg_temp.as_role('regress_worker_access', $$ SELECT taskq.grant_access('regress_worker_access', 'admin') $$), '42501', 'the role cannot grant itself access');
SELECT ok(NOT (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication), 'the role has no privileged attribute') FROM pg_roles WHERE rolname = 'regress_worker_access';

-- the application's rows stay under row-level security
GRANT USAGE ON SCHEMA shop TO regress_worker_access;
GRANT SELECT ON shop.orders TO regress_worker_access;
INSERT INTO j SELECT 'again ' || t, taskq.enqueue_job('worker-access', jsonb_build_object('n', 'again ' || t), tenant_id => t) FROM unnest('{acme,bolt}'::text[]) t;
SET SESSION AUTHORIZATION regress_worker_access;
SELECT job_id, epoch, tenant_id FROM taskq.claim_job('worker-access') \gset
SELECT count(*) AS none_yet FROM shop.orders \gset
SELECT set_config('shop.tenant', :'tenant_id', true) \gset
SELECT string_agg(tenant, ' ') AS tenants FROM shop.orders \gset
SELECT taskq.complete_job(:job_id, :epoch) AS done \gset
SELECT string_agg(tenant, ' ') AS tenants_after FROM shop.orders \gset
RESET SESSION AUTHORIZATION;
SELECT is(:none_yet, 0, 'a claim does not lift row-level security');
SELECT is(:'tenants'::text, 'acme', 'the worker sets the tenant of its job, and sees that tenant''s rows');
SELECT is(:'done' || ' ' || :'tenants_after', 't acme', 'it still sees that tenant''s rows after the job is completed');

-- a role without access
CREATE ROLE regress_worker_access_none;
SELECT is(pg_temp.as_role('regress_worker_access_none', $$ SELECT taskq.claim_job() $$), '42501', 'a role without access cannot claim');
CREATE FUNCTION hostile.lend() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$ SELECT job_id FROM taskq.claim_job('lent', '{worker-access}') $$;
ALTER FUNCTION hostile.lend() OWNER TO regress_worker_access;
GRANT USAGE ON SCHEMA hostile TO regress_worker_access_none;
SELECT is(pg_temp.as_role('regress_worker_access_none', 'SELECT hostile.lend()'), pg_temp.id('again bolt')::text, 'a role without access can claim through a SECURITY DEFINER function of the worker');
SELECT is(role::text, 'regress_worker_access', 'that claim is registered for the worker''s role') FROM taskq.workers WHERE worker_id = 'lent';

SELECT * FROM finish();
ROLLBACK;
