# Cancelling and pausing running jobs: a request affects only the run that it is
# meant for, nobody waits for the row of a running job, and no job starts after a
# pause.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('cancel');
add_type($node, 'postgres', 'app', $_) for 'work', 'slow', 'gated';
add_type($node, 'postgres', 'app', 'shared', 'work', 'share_commit => true');
sql_as($node, 'postgres', 'app', <<'SQL');
CREATE FUNCTION app.tick(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.001); RETURN NULL; END $$;
SELECT taskq.register_handler('tick', 'app.tick(jsonb)');
SELECT taskq.register_handler('tick_shared', 'app.tick(jsonb)', share_commit => true);
SELECT taskq.register_handler('outside');
-- goes on after the first interrupts
CREATE FUNCTION app.stubborn(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 3 LOOP
		BEGIN
			PERFORM pg_sleep(3600);
		EXCEPTION WHEN query_canceled THEN NULL;
		END;
	END LOOP;
	PERFORM pg_sleep(3600);
	RETURN NULL;
END $$;
SELECT taskq.register_handler('stubborn', 'app.stubborn(jsonb)');
SQL

# how soon ----------------------------------------------------------------------

my @ms;
for my $n (1 .. 5)
{
	my $job = sql($node, q(SELECT taskq.enqueue_job('slow')));
	wait_until($node, qq(SELECT count(*) = 1 FROM taskq.running_jobs() WHERE job_id = $job), "run $n: it runs");
	my ($answer, $at) = split /\|/, sql($node, qq(SELECT taskq.cancel_job($job), clock_timestamp()));
	is($answer, 'requested', "run $n: asked to be cancelled");
	wait_until($node, qq(SELECT state = 'cancelled' FROM taskq.all_jobs WHERE job_id = $job), "run $n: it is cancelled");
	push @ms, sql($node, qq(SELECT round(extract(epoch FROM finished_at - '$at') * 1000, 1) FROM taskq.all_jobs WHERE job_id = $job));
}
diag("cancel_job() to the end of a run, in ms: @ms");

my $stubborn = sql($node, q(SELECT taskq.enqueue_job('stubborn')));
wait_until($node, qq(SELECT count(*) = 1 FROM taskq.running_jobs() WHERE job_id = $stubborn), 'a job that catches interrupts runs');
is(sql($node, qq(SELECT taskq.cancel_job($stubborn))), 'requested', 'cancel_job() returns requested once');
wait_until($node, qq(SELECT state = 'cancelled' FROM taskq.all_jobs WHERE job_id = $stubborn), 'the job is interrupted until it ends');

# the right one -----------------------------------------------------------------

# one worker, a job every millisecond, and requests to cancel the jobs with even
# numbers while they run: a request that comes too late must not hit the next job
sql($node, q(SELECT taskq.alter_pool('app', size => 1)));
for my $type ('tick', 'tick_shared')
{
	my $first = 1 + sql($node, 'SELECT max(job_id) FROM taskq.all_jobs');
	append_to_file($node->basedir . '/cancel.sql', "SELECT taskq.cancel_job(job_id) FROM taskq.running_jobs() WHERE job_id % 2 = 0;\n") if $type eq 'tick';
	sql($node, qq(SELECT count(taskq.enqueue_job('$type')) FROM generate_series(1, 2000)));
	$node->command_ok([ 'pgbench', '-n', '-c', 2, '-t', 4000, '-f', $node->basedir . '/cancel.sql', 'postgres' ], "$type: requests are made while they run");
	settled($node, "$type: all end");
	is(sql($node, qq(SELECT count(*) FROM taskq.all_jobs WHERE job_id >= $first AND job_id % 2 = 1 AND (state <> 'completed' OR attempt <> 1))), 0,
		"$type: none of those that were not meant was touched");
	my $n = sql($node, qq(SELECT count(*) FROM taskq.all_jobs WHERE job_id >= $first AND state = 'cancelled'));
	cmp_ok($n, '>', 0, "$type: and of the others some were cancelled");
	diag("$type: $n of 1000 were cancelled while they ran");
	is(sql($node, 'SELECT count(*) FROM taskq.cancel_requests'), 0, "$type: no request is left");
}
sql($node, q(SELECT taskq.alter_pool('app', size => 4)));

# requests that the scheduler cannot see yet ------------------------------------

# a job that becomes due makes the scheduler look at everything
sub look_around
{
	my ($what) = @_;
	my $due = sql($node, q(SELECT taskq.enqueue_job('work', delay => '100 ms')));
	wait_until($node, qq(SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = $due), $what);
	return;
}
look_around('the scheduler finds no request');
sql($node, q(SELECT count(taskq.enqueue_job('outside')) FROM generate_series(1, 2)));
my ($first, $second) = map { [ split /\|/, $_ ] } split /\n/, sql($node, q(SELECT job_id, epoch FROM taskq.claim_jobs('cancel-w', 2, '{outside}')));
sql($node, qq(BEGIN; SELECT taskq.cancel_job($first->[0]); PREPARE TRANSACTION 'cancel'));
look_around('the scheduler looks while a request is prepared');
is(sql($node, qq(SELECT taskq.heartbeat_job($first->[0], $first->[1]))), 'ok', 'a prepared request is not visible to the worker');
sql($node, q(COMMIT PREPARED 'cancel'));
is(sql($node, qq(SELECT taskq.heartbeat_job($first->[0], $first->[1]))), 'cancel', 'the worker learns of the request after COMMIT PREPARED');
is(sql($node, qq(SELECT taskq.cancel_job($first->[0], $first->[1]))), 'cancelled', 'the worker cancels the job');
look_around('the scheduler finds no request again');
sql($node, qq(INSERT INTO taskq.cancel_requests (job_id, requested_at) VALUES ($second->[0], now())));
wait_until($node, qq(SELECT taskq.heartbeat_job($second->[0], $second->[1]) = 'cancel'), 'a request restored from a dump is found by the next poll');
is(sql($node, qq(SELECT taskq.cancel_job($second->[0], $second->[1]))), 'cancelled', 'the worker cancels the job of the restored request');

# nobody waits --------------------------------------------------------------------

my $gate = hold_gate($node, 1);
my $job = sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}')));
wait_until($node, qq(SELECT count(*) = 1 FROM taskq.running_jobs() WHERE job_id = $job), 'a job runs in the server');
my $epoch = sql($node, qq(SELECT epoch FROM taskq.all_jobs WHERE job_id = $job));
sql($node, <<'SQL');
CREATE FUNCTION public.answers(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'SELECT * FROM taskq.' || call;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
SQL
my @calls = map { my $e = $_; map { "$_($job, $e)" } qw(complete_job release_job heartbeat_job) } $epoch, 1;
push @calls, "fail_job($job, $epoch, 'no')", "snooze_job($job, $epoch, '1 s')", "save_checkpoint($job, $epoch, '{}')", "cancel_job($job, $epoch)",
	"complete_jobs(ARRAY[$job]::bigint[], ARRAY[$epoch]::bigint[])", "worker_heartbeat('x', ARRAY[$job]::bigint[], ARRAY[$epoch]::bigint[])",
	"retry_job($job)", "retry_job($job, force => true)", "discard_job($job)", "run_job($job)", "run_job($job, 'app.work(jsonb)')", "run_all()", "claim_jobs('x', 100)",
	"run_next('{gated}', 'app.work(jsonb)')", "pause_queue('default')", "resume_queue('default')", "pause_handler('gated')", "resume_handler('gated')",
	"unregister_worker('x')", "unregister_handler('gated')";
for my $call (@calls)
{
	(my $quoted = $call) =~ s/'/''/g;
	my $answer = sql($node, "BEGIN; SET LOCAL lock_timeout = '10s'; SELECT public.answers('$quoted'); ROLLBACK");
	isnt($answer, '55P03', "$call does not wait ($answer)");
}
is(sql($node, qq(SELECT state, attempt, epoch = $epoch FROM taskq.all_jobs WHERE job_id = $job)), 'running|1|t', 'none of these calls has changed the job');
open_gate($gate);
wait_until($node, qq(SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = $job), 'the job completes after these calls');

# nothing starts after a pause -------------------------------------------------------

append_to_file($node->basedir . '/claim.sql',
	"SELECT taskq.complete_job(job_id, epoch) FROM taskq.claim_jobs('w' || :client_id, 5, task_types => '{outside}');\n");
my %pauses = (
	queue => [ q(taskq.pause_queue('default')), q(taskq.resume_queue('default')), 'true' ],
	pool => [ q(taskq.pause_pool('app')), q(taskq.resume_pool('app')), q(task_type <> 'outside') ],
	handler => [ q(taskq.pause_handler(t)) , q(taskq.resume_handler(t)), 'true', q(FROM unnest(ARRAY['work', 'shared', 'outside']) t) ]);
my $claimers = IPC::Run::start([ 'pgbench', '-n', '-c', 2, '-T', 3600, '-f', $node->basedir . '/claim.sql', '-h', $node->host, '-p', $node->port, 'postgres' ], '>', \my $out, '2>', \my $err);
for my $what (sort keys %pauses)
{
	my ($pause, $resume, $whose, $from) = @{ $pauses{$what} };
	$from //= '';
	for my $round (1 .. 5)
	{
		my $first = 1 + sql($node, 'SELECT max(job_id) FROM taskq.all_jobs');
		sql($node, q(SELECT count(taskq.enqueue_job(t)) FROM generate_series(1, 1500), unnest(ARRAY['work', 'shared', 'outside']) t));
		wait_until($node, qq(SELECT count(*) > 20 FROM taskq.all_jobs WHERE job_id >= $first AND $whose AND state = 'completed'), "$what $round: jobs run");
		sql($node, "SELECT $pause $from");
		my $paused = sql($node, 'SELECT clock_timestamp()');
		wait_until($node, qq(SELECT count(*) = 0 FROM taskq.all_jobs WHERE job_id >= $first AND $whose AND state = 'running'), "$what $round: what ran has ended");
		my ($waiting, $late, $by) = split /\|/, sql($node, qq(SELECT count(*) FILTER (WHERE state = 'available'),
			count(*) FILTER (WHERE started_at > '$paused'), max(started_at) - '$paused' FROM taskq.all_jobs WHERE job_id >= $first AND $whose));
		is($late, 0, "$what $round: nothing has started since, $waiting wait") or diag("by $by");
		sql($node, "SELECT $resume $from");
		settled($node, "$what $round: resumed, all end");
	}
}
$claimers->kill_kill;

# shutdown under load ----------------------------------------------------------------

sql($node, q(SELECT count(taskq.enqueue_job(t)) FROM generate_series(1, 5000), unnest(ARRAY['work', 'shared']) t));
sql($node, q(SELECT count(taskq.enqueue_job('slow', priority => -1)) FROM generate_series(1, 2)));
wait_until($node, q(SELECT count(*) = 2 FROM taskq.workers WHERE current_task_type = 'slow'), 'short jobs run, and two jobs of an hour');
my $began = time;
$node->stop('fast');
diag('fast shutdown under load took ' . (time - $began) . ' s');
$node->start;
is(sql($node, q(SELECT max(attempt) FROM taskq.all_jobs WHERE task_type IN ('work', 'shared'))), 1, 'no attempt is lost in a fast shutdown under load');
is(sql($node, q(SELECT count(*) FROM taskq.attempts WHERE outcome = 'terminated')), 0, 'no attempt is recorded as terminated in a fast shutdown');
sql($node, q(SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE task_type = 'slow' AND finished_at IS NULL));
settled($node, 'the remaining jobs run after the start');
is(sql($node, q(SELECT count(*) - count(DISTINCT job_id) FROM app.ledger)), 0, 'no job has run twice');

$node->stop;
clean_log($node);
done_testing();
