-- Rates and quotas of limits: their arguments, when a start is paid for, what gives it back, and what is explained.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
SELECT plan(109);
SELECT taskq.register_handler('rate-' || t) FROM unnest('{a,b,c}'::text[]) t \g /dev/null
SELECT taskq.register_worker('rate-w', '{rate-a,rate-b,rate-c}') \gset
CREATE FUNCTION pg_temp.armed() RETURNS boolean LANGUAGE sql AS
	$$ SELECT pg_temp.came($q$ SELECT bool_and(state = 'active') FROM taskq.limits $q$) $$;
CREATE FUNCTION pg_temp.tokens(l text) RETURNS bigint LANGUAGE sql AS $$ SELECT tokens FROM taskq.limit_usage WHERE name = l $$;
CREATE FUNCTION pg_temp.quota_left(l text) RETURNS bigint LANGUAGE sql AS $$ SELECT quota_left FROM taskq.limit_usage WHERE name = l $$;
CREATE FUNCTION pg_temp.numbers(l text) RETURNS text LANGUAGE sql AS
	$$ SELECT concat_ws(' ', concurrency, rate, per, burst, quota, quota_window) FROM taskq.limits WHERE name = l $$;
-- jobs with weights
CREATE FUNCTION pg_temp.add_heavy(n text, t text, weight integer) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO j VALUES (n, taskq.enqueue_job(t, jsonb_build_object('n', n), weight => weight)) $$;
CREATE FUNCTION pg_temp.finish(VARIADIC names text[]) RETURNS bigint LANGUAGE sql AS
	$$ SELECT count(taskq.complete_job(pg_temp.id(n), pg_temp.e(n))) FROM unnest(names) n $$;
