-- Limits: their arguments, which claims they hold back, and what frees them.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
SELECT plan(68);
SELECT taskq.register_handler('lim-' || t) FROM unnest('{a,b,c}'::text[]) t \g /dev/null
SELECT taskq.create_queue('lim-q') \gset
SELECT taskq.register_worker('lim-w', '{lim-a,lim-b,lim-c}') \gset
CREATE FUNCTION pg_temp.armed() RETURNS boolean LANGUAGE sql AS
	$$ SELECT pg_temp.came($q$ SELECT bool_and(state = 'active') FROM taskq.limits $q$) $$;
CREATE FUNCTION pg_temp.used() RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(name || ' ' || in_use || '/' || concurrency, ', ' ORDER BY name) FROM taskq.limit_usage $$;
CREATE FUNCTION pg_temp.finish(VARIADIC names text[]) RETURNS bigint LANGUAGE sql AS
	$$ SELECT count(taskq.complete_job(pg_temp.id(n), pg_temp.e(n))) FROM unnest(names) n $$;

-- arguments ---------------------------------------------------------------------
SELECT lives_ok($$ SELECT taskq.set_limit('lim-1', 'lim-q', 'lim-a', concurrency => 5, description => 'for a') $$, 'set_limit() accepts all arguments');
SELECT results_eq($$ SELECT name, queue, task_type, concurrency, description, changed_by = current_user, changed_at <= now() + '1 min' FROM taskq.limits $$,
	$$ VALUES ('lim-1', 'lim-q', 'lim-a', 5, 'for a', true, true) $$, 'taskq.limits shows these values');
