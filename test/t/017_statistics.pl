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
settled($node, 'jobs of one and of a hundred milliseconds');
my $of = sub { my ($type, $what) = @_; return sql($node, "SELECT $what FROM taskq.stat_handlers WHERE task_type = '$type'") };
is($of->('sleep', 'runs, completed, failed'), '100|100|0', 'runs are counted');
is($of->('sleep', 'p50_time BETWEEN 1 AND 50, p95_time >= 64, p99_time >= 100, p50_time <= p95_time, p95_time <= p99_time, p99_time <= max_time'),
	't|t|t|t|t|t', 'half of them were short, some long');
is($of->('sleep', 'mean_wait > 0, p50_wait <= p95_wait, p95_wait <= p99_wait, p99_wait >= 500, since < last_run_at'), 't|t|t|t|t', 'they have waited for each other');
is(sql($node, q(SELECT count(*) FROM taskq.stat_handlers WHERE NOT (min_time <= p50_time AND p99_time <= max_time))), 0, 'no percentile is below the least or above the most');
is($of->('broken', 'p50_time = min_time, p99_time = max_time, p50_wait = mean_wait, p99_wait = mean_wait'), 't|t|t|t', 'of a single run all are the same');
is($of->('broken', 'runs, completed, failed, p50_time > 0'), '1|0|1|t', 'a failure too');
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
is(sql($node, "SELECT state FROM taskq.all_jobs WHERE task_type = 'outside'"), 'running', 'a settle whose commit fails at its very end has not happened');
is(sql($node, "SELECT count(*) FROM taskq.stat_handlers WHERE task_type = 'outside' AND runs > 0"), 0, 'and is not counted');
sql_as($node, 'postgres', 'app', "SELECT taskq.complete_job($claimed)");
is($of->('outside', 'runs, completed'), '1|1', 'the next one is');
$_->quit for $first, $second;

# restarts --------------------------------------------------------------------

my $all = 'SELECT string_agg(s::text, chr(10) ORDER BY task_type) FROM taskq.stat_handlers s';
my $before = sql($node, $all);
$node->restart;
is(sql($node, $all), $before, 'a restart keeps all of it');
ok(!-e $node->data_dir . '/pg_stat/taskq.stat', 'the file is gone once it has been read');
$node->stop;
ok(-e $node->data_dir . '/pg_stat/taskq.stat', 'it is there while the server is down');
$node->append_conf('postgresql.conf', "taskq.max_handler_statistics = 11");
$node->start;
is(sql($node, $all), $before, 'another size of the table is no matter');
$node->stop;
truncate($node->data_dir . '/pg_stat/taskq.stat', 100) or die $!;
my $offset = log_since($node);
$node->start;
like(substr(slurp_file($node->logfile), $offset), qr/LOG:.*taskq\.stat" was not written by this version of taskq/, 'a file that was cut off is refused');
is(sql($node, q(SELECT count(*) FROM taskq.stat_handlers)), 0, 'and the statistics begin anew');
sql_as($node, 'postgres', 'app', q(SELECT taskq.enqueue_job('work')));
settled($node, 'a job');
is($of->('work', 'runs'), 1, 'which is counted');
$node->stop('immediate');
$node->start;
is(sql($node, q(SELECT count(*) FROM taskq.stat_handlers)), 0, 'a crash forgets all of it');

# reset -----------------------------------------------------------------------

sql_as($node, 'postgres', 'app', q(SELECT taskq.enqueue_job('work'), taskq.enqueue_job('sleep', '{"ms": 1}')));
settled($node, 'two jobs');
sql($node, q(SELECT taskq.stat_reset('work')));
is(sql($node, q(SELECT string_agg(task_type, ' ') FROM taskq.stat_handlers)), 'sleep', 'stat_reset of a type');
sql($node, q(SELECT taskq.stat_reset()));
is(sql($node, q(SELECT count(*) FROM taskq.stat_handlers)), 0, 'stat_reset of all');
sql_as($node, 'postgres', 'app', q(SELECT taskq.enqueue_job('work')));
settled($node, 'a job');
is($of->('work', 'runs, min_time = max_time'), '1|t', 'counted from there');

# a full table ----------------------------------------------------------------

sql_as($node, 'postgres', 'app', q(DO $$ BEGIN FOR i IN 1 .. 20 LOOP
	PERFORM taskq.register_handler('type-' || i, 'app.work(jsonb)'), taskq.enqueue_job('type-' || i);
END LOOP; END $$));
settled($node, 'more types than there is room for');
is(sql($node, q(SELECT count(*) FROM taskq.stat_handlers)), 10, 'as many as there is room for are counted');
is($of->('work', 'runs'), 1, 'those that were there stay');
like(sql($node, q(SELECT value || hint FROM taskq.status() WHERE name = 'statistics of handlers')), qr/full, 11 task types.*max_handler_statistics/, 'status() says so');
sql($node, q(ALTER SYSTEM SET taskq.clock_offset = '2d'));
$node->reload;
sql($node, q(SELECT taskq.drain_worker(worker_id) FROM taskq.workers));
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('late', 'app.work(jsonb)'), taskq.enqueue_job('late')));
settled($node, 'another type, two days later');
is($of->('late', 'runs'), 1, 'takes the place of one that has not run for a day');
is(sql($node, q(SELECT count(*) FROM taskq.stat_handlers)), 11, 'of the least recent, which was reset');
sql($node, q(ALTER SYSTEM RESET taskq.clock_offset));
$node->reload;

# an old snapshot -------------------------------------------------------------

my $snapshot = sub { sql($node, "SET taskq.clock_offset = '$_[0]'; SELECT value, hint IS NULL FROM taskq.status() WHERE name = 'oldest snapshot'") };
is($snapshot->('0'), 'less than a minute old|t', 'no old snapshot');
my $reader = session($node);
$reader->query_safe(q(SET application_name = 'report'; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1));
my $pid = $reader->query_safe('SELECT pg_backend_pid()');
is($snapshot->('0'), 'less than a minute old|t', 'nor a new one');
sql($node, 'CREATE TABLE some_transaction ()');
like($snapshot->('90s'), qr/^session of \w+, pid $pid, report, since 9\d s, \d+ transactions ago\|f$/, 'an old one, and who holds it');
$reader->quit;
is($snapshot->('90s'), 'less than a minute old|t', 'when it is gone');
sql($node, q(BEGIN; CREATE TABLE prepared (); PREPARE TRANSACTION 'forgotten'));
like($snapshot->('90s'), qr/^prepared transaction forgotten of \w+, since 9\d s, \d+ transactions ago\|f$/, 'a prepared transaction');
sql($node, q(ROLLBACK PREPARED 'forgotten'));

$node->stop;
clean_log($node, but => qr/taskq\.stat/);
done_testing();
