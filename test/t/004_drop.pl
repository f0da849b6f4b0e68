# DROP EXTENSION and similar statements while workers run jobs, committed and rolled
# back.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('drop', bare => 1);
my $processes = q(SELECT count(*) FROM pg_stat_activity WHERE backend_type IN ('taskq scheduler', 'taskq worker') AND datname = 'postgres');
my $start_time = sql($node, 'SELECT pg_postmaster_start_time()');

# Create taskq and an application with jobs of all kinds, two of which run.
my $prepare = sub {
	sql($node, q(CREATE EXTENSION taskq));
	make_app($node, 'postgres', 'app');
	add_type($node, 'postgres', 'app', $_) for qw(work gated slow);
	sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('outside')));
	sql($node, q(SELECT taskq.register_worker(w) FROM unnest('{w}'::text[]) AS w));
	sql($node, q(SELECT taskq.enqueue_job('work') FROM generate_series(1, 20)));
	wait_until($node, q(SELECT count(*) = 20 FROM taskq.all_jobs WHERE state = 'completed'), 'jobs run before the DROP EXTENSION');
	sql($node, q(SELECT taskq.enqueue_job('outside') FROM generate_series(1, 2); SELECT taskq.claim_job('w')));
	sql($node, q(SELECT taskq.enqueue_job('work', delay => '1 d')));
	return;
};
my $run_gated = sub {
	my $gate = hold_gate($node, 1);
	sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}') FROM generate_series(1, 2)));
	wait_until($node, q(SELECT count(*) = 2 FROM taskq.all_jobs WHERE task_type = 'gated' AND state = 'running'), 'two jobs run');
	return $gate;
};
# Check that nothing of taskq is left in the database.
my $nothing_left = sub {
	my ($how) = @_;
	is(sql($node, $processes), 0, "$how: no process is left in the database");
	is(sql($node, q(SELECT count(*) FROM pg_namespace WHERE nspname = 'taskq')), 0, "$how: nor the schema");
	is(sql($node, q(SELECT count(*) FROM pg_extension WHERE extname = 'taskq')), 0, "$how: nor the extension");
	is(sql($node, q(SELECT count(*) FROM pg_depend d WHERE refclassid = 'pg_extension'::regclass
		AND NOT EXISTS (SELECT FROM pg_extension e WHERE e.oid = d.refobjid))), 0, "$how: nor a dependency on it");
	is(sql($node, q(SELECT count(*) FROM pg_proc WHERE probin LIKE '%taskq%')), 0, "$how: nor a function");
	is(sql($node, q(SELECT count(*) FROM pg_class c WHERE NOT EXISTS (SELECT FROM pg_namespace n WHERE n.oid = c.relnamespace))), 0,
		"$how: nor a table without a schema");
	is(sql($node, q(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')), 0, "$how: nor a lock");
	return;
};
my $clear = sub { sql($node, 'DROP SCHEMA IF EXISTS app CASCADE; DROP OWNED BY app; DROP ROLE app') };

# DROP EXTENSION while jobs run: they finish first -----------------------------

$prepare->();
my $gate = $run_gated->();
my $dropper = session($node);
$dropper->query_until(qr/dropping/, "\\echo dropping\nDROP EXTENSION taskq;\n\\echo dropped\n");
wait_until($node, q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler'), 'the scheduler leaves before DROP EXTENSION');
is(sql($node, q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'taskq worker' AND state = 'active')), 2, 'running jobs continue');
is(sql($node, q(SELECT count(*) FROM taskq.running_jobs())), 2, 'taskq\'s views can be read in the meantime');
open_gate($gate);
$dropper->query_until(qr/dropped/, '');
$dropper->quit;
is(sql($node, q(SELECT count(*) FROM app.ledger WHERE task_type = 'gated')), 2, 'the running jobs have finished');
$nothing_left->('DROP EXTENSION');
fails_with($node, '3F000', q(SELECT taskq.enqueue_job('work')), 'a call after DROP EXTENSION raises the error for a missing schema');

# the same again -------------------------------------------------------------

$clear->();
$prepare->();
is(sql($node, q(SELECT min(job_id) FROM taskq.all_jobs)), 1, 'after CREATE EXTENSION, everything is new');

# a job that does not end is interrupted, and its attempt does not count
sql($node, q(SELECT taskq.enqueue_job('slow', '{"it": "is"}')));
wait_until($node, 'SELECT count(*) = 1 FROM taskq.running_jobs()', 'a job runs that takes an hour');
my $epoch = sql($node, q(SELECT epoch FROM taskq.running_jobs()));
my $jobs = sql($node, q(SELECT count(*) FROM taskq.all_jobs));
sql($node, q(BEGIN; DROP EXTENSION taskq; ROLLBACK));
wait_until($node, qq(SELECT count(*) = 1 AND min(epoch) > $epoch FROM taskq.running_jobs()), 'after a rollback of DROP EXTENSION, the pool is started and runs the job again');
is(sql($node, q(SELECT attempt, (SELECT count(*) FROM taskq.attempts a WHERE a.job_id = j.job_id) FROM taskq.all_jobs j WHERE task_type = 'slow')), '1|0',
	'the interrupted run does not count as an attempt');
is(sql($node, q(SELECT count(*) FROM taskq.all_jobs)), $jobs, 'no job was lost');
sql($node, q(SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE task_type = 'slow'));
wait_until($node, q(SELECT state FROM taskq.all_jobs WHERE task_type = 'slow'), 'it can be cancelled', expected => 'cancelled');
sql($node, q(SELECT taskq.enqueue_job('work', '{"after": "rollback"}')));
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload ? 'after'), 'new jobs run after the rollback');

# rolled back to a savepoint: the transaction continues
my $s = session($node);
$s->query_safe('BEGIN; SAVEPOINT one; DROP EXTENSION taskq; ROLLBACK TO one');
$s->query_safe(q(SELECT taskq.enqueue_job('work', '{"after": "savepoint"}'); COMMIT));
$s->quit;
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload ? 'after' AND payload->>'after' = 'savepoint'),
	'after a rollback to a savepoint, the pool is started when the transaction ends');

