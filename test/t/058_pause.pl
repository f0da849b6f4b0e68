# A pause of the machine, or a change of the clock, takes no job from a healthy
# worker, and leaves no job with a dead one.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('pause');
sql($node, q(SELECT taskq.register_handler('outside', max_attempts => 1)));

# Stop all processes of the server, as a suspended machine does.
sub processes
{
	my ($of) = @_;
	my $postmaster = (split /\n/, slurp_file($of->data_dir . '/postmaster.pid'))[0];
	return ($postmaster, map { /^\s*(\d+)/ ? $1 : () } split /\n/, `ps -o pid= --ppid $postmaster`);
}

sub stand_still
{
	my ($of, $seconds) = @_;
	my @stopped = processes($of);
	cmp_ok(scalar @stopped, '>', 5, 'the server has processes');
	kill 'STOP', @stopped;
	my $until = time() + $seconds;
	wait_for(sub { time() >= $until });
	kill 'CONT', reverse @stopped;
	return;
}

# The scheduler must have noticed the change before a job is claimed by the new clock:
# unlike a clock of the system, this one does not change for all processes at once.
sub set_clock
{
	my ($offset) = @_;
	my $before = log_since($node);
	sql($node, "ALTER SYSTEM SET taskq.clock_offset = '$offset'");
	sql($node, 'SELECT pg_reload_conf()');
	wait_for_log_line($node, qr/taskq has lost -?3[56]\d\d\.\d s/, $before, "the clock is set by $offset");
	return;
}

# Jobs of a healthy worker, and of a dead one.
sub claim_two
{
	my ($lease) = @_;
	sql($node, q(SELECT taskq.enqueue_job('outside') FROM generate_series(1, 2)));
	my %of = map { $_ => [ split /\|/, sql($node, "SELECT job_id, epoch FROM taskq.claim_job('$_', '{outside}', lease => '$lease')") ] } 'well', 'dead';
	wait_until($node, 'SELECT count(*) > 0 FROM (SELECT pg_stat_clear_snapshot()) x, pg_stat_activity WHERE backend_type = \'taskq scheduler\' AND state = \'idle\'', 'the scheduler sleeps');
	return %of;
}

my $worker = session($node);
my $beat = sub { $worker->query_safe("SELECT taskq.heartbeat_job($_[0][0], $_[0][1], lease => '30 s')") };
my $expired = sub { "SELECT outcome = 'expired' FROM taskq.attempts WHERE job_id = $_[0][0]" };

# a pause, longer than the lease ------------------------------------------------

my %of = claim_two('8 s');
is($beat->($of{well}), 'ok', 'the heartbeat of the healthy worker returns ok');
stand_still($node, 11);
is($beat->($of{well}), 'ok', 'after a pause of the machine, its heartbeat returns ok');
wait_until($node, 'SELECT taskq.clock_now() > lease_expires_at - interval \'29 s\' FROM taskq.all_jobs WHERE job_id = ' . $of{well}[0], 'the scheduler has looked since the pause');
is($beat->($of{well}), 'ok', 'the healthy worker keeps its job');
wait_until($node, $expired->($of{dead}), 'the lease of the dead worker ends after the pause');
is(sql($node, "SELECT taskq.complete_job($of{well}[0], $of{well}[1])"), 't', 'the healthy worker completes its job');

# a clock that is set ahead -----------------------------------------------------

%of = claim_two('10 s');
set_clock('1 h');
sql($node, q(SELECT taskq.enqueue_job('outside')));
is(sql($node, q(SELECT count(*) FROM taskq.claim_job('other', '{outside}', lease => '1 s'))), 1, 'a job is claimed after the clock was set ahead');
wait_until($node, q(SELECT count(*) = 1 FROM taskq.attempts WHERE outcome = 'expired' AND worker_id = 'other'), 'its lease ends by the new clock');
is($beat->($of{well}), 'ok', 'a clock that is set ahead does not end an earlier lease');
wait_until($node, $expired->($of{dead}), 'a dead worker loses its job in time after that');
is(sql($node, "SELECT taskq.complete_job($of{well}[0], $of{well}[1])"), 't', 'the healthy worker completes its job after that');

# a clock that is set back ------------------------------------------------------

%of = claim_two('5 s');
set_clock('0');
wait_until($node, $expired->($of{dead}), 'the lease of a dead worker ends after the clock was set back');
%of = claim_two('5 s');
is($beat->($of{well}), 'ok', 'leases from after the change are not affected');
wait_until($node, $expired->($of{dead}), 'the later lease of a dead worker ends, too');

$node->stop;
clean_log($node);

# a pause while the scheduler rests ----------------------------------------------

# There may be one scheduler for two databases, so the one that leases of the other
# need takes the place of the first.
my $few = new_node('few_slots', conf => { max_worker_processes => 3, max_logical_replication_workers => 0, 'taskq.reserved_workers' => 0 });
sql($few, 'CREATE DATABASE other');
install($few, 'other');
for my $db ('postgres', 'other')
{
	sql($few, q(SELECT taskq.register_handler('outside', max_attempts => 1)), $db);
	sql($few, q(SELECT taskq.enqueue_job('outside')), $db);
}
is(sql($few, q(SELECT count(*) FROM taskq.claim_job('w', '{outside}', lease => '1 h'))), 1, 'a database has a lease');
wait_until($few, 'SELECT taskq.scheduler_pid() IS NOT NULL', 'and a scheduler');
sql($few, q(SELECT taskq.enqueue_job('outside') FROM generate_series(1, 2)));
%of = map { $_->[0] => [ split /\|/, sql($few, "SELECT job_id, epoch FROM taskq.claim_job('$_->[0]', '{outside}', lease => '$_->[1]')") ] } [ 'well', '30 s' ], [ 'dead', '15 s' ];
is(sql($few, q(SELECT count(*) FROM taskq.claim_job('w', '{outside}', lease => '1 h')), 'other'), 1, 'another database has a lease, too');
wait_until($few, 'SELECT taskq.scheduler_pid() IS NULL', 'so that the scheduler of the first rests');
is(sql($few, "SELECT taskq.heartbeat_job($of{$_->[0]}[0], $of{$_->[0]}[1], lease => '$_->[1]')"), 'ok', "the worker that is $_->[0] has its job meanwhile") for [ 'dead', '15 s' ], [ 'well', '30 s' ];
stand_still($few, 32);
wait_until($few, "SELECT outcome = 'expired' FROM taskq.attempts WHERE job_id = $of{dead}[0]", 'after a pause of the machine the lease of a worker that is dead ends');
is(sql($few, "SELECT taskq.heartbeat_job($of{well}[0], $of{well}[1])"), 'ok', 'a worker that is well still has its job');

$few->stop;
clean_log($few);
done_testing();
