SELECT job_id, epoch, payload FROM taskq.claim_job('worker-' || :client_id, ARRAY['external']) \gset
SELECT taskq.complete_job(:job_id, :epoch);
