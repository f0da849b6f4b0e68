# The counts of jobs that shared memory keeps are the same as those of the rows:
# after all kinds of changes, by transactions that commit while the rows are counted,
# and after a crash. Where they cannot be, the rows are counted.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('counts', conf => { 'taskq.worker_idle' => "'1 h'", max_connections => 60 });
my $end_scheduler = q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq scheduler' AND datname = 'postgres');
my $kept = q(SELECT max(counted_at) IS NOT NULL FROM taskq.stat_queues);

# The routes whose numbers differ from those of their rows.
my $wrong = q(
WITH rows AS (SELECT j.route_id, j.run_at, j.created_at, j.gate, a.state FROM taskq.jobs j JOIN taskq.all_jobs a USING (job_id)),
	shown AS (SELECT route_id, available, scheduled, retryable, running, oldest_available FROM taskq.route_counts() WHERE available + scheduled + retryable + running > 0),
	real AS (SELECT route_id, count(*) FILTER (WHERE state = 'available'), count(*) FILTER (WHERE state = 'scheduled'), count(*) FILTER (WHERE state = 'retryable'),
		count(*) FILTER (WHERE state = 'running'), min(run_at) FILTER (WHERE state = 'available') FROM rows GROUP BY 1),
	shown_waiting AS (SELECT route_id, w.jobs, w.oldest FROM taskq.routes, taskq.waiting_jobs(route_id) w WHERE w.jobs > 0),
	real_waiting AS (SELECT route_id, count(*), min(created_at) FROM rows WHERE gate = 'o' GROUP BY 1)
SELECT string_agg(x::text, ' ') FROM (
	SELECT 'shown ' || s::text FROM (TABLE shown EXCEPT TABLE real) s UNION ALL SELECT 'rows ' || r::text FROM (TABLE real EXCEPT TABLE shown) r
	UNION ALL SELECT 'shown waiting ' || s::text FROM (TABLE shown_waiting EXCEPT TABLE real_waiting) s
	UNION ALL SELECT 'rows waiting ' || r::text FROM (TABLE real_waiting EXCEPT TABLE shown_waiting) r) x);

# Check that the counts are kept, after the process that counts was waited for, and right.
sub kept_and_right
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	poll($node, $kept) or return fail("$name: there are no counts");
	is(sql($node, $wrong), '', $name);
	return;
}

# Count anew while the present counts are shown.
sub count_anew
{
	my $at = sql($node, q(SELECT COALESCE(max(counted_at), '-infinity') FROM taskq.stat_queues));
	sql($node, $end_scheduler);
	return poll($node, "SELECT COALESCE(max(counted_at) > '$at', false) FROM taskq.stat_queues");
}

sub counted_by_rows
{
	my ($name, $ask) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$ask //= sub { return sql($node, $_[0]) };
	is($ask->(q(SELECT count(counted_at) FROM taskq.stat_queues)), 0, "$name: the rows are counted");
	is($ask->($wrong), '', "$name: the numbers are those of the rows");
	return;
}

sql($node, q(SELECT taskq.create_queue('q' || n) FROM generate_series(1, 2) n));
sql($node, q(SELECT taskq.register_handler('t' || n, max_attempts => 3, retry_policy => 'fixed', retry_base => '1 h') FROM generate_series(0, 2) n));
add_type($node, 'postgres', 'app', 'work', 'work', 'share_commit => true');
add_type($node, 'postgres', 'app', 'gated');
wait_until($node, $kept, 'the scheduler counts the jobs');

# changes one by one ----------------------------------------------------------------

