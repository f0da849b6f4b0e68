SELECT taskq.enqueue_job('external', '{"customer": 4711, "document": "invoice"}');
