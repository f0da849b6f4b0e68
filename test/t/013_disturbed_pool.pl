# Jobs are enqueued all the time while the pool is disturbed in one way after the
# other. The poll interval is an hour, and workers leave after a moment without a
# job, so a lost wake-up leaves a job behind.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('disturbed_pool', conf => { 'taskq.poll_interval' => "'1 h'", 'taskq.worker_idle' => "'100ms'" });
add_type($node, 'postgres', 'app', 'work', undef, "retry_policy => 'fixed', retry_base => '1 ms', max_attempts => 1000");
add_type($node, 'postgres', 'app', 'later', 'work', "retry_policy => 'fixed', retry_base => '1 ms', max_attempts => 1000");

my $script = $node->basedir . '/enqueue.sql';
append_to_file($script, q(
SELECT taskq.enqueue_job('work');
\set pause random(1, 20)
\sleep :pause ms
SELECT taskq.enqueue_job('later', delay => '5 ms');
\set pause random(1, 150)
\sleep :pause ms
));

my $end = sub { qq(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq $_[0]' ORDER BY random() LIMIT 1) };
my @unrest = (
	[ 'nothing', 'SELECT 1', 1 ],
	[ 'DROP EXTENSION rolled back', 'BEGIN; DROP EXTENSION taskq; ROLLBACK', 5 ],
	[ 'workers ended', $end->('worker'), 10 ],
	[ 'the scheduler ended', $end->('scheduler'), 1 ],
	[ 'the launcher ended', $end->('launcher'), 2 ],
	[ 'workers interrupted', q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq worker'), 10 ],
	[ 'the pool paused', q(SELECT taskq.pause_pool('app'); SELECT taskq.resume_pool('app')), 10 ],
	[ 'the pool resized', q(SELECT taskq.alter_pool('app', size => 1); SELECT taskq.alter_pool('app', size => 4)), 10 ],
	[ 'the queue paused', q(SELECT taskq.pause_queue('default'); SELECT taskq.resume_queue('default')), 10 ],
	[ 'a handler paused', q(SELECT taskq.pause_handler('work'); SELECT taskq.resume_handler('work')), 10 ],
	[ 'a handler registered anew', q(SET ROLE app; SELECT taskq.register_handler('work', 'app.work(jsonb)', allow_override => true)), 10 ],
	[ 'workers drained', q(SELECT taskq.drain_worker(worker_id) FROM taskq.workers LIMIT 1), 5 ],
);

for my $round (1 .. 2)
{
	for (@unrest)
	{
		my ($what, $statement, $times) = @$_;
		my ($out, $err) = ('', '');
		my $bench = IPC::Run::start [ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', 3, '-t', 8, '-f', $script, 'postgres' ], '>', \$out, '2>', \$err;
		# the worker may have left before it is drained
		$node->psql('postgres', $statement) for 1 .. $times;
		$bench->finish;
		unlike($err, qr/ERROR|FATAL/, "$what: no enqueue fails");
		settled($node, "$what: no job is left behind") or last;
	}
}
is(sql($node, q(SELECT count(*), count(*) FILTER (WHERE state = 'completed') FROM taskq.all_jobs)), join('|', (2 * @unrest * 3 * 8 * 2) x 2), 'all jobs are completed');
is(sql($node, q(SELECT count(*), count(DISTINCT job_id) FROM app.ledger)), join('|', (2 * @unrest * 3 * 8 * 2) x 2), 'each exactly once');

# Work of the scheduler that finds a table locked does not delay its other work. A
# new scheduler maintains the history at once.
my $offset = log_since($node);
my $locker = session($node);
$locker->query_safe('BEGIN; LOCK TABLE taskq.job_history IN ACCESS EXCLUSIVE MODE');
sql($node, $end->('scheduler'));
wait_until($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler' AND wait_event_type = 'Lock'), 'the scheduler waits for a table that somebody has for himself');
my $due = sql($node, q(SELECT taskq.enqueue_job('later', delay => '10 ms')));
wait_until($node, qq(SELECT count(*) = 1 FROM taskq.running_jobs() WHERE job_id = $due), 'a job that becomes due meanwhile is started');
wait_for_log_line($node, qr/WARNING:.*taskq could not keep the history: canceling statement due to lock timeout/, $offset, 'the log says what waits');
$locker->quit;
settled($node, 'and ends');
$locker = session($node);
$locker->query_safe('BEGIN; LOCK TABLE taskq.jobs IN ACCESS EXCLUSIVE MODE');
is(sql($node, q(SELECT value FROM taskq.status() WHERE name = 'waiting jobs')), 'not counted', 'status() does not wait for a table that somebody has for himself');
$locker->quit;
is(sql($node, q(SELECT count(*) FROM taskq.status() WHERE name = 'waiting jobs')), 0, 'and counts what waits when it can');

$node->stop;
clean_log($node);
done_testing();
