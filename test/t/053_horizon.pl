# What holds back the xmin horizon for a long time: an old snapshot, an unused
# logical slot, a prepared transaction, and a writer that is idle in its
# transaction. In each case jobs continue in order, and the jobs of these
# transactions run when they commit.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('horizon', conf => { wal_level => 'logical', max_replication_slots => 4, 'taskq.poll_interval' => "'1 s'" });
add_type($node, 'postgres', 'app', 'work');
add_type($node, 'postgres', 'app', 'shared', 'work', 'share_commit => true');
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('outside')));

# Run jobs of each kind from start to end while it lasts, and then end it.
my $n = 0;
my $goes_on = sub {
	my ($what) = @_;
	$n++;
	sql($node, qq(SELECT count(taskq.enqueue_job(t, jsonb_build_object('round', $n, 'i', i), priority => i % 3)) FROM generate_series(1, 500) i, unnest(ARRAY['work', 'shared', 'outside']) t));
	wait_until($node, qq(SELECT count(*) = 1000 FROM taskq.all_jobs WHERE payload->>'round' = '$n' AND state = 'completed'), "$what: jobs in the server run");
	is(sql($node, q(SELECT count(*) FILTER (WHERE taskq.complete_job(job_id, epoch)) FROM taskq.claim_jobs('worker', 1000, ARRAY['outside']))), 500, "$what: jobs outside too");
	is(sql($node, qq(SELECT bool_and(started_at >= before) FROM (
			SELECT started_at, lag(started_at) OVER (PARTITION BY worker_id ORDER BY epoch) AS before FROM taskq.all_jobs WHERE payload->>'round' = '$n' AND task_type = 'outside') x)), 't',
		"$what: one after the other");
	is(sql($node, qq(SELECT count(*) - count(DISTINCT job_id) FROM app.ledger WHERE payload->>'round' = '$n')), 0, "$what: each once");
	return;
};

my $reader = session($node);
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $before = $reader->query_safe('SELECT count(*) FROM taskq.all_jobs');
$goes_on->('an old snapshot');
is($reader->query_safe('SELECT count(*) FROM taskq.all_jobs'), $before, 'an old snapshot: sees what it saw');
$reader->query_safe('COMMIT');
$reader->quit;

sql($node, q(SELECT pg_create_logical_replication_slot('unread', 'test_decoding')));
$goes_on->('an unread slot');
wait_until($node, q(SELECT count(*) = 1 FROM pg_replication_slots WHERE slot_name = 'unread' AND catalog_xmin IS NOT NULL), 'an unread slot: it holds back the horizon');
sql($node, q(SELECT pg_drop_replication_slot('unread')));

sql($node, q(BEGIN; SELECT taskq.enqueue_job('work', '{"prepared": 1}'); PREPARE TRANSACTION 'old'));
$goes_on->('a prepared transaction');
is(sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE payload ? 'prepared')), 0, 'a prepared transaction: its job is not visible');
sql($node, q(COMMIT PREPARED 'old'));
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload ? 'prepared'), 'a prepared transaction: its job runs after the commit');

my $writer = session($node);
$writer->query_safe('BEGIN');
$writer->query_safe(q(SELECT taskq.enqueue_job(t, '{"idle": 1}', priority => -5) FROM unnest(ARRAY['work', 'outside']) t));
$goes_on->('an idle writer');
is(sql($node, q(SELECT count(*) FROM taskq.claim_job('worker', ARRAY['outside']))), 0, 'an idle writer: its job is not visible');
$writer->query_safe('COMMIT');
$writer->quit;
wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload ? 'idle' AND task_type = 'work'), 'an idle writer: its job, far below those that ran meanwhile, runs');
is(sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.claim_job('worker', ARRAY['outside']))), 't', 'an idle writer: its other job is claimed by an external worker');

is(sql($node, 'SELECT count(*) FROM taskq.jobs'), 0, 'no job is left');
$node->stop;
clean_log($node);
done_testing();
