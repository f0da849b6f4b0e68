-- The type that examples/api/worker.py takes, as it wishes to be retried.
SELECT taskq.register_handler('http_request', description => 'a request to a web service, see examples/api/worker.py',
	max_attempts => 10, retry_base => '5 s', retry_cap => '1 h');
