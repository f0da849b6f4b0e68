# Rates and quotas for each value of a key hold in every window of the history: while many sessions and a pool claim at
# once, and roll back; through a crash and an immediate stop, and with the clock set back. They are used up, and
# nobody polls. A value that is not used any more takes no memory and no row.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

# nothing is found by polling
my $node = new_node('keyrates', conf => { 'taskq.poll_interval' => "'1 h'", 'taskq.worker_idle' => "'1 h'", 'taskq.max_wait' => "'1 min'",
	'taskq.max_rate_values' => 64, max_connections => 60, synchronous_commit => 'off' });
my $armed = q(SELECT bool_and(state = 'active') FROM taskq.limits);
my $can_move = sql($node, q(SELECT count(*) FROM pg_settings WHERE name = 'taskq.steady_offset'));

sql($node, q(SELECT taskq.register_handler(t, retry_policy => 'fixed', retry_base => '10 ms', max_attempts => 100) FROM unnest('{ext,few,quota}'::text[]) t));
add_type($node, 'postgres', 'app', 'work', 'work');
sql($node, q(SELECT taskq.register_worker('w' || n, '{ext,few,quota}') FROM generate_series(0, 9) n));

# The rates of the groups in this test: group k0 has twice that of the others.
my $rate_of = q((CASE group_key WHEN 'k0' THEN 12 ELSE 6 END));
my $burst_of = q((CASE group_key WHEN 'k0' THEN 8 ELSE 4 END));

# By how much the starts of any group exceed burst + rate * w in a window w of the history, at most. Starts with an
# epoch of more than $since were recorded by a clock that was set back by $back seconds.
sub excess
{
	my ($rate, $burst, $key, $since, $back) = @_;
	$since //= 9223372036854775807;
	$back //= 0;
	return sql($node, qq(
		WITH starts AS (SELECT $key AS key, EXTRACT(epoch FROM a.started_at) + CASE WHEN a.epoch > $since THEN $back ELSE 0 END AS at, j.weight, a.epoch, $rate AS rate, $burst AS burst
			FROM taskq.attempts a JOIN taskq.all_jobs j USING (job_id) WHERE task_type IN ('ext', 'work') AND $key IS NOT NULL),
		sums AS (SELECT *, sum(weight) OVER (PARTITION BY key ORDER BY at, epoch) AS n FROM starts)
		SELECT COALESCE(round(max(by), 3), 0) FROM (SELECT n - rate * at - min(n - weight - rate * at) OVER (PARTITION BY key ORDER BY n) - burst AS by FROM sums) s));
}

# How much of its rate the group uses that uses least of it, from its first start after an epoch to its last one.
sub used
{
	my ($since) = @_;
	return sql($node, qq(
		SELECT min(used) FROM (SELECT sum(weight) / ($rate_of * EXTRACT(epoch FROM max(a.started_at) - min(a.started_at))) AS used
			FROM taskq.attempts a JOIN taskq.all_jobs USING (job_id) WHERE task_type IN ('ext', 'work') AND group_key IS NOT NULL AND a.epoch > $since GROUP BY group_key) s));
}

# sessions ------------------------------------------------------------------------

my $script = rates_script($node);

# windows ---------------------------------------------------------------------------

sql($node, q(SELECT taskq.set_limit('group', for_each => '{group_key}', rate => 6, burst => 4, overrides => '{"k0": {"rate": 12, "burst": 8}}')));
sql($node, q(SELECT taskq.set_limit('tenant', for_each => '{tenant_id}', rate => 70, burst => 20)));
wait_until($node, $armed, 'limits for each value are armed');
my $n = scaled(6000);
sql($node, qq(SELECT count(taskq.enqueue_job((ARRAY['ext', 'ext', 'work'])[1 + n % 3], group_key => 'k' || n % 20, tenant_id => 't' || n % 2, weight => 1 + n / 20 % 4 / 3)) FROM generate_series(1, $n) n));
my $began = last_epoch($node);
start_load($node, $script, 8);
stop_load();
my $ended = last_epoch($node);
cmp_ok(excess($rate_of, $burst_of, 'group_key'), '<=', 0.1, 'the rate of each of 20 groups holds in every window, for sessions and a pool together');
cmp_ok(excess(70, 20, 'tenant_id'), '<=', 0.1, 'so does that of each tenant, over its groups');
cmp_ok(used($began), '>=', 0.98, 'each group uses at least 98 percent of its rate');
cmp_ok(sql($node, "SELECT count(*) FROM taskq.attempts WHERE epoch BETWEEN $began AND $ended AND worker_id LIKE 'w%'"), '>', 50, 'sessions have run jobs');
cmp_ok(sql($node, "SELECT count(*) FROM taskq.attempts WHERE epoch BETWEEN $began AND $ended AND worker_id NOT LIKE 'w%'"), '>', 50, 'and so has the pool');
is(sql($node, q(SELECT count(*) FROM taskq.limit_starts)), 0, 'nothing is stored of fast rates');

