SELECT taskq.enqueue_job('external', (SELECT payload FROM bench.payloads WHERE kb = :kb));
