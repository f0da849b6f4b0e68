-- Limits for each value of a key: their arguments, which jobs claims are given, and in which order.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
SELECT * FROM no_plan();
SELECT taskq.register_handler('key-' || t) FROM unnest('{a,b,foreign}'::text[]) t \g /dev/null
SELECT taskq.register_worker('key-w', '{key-a,key-b}') \gset
CREATE FUNCTION pg_temp.armed() RETURNS boolean LANGUAGE sql AS
	$$ SELECT pg_temp.came($q$ SELECT bool_and(state = 'active') FROM taskq.limits $q$) $$;
-- enqueue a job with keys
CREATE FUNCTION pg_temp.put(n text, g text DEFAULT NULL, t text DEFAULT NULL, p integer DEFAULT NULL, at timestamptz DEFAULT NULL, type text DEFAULT 'key-a') RETURNS void LANGUAGE sql AS
	$$ INSERT INTO j VALUES (n, taskq.enqueue_job(type, jsonb_build_object('n', n), group_key => g, tenant_id => t, priority => p, run_at => at)) $$;
CREATE FUNCTION pg_temp.finish(VARIADIC names text[]) RETURNS bigint LANGUAGE sql AS
	$$ SELECT count(taskq.complete_job(pg_temp.id(n), pg_temp.e(n))) FROM unnest(names) n $$;
CREATE FUNCTION pg_temp.used() RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(concat_ws(' ', name, tenant_id, group_key, in_use || '/' || concurrency), ', ' ORDER BY name, tenant_id NULLS FIRST, group_key NULLS FIRST) FROM taskq.limit_usage $$;
-- are all waiting jobs in lanes?
CREATE FUNCTION pg_temp.moved() RETURNS boolean LANGUAGE sql AS
	$$ SELECT pg_temp.came($q$ SELECT NOT EXISTS (SELECT FROM taskq.jobs WHERE gate = 'o') $q$) $$;

-- arguments ---------------------------------------------------------------------
SELECT throws_ok(format('SELECT taskq.set_limit(''l'', concurrency => 1, %s)', a), code, message, 'refused: ' || a)
FROM (VALUES ('for_each => ''{priority}''', '22023', 'a limit cannot be for each "priority"'), ('for_each => ''{NULL}''', '22023', 'for_each has a NULL'), ('for_each => ''{}''', '22023', 'for_each is empty'),
	('for_each => ''{{group_key},{tenant_id}}''', '2202E', NULL), ('for_each => ''{group_key,group_key}''', '22023', 'for_each has "group_key" twice'), ('for_each => ''{{group_key}}'', tenant_id => ''''', '22023', NULL),
	('tenant_id => ''t'', for_each => ''{tenant_id}''', '22023', 'a limit for one tenant cannot be for each tenant'),
	('for_each => ''{group_key}'', overrides => ''{"a": {"rate": 5}}''', '22023', 'overrides are not valid'), ('overrides => ''{"a": 1}''', '22023', 'overrides are not valid'), ('for_each => ''{group_key}'', overrides => ''[]''', '22023', 'overrides are not valid'),
	('for_each => ''{group_key}'', overrides => ''1''', '22023', 'overrides are not valid'), ('for_each => ''{group_key}'', overrides => ''null''', '22023', 'overrides are not valid'),
	('for_each => ''{group_key}'', overrides => ''{"a": -1}''', '22023', 'overrides are not valid'), ('for_each => ''{group_key}'', overrides => ''{"a": 1.5}''', '22023', 'overrides are not valid'),
	('for_each => ''{group_key}'', overrides => ''{"a": 1e30}''', '22023', 'overrides are not valid'), ('for_each => ''{group_key}'', overrides => ''{"a": "1"}''', '22023', 'overrides are not valid'),
	('for_each => ''{group_key}'', overrides => ''{"": 1}''', '22023', 'overrides are not valid'), ('for_each => ''{group_key}'', overrides => ''{"a": {"b": 1}}''', '22023', 'overrides are not valid'),
	('for_each => ''{group_key,tenant_id}'', overrides => ''{"a": 1}''', '22023', 'overrides are not valid'), ('for_each => ''{group_key,tenant_id}'', overrides => ''{"a": {"b": {"c": 1}}}''', '22023', 'overrides are not valid')) v (a, code, message);
