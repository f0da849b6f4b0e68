# Databases that are dropped, renamed, copied and restored while jobs run in them,
# and several databases at the same time.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('databases');
my $start_time = sql($node, 'SELECT pg_postmaster_start_time()');
add_type($node, 'postgres', 'app', 'work');

sub processes_in
{
	my ($db) = @_;
	return "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'taskq %' AND datname = '$db'";
}

sub make_busy
{
	my ($db) = @_;
	sql($node, "CREATE DATABASE $db");
	install($node, $db);
	add_type($node, $db, 'app', $_) for qw(work gated slow);
	return;
}

# several at once -----------------------------------------------------------

make_busy($_) for qw(one two three);
sql($node, q(SELECT taskq.enqueue_job('work', '{"n": 1}') FROM generate_series(1, 100)), $_) for qw(one two three postgres);
settled($node, "$_: all jobs run", db => $_) for qw(one two three postgres);
is(sql($node, q(SELECT count(*), count(DISTINCT job_id) FROM app.ledger), $_), '100|100', "$_: each once") for qw(one two three postgres);
wait_until($node, q(SELECT count(DISTINCT datname) = 4 AND count(*) = 4 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler'), 'each database has one scheduler');
is(sql($node, q(SELECT count(*) FROM taskq.workers w JOIN pg_stat_activity a USING (pid) WHERE a.datname <> current_database())), 0,
	'taskq.workers shows only workers of its own database');

# templates, and databases without taskq ------------------------------------

is(sql($node, q(SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'taskq s%' AND datname LIKE 'template%')), 0, 'templates have no scheduler');
sql($node, 'CREATE DATABASE plain');
sql($node, 'DROP DATABASE plain');
pass('so is a database without taskq');

# DROP DATABASE -------------------------------------------------------------

sql($node, q(SELECT taskq.enqueue_job('work', delay => '1 h')), 'two');
sql($node, q(SELECT taskq.enqueue_job('slow') FROM generate_series(1, 3)), 'two');
sql($node, q(SELECT taskq.enqueue_job('work') FROM generate_series(1, 1000)), 'two');
wait_until($node, 'SELECT count(*) >= 1 FROM taskq.running_jobs()', 'a job runs in the database to drop', db => 'two');
sql($node, 'DROP DATABASE two');
is(sql($node, q(SELECT count(*) FROM pg_database WHERE datname = 'two')), 0, 'the database is dropped from another one');
is(sql($node, processes_in('two')), 0, 'no process of taskq is left in it');
sql($node, q(SELECT taskq.enqueue_job('work', '{"n": 2}')), $_) for qw(one three postgres);
settled($node, "$_ goes on", db => $_) for qw(one three postgres);
make_busy('two');
sql($node, q(SELECT taskq.enqueue_job('work')), 'two');
settled($node, 'a new database of the same name runs jobs', db => 'two');

# a DROP DATABASE that fails
my $s = session($node, db => 'two');
fails_with($node, '55006', 'DROP DATABASE two', 'a database with other sessions is not dropped');
sql($node, q(SELECT taskq.enqueue_job('work')), 'two');
settled($node, 'its jobs run after the refused DROP DATABASE', db => 'two');
$s->quit;
sql($node, q(SELECT taskq.enqueue_job('work') FROM generate_series(1, 2000)), 'two');
wait_until($node, q(SELECT count(*) > 0 FROM taskq.workers), 'workers run again in the database to drop', db => 'two');
sql($node, 'DROP DATABASE two WITH (FORCE)');
is(sql($node, q(SELECT count(*) FROM pg_database WHERE datname = 'two') . '; ' . processes_in('two')), "0\n0", 'DROP DATABASE WITH (FORCE) drops it, and no process is left');

# RENAME --------------------------------------------------------------------

sql($node, q(SELECT count(taskq.enqueue_job('work', '{"rename": 1}')) FROM generate_series(1, 5000)), 'one');
wait_until($node, q(SELECT count(*) > 0 FROM taskq.all_jobs WHERE payload ? 'rename' AND state = 'completed'), 'a job has run in the database to rename', db => 'one');
sql($node, 'ALTER DATABASE one RENAME TO uno');
is(sql($node, q(SELECT value, hint LIKE '%adopt_database()%' FROM taskq.status() WHERE name = 'adopted'), 'uno'), 'no|t', 'status() shows that the renamed database is not adopted, and what to do');
my $left = sql($node, q(SELECT count(*) FROM taskq.jobs), 'uno');
is(sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE state = 'available' AND attempt = 0), 'uno'), $left, 'waiting jobs are unchanged');
sql($node, q(SELECT taskq.enqueue_job('work', '{"after": "rename"}')), 'uno');
sql($node, q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq launcher'));
wait_until($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq launcher'), 'the launcher runs after a restart');
# a job of another database, which was enqueued later, has run, so this one had time
# to run
sql($node, q(SELECT taskq.enqueue_job('work', '{"after": "rename"}')), 'three');
settled($node, 'another database runs its jobs', db => 'three');
is(sql($node, q(SELECT state FROM taskq.all_jobs WHERE payload ? 'after'), 'uno'), 'available', 'no job runs in the renamed database');
is(sql($node, q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'taskq worker' AND datname = 'uno')), 0, 'no worker runs in the renamed database');
is(sql($node, 'SELECT taskq.adopt_database()', 'uno'), 't', 'adopt_database() returns true for the renamed database');
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload ? 'after'), 'the adopted database runs a job', db => 'uno');
settled($node, 'the adopted database runs all jobs', db => 'uno');
is(sql($node, q(SELECT count(*), count(DISTINCT job_id) FROM app.ledger WHERE payload ? 'rename'), 'uno'), '5000|5000', 'each job has run once');
is(sql($node, 'SELECT taskq.adopt_database()', 'uno'), 'f', 'adopt_database() returns false if it is repeated');
# TEMPLATE ------------------------------------------------------------------