start_load($node, $script, 3);
crash($node, pid_of($node, 'scheduler'));
$node->poll_query_until('postgres', 'SELECT true');
kill_load();
$began = last_epoch($node);
start_load($node, $script, 4);
stop_load();
cmp_ok(sql($node, "SELECT count(*) FROM taskq.attempts WHERE epoch > $began"), '>', 50, 'jobs start after a crash');
cmp_ok(excess($rate_of, $burst_of, 'group_key'), '<=', 0.1, 'the rate of each group holds in every window, through the crash');
cmp_ok(excess(70, 20, 'tenant_id'), '<=', 0.1, 'so does that of each tenant');

SKIP:
{
	skip 'needs a build with TESTING=1', 3 unless $can_move;
	sql($node, q(SELECT taskq.pause_pool(pool) FROM taskq.pools));
	wait_until($node, q(SELECT count(*) = 0 FROM taskq.all_jobs WHERE task_type = 'work' AND state = 'running'), 'the pool is idle');
	# jobs must be due for the clock that is set back
	sql($node, q(UPDATE taskq.jobs SET run_at = run_at - interval '1 h'));
	my $mark = last_epoch($node);
	move_clocks($node, 'taskq.clock_offset' => -20000);
	start_load($node, $script, 4);
	stop_load();
	cmp_ok(used($mark), '>=', 0.98, 'with the clock set back, each group uses its rate');
	cmp_ok(excess($rate_of, $burst_of, 'group_key', $mark, 20), '<=', 0.1, 'and no more');
	move_clocks($node, 'taskq.clock_offset' => 0);
	sql($node, q(SELECT taskq.resume_pool(pool) FROM taskq.pools));
}
sql($node, q(SELECT count(taskq.cancel_job(job_id)) FROM taskq.all_jobs WHERE state IN ('available', 'scheduled', 'retryable')));
sql($node, q(SELECT taskq.drop_limit('group'), taskq.drop_limit('tenant')));

# waiting ------------------------------------------------------------------------------

# Several sessions wait, and each moment of each group wakes one.
sql($node, q(SELECT taskq.set_limit('few', task_type => 'few', for_each => '{group_key}', rate => 4, burst => 1)));
wait_until($node, $armed, 'another limit is armed');
sql($node, q(SELECT count(taskq.enqueue_job('few', group_key => 'k' || n % 2)) FROM generate_series(1, 6) n));
my @answers = ('') x 6;
my @waiting = map { IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "SELECT job_id FROM taskq.claim_job('w$_', '{few}', wait => '60 s')" ],
	'<', '/dev/null', '>', \$answers[$_]) } 0 .. 5;
$_->finish for @waiting;
is(scalar(grep { $_ ne '' } @answers), 6, 'each of the sessions that wait gets a job');

# A watcher that ends is followed by another one.
sql($node, q(SELECT taskq.alter_limit('few', rate => 1)));
sql($node, q(SELECT count(taskq.enqueue_job('few', group_key => 'k1')) FROM generate_series(1, 2)));
sql($node, q(SELECT count(*) FROM taskq.claim_job('w1', '{few}', wait => '10 s')));
my $first = session($node);
my $second = session($node);
my $first_pid = $first->query_safe('SELECT pg_backend_pid()');
for my $waits ($first, $second)
{
	$waits->query_until(qr/waiting/, "\\echo waiting\nSELECT 'got ' || count(*) FROM taskq.claim_job('w2', '{few}', wait => '60 s');\n");
	poll($node, q(SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE '%w2%few%' AND wait_event_type = 'Extension'));
}
sql($node, "SELECT pg_terminate_backend($first_pid)");
$second->query_until(qr/got 1/, '');
pass('when the process that watches a moment ends, another one watches');

# A session that waits for a group far ahead wakes up for one whose moment comes sooner, though another claim was refused that.
sql($node, q(SELECT taskq.alter_limit('few', rate => 1, per => '20 s', overrides => '{"soon": {"rate": 20}}')));
sql($node, q(SELECT count(taskq.enqueue_job('few', group_key => 'k1')) FROM generate_series(1, 2)));
$second->query_until(qr/waiting/, "\\echo waiting\nSELECT 'got ' || group_key FROM taskq.claim_job('w2', '{few}', wait => '60 s');\n");
poll($node, q(SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE '%w2%few%' AND wait_event_type = 'Extension'));
sql($node, q(SELECT taskq.enqueue_job('few', group_key => 'soon')));
$second->query_until(qr/got soon/, '');
pass('a session that waits starts a job of the group whose moment comes first');
$second->quit;
sql($node, q(SELECT count(taskq.cancel_job(job_id)) FROM taskq.all_jobs WHERE state = 'available'));

