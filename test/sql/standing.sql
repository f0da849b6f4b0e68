-- Which ids may claim at all: an id is given only what a registration or a call has
-- named.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
SELECT plan(78);
CREATE FUNCTION pg_temp.shown(w text) RETURNS text LANGUAGE sql AS
	$$ SELECT concat_ws(' ', CASE WHEN implicit THEN 'implicit' ELSE 'registered' END, state, task_types) FROM taskq.workers WHERE worker_id = w $$;
CREATE FUNCTION pg_temp.given(w text, VARIADIC types text[] DEFAULT NULL) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(task_type, ' ' ORDER BY task_type) FROM taskq.claim_jobs(w, 10, types) $$;
CREATE FUNCTION pg_temp.why(t text) RETURNS text LANGUAGE sql AS $$ SELECT reason FROM taskq.unroutable_jobs WHERE task_type = t $$;

BEGIN;
CREATE ROLE regress_standing_a;
CREATE ROLE regress_standing_b;
CREATE ROLE regress_standing_c IN ROLE regress_standing_a;
SELECT taskq.register_handler('st-mail'), taskq.register_handler('st-image') \gset
SELECT count(taskq.grant_access(r::regrole, 'worker')) FROM unnest('{regress_standing_a,regress_standing_b,regress_standing_c}'::text[]) r \gset
SELECT pg_temp.add('mail', 'st-mail'), pg_temp.add('image', 'st-image') \gset

-- nobody has said anything ---------------------------------------------------------
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('st-new') $$, 'TQ012', 'worker "st-new" is not registered', 'claim_job() of an unregistered id must name types');
SELECT throws_ok($$ SELECT * FROM taskq.claim_jobs('st-new', 5) $$, 'TQ012', NULL, 'claim_jobs() of an unregistered id must name types');
SELECT is(pg_temp.hint_of($$ SELECT * FROM taskq.claim_job('st-new') $$), 'Register it with taskq.register_worker(), or name the task types in the call.', 'the hint says how to claim');
SELECT is(pg_temp.shown('st-new'), NULL, 'a refused claim does not register the id');
SELECT is(pg_temp.why('st-mail'), 'no live worker with the type', 'unroutable_jobs says that no worker takes the type');

-- an implicit registration covers what was named ------------------------------------
SELECT is(pg_temp.given('st-new', 'st-mail'), 'st-mail', 'a claim with types is given these');
SELECT is(pg_temp.shown('st-new'), 'implicit running {st-mail}', 'taskq.workers shows an implicit worker with these types');
SELECT is(pg_temp.given('st-new'), NULL, 'a later claim without types is given no other types');
SELECT is(pg_temp.given('st-new', 'st-image'), 'st-image', 'a later claim with other types is given these');
SELECT is(pg_temp.shown('st-new'), 'implicit running {st-image,st-mail}', 'the implicit registration then has both types');
SELECT taskq.release_job(job_id, epoch) FROM taskq.all_jobs WHERE worker_id = 'st-new' \g /dev/null
SELECT is(pg_temp.why('st-mail'), 'only implicit workers take the type, see taskq.register_worker()', 'unroutable_jobs says that only an implicit worker takes the type');
SET LOCAL taskq.clock_offset = '181 s';
SELECT is(pg_temp.shown('st-new'), 'implicit lost {st-image,st-mail}', 'an implicit worker is lost after two leases');
SELECT is(pg_temp.why('st-mail'), 'no live worker with the type', 'a lost worker is not considered');
SET LOCAL taskq.clock_offset = 0;
SELECT taskq.register_worker('st-mailer', '{st-mail}') \gset
SELECT is(pg_temp.why('st-mail'), NULL, 'a registered worker is considered');
SELECT is(pg_temp.shown('st-mailer'), 'registered idle {st-mail}', 'taskq.workers shows a registered worker');

