INSERT INTO classic.jobs (task_type, payload) SELECT 'external', p FROM unnest(array_fill(bench.payload(), ARRAY[1000])) p;
