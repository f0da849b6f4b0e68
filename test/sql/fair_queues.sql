-- Fair queues: their arguments, whose turn it is, and how many turns each group has.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
SELECT * FROM no_plan();
SELECT taskq.register_handler('fair-' || t) FROM unnest('{a,b}'::text[]) t \g /dev/null
-- enqueue a job, whose name begins with its group
CREATE FUNCTION pg_temp.put(n text, g text DEFAULT NULL, t text DEFAULT NULL, p integer DEFAULT NULL, type text DEFAULT 'fair-a', q text DEFAULT 'fair', at timestamptz DEFAULT NULL) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO j VALUES (n, taskq.enqueue_job(type, jsonb_build_object('n', n), queue => q, group_key => g, tenant_id => t, priority => p, run_at => at)) $$;
-- enqueue so many jobs of a group
CREATE FUNCTION pg_temp.fill(g text, n integer, type text DEFAULT 'fair-a') RETURNS void LANGUAGE sql AS
	$$ SELECT pg_temp.put(g || i, g, type => type) FROM generate_series(1, n) i $$;
-- complete all that runs, and cancel all that waits
CREATE FUNCTION pg_temp.clear() RETURNS void LANGUAGE sql AS $$
	SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running';
	SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE state IN ('available', 'retryable', 'scheduled');
	TRUNCATE j $$;
-- A group that has just had a turn may have its next one only later. So each test has groups of its own.

-- how many jobs of each group so many claims get: one claim, or claims of one job
CREATE FUNCTION pg_temp.shares(names text) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(g || ' ' || n, ', ' ORDER BY g) FROM (SELECT rtrim(j, '0123456789') AS g, count(*) AS n FROM unnest(string_to_array(names, ' ')) j GROUP BY 1) s $$;
CREATE FUNCTION pg_temp.take_each(most integer) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(pg_temp.take('fair-w'), ' ') FROM generate_series(1, most) $$;
-- are all waiting jobs in lanes?
CREATE FUNCTION pg_temp.moved() RETURNS boolean LANGUAGE sql AS
	$$ SELECT pg_temp.came($q$ SELECT NOT EXISTS (SELECT FROM taskq.jobs WHERE gate = 'o') $q$) $$;

-- arguments ---------------------------------------------------------------------
SELECT throws_ok(format('SELECT taskq.create_queue(''x'', fair => true, %s)', a), '22023', message, 'refused: ' || a)
FROM (VALUES ('fair_by => ''{priority}''', 'a queue cannot be fair by "priority"'), ('fair_by => ''{NULL}''', 'fair_by has a NULL'), ('fair_by => ''{}''', 'fair_by is empty'),
	('fair_by => ''{group_key,group_key}''', 'fair_by has "group_key" twice'), ('weights => ''[]''', 'weights are not valid'), ('weights => ''3''', 'weights are not valid'),
	('weights => ''{"a": 0}''', 'weights are not valid'), ('weights => ''{"a": -1}''', 'weights are not valid'), ('weights => ''{"a": 0.009}''', 'weights are not valid'),
	('weights => ''{"a": 101}''', 'weights are not valid'), ('weights => ''{"a": "1"}''', 'weights are not valid'), ('weights => ''{"": 1}''', 'weights are not valid'),
	('weights => ''{"a": 1e400}''', 'weights are not valid'), ('weights => ''{"a": 1e-400}''', 'weights are not valid'),
	('weights => ''{"a": {"b": 1}}''', 'weights are not valid'), ('weights => ''{"a": 1}'', fair_by => ''{tenant_id,group_key}''', 'weights are not valid')) v (a, message);
