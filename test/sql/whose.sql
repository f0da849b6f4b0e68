-- The owner of a job: which roles may ask about a job, cancel it, and learn that it
-- exists.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
BEGIN;
SELECT plan(81);
CREATE ROLE regress_whose_acme LOGIN;		-- a producer
CREATE ROLE regress_whose_bolt LOGIN;		-- another
CREATE ROLE regress_whose_web LOGIN;		-- one of some tenants
CREATE ROLE regress_whose_one LOGIN;		-- one of a single tenant
CREATE ROLE regress_whose_team;
CREATE ROLE regress_whose_member LOGIN IN ROLE regress_whose_team;
CREATE ROLE regress_whose_worker LOGIN;
CREATE ROLE regress_whose_dash LOGIN;		-- an observer of some tenants
CREATE ROLE regress_whose_duty LOGIN;		-- an operator
CREATE ROLE regress_whose_hi LOGIN;
SELECT taskq.grant_access(r, 'producer') FROM unnest('{regress_whose_acme,regress_whose_bolt,regress_whose_team}'::regrole[]) r \g /dev/null
SELECT taskq.grant_access('regress_whose_web', 'producer', '{acme,bolt}'), taskq.grant_access('regress_whose_one', 'producer', '{acme}'),
	taskq.grant_access('regress_whose_worker', 'worker'), taskq.grant_access('regress_whose_dash', 'observer', '{acme}'), taskq.grant_access('regress_whose_dash', 'producer'),
	taskq.grant_access('regress_whose_duty', 'operator'), taskq.register_handler('whose'), taskq.register_worker('whose-w', '{whose}') \g /dev/null
