# Limits for each value of a key hold at every moment: while many sessions and a pool claim
# at once, and roll back, fail, let leases expire and change the limits; through a crash, an
# immediate stop and a promotion; and if shared memory has no room for the lanes. Whoever
# waits is woken when a job of a lane may start.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

# nothing is found by polling
my $node = new_node('keys', init => { allows_streaming => 1 },
	conf => { 'taskq.poll_interval' => "'1 h'", 'taskq.worker_idle' => "'1 h'", max_connections => 60, wal_level => 'replica', synchronous_commit => 'off' });
my $armed = q(SELECT bool_and(state = 'active') FROM taskq.limits);
my $claimed = q(SELECT count(*) FROM taskq.claim_jobs);

# Complete the running jobs of a group, or one of them.
sub complete
{
	my ($group, $most) = @_;
	$most //= 'ALL';
	return sql($node, "SELECT count(taskq.complete_job(job_id, epoch)) FROM (SELECT * FROM taskq.all_jobs WHERE state = 'running' AND group_key = '$group' ORDER BY job_id LIMIT $most) j");
}

# Wait until the database has so many running jobs of a group.
sub runs
{
	my ($group, $n, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until($node, "SELECT count(*) = $n FROM taskq.all_jobs WHERE state = 'running' AND group_key = '$group'", $name);
}

# Cancel all that waits, and complete all that runs.
sub clear
{
	sql($node, q(SELECT taskq.cancel_job(job_id) FROM taskq.jobs WHERE NOT state = 'r'));
	sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running'));
	return is(sql($node, q(SELECT count(*) FROM taskq.jobs)), 0, 'no job is left');
}

sql($node, q(SELECT taskq.register_handler(t, retry_policy => 'fixed', retry_base => '10 ms', max_attempts => 100) FROM unnest('{ext,other}'::text[]) t));
sql($node, q(SELECT taskq.create_queue('second')));
add_type($node, 'postgres', 'app', 'work', 'work', 'share_commit => true');
sql($node, q(SELECT taskq.register_worker('w' || n, '{ext,other}', lease => '1 s') FROM generate_series(0, 9) n));

# arming ---------------------------------------------------------------------------

sql($node, q(SELECT taskq.enqueue_job('other'), taskq.enqueue_job('ext', group_key => 'a')));
my $open = session($node);
$open->query_safe(q(BEGIN));
$open->query_safe(qq($claimed('w1', 1, '{other}', lease => '1 h')));
sql($node, q(SELECT taskq.set_limit('group', task_type => 'ext', for_each => '{group_key}', concurrency => 2)));
wait_until($node, q(SELECT state = 'arming' FROM taskq.limits), 'a new limit waits for an open transaction that has claimed a job');
wait_until($node, q(SELECT bool_or(gate = 'l') FROM taskq.jobs WHERE group_key = 'a'), 'meanwhile the waiting jobs are moved into lanes');
is(sql($node, qq(SET statement_timeout = '60 s'; $claimed('w2', 9, '{ext}'))), 0, 'a claim gets no job, and does not wait until the limit is armed');
is(sql($node, q(SELECT reason_code FROM taskq.explain_claim('w2') WHERE task_type = 'ext')), 'limit_arming', 'explain_claim() says why');
my @waits = map { session($node) } 0 .. 2;
begin_claim($waits[0], qq($claimed('w2', 9, '{ext}', wait => '1 h', lease => '1 h');));
poll($node, claims_wait(1));
$open->query_safe('COMMIT');
is(answer_of($waits[0]), 1, 'a session that waits is woken when the limit is armed');
clear();

# wake-ups -----------------------------------------------------------------------------

sql($node, q(SELECT taskq.enqueue_job('ext', group_key => 'a') FROM generate_series(1, 4)));
is(sql($node, qq($claimed('w0', 9, '{ext}', lease => '1 h'))), 2, 'two jobs of a group run');
begin_claim($waits[$_], qq($claimed('w$_', 1, '{ext}', wait => '1 h', lease => '1 h');)) for 0 .. 1;
poll($node, claims_wait(2));
complete('a', 1);
wait_until($node, claims_wait(1), 'the end of a job wakes one session');
complete('a', 1);
is(answer_of($waits[$_]), 1, 'each of two ends has woken one') for 0 .. 1;
runs('a', 2, 'and two jobs run again');

# The lists are forgotten while a session waits, as after the end of a prepared transaction.
sql($node, q(SELECT taskq.enqueue_job('ext', group_key => 'a')));
begin_claim($waits[0], qq($claimed('w0', 1, '{ext}', wait => '1 h', lease => '1 h');));
poll($node, claims_wait(1));
sql($node, q(BEGIN; SELECT taskq.enqueue_job('other', delay => '1 h'); PREPARE TRANSACTION 'enqueue'));
sql($node, q(COMMIT PREPARED 'enqueue'));
poll($node, q(SELECT count(*) = 1 FROM taskq.jobs WHERE run_at > now()));
poll($node, claims_wait(1));
complete('a', 1);
is(answer_of($waits[0]), 1, 'also after all lists were forgotten');

# A session waits for a job that only its own transaction sees.
begin_claim($waits[0], qq(BEGIN; SELECT 1 FROM taskq.enqueue_job('ext', group_key => 'a', priority => -1); $claimed('w0', 1, '{ext}', wait => '1 h'); COMMIT;));
poll($node, claims_wait(1));
complete('a', 1);
like(answer_of($waits[0]), qr/\n1$/, 'also if the job was added by the transaction that waits');
clear();

# Two limits, of which one is for tenants over many lanes, and two routes, one of which has no worker.
sql($node, q(SELECT taskq.set_limit('tenant', for_each => '{tenant_id}', concurrency => 3)));
$node->poll_query_until('postgres', $armed);
sql($node, q(SELECT taskq.enqueue_job('ext', queue => q, tenant_id => 't', group_key => 'g' || n / 2) FROM generate_series(0, 19) n, unnest('{default,second}'::text[]) q));
is(sql($node, qq($claimed('w0', 9, '{ext}', lease => '1 h'))), 3, 'three jobs of a tenant run');
begin_claim($waits[$_], qq($claimed('w$_', 1, '{ext}', wait => '1 h', lease => '1 h');)) for 0 .. 2;
poll($node, claims_wait(3));
sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running'));
is(answer_of($waits[$_]), 1, 'three ends in one transaction wake three sessions') for 0 .. 2;
begin_claim($waits[0], qq($claimed('w0', 1, '{ext}', wait => '1 h', lease => '1 h');));
poll($node, claims_wait(1));
sql($node, q(SELECT taskq.snooze_job(job_id, epoch, '1 h') FROM taskq.all_jobs WHERE state = 'running' ORDER BY job_id LIMIT 1));
is(answer_of($waits[0]), 1, 'so does a snooze');
begin_claim($waits[0], qq($claimed('w0', 1, '{ext}', wait => '1 h', lease => '1 h');));
poll($node, claims_wait(1));
sql($node, q(SELECT taskq.alter_limit('tenant', 4)));
is(answer_of($waits[0]), 1, 'so does a higher limit');
begin_claim($waits[0], qq($claimed('w0', 1, '{ext}', wait => '1 h', lease => '1 h');));
poll($node, claims_wait(1));
sql($node, q(SELECT taskq.drop_limit('tenant')));
is(answer_of($waits[0]), 1, 'so does the end of the limit');
clear();
$_->quit for @waits, $open;

# load -------------------------------------------------------------------------------

# Runs with the same value of a key that overlap: the most at any moment, from the times at which the claim had begun
# to hold the limit, and at which the run ended before it was freed.
sub most_at_once
{
	my ($key) = @_;
	return sql($node, qq(
		WITH runs AS (
			SELECT $key AS value, a.started_at, a.finished_at FROM taskq.attempts a JOIN taskq.all_jobs USING (job_id)
			WHERE $key IS NOT NULL AND payload ? 'load' AND a.finished_at > a.started_at),
		steps AS (SELECT value, started_at AS at, 1 AS step FROM runs UNION ALL SELECT value, finished_at, -1 FROM runs)
		SELECT COALESCE(max(n), 0) FROM (SELECT sum(step) OVER (PARTITION BY value ORDER BY at, step) AS n FROM steps) s));
}

my $script = load_script($node, q(wait => '50 ms'));

# Enqueue jobs of tenants and groups; some have no key, and some are due later.
sub fill
{
	my ($n, $groups) = (scaled($_[0]), $_[1]);
	sql($node, "SELECT count(taskq.enqueue_job((ARRAY['ext', 'ext', 'work'])[1 + i % 3], '{\"load\": 1}', queue => (ARRAY['default', 'second'])[1 + i % 2],
		group_key => CASE WHEN i % 11 > 0 THEN 'g' || i * 7 % $groups END, tenant_id => CASE WHEN i % 13 > 0 THEN 't' || i % 5 END, priority => i % 3,
		delay => CASE WHEN i % 17 = 0 THEN interval '1 s' * random() END)) FROM generate_series(1, $n) i");
	return;
}

