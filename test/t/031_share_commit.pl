# Shared commits that are interrupted: their jobs are undone together, only the
# current job can lose an attempt, and each effect happens once.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('share');
my $shared = "share_commit => true, retry_policy => 'fixed', retry_base => '10 ms'";
add_type($node, 'postgres', 'app', 'quick', 'work', $shared);
add_type($node, 'postgres', 'app', 'gated', undef, $shared);
add_type($node, 'postgres', 'app', 'broken', undef, "$shared, max_attempts => 2");
add_type($node, 'postgres', 'app', 'alone', 'work');
sql($node, q(SELECT taskq.alter_pool('app', size => 1, min_size => 1);
	CREATE FUNCTION app.draw_epoch() RETURNS bigint LANGUAGE C AS 'taskq', 'taskq_test_draw_epoch'));

# Make a worker begin four short jobs and a job with a gate, at which it stops.
my ($gated, $gate);
my $begin = sub {
	my ($how) = @_;
	$gate = hold_gate($node, 1);
	sql($node, q(SELECT taskq.pause_queue('default')));
	sql($node, q(TRUNCATE app.ledger; SELECT taskq.enqueue_job('quick', jsonb_build_object('n', n)) FROM generate_series(1, 4) n));
	$gated = sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}')));
	sql($node, q(SELECT taskq.resume_queue('default')));
	wait_until($node, qq(SELECT count(*) = 1 FROM taskq.running_jobs() WHERE job_id = $gated), "$how: the last one runs");
	is(sql($node, qq(SELECT count(*) FROM app.ledger)),
		sql($node, qq(SELECT count(*) FROM taskq.all_jobs WHERE state = 'completed' AND task_type = 'quick' AND job_id BETWEEN $gated - 4 AND $gated)),
		"$how: what its neighbours did is seen when they are completed");
	return sql($node, qq(SELECT pid FROM taskq.stat_workers WHERE job_id = $gated));
};
my $attempts = sub { return sql($node, qq(SELECT COALESCE(string_agg(outcome, ' ' ORDER BY attempt), '') FROM taskq.attempts WHERE job_id = $gated)) };

# Check that each job has one line, and no more than these attempts.
my $check = sub {
	my ($how, $outcomes) = @_;
	settled($node, "$how: all jobs end");
	is($attempts->(), $outcomes, "$how: the attempts of the one in hand");
	is(sql($node, qq(SELECT string_agg(DISTINCT t.outcome || t.attempt, ' ') FROM taskq.attempts t WHERE t.job_id BETWEEN $gated - 4 AND $gated - 1)),
		'completed1', "$how: its neighbours have lost none");
	is(sql($node, 'SELECT count(*), count(DISTINCT job_id) FROM app.ledger'), '5|5', "$how: each has done its work once");
	return;
};

# whatever ends it --------------------------------------------------------------

my %ends = (
	'SIGTERM of the worker' => [ 'terminated completed', sub { kill 'TERM', $_[0] } ],
	'crash of the worker' => [ 'crashed completed', sub { crash($node, $_[0]) } ],
	'crash of another process' => [ 'completed', sub { my $s = session($node); crash($node, $s->query_safe('SELECT pg_backend_pid()')) } ],
	'immediate stop' => [ 'completed', sub { $node->stop('immediate'); $node->start } ],
	'fast stop' => [ 'completed', sub { $node->stop('fast'); $node->start } ]);
for my $how (sort keys %ends)
{
	my ($outcomes, $end) = @{ $ends{$how} };
	my $epoch = sql($node, 'SELECT app.draw_epoch()');
	$end->($begin->($how));
	eval { open_gate($gate) };
	$check->($how, $outcomes);
	cmp_ok(sql($node, qq(SELECT min(epoch) FROM app.ledger)), '>', $epoch, "$how: under numbers that are new");
}

# cancelled -----------------------------------------------------------------------

$begin->('cancelled');
my $first = $gated - 4;
like(sql($node, qq(SELECT taskq.cancel_job($first))), qr/^(requested|final)$/, 'cancel_job() of a job that has run comes too late');
is(sql($node, qq(SELECT taskq.cancel_job($gated))), 'requested', 'cancel_job() of the current job returns requested');
settled($node, 'all jobs end after the cancel');
open_gate($gate);
is($attempts->(), 'cancelled', 'the current job is cancelled');
is(sql($node, q(SELECT count(*), count(DISTINCT job_id) FROM app.ledger)), '4|4', 'the other jobs complete');
wait_until($node, 'SELECT count(*) = 0 FROM taskq.cancel_requests', 'no request to cancel is left');

# asked to leave ------------------------------------------------------------------

my $pid = $begin->('drained');
sql($node, qq(SELECT taskq.drain_worker(worker_id)) . q( FROM taskq.stat_workers));
open_gate($gate);
$check->('drained', 'completed');
wait_until($node, qq(SELECT count(*) = 0 FROM taskq.workers WHERE pid = $pid), 'drained: the worker leaves after its jobs');

# a setting -----------------------------------------------------------------------