# Nobody waits, and the pool has no idle worker: the scheduler starts one at the moment.
sql($node, q(SELECT taskq.set_limit('few', task_type => 'work', for_each => '{group_key}', rate => 4, burst => 1)));
sql($node, q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq worker'));
sql($node, q(SELECT count(taskq.enqueue_job('work', group_key => 'p' || n % 2)) FROM generate_series(1, 8) n));
wait_until($node, q(SELECT count(*) = 8 FROM taskq.all_jobs WHERE group_key LIKE 'p%' AND state = 'completed'), 'a pool runs the jobs of groups at their rates');
is(sql($node, q(SELECT count(*) FROM (SELECT a.started_at - lag(a.started_at) OVER (PARTITION BY group_key ORDER BY a.started_at) AS lag FROM taskq.attempts a JOIN taskq.all_jobs USING (job_id) WHERE group_key LIKE 'p%') s WHERE lag < '240 ms')), 0, 'and no faster');

# memory -------------------------------------------------------------------------------

SKIP:
{
	skip 'needs a build with TESTING=1', 4 unless $can_move;
	sql($node, q(SELECT taskq.set_limit('few', task_type => 'few', for_each => '{group_key}', rate => 1, per => '1 min', burst => 1)));
	wait_until($node, $armed, 'a limit for more values than memory has room for is armed');
	sql($node, q(SELECT taskq.enqueue_job('few', group_key => 'm' || n) FROM generate_series(1, 100) n));
	is(sql($node, q(SELECT count(*) FROM taskq.claim_jobs('w1', 1000, '{few}'))), 0, 'none has a token yet');
	move_clocks($node, 'taskq.steady_offset' => 120000);
	sql($node, q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq scheduler'));
	is(sql($node, q(SELECT count(*) FROM taskq.claim_jobs('w1', 1000, '{few}', lease => '1 h'))), 64, 'values for which there is room start jobs');
	is(sql($node, q(SELECT string_agg(DISTINCT d.reason_code, ' ') FROM taskq.all_jobs j, taskq.describe_job(j.job_id) d WHERE j.task_type = 'few' AND j.state = 'available')), 'limit_memory', 'the others wait for memory');
	is(sql($node, q(SELECT count(*) FROM taskq.limit_usage WHERE group_key LIKE 'm%')), 64, 'and use none');
	my $waits = session($node);
	$waits->query_until(qr/waiting/, "\\echo waiting\nSELECT 'got ' || count(*) FROM taskq.claim_job('w2', '{few}', wait => '60 s', lease => '1 h');\n");
	move_clocks($node, 'taskq.steady_offset' => 300000);
	$waits->query_until(qr/got 1/, '');
	pass('when other values are not used any more, they start');
	$waits->quit;
	wait_until($node, q(SELECT sum(c) = 100 FROM (SELECT count(*) AS c FROM taskq.all_jobs WHERE group_key LIKE 'm%' AND state = 'running' UNION ALL SELECT count(*) FROM taskq.claim_jobs('w1', 1000, '{few}', lease => '1 h')) s), 'all of them');
	move_clocks($node, 'taskq.steady_offset' => 0);
}
sql($node, q(SELECT taskq.drop_limit('few')));

# quotas -----------------------------------------------------------------------------------

sql($node, q(SELECT taskq.set_limit('quota', task_type => 'quota', for_each => '{group_key}', quota => 8, quota_window => '1 hour')));
wait_until($node, $armed, 'a quota for each value is armed');
sql($node, q(SELECT count(taskq.enqueue_job('quota', group_key => 'k' || n % 5)) FROM generate_series(1, 100) n));
my $claim = q(SELECT count(*) FROM taskq.claim_job('w1', '{quota}', wait => '10 s', lease => '1 h'));
is(sql($node, join(';', ($claim) x 20)), join("\n", (1) x 20), 'twenty jobs start');
$node->stop('immediate');
$node->start;
wait_until($node, $armed, 'the quota is armed after an immediate stop');
my $left = 0;
$left++ while sql($node, q(SELECT count(*) FROM taskq.claim_job('w1', '{quota}', wait => '1 s', lease => '1 h')));
cmp_ok($left, '<=', 20, 'what has started before counts, for each value');
cmp_ok($left, '>=', 10, 'and so does no more than a portion of each');
cmp_ok(sql($node, q(SELECT max(n) FROM (SELECT count(*) AS n FROM taskq.attempts a JOIN taskq.all_jobs USING (job_id) WHERE task_type = 'quota' GROUP BY group_key) s)), '<=', 8, 'no value has started more than its quota');
is(sql($node, q(SELECT count(*) FROM taskq.limit_starts)), 5, 'each value has one row');
SKIP:
{
	skip 'needs a build with TESTING=1', 2 unless $can_move;
	move_clocks($node, 'taskq.steady_offset' => 3700000, 'taskq.clock_offset' => 3700000);
	sql($node, q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq scheduler'));
	wait_until($node, q(SELECT count(*) = 0 FROM taskq.limit_starts), 'rows of values that are not used for longer than the window are removed');
	is(sql($node, join(';', ($claim) x 20)), join("\n", (1) x 20), 'when the window has passed, the quota is there again');
}
$node->stop;

done_testing();
