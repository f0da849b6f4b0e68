-- Instances of a worker: several processes with one worker id.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
SELECT plan(92);

-- Prepare a call with each number of its arguments, all positional and untyped, as drivers send them.
CREATE FUNCTION pg_temp.prepare_all(f text, fewest integer, most integer) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	FOR n IN fewest .. most LOOP
		EXECUTE format('PREPARE %1$s_%2$s AS SELECT * FROM taskq.%1$s(%3$s)', f, n, (SELECT string_agg('$' || i, ', ') FROM generate_series(1, n) i));
	END LOOP;
	RETURN 'prepared';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLERRM;
END $$;
CREATE FUNCTION pg_temp.shown(w text) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(concat_ws(' ', instance_id, state, running_jobs, max_concurrent_jobs), ', ' ORDER BY instance_id) FROM taskq.workers WHERE worker_id = w $$;
-- Claim one job for an instance, keep its epoch, return its name.
CREATE FUNCTION pg_temp.take_as(w text, i text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c taskq.job;
BEGIN
	SELECT * INTO c FROM taskq.claim_job(w, instance_id => i);
	UPDATE j SET e = c.epoch WHERE id = c.job_id;
	RETURN c.payload->>'n';
END $$;
CREATE FUNCTION pg_temp.why(w text, i text) RETURNS text LANGUAGE sql AS
	$$ SELECT reason FROM taskq.explain_claim(w, instance_id => i) WHERE task_type = 'in-a' $$;
CREATE FUNCTION pg_temp.beats(w text, i text) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(name || ' ' || status, ', ' ORDER BY name) FROM taskq.worker_heartbeat(w, instance_id => i) JOIN j ON id = job_id $$;
-- wait_for_job() commits -----------------------------------------------------------
SELECT taskq.register_handler('in-wait'), taskq.register_worker('in-wait', '{in-wait}', instance_id => 'a') \gset
CALL taskq.wait_for_job('in-wait', '0', NULL, 'a') \gset without_
SELECT taskq.enqueue_job('in-wait') AS waited \gset
CALL taskq.wait_for_job('in-wait', '0', NULL, 'a') \gset with_
CALL taskq.wait_for_job('in-wait', max_wait => '0', instance_id => 'a') \gset named_
SELECT results_eq(format($$ VALUES (%L::boolean, %L::boolean, %L::boolean) $$, :'without_found', :'with_found', :'named_found'),
	'VALUES (false, true, true)', 'wait_for_job() waits for a job of the instance');
SELECT taskq.discard_job(:waited), taskq.unregister_worker('in-wait', 'a'), taskq.unregister_handler('in-wait') \g /dev/null

BEGIN;
SELECT taskq.register_handler('in-a', retry_policy => 'fixed', retry_base => '0') \gset

-- forms of the calls -----------------------------------------------------------------
SELECT is(pg_temp.prepare_all(f, fewest, most), 'prepared', f || '() can be prepared with untyped parameters')
FROM (VALUES ('register_worker', 1, 8), ('claim_job', 0, 5), ('claim_jobs', 0, 6), ('worker_heartbeat', 1, 4), ('drain_worker', 1, 2),
	('unregister_worker', 1, 2), ('explain_claim', 0, 3)) v (f, fewest, most);
SELECT pg_temp.add('form', 'in-a') \g /dev/null
PREPARE forms AS SELECT concat_ws(' ', instance_id, max_concurrent_jobs) FROM taskq.workers WHERE worker_id = 'in-form';
EXECUTE register_worker_8('in-form', '{in-a}', '{default}', '{gpu}', 5, '90 s', false, 'a') \g /dev/null
SELECT results_eq('EXECUTE forms', $$ VALUES ('a 5'::text) $$, 'the last argument of register_worker() is instance_id');
PREPARE claimed AS SELECT concat_ws(' ', worker_id, instance_id) FROM taskq.all_jobs WHERE job_id = pg_temp.id('form');
EXECUTE claim_jobs_6('in-form', 1, NULL, NULL, NULL, 'a') \g /dev/null
SELECT results_eq('EXECUTE claimed', $$ VALUES ('in-form a'::text) $$, 'the last argument of claim_jobs() is instance_id');
SELECT taskq.release_job(job_id, epoch) FROM taskq.all_jobs WHERE job_id = pg_temp.id('form') \g /dev/null
EXECUTE claim_job_5('in-form', '{in-a}', '0', '1 h', 'a') \g /dev/null
SELECT results_eq('EXECUTE claimed', $$ VALUES ('in-form a'::text) $$, 'the last argument of claim_job() is instance_id');
EXECUTE worker_heartbeat_4('in-form', NULL, NULL, 'a') \gset beat_
SELECT is(:'beat_status'::text, 'ok', 'the last argument of worker_heartbeat() is instance_id');
EXECUTE drain_worker_2('in-form', 'a') \g /dev/null
SELECT is(pg_temp.shown('in-form'), 'a draining 1 5', 'the last argument of drain_worker() is instance_id');
EXECUTE unregister_worker_2('in-form', 'a') \g /dev/null
SELECT is(pg_temp.shown('in-form'), NULL, 'the last argument of unregister_worker() is instance_id');
SELECT is(pg_temp.state('form'), 'available 0', 'it has given the job back');
SELECT taskq.discard_job(pg_temp.id('form')) \g /dev/null

-- instances beside each other -----------------------------------------------------------
SELECT ok(taskq.register_worker('in-w', '{in-a}', max_concurrent_jobs => 1, lease => '90 s', instance_id => 'a'), 'an instance is registered');
SELECT ok(taskq.register_worker('in-w', '{in-a}', max_concurrent_jobs => 2, lease => '90 s', instance_id => 'b'), 'another instance of the worker is welcome');
SELECT ok(taskq.register_worker('in-w', '{in-a}', max_concurrent_jobs => 1, lease => '90 s'), 'and so is the default instance');
SELECT is(pg_temp.shown('in-w'), 'a idle 0 1, b idle 0 2, in-w idle 0 1', 'taskq.workers has a row for each; the default instance has the id of the worker');
SELECT ok(taskq.register_worker('in-other', '{in-a}', instance_id => 'a'), 'another worker may have an instance of the same name');
SELECT pg_temp.add('j' || i, 'in-a', i) FROM generate_series(1, 7) i \g /dev/null
SELECT is(pg_temp.take_as('in-w', 'a'), 'j1', 'instance a claims a job');
SELECT is(pg_temp.take_as('in-w', 'a'), NULL, 'it has max_concurrent_jobs');
SELECT is(pg_temp.why('in-w', 'a'), 'the worker has max_concurrent_jobs', 'explain_claim() says so');
SELECT is(pg_temp.why('in-w', 'b'), NULL, 'and that another instance has not');
SELECT is((SELECT string_agg(payload->>'n', ' ') FROM taskq.claim_jobs('in-w', 5, instance_id => 'b')), 'j2 j3', 'instance b has a limit of its own');
SELECT is(pg_temp.take_as('in-w', NULL), 'j4', 'a claim without instance_id is for the default instance');
SELECT is(pg_temp.take_as('in-w', 'in-w'), NULL, 'the worker''s id as the instance_id means the same');
SELECT is(pg_temp.take_as('in-other', 'a'), 'j5', 'the other worker claims');
UPDATE j SET e = epoch FROM taskq.all_jobs WHERE job_id = id;
SELECT is(pg_temp.shown('in-w'), 'a running 1 1, b running 2 2, in-w running 1 1', 'each has its jobs');
SELECT is((SELECT string_agg(name || ' ' || worker_id || ' ' || instance_id, ', ' ORDER BY name) FROM taskq.all_jobs JOIN j ON id = job_id WHERE state = 'running'),
	'j1 in-w a, j2 in-w b, j3 in-w b, j4 in-w in-w, j5 in-other a', 'all_jobs shows the instance of each claim');
SELECT is((SELECT worker_id || ' ' || instance_id FROM taskq.describe_job(pg_temp.id('j2'))), 'in-w b', 'describe_job() shows it');
SELECT is(pg_temp.beats('in-w', 'b'), 'j2 ok, j3 ok', 'a heartbeat is for the jobs of the instance');
SELECT is(pg_temp.beats('in-w', NULL), 'j4 ok', 'a heartbeat without instance_id is for those of the default instance');
SELECT is(pg_temp.beats('in-other', 'a'), 'j5 ok', 'and not for those of another worker''s instance of that name');

-- ends of runs ---------------------------------------------------------------------------
SELECT taskq.fail_job(pg_temp.id('j2'), pg_temp.e('j2'), 'no', retryable => false), taskq.complete_job(pg_temp.id('j3'), pg_temp.e('j3')),
	taskq.complete_job(pg_temp.id('j4'), pg_temp.e('j4')) \g /dev/null
SELECT is((SELECT string_agg(concat_ws(' ', name, worker_id, instance_id, outcome), ', ' ORDER BY name) FROM taskq.attempts JOIN j ON id = job_id WHERE name IN ('j2', 'j3', 'j4')),
	'j2 in-w b failed, j3 in-w b completed, j4 in-w in-w completed', 'attempts shows the instance');
SELECT is((SELECT string_agg(concat_ws(' ', name, worker_id, instance_id), ', ' ORDER BY name) FROM taskq.all_jobs JOIN j ON id = job_id WHERE finished_at IS NOT NULL AND name ~ '^j'),
	'j2 in-w b, j3 in-w b, j4 in-w in-w', 'all_jobs shows the last instance of a finished job');
SELECT is((SELECT count(*) FROM taskq.job_history WHERE instance_id = worker_id), 0::bigint, 'the history does not keep the worker''s id twice');
SELECT is((SELECT string_agg(payload->>'n', ' ') FROM taskq.claim_jobs('in-w', 5, instance_id => 'b')), 'j6 j7', 'ended runs make room for the same instance');
UPDATE j SET e = epoch FROM taskq.all_jobs WHERE job_id = id;

-- an instance that is alive ----------------------------------------------------------------
SELECT throws_ok($$ SELECT taskq.register_worker('in-w', instance_id => 'a') $$, 'TQ022', 'instance "a" of worker "in-w" is already registered and alive', 'an instance that is alive is not replaced');
SELECT is(substring(pg_temp.detail_of($$ SELECT taskq.register_worker('in-w', instance_id => 'a') $$) FROM 'until (.*)\.$')::timestamptz, last_seen + '180 s',
	'the detail says until when: for twice its lease') FROM taskq.workers WHERE worker_id = 'in-w' AND instance_id = 'a';
SELECT throws_ok($$ SELECT taskq.register_worker('in-w') $$, 'TQ022', 'worker "in-w" is already registered and alive', 'nor is the default instance');
SET LOCAL taskq.clock_offset = '150 s';
SELECT throws_ok($$ SELECT taskq.register_worker('in-w', instance_id => 'a') $$, 'TQ022', NULL, 'it is alive for twice its lease');
SET LOCAL taskq.clock_offset = '181 s';
SELECT is(taskq.register_worker('in-w', '{in-a}', max_concurrent_jobs => 1, lease => '90 s', instance_id => 'a'), false, 'after that it is replaced');
SET LOCAL taskq.clock_offset = 0;
SELECT is(taskq.register_worker('in-w', '{in-a}', max_concurrent_jobs => 1, lease => '90 s', take_over => true, instance_id => 'a'), false, 'take_over replaces one instance at once');
SELECT is(pg_temp.shown('in-w'), 'a running 1 1, b running 2 2, in-w idle 0 1', 'the others are as before');
SELECT is(pg_temp.take_as('in-w', 'a'), NULL, 'jobs of the process before count against its limit');
SELECT is(pg_temp.beats('in-w', 'a'), 'j1 ok', 'its heartbeats extend their leases');
SELECT ok(taskq.complete_job(pg_temp.id('j1'), pg_temp.e('j1')), 'that process can settle its job');

-- ends of one instance ---------------------------------------------------------------------
SELECT pg_temp.add('k1', 'in-a', -3), pg_temp.add('k2', 'in-a', -2), pg_temp.add('k3', 'in-a', -1) \g /dev/null
SELECT is(pg_temp.take_as('in-w', 'a') || pg_temp.take_as('in-w', NULL), 'k1k2', 'two instances claim');
SELECT ok(taskq.drain_worker('in-w', 'b'), 'one instance is drained');
SELECT is(pg_temp.shown('in-w'), 'a running 1 1, b draining 2 2, in-w running 1 1', 'the others are not');
SELECT is(pg_temp.why('in-w', 'b'), 'the worker is draining', 'explain_claim() says so');
SELECT ok(taskq.unregister_worker('in-w', 'a'), 'one instance is unregistered');
SELECT is((SELECT string_agg(name || ' ' || pg_temp.state(name), ', ' ORDER BY name) FROM j WHERE name IN ('j6', 'k1', 'k2')), 'j6 running 1, k1 available 0, k2 running 1', 'only its jobs are given back');
SELECT throws_ok(pg_temp.of('k1', 'SELECT taskq.complete_job(%s, %s)'), 'TQ003', NULL, 'their epochs are stale');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('in-w', instance_id => 'a') $$, 'TQ012', 'instance "a" of worker "in-w" was unregistered', 'it is given no more jobs');
SELECT throws_ok($$ SELECT * FROM taskq.worker_heartbeat('in-w', instance_id => 'a') $$, 'TQ012', 'instance "a" of worker "in-w" is not registered', 'its heartbeats are refused');
SELECT ok(NOT taskq.unregister_worker('in-w', 'a'), 'a second call returns false');
SELECT throws_ok($$ SELECT taskq.drain_worker('in-w', 'a') $$, 'TQ012', NULL, 'it cannot be drained');
SELECT ok(taskq.register_worker('in-w', '{in-a}', instance_id => 'a'), 'its name is free at once');
SELECT is(pg_temp.take_as('in-w', 'a'), 'k1', 'and it is given jobs again');
SELECT ok(taskq.unregister_worker('in-w'), 'unregister_worker() without instance_id ends the default instance');
SELECT is(pg_temp.shown('in-w'), 'a running 1, b draining 2 2', 'and no other');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('in-w') $$, 'TQ012', 'worker "in-w" was unregistered', 'a claim without instance_id is not given to another instance');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('in-other') $$, 'TQ012', 'worker "in-other" is not registered', 'nor is it if the default instance was never registered');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('in-other', '{in-a}') $$, 'TQ012', 'worker "in-other" is not registered', 'also if the call names task types, because other instances are registered');
SELECT is(reason_code, 'worker_names_no_instance', 'explain_claim() says so') FROM taskq.explain_claim('in-other', '{in-a}') WHERE task_type = 'in-a';
SELECT is(pg_temp.hint_of($$ SELECT * FROM taskq.claim_job('in-other') $$), 'Give the instance_id of a registered instance, or register this one with taskq.register_worker().', 'the hint says to name the instance');
SELECT is(pg_temp.hint_of($$ SELECT * FROM taskq.worker_heartbeat('in-other') $$), 'Give the instance_id of a registered instance, or register this one with taskq.register_worker().', 'so does that of a heartbeat');

