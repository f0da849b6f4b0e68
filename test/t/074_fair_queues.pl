# The groups of a fair queue take turns: by a pool and by external workers, over two task
# types, with weights, with a backlog from before the queue was fair, through a restart, and
# if shared memory has no room for the lanes.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('fair', conf => { synchronous_commit => 'off', 'taskq.poll_interval' => "'1 h'" });
sql($node, q(SELECT taskq.register_handler(t) FROM unnest('{ext,other}'::text[]) t));
add_type($node, 'postgres', 'app', 'work', 'work', 'share_commit => true');
add_type($node, 'postgres', 'app', 'too', 'work');
sql($node, q(SELECT taskq.pause_pool('app')));
sql($node, q(SELECT taskq.create_queue('fair', fair => true, weights => '{"heavy": 3}')));
sql($node, q(SELECT taskq.register_worker('w' || n, '{ext,other}', '{fair}', lease => '1 h') FROM generate_series(1, 4) n));

# Enqueue so many jobs of each of these groups, alternately of two types.
sub fill
{
	my ($n, $groups, @types) = @_;
	@types = ('ext', 'other') unless @types;
	sql($node, "SELECT count(taskq.enqueue_job((ARRAY['$types[0]', '$types[1]'])[1 + i % 2], queue => 'fair', group_key => g)) FROM generate_series(1, $n) i, unnest('{$groups}'::text[]) g");
	return;
}

# Claim and complete jobs until there is none, in calls for so many, or only so many jobs.
sub work_off
{
	my ($batch, $most) = @_;
	$most //= 1000000;
	my $claim = $batch == 1 ? q(taskq.claim_job('w1')) : "taskq.claim_jobs('w1', $batch)";
	sql($node, qq(
		DO \$\$
		DECLARE
			done bigint := 0;
			n bigint;
		BEGIN
			LOOP
				SELECT count(taskq.complete_job(job_id, epoch)) INTO n FROM $claim;
				EXIT WHEN n = 0 OR done >= $most;
				done := done + n;
				COMMIT;
			END LOOP;
		END \$\$));
	return;
}

# What has run since, in the order of its ends.
my $seen = '-infinity';
sub mark
{
	$seen = sql($node, 'SELECT clock_timestamp()');
	return;
}
sub runs
{
	my ($key) = @_;
	$key //= 'group_key';
	return "(SELECT j.$key AS group_key, j.task_type, row_number() OVER (ORDER BY a.finished_at, a.epoch) AS n FROM taskq.attempts a JOIN taskq.all_jobs j USING (job_id) WHERE a.started_at > '$seen')";
}

# After how many starts the last job has started of groups like this.
sub last_of
{
	my ($like) = @_;
	return sql($node, "SELECT max(n) FROM " . runs() . " r WHERE group_key LIKE '$like'");
}

# Jain's index over the runs of the groups, the least of all tenths.
sub least_index
{
	my ($key) = @_;
	return sql($node, 'SELECT round(min(i)::numeric, 4) FROM (SELECT sum(c) ^ 2 / (count(*) * sum(c ^ 2)) AS i FROM'
		  . ' (SELECT t, g, count(r.n) AS c FROM generate_series(0, 9) t CROSS JOIN (SELECT DISTINCT group_key AS g FROM ' . runs($key) . ' x) gs'
		  . ' LEFT JOIN (SELECT group_key, n, ntile(10) OVER (ORDER BY n) - 1 AS tenth FROM ' . runs($key) . ' x) r ON r.tenth = t AND r.group_key = g GROUP BY t, g) s GROUP BY t) i');
}
sub is_fair
{
	my ($name, $key) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $index = least_index($key);
	note("$name: Jain's index is at least $index in each tenth");
	return cmp_ok($index, '>=', 0.95, $name);
}

