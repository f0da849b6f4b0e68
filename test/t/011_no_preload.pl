# Without preloading there is no pool and no scheduler, but enqueue, claim and
# settle work.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('no_preload', conf => { shared_preload_libraries => undef });
my ($rc, $out, $err) = $node->psql('postgres', 'BEGIN; DROP EXTENSION taskq; CREATE EXTENSION taskq; ROLLBACK');
like($err, qr/WARNING:.*not preloaded.*HINT:.*shared_preload_libraries = 'taskq'/s, 'CREATE EXTENSION warns that no handler runs, and names the missing line');
is(sql($node, q(SELECT value, hint LIKE '%shared_preload_libraries = ''taskq''%postgresql.conf%' FROM taskq.status() WHERE name = 'preloaded')), 'no|t',
	'status() names the line for postgresql.conf');
is(sql($node, q(SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'taskq %')), 0, 'no process of taskq is running');
add_type($node, 'postgres', 'app', 'work');
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('outside')));
sql($node, q(SELECT taskq.register_worker(w) FROM unnest('{first,second,w,clear}'::text[]) AS w));

# claim and settle ------------------------------------------------------------

my @jobs = split /\n/, sql($node, q(SELECT taskq.enqueue_job('outside', jsonb_build_object('n', n)) FROM generate_series(1, 6) n));
is("@jobs", '1 2 3 4 5 6', 'jobs are enqueued');
is(sql($node, q(SELECT taskq.complete_job(job_id, epoch, '{"done": 1}') FROM taskq.claim_job('w'))), 't', 'a job is claimed and completed');
is(sql($node, q(SELECT state, result->>'done' FROM taskq.all_jobs WHERE job_id = 1)), 'completed|1', 'the completed job has its result');
is(sql($node, q(SELECT taskq.fail_job(job_id, epoch, 'no', retryable => false) FROM taskq.claim_job('w'))), 't', 'a job fails');
is(sql($node, q(SELECT state, last_error FROM taskq.all_jobs WHERE job_id = 2)), 'discarded|no', 'the failed job is discarded');
is(sql($node, q(SELECT taskq.release_job(job_id, epoch) FROM taskq.claim_job('w'))), 't', 'a job is released');
is(sql($node, q(SELECT taskq.snooze_job(job_id, epoch, '1 d') FROM taskq.claim_job('w'))), 't', 'a job is snoozed');
is(sql($node, q(SELECT taskq.heartbeat_job(job_id, epoch) FROM taskq.claim_job('w'))), 'ok', 'a heartbeat returns ok');
is(sql($node, q(SELECT taskq.cancel_job(5))), 'cancelled', 'a job is cancelled');
is(sql($node, q(SELECT string_agg(job_id || ' ' || state, ', ' ORDER BY job_id) FROM taskq.all_jobs)),
	'1 completed, 2 discarded, 3 scheduled, 4 running, 5 cancelled, 6 available', 'all jobs have the expected states');
fails_with($node, 'TQ003', q(SELECT taskq.complete_job(4, 1)), 'a stale epoch is refused');
is(sql($node, q(SELECT count(*) FROM taskq.stat_queues, taskq.pools WHERE available IS NULL)), 0, 'the views can be read');
is(sql($node, q(SELECT available, scheduled, running, counted_at FROM taskq.stat_queues WHERE queue = 'default')), '1|1|1|', 'stat_queues counts rows');

# jobs of the pool wait -------------------------------------------------------

sql($node, q(SELECT taskq.enqueue_job('work')));
is(sql($node, q(SELECT reason FROM taskq.unroutable_jobs WHERE task_type = 'work')), 'no pool is running in this database, see taskq.status()', 'jobs of the pool wait, and unroutable_jobs says why');
is(sql_as($node, 'postgres', 'app', q(SELECT state FROM taskq.run_next('{work}'))), 'completed', 'jobs for the pool can be run by hand');

# a claim takes over an expired lease -----------------------------------------

