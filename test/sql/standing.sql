-- Which ids may claim at all: an id is given only what a registration or a call has
-- named.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
SELECT plan(75);
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
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('st-new') $$, 'TQ012', 'worker "st-new" is not registered', 'an id that nobody has registered must name types');
SELECT throws_ok($$ SELECT * FROM taskq.claim_jobs('st-new', 5) $$, 'TQ012', NULL, 'also for several jobs');
SELECT is(pg_temp.hint_of($$ SELECT * FROM taskq.claim_job('st-new') $$), 'Register it with taskq.register_worker(), or name the task types in the call.', 'the hint says how');
SELECT is(pg_temp.shown('st-new'), NULL, 'and is not registered by that');
SELECT is(pg_temp.why('st-mail'), 'no live worker with the type', 'the job waits for a worker');

-- an implicit registration covers what was named ------------------------------------
SELECT is(pg_temp.given('st-new', 'st-mail'), 'st-mail', 'with types it is given these');
SELECT is(pg_temp.shown('st-new'), 'implicit running {st-mail}', 'and is shown as implicit, for them');
SELECT is(pg_temp.given('st-new'), NULL, 'a later call without types is given no others');
SELECT is(pg_temp.given('st-new', 'st-image'), 'st-image', 'one that names them is');
SELECT is(pg_temp.shown('st-new'), 'implicit running {st-image,st-mail}', 'the registration covers both then');
SELECT taskq.release_job(job_id, epoch) FROM taskq.all_jobs WHERE worker_id = 'st-new' \g /dev/null
SELECT is(pg_temp.why('st-mail'), 'only implicit workers take the type, see taskq.register_worker()', 'jobs that only such a worker takes are shown with the reason');
SET LOCAL taskq.clock_offset = '181 s';
SELECT is(pg_temp.shown('st-new'), 'implicit lost {st-image,st-mail}', 'it is lost after three leases, as others are');
SELECT is(pg_temp.why('st-mail'), 'no live worker with the type', 'and then takes nothing');
SET LOCAL taskq.clock_offset = 0;
SELECT taskq.register_worker('st-mailer', '{st-mail}') \gset
SELECT is(pg_temp.why('st-mail'), NULL, 'a registered one does');
SELECT is(pg_temp.shown('st-mailer'), 'registered idle {st-mail}', 'and is shown so');

-- a session that gives no id ----------------------------------------------------------
SELECT is((SELECT string_agg(task_type, ' ' ORDER BY task_type) FROM taskq.claim_jobs(NULL, 10, '{st-mail}')), 'st-mail', 'a session without an id may name types');
SELECT is((SELECT string_agg(task_type, ' ' ORDER BY task_type) FROM taskq.claim_jobs(max_jobs => 10)), 'st-image', 'and is given all external types without');
SELECT is(pg_temp.given((SELECT worker_id FROM taskq.workers WHERE worker_id LIKE 'session:%')), NULL, 'its own id says the same');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('session:1-2', '{st-mail}') $$, '42939', 'worker id "session:1-2" is reserved', 'that of another session is not for use');
SELECT throws_ok($$ SELECT taskq.register_worker('session:1-2') $$, '42939', NULL, 'nor can one be registered');
SELECT throws_ok($$ SELECT taskq.register_worker('pool#1') $$, '22023', NULL, 'nor the id of a background worker');
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
SELECT matches(:'theirs'::text, '^session:' || pg_backend_pid() || '-[0-9a-f]+-' || 'regress_standing_b'::regrole::oid || '$', 'what a SECURITY DEFINER function claims is for the id of its owner');
SELECT matches(:'mine'::text, '^session:' || pg_backend_pid() || '-[0-9a-f]+-' || 'regress_standing_a'::regrole::oid || '$', 'what its caller claims is for his own id');
SELECT results_eq(format('SELECT role::text FROM taskq.workers WHERE worker_id IN (%L, %L) ORDER BY 1', :'mine', :'theirs'),
	'{regress_standing_a,regress_standing_b}'::text[], 'each is registered by its role');
