# The scheduler does not wait for users' transactions, and does long work in parts,
# each in a short transaction of its own.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('bounded', conf => { track_commit_timestamp => 'on', 'taskq.job_timeout' => 0 });
sql($node, q(SELECT taskq.register_handler('outside', max_attempts => 1, retry_policy => 'fixed', retry_base => '0')));

sql($node, q(SELECT taskq.alter_queue('default', retain_other => '1 day')));

# The largest number of rows that one of a query's transactions has written. The
# subtransactions of a transaction have its commit time.
sub largest_transaction
{
	my ($xid, $from) = @_;
	return sql($node, "SELECT COALESCE(max(n), 0) FROM (SELECT count(*) AS n FROM (SELECT $xid AS x FROM $from) r GROUP BY pg_xact_commit_timestamp(r.x)) g");
}

# requests to cancel ------------------------------------------------------------

# Requests for jobs that are gone. Another transaction has locked one of them,
# because it puts the job back, for example.
my $user = session($node);
$user->query_safe('BEGIN');
do
{
	# the scheduler may have acted already
	$user->query_safe('ROLLBACK; INSERT INTO taskq.cancel_requests (job_id, requested_at) VALUES (1, now()); BEGIN');
} until $user->query_safe('SELECT count(*) FROM (SELECT FROM taskq.cancel_requests WHERE job_id = 1 FOR UPDATE) x') eq '1';
sql($node, q(INSERT INTO taskq.cancel_requests (job_id, requested_at) VALUES (2, now()), (3, now())));
wait_until($node, 'SELECT array_agg(job_id) = ARRAY[1::bigint] FROM taskq.cancel_requests', 'a locked request to cancel does not delay other requests');
$user->query_safe('COMMIT');
wait_until($node, 'SELECT count(*) = 0 FROM taskq.cancel_requests', 'the request is handled when it is no longer locked');

# Requests that must wait, more than fit into one part, and one for a job that has
# ended.
sql($node, q(SELECT count(taskq.enqueue_job('outside')) FROM generate_series(1, 120)));
is(sql($node, q(SELECT count(*) FROM taskq.claim_jobs('w', 200, task_types => '{outside}', lease => '1 h'))), 120, 'many jobs run');
is(sql($node, q(SELECT count(*) FROM (SELECT taskq.cancel_job(job_id) AS answer FROM taskq.all_jobs WHERE state = 'running') c WHERE answer = 'requested')), 120,
	'there are requests to cancel them');
