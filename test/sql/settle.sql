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
	FROM (VALUES (-1, 'an earlier epoch is stale'), (1, 'a later epoch is stale'), (1::bigint << 48, 'an epoch of another timeline is stale')) v (d, why);
SELECT throws_ok(format('SELECT taskq.complete_job(%s, NULL)', pg_temp.id('f')), '22004', 'epoch must not be NULL', 'epoch must not be NULL');
SELECT is(pg_temp.detail_of(format('SELECT taskq.complete_job(%s, 1)', pg_temp.id('f'))),
	'The job was claimed again, or this claim was rolled back.', 'the detail says why an epoch is stale');
SET LOCAL taskq.max_result_size = '2kB';
SELECT throws_ok(format('SELECT taskq.complete_job(%s, %s, to_jsonb(repeat(''x'', 3000)))', pg_temp.id('f'), pg_temp.e('f')), 'TQ010', 'result of 3008 bytes is too large', 'a result larger than taskq.max_result_size is refused');
RESET taskq.max_result_size;
SELECT ok(taskq.complete_job(pg_temp.id('f'), pg_temp.e('f'), '{"first": true}'), 'complete_job() with the claim''s epoch returns true');
SELECT ok(NOT taskq.complete_job(pg_temp.id('f'), pg_temp.e('f'), '{"second": true}'), 'complete_job() returns false if it is repeated');
SELECT is(result, '{"first": true}', 'the first result is kept') FROM taskq.all_jobs WHERE job_id = pg_temp.id('f');
SELECT is(pg_temp.detail_of(format('SELECT taskq.fail_job(%s, %s)', pg_temp.id('f'), pg_temp.e('f'))),
	'This claim was settled before, and the job is completed.', 'the detail of another outcome says that the claim was settled before');
SELECT taskq.retry_job(pg_temp.id('f'), force => true) \gset
SELECT ok(NOT taskq.complete_job(pg_temp.id('f'), pg_temp.e('f')), 'a repeated settle returns false after the job was put back');
SELECT e AS old FROM j WHERE name = 'f' \gset
SELECT pg_temp.take('settle-w', 'settle-a') \gset
SELECT ok(pg_temp.e('f') > :old, 'the epoch of a later claim is larger');
SELECT throws_ok(format('SELECT taskq.complete_job(%s, %s)', pg_temp.id('f'), :old), 'TQ003', NULL, 'the old epoch is stale after a later claim');
SAVEPOINT s;
SELECT taskq.complete_job(pg_temp.id('f'), pg_temp.e('f')) \gset
ROLLBACK TO s;
SELECT is(pg_temp.state('f'), 'running 1', 'a settle that is rolled back has no effect');
SELECT ok(taskq.complete_job(pg_temp.id('f'), pg_temp.e('f')), 'a settle can be repeated after a rollback');
SELECT pg_temp.add('r', 'settle-a') \gset
SAVEPOINT s;
SELECT pg_temp.take('settle-w', 'settle-a') \gset
SELECT pg_temp.e('r') AS rolled_back \gset
ROLLBACK TO s;
SELECT throws_ok(format('SELECT taskq.complete_job(%s, %s)', pg_temp.id('r'), :rolled_back), 'TQ003', NULL,
	'the epoch of a claim that was rolled back cannot settle the job');
SELECT pg_temp.take('settle-v', 'settle-a') \gset
SELECT isnt(pg_temp.e('r'), :rolled_back, 'an epoch that was rolled back is not given out again');
SELECT throws_ok(format('SELECT taskq.heartbeat_job(%s, %s)', pg_temp.id('r'), :rolled_back), 'TQ003', NULL, 'an epoch that was rolled back cannot extend the lease');

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
SELECT is(pg_temp.failed('none', 'settle-none', ''), 'discarded, handler_error', 'with retry policy none, a failed job is discarded');
SELECT is(pg_temp.failed('wish', 'settle-b', ', retry_in => ''90 s'''), 'retryable, handler_error', 'fail_job() with retry_in makes the job retryable');
SELECT is(j.run_at - a.finished_at, '90 s', 'the job is retried after retry_in')
	FROM taskq.all_jobs j JOIN taskq.attempts a USING (job_id) WHERE job_id = pg_temp.id('wish');