sql($node, q(SELECT taskq.register_handler('outside')), 'uno');
sql($node, q(SELECT taskq.register_worker(w) FROM unnest('{w}'::text[]) AS w), 'uno');
sql($node, q(SELECT taskq.enqueue_job('outside')), 'uno');
my ($job, $epoch) = split /\|/, sql($node, q(SELECT job_id, epoch FROM taskq.claim_job('w', lease => '5 s')), 'uno');
sql($node, q(SELECT taskq.enqueue_job('slow')), 'uno');
wait_until($node, q(SELECT state = 'running' FROM taskq.all_jobs WHERE task_type = 'slow' AND state <> 'cancelled'), 'a job runs in the database to copy', db => 'uno');
sql($node, 'CREATE DATABASE copy TEMPLATE uno');
wait_until($node, q(SELECT state = 'running' FROM taskq.all_jobs WHERE task_type = 'slow' AND state <> 'cancelled'), 'the job runs in the original after the copy', db => 'uno');
wait_until($node, qq(SELECT outcome = 'expired' FROM taskq.attempts WHERE job_id = $job), 'a lease ends in the original', db => 'uno');
is(sql($node, q(SELECT value FROM taskq.status() WHERE name = 'adopted'), 'copy'), 'no', 'status() shows that the copy is not adopted');
sql($node, q(SELECT taskq.enqueue_job('work', '{"in": "copy"}')), 'copy');
sql($node, q(SELECT taskq.enqueue_job('work', '{"in": "uno"}')), 'uno');
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload ? 'in'), 'the original runs new jobs', db => 'uno');
is(sql($node, q(SELECT string_agg(task_type || ' ' || state, ', ' ORDER BY task_type) FROM taskq.all_jobs
	WHERE state NOT IN ('completed', 'cancelled')), 'copy'), 'outside running, slow available, work available',
	'in the copy no job runs and no lease ends');
is(sql($node, qq(SELECT lease_expires_at < clock_timestamp() FROM taskq.all_jobs WHERE job_id = $job), 'copy'), 't', 'the lease in the copy is over');
is(sql($node, 'SELECT taskq.adopt_database()', 'copy'), 't', 'adopt_database() returns true for the copy');
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload ? 'in'), 'the adopted copy runs a job', db => 'copy');
wait_until($node, qq(SELECT outcome = 'expired' FROM taskq.attempts WHERE job_id = $job), 'the lease ends in the adopted copy', db => 'copy');
is(sql($node, q(SELECT count(DISTINCT installation_id) FROM taskq.installation), 'copy'), 1, 'the copy has one installation');
isnt(sql($node, q(SELECT installation_id FROM taskq.installation), 'copy'), sql($node, q(SELECT installation_id FROM taskq.installation), 'uno'),
	'the installation of the copy has an id of its own');

# SET TABLESPACE --------------------------------------------------------------

sql($node, q(SET allow_in_place_tablespaces = on; CREATE TABLESPACE aside LOCATION ''));
sql($node, q(SELECT count(taskq.enqueue_job('work', '{"move": 1}')) FROM generate_series(1, 2000)), 'three');
wait_until($node, q(SELECT count(*) > 0 FROM taskq.all_jobs WHERE payload ? 'move' AND state = 'completed'), 'a job has run in the database to move', db => 'three');
sql($node, 'ALTER DATABASE three SET TABLESPACE aside');
settled($node, 'the database runs its jobs after the move to another tablespace', db => 'three');
is(sql($node, q(SELECT count(*), count(DISTINCT job_id) FROM app.ledger WHERE payload ? 'move'), 'three'), '2000|2000', 'each job has run once after the move');

# a template database -------------------------------------------------------

sql($node, q(ALTER DATABASE copy IS_TEMPLATE true));
sql($node, q(SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE backend_type LIKE 'taskq %'));
wait_until($node, q(SELECT count(*) = 3 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler' AND datname <> 'copy'), 'schedulers start after a restart');
# the launcher may have begun to look at the database before it was a template
wait_until($node, q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'taskq %' AND datname = 'copy'), 'a database that has become a template has no process of taskq');
sql($node, q(ALTER DATABASE copy IS_TEMPLATE false));

is(sql($node, 'SELECT pg_postmaster_start_time()'), $start_time, 'the server has not been restarted');
$node->stop;
unlike(slurp_file($node->logfile), qr/FATAL:.*database \d+ does not exist/, 'no process looks for a dropped database');
clean_log($node);
done_testing();
