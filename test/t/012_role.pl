# A pool's role loses what it needs between registration and run: its jobs wait, the
# reason is shown, and they run when it is repaired.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('role', conf => { 'taskq.poll_interval' => "'200ms'" });
my $version = sql($node, 'SHOW server_version_num');
make_app($node, 'postgres', 'other');
add_type($node, 'postgres', 'other', 'others', 'work');
add_type($node, 'postgres', 'app', 'work');
my $no_worker = q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'taskq worker' AND usename = 'app');
my $reason = sub { return qq(SELECT count(*) = 1 AND min(reason) LIKE '%$_[0]%' FROM taskq.unroutable_jobs WHERE task_type = 'work') };
my $n = 0;
# A job of app waits as long as a job of the other role runs.
my $waits = sub {
	my ($why, $like) = @_;
	$n++;
	my $job = sql($node, qq(SELECT taskq.enqueue_job('work', '{"n": $n}')));
	sql($node, q(SELECT taskq.enqueue_job('others')));
	wait_until($node, q(SELECT NOT EXISTS (SELECT FROM taskq.all_jobs WHERE task_type = 'others' AND state <> 'completed')), "$why: jobs of other roles run");
	is(sql($node, qq(SELECT state, attempt, worker_id FROM taskq.all_jobs WHERE job_id = $job)), 'available|0|', "$why: a job waits, untouched");
	wait_until($node, $reason->($like), "$why: unroutable_jobs says so") if $like;
	return $job;
};
my $heals = sub {
	my ($why, $job) = @_;
	wait_until($node, qq(SELECT state = 'completed' AND attempt = 1 FROM taskq.all_jobs WHERE job_id = $job), "$why: it runs then");
	is(sql($node, qq(SELECT count(*) FROM app.ledger WHERE job_id = $job)), 1, "$why: once");
	return;
};
my $send_home = sub {
	sql($node, q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq worker'));
	wait_until($node, $no_worker, 'no worker is left');
	return;
};

sql($node, q(SELECT taskq.enqueue_job('work', '{"n": 0}')));
settled($node, 'all is well');

# LOGIN -----------------------------------------------------------------------
# (needed only before PostgreSQL 17)
if ($version < 170000)
{
	sql($node, 'ALTER ROLE app NOLOGIN');
	$send_home->();
	my $job = $waits->('NOLOGIN', 'LOGIN');
	is(sql($node, q(SELECT status LIKE 'unrunnable%' FROM taskq.list_handlers() WHERE task_type = 'work')), 't', 'NOLOGIN: the registry says so');
	sql($node, 'ALTER ROLE app LOGIN');
	$heals->('LOGIN again', $job);
	sql($node, 'ALTER ROLE app NOLOGIN');
	$job = $waits->('NOLOGIN while a worker is there', 'LOGIN');
	sql($node, 'ALTER ROLE app LOGIN');
	$heals->('LOGIN again', $job);
}

# CONNECT ---------------------------------------------------------------------

sql($node, 'REVOKE CONNECT ON DATABASE postgres FROM PUBLIC; GRANT CONNECT ON DATABASE postgres TO other');
$send_home->();
my $job = $waits->('no CONNECT', 'connect');
sql($node, 'GRANT CONNECT ON DATABASE postgres TO app');
$heals->('CONNECT again', $job);

# EXECUTE, the function itself --------------------------------------------------

sql($node, 'REVOKE EXECUTE ON FUNCTION app.work(jsonb) FROM PUBLIC, app');
$job = $waits->('no EXECUTE', 'execute');
sql($node, 'GRANT EXECUTE ON FUNCTION app.work(jsonb) TO app');
$heals->('EXECUTE again', $job);
sql($node, 'ALTER FUNCTION app.work(jsonb) RENAME TO away');
$job = sql($node, q(SELECT taskq.enqueue_job('work', '{"n": "renamed"}')));
$heals->('the function is renamed', $job);
sql($node, 'ALTER FUNCTION app.away(jsonb) RENAME TO work');
my $definition = sql($node, q(SELECT pg_get_functiondef('app.work(jsonb)'::regprocedure)));
sql($node, 'DROP FUNCTION app.work(jsonb)');
$job = $waits->('the function is dropped', 'unresolved');
sql_as($node, 'postgres', 'app', $definition);
$heals->('it is made anew', $job);
sql($node, 'GRANT ALL ON SCHEMA app TO other');
sql($node, 'DROP FUNCTION app.work(jsonb)');
sql_as($node, 'postgres', 'other', $definition);
$job = $waits->('another role has made a function of the name', 'unresolved: owner changed');
sql($node, 'DROP FUNCTION app.work(jsonb)');
sql_as($node, 'postgres', 'app', $definition);
$heals->('its owner has made it again', $job);

# a superuser -----------------------------------------------------------------

sql($node, 'ALTER ROLE app SUPERUSER');
$job = $waits->('the role has become a superuser', 'superuser');
sql($node, 'ALTER ROLE app NOSUPERUSER');
$heals->('no longer one', $job);

# renamed ---------------------------------------------------------------------

sql($node, 'ALTER ROLE app RENAME TO application');
$job = sql($node, q(SELECT taskq.enqueue_job('work', '{"after": "rename"}')));
$heals->('a renamed role', $job);
is(sql($node, q(SELECT role FROM taskq.pools WHERE pool = 'app')), 'application', 'the pool has its role still');
$send_home->();
$job = sql($node, q(SELECT taskq.enqueue_job('work', '{"after": "rename"}')));
$heals->('a new worker of the renamed role', $job);
is(sql($node, qq(SELECT session_role, role FROM app.ledger WHERE job_id = $job)), 'application|application', 'is connected under the new name');
sql($node, 'ALTER ROLE application RENAME TO app');

# dropped ---------------------------------------------------------------------

sql($node, q(SELECT taskq.enqueue_job('work', '{"n": "before"}')));
settled($node, 'all is well');
sql($node, 'REASSIGN OWNED BY app TO other; DROP OWNED BY app; DROP ROLE app');
$job = $waits->('the role is dropped', undef);
is(sql($node, q(SELECT count(*) FROM taskq.unroutable_jobs WHERE task_type = 'work')), 1, 'unroutable_jobs has a row for it');
isnt(sql($node, q(SELECT status FROM taskq.list_handlers() WHERE task_type = 'work')), 'ok', 'the registry says so');
is(sql($node, q(SELECT count(*) FROM taskq.pools WHERE pool = 'app')), 1, 'pools can be read');
is(sql($node, q(SELECT count(*) FROM taskq.workers WHERE state IS NULL)), 0, 'and workers');
sql($node, q(SELECT taskq.drop_pool('app')));
sql($node, q(GRANT EXECUTE ON FUNCTION app.work(jsonb) TO other; SELECT taskq.unregister_handler('work')));
sql_as($node, 'postgres', 'other', q(SELECT taskq.register_handler('work', 'app.work(jsonb)')));
wait_until($node, qq(SELECT state = 'completed' AND attempt = 1 FROM taskq.all_jobs WHERE job_id = $job), 'registered by another role, the job runs');

# a pool that cannot start does not fill the log
my @lines = slurp_file($node->logfile) =~ /workers of taskq pool "app" cannot start/g;
cmp_ok(scalar(@lines), '<=', 2, 'workers that could not start were mentioned at most once a minute');
$node->stop;
clean_log($node);
done_testing();