# a DROP that fails
sql($node, 'CREATE VIEW public.mine AS SELECT * FROM taskq.all_jobs');
fails_with($node, '2BP01', 'DROP EXTENSION taskq', 'DROP EXTENSION fails when something depends on it');
sql($node, q(SELECT taskq.enqueue_job('work', '{"after": "failure"}')));
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload ? 'after' AND payload->>'after' = 'failure'), 'the pool is started after a DROP EXTENSION that failed');
sql($node, 'DROP VIEW public.mine');

# handlers that drop the extension
sql($node, q(CREATE FUNCTION public.suicide(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN EXECUTE payload->>'sql'; RETURN NULL; END $$));
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('app_suicide', 'public.suicide(jsonb)')));
$node->append_conf('postgresql.conf', 'taskq.allow_superuser_handlers = on');
$node->reload;
wait_until($node, 'SHOW taskq.allow_superuser_handlers', 'handlers may run as a superuser', expected => 'on');
sql($node, q(SELECT taskq.register_handler('suicide', 'public.suicide(jsonb)', max_attempts => 1)));
sql($node, q(SELECT taskq.enqueue_job('suicide', '{"sql": "DROP EXTENSION taskq"}'), taskq.enqueue_job('suicide', '{"sql": "DROP OWNED BY postgres"}')));
wait_until($node, q(SELECT count(*) = 2 FROM taskq.all_jobs WHERE task_type = 'suicide' AND state = 'discarded'), 'a handler of the owner cannot drop the database or extension that it runs in');
is(sql($node, q(SELECT string_agg(DISTINCT a.sqlstate, ' ') FROM taskq.attempts a JOIN taskq.all_jobs j USING (job_id) WHERE j.task_type = 'suicide')), '55006', 'the attempt has the error for an object in use');
sql($node, q(SELECT taskq.enqueue_job('app_suicide', '{"sql": "DROP EXTENSION taskq"}', max_attempts => 1)));
wait_until($node, q(SELECT min(a.sqlstate) = '42501' FROM taskq.attempts a JOIN taskq.all_jobs j USING (job_id) WHERE j.task_type = 'app_suicide'), 'a handler of another role has no right to do so');
sql($node, q(SELECT taskq.cancel_job(job_id) FROM taskq.jobs JOIN taskq.routes USING (route_id) WHERE task_type = 'app_suicide';
	SELECT taskq.unregister_handler(t) FROM unnest(ARRAY['suicide', 'app_suicide']) t; SELECT taskq.drop_pool('postgres')));

# a session without the right to drop the extension does not disturb the workers
$gate = $run_gated->();
my $epochs = sql($node, q(SELECT string_agg(epoch::text, ' ' ORDER BY epoch) FROM taskq.running_jobs()));
my $scheduler = pid_of($node, 'scheduler');
fails_with($node, '42501', 'DROP EXTENSION taskq', 'DROP EXTENSION by a role that may not', role => 'app');
fails_with($node, '42501', 'DROP OWNED BY postgres', 'DROP OWNED by a role that may not', role => 'app');
fails_with($node, '42501', 'DROP DATABASE postgres', 'DROP DATABASE by a role that may not', role => 'app', db => 'template1');
fails_with($node, '42501', 'ALTER DATABASE postgres RENAME TO mine', 'ALTER DATABASE RENAME by a role that may not', role => 'app', db => 'template1');
fails_with($node, '42501', 'CREATE DATABASE mine TEMPLATE postgres', 'CREATE DATABASE TEMPLATE by a role that may not', role => 'app', db => 'template1');
fails_with($node, '25001', 'BEGIN; DROP DATABASE postgres', 'DROP DATABASE in a transaction block', db => 'template1');
is(sql($node, q(SELECT string_agg(epoch::text, ' ' ORDER BY epoch) FROM taskq.running_jobs())) . ' ' . pid_of($node, 'scheduler'), "$epochs $scheduler",
	'jobs and scheduler are not disturbed by statements without the right');
