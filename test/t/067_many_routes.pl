# A worker with many routes looks only at those that have changed since its last claim, and
# is given the first job of all, whoever has added, returned or taken jobs meanwhile.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $routes = 200;
my $node = new_node('many_routes', conf => { 'taskq.poll_interval' => "'1 h'", 'taskq.worker_idle' => "'1h'", 'taskq.ready_list_size' => 64000 });
sql($node, <<"SQL");
CREATE FUNCTION looks() RETURNS bigint LANGUAGE C AS 'taskq', 'taskq_test_looks';
CREATE FUNCTION list(how text) RETURNS void LANGUAGE C AS 'taskq', 'taskq_test_ready_list';
SELECT count(taskq.register_handler('t' || n)) FROM generate_series(1, $routes) n;
SELECT taskq.create_queue('slow');
SELECT count(taskq.enqueue_job('t' || n, queue => q, priority => n % 3)) FROM generate_series(1, $routes) n, unnest('{default,slow}'::text[]) q;
SELECT taskq.register_worker('a'), taskq.register_worker('b', queues => '{slow,default}'), taskq.register_worker('c', task_types => ARRAY(SELECT 't' || n FROM generate_series(1, $routes, 2) n));
SQL

# how many routes a claim looks at
my %session = map { $_ => session($node) } qw(a b c);
my $claim = sub { return $session{ $_[0] }->query_safe("SELECT job_id FROM taskq.claim_job('$_[0]', lease => '1 day')") };
my $looks = sub {
	my ($worker) = @_;
	my $before = $session{$worker}->query_safe('SELECT looks()');
	$claim->($worker);
	return $session{$worker}->query_safe('SELECT looks()') - $before;
};
cmp_ok($looks->('a'), '>=', 2 * $routes, 'the first claim looks at all routes');
$claim->('a'); # it may see that the tables were set up
cmp_ok($looks->('a'), '<', 10, 'a later one looks at few');
cmp_ok($looks->('b'), '>=', 2 * $routes, 'another worker looks at all at first');
cmp_ok($looks->('a'), '<', 10, 'and the first does not, because of that');
sql($node, q(SELECT count(taskq.enqueue_job('t' || n, priority => 9)) FROM generate_series(1, 50) n));
cmp_ok($looks->('a'), '<', 10, 'nor when others add jobs behind those that wait');
sql($node, q(SELECT count(taskq.enqueue_job('t' || n, priority => -1)) FROM generate_series(1, 20) n));
cmp_ok($looks->('a'), '<', 40, 'it looks at those in which the first job has changed');
sql($node, q(SELECT taskq.pause_queue('slow')));
cmp_ok($looks->('a'), '>=', $routes, 'and at all when the configuration has changed');
sql($node, q(SELECT taskq.resume_queue('slow')));
# A look at the worker's row is due once in ten seconds, so not at each of these claims.
my $numscans = q(SELECT pg_stat_get_xact_numscans('taskq.external_workers_pkey'::regclass));
$claim->('a');
my @scans = map { [ split /\s+/, $session{a}->query_safe("BEGIN; $numscans; SELECT FROM taskq.claim_job('a'); $numscans; ROLLBACK") ] } 1 .. 5;
ok((grep { $_->[0] == $_->[-1] } @scans), "a claim does not look at the worker's row if that was just done");
$session{a}->query_safe("BEGIN; SELECT taskq.enqueue_job('t7', priority => -5)");
is($session{a}->query_safe("SELECT priority FROM taskq.claim_job('a')"), -5, 'a transaction is given the job that it has added');
$session{a}->query_safe('ROLLBACK');