SELECT ok(j.run_at - a.finished_at BETWEEN '45 min' AND '75 min', 'without retry_in, the job is retried by its policy, with a jitter of a quarter')
	FROM taskq.all_jobs j JOIN taskq.attempts a USING (job_id) WHERE job_id = pg_temp.id('e1');
SELECT is(pg_temp.failed('now', 'settle-b', ', retry_in => ''0'''), 'available, handler_error', 'with retry_in of 0, the job is available at once');

SELECT pg_temp.add('full', 'settle-a', attempts => 3) \gset
SELECT pg_temp.take('settle-w', 'settle-a') \gset
SELECT taskq.fail_job(pg_temp.id('full'), pg_temp.e('full'), 'no luck', 'quota_error', 'OVER_QUOTA', NULL, NULL, 'the detail', 'the hint', 'the context') \gset
SELECT results_eq($$ SELECT attempt, epoch, worker_id, handler_version, started_at <= finished_at, outcome, error_type, error_code, error_message, sqlstate, detail, hint, context
		FROM taskq.attempts WHERE job_id = pg_temp.id('full') $$,
	$$ SELECT 1, pg_temp.e('full'), 'settle-w', NULL::text, true, 'failed', 'quota_error', 'OVER_QUOTA', 'no luck', NULL::text, 'the detail', 'the hint', 'the context' $$,
	'the attempt keeps all arguments of fail_job()');
SELECT is(last_error, 'no luck', 'the job has the message of the last failure') FROM taskq.all_jobs WHERE job_id = pg_temp.id('full');
SELECT pg_temp.take('settle-w', 'settle-a') \gset
SELECT taskq.fail_job(pg_temp.id('full'), pg_temp.e('full'), repeat('é', 5000)) \gset
SELECT is(pg_temp.state('full'), 'available 2', 'a failed job with attempts left is retried');
SELECT is(octet_length(error_message), 4096, 'a message is cut to 4 kB, between characters')
	FROM taskq.attempts WHERE job_id = pg_temp.id('full') AND attempt = 2;
SELECT pg_temp.take('settle-w', 'settle-a') \gset
SELECT taskq.fail_job(pg_temp.id('full'), pg_temp.e('full'), 'the end') \gset
SELECT is(pg_temp.state('full'), 'discarded 3', 'a failed job without attempts left is discarded');
SELECT is(pg_temp.attempts('full'), '1 failed quota_error, 2 failed handler_error, 3 failed handler_error', 'taskq.attempts shows every attempt');
SELECT taskq.retry_job(pg_temp.id('full')) \gset
SELECT is(pg_temp.state('full'), 'available 0', 'retry_job() gives a job all its attempts again');
SELECT pg_temp.take('settle-w', 'settle-a') \gset
SELECT taskq.complete_job(pg_temp.id('full'), pg_temp.e('full')) \gset
SELECT is(pg_temp.attempts('full'), '1 failed quota_error, 2 failed handler_error, 3 failed handler_error, 1 completed', 'earlier attempts are kept');
SELECT throws_ok($$ SELECT taskq.fail_job(1, 1, error_type => 'no name') $$, '22023', NULL, 'error_type must be a name');
SELECT throws_ok($$ SELECT taskq.fail_job(1, 1, retry_in => '-1 s') $$, '22023', NULL, 'retry_in must not be negative');

