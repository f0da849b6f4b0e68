# Handlers with async_commit: their commits do not wait for the disk. A crash undoes
# what a run has done and the outcome of its job together, and the job runs again under
# a new epoch. Handlers without it are not affected.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

# as little as possible flushes WAL beside the commits
my $node = new_node('async', conf => { wal_writer_delay => "'10s'", wal_writer_flush_after => "'1GB'",
	autovacuum => 'off', bgwriter_lru_maxpages => 0, checkpoint_timeout => "'1h'" });

# mark() notes the position of WAL, which the record of the commit follows. hold() leaves
# a cursor whose query the commit runs.
sql($node, <<'SQL');
CREATE TABLE app.marks (job_id bigint, epoch bigint, lsn pg_lsn, x xid8 DEFAULT pg_current_xact_id());
ALTER TABLE app.marks OWNER TO app;
CREATE FUNCTION app.mark(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO app.marks SELECT j.job_id, j.epoch, pg_current_wal_insert_lsn() FROM taskq.current_job() j;
	RETURN payload;
END $$;
CREATE FUNCTION app.hold(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	SET synchronous_commit = off;
	EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT set_config(''synchronous_commit'', ''off'', false), 1 / ' || COALESCE(payload->>'by', '1');
	RETURN app.mark(payload);
END $$;
SQL
add_type($node, 'postgres', 'app', $_->[0], $_->[1], "max_attempts => 1, $_->[2]") for
	[ 'each', 'mark', 'async_commit => true' ], [ 'shared', 'mark', 'async_commit => true, share_commit => true' ],
	[ 'sync', 'mark', 'async_commit => false' ], [ 'sync_shared', 'mark', 'share_commit => true' ],
	[ 'hold', 'hold', 'share_commit => true' ], [ 'hold_async', 'hold', 'async_commit => true' ];
sql($node, q(SELECT taskq.alter_pool('app', size => 1, min_size => 1)));

# Run jobs of these types, in this order and without others between them.
sub run_jobs
{
	my ($what, $types, $payload) = @_;
	$payload //= '{}';
	sql($node, q(SELECT taskq.pause_queue('default')));
	my @ids = split /\n/, sql($node, "SELECT taskq.enqueue_job(t, '$payload') FROM unnest('{" . join(',', @$types) . "}'::text[]) WITH ORDINALITY u(t, n) ORDER BY n");
	sql($node, q(SELECT taskq.resume_queue('default')));
	settled($node, $what);
	return "job_id BETWEEN $ids[0] AND $ids[-1]";
}

# Whether the commits of these runs are on disk.
sub on_disk
{
	my ($jobs) = @_;
	return sql($node, "SELECT bool_and(lsn < pg_current_wal_flush_lsn()) FROM app.marks WHERE $jobs");
}

# Run jobs until the condition holds; other processes may flush in between, and a
# transaction may be full. Returns its last value.
sub until_once
{
	my ($what, $types, $condition) = @_;
	my $value;
	for (1 .. 30)
	{
		$value = $condition->(run_jobs($what, $types));
		last if $value;
	}
	return $value;
}

# how it commits ----------------------------------------------------------------

is(sql($node, q(SELECT string_agg(task_type, ' ' ORDER BY task_type) FROM taskq.list_handlers() WHERE async_commit)), 'each hold_async shared',
	'list_handlers() shows async_commit');
ok(until_once('a job ends that need not wait for the disk', ['each'], sub { on_disk($_[0]) eq 'f' }), 'async_commit: the commit does not wait for the disk');
ok(until_once('jobs end that share such a commit', [ ('shared') x 3 ], sub { on_disk($_[0]) eq 'f' }), 'async_commit: nor does one that is shared');
is(on_disk(run_jobs('a job ends that waits for the disk', [ 'each', 'sync' ])), 't', 'the next run without async_commit waits for the disk');

my $shared = sub { sql($node, "SELECT count(*) = 3 AND count(DISTINCT x) = 1 FROM app.marks WHERE $_[0]") eq 't' };
my $jobs;
ok(until_once('jobs with and without async_commit end', [ 'shared', 'sync_shared', 'shared' ], sub { $jobs = $_[0]; $shared->($jobs) }),
	'handlers with and without async_commit share a commit');
is(on_disk($jobs), 't', 'a shared commit waits for the disk if one of its handlers needs that');
for my $first ('hold_async', 'hold')
{
	is(on_disk(run_jobs("jobs end after one that sets synchronous_commit ($first)", [ $first, 'sync' ])), 't',
		"$first: a run cannot change how a later run commits");
}
is(on_disk(run_jobs('a job ends whose cursor sets synchronous_commit', ['hold'])), 't', 'nor can a cursor change how its own transaction commits');
$jobs = run_jobs('a job ends whose commit fails', ['hold_async'], '{"by": 0}');
is(sql($node, "SELECT outcome, sqlstate FROM taskq.attempts WHERE $jobs"), 'failed|22012', 'a commit that fails fails the job');
is(on_disk(run_jobs('a job ends after a commit that failed', ['sync'])), 't', 'the run after a commit that failed waits for the disk');

# a crash -------------------------------------------------------------------------

my $lost = 0;
for my $round (1 .. 5)
{
	kill 'STOP', sql($node, q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'));
	$jobs = run_jobs("round $round: jobs end", [ ('sync') x 5, ('each') x 20, ('shared') x 20 ]);
	my $last_epoch = sql($node, "SELECT max(epoch) FROM app.marks WHERE $jobs");
	$node->append_conf('postgresql.conf', 'taskq.enabled = off');
	$node->stop('immediate');
	$node->start;
	is(sql($node, "SELECT count(*) FROM taskq.all_jobs WHERE $jobs"), 45, "round $round: every job is there");
	is(sql($node, "SELECT count(*) FROM taskq.all_jobs JOIN app.marks USING (job_id, epoch) WHERE $jobs AND task_type = 'sync' AND state = 'completed'"), 5,
		"round $round: the crash has undone no run without async_commit");
	is(sql($node, "SELECT count(*) FROM taskq.all_jobs LEFT JOIN app.marks m USING (job_id) WHERE $jobs AND (state = 'completed') <> (m.job_id IS NOT NULL)"), 0,
		"round $round: effect and completion are both there, or none of them");
	is(sql($node, "SELECT count(*) FROM taskq.all_jobs WHERE $jobs AND NOT (state = 'completed' AND attempt = 1 OR state = 'available' AND attempt = 0)"), 0,
		"round $round: a run that was undone counts no attempt");
	$lost = sql($node, "SELECT count(*) FROM taskq.all_jobs WHERE $jobs AND state = 'available'");
	my $undone = sql($node, "SELECT COALESCE(string_agg(job_id::text, ','), '0') FROM taskq.all_jobs WHERE $jobs AND state = 'available'");
	$node->append_conf('postgresql.conf', 'taskq.enabled = on');
	$node->reload;
	settled($node, "round $round: the jobs that were undone run again");
	is(sql($node, "SELECT count(*), count(DISTINCT job_id) FROM app.marks WHERE $jobs"), '45|45', "round $round: each job has had its effect once");
	is(sql($node, "SELECT count(*) FROM taskq.all_jobs JOIN app.marks USING (job_id, epoch) WHERE $jobs AND state = 'completed' AND attempt = 1"), 45,
		"round $round: each was completed by the run that had the effect");
	is(sql($node, "SELECT count(*) FROM app.marks WHERE job_id IN ($undone) AND epoch <= $last_epoch"), 0, "round $round: no epoch was given out twice");
	last if $lost;
}
cmp_ok($lost, '>', 0, 'the crash has undone runs with async_commit');

$node->stop;
clean_log($node);
done_testing();
