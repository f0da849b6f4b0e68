-- Set up PgQ: two queues with one consumer each, and :fill events in each queue, in
-- batches of 500.  Between the batches the ticker is called, which in production is a
-- separate process.
SET client_min_messages = warning;
CREATE OR REPLACE PROCEDURE bench.fill_pgq(jobs integer) LANGUAGE plpgsql AS $$
BEGIN
	FOR n IN 1 .. jobs / 500 LOOP
		PERFORM pgq.insert_event('bench-' || n % 2, 'external', bench.payload()::text) FROM generate_series(1, 500);
		COMMIT;
		PERFORM pgq.ticker('bench-' || n % 2);
		COMMIT;
	END LOOP;
END $$;
SELECT pgq.drop_queue(queue_name, true) FROM pgq.queue;
SELECT pgq.create_queue('bench-' || n), pgq.set_queue_config('bench-' || n, 'ticker_max_count', '1'),
	pgq.set_queue_config('bench-' || n, 'ticker_max_lag', '0'), pgq.register_consumer('bench-' || n, 'bench') FROM generate_series(0, 1) n;
