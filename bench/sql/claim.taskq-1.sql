-- complete the current job and claim the next one, in one statement
\if :n = 0
SELECT job_id, epoch, payload FROM taskq.claim_job('worker-' || :client_id) \gset
\set n 1
\else
SELECT job_id, epoch, payload FROM taskq.complete_job(:job_id, :epoch) LEFT JOIN taskq.claim_job('worker-' || :client_id) ON true \gset
\endif