# The ratio of the runs of two groups among the first of all.
sub ratio_is
{
	my ($a, $b, $expected, $first, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $ratio = sql($node, "SELECT round(count(*) FILTER (WHERE group_key = '$a')::numeric / count(*) FILTER (WHERE group_key = '$b'), 3) FROM " . runs() . " r WHERE n <= $first");
	note("$name: $ratio");
	return ok(abs($ratio / $expected - 1) < 0.05, $name);
}

# Let the pool run all jobs.
sub run_pool
{
	my ($name, $size) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	sql($node, "SELECT taskq.alter_pool('app', size => $size, queues => '{fair}'), taskq.resume_pool('app')");
	settled($node, $name);
	sql($node, q(SELECT taskq.pause_pool('app')));
	return;
}

my $ten = join(',', map { "g$_" } 1 .. 10);
my @groups_of_ten = map { my $r = "s$_"; join(',', map { "$r$_" } 1 .. 10) } 'a' .. 'z';

# a large backlog ahead ------------------------------------------------------------

for my $batch (1, 7, 500)
{
	my $small = shift @groups_of_ten;
	mark();
	fill(5000, "big$batch");
	fill(10, $small);
	work_off($batch, 150);
	cmp_ok(last_of(substr($small, 0, 2) . '%'), '<=', 115, "groups of 10 jobs behind 5000 have a fair share of claims of $batch")
	  or diag(last_of(substr($small, 0, 2) . '%'));
	sql($node, q(SELECT count(taskq.cancel_job(job_id)) FROM taskq.jobs));
}

# equal shares ---------------------------------------------------------------------

mark();
fill(100, $ten);
work_off(1);
is_fair('groups with jobs of two types share single claims');
mark();
fill(100, $ten);
work_off(500);
is_fair('and claims of many jobs');
mark();
fill(400, $ten, 'work', 'too');
run_pool('a pool has run all jobs', 4);
is_fair('groups share a pool');

# weights --------------------------------------------------------------------------

mark();
fill(300, 'heavy');
fill(300, 'one');
work_off(1);
ratio_is('heavy', 'one', 3, 400, 'weights of 1 and 3 count in single claims');
mark();
fill(300, 'heavy,one');
work_off(100);
ratio_is('heavy', 'one', 3, 400, 'and in claims of many jobs');
mark();
fill(900, 'heavy,one', 'work', 'too');
run_pool('a pool has run all jobs of two weights', 3);
ratio_is('heavy', 'one', 3, 1100, 'and in a pool');

# several claimers -----------------------------------------------------------------

mark();
fill(200, $ten);
my $script = PostgreSQL::Test::Utils::tempdir() . '/claim.sql';
append_to_file($script, "\\set w :client_id + 1\nSELECT count(taskq.complete_job(job_id, epoch)) FROM taskq.claim_jobs('w' || :w, 3);\n");
$node->command_ok([ 'pgbench', '-n', '-f', $script, '-c', 4, '-t', 200, '-h', $node->host, '-p', $node->port, 'postgres' ], 'four sessions claim at once');
work_off(1);
is_fair('groups share what several sessions claim');

# Lanes that are finer than the groups: tenants take turns, and a limit is for each group key.
sql($node, q(SELECT taskq.alter_queue('fair', fair_by => '{tenant_id}', weights => '{}'), taskq.set_limit('one', queue => 'fair', for_each => '{group_key}', concurrency => 1)));
$node->poll_query_until('postgres', q(SELECT bool_and(state = 'active') FROM taskq.limits));
mark();
sql($node, q(SELECT count(taskq.enqueue_job('ext', queue => 'fair', tenant_id => t, group_key => t || i % 200)) FROM unnest('{t1,t2,t3,t4}'::text[]) t, generate_series(1, 500) i));
$node->command_ok([ 'pgbench', '-n', '-f', $script, '-c', 4, '-t', 150, '-h', $node->host, '-p', $node->port, 'postgres' ], 'four sessions claim jobs of tenants');
is_fair('tenants share what several sessions claim, with many lanes each', 'tenant_id');
work_off(1);
is(sql($node, q(SELECT count(*) FROM taskq.jobs)), 0, 'all jobs of tenants end');
sql($node, q(SELECT taskq.drop_limit('one'), taskq.alter_queue('fair', fair_by => '{group_key}', weights => '{"heavy": 3}')));

# the backlog of a queue that becomes fair, and a restart --------------------------------

sql($node, q(SELECT taskq.alter_queue('fair', fair => false)));
fill(1500, 'big');
fill(10, $ten);
sql($node, q(SELECT taskq.alter_queue('fair', fair => true)));
mark();
wait_until($node, q(SELECT NOT EXISTS (SELECT FROM taskq.jobs WHERE gate = 'o')), 'the backlog is moved to lanes');
work_off(1, 55);
$node->restart;
work_off(1, 55);
cmp_ok(last_of('g%'), '<=', 125, 'small groups of a backlog have their share, also through a restart') or diag(last_of('g%'));
sql($node, q(SELECT count(taskq.cancel_job(job_id)) FROM taskq.jobs));

# queues by weight ---------------------------------------------------------------------

# Of so many starts in these queues, how many were of each.
sub queue_shares
{
	my ($first) = @_;
	return sql($node, "SELECT string_agg(queue || ' ' || n, ', ' ORDER BY queue) FROM (SELECT queue, count(*) AS n FROM (SELECT j.queue FROM taskq.attempts a JOIN taskq.all_jobs j USING (job_id) WHERE a.started_at > '$seen' ORDER BY a.started_at, a.epoch LIMIT $first) r GROUP BY queue) s");
}

sql($node, q(SELECT taskq.create_queue(q) FROM unnest('{qa,qb,qc}'::text[]) q));
sql($node, q(SELECT taskq.register_worker('wq', '{ext}', '{qa,qb,qc}', lease => '1 h', queue_weights => '{"qb": 3}')));
sub fill_queues
{
	my ($type, $n) = @_;
	mark();
	sql($node, "SELECT count(taskq.enqueue_job('$type', queue => q, priority => CASE q WHEN 'qa' THEN 0 ELSE 5 END)) FROM unnest('{qa,qb,qc}'::text[]) q, generate_series(1, $n)");
	return;
}

# Each claim comes from a session of its own.
fill_queues('ext', 100);
my $claims = PostgreSQL::Test::Utils::tempdir() . '/each.sql';
append_to_file($claims, "SELECT count(taskq.complete_job(job_id, epoch)) FROM taskq.claim_job('wq');\n");
$node->command_ok([ 'pgbench', '-n', '-C', '-f', $claims, '-t', 100, '-h', $node->host, '-p', $node->port, 'postgres' ], 'a hundred sessions claim');
is(queue_shares(100), 'qa 20, qb 60, qc 20', 'queues share the claims of several sessions of a worker by weight');
sql($node, q(SELECT count(taskq.complete_job(job_id, epoch)) FROM taskq.claim_jobs('wq', 1000)));

sql($node, q(SELECT taskq.alter_pool('app', size => 3, queues => '{qa,qb,qc}', queue_weights => '{"qb": 3}')));
fill_queues('work', 600);
sql($node, q(SELECT taskq.resume_pool('app')));
settled($node, 'a pool has run all jobs of three queues');
my %share = map { split / / } split /, /, queue_shares(900);
note(join ', ', map { "$_ $share{$_}" } sort keys %share);
ok(abs($share{qb} / $share{qa} / 3 - 1) < 0.05 && abs($share{qb} / $share{qc} / 3 - 1) < 0.05, 'queues share a pool by weight, and none starves');
sql($node, q(SELECT taskq.pause_pool('app'), taskq.alter_pool('app', queue_weights => '{}')));

# no room for the lanes ---------------------------------------------------------------

$node->append_conf('postgresql.conf', 'taskq.max_lanes = 16');
$node->restart;
mark();
fill(500, 'big');
fill(4, join(',', map { "few$_" } 1 .. 100));
work_off(50);
is(sql($node, q(SELECT count(*) FROM taskq.jobs)), 0, 'all jobs run if there are more groups than shared memory has room for');
cmp_ok(last_of('few%'), '<=', 600, 'and many small groups do not wait for a large one') or diag(last_of('few%'));

clean_log($node);
done_testing();
