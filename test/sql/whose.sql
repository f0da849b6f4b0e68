-- The owner of a job: which roles may ask about a job, cancel it, and learn that it
-- exists.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
BEGIN;
SELECT plan(68);
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
SELECT is(created_by::text, 'regress_whose_acme', 'a job knows who has enqueued it') FROM taskq.all_jobs WHERE job_id = pg_temp.id('a');
SELECT is(pg_temp.told('a', 'regress_whose_acme'), 'scheduled', 'a producer asks about its job');
SELECT is(pg_temp.told('a', 'regress_whose_bolt'), 'TQ011', 'another is told that there is none');
SELECT is(pg_temp.cancel('a', 'regress_whose_bolt'), 'TQ011', 'and cannot cancel it');
SELECT is(pg_temp.says('regress_whose_bolt', format('SELECT taskq.cancel_job(%s)', pg_temp.id('a'))), pg_temp.says('regress_whose_bolt', 'SELECT taskq.cancel_job(99999999)'),
	'in the words that it hears of a job that is not there');
SELECT is(pg_temp.says('regress_whose_bolt', format('SELECT taskq.describe_job(%s)', pg_temp.id('a'))), pg_temp.says('regress_whose_bolt', 'SELECT taskq.describe_job(99999999)'),
	'when it asks, too');
SELECT is(pg_temp.state('a'), 'scheduled 0', 'the job is as it was');
SELECT is(pg_temp.cancel('a', 'regress_whose_acme'), 'cancelled', 'who has enqueued it cancels it');
SELECT is(pg_temp.cancel('a', 'regress_whose_acme'), 'final', 'is told that it has ended');
SELECT is(pg_temp.told('a', 'regress_whose_acme'), 'cancelled', 'and may ask what became of it');
SELECT is(pg_temp.cancel('a', 'regress_whose_bolt'), 'TQ011', 'nobody else is told of an ended one');
SELECT is(pg_temp.told('a', 'regress_whose_bolt'), 'TQ011', 'or may ask');
SELECT is(created_by::text, 'regress_whose_acme', 'the history keeps who it was') FROM taskq.all_jobs WHERE job_id = pg_temp.id('a');
SELECT is(taskq.retry_job(pg_temp.id('a'), force => true), true, 'one that is put back');
SELECT is(pg_temp.told('a', 'regress_whose_acme'), 'available', 'is still its');
SELECT pg_temp.made('t', 'regress_whose_team'), pg_temp.made('m', 'regress_whose_member') \g /dev/null
SELECT is(pg_temp.cancel('t', 'regress_whose_member'), 'cancelled', 'who has the rights of who has enqueued it may cancel it');
SELECT is(pg_temp.cancel('m', 'regress_whose_team'), 'TQ011', 'but not the other way round');

-- running -----------------------------------------------------------------------
UPDATE j SET id = pg_temp.as_role('regress_whose_acme', $$ SELECT taskq.enqueue_job('whose', '{"n": "a"}', priority => -5) $$)::bigint WHERE name = 'a';
SELECT is(pg_temp.take('whose-w'), 'a', 'a job runs');
SELECT is(pg_temp.cancel('a', 'regress_whose_bolt'), 'TQ011', 'and is not there for others');
SELECT is(pg_temp.as_role('regress_whose_bolt', pg_temp.of('a', 'SELECT taskq.cancel_job(%1$s, %2$s)')), 'TQ011', 'even if they know its claim''s number');
SELECT is(pg_temp.as_role('regress_whose_bolt', pg_temp.of('a', 'SELECT taskq.cancel_job(%1$s, 1)')), 'TQ011', 'or say another');
SELECT is((SELECT count(*) FROM taskq.cancel_requests), 0::bigint, 'nothing is asked of its worker');
SELECT is(pg_temp.cancel('a', 'regress_whose_acme'), 'requested', 'who has enqueued it asks for it');
SELECT is(pg_temp.told('a', 'regress_whose_acme'), 'running', 'and sees that it runs');
SELECT is(pg_temp.as_role('regress_whose_worker', pg_temp.of('a', 'SELECT taskq.cancel_job(%1$s, %2$s)')), 'cancelled', 'a worker that has claimed a job gives it up');

