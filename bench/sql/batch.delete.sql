-- delete by known ids, and nothing else
\set n :n + 1
\set id ((:n - 1) * :clients + :client_id) * 500
DELETE FROM bench.plain WHERE job_id > :id AND job_id <= :id + 500;
