# Calls during DROP EXTENSION, DROP FUNCTION, DROP TYPE or another call of the same
# kind: each waits, and then succeeds or raises a clear error.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('race');
add_type($node, 'postgres', 'app', 'work');
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('outside')));

# Begin a statement in a session, and wait until it waits for a lock.
my $begin = sub {
	my ($session, $statement) = @_;
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	$session->{stderr} = '';
	$session->query_until(qr/begun/, "\\echo begun\n$statement;\n\\echo ended\n");
	return poll($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $pid AND wait_event_type = 'Lock'");
};
my $end = sub {
	my ($session) = @_;
	$session->query_until(qr/ended/, '');
	my $told = $session->{stderr};
	$session->{stderr} = '';
	return $told;
};
my ($one, $two) = map { session($node, on_error_stop => 0) } 1 .. 2;
$_->query('\set VERBOSITY verbose') for $one, $two;

# grant_access ---------------------------------------------------------------------

sql($node, 'CREATE ROLE first; CREATE ROLE second');
$one->query_safe(q(BEGIN; SELECT taskq.grant_access('first', 'producer')));
ok($begin->($two, q(SELECT taskq.grant_access('second', 'producer'))), 'a second grant_access waits for the first');
$one->query_safe('COMMIT');
is($end->($two), '', 'the second grant_access() succeeds after the first');
$one->query_safe(q(BEGIN; SELECT taskq.revoke_access('first', 'producer')));
ok($begin->($two, q(SELECT taskq.grant_access('second', 'worker'))), 'a revoke_access() waits for the first grant_access()');
$one->query_safe('COMMIT');
is($end->($two), '', 'the revoke_access() succeeds after the first grant_access()');
is(sql($node, q(SELECT has_function_privilege('first', p.oid, 'EXECUTE'), has_function_privilege('second', p.oid, 'EXECUTE') FROM pg_proc p WHERE proname = 'enqueue_jobs')), 'f|t',
	'each role has the access that it was granted');

# register_handler -------------------------------------------------------------------

sql($node, q(SET ROLE app;
	CREATE FUNCTION app.going(p jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT p';
	CREATE FUNCTION app.judge(p jsonb) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
	CREATE FUNCTION app.again(a integer, e jsonb) RETURNS interval LANGUAGE sql AS 'SELECT NULL::interval';
	CREATE TYPE app.going_type AS (a integer)));
$_->query_safe('SET ROLE app') for $one, $two;
my %named = (
	'FUNCTION app.going(jsonb)' => [ q('app.going(jsonb)'), '42883' ],
	'FUNCTION app.judge(jsonb)' => [ q(validator => 'app.judge(jsonb)'), '42883' ],
	'FUNCTION app.again(integer, jsonb)' => [ q(retry_function => 'app.again(integer, jsonb)'), '42883' ],
	'TYPE app.going_type' => [ q(payload_type => 'app.going_type'), '42704' ]);
for my $object (sort keys %named)
{
	my ($argument, $sqlstate) = @{ $named{$object} };
	$one->query_safe("BEGIN; SELECT taskq.register_handler('going', $argument)");
	ok($begin->($two, "DROP $object"), "DROP $object waits for who is about to register it");
	$one->query_safe('ROLLBACK');
	is($end->($two), '', 'and goes on then');
	$two->query_safe($object =~ /going\(/ ? q(CREATE FUNCTION app.going(p jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT p')
		: $object =~ /judge/ ? q(CREATE FUNCTION app.judge(p jsonb) RETURNS text LANGUAGE sql AS 'SELECT NULL::text')
		: $object =~ /again/ ? q(CREATE FUNCTION app.again(a integer, e jsonb) RETURNS interval LANGUAGE sql AS 'SELECT NULL::interval')
		: q(CREATE TYPE app.going_type AS (a integer)));
	$one->query_safe("BEGIN; DROP $object");
	ok($begin->($two, "SELECT taskq.register_handler('going', $argument)"), "who registers it waits for DROP $object");
	$one->query_safe('COMMIT');
	like($end->($two), qr/ERROR:\s+$sqlstate: .* does not exist/, 'and is told that it has gone');
}

# a payload type that is dropped while it is looked at
SKIP:
{
	skip 'needs a build with TESTING=1', 3 if sql($node, q(SELECT count(*) FROM pg_settings WHERE name = 'taskq.injection_point')) == 0;
	sql($node, q(SET ROLE app; CREATE TYPE app.seen_type AS (a integer); SELECT taskq.register_handler('typed', payload_type => 'app.seen_type')));
	my $gate = hold_gate($node, q(hashtext('type-found')));
	my $looks = session($node, on_error_stop => 0);
	$looks->query(q(SET taskq.injection_point = 'type-found'));
	ok($begin->($looks, q(SELECT contract_status FROM taskq.list_handlers() WHERE task_type = 'typed')), 'list_handlers() has found a payload type');
	sql($node, 'DROP TYPE app.seen_type');
	open_gate($gate);
	my $seen = $looks->query_until(qr/ended/, '');
	is($looks->{stderr}, '', 'the type is dropped: list_handlers() raises no error');
	like($seen, qr/unresolved: payload type app.seen_type does not exist/, 'and says that the type does not exist');
	$looks->quit;
}

# a validator whose helper is dropped between its plan and its run
sql($node, q(SET ROLE app;
	CREATE TABLE app.gate ();
	CREATE FUNCTION app.wait() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM app.gate); END';
	CREATE FUNCTION app.helper() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
	CREATE FUNCTION app.asks(p jsonb) RETURNS text LANGUAGE sql AS 'SELECT app.wait(); SELECT app.helper()';
	SELECT taskq.register_handler('asks', validator => 'app.asks(jsonb)')));
$two->query_safe("RESET ROLE; SET taskq.validation_timeout = '10 min'; SET ROLE app");
$one->query_safe('BEGIN; LOCK TABLE app.gate');
ok($begin->($two, q(SELECT taskq.enqueue_job('asks'))), 'a validator waits before it calls its helper');
$one->query_safe('DROP FUNCTION app.helper(); COMMIT');
# 42704 comes from PostgreSQL 16 and later, if the helper is dropped before its rights are checked
like($end->($two), qr/ERROR:\s+(42883|42704): /, 'the validator raises the error for a missing function');

# a queue that is dropped while a job for it waits to get its first route
$one->query_safe(q(RESET ROLE; SELECT taskq.create_queue('going')));
$one->query_safe(q(BEGIN; SELECT taskq.drop_queue('going')));
$two->query_safe('RESET ROLE');
ok($begin->($two, q(SELECT taskq.enqueue_job('outside', queue => 'going'))), 'enqueue_job() waits for drop_queue()');
$one->query_safe('COMMIT');
like($end->($two), qr/ERROR:\s+\w{5}: queue "going" does not exist/, 'enqueue_job() says that the queue does not exist');

# Under load: a type, a function and rights that come and go.  The objects are given by
# their OID, as PostgreSQL's own parser can fail to read a name of an object that is
# dropped at that moment.
sql($node, q(GRANT CREATE ON SCHEMA public TO app));
my @loads = (
	q(DROP TYPE IF EXISTS app.payload; CREATE TYPE app.payload AS (a integer);),
	q(SELECT taskq.register_handler('typed', payload_type => t.oid::regtype, allow_override => true) FROM pg_type t WHERE t.typname = 'payload';),
	q(SELECT taskq.enqueue_jobs('typed', array_agg('{"a": 1}'::jsonb)) FROM generate_series(1, 20);),
	q(DROP FUNCTION IF EXISTS app.come(jsonb); CREATE FUNCTION app.come(p jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT p';),
	q(SELECT taskq.register_handler('come', p.oid::regprocedure, allow_override => true) FROM pg_proc p WHERE p.proname = 'come';),
	q(SELECT taskq.enqueue_job('come');),
	q(SELECT taskq.grant_access('app', 'observer'); SELECT taskq.revoke_access('first', 'observer');),
	q(SELECT taskq.grant_access('first', 'observer'); SELECT * FROM taskq.list_handlers();),
);
# Run all scripts repeatedly at the same time; returns their errors.
my $run_all = sub {
	my ($role, $times, @scripts) = @_;
	my @psql;
	for my $script (@scripts)
	{
		my $file = $node->basedir . '/script' . @psql . '.sql';
		unlink $file;
		append_to_file($file, "\\set VERBOSITY verbose\n" . "$script\n" x ($script =~ /EXTENSION/ ? 15 : $times));
		my $err = '';
		my %psql = (err => \$err);
		$psql{run} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=0', '-U', $role, '-d', $node->connstr('postgres'), '-f', $file ],
			'<', '/dev/null', '>', '/dev/null', '2>', \$err);
		push @psql, \%psql;
	}
	$_->{run}->finish for @psql;
	my %told;
	$told{$_}++ for map { ${ $_->{err} } =~ /(?:ERROR|FATAL):\s+(\w{5}: [^\n]*)/g } @psql;
	return join "\n", sort keys %told;
};
my $told = $run_all->('app', 100, @loads);
note($told);
unlike($told, qr/^XX|could not open|cache lookup|concurrently/m, 'types, functions and rights come and go: no internal error');

# DROP EXTENSION ---------------------------------------------------------------------

# all kinds of calls, which have begun when it commits
my $job = sql($node, q(SELECT taskq.enqueue_job('outside')));
my $claim = sql($node, q(SELECT job_id || ', ' || epoch FROM taskq.claim_job('w', ARRAY['outside'])));
sql($node, q(SELECT taskq.register_worker('w2', ARRAY['outside']); SELECT taskq.enqueue_job('outside') FROM generate_series(1, 5)));
my @calls = (
	q(taskq.enqueue_job('work')), q(taskq.enqueue_jobs('work', ARRAY['{}', '{}']::jsonb[])),
	q(taskq.claim_job('w', ARRAY['outside'])), q(taskq.claim_jobs('w', 2, ARRAY['outside'])),
	"taskq.heartbeat_job($claim)", "taskq.complete_job($claim)", "taskq.fail_job($claim, 'no')",
	"taskq.snooze_job($claim, '1 min')", "taskq.release_job($claim)", "taskq.cancel_job($job)", "taskq.retry_job($job)",
	"taskq.describe_job($job)", "taskq.save_checkpoint($claim, '{}')", "taskq.append_frame($claim, 'frame')",
	q(taskq.worker_heartbeat('w2')), q(taskq.register_worker('w3', ARRAY['outside'])), q(taskq.unregister_worker('w2')),
	q(taskq.register_handler('new')), q(taskq.unregister_handler('work')), q(taskq.pause_handler('work')), q(taskq.create_queue('q')),
	q(taskq.pause_pool('app')), q(taskq.grant_access('first', 'worker')), q(taskq.redrive_jobs()));
my @sessions = map { session($node, on_error_stop => 0) } @calls;
for (@sessions)
{
	# They keep what they have read in their memory. PostgreSQL itself looks up the
	# type that claims return, the first time, before it calls taskq.
	$_->query(q(SELECT count(*) FROM taskq.list_handlers(); SELECT taskq.is_registered('work')));
	$_->query(q(BEGIN; SELECT taskq.claim_job('first', ARRAY['outside']); ROLLBACK));
	$_->query('\set VERBOSITY verbose');
}
$one->query_safe('RESET ROLE; BEGIN; DROP EXTENSION taskq');
my @waits = map { $begin->($sessions[$_], "SELECT $calls[$_]") } 0 .. $#calls;
$one->query_safe('COMMIT');
for (0 .. $#calls)
{
	like($end->($sessions[$_]), qr/ERROR:\s+55000: extension taskq is not installed in this database/, "$calls[$_]: says that taskq has gone");
}
is(scalar(grep { !$_ } @waits), 0, 'all calls have waited for DROP EXTENSION');
$_->quit for @sessions;

# a session that waits for a job or an event holds nothing that DROP EXTENSION waits
# for
sql($node, 'CREATE EXTENSION taskq');
sql($node, q(SELECT taskq.register_handler('outside'); SELECT taskq.register_worker('w', '{outside}')));
$one->query_safe('RESET ROLE');
my @waiting = ('SELECT * FROM taskq.claim_job(\'w\', \'{outside}\', wait => \'10 s\')', 'SELECT * FROM taskq.read_events(wait => \'10 s\')',
	'CALL taskq.wait_for_job(\'w\', \'10 s\', NULL)');
my @sleepers = map { session($node, on_error_stop => 0) } @waiting;
for (0 .. $#waiting)
{
	my $pid = $sleepers[$_]->query_safe('SELECT pg_backend_pid()');
	$sleepers[$_]->query("SET taskq.max_wait = '10 s'");
	$sleepers[$_]->query('\set VERBOSITY verbose');
	$sleepers[$_]->{stderr} = '';
	$sleepers[$_]->query_until(qr/begun/, "\\echo begun\n$waiting[$_];\n\\echo ended\n");
	wait_until($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE pid = $pid AND state = 'active' AND wait_event_type = 'Extension'", "$waiting[$_] waits");
}
$one->query_safe('DROP EXTENSION taskq CASCADE');
for (0 .. $#waiting)
{
	like($end->($sleepers[$_]), qr/ERROR:\s+55000: extension taskq is not installed in this database/, "$waiting[$_]: says that taskq has gone");
	$sleepers[$_]->quit;
}

# the same, when the job or event comes
sql($node, 'CREATE EXTENSION taskq');
$told = $run_all->('postgres', 60,
	q(DROP EXTENSION IF EXISTS taskq; CREATE EXTENSION IF NOT EXISTS taskq;),
	q(SELECT taskq.register_handler('outside', allow_override => true); SELECT taskq.enqueue_job('outside') FROM generate_series(1, 5);),
	q(SELECT taskq.enqueue_jobs('outside', ARRAY['{}', '{}']::jsonb[]); SELECT * FROM taskq.all_jobs;),
	q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.claim_jobs('w', 3, ARRAY['outside'], wait => '10 ms');),
	q(SELECT taskq.register_worker('x', ARRAY['outside']); SELECT taskq.worker_heartbeat('x'); SELECT taskq.unregister_worker('x');),
	q(SELECT * FROM taskq.status(); SELECT * FROM taskq.workers; SELECT taskq.describe_job(1); SELECT taskq.cancel_job(1);),
	q(SELECT taskq.grant_access('app', 'worker'); SELECT taskq.create_queue('q'); SELECT taskq.drop_queue('q');));
note($told);
# PostgreSQL's own errors for a function, or its result type, that was dropped
# before the call
my $not_called = qr/XX000.*(cache lookup failed for (function|type)|could not open relation)/;
is(join("\n", grep { /^XX/ && !/$not_called/ } split /\n/, $told), '', 'DROP EXTENSION and CREATE EXTENSION repeatedly: no internal error of taskq');
sql($node, 'CREATE EXTENSION IF NOT EXISTS taskq');
wait_until($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler'), 'a scheduler is running in the end');

# another extension of the same name -------------------------------------------------

# the first route is that of "alpha", and later that of "beta"
my $anew = q(DROP EXTENSION taskq; CREATE EXTENSION taskq; SELECT taskq.register_handler('beta'); SELECT taskq.register_handler('alpha'); SELECT taskq.enqueue_job('beta'););
sql($node, q(DROP EXTENSION taskq; CREATE EXTENSION taskq; SELECT taskq.register_handler('alpha')));
$_->query_safe('RESET ROLE; RESET SESSION AUTHORIZATION') for $one, $two;
$two->query_safe(q(SELECT taskq.enqueue_job('alpha', run_at => now() - interval '1 d')));
my ($old_job, $old_epoch) = split /\|/, sql($node, q(SELECT job_id, epoch FROM taskq.claim_job('w', ARRAY['alpha'])));
$one->query_safe("BEGIN; $anew");
ok($begin->($two, q(SELECT taskq.enqueue_job('alpha', '{"for": "alpha"}'))), 'enqueue_job waits for DROP and CREATE EXTENSION');
$one->query_safe('COMMIT');
like($end->($two), qr/ERROR:\s+55000: extension taskq was dropped and created again/, 'enqueue_job says that the extension was created again');
is(sql($node, q(SELECT string_agg(task_type || payload, ' ') FROM taskq.all_jobs)), 'beta{}', 'no job has got another type');
like(sql($node, q(SELECT taskq.enqueue_jobs('alpha', ARRAY['{}']::jsonb[]))), qr/^\d+$/, 'the next call enqueues');
$two->query_safe(q(SELECT taskq.enqueue_job('alpha')));

# an epoch of the old extension
($job, my $epoch) = split /\|/, sql($node, q(SELECT job_id, epoch FROM taskq.claim_job('x', ARRAY['beta'])));
is($job, $old_job, 'a job has the number of a job of the old extension');
fails_with($node, 'TQ003', "SELECT taskq.complete_job($job, $old_epoch)", 'a claim of the old job does not settle it');
is(sql($node, "SELECT taskq.complete_job($job, $epoch)"), 't', 'its own claim does');

$_->quit for $one, $two;
unlike(slurp_file($node->logfile), qr/taskq (scheduler|worker|launcher) XX|concurrently updated/, 'the log has no internal error');
$node->stop;
clean_log($node, but => qr{$not_called|XX000.*STATEMENT:});
done_testing();
