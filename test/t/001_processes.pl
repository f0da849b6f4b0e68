# The life of taskq's processes: how they start, what they show, and how a pool
# grows and shrinks while it works.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('processes', bare => 1);
my $workers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'taskq worker'";
my $busy = q(SELECT count(*) FROM taskq.workers WHERE kind = 'background' AND state = 'running');

# appearing -----------------------------------------------------------------

wait_until($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq launcher'),
	'the launcher runs before any database has taskq');
is(sql($node, q(SELECT datname IS NULL FROM pg_stat_activity WHERE backend_type = 'taskq launcher')), 't',
	'the launcher is connected to no database');
is(scalar(pids_of($node, 'scheduler')), 0, 'without the extension there is no scheduler');

install($node, 'postgres');
wait_until($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler' AND datname = 'postgres'),
	'CREATE EXTENSION starts the scheduler');
wait_until($node, q(SELECT taskq.scheduler_pid() = (SELECT pid FROM pg_stat_activity WHERE backend_type = 'taskq scheduler')),
	'scheduler_pid() returns its pid');
is(sql($node, q(SELECT string_agg(DISTINCT backend_type, ', ' ORDER BY backend_type) FROM pg_stat_activity WHERE backend_type LIKE '%taskq%')),
	'taskq launcher, taskq scheduler', 'there is no worker without jobs');

add_type($node, 'postgres', 'app', 'work');
add_type($node, 'postgres', 'app', 'gated');
is(sql($node, q(SELECT pool, role, size, min_size, workers FROM taskq.pools)), 'app|app|4|0|0',
	'the first handler of a role creates a pool named after the role');

# the first job -------------------------------------------------------------

my $gate = hold_gate($node, 1);
my $job = sql_as($node, 'postgres', 'app', q(SELECT taskq.enqueue_job('gated', '{"gate": 1, "n": 1}')));
wait_until($node, qq(SELECT state = 'running' FROM taskq.all_jobs WHERE job_id = $job), 'the first job starts a worker');
is(sql($node, q(SELECT backend_type, datname, usename, state FROM pg_stat_activity WHERE backend_type LIKE 'taskq w%')),
	'taskq worker|postgres|app|active', 'the worker is connected as the role of the pool');
like(sql($node, q(SELECT query FROM pg_stat_activity WHERE backend_type = 'taskq worker')), qr/\b$job\b.*\bgated\b/,
	'pg_stat_activity shows job and type');
is(sql($node, qq(SELECT w.state, w.pool, w.role, w.current_job_id = $job, w.current_task_type, w.task_types, w.pid = a.pid
	FROM taskq.workers w, pg_stat_activity a WHERE a.backend_type = 'taskq worker')),
	'running|app|app|t|gated|{gated,work}|t', 'taskq.workers shows the same, and the types of the worker');
is(sql($node, qq(SELECT attempt, worker_id = (SELECT worker_id FROM taskq.workers), started_at >= created_at, finished_at
	FROM taskq.all_jobs WHERE job_id = $job)), '1|t|t|', 'all_jobs shows the run from shared memory');
like(sql($node, q(SELECT value FROM taskq.status() WHERE name = 'background workers')), qr/1, of which 1 run/, 'status() counts the worker');
open_gate($gate);
settled($node, 'the first job finishes');
is(sql($node, qq(SELECT state, attempt, result->>'n' FROM taskq.all_jobs WHERE job_id = $job)), 'completed|1|1', 'the first job has its result');
is(sql($node, qq(SELECT session_role, role FROM app.ledger WHERE job_id = $job)), 'app|app', 'the handler ran as the role of the pool only');
wait_until($node, q(SELECT state = 'idle' AND current_job_id IS NULL FROM taskq.workers), 'the worker is idle after the job');

# size ----------------------------------------------------------------------

$gate = hold_gate($node, 1);
sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}') FROM generate_series(1, 12)));
wait_until($node, $busy, 'a pool of 4 runs 4 jobs', expected => 4);
is(sql($node, q(SELECT size, workers, busy FROM taskq.pools)), '4|4|4', 'taskq.pools shows the size, the workers and the busy ones');
sql($node, q(SELECT taskq.alter_pool('app', size => 7)));
wait_until($node, $busy, 'raised to 7 it runs 7', expected => 7);
sql($node, q(SELECT taskq.alter_pool('app', size => 2)));
is(sql($node, $busy), 7, 'no job is interrupted when size is lowered to 2 while 7 run');
open_gate($gate);
settled($node, 'all 12 jobs finish');
wait_until($node, $workers, 'and 2 workers are left', expected => 2);
is(sql($node, q(SELECT count(*), count(DISTINCT job_id), max(attempt) FROM app.ledger WHERE payload->>'n' IS NULL)), '12|12|1',
	'each job ran once');
is(sql($node, q(SELECT count(*) FROM taskq.attempts WHERE outcome <> 'completed')), 0, 'no attempt was lost');
sql($node, q(SELECT taskq.alter_pool('app', size => 0)));
wait_until($node, $workers, 'size 0: all leave', expected => 0);
sql($node, q(SELECT taskq.enqueue_job('work')));
is(sql($node, q(SELECT state FROM taskq.all_jobs WHERE state <> 'completed')), 'available', 'jobs wait while there is no room');
sql($node, q(SELECT taskq.alter_pool('app', size => 3)));
settled($node, 'the waiting jobs run when there is room');

# pausing -------------------------------------------------------------------