my ($first) = split /\n/, sql($node, q(SELECT taskq.enqueue_job('t0', priority => n % 2, queue => CASE WHEN n > 3 THEN 'q1' END) FROM generate_series(1, 6) n));
kept_and_right('jobs were enqueued');
is(sql($node, q(SELECT sum(jobs) FROM taskq.unroutable_jobs WHERE task_type = 't0' AND counted_at IS NOT NULL)), 6, 'unroutable_jobs shows the counts');
sql($node, q(SELECT taskq.enqueue_jobs('t1', ARRAY(SELECT jsonb_build_object('n', n) FROM generate_series(1, 1000) n))));
sql($node, q(SELECT taskq.enqueue_job('t1', delay => '1 h', priority => n % 3) FROM generate_series(1, 5) n));
kept_and_right('many jobs were enqueued at once, and some for later');
sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.claim_jobs('w', 10, '{t1}')));
sql($node, q(SELECT taskq.fail_job(job_id, epoch) FROM taskq.claim_jobs('w', 3, '{t0}')));
sql($node, q(SELECT taskq.snooze_job(job_id, epoch, '1 h') FROM taskq.claim_jobs('w', 1, '{t1}')));
sql($node, q(SELECT taskq.release_job(job_id, epoch) FROM taskq.claim_jobs('w', 1, '{t1}')));
sql($node, q(SELECT count(*) FROM taskq.claim_jobs('w', 4, '{t1}')));
kept_and_right('jobs were completed, failed, snoozed, released and claimed');
sql($node, "SELECT taskq.cancel_job($first)");
sql($node, q(SELECT taskq.cancel_job(job_id) FROM taskq.jobs WHERE gate = 'o' ORDER BY created_at LIMIT 3));
kept_and_right('jobs were cancelled, the oldest first');
sql($node, "SELECT taskq.retry_job($first)");
kept_and_right('an old job was put back');

my $own = session($node);
$own->query_safe(q(BEGIN; SELECT taskq.enqueue_job('t2'); SAVEPOINT a; SELECT taskq.enqueue_job('t2') FROM generate_series(1, 3); ROLLBACK TO a));
$own->query_safe(q(SAVEPOINT b; SELECT taskq.enqueue_job('t2'), taskq.enqueue_job('t0'); SAVEPOINT c; SELECT taskq.enqueue_job('t2'); RELEASE b));
is($own->query_safe(q(SELECT count(counted_at) FROM taskq.stat_queues WHERE queue = 'default')), 1, 'a transaction reads the counts');
is($own->query_safe($wrong), '', 'with its own changes, but not those that were rolled back');
kept_and_right('others do not see them');
$own->query_safe('COMMIT');
kept_and_right('others see them after the commit');
$own->query_safe(q(BEGIN; SELECT taskq.enqueue_job('t2') FROM generate_series(1, 5); ROLLBACK));
kept_and_right('a transaction was rolled back');

my $gate = hold_gate($node, 1);
sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}')));
wait_until($node, q(SELECT sum(running) = 5 FROM taskq.stat_queues), 'a job runs in the server, and is counted as running');
kept_and_right('a job is running');
open_gate($gate);
wait_until($node, q(SELECT NOT EXISTS (SELECT FROM taskq.jobs JOIN taskq.routes USING (route_id) WHERE task_type = 'gated')), 'the job has ended');
kept_and_right('the job has ended');

# changes while the rows are counted --------------------------------------------------

