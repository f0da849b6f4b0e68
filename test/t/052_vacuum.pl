# What taskq's writes leave for vacuum: heartbeats are HOT updates, so they touch no
# index and are pruned on the way, and autovacuum is told about the work of workers.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('vacuum', conf => { autovacuum => 'off' });
add_type($node, 'postgres', 'app', 'work');
sql($node, q(SELECT taskq.register_handler('outside')));
sql($node, q(SELECT taskq.register_worker(w) FROM unnest('{vacuum-w}'::text[]) AS w));

# How many rows of the live jobs were updated, and how many of these updates were
# HOT, by a statement that is run for each job in a transaction of its own.
sub updates
{
	my ($call, $rounds) = @_;
	return split /\|/, sql($node, <<"SQL");
SELECT FROM pg_stat_force_next_flush();
SELECT n_tup_upd AS upd, n_tup_hot_upd AS hot FROM pg_stat_user_tables WHERE relid = 'taskq.jobs'::regclass \\gset
DO \$\$
DECLARE
	job record;
BEGIN
	FOR round IN 1 .. $rounds LOOP
		FOR job IN SELECT job_id, epoch FROM taskq.all_jobs WHERE state = 'running' ORDER BY job_id LOOP
			PERFORM taskq.$call;
			COMMIT;
		END LOOP;
	END LOOP;
END \$\$;
SELECT FROM pg_stat_force_next_flush();
SELECT n_tup_upd - :upd, n_tup_hot_upd - :hot FROM pg_stat_user_tables WHERE relid = 'taskq.jobs'::regclass;
SQL
}

# heartbeats --------------------------------------------------------------------

sql($node, q(SELECT count(taskq.enqueue_job('outside', jsonb_build_object('n', n))) FROM generate_series(1, 1000) n));
is(sql($node, q(SELECT count(*) FROM taskq.claim_jobs('vacuum-w', 1000))), 1000, 'a worker claims a thousand jobs');
my %calls = (
	'a heartbeat' => 'heartbeat_job(job.job_id, job.epoch)',
	'one with progress' => q(heartbeat_job(job.job_id, job.epoch, progress => '{"done": 50}')),
	'a checkpoint' => q(save_checkpoint(job.job_id, job.epoch, '{"row": 1000}')));
for my $what (sort keys %calls)
{
	my ($updated, $hot) = updates($calls{$what}, 3);
	is($updated, 3000, "$what updates its job");
	cmp_ok($hot, '>=', 0.95 * $updated, "and is HOT: $hot of $updated");
}

is(sql($node, q(SELECT count(*) FROM (SELECT array_agg(job_id) AS ids, array_agg(epoch) AS epochs FROM taskq.all_jobs) c,
	taskq.complete_jobs(ids, epochs) WHERE status = 'completed')), 1000, 'all these jobs are completed');

# workers -----------------------------------------------------------------------

sql($node, q(SELECT count(taskq.enqueue_job('work')) FROM generate_series(1, 3000)));
settled($node, 'workers run three thousand jobs');
wait_until($node, q(SELECT n_tup_ins >= 3000 FROM pg_stat_user_tables WHERE relid = 'app.ledger'::regclass), 'the statistics count the rows that handlers have written');
wait_until($node, q(SELECT n_tup_del >= 3000 AND n_dead_tup > 1000 FROM pg_stat_user_tables WHERE relid = 'taskq.jobs'::regclass), 'the statistics count the rows that settles have deleted');
$node->append_conf('postgresql.conf', "autovacuum = on\nautovacuum_naptime = 1");
$node->reload;
wait_until($node, q(SELECT autovacuum_count > 0 AND n_dead_tup < 1000 FROM pg_stat_user_tables WHERE relid = 'taskq.jobs'::regclass), 'autovacuum cleans the table of live jobs');

$node->stop;
clean_log($node);
done_testing();