# Let all jobs end, those that a lost client had claimed after their leases.
sub finish
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	start_load($node, $script, 1);
	stop_load();
	for (1 .. 1000)
	{
		last if sql($node, q(SELECT NOT EXISTS (SELECT FROM taskq.jobs))) eq 't';
		sql($node, q(SELECT count(taskq.complete_job(job_id, epoch)) FROM taskq.claim_jobs('w9', 1000, '{ext}', wait => '1 s')));
	}
	settled($node, $name);
	is(sql($node, q(SELECT COALESCE(sum(in_use), 0) FROM taskq.limit_usage)), 0, 'afterwards nothing is in use');
	cmp_ok(most_at_once('group_key'), '<=', 1, 'the limit of each group holds at every moment');
	cmp_ok(most_at_once('tenant_id'), '<=', 3, 'also that of each tenant');
	return;
}

sql($node, q(SELECT taskq.alter_pool('app', queues => '{default,second}')));
sql($node, q(SELECT taskq.set_limit('group', for_each => '{group_key}', concurrency => 1), taskq.set_limit('tenant', for_each => '{tenant_id}', concurrency => 3)));
wait_until($node, $armed, 'limits are armed');
fill(1500, 40);
start_load($node, $script, 4);
for (1 .. 6)
{
	sql($node, "SELECT taskq.alter_limit('tenant', $_)") for 1, 3, 2, 3;
	sql($node, q(SELECT taskq.set_limit('both', task_type => 'ext', for_each => '{tenant_id,group_key}', concurrency => 1)));
	sql($node, q(SELECT taskq.set_limit('t1', tenant_id => 't1', concurrency => 2)));
	sql($node, q(SELECT taskq.drop_limit('both'), taskq.drop_limit('t1')));
}
stop_load();
cmp_ok(sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE state = 'completed' AND payload ? 'load')), '>', 100, 'jobs were completed under load');
finish('all jobs end that waited while limits changed');