-- Claim so many, one after the other, and wait for each; returns how many came.
CREATE FUNCTION pg_temp.take_waiting(n integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
	came integer := 0;
BEGIN
	FOR i IN 1 .. n LOOP
		came := came + (SELECT count(*) FROM taskq.claim_job('rate-w', wait => '5 s'));
	END LOOP;
	RETURN came;
END $$;
CREATE FUNCTION rate_work(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT '1'::jsonb $$;
CREATE FUNCTION pg_temp.why(t text) RETURNS text LANGUAGE sql AS
	$$ SELECT reason_code FROM taskq.explain_claim('rate-w') WHERE task_type = t $$;

-- arguments ---------------------------------------------------------------------
SELECT throws_ok(format('SELECT taskq.set_limit(''rate-l'', %s)', a), code, NULL, 'refused: set_limit ' || a)
FROM (VALUES ('rate => 0', '22023'), ('rate => 1000001', '22023'), ('per => ''1 s''', '22004'), ('burst => 5', '22004'), ('concurrency => 1, per => ''1 s''', '22023'),
	('concurrency => 1, burst => 5', '22023'), ('rate => 5, burst => 0', '22023'), ('rate => 5, per => ''0''', '22023'), ('rate => 5, per => ''-1 s''', '22023'),
	('rate => 5, per => ''367 days''', '22023'), ('rate => 5000, per => ''1 ms''', '22023'), ('rate => 1, per => ''366 days'', burst => 101', '22023'),
	('quota => 5', '22023'), ('quota_window => ''1 hour''', '22004'), ('concurrency => 1, quota_window => ''1 hour''', '22023'), ('quota => 0, quota_window => ''1 hour''', '22023'),
	('quota => 5, quota_window => ''0.5 s''', '22023'), ('quota => 5, quota_window => ''367 days''', '22023')) v (a, code);
SELECT is(pg_temp.hint_of($$ SELECT taskq.set_limit('rate-l', quota => 5) $$), 'Give the window, such as quota_window => ''1 hour''.', 'the hint says what is missing');
SELECT is(pg_temp.hint_of(format('SELECT taskq.set_limit(''rate-l'', rate => 5, per => %L)', i)), 'It can be from 0.001 seconds to 366 days.', 'the hint says how long a time of ' || i || ' should be') FROM unnest('{-1 s,2 years}'::text[]) i;
SELECT is(pg_temp.hint_of('SELECT taskq.set_limit(''rate-l'', quota => 5, quota_window => ''1 ms'')'), 'It can be from 1 second to 366 days.', 'so does that about a window');
SELECT taskq.set_limit('rate-l', 'default', 'rate-a', NULL, NULL, 5, 'all of it', 50, '2 s', 7, 1000, '1 hour') \gset
SELECT is(pg_temp.numbers('rate-l'), '5 50 @ 2 secs 7 1000 @ 1 hour', 'a limit may have a concurrency, a rate and a quota');
SELECT ok(pg_temp.armed(), 'it is armed');
SELECT is(concat_ws(' ', in_use, rate, quota, quota_left), '0 50 1000 1000', 'limit_usage shows them') FROM taskq.limit_usage;
SELECT taskq.set_limit('rate-l', task_type => 'rate-a', rate => 50) \gset
SELECT is(pg_temp.numbers('rate-l'), '50 @ 1 sec 5', 'per is a second, and burst a tenth of the rate, unless they are given');
SELECT taskq.set_limit('rate-l', task_type => 'rate-a', rate => 5, per => '1 min') \gset
SELECT is(pg_temp.numbers('rate-l'), '5 @ 1 min 1', 'burst is at least 1');
SELECT is(in_use, NULL, 'a limit without a concurrency has no use') FROM taskq.limit_usage;
SELECT taskq.alter_limit('rate-l') \gset
SELECT is(pg_temp.numbers('rate-l'), '5 @ 1 min 1', 'alter_limit() without values changes nothing');
SELECT taskq.alter_limit('rate-l', burst => 3, quota => 10, quota_window => '1 min') \gset
SELECT is(pg_temp.numbers('rate-l'), '5 @ 1 min 3 10 @ 1 min', 'alter_limit() changes what it is given, and adds a quota');
SELECT taskq.alter_limit('rate-l', concurrency => 2) \gset
SELECT ok(pg_temp.armed(), 'a concurrency that is added is armed');
SELECT throws_ok(format('SELECT taskq.alter_limit(''rate-l'', %s)', a), code, NULL, 'refused: alter_limit ' || a)
FROM (VALUES ('rate => 0', '22023'), ('burst => 0', '22023'), ('per => ''1 day'', rate => 1, burst => 1000000', '22023'), ('quota => 0', '22023')) v (a, code);
SELECT throws_ok(format('SELECT taskq.enqueue_job(''rate-b'', weight => %s)', w), '22023', NULL, 'refused: weight ' || w) FROM unnest('{0,-1,1000001}'::text[]) w;
SELECT throws_ok($$ SELECT taskq.enqueue_job('rate-a', weight => 4) $$, '22023', 'a job that weighs 4 could never start', 'a weight over the burst is refused');
SELECT throws_ok($$ SELECT taskq.enqueue_jobs('rate-a', '{"{}"}', weight => 4) $$, '22023', NULL, 'by enqueue_jobs() too');
SELECT taskq.alter_limit('rate-l', burst => 30) \gset
SELECT throws_ok($$ SELECT taskq.enqueue_job('rate-a', weight => 11) $$, '22023', NULL, 'so is a weight over the quota');
SELECT taskq.drop_limit('rate-l') \gset

-- a rate ----------------------------------------------------------------------------
-- a token a minute; the clock of this session is moved
SELECT taskq.set_limit('rate-a', task_type => 'rate-a', rate => 1, per => '1 min', burst => 3) \gset
SELECT pg_temp.add('a ' || n, 'rate-a') FROM generate_series(1, 20) n \g /dev/null
SELECT pg_temp.add('b 1', 'rate-b') \gset
SELECT is(pg_temp.take_many('rate-w', 100), 'b 1', 'a rate begins without a token, and other routes are free');
SELECT is(pg_temp.why('rate-a'), 'rate_limit', 'explain_claim() says so');
SELECT matches(reason, '^the rate of limit "rate-a" lets the next job start at 20', 'describe_job() says when the next job may start') FROM taskq.describe_job(pg_temp.id('a 1'));
SELECT is_empty($$ SELECT FROM taskq.unroutable_jobs WHERE task_type = 'rate-a' $$, 'unroutable_jobs does not show them');
SELECT ok(next_start_at BETWEEN now() AND now() + '61 s', 'limit_usage shows when') FROM taskq.limit_usage;
SET taskq.steady_offset = '61 s';
SELECT is(pg_temp.take_many('rate-w', 100), 'a 1', 'after the time of a token one starts');
SET taskq.clock_offset = '-1 h';
SELECT is(pg_temp.take_many('rate-w', 100), '', 'a clock that is set back starts nothing');
SELECT is(pg_temp.tokens('rate-a'), 0::bigint, 'it gives no token');
SET taskq.clock_offset = '1 h';
SELECT is(pg_temp.take_many('rate-w', 100), '', 'nor does one that is set forward');
RESET taskq.clock_offset;
SET taskq.steady_offset = '122 s';
SELECT is(pg_temp.take_many('rate-w', 100), 'a 2', 'only time does');
SET taskq.steady_offset = '1 h';
SELECT is(pg_temp.tokens('rate-a'), 3::bigint, 'tokens add up to the burst');
SELECT ok(next_start_at <= clock_timestamp(), 'and limit_usage shows that the next job may start now') FROM taskq.limit_usage;
SELECT is(pg_temp.take_many('rate-w', 100), 'a 3 a 4 a 5', 'so many start at once');
SELECT pg_temp.finish('a 1', 'a 3') \g /dev/null
SELECT taskq.release_job(pg_temp.id('a 2'), pg_temp.e('a 2')), taskq.snooze_job(pg_temp.id('a 4'), pg_temp.e('a 4'), '1 h'), taskq.fail_job(pg_temp.id('a 5'), pg_temp.e('a 5'), 'x', retry_in => '1 h') \gset
SELECT is(pg_temp.take_many('rate-w', 100), '', 'what is released, snoozed, failed or completed stays paid');

-- undone claims
SET taskq.steady_offset = '2 h';
BEGIN;
SELECT is(pg_temp.take_many('rate-w', 100), 'a 2 a 6 a 7', 'three are claimed');
ROLLBACK;
SELECT is(pg_temp.tokens('rate-a'), 3::bigint, 'a claim that is rolled back gives back what it has paid');
BEGIN;
SAVEPOINT s;
SELECT pg_temp.take_many('rate-w', 2) \g /dev/null
SELECT is(pg_temp.tokens('rate-a'), 1::bigint, 'an open claim has paid');
ROLLBACK TO s;
SELECT is(pg_temp.tokens('rate-a'), 3::bigint, 'ROLLBACK TO SAVEPOINT gives it back');
COMMIT;
BEGIN;
SELECT state AS ran FROM taskq.run_next('{rate-a}', 'rate_work(jsonb)') \gset
SELECT is(:'ran'::text, 'completed', 'a handler runs by hand');
ROLLBACK;
SELECT is(pg_temp.tokens('rate-a'), 2::bigint, 'when a handler was called, the start stays paid after a rollback');
BEGIN;
SELECT taskq.alter_limit('rate-a', burst => 100) \gset
SELECT is(pg_temp.take('rate-w'), NULL, 'a transaction that has changed a limit starts no job');
ROLLBACK;
SET taskq.steady_offset = '9000 s';
BEGIN;
SELECT is(pg_temp.take_many('rate-w', 100, 'rate-a'), 'a 2 a 6 a 7', 'a claim takes the burst');
SET LOCAL taskq.steady_offset = '9180 s';
SELECT is(count(*)::integer, 3, 'later as many jobs run') FROM generate_series(1, 3) n, LATERAL taskq.run_next(CASE WHEN n > 0 THEN '{rate-a}'::text[] END, 'rate_work(jsonb)');
ROLLBACK;
SET taskq.steady_offset = '9180 s';
SELECT is(pg_temp.tokens('rate-a'), 0::bigint, 'a claim that is rolled back late gets back no token that came in since');
BEGIN;
SELECT taskq.set_limit('rate-a', task_type => 'rate-a', concurrency => 5) \gset
SELECT is(count(*)::integer, 1, 'limit_usage shows a change that is not committed') FROM taskq.limit_usage WHERE rate IS NULL;
ROLLBACK;
SET taskq.steady_offset = '9240 s';
SELECT is(pg_temp.tokens('rate-a'), 1::bigint, 'and that changes nothing for others');

-- weights
SELECT taskq.alter_limit('rate-a', burst => 5) \gset
SELECT taskq.cancel_job(pg_temp.id('a ' || n)) FROM generate_series(6, 20) n \g /dev/null
SELECT taskq.cancel_job(pg_temp.id('a 2')) \gset
SET taskq.steady_offset = '3 h';
SELECT pg_temp.add_heavy('h 1', 'rate-a', 3), pg_temp.add_heavy('h 2', 'rate-a', 3), pg_temp.add_heavy('h 3', 'rate-a', NULL) \gset
SELECT is(pg_temp.take_many('rate-w', 100), 'h 1', 'a job pays its weight, and none of its route overtakes the next');
SELECT is(pg_temp.tokens('rate-a'), 2::bigint, 'so much is left');
SET taskq.steady_offset = '10890 s';
SELECT is(pg_temp.take_many('rate-w', 100), 'h 2', 'a heavy job starts when there is enough for it');
SELECT is(weight, 3, 'all_jobs shows the weight') FROM taskq.all_jobs WHERE job_id = pg_temp.id('h 2');
SELECT taskq.fail_job(pg_temp.id('h 2'), pg_temp.e('h 2'), 'x', error_type => 'permanent_error'), pg_temp.finish('h 1') \gset
SELECT is(weight, 3, 'also of a finished job') FROM taskq.all_jobs WHERE job_id = pg_temp.id('h 2');
SELECT taskq.retry_job(pg_temp.id('h 2')) \gset
SELECT is(weight, 3, 'a job that is put back keeps it') FROM taskq.all_jobs WHERE job_id = pg_temp.id('h 2');
SELECT taskq.alter_limit('rate-a', burst => 2) \gset
SELECT taskq.cancel_job(pg_temp.id('h 3')) \gset
SET taskq.steady_offset = '4 h';
SELECT is(pg_temp.take('rate-w'), NULL, 'a job that weighs more than a later burst waits');
SELECT is(reason_code, 'weight_over_limit', 'describe_job() says why') FROM taskq.describe_job(pg_temp.id('h 2'));
SELECT is(replace(value, pg_temp.id('h 2')::text, 'h 2') || ' ' || reason_code, '1 of type rate-a, such as job h 2: they weigh more than 2, and limit "rate-a" lets no more start at once weight_over_limit', 'status() names it') FROM taskq.status() WHERE name = 'jobs that never start';
SELECT throws_ok(format('SELECT taskq.run_job(%s, ''rate_work(jsonb)'')', pg_temp.id('h 2')), '55P03', NULL, 'run_job() does not start it either');
SELECT taskq.cancel_job(pg_temp.id('h 2')) \gset
SELECT is_empty($$ SELECT FROM taskq.status() WHERE name = 'jobs that never start' $$, 'but no job that can start');
SELECT taskq.set_limit('rate-none', task_type => 'rate-c', concurrency => 0) \gset
SELECT pg_temp.add('never', 'rate-c') \gset
SELECT is(replace(value, pg_temp.id('never')::text, 'never') || ' ' || reason_code, '1 of type rate-c, such as job never: limit "rate-none" lets no job run limit', 'status() names jobs whose limit is 0') FROM taskq.status() WHERE name = 'jobs that never start';
SELECT taskq.cancel_job(pg_temp.id('never')), taskq.drop_limit('rate-none') \gset

-- several limits
SELECT taskq.set_limit('rate-idle', task_type => 'rate-idle', rate => 1, per => '1 min', burst => 2), taskq.set_limit('rate-one', task_type => 'rate-idle', tenant_id => 't', rate => 1, per => '1 min', burst => 2) \gset
SELECT taskq.set_limit('rate-all', rate => 1, per => '1 min', burst => 2) \gset
SET taskq.steady_offset = '6 h';
SELECT ok(pg_temp.came($$ SELECT pg_temp.tokens('rate-all') = 2 $$), 'tokens of a new rate add up before the first claim');
SELECT ok(pg_temp.came(format('SELECT pg_temp.tokens(%L) = 2', l)), 'also if no job waits: ' || l) FROM unnest('{rate-idle,rate-one}'::text[]) l;
SELECT taskq.drop_limit('rate-idle'), taskq.drop_limit('rate-one') \gset
SELECT pg_temp.add('c ' || n, 'rate-c') FROM generate_series(1, 2) n \g /dev/null
SELECT pg_temp.add('s ' || n, 'rate-a') FROM generate_series(1, 2) n \g /dev/null
SELECT is(pg_temp.take_many('rate-w', 1, 'rate-a'), 's 1', 'a job pays all of its limits');
SELECT is(pg_temp.tokens('rate-a') || ' ' || pg_temp.tokens('rate-all'), '1 1', 'both');
SELECT is(pg_temp.take_many('rate-w', 9, 'rate-c'), 'c 1', 'a job of another type pays the common one');
SELECT is(pg_temp.take_many('rate-w', 9), '', 'then nothing starts');
SELECT is(pg_temp.tokens('rate-a') || ' ' || pg_temp.tokens('rate-all'), '1 0', 'and a job that one limit holds back pays none');
SELECT pg_temp.finish('s 1', 'c 1') \g /dev/null
SELECT taskq.drop_limit('rate-all'), taskq.drop_limit('rate-a') \gset
SELECT is(pg_temp.take_many('rate-w', 9), 'c 2 s 2', 'limits that were dropped hold nothing back');
SELECT pg_temp.finish('s 2', 'c 2') \g /dev/null

-- waiting
RESET taskq.steady_offset;
SELECT taskq.set_limit('rate-c', task_type => 'rate-c', rate => 20, burst => 1) \gset
SELECT pg_temp.add('w ' || n, 'rate-c') FROM generate_series(1, 3) n \g /dev/null
SELECT results_eq($$ SELECT payload->>'n' FROM taskq.claim_job('rate-w', wait => '5 s') $$, $$ VALUES ('w 1') $$, 'a claim waits until the next job may start');
SELECT results_eq($$ SELECT payload->>'n' FROM taskq.claim_job('rate-w', wait => '5 s') $$, $$ VALUES ('w 2') $$, 'and again');
SELECT taskq.drop_limit('rate-c') \gset

-- quotas and slow rates ----------------------------------------------------------------
SELECT taskq.cancel_job(pg_temp.id('w 3')) \gset
SELECT taskq.set_limit('rate-q', task_type => 'rate-b', quota => 8, quota_window => '1 hour') \gset
SELECT ok(pg_temp.armed(), 'a quota is armed');
SELECT is(pg_temp.quota_left('rate-q'), 8::bigint, 'all of it is left at first');
SELECT pg_temp.add('q ' || n, 'rate-b') FROM generate_series(1, 10) n \g /dev/null
SELECT is(pg_temp.take_waiting(4), 4, 'claims wait for portions of a quota');
SELECT is(pg_temp.quota_left('rate-q'), 4::bigint, 'limit_usage shows what is left');
SELECT ok(reserved + (SELECT sum(u) FROM unnest(used) u) >= 4, 'and it is stored') FROM taskq.limit_starts;
SELECT is(pg_temp.take_waiting(4), 4, 'all of it may start');
SELECT is_empty($$ SELECT FROM taskq.claim_job('rate-w', wait => '50 ms') $$, 'and no more');
SELECT is(pg_temp.why('rate-b'), 'quota', 'explain_claim() says so');
SELECT ok(next_start_at BETWEEN now() + '59 min' AND now() + '62 min', 'limit_usage shows when the next may start') FROM taskq.limit_usage;
SELECT is(count(*)::integer, 1, 'a limit has one row') FROM taskq.limit_starts;
SELECT taskq.alter_limit('rate-q', quota => 10) \gset
SELECT is(count(*)::integer, 1, 'a greater quota lets more start') FROM taskq.claim_job('rate-w', wait => '5 s');
SELECT taskq.alter_limit('rate-q', quota => 1000) \gset
SELECT ok(pg_temp.came($$ SELECT reserved > 100 FROM taskq.limit_starts $$), 'a portion of a great quota is reserved');
SELECT pg_temp.add('q ' || n, 'rate-b') FROM generate_series(11, 30) n \g /dev/null
SELECT is(pg_temp.take_waiting(1), 1, 'and one of it starts');
SELECT taskq.alter_limit('rate-q', quota => 12) \gset
SELECT is((SELECT count(*) FROM taskq.claim_jobs('rate-w', 100))::integer + pg_temp.take_waiting(1), 2, 'when the quota is lowered, no more of the portion start than it allows');
SELECT taskq.set_limit('rate-q', task_type => 'rate-b', rate => 1, per => '1 hour', burst => 2) \gset
SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE task_type = 'rate-b' AND state = 'available' \g /dev/null
SELECT taskq.drop_limit('rate-q') \gset
SELECT taskq.set_limit('rate-q', task_type => 'rate-b', rate => 1, per => '1 hour', burst => 2) \gset
SELECT ok(pg_temp.armed(), 'a slow rate is armed');
SELECT pg_temp.add('r ' || n, 'rate-b') FROM generate_series(1, 3) n \g /dev/null
SELECT is(pg_temp.take_waiting(2), 2, 'a new slow rate lets its burst start');
SELECT is_empty($$ SELECT FROM taskq.claim_job('rate-w', wait => '50 ms') $$, 'and no more');
SELECT is(pg_temp.why('rate-b'), 'rate_limit', 'explain_claim() says so');
SELECT taskq.drop_limit('rate-q') \gset
SELECT ok(pg_temp.came($$ SELECT count(*) = 0 FROM taskq.limit_starts $$), 'what is stored of a limit that was dropped is removed');

-- leave nothing that other tests would see
SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE task_type LIKE 'rate-%' AND state = 'running' \g /dev/null
SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE task_type LIKE 'rate-%' AND state IN ('available', 'scheduled', 'retryable') \g /dev/null
SELECT taskq.unregister_worker('rate-w') \gset
DROP FUNCTION rate_work(jsonb);
SELECT taskq.unregister_handler('rate-' || t) FROM unnest('{a,b,c}'::text[]) t \g /dev/null
SELECT * FROM finish();
