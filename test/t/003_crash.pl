# Crash restarts and immediate stops while jobs run in the server and others are
# claimed by external workers. No job is lost, jobs in the server run again and
# complete once, and leases count from the start of the server.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('crash');
add_type($node, 'postgres', 'app', 'work');
add_type($node, 'postgres', 'app', 'gated');
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('outside')));
sql($node, q(SELECT taskq.register_worker(w) FROM unnest('{long,short,after}'::text[]) AS w));

# Returns the time of the restart. pg_postmaster_start_time() does not change if the
# postmaster survives.
my $interrupt = sub {
	my ($how, $pid) = @_;
	my $offset = log_since($node);
	if ($pid)
	{
		crash($node, $pid);
	}
	else
	{
		$node->stop($how);
		$node->start;
	}
	return sql($node, 'SELECT pg_postmaster_start_time()') if $how !~ /crash|worker/;
	my ($at) = slurp_file($node->logfile, $offset) =~ /^(\S+ \S+ \S+) .*reinitializing/m or die 'no restart in the log';
	return $at;
};

my $round = 0;
for my $how ('crash', 'worker', 'immediate', 'fast')
{
	$round++;
	my $first = 1 + sql($node, 'SELECT COALESCE(max(job_id), 0) FROM taskq.all_jobs');
	my $mine = "job_id >= $first";

	# jobs of all kinds: running in the server, waiting there, claimed by external
	# workers, waiting for external workers, and due in the future
	my $gate = hold_gate($node, $round);
	sql($node, qq(SELECT taskq.enqueue_job('gated', '{"gate": $round}') FROM generate_series(1, 6)));
	wait_until($node, q(SELECT count(*) = 4 FROM taskq.running_jobs()), "$how: four jobs run, two wait");
	sql($node, q(SELECT taskq.enqueue_job('outside') FROM generate_series(1, 5)));
	sql($node, q(SELECT taskq.enqueue_job('work', delay => '1 d')));
	my ($long, $long_epoch) = split /\|/,
		sql($node, q(SELECT job_id, epoch FROM taskq.claim_job('long', lease => '1 h')));
	my $ids = sql($node, qq(SELECT string_agg(job_id::text, ',' ORDER BY job_id) FROM taskq.all_jobs WHERE $mine));
	my $victim = session($node);	# a backend that has nothing to do with taskq
	my $pid = $how eq 'crash' ? $victim->query_safe('SELECT pg_backend_pid()') : $how eq 'worker' ? (pids_of($node, 'worker'))[0] : undef;
	# this comes last before the stop, so that the lease does not end first
	my ($short, $short_epoch, $short_expiry) = split /\|/,
		sql($node, q(SELECT job_id, epoch, lease_expires_at FROM taskq.claim_job('short', lease => '2 s')));
	my $drawn = $short_epoch & ((1 << 48) - 1);
	my $restart = $interrupt->($how, $pid);
	eval { $_->quit } for $gate, $victim;

	is(sql($node, qq(SELECT string_agg(job_id::text, ',' ORDER BY job_id) FROM taskq.all_jobs WHERE $mine)), $ids, "$how: every job is there");
	wait_until($node, qq(SELECT count(*) = 6 FROM taskq.all_jobs WHERE $mine AND task_type = 'gated' AND state = 'completed'),
		"$how: jobs in the server complete");
	is(sql($node, qq(SELECT count(*), count(DISTINCT job_id) FROM app.ledger WHERE $mine)), '6|6', "$how: each exactly once");
	is(sql($node, qq(SELECT max(attempt), (SELECT count(*) FROM taskq.attempts WHERE $mine AND outcome = 'terminated') FROM app.ledger WHERE $mine)), '1|0',
		'a shutdown costs no attempt') if $how eq 'fast';
	is(sql($node, qq(SELECT state, attempt, run_at > clock_timestamp() FROM taskq.all_jobs WHERE $mine AND task_type = 'work')), 'scheduled|0|t',
		"$how: a job that lies ahead still does");
	is(sql($node, qq(SELECT state, attempt, worker_id, epoch = $long_epoch FROM taskq.all_jobs WHERE job_id = $long)), 'running|1|long|t',
		"$how: a long lease holds on");

	# the short lease may have ended before the scheduler was up; in both cases it
	# lasts for its full length from the start of the server
	wait_until($node, qq(SELECT count(*) = 1 FROM taskq.attempts WHERE job_id = $short), "$how: a short lease ends");
	is(sql($node, qq(SELECT outcome, attempt, epoch = $short_epoch, worker_id FROM taskq.attempts WHERE job_id = $short)), 'expired|1|t|short',
		"$how: it is recorded");
	is(sql($node, qq(SELECT finished_at >= '$restart'::timestamptz + interval '2 s', finished_at >= '$short_expiry' FROM taskq.attempts WHERE job_id = $short)), 't|t',
		"$how: not before its length has passed since the server's start");
	fails_with($node, 'TQ003', qq(SELECT taskq.complete_job($short, $short_epoch)), "$how: its worker is refused");

	is(sql($node, qq(SELECT taskq.heartbeat_job($long, $long_epoch))), 'ok', "$how: the worker with the long lease is heard");
	is(sql($node, qq(SELECT taskq.complete_job($long, $long_epoch, '{"done": 1}'))), 't', "$how: and completes its job");
	is(sql($node, qq(SELECT state, attempt, result->>'done' FROM taskq.all_jobs WHERE job_id = $long)), 'completed|1|1', "$how: and that counts");

	# the other external jobs continue
	wait_until($node, qq(SELECT count(*) = 4 FROM taskq.all_jobs WHERE $mine AND task_type = 'outside' AND state = 'available'),
		"$how: the other external jobs are available in the end");
	is(sql($node, qq(SELECT count(*) FILTER (WHERE taskq.complete_job(job_id, epoch) AND epoch & ((1::bigint << 48) - 1) > $drawn) FROM taskq.claim_jobs('after', 10))), 4,
		"$how: and are taken, by epochs that are higher than all before");
	wait_until($node, qq(SELECT count(*) = 1 FROM taskq.all_jobs WHERE $mine AND state <> 'completed'), "$how: all but the one ahead are completed");
	sql($node, qq(SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE $mine AND task_type = 'work'));
}