-- giving back -----------------------------------------------------------------
SELECT pg_temp.add('g', 'settle-a', attempts => 1) \gset
SELECT pg_temp.take('settle-w', 'settle-a'), taskq.release_job(pg_temp.id('g'), pg_temp.e('g')) \gset
SELECT is(pg_temp.take('settle-w', 'settle-a'), 'g', 'a job with one attempt is claimed again after a release');
SELECT ok(taskq.snooze_job(pg_temp.id('g'), pg_temp.e('g'), '0'), 'snooze_job() accepts a delay of 0');
SELECT is(pg_temp.take('settle-w', 'settle-a'), 'g', 'a job snoozed for 0 is available at once');
SELECT taskq.snooze_job(pg_temp.id('g'), pg_temp.e('g'), '10 min') \gset
SELECT is(pg_temp.take('settle-w', 'settle-a'), NULL, 'a job snoozed for ten minutes is not claimed before that');
SET LOCAL taskq.clock_offset = '10 min';
SELECT is(pg_temp.take('settle-w', 'settle-a'), 'g', 'a job snoozed for ten minutes is claimed after that');
SELECT taskq.complete_job(pg_temp.id('g'), pg_temp.e('g')) \gset
SET LOCAL taskq.clock_offset = 0;
SELECT is(pg_temp.attempts('g'), '1 completed', 'released and snoozed runs are no attempts');
SELECT throws_ok($$ SELECT taskq.snooze_job(1, 1, NULL) $$, '22004', 'delay must not be NULL', 'delay must not be NULL');
SELECT throws_ok($$ SELECT taskq.snooze_job(1, 1, '-1 s') $$, '22023', NULL, 'delay must not be negative');
SELECT throws_ok($$ SELECT taskq.snooze_job(1, 1, '11 years') $$, '22023', NULL, 'delay must not exceed ten years');

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
SELECT is(last_error, 'no need', 'the reason of the request is kept') FROM taskq.all_jobs WHERE job_id = pg_temp.id('a-fail');
SELECT is(pg_temp.attempts('a-fail'), '1 failed handler_error', 'the failed attempt is kept');
SELECT taskq.retry_job(pg_temp.id('a-release')) \gset
SELECT is(pg_temp.take('settle-w', 'settle-a'), 'a-release', 'a cancelled job that was put back is claimed');
SELECT is(taskq.heartbeat_job(pg_temp.id('a-release'), pg_temp.e('a-release')), 'ok', 'the request is removed when the job is put back');
SELECT is(taskq.cancel_job(pg_temp.id('a-heartbeat'), pg_temp.e('a-heartbeat')), 'cancelled', 'the worker cancels a job for which there is a request');
SELECT is(pg_temp.attempts('a-heartbeat'), '1 cancelled cancelled', 'a run that its worker cancels is an attempt');
SELECT pg_temp.add('a-reasons', 'settle-a', -200), pg_temp.take('settle-w', 'settle-a') \gset
SELECT taskq.cancel_job(pg_temp.id('a-reasons')), taskq.cancel_job(pg_temp.id('a-reasons'), reason => 'first'), taskq.cancel_job(pg_temp.id('a-reasons'), reason => 'another') \gset
SELECT count(taskq.cancel_job(pg_temp.id('a-reasons'), reason => 'again ' || n)) FROM generate_series(1, 100) n \gset
SELECT is(string_agg(COALESCE(reason, 'none'), ', ' ORDER BY request_id), 'none, first', 'a request without a new reason is not stored') FROM taskq.cancel_requests WHERE job_id = pg_temp.id('a-reasons');
SELECT taskq.release_job(pg_temp.id('a-reasons'), pg_temp.e('a-reasons')) \gset
SELECT is(last_error, 'first', 'the first reason of several requests counts') FROM taskq.all_jobs WHERE job_id = pg_temp.id('a-reasons');
SELECT is_empty($$ SELECT FROM taskq.cancel_requests r JOIN taskq.all_jobs j USING (job_id) WHERE j.state = 'cancelled' $$, 'a cancelled job has no request left');

-- putting back ----------------------------------------------------------------
SELECT is(pg_temp.hint_of(pg_temp.of('g', 'SELECT taskq.retry_job(%1$s)')), 'To run it again all the same, say force => true.',
	'the hint for a completed job names force => true');
SELECT is(pg_temp.hint_of(pg_temp.of('a-cancel', 'SELECT taskq.discard_job(%1$s)')),
	'Ask for it to be cancelled with taskq.cancel_job(), then try again.', 'the hint for a running job names cancel_job()');
