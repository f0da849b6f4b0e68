# Timeouts and cancels of handlers in any language. A handler may catch the
# interrupt and raise another error, but the run itself knows what ended it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('interrupts');
sql_as($node, 'postgres', 'app', <<'SQL');
CREATE FUNCTION app.raise_anew(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_sleep(3600);
	RETURN NULL;
EXCEPTION WHEN query_canceled THEN
	RAISE EXCEPTION 'raised anew: %', SQLERRM USING ERRCODE = 'XA001';
END $$;
CREATE FUNCTION app.same_code(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_sleep(3600);
	RETURN NULL;
EXCEPTION WHEN query_canceled THEN
	RAISE EXCEPTION 'raised anew' USING ERRCODE = 'query_canceled';
END $$;
CREATE FUNCTION app.gives_up(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_sleep(3600);
	RETURN NULL;
EXCEPTION WHEN query_canceled THEN
	PERFORM taskq.raise_permanent('not again', code => 'GAVE_UP');
	RETURN NULL;
END $$;
CREATE PROCEDURE app.stepwise(payload jsonb) LANGUAGE plpgsql AS $$
BEGIN
	COMMIT;
	BEGIN
		PERFORM pg_sleep(3600);
	EXCEPTION WHEN query_canceled THEN
		RAISE EXCEPTION 'raised anew in a step';
	END;
END $$;
-- on its own account, before anybody has interrupted it
CREATE FUNCTION app.pretends(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'as if cancelled' USING ERRCODE = 'query_canceled';
END $$;
-- after it was interrupted it goes on, and fails by itself before its time is over
CREATE FUNCTION app.goes_on(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		PERFORM pg_sleep(3600);
	EXCEPTION WHEN query_canceled THEN NULL;
	END;
	RETURN '{"went": "on"}';
END $$;
SQL
my @handlers = qw(raise_anew same_code);
SKIP: {
	skip 'PL/Perl is not there', 1 unless sql($node, q(SELECT count(*) FROM pg_available_extensions WHERE name = 'plperl'));
	sql($node, <<'SQL');
CREATE EXTENSION plperl;
CREATE FUNCTION app.perl(payload jsonb) RETURNS jsonb LANGUAGE plperl AS $$
	spi_exec_query('SELECT pg_sleep(3600)');
	return undef;
$$;
CREATE FUNCTION app.perl_anew(payload jsonb) RETURNS jsonb LANGUAGE plperl AS $$
	eval { spi_exec_query('SELECT pg_sleep(3600)'); };
	die "raised anew: $@" if $@;
	return undef;
$$;
SQL
	push @handlers, qw(perl perl_anew);
	pass('PL/Perl is installed');
}
SKIP: {
	skip 'PL/Python is not there', 1 unless sql($node, q(SELECT count(*) FROM pg_available_extensions WHERE name = 'plpython3u'));
	sql($node, <<'SQL');
CREATE EXTENSION plpython3u;
CREATE FUNCTION app.python(payload jsonb) RETURNS jsonb LANGUAGE plpython3u AS $$
plpy.execute('SELECT pg_sleep(3600)')
$$;
CREATE FUNCTION app.python_anew(payload jsonb) RETURNS jsonb LANGUAGE plpython3u AS $$
try:
    plpy.execute('SELECT pg_sleep(3600)')
except Exception as e:
    raise RuntimeError('raised anew: ' + str(e))
$$;
CREATE FUNCTION app.python_subtransaction(payload jsonb) RETURNS jsonb LANGUAGE plpython3u AS $$
with plpy.subtransaction():
    plpy.execute('SELECT pg_sleep(3600)')
$$;
SQL
	push @handlers, qw(python python_anew python_subtransaction);
	pass('PL/Python is installed');
}
add_type($node, 'postgres', 'app', $_) for @handlers, qw(gives_up pretends goes_on stepwise);
push @handlers, 'stepwise';

# Enqueue a job and wait until it has ended; returns its state and its attempt.
sub outcome_of
{
	my ($type, $options) = @_;
	my $job = sql($node, "SELECT taskq.enqueue_job('$type', max_attempts => 1$options)");
	wait_until($node, "SELECT finished_at IS NOT NULL FROM taskq.all_jobs WHERE job_id = $job", "$type ends");
	return ($job, sql($node, "SELECT state FROM taskq.all_jobs WHERE job_id = $job"),
		sql($node, "SELECT outcome, error_type, sqlstate FROM taskq.attempts WHERE job_id = $job"));
}

for my $type (@handlers)
{
	my ($job, $state, $attempt) = outcome_of($type, q(, timeout => '300 ms'));
	is($attempt, 'timeout|timeout|57014', "$type: a timeout is recorded as one");
	like(sql($node, "SELECT last_error FROM taskq.all_jobs WHERE job_id = $job"), qr/longer than its timeout/, "$type: and said");
}
like(sql($node, q(SELECT detail FROM taskq.attempts a JOIN taskq.all_jobs j USING (job_id) WHERE task_type = 'raise_anew')),
	qr/raised anew/, 'the attempt keeps the error that the handler has raised');

my ($job, $state, $attempt) = outcome_of('gives_up', q(, timeout => '300 ms'));
is($attempt, 'timeout|timeout|57014', 'a handler that raises a permanent failure after its timeout has timed out');
$job = sql($node, q(SELECT taskq.enqueue_job('gives_up', timeout => '300 ms')));
wait_until($node, "SELECT state = 'discarded' AND attempt = 1 FROM taskq.all_jobs WHERE job_id = $job", 'the job is not retried, as that handler has requested');

for my $type (@handlers, 'gives_up')
{
	my $job = sql($node, "SELECT taskq.enqueue_job('$type')");
	wait_until($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq worker' AND wait_event = 'PgSleep'
		AND query LIKE '%job $job (%'", "$type runs");
	is(sql($node, "SELECT taskq.cancel_job($job, reason => 'enough')"), 'requested', "$type: is to be cancelled");
	wait_until($node, "SELECT finished_at IS NOT NULL FROM taskq.all_jobs WHERE job_id = $job", "$type: it ends");
	is(sql($node, "SELECT state, last_error, attempt FROM taskq.all_jobs WHERE job_id = $job"), 'cancelled|enough|1', "$type: as cancelled");
	is(sql($node, "SELECT string_agg(outcome, ',') FROM taskq.attempts WHERE job_id = $job"), 'cancelled', "$type: and so is its attempt");
}

# an interrupt that nobody requested does not count against the job
for my $type (grep { $_ ne 'stepwise' } @handlers)
{
	my $job = sql($node, "SELECT taskq.enqueue_job('$type')");
	wait_until($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq worker' AND wait_event = 'PgSleep'
		AND query LIKE '%job $job (%'", "$type runs");
	sql($node, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq worker' AND query LIKE '%job $job (%'");
	wait_until($node, "SELECT last_outcome = 'l' FROM taskq.jobs WHERE job_id = $job", "$type: interrupted by somebody, it is given back");
	is(sql($node, "SELECT count(*) FROM taskq.attempt_failures WHERE job_id = $job"), 0, "$type: without a failure");
	sql($node, "SELECT taskq.cancel_job($job)");
	wait_until($node, "SELECT state = 'cancelled' FROM taskq.all_jobs WHERE job_id = $job", "$type: and cancelled in the end");
}

# other errors are not taken for an interrupt
($job, $state, $attempt) = outcome_of('pretends', '');
is($attempt, 'failed|handler_error|57014', 'an error with the SQLSTATE of a cancel that a handler raises is a failure');
($job, $state, $attempt) = outcome_of('goes_on', q(, timeout => '300 ms'));
like($state, qr/^completed/, 'a handler that catches its timeout and returns has completed');

# in a run by hand, an interrupt belongs to the caller
for my $type (grep { $_ ne 'stepwise' } @handlers)
{
	my $job = sql($node, qq(SELECT taskq.pause_pool('app'); SELECT taskq.enqueue_job('$type')));
	$job =~ s/.*\n//s;
	my ($rc, $out, $err) = $node->psql('postgres', "SET statement_timeout = '300ms'; SELECT state FROM taskq.run_job($job)",
		extra_params => [ '-U', 'app' ]);
	isnt($rc, 0, "$type: the caller's timeout ends the caller's statement");
	is(sql($node, "SELECT state, attempt FROM taskq.all_jobs WHERE job_id = $job"), 'available|0', "$type: and the job is as it was");
	sql($node, "SELECT taskq.cancel_job($job)");
	$job = sql($node, "SELECT taskq.enqueue_job('$type', timeout => '300 ms', max_attempts => 1)");
	is(sql_as($node, 'postgres', 'app', "SELECT state FROM taskq.run_job($job)"), 'discarded', "$type: run by hand it times out, too");
	is(sql($node, "SELECT outcome FROM taskq.attempts WHERE job_id = $job"), 'timeout', "$type: and that is recorded");
}

$node->stop;
clean_log($node);
done_testing();
