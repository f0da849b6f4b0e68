-- Workers that are bound to tenants: they are given no job of another tenant.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/wait.sql
SELECT plan(43);
SET client_min_messages = error;
DROP ROLE IF EXISTS regress_bt;
RESET client_min_messages;
CREATE ROLE regress_bt LOGIN;
SELECT taskq.unregister_worker(worker_id) FROM taskq.workers WHERE kind = 'external' \g /dev/null
SELECT taskq.register_handler(t) FROM unnest('{bt-a,bt-b}'::text[]) t \g /dev/null
CREATE FUNCTION pg_temp.add(tenant text, type text DEFAULT 'bt-a', p int DEFAULT 0) RETURNS bigint LANGUAGE sql AS $$ SELECT taskq.enqueue_job(type, tenant_id => tenant, priority => p) $$;
CREATE FUNCTION pg_temp.tenants_of(ids bigint[]) RETURNS text LANGUAGE sql AS $$ SELECT string_agg(COALESCE(tenant_id, '-'), ' ' ORDER BY o) FROM unnest(ids) WITH ORDINALITY u (job_id, o) JOIN taskq.all_jobs USING (job_id) $$;
-- Do all waiting jobs of the tenant have routes of the tenant?
CREATE FUNCTION pg_temp.are_in_routes(tenant text) RETURNS text LANGUAGE sql AS $$
	SELECT format('SELECT count(*) > 0 AND bool_and(r.tenant_id = %1$L) FROM taskq.jobs j JOIN taskq.routes r USING (route_id) WHERE j.tenant_id = %1$L AND gate IN (''o'', ''l'')', tenant) $$;

-- arguments -----------------------------------------------------------------------
SELECT throws_ok(format(call, a), code, NULL, format('refused: ' || call, a))
FROM unnest(ARRAY['SELECT taskq.register_worker(''bt-x'', ''{bt-a}'', tenants => %s)', 'SELECT taskq.create_pool(''bt-x'', 0, ''regress_bt'', tenants => %s)',
	'SELECT * FROM taskq.claim_job(''bt-x'', ''{bt-a}'', tenants => %s)', 'SELECT * FROM taskq.explain_claim(''bt-x'', ''{bt-a}'', tenants => %s)']) call,
	(VALUES ('''{}''', '22023'), ('''{NULL}''', '22004'), ('''{two words}''', '22023'), ('ARRAY[repeat(''t'', 64)]', '22023')) v (a, code);
SELECT is((SELECT count(*) FROM taskq.bound_tenants), 0::bigint, 'what is refused binds nobody');

-- a worker that is registered -------------------------------------------------------
SELECT pg_temp.add(t) FROM unnest('{other,btacme,NULL,other,zeta}'::text[]) t \g /dev/null
SELECT is(taskq.register_worker('bt-1', '{bt-a}', tenants => '{btacme,zeta}'), true, 'a worker can be bound to tenants');
SELECT is(tenants, '{btacme,zeta}', 'the view shows them') FROM taskq.workers WHERE worker_id = 'bt-1';
SELECT ok(pg_temp.came(pg_temp.are_in_routes('btacme')) AND pg_temp.came(pg_temp.are_in_routes('zeta')), 'jobs that wait already get routes of their tenants');
SELECT pg_temp.add(t, p => -5) FROM unnest('{other,btacme,NULL}'::text[]) t \g /dev/null
SELECT is(count(*), 2::bigint, 'so do new jobs, and only those of such tenants') FROM taskq.routes WHERE task_type = 'bt-a' AND tenant_id IS NOT NULL;
SELECT is(pg_temp.tenants_of(array_agg(job_id)), 'btacme btacme zeta', 'it is given only their jobs, in the order of all') FROM taskq.claim_jobs('bt-1', 100);
SELECT is(pg_temp.tenants_of(array_agg(job_id)), 'other - other - other', 'a worker that is not bound is given the others') FROM taskq.claim_jobs('bt-free', 100, '{bt-a}');
SELECT pg_temp.add(t) FROM unnest('{other,btacme,NULL}'::text[]) t \g /dev/null
SELECT is(pg_temp.tenants_of(array_agg(job_id)), 'other btacme -', 'and those of tenants to which others are bound') FROM taskq.claim_jobs('bt-free', 100, '{bt-a}');

-- retries keep the route
SELECT pg_temp.add('btacme') AS again \gset
SELECT epoch AS e FROM taskq.claim_job('bt-1') \gset
SELECT taskq.fail_job(:again, :e, retryable => true), taskq.cancel_job(:again), taskq.retry_job(:again) \g /dev/null
SELECT is(job_id, :again::bigint, 'a job that is put back keeps its route') FROM taskq.claim_job('bt-1');

