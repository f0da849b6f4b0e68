CALL bench.update_each(:client_id * :jobs, :jobs);
