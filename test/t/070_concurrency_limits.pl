# Limits hold at every moment: while many sessions and a pool claim at once, and roll
# back, fail, let leases expire and change the limits; through a crash, an immediate stop, a
# prepared settle and a promotion. Whoever waits for a limit is woken when it has room.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

# nothing is found by polling
my $node = new_node('limits', init => { allows_streaming => 1 },
	conf => { 'taskq.poll_interval' => "'1 h'", 'taskq.worker_idle' => "'1 h'", max_connections => 60, wal_level => 'replica', synchronous_commit => 'off' });
my $armed = q(SELECT bool_and(state = 'active') FROM taskq.limits);
my $used = q(SELECT string_agg(name || ' ' || in_use, ' ' ORDER BY name) FROM taskq.limit_usage);

sql($node, q(SELECT taskq.register_handler(t, retry_policy => 'fixed', retry_base => '10 ms', max_attempts => 100) FROM unnest('{ext,one}'::text[]) t));
add_type($node, 'postgres', 'app', 'work', 'work', 'share_commit => true');
add_type($node, 'postgres', 'app', 'gated');
sql($node, q(SELECT taskq.register_worker('w' || n, '{ext,one}', lease => '1 s') FROM generate_series(0, 9) n));

# arming ---------------------------------------------------------------------------

sql($node, q(SELECT taskq.enqueue_job('one') FROM generate_series(1, 6)));
my $open = session($node);
my $pid = $open->query_safe(q(BEGIN; SELECT pg_backend_pid()));
$open->query_safe(q(SELECT count(*) FROM taskq.claim_jobs('w1', 2, lease => '1 h')));
my ($early) = split /\n/, sql($node, q(SELECT job_id || ', ' || epoch FROM taskq.claim_job('w2', lease => '1 h')));
sql($node, q(SELECT taskq.set_limit('one', task_type => 'one', concurrency => 3)));
wait_until($node, "SELECT state = 'arming' AND waits_for = ARRAY[$pid] FROM taskq.limits", 'a new limit waits for an open transaction that has claimed jobs');
is(sql($node, q(SELECT count(*) FROM taskq.claim_jobs('w2', 10, lease => '1 h'))), 0, 'until then no job under the limit starts');
like(sql($node, q(SELECT reason FROM taskq.explain_claim('w2') WHERE task_type = 'one')), qr/not armed yet/, 'explain_claim() says so');
my $waits = session($node);
$waits->query_until(qr/waiting/, "\\echo waiting\nCALL taskq.wait_for_job('w3', '1 h');\n\\echo woken\n");
wait_until($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'CALL taskq.wait_for_job%' AND wait_event_type = 'Extension'), 'a session waits for a job');
$open->query_safe('COMMIT');
wait_until($node, $armed, 'the limit is armed when the transaction has ended');
is(sql($node, $used), 'one 3', 'all jobs that were running hold it');
sql($node, "SELECT taskq.complete_job($early)");
$waits->query_until(qr/woken/, '');
pass('a session that waits is woken when there is room');
is(sql($node, q(SELECT count(*) FROM taskq.claim_jobs('w3', 10, lease => '1 h'))), 1, 'it gets as many jobs as the limit allows');

