-- Settling: every transition that SQL can make, the fence, and what is kept.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
BEGIN;
SELECT plan(206);

-- every call in every state ---------------------------------------------------
-- Make a job in a state. It is the only one of its type, whose policy is a
-- retry after an hour.
CREATE FUNCTION pg_temp.make(n text, state text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM taskq.register_handler(n, retry_policy => 'fixed', retry_base => '1 h');
	PERFORM pg_temp.add(n, n, at => CASE state WHEN 'scheduled' THEN taskq.clock_now() + '1 h' END);
	IF state IN ('scheduled', 'available') THEN
		RETURN;
	END IF;
	PERFORM pg_temp.take('settle-w', n);
	CASE state
		WHEN 'running' THEN NULL;
		WHEN 'retryable' THEN PERFORM taskq.fail_job(pg_temp.id(n), pg_temp.e(n));
		WHEN 'snoozed' THEN PERFORM taskq.snooze_job(pg_temp.id(n), pg_temp.e(n), '1 h');
		WHEN 'released' THEN PERFORM taskq.release_job(pg_temp.id(n), pg_temp.e(n));
		WHEN 'completed' THEN PERFORM taskq.complete_job(pg_temp.id(n), pg_temp.e(n));
		WHEN 'discarded' THEN PERFORM taskq.fail_job(pg_temp.id(n), pg_temp.e(n), retryable => false);
		WHEN 'cancelled' THEN PERFORM taskq.cancel_job(pg_temp.id(n), pg_temp.e(n));
		WHEN 'claimed-again' THEN
			PERFORM taskq.release_job(pg_temp.id(n), pg_temp.e(n));
			PERFORM taskq.claim_job('settle-v', ARRAY[n]);
	END CASE;
END $$;

-- The result of a call or the error that it raises, and the state of the job
-- afterwards.
CREATE FUNCTION pg_temp.outcome(n text, call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	BEGIN
		EXECUTE 'SELECT taskq.' || pg_temp.of(n, call) INTO answer;
	EXCEPTION WHEN OTHERS THEN
		answer := SQLSTATE;
	END;
	RETURN answer || ', ' || pg_temp.state(n);
END $$;

CREATE TEMP TABLE calls (op text PRIMARY KEY, call text);
INSERT INTO calls VALUES
	('complete', 'complete_job(%1$s, %2$s)'), ('fail', 'fail_job(%1$s, %2$s)'), ('release', 'release_job(%1$s, %2$s)'),
	('snooze', 'snooze_job(%1$s, %2$s, ''1 h'')'), ('heartbeat', 'heartbeat_job(%1$s, %2$s)'),
	('give up', 'cancel_job(%1$s, %2$s)'), ('cancel', 'cancel_job(%1$s)'), ('retry', 'retry_job(%1$s)'),
	('force', 'retry_job(%1$s, force => true)'), ('discard', 'discard_job(%1$s)');

CREATE TEMP TABLE expected (state text, op text, outcome text, PRIMARY KEY (state, op));
INSERT INTO expected VALUES
	('scheduled', 'complete', 'TQ003, scheduled 0'), ('scheduled', 'fail', 'TQ003, scheduled 0'),
	('scheduled', 'release', 'TQ003, scheduled 0'), ('scheduled', 'snooze', 'TQ003, scheduled 0'),
	('scheduled', 'heartbeat', 'TQ003, scheduled 0'), ('scheduled', 'give up', 'TQ003, scheduled 0'),
	('scheduled', 'cancel', 'cancelled, cancelled 0'), ('scheduled', 'retry', 'true, available 0'),
	('scheduled', 'force', 'true, available 0'), ('scheduled', 'discard', 'true, discarded 0'),

	('available', 'complete', 'TQ003, available 0'), ('available', 'fail', 'TQ003, available 0'),
	('available', 'release', 'TQ003, available 0'), ('available', 'snooze', 'TQ003, available 0'),
	('available', 'heartbeat', 'TQ003, available 0'), ('available', 'give up', 'TQ003, available 0'),
	('available', 'cancel', 'cancelled, cancelled 0'), ('available', 'retry', 'false, available 0'),
	('available', 'force', 'false, available 0'), ('available', 'discard', 'true, discarded 0'),

	('running', 'complete', 'true, completed 1'), ('running', 'fail', 'true, retryable 1'),
	('running', 'release', 'true, available 0'), ('running', 'snooze', 'true, scheduled 0'),
	('running', 'heartbeat', 'ok, running 1'), ('running', 'give up', 'cancelled, cancelled 1'),
	('running', 'cancel', 'requested, running 1'), ('running', 'retry', 'TQ008, running 1'),
	('running', 'force', 'TQ008, running 1'), ('running', 'discard', 'TQ008, running 1'),

	('retryable', 'complete', 'TQ003, retryable 1'), ('retryable', 'fail', 'false, retryable 1'),
	('retryable', 'release', 'TQ003, retryable 1'), ('retryable', 'snooze', 'TQ003, retryable 1'),
	('retryable', 'heartbeat', 'TQ003, retryable 1'), ('retryable', 'give up', 'TQ003, retryable 1'),
	('retryable', 'cancel', 'cancelled, cancelled 1'), ('retryable', 'retry', 'true, available 1'),
	('retryable', 'force', 'true, available 1'), ('retryable', 'discard', 'true, discarded 1'),

	('snoozed', 'complete', 'TQ003, scheduled 0'), ('snoozed', 'fail', 'TQ003, scheduled 0'),
	('snoozed', 'release', 'TQ003, scheduled 0'), ('snoozed', 'snooze', 'false, scheduled 0'),
	('snoozed', 'heartbeat', 'TQ003, scheduled 0'), ('snoozed', 'give up', 'TQ003, scheduled 0'),
	('snoozed', 'cancel', 'cancelled, cancelled 0'), ('snoozed', 'retry', 'true, available 0'),
	('snoozed', 'force', 'true, available 0'), ('snoozed', 'discard', 'true, discarded 0'),

	('released', 'complete', 'TQ003, available 0'), ('released', 'fail', 'TQ003, available 0'),
	('released', 'release', 'false, available 0'), ('released', 'snooze', 'TQ003, available 0'),
	('released', 'heartbeat', 'TQ003, available 0'), ('released', 'give up', 'TQ003, available 0'),
	('released', 'cancel', 'cancelled, cancelled 0'), ('released', 'retry', 'false, available 0'),
	('released', 'force', 'false, available 0'), ('released', 'discard', 'true, discarded 0'),

	('completed', 'complete', 'false, completed 1'), ('completed', 'fail', 'TQ003, completed 1'),
	('completed', 'release', 'TQ003, completed 1'), ('completed', 'snooze', 'TQ003, completed 1'),
	('completed', 'heartbeat', 'TQ003, completed 1'), ('completed', 'give up', 'TQ003, completed 1'),
	('completed', 'cancel', 'final, completed 1'), ('completed', 'retry', 'TQ008, completed 1'),
	('completed', 'force', 'true, available 0'), ('completed', 'discard', 'TQ008, completed 1'),

	('discarded', 'complete', 'TQ003, discarded 1'), ('discarded', 'fail', 'false, discarded 1'),
	('discarded', 'release', 'TQ003, discarded 1'), ('discarded', 'snooze', 'TQ003, discarded 1'),
	('discarded', 'heartbeat', 'TQ003, discarded 1'), ('discarded', 'give up', 'TQ003, discarded 1'),
	('discarded', 'cancel', 'final, discarded 1'), ('discarded', 'retry', 'true, available 0'),
	('discarded', 'force', 'true, available 0'), ('discarded', 'discard', 'false, discarded 1'),

	('cancelled', 'complete', 'TQ003, cancelled 1'), ('cancelled', 'fail', 'TQ003, cancelled 1'),
	('cancelled', 'release', 'TQ003, cancelled 1'), ('cancelled', 'snooze', 'TQ003, cancelled 1'),
	('cancelled', 'heartbeat', 'TQ003, cancelled 1'), ('cancelled', 'give up', 'final, cancelled 1'),
	('cancelled', 'cancel', 'final, cancelled 1'), ('cancelled', 'retry', 'true, available 0'),
	('cancelled', 'force', 'true, available 0'), ('cancelled', 'discard', 'TQ008, cancelled 1'),

	('claimed-again', 'complete', 'TQ003, running 1'), ('claimed-again', 'fail', 'TQ003, running 1'),
	('claimed-again', 'release', 'TQ003, running 1'), ('claimed-again', 'snooze', 'TQ003, running 1'),
	('claimed-again', 'heartbeat', 'TQ003, running 1'), ('claimed-again', 'give up', 'TQ003, running 1'),
	('claimed-again', 'cancel', 'requested, running 1'), ('claimed-again', 'retry', 'TQ008, running 1'),
	('claimed-again', 'force', 'TQ008, running 1'), ('claimed-again', 'discard', 'TQ008, running 1');

SELECT pg_temp.make(replace(state || '-' || op, ' ', '-'), state) FROM expected \g /dev/null
SELECT is(pg_temp.outcome(replace(state || '-' || op, ' ', '-'), call), outcome, state || ', ' || op)
FROM expected JOIN calls USING (op) ORDER BY state COLLATE "C", op COLLATE "C";

SELECT throws_ok(format('SELECT taskq.' || call, -7, 1), 'TQ011', 'job -7 does not exist', 'an unknown job, ' || op) FROM calls ORDER BY op COLLATE "C";
SELECT throws_ok(format('SELECT taskq.' || call, 'NULL', 1), '22004', 'job_id must not be NULL', 'NULL for a job, ' || op) FROM calls ORDER BY op COLLATE "C";

-- the fence -------------------------------------------------------------------
SELECT taskq.register_handler('settle-a', retry_policy => 'fixed', retry_base => '0'),
	taskq.register_handler('settle-none', retry_policy => 'none') \gset
SELECT pg_temp.add('f', 'settle-a') \gset
SELECT pg_temp.take('settle-w', 'settle-a') \gset
SELECT throws_ok(format('SELECT taskq.complete_job(%s, %s)', pg_temp.id('f'), pg_temp.e('f') + d), 'TQ003', NULL, why)
	FROM (VALUES (-1, 'an epoch before the claim''s is stale'), (1, 'so is a later one'), (1::bigint << 48, 'and one of another timeline')) v (d, why);
SELECT throws_ok(format('SELECT taskq.complete_job(%s, NULL)', pg_temp.id('f')), '22004', 'epoch must not be NULL', 'NULL is no epoch');
SELECT is(pg_temp.detail_of(format('SELECT taskq.complete_job(%s, 1)', pg_temp.id('f'))),
	'The job was claimed again, or this claim was rolled back.', 'the error says why');
SET LOCAL taskq.max_result_size = '2kB';
SELECT throws_ok(format('SELECT taskq.complete_job(%s, %s, to_jsonb(repeat(''x'', 3000)))', pg_temp.id('f'), pg_temp.e('f')), 'TQ010', 'result of 3008 bytes is too large', 'a result larger than taskq.max_result_size is refused');
RESET taskq.max_result_size;
SELECT ok(taskq.complete_job(pg_temp.id('f'), pg_temp.e('f'), '{"first": true}'), 'the epoch of the claim settles it');
SELECT ok(NOT taskq.complete_job(pg_temp.id('f'), pg_temp.e('f'), '{"second": true}'), 'once');
SELECT is(result, '{"first": true}', 'with the first result') FROM taskq.all_jobs WHERE job_id = pg_temp.id('f');
SELECT is(pg_temp.detail_of(format('SELECT taskq.fail_job(%s, %s)', pg_temp.id('f'), pg_temp.e('f'))),
	'This claim was settled before, and the job is completed.', 'another outcome is refused, and said so');
SELECT taskq.retry_job(pg_temp.id('f'), force => true) \gset
SELECT ok(NOT taskq.complete_job(pg_temp.id('f'), pg_temp.e('f')), 'a repeated settle is harmless after the job was put back');
SELECT e AS old FROM j WHERE name = 'f' \gset
SELECT pg_temp.take('settle-w', 'settle-a') \gset
SELECT ok(pg_temp.e('f') > :old, 'the epoch of a later claim is larger');
SELECT throws_ok(format('SELECT taskq.complete_job(%s, %s)', pg_temp.id('f'), :old), 'TQ003', NULL, 'after which the old one is stale');
SAVEPOINT s;
SELECT taskq.complete_job(pg_temp.id('f'), pg_temp.e('f')) \gset
ROLLBACK TO s;
SELECT is(pg_temp.state('f'), 'running 1', 'a settle that is rolled back has not been');
SELECT ok(taskq.complete_job(pg_temp.id('f'), pg_temp.e('f')), 'and is done again');
SELECT pg_temp.add('r', 'settle-a') \gset
SAVEPOINT s;
SELECT pg_temp.take('settle-w', 'settle-a') \gset
SELECT pg_temp.e('r') AS rolled_back \gset
ROLLBACK TO s;
SELECT throws_ok(format('SELECT taskq.complete_job(%s, %s)', pg_temp.id('r'), :rolled_back), 'TQ003', NULL,
	'a claim that was rolled back settles nothing');
SELECT pg_temp.take('settle-v', 'settle-a') \gset
SELECT isnt(pg_temp.e('r'), :rolled_back, 'nobody is given its epoch again');
SELECT throws_ok(format('SELECT taskq.heartbeat_job(%s, %s)', pg_temp.id('r'), :rolled_back), 'TQ003', NULL, 'and it extends nothing');

-- failures --------------------------------------------------------------------
-- Claim a new job of a type, fail it with these arguments, and return the outcome.
CREATE FUNCTION pg_temp.failed(n text, t text, arguments text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_temp.add(n, t, -100);
	PERFORM pg_temp.take('settle-w', t);
	EXECUTE pg_temp.of(n, 'SELECT taskq.fail_job(%1$s, %2$s' || arguments || ')');
	RETURN (SELECT state || ', ' || error_type FROM taskq.all_jobs JOIN taskq.attempts USING (job_id) WHERE job_id = pg_temp.id(n));
END $$;
SELECT taskq.register_handler('settle-b', retry_policy => 'fixed', retry_base => '1 h') \gset
SELECT is(pg_temp.failed('e' || i, 'settle-b', arguments), result, 'fail_job with ' || COALESCE(NULLIF(substr(arguments, 3), ''), 'no more'))
FROM (VALUES (1, '', 'retryable, handler_error'),
	(2, ', retryable => false', 'discarded, permanent_error'),
	(3, ', retryable => true', 'retryable, handler_error'),
	(4, ', error_type => ''permanent_error''', 'discarded, permanent_error'),
	(5, ', error_type => ''validation_error''', 'discarded, validation_error'),
	(6, ', error_type => ''retryable_error''', 'retryable, retryable_error'),
	(7, ', error_type => ''timeout''', 'retryable, timeout'),
	(8, ', error_type => ''worker_crash''', 'retryable, worker_crash'),
	(9, ', error_type => ''terminated''', 'retryable, terminated'),
	(10, ', error_type => ''cancelled''', 'discarded, cancelled'),
	(11, ', error_type => ''quota_error''', 'retryable, quota_error'),
	(12, ', error_type => ''quota_error'', retryable => false', 'discarded, quota_error'),
	(13, ', error_type => ''permanent_error'', retryable => true', 'retryable, permanent_error')) v (i, arguments, result) ORDER BY i;
SELECT is(pg_temp.failed('none', 'settle-none', ''), 'discarded, handler_error', 'the policy none has no further attempt');
SELECT is(pg_temp.failed('wish', 'settle-b', ', retry_in => ''90 s'''), 'retryable, handler_error', 'with a delay of its own');
SELECT is(j.run_at - a.finished_at, '90 s', 'a failure is retried after that')
	FROM taskq.all_jobs j JOIN taskq.attempts a USING (job_id) WHERE job_id = pg_temp.id('wish');
SELECT ok(j.run_at - a.finished_at BETWEEN '45 min' AND '75 min', 'else by its policy, a quarter more or less')
	FROM taskq.all_jobs j JOIN taskq.attempts a USING (job_id) WHERE job_id = pg_temp.id('e1');
SELECT is(pg_temp.failed('now', 'settle-b', ', retry_in => ''0'''), 'available, handler_error', 'or at once');

SELECT pg_temp.add('full', 'settle-a', attempts => 3) \gset
SELECT pg_temp.take('settle-w', 'settle-a') \gset
SELECT taskq.fail_job(pg_temp.id('full'), pg_temp.e('full'), 'no luck', 'quota_error', 'OVER_QUOTA', NULL, NULL, 'the detail', 'the hint', 'the context') \gset
SELECT results_eq($$ SELECT attempt, epoch, worker_id, handler_version, started_at <= finished_at, outcome, error_type, error_code, error_message, sqlstate, detail, hint, context
		FROM taskq.attempts WHERE job_id = pg_temp.id('full') $$,
	$$ SELECT 1, pg_temp.e('full'), 'settle-w', NULL::text, true, 'failed', 'quota_error', 'OVER_QUOTA', 'no luck', NULL::text, 'the detail', 'the hint', 'the context' $$,
	'all that is said of a failure is kept with the attempt');
SELECT is(last_error, 'no luck', 'the message with the job') FROM taskq.all_jobs WHERE job_id = pg_temp.id('full');
SELECT pg_temp.take('settle-w', 'settle-a') \gset
SELECT taskq.fail_job(pg_temp.id('full'), pg_temp.e('full'), repeat('é', 5000)) \gset
SELECT is(pg_temp.state('full'), 'available 2', 'with attempts left a job is retried');
SELECT is(octet_length(error_message), 4096, 'a message is kept up to 4 kB, cut between characters')
	FROM taskq.attempts WHERE job_id = pg_temp.id('full') AND attempt = 2;
SELECT pg_temp.take('settle-w', 'settle-a') \gset
SELECT taskq.fail_job(pg_temp.id('full'), pg_temp.e('full'), 'the end') \gset
SELECT is(pg_temp.state('full'), 'discarded 3', 'without it is discarded');
SELECT is(pg_temp.attempts('full'), '1 failed quota_error, 2 failed handler_error, 3 failed handler_error', 'and every attempt can be read');
SELECT taskq.retry_job(pg_temp.id('full')) \gset
SELECT is(pg_temp.state('full'), 'available 0', 'an operator gives it all its attempts again');
SELECT pg_temp.take('settle-w', 'settle-a') \gset
SELECT taskq.complete_job(pg_temp.id('full'), pg_temp.e('full')) \gset
SELECT is(pg_temp.attempts('full'), '1 failed quota_error, 2 failed handler_error, 3 failed handler_error, 1 completed', 'and the earlier ones stay');
SELECT throws_ok($$ SELECT taskq.fail_job(1, 1, error_type => 'no name') $$, '22023', NULL, 'an error type is a name');
SELECT throws_ok($$ SELECT taskq.fail_job(1, 1, retry_in => '-1 s') $$, '22023', NULL, 'no retry in the past');

-- giving back -----------------------------------------------------------------
SELECT pg_temp.add('g', 'settle-a', attempts => 1) \gset
SELECT pg_temp.take('settle-w', 'settle-a'), taskq.release_job(pg_temp.id('g'), pg_temp.e('g')) \gset
SELECT is(pg_temp.take('settle-w', 'settle-a'), 'g', 'a job of one attempt is claimed again after a release');
SELECT ok(taskq.snooze_job(pg_temp.id('g'), pg_temp.e('g'), '0'), 'snoozed for no time');
SELECT is(pg_temp.take('settle-w', 'settle-a'), 'g', 'it is available at once');
SELECT taskq.snooze_job(pg_temp.id('g'), pg_temp.e('g'), '10 min') \gset
SELECT is(pg_temp.take('settle-w', 'settle-a'), NULL, 'snoozed for ten minutes it is not');
SET LOCAL taskq.clock_offset = '10 min';
SELECT is(pg_temp.take('settle-w', 'settle-a'), 'g', 'until they are over');
SELECT taskq.complete_job(pg_temp.id('g'), pg_temp.e('g')) \gset
SET LOCAL taskq.clock_offset = 0;
SELECT is(pg_temp.attempts('g'), '1 completed', 'and only the run that ended by its own doing is an attempt');
SELECT throws_ok($$ SELECT taskq.snooze_job(1, 1, NULL) $$, '22004', 'delay must not be NULL', 'how long is to be said');
SELECT throws_ok($$ SELECT taskq.snooze_job(1, 1, '-1 s') $$, '22023', NULL, 'not less than no time');
SELECT throws_ok($$ SELECT taskq.snooze_job(1, 1, '11 years') $$, '22023', NULL, 'nor more than ten years');

-- requests to cancel ----------------------------------------------------------
-- Claim a job, request that it be cancelled, and settle it with this call.
CREATE FUNCTION pg_temp.asked(n text, call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_temp.add(n, 'settle-a', -200);
	PERFORM pg_temp.take('settle-w', 'settle-a');
	PERFORM taskq.cancel_job(pg_temp.id(n), reason => 'no need');
	RETURN pg_temp.outcome(n, call);
END $$;
SELECT is(pg_temp.asked('a-' || op, call), outcome, 'asked to be cancelled, ' || op)
FROM calls JOIN (VALUES ('heartbeat', 'cancel, running 1'), ('complete', 'true, completed 1'), ('fail', 'true, cancelled 1'),
	('release', 'true, cancelled 0'), ('snooze', 'true, cancelled 0'), ('cancel', 'requested, running 1')) v (op, outcome) USING (op) ORDER BY op COLLATE "C";
SELECT is(last_error, 'no need', 'the reason is kept') FROM taskq.all_jobs WHERE job_id = pg_temp.id('a-fail');
SELECT is(pg_temp.attempts('a-fail'), '1 failed handler_error', 'and the attempt that failed');
SELECT taskq.retry_job(pg_temp.id('a-release')) \gset
SELECT is(pg_temp.take('settle-w', 'settle-a'), 'a-release', 'put back, a cancelled job is claimed');
SELECT is(taskq.heartbeat_job(pg_temp.id('a-release'), pg_temp.e('a-release')), 'ok', 'and the request is forgotten');
SELECT is(taskq.cancel_job(pg_temp.id('a-heartbeat'), pg_temp.e('a-heartbeat')), 'cancelled', 'its worker gives a job up that was asked for');
SELECT is(pg_temp.attempts('a-heartbeat'), '1 cancelled cancelled', 'which is an attempt');
SELECT pg_temp.add('a-reasons', 'settle-a', -200), pg_temp.take('settle-w', 'settle-a') \gset
SELECT taskq.cancel_job(pg_temp.id('a-reasons')), taskq.cancel_job(pg_temp.id('a-reasons'), reason => 'first'), taskq.cancel_job(pg_temp.id('a-reasons'), reason => 'another') \gset
SELECT count(taskq.cancel_job(pg_temp.id('a-reasons'), reason => 'again ' || n)) FROM generate_series(1, 100) n \gset
SELECT is(string_agg(COALESCE(reason, 'none'), ', ' ORDER BY request_id), 'none, first', 'and are not kept: one that says nothing more adds nothing') FROM taskq.cancel_requests WHERE job_id = pg_temp.id('a-reasons');
SELECT taskq.release_job(pg_temp.id('a-reasons'), pg_temp.e('a-reasons')) \gset
SELECT is(last_error, 'first', 'of several requests the first reason counts') FROM taskq.all_jobs WHERE job_id = pg_temp.id('a-reasons');
SELECT is_empty($$ SELECT FROM taskq.cancel_requests r JOIN taskq.all_jobs j USING (job_id) WHERE j.state = 'cancelled' $$, 'no request is left of a job that was cancelled');

-- putting back ----------------------------------------------------------------
SELECT is(pg_temp.hint_of(pg_temp.of('g', 'SELECT taskq.retry_job(%1$s)')), 'To run it again all the same, say force => true.',
	'a completed job is put back only with force, says the hint');
SELECT is(pg_temp.hint_of(pg_temp.of('a-cancel', 'SELECT taskq.discard_job(%1$s)')),
	'Ask for it to be cancelled with taskq.cancel_job(), then try again.', 'a running one is asked to be cancelled first');
SELECT pg_temp.add('again', 'settle-a', -200), pg_temp.take('settle-w', 'settle-a') \gset
SELECT taskq.complete_job(pg_temp.id('again'), pg_temp.e('again')), taskq.retry_job(pg_temp.id('again'), force => true), taskq.cancel_job(pg_temp.id('again')) \gset
SELECT is(pg_temp.attempts('again'), '1 completed', 'a job that is cancelled after it was put back has had no further attempt');
SELECT throws_ok($$ SELECT taskq.retry_job(1, NULL) $$, '22004', NULL, 'force or not');
SELECT taskq.create_queue('settle-lean', keep_payload => false) \gset
SELECT pg_temp.add('lean-done', 'settle-a', q => 'settle-lean'), pg_temp.add('lean-lost', 'settle-a', q => 'settle-lean') \gset
SELECT pg_temp.take_many('settle-w', 2, 'settle-a') \gset
SELECT taskq.complete_job(pg_temp.id('lean-done'), pg_temp.e('lean-done'), '1'),
	taskq.fail_job(pg_temp.id('lean-lost'), pg_temp.e('lean-lost'), retryable => false) \gset
SELECT is(payload IS NULL AND result = '1', true, 'with keep_payload => false a completed job has its result alone')
	FROM taskq.all_jobs WHERE job_id = pg_temp.id('lean-done');
SELECT throws_ok(pg_temp.of('lean-done', 'SELECT taskq.retry_job(%1$s, true)'), 'TQ008', NULL, 'and cannot be put back');
SELECT is(pg_temp.outcome('lean-lost', 'retry_job(%1$s)'), 'true, available 0', 'a discarded one can');

-- what the views say ----------------------------------------------------------
SELECT pg_temp.add('view', 'settle-a', -5) \gset
SELECT pg_temp.take('settle-w', 'settle-a') \gset
SELECT is(taskq.heartbeat_job(pg_temp.id('view'), pg_temp.e('view'), progress => '{"half": true}'), 'ok', 'a heartbeat can say how far it is');
SELECT results_eq($$ SELECT state, epoch, worker_id, lease_expires_at > started_at, result, progress, finished_at FROM taskq.all_jobs WHERE job_id = pg_temp.id('view') $$,
	$$ SELECT 'running', pg_temp.e('view'), 'settle-w', true, NULL::jsonb, '{"half": true}'::jsonb, NULL::timestamptz $$,
	'a running job shows who has it, since when, how long and how far');
SELECT taskq.fail_job(pg_temp.id('view'), pg_temp.e('view'), 'try again') \gset
SELECT results_eq($$ SELECT state, attempt, worker_id, lease_expires_at, started_at, last_error FROM taskq.all_jobs WHERE job_id = pg_temp.id('view') $$,
	$$ SELECT 'available', 1, NULL::text, NULL::timestamptz, NULL::timestamptz, 'try again' $$, 'one that failed shows nobody, and the error');
SELECT is(progress, '{"half": true}', 'the next attempt is told how far the last one was') FROM taskq.claim_job('settle-v', '{settle-a}');
UPDATE j SET e = (SELECT epoch FROM taskq.all_jobs WHERE job_id = j.id) WHERE name = 'view';
SELECT taskq.complete_job(pg_temp.id('view'), pg_temp.e('view'), '[1, 2]') \gset
SELECT results_eq($$ SELECT state, attempt, worker_id, lease_expires_at, result, payload->>'n', started_at <= finished_at FROM taskq.all_jobs WHERE job_id = pg_temp.id('view') $$,
	$$ SELECT 'completed', 2, 'settle-v', NULL::timestamptz, '[1, 2]'::jsonb, 'view', true $$, 'a completed job shows its last run and its result');
SELECT is(pg_temp.attempts('view'), '1 failed handler_error, 2 completed', 'and both attempts can be read');
SELECT pg_temp.add('nothing', 'settle-a', -5) \gset
SELECT pg_temp.take('settle-w', 'settle-a'), taskq.complete_job(pg_temp.id('nothing'), pg_temp.e('nothing')) \gset
SELECT is(result, NULL, 'without a result it has none') FROM taskq.all_jobs WHERE job_id = pg_temp.id('nothing');
SELECT pg_temp.add('drop', 'settle-a') \gset
SELECT taskq.discard_job(pg_temp.id('drop'), 'not worth it') \gset
SELECT is(last_error, 'not worth it', 'a discarded one has the operator''s reason') FROM taskq.all_jobs WHERE job_id = pg_temp.id('drop');
SELECT is(pg_temp.attempts('drop'), NULL, 'and no attempt');

SELECT * FROM finish();
ROLLBACK;