SELECT ok(pg_temp.armed(), 'a limit is armed soon after its commit');
SELECT is(waits_for, NULL, 'an active limit waits for nobody') FROM taskq.limits;
SELECT throws_ok(format('SELECT taskq.set_limit(%s)', a), code, NULL, 'refused: set_limit ' || a)
FROM (VALUES ('NULL', '22004'), ('''''', '22023'), ('''l''', '22004'), ('''l'', concurrency => -1', '22023'), ('''l'', concurrency => 1000001', '22023'),
	('''l'', ''l l'', concurrency => 1', '22023'), ('''l'', ''lim-none'', concurrency => 1', '42704'), ('''l'', task_type => '''', concurrency => 1', '22023'),
	('''lim-2'', ''lim-q'', ''lim-a'', concurrency => 1', '42710'), ('''l'', concurrency => 1, description => repeat(''x'', 5000)', '22023')) v (a, code);
SELECT throws_ok($$ SELECT taskq.set_limit('lim-2', 'lim-q', 'lim-a', concurrency => 1) $$, '42710', 'limit "lim-1" is for the same jobs', 'two limits for the same jobs are refused');
SELECT is(pg_temp.hint_of($$ SELECT taskq.set_limit('lim-2', 'lim-q', 'lim-a', concurrency => 1) $$), 'Change it with taskq.alter_limit(), or drop it with taskq.drop_limit().', 'the hint says what to do');
SELECT throws_ok(format('SELECT taskq.alter_limit(%s)', a), code, NULL, 'refused: alter_limit ' || a)
FROM (VALUES ('NULL', '22004'), ('''lim-none''', '42704'), ('''lim-1'', -1', '22023'), ('''lim-1'', description => repeat(''x'', 5000)', '22023')) v (a, code);
SELECT is(pg_temp.hint_of($$ SELECT taskq.set_limit('l') $$), 'Give it by concurrency => 5, rate => 50 or quota => 1000 with quota_window => ''1 hour'', for example.', 'the hint for a missing number says how to give it');
SELECT throws_ok($$ SELECT taskq.drop_queue('lim-q') $$, '2BP01', 'queue "lim-q" cannot be dropped because limit "lim-1" is for its jobs', 'a queue of a limit cannot be dropped');
SELECT lives_ok($$ SELECT taskq.alter_limit('lim-1') $$, 'alter_limit() without values changes nothing');
SELECT results_eq($$ SELECT queue, task_type, concurrency, description FROM taskq.limits $$, $$ VALUES ('lim-q', 'lim-a', 5, 'for a') $$, 'and the limit is as before');
SELECT taskq.alter_limit('lim-1', 6, 'six') \gset
SELECT results_eq($$ SELECT concurrency, description FROM taskq.limits $$, $$ VALUES (6, 'six') $$, 'alter_limit() changes the values that it is given');
SELECT ok(pg_temp.armed(), 'a limit with another number needs no arming');
SELECT taskq.set_limit('lim-1', task_type => 'lim-b', concurrency => 1) \gset
SELECT results_eq($$ SELECT queue, task_type, concurrency, description FROM taskq.limits $$, $$ VALUES (NULL::text, 'lim-b', 1, NULL::text) $$, 'set_limit() replaces all values');
SELECT ok(pg_temp.armed(), 'a limit for other jobs is armed again');
SELECT ok(taskq.drop_limit('lim-1'), 'drop_limit() drops a limit');
SELECT ok(NOT taskq.drop_limit('lim-1'), 'drop_limit() returns false if there is none');
SELECT is_empty($$ SELECT FROM taskq.limits $$, 'a limit that was dropped is not shown');
SELECT throws_ok($$ SELECT taskq.drop_limit(NULL) $$, '22004', NULL, 'refused: drop_limit(NULL)');

-- claims --------------------------------------------------------------------------
SELECT taskq.set_limit('lim-a', task_type => 'lim-a', concurrency => 2), taskq.set_limit('lim-q', queue => 'lim-q', concurrency => 2) \gset
SELECT ok(pg_temp.armed(), 'several limits are armed');
SELECT pg_temp.add(t || ' ' || n, 'lim-' || t) FROM unnest('{a,b}'::text[]) t, generate_series(1, 4) n ORDER BY t, n \g /dev/null
SELECT is(pg_temp.take_many('lim-w', 100), 'a 1 a 2 b 1 b 2 b 3 b 4', 'a claim of many gets as many as the limit allows, and all that are under none');
SELECT is(pg_temp.used(), 'lim-a 2/2, lim-q 0/2', 'limit_usage shows what is in use');
SELECT is(waiting, 2::bigint, 'and how many jobs wait') FROM taskq.limit_usage WHERE name = 'lim-a';
SELECT is(pg_temp.take('lim-w'), NULL, 'a claim gets no job of a route whose limit is reached');
SELECT is(reason, 'limit "lim-a" is reached', 'describe_job() says so') FROM taskq.describe_job(pg_temp.id('a 3'));
SELECT is_empty($$ SELECT FROM taskq.unroutable_jobs WHERE task_type = 'lim-a' $$, 'unroutable_jobs does not show them');
SELECT is(reason, 'limit "lim-a" is reached', 'explain_claim() says so') FROM taskq.explain_claim('lim-w') WHERE task_type = 'lim-a';
SELECT is(pg_temp.finish('a 1'), 1::bigint, 'a job is completed');
SELECT is(pg_temp.take_many('lim-w', 100), 'a 3', 'a completed job makes room for one');
SELECT taskq.fail_job(pg_temp.id('a 2'), pg_temp.e('a 2'), 'x', retry_in => '1 h') \gset
SELECT is(pg_temp.take_many('lim-w', 100), 'a 4', 'so does a failed one');
SELECT taskq.release_job(pg_temp.id('a 3'), pg_temp.e('a 3')) \gset
SELECT is(pg_temp.used(), 'lim-a 1/2, lim-q 0/2', 'so does a released one');
SELECT is(pg_temp.take('lim-w'), 'a 3', 'and it can be claimed again');
SELECT taskq.snooze_job(pg_temp.id('a 3'), pg_temp.e('a 3'), '1 h'), taskq.cancel_job(pg_temp.id('a 4')) \gset
SELECT ok(pg_temp.came($$ SELECT pg_temp.used() = 'lim-a 1/2, lim-q 0/2' $$), 'a snoozed one makes room, and a cancel request does not while the job runs');
SELECT pg_temp.finish('a 4', 'b 1', 'b 2', 'b 3', 'b 4') \g /dev/null
SELECT is(pg_temp.used(), 'lim-a 0/2, lim-q 0/2', 'when all jobs have ended, nothing is in use');

-- several limits for one job
SELECT pg_temp.add('q' || t || n, 'lim-' || t, q => 'lim-q') FROM unnest('{a,b}'::text[]) t, generate_series(1, 3) n ORDER BY n, t \g /dev/null
SELECT is(pg_temp.take_many('lim-w', 100), 'qa1 qb1', 'a job needs room in all its limits');
SELECT is(pg_temp.used(), 'lim-a 1/2, lim-q 2/2', 'it holds all of them');
SELECT taskq.set_limit('lim-all', concurrency => 3) \gset
SELECT ok(pg_temp.armed(), 'a limit for all jobs is armed');
SELECT is(pg_temp.used(), 'lim-a 1/2, lim-all 2/3, lim-q 2/2', 'a new limit counts what runs already');
SELECT pg_temp.add('a ' || n, 'lim-a') FROM generate_series(5, 8) n \g /dev/null
SELECT is(pg_temp.take_many('lim-w', 100), 'a 5', 'all limits hold together');
SELECT is(pg_temp.used(), 'lim-a 2/2, lim-all 3/3, lim-q 2/2', 'and all are in use');
SELECT taskq.alter_limit('lim-all', 1), taskq.alter_limit('lim-a', 1) \gset
SELECT is(pg_temp.used(), 'lim-a 2/1, lim-all 3/1, lim-q 2/2', 'a lower limit ends no job');
SELECT pg_temp.finish('qa1', 'qb1') \g /dev/null
SELECT is(pg_temp.take('lim-w'), NULL, 'none starts until there is room');
SELECT pg_temp.finish('a 5') \g /dev/null
SELECT is(pg_temp.take_many('lim-w', 100), 'qa2', 'then one starts');
SELECT taskq.alter_limit('lim-all', 0) \gset
SELECT pg_temp.finish('qa2') \g /dev/null
SELECT is(pg_temp.take('lim-w'), NULL, 'under a limit of 0 no job starts');
SELECT taskq.drop_limit('lim-all'), taskq.drop_limit('lim-a') \gset
SELECT is(pg_temp.take_many('lim-w', 100), 'qb2 qa3 a 6 a 7 a 8', 'limits that were dropped hold nothing back');
SELECT is(pg_temp.used(), 'lim-q 2/2', 'and the other one still does');
SELECT pg_temp.finish('qb2', 'qa3', 'a 6', 'a 7', 'a 8') \g /dev/null

-- transactions ----------------------------------------------------------------------
BEGIN;
SAVEPOINT one;
SELECT is(pg_temp.take('lim-w'), 'qb3', 'a claim in a subtransaction');
SELECT is(pg_temp.used(), 'lim-q 1/2', 'an open transaction holds what it has claimed');
ROLLBACK TO one;
SELECT is(pg_temp.used(), 'lim-q 0/2', 'ROLLBACK TO SAVEPOINT frees it');
SELECT pg_temp.take('lim-w') \g /dev/null
SAVEPOINT two;
SELECT pg_temp.finish('qb3') \g /dev/null
SELECT is(pg_temp.used(), 'lim-q 1/2', 'a job that is completed in the transaction of its claim holds the limit until the commit');
ROLLBACK;
SELECT is(pg_temp.used(), 'lim-q 0/2', 'ROLLBACK frees it');
BEGIN;
SELECT taskq.alter_limit('lim-q', 100) \gset
SELECT is(pg_temp.take('lim-w'), NULL, 'a transaction that has changed a limit starts no job');
SELECT is(reason, 'this transaction has changed limits', 'and explain_claim() says so') FROM taskq.explain_claim('lim-w') WHERE task_type = 'lim-b' AND queue = 'lim-q';
ROLLBACK;
SELECT is(pg_temp.take('lim-w'), 'qb3', 'after its rollback it does');
SELECT pg_temp.finish('qb3') \g /dev/null

-- by hand -----------------------------------------------------------------------------
SELECT pg_temp.add('hand ' || n, 'lim-c', q => 'lim-q') FROM generate_series(1, 2) n \g /dev/null
SELECT pg_temp.take_many('lim-w', 2) \g /dev/null
DELETE FROM taskq.jobs WHERE job_id = pg_temp.id('hand 1');
BEGIN;
SELECT taskq.enqueue_job('lim-a'), taskq.set_limit('lim-x', concurrency => 3) \gset
COMMIT;
SELECT ok(pg_temp.came($$ SELECT pg_temp.used() = 'lim-q 1/2, lim-x 1/3' $$), 'what a job holds that was deleted by hand is freed');
SELECT pg_temp.finish('hand 2') \g /dev/null
SELECT taskq.drop_limit('lim-q'), taskq.drop_limit('lim-x') \gset
-- leave nothing that other tests would see
SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE task_type LIKE 'lim-%' AND state IN ('available', 'scheduled', 'retryable') \g /dev/null
SELECT taskq.unregister_worker('lim-w') \gset
SELECT taskq.unregister_handler('lim-' || t) FROM unnest('{a,b,c}'::text[]) t \g /dev/null
SELECT * FROM finish();
