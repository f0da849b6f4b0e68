-- How far it is; when it is done, what came of it.
SELECT job_id, state, attempt, progress, checkpoint ->> 'last_cursor' AS last_cursor, jsonb_pretty(result) AS result
FROM taskq.all_jobs WHERE task_type = 'convert_readings' ORDER BY job_id;

SELECT count(*) FILTER (WHERE times_converted = 1) AS converted,
	count(*) FILTER (WHERE problem IS NOT NULL) AS failed,
	count(*) FILTER (WHERE times_converted > 1) AS converted_twice,
	count(*) FILTER (WHERE times_converted = 0 AND problem IS NULL) AS to_do
FROM batch.reading;
