SELECT count(*) FROM taskq.enqueue_jobs('external', array_fill(bench.payload(), ARRAY[1000]));