SELECT throws_ok(format('SELECT taskq.set_limit(''l'', for_each => ''{group_key}'', concurrency => 1, overrides => %L)', (SELECT jsonb_object_agg('g' || n, 1) FROM generate_series(1, 1001) n)), '22023', 'overrides are not valid', 'refused: more than 1000 overrides');
SELECT lives_ok($$ SELECT taskq.set_limit('group', task_type => 'key-a', for_each => '{group_key}', concurrency => 1, overrides => '{"two": 2, "none": 0}') $$, 'set_limit() accepts keys and overrides');
SELECT results_eq($$ SELECT for_each, tenant_id, overrides FROM taskq.limits $$, $$ VALUES ('{group_key}'::text[], NULL::text, '{"two": 2, "none": 0}'::jsonb) $$, 'taskq.limits shows them');
SELECT cmp_ok(sum(total_bytes), '<', 100000::numeric, 'a session keeps no more of them than there are') FROM pg_backend_memory_contexts WHERE name = 'taskq limits';
SELECT throws_ok($$ SELECT taskq.set_limit('l', task_type => 'key-a', for_each => '{group_key}', concurrency => 5) $$, '42710', 'limit "group" is for the same jobs', 'a second limit for each value of the same key is refused');
SELECT throws_ok($$ SELECT taskq.alter_limit('group', overrides => '{"a": true}') $$, '22023', 'overrides are not valid', 'alter_limit() checks overrides');

-- one for each group ------------------------------------------------------------
SELECT ok(pg_temp.armed(), 'the limit is armed');
SELECT pg_temp.put(g || n, g) FROM generate_series(1, 3) n, unnest('{a,b,two,none}'::text[]) g ORDER BY n, g \g /dev/null
SELECT pg_temp.put('free' || n) FROM generate_series(1, 2) n \g /dev/null
SELECT pg_temp.put('foreign', 'a', type => 'key-foreign') \g /dev/null
SELECT is(pg_temp.take_many('key-w', 100), 'a1 b1 two1 two2 free1 free2', 'a claim gets what each group may have, in order, and jobs without the key');
SELECT is(pg_temp.used(), 'group 4/1, group a 1/1, group b 1/1, group two 2/2', 'limit_usage shows the values in use');
SELECT is(pg_temp.take('key-w'), NULL, 'no other job may start');
SELECT is(reason, 'limit "group" is reached for group "a"', 'describe_job() says why') FROM taskq.describe_job(pg_temp.id('a2'));
SELECT is(string_agg(place, ' ' ORDER BY n), '1 2 1 3', 'and its place among the jobs of its group') FROM unnest('{a2,a3,b2,none3}'::text[]) WITH ORDINALITY j (name, n), taskq.describe_job(pg_temp.id(name));
SELECT is(reason, 'all jobs that are due have keys for which a limit is reached', 'explain_claim() says so') FROM taskq.explain_claim('key-w') WHERE task_type = 'key-a';
SELECT throws_ok(format('SELECT taskq.run_job(%s)', pg_temp.id('a2')), NULL, NULL, 'run_job() does not pass the limit');
SELECT is(pg_temp.finish('b1'), 1::bigint, 'a job is completed');
SELECT is(pg_temp.take_many('key-w', 100), 'b2', 'the next one of its group may start');
SELECT taskq.fail_job(pg_temp.id('a1'), pg_temp.e('a1'), 'x', retry_in => '1 h'), taskq.release_job(pg_temp.id('b2'), pg_temp.e('b2')) \gset
SELECT is(pg_temp.take_many('key-w', 100), 'a2 b2', 'so it is after a failure and a release, and a released job keeps its place');
SELECT is(taskq.cancel_job(pg_temp.id('a3')), 'cancelled', 'a waiting job is cancelled in its lane');
SELECT is(pg_temp.finish('a2', 'b2', 'two1', 'two2'), 4::bigint, 'these jobs are completed');
SELECT is(pg_temp.take_many('key-w', 100), 'b3 two3', 'a lane whose first job is gone holds nobody back');
SELECT taskq.alter_limit('group', overrides => '{}') \gset
SELECT ok(pg_temp.came($$ SELECT pg_temp.take('key-w') = 'none1' $$), 'without its override, a group has the number of the others');
SELECT taskq.alter_limit('group', 2) \gset
SELECT ok(pg_temp.came($$ SELECT pg_temp.take('key-w') = 'none2' $$), 'a higher number lets lanes go that wait');
SELECT is(pg_temp.finish('b3', 'two3', 'none1', 'none2', 'free1', 'free2'), 6::bigint, 'all are completed');
SELECT is(pg_temp.take_many('key-w', 100), 'none3', 'the last one starts');
SELECT is(pg_temp.finish('none3'), 1::bigint, 'and ends');
SELECT is(pg_temp.used(), 'group 0/2', 'nothing is in use then');
SELECT taskq.cancel_job(pg_temp.id('a1')) \gset

