SELECT status FROM taskq.complete_jobs('{900000000000}', '{1}');