SELECT throws_ok($$ SELECT taskq.create_queue('x', fair => NULL) $$, '22004', NULL, 'fair must not be NULL');
SELECT is(pg_temp.detail_of($$ SELECT taskq.create_queue('x', weights => '{"a": 0}') $$), 'Each weight must be a number from 0.01 to 100.', 'the detail says what is wrong with a weight');
SELECT results_eq($$ SELECT fair, fair_by, weights FROM taskq.queues WHERE queue = 'default' $$, $$ VALUES (false, '{group_key}'::text[], NULL::jsonb) $$, 'no queue is fair by default');
SELECT lives_ok($$ SELECT taskq.create_queue('fair', fair => true, weights => '{"heavy": 3, "light": 0.5}') $$, 'create_queue() accepts fair and weights');
SELECT results_eq($$ SELECT fair, fair_by, weights FROM taskq.queues WHERE queue = 'fair' $$, $$ VALUES (true, '{group_key}'::text[], '{"heavy": 3, "light": 0.5}'::jsonb) $$, 'taskq.queues shows them');
SELECT taskq.register_worker('fair-w', '{fair-a,fair-b}', '{fair}') \gset
SELECT throws_ok($$ SELECT taskq.alter_queue('fair', fair_by => '{tenant_id}') $$, '22023', 'fair_by of queue "fair" cannot be changed without its weights', 'weights are those of values of one key');
SELECT throws_ok($$ SELECT taskq.alter_queue('fair', weights => '{"a": {"b": 1}}') $$, '22023', 'weights are not valid', 'alter_queue() checks weights for the keys of the queue');
SELECT lives_ok($$ SELECT taskq.alter_queue('fair', fair_by => '{tenant_id,group_key}', weights => '{"t": {"a": 2}}') $$, 'weights for two keys are objects in an object');
SELECT results_eq($$ SELECT fair, fair_by, weights FROM taskq.queues WHERE queue = 'fair' $$, $$ VALUES (true, '{group_key,tenant_id}'::text[], '{"t": {"a": 2}}'::jsonb) $$, 'they are shown');
SELECT taskq.alter_queue('fair', fair_by => '{group_key}', weights => '{}') \gset
SELECT results_eq($$ SELECT fair, fair_by, weights FROM taskq.queues WHERE queue = 'fair' $$, $$ VALUES (true, '{group_key}'::text[], NULL::jsonb) $$, '{} removes all weights');

-- turns -------------------------------------------------------------------------
SELECT pg_temp.fill('a', 6), pg_temp.fill('b', 3), pg_temp.fill('c', 2) \g /dev/null
-- how many groups are before it is known if the scheduler has looked already
SELECT matches(reason, '^waits for its turn', 'describe_job() says that a job waits') FROM taskq.describe_job(pg_temp.id('c1'));
SELECT is(pg_temp.take_each(11), 'a1 b1 c1 a2 b2 c2 a3 b3 a4 a5 a6', 'groups take turns, and those that have jobs have the turns of the others');
SELECT pg_temp.clear() \g /dev/null
SELECT pg_temp.fill('d', 6), pg_temp.fill('e', 3), pg_temp.fill('f', 2) \g /dev/null
SELECT is(pg_temp.take_many('fair-w', 11), 'd1 e1 f1 d2 e2 f2 d3 e3 d4 d5 d6', 'so they do in one claim of many jobs');
SELECT pg_temp.clear() \g /dev/null
SELECT pg_temp.put('g1', 'g', p => 5), pg_temp.put('g2', 'g', p => 2), pg_temp.put('h1', 'h', p => 9), pg_temp.put('h2', 'h', p => 8), pg_temp.put('none2', p => 9), pg_temp.put('none1', p => 1) \g /dev/null
SELECT is(pg_temp.take_each(6), 'none1 g2 h2 g1 h1 none2', 'in a group the order is exact; jobs without the key are one group; priority does not count between groups');
SELECT pg_temp.clear() \g /dev/null

-- over two types, the group has one turn
SELECT pg_temp.put('i' || n, 'i'), pg_temp.put('ix' || n, 'i', type => 'fair-b'), pg_temp.put('k' || n, 'k', type => 'fair-b') FROM generate_series(1, 4) n \g /dev/null
SELECT is(pg_temp.shares(replace(pg_temp.take_each(8), 'ix', 'i')), 'i 4, k 4', 'a group with jobs of two types has one turn');
SELECT pg_temp.clear() \g /dev/null

