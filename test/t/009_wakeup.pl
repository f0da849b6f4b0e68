# Everything is woken when it is due. The poll interval is an hour, so whatever
# starts in this test was woken.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('wakeup', conf => { 'taskq.poll_interval' => "'1 h'", 'taskq.max_wait' => "'1 h'", 'taskq.worker_idle' => "'1 h'" });
add_type($node, 'postgres', 'app', 'work');
add_type($node, 'postgres', 'app', 'failing', 'broken', "retry_policy => 'fixed', retry_base => '1 s', max_attempts => 2");
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler(t) FROM unnest(ARRAY['outside', 'elsewhere']) AS t));
sql($node, q(SELECT taskq.register_worker(w) FROM unnest('{many,other,w,clear}'::text[]) AS w));
is(sql($node, 'SHOW taskq.poll_interval'), '1h', 'the poll interval is an hour');

# the pool ------------------------------------------------------------------

sql($node, q(SELECT taskq.enqueue_job('work')));
settled($node, 'an enqueue starts the first worker');
sql($node, q(SELECT taskq.enqueue_job('work')));
settled($node, 'and wakes an idle one');
for my $n (1 .. 50)
{
	sql($node, q(SELECT taskq.enqueue_job('work')));
}
settled($node, 'again and again');
sql($node, q(BEGIN; SAVEPOINT a; SELECT taskq.enqueue_job('work'); RELEASE a; SAVEPOINT b; SELECT taskq.enqueue_job('work'); ROLLBACK TO b; COMMIT));
settled($node, 'from a savepoint');
sql($node, q(DO $$ BEGIN FOR i IN 1 .. 20 LOOP PERFORM taskq.enqueue_job('work'); COMMIT; END LOOP; END $$));
settled($node, 'from a procedure that commits');
sql($node, q(SELECT count(*) FROM taskq.enqueue_jobs('work', array_fill('{}'::jsonb, ARRAY[1000]))));
settled($node, 'a thousand at once');

my $s = session($node);
$s->query_safe(q(BEGIN; SELECT taskq.enqueue_job('work', '{"open": true}')));
sql($node, q(SELECT taskq.enqueue_job('work')));
settled($node, 'beside a transaction that has enqueued and is open');
$s->query_safe('COMMIT');
$s->quit;
settled($node, 'and its job when it commits, with a lower id than others that have run');

# due moments ---------------------------------------------------------------

sql($node, q(SELECT taskq.enqueue_job('work', jsonb_build_object('due', n), delay => make_interval(secs => n * 0.3)) FROM generate_series(5, 1, -1) n));
sql($node, q(SELECT taskq.enqueue_job('work', '{"due": "no"}', delay => '1 d')));
wait_until($node, q(SELECT count(*) = 5 FROM taskq.all_jobs WHERE payload ? 'due' AND state = 'completed'), 'jobs that lay ahead have run');
is(sql($node, q(SELECT bool_and(started_at >= run_at) FROM taskq.all_jobs WHERE payload ? 'due' AND state = 'completed')), 't', 'not before they were due');
is(sql($node, q(SELECT state FROM taskq.all_jobs WHERE payload->>'due' = 'no')), 'scheduled', 'what is not due has not');

# a job becomes due while no worker is running
sql($node, q(SELECT taskq.enqueue_job('work', '{"due": "alone"}', delay => '1 s'); SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq worker'));
wait_until($node, q(SELECT state = 'completed' AND started_at >= run_at FROM taskq.all_jobs WHERE payload->>'due' = 'alone'), 'a due moment starts a worker');

# a new scheduler knows the due moments, too
sql($node, q(SELECT taskq.enqueue_job('work', '{"due": "new"}', delay => '2 s'); SELECT pg_terminate_backend(taskq.scheduler_pid())));
wait_until($node, q(SELECT state = 'completed' AND started_at >= run_at FROM taskq.all_jobs WHERE payload->>'due' = 'new'), 'so does one from before the scheduler began');

# retries
my $job = sql($node, q(SELECT taskq.enqueue_job('failing')));
wait_until($node, qq(SELECT state = 'discarded' FROM taskq.all_jobs WHERE job_id = $job), 'a retry runs when it is due');
is(sql($node, qq(SELECT count(*), bool_and(started_at >= before + interval '0.7 s') FILTER (WHERE attempt = 2)
	FROM (SELECT *, lag(finished_at) OVER (ORDER BY attempt) AS before FROM taskq.attempts WHERE job_id = $job) x)), '2|t', 'and not before');
$job = sql($node, q(SELECT taskq.enqueue_job('work', delay => '1 d')));
is(sql($node, qq(SELECT taskq.retry_job($job))), 't', 'a job that lies ahead is made available by hand');
wait_until($node, qq(SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = $job), 'and runs');

# leases
$job = sql($node, q(SELECT taskq.enqueue_job('outside')));
sql($node, q(SELECT taskq.claim_job('w', lease => '1 s')));
wait_until($node, qq(SELECT count(*) = 1 FROM taskq.attempts WHERE job_id = $job), 'a lease ends when it is over');
is(sql($node, qq(SELECT outcome, finished_at >= started_at + interval '1 s' FROM taskq.attempts WHERE job_id = $job)), 'expired|t', 'and not before');
sql($node, qq(SELECT taskq.cancel_job($job)));

# changes of the configuration -----------------------------------------------

sql($node, q(SELECT taskq.enqueue_job('late', '{"n": 1}')));
add_type($node, 'postgres', 'app', 'late', 'work');
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE task_type = 'late'), 'registering a handler wakes the pool for jobs that wait');
sql($node, q(SELECT taskq.pause_queue('default'); SELECT taskq.enqueue_job('late', '{"n": 2}')));
is(sql($node, q(SELECT state FROM taskq.all_jobs WHERE payload->>'n' = '2')), 'available', 'a paused queue');
sql($node, q(SELECT taskq.resume_queue('default')));
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload->>'n' = '2'), 'resuming it wakes the pool');
sql($node, q(SELECT taskq.pause_handler('late'); SELECT taskq.enqueue_job('late', '{"n": 3}')));
is(sql($node, q(SELECT state FROM taskq.all_jobs WHERE payload->>'n' = '3')), 'available', 'a paused handler');
sql($node, q(SELECT taskq.resume_handler('late')));
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload->>'n' = '3'), 'resuming it does, too');

