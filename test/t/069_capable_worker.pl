# A job that waits for a capable worker runs as soon as there is one. The poll interval
# is an hour, so a process that is not woken keeps sleeping. The log has the capabilities
# of a worker in full once, and then their digest.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('capable', conf => { 'taskq.poll_interval' => "'1 h'", 'taskq.worker_idle' => "'1 h'", 'taskq.max_wait' => "'1 h'" });
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('outside'), taskq.register_handler('inside', 'app.work(jsonb)')));

# one job waits, and those of nobody wait before it
sub add
{
	my ($type) = @_;
	sql($node, qq(SELECT count(*) FROM taskq.enqueue_jobs('$type', array_fill('{}'::jsonb, '{1000}'), priority => -100, required_capabilities => '{quantum}')));
	return sql($node, qq(SELECT taskq.enqueue_job('$type', required_capabilities => '{gpu,eu}')));
}
sub lacks
{
	my ($job, $missing, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(sql($node, qq(SELECT state, reason_code, missing_capabilities FROM taskq.describe_job($job))), "available|waiting_for_capable_worker|$missing", $name);
}
sub clear
{
	sql($node, q(SELECT taskq.unregister_worker(worker_id) FROM taskq.workers WHERE kind = 'external'));
	sql($node, q(SELECT taskq.discard_job(job_id) FROM taskq.jobs));
	return;
}

# workers of pools --------------------------------------------------------------
my $workers = q(SELECT count(*) FROM taskq.workers WHERE pool = '%s' AND state = 'idle');
sub runs
{
	my ($job, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_until($node, qq(SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = $job), $name);
	return clear();
}
sub drop_pools
{
	sql($node, q(SELECT taskq.drop_pool(pool) FROM taskq.pools));
	poll($node, q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'taskq worker')) or die 'a worker stays';
	return;
}

drop_pools();
sql($node, q(SELECT taskq.create_pool('p', 1, 'app', capabilities => '{eu}', min_size => 1)));
poll($node, sprintf($workers, 'p'), expected => 1) or die 'no worker starts';
my $job = add('inside');
lacks($job, '{gpu}', 'a pool that lacks a capability leaves the job');
my $offset = log_since($node);
sql($node, q(SELECT taskq.alter_pool('p', capabilities => '{gpu,eu}')));
runs($job, 'alter_pool() wakes an idle worker of the pool');
my $digest = sql($node, q(SELECT taskq.capabilities_digest('{eu,gpu}')));
wait_for_log_line($node, qr/pool "p" gets capabilities eu,gpu \($digest\)/, $offset, 'the log has the capabilities that a pool gets');
is(sql($node, q(SELECT DISTINCT capabilities_digest FROM taskq.workers WHERE pool = 'p')), $digest, 'the view workers has the digest of the worker of the pool');
is(sql($node, q(SELECT DISTINCT e.capabilities_digest FROM taskq.workers w, taskq.explain_claim(w.worker_id) e WHERE w.pool = 'p')), $digest, 'explain_claim() has it');

drop_pools();
sql($node, q(SELECT taskq.create_pool('p', 1, 'app', capabilities => '{gpu}')));
$job = add('inside');
lacks($job, '{eu}', 'a pool without workers leaves the job');
sql($node, q(SELECT taskq.alter_pool('p', capabilities => '{gpu,eu}')));
runs($job, 'alter_pool() has a worker started');

drop_pools();
sql($node, q(SELECT taskq.create_pool('p', 1, 'app', min_size => 1)));
$job = add('inside');
lacks($job, '{eu,gpu}', 'a pool without capabilities leaves the job');
sql($node, q(SELECT taskq.create_pool('q', 1, 'app', capabilities => '{gpu,eu}')));
runs($job, 'create_pool() has a worker started');
drop_pools();

# external workers -----------------------------------------------------------------
my $claimer = session($node);
# the worker of the waiting claim registers for the first time, or is taken over
for my $call (q(SELECT job_id FROM taskq.claim_job('w', '{outside}', wait => '1 h');), q(CALL taskq.wait_for_job('w', '1 h');))
{
	my ($what) = $call =~ /taskq\.(\w+)/;
	my $got = sub { my ($id) = @_; return $what eq 'claim_job' ? $id : 't' };
	sql($node, q(SELECT taskq.register_worker('w', '{outside}', capabilities => '{eu}', take_over => true)));
	$job = add('outside');
	lacks($job, '{gpu}', "$what: the worker lacks a capability");
	begin_claim($claimer, $call);
	wait_until($node, claims_wait(), "$what: it waits");
	sql($node, q(SELECT taskq.register_worker('w', '{outside}', capabilities => '{gpu,eu}', take_over => true)));
	is(answer_of($claimer), $got->($job), "$what: taking over the worker with more capabilities wakes it");
	clear();
}
begin_claim($claimer, q(SELECT job_id FROM taskq.claim_job('new', '{outside}', wait => '1 h');));
wait_until($node, claims_wait(), 'a claim of an id that is not registered waits');
$job = add('outside');
is(sql($node, qq(SELECT state FROM taskq.all_jobs WHERE job_id = $job)), 'available', 'it is not given the job');
sql($node, q(SELECT taskq.register_worker('new', '{outside}', capabilities => '{gpu,eu}', take_over => true)));
is(answer_of($claimer), $job, 'the registration of the id with the capabilities wakes it');
clear();

# another worker claims
sql($node, q(SELECT taskq.register_worker('far', '{outside}')));
begin_claim($claimer, q(SELECT job_id FROM taskq.claim_job('far', wait => '1 h');));
wait_until($node, claims_wait(), 'a claim that lacks the capabilities waits');
$job = add('outside');
lacks($job, '{eu,gpu}', 'it is not given the job');
sql($node, q(SELECT taskq.register_worker('near', '{outside}', capabilities => '{gpu,eu,large}')));
is(sql($node, q(SELECT job_id FROM taskq.claim_job('near'))), $job, 'a capable worker that registers is given the job by its first claim');
wait_until($node, claims_wait(), 'the other claim still waits');
my $plain = sql($node, q(SELECT taskq.enqueue_job('outside')));
is(answer_of($claimer), $plain, 'and is woken for a job that it is capable of');
$claimer->quit;
clear();

# an encoding of one byte for each character ----------------------------------------
sql($node, q(CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0));
sql($node, 'CREATE EXTENSION taskq', 'latin');
sql($node, q(SELECT taskq.register_worker('l', capabilities => ARRAY[convert_from('\xe9', 'LATIN1')])), 'latin');
like(fails_with($node, '22023', qq(SELECT taskq.register_worker('l', capabilities => ARRAY[convert_from($_->[0], 'LATIN1')])), "$_->[1] is refused in LATIN1", db => 'latin'),
	qr/It contains $_->[2]/, 'and the error says why')
  for [ q('\\x6780'), 'a control character', 'a control character' ], [ q('\\x67a0'), 'a space', 'white space' ];

# the log ---------------------------------------------------------------------------
$offset = log_since($node);
$digest = sql($node, q(SELECT taskq.capabilities_digest('{eu,gpu}')));
sql($node, q(SELECT taskq.register_worker('l', capabilities => '{gpu,eu,gpu}')));
wait_for_log_line($node, qr/worker "l" registers with capabilities eu,gpu \($digest\)/, $offset, 'the log has the full sorted set at the registration');
$offset = log_since($node);
sql($node, q(SELECT taskq.register_worker('l', capabilities => '{eu,gpu}', take_over => true)));
wait_for_log_line($node, qr/worker "l" registers again with capabilities $digest$/m, $offset, 'and the digest when the worker is taken over');
sql($node, q(SELECT taskq.drain_worker('l')));
wait_for_log_line($node, qr/worker "l" with capabilities $digest drains/, $offset, 'and when it is drained');
sql($node, q(SELECT taskq.unregister_worker('l')));
wait_for_log_line($node, qr/worker "l" with capabilities $digest is unregistered/, $offset, 'and when it is unregistered');
unlike(slurp_file($node->logfile, $offset), qr/LOG:.*eu,gpu/, 'the full set is not logged again');
sql($node, q(SELECT taskq.register_worker('l')));
wait_for_log_line($node, qr/worker "l" registers with no capabilities/, $offset, 'a worker without capabilities is logged as such');

clean_log($node);
$node->stop;
done_testing();