# rows are read while a claim ends
SKIP:
{
	skip 'needs a build with TESTING=1', 2 if sql($node, q(SELECT count(*) FROM pg_settings WHERE name = 'taskq.injection_point')) == 0;
	my $holder = session($node);
	$holder->query_safe(q(SELECT pg_advisory_lock(hashtext('limits-read'))));
	sql($node, q(ALTER DATABASE postgres SET taskq.injection_point = 'limits-read'));
	sql($node, q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq scheduler'));
	sql($node, q(SELECT taskq.drop_limit('one')));
	sql($node, q(SELECT taskq.set_limit('one', task_type => 'one', concurrency => 3)));
	wait_until($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler' AND wait_event = 'advisory'), 'the scheduler reads the running rows');
	sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running' ORDER BY job_id LIMIT 1));
	$holder->quit;
	sql($node, q(ALTER DATABASE postgres RESET taskq.injection_point));
	$node->poll_query_until('postgres', $armed);
	is(sql($node, $used), 'one 2', 'a claim that ends while the running rows are read holds nothing afterwards');
}
$open->quit;

# prepared settles -----------------------------------------------------------------

sql($node, q(SELECT taskq.enqueue_job('one') FROM generate_series(1, 6)));
sql($node, q(SELECT count(*) FROM taskq.claim_jobs('w1', 10, lease => '1 h')));
is(sql($node, $used), 'one 3', 'three jobs run');
sql($node, q(BEGIN; SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running' LIMIT 2; PREPARE TRANSACTION 'settle'));
is(sql($node, q(SELECT count(*) FROM taskq.claim_jobs('w1', 10, lease => '1 h'))), 0, 'jobs whose settle is prepared hold the limit');
$waits->query_until(qr/waiting/, "\\echo waiting\nCALL taskq.wait_for_job('w3', '1 h');\n\\echo woken\n");
wait_until($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'CALL taskq.wait_for_job%' AND wait_event_type = 'Extension'), 'a session waits for a job');
sql($node, q(COMMIT PREPARED 'settle'));
$waits->query_until(qr/woken/, '');
wait_until($node, q(SELECT in_use = 1 FROM taskq.limit_usage), 'COMMIT PREPARED frees it, and wakes who waits');
$waits->quit;
sql($node, q(SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE state = 'available'));
sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running'));

# Two sessions wait, two jobs come, and one may run. The session that is late must not keep the other job from itself.
sql($node, q(SELECT taskq.alter_limit('one', 1)));
my $empty = 0;
for (1 .. 12)
{
	my @answers = ('', '');
	my @waiting = map { IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "SELECT job_id FROM taskq.claim_job('w$_', '{one}', wait => '5 s', lease => '1 h')" ],
		'<', '/dev/null', '>', \$answers[$_]) } 0 .. 1;
	poll($node, q(SELECT count(*) = 2 FROM pg_stat_activity WHERE query LIKE '%claim_job%' AND wait_event_type = 'Extension'));
	sql($node, q(SELECT taskq.enqueue_job('one') FROM generate_series(1, 2)));
	poll($node, q(SELECT count(*) = 1 FROM taskq.all_jobs WHERE task_type = 'one' AND state = 'running'));
	sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE task_type = 'one' AND state = 'running'));
	$_->finish for @waiting;
	$empty += grep { $_ eq '' } @answers;
	sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE task_type = 'one' AND state = 'running'));
	sql($node, q(SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE task_type = 'one' AND state = 'available'));
}
is($empty, 0, 'a claim that finds no room gets the other job when there is room');

# workers in the server -----------------------------------------------------------

sql($node, q(SELECT taskq.set_limit('gated', task_type => 'gated', concurrency => 2)));
$node->poll_query_until('postgres', $armed);
my $gate = hold_gate($node, 1);
sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}') FROM generate_series(1, 6)));
wait_until($node, q(SELECT in_use = 2 AND waiting = 4 FROM taskq.limit_usage WHERE name = 'gated'), 'background workers run as many jobs as the limit allows');
sql($node, q(SELECT taskq.alter_limit('gated', 3)));
wait_until($node, q(SELECT in_use = 3 AND waiting = 3 FROM taskq.limit_usage WHERE name = 'gated'), 'a higher limit lets another one start at once');
sql($node, q(SELECT pg_terminate_backend(pid) FROM taskq.workers WHERE state = 'running' LIMIT 1));
wait_until($node, q(SELECT in_use = 3 AND count(*) = 1 FROM taskq.limit_usage JOIN taskq.attempts ON outcome = 'terminated' WHERE name = 'gated' GROUP BY in_use), 'when a worker ends, another job starts');
open_gate($gate);
wait_until($node, q(SELECT count(*) = 6 FROM taskq.all_jobs WHERE task_type = 'gated' AND state = 'completed'), 'all jobs run');
is(sql($node, q(SELECT in_use FROM taskq.limit_usage WHERE name = 'gated')), 0, 'and hold nothing afterwards');

# load -------------------------------------------------------------------------------

# Runs of jobs of a type that overlap in more than $most, from the times at which the claim had begun to hold
# the limit, and at which the run ended before it was freed.
sub most_at_once
{
	my ($type) = @_;
	return sql($node, qq(
		WITH runs AS (
			SELECT a.started_at, a.finished_at FROM taskq.attempts a JOIN taskq.all_jobs USING (job_id) WHERE task_type = '$type' AND a.finished_at > a.started_at),
		steps AS (SELECT started_at AS at, 1 AS step FROM runs UNION ALL SELECT finished_at, -1 FROM runs)
		SELECT COALESCE(max(n), 0) FROM (SELECT sum(step) OVER (ORDER BY at, step) AS n FROM steps) s));
}

my $script = load_script($node);

sub fill
{
	my $n = scaled($_[0]);
	sql($node, "SELECT count(*) FROM generate_series(1, $n / 1000) n, LATERAL taskq.enqueue_jobs('ext', array_fill('{}'::jsonb, ARRAY[1000 + 0 * n]))");
	sql($node, "SELECT count(*) FROM generate_series(1, $n / 1000) n, LATERAL taskq.enqueue_jobs('work', array_fill('{}'::jsonb, ARRAY[300 + 0 * n]))");
	return;
}

