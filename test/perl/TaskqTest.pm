# Shared by the files of test/t.
#
# Nothing here sleeps, and no test asserts a duration: tests wait for conditions, and
# compare times in the database.
package TaskqTest;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes;

our @EXPORT = qw(
	new_node make_app make_misbehave install add_type wait_until wait_for_log_line
	pids_of pid_of hold_gate open_gate session sql sql_as fails_with log_since settled clean_log
	wait_for poll crash enqueue_crashing begin_claim answer_of claims_wait
	load_script rates_script start_load stop_load kill_load scaled last_epoch move_clocks
);

# Return a running server with taskq preloaded and, unless told otherwise, the
# extension in database postgres and the role app with its handlers.
sub new_node
{
	my ($name, %o) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my %defaults = (
		shared_preload_libraries => "'taskq'",
		restart_after_crash => 'on',
		max_worker_processes => 32,
		max_connections => 50,
		max_prepared_transactions => 10,
		log_statement => 'none',
		# tests look for the backend's type and the SQLSTATE in the log
		log_line_prefix => "'%m [%p] %b %e %q%u\@%d '");
	my %conf = (%defaults, %{ $o{conf} // {} });

	$node->init(%{ $o{init} // {} });
	$node->append_conf('postgresql.conf', join '', map { "$_ = $conf{$_}\n" } sort grep { defined $conf{$_} } keys %conf);
	$node->start;
	return $node if $o{bare};
	install($node, 'postgres');
	return $node;
}

# Create the extension, the role app with its schema, and its handlers in a
# database.
sub install
{
	my ($node, $db) = @_;
	$node->safe_psql($db, 'CREATE EXTENSION taskq');
	make_app($node, $db, 'app');
	return;
}

# Create an ordinary role with a schema of its name. Its handlers:
#   work   writes a line into the ledger of its schema
#   gated  does the same, then waits for the gate that the payload names
#   slow   does the same, then sleeps for an hour unless interrupted
#   broken raises an error
# The ledger has a line for each committed run.
sub make_app
{
	my ($node, $db, $role) = @_;
	$node->safe_psql($db, <<SQL);
DO \$\$ BEGIN IF to_regrole('$role') IS NULL THEN CREATE ROLE $role LOGIN; END IF; END \$\$;
CREATE SCHEMA $role AUTHORIZATION $role;
SELECT taskq.grant_access('$role', access) FROM unnest(ARRAY['producer', 'worker', 'observer', 'operator', 'admin']) AS access;
SET ROLE $role;
CREATE TABLE $role.ledger (
	job_id bigint, task_type text, attempt integer, epoch bigint, worker_id text,
	pid integer DEFAULT pg_backend_pid(), session_role name DEFAULT session_user, role name DEFAULT current_user,
	payload jsonb);
CREATE FUNCTION $role.note(payload jsonb) RETURNS void LANGUAGE sql AS \$\$
	INSERT INTO $role.ledger (job_id, task_type, attempt, epoch, worker_id, payload)
	SELECT j.job_id, j.task_type, j.attempt, j.epoch, j.worker_id, \$1 FROM taskq.current_job() j;
\$\$;
CREATE FUNCTION $role.work(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM $role.note(payload);
	RETURN payload;
END \$\$;
CREATE FUNCTION $role.gated(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM $role.note(payload);
	PERFORM pg_advisory_xact_lock_shared((payload->>'gate')::bigint);
	RETURN payload;
END \$\$;
CREATE FUNCTION $role.slow(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM $role.note(payload);
	PERFORM pg_sleep(3600);
	RETURN payload;
END \$\$;
CREATE FUNCTION $role.broken(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM $role.note(payload);
	RAISE EXCEPTION 'broken on purpose';
END \$\$;
SQL
	return;
}

# Add to a role of make_app: misbehave(how, amount) of src/admin/testing.c, and the
# handler bad, which records its run and then does what its payload says: {"how":
# "abort", "amount": 1}.
sub make_misbehave
{
	my ($node, $db, $role) = @_;
	$node->safe_psql($db, <<SQL);
CREATE FUNCTION $role.misbehave(how text, amount bigint DEFAULT 0) RETURNS void LANGUAGE C AS 'taskq', 'taskq_test_misbehave';
SET ROLE $role;
CREATE FUNCTION $role.bad(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM $role.note(payload);
	PERFORM $role.misbehave(payload->>'how', COALESCE((payload->>'amount')::bigint, 0));
	RETURN payload;
END \$\$;
SQL
	return;
}

# Register one of the functions of make_app as a task type, as the role itself.
sub add_type
{
	my ($node, $db, $role, $type, $function, $more) = @_;
	$function //= $type;
	$more = defined $more ? ", $more" : '';
	sql_as($node, $db, $role, "SELECT taskq.register_handler('$type', '$role.$function(jsonb)'$more)");
	return;
}

# statements ----------------------------------------------------------------

sub sql
{
	my ($node, $query, $db) = @_;
	return $node->safe_psql($db // 'postgres', $query);
}

sub sql_as
{
	my ($node, $db, $role, $query) = @_;
	return $node->safe_psql($db, $query, extra_params => [ '-U', $role ]);
}

# Enqueue jobs that crash the server, so that the server answers before any of them
# starts. The connection that then lets them start may be lost, and its answer does
# not matter.
sub enqueue_crashing
{
	my ($node, $query) = @_;
	sql($node, q(SELECT taskq.pause_queue('default')));
	my $answer = sql($node, $query);
	$node->psql('postgres', q(SELECT taskq.resume_queue('default')));
	return $answer;
}

# Check that the statement raises this SQLSTATE; returns what it wrote to stderr.
sub fails_with
{
	my ($node, $sqlstate, $query, $name, %o) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($rc, $out, $err) = $node->psql($o{db} // 'postgres', "\\set VERBOSITY verbose\n$query",
		on_error_stop => 1, extra_params => $o{role} ? [ '-U', $o{role} ] : []);
	like($err, qr/(ERROR|FATAL):\s+\Q$sqlstate\E:/, $name);
	return $err;
}

# Return a background session in which each statement has the full time limit.
sub session
{
	my ($node, %o) = @_;
	my $s = $node->background_psql($o{db} // 'postgres', on_error_stop => 0,
		extra_params => $o{role} ? [ '-U', $o{role} ] : []);
	$s->set_query_timer_restart;
	return $s;
}

# Have a session begin a call that waits for jobs. What comes after the first line may
# already contain the answer.
sub begin_claim
{
	my ($session, $sql) = @_;
	$session->{early} = $session->query_until(qr/claiming\n/, "\\echo claiming\n$sql\n\\echo claimed\n") =~ s/.*claiming\n//sr;
	return;
}

# Wait until the call ends; returns its answer.
sub answer_of
{
	my ($session) = @_;
	my $out = $session->{early};
	$out .= $session->query_until(qr/claimed/, '') unless $out =~ /claimed/;
	return $out =~ s/\s*claimed\s*$//r =~ s/^\s+//r;
}

# The query whether so many sessions (1) wait in a call for jobs.
sub claims_wait
{
	my ($n) = @_;
	$n //= 1;
	return qq(SELECT count(*) = $n FROM pg_stat_activity WHERE query ~ 'taskq\\.(claim_job|wait_for_job)' AND pid <> pg_backend_pid()
		AND wait_event_type = 'Extension' AND state = 'active');
}

# A gate, which holds back the handlers that wait for it.
sub hold_gate
{
	my ($node, $gate, $db) = @_;
	my $s = session($node, db => $db);
	$s->query_safe("SELECT pg_advisory_lock($gate)");
	return $s;
}

sub open_gate
{
	my ($gate) = @_;
	$gate->quit;
	return;
}

# waiting -------------------------------------------------------------------

# Wait until the condition holds; returns false if it does not within the time
# limit.
sub wait_for
{
	my ($condition) = @_;
	for (1 .. 20 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1 if $condition->();
		Time::HiRes::sleep(0.05);
	}
	return 0;
}

# Wait until the query returns the expected value ("t"), also while the server is
# down. The query is not sent through a pipe, because psql may end before it has
# read from the pipe, and the writer would be killed by SIGPIPE.
sub poll
{
	my ($node, $query, %o) = @_;
	my $expected = $o{expected} // 't';
	my ($out, $err);
	return 1 if wait_for(sub {
		IPC::Run::run([ 'psql', '-XAtq', '-d', $node->connstr($o{db} // 'postgres'), '-c', $query ], '<', '/dev/null', '>', \$out, '2>', \$err);
		chomp $out;
		return $out eq $expected && $err eq '';
	});
	diag("waited in vain for \"$expected\" of\n$query\nThe last answer:\n$out$err");
	return 0;
}

# As a test: wait until the query returns the expected value ("t").
sub wait_until
{
	my ($node, $query, $name, %o) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(poll($node, $query, %o), $name);
}

# Return the current length of the log, for looking only at later lines.
sub log_since
{
	my ($node) = @_;
	return -s $node->logfile;
}

sub wait_for_log_line
{
	my ($node, $regexp, $offset, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(eval { $node->wait_for_log($regexp, $offset); 1 }, $name);
}

# Wait until all jobs of a database have ended.
sub settled
{
	my ($node, $name, %o) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until($node, 'SELECT NOT EXISTS (SELECT FROM taskq.jobs)', $name, %o);
}

# processes -----------------------------------------------------------------

# Return the process ids of a kind (launcher, scheduler, worker), as the server
# shows them.
sub pids_of
{
	my ($node, $kind, %o) = @_;
	my $where = $o{db} ? "AND datname = '$o{db}'" : '';
	return split /\n/, $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'taskq $kind' $where ORDER BY backend_start");
}

# Wait for the only process of a kind, and return it.
sub pid_of
{
	my ($node, $kind, %o) = @_;
	my $where = $o{db} ? "AND datname = '$o{db}'" : '';
	poll($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq $kind' $where")
	  or die "there is no single taskq $kind";
	my @pids = pids_of($node, $kind, %o);
	return $pids[0];
}

# Kill a process, which makes the server restart, and wait until the server is up
# again. When the process has gone, the postmaster knows that it must restart.
sub crash
{
	my ($node, $pid) = @_;
	kill 'KILL', $pid;
	wait_for(sub { return !kill 0, $pid }) or die "process $pid does not end";
	poll($node, 'SELECT true') or die 'the server does not come back';
	return;
}

# what must never be in a log -----------------------------------------------

# Check that no process crashed (except where the test caused it), and that there
# was no internal error.
sub clean_log
{
	my ($node, %o) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $log = slurp_file($node->logfile);
	my @bad = grep { /\bPANIC\b|TRAP:|was terminated by signal|\bXX\d\d\d\b/ } split /\n/, $log;
	@bad = grep { $_ !~ $o{but} } @bad if $o{but};
	is(join("\n", @bad), '', $node->name . ': no crash and no internal error in the log');
	return;
}

# load ----------------------------------------------------------------------------

# Write a script of pgbench, and return its name.  Client n claims jobs of type ext, or of these
# types, as the worker "w<n>", with these further arguments of claim_job(), and ends them in all ways.
sub load_script
{
	my ($node, $arguments, $types) = @_;
	my $file = $node->basedir . '/load.sql';
	my $script = <<'SQL';
\set how random(1, 200)
\if :how <= 20
BEGIN;
SAVEPOINT s;
SELECT count(*) FROM taskq.claim_jobs('w' || :client_id, 3, '{ext}');
\if :how <= 10
ROLLBACK TO s;
SELECT count(taskq.complete_job(job_id, epoch)) FROM taskq.claim_job('w' || :client_id, '{ext}');
COMMIT;
\else
ROLLBACK;
\endif
\else
SELECT COALESCE(max(job_id), 0) AS job, COALESCE(max(epoch), 0) AS epoch FROM taskq.claim_job('w' || :client_id, '{ext}'ARGUMENTS) \gset
\if :job > 0
\if :how <= 30
BEGIN;
SELECT taskq.complete_job(:job, :epoch);
ROLLBACK;
\endif
\if :how <= 40
SELECT taskq.fail_job(:job, :epoch, 'x');
\elif :how <= 50
SELECT taskq.release_job(:job, :epoch);
\elif :how <= 55
SELECT taskq.snooze_job(:job, :epoch, '20 ms');
\elif :how = 56
SELECT taskq.heartbeat_job(:job, :epoch, lease => '1 s');
\else
SELECT taskq.complete_job(:job, :epoch);
\endif
\endif
\endif
SQL

	$script =~ s/\{ext\}/{$types}/g if defined $types;
	$script =~ s/ARGUMENTS/defined $arguments ? ", $arguments" : ''/e;
	append_to_file($file, $script);
	return $file;
}

my @load;
my @load_outputs;

# Write a load for start_load() that spends no start of a rate in a way that the history does not show.
sub rates_script
{
	my ($node) = @_;
	my $file = $node->basedir . '/claims.sql';

	append_to_file($file, <<'SQL');
\set how random(1, 40)
\if :how <= 2
BEGIN;
SAVEPOINT s;
SELECT count(*) FROM taskq.claim_jobs('w' || :client_id, 3, '{ext}');
\if :how <= 1
ROLLBACK TO s;
COMMIT;
\else
ROLLBACK;
\endif
\else
SELECT COALESCE(max(job_id), 0) AS job, COALESCE(max(epoch), 0) AS epoch FROM taskq.claim_job('w' || :client_id, '{ext}', wait => '10 s') \gset
\if :job > 0
\if :how <= 5
SELECT taskq.fail_job(:job, :epoch, 'x');
\else
SELECT taskq.complete_job(:job, :epoch);
\endif
\endif
\endif
SQL
	return $file;
}

# Set settings of the whole server that move its clocks, in milliseconds; sessions that begin later have them at once.
sub move_clocks
{
	my ($node, %settings) = @_;
	$node->append_conf('postgresql.conf', join '', map { "$_ = $settings{$_}\n" } keys %settings);
	$node->reload;
	for my $name (keys %settings)
	{
		$node->poll_query_until('postgres', "SELECT setting = '$settings{$name}' FROM pg_settings WHERE name = '$name'");
	}
	return;
}

# Return the epoch of the last claim that has ended.
sub last_epoch
{
	my ($node) = @_;
	return sql($node, q(SELECT COALESCE(max(epoch), 0) FROM taskq.attempts));
}

# Return a number of jobs or seconds of a load, multiplied for a long run of the test by TASKQ_SCALE.
sub scaled
{
	my ($n) = @_;
	return $n * ($ENV{TASKQ_SCALE} // 1);
}

# Run a script of pgbench in eight sessions for some seconds, beside the test.
sub start_load
{
	my ($node, $script, $seconds) = @_;
	$seconds = scaled($seconds);
	@load_outputs = ('', '');
	@load = map { IPC::Run::start([ 'pgbench', '-n', '-c', 4, '-T', $seconds, '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres' ], '>&', \$load_outputs[$_]) } 0 .. 1;
	return;
}

# Wait for its end.
sub stop_load
{
	for my $n (0 .. $#load)
	{
		$load[$n]->finish or diag($load_outputs[$n]);
	}
	return;
}

# Kill it, after the server has crashed.
sub kill_load
{
	$_->kill_kill for @load;
	return;
}

1;