-- who was idle does not catch up
SELECT pg_temp.fill('l', 20), pg_temp.fill('m', 20) \g /dev/null
SELECT is(pg_temp.shares(pg_temp.take_each(20)), 'l 10, m 10', 'two groups share');
SELECT pg_temp.fill('late', 20) \g /dev/null
SELECT is(reason, 'waits for its turn; groups before its own: ' || n, 'describe_job() says how many groups have their turn before: ' || job) FROM (VALUES ('late1', 0), ('l11', 1), ('m20', 2)) v (job, n), taskq.describe_job(pg_temp.id(job));
SELECT is(pg_temp.shares(pg_temp.take_each(9)), 'l 3, late 3, m 3', 'a group that was idle has no credit');
SELECT pg_temp.clear() \g /dev/null
SELECT pg_temp.fill('alone', 30) \g /dev/null
SELECT is(pg_temp.shares(pg_temp.take_each(20)), 'alone 20', 'a group that is alone has all turns');
SELECT pg_temp.fill('other', 5) \g /dev/null
SELECT is(pg_temp.shares(pg_temp.take_each(6)), 'alone 3, other 3', 'and that is not held against it');
SELECT pg_temp.clear() \g /dev/null

-- a claim that is rolled back gives the jobs back
SELECT pg_temp.fill('n', 4), pg_temp.fill('o', 4) \g /dev/null
BEGIN;
SELECT pg_temp.take_many('fair-w', 4) \gset
ROLLBACK;
SELECT is(pg_temp.shares(pg_temp.take_each(8)), 'n 4, o 4', 'jobs of a claim that was rolled back start later');
SELECT pg_temp.clear() \g /dev/null

-- weights -----------------------------------------------------------------------
SELECT taskq.alter_queue('fair', weights => '{"heavy": 3, "light": 0.5}') \gset
SELECT pg_temp.fill('heavy', 100), pg_temp.fill('light', 100), pg_temp.fill('one', 100) \g /dev/null
SELECT is(pg_temp.shares(pg_temp.take_each(45)), 'heavy 30, light 5, one 10', 'a group has turns by its weight');
SELECT is(pg_temp.shares(pg_temp.take_many('fair-w', 90)), 'heavy 60, light 10, one 20', 'also in one claim of many jobs');
SELECT taskq.alter_queue('fair', weights => '{"one": 2}') \gset
SELECT is(pg_temp.shares(pg_temp.take_each(4)), 'heavy 1, light 1, one 2', 'changed weights count at once');
SELECT pg_temp.clear(), taskq.alter_queue('fair', fair_by => '{tenant_id,group_key}', weights => '{"t": {"a": 2}}') \g /dev/null
SELECT pg_temp.put('ta' || n, 'a', 't'), pg_temp.put('ua' || n, 'a', 'u'), pg_temp.put('tb' || n, 'b', 't') FROM generate_series(1, 20) n \g /dev/null
SELECT is(pg_temp.shares(pg_temp.take_each(20)), 'ta 10, tb 5, ua 5', 'groups can be combinations of tenant and group key, with weights');
SELECT pg_temp.clear(), taskq.alter_queue('fair', fair_by => '{group_key}', weights => '{}') \g /dev/null