sql($node, q(INSERT INTO taskq.cancel_requests (job_id, requested_at) VALUES (1000000, now())));
wait_until($node, 'SELECT count(*) = 0 FROM taskq.cancel_requests WHERE job_id = 1000000', 'a request for an ended job is found among many that must wait');
is(sql($node, 'SELECT count(*) FROM taskq.cancel_requests'), 120, 'the other requests are kept');
sql($node, q(SELECT taskq.cancel_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running'));

# leases ------------------------------------------------------------------------

sql($node, q(SELECT count(taskq.enqueue_job('outside')) FROM generate_series(1, 300)));
is(sql($node, q(SELECT count(*) FROM taskq.claim_jobs('w', 300, task_types => '{outside}', lease => '1 s'))), 300, 'many jobs with short leases run');
wait_until($node, q(SELECT count(*) = 300 FROM taskq.attempt_failures WHERE outcome = 'expired'), 'all these leases end');
cmp_ok(largest_transaction('xmin', q(taskq.attempt_failures WHERE outcome = 'expired')), '<=', 50, 'each transaction ends a limited number of leases');

# retention ---------------------------------------------------------------------

# More jobs of one day, with an attempt each, than are removed at once.
sql($node, q(SELECT count(taskq.enqueue_job('outside')) FROM generate_series(1, 1200)));
sql($node, q(SELECT count(taskq.fail_job(job_id, epoch)) FROM taskq.claim_jobs('w', 1200, task_types => '{outside}')));
sql($node, 'SELECT taskq.prune()') for 1 .. 4;
my $failures = sql($node, 'SELECT count(*) FROM taskq.attempt_failures');
cmp_ok($failures, '>=', 1500, 'many attempts have failed');
is(sql($node, 'SELECT count(*) FROM taskq.job_history_overflow'), 0, 'the jobs of these attempts are in partitions of the history');

# A session with an old snapshot sees which rows are deleted, and by which
# transactions.
my $old = session($node);
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($old->query_safe('SELECT count(*) FROM taskq.attempt_failures'), $failures, 'somebody has an old snapshot');

# A transaction that calls prune() itself does not delay the scheduler.
my $end = q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq scheduler');
$user->query_safe('BEGIN; SELECT taskq.prune()');
sql($node, q(ALTER SYSTEM SET taskq.clock_offset = '5 d'));
sql($node, "SELECT pg_reload_conf(); $end");
sql($node, q(INSERT INTO taskq.cancel_requests (job_id, requested_at) VALUES (4, now())));
wait_until($node, 'SELECT count(*) = 0 FROM taskq.cancel_requests WHERE job_id = 4', 'the scheduler does its other work while a user\'s transaction maintains the history');
is(sql($node, 'SELECT count(*) FROM taskq.attempt_failures'), $failures, 'the scheduler does not maintain the history in the meantime');
$user->query_safe('ROLLBACK');
sql($node, $end);
wait_until($node, 'SELECT count(*) = 0 FROM taskq.attempt_failures', 'attempts of expired jobs are removed');
my @by = split /\n/, $old->query_safe('SELECT xmax FROM taskq.attempt_failures');
is(scalar @by, $failures, 'the old snapshot still sees them');
my $by = "unnest('{" . join(',', @by) . "}'::xid[]) x";
cmp_ok(largest_transaction('x', $by), '<=', 500, 'each transaction removes a limited number of attempts');
$old->quit;
$user->quit;
wait_until($node, q(SELECT count(*) = 0 FROM taskq.all_jobs WHERE state = 'discarded'), 'the expired jobs are removed');

# workers and routes --------------------------------------------------------------

# Registrations that claims have created, and routes to which no job points any more.
sql($node, q(INSERT INTO taskq.external_workers (worker_id, instance_id, task_types, implicit, registered_by, registered_at, last_seen)
	SELECT 'old-' || n, 'old-' || n, '{outside}', true, current_user::regrole, now() - interval '2 d', now() - interval '2 d' FROM generate_series(1, 2500) n));
sql($node, q(INSERT INTO taskq.routes (queue_id, task_type, capabilities, retired_at, removable_on)
	SELECT queue_id, 'gone-' || n, '{}', now() - interval '60 d', current_date - 60 FROM taskq.queue_defs, generate_series(1, 3500) n WHERE queue = 'default'));
$old = session($node);
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
my %rows = (external_workers => q(FROM taskq.external_workers WHERE worker_id LIKE 'old-%'), routes => q(FROM taskq.routes WHERE task_type LIKE 'gone-%'));
my %limit = (external_workers => 500, routes => 1000);
my %seen = map { $_ => $old->query_safe("SELECT count(*) $rows{$_}") } keys %rows;
cmp_ok($seen{$_}, '>', 2 * $limit{$_}, "an old snapshot sees many rows of $_") for sort keys %rows;
sql($node, $end);
for my $table (sort keys %rows)
{
	wait_until($node, "SELECT count(*) = 0 $rows{$table}", "unused rows of $table are deleted");
	my $ends = $old->query_safe("SELECT string_agg(xmax::text, ',') $rows{$table}");
	cmp_ok(largest_transaction('x', "unnest('{$ends}'::xid[]) x"), '<=', $limit{$table}, "each transaction deletes a limited number of rows of $table");
}
$old->quit;

# names of functions ----------------------------------------------------------------

my $create = q(CREATE FUNCTION app.named(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1');
sql($node, "SET ROLE app; $create");
sql($node, q(SELECT count(taskq.register_handler('named-' || n, 'app.named(jsonb)', run_as => 'app')) FROM generate_series(1, 1000) n));
sql($node, "SET ROLE app; BEGIN; DROP FUNCTION app.named(jsonb); $create; COMMIT");
wait_until($node, q(SELECT bool_and(function_oid = 'app.named(jsonb)'::regprocedure) FROM taskq.handlers WHERE task_type LIKE 'named-%'),
	'the new OID of a function is recorded for all its task types');
cmp_ok(largest_transaction('xmin', q(taskq.handlers WHERE task_type LIKE 'named-%')), '<=', 100, 'each transaction records it for a limited number of task types');
unlike(slurp_file($node->logfile), qr/canceling statement due to lock timeout/, 'the scheduler has not waited for a lock');

$node->stop;
clean_log($node);
done_testing();
