# Routes: each role has a share of them, and unused routes are removed. A route is
# never removed while a job uses it, not even if the transaction that enqueues the
# job is old.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('routes', conf => { 'taskq.max_routes' => 8, 'taskq.route_idle' => "'1s'", 'taskq.poll_interval' => "'500ms'" });
make_app($node, 'postgres', 'other');
sql($node, q(SELECT taskq.register_handler(t) FROM unnest('{work,late,held}'::text[]) t));
sql($node, q(SELECT taskq.alter_queue('default', retain_completed => '2 days', retain_other => '2 days')));

# a share ---------------------------------------------------------------------------

my $enqueue = q(SELECT taskq.enqueue_job('work', required_capabilities => ARRAY['c%d']));
sql_as($node, 'postgres', 'app', sprintf($enqueue, $_)) for 1 .. 5;
sql_as($node, 'postgres', 'app', join ";\n", 'BEGIN', (map { ('SAVEPOINT s', sprintf($enqueue, 6), 'ROLLBACK TO s') } 1 .. 3), sprintf($enqueue, 6), 'COMMIT');
pass('routes that were rolled back do not count for the role');
my $err = fails_with($node, 'TQ010', sprintf($enqueue, 7), 'a role has a share of the routes', role => 'app');
like($err, qr/role "app" has too many different routes/, 'the message says that the role has too many routes');
sql_as($node, 'postgres', 'app', sprintf($enqueue, 6));
pass('a job of an existing route can be enqueued');
sql_as($node, 'postgres', 'other', sprintf($enqueue, $_)) for 7 .. 8;
pass('another role can use a new route');
$err = fails_with($node, 'TQ010', sprintf($enqueue, 9), 'all roles together have a limit', role => 'other');
like($err, qr/too many different routes/, 'the message says that there are too many routes');

# removed -------------------------------------------------------------------------

my ($first) = sql($node, q(SELECT min(job_id) FROM taskq.jobs));
sql($node, q(SELECT taskq.cancel_job(job_id) FROM taskq.jobs));
wait_until($node, q(SELECT count(*) = 0 FROM taskq.routes WHERE removable_on IS NULL), 'routes without a live job are retired');
is(sql($node, q(SELECT count(*), min(task_type) FROM taskq.all_jobs)), '9|work', 'finished jobs still show their queue and type');
sql_as($node, 'postgres', 'app', sprintf($enqueue, $_)) for 11 .. 16;
pass('the role can use other routes after that');
is(sql($node, qq(SELECT taskq.retry_job($first))), 't', 'a finished job of a retired route is put back');
is(sql($node, qq(SELECT count(*) FROM taskq.jobs JOIN taskq.routes USING (route_id) WHERE job_id = $first AND removable_on IS NULL AND capabilities = '{c1}')), 1,
	'the job gets another route of the same kind');
sql($node, q(SELECT taskq.register_worker('w', capabilities => '{c1}')));
is(sql($node, q(SELECT job_id FROM taskq.claim_job('w'))), $first, 'a worker claims the job');
wait_until($node, q(SELECT taskq.clock_now() > max(run_at) + interval '3 s' FROM taskq.jobs), 'the scheduler has looked several times since');
is(sql($node, q(SELECT count(*) FROM taskq.jobs j JOIN taskq.routes r USING (route_id) WHERE retired_at IS NULL)), 7, 'the routes of waiting and running jobs are not retired');
sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running'));

# they are removed with the last history partition of their jobs
sql($node, q(SELECT taskq.cancel_job(job_id) FROM taskq.jobs));
wait_until($node, q(SELECT count(*) = 0 FROM taskq.routes WHERE removable_on IS NULL), 'all routes are retired again');
sql($node, q(ALTER SYSTEM SET taskq.clock_offset = '10 d'));
$node->reload;
wait_until($node, q(SELECT count(*) = 0 FROM taskq.routes), 'the routes are deleted after the history has expired');
sql($node, q(ALTER SYSTEM RESET taskq.clock_offset));
$node->reload;

# open transactions ------------------------------------------------------------------

# one transaction has enqueued, and ends late
my $late = session($node);
$late->query_safe(q(BEGIN; SELECT taskq.enqueue_job('late')));
# another knows the route and has not written its job; it has created the route a
# moment ago, so that the route is not marked yet
my $gate = session($node);
$gate->query_safe(q(SELECT pg_advisory_lock(hashtext('enqueue-read'))));
my $held = session($node);
$held->query_until(qr/begun/, qq(SELECT taskq.cancel_job(taskq.enqueue_job('held'));\nSET taskq.injection_point = 'enqueue-read';\n\\echo begun\nSELECT taskq.enqueue_job('held');\n));
wait_until($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%enqueue_job%held%' AND wait_event_type = 'Lock' AND wait_event = 'advisory'), 'an enqueue is held after it has read its route');
wait_until($node, q(SELECT count(*) = 1 FROM taskq.routes WHERE task_type = 'held' AND retired_at IS NOT NULL), 'the route is marked in the meantime');
is(sql($node, q(SELECT count(*) FROM taskq.routes WHERE removable_on IS NOT NULL AND task_type IN ('late', 'held'))), 0, 'the marked route is not removable');
$late->query_safe('COMMIT');
$late->quit;
$gate->quit;
wait_until($node, q(SELECT count(*) = 1 FROM taskq.jobs JOIN taskq.routes USING (route_id) WHERE task_type = 'held'), 'the job is enqueued with the route');
$held->quit;
wait_until($node, q(SELECT count(*) = 0 FROM taskq.routes WHERE retired_at IS NOT NULL AND task_type IN ('late', 'held')), 'the mark is removed');
# the clock was set ahead by ten days, so the worker may be forgotten
sql($node, q(SELECT taskq.register_worker('w', take_over => true)));
is(sql($node, q(SELECT string_agg(task_type, ', ' ORDER BY task_type) FROM taskq.claim_jobs('w', 5))), 'held, late', 'a worker claims both jobs');

$node->stop;
clean_log($node);
done_testing();
