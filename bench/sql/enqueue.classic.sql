SELECT classic.enqueue('external', '{"customer": 4711, "document": "invoice"}');
