# pg_upgrade, and a library with definitions of another version: nothing runs where
# it must not, nothing is lost, and callers are told what to do.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

# pg_upgrade ------------------------------------------------------------------

my $old = new_node('old');
sql($old, 'CREATE DATABASE other');
install($old, 'other');
for my $db ('postgres', 'other')
{
	add_type($old, $db, 'app', 'work', undef, "description => 'does it', version => '1.2'");
	add_type($old, $db, 'app', 'broken', undef, "retry_policy => 'none'");
	sql($old, q(SELECT taskq.enqueue_job('work', jsonb_build_object('n', n)) FROM generate_series(1, 20) n; SELECT taskq.enqueue_job('broken')), $db);
	settled($old, "$db: jobs have run", db => $db);
	sql($old, q(SELECT taskq.enqueue_job('nobody'); SELECT taskq.enqueue_job('work', '{"x": "ahead"}', delay => '1 h');
		SELECT taskq.create_queue('side', retain_completed => '2 d')), $db);
}
sql_as($old, 'postgres', 'app', q(SELECT taskq.register_handler('outside')));
sql($old, q(SELECT taskq.register_worker(w) FROM unnest('{worker}'::text[]) AS w));
sql($old, q(SELECT taskq.enqueue_job('outside')));
my ($claimed, $epoch) = split /\|/, sql($old, q(SELECT job_id, epoch FROM taskq.claim_job('worker', lease => '1 h')));
my %look = (
	# a row that had to be written before the partition of its day was made moves there later
	jobs => q(SELECT string_agg((to_jsonb(j) - 'expires_on')::text, E'\n' ORDER BY job_id) FROM taskq.all_jobs j),
	attempts => q(SELECT string_agg(a::text, E'\n' ORDER BY job_id, attempt) FROM taskq.attempts a),
	handlers => q(SELECT string_agg(h::text, E'\n' ORDER BY task_type) FROM taskq.list_handlers() h),
	pools => q(SELECT string_agg(format('%s %s %s', pool, role, size), E'\n' ORDER BY pool) FROM taskq.pools),
	queues => q(SELECT string_agg(q::text, E'\n' ORDER BY queue) FROM taskq.queues q),
	grants => q(SELECT string_agg(role || ' ' || access, ', ' ORDER BY role, access) FROM taskq.access_grants));
my %before;
for my $db ('postgres', 'other')
{
	$before{$db}{$_} = sql($old, $look{$_}, $db) for keys %look;
}
my $last = sql($old, 'SELECT max(job_id) FROM taskq.all_jobs');
my $runs = sql($old, 'SELECT count(*) FROM app.ledger');
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init;
$new->append_conf('postgresql.conf', "shared_preload_libraries = 'taskq'\nmax_worker_processes = 32");
my $bin = $old->config_data('--bindir');
my @upgrade = ('pg_upgrade', '--no-sync', '--retain', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $bin, '-B', $bin,
	'-s', $new->host, '-p', $old->port, '-P', $new->port);
# pg_upgrade writes into its working directory
chdir PostgreSQL::Test::Utils::tempdir() or die $!;
command_ok([ @upgrade, '--check' ], 'pg_upgrade --check succeeds');
command_ok(\@upgrade, 'pg_upgrade succeeds');
my @logs = glob($new->data_dir . '/pg_upgrade_output.d/*/log/*.log');
cmp_ok(scalar(@logs), '>', 0, 'the servers of pg_upgrade have written logs');
is(join('', map { slurp_file($_) =~ /taskq (?:launcher|scheduler|worker)/ ? "$_ " : '' } @logs), '', 'no process of taskq ran during pg_upgrade');

$new->start;
for my $db ('postgres', 'other')
{
	is(sql($new, $look{$_}, $db), $before{$db}{$_}, "$db: the same $_") for sort keys %look;
	wait_until($new, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler' AND datname = '$db'", "$db: its scheduler has come");
	is(sql($new, q(SELECT value FROM taskq.status() WHERE name = 'adopted'), $db), 'no', "$db: the new cluster has to be told that it takes over");
}
cmp_ok(sql($new, q(SELECT taskq.enqueue_job('work', '{"new": 1}'))), '>', $last, 'the sequence of job ids has advanced');
is(sql($new, 'SELECT count(*) FROM app.ledger'), $runs, 'no job has run in the new cluster');
is(sql($new, 'SELECT taskq.adopt_database()'), 't', 'adopt_database() returns true');
wait_until($new, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload ? 'new'), 'jobs run after adopt_database()');
is(sql($new, qq(SELECT taskq.complete_job($claimed, $epoch))), 't', 'an external worker completes a job that it has claimed before the upgrade');
is(sql($new, 'SELECT count(*) FROM taskq.all_jobs, taskq.jobs WHERE false', 'other'), 0, 'the other database is not adopted');
is(sql($new, q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'taskq worker' AND datname = 'other')), 0, 'the other database has no worker');