fill(1200, 300);
start_load($node, $script, 3);
crash($node, pid_of($node, 'scheduler'));
$node->poll_query_until('postgres', 'SELECT true');
kill_load();
start_load($node, $script, 2);
stop_load();
$node->stop('immediate');
$node->start;
finish('all jobs end after a crash and an immediate stop');

# read mode ----------------------------------------------------------------------------

$node->append_conf('postgresql.conf', 'taskq.max_lanes = 16');
$node->restart;
fill(800, 500);
start_load($node, $script, 2);
stop_load();
finish('all jobs end if there are more lanes than shared memory has room for');
sql($node, q(SELECT taskq.alter_limit('tenant', 1000)));
sql($node, q(SELECT taskq.enqueue_job('ext', group_key => 'r' || n % 30) FROM generate_series(1, 60) n));
is(sql($node, qq($claimed('w0', 100, '{ext}', lease => '1 h'))), 30, 'one job of each group runs');
my $waiter = session($node);
begin_claim($waiter, qq($claimed('w0', 9, '{ext}', wait => '1 h', lease => '1 h');));
poll($node, claims_wait(1));
complete('r7');
is(answer_of($waiter), 1, 'a session is woken by the end of a job');
$waiter->quit;
clear();
sql($node, q(SELECT taskq.alter_limit('tenant', 3)));
$node->adjust_conf('postgresql.conf', 'taskq.max_lanes', undef);
$node->restart;

# promotion --------------------------------------------------------------------------

$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
sql($node, q(SELECT taskq.enqueue_job('ext', group_key => 'p' || n % 2) FROM generate_series(1, 6) n));
# without waiting for the disk, the claim would not be replicated yet
is(sql($node, qq(SET synchronous_commit = on; $claimed('w1', 9, '{ext}', lease => '1 h'))), 2, 'a job of each group is claimed on the primary');
$node->wait_for_catchup($standby);
$node->stop('immediate');
$standby->promote;
wait_until($standby, $armed, 'limits are armed after a promotion');
is(sql($standby, q(SELECT sum(in_use) FROM taskq.limit_usage WHERE group_key IS NOT NULL)), 2, 'claims of the old primary hold what they held');
is(sql($standby, qq($claimed('w2', 9, '{ext}'))), 0, 'so no other job of the groups starts');
sql($standby, q(SELECT taskq.unregister_worker('w1')));
is(sql($standby, qq($claimed('w2', 9, '{ext}'))), 2, 'when they end, others start');
$standby->stop;

clean_log($node, but => qr/terminated by signal 9|exited with|recovery mode/);
done_testing();
