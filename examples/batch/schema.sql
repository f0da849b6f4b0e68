-- What the batch job works on: ten thousand readings as text, some of them
-- nonsense. Run as the role that will own the handler.

CREATE SCHEMA batch;

CREATE TABLE batch.reading (
	reading_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	fahrenheit      text NOT NULL,
	celsius         numeric,
	problem         text,
	times_converted integer NOT NULL DEFAULT 0 -- to show that it was once
);

INSERT INTO batch.reading (fahrenheit)
SELECT CASE WHEN n % 100 = 0 THEN 'broken' ELSE (n % 120)::text END
FROM generate_series(1, 10000) n;
