# Rates and quotas hold in every window of the history: while many sessions and a pool claim at once, and roll
# back; through a crash, and with the clock set back. They are used up, nobody polls, and a quota outlives an immediate stop.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

# nothing is found by polling
my $node = new_node('rates', conf => { 'taskq.poll_interval' => "'1 h'", 'taskq.worker_idle' => "'1 h'", 'taskq.max_wait' => "'1 min'",
	max_connections => 60, synchronous_commit => 'off' });
my $armed = q(SELECT bool_and(state = 'active') FROM taskq.limits);
my $can_move = sql($node, q(SELECT count(*) FROM pg_settings WHERE name = 'taskq.steady_offset'));

sql($node, q(SELECT taskq.register_handler(t, retry_policy => 'fixed', retry_base => '10 ms', max_attempts => 100) FROM unnest('{ext,few,quota}'::text[]) t));
add_type($node, 'postgres', 'app', 'work', 'work');
add_type($node, 'postgres', 'app', 'timed', 'work');
sql($node, q(SELECT taskq.register_worker('w' || n, '{ext,few,quota}') FROM generate_series(0, 9) n));

# By how much the starts of jobs exceed burst + rate * w in a window w of the history, at most. Starts with an
# epoch of more than $since were recorded by a clock that was set back by $back seconds.
sub excess
{
	my ($types, $rate, $burst, $since, $back) = @_;
	$since //= 9223372036854775807;
	$back //= 0;
	return sql($node, qq(
		WITH starts AS (SELECT EXTRACT(epoch FROM a.started_at) + CASE WHEN a.epoch > $since THEN $back ELSE 0 END AS at, j.weight, a.epoch
			FROM taskq.attempts a JOIN taskq.all_jobs j USING (job_id) WHERE task_type = ANY ('$types')),
		sums AS (SELECT at, sum(weight) OVER (ORDER BY at, epoch) AS n, weight FROM starts)
		SELECT COALESCE(round(max(by), 3), -$burst) FROM (SELECT n - $rate * at - min(n - weight - $rate * at) OVER (ORDER BY n) - $burst AS by FROM sums) s));
}

# How much of a rate is used from the first start after an epoch to the last one.
sub used
{
	my ($types, $rate, $since) = @_;
	return sql($node, qq(
		SELECT sum(weight) / ($rate * EXTRACT(epoch FROM max(a.started_at) - min(a.started_at)))
		FROM taskq.attempts a JOIN taskq.all_jobs USING (job_id) WHERE task_type = ANY ('$types') AND a.epoch > $since));
}

# sessions ------------------------------------------------------------------------

my $script = rates_script($node);

# jobs that weigh one and two
sub fill
{
	my ($type, $n) = ($_[0], scaled($_[1]));
	sql($node, "SELECT count(taskq.enqueue_job('$type', weight => 1 + n % 4 / 3)) FROM generate_series(1, $n) n");
	return;
}

# windows ---------------------------------------------------------------------------

sql($node, q(SELECT taskq.set_limit('all', rate => 60, burst => 15), taskq.set_limit('ext', task_type => 'ext', rate => 40, burst => 8)));
fill('ext', 3000);
fill('work', 1500);
my $began = last_epoch($node);
start_load($node, $script, 8);
stop_load();
my $ended = last_epoch($node);
cmp_ok(excess('{ext}', 40, 8), '<=', 0.1, 'a rate holds in every window, for sessions');
cmp_ok(excess('{ext,work}', 60, 15), '<=', 0.1, 'so does one for sessions and a pool together');
cmp_ok(used('{ext,work}', 60, $began), '>=', 0.98, 'at least 98 percent of it are used');
cmp_ok(sql($node, "SELECT count(*) FROM taskq.attempts WHERE epoch BETWEEN $began AND $ended AND worker_id LIKE 'w%'"), '>', 50, 'sessions have run jobs');
cmp_ok(sql($node, "SELECT count(*) FROM taskq.attempts WHERE epoch BETWEEN $began AND $ended AND worker_id NOT LIKE 'w%'"), '>', 50, 'and so has the pool');

start_load($node, $script, 4);
crash($node, pid_of($node, 'scheduler'));
$node->poll_query_until('postgres', 'SELECT true');
kill_load();
start_load($node, $script, 3);
stop_load();
cmp_ok(excess('{ext}', 40, 8), '<=', 0.1, 'a rate holds in every window, through a crash');
cmp_ok(excess('{ext,work}', 60, 15), '<=', 0.1, 'also for sessions and a pool together');

