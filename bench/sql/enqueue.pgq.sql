SELECT pgq.insert_event('bench-0', 'external', '{"customer": 4711, "document": "invoice"}');
