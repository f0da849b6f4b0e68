-- 20,000 random calls to taskq and to a model of its rules, which must agree after
-- each call. TASKQ_MODEL_SEED and TASKQ_MODEL_ROUNDS in the environment select
-- other calls: round n of seed s is the same as the only round of seed s + n - 1.
\set ECHO none
\i test/sql/include/tap.sql
SET client_min_messages = error; -- some claims are for unregistered types
\i test/sql/include/wait.sql
\set seed 1
\set rounds 20
\getenv seed TASKQ_MODEL_SEED
\getenv rounds TASKQ_MODEL_ROUNDS
SELECT plan(1 + :rounds);

-- without a scheduler, which would act between the calls
ALTER SYSTEM SET taskq.enabled = off;
\set setting taskq.enabled
\set value off
\i test/sql/include/reload.sql
SELECT ok(pg_temp.came('SELECT taskq.scheduler_pid() IS NULL'), 'no scheduler runs');
CREATE ROLE regress_model LOGIN;
GRANT SET ON PARAMETER taskq.clock_offset, taskq.retry_jitter TO regress_model;
\set round 1
\i test/sql/include/model_round.sql

ALTER SYSTEM RESET taskq.enabled;
\set value on
\i test/sql/include/reload.sql
DROP SCHEMA model CASCADE;
DROP EXTENSION taskq CASCADE;
REVOKE SET ON PARAMETER taskq.clock_offset, taskq.retry_jitter FROM regress_model;
DROP ROLE regress_model;
SELECT * FROM finish();
