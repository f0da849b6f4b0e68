# Shared commits that are interrupted: their jobs are undone together, only the
# current job can lose an attempt, and each effect happens once.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('share');
my $shared = "share_commit => true, retry_policy => 'fixed', retry_base => '10 ms'";
add_type($node, 'postgres', 'app', 'quick', 'work', $shared);
add_type($node, 'postgres', 'app', 'gated', undef, $shared);
add_type($node, 'postgres', 'app', 'broken', undef, "$shared, max_attempts => 2");
add_type($node, 'postgres', 'app', 'alone', 'work');
sql($node, q(SELECT taskq.alter_pool('app', size => 1, min_size => 1);
	CREATE FUNCTION app.draw_epoch() RETURNS bigint LANGUAGE C AS 'taskq', 'taskq_test_draw_epoch'));

# Make a worker begin four short jobs and a job with a gate, at which it stops.
my ($gated, $gate);
my $begin = sub {
	my ($how) = @_;
	$gate = hold_gate($node, 1);
	sql($node, q(SELECT taskq.pause_queue('default')));
	sql($node, q(TRUNCATE app.ledger; SELECT taskq.enqueue_job('quick', jsonb_build_object('n', n)) FROM generate_series(1, 4) n));
	$gated = sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}')));
	sql($node, q(SELECT taskq.resume_queue('default')));
	wait_until($node, qq(SELECT count(*) = 1 FROM taskq.running_jobs() WHERE job_id = $gated), "$how: the last one runs");
	is(sql($node, qq(SELECT count(*) FROM app.ledger)),
		sql($node, qq(SELECT count(*) FROM taskq.all_jobs WHERE state = 'completed' AND task_type = 'quick' AND job_id BETWEEN $gated - 4 AND $gated)),
		"$how: what its neighbours did is seen when they are completed");
	return sql($node, qq(SELECT pid FROM taskq.stat_workers WHERE job_id = $gated));
};
my $attempts = sub { return sql($node, qq(SELECT COALESCE(string_agg(outcome, ' ' ORDER BY attempt), '') FROM taskq.attempts WHERE job_id = $gated)) };

# Check that each job has one line, and no more than these attempts.
my $check = sub {
	my ($how, $outcomes) = @_;
	settled($node, "$how: all jobs end");
	is($attempts->(), $outcomes, "$how: the attempts of the one in hand");
	is(sql($node, qq(SELECT string_agg(DISTINCT t.outcome || t.attempt, ' ') FROM taskq.attempts t WHERE t.job_id BETWEEN $gated - 4 AND $gated - 1)),
		'completed1', "$how: its neighbours have lost none");
	is(sql($node, 'SELECT count(*), count(DISTINCT job_id) FROM app.ledger'), '5|5', "$how: each has done its work once");
	return;
};

# whatever ends it --------------------------------------------------------------

my %ends = (
	'SIGTERM of the worker' => [ 'terminated completed', sub { kill 'TERM', $_[0] } ],
	'crash of the worker' => [ 'crashed completed', sub { crash($node, $_[0]) } ],
	'crash of another process' => [ 'completed', sub { my $s = session($node); crash($node, $s->query_safe('SELECT pg_backend_pid()')) } ],
	'immediate stop' => [ 'completed', sub { $node->stop('immediate'); $node->start } ],
	'fast stop' => [ 'completed', sub { $node->stop('fast'); $node->start } ]);
for my $how (sort keys %ends)
{
	my ($outcomes, $end) = @{ $ends{$how} };
	my $epoch = sql($node, 'SELECT app.draw_epoch()');
	$end->($begin->($how));
	eval { open_gate($gate) };
	$check->($how, $outcomes);
	cmp_ok(sql($node, qq(SELECT min(epoch) FROM app.ledger)), '>', $epoch, "$how: under numbers that are new");
}

# cancelled -----------------------------------------------------------------------

