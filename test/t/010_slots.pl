# max_worker_processes is used up: this is logged once, with the name of the
# setting, and everything starts when there is room again.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

# the launcher, the logical replication launcher and the scheduler leave three slots
my $node = new_node('slots', conf => { max_worker_processes => 6, 'taskq.worker_idle' => "'300ms'" });
my $log = sub { slurp_file($node->logfile) };
my $warning = qr/WARNING:  out of background worker slots for taskq pool/;
add_type($node, 'postgres', 'app', 'work');
add_type($node, 'postgres', 'app', 'gated');
sql_as($node, 'postgres', 'app', q(SELECT taskq.alter_pool('app', size => 10)));
is(sql($node, q(SELECT value FROM taskq.status() WHERE name = 'background worker slots')), 'available', 'slots are available');

my $gate = hold_gate($node, 1);
sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}') FROM generate_series(1, 12)));
wait_for_log_line($node, $warning, 0, 'a warning is logged when there are no slots');
like($log->(), qr/$warning "app"\n.*HINT:  .*max_worker_processes/, 'the warning names the pool and the setting');
wait_until($node, 'SELECT count(*) FROM taskq.running_jobs()', 'three workers run, as many as there are slots', expected => 3);
is(sql($node, q(SELECT value, hint LIKE '%max_worker_processes%' FROM taskq.status() WHERE name = 'background worker slots')), 'exhausted|t', 'status() shows that there are no slots');

# other databases: their scheduler and their pool wait for slots
sql($node, 'CREATE DATABASE second');
install($node, 'second');
add_type($node, 'second', 'app', 'work');
sql($node, q(SELECT taskq.enqueue_job('work')), 'second');
wait_for_log_line($node, qr/WARNING:  out of background worker slots for a taskq scheduler\n.*HINT:  .*max_worker_processes/, 0, 'a second database has no scheduler, and the log has the reason');
is(sql($node, q(SELECT state FROM taskq.all_jobs), 'second'), 'available', 'the job of the second database waits');
like(sql($node, q(SELECT value FROM taskq.status() WHERE name = 'scheduler'), 'second'), qr/^waits for a slot$/, 'status() says that its scheduler waits');

# the scheduler tries again every second, and more jobs do not cause more warnings
sql($node, q(SELECT taskq.enqueue_job('work') FROM generate_series(1, 20)));
wait_until($node, q(SELECT count(*) >= 3 FROM (SELECT pg_stat_clear_snapshot()) x, pg_stat_activity WHERE backend_type = 'taskq worker'), 'the workers are still running');

open_gate($gate);
settled($node, 'the pool runs jobs with the workers that it has');
settled($node, 'when they leave, the second database gets its scheduler and its workers', db => 'second');
wait_until($node, q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'taskq worker'), 'all workers leave');
sql($node, q(SELECT taskq.enqueue_job('work')));
settled($node, 'the first database runs its jobs');
is(sql($node, q(SELECT value FROM taskq.status() WHERE name = 'background worker slots')), 'available', 'slots are available again');

# no process logs it twice within a minute
for my $what ('taskq pool', 'a taskq scheduler')
{
	my @said = map { /^(\S+ \S+ \S+) \[(\d+)\] .*out of background worker slots for $what/ ? "('$1'::timestamptz, $2)" : () } split /\n/, $log->();
	is(sql($node, 'SELECT count(*) FROM (SELECT t - lag(t) OVER (PARTITION BY pid ORDER BY t) AS gap FROM (VALUES ' . join(', ', @said) . q[) v (t, pid)) x WHERE gap < interval '59 s']), 0,
		"the warning of $what comes at most once a minute");
}
is(sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE state = 'completed')), 33, 'all jobs complete');
is(sql($node, q(SELECT count(*) FROM app.ledger)), 33, 'each job has run once');

# processes of other programs take the slots, and free them again
$node->append_conf('postgresql.conf', 'max_worker_processes = 3');
$node->restart;
sql($node, q(SELECT taskq.enqueue_job('work')));
wait_for_log_line($node, $warning, 0, 'a warning is logged when there is no slot for a single worker');
is(sql($node, q(SELECT state, attempt FROM taskq.all_jobs WHERE state <> 'completed')), 'available|0', 'the job waits for a slot');
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$node->restart;
settled($node, 'the job runs when there are more slots');

$node->stop;
clean_log($node);
done_testing();