# The order of claims, after random changes by three sessions. Nobody else claims
# meanwhile, so each claim must return the first job that is due.
my $first = sub {
	my ($worker) = @_;
	my $rank = $worker eq 'b' ? "(q.queue IS NULL OR q.queue <> 'slow')::int, " : '';
	my $narrow = $worker eq 'c' ? 'AND substring(r.task_type, 2)::int % 2 = 1' : '';
	return sql($node, "SELECT job_id FROM taskq.jobs j JOIN taskq.routes r USING (route_id) LEFT JOIN taskq.queue_defs q USING (queue_id)"
		. " WHERE gate = 'o' AND run_at <= taskq.clock_now() $narrow ORDER BY $rank priority, run_at, job_id LIMIT 1");
};
my $steps = $ENV{TASKQ_STEPS} // 250;
my $seed = $ENV{TASKQ_SEED} // 4711;
srand($seed);
my (%held, @wrong, $n);
my $pick = sub { return $_[ int(rand(@_)) ] };
my $add = sub {
	return sprintf q(SELECT count(taskq.enqueue_job('t%d', queue => '%s', priority => %d, delay => '%s')) FROM generate_series(1, %d)),
		1 + int(rand($routes)), $pick->('default', 'slow'), int(rand(5)) - 2, $pick->('0', '0', '20 ms', '100 ms', '1 h'), 1 + int(rand(3));
};
for my $step (1 .. $steps)
{
	my $worker = $pick->(qw(a b c));
	my $what = $pick->(qw(claim claim claim claim claim add add release snooze complete regret batch many forget));
	my ($job) = $pick->(keys %held);
	if ($what eq 'claim')
	{
		my $is = '';
		my $wanted = '';
		# a job may become due between the two
		for (1 .. 5)
		{
			$wanted = $first->($worker);
			$is = $claim->($worker);
			$held{$is} = 1 if $is ne '';
			last if $is eq $wanted;
			last if $is ne '' and $is eq sql($node, "SELECT job_id FROM taskq.jobs WHERE job_id = $is AND run_at > taskq.clock_now() - interval '1 s' AND run_at > created_at");
		}
		push @wrong, "step $step: worker $worker was given '$is' in place of '$wanted'"
			if $is ne $wanted and ($is eq '' or sql($node, "SELECT run_at <= created_at FROM taskq.jobs WHERE job_id = $is") eq 't');
		$n++;
	}
	elsif ($what eq 'add') { $session{$worker}->query_safe($add->()) }
	elsif ($what eq 'many') { sql($node, join '; ', map { $add->() } 1 .. 100) if $step % 5 == 0 }
	elsif ($what eq 'forget') { sql($node, q(SELECT list('forget'))) if $step % 3 == 0 }
	elsif ($what eq 'regret') { $session{$worker}->query_safe("BEGIN; SELECT count(*) FROM taskq.claim_jobs('$worker', 5); " . $add->() . "; SELECT count(*) FROM taskq.claim_jobs('$worker', 2); ROLLBACK") }
	elsif ($what eq 'batch') { $held{$_} = 1 for split /\n/, $session{$worker}->query_safe("SELECT job_id FROM taskq.claim_jobs('$worker', 4, lease => '1 day')") }
	elsif (defined $job)
	{
		my $epoch = "(SELECT epoch FROM taskq.jobs WHERE job_id = $job)";
		$session{$worker}->query_safe(
			$what eq 'complete' ? "SELECT taskq.complete_job($job, $epoch)"
			: $what eq 'release' ? "SELECT taskq.release_job($job, $epoch)"
			: "SELECT taskq.snooze_job($job, $epoch, '30 ms')");
		delete $held{$job};
	}
}
is(join("\n", @wrong), '', "each of $n claims was given the first job, seed $seed");

# nothing is left behind
my $open = sql($node, q(SELECT count(*) FROM taskq.jobs WHERE gate = 'o' AND run_at <= taskq.clock_now() + interval '30 min'));
my $taken = 0;
while ((my $more = $session{a}->query_safe(q(SELECT count(*) FROM taskq.claim_jobs('a', 1000)))) > 0) { $taken += $more }
is(sql($node, q(SELECT count(*) FROM taskq.jobs WHERE gate = 'o' AND run_at <= taskq.clock_now())), 0, 'and in the end all due jobs are taken');
cmp_ok($taken, '>', 100, 'which were many') or diag("$open were open");

$_->quit for values %session;
clean_log($node);
$node->stop;
done_testing();
