-- Messages of a run: append_frame() in a handler and by an external worker, and
-- reading them. test/t/018_frames.pl tests the messages of background workers.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
CREATE ROLE tq_frames LOGIN;
CREATE SCHEMA tq_frames AUTHORIZATION tq_frames;
SELECT count(taskq.grant_access('tq_frames', a)) FROM unnest('{producer,worker,observer}'::text[]) a \gset
GRANT ALL ON j TO tq_frames;
SELECT taskq.create_pool('tq_frames', size => 0, role => 'tq_frames') \gset
SELECT taskq.register_handler('fr-ext') \gset
CREATE FUNCTION pg_temp.frames(n text, attempt integer DEFAULT NULL, after integer DEFAULT 0) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(concat_ws(' ', f.attempt, f.frame, f.level, f.sqlstate, f.message), ', ' ORDER BY f.epoch, f.frame) FROM taskq.read_frames(pg_temp.id(n), attempt, after) f $$;
CREATE FUNCTION pg_temp.run(n text) RETURNS text LANGUAGE sql AS
	$$ SELECT state FROM taskq.run_job((SELECT id FROM j WHERE name = n)) $$;
SELECT plan(29);

SET SESSION AUTHORIZATION tq_frames;
CREATE FUNCTION tq_frames.does(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM taskq.append_frame('begin ' || (payload->>'n'));
	RAISE NOTICE 'to the session';
	BEGIN
		PERFORM taskq.append_frame('in a block', 'warning');
		RAISE EXCEPTION 'caught';
	EXCEPTION WHEN raise_exception THEN NULL;
	END;
	IF payload->>'n' = 'many' THEN
		PERFORM taskq.append_frame(i || repeat('x', 500)) FROM generate_series(3, 1000) i;
	ELSIF payload->>'n' LIKE 'fails%' THEN
		RAISE EXCEPTION 'failed' USING ERRCODE = 'AB123';
	ELSIF payload->>'n' = 'outer' THEN
		PERFORM taskq.run_job((SELECT id FROM j WHERE name = 'inner'));
		PERFORM taskq.append_frame('after the inner run', 'error');
	END IF;
	RETURN NULL;
END $$;
RESET SESSION AUTHORIZATION;
SELECT taskq.register_handler('fr-does', 'tq_frames.does(jsonb)', run_as => 'tq_frames', retry_policy => 'fixed', retry_base => '0') \gset
SET SESSION AUTHORIZATION tq_frames;
SET client_min_messages = warning;

-- in a handler ----------------------------------------------------------------
SELECT pg_temp.add('done', 'fr-does') \gset
SELECT is(pg_temp.run('done'), 'completed', 'a run writes messages');
SELECT is(pg_temp.frames('done'), '1 1 info begin done, 1 2 warning in a block', 'messages of a block that was rolled back are kept');
SELECT results_eq($$ SELECT f.at BETWEEN j.started_at AND j.finished_at, f.epoch = j.epoch FROM taskq.all_jobs j, taskq.read_frames(j.job_id) f WHERE j.job_id = pg_temp.id('done') $$, $$ VALUES (true, true), (true, true) $$, 'messages have their time and epoch');
SELECT pg_temp.add('fails', 'fr-does', attempts => 2) \gset
SELECT is(pg_temp.run('fails') || pg_temp.run('fails'), 'availablediscarded', 'a job fails twice');
SELECT is(pg_temp.frames('fails'), '1 1 info begin fails, 1 2 warning in a block, 1 3 error AB123 failed, 2 1 info begin fails, 2 2 warning in a block, 2 3 error AB123 failed', 'the messages of both runs are kept, with the errors');
SELECT is(pg_temp.frames('fails', 2), '2 1 info begin fails, 2 2 warning in a block, 2 3 error AB123 failed', 'read_frames() can be restricted to one attempt');
SELECT is(pg_temp.frames('fails', 2, 2), '2 3 error AB123 failed', 'read_frames() returns the messages after a number');
SELECT is(pg_temp.frames('fails', 3), NULL, 'read_frames() returns nothing for an unknown attempt');
SELECT pg_temp.add('many', 'fr-does') \gset
SELECT is(pg_temp.run('many'), 'completed', 'a run writes more messages than its buffer can hold');
SELECT results_eq($$ SELECT max(frame), bool_and(message LIKE frame || 'x%'), count(*) = max(frame) - min(frame) + 1, count(*) BETWEEN 20 AND 40, max(length(message)) FROM taskq.read_frames(pg_temp.id('many')) $$,
	$$ VALUES (1000, true, true, true, 504) $$, 'the last messages are kept, with their numbers');
SELECT pg_temp.add('outer', 'fr-does'), pg_temp.add('inner', 'fr-does') \gset
SELECT is(pg_temp.run('outer'), 'completed', 'a run runs another job');
SELECT is(pg_temp.frames('outer') || '; ' || pg_temp.frames('inner'), '1 1 info begin outer, 1 2 warning in a block, 1 3 error after the inner run; 1 1 info begin inner, 1 2 warning in a block', 'each of these runs has its own messages');
SET taskq.frame_level = 'none';
SELECT pg_temp.add('fails-quietly', 'fr-does', attempts => 1) \gset
SELECT is(pg_temp.run('fails-quietly'), 'discarded', 'a run fails with taskq.frame_level = none');
SELECT is(pg_temp.frames('fails-quietly'), NULL, 'no message is kept with taskq.frame_level = none');
RESET taskq.frame_level;
BEGIN;
SELECT pg_temp.add('rolled', 'fr-does') \gset
SAVEPOINT s;
SELECT is(pg_temp.run('rolled'), 'completed', 'a run by hand is rolled back');
ROLLBACK TO s;
SELECT is(pg_temp.frames('rolled'), NULL, 'a run that was rolled back has no messages');
COMMIT;

-- by an external worker -------------------------------------------------------
SELECT pg_temp.add('ext', 'fr-ext') \gset
SELECT is(pg_temp.take('fr-w', 'fr-ext'), 'ext', 'an external worker claims a job');
SELECT is(taskq.append_frame(pg_temp.id('ext'), pg_temp.e('ext'), 'one'), true, 'append_frame() returns true');
SELECT is(taskq.append_frame(pg_temp.id('ext'), pg_temp.e('ext'), repeat('ä', 1000), level => 'warning'), true, 'append_frame() accepts a long message');
SELECT is(pg_temp.frames('ext', 1), '1 1 info one, 1 2 warning ' || repeat('ä', 511), 'a long message is cut between characters');
SELECT is((SELECT count(*) FROM (SELECT taskq.append_frame(pg_temp.id('ext'), pg_temp.e('ext'), 'x') AS kept FROM generate_series(3, 1010)) x WHERE kept), 998::bigint, 'an attempt has at most 1000 messages');
SELECT is(taskq.complete_job(pg_temp.id('ext'), pg_temp.e('ext')), true, 'the external worker settles the job');
SELECT throws_ok(pg_temp.of('ext', $$ SELECT taskq.append_frame(%s, %s, 'late') $$), 'TQ003', NULL, 'append_frame() for a settled claim is stale');
SELECT is((SELECT count(*) FROM taskq.read_frames(pg_temp.id('ext'))), 1000::bigint, 'earlier messages are kept');

-- wrong -----------------------------------------------------------------------
SELECT throws_ok($$ SELECT taskq.append_frame('x') $$, '55000', 'taskq.append_frame(message) can only be called in a handler', 'append_frame(message) is refused outside a handler');
SELECT throws_ok($$ SELECT taskq.append_frame('x', 'loud') $$, '22023', NULL, 'an unknown level is refused');
SELECT throws_ok($$ SELECT taskq.append_frame(NULL::text) $$, '22004', NULL, 'message must not be NULL');
SELECT throws_ok($$ SELECT taskq.append_frame(281474976710655, 1, 'x') $$, 'TQ011', NULL, 'append_frame() for an unknown job raises TQ011');
SELECT throws_ok(pg_temp.of('many', $$ SELECT taskq.append_frame(%s, 1, 'x') $$), 'TQ003', NULL, 'append_frame() with a wrong epoch is stale');
SELECT finish();
RESET SESSION AUTHORIZATION;
SELECT taskq.unregister_worker('fr-w') \gset
SELECT count(taskq.cancel_job(job_id)) FROM taskq.all_jobs WHERE task_type LIKE 'fr-%' AND finished_at IS NULL \gset
SELECT count(taskq.unregister_handler(h.task_type)) FROM taskq.list_handlers() h WHERE h.task_type LIKE 'fr-%' \gset
SELECT taskq.drop_pool('tq_frames') \gset
SELECT count(taskq.revoke_access('tq_frames', a)) FROM unnest('{producer,worker,observer}'::text[]) a \gset
DROP OWNED BY tq_frames CASCADE;
DROP ROLE tq_frames;