$gate = hold_gate($node, 1);
sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}')));
wait_until($node, $busy, 'one job runs', expected => 1);
is(sql($node, q(SELECT taskq.pause_pool('app'))), 't', 'pause_pool() returns true');
sql($node, q(SELECT taskq.enqueue_job('work', '{"when": "paused"}')));
is(sql($node, q(SELECT paused FROM taskq.pools)), 't', 'taskq.pools shows the pause');
is(sql($node, q(SELECT DISTINCT reason FROM taskq.unroutable_jobs WHERE task_type = 'work')), 'pool paused', 'unroutable_jobs says why the job waits');
open_gate($gate);
wait_until($node, q(SELECT count(*) = 1 AND min(task_type) = 'work' AND min(state) = 'available' FROM taskq.all_jobs WHERE state <> 'completed'),
	'the running job has finished, and the other waits');
is(sql($node, q(SELECT taskq.resume_pool('app'))), 't', 'resume_pool() returns true');
settled($node, 'the waiting job runs after the resume');

# another pool, dropped while it works --------------------------------------

$gate = hold_gate($node, 1);
sql($node, q(SELECT taskq.alter_pool('app', task_types => '{work}')));
sql_as($node, 'postgres', 'app', q(SELECT taskq.create_pool('gates', size => 2, task_types => '{gated}')));
sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}') FROM generate_series(1, 3)));
wait_until($node, q(SELECT busy FROM taskq.pools WHERE pool = 'gates'), 'two jobs run in a pool of their type', expected => 2);
is(sql($node, q(SELECT taskq.drop_pool('gates'))), 't', 'drop_pool() returns true');
is(sql($node, q(SELECT count(*) FROM taskq.running_jobs())), 2, 'the workers of the dropped pool continue their current jobs');
open_gate($gate);
wait_until($node, q(SELECT NOT EXISTS (SELECT FROM taskq.background_workers() WHERE pool = 'gates')), 'the workers of the dropped pool leave after their jobs');
is(sql($node, q(SELECT count(*), min(state), min(attempt) FROM taskq.all_jobs WHERE state <> 'completed')), '1|available|0', 'the third job of the dropped pool waits');
is(sql($node, q(SELECT reason FROM taskq.unroutable_jobs)), 'no live worker with the type', 'unroutable_jobs says that no worker takes the type');
sql($node, q(SELECT taskq.alter_pool('app', task_types => '{}')));
settled($node, 'the third job runs when another pool takes its type');

# draining ------------------------------------------------------------------

$gate = hold_gate($node, 1);
sql($node, q(SELECT taskq.alter_pool('app', size => 1)));
sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1, "drain": true}') FROM generate_series(1, 2)));
wait_until($node, $busy, 'one of two jobs runs in a pool of 1', expected => 1);
my ($drained, $its_job) = split /\|/, sql($node, q(SELECT worker_id, current_job_id FROM taskq.workers WHERE state = 'running'));
is(sql($node, qq(SELECT taskq.drain_worker('$drained'))), 't', 'drain_worker() returns true');
is(sql($node, qq(SELECT state, current_job_id = $its_job FROM taskq.workers WHERE worker_id = '$drained')), 'draining|t', 'taskq.workers shows that the worker drains, and its job continues');
open_gate($gate);
settled($node, 'both jobs end, that of the drained worker and that of its successor');
is(sql($node, qq(SELECT count(*), count(DISTINCT worker_id), max(attempt), bool_or(worker_id = '$drained' AND job_id = $its_job)
	FROM app.ledger WHERE payload ? 'drain')), '2|2|1|t', 'the drained worker has run one job, and its successor the other');
wait_until($node, qq(SELECT NOT EXISTS (SELECT FROM taskq.workers WHERE worker_id = '$drained')), 'the drained worker has left');
fails_with($node, 'TQ012', q(SELECT taskq.drain_worker('nobody')), 'an unknown worker cannot be drained');

# idleness ------------------------------------------------------------------

sql($node, q(SELECT taskq.alter_pool('app', size => 4, min_size => 2)));
wait_until($node, $workers, 'min_size: workers are there without jobs', expected => 2);
$gate = hold_gate($node, 1);
sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}') FROM generate_series(1, 4)));
wait_until($node, $busy, 'four work', expected => 4);
$node->append_conf('postgresql.conf', "taskq.worker_idle = '200ms'");
$node->reload;
open_gate($gate);
settled($node, 'the jobs before the idle time end');
wait_until($node, $workers, 'after taskq.worker_idle only min_size are left', expected => 2);
sql($node, q(SELECT taskq.alter_pool('app', min_size => 0)));
wait_until($node, $workers, 'without min_size all leave', expected => 0);
sql($node, q(SELECT taskq.enqueue_job('work', '{"after": "idle"}')));
settled($node, 'the next job starts a worker again');

# off and on ----------------------------------------------------------------

$node->append_conf('postgresql.conf', 'taskq.enabled = off');
$node->reload;
wait_until($node, q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type IN ('taskq scheduler', 'taskq worker')),
	'taskq.enabled = off: scheduler and workers leave');
is(sql($node, q(SELECT value, hint IS NOT NULL FROM taskq.status() WHERE name = 'enabled')), 'no|t', 'status() shows that taskq is off');
sql($node, q(SELECT taskq.enqueue_job('work', '{"while": "off"}')));
is(sql($node, q(SELECT state FROM taskq.all_jobs WHERE payload ? 'while')), 'available', 'a job waits while taskq is off');
$node->append_conf('postgresql.conf', 'taskq.enabled = on');
$node->reload;
settled($node, 'the job runs when taskq is on again');

is(sql($node, q(SELECT count(*) FROM app.ledger)), sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE state = 'completed')),
	'every completed job has its line in the ledger');
$node->stop;
clean_log($node);
done_testing();
