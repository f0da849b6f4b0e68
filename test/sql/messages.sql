-- Messages that say what is so, and hints that the reader can follow.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
SELECT plan(52);
SELECT ok(pg_temp.came('SELECT taskq.scheduler_pid() IS NOT NULL'), 'the scheduler runs');
CREATE ROLE regress_messages LOGIN;
GRANT CREATE ON DATABASE :"DBNAME" TO regress_messages;
SELECT taskq.grant_access('regress_messages', a) FROM unnest('{worker,admin,producer}'::text[]) a \g /dev/null
SET SESSION AUTHORIZATION regress_messages;
CREATE SCHEMA msg;
CREATE FUNCTION msg.wait(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT pg_advisory_xact_lock_shared(8080); SELECT 'null'::jsonb $$;
CREATE FUNCTION msg.f(jsonb) RETURNS jsonb LANGUAGE sql RETURN $1;
SELECT taskq.register_handler('msg-in', 'msg.wait(jsonb)'), taskq.register_handler('msg-f', 'msg.f(jsonb)') \gset
RESET SESSION AUTHORIZATION;
SELECT taskq.register_handler('msg-a', retry_policy => 'fixed', retry_base => '0'), taskq.register_worker('msg-w', '{msg-a}'), taskq.create_queue('msg-q') \gset

-- a claim that is not in force ----------------------------------------------------
SELECT pg_advisory_lock(8080) \gset
SELECT pg_temp.add('in', 'msg-in') \gset
SELECT ok(pg_temp.came(format('SELECT count(*) = 1 FROM taskq.running_jobs() WHERE job_id = %s', pg_temp.id('in'))), 'a background worker runs a job');
UPDATE j SET e = (SELECT epoch FROM taskq.all_jobs WHERE job_id = id) WHERE name = 'in';
SELECT is(pg_temp.detail_of(pg_temp.of('in', 'SELECT taskq.complete_job(%s, %s)')), 'A background worker runs the job, and settles it itself.', 'nobody else settles it');
SELECT is(pg_temp.hint_of(pg_temp.of('in', 'SELECT taskq.fail_job(%s, %s)')), 'To end the run, use taskq.cancel_job().', 'and who wants it to end is told how');
SELECT pg_advisory_unlock(8080) \gset
SELECT ok(pg_temp.came(format('SELECT state = ''completed'' FROM taskq.all_jobs WHERE job_id = %s', pg_temp.id('in'))), 'it completes');
SELECT is(pg_temp.detail_of(format('SELECT taskq.complete_job(%s, 1)', pg_temp.id('in'))), 'The job is completed, and not by this claim.', 'a job that has ended was not claimed again');
SELECT pg_temp.add('a', 'msg-a') \gset
SELECT is(pg_temp.detail_of(pg_temp.of('a', 'SELECT taskq.complete_job(%s, %s)')), 'The job has not been claimed.', 'a job that nobody has claimed');
SELECT is(pg_temp.hint_of(pg_temp.of('a', 'SELECT taskq.complete_job(%s, %s)')), 'Settle with the job_id and epoch that the claim returned.', 'is settled by nobody');
SELECT is(pg_temp.detail_of(format('SELECT taskq.complete_job(%s, 1)', pg_temp.id('a'))), 'The job has not been claimed, or its claim was rolled back or has not been committed yet.', 'nor by an epoch that nobody was given, or whose claim is not committed');
SELECT matches(pg_temp.hint_of(format('SELECT taskq.complete_job(%s, 1)', pg_temp.id('a'))), '^Commit the claim', 'which is to be committed first');
SELECT pg_temp.take('msg-w') \gset
SELECT is(pg_temp.detail_of(format('SELECT taskq.complete_job(%s, 1)', pg_temp.id('a'))), 'The job was claimed again, or this claim was rolled back.', 'another claim has it');
SELECT matches(pg_temp.hint_of(format('SELECT taskq.complete_job(%s, 1)', pg_temp.id('a'))), 'roll back', 'what was done for it is to be rolled back');
SELECT taskq.complete_job(pg_temp.id('a'), pg_temp.e('a')) \gset
SELECT is(pg_temp.detail_of(pg_temp.of('a', 'SELECT taskq.heartbeat_job(%s, %s)')), 'This claim was settled before, and the job is completed.', 'a heartbeat after completing');
SELECT is(pg_temp.hint_of(pg_temp.of('a', 'SELECT taskq.heartbeat_job(%s, %s)')), 'A claim is settled once; after that nothing is left to do with it.', 'does not have one roll back');
SELECT pg_temp.add('b', 'msg-a'), pg_temp.take('msg-w') \gset
SELECT taskq.fail_job(pg_temp.id('b'), pg_temp.e('b'), 'no') \gset
SELECT is(pg_temp.detail_of(pg_temp.of('b', 'SELECT taskq.complete_job(%s, %s)')), 'This claim was settled before, and the job is available.', 'another outcome, of a job that waits again');

SELECT is(pg_temp.detail_of(format('SELECT taskq.complete_job(%s, 1)', pg_temp.id('b'))), 'The job was claimed again, or this claim was rolled back or has not been committed yet.', 'of a job that waits again the claim may not be committed');

-- arguments -----------------------------------------------------------------------
SELECT is(pg_temp.hint_of('SELECT taskq.complete_job(1, NULL)'), '', 'an argument that has no default is not to be left out');
SELECT is(pg_temp.hint_of('SELECT taskq.retry_job(1, NULL)'), 'Leave the argument out to get its default.', 'one that has may be');

-- run by hand ---------------------------------------------------------------------
SELECT taskq.pause_handler('msg-f'), taskq.pause_queue('msg-q'), pg_temp.add('stopped', 'msg-f'), pg_temp.add('paused', 'msg-a', q => 'msg-q') \gset
SELECT format('SELECT taskq.run_job(%s)', pg_temp.id('stopped')) AS run_stopped, format('SELECT taskq.run_job(%s)', pg_temp.id('paused')) AS run_paused, pg_temp.id('stopped') AS stopped \gset
SELECT is(pg_temp.hint_of(:'run_stopped'), 'When the cause of the pause is gone, SELECT taskq.resume_handler(''msg-f'').', 'a type that is paused is to be resumed');
SELECT is(pg_temp.hint_of(:'run_paused'), 'When its jobs may start, SELECT taskq.resume_queue(''msg-q'').', 'a queue that is paused, too');
SELECT matches(pg_temp.detail_of(:'run_paused'), 'queue paused', 'the detail says so, too');
SELECT taskq.pause_handler('msg-a'), taskq.resume_queue('msg-q') \gset
SELECT matches(pg_temp.detail_of(:'run_paused') || ' ' || pg_temp.hint_of(:'run_paused'), 'handler paused.*resume_handler', 'of an external type that is paused, detail and hint say the same');
SELECT taskq.resume_handler('msg-f'), taskq.resume_handler('msg-a'), taskq.resume_queue('msg-q') \gset
SELECT is(pg_temp.hint_of(:'run_paused'), 'Name a handler in the call, or connect as the handler''s role.', 'else it is the handler that is missing');

-- payloads ------------------------------------------------------------------------
SET SESSION AUTHORIZATION regress_messages;
SET search_path = msg, public;
CREATE TYPE msg_t AS (id bigint, note varchar(10));
CREATE DOMAIN msg_d AS text CHECK (value <> '');
CREATE FUNCTION msg_v(jsonb) RETURNS boolean LANGUAGE sql RETURN false;
SELECT taskq.register_handler('msg-t', payload_type => 'msg_t', required_fields => '{"to": "string"}'), taskq.register_handler('msg-d', payload_type => 'msg_d'),
	taskq.register_handler('msg-v', validator => 'msg_v(jsonb)') \gset
SELECT is(pg_temp.hint_of($$ SELECT taskq.enqueue_job('msg-t', '{}') $$), 'It must have "to" (string). It may have "id" (bigint), "note" (character varying(10)).', 'a producer is told which fields there are');
SELECT is(pg_temp.hint_of($$ SELECT taskq.enqueue_job('msg-d', '""') $$), 'The payload must be of type msg.msg_d.', 'or the type');
SELECT is(pg_temp.hint_of($$ SELECT taskq.enqueue_job('msg-v') $$), 'Validator msg.msg_v(pg_catalog.jsonb) decides.', 'or who decides');
RESET SESSION AUTHORIZATION;
RESET search_path;

-- names that the library goes by --------------------------------------------------
SELECT throws_ok('ALTER SCHEMA taskq RENAME TO q', '0A000', 'schema "taskq" cannot be renamed', 'the schema keeps its name');
SELECT throws_ok('ALTER TABLE taskq.jobs RENAME TO work', '0A000', 'relation "jobs" belongs to extension taskq and cannot be renamed or moved', 'so does a table');
SELECT throws_ok('ALTER TABLE taskq.jobs RENAME COLUMN gate TO door', '0A000', NULL, 'a column');
SELECT lives_ok('ALTER INDEX taskq.jobs_open RENAME TO open; ALTER INDEX taskq.open RENAME TO jobs_open', 'an index is known by its definition, and may have any');
SELECT throws_ok('ALTER TABLE taskq.jobs SET SCHEMA public', '0A000', NULL, 'and each stays in its schema');
SELECT lives_ok('CREATE SCHEMA msg_other; ALTER SCHEMA msg_other RENAME TO msg_else; ALTER TYPE msg.msg_t RENAME TO msg_u; CREATE TABLE msg_else.a (); ALTER TABLE msg_else.a RENAME TO b; ALTER TABLE msg_else.b SET SCHEMA public', 'other names are one''s own');

-- functions by name ------------------------------------------------------------------
SET SESSION AUTHORIZATION regress_messages;
SELECT lives_ok($$ SELECT taskq.register_handler('msg-name', 'msg.f') $$, 'a name that one function has is enough for a handler');
SELECT is(taskq.get_handler('msg-name'), 'msg.f(pg_catalog.jsonb)', 'which is stored with its signature');
SELECT lives_ok($$ SELECT taskq.register_handler('msg-oid', 'msg.f(jsonb)'::regprocedure) $$, 'an oid does as well');
SELECT throws_ok($$ SELECT taskq.register_handler('msg-no', 'not_callable') $$, '42883', 'function "not_callable" does not exist', 'a name that no function has');
SELECT matches(pg_temp.hint_of($$ SELECT taskq.register_handler('msg-no', 'not_callable') $$), '^Give handler as the name of one function', 'is answered with what is wanted');
SELECT throws_ok($$ SELECT taskq.register_handler('msg-no', 'format') $$, '42725', NULL, 'as is one that several have');
SELECT matches(pg_temp.hint_of($$ SELECT taskq.register_handler('msg-no', 'msg.f', validator => 'nobody') $$), '^Give validator as', 'a validator is named alike');
SELECT throws_ok(format('SELECT taskq.register_handler(''msg-no'', %L)', n), '42883', NULL, 'a number names no function') FROM (VALUES ('1242')) v (n);
SELECT lives_ok($$ SELECT taskq.register_handler('msg-each-' || i, 'msg.f') FROM generate_series(1, 3) i $$, 'one statement may register several');
RESET SESSION AUTHORIZATION;

SELECT throws_ok($$ SELECT taskq.register_worker('msg-no', '{msg-x,msg-a,msg-y}') $$, 'TQ002', 'no handlers registered for task types "msg-x", "msg-y"', 'all types that nobody has registered are named');

\set VERBOSITY default
CALL taskq.wait_for_job('msg-nobody', '0', NULL);
\set VERBOSITY terse

-- types that bring nothing --------------------------------------------------------
\set VERBOSITY default
SELECT * FROM taskq.claim_job('msg-nobody', '{msg-f}');
SELECT * FROM taskq.claim_job('msg-nobody', '{msg-f}');
SET client_min_messages = notice;
SET SESSION AUTHORIZATION regress_messages;
SELECT taskq.create_pool('msg-pool', task_types => '{msg-x,msg-f,msg-y}') \g /dev/null
SELECT taskq.alter_pool('msg-pool', task_types => '{msg-x}') \g /dev/null
SELECT taskq.alter_pool('msg-pool', task_types => '{msg-f}'), taskq.drop_pool('msg-pool') \g /dev/null
RESET SESSION AUTHORIZATION;
SET client_min_messages = warning;
\set VERBOSITY terse

-- what to do instead ---------------------------------------------------------------
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_worker('two words') $$), 'Use the host''s name and the process id, for example, such as host:4711.', 'the id of a worker has no text to keep elsewhere');
SELECT is(pg_temp.hint_of($$ SELECT taskq.create_queue('two words') $$), '', 'nor has the name of a queue');
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_handler('two words') $$), 'Keep other text in the payload or in tags.', 'but what a job is about goes into its payload');
SELECT is(pg_temp.hint_of(format('SELECT taskq.discard_job(%s)', pg_temp.id('a'))), 'The job has ended already, and nothing of it will run.', 'a job that is completed need not be discarded');
SET SESSION AUTHORIZATION regress_messages;
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_handler('msg-no', 'msg.f', run_as => 'pg_monitor') $$), 'GRANT pg_monitor TO regress_messages; or register as that role, whose default run_as is itself.', 'run_as needs membership');
CREATE FUNCTION msg.commits(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN COMMIT; RETURN NULL; END $$;
SELECT taskq.register_handler('msg-commits', 'msg.commits', max_attempts => 1) \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT pg_temp.add('commits', 'msg-commits') \gset
SELECT ok(pg_temp.came(format('SELECT finished_at IS NOT NULL FROM taskq.all_jobs WHERE job_id = %s', pg_temp.id('commits'))), 'a function that commits fails');
SELECT is((SELECT hint FROM taskq.attempts WHERE job_id = pg_temp.id('commits')), 'Only a procedure can be a handler that commits: CREATE PROCEDURE, and register that.', 'and is told of procedures');
SET ROLE regress_messages;
SELECT is(pg_temp.hint_of('SELECT taskq.run_next()'), 'Connect as the handler''s role, or, as a superuser, run SET SESSION AUTHORIZATION regress_messages.', 'SET ROLE does not suffice to run a job by hand');
RESET ROLE;

-- small ones ----------------------------------------------------------------------
SELECT ok(NOT taskq.is_retryable_error_type(''), 'an empty string is no error type');
SELECT is(taskq.enqueue_job('msg-a', run_at => '-infinity') IS NOT NULL, true, 'a moment before all others is now, as any in the past');

SELECT * FROM finish();
SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE finished_at IS NULL AND task_type LIKE 'msg-%' \g /dev/null
SELECT taskq.unregister_handler(task_type) FROM taskq.list_handlers() WHERE task_type LIKE 'msg-%' \g /dev/null
SELECT taskq.unregister_worker('msg-w'), taskq.drop_pool('regress_messages') \gset
SELECT taskq.revoke_access('regress_messages', a) FROM unnest('{worker,admin,producer}'::text[]) a \g /dev/null
DROP OWNED BY regress_messages CASCADE;
DROP ROLE regress_messages;
