SELECT job_id, payload FROM classic.claim('worker-' || :client_id, 1) \gset
SELECT classic.complete_and_keep(ARRAY[:job_id]::bigint[]);
