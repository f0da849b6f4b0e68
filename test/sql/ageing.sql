-- Queues in which the priorities of waiting jobs improve: age_every.
\set ECHO none
\i test/sql/include/tap.sql
SELECT plan(27);
SELECT taskq.register_handler(t) FROM unnest('{age-a,age-b}'::text[]) t \g /dev/null

-- the setting ---------------------------------------------------------------------
SELECT lives_ok($$ SELECT taskq.create_queue('age-1', age_every => '1 min') $$, 'a queue can have age_every');
SELECT is(age_every, '1 min', 'the view shows it') FROM taskq.queues WHERE queue = 'age-1';
SELECT taskq.create_queue('age-strict'), taskq.alter_queue('age-1', description => 'x') \g /dev/null
SELECT is(array_agg(age_every ORDER BY queue), '{"1 min",null}', 'it is NULL by default, and other changes leave it as it is') FROM taskq.queues WHERE queue LIKE 'age-%';
SELECT throws_ok(format('SELECT taskq.alter_queue(''age-1'', age_every => %L)', a), '22023', 'age_every must be from 1 millisecond to 365 days', 'refused: ' || a)
FROM unnest('{-1 s,999 us,366 d,1 mon 336 d,11 y}'::text[]) a;
SELECT is(pg_temp.hint_of($$ SELECT taskq.create_queue('age-2', age_every => '500 us') $$), 'Give 0 for strict priorities.', 'the hint says how to have strict priorities');
SELECT lives_ok(format('SELECT taskq.alter_queue(''age-1'', age_every => %L)', a), 'accepted: ' || a) FROM unnest('{1 ms,365 d}'::text[]) a;
SELECT taskq.alter_queue('age-1', age_every => '0') \g /dev/null
SELECT is(age_every, NULL, '0 makes the priorities strict again') FROM taskq.queues WHERE queue = 'age-1';

-- an order by ids and one by age exclude each other
SELECT throws_ok($$ SELECT taskq.create_queue('age-2', ordered => true, age_every => '1 min') $$, '22023', 'an ordered or fair queue cannot have age_every', 'a queue cannot be ordered and have age_every');
SELECT taskq.create_queue('age-3', ordered => true), taskq.create_queue('age-4', age_every => '1 min') \g /dev/null
SELECT throws_ok($$ SELECT taskq.alter_queue('age-3', age_every => '1 min') $$, '22023', 'an ordered or fair queue cannot have age_every', 'an ordered queue cannot get age_every');
SELECT throws_ok($$ SELECT taskq.alter_queue('age-4', ordered => true) $$, '22023', 'an ordered or fair queue cannot have age_every', 'a queue with age_every cannot become ordered');
SELECT throws_ok($$ SELECT taskq.alter_queue('age-4', fair => true) $$, '22023', 'an ordered or fair queue cannot have age_every', 'nor fair');
SELECT lives_ok($$ SELECT taskq.alter_queue('age-4', ordered => true, age_every => '0') $$, 'one can be exchanged for the other');
SELECT taskq.drop_queue('age-3'), taskq.drop_queue('age-4') \g /dev/null

-- the order -----------------------------------------------------------------------
-- In which order the jobs are claimed, and in which they should be.
CREATE TEMP TABLE got (n serial, job_id bigint);
CREATE TEMP TABLE wanted (n int, job_id bigint);
-- Enqueue jobs of 12 priorities, whose run_at are spread over this time from now on.  The claims come an hour later.
CREATE FUNCTION pg_temp.fill(queues text[], types text[], jobs int, spread interval) RETURNS void LANGUAGE plpgsql SET taskq.clock_offset = 0 AS $$
BEGIN
	PERFORM taskq.enqueue_job(types[1 + i % cardinality(types)], queue => queues[1 + i / 2 % cardinality(queues)], priority => (7 * i) % 12 - 5,
		run_at => now() + spread * ((i * 7919) % 1009 / 1009.0::float8)) FROM generate_series(1, jobs) i;
	TRUNCATE got, wanted RESTART IDENTITY;
END $$;
-- Jobs of a queue with age_every come in the order of run_at + priority * age_every, as if all had priority 0.
CREATE FUNCTION pg_temp.want() RETURNS void LANGUAGE sql AS $$
	INSERT INTO wanted SELECT row_number() OVER (ORDER BY CASE WHEN age_every IS NULL THEN priority ELSE 0 END, run_at + COALESCE(priority * age_every, '0'), job_id), job_id
	FROM taskq.all_jobs JOIN taskq.queues USING (queue) WHERE state = 'available' AND queue LIKE 'age-%' $$;
CREATE PROCEDURE pg_temp.claim_all(size int, commits boolean) LANGUAGE plpgsql AS $$
BEGIN
	LOOP
		INSERT INTO got (job_id) SELECT job_id FROM taskq.claim_jobs('age-w', size, '{age-a,age-b}');
		EXIT WHEN NOT FOUND;
		IF commits THEN COMMIT; END IF;
	END LOOP;