-- order -------------------------------------------------------------------------
SELECT taskq.alter_limit('group', 1) \gset
SELECT pg_temp.put('low', 'l', p => 9), pg_temp.put('x2', 'x', p => 5), pg_temp.put('y1', 'y', p => 5), pg_temp.put('high', 'y', p => 1), pg_temp.put('later', 'x', p => 1, at => now() + '1 h') \g /dev/null
SELECT is(pg_temp.take('key-w'), 'high', 'the first of all lanes comes first');
SELECT is(pg_temp.take_many('key-w', 100), 'x2 low', 'then those of the lanes that have room, in order');
SELECT pg_temp.finish('high', 'x2', 'low') \g /dev/null
BEGIN;
SET LOCAL taskq.clock_offset = '2 h';
SELECT is(pg_temp.take_many('key-w', 100), 'later y1', 'a job that has become due comes first in its lane');
ROLLBACK;
SELECT is(pg_temp.take_many('key-w', 100), 'y1', 'after a rollback it waits again');
SELECT pg_temp.finish('y1') \g /dev/null
SELECT taskq.cancel_job(pg_temp.id('later')) \gset

-- transactions ------------------------------------------------------------------
BEGIN;
SELECT pg_temp.put('own' || n, 'o' || n % 2) FROM generate_series(1, 4) n \g /dev/null
SELECT is(pg_temp.take_many('key-w', 100), 'own1 own2', 'a transaction sees its own jobs, and the limit');
SAVEPOINT s;
SELECT pg_temp.finish('own1') \g /dev/null
SELECT is(pg_temp.take_many('key-w', 100), '', 'a run that ends in this transaction holds the limit until its commit');
ROLLBACK TO s;
COMMIT;
SELECT is(pg_temp.used(), 'group 2/1, group o0 1/1, group o1 1/1', 'the claims of the transaction hold the limit');
SELECT pg_temp.finish('own1', 'own2') \g /dev/null
BEGIN;
SELECT is(pg_temp.take_many('key-w', 100), 'own3 own4', 'the others are claimed');
ROLLBACK;
SELECT is(pg_temp.used(), 'group 0/1', 'a claim that was rolled back holds nothing');
SELECT is(pg_temp.take_many('key-w', 100), 'own3 own4', 'and its jobs are in their lanes again');
SELECT pg_temp.finish('own3', 'own4') \g /dev/null

