-- Messages that are correct, and hints that the reader can follow.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
SELECT plan(55);
SELECT ok(pg_temp.came('SELECT taskq.scheduler_pid() IS NOT NULL'), 'the scheduler is running');
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
SELECT is(pg_temp.detail_of(pg_temp.of('in', 'SELECT taskq.complete_job(%s, %s)')), 'A background worker runs the job, and settles it itself.', 'the detail says that a background worker settles the job');
SELECT is(pg_temp.hint_of(pg_temp.of('in', 'SELECT taskq.fail_job(%s, %s)')), 'To end the run, use taskq.cancel_job().', 'the hint says how to end the run');
SELECT pg_advisory_unlock(8080) \gset
SELECT ok(pg_temp.came(format('SELECT state = ''completed'' FROM taskq.all_jobs WHERE job_id = %s', pg_temp.id('in'))), 'the job completes');
SELECT is(pg_temp.detail_of(format('SELECT taskq.complete_job(%s, 1)', pg_temp.id('in'))), 'The job is completed, and not by this claim.', 'the detail for a completed job says that another claim has completed it');
SELECT pg_temp.add('a', 'msg-a') \gset
SELECT is(pg_temp.detail_of(pg_temp.of('a', 'SELECT taskq.complete_job(%s, %s)')), 'The job has not been claimed.', 'the detail for a job with its own epoch says that it has not been claimed');
SELECT is(pg_temp.hint_of(pg_temp.of('a', 'SELECT taskq.complete_job(%s, %s)')), 'Settle with the job_id and epoch that the claim returned.', 'the hint says which values to use');
SELECT is(pg_temp.detail_of(format('SELECT taskq.complete_job(%s, 1)', pg_temp.id('a'))), 'The job has not been claimed, or its claim was rolled back or has not been committed yet.', 'the detail for a wrong epoch says that the claim may have been rolled back or not committed');
SELECT matches(pg_temp.hint_of(format('SELECT taskq.complete_job(%s, 1)', pg_temp.id('a'))), '^Commit the claim', 'the hint says to commit the claim');
SELECT pg_temp.take('msg-w') \gset
SELECT is(pg_temp.detail_of(format('SELECT taskq.complete_job(%s, 1)', pg_temp.id('a'))), 'The job was claimed again, or this claim was rolled back.', 'the detail for a running job says that it was claimed again');
SELECT matches(pg_temp.hint_of(format('SELECT taskq.complete_job(%s, 1)', pg_temp.id('a'))), 'roll back', 'the hint says to roll back the work');
SELECT taskq.complete_job(pg_temp.id('a'), pg_temp.e('a')) \gset
SELECT is(pg_temp.detail_of(pg_temp.of('a', 'SELECT taskq.heartbeat_job(%s, %s)')), 'This claim was settled before, and the job is completed.', 'the detail for a heartbeat after the settle says that the claim was settled');
SELECT is(pg_temp.hint_of(pg_temp.of('a', 'SELECT taskq.heartbeat_job(%s, %s)')), 'A claim is settled once; after that nothing is left to do with it.', 'the hint does not say to roll back');
SELECT pg_temp.add('b', 'msg-a'), pg_temp.take('msg-w') \gset
SELECT taskq.fail_job(pg_temp.id('b'), pg_temp.e('b'), 'no') \gset
SELECT is(pg_temp.detail_of(pg_temp.of('b', 'SELECT taskq.complete_job(%s, %s)')), 'This claim was settled before, and the job is available.', 'the detail for another outcome names the state of the job');

SELECT is(pg_temp.detail_of(format('SELECT taskq.complete_job(%s, 1)', pg_temp.id('b'))), 'The job was claimed again, or this claim was rolled back or has not been committed yet.', 'the detail for a waiting job says that the claim may not be committed');

-- arguments -----------------------------------------------------------------------
SELECT is(pg_temp.hint_of('SELECT taskq.complete_job(1, NULL)'), '', 'there is no hint for a required argument');
SELECT is(pg_temp.hint_of('SELECT taskq.retry_job(1, NULL)'), 'Leave the argument out to get its default.', 'the hint for an optional argument says to omit it');

