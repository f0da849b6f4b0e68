# Statistics of task types: times, a restart, a crash, and a full table; and the
# session that holds an old snapshot.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('statistics', conf => { 'taskq.worker_idle' => "'1 h'", 'taskq.max_handler_statistics' => 10 });
sql_as($node, 'postgres', 'app', <<'SQL');
CREATE FUNCTION app.sleep(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_sleep((payload->>'ms')::float8 / 1000);
	RETURN NULL;
END $$;
SQL
add_type($node, 'postgres', 'app', $_) for qw(sleep work);
add_type($node, 'postgres', 'app', 'broken', undef, 'max_attempts => 1');

# times -----------------------------------------------------------------------

sql_as($node, 'postgres', 'app', q(SELECT taskq.alter_pool('app', size => 1);
SELECT count(taskq.enqueue_job('sleep', jsonb_build_object('ms', CASE WHEN i <= 90 THEN 1 ELSE 100 END))) FROM generate_series(1, 100) i;
SELECT taskq.enqueue_job('broken')));
settled($node, 'jobs of one and of a hundred milliseconds end');
my $of = sub { my ($type, $what) = @_; return sql($node, "SELECT $what FROM taskq.stat_handlers WHERE task_type = '$type'") };
is($of->('sleep', 'runs, completed, failed'), '100|100|0', 'all runs are counted');
is($of->('sleep', 'p50_time BETWEEN 1 AND 50, p95_time >= 64, p99_time >= 100, p50_time <= p95_time, p95_time <= p99_time, p99_time <= max_time'),
	't|t|t|t|t|t', 'the percentiles show that half of the runs were short, and some long');
is($of->('sleep', 'mean_wait > 0, p50_wait <= p95_wait, p95_wait <= p99_wait, p99_wait >= 500, since < last_run_at'), 't|t|t|t|t', 'the jobs have waited for each other');
is(sql($node, q(SELECT count(*) FROM taskq.stat_handlers WHERE NOT (min_time <= p50_time AND p99_time <= max_time))), 0, 'no percentile is below the minimum or above the maximum');
is($of->('broken', 'p50_time = min_time, p99_time = max_time, p50_wait = mean_wait, p99_wait = mean_wait'), 't|t|t|t', 'after a single run, all values are the same');
is($of->('broken', 'runs, completed, failed, p50_time > 0'), '1|0|1|t', 'a failed run is counted');
is(sql($node, q(SELECT count(*) FROM taskq.stat_handlers WHERE task_type = 'work')), 0, 'a type that has not run is not shown');

# a commit that fails at its very end -----------------------------------------

sql_as($node, 'postgres', 'app', q(CREATE TABLE app.skew AS SELECT i AS id, 0 AS v FROM generate_series(1, 2) i; ALTER TABLE app.skew ADD PRIMARY KEY (id);
	SELECT taskq.register_handler('outside'), taskq.register_worker('w', '{outside}'), taskq.enqueue_job('outside')));
my $claimed = sql_as($node, 'postgres', 'app', q(SELECT job_id || ', ' || epoch FROM taskq.claim_job('w')));
my ($first, $second) = map { session($node, role => 'app') } 1 .. 2;
for my $s ([ $first, 1 ], [ $second, 2 ])
{
	$s->[0]->query_safe("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT sum(v) FROM app.skew; UPDATE app.skew SET v = 1 WHERE id = $s->[1]");
	$s->[0]->query_safe("SELECT taskq.complete_job($claimed)") if $s->[0] == $first;
}
$second->query_safe('COMMIT');
$first->query('COMMIT');
is(sql($node, "SELECT state FROM taskq.all_jobs WHERE task_type = 'outside'"), 'running', 'a settle whose commit fails has no effect');
is(sql($node, "SELECT count(*) FROM taskq.stat_handlers WHERE task_type = 'outside' AND runs > 0"), 0, 'a settle whose commit fails is not counted');
sql_as($node, 'postgres', 'app', "SELECT taskq.complete_job($claimed)");
is($of->('outside', 'runs, completed'), '1|1', 'the next settle is counted');
$_->quit for $first, $second;

# restarts --------------------------------------------------------------------

my $all = 'SELECT string_agg(s::text, chr(10) ORDER BY task_type) FROM taskq.stat_handlers s';
my $before = sql($node, $all);
$node->restart;
is(sql($node, $all), $before, 'the statistics survive a restart');
ok(!-e $node->data_dir . '/pg_stat/taskq.stat', 'the file is removed after it was read');
$node->stop;
ok(-e $node->data_dir . '/pg_stat/taskq.stat', 'the file exists while the server is down');
$node->append_conf('postgresql.conf', "taskq.max_handler_statistics = 11");
$node->start;
is(sql($node, $all), $before, 'the statistics survive a change of the table\'s size');
$node->stop;
truncate($node->data_dir . '/pg_stat/taskq.stat', 100) or die $!;
my $offset = log_since($node);
$node->start;
like(substr(slurp_file($node->logfile), $offset), qr/LOG:.*taskq\.stat" was not written by this version of taskq/, 'a truncated file is refused');
is(sql($node, q(SELECT count(*) FROM taskq.stat_handlers)), 0, 'the statistics are empty after that');
sql_as($node, 'postgres', 'app', q(SELECT taskq.enqueue_job('work')));
settled($node, 'a job runs before the crash');
is($of->('work', 'runs'), 1, 'the run before the crash is counted');
$node->stop('immediate');
$node->start;
is(sql($node, q(SELECT count(*) FROM taskq.stat_handlers)), 0, 'the statistics are empty after a crash');

# reset -----------------------------------------------------------------------

sql_as($node, 'postgres', 'app', q(SELECT taskq.enqueue_job('work'), taskq.enqueue_job('sleep', '{"ms": 1}')));
settled($node, 'two jobs run before the reset');
sql($node, q(SELECT taskq.stat_reset('work')));
is(sql($node, q(SELECT string_agg(task_type, ' ') FROM taskq.stat_handlers)), 'sleep', 'stat_reset() of a type removes its statistics');
sql($node, q(SELECT taskq.stat_reset()));
is(sql($node, q(SELECT count(*) FROM taskq.stat_handlers)), 0, 'stat_reset() without a type removes all statistics');
sql_as($node, 'postgres', 'app', q(SELECT taskq.enqueue_job('work')));
settled($node, 'a job runs after the reset');
is($of->('work', 'runs, min_time = max_time'), '1|t', 'runs are counted from the reset on');

# a full table ----------------------------------------------------------------

sql_as($node, 'postgres', 'app', q(DO $$ BEGIN FOR i IN 1 .. 20 LOOP
	PERFORM taskq.register_handler('type-' || i, 'app.work(jsonb)'), taskq.enqueue_job('type-' || i);
END LOOP; END $$));
settled($node, 'jobs of more types than there is room for end');
is(sql($node, q(SELECT count(*) FROM taskq.stat_handlers)), 10, 'as many types as there is room for are counted');
is($of->('work', 'runs'), 1, 'earlier types are still counted');
like(sql($node, q(SELECT value || hint FROM taskq.status() WHERE name = 'statistics of handlers')), qr/full, 11 task types.*max_handler_statistics/, 'status() shows that the table is full');
sql($node, q(ALTER SYSTEM SET taskq.clock_offset = '2d'));
$node->reload;
sql($node, q(SELECT taskq.drain_worker(worker_id) FROM taskq.workers));
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('late', 'app.work(jsonb)'), taskq.enqueue_job('late')));
settled($node, 'a job of another type runs two days later');
is($of->('late', 'runs'), 1, 'the new type is counted in the place of a type that has not run for a day');
is(sql($node, q(SELECT count(*) FROM taskq.stat_handlers)), 11, 'the least recent type was removed, and the others are kept');