-- a session that gives no id ----------------------------------------------------------
SELECT is((SELECT string_agg(task_type, ' ' ORDER BY task_type) FROM taskq.claim_jobs(NULL, 10, '{st-mail}')), 'st-mail', 'a claim without an id may name types');
SELECT is((SELECT string_agg(task_type, ' ' ORDER BY task_type) FROM taskq.claim_jobs(max_jobs => 10)), 'st-image', 'a claim without an id and types is given all external types');
SELECT is(pg_temp.given((SELECT worker_id FROM taskq.workers WHERE worker_id LIKE 'session:%')), NULL, 'the session may give its own id');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('session:1-2', '{st-mail}') $$, '42939', 'worker id "session:1-2" is reserved', 'the id of another session is refused');
SELECT throws_ok($$ SELECT taskq.register_worker('session:1-2') $$, '42939', NULL, 'such an id cannot be registered');
SELECT throws_ok($$ SELECT taskq.register_worker('pool#1') $$, '22023', NULL, 'the id of a background worker cannot be registered');
SELECT taskq.release_job(job_id, epoch) FROM taskq.all_jobs WHERE worker_id LIKE 'session:%' AND state = 'running' \g /dev/null

-- each role that claims in the session has its own id ----------------------------------
-- a function of another role is called first, and so registers its id first
CREATE SCHEMA regress_standing AUTHORIZATION regress_standing_b;
GRANT USAGE ON SCHEMA regress_standing TO regress_standing_a;
SET LOCAL ROLE regress_standing_b;
CREATE FUNCTION regress_standing.claim() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT worker_id FROM taskq.claim_job()';
CREATE FUNCTION regress_standing.unregister(id text) RETURNS boolean LANGUAGE sql SECURITY DEFINER AS 'SELECT taskq.unregister_worker(id)';
CREATE FUNCTION regress_standing.beat(id text) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM taskq.worker_heartbeat(id)';
SET LOCAL ROLE regress_standing_a;
SELECT regress_standing.claim() AS theirs \gset
SELECT worker_id AS mine FROM taskq.claim_job() \gset
RESET ROLE;
SELECT matches(:'theirs'::text, '^session:' || pg_backend_pid() || '-[0-9a-f]+-' || 'regress_standing_b'::regrole::oid || '$', 'a SECURITY DEFINER function claims for the id of its owner');
SELECT matches(:'mine'::text, '^session:' || pg_backend_pid() || '-[0-9a-f]+-' || 'regress_standing_a'::regrole::oid || '$', 'its caller claims for an id of its own');
SELECT results_eq(format('SELECT role::text FROM taskq.workers WHERE worker_id IN (%L, %L) ORDER BY 1', :'mine', :'theirs'),
	'{regress_standing_a,regress_standing_b}'::text[], 'each id is registered by its role');
SET LOCAL ROLE regress_standing_a;
SELECT throws_ok(format('SELECT regress_standing.unregister(%L)', :'mine'), '42501', NULL, 'the function cannot unregister its caller''s worker');
SELECT throws_ok(format('SELECT regress_standing.beat(%L)', :'mine'), '42501', NULL, 'the function cannot send its heartbeats, which would return epochs');
SELECT throws_ok(format('SELECT * FROM taskq.claim_job(%L)', :'theirs'), '42939', NULL, 'the caller cannot claim for the function''s worker');
SELECT is((SELECT count(*) FROM taskq.worker_heartbeat(:'mine')), 1::bigint, 'a heartbeat of the caller returns only its own job');
RESET ROLE;

-- a role that maintains another role's objects does not claim
SET LOCAL ROLE regress_standing_b;
CREATE FUNCTION regress_standing.claimed() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM taskq.claim_jobs(max_jobs => 1)';
CREATE MATERIALIZED VIEW regress_standing.view AS SELECT regress_standing.claimed() WITH NO DATA;
RESET ROLE;
SELECT throws_ok('REFRESH MATERIALIZED VIEW regress_standing.view', '42501', 'cannot claim jobs without a worker id within security-restricted operation', 'REFRESH MATERIALIZED VIEW cannot claim for the session');
SELECT ok(pg_temp.hint_of('REFRESH MATERIALIZED VIEW regress_standing.view') <> '', 'the hint says what to do');
SELECT is((SELECT count(*) FROM taskq.claim_jobs(max_jobs => 10)), 0::bigint, 'the session can still claim for itself');
SELECT is((SELECT count(*) FROM taskq.workers WHERE worker_id LIKE 'session:' || pg_backend_pid() || '-%'), 3::bigint, 'there is one worker for each role that has claimed');
SELECT taskq.release_job(job_id, epoch) FROM taskq.all_jobs WHERE worker_id LIKE 'session:%' AND state = 'running' \g /dev/null