END $$;
CREATE FUNCTION pg_temp.same(what text) RETURNS text LANGUAGE sql AS $$
	SELECT is((SELECT array_agg(job_id ORDER BY n) FROM got), (SELECT array_agg(job_id ORDER BY n) FROM wanted), what) $$;
SELECT taskq.alter_queue('age-1', age_every => '1 min') \g /dev/null
SET taskq.clock_offset = '1 h';

SELECT pg_temp.fill('{age-1}', '{age-a}', 400, '15 min') \g /dev/null
SELECT pg_temp.want() \g /dev/null
CALL pg_temp.claim_all(1, true);
SELECT pg_temp.same('one route, single claims');
SELECT is(count(*), 400::bigint, 'all jobs were claimed') FROM got;
SELECT isnt((SELECT array_agg(job_id ORDER BY n) FROM got), (SELECT array_agg(job_id ORDER BY priority, run_at, job_id) FROM got JOIN taskq.all_jobs USING (job_id)), 'this is not the order of strict priorities');

SELECT pg_temp.fill('{age-1}', '{age-a,age-b}', 900, '15 min') \g /dev/null
SELECT pg_temp.want() \g /dev/null
CALL pg_temp.claim_all(7, true);
SELECT pg_temp.same('two routes, in batches');

SELECT taskq.create_queue('age-fast', age_every => '1 s') \g /dev/null
SELECT pg_temp.fill('{age-1,age-strict,age-fast}', '{age-a,age-b}', 600, '15 min') \g /dev/null
SELECT pg_temp.want() \g /dev/null
CALL pg_temp.claim_all(5, true);
SELECT pg_temp.same('jobs of a queue with age_every count as priority 0 beside those of strict queues');

SET taskq.use_ready_list = off;
SELECT pg_temp.fill('{age-1,age-strict,age-fast}', '{age-a,age-b}', 600, '15 min') \g /dev/null
SELECT pg_temp.want() \g /dev/null
CALL pg_temp.claim_all(5, true);
SELECT pg_temp.same('the same order without the ready list');
RESET taskq.use_ready_list;

BEGIN;
SELECT pg_temp.fill('{age-1}', '{age-a,age-b}', 100, '15 min') \g /dev/null
SELECT pg_temp.want() \g /dev/null
CALL pg_temp.claim_all(3, false);
SELECT pg_temp.same('jobs that the same transaction has enqueued');
ROLLBACK;

-- the greatest and the least priority, and the longest time
SELECT taskq.alter_queue('age-1', age_every => '365 d') \g /dev/null
SELECT taskq.enqueue_job('age-a', queue => 'age-1', priority => p) FROM unnest('{32767,-32768,0}'::int[]) p \g /dev/null
TRUNCATE got, wanted RESTART IDENTITY;
CALL pg_temp.claim_all(1, true);
SELECT is(array_agg(priority ORDER BY n), '{-32768,0,32767}', 'priorities as far apart as they can be') FROM got JOIN taskq.all_jobs USING (job_id);

-- a change applies to the jobs that wait
SELECT taskq.alter_queue('age-1', age_every => '0') \g /dev/null
SELECT pg_temp.fill('{age-1}', '{age-a}', 60, '15 min'), pg_temp.want() \g /dev/null
INSERT INTO got (job_id) SELECT job_id FROM taskq.claim_jobs('age-w', 20, '{age-a}');
SELECT taskq.alter_queue('age-1', age_every => '10 s') \g /dev/null
DELETE FROM wanted WHERE n > 20;
INSERT INTO wanted SELECT 20 + row_number() OVER (ORDER BY run_at + priority * '10 s'::interval, job_id), job_id FROM taskq.all_jobs WHERE state = 'available' AND queue = 'age-1';
CALL pg_temp.claim_all(10, true);
SELECT pg_temp.same('a change applies to jobs that wait already');

-- a job that is added comes first when its place does
SELECT taskq.alter_queue('age-1', age_every => '1 min') \g /dev/null
SELECT taskq.enqueue_job('age-a', queue => 'age-1', priority => 1) FROM generate_series(1, 3) \g /dev/null
SELECT job_id AS any_job FROM taskq.claim_job('age-w', '{age-a}') \gset
SET taskq.clock_offset = 0;
SELECT taskq.enqueue_job('age-a', queue => 'age-1', priority => 9, run_at => now()) AS old \gset
SET taskq.clock_offset = '1 h';
SELECT is(job_id, :old::bigint, 'an old job of a low priority goes ahead of those that a worker has seen') FROM taskq.claim_job('age-w', '{age-a}');
RESET taskq.clock_offset;
SELECT taskq.unregister_worker('age-w') \g /dev/null
SELECT taskq.discard_job(job_id) FROM taskq.all_jobs WHERE task_type LIKE 'age-%' AND finished_at IS NULL \g /dev/null
SELECT * FROM finish();