SKIP:
{
	skip 'needs a build with TESTING=1', 2 unless $can_move;
	sql($node, q(SELECT taskq.pause_pool(pool) FROM taskq.pools));
	wait_until($node, q(SELECT count(*) = 0 FROM taskq.all_jobs WHERE task_type = 'work' AND state = 'running'), 'the pool is idle');
	# jobs must be due for the clock that is set back
	sql($node, q(UPDATE taskq.jobs SET run_at = run_at - interval '1 h'));
	my $mark = last_epoch($node);
	move_clocks($node, 'taskq.clock_offset' => -20000);
	start_load($node, $script, 3);
	stop_load();
	cmp_ok(sql($node, "SELECT count(*) FROM taskq.attempts WHERE epoch > $mark"), '>', 50, 'jobs start although the clock was set back');
	cmp_ok(excess('{ext}', 40, 8, $mark, 20), '<=', 0.1, 'and in every window no more than before');
	move_clocks($node, 'taskq.clock_offset' => 0);
	sql($node, q(SELECT taskq.resume_pool(pool) FROM taskq.pools));
}
sql($node, q(SELECT count(taskq.cancel_job(job_id)) FROM taskq.all_jobs WHERE state IN ('available', 'scheduled', 'retryable')));
sql($node, q(SELECT taskq.drop_limit('all'), taskq.drop_limit('ext')));

# waiting ------------------------------------------------------------------------------

# Several sessions wait, and each moment wakes one. Without preload or a watcher the second would never come.
sql($node, q(SELECT taskq.set_limit('few', task_type => 'few', rate => 5, burst => 1)));
sql($node, q(SELECT count(taskq.enqueue_job('few')) FROM generate_series(1, 6)));
my @answers = ('') x 6;
my @waiting = map { IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "SELECT job_id FROM taskq.claim_job('w$_', '{few}', wait => '60 s')" ],
	'<', '/dev/null', '>', \$answers[$_]) } 0 .. 5;
$_->finish for @waiting;
is(scalar(grep { $_ ne '' } @answers), 6, 'each of the sessions that wait gets a job');
cmp_ok(excess('{few}', 5, 1), '<=', 0.1, 'at its rate');

# A watcher that gives up is followed by another one.
sql($node, q(SELECT taskq.alter_limit('few', rate => 1)));
sql($node, q(SELECT count(taskq.enqueue_job('few')) FROM generate_series(1, 2)));
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
pass('when the process that watches a rate ends, another one watches');
$second->quit;

# One who waits for a heavy job, far ahead, watches for nobody else.
sql($node, q(SELECT taskq.drop_limit('few'), taskq.set_limit('both', rate => 10, burst => 1000)));
sql($node, q(SELECT taskq.enqueue_job('ext', weight => 1000), count(taskq.enqueue_job('few')) FROM generate_series(1, 30)));
my $heavy = session($node);
$heavy->query_until(qr/waiting/, "\\echo waiting\nSELECT 'got ' || count(*) FROM taskq.claim_job('w2', '{ext}', wait => '60 s');\n");
poll($node, q(SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE '%w2%ext%' AND wait_event_type = 'Extension'));
is(sql($node, join(';', (q(SELECT count(*) FROM taskq.claim_job('w1', '{few}', wait => '10 s'))) x 20)), join("\n", (1) x 20), 'light jobs start while a heavy one waits');
sql($node, q(SELECT taskq.drop_limit('both')));
$heavy->query_until(qr/got 1/, '');
$heavy->quit;
sql($node, q(SELECT count(taskq.cancel_job(job_id)) FROM taskq.all_jobs WHERE state = 'available'));
sql($node, q(SELECT taskq.set_limit('few', task_type => 'few', rate => 1)));

# the pool, without any idle worker at first
sql($node, q(SELECT taskq.set_limit('timed', task_type => 'timed', rate => 4, burst => 1)));
sql($node, q(SELECT count(taskq.enqueue_job('timed')) FROM generate_series(1, 4)));
wait_until($node, q(SELECT count(*) = 4 FROM taskq.all_jobs WHERE task_type = 'timed' AND state = 'completed'), 'a pool runs jobs at a rate');
cmp_ok(excess('{timed}', 4, 1), '<=', 0.1, 'and no faster');

# prepared transactions ------------------------------------------------------------------------

