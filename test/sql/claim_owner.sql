-- The role to which a claim belongs: its members and operators act for it, whatever
-- happens to the id of the worker, and others are told nothing about the job. Operators
-- are recognized by their rights alone.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
BEGIN;
SELECT plan(74);
CREATE ROLE regress_co_a LOGIN;
CREATE ROLE regress_co_b LOGIN;
CREATE ROLE regress_co_g;
CREATE ROLE regress_co_m1 LOGIN IN ROLE regress_co_g;
CREATE ROLE regress_co_m2 LOGIN IN ROLE regress_co_g;
CREATE ROLE regress_co_op LOGIN;
CREATE ROLE regress_co_adm LOGIN;
SELECT taskq.grant_access(r, 'worker') FROM unnest('{regress_co_a,regress_co_b,regress_co_g,regress_co_op,regress_co_adm}'::regrole[]) r \g /dev/null
SELECT taskq.grant_access('regress_co_op', 'operator'), taskq.grant_access('regress_co_adm', 'admin'), taskq.register_handler('owned'), taskq.register_handler('owned-2') \g /dev/null
-- Claim as a role, and keep the epoch; returns the job's name.
CREATE FUNCTION pg_temp.claims(role text, worker text, options text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c bigint := pg_temp.as_role(role, format('SELECT job_id FROM taskq.claim_job(%L, %L%s)', worker, '{owned}', options));
BEGIN
	UPDATE j SET e = a.epoch FROM taskq.all_jobs a WHERE a.job_id = c AND j.id = c;
	RETURN (SELECT name FROM j WHERE id = c);
END $$;
-- The answer of a call about a job to a role, or its SQLSTATE.
CREATE FUNCTION pg_temp.told(role text, n text, call text) RETURNS text LANGUAGE sql AS
	$$ SELECT pg_temp.as_role(role, 'SELECT ' || pg_temp.of(n, call)) $$;
-- The detail of the error that a role gets.
CREATE FUNCTION pg_temp.why(role text, sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	d text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', role);
	d := pg_temp.detail_of(sql);
	RESET ROLE;
	RETURN d;
END $$;

-- a group whose members log in by themselves -----------------------------------------
SET LOCAL ROLE regress_co_g;
SELECT taskq.register_worker('co-group', '{owned}', max_concurrent_jobs => 4, lease => '1 h') \g /dev/null
RESET ROLE;
SELECT pg_temp.add('g' || n, 'owned') FROM generate_series(1, 6) n \g /dev/null
SELECT is(pg_temp.claims('regress_co_m1', 'co-group'), 'g1', 'a member of the group claims under its id');
SELECT is(claimed_by, 'regress_co_g'::regrole::oid, 'the claim belongs to the role that registered the id') FROM taskq.jobs WHERE job_id = pg_temp.id('g1');
SELECT is(pg_temp.told('regress_co_m2', 'g1', 'taskq.heartbeat_job(%1$s, %2$s)'), 'ok', 'another member sends its heartbeats');
SELECT is(pg_temp.as_role('regress_co_m2', $$ SELECT status FROM taskq.worker_heartbeat('co-group') $$), 'ok', 'worker_heartbeat() of another member extends the lease');
SELECT is(pg_temp.as_role('regress_co_g', $$ SELECT status FROM taskq.worker_heartbeat('co-group') $$), 'ok', 'worker_heartbeat() of the group extends the lease');
SELECT is(pg_temp.told('regress_co_m2', 'g1', 'taskq.complete_job(%1$s, %2$s)'), 'true', 'another member completes the job');
SELECT is(pg_temp.told('regress_co_m1', 'g1', 'taskq.complete_job(%1$s, %2$s)'), 'false', 'a repetition by the member that claimed returns false');
SELECT is(pg_temp.claims('regress_co_op', 'co-group'), 'g2', 'an operator claims under the id');
SELECT is(pg_temp.told('regress_co_m1', 'g2', 'taskq.complete_job(%1$s, %2$s)'), 'true', 'a member completes the job that an operator has claimed');
SELECT is(pg_temp.claims('regress_co_m1', 'co-group') || pg_temp.claims('regress_co_m2', 'co-group'), 'g3g4', 'two members claim');
SELECT is(pg_temp.told('regress_co_b', 'g3', 'taskq.complete_job(%1$s, %2$s)'), '42501', 'another role cannot complete the job');
SELECT is(pg_temp.as_role('regress_co_m2', $$ SELECT taskq.unregister_worker('co-group') $$), 'true', 'one member unregisters the id');
SELECT is(pg_temp.state('g3') || ', ' || pg_temp.state('g4'), 'available 0, available 0', 'this releases the jobs of all members');
SELECT is(pg_temp.claims('regress_co_m1', 'co-implicit'), 'g3', 'a member claims under an id that nobody has registered');
SELECT is(pg_temp.told('regress_co_m2', 'g3', 'taskq.complete_job(%1$s, %2$s)'), '42501', 'that claim belongs to the member alone');
SELECT is(pg_temp.as_role('regress_co_m1', 'SELECT ' || pg_temp.of('g3', 'taskq.complete_job(%1$s, %2$s)')), 'true', 'which completes the job');
CREATE ROLE regress_co_n LOGIN NOINHERIT IN ROLE regress_co_g;
GRANT EXECUTE ON FUNCTION taskq.complete_job TO regress_co_n;
GRANT USAGE ON SCHEMA taskq TO regress_co_n;
SET LOCAL ROLE regress_co_g;
SELECT taskq.register_worker('co-group', '{owned}') \g /dev/null
RESET ROLE;
SELECT is(pg_temp.claims('regress_co_m1', 'co-group'), 'g4', 'a member claims again');
CREATE FUNCTION pg_temp.hint_for(role text, sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	h text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', role);
	h := pg_temp.hint_of(sql);
	RESET ROLE;
	RETURN h;
END $$;
SELECT is(pg_temp.hint_for('regress_co_n', pg_temp.of('g4', 'SELECT taskq.complete_job(%1$s, %2$s)')),
	'A member of that role may settle it and send its heartbeats, if need be after SET ROLE, or a role with the accesses "operator" and "worker".', 'the hint tells a member without inheritance what to do');
SELECT is(pg_temp.told('regress_co_m2', 'g4', 'taskq.release_job(%1$s, %2$s)'), 'true', 'a member releases the job of another');
SELECT taskq.cancel_job(id) FROM j \g /dev/null

-- an id that has passed to another role ------------------------------------------------
SET LOCAL ROLE regress_co_a;
SELECT taskq.register_worker('co-passed', '{owned}', max_concurrent_jobs => 1, lease => '1 s') \g /dev/null
RESET ROLE;
SELECT pg_temp.add('p1', 'owned'), pg_temp.add('p2', 'owned') \g /dev/null
SELECT is(pg_temp.claims('regress_co_a', 'co-passed'), 'p1', 'a role claims under its id');
SELECT is(pg_temp.as_role('regress_co_adm', $$ SELECT taskq.register_worker('co-passed', '{owned}', max_concurrent_jobs => 1, lease => '5 h', take_over => true) $$), 'false', 'an admin takes the id over');
UPDATE taskq.external_workers SET last_seen = last_seen - interval '1 h' WHERE worker_id = 'co-passed';
SELECT is(pg_temp.told('regress_co_a', 'p1', 'taskq.heartbeat_job(%1$s, %2$s)'), 'ok', 'the claim stays with its role');
SELECT ok(lease_expires_at < now() + interval '1 h', 'the lease of the new registration does not count for it') FROM taskq.jobs WHERE job_id = pg_temp.id('p1');
SELECT ok(last_seen < now() - interval '30 min', 'its heartbeat does not keep the new registration alive') FROM taskq.external_workers WHERE worker_id = 'co-passed';
SELECT is(pg_temp.as_role('regress_co_adm', $$ SELECT count(*) FROM taskq.worker_heartbeat('co-passed') $$), '0', 'worker_heartbeat() of the new registration does not show the claim');
SELECT is(running_jobs, 0, 'taskq.workers does not show it for the new registration') FROM taskq.workers WHERE worker_id = 'co-passed';
SELECT is(pg_temp.claims('regress_co_adm', 'co-passed'), 'p2', 'the claim does not count against its limit');
SELECT is(pg_temp.as_role('regress_co_adm', $$ SELECT count(*) FROM taskq.worker_heartbeat('co-passed') $$), '1', 'worker_heartbeat() shows the claims of the new registration');
SELECT taskq.revoke_access('regress_co_adm', 'admin') \g /dev/null
SELECT is(pg_temp.as_role('regress_co_adm', $$ SELECT taskq.unregister_worker('co-passed') $$), 'true', 'the new registration ends');
SELECT is(pg_temp.state('p1') || ', ' || pg_temp.state('p2'), 'running 1, available 0', 'this releases only its own claims');
SELECT is(pg_temp.told('regress_co_a', 'p1', 'taskq.complete_job(%1$s, %2$s)'), 'true', 'the other role completes its job');
SELECT taskq.grant_access('regress_co_adm', 'admin') \g /dev/null

-- claims that have ended -----------------------------------------------------------------
SELECT is(pg_temp.told('regress_co_b', 'p1', c), '42501', 'an ended claim of another role, with its epoch: ' || c)
	FROM unnest(ARRAY['taskq.complete_job(%1$s, %2$s)', 'taskq.fail_job(%1$s, %2$s)', 'taskq.release_job(%1$s, %2$s)', 'taskq.cancel_job(%1$s, %2$s)', 'taskq.heartbeat_job(%1$s, %2$s)']) c;
SELECT is(pg_temp.told('regress_co_b', 'p1', 'status FROM taskq.complete_jobs(ARRAY[%1$s::bigint], ARRAY[%2$s::bigint])'), 'stale', 'complete_jobs() reports it as stale');
SELECT is(pg_temp.told('regress_co_a', 'p1', 'status FROM taskq.complete_jobs(ARRAY[%1$s::bigint], ARRAY[%2$s::bigint])'), 'repeated', 'complete_jobs() of its own role reports it as repeated');
SELECT is(pg_temp.told('regress_co_op', 'p1', 'taskq.complete_job(%1$s, %2$s)'), 'false', 'an operator is told that the job is completed');
SELECT pg_temp.add('r1', 'owned-2'), pg_temp.add('r2', 'owned-2') \g /dev/null
UPDATE j SET e = c.epoch FROM taskq.claim_job('co-super', '{owned-2}') c WHERE j.id = c.job_id;
SELECT is(array_agg(DISTINCT pg_temp.why('regress_co_b', format('SELECT taskq.%s(%s, 1)', call, pg_temp.id(n)))),
	'{"The job has another claim or none, or this claim was rolled back or has not been committed yet."}', 'a wrong epoch tells nothing about the state of a job, whether it waits, runs or has ended')
	FROM unnest('{p1,p2,r1,r2,g6}'::text[]) n, unnest('{complete_job,heartbeat_job,cancel_job}'::text[]) call;
SELECT is(pg_temp.why('regress_co_a', pg_temp.of('p1', 'SELECT taskq.fail_job(%1$s, %2$s)')), 'This claim was settled before, and the job is completed.', 'the role of the claim is told the state');

-- who is an operator -----------------------------------------------------------------------
UPDATE j SET e = NULL WHERE name = 'p2';
SELECT is(pg_temp.claims('regress_co_a', 'co-a'), 'p2', 'a role claims a job');
SELECT is(pg_temp.told('regress_co_op', 'p2', 'taskq.heartbeat_job(%1$s, %2$s)'), 'ok', 'an operator may send its heartbeats');
DROP OWNED BY regress_co_op;
SELECT taskq.grant_access('regress_co_op', 'worker') \g /dev/null
SELECT is(pg_temp.told('regress_co_op', 'p2', c), '42501', 'a role that has lost its rights by DROP OWNED is no operator: ' || c)
	FROM unnest(ARRAY['taskq.discard_job(%1$s)', 'taskq.heartbeat_job(%1$s, %2$s)', 'taskq.complete_job(%1$s, %2$s)']) c;
SELECT is(pg_temp.as_role('regress_co_op', $$ SELECT status FROM taskq.worker_heartbeat('co-a') $$), '42501', 'nor may it send the heartbeats of another role''s worker');
SELECT is((SELECT string_agg(access, ' ') FROM taskq.access_grants WHERE role = 'regress_co_op'::regrole), 'worker', 'grant_access() removes the records of rights that the role has lost');
INSERT INTO taskq.access_grants VALUES ('regress_co_b', 'operator'), ('regress_co_b', 'admin'), ('regress_co_b', 'observer');
SELECT is(pg_temp.told('regress_co_b', 'p2', 'taskq.heartbeat_job(%1$s, %2$s)'), '42501', 'a record without the rights makes no operator');
SELECT is(pg_temp.as_role('regress_co_b', $$ SELECT taskq.unregister_worker('co-a') $$), '42501', 'a record without the rights makes no admin');
GRANT EXECUTE ON FUNCTION taskq.describe_job TO regress_co_b;
SELECT is(pg_temp.told('regress_co_b', 'p2', 'state FROM taskq.describe_job(%1$s)'), 'TQ011', 'a record without the rights makes no observer');
GRANT EXECUTE ON FUNCTION taskq.discard_job TO regress_co_b;
SELECT is(pg_temp.told('regress_co_b', 'p2', 'taskq.heartbeat_job(%1$s, %2$s)'), 'ok', 'a plain GRANT on discard_job() makes an operator');
SELECT is(pg_temp.as_role('regress_co_b', $$ SELECT status FROM taskq.worker_heartbeat('co-a') $$), 'ok', 'who may send the heartbeats of a worker');
REVOKE EXECUTE ON FUNCTION taskq.discard_job FROM regress_co_b;
SELECT is(pg_temp.told('regress_co_b', 'p2', 'taskq.heartbeat_job(%1$s, %2$s)'), '42501', 'a plain REVOKE ends that');
SELECT is(pg_temp.told('regress_co_adm', 'p2', 'taskq.heartbeat_job(%1$s, %2$s)'), '42501', 'an admin is no operator');

-- roles that were dropped --------------------------------------------------------------------
CREATE ROLE regress_co_gone;
SELECT taskq.grant_access('regress_co_gone', 'worker'), taskq.grant_access('regress_co_gone', 'operator') \g /dev/null
SET LOCAL ROLE regress_co_gone;
SELECT taskq.register_worker('co-gone', '{owned}') \g /dev/null
RESET ROLE;
SELECT 'regress_co_gone'::regrole::oid AS gone \gset
SELECT taskq.register_handler('owned-gone') \g /dev/null
UPDATE taskq.handlers SET registered_by = 'regress_co_gone'::regrole WHERE task_type = 'owned-gone';
DROP OWNED BY regress_co_gone;
DROP ROLE regress_co_gone;
INSERT INTO taskq.access_grants VALUES (:gone::oid::regrole, 'observer');
SELECT is(taskq.revoke_access(:gone::oid::regrole, 'observer'), true, 'revoke_access() removes the record of a role that was dropped');
SELECT is(taskq.revoke_access(:gone::oid::regrole, 'observer'), false, 'a repetition returns false');
SELECT is_empty(format('SELECT FROM taskq.access_grants WHERE role = %s', :gone), 'its other records are gone, too');
SELECT throws_ok(format('SELECT taskq.grant_access(%s::oid::regrole, %L)', :gone, 'worker'), '42704', NULL, 'grant_access() refuses such a role');
INSERT INTO taskq.access_grants VALUES (:gone::oid::regrole, 'worker');
SELECT is(pg_temp.as_role('regress_co_b', $$ SELECT taskq.unregister_worker('co-gone') $$), '42501', 'a role cannot end the registration of a role that was dropped');
UPDATE taskq.installation SET system_identifier = 1;
ALTER FUNCTION taskq.prune() COST 2; -- invalidates the cache, so that the row above is read again
SELECT is(taskq.adopt_database(), true, 'a restored database is adopted');
SELECT is_empty(format('SELECT FROM taskq.access_grants WHERE role = %s', :gone), 'adopt_database() removes records of roles that do not exist here');
SELECT is(registered_by::oid, 0::oid, 'it lets a registration of such a role belong to nobody') FROM taskq.external_workers WHERE worker_id = 'co-gone';
SELECT is(registered_by::oid, 0::oid, 'it lets a handler of such a role belong to nobody') FROM taskq.handlers WHERE task_type = 'owned-gone';
SELECT is(pg_temp.as_role('regress_co_b', $$ SELECT taskq.unregister_worker('co-gone') $$), '42501', 'a role cannot end that registration');
SELECT is(pg_temp.as_role('regress_co_adm', $$ SELECT taskq.unregister_worker('co-gone') $$), 'true', 'an admin can end it');
SELECT is(taskq.unregister_handler('owned-gone'), true, 'an admin can unregister the handler');
SELECT ok(EXISTS (SELECT FROM taskq.access_grants WHERE role = 'regress_co_a'::regrole AND access = 'worker'), 'the records of other roles are kept');

-- arrays of ids ---------------------------------------------------------------------------------
SELECT throws_ok(format('SELECT * FROM taskq.%s', call), '22023', 'job_ids has 134217727 elements, more than 100000', call)
	FROM unnest(ARRAY['complete_jobs(array_fill(NULL::bigint, ARRAY[134217727]), ''{}'')', 'worker_heartbeat(''co-a'', array_fill(NULL::bigint, ARRAY[134217727]), ''{}'')']) call;
SELECT throws_ok($$ SELECT * FROM taskq.complete_jobs('{1}', '{1}', array_fill(NULL::jsonb, ARRAY[100001])) $$, '22023', 'results has 100001 elements, more than 100000', 'the array of results has the same limit');
SELECT throws_ok($$ SELECT taskq.register_worker('co-many', array_fill(NULL::text, ARRAY[134217727])) $$, '22023', 'task_types has 134217727 elements, more than 10000', 'arrays of names have a limit');
SELECT is(count(*), 100000::bigint, '100,000 ids can be given') FROM taskq.complete_jobs(array_fill(-1::bigint, ARRAY[100000]), array_fill(1::bigint, ARRAY[100000])) WHERE status = 'not_found';

-- sessions' ids -----------------------------------------------------------------------------------
SELECT is(pg_temp.hint_of($$ SELECT * FROM taskq.worker_heartbeat('session:1-2-3') $$), 'Such a worker is registered by the first claim of its session.', 'the hint for a session''s id does not say to register it');
SELECT * FROM finish();
ROLLBACK;
