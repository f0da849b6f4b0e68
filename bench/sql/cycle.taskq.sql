SELECT taskq.enqueue_job('external', '{"customer": 4711, "document": "invoice"}');
SELECT job_id, epoch, payload FROM taskq.claim_job('worker-' || :client_id) \gset
SELECT taskq.complete_job(:job_id, :epoch);
