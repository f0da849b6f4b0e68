# Waiting claims whose client has gone, or whose worker is at its limit, drains, is
# unregistered or is registered again. The poll interval is an hour, so a session
# that is not woken keeps sleeping.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('waiting', conf => { 'taskq.poll_interval' => "'1 h'", 'taskq.max_wait' => "'1 h'" });
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler(t) FROM unnest(ARRAY['outside', 'elsewhere']) AS t));

my $claimer = session($node);
sub waits { my ($name, $n) = @_; return wait_until($node, claims_wait($n), $name) }
sub last_error { my $error = $claimer->{stderr}; $claimer->{stderr} = ''; return $error }
my $claim_one = q(SELECT task_type FROM taskq.claim_job('one', wait => '1 h'););

# a client that has gone --------------------------------------------------------

for my $interval ('0', '1s')
{
	my @psql = ('psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "SET client_connection_check_interval = '$interval'", '-c', q(SELECT job_id FROM taskq.claim_job('gone', '{outside}', '1 h')));
	my $psql = IPC::Run::start(\@psql, '<', '/dev/null', '>', \my $out, '2>', \my $err);
	waits("a client waits, client_connection_check_interval = $interval");
	$psql->kill_kill;
	wait_until($node, claims_wait(0), 'when it is killed, its claim ends');
	my $job = sql($node, q(SELECT taskq.enqueue_job('outside', max_attempts => 1)));
	is(sql($node, qq(SELECT state, attempt FROM taskq.all_jobs WHERE job_id = $job)), 'available|0', 'the claim of a killed client takes no job');
	sql($node, qq(SELECT taskq.cancel_job($job)));
}

# a worker at its limit ---------------------------------------------------------------

sql($node, q(SELECT taskq.register_worker('one', max_concurrent_jobs => 1), taskq.register_worker('free')));
sub take { return split /\|/, sql($node, q(SELECT job_id, epoch FROM taskq.claim_job('one', lease => '1 h'))) }
my %ends = (
	complete_job => sub { sql($node, "SELECT taskq.complete_job($_[0], $_[1])") },
	fail_job => sub { sql($node, "SELECT taskq.fail_job($_[0], $_[1], 'no', retryable => false)") },
	release_job => sub { sql($node, "SELECT taskq.release_job($_[0], $_[1])") },
	snooze_job => sub { sql($node, "SELECT taskq.snooze_job($_[0], $_[1], '1 h')") },
	cancel_job => sub { sql($node, "SELECT taskq.cancel_job($_[0], $_[1])") },
	'a higher limit' => sub { sql($node, q(SELECT taskq.register_worker('one', max_concurrent_jobs => 2, take_over => true))) });
my $clear = q(SELECT count(taskq.complete_job(job_id, epoch)) FROM taskq.all_jobs WHERE state = 'running';
	SELECT count(taskq.discard_job(job_id)) FROM taskq.all_jobs WHERE state IN ('available', 'scheduled', 'retryable'));
for my $end (sort keys %ends)
{
	sql($node, q(SELECT taskq.register_worker('one', max_concurrent_jobs => 1, take_over => true); SELECT taskq.enqueue_job('outside') FROM generate_series(1, 2)));
	my ($job, $epoch) = take();
	is(sql($node, q(CALL taskq.wait_for_job('one', '10 ms'))), 'f', "$end: at its limit, wait_for_job() finds nothing to do");
	begin_claim($claimer, $claim_one);
	waits("$end: and a claim waits");
	$ends{$end}->($job, $epoch);
	is(answer_of($claimer), 'outside', "$end: which it wakes");
	sql($node, $clear);
}

sql($node, q(SELECT taskq.register_worker('one', max_concurrent_jobs => 1, take_over => true); SELECT taskq.enqueue_job('outside') FROM generate_series(1, 2)));
sql($node, q(SELECT 1 FROM taskq.claim_job('one', lease => '1 s')));
begin_claim($claimer, $claim_one);
is(answer_of($claimer), 'outside', 'the end of a lease wakes the claim');
sql($node, $clear);

my $other = session($node);
for my $undo ('ROLLBACK', 'ROLLBACK TO a')
{
	sql($node, q(SELECT taskq.enqueue_job('outside') FROM generate_series(1, 2)));
	$other->query_safe(q(BEGIN; SAVEPOINT a; SELECT * FROM taskq.claim_job('one')));
	begin_claim($claimer, $claim_one);
	waits("$undo: a claim waits for one that is not committed");
	$other->query_safe($undo);
	is(answer_of($claimer), 'outside', "$undo: and takes its permit when that is undone");
	$other->query_safe('ROLLBACK') if $undo ne 'ROLLBACK';
	sql($node, $clear);
}

# A claim passes over an id that is being changed, so it must look again
# when the change is undone.
my %changes = (
	'register_worker()' => q(taskq.register_worker('one', take_over => true)),
	'drain_worker()' => q(taskq.drain_worker('one')),
	'unregister_worker()' => q(taskq.unregister_worker('one')));
for my $change (sort keys %changes)
{
	for my $undo ('ROLLBACK', 'ROLLBACK TO a')
	{
		sql($node, q(SELECT taskq.enqueue_job('outside')));
		$other->query_safe("BEGIN; SAVEPOINT a; SELECT $changes{$change}");
		begin_claim($claimer, $claim_one);
		waits("$change: a claim waits for the change");
		$other->query_safe($undo);
		is(answer_of($claimer), 'outside', "$change: and looks again after $undo");
		$other->query_safe('ROLLBACK') if $undo ne 'ROLLBACK';
		sql($node, $clear);
	}
}

# so does a claim that passes over a row which an operator has locked
my %operator_calls = (
	'cancel_job()' => 'taskq.cancel_job(%s)',
	'discard_job()' => 'taskq.discard_job(%s)',
	'retry_job()' => 'taskq.retry_job(%s)');
for my $call (sort keys %operator_calls)
{
	for my $end ('ROLLBACK', 'ROLLBACK TO a', $call eq 'retry_job()' ? 'COMMIT' : ())
	{
		my $job = sql($node, q(SELECT taskq.enqueue_job('outside')));
		$other->query_safe('BEGIN; SAVEPOINT a; SELECT ' . sprintf($operator_calls{$call}, $job));
		begin_claim($claimer, $claim_one);
		waits("$call: a claim waits for the job");
		$other->query_safe($end);
		is(answer_of($claimer), 'outside', "$call: and looks again after $end");
		$other->query_safe('ROLLBACK') if $end eq 'ROLLBACK TO a';
		sql($node, $clear);
	}
}

# a registration that ends and begins anew in one transaction
begin_claim($claimer, $claim_one);
waits('a claim waits under a registration');
$other->query_safe(q(BEGIN; SELECT taskq.unregister_worker('one'); SELECT taskq.register_worker('one', '{elsewhere}'); COMMIT));
answer_of($claimer);
like(last_error(), qr/worker "one" was unregistered while this call waited/, 'it ends when the worker is unregistered, although the id is registered anew at once');
sql($node, q(SELECT taskq.register_worker('one', max_concurrent_jobs => 1, take_over => true)));

# a wake-up of a worker at its limit must be passed on to others
sql($node, q(SELECT taskq.enqueue_job('outside')));
my ($held, $held_epoch) = take();
begin_claim($claimer, $claim_one);
waits('a claim waits at the limit of its worker');
begin_claim($other, q(SELECT task_type FROM taskq.claim_job('free', wait => '1 h');));
waits('another one waits, too', 2);
sql($node, q(SELECT taskq.enqueue_job('outside')));
is(answer_of($other), 'outside', 'a job goes to who can take it');
sql($node, "SELECT taskq.enqueue_job('outside'); SELECT taskq.complete_job($held, $held_epoch)");
is(answer_of($claimer), 'outside', 'the next job wakes the first claim when its job has ended');
sql($node, $clear);

# a limit that the claims know nothing of, which only builds for tests have
SKIP:
{
	skip 'needs a build with TESTING=1', 5 if sql($node, q(SELECT count(*) FROM pg_settings WHERE name = 'taskq.injection_point')) == 0;
	my $closed = $node->data_dir . '/taskq_test_closed';
	sql($node, q(SELECT taskq.register_worker('one', max_concurrent_jobs => 2, take_over => true); SELECT taskq.enqueue_job('outside')));
	my ($job, $epoch) = take();
	append_to_file($closed, '');
	begin_claim($claimer, $claim_one);
	waits('a claim waits for another limit');
	sql($node, q(SELECT taskq.enqueue_job('outside')));
	is(sql($node, q(SELECT DISTINCT reason FROM taskq.explain_claim('one') WHERE task_type = 'outside')), 'closed for a test', 'the limit is the reason');
	is(sql($node, claims_wait()), 't', 'a job does not wake the claim');
	unlink $closed;
	sql($node, "SELECT taskq.complete_job($job, $epoch)");
	is(answer_of($claimer), 'outside', 'the limit wakes it');
	sql($node, q(SELECT taskq.enqueue_job('outside') FROM generate_series(1, 2)));
	is(sql($node, q(SELECT count(*) FROM taskq.claim_jobs('one', 2))), 1, 'the limit has left the other permit of the worker free');
	sql($node, $clear);
}
sql($node, $clear);

# wait_for_job() --------------------------------------------------------------------------

sql($node, q(SELECT taskq.enqueue_job('outside')));
$other->query_safe(q(BEGIN; SELECT * FROM taskq.claim_job('free')));
is(sql($node, q(CALL taskq.wait_for_job('one', '10 ms'))), 'f', 'wait_for_job() returns false for a job that another transaction is claiming');
begin_claim($claimer, q(CALL taskq.wait_for_job('one', '1 h');));
waits('wait_for_job() waits for that job');
$other->query_safe('ROLLBACK');
is(answer_of($claimer), 't', 'wait_for_job() returns true when the other claim is rolled back');
is(sql($node, q(SELECT state, attempt, worker_id IS NULL FROM taskq.all_jobs WHERE state = 'available')), 'available|0|t', 'wait_for_job() has not changed the job');
sql($node, $clear);

# what a registration says ------------------------------------------------------------------

sql($node, q(SELECT taskq.register_worker('one', '{elsewhere}', take_over => true); SELECT taskq.enqueue_job('outside')));
begin_claim($claimer, $claim_one);
waits('a claim waits for a type of its worker');
sql($node, q(SELECT taskq.register_worker('one', '{elsewhere,outside}', take_over => true)));
is(answer_of($claimer), 'outside', 'a new registration with another type wakes the claim');
sql($node, q(SELECT taskq.enqueue_job('outside', required_capabilities => '{gpu}')));
begin_claim($claimer, $claim_one);
waits('a claim waits for lack of a capability');
sql($node, q(SELECT taskq.register_worker('one', capabilities => '{gpu}', take_over => true)));
is(answer_of($claimer), 'outside', 'a new registration with the capability wakes the claim');

begin_claim($claimer, $claim_one);
waits('a claim waits while its worker is drained');
sql($node, q(SELECT taskq.drain_worker('one')));
is(answer_of($claimer), '', 'the claim of the drained worker returns no row');
like(last_error(), qr/NOTICE:  worker "one" is draining/, 'a notice says that the worker drains');
begin_claim($claimer, $claim_one);
is(answer_of($claimer), '', 'its next claim does not wait');
like(last_error(), qr/NOTICE:  worker "one" is draining/, 'a notice says again that the worker drains');
sql($node, q(SELECT taskq.register_worker('one', '{elsewhere}', take_over => true)));
begin_claim($claimer, $claim_one);
waits('a claim waits while its worker is unregistered');
my $foreign = sql($node, q(SELECT taskq.enqueue_job('outside')));
sql($node, q(SELECT taskq.unregister_worker('one')));
is(answer_of($claimer), '', 'the claim of the unregistered worker ends');
like(last_error(), qr/ERROR:  worker "one" was unregistered/, 'it raises an error');
is(sql($node, qq(SELECT state, attempt FROM taskq.all_jobs WHERE job_id = $foreign)), 'available|0', 'it takes no job of a type that the worker has not registered');
is(sql($node, q(SELECT count(*) FROM taskq.workers WHERE worker_id = 'one')), 0, 'the claim does not register the worker');

# the access "worker" ---------------------------------------------------------------------------

my $guest = session($node, role => 'app');
sql($node, $clear);
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_worker('guest')));
for my $call (q(SELECT task_type FROM taskq.claim_job('guest', wait => '1 h');), q(CALL taskq.wait_for_job('guest', '1 h');))
{
	my ($function) = $call =~ /taskq\.(\w+)/;
	begin_claim($guest, $call);
	waits("$function: a call waits while its access is revoked");
	sql($node, q(SELECT taskq.revoke_access('app', 'worker')));
	is(answer_of($guest), '', "$function: it ends without a job");
	like($guest->{stderr}, qr/permission denied for (function|procedure) $function/, "$function: and says why");
	$guest->{stderr} = '';
	sql($node, q(SELECT taskq.grant_access('app', 'worker')));
}
SKIP:
{
	skip 'needs a build with TESTING=1', 2 if sql($node, q(SELECT count(*) FROM pg_settings WHERE name = 'taskq.injection_point')) == 0;
	my $job = sql($node, q(SELECT taskq.enqueue_job('outside')));
	my $gate = hold_gate($node, q(hashtext('claim-locked')));
	sql($node, q(ALTER ROLE app SET taskq.injection_point = 'claim-locked'));
	my $late = session($node, role => 'app');
	begin_claim($late, q(SELECT task_type FROM taskq.claim_job('guest');));
	poll($node, q(SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)) or die 'the claim does not wait';
	sql($node, q(SELECT taskq.revoke_access('app', 'worker')));
	open_gate($gate);
	is(answer_of($late), '', 'a claim that has locked a job when its access is revoked is not given the job');
	is(sql($node, qq(SELECT state, attempt FROM taskq.all_jobs WHERE job_id = $job)), 'available|0', 'the job is left to others');
	sql($node, qq(ALTER ROLE app RESET taskq.injection_point; SELECT taskq.grant_access('app', 'worker'), taskq.cancel_job($job)));
	$late->quit;
}