-- who was unregistered -----------------------------------------------------------------
SELECT is(pg_temp.given('st-mailer'), 'st-mail', 'a worker claims a job');
SELECT ok(taskq.unregister_worker('st-mailer'), 'the worker is unregistered');
SELECT is(pg_temp.state('mail'), 'available 0', 'its job is released');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('st-mailer') $$, 'TQ012', 'worker "st-mailer" was unregistered', 'a claim for the unregistered id is refused');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('st-mailer', '{st-mail}') $$, 'TQ012', 'worker "st-mailer" was unregistered', 'a claim with types for the unregistered id is refused');
SELECT throws_ok($$ SELECT * FROM taskq.worker_heartbeat('st-mailer') $$, 'TQ012', NULL, 'a heartbeat for the unregistered id is refused');
SELECT is(pg_temp.shown('st-mailer'), NULL, 'taskq.workers does not show the unregistered worker');
SELECT ok(NOT taskq.unregister_worker('st-mailer'), 'unregister_worker() returns false if it is repeated');
SELECT is((SELECT string_agg(DISTINCT reason, ';') FROM taskq.explain_claim('st-mailer')), 'the worker was unregistered', 'explain_claim() gives the reason for every route');
SELECT ok(taskq.register_worker('st-mailer', '{st-mail}'), 'the id can be registered again, as a new worker');
SELECT is(pg_temp.given('st-mailer'), 'st-mail', 'the new worker is given jobs');
SELECT ok(taskq.unregister_worker('st-new'), 'an implicit worker can be unregistered');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('st-new', '{st-mail}') $$, 'TQ012', NULL, 'a claim does not register it again');

-- whose registration it is ---------------------------------------------------------------
SET LOCAL ROLE regress_standing_a;
SELECT ok(taskq.register_worker('st-a', '{st-mail}'), 'a role registers a worker that others try to end');
SET LOCAL ROLE regress_standing_b;
SELECT throws_ok($$ SELECT taskq.unregister_worker('st-a') $$, '42501', 'permission denied to unregister worker "st-a"', 'another role cannot unregister it');
SELECT throws_ok($$ SELECT taskq.drain_worker('st-a') $$, '42501', 'permission denied to drain worker "st-a"', 'another role cannot drain it');
SELECT throws_ok($$ SELECT taskq.register_worker('st-a', take_over => true) $$, '42501', 'permission denied to replace worker "st-a"', 'another role cannot take it over');
SELECT throws_ok($$ SELECT taskq.drain_worker('pool#1') $$, '42501', NULL, 'a worker''s role cannot drain a background worker');
SET LOCAL ROLE regress_standing_c;
SELECT ok(taskq.drain_worker('st-a'), 'a member of the role can drain it');
SELECT ok(NOT taskq.register_worker('st-a', take_over => true), 'a member of the role can take it over');
SET LOCAL ROLE regress_standing_a;
SELECT throws_ok($$ SELECT taskq.unregister_worker('st-a') $$, '42501', NULL, 'the worker then belongs to that member');
RESET ROLE;
SELECT taskq.grant_access('regress_standing_b', 'admin') \gset
SET LOCAL ROLE regress_standing_b;
SELECT ok(taskq.unregister_worker('st-a'), 'an admin can unregister it');
RESET ROLE;

