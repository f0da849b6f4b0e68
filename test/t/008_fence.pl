# The fence: an epoch of a claim that is over is refused, also if the claim was
# rolled back or its primary has failed. A standby does nothing, and works after it
# is promoted.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('primary', init => { allows_streaming => 1 }, conf => { max_connections => 30, max_wal_senders => 4 });
add_type($node, 'postgres', 'app', 'work');
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler(t) FROM unnest(ARRAY['outside', 'elsewhere']) AS t));
sql($node, q(SELECT taskq.register_worker(w) FROM unnest('{after,first,long,second,short,two-phases}'::text[]) AS w));

# a claim that was rolled back -----------------------------------------------

my $job = sql($node, q(SELECT taskq.enqueue_job('outside')));
my $first = session($node);
$first->query_safe('BEGIN');
my $epoch = $first->query_safe(q(SELECT epoch FROM taskq.claim_job('first')));
my ($none) = sql($node, q(SELECT count(*) FROM taskq.claim_job('second')));
is($none, 0, 'no other claim gets a job that an open transaction has claimed');
$first->query_safe('ROLLBACK');
is(sql($node, qq(SELECT state, attempt, worker_id FROM taskq.all_jobs WHERE job_id = $job)), 'available|0|', 'after a rollback the job is unchanged');
my $next = sql($node, q(SELECT epoch FROM taskq.claim_job('second')));
cmp_ok($next, '>', $epoch, 'the next claim has a larger epoch, although the first was rolled back');
for my $call ("complete_job($job, $epoch)", "fail_job($job, $epoch, 'no')", "release_job($job, $epoch)", "snooze_job($job, $epoch, '1 s')",
	"heartbeat_job($job, $epoch)", "cancel_job($job, $epoch)")
{
	fails_with($node, 'TQ003', "SELECT taskq.$call", "with the first epoch: $call");
}
is(sql($node, qq(SELECT status FROM taskq.worker_heartbeat('second', ARRAY[$job]::bigint[], ARRAY[$epoch]::bigint[]))), 'lost', 'worker_heartbeat() returns lost for the epoch that was rolled back');
is(sql($node, qq(SELECT state, epoch = $next, worker_id FROM taskq.all_jobs WHERE job_id = $job)), 'running|t|second', 'the second claim is not disturbed');
is(sql($node, qq(SELECT taskq.complete_job($job, $next))), 't', 'the second claim completes the job');
is(sql($node, qq(SELECT taskq.complete_job($job, $next))), 'f', 'a repeated complete_job() returns false');
fails_with($node, 'TQ003', qq(SELECT taskq.complete_job($job, $epoch)), 'the first epoch is still refused');
fails_with($node, 'TQ003', qq(SELECT taskq.fail_job($job, $next, 'no')), 'another outcome is refused');
fails_with($node, 'TQ011', qq(SELECT taskq.complete_job(987654321, $next)), 'an unknown job raises TQ011');

# the same with a savepoint
$job = sql($node, q(SELECT taskq.enqueue_job('outside')));
$first->query_safe('BEGIN; SAVEPOINT s');
$epoch = $first->query_safe(q(SELECT epoch FROM taskq.claim_job('first')));
$first->query_safe('ROLLBACK TO s; COMMIT');
$next = sql($node, q(SELECT epoch FROM taskq.claim_job('second')));
fails_with($node, 'TQ003', qq(SELECT taskq.complete_job($job, $epoch)), 'an epoch that was rolled back to a savepoint is refused');
is(sql($node, qq(SELECT taskq.complete_job($job, $next))), 't', 'the next claim completes the job');
$first->quit;

# PREPARE -------------------------------------------------------------------

