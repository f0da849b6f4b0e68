# Actions at commit also happen if another session runs COMMIT PREPARED, and
# prepared transactions that have not used taskq cause no work. The poll interval is
# an hour, so nothing is found by polling.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('prepared', bare => 1, conf => { 'taskq.poll_interval' => "'1 h'", 'taskq.worker_idle' => "'1 h'", log_min_messages => 'debug1' });

# A new launcher probes each database, and has the answers.
my $look_anew = sub {
	my ($db) = @_;
	my $offset = log_since($node);
	my $oid = sql($node, "SELECT oid FROM pg_database WHERE datname = '$db'");
	sql($node, q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq launcher'));
	$node->wait_for_log(qr/unregistering background worker "taskq scheduler for database $oid"/, $offset);
	return;
};
my $has_scheduler = sub {
	my ($db, $name) = @_;
	return wait_until($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler' AND datname = '$db'", $name);
};

# CREATE EXTENSION -------------------------------------------------------------

sql($node, q(BEGIN; CREATE EXTENSION taskq; PREPARE TRANSACTION 'create'));
$look_anew->('postgres');
sql($node, q(COMMIT PREPARED 'create'));
$has_scheduler->('postgres', 'CREATE EXTENSION by COMMIT PREPARED: the database has a scheduler');
like(sql($node, q(SELECT value FROM taskq.status() WHERE name = 'scheduler')), qr/^running/, 'status() shows the scheduler');

sql($node, 'CREATE DATABASE slow');
my $s = session($node, db => 'slow');
$s->query_safe('BEGIN; CREATE EXTENSION taskq');
$look_anew->('slow');
$s->query_safe('COMMIT');
$s->quit;
$has_scheduler->('slow', 'CREATE EXTENSION by COMMIT PREPARED after the launcher has looked: the database has a scheduler');

# enqueue, registry --------------------------------------------------------------

make_app($node, 'postgres', 'app');
add_type($node, 'postgres', 'app', 'work');
sql($node, q(SELECT taskq.enqueue_job('work')));
settled($node, 'a job runs in the pool');
sql($node, q(BEGIN; SELECT taskq.enqueue_job('work', '{"prepared": 1}'), taskq.enqueue_job('work', '{"prepared": 2}'); PREPARE TRANSACTION 'jobs'));
sql($node, q(SELECT taskq.enqueue_job('work')));
settled($node, 'other jobs run while a transaction is prepared');
sql($node, q(COMMIT PREPARED 'jobs'));
wait_until($node, q(SELECT count(*) = 2 FROM taskq.all_jobs WHERE payload ? 'prepared' AND state = 'completed'), 'jobs of a prepared transaction run when it commits');

# a type that is registered by a prepared transaction
my $job = sql($node, q(SELECT taskq.enqueue_job('late')));
sql_as($node, 'postgres', 'app', q(BEGIN; SELECT taskq.register_handler('late', 'app.work(jsonb)'); PREPARE TRANSACTION 'late'));
is(sql($node, "SELECT state FROM taskq.all_jobs WHERE job_id = $job"), 'available', 'a type that a prepared transaction registers is not registered yet');
sql($node, q(COMMIT PREPARED 'late'));
settled($node, 'its jobs run after COMMIT PREPARED');
sql_as($node, 'postgres', 'app', q(BEGIN; SELECT taskq.unregister_handler('late'); PREPARE TRANSACTION 'gone'));
sql($node, q(COMMIT PREPARED 'gone'));
$job = sql($node, q(SELECT taskq.enqueue_job('late')));
is(sql($node, q(SELECT task_type FROM taskq.unroutable_jobs)), 'late', 'a type that was unregistered by COMMIT PREPARED is not registered any more');
sql($node, "SELECT taskq.cancel_job($job)");

# a claim that waits
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('outside')));
sql($node, q(SELECT taskq.register_worker('w', ARRAY['outside'])));
sql($node, q(BEGIN; SELECT taskq.enqueue_job('outside'); PREPARE TRANSACTION 'outside'));
$s = session($node);
$s->query_until(qr/waiting/, "\\echo waiting\nCALL taskq.wait_for_job('w', '1 h');\n\\echo woken\n");
wait_until($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'CALL taskq.wait_for_job%' AND wait_event_type = 'Extension'), 'a session waits for a job');
sql($node, q(COMMIT PREPARED 'outside'));
$s->query_until(qr/woken/, '');
$s->quit;
pass('and is woken by COMMIT PREPARED');
sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.claim_job('w', ARRAY['outside'])));

