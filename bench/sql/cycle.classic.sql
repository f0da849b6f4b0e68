SELECT classic.enqueue('external', '{"customer": 4711, "document": "invoice"}');
SELECT job_id, payload FROM classic.claim('worker-' || :client_id, 1) \gset
SELECT classic.complete(ARRAY[:job_id]::bigint[]);
