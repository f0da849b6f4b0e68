SELECT * FROM taskq.stat_queues;
SELECT * FROM taskq.unroutable_jobs;