-- run by hand ---------------------------------------------------------------------
SELECT taskq.pause_handler('msg-f'), taskq.pause_queue('msg-q'), pg_temp.add('stopped', 'msg-f'), pg_temp.add('paused', 'msg-a', q => 'msg-q') \gset
SELECT format('SELECT taskq.run_job(%s)', pg_temp.id('stopped')) AS run_stopped, format('SELECT taskq.run_job(%s)', pg_temp.id('paused')) AS run_paused, pg_temp.id('stopped') AS stopped \gset
SELECT is(pg_temp.hint_of(:'run_stopped'), 'When the cause of the pause is gone, call taskq.resume_handler(''msg-f'').', 'the hint for a paused type says how to resume it');
SELECT is(pg_temp.hint_of(:'run_paused'), 'When its jobs may start, call taskq.resume_queue(''msg-q'').', 'the hint for a paused queue says how to resume it');
SELECT matches(pg_temp.detail_of(:'run_paused'), 'queue paused', 'the detail says that the queue is paused');
SELECT taskq.pause_handler('msg-a'), taskq.resume_queue('msg-q') \gset
SELECT matches(pg_temp.detail_of(:'run_paused') || ' ' || pg_temp.hint_of(:'run_paused'), 'handler paused.*resume_handler', 'detail and hint for a paused external type agree');
SELECT taskq.resume_handler('msg-f'), taskq.resume_handler('msg-a'), taskq.resume_queue('msg-q') \gset
SELECT is(pg_temp.hint_of(:'run_paused'), 'Name a handler in the call, or connect as the handler''s role.', 'the hint for an external type says to give a handler');

-- payloads ------------------------------------------------------------------------
SET SESSION AUTHORIZATION regress_messages;
SET search_path = msg, public;
CREATE TYPE msg_t AS (id bigint, note varchar(10));
CREATE DOMAIN msg_d AS text CHECK (value <> '');
CREATE FUNCTION msg_v(jsonb) RETURNS boolean LANGUAGE sql RETURN false;
SELECT taskq.register_handler('msg-t', payload_type => 'msg_t', required_fields => '{"to": "string"}'), taskq.register_handler('msg-d', payload_type => 'msg_d'),
	taskq.register_handler('msg-v', validator => 'msg_v(jsonb)') \gset
SELECT is(pg_temp.hint_of($$ SELECT taskq.enqueue_job('msg-t', '{}') $$), 'It must have "to" (string). It may have "id" (bigint), "note" (character varying(10)).', 'the hint for an invalid payload lists the fields');
SELECT is(pg_temp.hint_of($$ SELECT taskq.enqueue_job('msg-d', '""') $$), 'The payload must be of type msg.msg_d.', 'the hint for an invalid payload names the type');
SELECT is(pg_temp.hint_of($$ SELECT taskq.enqueue_job('msg-v') $$), 'Validator msg.msg_v(pg_catalog.jsonb) decides.', 'the hint for an invalid payload names the validator');
RESET SESSION AUTHORIZATION;
RESET search_path;

-- names that the library goes by --------------------------------------------------
SELECT throws_ok('ALTER SCHEMA taskq RENAME TO q', '0A000', 'schema "taskq" cannot be renamed', 'the schema cannot be renamed');
SELECT throws_ok('ALTER TABLE taskq.jobs RENAME TO work', '0A000', 'relation "jobs" belongs to extension taskq and cannot be renamed or moved', 'a table cannot be renamed');
SELECT throws_ok('ALTER TABLE taskq.jobs RENAME COLUMN gate TO door', '0A000', NULL, 'a column cannot be renamed');
SELECT lives_ok('ALTER INDEX taskq.jobs_open RENAME TO open; ALTER INDEX taskq.open RENAME TO jobs_open', 'an index can be renamed');
SELECT throws_ok('ALTER TABLE taskq.jobs SET SCHEMA public', '0A000', NULL, 'a table cannot be moved to another schema');
SELECT lives_ok('CREATE SCHEMA msg_other; ALTER SCHEMA msg_other RENAME TO msg_else; ALTER TYPE msg.msg_t RENAME TO msg_u; CREATE TABLE msg_else.a (); ALTER TABLE msg_else.a RENAME TO b; ALTER TABLE msg_else.b SET SCHEMA public', 'other objects can be renamed and moved');
SELECT lives_ok('CREATE VIEW taskq.msg_mine AS SELECT 1; ALTER VIEW taskq.msg_mine RENAME TO msg_yours; ALTER VIEW taskq.msg_yours SET SCHEMA public; DROP VIEW public.msg_yours', 'other objects in taskq''s schema can be renamed and moved');

