\set first :client_id * :jobs
CALL bench.update_each(:first, :jobs);
