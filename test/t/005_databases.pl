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
	'taskq.workers shows those of its own database');

# templates, and databases without taskq ------------------------------------

is(sql($node, q(SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'taskq s%' AND datname LIKE 'template%')), 0, 'templates are left alone');
sql($node, 'CREATE DATABASE plain');
sql($node, 'DROP DATABASE plain');
pass('so is a database without taskq');

# DROP DATABASE -------------------------------------------------------------

sql($node, q(SELECT taskq.enqueue_job('work', delay => '1 h')), 'two');
sql($node, q(SELECT taskq.enqueue_job('slow') FROM generate_series(1, 3)), 'two');
sql($node, q(SELECT taskq.enqueue_job('work') FROM generate_series(1, 1000)), 'two');
wait_until($node, 'SELECT count(*) >= 1 FROM taskq.running_jobs()', 'a database is busy', db => 'two');
sql($node, 'DROP DATABASE two');
is(sql($node, q(SELECT count(*) FROM pg_database WHERE datname = 'two')), 0, 'it can be dropped from another');
is(sql($node, processes_in('two')), 0, 'no process is left of it');
sql($node, q(SELECT taskq.enqueue_job('work', '{"n": 2}')), $_) for qw(one three postgres);
settled($node, "$_ goes on", db => $_) for qw(one three postgres);
make_busy('two');
sql($node, q(SELECT taskq.enqueue_job('work')), 'two');
settled($node, 'a new database of that name works', db => 'two');

# a DROP DATABASE that fails
my $s = session($node, db => 'two');
fails_with($node, '55006', 'DROP DATABASE two', 'a database that others use is not dropped');
sql($node, q(SELECT taskq.enqueue_job('work')), 'two');
settled($node, 'and works on', db => 'two');
$s->quit;
sql($node, q(SELECT taskq.enqueue_job('work') FROM generate_series(1, 2000)), 'two');
wait_until($node, q(SELECT count(*) > 0 FROM taskq.workers), 'it is busy again', db => 'two');
sql($node, 'DROP DATABASE two WITH (FORCE)');
is(sql($node, q(SELECT count(*) FROM pg_database WHERE datname = 'two') . '; ' . processes_in('two')), "0\n0", 'DROP DATABASE WITH (FORCE)');

# RENAME --------------------------------------------------------------------

sql($node, q(SELECT count(taskq.enqueue_job('work', '{"rename": 1}')) FROM generate_series(1, 5000)), 'one');
wait_until($node, q(SELECT count(*) > 0 FROM taskq.all_jobs WHERE payload ? 'rename' AND state = 'completed'), 'a database is busy', db => 'one');
sql($node, 'ALTER DATABASE one RENAME TO uno');
is(sql($node, q(SELECT value, hint LIKE '%adopt_database()%' FROM taskq.status() WHERE name = 'adopted'), 'uno'), 'no|t', 'renamed: not adopted, status() says what to do');
my $left = sql($node, q(SELECT count(*) FROM taskq.jobs), 'uno');
is(sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE state = 'available' AND attempt = 0), 'uno'), $left, 'jobs that wait are untouched');
sql($node, q(SELECT taskq.enqueue_job('work', '{"after": "rename"}')), 'uno');
sql($node, q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq launcher'));
wait_until($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq launcher'), 'whatever wakes up');
# a job of another database, which was enqueued later, has run, so this one had time
# to run
sql($node, q(SELECT taskq.enqueue_job('work', '{"after": "rename"}')), 'three');
settled($node, 'another database works', db => 'three');
is(sql($node, q(SELECT state FROM taskq.all_jobs WHERE payload ? 'after'), 'uno'), 'available', 'nothing runs in the renamed one');
is(sql($node, q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'taskq worker' AND datname = 'uno')), 0, 'there is no worker');
is(sql($node, 'SELECT taskq.adopt_database()', 'uno'), 't', 'adopted');
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload ? 'after'), 'it works', db => 'uno');
settled($node, 'all jobs run', db => 'uno');
is(sql($node, q(SELECT count(*), count(DISTINCT job_id) FROM app.ledger WHERE payload ? 'rename'), 'uno'), '5000|5000', 'each once');
is(sql($node, 'SELECT taskq.adopt_database()', 'uno'), 'f', 'adopting again changes nothing');
# TEMPLATE ------------------------------------------------------------------