sql($node, q(SELECT taskq.cancel_job(6)));
my $job = sql($node, q(SELECT taskq.enqueue_job('outside')));
my ($got, $epoch) = split /\|/, sql($node, q(SELECT job_id, epoch FROM taskq.claim_job('first', lease => '3 s')));
is($got, $job, 'a job is claimed with a short lease');
is(sql($node, q(SELECT count(*) FROM taskq.claim_job('second'))), 0, 'no other claim gets the job before the end of its lease');
wait_until($node, qq(SELECT count(*) = 1 FROM taskq.claim_job('second')), 'a claim without another job gets it after its lease');
is(sql($node, qq(SELECT worker_id, attempt, state FROM taskq.all_jobs WHERE job_id = $job)), 'second|2|running', 'the new claim is another attempt');
is(sql($node, qq(SELECT outcome, worker_id, epoch = $epoch, finished_at >= started_at + interval '3 s' FROM taskq.attempts WHERE job_id = $job)), 'expired|first|t|t', 'the first is recorded as expired');
fails_with($node, 'TQ003', "SELECT taskq.complete_job($job, $epoch)", 'the epoch of the first claim is refused');
is(sql($node, qq(SELECT taskq.complete_job($job, epoch) FROM taskq.all_jobs WHERE job_id = $job)), 't', 'the second claim completes the job');

# fair queues -----------------------------------------------------------------------

(undef, undef, $err) = $node->psql('postgres', q(SELECT taskq.create_queue('turns', fair => true)));
like($err, qr/WARNING:.*jobs of fair queue "turns" do not start, because taskq is not preloaded/, 'create_queue() warns that the jobs wait');
sql($node, q(SELECT taskq.enqueue_job('outside', queue => 'turns', group_key => 'a')));
is(sql($node, q(SELECT count(*) FROM taskq.claim_job('first'))), 0, 'a job of a fair queue does not start');
is(sql($node, q(SELECT reason_code || ': ' || reason FROM taskq.explain_claim('first') WHERE queue = 'turns')), 'needs_preload: jobs of a fair queue start only with taskq in shared_preload_libraries', 'explain_claim() says why');
sql($node, q(SELECT taskq.alter_queue('turns', fair => false)));
is(sql($node, q(SELECT count(taskq.complete_job(job_id, epoch)) FROM taskq.claim_job('first'))), 1, 'it starts when the queue is not fair any more');

# limits ----------------------------------------------------------------------------

my %limits = (
	'a limit' => 'concurrency => 1',
	'a rate' => 'rate => 1000',
	'a quota' => q(quota => 1000, quota_window => '1 h'),
	'a limit for each group' => q(concurrency => 1, for_each => '{group_key}'),
	'a rate for each group' => q(rate => 1000, for_each => '{group_key}'));
for my $limit (sort keys %limits)
{
	(undef, undef, $err) = $node->psql('postgres', "SELECT taskq.set_limit('some', task_type => 'outside', $limits{$limit})");
	like($err, qr/WARNING:.*jobs under limit "some" do not start, because taskq is not preloaded/, "set_limit() warns that the jobs wait: $limit");
	$job = sql($node, q(SELECT taskq.enqueue_job('outside', group_key => 'a')));
	is(sql($node, q(SELECT count(*) FROM taskq.claim_job('first'))), 0, "a job under $limit does not start");
	is(sql($node, q(SELECT state FROM taskq.limits)), 'needs_preload', "the view says so: $limit");
	is(sql($node, q(SELECT reason_code FROM taskq.explain_claim('first') WHERE task_type = 'outside' AND due)), 'needs_preload', "so does explain_claim(): $limit");
	is(sql($node, "SELECT reason_code FROM taskq.describe_job($job)"), 'needs_preload', "and describe_job(): $limit");
	is(sql($node, q(SELECT taskq.drop_limit('some'))), 't', "it is dropped: $limit");
	is(sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.claim_job('first'))), 't', "then the job starts: $limit");
}

# budgets ---------------------------------------------------------------------------