$begin->('cancelled');
my $first = $gated - 4;
like(sql($node, qq(SELECT taskq.cancel_job($first))), qr/^(requested|final)$/, 'cancel_job() of a job that has run comes too late');
is(sql($node, qq(SELECT taskq.cancel_job($gated))), 'requested', 'cancel_job() of the current job returns requested');
settled($node, 'all jobs end after the cancel');
open_gate($gate);
is($attempts->(), 'cancelled', 'the current job is cancelled');
is(sql($node, q(SELECT count(*), count(DISTINCT job_id) FROM app.ledger)), '4|4', 'the other jobs complete');
wait_until($node, 'SELECT count(*) = 0 FROM taskq.cancel_requests', 'no request to cancel is left');

# asked to leave ------------------------------------------------------------------

my $pid = $begin->('drained');
sql($node, qq(SELECT taskq.drain_worker(worker_id)) . q( FROM taskq.stat_workers));
open_gate($gate);
$check->('drained', 'completed');
wait_until($node, qq(SELECT count(*) = 0 FROM taskq.workers WHERE pid = $pid), 'drained: the worker leaves after its jobs');

# a setting -----------------------------------------------------------------------

sql($node, q(CREATE FUNCTION app.began(payload jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT to_jsonb(now())'));
add_type($node, 'postgres', 'app', 'began', undef, $shared);
$node->append_conf('postgresql.conf', 'taskq.share_commit_jobs = 3');
$node->restart;
sql($node, q(SELECT taskq.enqueue_job('began') FROM generate_series(1, 60)));
settled($node, 'three jobs per commit: all jobs end');
my $together = q(SELECT count(*) AS jobs FROM taskq.all_jobs WHERE task_type = 'began' GROUP BY result);
is(sql($node, "SELECT max(jobs) BETWEEN 2 AND 3 FROM ($together) t"), 't', 'three jobs per commit: no more share a transaction');
$node->append_conf('postgresql.conf', 'taskq.share_commit_jobs = 50');
$node->reload;

# without subtransactions -----------------------------------------------------------

# Each call counts in a sequence, which no rollback undoes. The row of a run without a
# subtransaction has the id of the whole transaction.
sql_as($node, 'postgres', 'app', <<'SQL');
CREATE SEQUENCE app.calls;
CREATE SEQUENCE app.naps;
CREATE FUNCTION app.try(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	mine xid;
BEGIN
	PERFORM nextval('app.calls');
	PERFORM app.note(payload);
	SELECT xmin INTO mine FROM app.ledger WHERE job_id = (taskq.current_job()).job_id;
	IF payload ? 'nap' THEN
		PERFORM nextval('app.naps'), pg_advisory_xact_lock_shared((payload->>'nap')::bigint);
	END IF;
	IF payload ? 'fail' THEN
		RAISE EXCEPTION 'failed on purpose';
	END IF;
	RETURN to_jsonb(mine = pg_current_xact_id()::xid);
END $$;
CREATE FUNCTION app.leave(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	result jsonb := app.try(payload);
BEGIN
	SET work_mem = '1 MB';
	SET LOCAL timezone = 'Asia/Tokyo';
	SET ROLE other;
	PERFORM set_config('app.custom', 'left', true), set_config('search_path', 'pg_catalog', false), pg_advisory_lock(4712);
	EXECUTE 'PREPARE leaked AS SELECT 1';
	EXECUTE 'DECLARE leaked CURSOR FOR SELECT 1';
	SET TRANSACTION READ ONLY;
	RETURN result;
END $$;
CREATE FUNCTION app.look(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	result jsonb := app.try(payload);
BEGIN
	RETURN jsonb_build_array(result, current_user, current_setting('work_mem') = '1MB', current_setting('timezone') = 'Asia/Tokyo',
		NULLIF(current_setting('app.custom', true), ''), current_setting('search_path') = 'pg_catalog', current_setting('transaction_read_only'),
		(SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors WHERE name = 'leaked'),
		(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objid = 4712));
END $$;
SQL
sql($node, q(CREATE ROLE other; GRANT other TO app; TRUNCATE app.ledger; SELECT setval('app.calls', 1), setval('app.naps', 1)));
add_type($node, 'postgres', 'app', $_, undef, 'share_commit => true, max_attempts => 1') for 'try', 'leave', 'look';
add_type($node, 'postgres', 'app', 'try2', 'try', 'share_commit => true, max_attempts => 1');

# Run jobs together; returns the condition by which they are found, and how often handlers were called.
my $run = sub {
	my ($what, @jobs) = @_;
	my $before = sql($node, 'SELECT last_value FROM app.calls');
	my $values = join ', ', map { "('$_->[0]', '$_->[1]'::jsonb)" } @jobs;
	sql($node, q(SELECT taskq.pause_queue('default')));
	my @ids = split /\n/, sql($node, "SELECT taskq.enqueue_job(t, p) FROM (VALUES $values) v (t, p)");
	sql($node, q(SELECT taskq.resume_queue('default')));
	settled($node, "$what: the jobs end");
	return ("job_id BETWEEN $ids[0] AND $ids[-1]", sql($node, 'SELECT last_value FROM app.calls') - $before);
};
my $outcomes_of = sub { return sql($node, "SELECT string_agg(outcome || n, ' ' ORDER BY outcome) FROM (SELECT outcome, count(*) AS n FROM taskq.attempts WHERE $_[0] GROUP BY 1) t") };
my $works_of = sub { return sql($node, "SELECT count(*), count(DISTINCT job_id) FROM app.ledger WHERE $_[0]") };
my ($mine, $calls);

for my $type ('try', 'try2', 'leave', 'look')
{
	($mine, $calls) = $run->("$type, many times", map { [ $type, '{}' ] } 1 .. 600);
	is($calls, 600, "$type: if no handler fails, each is called once");
}
cmp_ok(sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE task_type = 'try2' AND result = 'true')), '>', 100, 'runs that do not fail have no subtransactions');
($mine, $calls) = $run->('one fails', (map { [ 'try', '{}' ] } 1 .. 20), [ 'try', '{"fail": 1}' ], (map { [ 'try', '{}' ] } 1 .. 20));
is($outcomes_of->($mine), 'completed40 failed1', 'one of them fails: its failure is recorded once, and no other job fails');
is($works_of->($mine), '40|40', 'one of them fails: each of the others has done its work once');
cmp_ok($calls, '>', 41, 'one of them fails: it was run again, with those before it in the transaction');
($mine, $calls) = $run->('many fail', map { [ 'try', '{"fail": 1}' ] } 1 .. 20);
is($outcomes_of->($mine), 'failed20', 'many fail: each failure is recorded once');
($mine, $calls) = $run->('one more fails', (map { [ 'try', '{}' ] } 1 .. 10), [ 'try', '{"fail": 1}' ], (map { [ 'try', '{}' ] } 1 .. 10));
is($outcomes_of->($mine) . " of $calls calls", 'completed20 failed1 of 21 calls', 'after many failures, the runs have subtransactions, and none is repeated');
is($works_of->($mine), '20|20', 'after many failures, too, each has done its work once');

($mine, $calls) = $run->('state of the session', map { ([ 'leave', '{}' ], [ 'look', '{}' ]) } 1 .. 5);
is(sql($node, qq(SELECT DISTINCT result - 0 FROM taskq.all_jobs WHERE $mine AND task_type = 'look')), '["app", false, false, null, false, "off", 0, 0, 0]',
	'a run finds nothing of the session of the run before it');
is(sql($node, qq(SELECT bool_or(result->0 = 'true') FROM taskq.all_jobs WHERE $mine AND task_type = 'look')), 't', 'this was seen without a subtransaction');

# a run that is interrupted is not repeated
for my $how ('timeout', 'cancelled')
{
	my $naps = sql($node, 'SELECT last_value FROM app.naps');
	my $timeout = $how eq 'timeout' ? '500 ms' : '1 h';
	$gate = hold_gate($node, 1);
	sql($node, q(SELECT taskq.pause_queue('default')));
	my $others = sql($node, q(SELECT min(taskq.enqueue_job('try2')) FROM generate_series(1, 5)));
	my $nap = sql($node, qq(SELECT taskq.enqueue_job('try2', '{"nap": 1}', timeout => '$timeout')));
	sql($node, q(SELECT taskq.resume_queue('default')));
	if ($how eq 'cancelled')
	{
		wait_until($node, "SELECT count(*) = 1 FROM taskq.running_jobs() WHERE job_id = $nap", 'the job to be cancelled runs');
		is(sql($node, "SELECT taskq.cancel_job($nap)"), 'requested', 'cancel_job() of a run without a subtransaction returns requested');
	}
	settled($node, "$how: the jobs end");
	open_gate($gate);
	is($outcomes_of->("job_id BETWEEN $others AND $nap"), join(' ', sort('completed5', "${how}1")), "$how: only the job that was interrupted does not complete");
	is($works_of->("job_id BETWEEN $others AND $nap"), '5|5', "$how: the others have done their work once");
	is(sql($node, 'SELECT last_value FROM app.naps') - $naps, 1, "$how: its handler was called once");
}
sql($node, 'REVOKE other FROM app');

# what only this process knows ---------------------------------------------------------

# A worker that may run one job still runs it singly after its shared commit has failed.
sql_as($node, 'postgres', 'app', q(CREATE SEQUENCE app.orphans));
sql_as($node, 'postgres', 'app', q(CREATE FUNCTION app.orphan(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM nextval('app.orphans');
		SET CONSTRAINTS ALL DEFERRED;	-- ends a shared commit, with the cursor still open
		EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT 1 / (i - 1) FROM generate_series(1, 2) i';
		RETURN NULL;
	END $$;
	SELECT taskq.register_handler('orphan', 'app.orphan(jsonb)', share_commit => true, max_attempts => 1)));
sql($node, q(ALTER SYSTEM SET taskq.worker_max_jobs = 1));
$node->reload;
my $orphan = sql($node, q(SELECT taskq.enqueue_job('orphan')));
wait_until($node, qq(SELECT state = 'discarded' OR (SELECT last_value > 20 FROM app.orphans) FROM taskq.all_jobs WHERE job_id = $orphan), 'a job whose commit fails ends');
is(sql($node, qq(SELECT state || ' ' || (SELECT last_value FROM app.orphans) FROM taskq.all_jobs WHERE job_id = $orphan)), 'discarded 2', 'it is run with others, then singly');
sql($node, q(ALTER SYSTEM RESET taskq.worker_max_jobs));
$node->reload;

# Large objects that a job has opened are closed before the next one.
sql_as($node, 'postgres', 'app', q(CREATE FUNCTION app.large(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN
		IF payload ? 'open' THEN
			RETURN to_jsonb(lo_open(lo_create(0), x'60000'::integer));
		END IF;
		RETURN to_jsonb(lowrite(0, 'xyz'));
	EXCEPTION WHEN undefined_object THEN
		RETURN '"closed"';
	END $$;
	SELECT taskq.register_handler('large', 'app.large(jsonb)', share_commit => true);
	SELECT taskq.pause_handler('large')));
sql($node, q(SELECT taskq.enqueue_job('large', CASE n WHEN 1 THEN '{"open": 1}' ELSE '{}' END::jsonb) FROM generate_series(1, 40) n; SELECT taskq.resume_handler('large')));
settled($node, 'jobs with large objects end');
is(sql($node, q(SELECT string_agg(DISTINCT result #>> '{}', ' ' ORDER BY result #>> '{}') FROM taskq.all_jobs WHERE task_type = 'large')), '0 closed', 'no job writes to what another has opened');

# the ledger ----------------------------------------------------------------------

sql($node, q(SELECT taskq.alter_pool('app', size => 3, min_size => 3); TRUNCATE app.ledger));
my $last = sql($node, 'SELECT max(job_id) FROM taskq.all_jobs');
my ($jobs, $kills) = (0, 0);
for my $round (1 .. 12)
{
	$jobs += sql($node, q(SELECT count(taskq.enqueue_job((ARRAY['quick', 'quick', 'broken', 'alone', 'quick'])[1 + n % 5], jsonb_build_object('n', n))) FROM generate_series(1, 200) n));
	my @workers = pids_of($node, 'worker');
	if ($round % 4 == 3 and @workers)
	{
		crash($node, $workers[0]);
		$kills++;
	}
	else
	{
		kill 'TERM', $workers[0] if @workers;
	}
	if ($round == 8)
	{
		$node->stop('immediate');
		$node->start;
	}

	# end the pauses of pools that the test has caused
	sql($node, q(SELECT taskq.resume_pool(pool) FROM taskq.pools WHERE paused));
}
wait_until($node, q(SELECT NOT EXISTS (SELECT FROM taskq.jobs) OR (SELECT bool_or(paused) FROM taskq.pools)), 'all jobs end under SIGTERM, SIGKILL and immediate stops');
sql($node, q(SELECT taskq.resume_pool(pool) FROM taskq.pools WHERE paused));
settled($node, 'all jobs end when the faults are over');
is(sql($node, qq(SELECT count(*) FROM taskq.all_jobs WHERE job_id > $last)), $jobs, 'no job is lost');
# A SIGKILL counts as a crash of the current job. A job with two of them, or with
# one in its last attempt, must be quarantined, and no other job.
is(sql($node, qq(SELECT string_agg(format('%s %s %s: %s', task_type, job_id, state, outcomes), ', ') FROM (
		SELECT task_type, job_id, state, max_attempts, COALESCE(string_agg(t.outcome, ' ' ORDER BY t.attempt), '') AS outcomes,
			count(*) FILTER (WHERE t.outcome = 'crashed') AS crashes
		FROM taskq.all_jobs j LEFT JOIN taskq.attempts t USING (job_id) WHERE job_id > $last GROUP BY 1, 2, 3, 4) jobs
	WHERE CASE state
		WHEN 'completed' THEN task_type = 'broken' OR crashes > 1 OR outcomes !~ '^((crashed|terminated) )*completed\$'
		WHEN 'discarded' THEN task_type <> 'broken' OR crashes > 1 OR outcomes !~ '^(failed|terminated|crashed) (failed|terminated)\$'
		WHEN 'quarantined' THEN outcomes !~ 'crashed\$' OR crashes <> 2 AND array_length(string_to_array(outcomes, ' '), 1) <> max_attempts
		ELSE true END)), '', 'all jobs have the outcome that their handlers and the faults explain');
cmp_ok(sql($node, qq(SELECT count(*) FROM taskq.attempts WHERE job_id > $last AND outcome = 'crashed')), '<=', $kills, 'each SIGKILL counts as a crash of at most one job');
is(sql($node, qq(SELECT count(*) FROM taskq.all_jobs a FULL JOIN app.ledger l USING (job_id)
	WHERE (a.job_id > $last OR a.job_id IS NULL) AND (l.job_id IS NOT NULL) <> (a.state IS NOT DISTINCT FROM 'completed'))), 0,
	'the ledger has a line for each completed job, and for no other');
is(sql($node, 'SELECT count(*) - count(DISTINCT job_id) FROM app.ledger'), 0, 'the ledger has no job twice');
is(sql($node, qq(SELECT count(*) FROM app.ledger l JOIN taskq.all_jobs a USING (job_id) WHERE l.epoch <> a.epoch OR l.attempt <> a.attempt)), 0,
	'each line was written by the run that completed the job');
is(sql($node, qq(SELECT count(*) FROM (SELECT a.job_id FROM taskq.all_jobs a JOIN taskq.attempts t USING (job_id) WHERE a.job_id > $last
	GROUP BY a.job_id, a.attempt HAVING count(*) <> a.attempt OR count(DISTINCT t.attempt) <> a.attempt) odd)), 0,
	'each attempt has ended once');

$node->stop;
clean_log($node, but => qr/was terminated by signal 9/);
done_testing();
