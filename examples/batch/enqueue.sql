-- Every field may be left out: the job then does all readings there are when it
-- begins, fifty in a transaction.
SELECT taskq.enqueue_job('convert_readings', '{"batch_size": 20}') AS job_id;