# a claim that waits for a permit
sql($node, q(SELECT taskq.register_worker('one', ARRAY['outside'], max_concurrent_jobs => 1)));
sql($node, q(SELECT taskq.enqueue_job('outside') FROM generate_series(1, 2)));
my $claim = sql($node, q(SELECT job_id || ', ' || epoch FROM taskq.claim_job('one')));
for my $end ('COMMIT', 'ROLLBACK', 'COMMIT')
{
	sql($node, "BEGIN; SELECT taskq.complete_job($claim); PREPARE TRANSACTION 'settle'");
	$s = session($node);
	$s->query_until(qr/waiting/, "\\echo waiting\nCALL taskq.wait_for_job('one', '1 h');\n\\echo woken\n");
	wait_until($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'CALL taskq.wait_for_job%' AND wait_event_type = 'Extension'), 'a session waits for a permit');
	sql($node, "$end PREPARED 'settle'");
	if ($end eq 'ROLLBACK')
	{
		sql($node, "SELECT taskq.complete_job($claim)");
	}
	$s->query_until(qr/woken/, '');
	$s->quit;
	pass("and is woken when the settle is ended by $end PREPARED" . ($end eq 'ROLLBACK' ? ', and done once more' : ''));
	$claim = sql($node, q(SELECT job_id || ', ' || epoch FROM taskq.claim_job('one')));
	isnt($claim, '', 'the worker can claim another job after the end of the prepared transaction');
	sql($node, q(SELECT taskq.enqueue_job('outside')));
}
sql($node, "SELECT taskq.complete_job($claim)");
sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.claim_jobs('w', 100)));

# ready list -----------------------------------------------------------------------

my $list = sub { return sql($node, q(SELECT substring(value from '^\d+ jobs') FROM taskq.status() WHERE name = 'ready list')) };
sql($node, q(SELECT taskq.enqueue_job('outside') FROM generate_series(1, 10)));
sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.claim_job('w', ARRAY['outside'])));
is($list->(), '9 jobs', 'the ready list has the waiting jobs');
sql($node, q(BEGIN; CREATE TABLE public.mine (); PREPARE TRANSACTION 'foreign'));
sql($node, q(COMMIT PREPARED 'foreign'));
sql($node, q(BEGIN; DROP TABLE public.mine; PREPARE TRANSACTION 'foreign'));
sql($node, q(ROLLBACK PREPARED 'foreign'));
is($list->(), '9 jobs', 'the list is kept when a prepared transaction that has not used taskq ends');
sql($node, q(BEGIN; SELECT taskq.enqueue_job('outside'); PREPARE TRANSACTION 'ours'));
sql($node, q(BEGIN; CREATE TABLE public.yours (); PREPARE TRANSACTION 'foreign'));
sql($node, q(COMMIT PREPARED 'foreign'));
is($list->(), '9 jobs', 'the list is kept while a transaction that has used taskq is prepared');

# Transactions that were prepared before a restart are still known after it.
$node->restart;
wait_until($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler' AND datname = 'postgres' AND state = 'idle'), 'after a restart the scheduler looks at what is prepared, for which it forgets the list');
sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.claim_job('w', ARRAY['outside'])));
is($list->(), '8 jobs', 'the next claim builds the list again');
sql($node, q(COMMIT PREPARED 'ours'));
is(sql($node, q(SELECT count(*) FROM taskq.claim_jobs('w', 100, ARRAY['outside']))), 9, 'jobs that were prepared before the restart are found after the commit');
sql($node, q(SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE state = 'running'));
sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.jobs WHERE state = 'r'));

# DROP EXTENSION -----------------------------------------------------------------

sql($node, q(BEGIN; DROP EXTENSION taskq; PREPARE TRANSACTION 'drop'));
sql($node, q(ROLLBACK PREPARED 'drop'));
sql($node, q(SELECT taskq.enqueue_job('work', '{"after": "rollback"}')));
wait_until($node, q(SELECT count(*) = 1 FROM taskq.all_jobs WHERE payload ? 'after' AND state = 'completed'), 'jobs run after ROLLBACK PREPARED of DROP EXTENSION');
my $offset = log_since($node);
sql($node, q(BEGIN; DROP EXTENSION taskq; PREPARE TRANSACTION 'drop'));
$node->reload;
wait_until($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler' AND datname = 'postgres' AND wait_event_type = 'Lock'), 'the scheduler waits for what a prepared DROP EXTENSION has locked');
sql($node, q(COMMIT PREPARED 'drop'));
wait_until($node, q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type IN ('taskq scheduler', 'taskq worker') AND datname = 'postgres'), 'it is committed: no process is left in the database');
unlike(slurp_file($node->logfile, $offset), qr/extension taskq is not installed/, 'no process warns that the extension is not installed');
sql($node, 'DROP OWNED BY app; CREATE EXTENSION taskq');
$has_scheduler->('postgres', 'CREATE EXTENSION after that starts a scheduler');

$node->stop;
clean_log($node);
done_testing();
