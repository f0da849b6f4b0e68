# Budgets: a key counts once, whoever repeats it; a hard limit is never passed, while many
# sessions report and roll back, through a crash, an immediate stop and prepared transactions;
# sums are exact; and jobs start at once when a budget has room again.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

# nothing is found by polling
my $node = new_node('budgets', conf => { 'taskq.poll_interval' => "'1 h'", 'taskq.worker_idle' => "'1 h'", 'taskq.max_budgets' => 20, synchronous_commit => 'off' });

sub armed
{
	return poll($node, q(SELECT bool_and(state NOT IN ('arming', 'limit_memory')) FROM taskq.budgets));
}

sub sums
{
	my ($budget) = @_;
	return sql($node, "SELECT concat_ws(' ', used, pending, held, balance, state) FROM taskq.budgets WHERE budget = '$budget'");
}

sub claim
{
	my ($type) = @_;
	my $claim = sql($node, "SELECT job_id || ', ' || epoch FROM taskq.claim_job('w', '{$type}', lease => '1 h')");
	return $claim;
}

sub report
{
	my ($claim, $more) = @_;
	return sql($node, "SELECT concat_ws(' ', answer, balance, used, applied) FROM taskq.report_usage($claim, $more)");
}

# Have a session wait for a job of a type.
my $waiter;
sub wait_for_job_of
{
	my ($type) = @_;
	$waiter //= session($node);
	begin_claim($waiter, "SELECT job_id FROM taskq.claim_job('w1', '{$type}', wait => '5 s', lease => '1 h');");
	poll($node, claims_wait());
	return;
}

# Does the session get a job before its wait is over?
sub is_woken
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like(answer_of($waiter), qr/^[0-9]+$/, $name);
	return;
}

sql($node, q(SELECT taskq.register_handler(t, retry_policy => 'fixed', retry_base => '10 ms', max_attempts => 100) FROM unnest('{ext,load,wake,cancel}'::text[]) t));
sql($node, q(SELECT taskq.register_worker(w, '{ext,load,wake,cancel}', lease => '1 h') FROM unnest('{w,w1}'::text[]) w));

# handlers ----------------------------------------------------------------------------

