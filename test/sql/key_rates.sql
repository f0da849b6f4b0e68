-- Rates and quotas for each value of a key, and for one tenant: their arguments, which jobs start and when, what gives a start back, and what is explained and stored.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
SELECT * FROM no_plan();
SELECT taskq.register_handler('krate-' || t) FROM unnest('{a,b}'::text[]) t \g /dev/null
SELECT taskq.register_worker('krate-w', '{krate-a,krate-b}') \gset
CREATE FUNCTION pg_temp.armed() RETURNS boolean LANGUAGE sql AS
	$$ SELECT pg_temp.came($q$ SELECT bool_and(state = 'active') FROM taskq.limits $q$) $$;
-- enqueue a job with keys
CREATE FUNCTION pg_temp.put(n text, g text DEFAULT NULL, t text DEFAULT NULL, w integer DEFAULT NULL, p integer DEFAULT NULL, type text DEFAULT 'krate-a') RETURNS void LANGUAGE sql AS
	$$ INSERT INTO j VALUES (n, taskq.enqueue_job(type, jsonb_build_object('n', n), group_key => g, tenant_id => t, weight => w, priority => p)) $$;
CREATE FUNCTION pg_temp.tokens(g text) RETURNS bigint LANGUAGE sql AS $$ SELECT tokens FROM taskq.limit_usage WHERE group_key = g $$;
CREATE FUNCTION pg_temp.finish_all() RETURNS bigint LANGUAGE sql AS
	$$ SELECT count(taskq.complete_job(job_id, epoch)) FROM taskq.all_jobs WHERE state = 'running' $$;
-- end all jobs, and drop the limits
CREATE FUNCTION pg_temp.clear() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE state IN ('available', 'scheduled', 'retryable');
	PERFORM pg_temp.finish_all();
	PERFORM taskq.drop_limit(name) FROM taskq.limits;
	DELETE FROM j;
END $$;
-- are all waiting jobs in lanes?
CREATE FUNCTION pg_temp.moved() RETURNS boolean LANGUAGE sql AS
	$$ SELECT pg_temp.came($q$ SELECT NOT EXISTS (SELECT FROM taskq.jobs WHERE gate = 'o') $q$) $$;