-- limits ------------------------------------------------------------------------
SELECT pg_temp.fill('a', 5), pg_temp.fill('b', 5), pg_temp.fill('c', 5) \g /dev/null
SELECT taskq.set_limit('one', queue => 'fair', for_each => '{group_key}', concurrency => 1, overrides => '{"c": 3}') \gset
SELECT ok(pg_temp.came($$ SELECT bool_and(state = 'active') FROM taskq.limits $$), 'a limit is armed');
SELECT is(pg_temp.take_many('fair-w', 9), 'a1 b1 c1 c2 c3', 'a limit for each group holds, and nobody waits for one that may not start');
SELECT taskq.complete_job(pg_temp.id('a1'), pg_temp.e('a1')), taskq.complete_job(pg_temp.id('c1'), pg_temp.e('c1')) \g /dev/null
SELECT is(pg_temp.take_many('fair-w', 9), 'a2 c4', 'the next ones start when there is room');
SELECT pg_temp.clear(), taskq.drop_limit('one'), taskq.alter_queue('fair', fair_by => '{tenant_id}') \g /dev/null
SELECT taskq.set_limit('one', queue => 'fair', for_each => '{group_key}', concurrency => 1) \gset
SELECT ok(pg_temp.came($$ SELECT bool_and(state = 'active') FROM taskq.limits $$), 'another limit is armed');
SELECT pg_temp.put('t' || n, 'g' || n, 't') FROM generate_series(1, 9) n \g /dev/null
SELECT pg_temp.put('u' || n, 'g' || n, 'u') FROM generate_series(9, 12) n \g /dev/null
SELECT is(pg_temp.take_each(9), 't1 u9 t2 u10 t3 u11 t4 u12 t5', 'tenants take turns, with a limit for each value of another key');
SELECT taskq.drop_limit('one') \gset
SELECT ok(pg_temp.came($$ SELECT NOT EXISTS (SELECT FROM taskq.jobs WHERE gate = 'l' AND lane >> 61 <> 1) $$), 'jobs are moved to the lanes of their groups when the limit has gone');
SELECT pg_temp.put('u' || n, 'x', 'u') FROM generate_series(13, 14) n \g /dev/null
SELECT is(pg_temp.shares(pg_temp.take_each(4)), 't 2, u 2', 'and the turns go on');
SELECT pg_temp.clear(), taskq.alter_queue('fair', fair_by => '{group_key}') \g /dev/null

-- on and off --------------------------------------------------------------------
SELECT taskq.alter_queue('fair', fair => false) \gset
SELECT pg_temp.fill('q', 4), pg_temp.fill('r', 4) \g /dev/null
SELECT is(pg_temp.take_each(2), 'q1 q2', 'without fair, jobs start in their order');
SELECT taskq.alter_queue('fair', fair => true) \gset
SELECT ok(pg_temp.moved(), 'the backlog is moved when the queue becomes fair');
SELECT is(pg_temp.take_each(4), 'q3 r1 q4 r2', 'and its groups take turns');
SELECT taskq.alter_queue('fair', fair => false), pg_temp.put('q0', 'q', p => -5) \g /dev/null
SELECT is(pg_temp.take_each(3), 'q0 r3 r4', 'jobs start in their order when it is turned off, from lanes, too');
SELECT pg_temp.clear(), taskq.alter_queue('fair', fair => true) \g /dev/null

-- with other queues -------------------------------------------------------------
SELECT taskq.register_worker('fair-all', '{fair-a,fair-b}'), taskq.create_queue('plain') \g /dev/null
SELECT pg_temp.fill('s', 3), pg_temp.put('p1', q => 'plain', p => -1), pg_temp.put('p2', q => 'plain'), pg_temp.fill('t', 2), pg_temp.put('p3', q => 'plain') \g /dev/null
SELECT is(pg_temp.take_many('fair-all', 8), 'p1 s1 p2 t1 s2 t2 s3 p3', 'between queues the order of the jobs that have their turn counts');
SELECT pg_temp.clear() \g /dev/null
SELECT taskq.register_worker('fair-list', '{fair-a,fair-b}', '{fair,plain}') \g /dev/null
SELECT pg_temp.put('p' || n, q => 'plain') FROM generate_series(1, 2) n \g /dev/null
SELECT pg_temp.fill('u', 2), pg_temp.fill('v', 1) \g /dev/null
SELECT is(pg_temp.take_many('fair-list', 8), 'u1 v1 u2 p1 p2', 'or that of the list of queues');
SELECT pg_temp.clear() \g /dev/null