# an older or newer library ------------------------------------------------------

# Declare every C function as another version of the script might: with one argument
# less, and with one more. A function must refuse a call that it does not expect.
sql($new, <<'SQL');
CREATE FUNCTION public.answers(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE call;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
SQL
my $declare = q(
	SELECT count(*), string_agg(DISTINCT answer, ',') FROM (
		SELECT p.oid, public.answers(format('CREATE %s public.other_%s(%s) %s AS %L, %L LANGUAGE C', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, p.oid,
			(SELECT string_agg(format_type(t, NULL), ', ' ORDER BY n) FROM unnest(%s) WITH ORDINALITY a (t, n)),
			CASE p.prokind WHEN 'p' THEN '' ELSE 'RETURNS ' || pg_get_function_result(p.oid) END, p.probin, p.prosrc)) AS answer
		FROM pg_proc p JOIN pg_language l ON l.oid = prolang
		WHERE pronamespace = 'taskq'::regnamespace AND lanname = 'c') declared);
my $call = q(
	SELECT count(*), string_agg(DISTINCT CASE answer WHEN '55000' THEN answer ELSE prosrc || ' ' || answer END, ',') FROM (
		SELECT prosrc, public.answers(format('%s public.%s(%s)', CASE prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END, proname,
			(SELECT string_agg('NULL', ', ') FROM generate_series(1, pronargs)))) AS answer
		FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'other_%') called);
my $forget = q(DO $$ DECLARE f regprocedure; BEGIN FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'other_%'
	LOOP EXECUTE 'DROP ROUTINE ' || f; END LOOP; END $$);
for my $case ([ 'more', 'p.proargtypes::oid[] || 25::oid' ], [ 'less', q((p.proargtypes::oid[])[0:p.pronargs - 2]) ])
{
	my ($what, $types) = @$case;
	(my $sql = $declare) =~ s/unnest\(%s\)/unnest($types)/;
	$sql =~ s/lanname = 'c'/lanname = 'c' AND p.pronargs > 0/ if $what eq 'less';
	my ($n, $declared) = split /\|/, sql($new, $sql);
	cmp_ok($n, '>', 50, "functions with an argument $what");
	is($declared, 'done', 'are declared');
	my ($m, $answers) = split /\|/, sql($new, $call);
	is("$m $answers", "$n 55000", 'and all refuse to be called');
	sql($new, $forget);
}

# The same with a result of one more column.
my ($rows, $as_declared) = split /\|/, sql($new, q(
	SELECT count(*), string_agg(DISTINCT answer, ',') FROM (
		SELECT public.answers(format('CREATE FUNCTION public.other_%s(%s) RETURNS TABLE (%s, one_more text) AS %L, %L LANGUAGE C', p.oid,
			(SELECT string_agg(format_type(t, NULL), ', ' ORDER BY n) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY a (t, n)),
			(SELECT string_agg(format('c%s %s', n, format_type(t, NULL)), ', ' ORDER BY n) FROM (
				SELECT t, n FROM unnest(p.proallargtypes, p.proargmodes) WITH ORDINALITY a (t, m, n) WHERE m IN ('o', 't')) c),
			p.probin, p.prosrc)) AS answer
		FROM pg_proc p JOIN pg_language l ON l.oid = prolang
		WHERE pronamespace = 'taskq'::regnamespace AND lanname = 'c' AND prokind = 'f' AND proretset AND proallargtypes IS NOT NULL) declared));
cmp_ok($rows, '>', 8, 'there are functions that return rows, which get one more column');
is($as_declared, 'done', 'are declared');
my ($called, $refused) = split /\|/, sql($new, $call);
is("$called $refused", "$rows 55000", 'and refuse to be called');
sql($new, $forget);

# A newer script has more columns, which are ignored.
sql($new, "ALTER TABLE taskq.$_ ADD COLUMN later text DEFAULT 'x'") for qw(jobs job_history handlers routes queue_defs pool_defs attempt_failures external_workers);
$new->restart;
my $first = 1 + sql($new, 'SELECT max(job_id) FROM taskq.all_jobs');
sql($new, q(SELECT taskq.enqueue_job(t) FROM unnest(ARRAY['work', 'broken', 'outside', 'brand_new']) t));
wait_until($new, qq(SELECT count(*) = 2 FROM taskq.all_jobs WHERE job_id >= $first AND finished_at IS NOT NULL), 'with additional columns, jobs run');
is(sql($new, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.claim_job('worker'))), 't', 'with additional columns, a job is claimed and completed');
is(sql($new, qq(SELECT string_agg(state, ' ' ORDER BY job_id) FROM taskq.all_jobs WHERE job_id >= $first)), 'completed discarded completed available', 'with additional columns, all jobs have the expected states');
sql_as($new, 'postgres', 'app', q(SELECT taskq.register_handler('later'), taskq.create_queue('later')));