-- other keys, and several limits ----------------------------------------------------
SELECT pg_temp.put(t || g || n, g, t) FROM generate_series(1, 3) n, unnest('{t,u}'::text[]) t, unnest('{a,b}'::text[]) g ORDER BY n, t, g \g /dev/null
SELECT taskq.set_limit('tenant', for_each => '{tenant_id}', concurrency => 3), taskq.set_limit('both', for_each => '{tenant_id,group_key}', concurrency => 2, overrides => '{"t": {"a": 1}}'), taskq.alter_limit('group', 3) \gset
SELECT ok(pg_temp.armed() AND pg_temp.came($$ SELECT count(DISTINCT lane) = 4 AND bool_and(gate = 'l' AND lane >> 61 = 3) FROM taskq.jobs WHERE tenant_id IS NOT NULL AND gate <> 'r' $$), 'jobs that wait are moved to the lanes of the new keys');
SELECT is(pg_temp.take_many('key-w', 100), 'ta1 tb1 ua1 ub1 tb2 ua2', 'all limits hold together');
SELECT pg_temp.finish('tb1') \g /dev/null
SELECT is(pg_temp.take_many('key-w', 100), 'tb3', 'a job that ends lets a job start for which all limits have room');
SELECT pg_temp.finish('ta1', 'ua1') \g /dev/null
SELECT is(pg_temp.take_many('key-w', 100), 'ta2 ua3', 'also one that waited for another limit before');
SELECT results_eq($$ SELECT name, tenant_id, group_key, in_use, concurrency FROM taskq.limit_usage WHERE name = 'both' AND tenant_id = 't' ORDER BY 3 $$, $$ VALUES ('both', 't', 'a', 1, 1), ('both', 't', 'b', 2, 2) $$, 'limit_usage shows both keys');
SELECT ok(taskq.drop_limit('both') AND taskq.drop_limit('group') AND taskq.drop_limit('tenant'), 'the limits are dropped');
SELECT ok(pg_temp.came($$ SELECT pg_temp.take('key-w', 'key-a') = 'ub2' $$), 'jobs in lanes start without limits');
SELECT pg_temp.put('new', 'a', 't') \g /dev/null
SELECT is(pg_temp.take_many('key-w', 100), 'ta3 ub3 new', 'in order with those that came later');
SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE task_type = 'key-a' AND state = 'running' \g /dev/null

-- one tenant, and a backlog --------------------------------------------------------
SELECT pg_temp.put('t' || n, t => 't') FROM generate_series(1, 3) n \g /dev/null
SELECT pg_temp.put('v' || n, t => 'v') FROM generate_series(1, 2) n \g /dev/null
SELECT taskq.enqueue_jobs('key-b', array_fill('{"n": "many"}'::jsonb, ARRAY[1200]), group_key => 'many') \g /dev/null
SELECT taskq.set_limit('one-tenant', tenant_id => 't', concurrency => 1) \gset
SELECT ok(pg_temp.armed() AND pg_temp.moved(), 'a backlog is moved to lanes');
SELECT is(pg_temp.take_many('key-w', 5, 'key-a'), 't1 v1 v2', 'a limit for one tenant leaves the others alone');
SELECT is(tenant_id, 't', 'limit_usage shows the tenant') FROM taskq.limit_usage;
SELECT is(reason, 'limit "one-tenant" is reached', 'describe_job() names the limit') FROM taskq.describe_job(pg_temp.id('t2'));
SELECT is((SELECT count(*) FROM taskq.claim_jobs('key-w', 1000, '{key-b}')), 1000::bigint, 'many jobs of one lane are claimed at once');
SELECT is((SELECT count(*) FROM taskq.claim_jobs('key-w', 1000, '{key-b}')), 200::bigint, 'and the rest');
SELECT is(waiting, 3::numeric, 'jobs in lanes are counted') FROM (SELECT sum(available) AS waiting FROM taskq.stat_queues) s;
SELECT taskq.drop_limit('one-tenant') \gset
SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running' AND task_type LIKE 'key-%' \g /dev/null
SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE state IN ('available', 'retryable', 'scheduled') AND task_type LIKE 'key-%' \g /dev/null

