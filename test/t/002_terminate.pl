# SIGTERM and SIGINT to each of taskq's processes: nothing is lost, ended processes
# are started again, and the server does not restart.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('terminate');
add_type($node, 'postgres', 'app', 'work');
add_type($node, 'postgres', 'app', 'gated', undef, "retry_policy => 'fixed', retry_base => '1 h'");
add_type($node, 'postgres', 'app', 'quick_retry', 'work', "retry_policy => 'fixed', retry_base => '1 ms', max_attempts => 1000");
my $start_time = sql($node, 'SELECT pg_postmaster_start_time()');
my ($launcher, $scheduler) = (pid_of($node, 'launcher'), pid_of($node, 'scheduler'));

# launcher and scheduler ----------------------------------------------------

sql($node, "SELECT pg_terminate_backend($launcher)");
wait_until($node, "SELECT count(*) = 1 AND min(pid) <> $launcher FROM pg_stat_activity WHERE backend_type = 'taskq launcher'",
	'the launcher is restarted');
is(pid_of($node, 'scheduler'), $scheduler, 'the scheduler is the same');
sql($node, 'CREATE DATABASE second');
install($node, 'second');
wait_until($node, q(SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler'),
	'the new launcher starts the scheduler of another database');

$launcher = pid_of($node, 'launcher');
kill 'TERM', $scheduler;
wait_until($node, "SELECT count(*) = 1 AND min(pid) <> $scheduler FROM pg_stat_activity WHERE backend_type = 'taskq scheduler' AND datname = 'postgres'",
	'the scheduler is restarted');
is(pid_of($node, 'launcher'), $launcher, 'the same launcher has restarted it');

my $gate = hold_gate($node, 1);
my $job = sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}')));
wait_until($node, qq(SELECT state = 'running' FROM taskq.all_jobs WHERE job_id = $job), 'a job runs while launcher and scheduler are terminated');
$scheduler = pid_of($node, 'scheduler', db => 'postgres');
sql($node, qq(SELECT pg_terminate_backend($launcher); SELECT pg_terminate_backend($scheduler)));
wait_until($node, "SELECT count(*) = 1 AND min(pid) <> $scheduler FROM pg_stat_activity WHERE backend_type = 'taskq scheduler' AND datname = 'postgres'",
	'the scheduler is restarted after launcher and scheduler were terminated together');
wait_until($node, "SELECT count(*) = 1 AND min(pid) <> $launcher FROM pg_stat_activity WHERE backend_type = 'taskq launcher'",
	'the launcher is restarted, too');
is(sql($node, qq(SELECT state, attempt FROM taskq.all_jobs WHERE job_id = $job)), 'running|1', 'the job is still running');
is(sql($node, 'SELECT workers, busy FROM taskq.pools'), '1|1', 'the new scheduler has started no second worker for it');
open_gate($gate);
settled($node, 'the job completes');
is(sql($node, qq(SELECT count(*) FROM taskq.attempts WHERE job_id = $job)), 1, 'the job has one attempt');

# an idle worker ------------------------------------------------------------

wait_until($node, q(SELECT state FROM taskq.workers), 'a worker is idle', expected => 'idle');
my $worker = pid_of($node, 'worker');
sql($node, "SELECT pg_terminate_backend($worker)");
wait_until($node, "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $worker", 'an idle worker is terminated');
wait_until($node, 'SELECT count(*) = 0 FROM taskq.workers', 'taskq.workers does not show the terminated worker');
$job = sql($node, q(SELECT taskq.enqueue_job('work')));
settled($node, 'the next job runs');
is(sql($node, qq(SELECT state, attempt FROM taskq.all_jobs WHERE job_id = $job)), 'completed|1', 'the next job completes in its first attempt');

sql($node, q(SELECT taskq.alter_pool('app', min_size => 2)));
wait_until($node, q(SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'taskq worker'), 'the pool keeps two workers');
my $pids = join ',', pids_of($node, 'worker');
sql($node, "SELECT pg_terminate_backend(pid) FROM unnest('{$pids}'::int[]) pid");
wait_until($node, "SELECT count(*) = 2 AND bool_and(pid NOT IN ($pids)) FROM pg_stat_activity WHERE backend_type = 'taskq worker'",
	'two new workers replace the terminated ones');
sql($node, q(SELECT taskq.alter_pool('app', min_size => 0)));

# a worker in the middle of a job -------------------------------------------