# A script that the library does not know yet: callers are told, until the library
# or the script is replaced. Idle workers leave when their time is over.
sql($new, q(ALTER SYSTEM SET taskq.worker_idle = '2 s'));
sql($new, 'SELECT pg_reload_conf()');
my $version = sql($new, q(SELECT extversion FROM pg_extension WHERE extname = 'taskq'));
my $waiting = sql($new, q(SELECT taskq.enqueue_job('work', delay => '1 s')));
my $offset = log_since($new);
sql($new, q(UPDATE pg_extension SET extversion = '0.1.10' WHERE extname = 'taskq'; CREATE FUNCTION public.newer() RETURNS void LANGUAGE sql AS ''));
wait_for_log_line($new, qr/definitions in database "postgres" are newer than its library/, $offset, 'with newer definitions, the scheduler logs a warning');
wait_until($new, q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'taskq worker'), 'with newer definitions, no worker runs');
fails_with($new, '55000', "SELECT * FROM taskq.$_", "and so does $_")
  for "enqueue_job('work')", "claim_job('worker')", "complete_job($claimed, $epoch)", "register_handler('x')", "create_queue('x')", "run_next()", "cancel_job($claimed)";
is(sql($new, q(SELECT value, hint LIKE 'Restart the server%' FROM taskq.status() WHERE name = 'definitions')), 'newer than the library|t', 'with newer definitions, status() says what to do');
sql($new, qq(UPDATE pg_extension SET extversion = '$version' WHERE extname = 'taskq'; DROP FUNCTION public.newer()));
wait_until($new, qq(SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = $waiting), 'with matching definitions, jobs run again');

# An older script lacks a table or columns: nothing runs, callers are told, and the
# extension can still be dropped. (ALTER TABLE ... RENAME is refused)
sql($new, q(UPDATE pg_class SET relname = 'not_yet_there' WHERE oid = 'taskq.event_log'::regclass));
$new->stop; # its scheduler may have logged it, too
$offset = log_since($new);
$new->start;
wait_for_log_line($new, qr/definitions in database "postgres" are older than its library/, $offset, 'without a table, the scheduler logs a warning');
fails_with($new, '55000', "SELECT * FROM taskq.$_", "and so does $_")
  for "enqueue_job('work')", "claim_job('worker')", "complete_job($claimed, $epoch)", "register_handler('x')", "create_queue('x')", "run_next()", "cancel_job($claimed)";
wait_until($new, q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'taskq worker'), 'without a table, no worker runs');
is(() = slurp_file($new->logfile, $offset) =~ /definitions in database "postgres" are older/g, 1, 'the warning is logged once');
is(sql($new, q(SELECT value, hint LIKE '%same version%DROP EXTENSION taskq%CREATE EXTENSION taskq%' FROM taskq.status() WHERE name = 'definitions')), 'older than the library|t', 'status() says what to do about older definitions');
sql($new, 'DROP EXTENSION taskq CASCADE');
wait_until($new, q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'taskq %' AND datname = 'postgres'), 'the extension can be dropped without a table, and its processes leave');
sql($new, 'CREATE EXTENSION taskq');

$new->stop;
clean_log($new);
done_testing();
