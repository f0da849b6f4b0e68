INSERT INTO bench.noted VALUES (1, now());
