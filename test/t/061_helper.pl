# A helper does long work while the scheduler does everything else. If there is no
# slot for a helper, the scheduler does that work in small parts. Work that fails
# delays no other work, and a database in which nothing happens causes no load.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('helper', conf => { 'taskq.poll_interval' => "'200ms'", 'taskq.worker_idle' => "'1 h'" });
my $end_scheduler = q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq scheduler');
my $helpers = q(SELECT count(*) FROM (SELECT pg_stat_clear_snapshot()) x, pg_stat_activity WHERE backend_type = 'taskq helper');
my $helper_is_held = q(SELECT count(*) = 1 FROM (SELECT pg_stat_clear_snapshot()) x, pg_stat_activity WHERE backend_type = 'taskq helper' AND wait_event_type = 'Lock');
my $say_helper = q(SELECT value FROM taskq.status() WHERE name = 'helper');
my $hold = q(SELECT pg_advisory_lock(hashtext('bulk')));
my $days = 0;

add_type($node, 'postgres', 'app', 'work');
sql($node, q(SELECT taskq.register_handler('outside', max_attempts => 1, retry_policy => 'fixed', retry_base => '0')));
sql($node, q(SELECT taskq.alter_queue('default', retain_other => '1 day')));

# Many attempts of failed jobs whose retention is over. A scheduler makes leaves when it
# starts, and then once a minute. It must see that the clock was set before anybody claims.
# Helpers are held from then on.
sub expire_many
{
	my ($gate) = @_;
	my $offset;
	sql($node, q(SELECT count(taskq.enqueue_job('outside')) FROM generate_series(1, 2000)));
	sql($node, q(SELECT count(taskq.fail_job(job_id, epoch)) FROM taskq.claim_jobs('w', 1000, task_types => '{outside}'))) for 1 .. 2;
	sql($node, $end_scheduler);
	wait_until($node, 'SELECT count(*) = 0 FROM taskq.job_history_overflow', 'many jobs have failed, and are in their leaf');
	wait_until($node, $helpers, 'and no helper is running', expected => 0);
	$gate->query_safe($hold);
	$days += 5;
	$offset = log_since($node);
	sql($node, qq(ALTER SYSTEM SET taskq.clock_offset = '$days d'));
	sql($node, "SELECT pg_reload_conf(); $end_scheduler");
	wait_for_log_line($node, qr/taskq has lost 432000/, $offset, 'the clock is seen to be set ahead');
	return;
}

# Wait for the end of a lease, and of a delay.
sub leases_end_and_jobs_run
{
	my ($meanwhile) = @_;
	my $job = sql($node, q(SELECT taskq.enqueue_job('outside')));
	is(sql($node, q(SELECT count(*) FROM taskq.claim_job('w', '{outside}', lease => '1 s'))), 1, 'a program has a job');
	my $later = sql($node, q(SELECT taskq.enqueue_job('work', delay => '300 ms')));
	wait_until($node, "SELECT outcome = 'expired' FROM taskq.attempt_failures WHERE job_id = $job", "$meanwhile its lease ends");
	wait_until($node, "SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = $later", "$meanwhile a job that becomes due runs");
	return;
}

# long work ---------------------------------------------------------------------

is(sql($node, $helpers), 0, 'no helper is running');
is(sql($node, $say_helper), 'not needed', 'status() says that none is needed');
my $gate = session($node, db => 'template1');
$gate->quit;
sql($node, q(ALTER DATABASE postgres SET taskq.injection_point = 'bulk'));
$gate = session($node);
expire_many($gate);
wait_until($node, $helper_is_held, 'a helper begins to remove expired history, and is held');
like(sql($node, $say_helper), qr/^running, pid \d+: keep the history$/, 'status() shows what the helper does');
leases_end_and_jobs_run('while it is held');
cmp_ok(sql($node, 'SELECT count(*) FROM taskq.attempt_failures'), '>=', 2000, 'nothing has been removed yet');

# if it ends, the scheduler starts another one
my $pid = pid_of($node, 'helper');
sql($node, "SELECT pg_terminate_backend($pid)");
wait_until($node, "SELECT count(*) = 1 FROM (SELECT pg_stat_clear_snapshot()) x, pg_stat_activity WHERE backend_type = 'taskq helper' AND pid <> $pid AND wait_event_type = 'Lock'",
	'another helper is started after the first was terminated');
