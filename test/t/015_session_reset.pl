# A job never sees what another job left in its session, whether that job completed
# or failed. Each row of the table has the work of a handler and a query that shows
# its effect. The query must give another answer after this work in the same job,
# and its first answer in the next job in the same process.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('session_reset', conf => { 'taskq.allow_superuser_handlers' => 'on', 'taskq.worker_idle' => "'1 h'" });
sql($node, q(CREATE ROLE other; GRANT other TO app; GRANT SET ON PARAMETER session_replication_role, log_statement TO app; GRANT pg_read_all_stats TO app));
sql_as($node, 'postgres', 'app', <<'SQL');
CREATE SEQUENCE app.seq CACHE 10;
CREATE TABLE app.late (i int UNIQUE DEFERRABLE INITIALLY IMMEDIATE);
-- the first numbers of random() after setseed(0.25)
CREATE TABLE app.foreseen AS SELECT NULL::float8 AS r WHERE setseed(0.25) IS NULL;
INSERT INTO app.foreseen SELECT random() FROM (SELECT setseed(0.25)) s, generate_series(1, 20);
-- what an error says, or ok
CREATE FUNCTION app.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RAISE EXCEPTION 'ok';	-- and roll it back
EXCEPTION WHEN OTHERS THEN
	RETURN SQLERRM;