# a waiting claim -----------------------------------------------------------

my $waiting = q(SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%taskq.claim_job%' AND pid <> pg_backend_pid() AND wait_event_type = 'Extension' AND state = 'active');
my $claimer = session($node);
my $pid = $claimer->query_safe('SELECT pg_backend_pid()');
my $claim = sub {
	my ($sql) = @_;
	$claimer->query_until(qr/claiming/, "\\echo claiming\n$sql\n\\echo claimed\n");
	return;
};
my $result = sub { my $out = $claimer->query_until(qr/claimed/, ''); $out =~ s/\s*claimed\s*$//; $out =~ s/^\s+//; return $out };

$claim->(q(SELECT task_type, attempt FROM taskq.claim_job('w', wait => '1 h');));
wait_until($node, $waiting, 'a claim waits');
is(sql($node, qq(SELECT count(*) FROM pg_locks WHERE pid = $pid AND locktype IN ('relation', 'advisory', 'userlock') AND relation IS DISTINCT FROM NULL
	AND relation::regclass::text LIKE 'taskq.%')), 0, 'and holds no lock on a table meanwhile');
sql($node, q(SELECT taskq.enqueue_job('work')));
my $other = session($node);
$other->query_safe(q(BEGIN; SELECT taskq.enqueue_job('outside')));
is(sql($node, $waiting), 't', 'an enqueue that is not committed does not wake it');
$other->query_safe('ROLLBACK');
is(sql($node, $waiting), 't', 'nor one that is rolled back');
$other->query_safe(q(BEGIN; SELECT taskq.enqueue_job('outside'); COMMIT));
is($result->(), 'outside|1', 'a commit does');

$claim->(q(SELECT task_type FROM taskq.claim_job('w', wait => '1 h', task_types => '{elsewhere}');));
wait_until($node, $waiting, 'another waits for one type');
sql($node, q(SELECT taskq.enqueue_job('outside')));
sql($node, q(SELECT taskq.enqueue_job('elsewhere')));
is($result->(), 'elsewhere', 'and gets that');

sql($node, q(SELECT count(*) FROM taskq.claim_jobs('clear', 100)));
$claim->(q(SELECT task_type FROM taskq.claim_job('w', wait => '1 h');));
wait_until($node, $waiting, 'a claim waits');
my $found;
my $due = sql($node, q(SELECT taskq.enqueue_job('outside', delay => '1 s')));
is($result->(), 'outside', 'it gets a job that becomes due');
is(sql($node, qq(SELECT started_at >= run_at FROM taskq.all_jobs WHERE job_id = $due)), 't', 'not before');

$claim->(q(SELECT task_type FROM taskq.claim_job('w', wait => '1 h');));
wait_until($node, $waiting, 'a claim waits');
sql($node, qq(SELECT taskq.release_job(job_id, epoch) FROM taskq.all_jobs WHERE job_id = $due));
is($result->(), 'outside', 'it gets a job that somebody gives back');

# a look of the scheduler would wake it, too
my ($scheduler) = pids_of($node, 'scheduler');
kill 'STOP', $scheduler;
for my $undo ('ROLLBACK', 'ROLLBACK TO a')
{
	$found = sql($node, q(SELECT taskq.enqueue_job('outside')));
	$other->query_safe(q(BEGIN; SAVEPOINT a; SELECT * FROM taskq.claim_job('other')));
	# something else wakes it, too, but later
	$claim->(q(SELECT job_id, clock_timestamp() < statement_timestamp() + interval '4 s' FROM taskq.claim_job('w', wait => '20 s');));
	wait_until($node, $waiting, 'a claim waits');
	$other->query_safe($undo);
	is($result->(), "$found|t", "it gets a job whose claim is undone: $undo");
}
$other->query_safe('COMMIT');
kill 'CONT', $scheduler;

$claim->(q(SELECT task_type FROM taskq.claim_job('w', wait => '1 h');));
wait_until($node, $waiting, 'a claim waits');
sql($node, "SELECT pg_cancel_backend($pid)");
is($result->(), '', 'it can be cancelled');
like($claimer->{stderr}, qr/canceling statement due to user request/, 'and says so');
$claimer->{stderr} = '';
sql($node, q(SELECT taskq.enqueue_job('outside')));
is($claimer->query_safe(q(SELECT task_type FROM taskq.claim_job('w'))), 'outside', 'the session goes on');
$claim->(q(SET statement_timeout = '200ms'; SELECT task_type FROM taskq.claim_job('w', wait => '1 h');));
is($result->(), '', 'statement_timeout ends a wait');
like($claimer->{stderr}, qr/canceling statement due to statement timeout/, 'and says so');
$claimer->query('RESET statement_timeout');
$claimer->{stderr} = '';

# as many waiting sessions as jobs
my @waiters = map { session($node) } 1 .. 5;
$_->query_until(qr/claiming/, "\\echo claiming\nSELECT 'got ' || task_type FROM taskq.claim_job('many', wait => '1 h');\n\\echo claimed\n") for @waiters;
wait_until($node, $waiting =~ s/= 1/= 5/r, 'five wait');
sql($node, q(SELECT count(*) FROM taskq.enqueue_jobs('outside', array_fill('{}'::jsonb, ARRAY[3]))));
wait_until($node, $waiting =~ s/= 1/= 2/r, 'three jobs: three have got one and two wait');
is(sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE worker_id = 'many' AND state = 'running')), 3, 'says all_jobs');
sql($node, q(SELECT taskq.enqueue_job('outside') FROM generate_series(1, 2)));
like($_->query_until(qr/claimed/, ''), qr/got outside/, 'each gets one') for @waiters;
$_->quit for @waiters;