-- jobs that are not due, and jobs of the claim's own transaction
SELECT pg_temp.fill('w', 2), pg_temp.put('x1', 'x', at => now() + '1 h'), pg_temp.fill('y', 1) \g /dev/null
SELECT is(pg_temp.take_each(3), 'w1 y1 w2', 'a group whose jobs are not due has no turn');
SELECT pg_temp.clear() \g /dev/null
BEGIN;
SELECT pg_temp.fill('own', 3), pg_temp.fill('too', 3) \g /dev/null
SELECT is(pg_temp.take_many('fair-w', 6), 'own1 too1 own2 too2 own3 too3', 'jobs that the claim''s own transaction has added take turns, too');
ROLLBACK;

-- turns of queues -----------------------------------------------------------------
CREATE ROLE regress_fair LOGIN;
SELECT taskq.create_queue('w' || n) FROM generate_series(1, 3) n \g /dev/null
SELECT throws_ok(format('SELECT taskq.%s', call), code, message, 'refused: ' || call)
FROM (VALUES ('create_pool(''x'', role => ''regress_fair'', queue_weights => ''[]'')', '22023', 'queue_weights are not valid'), ('create_pool(''x'', role => ''regress_fair'', queue_weights => ''{"w1": 0}'')', '22023', 'queue_weights are not valid'),
	('create_pool(''x'', role => ''regress_fair'', queue_weights => ''{"w9": 1}'')', '42704', 'queue "w9" does not exist'), ('create_pool(''x'', role => ''regress_fair'', queues => ''{w1}'', queue_weights => ''{"w2": 1}'')', '22023', 'queue_weights has queue "w2", which is not one of the queues'),
	('register_worker(''x'', queue_weights => ''{"w1": "1"}'')', '22023', 'queue_weights are not valid'), ('register_worker(''x'', queue_weights => ''{"": 1}'')', '22023', 'queue_weights are not valid'),
	('register_worker(''x'', queue_weights => ''{"w9": 1}'')', '42704', 'queue "w9" does not exist'), ('register_worker(''x'', queues => ''{w1}'', queue_weights => ''{"w2": 1}'')', '22023', 'queue_weights has queue "w2", which is not one of the queues')) v (call, code, message);
SELECT is(pg_temp.detail_of($$ SELECT taskq.create_pool('x', role => 'regress_fair', queue_weights => '{"": 1}') $$), '"" is not a valid name.', 'the detail says what is wrong with a name');
SELECT is(pg_temp.detail_of($$ SELECT taskq.create_pool('x', role => 'regress_fair', queue_weights => '[]') $$), 'They must be a JSON object.', 'and with another type of JSON');
SELECT lives_ok($$ SELECT taskq.create_pool('fair-pool', 0, 'regress_fair', queues => '{w1,w2}', queue_weights => '{"w1": 3}') $$, 'create_pool() accepts queue_weights');
SELECT is(queue_weights, '{"w1": 3}', 'taskq.pools shows them') FROM taskq.pools WHERE pool = 'fair-pool';
SELECT throws_ok($$ SELECT taskq.alter_pool('fair-pool', queues => '{w2}') $$, '22023', 'queue_weights has queue "w1", which is not one of the queues', 'alter_pool() checks them with new queues');
SELECT throws_ok($$ SELECT taskq.alter_pool('fair-pool', queue_weights => '{"w3": 1}') $$, '22023', 'queue_weights has queue "w3", which is not one of the queues', 'and new ones with the queues');
SELECT lives_ok($$ SELECT taskq.alter_pool('fair-pool', queues => '{}', queue_weights => '{"w3": 0.5}'), taskq.alter_pool('fair-pool', size => 0) $$, 'it changes both');
SELECT is(queue_weights, '{"w3": 0.5}', 'and keeps them if they are not given') FROM taskq.pools WHERE pool = 'fair-pool';
SELECT taskq.alter_pool('fair-pool', queue_weights => '{}') \gset
SELECT is(queue_weights, NULL, '{} removes them') FROM taskq.pools WHERE pool = 'fair-pool';
SELECT taskq.drop_pool('fair-pool') \gset
DROP ROLE regress_fair;
SELECT lives_ok($$ SELECT taskq.register_worker('fair-q', '{fair-a,fair-b}', '{w1,w2,w3}', queue_weights => '{"w2": 3}') $$, 'register_worker() accepts queue_weights');
SELECT is(queue_weights, '{"w2": 3}', 'taskq.workers shows them') FROM taskq.workers WHERE worker_id = 'fair-q';
CREATE FUNCTION pg_temp.fill_queues(n integer) RETURNS void LANGUAGE sql AS
	$$ SELECT pg_temp.put(q || '-' || i, q => q, p => CASE q WHEN 'w1' THEN 0 ELSE 5 END) FROM unnest('{w1,w2,w3}'::text[]) q, generate_series(1, n) i $$;
