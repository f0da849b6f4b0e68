# Shares of worker slots: the pools of one role leave slots to those of other roles,
# and all pools leave some to the server.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

# the launcher, the logical replication launcher and the scheduler leave eight slots
my $node = new_node('shares', conf => { max_worker_processes => 12, 'taskq.reserved_workers' => 2, 'taskq.worker_idle' => "'300ms'" });
make_app($node, 'postgres', 'other');
add_type($node, 'postgres', 'app', 'gated');
sql_as($node, 'postgres', 'app', q(SELECT taskq.alter_pool('app', size => 1024)));

my ($rc, $out, $err) = $node->psql('postgres', q(SELECT taskq.create_pool('huge', size => 1000, role => 'app', min_size => 1000)));
like($err, qr/WARNING:  pool "huge" cannot have 1000 workers in this server/, 'create_pool() warns about a size beyond the limits of the server');
like($err, qr/DETAIL:  All pools together have at most 8: of max_worker_processes, which is 12/, 'the detail has the limit');
wait_for_log_line($node, qr/WARNING:  out of background worker slots for taskq pool "huge"/, 0, 'the workers of one pool use all available slots');
wait_until($node, q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'taskq worker'), 'but for what is reserved', expected => 8);
sql($node, q(SELECT taskq.drop_pool('huge')));
wait_until($node, q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'taskq worker'), 'they leave', expected => 0);

add_type($node, 'postgres', 'other', 'other_work', 'work');
my $gate = hold_gate($node, 1);
sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}') FROM generate_series(1, 20)));
wait_for_log_line($node, qr/WARNING:  taskq pool "app" is given no more workers, as its role has its share/, 0, 'if other roles have pools, a role gets only its share');
is(sql($node, q(SELECT count(*) FROM taskq.running_jobs())), 6, 'the share is three quarters');
sql($node, q(SELECT taskq.enqueue_job('other_work')));
wait_until($node, q(SELECT count(*) = 1 FROM taskq.all_jobs WHERE task_type = 'other_work' AND state = 'completed'), 'the job of another role runs');
$node->append_conf('postgresql.conf', 'taskq.role_share = 100');
$node->reload;
wait_until($node, q(SELECT count(*) FROM taskq.running_jobs()), 'the share is a setting', expected => 8);
open_gate($gate);
settled($node, 'all jobs end');

$node->stop;
clean_log($node);
done_testing();