(undef, undef, $err) = $node->psql('postgres', q(SELECT taskq.set_budget('money', hard => 1)));
like($err, qr/WARNING:.*jobs of budget "money" do not start, because taskq is not preloaded/, 'set_budget() warns that the jobs wait');
sql($node, q(SELECT taskq.enqueue_job('outside', budgets => '{money}', estimated_cost => 1)));
is(sql($node, q(SELECT count(*) FROM taskq.claim_job('first'))), 0, 'a job of a budget does not start');
is(sql($node, q(SELECT state || ' ' || used || ' ' || balance FROM taskq.budgets)), 'needs_preload 0 1', 'the view says so');
is(sql($node, q(SELECT reason_code FROM taskq.explain_claim('first') WHERE due AND NOT claimable AND reason_code <> 'type_in_server')), 'needs_preload', 'so does explain_claim()');
is(sql($node, q(SELECT taskq.drop_budget('money'))), 't', 'the budget is dropped');
($got, $epoch) = split /\|/, sql($node, q(SELECT job_id, epoch FROM taskq.claim_job('first')));
isnt($got, undef, 'then the job starts');
fails_with($node, '55000', "SELECT taskq.report_usage($got, $epoch, 'money', 1, 'k')", 'usage cannot be reported');
sql($node, "SELECT taskq.complete_job($got, $epoch)");

# changes of other sessions in a running transaction --------------------------------

my $open = session($node);
$open->query_safe(q(BEGIN; SELECT taskq.enqueue_job('outside')));
sql($node, q(SELECT taskq.register_handler('outside', allow_override => true, required_fields => '{"to": "string"}')));
$open->query_until(qr/refused/, "SELECT taskq.enqueue_job('outside');\n\\echo refused\n");
like($open->{stderr}, qr/payload/, 'a contract that another session has changed holds for the next job of a transaction');
$open->{stderr} = '';
sql($node, q(SELECT taskq.register_handler('outside', allow_override => true)));
$open->query_safe(q(ROLLBACK; BEGIN; SELECT taskq.is_registered('later')));
sql($node, q(SELECT taskq.register_handler('later')));
is($open->query_safe(q(SELECT taskq.is_registered('later'))), 't', 'so does a registration');
$open->query_safe('ROLLBACK');
$open->quit;
sql($node, q(SELECT taskq.unregister_handler('later')));

# code on taskq's tables ------------------------------------------------------

sql($node, q(CREATE FUNCTION public.spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'who? %', current_user; END $$));
my $trigger = q(CREATE TRIGGER spy BEFORE INSERT OR UPDATE OR DELETE ON taskq.%1$s FOR EACH ROW EXECUTE FUNCTION public.spy());
fails_with($node, '0A000', 'SELECT taskq.clock_now(); ' . sprintf($trigger, 'jobs'), 'a session that has loaded the library cannot create a trigger on a table of taskq');
my %writes = (
	jobs => q(SELECT taskq.enqueue_job('outside')),
	access_grants => q(SELECT taskq.grant_access('app', 'observer')),
	routes => q(SELECT taskq.enqueue_job('outside', queue => 'new')),
	handler_changes => q(SELECT taskq.register_handler('outside', allow_override => true, description => 'other')),
	event_log_overflow => q(SELECT taskq.prune()));
sql($node, q(SELECT taskq.create_queue('new')));
for my $table (sort keys %writes)
{
	sql($node, sprintf($trigger, $table));
	fails_with($node, '55000', $writes{$table}, "one that was made by a session that has not keeps taskq from writing: $table");
	sql($node, "DROP TRIGGER spy ON taskq.$table");
	is(sql($node, "SELECT count(*) FROM ($writes{$table}) x"), 1, "until it is dropped");
}
sql($node, q(CREATE TABLE public.refers (job bigint REFERENCES taskq.jobs ON DELETE CASCADE)));
fails_with($node, '55000', q(SELECT taskq.enqueue_job('outside')), 'so does a foreign key');
sql($node, q(DROP TABLE public.refers; CREATE RULE spy AS ON DELETE TO taskq.access_grants DO ALSO SELECT 1));
fails_with($node, '55000', q(SELECT taskq.revoke_access('app', 'observer')), 'a rule');
sql($node, q(DROP RULE spy ON taskq.access_grants; ALTER TABLE taskq.access_grants ENABLE ROW LEVEL SECURITY));
fails_with($node, '55000', q(SELECT taskq.revoke_access('app', 'observer')), 'and row-level security');
sql($node, q(ALTER TABLE taskq.access_grants DISABLE ROW LEVEL SECURITY; SELECT taskq.revoke_access('app', 'observer')));
sql($node, q(SELECT taskq.discard_job(job_id) FROM taskq.all_jobs WHERE task_type = 'outside' AND finished_at IS NULL AND state = 'available'));

