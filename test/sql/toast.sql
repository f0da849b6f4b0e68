-- Large payloads and results, which are stored out of line, in every operation on a
-- job.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/wait.sql
\i test/sql/include/named_jobs.sql
SET client_min_messages = error;
CREATE ROLE tq_toast LOGIN;
CREATE SCHEMA tq_toast AUTHORIZATION tq_toast;
SELECT count(taskq.grant_access('tq_toast', a)) FROM unnest('{producer,worker,observer}'::text[]) a \gset
-- about 100 kB that do not compress, different for each n
CREATE FUNCTION tq_toast.large(n int) RETURNS jsonb LANGUAGE sql AS
	$$ SELECT jsonb_build_object('n', n, 'text', string_agg(encode(sha256((n || ' ' || i)::bytea), 'base64'), '')) FROM generate_series(1, 2300) i $$;
CREATE FUNCTION tq_toast.echo(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT payload $$;
CREATE FUNCTION tq_toast.wrapped(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN taskq.success(payload); END $$;
CREATE FUNCTION tq_toast.hash(job taskq.job) RETURNS jsonb LANGUAGE sql AS
	$$ SELECT to_jsonb(md5(job.payload::text) || ' ' || md5((taskq.current_job()).payload::text)) $$;
-- the result is stored in a table that the handler empties
CREATE FUNCTION tq_toast.stored(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE doc jsonb;
BEGIN
	INSERT INTO tq_toast.docs VALUES (payload);
	SELECT d.doc INTO doc FROM tq_toast.docs d;
	DELETE FROM tq_toast.docs;
	RETURN doc;
END $$;
CREATE FUNCTION tq_toast.boom(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '%', repeat('ä', 50000); END $$;
CREATE TABLE tq_toast.docs (doc jsonb);
GRANT ALL ON tq_toast.docs TO tq_toast;
CREATE FUNCTION pg_temp.add(n text, t text, size int, q text DEFAULT NULL) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO j VALUES (n, taskq.enqueue_job(t, tq_toast.large(size), queue => q)) $$;
CREATE FUNCTION pg_temp.what(large jsonb) RETURNS text LANGUAGE sql AS
	$$ SELECT CASE WHEN large IS NULL THEN 'nothing' WHEN large = tq_toast.large((large->>'n')::int) THEN 'document ' || (large->>'n') ELSE 'another document' END $$;
CREATE FUNCTION pg_temp.stored(n text) RETURNS text LANGUAGE sql AS
	$$ SELECT state || ' ' || attempt || ', ' || pg_temp.what(payload) FROM taskq.all_jobs WHERE job_id = (SELECT id FROM j WHERE name = n) $$;
CREATE FUNCTION pg_temp.result(n text) RETURNS text LANGUAGE sql AS
	$$ SELECT pg_temp.what(result) FROM taskq.all_jobs WHERE job_id = (SELECT id FROM j WHERE name = n) $$;
CREATE FUNCTION pg_temp.take(t text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE c taskq.job;
BEGIN
	SELECT * INTO c FROM taskq.claim_job('toast-w', ARRAY[t]);
	UPDATE j SET e = c.epoch WHERE id = c.job_id;
	RETURN concat_ws(', ', c.attempt, pg_temp.what(c.payload), pg_temp.what(c.progress));
END $$;
SELECT plan(52);

SELECT taskq.register_handler('toast-' || f, format('tq_toast.%I(jsonb)', f)::regprocedure, run_as => 'tq_toast', retry_base => '1 h') FROM unnest('{echo,wrapped,stored,boom}'::text[]) f \g /dev/null
SELECT taskq.register_handler('toast-hash', 'tq_toast.hash(taskq.job)', run_as => 'tq_toast'), taskq.register_handler('toast-ext', retry_policy => 'fixed', retry_base => '0'),
	taskq.create_queue('toast-bare', keep_payload => false), taskq.create_queue('toast-fail', on_unhandled => 'fail') \gset
SELECT ok(octet_length(tq_toast.large(1)::text) > 100000 AND pg_temp.what(tq_toast.large(1)) = 'document 1' AND pg_temp.what(jsonb_set(tq_toast.large(1), '{n}', '2')) = 'another document',
	'a document has 100 kB');

-- through the pool
SELECT pg_temp.add('echo', 'toast-echo', 1), pg_temp.add('wrapped', 'toast-wrapped', 2), pg_temp.add('hash', 'toast-hash', 3), pg_temp.add('stored', 'toast-stored', 4),
	pg_temp.add('boom', 'toast-boom', 5), pg_temp.add('bare', 'toast-echo', 6, 'toast-bare') \gset
SELECT pg_temp.came($$ SELECT NOT EXISTS (SELECT FROM taskq.all_jobs WHERE job_id IN (SELECT id FROM j) AND state IN ('available', 'running')) $$) \gset
SELECT is(pg_temp.stored('echo'), 'completed 1, document 1', 'a handler completes, and its payload is in the history');
SELECT ok(pg_column_size(payload) BETWEEN 50000 AND 150000 AND pg_column_size(result) BETWEEN 50000 AND 150000, 'payload and result have their full size')
	FROM taskq.all_jobs WHERE job_id = pg_temp.id('echo');
SELECT is(pg_temp.result('echo'), 'document 1', 'the return value is the result');
SELECT is(pg_temp.stored('wrapped') || ', ' || pg_temp.result('wrapped'), 'completed 1, document 2, document 2', 'success() with a large value is the result');
SELECT is(pg_temp.stored('hash'), 'completed 1, document 3', 'a handler that takes the job completes');
SELECT is(result, to_jsonb(md5(tq_toast.large(3)::text) || ' ' || md5(tq_toast.large(3)::text)), 'it gets the payload, and so does current_job()') FROM taskq.all_jobs WHERE job_id = pg_temp.id('hash');
SELECT is(pg_temp.stored('stored') || ', ' || pg_temp.result('stored'), 'completed 1, document 4, document 4', 'a result from a row that the handler deletes is kept');
SELECT is(pg_temp.stored('boom'), 'retryable 1, document 5', 'a failure keeps the payload');
SELECT ok(error_message ~ '^ä+$' AND octet_length(error_message) BETWEEN 4000 AND 4096, 'a message of 100 kB is cut between characters') FROM taskq.attempts WHERE job_id = pg_temp.id('boom');
SELECT is(pg_temp.stored('bare') || ', ' || pg_temp.result('bare'), 'completed 1, nothing, document 6', 'a queue without keep_payload keeps the result');

-- from the history, through the pool again
SELECT ok(taskq.retry_job(pg_temp.id('echo'), force => true), 'a completed job is put back');
SELECT pg_temp.came($$ SELECT (SELECT count(*) FROM taskq.attempts WHERE job_id = pg_temp.id('echo')) = 2 $$) \gset
SELECT is(pg_temp.stored('echo') || ', ' || pg_temp.result('echo'), 'completed 1, document 1, document 1', 'the job completes again with the same payload');
SELECT is(count(*), 2::bigint, 'the job has two attempts') FROM taskq.attempts WHERE job_id = pg_temp.id('echo');

-- claim and settle
SELECT pg_temp.add('ext', 'toast-ext', 11) \gset
SELECT ok(pg_column_size(payload) > 50000, 'the payload is stored out of line') FROM taskq.all_jobs WHERE job_id = pg_temp.id('ext');
SELECT is(pg_temp.take('toast-ext'), '1, document 11, nothing', 'a claim returns the payload');
SELECT is(taskq.heartbeat_job(pg_temp.id('ext'), pg_temp.e('ext'), progress => tq_toast.large(12)), 'ok', 'a heartbeat with large progress returns ok');
SELECT is(pg_temp.stored('ext') || ', ' || pg_temp.what(progress), 'running 1, document 11, document 12', 'the large progress is stored') FROM taskq.all_jobs WHERE job_id = pg_temp.id('ext');
SELECT ok(taskq.fail_job(pg_temp.id('ext'), pg_temp.e('ext'), 'no luck'), 'fail');
SELECT is(pg_temp.take('toast-ext'), '2, document 11, document 12', 'the next claim after a failure returns payload and progress');
SELECT ok(taskq.release_job(pg_temp.id('ext'), pg_temp.e('ext')), 'the job is released');
SELECT is(pg_temp.take('toast-ext'), '2, document 11, document 12', 'the next claim after a release returns payload and progress');
SELECT ok(taskq.snooze_job(pg_temp.id('ext'), pg_temp.e('ext'), '0'), 'the job is snoozed');
SELECT is(pg_temp.take('toast-ext'), '2, document 11, document 12', 'the next claim after a snooze returns payload and progress');
BEGIN;
SELECT ok(taskq.complete_job(pg_temp.id('ext'), pg_temp.e('ext'), tq_toast.large(13)), 'the job is completed in a subtransaction');
ROLLBACK;
SELECT is(pg_temp.stored('ext'), 'running 2, document 11', 'the completion is rolled back');
SELECT ok(taskq.complete_job(pg_temp.id('ext'), pg_temp.e('ext'), tq_toast.large(14)), 'the job is completed');
SELECT is(pg_temp.stored('ext') || ', ' || pg_temp.result('ext') || ', ' || pg_temp.what(progress), 'completed 2, document 11, document 14, document 12', 'payload, result and progress are in the history')
	FROM taskq.all_jobs WHERE job_id = pg_temp.id('ext');
VACUUM taskq.jobs;
SELECT is(pg_temp.stored('ext') || ', ' || pg_temp.result('ext'), 'completed 2, document 11, document 14', 'they are there after the live row was vacuumed');

-- retry_job from the history
SELECT ok(taskq.retry_job(pg_temp.id('ext'), force => true), 'the completed job with large values is put back');
SELECT is(pg_temp.stored('ext') || ', ' || pg_temp.result('ext'), 'available 0, document 11, nothing', 'its payload is kept');
VACUUM taskq.job_history;
SELECT is(split_part(pg_temp.take('toast-ext'), ', ', 2), 'document 11', 'the job is claimed again with its payload');
SELECT ok(taskq.fail_job(pg_temp.id('ext'), pg_temp.e('ext'), 'never', retryable => false), 'the job fails permanently');
SELECT is(pg_temp.stored('ext'), 'discarded 1, document 11', 'the discarded job has its payload');
SELECT ok(taskq.retry_job(pg_temp.id('ext')), 'the discarded job is put back');
SELECT ok(taskq.discard_job(pg_temp.id('ext')), 'an operator discards the job');
SELECT is(pg_temp.stored('ext'), 'discarded 0, document 11', 'the job that was discarded by an operator has its payload');

-- cancel
SELECT pg_temp.add('waiting', 'toast-ext', 21) \gset
SELECT is(taskq.cancel_job(pg_temp.id('waiting')), 'cancelled', 'a waiting job is cancelled');
SELECT is(pg_temp.stored('waiting'), 'cancelled 0, document 21', 'the cancelled job has its payload');
SELECT ok(taskq.retry_job(pg_temp.id('waiting')), 'the cancelled job is put back');
SELECT is(pg_temp.take('toast-ext'), '1, document 21, nothing', 'the job that was cancelled is claimed with its payload');
SELECT is(taskq.cancel_job(pg_temp.id('waiting')), 'requested', 'cancel_job() returns requested for the running job');
SELECT is(taskq.cancel_job(pg_temp.id('waiting'), pg_temp.e('waiting')), 'cancelled', 'its worker cancels the job');
SELECT is(pg_temp.stored('waiting'), 'cancelled 1, document 21', 'the job that its worker cancelled has its payload');

-- other ways to enqueue
SELECT pg_temp.add('unhandled', 'toast-none', 31, 'toast-fail') \gset
SELECT is(pg_temp.stored('unhandled'), 'discarded 0, document 31', 'an unhandled job has its payload');
INSERT INTO j SELECT 'many' || n, id FROM taskq.enqueue_jobs('toast-ext', ARRAY(SELECT tq_toast.large(n) FROM generate_series(41, 43) n)) WITH ORDINALITY x (id, n);
CREATE TEMP TABLE claimed AS SELECT * FROM taskq.claim_jobs('toast-w', 10, '{toast-ext}');
SELECT is(array_agg(pg_temp.what(payload) ORDER BY job_id), '{document 41,document 42,document 43}', 'enqueue_jobs() and claim_jobs() keep large payloads') FROM claimed;
SELECT is(array_agg(taskq.complete_job(job_id, epoch, payload)), '{t,t,t}', 'the claimed jobs are completed with their payloads as results') FROM claimed;
SELECT is(array_agg(pg_temp.result(name) ORDER BY name), '{document 41,document 42,document 43}', 'the results are stored') FROM j WHERE name LIKE 'many%';
SELECT pg_temp.add('by hand', 'toast-none', 51) \gset
SELECT is(r.state || ', ' || pg_temp.what(r.result), 'completed, document 51', 'run_job() returns a large result') FROM taskq.run_job(pg_temp.id('by hand'), 'tq_toast.stored(jsonb)') r;
SELECT is(pg_temp.stored('by hand') || ', ' || pg_temp.result('by hand'), 'completed 1, document 51, document 51', 'run_job() stores payload and result');
SET taskq.max_payload_size = '50kB';
SELECT throws_ok($$ SELECT taskq.enqueue_job('toast-ext', tq_toast.large(61)) $$, 'TQ009', NULL, 'a payload larger than taskq.max_payload_size before compression is refused');
SELECT throws_ok($$ SELECT taskq.enqueue_job('toast-ext', to_jsonb(repeat('x', 60000))) $$, 'TQ009', NULL, 'this holds even if it would be small after compression');
RESET taskq.max_payload_size;

SELECT finish();
SELECT taskq.unregister_worker('toast-w') \gset
SELECT count(taskq.unregister_handler(h.task_type)) FROM taskq.list_handlers() h WHERE h.task_type LIKE 'toast-%' \gset
SELECT count(taskq.cancel_job(job_id)) FROM taskq.all_jobs WHERE task_type LIKE 'toast-%' AND finished_at IS NULL \gset
SELECT taskq.drop_pool('tq_toast') \gset
SELECT count(taskq.revoke_access('tq_toast', a)) FROM unnest('{producer,worker,observer}'::text[]) a \gset
DROP SCHEMA tq_toast CASCADE;
DROP ROLE tq_toast;