sql($node, q(SELECT taskq.register_handler('outside')), 'uno');
sql($node, q(SELECT taskq.register_worker(w) FROM unnest('{w}'::text[]) AS w), 'uno');
sql($node, q(SELECT taskq.enqueue_job('outside')), 'uno');
my ($job, $epoch) = split /\|/, sql($node, q(SELECT job_id, epoch FROM taskq.claim_job('w', lease => '5 s')), 'uno');
sql($node, q(SELECT taskq.enqueue_job('slow')), 'uno');
wait_until($node, q(SELECT state = 'running' FROM taskq.all_jobs WHERE task_type = 'slow' AND state <> 'cancelled'), 'the template is busy', db => 'uno');
sql($node, 'CREATE DATABASE copy TEMPLATE uno');
wait_until($node, q(SELECT state = 'running' FROM taskq.all_jobs WHERE task_type = 'slow' AND state <> 'cancelled'), 'copied, the original goes on', db => 'uno');
wait_until($node, qq(SELECT outcome = 'expired' FROM taskq.attempts WHERE job_id = $job), 'its leases end', db => 'uno');
is(sql($node, q(SELECT value FROM taskq.status() WHERE name = 'adopted'), 'copy'), 'no', 'the copy is not adopted');
sql($node, q(SELECT taskq.enqueue_job('work', '{"in": "copy"}')), 'copy');
sql($node, q(SELECT taskq.enqueue_job('work', '{"in": "uno"}')), 'uno');
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload ? 'in'), 'the original works', db => 'uno');
is(sql($node, q(SELECT string_agg(task_type || ' ' || state, ', ' ORDER BY task_type) FROM taskq.all_jobs
	WHERE state NOT IN ('completed', 'cancelled')), 'copy'), 'outside running, slow available, work available',
	'in the copy nothing runs and no lease ends');
is(sql($node, qq(SELECT lease_expires_at < clock_timestamp() FROM taskq.all_jobs WHERE job_id = $job), 'copy'), 't', '(it was over)');
is(sql($node, 'SELECT taskq.adopt_database()', 'copy'), 't', 'the copy is adopted');
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload ? 'in'), 'and works', db => 'copy');
wait_until($node, qq(SELECT outcome = 'expired' FROM taskq.attempts WHERE job_id = $job), 'and its leases end', db => 'copy');
is(sql($node, q(SELECT count(DISTINCT installation_id) FROM taskq.installation), 'copy'), 1, 'as one installation');
isnt(sql($node, q(SELECT installation_id FROM taskq.installation), 'copy'), sql($node, q(SELECT installation_id FROM taskq.installation), 'uno'),
	'of its own');

# SET TABLESPACE --------------------------------------------------------------

sql($node, q(SET allow_in_place_tablespaces = on; CREATE TABLESPACE aside LOCATION ''));
sql($node, q(SELECT count(taskq.enqueue_job('work', '{"move": 1}')) FROM generate_series(1, 2000)), 'three');
wait_until($node, q(SELECT count(*) > 0 FROM taskq.all_jobs WHERE payload ? 'move' AND state = 'completed'), 'a database is busy', db => 'three');
sql($node, 'ALTER DATABASE three SET TABLESPACE aside');
settled($node, 'moved to another tablespace it goes on', db => 'three');
is(sql($node, q(SELECT count(*), count(DISTINCT job_id) FROM app.ledger WHERE payload ? 'move'), 'three'), '2000|2000', 'and each job was done once');

# a template database -------------------------------------------------------

sql($node, q(ALTER DATABASE copy IS_TEMPLATE true));
sql($node, q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type LIKE 'taskq %'));
wait_until($node, q(SELECT count(*) = 3 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler'), 'schedulers come back');
is(sql($node, q(SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'taskq %' AND datname = 'copy')), 0, 'but not in a database that has become a template');
sql($node, q(ALTER DATABASE copy IS_TEMPLATE false));

is(sql($node, 'SELECT pg_postmaster_start_time()'), $start_time, 'the server has not been restarted');
$node->stop;
unlike(slurp_file($node->logfile), qr/FATAL:.*database \d+ does not exist/, 'nothing is looked for in a database that was dropped');
clean_log($node);
done_testing();