-- a claim that registers its instance ------------------------------------------------------
SELECT is((SELECT payload->>'n' FROM taskq.claim_job('in-implicit', '{in-a}', instance_id => 'a')), 'k2', 'a claim with types registers its instance');
SELECT results_eq($$ SELECT instance_id, implicit FROM taskq.workers WHERE worker_id = 'in-implicit' $$, $$ VALUES ('a'::text, true) $$, 'taskq.workers shows it');
SELECT throws_ok($$ SELECT * FROM taskq.claim_job('in-implicit', instance_id => 'b') $$, 'TQ012', 'instance "b" of worker "in-implicit" is not registered', 'it says nothing of other instances');

-- arguments ---------------------------------------------------------------------------------
SELECT throws_ok('SELECT * FROM taskq.' || call, '22023', NULL, 'refused: ' || call)
FROM unnest(ARRAY['register_worker(''in-x'', instance_id => '''')', 'register_worker(''in-x'', instance_id => repeat(''x'', 64))', 'register_worker(''in-x'', instance_id => E''a\nb'')',
	'claim_job(''in-w'', instance_id => E''\x01'')', 'worker_heartbeat(''in-w'', instance_id => '''')', 'drain_worker(''in-w'', ''a b'')', 'unregister_worker(''in-w'', '''')',
	'explain_claim(''in-w'', instance_id => ''é'')', 'claim_job(instance_id => ''a'')', 'drain_worker(''pool#1'', ''a'')', 'explain_claim(''pool#1'', instance_id => ''a'')']) call;
SELECT ok(taskq.register_worker(repeat('w', 63), instance_id => repeat('i', 63)), 'the longest names are accepted');

-- roles ---------------------------------------------------------------------------------------
CREATE ROLE regress_in_a;
CREATE ROLE regress_in_b;
CREATE ROLE regress_in_c IN ROLE regress_in_a;
CREATE ROLE regress_in_adm;
SELECT count(taskq.grant_access(r::regrole, 'worker')) FROM unnest('{regress_in_a,regress_in_b,regress_in_c,regress_in_adm}'::text[]) r \g /dev/null
SELECT taskq.grant_access('regress_in_adm', 'admin') \g /dev/null
CREATE FUNCTION pg_temp.told(r text, s text) RETURNS text LANGUAGE sql AS $$ SELECT pg_temp.as_role('regress_in_' || r, 'SELECT taskq.' || s) $$;
SELECT is(pg_temp.told('a', $$register_worker('in-r', '{in-a}', instance_id => 'a')$$), 'true', 'a role registers an instance');
SELECT is(string_agg(pg_temp.told('b', s), ' '), '42501 42501 42501 42501 42501 42501 42501', 'another role can do nothing with the worker''s instances')
FROM unnest(ARRAY[$$register_worker('in-r', instance_id => 'b')$$, $$register_worker('in-r')$$, $$register_worker('in-r', take_over => true, instance_id => 'a')$$,
	$$drain_worker('in-r', 'a')$$, $$unregister_worker('in-r', 'a')$$, $$worker_heartbeat('in-r', instance_id => 'a')$$, $$claim_job('in-r', '{in-a}', instance_id => 'a')$$]) s;
SELECT is(pg_temp.told('b', $$claim_job('in-r', '{in-a}', instance_id => 'b')$$), '42501', 'nor can it register one by a claim');
SELECT is(pg_temp.told('c', $$register_worker('in-r', '{in-a}', instance_id => 'c')$$), 'true', 'a member of the role can register another');
SELECT is(pg_temp.told('a', $$register_worker('in-r', '{in-a}', take_over => true, instance_id => 'c')$$), '42501', 'the role itself cannot take over that of its member');
SELECT is(pg_temp.told('adm', $$register_worker('in-r', '{in-a}', take_over => true, instance_id => 'c')$$), 'false', 'an admin can');
SELECT is(pg_temp.told('adm', $$unregister_worker('in-r', 'c')$$) || pg_temp.told('a', $$unregister_worker('in-r', 'a')$$), 'truetrue', 'all instances end');
SELECT is(pg_temp.told('b', $$register_worker('in-r', '{in-a}', instance_id => 'b')$$), 'true', 'then another role can register instances under the id');

SELECT * FROM finish();
ROLLBACK;