$gate = hold_gate($node, 1);
$job = sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}')));
wait_until($node, qq(SELECT state = 'running' FROM taskq.all_jobs WHERE job_id = $job), 'a job runs in a worker that will be terminated');
($worker, my $epoch, my $worker_id) = split /\|/, sql($node, qq(SELECT pid, epoch, worker_id FROM taskq.running_jobs() WHERE job_id = $job));
kill 'TERM', $worker;
wait_until($node, qq(SELECT state = 'running' AND attempt = 2 FROM taskq.all_jobs WHERE job_id = $job),
	'after the first termination, the job runs again without its retry delay of an hour');
is(sql($node, qq(SELECT attempt, epoch, worker_id, outcome, error_type, started_at IS NOT NULL, finished_at >= started_at
	FROM taskq.attempts WHERE job_id = $job)), "1|$epoch|$worker_id|terminated|terminated|t|t", 'the attempt is recorded as terminated');
is(sql($node, qq(SELECT epoch > $epoch, worker_id <> '$worker_id' FROM taskq.running_jobs() WHERE job_id = $job)), 't|t',
	'the next run has another epoch and another worker');
is(sql($node, qq(SELECT count(*) FROM app.ledger WHERE job_id = $job)), 0, 'the writes of the handler were rolled back');
$worker = sql($node, qq(SELECT pid FROM taskq.running_jobs() WHERE job_id = $job));
sql($node, "SELECT pg_terminate_backend($worker)");
wait_until($node, qq(SELECT state = 'retryable' AND attempt = 2 FROM taskq.all_jobs WHERE job_id = $job), 'after the second termination, the job waits');
is(sql($node, qq(SELECT j.run_at > a.finished_at + interval '30 min', j.run_at < a.finished_at + interval '90 min'
	FROM taskq.all_jobs j JOIN taskq.attempts a USING (job_id, attempt) WHERE job_id = $job)), 't|t', 'it waits for its retry delay');
is(sql($node, qq(SELECT string_agg(attempt || ' ' || outcome, ', ' ORDER BY attempt) FROM taskq.attempts WHERE job_id = $job)),
	'1 terminated, 2 terminated', 'both attempts count');
open_gate($gate);
is(sql($node, qq(SELECT taskq.retry_job($job))), 't', 'retry_job() returns true');
settled($node, 'the retried job completes');
is(sql($node, qq(SELECT state, attempt, (SELECT count(*) FROM app.ledger l WHERE l.job_id = j.job_id) FROM taskq.all_jobs j WHERE job_id = $job)),
	'completed|3|1', 'it completes in its third attempt, and its effect happened once');

$gate = hold_gate($node, 1);
$job = sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}', max_attempts => 1)));
wait_until($node, qq(SELECT state = 'running' FROM taskq.all_jobs WHERE job_id = $job), 'a job with one attempt runs');
sql($node, qq(SELECT pg_terminate_backend(pid) FROM taskq.running_jobs()));
wait_until($node, qq(SELECT state FROM taskq.all_jobs WHERE job_id = $job), 'terminated, it is out of attempts', expected => 'discarded');
is(sql($node, qq(SELECT attempt, outcome FROM taskq.attempts WHERE job_id = $job)), '1|terminated', 'taskq.attempts shows the termination');
open_gate($gate);

# no scheduler is running that could record it at once
$gate = hold_gate($node, 1);
$job = sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}')));
wait_until($node, qq(SELECT state = 'running' FROM taskq.all_jobs WHERE job_id = $job), 'a job runs when all processes are terminated');
sql($node, q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type IN ('taskq scheduler', 'taskq launcher', 'taskq worker')));
wait_until($node, qq(SELECT state = 'running' AND attempt = 2 FROM taskq.all_jobs WHERE job_id = $job),
	'all processes are restarted after they were terminated together, and the job runs again');
is(sql($node, qq(SELECT string_agg(attempt || ' ' || outcome, ', ') FROM taskq.attempts WHERE job_id = $job)), '1 terminated', 'the attempt of the job is recorded');
open_gate($gate);
settled($node, 'the job completes after that');

# SIGINT --------------------------------------------------------------------

$gate = hold_gate($node, 1);
$job = sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}')));
wait_until($node, qq(SELECT state = 'running' FROM taskq.all_jobs WHERE job_id = $job), 'a job runs in a worker that will be interrupted');
($worker, $epoch) = split /\|/, sql($node, qq(SELECT pid, epoch FROM taskq.running_jobs() WHERE job_id = $job));
my $interrupted_at = sql($node, 'SELECT clock_timestamp()');
sql($node, "SELECT pg_cancel_backend($worker)");
wait_until($node, qq(SELECT state = 'running' AND epoch > $epoch FROM taskq.all_jobs WHERE job_id = $job),
	'a job that was interrupted without a request runs again');
