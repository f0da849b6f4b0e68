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
settled($node, 'an enqueue wakes an idle worker');
for my $n (1 .. 50)
{
	sql($node, q(SELECT taskq.enqueue_job('work')));
}
settled($node, 'enqueues wake workers repeatedly');
sql($node, q(BEGIN; SAVEPOINT a; SELECT taskq.enqueue_job('work'); RELEASE a; SAVEPOINT b; SELECT taskq.enqueue_job('work'); ROLLBACK TO b; COMMIT));
settled($node, 'an enqueue in a savepoint wakes a worker');
sql($node, q(DO $$ BEGIN FOR i IN 1 .. 20 LOOP PERFORM taskq.enqueue_job('work'); COMMIT; END LOOP; END $$));
settled($node, 'an enqueue in a procedure that commits wakes a worker');
sql($node, q(SELECT count(*) FROM taskq.enqueue_jobs('work', array_fill('{}'::jsonb, ARRAY[1000]))));
settled($node, 'a thousand jobs of one enqueue run');

my $s = session($node);
$s->query_safe(q(BEGIN; SELECT taskq.enqueue_job('work', '{"open": true}')));
sql($node, q(SELECT taskq.enqueue_job('work')));
settled($node, 'a job runs while another transaction that has enqueued is open');
$s->query_safe('COMMIT');
$s->quit;
settled($node, 'the job of that transaction runs after its commit, although its id is lower');

# due moments ---------------------------------------------------------------

sql($node, q(SELECT taskq.enqueue_job('work', jsonb_build_object('due', n), delay => make_interval(secs => n * 0.3)) FROM generate_series(5, 1, -1) n));
sql($node, q(SELECT taskq.enqueue_job('work', '{"due": "no"}', delay => '1 d')));
wait_until($node, q(SELECT count(*) = 5 FROM taskq.all_jobs WHERE payload ? 'due' AND state = 'completed'), 'jobs run when they become due');
is(sql($node, q(SELECT bool_and(started_at >= run_at) FROM taskq.all_jobs WHERE payload ? 'due' AND state = 'completed')), 't', 'no job runs before it is due');
is(sql($node, q(SELECT state FROM taskq.all_jobs WHERE payload->>'due' = 'no')), 'scheduled', 'a job that is not due has not run');

# a job becomes due while no worker is running
sql($node, q(SELECT taskq.enqueue_job('work', '{"due": "alone"}', delay => '1 s'); SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq worker'));
wait_until($node, q(SELECT state = 'completed' AND started_at >= run_at FROM taskq.all_jobs WHERE payload->>'due' = 'alone'), 'a due moment starts a worker');

# a new scheduler knows the due moments, too
sql($node, q(SELECT taskq.enqueue_job('work', '{"due": "new"}', delay => '2 s'); SELECT pg_terminate_backend(taskq.scheduler_pid())));
wait_until($node, q(SELECT state = 'completed' AND started_at >= run_at FROM taskq.all_jobs WHERE payload->>'due' = 'new'), 'a job from before the start of the scheduler starts a worker, too');

# retries
my $job = sql($node, q(SELECT taskq.enqueue_job('failing')));
wait_until($node, qq(SELECT state = 'discarded' FROM taskq.all_jobs WHERE job_id = $job), 'a retry runs when it is due');
is(sql($node, qq(SELECT count(*), bool_and(started_at >= before + interval '0.7 s') FILTER (WHERE attempt = 2)
	FROM (SELECT *, lag(finished_at) OVER (ORDER BY attempt) AS before FROM taskq.attempts WHERE job_id = $job) x)), '2|t', 'the retry does not run before it is due');
$job = sql($node, q(SELECT taskq.enqueue_job('work', delay => '1 d')));
is(sql($node, qq(SELECT taskq.retry_job($job))), 't', 'retry_job() of a future job returns true');
wait_until($node, qq(SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = $job), 'the retried job runs');

# leases
$job = sql($node, q(SELECT taskq.enqueue_job('outside')));
sql($node, q(SELECT taskq.claim_job('w', lease => '1 s')));
wait_until($node, qq(SELECT count(*) = 1 FROM taskq.attempts WHERE job_id = $job), 'a lease ends in time');
is(sql($node, qq(SELECT outcome, finished_at >= started_at + interval '1 s' FROM taskq.attempts WHERE job_id = $job)), 'expired|t', 'the lease does not end before its time');
sql($node, qq(SELECT taskq.cancel_job($job)));

# changes of the configuration -----------------------------------------------

sql($node, q(SELECT taskq.enqueue_job('late', '{"n": 1}')));
add_type($node, 'postgres', 'app', 'late', 'work');
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE task_type = 'late'), 'registering a handler wakes the pool for jobs that wait');
sql($node, q(SELECT taskq.pause_queue('default'); SELECT taskq.enqueue_job('late', '{"n": 2}')));
is(sql($node, q(SELECT state FROM taskq.all_jobs WHERE payload->>'n' = '2')), 'available', 'a job of a paused queue waits');
sql($node, q(SELECT taskq.resume_queue('default')));
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload->>'n' = '2'), 'resuming the queue wakes the pool');
sql($node, q(SELECT taskq.pause_handler('late'); SELECT taskq.enqueue_job('late', '{"n": 3}')));
is(sql($node, q(SELECT state FROM taskq.all_jobs WHERE payload->>'n' = '3')), 'available', 'a job of a paused type waits');
sql($node, q(SELECT taskq.resume_handler('late')));
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload->>'n' = '3'), 'resuming the type wakes the pool');