SET LOCAL ROLE regress_standing_a;
SELECT throws_ok(format('SELECT regress_standing.unregister(%L)', :'mine'), '42501', NULL, 'the function cannot unregister its caller''s');
SELECT throws_ok(format('SELECT regress_standing.beat(%L)', :'mine'), '42501', NULL, 'nor send its heartbeats, which are answered with epochs');
SELECT throws_ok(format('SELECT * FROM taskq.claim_job(%L)', :'theirs'), '42939', NULL, 'nor can the caller claim for the function''s');
SELECT is((SELECT count(*) FROM taskq.worker_heartbeat(:'mine')), 1::bigint, 'the heartbeat of one''s own names one''s own job only');
RESET ROLE;

-- a role that maintains another role's objects does not claim
SET LOCAL ROLE regress_standing_b;
CREATE FUNCTION regress_standing.claimed() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM taskq.claim_jobs(max_jobs => 1)';
CREATE MATERIALIZED VIEW regress_standing.view AS SELECT regress_standing.claimed() WITH NO DATA;
RESET ROLE;
SELECT throws_ok('REFRESH MATERIALIZED VIEW regress_standing.view', '42501', 'cannot claim jobs without a worker id within security-restricted operation', 'REFRESH MATERIALIZED VIEW does not claim for the session');
SELECT ok(pg_temp.hint_of('REFRESH MATERIALIZED VIEW regress_standing.view') <> '', 'and is told what to do');
SELECT is((SELECT count(*) FROM taskq.claim_jobs(max_jobs => 10)), 0::bigint, 'the session still claims for itself');
SELECT is((SELECT count(*) FROM taskq.workers WHERE worker_id LIKE 'session:' || pg_backend_pid() || '-%'), 3::bigint, 'for each role that has claimed there is one worker');
SELECT taskq.release_job(job_id, epoch) FROM taskq.all_jobs WHERE worker_id LIKE 'session:%' AND state = 'running' \g /dev/null

-- who was unregistered -----------------------------------------------------------------
SELECT is(pg_temp.given('st-mailer'), 'st-mail', 'a worker has a job');
SELECT ok(taskq.unregister_worker('st-mailer'), 'and is unregistered');
SELECT is(pg_temp.state('mail'), 'available 0', 'its job is given back');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('st-mailer') $$, 'TQ012', 'worker "st-mailer" was unregistered', 'its id gets nothing');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('st-mailer', '{st-mail}') $$, 'TQ012', 'worker "st-mailer" was unregistered', 'also with types');
SELECT throws_ok($$ SELECT * FROM taskq.worker_heartbeat('st-mailer') $$, 'TQ012', NULL, 'nor is it alive');
SELECT is(pg_temp.shown('st-mailer'), NULL, 'it is not among the workers');
SELECT ok(NOT taskq.unregister_worker('st-mailer'), 'and not unregistered twice');
SELECT is((SELECT string_agg(DISTINCT reason, ';') FROM taskq.explain_claim('st-mailer')), 'the worker was unregistered', 'explain_claim() says so of every route');
SELECT ok(taskq.register_worker('st-mailer', '{st-mail}'), 'it can be registered anew, as a new one');
SELECT is(pg_temp.given('st-mailer'), 'st-mail', 'and is given jobs again');
SELECT ok(taskq.unregister_worker('st-new'), 'an implicit registration ends in the same way');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('st-new', '{st-mail}') $$, 'TQ012', NULL, 'and does not come back by a claim');

-- whose registration it is ---------------------------------------------------------------
SET LOCAL ROLE regress_standing_a;
SELECT ok(taskq.register_worker('st-a', '{st-mail}'), 'a role registers a worker');
SET LOCAL ROLE regress_standing_b;
SELECT throws_ok($$ SELECT taskq.unregister_worker('st-a') $$, '42501', 'permission denied to unregister worker "st-a"', 'another cannot end it');
SELECT throws_ok($$ SELECT taskq.drain_worker('st-a') $$, '42501', 'permission denied to drain worker "st-a"', 'nor drain it');
SELECT throws_ok($$ SELECT taskq.register_worker('st-a', take_over => true) $$, '42501', 'permission denied to replace worker "st-a"', 'nor take it over');
SELECT throws_ok($$ SELECT taskq.drain_worker('pool#1') $$, '42501', NULL, 'nor drain a background worker');
SET LOCAL ROLE regress_standing_c;
SELECT ok(taskq.drain_worker('st-a'), 'a member of the role drains it');
SELECT ok(NOT taskq.register_worker('st-a', take_over => true), 'takes it over');
SET LOCAL ROLE regress_standing_a;
SELECT throws_ok($$ SELECT taskq.unregister_worker('st-a') $$, '42501', NULL, 'to whom it belongs from then on');
RESET ROLE;
SELECT taskq.grant_access('regress_standing_b', 'admin') \gset
SET LOCAL ROLE regress_standing_b;
SELECT ok(taskq.unregister_worker('st-a'), 'an admin ends it');
RESET ROLE;

