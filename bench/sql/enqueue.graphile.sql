SELECT graphile_worker.add_job('bench', '{"customer": 4711, "document": "invoice"}');