sql($node, q(SELECT taskq.register_handler('twophase'), taskq.set_limit('twophase', task_type => 'twophase', quota => 10, quota_window => '1 hour')));
sql($node, q(SELECT taskq.register_worker('w2p', '{twophase}')));
sql($node, q(CREATE FUNCTION twophase(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1'));
wait_until($node, $armed, 'a quota for jobs of prepared transactions is armed');
sql($node, q(SELECT taskq.enqueue_job('twophase')));
my $quota_left = q(SELECT quota_left FROM taskq.limit_usage WHERE name = 'twophase');
fails_with($node, '0A000', q(BEGIN; SELECT taskq.complete_job(job_id, epoch) FROM taskq.claim_job('w2p', '{twophase}', wait => '10 s'); PREPARE TRANSACTION 'a'), 'a transaction that has claimed cannot be prepared');
is(sql($node, $quota_left), 10, 'it has paid nothing');
sql($node, q(BEGIN; SELECT taskq.run_next('{twophase}', 'twophase(jsonb)'); PREPARE TRANSACTION 'a'));
is(sql($node, q(ROLLBACK PREPARED 'a') . "; $quota_left"), 9, 'a run in a prepared transaction stays paid when that is rolled back, as its handler was called');
sql($node, q(SELECT taskq.drop_limit('twophase'), taskq.unregister_worker('w2p'), taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE task_type = 'twophase'));

# quotas -----------------------------------------------------------------------------------

sql($node, q(SELECT taskq.set_limit('quota', task_type => 'quota', quota => 40, quota_window => '1 hour')));
wait_until($node, $armed, 'a quota is armed');
sql($node, q(SELECT count(taskq.enqueue_job('quota')) FROM generate_series(1, 100)));
my $claim = q(SELECT count(*) FROM taskq.claim_job('w1', '{quota}', wait => '10 s', lease => '1 h'));
is(sql($node, join(';', ($claim) x 20)), join("\n", (1) x 20), 'twenty jobs start');
$node->stop('immediate');
$node->start;
wait_until($node, $armed, 'the quota is armed after an immediate stop');
my $left = sql($node, q(SELECT quota_left FROM taskq.limit_usage WHERE name = 'quota'));
cmp_ok($left, '<=', 20, 'what has started before counts');
cmp_ok($left, '>=', 10, 'and so does no more than a portion');
is(sql($node, join(';', ($claim) x $left)), join("\n", (1) x $left), 'the rest may start');
is(sql($node, q(SELECT count(*) FROM taskq.claim_job('w1', '{quota}', wait => '100 ms'))), 0, 'and no more');
my $size = sql($node, q(SELECT pg_relation_size('taskq.limit_starts')));
cmp_ok($size, '<=', 65536, 'what is stored does not grow');
SKIP:
{
	skip 'needs a build with TESTING=1', 1 unless $can_move;
	my $waits = session($node);
	move_clocks($node, 'taskq.steady_offset' => 3700000);
	sql($node, q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq scheduler'));
	is(sql($node, join(';', ($claim) x 40)), join("\n", (1) x 40), 'when the window has passed, the quota is there again');
}
$node->stop;

# a slow rate, and jobs of a shared commit ----------------------------------------------------

$node->append_conf('postgresql.conf', "taskq.steady_offset = '0'\n") if $can_move;
$node->start;
# the second job of the same number fails at the commit
sql_as($node, 'postgres', 'app', q(CREATE TABLE app.once (n integer UNIQUE DEFERRABLE INITIALLY DEFERRED);
	CREATE FUNCTION app.once(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$ INSERT INTO app.once VALUES (payload::integer) RETURNING '1'::jsonb $$));
add_type($node, 'postgres', 'app', 'once', 'once', "share_commit => true, retry_policy => 'none', max_attempts => 1");
sql($node, q(SELECT taskq.alter_pool(pool, size => 1) FROM taskq.pools));
sql($node, q(SELECT taskq.set_limit('once', task_type => 'once', rate => 1, per => '1 day', burst => 10)));
wait_until($node, q(SELECT state = 'active' AND tokens = 10 FROM taskq.limits JOIN taskq.limit_usage USING (name) WHERE name = 'once'), 'a new slow rate lets its burst start');
my $log = log_since($node);
sql($node, q(SELECT count(taskq.enqueue_job('once', to_jsonb(n))) FROM unnest('{1,2,1,3}'::integer[]) n));
wait_until($node, q(SELECT string_agg(state, ' ' ORDER BY state) = 'completed completed completed discarded' FROM taskq.all_jobs WHERE task_type = 'once'), 'the jobs of a shared commit end');
like(slurp_file($node->logfile, $log), qr/a shared commit failed, so its taskq jobs are run singly/, 'which has failed');
is(sql($node, q(SELECT tokens FROM taskq.limit_usage WHERE name = 'once')), 6, 'a shared commit that is run again singly does not pay twice');
$node->stop('immediate');
$node->start;
wait_until($node, q(SELECT state = 'active' FROM taskq.limits WHERE name = 'once'), 'a slow rate is armed after an immediate stop');
cmp_ok(sql($node, q(SELECT tokens FROM taskq.limit_usage WHERE name = 'once')), '<=', 6, 'what has started before counts');
$node->stop;

# without preload -------------------------------------------------------------------------------

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->start;
sql($node, q(SELECT count(taskq.enqueue_job('few')) FROM generate_series(1, 2)));
is(sql($node, q(SELECT count(*) FROM taskq.claim_jobs('w1', 9, '{few}'))), 0, 'without preload no job under a rate starts');
is(sql($node, q(SELECT reason_code FROM taskq.explain_claim('w1') WHERE task_type = 'few')), 'needs_preload', 'explain_claim() says so');
$node->stop;

done_testing();
