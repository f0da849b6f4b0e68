# Budgets and a promotion: sessions report usage on a primary that fails in the middle. On the
# promoted standby the sums are exactly those of the reports that have arrived, no hard limit is
# passed, claims of the old timeline hold their estimates until they end and report nothing more,
# and when every report is repeated by the next attempts, each counts once.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $clients = 8;
my $node = new_node('primary', init => { allows_streaming => 1 }, conf => { max_wal_senders => 4, synchronous_commit => 'off' });
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;

sub armed
{
	my ($server) = @_;
	return poll($server, q(SELECT bool_and(state NOT IN ('arming', 'limit_memory')) FROM taskq.budgets));
}

sub claim_all
{
	my ($server) = @_;
	sql($server, q(SELECT taskq.register_worker('w', '{load}', lease => '1 h')));
	return sql($server, qq(INSERT INTO claims SELECT job_id, epoch, (payload->>'n')::integer FROM taskq.claim_jobs('w', $clients, '{load}', lease => '1 h')));
}

sql($node, q(SELECT taskq.register_handler('load', max_attempts => 100)));
sql($node, q(SELECT taskq.set_budget('wide'), taskq.set_budget('tight', hard => 25), taskq.set_budget('held', hard => 100)));
armed($node);
sql($node, qq(SELECT taskq.enqueue_job('load', jsonb_build_object('n', n), budgets => '{wide,tight,held}', estimated_cost => 0.5) FROM generate_series(0, $clients - 1) n));
sql($node, q(CREATE TABLE claims (job_id bigint, epoch bigint, n integer)));
claim_all($node);
$node->wait_for_catchup($standby);

# the load ------------------------------------------------------------------------------------

# Client n reports the keys 1, 2, 3 ... for job n, and rolls every third report back at first.
my $load = $node->basedir . '/load.sql';
append_to_file($load, <<'SQL');
\set key :key + 1
SELECT job_id, epoch FROM claims WHERE n = :client_id \gset
BEGIN;
SELECT answer FROM taskq.report_usage(:job_id, :epoch, 'wide', 0.1, :key::text);
SELECT answer FROM taskq.report_usage(:job_id, :epoch, 'tight', 0.07, :key::text);
\if :key % 3 = 0
ROLLBACK;
BEGIN;
SELECT answer FROM taskq.report_usage(:job_id, :epoch, 'wide', 0.1, :key::text);
SELECT answer FROM taskq.report_usage(:job_id, :epoch, 'tight', 0.07, :key::text);
\endif
COMMIT;
SQL
my $out = '';
my $run = IPC::Run::start([ 'pgbench', '-n', '-c', $clients, '-T', 30, '-D', 'key=0', '-f', $load, '-h', $node->host, '-p', $node->port, 'postgres' ], '>&', \$out);
wait_until($standby, q(SELECT count(*) > 500 FROM taskq.budget_usage WHERE budget = 'wide'), 'reports arrive at the standby');
$node->stop('immediate');
$run->finish;
like($out, qr/server closed the connection|could not|terminat/, 'the primary fails while sessions report');
$standby->promote;

# what has arrived ------------------------------------------------------------------------------

armed($standby);
my $exact = q(SELECT string_agg(b.budget, ' ' ORDER BY budget) FROM taskq.budgets b WHERE used = (SELECT COALESCE(sum(amount), 0) FROM taskq.budget_usage u WHERE u.budget = b.budget) AND pending = 0);
is(sql($standby, $exact), 'held tight wide', 'after the promotion the sums are those of the reports that have arrived');
is(sql($standby, q(SELECT used <= hard FROM taskq.budgets WHERE budget = 'tight')), 't', 'the hard limit is not passed');
is(sql($standby, q(SELECT held FROM taskq.budgets WHERE budget = 'held')), '4', 'claims of the old timeline hold their estimates');
fails_with($standby, 'TQ003', q(SELECT taskq.report_usage(job_id, epoch, 'wide', 1, 'late') FROM claims), 'they report nothing more');
my $arrived = sql($standby, q(SELECT count(*) FROM taskq.budget_usage WHERE budget = 'wide'));
cmp_ok($arrived, '>', 500, 'the reports that were seen on the standby are there');

# every report is repeated ------------------------------------------------------------------------

sql($standby, q(SELECT taskq.unregister_worker('w')));
wait_until($standby, q(SELECT held = 0 FROM taskq.budgets WHERE budget = 'held'), 'when the claims end, nothing is held');
sql($standby, q(TRUNCATE claims));
sql($standby, q(SELECT taskq.alter_budget('tight', hard => 1000000)));
armed($standby);
claim_all($standby);
my $keys = sql($standby, q(SELECT max(usage_key::integer) + 20 FROM taskq.budget_usage));
is(sql($standby, qq(SELECT string_agg(answer || ' ' || n, ', ' ORDER BY answer) FROM (SELECT answer, count(*) AS n FROM claims, generate_series(1, $keys) key, taskq.report_usage(job_id, epoch, 'wide', 0.1, key::text) GROUP BY answer) a)),
	"duplicate $arrived, ok " . ($clients * $keys - $arrived), 'repeated reports count only if they had not arrived');
is(sql($standby, qq(SELECT used = 0.1 * $clients * $keys FROM taskq.budgets WHERE budget = 'wide')), 't', 'so each counts once, and the sum is exact');
is(sql($standby, $exact), 'held tight wide', 'all sums are exact');
$standby->restart('immediate');
armed($standby);
is(sql($standby, qq(SELECT used = 0.1 * $clients * $keys FROM taskq.budgets WHERE budget = 'wide')), 't', 'also after a crash of the new primary');

done_testing();
