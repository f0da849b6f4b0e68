SELECT count(*) FROM graphile_worker.add_jobs(array_fill(('bench', '{"customer": 4711, "document": "invoice"}', NULL, NULL, NULL, NULL, NULL, NULL)::graphile_worker.job_spec, ARRAY[1000]));