-- Claim so many, one after the other, and wait for each; returns how many came.
CREATE FUNCTION pg_temp.take_waiting(n integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	came integer := 0;
BEGIN
	FOR i IN 1 .. n LOOP
		came := came + (SELECT count(*) FROM taskq.claim_job('krate-w', wait => '10 s'));
	END LOOP;
	RETURN came;
END $$;
CREATE FUNCTION krate_work(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE FUNCTION pg_temp.detail(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	d text;
BEGIN
	EXECUTE query;
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL;
	RETURN d;
END $$;

-- arguments ---------------------------------------------------------------------
SELECT throws_ok(format('SELECT taskq.set_limit(''l'', for_each => ''{group_key}'', rate => 5, overrides => %L)', o), '22023', 'overrides are not valid', 'refused: ' || o)
FROM unnest(ARRAY['{"a": 1}', '{"a": {"rate": 0}}', '{"a": {"rate": "5"}}', '{"a": {"rate": 1000001}}', '{"a": {"rate": 1.5}}', '{"a": {"quota": 5}}', '{"a": {"per": 5}}', '{"a": [5]}', '{"a": null}']) o;
SELECT is(pg_temp.detail(format('SELECT taskq.set_limit(''l'', for_each => ''{group_key}'', rate => 5, overrides => %L)', o)), d, 'the detail says what is wrong with ' || o)
FROM (VALUES ('{"a": 1}', 'The limit has no concurrency of its own, so no value can have another one.'), ('{"a": {"rate": 0}}', 'A rate must be a whole number from 1 to 1000000.'),
	('{"a": {"x": 1}}', 'A value has no number "x", only concurrency, rate, burst and quota.'), ('{"a": [1]}', 'The value of a name must be a number, or an object with numbers.')) v (o, d);
SELECT throws_ok($$ SELECT taskq.set_limit('l', for_each => '{group_key}', rate => 5, per => '1 ms', overrides => '{"a": {"rate": 2000}}') $$, '22023', 'overrides are not valid', 'refused: a rate above one start in a microsecond');
SELECT throws_ok($$ SELECT taskq.set_limit('l', for_each => '{group_key}', rate => 500, per => '366 days', overrides => '{"a": {"rate": 1, "burst": 101}}') $$, '22023', 'overrides are not valid', 'refused: a burst that takes more than 100 years');
SELECT lives_ok($$ SELECT taskq.set_limit('rate', task_type => 'krate-a', for_each => '{group_key}', concurrency => 50, rate => 1, per => '1 min', burst => 2, overrides => '{"big": {"rate": 2, "burst": 4}, "one": 1}') $$, 'set_limit() accepts a rate for each value of a key, and other numbers for single values');
BEGIN;
SELECT taskq.set_limit('fit', for_each => '{group_key}', rate => 1000, per => '366 days', burst => 100, overrides => '{"a": {"rate": 1}}') \gset
SELECT throws_ok($$ SELECT taskq.alter_limit('fit', burst => 101) $$, '22023', 'overrides are not valid', 'alter_limit() checks the overrides that stay');
ROLLBACK;
SELECT ok(pg_temp.armed(), 'the limit is armed');

-- a rate for each group ------------------------------------------------------------
-- the clock of this session is moved
SELECT pg_temp.put(g || n, g) FROM generate_series(1, 5) n, unnest('{x,y,big,one}'::text[]) g ORDER BY n, g \g /dev/null
SELECT pg_temp.put('free' || n) FROM generate_series(1, 2) n \g /dev/null
SELECT ok(pg_temp.moved(), 'the jobs are in lanes');
SELECT is(pg_temp.take_many('krate-w', 100), 'free1 free2', 'each value begins without a token, and jobs without the key are free');
SELECT is(reason_code, 'rate_limit', 'explain_claim() says so') FROM taskq.explain_claim('krate-w') WHERE task_type = 'krate-a';
SELECT matches(reason, '^all jobs that are due have keys whose limits let the next job start at 20', 'and when the next may start') FROM taskq.explain_claim('krate-w') WHERE task_type = 'krate-a';
SELECT matches(reason, '^the rate of limit "rate" for group "y" lets the next job start at 20', 'describe_job() says when its own group may start') FROM taskq.describe_job(pg_temp.id('y1'));
SELECT ok(next_start_at BETWEEN now() + '29 s' AND now() + '61 s', 'limit_usage shows when') FROM taskq.limit_usage WHERE group_key = 'x';
SET taskq.steady_offset = '31 s';
SELECT is(pg_temp.take_many('krate-w', 100), 'big1', 'after the time of its own token one of a faster group starts');
SET taskq.steady_offset = '61 s';
SELECT is(pg_temp.take_many('krate-w', 100), 'one1 x1 y1 big2', 'after that of the others one of each starts, in order');
SET taskq.clock_offset = '-1 h';
SELECT is(pg_temp.take_many('krate-w', 100), '', 'a clock that is set back starts nothing');
RESET taskq.clock_offset;
SET taskq.steady_offset = '122 s';
SELECT is(pg_temp.take_many('krate-w', 100), 'x2 y2 big3 big4', 'only time does; a concurrency still holds back the group that has less');
SET taskq.steady_offset = '1 h';
SELECT is(pg_temp.tokens('x') || ' ' || pg_temp.tokens('big'), '2 4', 'tokens add up to the burst of the value');
SELECT pg_temp.finish_all() \g /dev/null
SELECT pg_temp.put(g || n, g) FROM generate_series(6, 8) n, unnest('{x,y,big,new}'::text[]) g ORDER BY n, g \g /dev/null
SELECT is(pg_temp.take_many('krate-w', 100), 'one2 x3 y3 x4 y4 big5 big6 new6 big7 new7 big8', 'so many start at once; a value that is new after that time has its burst');
SELECT results_eq($$ SELECT group_key, rate, tokens, in_use FROM taskq.limit_usage WHERE group_key IN ('big', 'new') ORDER BY 1 $$, $$ VALUES ('big', 2, 0::bigint, 4), ('new', 1, 0, 2) $$, 'limit_usage shows the values');
SELECT ok(tokens IS NULL AND next_start_at IS NULL, 'and no tokens for all of them together') FROM taskq.limit_usage WHERE name = 'rate' AND group_key IS NULL;
SELECT throws_ok(format('SELECT taskq.run_job(%s, ''krate_work(jsonb)'')', pg_temp.id('x5')), '55P03', NULL, 'run_job() does not pass the rate');

-- a lane does not hold back another one, also ahead of it
SET taskq.steady_offset = '2 h';
SELECT pg_temp.finish_all() \g /dev/null
SELECT pg_temp.put('x first', 'x', p => -5), pg_temp.put('x second', 'x', p => -5), pg_temp.put('x third', 'x', p => -5), pg_temp.put('z', 'z') \gset
SELECT is(pg_temp.take_many('krate-w', 100), 'x first x second one3 y5 y6 new8 z', 'the free groups start behind one without tokens');
SELECT is(pg_temp.take('krate-w'), NULL, 'nothing else does');
SELECT taskq.drop_limit('rate') \gset
SELECT ok(pg_temp.came($$ SELECT pg_temp.take('krate-w') = 'x third' $$), 'when the limit is dropped, its lanes wait no longer');
SELECT pg_temp.clear() \gset

-- undone claims ----------------------------------------------------------------------
RESET taskq.steady_offset;
SELECT taskq.set_limit('rate', task_type => 'krate-a', for_each => '{group_key}', rate => 1, per => '1 min', burst => 3) \gset
SELECT ok(pg_temp.armed(), 'a limit is armed');
SELECT pg_temp.put(g || n, g) FROM generate_series(1, 6) n, unnest('{x,y}'::text[]) g ORDER BY n, g \g /dev/null
SET taskq.steady_offset = '1 h';
BEGIN;
SELECT is(pg_temp.take_many('krate-w', 100), 'x1 y1 x2 y2 x3 y3', 'each group has its burst');
ROLLBACK;
SELECT is(pg_temp.tokens('x') || ' ' || pg_temp.tokens('y'), '3 3', 'a claim that is rolled back gives back what it has paid');
BEGIN;
SAVEPOINT s;
SELECT pg_temp.take_many('krate-w', 100) \g /dev/null
ROLLBACK TO s;
SET LOCAL taskq.steady_offset = '3601 s';
SELECT is(pg_temp.take_many('krate-w', 100), 'x1 y1 x2 y2 x3 y3', 'and its lanes wait no longer');
COMMIT;
SELECT is(pg_temp.take_many('krate-w', 100), '', 'what is committed stays paid');
SELECT taskq.release_job(pg_temp.id('x1'), pg_temp.e('x1')) \gset
SELECT is(pg_temp.take_many('krate-w', 100), '', 'also after a release');
SET taskq.steady_offset = '2 h';
BEGIN;
SELECT state AS ran FROM taskq.run_next('{krate-a}', 'krate_work(jsonb)') \gset
SELECT is(:'ran'::text, 'completed', 'a handler runs by hand');
ROLLBACK;
SELECT is(pg_temp.tokens('x'), 2::bigint, 'when a handler was called, the start stays paid after a rollback');
SELECT pg_temp.clear() \gset

-- weights
RESET taskq.steady_offset;
SELECT taskq.set_limit('rate', task_type => 'krate-a', for_each => '{group_key}', rate => 1, per => '1 min', burst => 4, overrides => '{"big": {"burst": 9}}') \gset
SELECT ok(pg_temp.armed(), 'a limit is armed');
SELECT throws_ok($$ SELECT taskq.enqueue_job('krate-a', group_key => 'x', weight => 5) $$, '22023', 'a job that weighs 5 could never start', 'a weight over the burst is refused');
SELECT lives_ok($$ SELECT taskq.cancel_job(taskq.enqueue_job('krate-a', group_key => 'big', weight => 9)) $$, 'not if the value has a greater burst');
SELECT lives_ok($$ SELECT taskq.cancel_job(taskq.enqueue_job('krate-a', weight => 5)) $$, 'nor without the key');
SELECT pg_temp.put('x1', 'x', w => 3), pg_temp.put('x2', 'x', w => 3), pg_temp.put('x3', 'x'), pg_temp.put('y1', 'y', w => 2) \gset
SET taskq.steady_offset = '1 h';
SELECT is(pg_temp.take_many('krate-w', 100), 'x1 y1', 'a job pays its weight, and none of its value overtakes the next');
SET taskq.steady_offset = '3660 s';
SELECT is(pg_temp.take_many('krate-w', 100), '', 'a heavy job waits for all of it');
SET taskq.steady_offset = '3721 s';
SELECT is(pg_temp.take_many('krate-w', 100), 'x2', 'and starts when there is enough for it');
SET taskq.steady_offset = '3790 s';
SELECT is(pg_temp.take_many('krate-w', 100), 'x3', 'the light one follows');
SELECT pg_temp.put('x4', 'x', w => 4), pg_temp.put('y2', 'y') \gset
SELECT taskq.alter_limit('rate', burst => 2) \gset
SET taskq.steady_offset = '2 h';
SELECT is(pg_temp.take_many('krate-w', 100), 'y2', 'a job that weighs more than a later burst waits alone');
SELECT is(reason_code || ': ' || reason, 'weight_over_limit: the job weighs more than limit "rate" for group "x" lets start at once', 'describe_job() says why') FROM taskq.describe_job(pg_temp.id('x4'));
SELECT pg_temp.clear() \gset

-- both keys, one tenant, and several limits ----------------------------------------------
RESET taskq.steady_offset;
SELECT taskq.set_limit('both', task_type => 'krate-a', for_each => '{tenant_id,group_key}', rate => 1, per => '1 min', burst => 1, overrides => '{"t": {"g": {"burst": 2}}}') \gset
SELECT taskq.set_limit('tenant', task_type => 'krate-a', for_each => '{tenant_id}', rate => 3, per => '1 min', burst => 3) \gset
SELECT taskq.set_limit('alone', tenant_id => 'u', rate => 1, per => '1 min', burst => 2) \gset
SELECT taskq.set_limit('alone-g', tenant_id => 'u', for_each => '{group_key}', rate => 1, per => '1 min', burst => 1) \gset
SELECT ok(pg_temp.armed(), 'four limits are armed');
SELECT pg_temp.put(t || g || n, g, t) FROM generate_series(1, 3) n, unnest('{t,u}'::text[]) t, unnest('{g,h,i}'::text[]) g ORDER BY n, t, g \g /dev/null
SELECT pg_temp.put('b' || n, NULL, 'u', type => 'krate-b') FROM generate_series(1, 2) n \g /dev/null
SELECT ok(pg_temp.moved(), 'the jobs are in lanes');
SELECT is(pg_temp.take_many('krate-w', 100), '', 'no limit has a token yet');
SET taskq.steady_offset = '1 h';
SELECT is(pg_temp.take_many('krate-w', 100), 'tg1 th1 ti1 ug1 uh1', 'a tenant starts no more than it may, over all of its groups, and a group no more than it may');
SELECT is(tokens, 1::bigint, 'a value of both keys may have another burst') FROM taskq.limit_usage WHERE name = 'both' AND tenant_id = 't' AND group_key = 'g';
SELECT is(split_part(reason, ' lets', 1), 'the rate of limit "tenant" for tenant "t"', 'describe_job() names the limit of the tenant') FROM taskq.describe_job(pg_temp.id('tg2'));
SELECT is(split_part(reason, ' lets', 1), 'the rate of limit "alone"', 'and that for one tenant alone') FROM taskq.describe_job(pg_temp.id('b1'));
SELECT is(tokens, 0::bigint, 'whose tokens limit_usage shows') FROM taskq.limit_usage WHERE name = 'alone';
SET taskq.steady_offset = '3621 s';
SELECT is(pg_temp.take_many('krate-w', 100), 'tg2', 'the next token of the tenant goes to the first group that has one, too');
SET taskq.steady_offset = '3661 s';
SELECT is(pg_temp.take_many('krate-w', 100), 'ui1 th2 ti2', 'and so on, while the other tenant waits for its own');
SELECT pg_temp.put('T', 'g', 'T') \gset
SELECT is(pg_temp.take_many('krate-w', 100), 'T', 'keys are compared as text: another case is another tenant');
SELECT is(string_agg(tenant_id, ' ' ORDER BY tenant_id COLLATE "C"), 'T t u', 'with a row of its own') FROM taskq.limit_usage WHERE name = 'tenant';
SELECT pg_temp.clear() \gset

-- waiting ------------------------------------------------------------------------
RESET taskq.steady_offset;
SELECT taskq.set_limit('rate', task_type => 'krate-a', for_each => '{group_key}', rate => 10, burst => 1, overrides => '{"slow": {"rate": 2}}') \gset
SELECT ok(pg_temp.armed(), 'a limit is armed');
SELECT pg_temp.put('wait ' || g || n, g) FROM generate_series(1, 3) n, unnest('{slow,x}'::text[]) g \g /dev/null
SELECT is(pg_temp.take_waiting(6), 6, 'a claim waits until a group may start');
SELECT ok(min(lag) >= '90 ms', 'no group is faster than it may') FROM (SELECT started_at - lag(started_at) OVER (PARTITION BY group_key ORDER BY started_at) AS lag FROM taskq.all_jobs WHERE payload->>'n' LIKE 'wait %') s;
SELECT pg_temp.clear() \gset

-- quotas and slow rates --------------------------------------------------------------
SELECT taskq.set_limit('quota', task_type => 'krate-a', for_each => '{group_key}', quota => 4, quota_window => '1 hour', overrides => '{"big": {"quota": 8}}') \gset
SELECT ok(pg_temp.armed(), 'a quota is armed');
SELECT pg_temp.put(g || n, g) FROM generate_series(1, 10) n, unnest('{x,big}'::text[]) g ORDER BY n, g \g /dev/null
SELECT is(pg_temp.take_waiting(12), 12, 'claims wait for portions of a quota');
SELECT is_empty($$ SELECT FROM taskq.claim_job('krate-w', wait => '100 ms') $$, 'and get no more');
SELECT results_eq($$ SELECT group_key, count(*)::integer FROM taskq.all_jobs WHERE state = 'running' GROUP BY 1 ORDER BY 1 $$, $$ VALUES ('big', 8), ('x', 4) $$, 'each value has its own');
SELECT results_eq($$ SELECT group_key, quota, quota_left FROM taskq.limit_usage WHERE group_key IS NOT NULL ORDER BY 1 $$, $$ VALUES ('big', 8, 0::bigint), ('x', 4, 0) $$, 'limit_usage shows what is left');
SELECT ok(next_start_at BETWEEN now() + '59 min' AND now() + '62 min', 'and when the next may start') FROM taskq.limit_usage WHERE group_key = 'x';
SELECT is(reason_code, 'quota', 'describe_job() says so') FROM taskq.describe_job(pg_temp.id('x10'));
SELECT results_eq($$ SELECT tenant_id, group_key, reserved + (SELECT sum(u) FROM unnest(used) u) FROM taskq.limit_starts ORDER BY 2 $$, $$ VALUES ('', 'big', 8::bigint), ('', 'x', 4) $$, 'and it is stored');
SELECT taskq.alter_limit('quota', quota => 5) \gset
SELECT is(pg_temp.take_waiting(1), 1, 'a greater quota lets another one start');
SELECT taskq.alter_limit('quota', overrides => '{"big": {"quota": 9}}') \gset
SELECT is(pg_temp.take_waiting(1), 1, 'so does another override');
SELECT is_empty($$ SELECT FROM taskq.claim_job('krate-w', wait => '100 ms') $$, 'and no more');
SELECT pg_temp.clear() \gset
SELECT ok(pg_temp.came($$ SELECT count(*) = 0 FROM taskq.limit_starts $$), 'what is stored of a limit that was dropped is removed');
SELECT taskq.set_limit('slow', task_type => 'krate-a', for_each => '{group_key}', rate => 2, per => '1 day', burst => 3) \gset
SELECT ok(pg_temp.armed(), 'a slow rate is armed');
SELECT pg_temp.put(g || n, g) FROM generate_series(1, 5) n, unnest('{x,y}'::text[]) g ORDER BY n, g \g /dev/null
SELECT is(pg_temp.take_waiting(6), 6, 'each value begins with its burst');
SELECT is_empty($$ SELECT FROM taskq.claim_job('krate-w', wait => '100 ms') $$, 'and no more start');
SELECT is(pg_temp.tokens('x'), 0::bigint, 'limit_usage shows the tokens');
SELECT ok(next_start_at BETWEEN now() + '11 h' AND now() + '13 h', 'and when the next may start') FROM taskq.limit_usage WHERE group_key = 'x';
SELECT pg_temp.clear() \gset
SELECT taskq.unregister_worker('krate-w'), taskq.unregister_handler('krate-a'), taskq.unregister_handler('krate-b') \g /dev/null
DROP FUNCTION krate_work(jsonb);
SELECT * FROM finish();