# the type is registered while the claim waits
$claim->(q(SELECT task_type FROM taskq.claim_job('w', wait => '1 h');));
wait_until($node, $waiting, 'a claim waits');
sql($node, q(SELECT taskq.enqueue_job('outside_too')));
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('outside_too')));
is($result->(), 'outside_too', 'registering a type wakes a waiting claim');

# wait_for_job --------------------------------------------------------------

$waiting = q(SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%taskq.wait_for_job%' AND pid <> pg_backend_pid() AND wait_event_type = 'Extension');
$claim->(q(CALL taskq.wait_for_job('w', '1 h');));
wait_until($node, $waiting, 'wait_for_job() waits');
is(sql($node, qq(SELECT backend_xmin IS NULL AND backend_xid IS NULL FROM pg_stat_activity WHERE pid = $pid)), 't', 'without a snapshot');
$found = sql($node, q(SELECT taskq.enqueue_job('outside')));
is($result->(), 't', 'until there is a job');
is($claimer->query_safe(q(SELECT job_id FROM taskq.claim_job('w'))), $found, 'which can be claimed then');
is($claimer->query_safe(q(CALL taskq.wait_for_job('w', '10 ms'))), 'f', 'or the time is over');
$claim->(q(CALL taskq.wait_for_job('w', '1 h');));
wait_until($node, $waiting, 'wait_for_job() waits');
sql($node, "SELECT pg_cancel_backend($pid)");
is($result->(), '', 'it can be cancelled');
like($claimer->{stderr}, qr/canceling statement due to user request/, 'and says so');
$claimer->{stderr} = '';
my ($out, $error) = $claimer->query(q(BEGIN; CALL taskq.wait_for_job('w', '1 h'); ROLLBACK));
like($claimer->{stderr}, qr/cannot run inside a transaction block/, 'it refuses a transaction block');
$claimer->{stderr} = '';
$claimer->quit;
$other->quit;

# jobs that bypass the wake-up ------------------------------------------------

sql($node, q(SELECT count(*) FROM taskq.claim_jobs('clear', 100)));
sql($node, q(BEGIN; SELECT taskq.enqueue_job('work', '{"two": "phases"}'); PREPARE TRANSACTION 'enqueue'));
is(sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE payload ? 'two')), 0, 'a prepared job is not there');
sql($node, q(COMMIT PREPARED 'enqueue'));
is(sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE payload ? 'two')), 1, 'until the transaction is committed');
$node->append_conf('postgresql.conf', "taskq.poll_interval = '200ms'");
$node->reload;
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload ? 'two'), 'the poll finds it');
sql($node, q(BEGIN; SELECT taskq.enqueue_job('work', '{"two": "again"}'); PREPARE TRANSACTION 'enqueue'));
sql($node, q(COMMIT PREPARED 'enqueue'));
wait_until($node, q(SELECT count(*) = 2 FROM taskq.all_jobs WHERE payload ? 'two' AND state = 'completed'), 'and the next');

is(sql($node, q(SELECT count(*) FROM app.ledger WHERE task_type <> 'failing')),
	sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE state = 'completed' AND task_type IN ('work', 'late'))),
	'each job was done once');
$node->stop;
clean_log($node);
done_testing();