sql($node, q(SELECT taskq.set_budget('fn', hard => 10), taskq.set_budget('proc', hard => 10)));
armed();
sql_as($node, 'postgres', 'app', <<'SQL');
CREATE FUNCTION app.uses(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	said text;
BEGIN
	SELECT concat_ws(' ', answer, balance, used, applied) INTO said FROM taskq.report_usage('fn', (p->>'amount')::numeric, 'call');
	IF (p->>'fails')::integer >= (taskq.current_job()).attempt THEN
		RAISE EXCEPTION 'after the report';
	END IF;
	RETURN to_jsonb(said);
END $$;
CREATE PROCEDURE app.steps(p jsonb, INOUT result jsonb) LANGUAGE plpgsql AS $$
DECLARE
	said text;
BEGIN
	SELECT concat_ws(' ', answer, balance, used, applied) INTO said FROM taskq.report_usage('proc', 2.5, 'call');
	COMMIT;
	IF (taskq.current_job()).attempt = 1 THEN
		RAISE EXCEPTION 'after the report';
	END IF;
	result := to_jsonb(said);
END $$;
SELECT taskq.register_handler('uses', 'app.uses(jsonb)', retry_policy => 'fixed', retry_base => '10 ms');
SELECT taskq.register_handler('steps', 'app.steps(jsonb,jsonb)', retry_policy => 'fixed', retry_base => '10 ms');
SQL
sql($node, q(SELECT taskq.enqueue_job('uses', '{"amount": 2.5, "fails": 1}', budgets => '{fn}')));
sql($node, q(SELECT taskq.enqueue_job('steps', budgets => '{proc}', estimated_cost => 3)));
settled($node, 'the jobs of handlers end');
is(sql($node, q(SELECT result #>> '{}' || ' ' || attempt FROM taskq.all_jobs WHERE task_type = 'uses')), 'ok 7.5 2.5 t 2', 'a report of a function is rolled back with its run, and the next attempt reports it again');
is(sums('fn'), '2.5 0 0 7.5 active', 'it counts once');
is(sql($node, q(SELECT result #>> '{}' || ' ' || attempt FROM taskq.all_jobs WHERE task_type = 'steps')), 'duplicate 7.5 2.5 f 2', 'a report in a committed step of a procedure survives, and the next attempt repeats it');
is(sums('proc'), '2.5 0 0 7.5 active', 'it counts once, and nothing is held after the run');
sql($node, q(SELECT taskq.enqueue_job('uses', '{"amount": 7.6, "fails": 0}', budgets => '{fn}')));
settled($node, 'another job ends');
is(sql($node, q(SELECT result #>> '{}' FROM taskq.all_jobs WHERE task_type = 'uses' ORDER BY job_id DESC LIMIT 1)), 'hard_limit 7.5 2.5 f', 'a handler is told that the limit does not allow its report');
sql($node, q(SELECT taskq.enqueue_job('uses', '{"amount": 1, "fails": 0}', budgets => '{fn}')));
is(sql($node, q(SELECT reason_code FROM taskq.all_jobs j, taskq.describe_job(j.job_id) WHERE j.state = 'available')), 'budget', 'then the jobs of the budget wait');
sql($node, q(SELECT taskq.set_budget('fn', hard => 20)));
wait_until($node, q(SELECT bool_and(state = 'completed') FROM taskq.all_jobs WHERE task_type = 'uses'), 'and a background worker starts them when it is raised');

# one key ---------------------------------------------------------------------------------

sql($node, q(SELECT taskq.set_budget('one', hard => 100)));
armed();
sql($node, q(SELECT taskq.enqueue_job('ext', budgets => '{one}')));
my $claim = claim('ext');
my $script = $node->basedir . '/one.sql';
append_to_file($script, "SELECT answer FROM taskq.report_usage($claim, 'one', 3, 'key');\n");
$node->command_ok([ 'pgbench', '-n', '-c', 8, '-t', 20, '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres' ], 'eight sessions report the same key');
is(sums('one'), '3 0 0 97 active', 'it counts once');
sql($node, "SELECT taskq.fail_job($claim, 'x', retry_in => '0 s')");
my $again = claim('ext');
isnt($again, $claim, 'the next attempt has the job');
is(report($again, q('one', 3, 'key')), 'duplicate 97 3 f', 'in the next attempt the key is a duplicate');
is(sql($node, q(SELECT count(*) FROM taskq.budget_usage WHERE budget = 'one')), 1, 'there is one row of it');

# at the limit, while the first report of the key is open
sql($node, q(SELECT taskq.set_budget('twice', hard => 10)));
armed();
sql($node, q(SELECT taskq.enqueue_job('ext', budgets => '{twice}')));
my $twice = claim('ext');
my $early = session($node);
my $late = session($node);
$early->query_safe("BEGIN; SELECT taskq.report_usage($twice, 'twice', 6, 'key')");
begin_claim($late, "SELECT concat_ws(' ', answer, balance, used, applied) FROM taskq.report_usage($twice, 'twice', 6, 'key');");
poll($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%report_usage%' AND wait_event = 'transactionid'));
$early->query_safe('COMMIT');
is(answer_of($late), 'duplicate 4 6 f', 'a report at the limit waits for an open one of the same key, and is a duplicate of it');
is(sums('twice'), '6 0 0 4 active', 'so it holds no job back');
$early->query_safe("BEGIN; SELECT taskq.report_usage($twice, 'twice', 3, 'key 2')");
begin_claim($late, "SELECT concat_ws(' ', answer, balance, used, applied) FROM taskq.report_usage($twice, 'twice', 3, 'key 2');");
poll($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%report_usage%' AND wait_event = 'transactionid'));
$early->query_safe('ROLLBACK');
is(answer_of($late), 'ok 1 9 t', 'if that is rolled back, the report is made');
$early->quit;
$late->quit;

# prepared transactions -----------------------------------------------------------------------

sql($node, qq(BEGIN; SELECT taskq.report_usage($again, 'one', 90, 'p1'); PREPARE TRANSACTION 'p1'));
is(sums('one'), '3 90 0 97 active', 'what a prepared transaction has reported is pending');
is(report($again, q('one', 8, 'p2')), 'hard_limit 7 93 f', 'and counts against the hard limit');
$node->restart;
armed();
is(sums('one'), '3 90 0 97 active', 'also after a restart');
is(report($again, q('one', 8, 'p2')), 'hard_limit 7 93 f', 'so it counts against the hard limit then');
sql($node, q(ROLLBACK PREPARED 'p1'));
wait_until($node, q(SELECT pending = 0 AND used = 3 FROM taskq.budgets WHERE budget = 'one'), 'ROLLBACK PREPARED gives it back');
sql($node, qq(BEGIN; SELECT taskq.report_usage($again, 'one', 90, 'p1'); PREPARE TRANSACTION 'p1'));
sql($node, q(COMMIT PREPARED 'p1'));
is(report($again, q('one', 7, 'p2')), 'ok 0 100 t', 'COMMIT PREPARED makes it used, and the limit can be reached');
is(sums('one'), '100 0 0 0 hard_limit', 'then the limit is reached');

# a run that holds an estimate reports, and its transaction is rolled back, also with its settle
sql($node, q(SELECT taskq.set_budget('prepared', hard => 10)));
armed();
sql($node, q(SELECT taskq.enqueue_job('ext', budgets => '{prepared}', estimated_cost => 4)));
my $held = claim('ext');
for my $settle ('', ", taskq.complete_job($held)")
{
	my $with = $settle eq '' ? '' : ' with its settle';
	sql($node, qq(BEGIN; SELECT taskq.report_usage($held, 'prepared', 3, 'p')$settle; PREPARE TRANSACTION 'p3'));
	is(sums('prepared'), '0 3 1 10 active', "a prepared report$with takes from what the run holds");
	sql($node, q(ROLLBACK PREPARED 'p3'));
	wait_until($node, q(SELECT pending = 0 AND held = 4 FROM taskq.budgets WHERE budget = 'prepared'), "ROLLBACK PREPARED$with gives that back to the run");
}
sql($node, qq(BEGIN; SELECT taskq.report_usage($held, 'prepared', 3, 'p'), taskq.complete_job($held); PREPARE TRANSACTION 'p3'));
sql($node, q(COMMIT PREPARED 'p3'));
wait_until($node, q(SELECT used = 3 AND pending = 0 AND held = 0 FROM taskq.budgets WHERE budget = 'prepared'), 'after COMMIT PREPARED the run holds nothing');
sql($node, q(SELECT taskq.drop_budget('prepared')));

# wake-ups ----------------------------------------------------------------------------------

sql($node, q(SELECT taskq.enqueue_job('wake', budgets => '{one}') FROM generate_series(1, 4)));
wait_for_job_of('wake');
sql($node, q(SELECT taskq.add_to_budget('one', 1)));
is_woken('who waits is woken when something is added to the budget');
is(report($again, q('one', 1, 'w1')), 'ok 0 101 t', 'it is used up again');
wait_for_job_of('wake');
sql($node, q(SELECT taskq.set_budget('one', hard => 101)));
is_woken('who waits is woken when the budget is raised');
is(report($again, q('one', 1, 'w2')), 'ok 0 102 t', 'it is used up again');
wait_for_job_of('wake');
sql($node, q(SELECT taskq.set_budget('one', hard => 101, period => '1 min', period_from => taskq.clock_now() - interval '59 s')));
is_woken('who waits is woken when the period ends');
is(sql($node, q(SELECT string_agg(concat_ws(' ', period_no, used, added, ended_at IS NULL), ', ' ORDER BY period_no) FROM taskq.budget_history WHERE budget = 'one')), '1 102 1 f, 2 0 0 t', 'the history has both periods');
is(report($again, q('one', 1, 'w2')), 'duplicate 101 0 f', 'a key of an earlier period counts once, too');
is(report($again, q('one', 101, 'w3')), 'ok 0 101 t', 'the new period has the whole budget');
wait_for_job_of('wake');
sql($node, q(SELECT taskq.drop_budget('one')));
is_woken('who waits is woken when the budget is dropped');

# an open report, and an estimate that a run holds
sql($node, q(SELECT taskq.set_budget('open', hard => 10)));
armed();
sql($node, q(SELECT taskq.enqueue_job('ext', budgets => '{open}')));
sql($node, q(SELECT taskq.enqueue_job('wake', budgets => '{open}', estimated_cost => 6) FROM generate_series(1, 2)));
my $holder = claim('ext');
my $first = claim('wake');
is(sums('open'), '0 0 6 10 active', 'a run holds its estimate');
wait_for_job_of('wake');
sql($node, "SELECT taskq.complete_job($first)");
is_woken('who waits is woken when a run ends that has held an estimate');
sql($node, q(SELECT taskq.enqueue_job('wake', budgets => '{open}')));
my $open = session($node);
$open->query_safe("BEGIN; SELECT taskq.report_usage($holder, 'open', 10, 'x')");
wait_for_job_of('wake');
$open->query_safe('ROLLBACK');
is_woken('who waits is woken when a report is rolled back');
$open->quit;
$waiter->quit;
$node->restart('immediate');
armed();
is(sums('open'), '0 0 6 10 active', 'after an immediate stop the run holds its estimate again');

# cancel_running ------------------------------------------------------------------------------

sql($node, q(SELECT taskq.set_budget('cut', hard => 5, on_exceeded => 'cancel_running')));
armed();
add_type($node, 'postgres', 'app', 'gated');
my $gate = hold_gate($node, 1);
sql($node, q(SELECT taskq.enqueue_job('cancel', budgets => '{cut}') FROM generate_series(1, 2)));
sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}', budgets => '{cut}')));
my $cut = claim('cancel');
my $other = claim('cancel');
wait_until($node, q(SELECT count(*) = 1 FROM taskq.all_jobs WHERE task_type = 'gated' AND state = 'running'), 'a background worker runs a job of the budget');
is(report($cut, q('cut', 5, 'x')), 'ok 0 5 t', 'the budget is used up');
wait_until($node, q(SELECT state = 'cancelled' AND last_error LIKE '%budget "cut" is used up%' FROM taskq.all_jobs WHERE task_type = 'gated'), 'the run in the server is cancelled');
wait_until($node, "SELECT taskq.heartbeat_job($other) = 'cancel'", 'the worker of another job is told at its heartbeat');
sql($node, "SELECT taskq.cancel_job($cut), taskq.cancel_job($other)");
open_gate($gate);

# load ----------------------------------------------------------------------------------------

# Fractions whose sum is exact only as numeric. Each client reports for a job of its own and for one that all share.
sql($node, q(SELECT taskq.set_budget('load', hard => 100), taskq.set_budget('free')));
armed();
sql($node, q(SELECT taskq.enqueue_job('load', jsonb_build_object('n', n), budgets => '{load,free}') FROM generate_series(0, 8) n));
sql($node, q(CREATE TABLE claims AS SELECT job_id, epoch, (payload->>'n')::integer AS n FROM taskq.claim_jobs('w', 9, '{load}', lease => '1 h')));
my $load = $node->basedir . '/load.sql';
append_to_file($load, <<'SQL');
\set how random(1, 100)
\set n random(1, 1000000000)
\set amount random(1, 999)
SELECT job_id, epoch FROM claims WHERE n = CASE WHEN :how % 2 = 0 THEN 8 ELSE :client_id END \gset
BEGIN;
SELECT answer FROM taskq.report_usage(:job_id, :epoch, 'load', :amount / 100000.0, :n::text);
SAVEPOINT s;
SELECT answer FROM taskq.report_usage(:job_id, :epoch, 'load', :amount / 70000.0 + 0.000000000001 - :amount / 70000.0, 's' || :n);
SELECT answer FROM taskq.report_usage(:job_id, :epoch, 'free', 0.1, :n::text);
\if :how <= 30
ROLLBACK TO s;
\endif
\if :how >= 80
ROLLBACK;
\else
COMMIT;
\endif
SQL
sub load
{
	my ($seconds) = @_;
	my $out = '';
	my $h = IPC::Run::start([ 'pgbench', '-n', '-c', 8, '-T', $seconds, '-f', $load, '-h', $node->host, '-p', $node->port, 'postgres' ], '>&', \$out);
	return ($h, \$out);
}
my $exceeded = q(SELECT count(*) FROM taskq.budgets WHERE budget = 'load' AND used > hard + added);
my $exact = q(SELECT b.used = u.sum FROM taskq.budgets b JOIN (SELECT budget, sum(amount) FROM taskq.budget_usage GROUP BY budget) u USING (budget) WHERE budget IN ('load', 'free'));

# a limit that is reached soon, and raised again and again
sql($node, q(SELECT taskq.set_budget('load', hard => 0.5)));
my @seen;
my ($h, $out) = load(5);
for (1 .. 40)
{
	sql($node, q(SELECT taskq.add_to_budget('load', 0.1)));
	push @seen, sql($node, $exceeded);
}
$h->finish or diag($$out);
is(join("", @seen), '0' x 40, 'the hard limit is never passed under load');
is(sql($node, $exact), "t\nt", 'sums are exact');
cmp_ok(sql($node, q(SELECT count(*) FROM taskq.budget_usage WHERE budget = 'free')), '>', 100, 'many reports were made');
wait_until($node, q(SELECT count(*) = 0 FROM taskq.budgets WHERE pending <> 0), 'nothing is pending afterwards');

# reports at the limit
($h, $out) = load(2);
$h->finish or diag($$out);
is(sql($node, q(SELECT count(*) FROM taskq.budgets WHERE budget = 'load' AND used <= hard + added AND hard + added - used < 0.02)), 1, 'the budget is used up to the last report that fits');

sql($node, q(SELECT taskq.add_to_budget('load', 0.5)));
($h, $out) = load(4);
crash($node, pid_of($node, 'scheduler'));
$h->kill_kill;
armed();
is(sql($node, $exceeded), 0, 'the hard limit is not passed after a crash');
($h, $out) = load(2);
$h->finish or diag($$out);
is(sql($node, $exceeded), 0, 'nor by reports after it');
is(sql($node, $exact), "t\nt", 'sums are exact');
sql($node, q(SELECT taskq.add_to_budget('load', 0.5)));
($h, $out) = load(4);
poll($node, q(SELECT count(*) > 1 FROM pg_stat_activity WHERE query LIKE '%report_usage%'));
$node->stop('immediate');
$h->finish;
$node->start;
is(sql($node, $exceeded), 0, 'the hard limit is not passed after an immediate stop');
($h, $out) = load(2);
$h->finish or diag($$out);
is(sql($node, $exceeded), 0, 'nor by reports after it');
is(sql($node, $exact), "t\nt", 'sums are exact');
is(sql($node, q(SELECT count(*) FROM taskq.budgets WHERE pending <> 0)), 0, 'and nothing is pending');

# adding up, and forgetting
sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM claims));
my $before = sql($node, q(SELECT used FROM taskq.budgets WHERE budget = 'free'));
sql($node, q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq scheduler'));
wait_until($node, q(SELECT count(*) = 0 FROM taskq.budget_reports WHERE gate = 'o'), 'the scheduler adds up all reports');
is(sql($node, q(SELECT used FROM taskq.budgets WHERE budget = 'free')), $before, 'the sum is the same');
sql($node, q(DELETE FROM taskq.job_history));
sql($node, q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq scheduler'));
wait_until($node, q(SELECT count(*) = 0 FROM taskq.budget_usage u JOIN claims USING (job_id)), 'reports of jobs that are gone from the history are removed');
is(sql($node, q(SELECT used FROM taskq.budgets WHERE budget = 'free')), $before, 'and the sum is still the same');
# an extension that is dropped and created again in one transaction
sql($node, q(CREATE DATABASE again));
sql($node, q(CREATE EXTENSION taskq), 'again');
for (1 .. 3)
{
	sql($node, q(BEGIN; DROP EXTENSION taskq CASCADE; CREATE EXTENSION taskq; SELECT taskq.set_budget('b' || n) FROM generate_series(1, 10) n; COMMIT), 'again');
	wait_until($node, q(SELECT bool_and(state = 'active') FROM taskq.budgets), 'the budgets of the extension that is there have room in shared memory', db => 'again');
}

# a restore writes rows that nobody has taken, after the budget was armed
sql($node, q(SELECT taskq.set_budget('b1', hard => 7)), 'again');
wait_until($node, q(SELECT state = 'active' FROM taskq.budgets WHERE budget = 'b1'), 'a budget is armed before its rows are restored', db => 'again');
sql($node, q(INSERT INTO taskq.budget_totals SELECT budget_id, period_no, 7, 1 FROM taskq.budget_defs WHERE budget = 'b1'), 'again');
sql($node, q(SELECT taskq.adopt_database()), 'again');
wait_until($node, q(SELECT state = 'hard_limit' FROM taskq.budgets WHERE budget = 'b1'), 'adopt_database() has it added up anew', db => 'again');
clean_log($node, but => qr{terminated by signal 9});
$node->stop;

done_testing();