sql($node, q(CREATE FUNCTION app.began(payload jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT to_jsonb(now())'));
add_type($node, 'postgres', 'app', 'began', undef, $shared);
$node->append_conf('postgresql.conf', 'taskq.share_commit_jobs = 3');
$node->restart;
sql($node, q(SELECT taskq.enqueue_job('began') FROM generate_series(1, 60)));
settled($node, 'three jobs per commit: all jobs end');
my $together = q(SELECT count(*) AS jobs FROM taskq.all_jobs WHERE task_type = 'began' GROUP BY result);
is(sql($node, "SELECT max(jobs) BETWEEN 2 AND 3 FROM ($together) t"), 't', 'three jobs per commit: no more share a transaction');
$node->append_conf('postgresql.conf', 'taskq.share_commit_jobs = 50');
$node->reload;

# the ledger ----------------------------------------------------------------------

sql($node, q(SELECT taskq.alter_pool('app', size => 3, min_size => 3); TRUNCATE app.ledger));
my $last = sql($node, 'SELECT max(job_id) FROM taskq.all_jobs');
my ($jobs, $kills) = (0, 0);
for my $round (1 .. 12)
{
	$jobs += sql($node, q(SELECT count(taskq.enqueue_job((ARRAY['quick', 'quick', 'broken', 'alone', 'quick'])[1 + n % 5], jsonb_build_object('n', n))) FROM generate_series(1, 200) n));
	my @workers = pids_of($node, 'worker');
	if ($round % 4 == 3 and @workers)
	{
		crash($node, $workers[0]);
		$kills++;
	}
	else
	{
		kill 'TERM', $workers[0] if @workers;
	}
	if ($round == 8)
	{
		$node->stop('immediate');
		$node->start;
	}

	# end the pauses of pools that the test has caused
	sql($node, q(SELECT taskq.resume_pool(pool) FROM taskq.pools WHERE paused));
}
wait_until($node, q(SELECT NOT EXISTS (SELECT FROM taskq.jobs) OR (SELECT bool_or(paused) FROM taskq.pools)), 'all jobs end under SIGTERM, SIGKILL and immediate stops');
sql($node, q(SELECT taskq.resume_pool(pool) FROM taskq.pools WHERE paused));
settled($node, 'all jobs end when the faults are over');
is(sql($node, qq(SELECT count(*) FROM taskq.all_jobs WHERE job_id > $last)), $jobs, 'no job is lost');
# A SIGKILL counts as a crash of the current job. A job with two of them, or with
# one in its last attempt, must be quarantined, and no other job.
is(sql($node, qq(SELECT string_agg(format('%s %s %s: %s', task_type, job_id, state, outcomes), ', ') FROM (
		SELECT task_type, job_id, state, max_attempts, COALESCE(string_agg(t.outcome, ' ' ORDER BY t.attempt), '') AS outcomes,
			count(*) FILTER (WHERE t.outcome = 'crashed') AS crashes
		FROM taskq.all_jobs j LEFT JOIN taskq.attempts t USING (job_id) WHERE job_id > $last GROUP BY 1, 2, 3, 4) jobs
	WHERE CASE state
		WHEN 'completed' THEN task_type = 'broken' OR crashes > 1 OR outcomes !~ '^((crashed|terminated) )*completed\$'
		WHEN 'discarded' THEN task_type <> 'broken' OR crashes > 1 OR outcomes !~ '^(failed|terminated|crashed) (failed|terminated)\$'
		WHEN 'quarantined' THEN outcomes !~ 'crashed\$' OR crashes <> 2 AND array_length(string_to_array(outcomes, ' '), 1) <> max_attempts
		ELSE true END)), '', 'all jobs have the outcome that their handlers and the faults explain');
cmp_ok(sql($node, qq(SELECT count(*) FROM taskq.attempts WHERE job_id > $last AND outcome = 'crashed')), '<=', $kills, 'each SIGKILL counts as a crash of at most one job');
is(sql($node, qq(SELECT count(*) FROM taskq.all_jobs a FULL JOIN app.ledger l USING (job_id)
	WHERE (a.job_id > $last OR a.job_id IS NULL) AND (l.job_id IS NOT NULL) <> (a.state IS NOT DISTINCT FROM 'completed'))), 0,
	'the ledger has a line for each completed job, and for no other');
is(sql($node, 'SELECT count(*) - count(DISTINCT job_id) FROM app.ledger'), 0, 'the ledger has no job twice');
is(sql($node, qq(SELECT count(*) FROM app.ledger l JOIN taskq.all_jobs a USING (job_id) WHERE l.epoch <> a.epoch OR l.attempt <> a.attempt)), 0,
	'each line was written by the run that completed the job');
is(sql($node, qq(SELECT count(*) FROM (SELECT a.job_id FROM taskq.all_jobs a JOIN taskq.attempts t USING (job_id) WHERE a.job_id > $last
	GROUP BY a.job_id, a.attempt HAVING count(*) <> a.attempt OR count(DISTINCT t.attempt) <> a.attempt) odd)), 0,
	'each attempt has ended once');

$node->stop;
clean_log($node, but => qr/was terminated by signal 9/);
done_testing();