SELECT pg_temp.add('again', 'settle-a', -200), pg_temp.take('settle-w', 'settle-a') \gset
SELECT taskq.complete_job(pg_temp.id('again'), pg_temp.e('again')), taskq.retry_job(pg_temp.id('again'), force => true), taskq.cancel_job(pg_temp.id('again')) \gset
SELECT is(pg_temp.attempts('again'), '1 completed', 'a job that is cancelled after it was put back has no further attempt');
SELECT throws_ok($$ SELECT taskq.retry_job(1, NULL) $$, '22004', NULL, 'force must not be NULL');
SELECT taskq.create_queue('settle-lean', keep_payload => false) \gset
SELECT pg_temp.add('lean-done', 'settle-a', q => 'settle-lean'), pg_temp.add('lean-lost', 'settle-a', q => 'settle-lean') \gset
SELECT pg_temp.take_many('settle-w', 2, 'settle-a') \gset
SELECT taskq.complete_job(pg_temp.id('lean-done'), pg_temp.e('lean-done'), '1'),
	taskq.fail_job(pg_temp.id('lean-lost'), pg_temp.e('lean-lost'), retryable => false) \gset
SELECT is(payload IS NULL AND result = '1', true, 'with keep_payload => false, a completed job keeps its result but not its payload')
	FROM taskq.all_jobs WHERE job_id = pg_temp.id('lean-done');
SELECT throws_ok(pg_temp.of('lean-done', 'SELECT taskq.retry_job(%1$s, true)'), 'TQ008', NULL, 'a completed job without its payload cannot be put back');
SELECT is(pg_temp.outcome('lean-lost', 'retry_job(%1$s)'), 'true, available 0', 'with keep_payload => false, a discarded job can be put back');

-- what the views say ----------------------------------------------------------
SELECT pg_temp.add('view', 'settle-a', -5) \gset
SELECT pg_temp.take('settle-w', 'settle-a') \gset
SELECT is(taskq.heartbeat_job(pg_temp.id('view'), pg_temp.e('view'), progress => '{"half": true}'), 'ok', 'a heartbeat can store progress');
SELECT results_eq($$ SELECT state, epoch, worker_id, lease_expires_at > started_at, result, progress, finished_at FROM taskq.all_jobs WHERE job_id = pg_temp.id('view') $$,
	$$ SELECT 'running', pg_temp.e('view'), 'settle-w', true, NULL::jsonb, '{"half": true}'::jsonb, NULL::timestamptz $$,
	'all_jobs shows the worker, lease and progress of a running job');
SELECT taskq.fail_job(pg_temp.id('view'), pg_temp.e('view'), 'try again') \gset
SELECT results_eq($$ SELECT state, attempt, worker_id, lease_expires_at, started_at, last_error FROM taskq.all_jobs WHERE job_id = pg_temp.id('view') $$,
	$$ SELECT 'available', 1, NULL::text, NULL::timestamptz, NULL::timestamptz, 'try again' $$, 'all_jobs shows the error of a failed job, and no worker');
SELECT is(progress, '{"half": true}', 'the next claim returns the progress of the last run') FROM taskq.claim_job('settle-v', '{settle-a}');
UPDATE j SET e = (SELECT epoch FROM taskq.all_jobs WHERE job_id = j.id) WHERE name = 'view';
SELECT taskq.complete_job(pg_temp.id('view'), pg_temp.e('view'), '[1, 2]') \gset
SELECT results_eq($$ SELECT state, attempt, worker_id, lease_expires_at, result, payload->>'n', started_at <= finished_at FROM taskq.all_jobs WHERE job_id = pg_temp.id('view') $$,
	$$ SELECT 'completed', 2, 'settle-v', NULL::timestamptz, '[1, 2]'::jsonb, 'view', true $$, 'all_jobs shows the last run and the result of a completed job');
SELECT is(pg_temp.attempts('view'), '1 failed handler_error, 2 completed', 'taskq.attempts shows both attempts');
SELECT pg_temp.add('nothing', 'settle-a', -5) \gset
SELECT pg_temp.take('settle-w', 'settle-a'), taskq.complete_job(pg_temp.id('nothing'), pg_temp.e('nothing')) \gset
SELECT is(result, NULL, 'a job completed without a result has none') FROM taskq.all_jobs WHERE job_id = pg_temp.id('nothing');
SELECT pg_temp.add('drop', 'settle-a') \gset
SELECT taskq.discard_job(pg_temp.id('drop'), 'not worth it') \gset
SELECT is(last_error, 'not worth it', 'a discarded job has the operator''s reason') FROM taskq.all_jobs WHERE job_id = pg_temp.id('drop');
SELECT is(pg_temp.attempts('drop'), NULL, 'a job discarded by an operator has no attempt');

SELECT * FROM finish();
ROLLBACK;