-- tenants of producers ----------------------------------------------------------
SELECT is(pg_temp.told('a2', 'regress_whose_web'), 'scheduled', 'a producer of a tenant asks about its jobs, whoever has enqueued them');
SELECT is(pg_temp.told('m', 'regress_whose_web'), 'TQ011', 'not about others');
SELECT is(pg_temp.cancel('m', 'regress_whose_web'), 'TQ011', 'which it cannot cancel');
SELECT is(pg_temp.cancel('b', 'regress_whose_one'), 'TQ011', 'nor those of another tenant');
SELECT is(pg_temp.cancel('b', 'regress_whose_web'), 'cancelled', 'but its tenants''');
SELECT is(pg_temp.cancel('b', 'regress_whose_web'), 'final', 'also when it has ended');
SELECT isnt(pg_temp.as_role('regress_whose_web', $$ SELECT taskq.enqueue_job('whose', tenant_id => 'bolt') $$), '42501', 'it enqueues jobs of its tenants');
SELECT is(pg_temp.as_role('regress_whose_web', $$ SELECT taskq.enqueue_job('whose', tenant_id => 'evil') $$), '42501', 'not of another');
SELECT is(pg_temp.as_role('regress_whose_web', $$ SELECT taskq.enqueue_job('whose') $$), '42501', 'nor of none');
SELECT is(pg_temp.as_role('regress_whose_web', $$ SELECT count(*) FROM taskq.enqueue_jobs('whose', '{1,2}', tenant_id => 'evil') $$), '42501', 'however many');
SELECT matches(pg_temp.says('regress_whose_web', $$ SELECT taskq.enqueue_job('whose', tenant_id => 'evil') $$), 'may not enqueue jobs of tenant "evil"\nIt was granted: acme, bolt\.\nName one of these', 'the error says which it may');
INSERT INTO j VALUES ('one', pg_temp.as_role('regress_whose_one', $$ SELECT taskq.enqueue_job('whose', delay => '1 h') $$)::bigint);
SELECT is(tenant_id, 'acme', 'a producer of one tenant need not name it') FROM taskq.all_jobs WHERE job_id = pg_temp.id('one');
SELECT is(pg_temp.as_role('regress_whose_one', $$ SELECT taskq.enqueue_job('whose', tenant_id => 'bolt') $$), '42501', 'and has no other');
SELECT is(taskq.revoke_access('regress_whose_one', 'producer'), true, 'a grant that is taken back');
SELECT taskq.grant_access('regress_whose_one', 'producer') \g /dev/null
SELECT isnt(pg_temp.as_role('regress_whose_one', $$ SELECT taskq.enqueue_job('whose', tenant_id => 'bolt') $$), '42501', 'and given without tenants has no such limit');
SELECT is(pg_temp.cancel('a2', 'regress_whose_one'), 'TQ011', 'but no tenant''s jobs, too');
SELECT is(pg_temp.cancel('one', 'regress_whose_one'), 'cancelled', 'only its own');
SELECT throws_ok($$ SELECT taskq.grant_access('regress_whose_worker', 'worker', '{acme}') $$, '22023', 'only observers and producers are granted some tenants', 'workers and operators have all tenants');
SELECT isnt(taskq.enqueue_job('whose', tenant_id => 'any'), NULL, 'a superuser enqueues for any tenant');

