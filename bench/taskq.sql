-- Reset taskq, so that nothing of the last measurement is left.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS taskq CASCADE;
CREATE EXTENSION taskq;
SELECT taskq.grant_access('bench', a) FROM unnest(ARRAY['producer', 'worker', 'observer', 'admin', 'operator']) a;
SET ROLE bench;
SELECT taskq.register_handler('external');
-- (a transaction each, because a registration holds locks until its end)
SELECT format('SELECT taskq.register_worker(%L)', w) FROM (SELECT 'worker' UNION ALL SELECT 'worker-' || i FROM generate_series(0, 511) i) x (w) \gexec
-- End a job and have the partition of its day created, so that the scheduler does not
-- have to move what is finished before the partition is there.
SELECT taskq.enqueue_job('external');
SELECT taskq.complete_job(job_id, epoch) FROM taskq.claim_job('worker');
RESET ROLE;
SELECT taskq.prune();