END $$;
CREATE FUNCTION app.act(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	seen text;
BEGIN
	IF payload ? 'do' THEN
		EXECUTE payload->>'do';
	END IF;
	EXECUTE payload->>'look' INTO seen;
	IF payload ? 'fail' THEN
		RAISE EXCEPTION 'failed on purpose';
	END IF;
	RETURN jsonb_build_object('seen', seen, 'pid', pg_backend_pid());
END $$;
SELECT taskq.register_handler('act', 'app.act(jsonb)', max_attempts => 1);
SELECT taskq.alter_pool('app', size => 1);
SQL
sql($node, q(SELECT taskq.register_handler('act-super', 'app.act(jsonb)', max_attempts => 1); SELECT taskq.alter_pool('postgres', size => 1)));

my $setting = sub { my ($name, $value) = @_; [ "SET $name", "SET $name = $value", "SELECT current_setting('$name')" ] };
my @table = (
	(map { $setting->(@$_) } (
		[ work_mem => "'77MB'" ], [ search_path => 'pg_catalog' ], [ timezone => "'Asia/Tokyo'" ], [ datestyle => "'German'" ],
		[ intervalstyle => "'iso_8601'" ], [ client_encoding => "'LATIN1'" ], [ client_min_messages => "'log'" ],
		[ application_name => "'mine'" ], [ plan_cache_mode => "'force_generic_plan'" ], [ statement_timeout => "'1 h'" ],
		[ lock_timeout => "'1 h'" ], [ bytea_output => "'escape'" ], [ row_security => 'off' ], [ enable_seqscan => 'off' ],
		[ jit => 'on' ], [ max_parallel_workers_per_gather => 8 ], [ synchronous_commit => 'off' ],
		[ session_replication_role => 'replica' ], [ log_statement => "'all'" ])),
	[ 'set_config', q(SELECT set_config('work_mem', '66MB', false)), q(SELECT current_setting('work_mem')) ],
	[ 'a setting of its own', q(SET my.var = 'x'), q(SELECT COALESCE(NULLIF(current_setting('my.var', true), ''), 'unset')) ],
	[ 'RESET ALL', q(SET work_mem = '55MB'; RESET ALL; SET work_mem = '44MB'), q(SELECT current_setting('work_mem')) ],
	[ 'SET ROLE', 'SET ROLE other', 'SELECT current_user' ],
	[ 'SET SESSION AUTHORIZATION', 'SET SESSION AUTHORIZATION other', 'SELECT session_user || current_user', 'act-super' ],
	[ 'SET SESSION CHARACTERISTICS', 'SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE', q(SELECT current_setting('default_transaction_isolation') || current_setting('transaction_isolation')) ],
	[ 'read only by default', 'SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY', q(SELECT current_setting('default_transaction_read_only') || current_setting('transaction_read_only')) ],
	[ 'SET TRANSACTION', 'SET TRANSACTION READ ONLY', q(SELECT current_setting('transaction_read_only')) ],
	[ 'SET CONSTRAINTS', 'SET CONSTRAINTS ALL DEFERRED', q(SELECT app.try('INSERT INTO app.late VALUES (1), (1)')) ],
	[ 'a temporary table', 'CREATE TEMP TABLE t (i int)', q(SELECT to_regclass('pg_temp.t')) ],
	[ 'one that empties itself', 'CREATE TEMP TABLE t (i int) ON COMMIT DELETE ROWS', q(SELECT to_regclass('pg_temp.t')) ],
	[ 'a temporary view', 'CREATE TEMP VIEW v AS SELECT 1', q(SELECT to_regclass('pg_temp.v')) ],
	[ 'a temporary sequence', 'CREATE TEMP SEQUENCE s', q(SELECT to_regclass('pg_temp.s')) ],
	[ 'a temporary function', q(CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'), q(SELECT to_regprocedure('pg_temp.f()')) ],
	[ 'a temporary type', 'CREATE TYPE pg_temp.e AS ENUM ()', q(SELECT to_regtype('pg_temp.e')) ],
	[ 'a prepared statement', 'PREPARE p AS SELECT 1', q(SELECT count(*) FROM pg_prepared_statements) ],
	[ 'a cursor', 'DECLARE c CURSOR FOR SELECT 1', q(SELECT count(*) FROM pg_cursors WHERE name = 'c') ],
	[ 'a cursor WITH HOLD', 'DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 100000)', q(SELECT count(*) FROM pg_cursors WHERE name = 'c') ],
	[ 'a setting of such a cursor', q(DECLARE c CURSOR WITH HOLD FOR SELECT set_config('work_mem', '33MB', false)),
		q(SELECT current_setting('work_mem') || (SELECT count(*) FROM pg_cursors WHERE name = 'c')) ],
	[ 'an advisory lock', 'SELECT pg_advisory_lock(77)', q(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77 AND pid = pg_backend_pid()) ],
	[ 'a shared advisory lock', 'SELECT pg_advisory_lock_shared(77)', q(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77 AND pid = pg_backend_pid()) ],
	[ 'lastval()', q(SELECT nextval('app.seq')), q(SELECT app.try('SELECT lastval()')) ],
	[ 'currval()', q(SELECT nextval('app.seq')), q(SELECT app.try('SELECT currval(''app.seq'')')) ],
	[ 'setseed()', 'SELECT setseed(0.25)', 'SELECT random() IN (SELECT r FROM app.foreseen)' ],
	[ 'a large object descriptor', 'SELECT lo_open(lo_create(0), 131072)', q(SELECT app.try('SELECT lo_tell(0)')) ],
);

# The jobs of all rows, in the order in which the only worker runs them.
sub enqueue
{
	my ($row, $rest) = @_;
	my (undef, undef, $look, $type) = @$row;
	my $payload = "jsonb_build_object('look', \$look\$$look\$look\$)" . ($rest // '');
	return sql_as($node, 'postgres', $type ? 'postgres' : 'app', 'SELECT taskq.enqueue_job(' . "'" . ($type // 'act') . "', $payload)");
}
my @jobs = map {
	my $do = "|| jsonb_build_object('do', \$do\$$_->[1]\$do\$)";
	[ map { enqueue($_->[0], $_->[1]) } [ $_ ], [ $_, $do ], [ $_ ], [ $_, "$do || '{\"fail\": true}'" ], [ $_ ] ];
} @table;
settled($node, 'all jobs have run');

my %seen;
sub look_at_results
{
	%seen = map { split /\|/, $_, 2 } split /\n/, sql($node, q(SELECT job_id, COALESCE(result->>'seen', 'nothing') FROM taskq.all_jobs WHERE state = 'completed'
		UNION ALL SELECT job_id, error_message FROM taskq.attempts WHERE outcome = 'failed'));
	return;
}
sub seen
{
	my ($id) = @_;
	return $seen{$id} // '';
}
look_at_results();
for my $i (0 .. $#table)
{
	my ($what) = @{ $table[$i] };
	my ($first, $deed, $second, $failed, $third) = @{ $jobs[$i] };
	my $at_first = seen($first);
	isnt($at_first, '', "$what: seen at first");
	isnt(seen($deed), $at_first, "$what: seen by the job that did it");
	is(seen($second), $at_first, "$what: not seen by the next");
	is(seen($failed), 'failed on purpose', "$what: done by a job that fails");
	is(seen($third), $at_first, "$what: not seen by the next");
}
is(sql($node, q(SELECT count(DISTINCT result->>'pid'), count(*) FROM taskq.all_jobs WHERE task_type = 'act' AND state = 'completed')),
	join('|', 1, 4 * (@table - 1)), 'all jobs have run in one process');
is(seen($jobs[ (grep { $table[$_][0] eq 'lastval()' } 0 .. $#table)[0] ][0]), 'lastval is not yet defined in this session', q(nor are taskq's own sequences seen));

# PostgreSQL itself refuses LISTEN
my $listen = sql_as($node, 'postgres', 'app', q(SELECT taskq.enqueue_job('act', '{"look": "LISTEN x"}')));
settled($node, 'the job with LISTEN ends');
is(sql($node, "SELECT sqlstate FROM taskq.attempts WHERE job_id = $listen"), '0A000', 'LISTEN: refused in a background worker');
is(sql($node, q(SELECT count(*) FROM pg_class WHERE relpersistence = 't')), 0, 'no temporary table is left anywhere');

# fresh workers ---------------------------------------------------------------

# How many processes have run this many jobs of a kind, one after the other.
sub processes
{
	my ($n) = @_;
	my $look = q({"look": "SELECT pg_backend_pid()"});
	my @ids = split /\n/, sql_as($node, 'postgres', 'app', "SELECT taskq.enqueue_job('act', '$look') FROM generate_series(1, $n)");
	settled($node, "$n more jobs");
	return sql($node, "SELECT count(DISTINCT result->>'pid') FROM taskq.all_jobs WHERE job_id BETWEEN $ids[0] AND $ids[-1]");
}
sub set_conf
{
	my ($conf) = @_;
	sql($node, "ALTER SYSTEM SET $_") for @$conf;
	sql($node, 'SELECT pg_reload_conf()');
	sql($node, q(SELECT taskq.drain_worker(worker_id) FROM taskq.workers));
	wait_until($node, q(SELECT count(*) = 0 FROM taskq.stat_workers WHERE state = 'draining'), "workers as of @$conf");
}
is(processes(10), 1, 'without a limit, one process runs all jobs');
set_conf([ 'taskq.worker_max_jobs = 5' ]);
is(processes(20), 4, 'worker_max_jobs: a new process runs after this many jobs');
set_conf([ 'taskq.worker_max_jobs = 0', 'taskq.worker_max_memory = \'32MB\'' ]);
make_misbehave($node, 'postgres', 'app');
add_type($node, 'postgres', 'app', 'bad');
my $before = sql_as($node, 'postgres', 'app', q(SELECT taskq.enqueue_job('bad', '{"how": "leak", "amount": 67108864}')));
settled($node, 'the job that leaks memory ends');
wait_until($node, q(SELECT NOT EXISTS (SELECT FROM taskq.stat_workers s, app.ledger l WHERE s.pid = l.pid AND l.task_type = 'bad')), 'worker_max_memory: a process that has grown leaves');
is(processes(10), 1, 'worker_max_memory: a process that has not grown stays');
set_conf([ 'taskq.worker_max_memory = 0', 'taskq.worker_max_age = \'1 h\'' ]);
is(processes(1), 1, 'a new process runs a job before worker_max_age');
sql($node, q(SELECT taskq.alter_pool('app', min_size => 1)));
my $pid = sql($node, q(SELECT pid FROM taskq.stat_workers WHERE pool = 'app'));
set_conf([ 'taskq.worker_max_age = \'1 s\'' ]);
wait_until($node, "SELECT count(*) = 1 FROM taskq.stat_workers WHERE pool = 'app' AND pid <> $pid", 'worker_max_age: an idle worker that its pool keeps is replaced, too');

# memory ----------------------------------------------------------------------

set_conf([ 'taskq.worker_max_age = 0' ]);
sub weigh
{
	my $id = sql_as($node, 'postgres', 'app', q(SELECT taskq.enqueue_job('act', '{"look": "SELECT sum(total_bytes) FROM pg_backend_memory_contexts"}')));
	settled($node, 'weighed');
	look_at_results();
	return seen($id);
}
sub run_many
{
	my ($n) = @_;
	sql_as($node, 'postgres', 'app', qq(SELECT count(taskq.enqueue_job('act', jsonb_build_object('look', 'SELECT 1') || CASE i % 10 WHEN 0 THEN '{"fail": true}'::jsonb ELSE '{}' END)) FROM generate_series(1, $n) i));
	settled($node, "$n jobs");
}
sql_as($node, 'postgres', 'app', q(SELECT taskq.alter_queue('default', keep_payload => false)));
run_many(2000);
my $light = weigh();
run_many(20000);
my $heavy = weigh();
note("memory of the worker: $light bytes, after 20000 more jobs $heavy");
cmp_ok($heavy - $light, '<', 256 * 1024, 'the memory of a worker does not grow with the number of its jobs');

$node->stop;
clean_log($node);
done_testing();
