# Jobs of a group in an ordered queue run one at a time, in the order of their ids: while many
# sessions and a pool claim jobs of several types at once, and roll back, fail, snooze, let
# leases expire and cancel; through a crash and an immediate stop; if shared memory has no room
# for the lanes; and while a queue with waiting jobs becomes ordered. Whoever waits is woken
# when the job before has ended, or has left the queue otherwise.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

# nothing is found by polling
my $node = new_node('order',
	conf => { 'taskq.poll_interval' => "'1 h'", 'taskq.worker_idle' => "'1 h'", max_connections => 60, max_prepared_transactions => 10, synchronous_commit => 'off' });
my $claimed = q(SELECT string_agg(payload->>'n', ',' ORDER BY job_id) FROM taskq.claim_jobs);
my $lined_up = q(SELECT bool_and(lined_up_to = 9223372036854775807) FROM taskq.queue_defs WHERE ordered);

# Complete the running jobs of a group.
sub complete
{
	my ($group) = @_;
	return sql($node, "SELECT count(taskq.complete_job(job_id, epoch)) FROM taskq.all_jobs WHERE state = 'running' AND group_key = '$group'");
}

# Enqueue a job of a group, which is named by "n", and return its id.
sub enqueue
{
	my ($type, $group, $n, $more) = @_;
	$more = defined $more ? ", $more" : '';
	return sql($node, qq(SELECT taskq.enqueue_job('$type', '{"n": "$n"}', queue => 'line', group_key => '$group'$more)));
}

# Cancel all that waits, and complete all that runs.
sub clear
{
	sql($node, q(SELECT taskq.cancel_job(job_id) FROM taskq.jobs WHERE NOT state = 'r'));
	sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running'));
	return is(sql($node, q(SELECT count(*) FROM taskq.jobs)), 0, 'no job is left');
}

my @types = qw(ext ext2 ext3);
my $ext = '{' . join(',', @types) . '}';
sql($node, qq(SELECT taskq.register_handler(t, retry_policy => 'fixed', retry_base => '10 ms', max_attempts => 100) FROM unnest('$ext'::text[]) t));
sql($node, q(SELECT taskq.create_queue('line', ordered => true)));
add_type($node, 'postgres', 'app', 'work', 'work', 'share_commit => true');
add_type($node, 'postgres', 'app', 'single', 'work');
sql($node, q(SELECT taskq.alter_pool('app', queues => '{default,line}')));
sql($node, qq(SELECT taskq.register_worker('w' || n, '$ext', queues => '{default,line}', lease => '1 s') FROM generate_series(0, 9) n));
$node->poll_query_until('postgres', q(SELECT taskq.enqueue_job('ext', queue => 'line', group_key => 'probe') > 0 AND (SELECT count(*) > 0 FROM taskq.claim_job('w9'))));
clear();

# wake-ups -----------------------------------------------------------------------------

# A session waits for the second job of a group, of another type than the first, and is woken by this end of the first.
sub wakes
{
	my ($name, $end, $first) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $waits = session($node);
	my $id = enqueue('ext', 'a', 1);
	is(sql($node, qq($claimed('w0', 9, '{ext}', lease => '1 h'))), 1, "$name: the first job runs") if $first;
	enqueue('ext2', 'a', 2);
	begin_claim($waits, qq($claimed('w1', 9, '{ext2}', wait => '1 h', lease => '1 h');));
	poll($node, claims_wait(1));
	sql($node, $end =~ s/ID/$id/r);
	is(answer_of($waits), 2, "$name wakes a session that waits for the next job");
	$waits->quit;
	clear();
	return;
}