$gate->query_safe('SELECT pg_advisory_unlock_all()');
wait_until($node, q(SELECT count(*) = 0 FROM taskq.attempt_failures WHERE outcome <> 'expired'), 'attempts are removed when the helper is not held');
wait_until($node, $helpers, 'and the helper leaves', expected => 0);
wait_until($node, $say_helper, 'status() says so', expected => 'not needed');

# no slot ------------------------------------------------------------------------

# The launcher, the logical replication launcher, the scheduler and a worker leave
# no slot.
$node->append_conf('postgresql.conf', 'max_worker_processes = 4');
$gate->quit;
$node->restart;
$gate = session($node);
expire_many($gate);
wait_until($node, q(SELECT count(*) = 0 FROM taskq.attempt_failures WHERE outcome <> 'expired'), 'without a slot for a helper, the scheduler does its work');
is(sql($node, $helpers), 0, 'no helper takes the last slot');
leases_end_and_jobs_run('in the meantime');
$gate->quit;
$node->append_conf('postgresql.conf', 'max_worker_processes = 32');
$node->restart;

# work that fails ------------------------------------------------------------------

my $offset = log_since($node);
my $locker = session($node);
$locker->query_safe('BEGIN; LOCK TABLE taskq.external_workers, taskq.event_log_overflow IN ACCESS EXCLUSIVE MODE');
sql($node, $end_scheduler);
wait_for_log_line($node, qr/WARNING:  57014 *taskq could not keep the events|WARNING:.*taskq could not keep the events: canceling statement due to lock timeout/, $offset, 'work that fails is reported by its name');
wait_for_log_line($node, qr/WARNING:.*taskq could not forget old workers: canceling statement due to lock timeout/, $offset, 'another piece of work that fails is logged, too');
my $later = sql($node, q(SELECT taskq.enqueue_job('work', delay => '100 ms')));
wait_until($node, "SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = $later", 'a job that becomes due runs in the meantime');
$locker->quit;
my @said = slurp_file($node->logfile, $offset) =~ /taskq could not keep the events/g;
is(scalar @said, 1, 'each failure is logged once, however often it is repeated');

# DDL, and off ---------------------------------------------------------------------

$gate = session($node);
expire_many($gate);
wait_until($node, $helper_is_held, 'a helper is held before taskq is switched off');
$node->append_conf('postgresql.conf', 'taskq.enabled = off');
$node->reload;
wait_until($node, q(SELECT count(*) = 0 FROM (SELECT pg_stat_clear_snapshot()) x, pg_stat_activity WHERE backend_type = 'taskq scheduler'), 'the scheduler leaves when taskq is off');
$gate->query_safe('SELECT pg_advisory_unlock_all()');
wait_until($node, $helpers, 'and the helper after its batch', expected => 0);
$gate->query_safe($hold);
$node->append_conf('postgresql.conf', 'taskq.enabled = on');
$node->reload;
wait_until($node, $helper_is_held, 'a helper is held after taskq is switched on');
sql($node, 'BEGIN; DROP EXTENSION taskq; ROLLBACK');
wait_until($node, $helper_is_held, 'DROP EXTENSION interrupts the helper, and another one is started after the rollback');
sql($node, 'DROP EXTENSION taskq');
is(sql($node, q(SELECT count(*) FROM pg_stat_activity WHERE backend_type IN ('taskq scheduler', 'taskq helper'))), 0, 'scheduler and helper have gone after DROP EXTENSION');
$gate->quit;

# nothing to do ----------------------------------------------------------------------

sql($node, q(ALTER DATABASE postgres RESET taskq.injection_point));
sql($node, 'CREATE EXTENSION taskq');
my $count = q(SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres');
my $was = -1;
ok(wait_for(sub { my $n = sql($node, "SELECT pg_sleep(1); $count", 'template1') =~ s/\s//gr; my $same = $n == $was; $was = $n; return $same }),
	'an idle database has no transactions, even with a short poll interval');
is(sql($node, q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'taskq scheduler' AND datname = 'postgres'), 'template1'), 1, 'the scheduler of the idle database is running');

$node->stop;
clean_log($node);
done_testing();