CREATE FUNCTION pg_temp.shares_of(names text) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(g || ' ' || n, ', ' ORDER BY g) FROM (SELECT split_part(j, '-', 1) AS g, count(*) AS n FROM unnest(string_to_array(names, ' ')) j GROUP BY 1) s $$;
SELECT pg_temp.fill_queues(40) \g /dev/null
SELECT is(pg_temp.shares_of((SELECT string_agg(pg_temp.take('fair-q'), ' ') FROM generate_series(1, 25))), 'w1 5, w2 15, w3 5', 'queues take turns by their weights, whatever the priorities of their jobs');
SELECT is(pg_temp.shares_of(pg_temp.take_many('fair-q', 25)), 'w1 5, w2 15, w3 5', 'also in one claim of many jobs');
SELECT is(pg_temp.shares_of(pg_temp.take_many('fair-q', 100)), 'w1 30, w2 10, w3 30', 'no turn is left unused');
SELECT pg_temp.clear() \g /dev/null
SELECT pg_temp.put('w1-' || i, q => 'w1') FROM generate_series(1, 60) i \g /dev/null
SELECT pg_temp.take_many('fair-q', 40) \gset
SELECT pg_temp.put('w3-' || i, q => 'w3') FROM generate_series(1, 20) i \g /dev/null
SELECT is(pg_temp.shares_of(pg_temp.take_many('fair-q', 10)), 'w1 5, w3 5', 'a queue that was empty has no credit');
SELECT pg_temp.clear() \g /dev/null
SELECT taskq.register_worker('fair-q', '{fair-a,fair-b}', queue_weights => '{"fair": 2, "w1": 1}', take_over => true) \gset
SELECT pg_temp.fill('fx', 20), pg_temp.fill('fy', 20), pg_temp.put('w1-' || i, q => 'w1') FROM generate_series(1, 1) i \g /dev/null
SELECT pg_temp.put('w1-' || i, q => 'w1', p => -1) FROM generate_series(2, 20) i \g /dev/null
SELECT is(pg_temp.shares_of(replace(replace(pg_temp.take_many('fair-q', 18), 'fx', 'fx-'), 'fy', 'fy-')), 'fx 6, fy 6, w1 6', 'a fair queue takes turns with others, and its groups within its own');
SELECT pg_temp.clear() \g /dev/null
SELECT taskq.register_worker('fair-q', '{fair-a,fair-b}', '{w3,w1}', take_over => true) \gset
SELECT pg_temp.fill_queues(5) \g /dev/null
SELECT is(pg_temp.shares_of(pg_temp.take_many('fair-q', 7)), 'w1 2, w3 5', 'without weights, the order of the list counts');
SELECT pg_temp.clear() \g /dev/null

SELECT taskq.unregister_worker('fair-' || w) FROM unnest('{w,all,list,q}'::text[]) w \g /dev/null
SELECT * FROM finish();
