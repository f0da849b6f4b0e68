SELECT array_agg(job_id) AS ids, array_agg(epoch) AS epochs, array_agg(payload) AS payloads FROM taskq.claim_jobs('worker-' || :client_id, 500) \gset
SELECT count(*) FROM taskq.complete_jobs(:ids, :epochs);