# a waiting claim -----------------------------------------------------------

my $claimer = session($node);
my $pid = $claimer->query_safe('SELECT pg_backend_pid()');
begin_claim($claimer, q(SELECT task_type, attempt FROM taskq.claim_job('w', wait => '1 h');));
wait_until($node, claims_wait(), 'a claim waits for an enqueue');
is(sql($node, qq(SELECT count(*) FROM pg_locks WHERE pid = $pid AND locktype IN ('relation', 'advisory', 'userlock') AND relation IS DISTINCT FROM NULL
	AND relation::regclass::text LIKE 'taskq.%')), 0, 'the waiting claim holds no lock on a table');
sql($node, q(SELECT taskq.enqueue_job('work')));
my $other = session($node);
$other->query_safe(q(BEGIN; SELECT taskq.enqueue_job('outside')));
is(sql($node, claims_wait()), 't', 'an uncommitted enqueue does not wake the claim');
$other->query_safe('ROLLBACK');
is(sql($node, claims_wait()), 't', 'an enqueue that is rolled back does not wake the claim');
$other->query_safe(q(BEGIN; SELECT taskq.enqueue_job('outside'); COMMIT));
is(answer_of($claimer), 'outside|1', 'a commit wakes the claim');

begin_claim($claimer, q(SELECT task_type FROM taskq.claim_job('w', wait => '1 h', task_types => '{elsewhere}');));
wait_until($node, claims_wait(), 'a claim for one type waits');
sql($node, q(SELECT taskq.enqueue_job('outside')));
sql($node, q(SELECT taskq.enqueue_job('elsewhere')));
is(answer_of($claimer), 'elsewhere', 'the claim for one type gets a job of the type');

sql($node, q(SELECT count(*) FROM taskq.claim_jobs('clear', 100)));
begin_claim($claimer, q(SELECT task_type FROM taskq.claim_job('w', wait => '1 h');));
wait_until($node, claims_wait(), 'a claim waits for a job that becomes due');
my $found;
my $due = sql($node, q(SELECT taskq.enqueue_job('outside', delay => '1 s')));
is(answer_of($claimer), 'outside', 'the claim gets the job that becomes due');
is(sql($node, qq(SELECT started_at >= run_at FROM taskq.all_jobs WHERE job_id = $due)), 't', 'the claim does not get it before that');

begin_claim($claimer, q(SELECT task_type FROM taskq.claim_job('w', wait => '1 h');));
wait_until($node, claims_wait(), 'a claim waits for a released job');
sql($node, qq(SELECT taskq.release_job(job_id, epoch) FROM taskq.all_jobs WHERE job_id = $due));
is(answer_of($claimer), 'outside', 'the claim gets the released job');

# a look of the scheduler would wake it, too
my ($scheduler) = pids_of($node, 'scheduler');
kill 'STOP', $scheduler;
for my $undo ('ROLLBACK', 'ROLLBACK TO a')
{
	$found = sql($node, q(SELECT taskq.enqueue_job('outside')));
	$other->query_safe(q(BEGIN; SAVEPOINT a; SELECT * FROM taskq.claim_job('other')));
	# something else wakes it, too, but later
	begin_claim($claimer, q(SELECT job_id, clock_timestamp() < statement_timestamp() + interval '4 s' FROM taskq.claim_job('w', wait => '20 s');));
	wait_until($node, claims_wait(), 'a claim waits');
	$other->query_safe($undo);
	is(answer_of($claimer), "$found|t", "it gets a job whose claim is undone: $undo");
}
$other->query_safe('COMMIT');
kill 'CONT', $scheduler;

