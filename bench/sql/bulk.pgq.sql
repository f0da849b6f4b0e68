SELECT count(pgq.insert_event('bench-0', 'external', '{"customer": 4711, "document": "invoice"}')) FROM generate_series(1, 1000);