-- observers, operators, workers ---------------------------------------------------
SELECT is(pg_temp.told('a2', 'regress_whose_dash'), 'scheduled', 'an observer asks about its tenant''s jobs');
SELECT is(pg_temp.cancel('a2', 'regress_whose_dash'), 'TQ011', 'and cancels none that it has not enqueued');
SELECT is(pg_temp.told('m', 'regress_whose_dash'), 'TQ011', 'others'' are not there for it');
SELECT is(pg_temp.told('m', 'regress_whose_duty'), 'scheduled', 'an operator asks about every job');
SELECT is(pg_temp.cancel('m', 'regress_whose_duty'), 'cancelled', 'and cancels it');
SELECT is(pg_temp.cancel('a2', 'regress_whose_worker'), 'TQ011', 'a worker cancels no job that it has not claimed');
SET LOCAL taskq.tenant_id = 'bolt';
SELECT is(pg_temp.cancel('a2', 'regress_whose_acme'), 'TQ011', 'a session that has narrowed itself to a tenant cancels no other''s');
SELECT is(pg_temp.told('a2', 'regress_whose_acme'), 'TQ011', 'nor asks');
SELECT throws_ok(format('SELECT taskq.cancel_job(%s)', pg_temp.id('a2')), 'TQ011', NULL, 'whoever it is');
SET LOCAL taskq.tenant_id = '';
SELECT is(pg_temp.cancel('a2', 'regress_whose_acme'), 'cancelled', 'until that ends');

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
SELECT throws_ok(format('SELECT taskq.run_job(%s)', pg_temp.id('in')), 'TQ011', NULL, 'run_job() knows nothing of a job that is another role''s to run');
SELECT throws_ok(format('SELECT taskq.run_job(%s, %L)', pg_temp.id('in'), 'public.whose_steal(jsonb)'), 'TQ011', NULL, 'whatever handler is brought along');
SELECT is_empty($$ SELECT * FROM taskq.run_all('{whose-in}', handler => 'public.whose_steal(jsonb)') $$, 'and runs none');
SELECT throws_ok(format('SELECT taskq.run_job(%s)', pg_temp.id('ext')), 'TQ002', NULL, 'an external job is for every worker, which is told why it cannot be run so');
RESET SESSION AUTHORIZATION;

-- what is due -------------------------------------------------------------------
CREATE FUNCTION pg_temp.due(role text) RETURNS text LANGUAGE sql AS
	$$ SELECT pg_temp.as_role(role, $q$ SELECT due FROM taskq.explain_claim('whose-w') WHERE task_type = 'whose-in' $q$) $$;
SELECT is(pg_temp.due('regress_whose_dash'), 'true', 'explain_claim() tells an observer of what is due of its tenant');
SELECT taskq.grant_access('regress_whose_dash', 'observer', '{bolt}') \g /dev/null
SELECT is(pg_temp.due('regress_whose_dash'), 'false', 'not of others');
SELECT is(pg_temp.due('regress_whose_worker'), 'true', 'a worker claims the jobs of all tenants, and is told');
SELECT is(pg_temp.due('regress_whose_duty'), 'true', 'an operator too');

-- roles of another cluster ----------------------------------------------------------
SELECT pg_temp.made('old', 'regress_whose_acme') \g /dev/null
UPDATE taskq.jobs SET created_at = created_at - interval '1 h' WHERE job_id = pg_temp.id('old');
UPDATE taskq.installation SET system_identifier = 1;
ALTER FUNCTION taskq.prune() COST 2; -- invalidates the cache, so that the row above is read again
SELECT is(pg_temp.cancel('old', 'regress_whose_acme'), 'TQ011', 'in a restored database a job is nobody''s, as role oids of another cluster may be anybody''s');
SELECT is(taskq.adopt_database(), true, 'after adopt_database()');
SELECT is(pg_temp.cancel('old', 'regress_whose_acme'), 'TQ011', 'as well');
SELECT is(created_by, NULL, 'and none is shown') FROM taskq.all_jobs WHERE job_id = pg_temp.id('old');
SELECT is(pg_temp.cancel('old', 'regress_whose_duty'), 'cancelled', 'operators cancel it');
SELECT pg_temp.made('new', 'regress_whose_acme') \g /dev/null
SELECT is(pg_temp.cancel('new', 'regress_whose_acme'), 'cancelled', 'and those enqueued since are their creator''s');
SELECT * FROM finish();
ROLLBACK;
