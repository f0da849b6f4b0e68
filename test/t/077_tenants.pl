# Workers that are bound to tenants: they are woken for the jobs of their tenants only, and
# find the jobs that waited before and those of transactions that did not know of the binding. The
# poll interval is an hour, so a process that is not woken keeps sleeping.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('tenants', conf => { 'taskq.poll_interval' => "'1 h'", 'taskq.worker_idle' => "'1 h'", 'taskq.max_wait' => "'1 h'", 'max_prepared_transactions' => 5 });
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('outside'), taskq.register_handler('inside', 'app.work(jsonb)')));
sql($node, q(SELECT taskq.drop_pool(pool) FROM taskq.pools));
poll($node, q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'taskq worker')) or die 'a worker stays';

my $add = q(SELECT taskq.enqueue_job('%s', tenant_id => '%s'));
sub add { return sql($node, sprintf($add, @_)) }
my $misplaced = q(SELECT count(*) FROM taskq.jobs j JOIN taskq.routes r USING (route_id) JOIN taskq.bound_tenants b ON b.tenant_id = j.tenant_id WHERE r.tenant_id IS NULL);

# before the binding ---------------------------------------------------------------
# jobs of transactions that began before: one is open, one is prepared, and one is a claim that is rolled back
add('outside', 'acme') for 1 .. 3;
my $open = session($node);
$open->query_safe('BEGIN; ' . sprintf($add, 'outside', 'acme'));
sql($node, 'BEGIN; ' . sprintf($add, 'outside', 'acme') . q(; PREPARE TRANSACTION 'late'));
my $claim = session($node);
$claim->query_safe(q(BEGIN; SELECT job_id FROM taskq.claim_job('free', '{outside}')));
sql($node, q(SELECT taskq.enqueue_jobs('outside', array_fill('{}'::jsonb, '{3000}'), tenant_id => 'zeta')));
sql($node, q(SELECT taskq.register_worker('bound', '{outside}', tenants => '{acme}', lease => '1 h')));
wait_until($node, q(SELECT count(*) = 2 FROM taskq.jobs j JOIN taskq.routes r USING (route_id) WHERE r.tenant_id = 'acme'), 'the jobs that nobody holds are moved');
is(sql($node, q(SELECT count(*) FROM taskq.claim_jobs('bound', 100))), 2, 'and claimed');
is(sql($node, q(SELECT count(*) FROM taskq.claim_jobs('bound', 100))), 0, 'the worker is given none of 3,000 jobs of another tenant');
$open->query_safe('COMMIT');
sql($node, q(COMMIT PREPARED 'late'));
$claim->query_safe('ROLLBACK');
wait_until($node, qq(SELECT ($misplaced) = 0), 'those of the others are moved when their transactions have ended');
is(sql($node, q(SELECT count(*) FROM taskq.claim_jobs('bound', 100))), 3, 'and claimed');
is(sql($node, q(SELECT count(*) FROM taskq.jobs WHERE tenant_id = 'acme')), 5, 'no job is lost');
$_->quit for ($open, $claim);

# wake-ups ---------------------------------------------------------------------------
# Of two claims that wait, that of the bound worker must not take the wake-up for the other's job.
sql($node, q(SELECT taskq.discard_job(job_id) FROM taskq.jobs WHERE gate = 'o'));
sql($node, q(SELECT taskq.register_worker('zeta', '{outside}', tenants => '{zeta}', lease => '1 h')));
wait_until($node, qq(SELECT ($misplaced) = 0), 'nothing is to be moved');
my %claims = map { $_ => session($node) } qw(bound zeta);
for my $try (1 .. 5)
{
	begin_claim($claims{$_}, qq(SELECT job_id FROM taskq.claim_job('$_', wait => '1 h');)) for sort keys %claims;
	poll($node, claims_wait(2)) or die 'a claim does not wait';
	my $job = add('outside', 'zeta');
	is(answer_of($claims{zeta}), $job, "the worker of the tenant is woken ($try)");
	poll($node, claims_wait(1)) or die 'the other claim does not wait';
	$job = add('outside', 'acme');
	is(answer_of($claims{bound}), $job, "the other one sleeps until there is a job of its tenant ($try)");
}

$_->quit for values %claims;

# pools ------------------------------------------------------------------------------
sql($node, q(SELECT taskq.create_pool('acme', 1, 'app', tenants => '{acme}', min_size => 1)));
poll($node, q(SELECT count(*) FROM taskq.workers WHERE pool = 'acme' AND state = 'idle'), expected => 1) or die 'no worker starts';
my $other = add('inside', 'omega');
my $job = add('inside', 'acme');
wait_until($node, qq(SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = $job), 'a worker of a pool runs the jobs of its tenant');
is(sql($node, qq(SELECT state, reason_code FROM taskq.describe_job($other))), 'available|waiting_for_tenant_worker', 'and no others');
sql($node, q(SELECT taskq.alter_pool('acme', tenants => '{omega}')));
wait_until($node, qq(SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = $other), 'after alter_pool() it runs those of its new tenant, also if they waited before');

# after a restart ---------------------------------------------------------------------
$job = add('inside', 'acme');
$node->stop('immediate');
$node->start;
sql($node, q(SELECT taskq.alter_pool('acme', tenants => '{acme}')));
wait_until($node, qq(SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = $job), 'jobs of a tenant outlive a crash in their routes');
is(sql($node, $misplaced), 0, 'and nothing is left in other routes');
clean_log($node);
done_testing();
