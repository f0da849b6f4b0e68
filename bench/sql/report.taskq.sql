SELECT job_id, epoch, payload FROM taskq.claim_job('worker-' || :client_id) \gset
SELECT answer FROM taskq.report_usage(:job_id, :epoch, 'bench', 0.5, 'used');
SELECT taskq.complete_job(:job_id, :epoch);