sql($node, q(SELECT taskq.set_limit('ext', task_type => 'ext', concurrency => 3), taskq.set_limit('work', task_type => 'work', concurrency => 2),
	taskq.set_limit('all', concurrency => 4)));
wait_until($node, $armed, 'limits are armed, also after a worker was terminated during a run');
fill(6000);
start_load($node, $script, 6);
sql($node, "SELECT taskq.alter_limit('ext', $_)") for (1, 3, 2, 3, 1, 2, 3) x 5;
stop_load();
cmp_ok(sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE state = 'completed')), '>', 100, 'jobs were completed under load');
cmp_ok(most_at_once('ext'), '<=', 3, 'a limit holds at every moment, under load');
cmp_ok(most_at_once('work'), '<=', 2, 'also for background workers that share commits');
cmp_ok(most_at_once("ext' OR true OR '' = '"), '<=', 4, 'also the limit of all jobs');

start_load($node, $script, 5);
crash($node, pid_of($node, 'scheduler'));
$node->poll_query_until('postgres', 'SELECT true');
kill_load();
start_load($node, $script, 4);
stop_load();
$node->stop('immediate');
$node->start;
start_load($node, $script, 3);
stop_load();
cmp_ok(most_at_once('ext'), '<=', 3, 'a limit holds at every moment, through a crash and an immediate stop');
cmp_ok(most_at_once("ext' OR true OR '' = '"), '<=', 4, 'also the limit of all jobs');

# the rest of the jobs
sql($node, q(SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE task_type = 'ext' AND state IN ('available', 'scheduled', 'retryable')));
settled($node, 'all jobs end, those that a lost client had claimed after their leases');
is(sql($node, $used), 'all 0 ext 0 gated 0 one 0 work 0', 'afterwards nothing is in use');

# promotion --------------------------------------------------------------------------

$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
sql($node, q(SELECT taskq.enqueue_job('ext') FROM generate_series(1, 9)));
# without waiting for the disk, the claim would not be replicated yet
is(sql($node, q(SET synchronous_commit = on; SELECT count(*) FROM taskq.claim_jobs('w1', 9, lease => '1 h'))), 3, 'three jobs are claimed on the primary');
$node->wait_for_catchup($standby);
$node->stop('immediate');
$standby->promote;
wait_until($standby, $armed, 'limits are armed after a promotion');
is(sql($standby, q(SELECT in_use FROM taskq.limit_usage WHERE name = 'ext')), 3, 'claims of the old primary hold what they held');
is(sql($standby, q(SELECT count(*) FROM taskq.claim_jobs('w2', 9))), 0, 'so no other job starts');
sql($standby, q(SELECT taskq.unregister_worker('w1')));
is(sql($standby, q(SELECT count(*) FROM taskq.claim_jobs('w2', 9))), 3, 'when they end, others start');

# no room --------------------------------------------------------------------------------

$standby->append_conf('postgresql.conf', 'taskq.max_held_jobs = 3');
$standby->restart;
sql($standby, q(SELECT taskq.drop_limit('all'), taskq.alter_limit('one', 10)));
settled($standby, 'the claims end with their leases') if sql($standby, q(SELECT count(taskq.cancel_job(job_id)) > 0 FROM taskq.all_jobs WHERE state IN ('available', 'running', 'retryable', 'scheduled')));
wait_until($standby, $armed, 'limits are armed after a restart');
sql($standby, q(SELECT taskq.enqueue_job('one') FROM generate_series(1, 5)));
is(sql($standby, q(SELECT count(*) FROM taskq.claim_jobs('w3', 9, '{one}', lease => '1 h'))), 3, 'as many jobs run under limits as shared memory has room for');
is(sql($standby, q(SELECT reason_code FROM taskq.explain_claim('w3') WHERE task_type = 'one')), 'limit_memory', 'explain_claim() says so');
sql($standby, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running' LIMIT 1));
is(sql($standby, q(SELECT count(*) FROM taskq.claim_jobs('w3', 9, '{one}', lease => '1 h'))), 1, 'when one has ended, another one starts');
$standby->append_conf('postgresql.conf', 'taskq.max_held_jobs = 2');
$standby->restart;
wait_until($standby, q(SELECT state = 'limit_memory' FROM taskq.limits WHERE name = 'one'), 'a limit is not armed if more jobs run than there is room for');
is(sql($standby, q(SELECT count(*) FROM taskq.claim_jobs('w3', 9, '{one}'))), 0, 'so no job under it starts');
$standby->stop;

done_testing();