my $run = q(SELECT %s FROM taskq.all_jobs WHERE job_id = ID);
wakes('a completion', sprintf($run, 'taskq.complete_job(job_id, epoch)'), 1);
wakes('a failure without a retry', sprintf($run, q(taskq.fail_job(job_id, epoch, 'x', retryable => false))), 1);
wakes('a cancel of a waiting job', q(SELECT taskq.cancel_job(ID)));
wakes('a cancel in a prepared transaction', q(BEGIN; SELECT taskq.cancel_job(ID); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'));
wakes('a completion in a prepared transaction', q(BEGIN; ) . sprintf($run, 'taskq.complete_job(job_id, epoch)') . q(; PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'), 1);
wakes('a queue that is not ordered any more', q(SELECT taskq.alter_queue('line', ordered => false)), 1);
sql($node, q(SELECT taskq.alter_queue('line', ordered => true)));
wait_until($node, $lined_up, 'the queue is ordered again');

# retries hold, or are skipped
my $held = enqueue('ext', 'a', 1, q(delay => '1 h'));
enqueue('ext2', 'a', 2);
enqueue('ext', 'a', 3);
is(sql($node, qq($claimed('w0', 9))), '', 'a job that is due later holds those behind it');
is(sql($node, qq(SELECT reason_code || ': ' || reason FROM taskq.describe_job($held + 2))), "order: job $held of its group comes first, and 2 jobs wait before it", 'describe_job() says so');
sql($node, q(SELECT taskq.alter_queue('line', on_delayed => 'skip')));
wait_until($node, $lined_up, 'the jobs are put in order again');
is(sql($node, qq($claimed('w0', 9))), '2', 'they pass it if it is to be skipped');
clear();
enqueue('ext', 'a', 1);
enqueue('ext2', 'a', 2);
is(sql($node, qq($claimed('w0', 9))), '1', 'the first job runs');
sql($node, q(SELECT taskq.snooze_job(job_id, epoch, '1 h') FROM taskq.all_jobs WHERE state = 'running'));
is(sql($node, qq($claimed('w0', 9))), '2', 'the next one passes it when it is snoozed');
sql($node, q(SELECT taskq.alter_queue('line', on_delayed => 'hold')));
clear();
wait_until($node, $lined_up, 'jobs hold again');

# load -------------------------------------------------------------------------------

# Check the runs since the last check, by the history alone: how many there were, which of them
# began while another run of their group went on, and which began after a run of a later job of it.
my $since = '-infinity';
sub check_runs
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $before = q(PARTITION BY group_key ORDER BY started_at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING);
	sql($node, q(
		CREATE TABLE job AS SELECT job_id, group_key FROM taskq.all_jobs WHERE group_key IS NOT NULL AND payload ? 'load';
		CREATE TABLE run AS SELECT job_id, started_at, finished_at FROM taskq.attempts WHERE finished_at > started_at;
		ANALYZE job, run));
	my ($n, $overlap, $late) = split /\|/, sql($node, "SELECT count(*), count(*) FILTER (WHERE beside), count(*) FILTER (WHERE late)
		FROM (SELECT started_at < max(finished_at) OVER ($before) AS beside, job_id < max(job_id) OVER ($before) AS late
			FROM run JOIN job USING (job_id) WHERE started_at > '$since') AS r");
	$since = sql($node, q(DROP TABLE job, run; SELECT clock_timestamp()));
	cmp_ok($n, '>', 100, 'there were runs');
	is($overlap, 0, 'no two runs of a group overlap');
	is($late, 0, 'they began in the order of their ids');
	return;
}

my $script = load_script($node, q(wait => '50 ms'), join(',', @types));

# Enqueue jobs of groups, one transaction after the other.
sub fill
{
	my ($n, $groups, $queue) = (scaled($_[0]), @_[1, 2]);
	$queue //= 'line';
	sql($node, "SELECT count(taskq.enqueue_job((ARRAY['ext', 'ext2', 'work', 'ext3', 'single'])[1 + i % 5], '{\"load\": 1}', queue => '$queue',
		group_key => CASE WHEN i % 11 > 0 THEN 'g' || i * 7 % $groups END, tenant_id => CASE WHEN i % 13 > 0 THEN 't' || i % 5 END, priority => i % 3,
		delay => CASE WHEN i % 17 = 0 THEN interval '1 s' * random() END)) FROM generate_series(1, $n) i");
	return;
}

# Cancel some of the waiting jobs.
sub cancel_some
{
	sql($node, q(SELECT count(taskq.cancel_job(job_id)) FROM (SELECT job_id FROM taskq.jobs WHERE random() < 0.02) j));
	return;
}

# Let all jobs end, those that a lost client had claimed after their leases.
sub finish
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for (1 .. 1000)
	{
		last if sql($node, q(SELECT NOT EXISTS (SELECT FROM taskq.jobs))) eq 't';
		sql($node, q(SELECT count(taskq.complete_job(job_id, epoch)) FROM taskq.claim_jobs('w9', 1000, wait => '1 s')));
	}
	settled($node, $name);
	check_runs();
	return;
}

fill(1500, 40);
start_load($node, $script, 5);
cancel_some() for 1 .. 5;
stop_load();
finish('all jobs end under load');

sql($node, q(SELECT taskq.set_limit('tenant', for_each => '{tenant_id}', concurrency => 2), taskq.set_limit('all', queue => 'line', concurrency => 6)));
fill(1000, 200);
start_load($node, $script, 3);
cancel_some();
crash($node, pid_of($node, 'scheduler'));
$node->poll_query_until('postgres', 'SELECT true');
kill_load();
start_load($node, $script, 2);
stop_load();
$node->stop('immediate');
$node->start;
finish('all jobs end after a crash and an immediate stop, also under other limits');
sql($node, q(SELECT taskq.drop_limit('tenant'), taskq.drop_limit('all')));

# a locked job while a queue becomes ordered: jobs behind it wait, also those that are in order at once
sql($node, q(SELECT taskq.alter_queue('line', ordered => false)));
my @ids = (enqueue('ext', 'b', 0), enqueue('ext', 'a', 1), enqueue('ext2', 'a', 2));
my $locks = session($node);
$locks->query_safe(qq(BEGIN; SELECT taskq.cancel_job($ids[1])));
sql($node, q(SELECT taskq.alter_queue('line', ordered => true)));
wait_until($node, "SELECT lined_up_to = $ids[1] FROM taskq.queue_defs WHERE queue = 'line'", 'the jobs of a queue are put in order up to a locked one');
is(sql($node, qq($claimed('w0', 9))), '0', 'a job before that starts');
push @ids, enqueue('ext3', 'a', 3);
push @ids, enqueue('ext3', 'c', 4);
is(sql($node, qq($claimed('w0', 9))), '', 'no other job does');
is(sql($node, "SELECT reason_code || ': ' || reason FROM taskq.describe_job($ids[3])"), 'order: the jobs of the queue are still being put in order', 'describe_job() says why');
$locks->query_safe('ROLLBACK');
wait_until($node, $lined_up, 'when the job is free, all are put in order');
is(sql($node, qq($claimed('w0', 9))), '1,4', 'and start in order');
$locks->quit;
clear();

# a queue becomes ordered ------------------------------------------------------------------

sql($node, q(SELECT taskq.alter_queue('line', ordered => false)));
fill(3000, 30);
start_load($node, $script, 4);
sql($node, q(SELECT taskq.alter_queue('line', ordered => true)));
wait_until($node, $lined_up, 'a queue with waiting jobs becomes ordered under load');
$since = sql($node, q(SELECT clock_timestamp()));
stop_load();
finish('all jobs end of a queue that became ordered');

# read mode ----------------------------------------------------------------------------

$node->append_conf('postgresql.conf', 'taskq.max_lanes = 16');
$node->restart;
fill(800, 300);
start_load($node, $script, 3);
stop_load();
finish('all jobs end if there are more lanes than shared memory has room for');
wakes('a completion', sprintf($run, 'taskq.complete_job(job_id, epoch)'), 1);
wakes('a cancel of a waiting job', q(SELECT taskq.cancel_job(ID)));

clean_log($node, but => qr/terminated by signal 9|exited with|recovery mode/);
done_testing();