-- functions by name ------------------------------------------------------------------
SET SESSION AUTHORIZATION regress_messages;
SELECT lives_ok($$ SELECT taskq.register_handler('msg-name', 'msg.f') $$, 'a handler can be given by its name if that is unique');
SELECT is(taskq.get_handler('msg-name'), 'msg.f(pg_catalog.jsonb)', 'the handler is stored with its signature');
SELECT lives_ok($$ SELECT taskq.register_handler('msg-oid', 'msg.f(jsonb)'::regprocedure) $$, 'a handler can be given as regprocedure');
SELECT throws_ok($$ SELECT taskq.register_handler('msg-no', 'not_callable') $$, '42883', 'function "not_callable" does not exist', 'a handler that does not exist is refused');
SELECT matches(pg_temp.hint_of($$ SELECT taskq.register_handler('msg-no', 'not_callable') $$), '^Give handler as the name of one function', 'the hint says how to name a handler');
SELECT throws_ok($$ SELECT taskq.register_handler('msg-no', 'format') $$, '42725', NULL, 'a name of several functions is refused');
SELECT matches(pg_temp.hint_of($$ SELECT taskq.register_handler('msg-no', 'msg.f', validator => 'nobody') $$), '^Give validator as', 'the hint for a validator names the argument validator');
SELECT throws_ok(format('SELECT taskq.register_handler(''msg-no'', %L)', n), '42883', NULL, 'a number is refused as a handler') FROM (VALUES ('1242')) v (n);
SELECT lives_ok($$ SELECT taskq.register_handler('msg-each-' || i, 'msg.f') FROM generate_series(1, 3) i $$, 'one statement can register several handlers');
RESET SESSION AUTHORIZATION;

SELECT throws_ok($$ SELECT taskq.register_worker('msg-no', '{msg-x,msg-a,msg-y}') $$, 'TQ002', 'no handlers registered for task types "msg-x", "msg-y"', 'the error names all unregistered types');

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
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_worker('two words') $$), 'Use the host''s name and a number, for example, such as host:1.', 'the hint for a worker_id says what to use');
SELECT is(pg_temp.hint_of($$ SELECT taskq.create_queue('two words') $$), '', 'there is no hint for the name of a queue');
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_handler('two words') $$), 'Keep other text in the payload or in tags.', 'the hint for a task type says where to keep other text');
SELECT is(pg_temp.hint_of(format('SELECT taskq.discard_job(%s)', pg_temp.id('a'))), 'The job has ended already, and nothing of it will run.', 'the hint says that an ended job need not be discarded');
SET SESSION AUTHORIZATION regress_messages;
SELECT is(pg_temp.hint_of($$ SELECT taskq.register_handler('msg-no', 'msg.f', run_as => 'pg_monitor') $$), 'Run GRANT pg_monitor TO regress_messages, or name a role of which you are a member.', 'the hint for run_as names the missing membership');
CREATE FUNCTION msg.commits(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN COMMIT; RETURN NULL; END $$;
SELECT taskq.register_handler('msg-commits', 'msg.commits', max_attempts => 1) \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT pg_temp.add('commits', 'msg-commits') \gset
SELECT ok(pg_temp.came(format('SELECT finished_at IS NOT NULL FROM taskq.all_jobs WHERE job_id = %s', pg_temp.id('commits'))), 'a function that commits fails');
SELECT is((SELECT hint FROM taskq.attempts WHERE job_id = pg_temp.id('commits')), 'Only a procedure can be a handler that commits: CREATE PROCEDURE, and register that.', 'the hint says that a procedure can commit');
SET ROLE regress_messages;
SELECT is(pg_temp.hint_of('SELECT taskq.run_next()'), 'Connect as the handler''s role, or, as a superuser, run SET SESSION AUTHORIZATION regress_messages.', 'the hint for a run by hand after SET ROLE says what to do');
RESET ROLE;

-- small ones ----------------------------------------------------------------------
SELECT ok(NOT taskq.is_retryable_error_type(t), 'not an error type: ' || quote_literal(t)) FROM unnest(ARRAY['', ' ', 'bad name!']) t;
SELECT is(taskq.enqueue_job('msg-a', run_at => '-infinity') IS NOT NULL, true, 'run_at of -infinity means now');

SELECT * FROM finish();
SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE finished_at IS NULL AND task_type LIKE 'msg-%' \g /dev/null
SELECT taskq.unregister_handler(task_type) FROM taskq.list_handlers() WHERE task_type LIKE 'msg-%' \g /dev/null
SELECT taskq.unregister_worker('msg-w'), taskq.drop_pool('regress_messages') \gset
SELECT taskq.revoke_access('regress_messages', a) FROM unnest('{worker,admin,producer}'::text[]) a \g /dev/null
DROP OWNED BY regress_messages CASCADE;
DROP ROLE regress_messages;