# crashes under load --------------------------------------------------------

my $first = 1 + sql($node, 'SELECT max(job_id) FROM taskq.all_jobs');
sql($node, q(SELECT count(taskq.enqueue_job('work', jsonb_build_object('load', n))) FROM generate_series(1, 3000) n));
for my $how ('worker', 'immediate')
{
	wait_until($node, q(SELECT NOT EXISTS (SELECT FROM taskq.jobs) OR EXISTS (SELECT FROM taskq.background_workers())), "under load: before $how");
	last if sql($node, 'SELECT EXISTS (SELECT FROM taskq.jobs)') eq 'f' or not pids_of($node, 'worker');
	$interrupt->($how, $how eq 'worker' ? (pids_of($node, 'worker'))[0] : undef);
}
settled($node, 'all jobs end under load');
is(sql($node, qq(SELECT count(*), count(*) FILTER (WHERE state = 'completed') FROM taskq.all_jobs WHERE job_id >= $first)), '3000|3000', 'all jobs complete under load');
is(sql($node, q(SELECT count(*), count(DISTINCT job_id) FROM app.ledger WHERE payload ? 'load')), '3000|3000', 'each job has run exactly once under load');
is(sql($node, q(SELECT count(*) FROM (SELECT epoch FROM app.ledger GROUP BY epoch HAVING count(*) > 1) x)), 0, 'no epoch was given out twice');

$node->stop;
clean_log($node, but => qr/was terminated by signal 9/);
done_testing();
