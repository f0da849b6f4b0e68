INSERT INTO bench.plain (job_id, route_id, priority, run_at, created_at, epoch, attempt, max_attempts, life, terminations, gate, state, payload)
SELECT nextval('bench.ids'), 1, 0, now(), now(), 0, 0, 20, 0, 0, 'o', 'a', payload FROM bench.payloads WHERE kb = :kb;
