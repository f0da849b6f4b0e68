# No worker has more jobs at any moment than its max_concurrent_jobs, while many sessions claim
# for it, settle the jobs of each other, roll back, prepare, let leases expire and register it anew.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('permits', conf => { max_connections => 60, max_prepared_transactions => 10, synchronous_commit => 'off' });
sql($node, q(SELECT taskq.register_handler('ext', retry_policy => 'fixed', retry_base => '10 ms', max_attempts => 100)));
sql($node, q(SELECT taskq.register_worker('w' || n, '{ext}', max_concurrent_jobs => 3, lease => '1 s') FROM generate_series(0, 1) n));
sql($node, q(SELECT count(*) FROM generate_series(1, 20) n, LATERAL taskq.enqueue_jobs('ext', array_fill('{}'::jsonb, ARRAY[1000 + 0 * n]))));

# Claims are for either worker. A settle is of a job that any session has claimed.
my $load = $node->basedir . '/permits.sql';
append_to_file($load, <<'SQL');
\set how random(1, 100)
\set worker random(0, 1)
\set max random(2, 3)
\if :how <= 45
SELECT count(*) FROM taskq.claim_jobs('w' || :worker, 1 + :how % 2, lease => '30 s');
\elif :how <= 50
BEGIN;
SAVEPOINT s;
SELECT count(*) FROM taskq.claim_jobs('w' || :worker, 2);
ROLLBACK TO s;
SELECT count(*) FROM taskq.claim_job('w' || :worker, lease => '1 s');
COMMIT;
\elif :how <= 55
BEGIN;
SELECT count(taskq.complete_job(job_id, epoch)) FROM (SELECT job_id, epoch FROM taskq.all_jobs WHERE state = 'running' AND worker_id = 'w' || :worker ORDER BY random() LIMIT 1) j;
SELECT count(*) FROM taskq.claim_jobs('w' || :worker, 3, lease => '30 s');
\if :how <= 53
ROLLBACK;
\else
COMMIT;
\endif
\elif :how <= 57
BEGIN;
SELECT count(taskq.complete_job(job_id, epoch)) FROM (SELECT job_id, epoch FROM taskq.all_jobs WHERE state = 'running' AND worker_id = 'w' || :worker ORDER BY random() LIMIT 1) j;
PREPARE TRANSACTION 'p:client_id';
\if :how = 56
COMMIT PREPARED 'p:client_id';
\else
ROLLBACK PREPARED 'p:client_id';
\endif
\elif :how = 58
SELECT taskq.register_worker('w' || :worker, '{ext}', max_concurrent_jobs => :max, lease => '1 s', take_over => true);
\else
SELECT count(taskq.complete_job(job_id, epoch)) FROM (SELECT job_id, epoch FROM taskq.all_jobs WHERE state = 'running' ORDER BY random() LIMIT 1) j;
\endif
SQL

# Runs that overlap, from the times at which the claim had its permit, and at which it had it still.
sub most_at_once
{
	return sql($node, q(
		WITH runs AS (SELECT worker_id, started_at, finished_at FROM taskq.attempts WHERE finished_at > started_at),
		steps AS (SELECT worker_id, started_at AS at, 1 AS step FROM runs UNION ALL SELECT worker_id, finished_at, -1 FROM runs)
		SELECT max(n) FROM (SELECT sum(step) OVER (PARTITION BY worker_id ORDER BY at, step) AS n FROM steps) s));
}

start_load($node, $load, 8);
my $seen = 0;
for (1 .. 200)
{
	my $n = sql($node, q(SELECT COALESCE(max(n), 0) FROM (SELECT count(*) AS n FROM taskq.jobs WHERE gate = 'r' GROUP BY worker_id) r));
	$seen = $n if $n > $seen;
}
stop_load();
cmp_ok(sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE state = 'completed')), '>', 100, 'jobs were completed under load');
is($seen, 3, 'no snapshot shows more jobs of a worker than the limit');
is(most_at_once(), 3, 'no moment of the history has more');

# what is free afterwards is the limit
sql($node, q(SELECT taskq.register_worker('w' || n, '{ext}', max_concurrent_jobs => 3, take_over => true) FROM generate_series(0, 1) n));
sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running'));
is(sql($node, q(SELECT count(*) FROM taskq.claim_jobs('w0', 10))), 3, 'afterwards the worker gets as many jobs as its limit');
clean_log($node);
done_testing();