-- Enqueue as a role; the result of cancel_job() and describe_job() for a role.
CREATE FUNCTION pg_temp.made(n text, role text, tenant text DEFAULT NULL) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO j VALUES (n, pg_temp.as_role(role, format('SELECT taskq.enqueue_job(''whose'', tenant_id => %L, delay => ''1 h'')', tenant))::bigint) $$;
CREATE FUNCTION pg_temp.cancel(n text, role text) RETURNS text LANGUAGE sql AS $$ SELECT pg_temp.as_role(role, format('SELECT taskq.cancel_job(%s)', pg_temp.id(n))) $$;
CREATE FUNCTION pg_temp.told(n text, role text) RETURNS text LANGUAGE sql AS $$ SELECT pg_temp.as_role(role, format('SELECT state FROM taskq.describe_job(%s)', pg_temp.id(n))) $$;
-- The complete error that a role gets.
CREATE FUNCTION pg_temp.says(role text, sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	d text;
	h text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', role);
	EXECUTE sql;
	RESET ROLE;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n', SQLSTATE, regexp_replace(SQLERRM, '\d+', 'N'), d, h);
END $$;

-- who has enqueued it ----------------------------------------------------------
SELECT pg_temp.made('a', 'regress_whose_acme'), pg_temp.made('a2', 'regress_whose_acme', 'acme'), pg_temp.made('b', 'regress_whose_bolt', 'bolt') \g /dev/null
SELECT is(created_by::text, 'regress_whose_acme', 'all_jobs shows the role that enqueued a job') FROM taskq.all_jobs WHERE job_id = pg_temp.id('a');
SELECT is(pg_temp.told('a', 'regress_whose_acme'), 'scheduled', 'a producer can describe its own job');
SELECT is(pg_temp.told('a', 'regress_whose_bolt'), 'TQ011', 'another producer gets TQ011');
SELECT is(pg_temp.cancel('a', 'regress_whose_bolt'), 'TQ011', 'another producer cannot cancel the job');
SELECT is(pg_temp.says('regress_whose_bolt', format('SELECT taskq.cancel_job(%s)', pg_temp.id('a'))), pg_temp.says('regress_whose_bolt', 'SELECT taskq.cancel_job(99999999)'),
	'cancel_job() raises the same error as for an unknown job');
SELECT is(pg_temp.says('regress_whose_bolt', format('SELECT taskq.describe_job(%s)', pg_temp.id('a'))), pg_temp.says('regress_whose_bolt', 'SELECT taskq.describe_job(99999999)'),
	'describe_job() raises the same error as for an unknown job');
SELECT is(pg_temp.state('a'), 'scheduled 0', 'the job is unchanged');
SELECT is(pg_temp.cancel('a', 'regress_whose_acme'), 'cancelled', 'the producer can cancel its own job');
SELECT is(pg_temp.cancel('a', 'regress_whose_acme'), 'final', 'cancel_job() returns final for its cancelled job');
SELECT is(pg_temp.told('a', 'regress_whose_acme'), 'cancelled', 'the producer can describe its cancelled job');
SELECT is(pg_temp.cancel('a', 'regress_whose_bolt'), 'TQ011', 'another producer cannot cancel the ended job');
SELECT is(pg_temp.told('a', 'regress_whose_bolt'), 'TQ011', 'another producer cannot describe the ended job');
SELECT is(created_by::text, 'regress_whose_acme', 'the history has the role that enqueued the job') FROM taskq.all_jobs WHERE job_id = pg_temp.id('a');
SELECT is(taskq.retry_job(pg_temp.id('a'), force => true), true, 'the ended job is put back');
SELECT is(pg_temp.told('a', 'regress_whose_acme'), 'available', 'the producer can describe the job that was put back');
SELECT pg_temp.made('t', 'regress_whose_team'), pg_temp.made('m', 'regress_whose_member') \g /dev/null
SELECT is(pg_temp.cancel('t', 'regress_whose_member'), 'cancelled', 'a member of the creator''s role can cancel the job');
SELECT is(pg_temp.cancel('m', 'regress_whose_team'), 'TQ011', 'a role cannot cancel the job of its member');

-- running -----------------------------------------------------------------------
UPDATE j SET id = pg_temp.as_role('regress_whose_acme', $$ SELECT taskq.enqueue_job('whose', '{"n": "a"}', priority => -5) $$)::bigint WHERE name = 'a';
SELECT is(pg_temp.as_role('regress_whose_worker', $$ SELECT job_id FROM taskq.claim_job('whose-x', '{whose}') $$), pg_temp.id('a')::text, 'a worker claims the job');
UPDATE j SET e = (SELECT epoch FROM taskq.all_jobs WHERE job_id = id) WHERE name = 'a';
SELECT is(pg_temp.cancel('a', 'regress_whose_bolt'), 'TQ011', 'another producer cannot cancel the running job');
SELECT is(pg_temp.as_role('regress_whose_bolt', pg_temp.of('a', 'SELECT taskq.cancel_job(%1$s, %2$s)')), 'TQ011', 'another producer cannot cancel it with its epoch');
SELECT is(pg_temp.as_role('regress_whose_bolt', pg_temp.of('a', 'SELECT taskq.cancel_job(%1$s, 1)')), 'TQ011', 'another producer cannot cancel it with another epoch');
SELECT is((SELECT count(*) FROM taskq.cancel_requests), 0::bigint, 'no request to cancel was made');
SELECT is(pg_temp.cancel('a', 'regress_whose_acme'), 'requested', 'the producer can request to cancel its running job');
SELECT is(pg_temp.told('a', 'regress_whose_acme'), 'running', 'the producer can describe its running job');
SELECT taskq.grant_access('regress_whose_bolt', 'worker') \g /dev/null
SELECT is(pg_temp.as_role('regress_whose_bolt', pg_temp.of('a', c)), '42501', 'another role with the access cannot act for the worker, even with the epoch: ' || c)
	FROM unnest(ARRAY['SELECT taskq.complete_job(%1$s, %2$s)', 'SELECT taskq.fail_job(%1$s, %2$s)', 'SELECT taskq.release_job(%1$s, %2$s)',
		'SELECT taskq.snooze_job(%1$s, %2$s, ''1 s'')', 'SELECT taskq.heartbeat_job(%1$s, %2$s)', 'SELECT taskq.append_frame(%1$s, %2$s, ''x'')', 'SELECT taskq.save_checkpoint(%1$s, %2$s, ''1'')',
		'SELECT * FROM taskq.worker_heartbeat(''whose-x'', ARRAY[%1$s::bigint], ARRAY[%2$s::bigint])']) c;
SELECT is(pg_temp.as_role('regress_whose_bolt', pg_temp.of('a', 'SELECT status FROM taskq.complete_jobs(ARRAY[%1$s::bigint], ARRAY[%2$s::bigint])')), 'stale', 'complete_jobs() reports the claim of another role as stale');
SELECT taskq.register_worker('whose-x', take_over => true) \g /dev/null
SELECT is(pg_temp.as_role('regress_whose_worker', pg_temp.of('a', 'SELECT taskq.heartbeat_job(%1$s, %2$s)')), 'cancel', 'a take-over by another role leaves the claim to the role that made it');
-- an id that has passed to another role
UPDATE taskq.external_workers SET registered_by = 'regress_whose_bolt'::regrole WHERE worker_id = 'whose-x';
SELECT is(pg_temp.as_role('regress_whose_bolt', pg_temp.of('a', 'SELECT status FROM taskq.worker_heartbeat(''whose-x'', ARRAY[%1$s::bigint], ARRAY[%2$s::bigint])')), 'lost', 'worker_heartbeat() does not extend the claims that another role has made under the id');
SELECT is(pg_temp.as_role('regress_whose_bolt', $$ SELECT taskq.unregister_worker('whose-x') $$), 'true', 'the role can unregister the id');
SELECT is(state || ' ' || worker_id, 'running whose-x', 'this does not release the job of the other role') FROM taskq.all_jobs WHERE job_id = pg_temp.id('a');
SELECT taskq.revoke_access('regress_whose_bolt', 'worker') \g /dev/null
SELECT is(pg_temp.as_role('regress_whose_worker', pg_temp.of('a', 'SELECT taskq.cancel_job(%1$s, %2$s)')), 'cancelled', 'the worker that has claimed the job can cancel it');

-- tenants of producers ----------------------------------------------------------
SELECT is(pg_temp.told('a2', 'regress_whose_web'), 'scheduled', 'a producer of a tenant can describe jobs of the tenant that others have enqueued');
SELECT is(pg_temp.told('m', 'regress_whose_web'), 'TQ011', 'a producer of a tenant cannot describe other jobs');
SELECT is(pg_temp.cancel('m', 'regress_whose_web'), 'TQ011', 'a producer of a tenant cannot cancel other jobs');
SELECT is(pg_temp.cancel('b', 'regress_whose_one'), 'TQ011', 'a producer of a tenant cannot cancel jobs of another tenant');
SELECT is(pg_temp.cancel('b', 'regress_whose_web'), 'cancelled', 'a producer of a tenant can cancel jobs of the tenant');
SELECT is(pg_temp.cancel('b', 'regress_whose_web'), 'final', 'cancel_job() returns final for an ended job of the tenant');
SELECT isnt(pg_temp.as_role('regress_whose_web', $$ SELECT taskq.enqueue_job('whose', tenant_id => 'bolt') $$), '42501', 'a producer of a tenant can enqueue jobs of the tenant');
SELECT is(pg_temp.as_role('regress_whose_web', $$ SELECT taskq.enqueue_job('whose', tenant_id => 'evil') $$), '42501', 'a producer of a tenant cannot enqueue jobs of another tenant');
SELECT is(pg_temp.as_role('regress_whose_web', $$ SELECT taskq.enqueue_job('whose') $$), '42501', 'a producer of a tenant cannot enqueue jobs without a tenant');
SELECT is(pg_temp.as_role('regress_whose_web', $$ SELECT count(*) FROM taskq.enqueue_jobs('whose', '{1,2}', tenant_id => 'evil') $$), '42501', 'this holds for enqueue_jobs(), too');
SELECT matches(pg_temp.says('regress_whose_web', $$ SELECT taskq.enqueue_job('whose', tenant_id => 'evil') $$), 'may not enqueue jobs of tenant "evil"\nIt was granted: acme, bolt\.\nName one of these', 'the error lists the tenants that were granted');
INSERT INTO j VALUES ('one', pg_temp.as_role('regress_whose_one', $$ SELECT taskq.enqueue_job('whose', delay => '1 h') $$)::bigint);
SELECT is(tenant_id, 'acme', 'a producer of one tenant need not name it') FROM taskq.all_jobs WHERE job_id = pg_temp.id('one');
SELECT is(pg_temp.as_role('regress_whose_one', $$ SELECT taskq.enqueue_job('whose', tenant_id => 'bolt') $$), '42501', 'a producer of one tenant cannot enqueue for another');
SELECT is(taskq.revoke_access('regress_whose_one', 'producer'), true, 'the access of the producer is revoked');
SELECT taskq.grant_access('regress_whose_one', 'producer') \g /dev/null
SELECT isnt(pg_temp.as_role('regress_whose_one', $$ SELECT taskq.enqueue_job('whose', tenant_id => 'bolt') $$), '42501', 'a producer without a list of tenants can enqueue for any tenant');
SELECT is(pg_temp.cancel('a2', 'regress_whose_one'), 'TQ011', 'a producer without a list of tenants cannot cancel the tenant''s jobs of others');
SELECT is(pg_temp.cancel('one', 'regress_whose_one'), 'cancelled', 'a producer without a list of tenants can cancel its own job');
SELECT throws_ok($$ SELECT taskq.grant_access('regress_whose_worker', 'worker', '{acme}') $$, '22023', 'only observers and producers are granted some tenants', 'grant_access() refuses tenants for other kinds of access');
SELECT isnt(taskq.enqueue_job('whose', tenant_id => 'any'), NULL, 'a superuser can enqueue for any tenant');

-- observers, operators, workers ---------------------------------------------------
SELECT is(pg_temp.told('a2', 'regress_whose_dash'), 'scheduled', 'an observer of a tenant can describe jobs of the tenant');
SELECT is(pg_temp.cancel('a2', 'regress_whose_dash'), 'TQ011', 'an observer cannot cancel jobs that it has not enqueued');
SELECT is(pg_temp.told('m', 'regress_whose_dash'), 'TQ011', 'an observer of a tenant cannot describe other jobs');
SELECT is(pg_temp.told('m', 'regress_whose_duty'), 'scheduled', 'an operator can describe every job');
SELECT is(pg_temp.cancel('m', 'regress_whose_duty'), 'cancelled', 'an operator can cancel every job');
SELECT is(pg_temp.cancel('a2', 'regress_whose_worker'), 'TQ011', 'a worker cannot cancel a job that it has not claimed');
SET LOCAL taskq.tenant_id = 'bolt';
SELECT is(pg_temp.cancel('a2', 'regress_whose_acme'), 'TQ011', 'with taskq.tenant_id, a producer cannot cancel jobs of another tenant');
SELECT is(pg_temp.told('a2', 'regress_whose_acme'), 'TQ011', 'with taskq.tenant_id, a producer cannot describe jobs of another tenant');
SELECT throws_ok(format('SELECT taskq.cancel_job(%s)', pg_temp.id('a2')), 'TQ011', NULL, 'with taskq.tenant_id, a superuser cannot cancel jobs of another tenant');
SET LOCAL taskq.tenant_id = '';
SELECT is(pg_temp.cancel('a2', 'regress_whose_acme'), 'cancelled', 'without taskq.tenant_id, the producer can cancel its job');

-- jobs of handlers of another role -------------------------------------------------
CREATE FUNCTION public.whose_work(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT $1 $$;
SELECT taskq.register_handler('whose-in', 'public.whose_work(jsonb)', run_as => 'regress_whose_hi'), taskq.create_queue('whose-q') \g /dev/null
INSERT INTO j VALUES ('in', taskq.enqueue_job('whose-in', tenant_id => 'acme', queue => 'whose-q')), ('ext', taskq.enqueue_job('whose'));
GRANT CREATE ON SCHEMA public TO regress_whose_worker;
SET LOCAL SESSION AUTHORIZATION regress_whose_worker;
CREATE FUNCTION public.whose_steal(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT $1 $$;
RESET SESSION AUTHORIZATION;
GRANT SELECT ON j TO PUBLIC;
SET LOCAL SESSION AUTHORIZATION regress_whose_worker;
SELECT throws_ok(format('SELECT taskq.run_job(%s)', pg_temp.id('in')), 'TQ011', NULL, 'run_job() raises TQ011 for a job that another role must run');
SELECT throws_ok(format('SELECT taskq.run_job(%s, %L)', pg_temp.id('in'), 'public.whose_steal(jsonb)'), 'TQ011', NULL, 'run_job() with a given handler raises TQ011, too');
SELECT is_empty($$ SELECT * FROM taskq.run_all('{whose-in}', handler => 'public.whose_steal(jsonb)') $$, 'run_all() with a given handler runs no such job');
SELECT throws_ok(format('SELECT taskq.run_job(%s)', pg_temp.id('ext')), 'TQ002', NULL, 'run_job() of an external job says why it cannot be run');
RESET SESSION AUTHORIZATION;

-- what is due -------------------------------------------------------------------
CREATE FUNCTION pg_temp.due(role text) RETURNS text LANGUAGE sql AS
	$$ SELECT pg_temp.as_role(role, $q$ SELECT due FROM taskq.explain_claim('whose-w') WHERE task_type = 'whose-in' $q$) $$;
SELECT is(pg_temp.due('regress_whose_dash'), 'true', 'due in explain_claim() includes jobs of the observer''s tenant');
SELECT taskq.grant_access('regress_whose_dash', 'observer', '{bolt}') \g /dev/null
SELECT is(pg_temp.due('regress_whose_dash'), 'false', 'due in explain_claim() does not include jobs of other tenants');
SELECT is(pg_temp.due('regress_whose_worker'), 'true', 'due in explain_claim() includes jobs of all tenants for a worker');
SELECT is(pg_temp.due('regress_whose_duty'), 'true', 'due in explain_claim() includes jobs of all tenants for an operator');

-- roles of another cluster ----------------------------------------------------------
SELECT pg_temp.made('old', 'regress_whose_acme') \g /dev/null
UPDATE taskq.jobs SET created_at = created_at - interval '1 h' WHERE job_id = pg_temp.id('old');
UPDATE taskq.installation SET system_identifier = 1;
ALTER FUNCTION taskq.prune() COST 2; -- invalidates the cache, so that the row above is read again
SELECT is(pg_temp.cancel('old', 'regress_whose_acme'), 'TQ011', 'in a restored database a job has no creator, because role oids of another cluster may belong to any role');
SELECT is(taskq.adopt_database(), true, 'adopt_database() returns true');
SELECT is(pg_temp.cancel('old', 'regress_whose_acme'), 'TQ011', 'after adopt_database(), a restored job has no creator');
SELECT is(created_by, NULL, 'all_jobs shows no creator for it') FROM taskq.all_jobs WHERE job_id = pg_temp.id('old');
SELECT is(pg_temp.cancel('old', 'regress_whose_duty'), 'cancelled', 'an operator can cancel it');
SELECT pg_temp.made('new', 'regress_whose_acme') \g /dev/null
SELECT is(pg_temp.cancel('new', 'regress_whose_acme'), 'cancelled', 'a job enqueued after adopt_database() belongs to its creator');
SELECT * FROM finish();
ROLLBACK;
