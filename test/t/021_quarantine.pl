# Handlers that crash the server: the job that did it is found, run again alone and
# quarantined, while other jobs complete. A pool that keeps crashing the server is
# paused.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes;
use TaskqTest;

my $node = new_node('quarantine');
make_misbehave($node, 'postgres', 'app');
add_type($node, 'postgres', 'app', $_) for 'work', 'gated', 'bad';

# How many times the server has restarted itself since the log had this length.
sub restarts
{
	my ($offset) = @_;
	return scalar(() = slurp_file($node->logfile, $offset) =~ /all server processes terminated; reinitializing/g);
}

# Make the earlier crashes of a pool old.
my $clock = 0;
sub later
{
	my ($minutes) = @_;
	$clock += $minutes * 60 * 1000;
	sql($node, "ALTER SYSTEM SET taskq.clock_offset = $clock");
	$node->reload;
	poll($node, "SELECT taskq.clock_now() > clock_timestamp() + interval '$clock ms' - interval '1 s'");
	return;
}

# one job that crashes, among many -------------------------------------------

for my $how ('null', 'abort', 'panic', 'kill', '_exit')
{
	later(11);
	my $offset = log_since($node);
	my $first = 1 + sql($node, 'SELECT COALESCE(max(job_id), 0) FROM taskq.all_jobs');
	my $bad = enqueue_crashing($node, <<SQL);
SELECT bad FROM (
	SELECT min(job) FILTER (WHERE bad) AS bad
	FROM (SELECT n = 500 AS bad, CASE WHEN n = 500 THEN taskq.enqueue_job('bad', '{"how": "$how", "amount": 3}')
			ELSE taskq.enqueue_job('work') END AS job
		  FROM generate_series(1, 1001) n) x) y
SQL
	wait_until($node, qq(SELECT state FROM taskq.all_jobs WHERE job_id = $bad), "$how: the job is quarantined", expected => 'quarantined');
	settled($node, "$how: all others end");
	is(sql($node, qq(SELECT string_agg(format('%s %s %s', attempt, outcome, error_type), ', ' ORDER BY attempt) FROM taskq.attempts WHERE job_id = $bad)),
		'1 crashed worker_crash, 2 crashed worker_crash', "$how: both its attempts are recorded");
	is(sql($node, qq(SELECT attempt, last_error FROM taskq.all_jobs WHERE job_id = $bad)), q(2|the worker's process crashed), "$how: and what happened");
	is(sql($node, qq(SELECT count(*), count(*) FILTER (WHERE state = 'completed' AND attempt = 1) FROM taskq.all_jobs WHERE job_id >= $first AND job_id <> $bad)),
		'1000|1000', "$how: the others have completed in their first attempt");
	is(sql($node, qq(SELECT count(*), count(DISTINCT job_id) FROM app.ledger WHERE job_id >= $first)), '1000|1000', "$how: each exactly once");
	is(restarts($offset), 2, "$how: the server has restarted twice");
	is(sql($node, 'SELECT paused FROM taskq.pools'), 'f', "$how: the pool runs");
}

# run again alone -----------------------------------------------------------

later(11);
sql_as($node, 'postgres', 'app', <<'SQL');
CREATE TABLE app.spans (job_id bigint, began timestamptz, ended timestamptz);
CREATE TABLE app.told (at timestamptz);
CREATE FUNCTION app.timed(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	began timestamptz := clock_timestamp();
	job taskq.job := taskq.current_job();
BEGIN
	IF payload ? 'how' AND job.attempt = 1 THEN
		PERFORM app.misbehave(payload->>'how', 0);
	END IF;
	WHILE payload ? 'until_told' AND NOT EXISTS (SELECT FROM app.told) LOOP
		PERFORM pg_sleep(0.01);
	END LOOP;
	PERFORM pg_sleep((payload->>'sleep')::float8);
	INSERT INTO app.spans VALUES (job.job_id, began, clock_timestamp());
	RETURN payload;
END $$;
SQL
add_type($node, 'postgres', 'app', 'timed');
my $job = enqueue_crashing($node, q(SELECT min(job) FILTER (WHERE n = 20) FROM (
	SELECT n, taskq.enqueue_job('timed', CASE n WHEN 20 THEN '{"how": "kill", "sleep": 0.3}'::jsonb ELSE '{"sleep": 0.002}' END) AS job
	FROM generate_series(1, 200) n) x));
settled($node, 'a job that crashes once and 199 others end');
is(sql($node, qq(SELECT state, attempt FROM taskq.all_jobs WHERE job_id = $job)), 'completed|2', 'the job that has crashed once completes when it is run again');
is(sql($node, qq(SELECT count(*) FROM app.spans s JOIN app.spans o ON o.job_id <> s.job_id AND o.began < s.ended AND s.began < o.ended WHERE s.job_id = $job)), 0,
	'it runs alone');
is(sql($node, 'SELECT count(*) FROM app.spans'), 200, 'all jobs have run');

later(11);
$job = enqueue_crashing($node, q(SELECT taskq.enqueue_job('timed', '{"how": "kill", "sleep": 0, "until_told": true}')));
wait_until($node, "SELECT count(*) = 1 FROM taskq.running_jobs() WHERE job_id = $job", 'another job that has crashed once runs again');
my $waits = sql($node, q(SELECT taskq.enqueue_job('work')));
my $alone = 'other jobs wait while one that may have crashed the server is tried alone';
is(sql($node, "SELECT reason FROM taskq.describe_job($waits)"), $alone, 'describe_job() says why other jobs wait meanwhile');
is(sql($node, q(SELECT DISTINCT e.reason FROM taskq.workers w, taskq.explain_claim(w.worker_id) e WHERE w.kind = 'background' AND e.task_type = 'work')), $alone, 'so does explain_claim()');
is(sql($node, q(SELECT count(*) FROM taskq.unroutable_jobs)), 0, 'the jobs have a worker');
sql($node, q(INSERT INTO app.told VALUES (now())));
settled($node, 'both jobs end');

# out of attempts, and retried ----------------------------------------------

later(11);
sql($node, q(SELECT taskq.alter_queue('default', events => true)));
$job = enqueue_crashing($node, q(SELECT taskq.enqueue_job('timed', '{"how": "abort", "sleep": 0}', max_attempts => 1)));
wait_until($node, qq(SELECT state FROM taskq.all_jobs WHERE job_id = $job), 'a job with one attempt is quarantined by one crash', expected => 'quarantined');
is(sql($node, qq(SELECT string_agg(concat_ws(' ', event, attempt, error_type), ', ' ORDER BY event_id) FROM taskq.read_events(job_id => $job))),
	'enqueued 0, crashed 1 worker_crash, quarantined 1 worker_crash', 'its events show the crash');
sql($node, q(SELECT taskq.alter_queue('default', events => false)));
my $bad = enqueue_crashing($node, q(SELECT taskq.enqueue_job('bad', '{"how": "null"}', max_attempts => 1)));
wait_until($node, qq(SELECT state FROM taskq.all_jobs WHERE job_id = $bad), 'and another', expected => 'quarantined');
sql($node, q(CREATE FUNCTION app.mended(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT $1 $$));
add_type($node, 'postgres', 'app', 'bad', 'mended', 'allow_override => true');
is(sql($node, qq(SELECT taskq.retry_job($bad))), 't', 'the quarantined job is put back when its handler is repaired');
wait_until($node, qq(SELECT state, attempt FROM taskq.all_jobs WHERE job_id = $bad), 'and completes', expected => 'completed|1');
add_type($node, 'postgres', 'app', 'bad', 'bad', 'allow_override => true');

# nobody's fault ------------------------------------------------------------

later(11);
my $offset = log_since($node);
my $gate = hold_gate($node, 1);
my $first = sql($node, q(SELECT min(taskq.enqueue_job('gated', '{"gate": 1}')) FROM generate_series(1, 6)));
wait_until($node, 'SELECT count(*) = 4 FROM taskq.running_jobs()', 'four jobs run before the crash of another process');
my $victim = session($node);
crash($node, $victim->query_safe('SELECT pg_backend_pid()'));
eval { $_->quit } for $gate, $victim;
settled($node, 'the four jobs end after the crash of another process');
is(sql($node, qq(SELECT count(*), bool_and(state = 'completed' AND attempt = 1) FROM taskq.all_jobs WHERE job_id >= $first)), '6|t', 'they complete in their first attempt');
unlike(slurp_file($node->logfile, $offset), qr/WARNING|may have crashed/, 'no job is blamed for that crash');

$gate = hold_gate($node, 1);
$first = sql($node, q(SELECT min(taskq.enqueue_job('gated', '{"gate": 1}')) FROM generate_series(1, 4)));
wait_until($node, 'SELECT count(*) = 4 FROM taskq.running_jobs()', 'four jobs run before the postmaster is killed');
my $postmaster = $node->{_pid};
$node->kill9;
eval { $gate->quit };
# its process may still be visible for a moment
wait_for(sub { return !kill 0, $postmaster }) or die 'the postmaster does not end';
$node->start;
settled($node, 'the four jobs end after the postmaster was killed');
is(sql($node, qq(SELECT count(*), bool_and(state = 'completed' AND attempt = 1) FROM taskq.all_jobs WHERE job_id >= $first)), '4|t', 'they complete in their first attempt, too');
unlike(slurp_file($node->logfile, $offset), qr/WARNING:  [^t]|may have crashed/, 'no job is blamed for the end of the postmaster');

# two jobs that do not notice that they must quit: each of them may have caused the
# crash
$offset = log_since($node);
$gate = hold_gate($node, 1);
$first = sql($node, q(SELECT min(taskq.enqueue_job('gated', '{"gate": 1}')) FROM generate_series(1, 2)));
sql($node, q(SELECT taskq.enqueue_job('work') FROM generate_series(1, 50)));
wait_until($node, q(SELECT (SELECT count(*) FROM taskq.running_jobs()) = 2 AND (SELECT count(*) FROM taskq.jobs) = 2), 'two jobs run before a crash that they do not notice');
kill 'STOP', split /\n/, sql($node, 'SELECT pid FROM taskq.running_jobs()');
$victim = session($node);
crash($node, $victim->query_safe('SELECT pg_backend_pid()'));
eval { $_->quit } for $gate, $victim;
settled($node, 'the two jobs end');
is(sql($node, qq(SELECT count(*) FROM taskq.all_jobs WHERE job_id >= $first AND state = 'completed' AND attempt = 1)), 52, 'the two jobs lose no attempt');
is(scalar(() = slurp_file($node->logfile, $offset) =~ /may have crashed the server, and is run again/g), 2, 'both jobs were suspects');

# three crashes -------------------------------------------------------------

later(11);
$offset = log_since($node);
for my $n (1 .. 3)
{
	$bad = enqueue_crashing($node, q(SELECT taskq.enqueue_job('bad', '{"how": "abort"}', max_attempts => 1)));
	wait_until($node, qq(SELECT state FROM taskq.all_jobs WHERE job_id = $bad), "crash $n", expected => 'quarantined');
}
my $reason = 'its workers crashed the server 3 times within 10 minutes';
is(sql($node, 'SELECT paused, paused_because FROM taskq.pools'), "t|$reason", 'three crashes within ten minutes pause the pool');
is(scalar(() = slurp_file($node->logfile, $offset) =~ /taskq pool "app" is paused because its workers crashed the server 3 times/g), 1, 'the pause is logged once');
is(sql($node, q(SELECT value FROM taskq.status() WHERE name = 'paused pool')), 'app: its workers crashed the server', 'status() shows the pause');
$job = sql($node, q(SELECT taskq.enqueue_job('work')));
is(sql($node, qq(SELECT reason FROM taskq.unroutable_jobs)), 'pool paused', 'unroutable_jobs shows that jobs wait for the paused pool');
$node->restart;
is(sql($node, 'SELECT paused, paused_because FROM taskq.pools'), "t|$reason", 'the pool is still paused after a restart');
is(sql($node, qq(SELECT state FROM taskq.all_jobs WHERE job_id = $job)), 'available', 'its jobs still wait');
is(sql($node, q(SELECT taskq.resume_pool('app'))), 't', 'resume_pool() returns true');
settled($node, 'the waiting jobs run');
is(sql($node, 'SELECT paused, paused_because FROM taskq.pools'), 'f|', 'the reason of the pause is removed');
$bad = enqueue_crashing($node, q(SELECT taskq.enqueue_job('bad', '{"how": "abort"}', max_attempts => 1)));
wait_until($node, qq(SELECT state FROM taskq.all_jobs WHERE job_id = $bad), 'the next crash', expected => 'quarantined');
is(sql($node, 'SELECT paused FROM taskq.pools'), 'f', 'a later crash does not pause the pool at once');

# how soon a job is free again ----------------------------------------------

for my $signal ('KILL', 'TERM')
{
	later(11);
	$gate = hold_gate($node, 1);
	$job = sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}')));
	wait_until($node, 'SELECT count(*) = 1 FROM taskq.running_jobs()', "$signal: a job runs");
	my $at = Time::HiRes::time();
	my $pid = sql($node, 'SELECT pid FROM taskq.running_jobs()');
	$signal eq 'KILL' ? crash($node, $pid) : kill $signal, $pid;
	wait_until($node, qq(SELECT count(*) = 1 FROM taskq.attempts WHERE job_id = $job AND outcome IN ('crashed', 'terminated')), "$signal: the attempt is recorded");
	$signal eq 'KILL' ? settled($node, "$signal: it has run again") :
		wait_until($node, qq(SELECT attempt = 2 FROM taskq.running_jobs()), "$signal: it runs again");
	my $started = sql($node, qq(SELECT extract(epoch FROM started_at) - $clock / 1000 FROM taskq.all_jobs WHERE job_id = $job));
	diag(sprintf('SIG%s to restart of the job: %.0f ms', $signal, ($started - $at) * 1000));
	eval { open_gate($gate) };
	settled($node, "$signal: it ends");
}

$node->stop;
clean_log($node, but => qr/was terminated by signal|PANIC:  panic on purpose|CONTEXT:/);
done_testing();
