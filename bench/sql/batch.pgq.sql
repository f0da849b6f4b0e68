-- each client is the consumer of its own queue, because all consumers of one queue get
-- every event
SELECT pgq.next_batch('bench-' || :client_id, 'bench') AS batch \gset
SELECT array_agg(ev_id) AS ids, array_agg(ev_data) AS payloads FROM pgq.get_batch_events(:batch) \gset
SELECT pgq.finish_batch(:batch);
