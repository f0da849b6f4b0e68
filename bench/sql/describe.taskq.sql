SELECT state FROM taskq.describe_job(1);
