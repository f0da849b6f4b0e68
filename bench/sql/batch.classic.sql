SELECT array_agg(job_id) AS ids, array_agg(payload) AS payloads FROM classic.claim('worker-' || :client_id, 500) \gset
SELECT classic.complete(:ids);