-- whose heartbeats and claims ----------------------------------------------------------------
CREATE ROLE regress_standing_d;
SELECT taskq.grant_access('regress_standing_d', 'worker'), pg_temp.add('own', 'st-mail'), pg_temp.add('first', 'st-image') \gset
SET LOCAL ROLE regress_standing_a;
SELECT ok(taskq.register_worker('st-own', '{st-mail}', max_concurrent_jobs => 1), 'a role registers a worker');
SELECT is(pg_temp.given('st-own'), 'st-mail', 'and claims for it');
SELECT is(pg_temp.given('st-first', 'st-image') LIKE 'st-image%', true, 'for another one without registering it');
SET LOCAL ROLE regress_standing_d;
SELECT throws_ok($$ SELECT * FROM taskq.worker_heartbeat('st-own') $$, '42501', 'permission denied to send heartbeats for worker "st-own"', 'another role is not told of the jobs of the first one');
SELECT is(pg_temp.hint_of($$ SELECT * FROM taskq.worker_heartbeat('st-own') $$), 'A member of that role may, or a role with the access "operator".', 'the hint says who is');
SELECT throws_ok($$ SELECT * FROM taskq.worker_heartbeat('st-own', '{}', '{}') $$, '42501', NULL, 'nor keeps it alive');
SELECT throws_ok($$ SELECT * FROM taskq.worker_heartbeat('st-first') $$, '42501', NULL, 'nor is told of those of the other');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('st-own') $$, '42501', 'permission denied to claim jobs for worker "st-own"', 'nor uses up what the worker may have');
SELECT is(pg_temp.hint_of($$ SELECT * FROM taskq.claim_job('st-own') $$), 'Use another worker id. Programs that share one log in as the same role, or as members of it.', 'the hint says what to do');
SELECT throws_ok($$ SELECT * FROM taskq.claim_jobs('st-first', 2, '{st-mail}') $$, '42501', NULL, 'nor claims for the other');
SET LOCAL ROLE regress_standing_c;
SELECT is(count(*), 1::bigint, 'a member of the role sends heartbeats') FROM taskq.worker_heartbeat('st-own') WHERE status = 'ok';
SELECT lives_ok($$ SELECT * FROM taskq.claim_job('st-own') $$, 'and claims');
SELECT lives_ok($$ SELECT * FROM taskq.claim_job() $$, 'what a session claims without an id is its own');
SET LOCAL ROLE regress_standing_d;
SELECT lives_ok($$ SELECT * FROM taskq.claim_job() $$, 'as whichever role');
RESET ROLE;
GRANT regress_standing_a TO regress_standing_d;
SET LOCAL ROLE regress_standing_d;
SELECT lives_ok($$ SELECT * FROM taskq.claim_job('st-own') $$, 'a role claims from when it is a member');
RESET ROLE;
REVOKE regress_standing_a FROM regress_standing_d;
SET LOCAL ROLE regress_standing_d;
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('st-own') $$, '42501', NULL, 'until it is none');
RESET ROLE;
SELECT taskq.grant_access('regress_standing_d', 'operator') \gset
SET LOCAL ROLE regress_standing_d;
SELECT lives_ok($$ SELECT * FROM taskq.worker_heartbeat('st-own') $$, 'an operator sends heartbeats');
SELECT lives_ok($$ SELECT * FROM taskq.claim_job('st-own') $$, 'and claims');
RESET ROLE;

-- without implicit workers -----------------------------------------------------------------
SET LOCAL taskq.implicit_workers = off;
SELECT throws_ok($$ SELECT * FROM taskq.claim_job() $$, 'TQ012', NULL, 'with taskq.implicit_workers off a session is given nothing');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('st-other', '{st-mail}') $$, 'TQ012', NULL, 'nor who names types');
SELECT lives_ok($$ SELECT * FROM taskq.claim_job('st-mailer') $$, 'but who is registered');

SELECT * FROM finish();
ROLLBACK;