# the place of a database that was dropped is free at once
sql($node, q(ALTER SYSTEM SET taskq.clock_offset = '4d'));
$node->reload;
sql($node, q(CREATE DATABASE gone));
sql($node, q(CREATE EXTENSION taskq; CREATE SCHEMA app AUTHORIZATION app; SELECT taskq.grant_access('app', a) FROM unnest(ARRAY['producer', 'worker', 'admin']) a), 'gone');
my $run = q(SELECT taskq.register_handler('%s', 'app.work(jsonb)'); SELECT state FROM taskq.run_job(taskq.enqueue_job('%1$s')));
sql_as($node, 'gone', 'app', q(CREATE FUNCTION app.work(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';) . sprintf($run, 'there'));
is(sql($node, q(SELECT count(*) FROM taskq.stat_handlers), 'gone'), 1, 'a type of another database has taken a place');
sql($node, q(ALTER SYSTEM RESET taskq.clock_offset));
$node->reload;
sql($node, q(DROP DATABASE gone));
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('next', 'app.work(jsonb)')));
wait_until($node, q(SET SESSION AUTHORIZATION app; SELECT count(*) = 1 FROM taskq.run_job(taskq.enqueue_job('next')) r, taskq.stat_handlers h WHERE h.task_type = 'next' AND r.state = 'completed'), 'another type takes its place when the database is dropped');

# an old snapshot -------------------------------------------------------------

my $snapshot = sub { sql($node, "SET taskq.clock_offset = '$_[0]'; SELECT value, hint IS NULL FROM taskq.status() WHERE name = 'oldest snapshot'") };
is($snapshot->('0'), 'less than a minute old|t', 'status() shows no old snapshot');
my $reader = session($node);
$reader->query_safe(q(SET application_name = 'report'; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1));
my $pid = $reader->query_safe('SELECT pg_backend_pid()');
is($snapshot->('0'), 'less than a minute old|t', 'status() does not show a new snapshot');
sql($node, 'CREATE TABLE some_transaction ()');
like($snapshot->('90s'), qr/^session of \w+, pid $pid, report, since 9\d s, \d+ transactions ago\|f$/, 'status() shows an old snapshot, and the session that holds it');
$reader->quit;
is($snapshot->('90s'), 'less than a minute old|t', 'status() shows no old snapshot after the session has ended');
sql($node, q(BEGIN; CREATE TABLE prepared (); PREPARE TRANSACTION 'forgotten'));
like($snapshot->('90s'), qr/^prepared transaction forgotten of \w+, since 9\d s, \d+ transactions ago\|f$/, 'status() shows a prepared transaction');
sql($node, q(ROLLBACK PREPARED 'forgotten'));

$node->stop;
clean_log($node, but => qr/taskq\.stat/);
done_testing();
