-- update two rows in one statement
\set n :n + 1
\set id (:n * :clients + :client_id) % :rows + 1
\set last ((:n - 1) * :clients + :client_id) % :rows + 1
WITH done AS (UPDATE bench.plain SET gate = 'c', state = 'c' WHERE job_id = :last)
UPDATE bench.plain SET gate = 'r', state = 'r', worker_id = 'worker', epoch = epoch + 1, attempt = attempt + 1, started_at = now(), lease_expires_at = now() WHERE job_id = :id RETURNING payload;