-- whose heartbeats and claims ----------------------------------------------------------------
CREATE ROLE regress_standing_d;
SELECT taskq.grant_access('regress_standing_d', 'worker'), pg_temp.add('own', 'st-mail'), pg_temp.add('first', 'st-image') \gset
SET LOCAL ROLE regress_standing_a;
SELECT ok(taskq.register_worker('st-own', '{st-mail}', max_concurrent_jobs => 1), 'a role registers a worker with a limit');
SELECT is(pg_temp.given('st-own'), 'st-mail', 'the role claims for the worker');
SELECT is(pg_temp.given('st-first', 'st-image') LIKE 'st-image%', true, 'the role claims for another id without registering it');
SET LOCAL ROLE regress_standing_d;
SELECT throws_ok($$ SELECT * FROM taskq.worker_heartbeat('st-own') $$, '42501', 'permission denied to send heartbeats for worker "st-own"', 'another role cannot send heartbeats for the worker');
SELECT is(pg_temp.hint_of($$ SELECT * FROM taskq.worker_heartbeat('st-own') $$), 'A member of that role may, if need be after SET ROLE, or a role with the access "operator".', 'the hint says which roles may');
SELECT throws_ok($$ SELECT * FROM taskq.worker_heartbeat('st-own', '{}', '{}') $$, '42501', NULL, 'another role cannot keep the worker alive');
SELECT throws_ok($$ SELECT * FROM taskq.worker_heartbeat('st-first') $$, '42501', NULL, 'another role cannot send heartbeats for the implicit worker');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('st-own') $$, '42501', 'permission denied to claim jobs for worker "st-own"', 'another role cannot claim for the worker');
SELECT is(pg_temp.hint_of($$ SELECT * FROM taskq.claim_job('st-own') $$), 'Use another worker id. Programs that share one log in as the same role, or as members of it.', 'the hint says to use another id');
SELECT throws_ok($$ SELECT * FROM taskq.claim_jobs('st-first', 2, '{st-mail}') $$, '42501', NULL, 'another role cannot claim for the implicit worker');
SET LOCAL ROLE regress_standing_c;
SELECT is(count(*), 1::bigint, 'a member of the role can send heartbeats') FROM taskq.worker_heartbeat('st-own') WHERE status = 'ok';
SELECT lives_ok($$ SELECT * FROM taskq.claim_job('st-own') $$, 'a member of the role can claim');
SELECT lives_ok($$ SELECT * FROM taskq.claim_job() $$, 'a session can claim without an id');
SET LOCAL ROLE regress_standing_d;
SELECT lives_ok($$ SELECT * FROM taskq.claim_job() $$, 'a session can claim without an id as another role');
RESET ROLE;
GRANT regress_standing_a TO regress_standing_d;
SET LOCAL ROLE regress_standing_d;
SELECT lives_ok($$ SELECT * FROM taskq.claim_job('st-own') $$, 'a role can claim after it became a member');
RESET ROLE;
REVOKE regress_standing_a FROM regress_standing_d;
SET LOCAL ROLE regress_standing_d;
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('st-own') $$, '42501', NULL, 'a role cannot claim after it is no longer a member');
RESET ROLE;
SELECT taskq.grant_access('regress_standing_d', 'operator') \gset
SET LOCAL ROLE regress_standing_d;
SELECT lives_ok($$ SELECT * FROM taskq.worker_heartbeat('st-own') $$, 'an operator can send heartbeats');
SELECT lives_ok($$ SELECT * FROM taskq.claim_job('st-own') $$, 'an operator can claim');
RESET ROLE;

-- statements by hand on a registration count at once ------------------------------------
SELECT taskq.register_handler('st-hand'), taskq.register_worker('st-hand', '{st-hand}') \gset
SELECT count(taskq.enqueue_job('st-hand')) FROM generate_series(1, 3) \gset
SELECT is((SELECT count(*) FROM taskq.claim_job('st-hand')), 1::bigint, 'a worker claims a job');
UPDATE taskq.external_workers SET draining = true WHERE worker_id = 'st-hand';
SELECT is((SELECT count(*) FROM taskq.claim_job('st-hand')), 0::bigint, 'a worker that is drained by an UPDATE is given no job');
DELETE FROM taskq.external_workers WHERE worker_id = 'st-hand';
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('st-hand') $$, 'TQ012', NULL, 'a claim of a worker whose registration was deleted is refused');

-- without implicit workers -----------------------------------------------------------------
SET LOCAL taskq.implicit_workers = off;
SELECT throws_ok($$ SELECT * FROM taskq.claim_job() $$, 'TQ012', NULL, 'with taskq.implicit_workers off, a claim without an id is refused');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('st-other', '{st-mail}') $$, 'TQ012', NULL, 'with taskq.implicit_workers off, a claim of an unregistered id is refused');
SELECT lives_ok($$ SELECT * FROM taskq.claim_job('st-mailer') $$, 'with taskq.implicit_workers off, a registered worker can claim');

SELECT * FROM finish();
ROLLBACK;