$_->quit for $claimer, $other, $guest;

# a lost worker stays known for a week, so that its jobs can be given back
sql($node, q(SELECT taskq.register_worker(w, '{outside}', lease => l, take_over => true) FROM (VALUES ('lost-long', NULL::interval), ('lost-lately', NULL), ('long-lease', '4 d')) v (w, l)));
sql($node, q(UPDATE taskq.external_workers SET last_seen = now() - CASE worker_id WHEN 'lost-lately' THEN interval '6 d 23 h' ELSE '7 d 1 h' END WHERE worker_id ~ '^lo'));
$node->restart;
wait_until($node, q(SELECT count(*) = 0 FROM taskq.workers WHERE worker_id = 'lost-long'), 'a registration lost for a week is removed');
is(sql($node, q(SELECT string_agg(worker_id || ' ' || state, ', ' ORDER BY worker_id COLLATE "C") FROM taskq.workers WHERE worker_id ~ '^lo')), 'long-lease idle, lost-lately lost',
	'other registrations are kept');

# what the script of an extension writes counts at once; an event trigger stands for it
SKIP:
{
	skip 'amcheck is not installed', 1 if sql($node, q(SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck')) eq '0';
	my $given = sql($node, <<'SQL');
BEGIN;
SELECT count(taskq.enqueue_job('outside')) FROM generate_series(1, 2) \gset
SELECT taskq.register_worker('script', '{outside}') \gset
SELECT count(*) FROM taskq.claim_job('script');
CREATE FUNCTION pg_temp.drain() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE taskq.external_workers SET draining = true WHERE worker_id = 'script'; END $$;
CREATE EVENT TRIGGER drain ON ddl_command_end WHEN TAG IN ('CREATE FUNCTION') EXECUTE FUNCTION pg_temp.drain();
CREATE EXTENSION amcheck;
SELECT count(*) FROM taskq.claim_job('script');
ROLLBACK;
SQL
	is($given, "1\n0", 'a worker that is drained by the script of an extension is given no job');
}
done_testing();