SKIP:
{
	skip 'needs a build with TESTING=1', 7 if sql($node, q(SELECT count(*) FROM pg_settings WHERE name = 'taskq.injection_point')) == 0;
	my $hold = session($node);
	$hold->query_safe(q(SELECT pg_advisory_lock(hashtext('count'))));
	sql($node, q(ALTER DATABASE postgres SET taskq.injection_point = 'count'));
	$own->query_safe(q(BEGIN; SELECT taskq.enqueue_job('t2') FROM generate_series(1, 7)));
	my $ended = session($node);
	$ended->query_safe(q(BEGIN; SELECT taskq.complete_job(job_id, epoch) FROM taskq.claim_jobs('w', 2, '{t1}')));
	my $dropped = session($node);
	$dropped->query_safe(q(BEGIN; SELECT taskq.enqueue_job('t2') FROM generate_series(1, 9)));
	sql($node, $end_scheduler);
	wait_until($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler' AND wait_event_type = 'Lock'), 'a count has begun');
	$own->query_safe('COMMIT');
	$ended->query_safe('COMMIT');
	$dropped->query_safe('ROLLBACK');
	sql($node, q(SELECT taskq.enqueue_job('t2', queue => 'q2') FROM generate_series(1, 11)));
	sql($node, q(SELECT taskq.cancel_job(job_id) FROM taskq.claim_jobs('w', 2, '{t1}')));
	kept_and_right('while the rows are counted, the earlier counts are kept');
	sql($node, q(ALTER DATABASE postgres RESET taskq.injection_point));
	my $at = sql($node, q(SELECT max(counted_at) FROM taskq.stat_queues));
	$_->quit for $hold, $ended, $dropped;
	wait_until($node, "SELECT max(counted_at) > '$at' FROM taskq.stat_queues", 'the count has ended');
	kept_and_right('transactions that have ended meanwhile are counted once');

	# a transaction that others see, while its changes are not added yet
	$own->query_safe(q(SET taskq.injection_point = 'count-begins'));
	my $before = sql($node, q(SELECT count(*) FROM taskq.jobs));
	$own->query_until(qr/enqueued/, "\\echo enqueued\nSELECT count(taskq.enqueue_job('t2')) FROM generate_series(1, 13);\n\\echo added\n");
	wait_until($node, "SELECT count(*) = $before + 13 FROM taskq.jobs", 'jobs were enqueued, and are not counted yet');
	ok(count_anew(), 'the rows are counted');
	$own->query_until(qr/added/, '');
	$own->query_safe(q(RESET taskq.injection_point));
	kept_and_right('the jobs are counted once');
}

# random changes ----------------------------------------------------------------------

sql($node, q(CREATE FUNCTION public.change(may_claim boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	type text := 't' || (random() * 2)::integer;
BEGIN
	IF random() < 0.3 THEN
		PERFORM taskq.enqueue_job(type, priority => (random() * 2)::integer, queue => CASE WHEN random() < 0.5 THEN 'q1' END);
	ELSIF random() < 0.2 THEN
		PERFORM taskq.enqueue_job(type, delay => '1 h');
	ELSIF random() < 0.2 THEN
		PERFORM taskq.enqueue_jobs(type, ARRAY['{}', '{}', '{}']::jsonb[], queue => 'q2');
	ELSIF random() < 0.2 THEN
		PERFORM taskq.enqueue_job('work');
	ELSIF may_claim AND random() < 0.5 THEN
		PERFORM CASE (random() * 4)::integer
			WHEN 0 THEN taskq.fail_job(c.job_id, c.epoch)::text
			WHEN 1 THEN taskq.release_job(c.job_id, c.epoch)::text
			WHEN 2 THEN taskq.snooze_job(c.job_id, c.epoch, '1 h')::text
			WHEN 3 THEN taskq.complete_job(c.job_id, c.epoch)::text END
			FROM taskq.claim_jobs('w' || pg_backend_pid(), 3, ARRAY[type]) c;
	ELSIF random() < 0.5 THEN
		PERFORM taskq.cancel_job(job_id) FROM (SELECT job_id FROM taskq.jobs ORDER BY random() LIMIT 1) j;
	ELSE
		PERFORM taskq.retry_job(job_id) FROM (SELECT job_id FROM taskq.job_history WHERE state IN ('x', 'd') AND NOT superseded ORDER BY random() LIMIT 1) j;
	END IF;
END $$;
CREATE FUNCTION public.changes(may_claim boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 1 + random() * 4 LOOP
		BEGIN
			PERFORM public.change(may_claim);
			IF random() < 0.3 THEN
				RAISE 'rolled back';
			END IF;
		EXCEPTION WHEN raise_exception OR lock_not_available OR SQLSTATE 'TQ003' OR SQLSTATE 'TQ004' OR SQLSTATE 'TQ008' OR SQLSTATE 'TQ011' THEN
			NULL;
		END;
	END LOOP;
END $$));
my $dir = PostgreSQL::Test::Utils::tempdir;
my $commits = "$dir/commits.sql";
append_to_file($commits, "\\set end random(1, 5)\nBEGIN;\nSELECT public.changes(true);\n\\if :end = 1\nROLLBACK;\n\\else\nCOMMIT;\n\\endif\n");
my $prepares = "$dir/prepares.sql";
append_to_file($prepares, "\\set end random(1, 3)\nBEGIN;\nSELECT public.changes(false);\nPREPARE TRANSACTION 'p:client_id';\n\\if :end = 1\nROLLBACK PREPARED 'p:client_id';\n\\else\nCOMMIT PREPARED 'p:client_id';\n\\endif\n");

sub load
{
	my ($clients, $transactions, $script) = @_;
	my ($out, $err);
	return IPC::Run::start([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', $clients, '-t', $transactions, '-f', $script, 'postgres' ], '<', '/dev/null', '>', \$out, '2>', \$err);
}

# No worker has a job any more.
my $work_is_done = q(SELECT NOT EXISTS (SELECT FROM taskq.jobs JOIN taskq.routes USING (route_id) WHERE task_type = 'work'));

for my $round (1 .. 3)
{
	my $load = load(6, 60, $commits);
	count_anew() for 1 .. 3;
	ok($load->finish, "round $round: clients have enqueued, claimed and settled jobs while the rows were counted");
	wait_until($node, $work_is_done, "round $round: the workers have run their jobs");
	kept_and_right("round $round: the counts are right");
	count_anew();
	kept_and_right("round $round: so they are after another count");
}
my $load = load(4, 60, $commits);
my $load2 = load(3, 40, $prepares);
$load->finish;
ok($load2->finish, 'clients have prepared transactions');
wait_until($node, $work_is_done, 'the workers have run their jobs');
kept_and_right('the counts are right after prepared transactions');

# changes that are not known ------------------------------------------------------------

$own->query_safe(q(BEGIN; SELECT taskq.enqueue_job('t2'), taskq.enqueue_job('t1'); PREPARE TRANSACTION 'one'));
counted_by_rows('while a transaction is prepared');
sql($node, q(COMMIT PREPARED 'one'));
is(sql($node, $wrong), '', 'the numbers are right after its commit');
kept_and_right('the jobs are counted again after that');
$own->query_safe(q(BEGIN; UPDATE taskq.jobs SET state = 't' WHERE gate = 'o'));
counted_by_rows('in a transaction that has written rows by hand', sub { return $own->query_safe($_[0]) });
kept_and_right('others do not see these rows');
$own->query_safe('COMMIT');
is(sql($node, $wrong), '', 'the numbers are right after its commit');
kept_and_right('the jobs are counted again after that');
$own->query_safe(q(BEGIN; DELETE FROM taskq.jobs; ROLLBACK));
kept_and_right('after a rollback of rows written by hand');
sql($node, q(CREATE TABLE public.saved AS TABLE taskq.jobs; TRUNCATE taskq.jobs));
is(sql($node, $wrong), '', 'the numbers are right after TRUNCATE');
kept_and_right('the jobs are counted again after TRUNCATE');
sql($node, q(INSERT INTO taskq.jobs TABLE public.saved));
kept_and_right('and after their rows were written by hand');
$own->quit;

# crash, another installation, many jobs ---------------------------------------------------

crash($node, sql($node, q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer')));
is(sql($node, $wrong), '', 'the numbers are right after a crash');
kept_and_right('the jobs are counted after a crash');
sql($node, q(SELECT count(taskq.enqueue_job('t2', jsonb_build_object('x', repeat('x', 400)))) FROM generate_series(1, 20000)));
ok(sql($node, q(SELECT pg_relation_size('taskq.jobs') > 1000 * 8192)), 'there are many jobs');
ok(count_anew(), 'a helper counts them');
kept_and_right('many jobs');
$node->restart;
kept_and_right('the jobs are counted after a restart');
sql($node, q(BEGIN; DROP EXTENSION taskq CASCADE; CREATE EXTENSION taskq; SELECT taskq.register_handler('t2'), taskq.enqueue_job('t2'); COMMIT));
is(sql($node, $wrong), '', 'the numbers are right after the extension was created again');
kept_and_right('the jobs of the new extension are counted');

# no room ------------------------------------------------------------------------------------

$node->append_conf('postgresql.conf', 'taskq.max_route_counts = 2');
$node->restart;
sql($node, q(SELECT taskq.enqueue_job('t2')));
kept_and_right('with room for two routes');
sql($node, q(SELECT taskq.enqueue_job('r' || n) FROM generate_series(1, 3) n));
counted_by_rows('with more routes than there is room for');
is(sql($node, q(SELECT value FROM taskq.status() WHERE name = 'counts of jobs')), 'full, 2 routes', 'status() shows that there is no room');
$node->append_conf('postgresql.conf', 'taskq.max_route_counts = 0');
$node->restart;
counted_by_rows('without room for counts');

$node->stop;
clean_log($node, but => qr/checkpointer process .* was terminated by signal 9/);
done_testing();