$job = sql($node, q(SELECT taskq.enqueue_job('outside')));
fails_with($node, '0A000', q(BEGIN; SELECT * FROM taskq.claim_job('two-phases'); PREPARE TRANSACTION 'claimed'), 'PREPARE TRANSACTION is refused after a claim');
is(sql($node, 'SELECT count(*) FROM pg_prepared_xacts'), 0, 'no transaction is prepared');
is(sql($node, qq(SELECT state, attempt FROM taskq.all_jobs WHERE job_id = $job)), 'available|0', 'the job is unchanged after the refusal');
fails_with($node, '0A000', q(BEGIN; SAVEPOINT s; SELECT * FROM taskq.claim_job('two-phases'); RELEASE s; PREPARE TRANSACTION 'claimed'), 'PREPARE TRANSACTION is refused after a claim in a savepoint');
sql($node, qq(BEGIN; SAVEPOINT s; SELECT * FROM taskq.claim_job('two-phases'); ROLLBACK TO s; SELECT taskq.enqueue_job('outside'); PREPARE TRANSACTION 'enqueued'));
is(sql($node, 'SELECT gid FROM pg_prepared_xacts'), 'enqueued', 'PREPARE TRANSACTION is allowed after a claim that was rolled back to a savepoint, and after an enqueue');
sql($node, q(ROLLBACK PREPARED 'enqueued'));
sql($node, qq(SELECT taskq.cancel_job($job)));

# standby -------------------------------------------------------------------

sql($node, q(SELECT taskq.enqueue_job('work') FROM generate_series(1, 10)));
settled($node, 'jobs run on the primary');
sql($node, q(SELECT taskq.alter_pool('app', min_size => 1)));
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;