# waiting ---------------------------------------------------------------------

$node->append_conf('postgresql.conf', "taskq.max_wait = '1 h'");
$node->reload;
my $claimer = session($node);
begin_claim($claimer, q(SELECT task_type FROM taskq.claim_job('w', wait => '1 h');));
wait_until($node, claims_wait(), 'a claim waits without preloading');
sql($node, q(SELECT taskq.enqueue_job('outside')));
is(answer_of($claimer), 'outside', 'the claim finds the job by polling');
like($claimer->{stderr}, qr/NOTICE:  taskq is not preloaded.*looks once a second.*shared_preload_libraries/s, 'a notice says why the claim polls');
$claimer->{stderr} = '';
is($claimer->query_safe(q(SELECT count(*) FROM taskq.claim_job('w', wait => '10 ms'))), 0, 'a wait ends without a job');
is($claimer->{stderr}, '', 'the notice comes only once in a session');
begin_claim($claimer, q(CALL taskq.wait_for_job('w', '1 h');));
wait_until($node, claims_wait(), 'wait_for_job() waits without preloading');
sql($node, q(SELECT taskq.enqueue_job('outside')));
is(answer_of($claimer), 't', 'wait_for_job() finds the job');
my $pid = $claimer->query_safe('SELECT pg_backend_pid()');
sql($node, q(SELECT count(*) FROM taskq.claim_jobs('clear', 100)));
begin_claim($claimer, q(SELECT task_type FROM taskq.claim_job('w', wait => '1 h');));
wait_until($node, claims_wait(), 'a claim waits that will be cancelled');
sql($node, "SELECT pg_cancel_backend($pid)");
answer_of($claimer);
like($claimer->{stderr}, qr/canceling statement/, 'the waiting claim can be cancelled');
$claimer->quit;
fails_with($node, '0A000', q(BEGIN; SELECT taskq.enqueue_job('outside'); SELECT * FROM taskq.claim_job('w'); PREPARE TRANSACTION 'claimed'), 'PREPARE is refused here too');

# with preload ----------------------------------------------------------------

sql($node, q(SELECT taskq.enqueue_job('work', '{"waits": "for preload"}')));
sql($node, q(DROP EXTENSION IF EXISTS nothing));
$node->append_conf('postgresql.conf', q(shared_preload_libraries = 'taskq'));
$node->restart;
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload ? 'waits'), 'the pool runs the job after the library is preloaded');
is(sql($node, q(SELECT value FROM taskq.status() WHERE name = 'preloaded')), 'yes', 'status() shows that it is preloaded');
is(sql($node, q(SELECT count(*) FROM taskq.status() WHERE hint IS NOT NULL)), 0, 'status() has no hint');

# DROP EXTENSION without preloading
$node->append_conf('postgresql.conf', q(shared_preload_libraries = ''));
$node->restart;
sql($node, 'DROP EXTENSION taskq');
is(sql($node, q(SELECT count(*) FROM pg_namespace WHERE nspname = 'taskq')), 0, 'DROP EXTENSION without preload');
sql($node, q(CREATE EXTENSION taskq));
is(sql($node, q(SELECT taskq.enqueue_job('x'))), 1, 'and CREATE EXTENSION');

$node->stop;
clean_log($node);
done_testing();