begin_claim($claimer, q(SELECT task_type FROM taskq.claim_job('w', wait => '1 h');));
wait_until($node, claims_wait(), 'a claim waits that will be cancelled');
sql($node, "SELECT pg_cancel_backend($pid)");
is(answer_of($claimer), '', 'the cancelled claim returns no row');
like($claimer->{stderr}, qr/canceling statement due to user request/, 'the cancelled claim raises the error for a cancelled statement');
$claimer->{stderr} = '';
sql($node, q(SELECT taskq.enqueue_job('outside')));
is($claimer->query_safe(q(SELECT task_type FROM taskq.claim_job('w'))), 'outside', 'the session can claim after the cancel');
begin_claim($claimer, q(SET statement_timeout = '200ms'; SELECT task_type FROM taskq.claim_job('w', wait => '1 h');));
is(answer_of($claimer), '', 'statement_timeout ends a wait');
like($claimer->{stderr}, qr/canceling statement due to statement timeout/, 'the claim raises the error for a statement timeout');
$claimer->query('RESET statement_timeout');
$claimer->{stderr} = '';

# as many waiting sessions as jobs
my @waiters = map { session($node) } 1 .. 5;
begin_claim($_, q(SELECT task_type FROM taskq.claim_job('many', wait => '1 h');)) for @waiters;
wait_until($node, claims_wait(5), 'five claims wait');
sql($node, q(SELECT count(*) FROM taskq.enqueue_jobs('outside', array_fill('{}'::jsonb, ARRAY[3]))));
wait_until($node, claims_wait(2), 'three of them get a job, and two wait');
is(sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE worker_id = 'many' AND state = 'running')), 3, 'all_jobs shows three jobs of the worker');
sql($node, q(SELECT taskq.enqueue_job('outside') FROM generate_series(1, 2)));
is(answer_of($_), 'outside', 'each gets one') for @waiters;
$_->quit for @waiters;

# the type is registered while the claim waits
begin_claim($claimer, q(SELECT task_type FROM taskq.claim_job('w', wait => '1 h');));
wait_until($node, claims_wait(), 'a claim waits for a type that is not registered yet');
sql($node, q(SELECT taskq.enqueue_job('outside_too')));
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('outside_too')));
is(answer_of($claimer), 'outside_too', 'registering a type wakes a waiting claim');

# wait_for_job --------------------------------------------------------------

begin_claim($claimer, q(CALL taskq.wait_for_job('w', '1 h');));
wait_until($node, claims_wait(), 'wait_for_job() waits');
is(sql($node, qq(SELECT backend_xmin IS NULL AND backend_xid IS NULL FROM pg_stat_activity WHERE pid = $pid)), 't', 'wait_for_job() waits without a snapshot');
$found = sql($node, q(SELECT taskq.enqueue_job('outside')));
is(answer_of($claimer), 't', 'wait_for_job() returns true when there is a job');
is($claimer->query_safe(q(SELECT job_id FROM taskq.claim_job('w'))), $found, 'the job can be claimed after wait_for_job()');
is($claimer->query_safe(q(CALL taskq.wait_for_job('w', '10 ms'))), 'f', 'wait_for_job() returns false when the time is over');
begin_claim($claimer, q(CALL taskq.wait_for_job('w', '1 h');));
wait_until($node, claims_wait(), 'wait_for_job() waits for its cancellation');
sql($node, "SELECT pg_cancel_backend($pid)");
is(answer_of($claimer), '', 'the cancelled wait_for_job() returns no row');
like($claimer->{stderr}, qr/canceling statement due to user request/, 'wait_for_job() raises the error for a cancelled statement');
$claimer->{stderr} = '';
my ($out, $error) = $claimer->query(q(BEGIN; CALL taskq.wait_for_job('w', '1 h'); ROLLBACK));
like($claimer->{stderr}, qr/cannot run inside a transaction block/, 'wait_for_job() is refused in a transaction block');
$claimer->{stderr} = '';
$claimer->quit;
$other->quit;

# jobs that bypass the wake-up ------------------------------------------------

sql($node, q(SELECT count(*) FROM taskq.claim_jobs('clear', 100)));
sql($node, q(BEGIN; SELECT taskq.enqueue_job('work', '{"two": "phases"}'); PREPARE TRANSACTION 'enqueue'));
is(sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE payload ? 'two')), 0, 'a job of a prepared transaction is not visible');
sql($node, q(COMMIT PREPARED 'enqueue'));
is(sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE payload ? 'two')), 1, 'the job is visible after COMMIT PREPARED');
$node->append_conf('postgresql.conf', "taskq.poll_interval = '200ms'");
$node->reload;
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload ? 'two'), 'the job is found by polling');
sql($node, q(BEGIN; SELECT taskq.enqueue_job('work', '{"two": "again"}'); PREPARE TRANSACTION 'enqueue'));
sql($node, q(COMMIT PREPARED 'enqueue'));
wait_until($node, q(SELECT count(*) = 2 FROM taskq.all_jobs WHERE payload ? 'two' AND state = 'completed'), 'the next job is found by polling, too');

is(sql($node, q(SELECT count(*) FROM app.ledger WHERE task_type <> 'failing')),
	sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE state = 'completed' AND task_type IN ('work', 'late'))),
	'each job was run once');
$node->stop;
clean_log($node);
done_testing();