# off on the primary only, so that no lease ends there
$node->append_conf('postgresql.conf', 'taskq.enabled = off');
$node->reload;
wait_until($node, q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler'), 'no scheduler on the primary');
sql($node, q(SELECT taskq.enqueue_job('outside') FROM generate_series(1, 2)));
my ($held, $held_epoch) = split /\|/, sql($node, q(SELECT job_id, epoch FROM taskq.claim_job('long', lease => '1 h')));
my ($short, $short_epoch) = split /\|/, sql($node, q(SELECT job_id, epoch FROM taskq.claim_job('short', lease => '1 s')));
my $ahead = sql($node, q(SELECT taskq.enqueue_job('work', delay => '1 d')));
# claims of a program that nobody restarts after the promotion
sql($node, q(CREATE ROLE prog LOGIN; SELECT taskq.grant_access('prog', 'worker'); SELECT taskq.register_handler('stays')));
sql($node, q(SET ROLE prog; SELECT taskq.register_worker('prog', '{stays}')));
sql($node, q(SELECT taskq.enqueue_job('stays') FROM generate_series(1, 4)));
my @stays = map { [ split /\|/, $_ ] } split /\n/, sql($node, q(SET ROLE prog; SELECT job_id, epoch FROM taskq.claim_jobs('prog', 4, lease => '1 d')));
sql($node, q(SET ROLE prog; SELECT taskq.register_worker('prog', '{stays}', max_concurrent_jobs => 1, lease => '1 d', instance_id => 'other')));
sql($node, q(SELECT taskq.enqueue_job('stays') FROM generate_series(1, 2)));
my $others = sql($node, q(SET ROLE prog; SELECT job_id FROM taskq.claim_job('prog', instance_id => 'other')));
sql($node, "SELECT taskq.cancel_job($stays[3][0])");
sql($node, q(SELECT taskq.enqueue_job('work', delay => '1 d', payload => '{"after": "backup"}')));
$node->wait_for_catchup($standby);

is(sql($standby, q(SELECT count(*) FROM taskq.all_jobs WHERE payload ? 'after')), 1, 'the standby shows the jobs');
is(sql($standby, q(SELECT value FROM taskq.status() WHERE name = 'server')), 'standby', 'status() shows a standby');
is(sql($standby, q(SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'taskq %')), 0, 'no taskq process runs there');
is(sql($standby, q(SELECT count(*) FROM taskq.workers WHERE kind = 'background')), 0, 'taskq.workers shows no worker on the standby');
for my $call ("enqueue_job('work')", "enqueue_jobs('work', ARRAY['{}'::jsonb])", "claim_job('x')", "claim_job('x', wait => '1 s')", "claim_jobs('x', 3)",
	"complete_job($held, $held_epoch)", "fail_job($held, $held_epoch)", "release_job($held, $held_epoch)", "snooze_job($held, $held_epoch, '1 s')",
	"heartbeat_job($held, $held_epoch)", "cancel_job($ahead)", "retry_job($ahead)", "discard_job($ahead)",
	"register_worker('x')", "worker_heartbeat('long')", "unregister_worker('long')", "register_handler('x')", "unregister_handler('work')", "clear_handlers()",
	"create_queue('x')", "pause_queue('default')", "create_pool('x', role => 'app')", "alter_pool('app', size => 1)", "drop_pool('app')", "pause_pool('app')",
	"pause_handler('work')", "grant_access('app', 'admin')", "adopt_database()", "run_next()")
{
	fails_with($standby, '25006', "SELECT * FROM taskq.$call", "on a standby: $call");
}
fails_with($standby, '25006', 'CALL taskq.wait_for_job()', 'on a standby: wait_for_job()');
is(sql($standby, q(SELECT count(*) FROM taskq.unroutable_jobs, taskq.stat_queues, taskq.pools, taskq.queues, taskq.list_handlers() WHERE false)), 0, 'the views can be read on the standby');
is(sql($standby, q(SELECT sum(available + running) > 0, count(counted_at) FROM taskq.stat_queues)), 't|0', 'stat_queues counts rows on the standby');
is(sql($standby, q(SELECT sum(w.jobs) = (SELECT count(*) FROM taskq.jobs WHERE gate = 'o'), count(w.counted_at) FROM taskq.routes, taskq.waiting_jobs(route_id) w)), 't|0', 'and so does waiting_jobs()');

# promotion -----------------------------------------------------------------

$node->stop('immediate');
my $promoted_after = sql($standby, 'SELECT clock_timestamp()');
$standby->promote;
is(sql($standby, q(SELECT value FROM taskq.status() WHERE name = 'server')), 'primary', 'status() shows a primary after the promotion');
wait_until($standby, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler'), 'launcher and scheduler start after the promotion');
wait_until($standby, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq worker'), 'the pool starts after the promotion');
is(sql($standby, q(SELECT value FROM taskq.status() WHERE name = 'adopted')), 'yes', 'a promoted copy needs no adoption');

for my $call ("complete_job($held, $held_epoch)", "fail_job($held, $held_epoch, 'no')", "snooze_job($held, $held_epoch, '1 s')", "heartbeat_job($held, $held_epoch)")
{
	fails_with($standby, 'TQ003', "SELECT taskq.$call", "with a token from before the promotion: $call");
}
is(sql($standby, qq(SELECT status FROM taskq.worker_heartbeat('long', ARRAY[$held]::bigint[], ARRAY[$held_epoch]::bigint[]))), 'lost', 'worker_heartbeat() returns lost for an epoch of the old primary');
is(sql($standby, qq(SELECT count(*) FROM taskq.worker_heartbeat('long') WHERE status <> 'lost')), 0, 'worker_heartbeat() without a list returns no other status for it');

# operators and unregister_worker() end claims of the old primary
for my $call ("complete_job($stays[0][0], $stays[0][1])", "release_job($stays[0][0], $stays[0][1])", "cancel_job($stays[0][0], $stays[0][1])")
{
	fails_with($standby, 'TQ003', "SET ROLE prog; SELECT taskq.$call", "the role of the claim cannot settle it after the promotion: $call");
}
wait_until($standby, qq(SELECT state = 'cancelled' FROM taskq.all_jobs WHERE job_id = $stays[3][0]), 'a request to cancel from before the promotion takes effect');
is(sql($standby, "SELECT taskq.release_job($stays[0][0], $stays[0][1])"), 't', 'an operator can release the job of an old claim');
is(sql($standby, "SELECT taskq.cancel_job($stays[0][0]), taskq.cancel_job($stays[1][0])"), 'cancelled|cancelled', 'an operator can cancel the job, whether it was released or not');
is(sql($standby, q(SET ROLE prog; SELECT taskq.unregister_worker('prog'))), 't', 'the role of the worker can unregister it');
is(sql($standby, "SELECT state, attempt FROM taskq.all_jobs WHERE job_id = $stays[2][0]"), 'available|0', 'this releases the job of an old claim');
is(sql($standby, "SELECT taskq.cancel_job($stays[2][0])"), 'cancelled', 'and the job can be cancelled');
is(sql($standby, "SELECT state, worker_id, instance_id FROM taskq.all_jobs WHERE job_id = $others"), 'running|prog|other', 'the job of another instance stays claimed');
fails_with($standby, 'TQ022', q(SET ROLE prog; SELECT taskq.register_worker('prog', instance_id => 'other')), 'that instance is still alive');
is(sql($standby, q(SET ROLE prog; SELECT count(*) FROM taskq.claim_job('prog', instance_id => 'other'))), 0, 'its old claim counts against its limit');
is(sql($standby, q(SET ROLE prog; SELECT taskq.unregister_worker('prog', 'other'))), 't', 'it is unregistered, too');
is(sql($standby, "SELECT state, attempt FROM taskq.all_jobs WHERE job_id = $others"), 'available|0', 'this releases its old claim');
sql($standby, q(SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE task_type = 'stays' AND finished_at IS NULL));

sql($standby, q(SELECT taskq.enqueue_job('work', '{"new": "primary"}')));
wait_until($standby, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload ? 'new'), 'the pool runs jobs after the promotion');
my $new = sql($standby, q(SELECT taskq.enqueue_job('elsewhere')));
my ($got, $new_epoch) = split /\|/, sql($standby, q(SELECT job_id, epoch FROM taskq.claim_job('after', task_types => '{elsewhere}')));
is($got, $new, 'new jobs can be claimed after the promotion');
cmp_ok($new_epoch, '>', $held_epoch, 'their epochs are larger than those of the old primary');
cmp_ok($new_epoch >> 48, '>', $held_epoch >> 48, 'their epochs have the next timeline');
is(sql($standby, qq(SELECT taskq.complete_job($got, $new_epoch))), 't', 'the claimed jobs can be completed');

# claims from the old primary end with their leases
wait_until($standby, qq(SELECT count(*) = 1 FROM taskq.attempts WHERE job_id = $short), 'an old claim ends with its lease');
is(sql($standby, qq(SELECT outcome, attempt, finished_at >= '$promoted_after'::timestamptz + interval '1 s' FROM taskq.attempts WHERE job_id = $short)),
	'expired|1|t', 'it is recorded as expired, not before its length has passed since the promotion');
wait_until($standby, qq(SELECT state = 'available' FROM taskq.all_jobs WHERE job_id = $short), 'the job of the old claim is available again');
my ($again, $again_epoch) = split /\|/, sql($standby, q(SELECT job_id, epoch FROM taskq.claim_job('after')));
is($again, $short, 'the job of the old claim is claimed again');
fails_with($standby, 'TQ003', "SELECT taskq.complete_job($short, $short_epoch)", 'the old epoch is refused');
is(sql($standby, qq(SELECT taskq.complete_job($again, $again_epoch))), 't', 'the new epoch completes the job');
is(sql($standby, qq(SELECT state FROM taskq.all_jobs WHERE job_id = $ahead)), 'scheduled', 'a future job is still scheduled');

$standby->stop;
clean_log($_) for $node, $standby;
done_testing();
