SELECT status FROM taskq.complete_jobs('{1}', '{1}');
