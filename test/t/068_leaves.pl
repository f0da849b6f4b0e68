# Sessions that know the partitions of the history find jobs in those that others create,
# and no longer in those that others drop.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('leaves', conf => { 'taskq.worker_idle' => "'1h'" });
sql($node, q(SELECT taskq.register_handler('outside')));

# End a job that is kept for so many days, and return its id.
my $end = sub {
	my ($days) = @_;
	sql($node, "SELECT taskq.alter_queue('default', retain_completed => '$days days')");
	my $id = sql($node, q(SELECT taskq.enqueue_job('outside')));
	sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.claim_job('w', '{outside}')));
	return $id;
};
my $in_leaf = sub { return poll($node, q(SELECT count(*) = 0 FROM taskq.job_history_overflow)) };
my $look = sub { return "SELECT status FROM taskq.complete_jobs('{$_[0]}', '{1}')" };

sql($node, q(SELECT taskq.create_queue('default')) ) if sql($node, q(SELECT count(*) FROM taskq.queues WHERE queue = 'default')) eq '0';
my @early;
for my $days (1 .. 5)
{
	push @early, $end->($days);
	ok($in_leaf->(), "a job that is kept for $days days reaches its partition");
}

my $reader = session($node);
my $old = session($node);
is($reader->query_safe($look->(999_999)), 'not_found', 'a session has looked for an unknown id');
is($reader->query_safe($look->($_)), 'stale', "and finds job $_") for @early;
$old->query_safe("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM taskq.job_history");
is($old->query_safe($look->($early[0])), 'stale', 'so does one with a snapshot for its whole transaction');

# in the overflow partition, while nobody can create the one of its day, and then there
my $care = session($node);
$care->query_safe(q(BEGIN; LOCK TABLE taskq.job_history IN SHARE UPDATE EXCLUSIVE MODE));
my $late = $end->(9);
is(sql($node, "SELECT tableoid::regclass FROM taskq.job_history WHERE job_id = $late"), 'taskq.job_history_overflow', 'a job ends while its partition cannot be created');
is($reader->query_safe($look->($late)), 'stale', 'and is found in the overflow partition');
$care->query_safe('COMMIT');
ok($in_leaf->(), 'it reaches its partition');
is($reader->query_safe($look->($late)), 'stale', 'and is found there');
is($old->query_safe($look->($late)), 'stale', 'by a call in a transaction with an older snapshot, too');
$old->query_safe('COMMIT');

# a partition that others have detached, and attached again with other rows
my ($leaf, $bounds) = split /\|/, sql($node, "SELECT c.oid::regclass, pg_get_expr(relpartbound, c.oid) FROM taskq.job_history h JOIN pg_class c ON c.oid = h.tableoid WHERE job_id = $early[2]");
sql($node, "ALTER TABLE taskq.job_history DETACH PARTITION $leaf");
is($reader->query_safe($look->($early[2])), 'not_found', 'a job in a partition that was detached is not found');
sql($node, "UPDATE $leaf SET job_id = 500000");
sql($node, "ALTER TABLE taskq.job_history ATTACH PARTITION $leaf $bounds");
is($reader->query_safe($look->(500_000)), 'stale', 'the job that it has when it is attached again is found');
is($reader->query_safe($look->($early[2])), 'not_found', 'and not the one that it had');
sql($node, "TRUNCATE $leaf");
is($reader->query_safe($look->(500_000)), 'not_found', 'nor any after it was truncated');

# the pages of the indexes leave the buffers
$node->restart;
$reader = session($node);
is($reader->query_safe($look->(999_999)), 'not_found', 'an unknown id is not found after a restart');
is($reader->query_safe($look->($early[4])), 'stale', 'a job is');
is($reader->query_safe($look->($late)), 'stale', 'and another');

clean_log($node);
$node->stop;
done_testing();