-- a lane with more jobs than memory has of it ------------------------------------------
SELECT taskq.set_limit('group', for_each => '{group_key}', concurrency => 1) \gset
SELECT ok(pg_temp.armed(), 'a limit of one job at a time is armed');
CREATE TEMP TABLE taken (is_first boolean);
CREATE FUNCTION pg_temp.run_next() RETURNS void LANGUAGE sql AS $$
	WITH first AS MATERIALIZED (SELECT job_id FROM taskq.jobs WHERE gate = 'l' ORDER BY priority, run_at, job_id LIMIT 1),
		c AS MATERIALIZED (SELECT c.job_id, taskq.complete_job(c.job_id, c.epoch) FROM taskq.claim_job('key-w') c)
	INSERT INTO taken SELECT c.job_id = first.job_id FROM first LEFT JOIN c ON true $$;
\o /dev/null
SELECT CASE WHEN i % 3 < 2 THEN format('SELECT pg_temp.put(%L, %L, p => %s)', 'x' || i, 'g' || i % 2, (i * 7919) % 11 % 5) ELSE 'SELECT pg_temp.run_next()' END FROM generate_series(1, 150) i
UNION ALL SELECT 'SELECT pg_temp.run_next()' FROM generate_series(1, 50) \gexec
\o
SELECT is(count(*) FILTER (WHERE is_first) || ' of ' || count(*), '100 of 100', 'each claim is given the first job of all, also of lanes of which jobs are not known') FROM taken;
SELECT is_empty($$ SELECT FROM taskq.jobs WHERE gate = 'l' $$, 'and none is left');
SELECT taskq.drop_limit('group') \gset

-- rows written by hand -------------------------------------------------------------
INSERT INTO taskq.limit_defs (name, concurrency, changed_by, changed_at, for_each) SELECT 'hand' || n, 1000, current_user, now(), ARRAY['x' || n] FROM generate_series(1, 40) n;
SELECT taskq.set_limit('hand', task_type => 'key-a', concurrency => 5) \gset
SELECT ok(pg_temp.armed(), 'limits that were written by hand are armed');
SELECT pg_temp.put('under many') \g /dev/null
SELECT is(pg_temp.take('key-w'), 'under many', 'of 40 limits for the same jobs, one counts');
SELECT pg_temp.finish('under many'), taskq.drop_limit(name) FROM taskq.limits \g /dev/null

-- rights ------------------------------------------------------------------------
SELECT taskq.set_limit('tenant', for_each => '{tenant_id}', concurrency => 2, overrides => '{"t": 1}'), taskq.set_limit('of-t', tenant_id => 't', for_each => '{group_key}', concurrency => 2) \gset
SELECT ok(pg_temp.armed(), 'limits of tenants are armed');
SELECT pg_temp.put('mine', 'g', 't'), pg_temp.put('theirs', 'g', 'v') \g /dev/null
SELECT is(pg_temp.take_many('key-w', 5), 'mine theirs', 'jobs of two tenants run');
CREATE ROLE regress_key_limits;
SELECT taskq.grant_access('regress_key_limits', 'observer', tenants => '{v}') \gset
SET ROLE regress_key_limits;
SELECT results_eq($$ SELECT name, tenant_id, group_key, in_use FROM taskq.limit_usage ORDER BY 1, 2 NULLS FIRST $$, $$ VALUES ('tenant', NULL::text, NULL::text, 2), ('tenant', 'v', NULL, 1) $$, 'an observer of one tenant sees its values only');
SELECT results_eq($$ SELECT name, overrides FROM taskq.limits $$, $$ VALUES ('tenant', NULL::jsonb) $$, 'and no limit or override of another tenant');
SELECT throws_ok($$ SELECT taskq.set_limit('x', for_each => '{tenant_id}', concurrency => 1) $$, '42501', NULL, 'and cannot make one');
RESET ROLE;
SELECT taskq.revoke_access('regress_key_limits', 'observer'), pg_temp.finish('mine', 'theirs'), taskq.drop_limit('tenant'), taskq.drop_limit('of-t') \g /dev/null
DROP ROLE regress_key_limits;
SELECT taskq.unregister_worker('key-w'), taskq.unregister_handler('key-a'), taskq.unregister_handler('key-b'), taskq.unregister_handler('key-foreign') \g /dev/null
SELECT * FROM finish();