-- a job that runs while a worker is bound to its tenant ------------------------------------
SELECT taskq.enqueue_job('bt-a', tenant_id => 'late') AS late \gset
SELECT epoch AS e FROM taskq.claim_job('bt-free', '{bt-a}') \gset
SELECT taskq.register_worker('bt-2', '{bt-a}', tenants => '{late}') \g /dev/null
SELECT taskq.release_job(:late, :e) \g /dev/null
SELECT is(job_id, :late::bigint, 'has a route of the tenant when it waits again') FROM taskq.claim_job('bt-2');
SELECT is((SELECT sum(available + scheduled + retryable + running) FROM taskq.route_counts() JOIN taskq.routes USING (route_id) WHERE task_type LIKE 'bt-%'),
	(SELECT count(*) FROM taskq.jobs JOIN taskq.routes USING (route_id) WHERE task_type LIKE 'bt-%')::numeric, 'each job is counted once');

-- tenants of a call ---------------------------------------------------------------------
SELECT pg_temp.add(t) FROM unnest('{btacme,zeta,third}'::text[]) t \g /dev/null
SELECT is(pg_temp.tenants_of(array_agg(job_id)), 'zeta', 'a call narrows the tenants of its worker') FROM taskq.claim_jobs('bt-1', 100, tenants => '{zeta,other}');
SELECT is_empty($$ SELECT * FROM taskq.claim_job('bt-free', '{bt-a}', wait => '1 h', tenants => '{third}') $$, 'the first call that names a tenant is given nothing, and does not wait');
SELECT ok(pg_temp.came(pg_temp.are_in_routes('third')), 'the jobs of the tenant get a route after it');
SELECT is(pg_temp.tenants_of(array_agg(job_id)), 'third', 'then a call is given the jobs of its tenants') FROM taskq.claim_jobs('bt-free', 100, '{bt-a}', tenants => '{third}');
CALL taskq.wait_for_job('bt-1', '0', NULL, tenants => '{btacme}') \gset
SELECT is(:'found'::boolean, true, 'wait_for_job() sees them, too');
CALL taskq.wait_for_job('bt-1', '0', NULL, tenants => '{zeta}') \gset
SELECT is(:'found'::boolean, false, 'and no others');
SELECT job_id IS NOT NULL FROM taskq.claim_job('bt-1') \g /dev/null

-- explanations --------------------------------------------------------------------------
SELECT taskq.register_worker('bt-3', '{bt-b}', tenants => '{btacme}') \g /dev/null
SELECT pg_temp.add('nobody', 'bt-b') AS nobody, pg_temp.add('zeta', 'bt-b') AS zeta \gset
SELECT results_eq($$ SELECT reason_code, tenant_id, jobs FROM taskq.unroutable_jobs WHERE task_type = 'bt-b' ORDER BY tenant_id $$,
	$$ VALUES ('waiting_for_tenant_worker', 'zeta', 1::bigint), ('waiting_for_tenant_worker', NULL, 1) $$, 'unroutable_jobs says that no worker takes the tenant');
SELECT is(reason_code, 'waiting_for_tenant_worker', 'so does describe_job()') FROM taskq.describe_job(:nobody);
SELECT results_eq($$ SELECT tenant_id, claimable, reason_code FROM taskq.explain_claim('bt-3') WHERE task_type = 'bt-b' ORDER BY tenant_id $$,
	$$ VALUES ('zeta', false, 'tenant_not_taken'), (NULL, false, 'tenant_not_taken') $$, 'explain_claim() says that the worker does not');
SELECT taskq.register_worker('bt-4', '{bt-b}', tenants => '{zeta}', capabilities => '{gpu}') \g /dev/null
SELECT is(count(*), 1::bigint, 'with a worker of the tenant only the other job is left') FROM taskq.unroutable_jobs WHERE task_type = 'bt-b';
SELECT is(job_id, :zeta::bigint, 'which is given the job') FROM taskq.claim_job('bt-4');

-- pools ---------------------------------------------------------------------------------
SELECT taskq.create_pool('bt-pool', 0, 'regress_bt', tenants => '{btacme}') \g /dev/null
SELECT is(tenants, '{btacme}', 'a pool can be bound to tenants') FROM taskq.pools WHERE pool = 'bt-pool';
SELECT taskq.alter_pool('bt-pool', min_size => 0) \g /dev/null
SELECT is(tenants, '{btacme}', 'other changes leave them') FROM taskq.pools WHERE pool = 'bt-pool';
SELECT taskq.alter_pool('bt-pool', tenants => '{pooled}') \g /dev/null
SELECT is(tenants, '{pooled}', 'they can be changed') FROM taskq.pools WHERE pool = 'bt-pool';
SELECT taskq.alter_pool('bt-pool', tenants => '{}') \g /dev/null
SELECT is(tenants, NULL, 'an empty array means all tenants') FROM taskq.pools WHERE pool = 'bt-pool';
SELECT is(count(*), 1::bigint, 'a tenant that a pool was bound to has a row') FROM taskq.bound_tenants WHERE tenant_id = 'pooled';
SELECT taskq.drop_pool('bt-pool') \g /dev/null
SELECT taskq.unregister_worker(worker_id) FROM taskq.workers WHERE worker_id LIKE 'bt-%' \g /dev/null
SELECT taskq.discard_job(job_id) FROM taskq.all_jobs WHERE task_type LIKE 'bt-%' AND finished_at IS NULL \g /dev/null
DROP ROLE regress_bt;
SELECT * FROM finish();