is(sql($node, qq(SELECT run_at >= timestamptz '$interrupted_at' + interval '1 s' FROM taskq.all_jobs WHERE job_id = $job)), 't', 'it runs again after a pause, because a handler may interrupt itself');
is(sql($node, qq(SELECT attempt, (SELECT count(*) FROM taskq.attempts a WHERE a.job_id = j.job_id) FROM taskq.all_jobs j WHERE job_id = $job)),
	'1|0', 'the interrupt does not count as an attempt');
is(sql($node, qq(SELECT pid FROM taskq.stat_workers WHERE pid = $worker)), $worker, 'the worker has survived the interrupt');
($launcher, $scheduler) = (pid_of($node, 'launcher'), pid_of($node, 'scheduler', db => 'postgres'));
sql($node, "SELECT pg_cancel_backend($launcher), pg_cancel_backend($scheduler)");
open_gate($gate);
settled($node, 'the interrupted job completes');
sql($node, q(SELECT taskq.enqueue_job('work')));
settled($node, 'the job after it completes');
ok(pid_of($node, 'launcher') && pid_of($node, 'scheduler', db => 'postgres'), 'launcher and scheduler have survived an interrupt');

# under load ----------------------------------------------------------------

my $first = 1 + sql($node, 'SELECT max(job_id) FROM taskq.all_jobs');
for my $round (1 .. 40)
{
	my $whom = $round % 4 == 3 ? "backend_type = 'taskq scheduler'" : "backend_type = 'taskq worker'";
	sql($node, qq(SELECT count(taskq.enqueue_job('quick_retry', jsonb_build_object('load', n))) FROM generate_series(1, 50) n));
	sql($node, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE $whom ORDER BY random() LIMIT 2");
}
settled($node, 'under load, all jobs end');
is(sql($node, qq(SELECT count(*), count(*) FILTER (WHERE state = 'completed') FROM taskq.all_jobs WHERE job_id >= $first)), '2000|2000', 'under load, all jobs complete');
is(sql($node, q(SELECT count(*), count(DISTINCT job_id) FROM app.ledger WHERE payload ? 'load')), '2000|2000', 'under load, each job has run exactly once');
is(sql($node, qq(SELECT count(*) FROM taskq.all_jobs j WHERE job_id >= $first
	AND attempt <> (SELECT count(*) FROM taskq.attempts a WHERE a.job_id = j.job_id))), 0, 'under load, each attempt is recorded');
is(sql($node, qq(SELECT string_agg(DISTINCT outcome, ', ' ORDER BY outcome) FROM taskq.attempts WHERE job_id >= $first AND outcome <> 'completed')),
	sql($node, qq(SELECT CASE WHEN EXISTS (SELECT FROM taskq.attempts WHERE job_id >= $first AND outcome <> 'completed') THEN 'terminated' END)),
	'under load, the other attempts were terminated');

is(sql($node, 'SELECT pg_postmaster_start_time()'), $start_time, 'the server has not been restarted');
$node->stop;
clean_log($node);
unlike(slurp_file($node->logfile), qr/reinitializing/, 'the server has not restarted itself');

# many at once ----------------------------------------------------------------

my $crowd = new_node('crowd', conf => { max_worker_processes => 80, max_connections => 60, 'taskq.worker_idle' => "'1 h'" });
add_type($crowd, 'postgres', 'app', 'gated', undef, 'max_attempts => 1');
sql_as($crowd, 'postgres', 'app', q(SELECT taskq.alter_pool('app', size => 70)));
$gate = hold_gate($crowd, 1);
sql($crowd, q(SELECT count(taskq.enqueue_job('gated', '{"gate": 1}')) FROM generate_series(1, 70)));
wait_until($crowd, 'SELECT count(*) = 70 FROM taskq.running_jobs()', 'seventy jobs run');
$scheduler = pid_of($crowd, 'scheduler');
kill 'STOP', $scheduler;
sql($crowd, q(SELECT pg_terminate_backend(pid) FROM taskq.running_jobs()));
wait_until($crowd, q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'taskq worker'), 'all seventy workers are terminated before the scheduler looks');
kill 'CONT', $scheduler;
wait_until($crowd, 'SELECT count(*) = 0 FROM taskq.jobs', 'all terminated jobs are settled');
is(sql($crowd, q(SELECT outcome, count(*) FROM taskq.attempts GROUP BY outcome)), 'terminated|70', 'each of them is recorded as terminated');
open_gate($gate);
$crowd->stop;
clean_log($crowd);
done_testing();
