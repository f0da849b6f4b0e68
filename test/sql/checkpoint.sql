-- What a run stores for the next one: checkpoint, progress, snooze.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
CREATE ROLE tq_checkpoint LOGIN;
CREATE SCHEMA tq_checkpoint AUTHORIZATION tq_checkpoint;
SELECT count(taskq.grant_access('tq_checkpoint', a)) FROM unnest('{producer,worker,observer}'::text[]) a \gset
GRANT ALL ON j TO tq_checkpoint;
SELECT taskq.create_pool('tq_checkpoint', size => 0, role => 'tq_checkpoint') \gset
CREATE FUNCTION pg_temp.kept(n text) RETURNS text LANGUAGE sql AS
	$$ SELECT concat_ws(' ', state, attempt, checkpoint, progress, result) FROM taskq.all_jobs WHERE job_id = pg_temp.id(n) $$;
CREATE FUNCTION pg_temp.run(n text) RETURNS text LANGUAGE sql AS
	$$ SELECT concat_ws(' ', r.state, r.result, r.error) FROM taskq.run_job((SELECT id FROM j WHERE name = n)) r $$;
SELECT plan(69);

SET SESSION AUTHORIZATION tq_checkpoint;
-- runs the statements in member "do" of its payload, and returns the result of the
-- last one
CREATE FUNCTION tq_checkpoint.does(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	statements text[] := ARRAY(SELECT jsonb_array_elements_text(payload->'do'));
	answer jsonb;
BEGIN
	FOR i IN 1 .. cardinality(statements) - 1 LOOP
		EXECUTE statements[i];
	END LOOP;
	EXECUTE statements[cardinality(statements)] INTO answer;
	RETURN answer;
END $$;
-- counts up to member "to" of its payload, one step in each run
CREATE FUNCTION tq_checkpoint.counts(job taskq.job) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	n integer := COALESCE((job.checkpoint->>'n')::integer, 0) + 1;
BEGIN
	IF n > (job.payload->>'to')::integer THEN
		RETURN job.checkpoint;
	END IF;
	PERFORM taskq.save_checkpoint(jsonb_build_object('n', n)), taskq.update_progress(to_jsonb(n));
	RETURN taskq.snooze();
END $$;
CREATE FUNCTION tq_checkpoint.fails_after(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RAISE EXCEPTION 'rolled back';
EXCEPTION WHEN raise_exception THEN
	NULL;
END $$;
CREATE FUNCTION tq_checkpoint.in_block(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
EXCEPTION WHEN raise_exception THEN
	NULL;
END $$;
RESET SESSION AUTHORIZATION;
SELECT taskq.register_handler('cp-does', 'tq_checkpoint.does(jsonb)', run_as => 'tq_checkpoint', retry_base => '1 h'),
	taskq.register_handler('cp-counts', 'tq_checkpoint.counts(taskq.job)', run_as => 'tq_checkpoint'),
	taskq.register_handler('cp-ext', retry_base => '1 h') \gset
CREATE FUNCTION pg_temp.does(n text, VARIADIC statements text[]) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO j VALUES (n, taskq.enqueue_job('cp-does', jsonb_build_object('do', statements))) $$;
SET SESSION AUTHORIZATION tq_checkpoint;

-- snooze ----------------------------------------------------------------------
SELECT pg_temp.does('snooze', $$ SELECT taskq.snooze() $$), pg_temp.does('later', $$ SELECT taskq.snooze('1 h') $$),
	pg_temp.does('by-hand', $$ SELECT '{"$taskq": "snooze"}' $$), pg_temp.does('keeps', $$ CREATE TABLE tq_checkpoint.made () $$, $$ SELECT taskq.snooze('1 h') $$) \gset
SELECT is(pg_temp.run('snooze'), 'available', 'a handler that returns snooze() is run again');
SELECT is(pg_temp.state('snooze'), 'available 0', 'a snoozed attempt does not count');
SELECT is(pg_temp.attempts('snooze'), NULL, 'taskq.attempts does not list a snoozed attempt');
SELECT is(pg_temp.run('snooze'), 'available', 'a job may snooze any number of times');
SELECT is(pg_temp.run('later'), 'scheduled', 'a handler returns snooze() with a delay');
SELECT is(run_at > taskq.clock_now() + interval '59 min' AND run_at <= taskq.clock_now() + interval '1 h', true, 'the job waits for the delay') FROM taskq.all_jobs WHERE job_id = pg_temp.id('later');
SELECT is(pg_temp.run('by-hand'), 'completed {"$taskq": "snooze"}', 'an object that only looks like a snooze is data');
SELECT is(pg_temp.run('keeps'), 'scheduled', 'a run that snoozes creates a table');
SELECT isnt(to_regclass('tq_checkpoint.made'), NULL, 'the table is kept');
SELECT throws_ok($$ SELECT taskq.snooze(NULL) $$, '22004', NULL, 'delay must not be NULL');
SELECT throws_ok($$ SELECT taskq.snooze('-1 s') $$, '22023', NULL, 'delay must not be negative');
SELECT throws_ok($$ SELECT taskq.snooze('11 years') $$, '22023', NULL, 'delay must not exceed ten years');
SELECT count(pg_temp.does('bad' || n, format('SELECT jsonb_build_object(''$taskq'', ''snooze'', ''delay'', %L::text)', d))) FROM unnest('{soon,-1 s,"90 years"}'::text[]) WITH ORDINALITY x (d, n) \gset
SELECT is(split_part(pg_temp.run('bad' || n), ' ', 1), 'completed', 'whatever it says') FROM generate_series(1, 3) n;
SELECT is(state, 'completed', 'an object with the members of a snooze is data, even if they are valid') FROM taskq.run_job(taskq.enqueue_job('cp-does', '{"do": ["SELECT ''{\"$taskq\": \"snooze\", \"delay\": 5}''::jsonb"]}'));
SELECT is(count(*), 0::bigint, 'none of these jobs is snoozed') FROM taskq.all_jobs WHERE state = 'available' AND task_type = 'cp-does' AND job_id NOT IN (SELECT id FROM j);
SELECT count(taskq.cancel_job(id)) FROM j \gset

-- checkpoint and progress -----------------------------------------------------
INSERT INTO j VALUES ('count', taskq.enqueue_job('cp-counts', '{"to": 3}'));
SELECT is(pg_temp.kept('count'), 'available 0', 'a new job has no checkpoint');
SELECT is(pg_temp.run('count'), 'available', 'the first run snoozes');
SELECT is(pg_temp.kept('count'), 'available 0 {"n": 1} 1', 'the first run stores its checkpoint and progress');
BEGIN;
SELECT is(pg_temp.run('count'), 'available', 'the second run is rolled back');
ROLLBACK;
SELECT is(pg_temp.kept('count'), 'available 0 {"n": 1} 1', 'a run that is rolled back stores no checkpoint');
SELECT is(count(*), 3::bigint, 'run_all() runs a job that snoozes until it is done') FROM taskq.run_all('{cp-counts}');
SELECT is(pg_temp.kept('count'), 'completed 1 {"n": 3} 3 {"n": 3}', 'each run finds the checkpoint of the run before, and the history has the last one');
SELECT is(pg_temp.attempts('count'), '1 completed', 'all these runs count as one attempt');
INSERT INTO j VALUES ('count2', taskq.enqueue_job('cp-counts', '{"to": 1000000}'));
SELECT is(count(*), 5::bigint, 'run_all() ends at max_jobs if a job snoozes for ever') FROM taskq.run_all('{cp-counts}', max_jobs => 5);
SELECT taskq.cancel_job(pg_temp.id('count2')) \gset

SELECT pg_temp.does('seen', $$ SELECT taskq.save_checkpoint('1'), taskq.update_progress('2') $$, $$ SELECT to_jsonb((taskq.current_job()).checkpoint::text || (taskq.current_job()).progress) $$) \gset
SELECT is(pg_temp.run('seen'), 'completed "12"', 'current_job() returns the checkpoint that the run has stored');
SELECT pg_temp.does('own', $$ SELECT taskq.save_checkpoint('{"a": 1}') $$, $$ SELECT taskq.save_checkpoint((taskq.current_job()).checkpoint || '{"b": 2}') $$, $$ SELECT taskq.snooze() $$) \gset
SELECT is(pg_temp.run('own') || ': ' || pg_temp.kept('own'), 'available: available 0 {"a": 1, "b": 2}', 'a run can extend its own checkpoint');
SELECT pg_temp.does('failure', $$ SELECT taskq.save_checkpoint('1'), taskq.update_progress('1') $$, $$ SELECT taskq.failure('no', retryable => true) $$) \gset
SELECT is(pg_temp.run('failure'), 'retryable no', 'a run stores a checkpoint and fails');
SELECT is(pg_temp.kept('failure'), 'retryable 1', 'a failed run stores no checkpoint');
SELECT count(taskq.cancel_job(id)) FROM j WHERE name IN ('own', 'failure') \gset

-- blocks that are rolled back
SELECT pg_temp.does('block', $$ SELECT taskq.save_checkpoint('"a"'), taskq.update_progress('1') $$,
	$$ SELECT tq_checkpoint.fails_after('SELECT taskq.save_checkpoint(''"b"''), taskq.update_progress(''2'')') $$, $$ SELECT (taskq.current_job()).checkpoint $$) \gset
SELECT is(pg_temp.run('block') || ': ' || pg_temp.kept('block'), 'completed "a": completed 1 "a" 1 "a"', 'a checkpoint is rolled back with the block that stored it');
SELECT pg_temp.does('block2', $$ SELECT tq_checkpoint.fails_after('SELECT taskq.save_checkpoint(''"b"'')') $$, $$ SELECT taskq.update_progress('3') $$, $$ SELECT (taskq.current_job()).checkpoint $$) \gset
SELECT is(pg_temp.run('block2') || ': ' || pg_temp.kept('block2'), 'completed: completed 1 3', 'without an earlier checkpoint, there is none after the rollback');
SELECT pg_temp.does('block3', $$ SELECT tq_checkpoint.in_block('SELECT taskq.save_checkpoint(''"c"'')') $$, $$ SELECT (taskq.current_job()).checkpoint $$) \gset
SELECT is(pg_temp.run('block3') || ': ' || pg_temp.kept('block3'), 'completed "c": completed 1 "c" "c"', 'a checkpoint of a block that succeeds is kept');
SELECT pg_temp.does('block4', $$ SELECT taskq.save_checkpoint('"a"') $$,
	$$ SELECT tq_checkpoint.fails_after('SELECT tq_checkpoint.in_block(''SELECT taskq.save_checkpoint(to_jsonb(n)), taskq.update_progress(to_jsonb(n)) FROM generate_series(1, 3) n'')') $$,
	$$ SELECT tq_checkpoint.in_block('SELECT tq_checkpoint.fails_after(''SELECT taskq.save_checkpoint(to_jsonb(n)) FROM generate_series(1, 3) n''), taskq.save_checkpoint(''"d"'')') $$,
	$$ SELECT tq_checkpoint.fails_after('SELECT taskq.save_checkpoint(''"e"'')') $$, $$ SELECT (taskq.current_job()).checkpoint $$) \gset
SELECT is(pg_temp.run('block4') || ': ' || pg_temp.kept('block4'), 'completed "d": completed 1 "d" "d"', 'checkpoints of nested blocks are handled in the same way');
INSERT INTO j VALUES ('many', taskq.enqueue_job('cp-does', jsonb_build_object('do', (SELECT jsonb_agg(format('SELECT tq_checkpoint.%s(''SELECT taskq.save_checkpoint(''''"%s"''''), taskq.update_progress(''''%2$s'''')'')',
	CASE WHEN n % 3 = 0 THEN 'fails_after' ELSE 'in_block' END, n)) || '["SELECT taskq.snooze()"]' FROM generate_series(1, 300) n))));
SELECT is(pg_temp.run('many') || ': ' || pg_temp.kept('many'), 'available: available 0 "299" 299', 'hundreds of blocks of both kinds are handled in the same way');
SELECT taskq.cancel_job(pg_temp.id('many')) \gset

-- jobs within jobs
SELECT pg_temp.does('inner', $$ SELECT taskq.save_checkpoint('"inner"') $$, $$ SELECT taskq.snooze('1 h') $$) \gset
INSERT INTO j VALUES ('outer', taskq.enqueue_job('cp-does', jsonb_build_object('do', jsonb_build_array($$ SELECT taskq.save_checkpoint('"outer"') $$,
	format('SELECT count(*) FROM taskq.run_job(%s)', pg_temp.id('inner')), $$ SELECT taskq.update_progress('1') $$, $$ SELECT (taskq.current_job()).checkpoint $$))));
SELECT is(pg_temp.run('outer') || ': ' || pg_temp.kept('outer') || ', ' || pg_temp.kept('inner'), 'completed "outer": completed 1 "outer" 1 "outer", scheduled 0 "inner"', 'a job that runs another job has a checkpoint of its own, and so has the other');
SELECT taskq.cancel_job(pg_temp.id('inner')) \gset

-- put back
RESET SESSION AUTHORIZATION;
SELECT pg_temp.does('broken', $$ SELECT taskq.save_checkpoint('[1]') $$, $$ SELECT taskq.snooze() $$), taskq.discard_job(pg_temp.id('broken')) \gset
SELECT taskq.retry_job(pg_temp.id('broken')) \gset
SET SESSION AUTHORIZATION tq_checkpoint;
SELECT is(pg_temp.run('broken'), 'available', 'a job stores a checkpoint and snoozes');
RESET SESSION AUTHORIZATION;
SELECT taskq.discard_job(pg_temp.id('broken')) \gset
SELECT is(pg_temp.kept('broken'), 'discarded 0 [1]', 'the job keeps its checkpoint when it is discarded');
SELECT taskq.retry_job(pg_temp.id('broken')) \gset
SELECT is(pg_temp.kept('broken'), 'available 0 [1]', 'the job keeps its checkpoint when it is put back');
SELECT taskq.cancel_job(pg_temp.id('broken')) \gset
SELECT taskq.retry_job(pg_temp.id('count'), force => true) \gset
SELECT is(pg_temp.kept('count'), 'available 0', 'a completed job that is put back has no checkpoint');
SELECT taskq.cancel_job(pg_temp.id('count')) \gset

-- misuse
SELECT throws_ok($$ SELECT taskq.save_checkpoint('1') $$, '55000', 'taskq.save_checkpoint(checkpoint) can only be called in a handler', 'save_checkpoint(checkpoint) is refused outside a handler');
SELECT is(pg_temp.hint_of($$ SELECT taskq.save_checkpoint('1') $$), 'A program that has claimed a job calls taskq.save_checkpoint(job_id, epoch, checkpoint).', 'the hint names the function for external workers');
SELECT throws_ok($$ SELECT taskq.update_progress('1') $$, '55000', NULL, 'update_progress() is refused outside a handler');
SELECT throws_ok($$ SELECT taskq.save_checkpoint(NULL) $$, '22004', NULL, 'checkpoint must not be NULL');
SELECT throws_ok($$ SELECT taskq.update_progress(NULL) $$, '22004', NULL, 'progress must not be NULL');
SELECT throws_ok($$ SELECT taskq.save_checkpoint(to_jsonb(repeat('x', 1100000))) $$, 'TQ009', NULL, 'a checkpoint larger than the limit is refused');
SELECT throws_ok($$ SELECT taskq.update_progress(to_jsonb(repeat('x', 1100000))) $$, 'TQ009', NULL, 'progress larger than the limit is refused');
SET SESSION AUTHORIZATION tq_checkpoint;
SELECT pg_temp.does('toast', $$ SELECT taskq.save_checkpoint(to_jsonb((SELECT string_agg(md5(n::text), '') FROM generate_series(1, 20000) n))) $$, $$ SELECT taskq.snooze() $$) \gset
SELECT is(pg_temp.run('toast'), 'available', 'a run stores a checkpoint of 640 kB');
SELECT is(md5(checkpoint #>> '{}'), md5((SELECT string_agg(md5(n::text), '') FROM generate_series(1, 20000) n)), 'the checkpoint of 640 kB is kept') FROM taskq.all_jobs WHERE job_id = pg_temp.id('toast');
SELECT taskq.cancel_job(pg_temp.id('toast')) \gset

-- external workers ------------------------------------------------------------
RESET SESSION AUTHORIZATION;
SELECT pg_temp.add('ext', 'cp-ext'), pg_temp.take('cp-w', 'cp-ext') \gset
SELECT is(taskq.save_checkpoint(pg_temp.id('ext'), pg_temp.e('ext'), '{"n": 1}'), 'ok', 'an external worker saves its checkpoint');
SELECT is(pg_temp.kept('ext'), 'running 1 {"n": 1}', 'its checkpoint is stored at once');
SELECT is(taskq.save_checkpoint(pg_temp.id('ext'), pg_temp.e('ext'), '{"n": 2}', '1 d'), 'ok', 'an external worker saves a checkpoint with a lease');
SELECT ok(lease_expires_at > taskq.clock_now() + interval '23 h', 'save_checkpoint() extends the lease') FROM taskq.all_jobs WHERE job_id = pg_temp.id('ext');
SELECT is(taskq.heartbeat_job(pg_temp.id('ext'), pg_temp.e('ext'), progress => '50'), 'ok', 'an external worker sends a heartbeat with progress');
SELECT is(pg_temp.kept('ext'), 'running 1 {"n": 2} 50', 'a heartbeat keeps the checkpoint');
SELECT taskq.release_job(pg_temp.id('ext'), pg_temp.e('ext')) \gset
SELECT is(pg_temp.kept('ext'), 'available 0 {"n": 2} 50', 'a release keeps the checkpoint');
SELECT throws_ok(pg_temp.of('ext', $$ SELECT taskq.save_checkpoint(%s, %s, '1') $$), 'TQ003', NULL, 'save_checkpoint() with the released claim is stale');
SELECT is(checkpoint, '{"n": 2}', 'the next claim returns the checkpoint') FROM taskq.claim_job('cp-w', '{cp-ext}');
UPDATE j SET e = (SELECT epoch FROM taskq.all_jobs WHERE job_id = id) WHERE name = 'ext';
SELECT taskq.fail_job(pg_temp.id('ext'), pg_temp.e('ext'), 'no luck') \gset
SELECT is(pg_temp.kept('ext'), 'retryable 1 {"n": 2} 50', 'a failure keeps the checkpoint');
BEGIN;
SET LOCAL taskq.clock_offset = '-1 h';
SELECT pg_temp.add('lost', 'cp-ext', lease => '1 s'), pg_temp.take('cp-w', 'cp-ext'), taskq.save_checkpoint(pg_temp.id('lost'), pg_temp.e('lost'), '{"n": 7}') \gset
COMMIT;
SELECT ok(pg_temp.came($$ SELECT pg_temp.state('lost') = 'retryable 1' $$), 'the lease of a job with a checkpoint ends');
SELECT is(pg_temp.kept('lost'), 'retryable 1 {"n": 7}', 'the end of the lease keeps the checkpoint');
SELECT taskq.retry_job(pg_temp.id('ext')), pg_temp.take('cp-w', 'cp-ext'), taskq.cancel_job(pg_temp.id('ext')) \gset
SELECT is(taskq.save_checkpoint(pg_temp.id('ext'), pg_temp.e('ext'), '3'), 'cancel', 'save_checkpoint() returns cancel if there is a request');
SELECT is(pg_temp.kept('ext'), 'running 2 3 50', 'the checkpoint is stored nevertheless');
SELECT throws_ok(pg_temp.of('ext', $$ SELECT taskq.save_checkpoint(%s, %s, NULL) $$), '22004', NULL, 'checkpoint must not be NULL for an external worker');
SELECT throws_ok(pg_temp.of('ext', $$ SELECT taskq.save_checkpoint(%s, NULL, '1') $$), '22004', NULL, 'epoch must not be NULL');
SELECT throws_ok(pg_temp.of('ext', $$ SELECT taskq.save_checkpoint(%s, %s, to_jsonb(repeat('x', 1100000))) $$), 'TQ009', NULL, 'a checkpoint of an external worker larger than the limit is refused');
SELECT throws_ok(pg_temp.of('ext', $$ SELECT taskq.heartbeat_job(%s, %s, progress => to_jsonb(repeat('x', 1100000))) $$), 'TQ009', NULL, 'progress in a heartbeat larger than the limit is refused');
SELECT throws_ok(pg_temp.of('ext', $$ SELECT taskq.save_checkpoint(%s, %s, '1', '1 ms') $$), '22023', NULL, 'lease must be at least a second');
SELECT throws_ok($$ SELECT taskq.save_checkpoint(281474976710655, 1, '1') $$, 'TQ011', NULL, 'save_checkpoint() for an unknown job raises TQ011');

SELECT finish();
SELECT taskq.unregister_worker('cp-w') \gset
SELECT count(taskq.cancel_job(job_id)) FROM taskq.all_jobs WHERE task_type LIKE 'cp-%' AND finished_at IS NULL \gset
SELECT count(taskq.unregister_handler(h.task_type)) FROM taskq.list_handlers() h WHERE h.task_type LIKE 'cp-%' \gset
SELECT taskq.drop_pool('tq_checkpoint') \gset
SELECT count(taskq.revoke_access('tq_checkpoint', a)) FROM unnest('{producer,worker,observer}'::text[]) a \gset
DROP OWNED BY tq_checkpoint CASCADE;
DROP ROLE tq_checkpoint;