open_gate($gate);
wait_until($node, q(SELECT NOT EXISTS (SELECT FROM taskq.all_jobs WHERE task_type = 'gated' AND state <> 'completed')), 'the jobs complete');

# DROP EXTENSION by a session that is cancelled while it waits
$gate = $run_gated->();
$dropper = session($node);
my $pid = $dropper->query_safe('SELECT pg_backend_pid()');
$dropper->query_until(qr/dropping/, "\\echo dropping\nDROP EXTENSION taskq;\n\\echo over\n");
wait_until($node, q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler'), 'DROP EXTENSION waits for a job');
sql($node, "SELECT pg_cancel_backend($pid)");
$dropper->query_until(qr/over/, '');
$dropper->quit;
like($dropper->{stderr}, qr/canceling statement due to user request/, 'DROP EXTENSION can be cancelled');
open_gate($gate);
wait_until($node, q(SELECT NOT EXISTS (SELECT FROM taskq.all_jobs WHERE task_type = 'gated' AND state <> 'completed')), 'taskq continues after the cancel');

# DROP SCHEMA, DROP OWNED ------------------------------------------------------

fails_with($node, '2BP01', 'DROP SCHEMA taskq CASCADE', 'DROP SCHEMA is refused by PostgreSQL, because the extension needs the schema');
sql($node, q(SELECT taskq.enqueue_job('work', '{"after": "schema"}')));
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload ? 'after' AND payload->>'after' = 'schema'),
	'jobs run after the refused DROP SCHEMA');
sql($node, 'DROP EXTENSION taskq');
$nothing_left->('DROP EXTENSION of an idle taskq');

# the extension of another superuser, and DROP OWNED by it
$clear->();
sql($node, q(CREATE ROLE boss SUPERUSER LOGIN));
sql($node, q(SET ROLE boss; CREATE EXTENSION taskq));
make_app($node, 'postgres', 'app');
add_type($node, 'postgres', 'app', $_) for qw(work gated);
$gate = $run_gated->();
$dropper = session($node);
$dropper->query_until(qr/dropping/, "\\echo dropping\nDROP OWNED BY boss;\n\\echo dropped\n");
wait_until($node, q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler'), 'the scheduler leaves before DROP OWNED');
open_gate($gate);
$dropper->query_until(qr/dropped/, '');
$dropper->quit;
is(sql($node, q(SELECT count(*) FROM app.ledger WHERE task_type = 'gated')), 2, 'the running jobs have finished before DROP OWNED');
$nothing_left->('DROP OWNED');

# squatted schema, concurrent use ----------------------------------------------

sql($node, 'CREATE SCHEMA taskq');
fails_with($node, '42P06', 'CREATE EXTENSION taskq', 'an existing schema taskq prevents CREATE EXTENSION');
sql($node, 'DROP SCHEMA taskq');
$clear->();
$prepare->();

# sessions that have enqueued in open transactions
$s = session($node);
$s->query_safe(q(BEGIN; SELECT taskq.enqueue_job('work')));
$dropper = session($node);
$dropper->query_until(qr/dropping/, "\\echo dropping\nDROP EXTENSION taskq;\n\\echo dropped\n");
wait_until($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'DROP EXTENSION taskq;' AND wait_event_type = 'Lock'),
	'DROP EXTENSION waits for a transaction that has enqueued');
$s->query_safe('COMMIT');
$dropper->query_until(qr/dropped/, '');
$dropper->quit;
$nothing_left->('DROP EXTENSION beside an enqueue');
my ($out, $error) = $s->query(q(SELECT taskq.enqueue_job('work')));
ok($error, 'a session that has used taskq gets an error after DROP EXTENSION');
sql($node, q(CREATE EXTENSION taskq; SELECT taskq.grant_access('app', access) FROM unnest(ARRAY['producer', 'worker', 'admin']) AS access));
add_type($node, 'postgres', 'app', 'work');
$s->{stderr} = '';
is($s->query_safe(q(SELECT taskq.enqueue_job('work'))), 1, 'the same session can use the new extension');
settled($node, 'the pool of the new extension runs its job');
$s->quit;

is(sql($node, 'SELECT pg_postmaster_start_time()'), $start_time, 'the server has not been restarted');
$node->stop;
clean_log($node);
done_testing();
