-- Rounds of a thousand calls, from :round to :rounds, each in a new installation,
-- so that comparing everything after each call stays cheap.
DROP EXTENSION taskq CASCADE;
CREATE EXTENSION taskq;
SELECT taskq.grant_access('regress_model', access) FROM unnest('{producer,worker,observer,operator,admin}'::text[]) access \g /dev/null
DROP SCHEMA IF EXISTS model CASCADE;
CREATE SCHEMA model AUTHORIZATION regress_model;
SET SESSION AUTHORIZATION regress_model;
\i test/sql/include/model.sql
\i test/sql/include/model_calls.sql
INSERT INTO model.queues VALUES ('default');
SET taskq.retry_jitter = 0;
\set difference 'the round has not come to its end'
CALL model.round(1 / (:seed + :round)::double precision, 1000, NULL) \gset
SELECT ok(:'difference' = '', 'round ' || :round || ': 1,000 calls') || CASE WHEN :'difference' = '' THEN '' ELSE E'\n' || diag('seed ' || :seed || ': ' || :'difference') END;
RESET SESSION AUTHORIZATION;
RESET taskq.clock_offset;
RESET taskq.retry_jitter;
SELECT :round + 1 AS round, :round < :rounds AS more \gset
\if :more
\i test/sql/include/model_round.sql
\endif
