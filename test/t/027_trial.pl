# Task types that taskq pauses. Failures that concern the data of one job do not
# pause a type, and no pause lasts for ever. One job is tried after a minute, and
# then at longer intervals. The pause ends with the first job that runs, or when the
# function changes.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('trial');
sql_as($node, 'postgres', 'app', <<'SQL');
CREATE TABLE app.mine (tenant text);
ALTER TABLE app.mine ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.mine FORCE ROW LEVEL SECURITY;
CREATE POLICY only_a ON app.mine WITH CHECK (tenant = 'a');
CREATE FUNCTION app.does(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE payload->>'sql';
	RETURN NULL;
END $$;
CREATE FUNCTION app.needs(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO app.later SELECT job_id FROM taskq.current_job();
	RETURN NULL;
END $$;
CREATE FUNCTION app.needs_other(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO app.never SELECT job_id FROM taskq.current_job();
	RETURN NULL;
END $$;
CREATE PROCEDURE app.needs_steps(payload jsonb) LANGUAGE plpgsql AS $$
BEGIN
	COMMIT;
	INSERT INTO app.later SELECT job_id FROM taskq.current_job();
END $$;
SELECT taskq.register_handler(t, 'app.does(jsonb)', retry_policy => 'fixed', retry_base => '20 ms') FROM unnest('{data,one,tenants}'::text[]) t;
SELECT taskq.register_handler('declared', 'app.does(jsonb)', permanent_errors => '{42P01}');
SELECT taskq.register_handler(t, format('app.%s(jsonb)', t)::regprocedure, retry_policy => 'fixed', retry_base => '20 ms')
	FROM unnest('{needs,needs_other,needs_steps}'::text[]) t;
SELECT taskq.register_handler('shared', 'app.needs(jsonb)', share_commit => true, retry_policy => 'fixed', retry_base => '20 ms');
SQL

my $clock = 0;
sub later
{
	my ($seconds) = @_;
	$clock += $seconds * 1000;
	sql($node, "ALTER SYSTEM SET taskq.clock_offset = $clock");
	$node->reload;
	return;
}

sub enqueue
{
	my ($type, $sql, $n, $most) = @_;
	my $payload = defined $sql ? "jsonb_build_object('sql', \$sql\$$sql\$sql\$)" : q('{}');
	return sql($node, "SELECT min(taskq.enqueue_job('$type', $payload, max_attempts => $most)) FROM generate_series(1, $n)");
}

sub status_of
{
	my ($type) = @_;
	return sql($node, "SELECT status FROM taskq.list_handlers() WHERE task_type = '$type'");
}

# what is not of the database ------------------------------------------------------

for my $case ([ 'data', q(INSERT INTO app.mine VALUES ('b')), '42501', 'rows that a policy refuses' ],
	[ 'data', 'CREATE TABLE app.mine (x int)', '42P07', 'a table that exists already' ],
	[ 'data', q(SELECT concat('a b''', 'c:')::tsvector), '42601', 'text that the input function of a type refuses' ],
	[ 'data', q(SELECT set_config(concat('no', '_such_setting'), '1', true)), '42704', 'a setting that does not exist' ],
	[ 'data', q(DO $$ BEGIN RAISE EXCEPTION 'not this user' USING ERRCODE = 'insufficient_privilege'; END $$), '42501', 'a refusal of the handler' ])
{
	my ($type, $sql, $code, $name) = @$case;
	my $first = enqueue($type, $sql, 5, 1);
	settled($node, "$name: all end");
	is(sql($node, "SELECT count(*), min(sqlstate), max(sqlstate) FROM taskq.attempts WHERE job_id >= $first"), "5|$code|$code",
		"$name: five jobs fail, each once, as each had but one attempt");
	is(status_of($type), 'ok', "$name: their type is not paused");
}
my $first = enqueue('declared', 'TABLE app.none', 5, 3);
settled($node, 'declared errors: all jobs end');
is(sql($node, "SELECT count(*), min(sqlstate), max(error_type) FROM taskq.attempts WHERE job_id >= $first"), '5|42P01|permanent_error',
	'declared errors: five jobs fail permanently');
is(status_of('declared'), 'ok', 'declared errors: the type is not paused');
$first = enqueue('one', 'TABLE app.none', 1, 4);
settled($node, 'one job: the job ends');
cmp_ok(sql($node, "SELECT count(*) FROM taskq.attempts WHERE job_id = $first"), '>=', 4, 'one job: the job fails several times');
is(status_of('one'), 'ok', 'one job: the type is not paused');

# trials -----------------------------------------------------------------------------

my $failures = 'SELECT count(*) FROM taskq.attempt_failures JOIN taskq.all_jobs USING (job_id) WHERE task_type =';
for my $type (qw(needs shared needs_steps))
{
	my $offset = log_since($node);
	sql($node, 'DROP TABLE IF EXISTS app.later');
	enqueue($type, undef, 8, 1);
	wait_until($node, "SELECT status = 'paused' FROM taskq.list_handlers() WHERE task_type = '$type'", "$type: three jobs pause the type");
	wait_for_log_line($node, qr/task type "$type" is paused/, $offset, "$type: and the log says so");
	wait_until($node, q(SELECT count(*) = 0 FROM taskq.running_jobs()), "$type: what ran has ended");
	like(sql($node, "SELECT paused_because, round(extract(epoch FROM trial_at - taskq.clock_now()) / 60) FROM taskq.list_handlers() WHERE task_type = '$type'"),
		qr/"?relation "app.later" does not exist"?\|1$/, "$type: why, and that a job is tried in a minute");
	my $n = sql($node, "$failures '$type'");
	my $minutes = 1;
	for my $trial (1, 2)
	{
		later(60 * $minutes + 1);
		wait_until($node, "SELECT ($failures '$type') > $n AND NOT on_trial FROM taskq.handlers WHERE task_type = '$type'", "$type: trial $trial takes place");
		is(sql($node, "$failures '$type'"), ++$n, "$type: of one job");
		is(status_of($type), 'paused', "$type: and fails");
		$minutes *= 2;
		is(sql($node, "SELECT round(extract(epoch FROM trial_at - taskq.clock_now()) / 60) FROM taskq.list_handlers() WHERE task_type = '$type'"),
			$minutes, "$type: the next one is in $minutes minutes");
	}
	is(sql($node, "SELECT count(*) FROM taskq.all_jobs WHERE task_type = '$type' AND finished_at IS NULL"), 8, "$type: no job is lost");
	is(sql($node, "SELECT sum(max_attempts) FROM taskq.all_jobs WHERE task_type = '$type'"), 10, "$type: a trial costs none its attempt");
	sql_as($node, 'postgres', 'app', 'CREATE TABLE app.later (job_id bigint)');
	later(60 * $minutes + 1);
	settled($node, "$type: when the table is there, the next trial ends the pause");
	is(status_of($type), 'ok', "$type: it is over");
	is(sql($node, 'SELECT count(*), count(DISTINCT job_id) FROM app.later'), '8|8', "$type: each job has run once");
	wait_for_log_line($node, qr/task type "$type" is not paused any more/, $offset, "$type: and the log says so");
}

# failures of another kind: payloads of one tenant do not prolong the pause of all
sql($node, 'DROP TABLE IF EXISTS app.later');
my $for = sub {
	my ($tenants, $priority, $sql, $attempts) = @_;
	$attempts //= 1;
	sql($node, "SELECT taskq.enqueue_job('tenants', jsonb_build_object('sql', '$sql'), tenant_id => t, priority => $priority, max_attempts => $attempts) FROM unnest('$tenants'::text[]) t");
};
my $paused = q(SELECT status = 'paused' FROM taskq.list_handlers() WHERE task_type = 'tenants');
# (with attempts to spare, because one may fail several times before the others have failed)
$for->('{a,b,c}', 0, 'TABLE app.later', 5);
wait_until($node, $paused, 'three tenants lack a table: their type is paused');
wait_until($node, q(SELECT count(*) = 0 FROM taskq.running_jobs()), 'what ran has ended');
$for->('{bad,bad,bad,bad,bad}', -10, 'TABLE app.none');
sql_as($node, 'postgres', 'app', 'CREATE TABLE app.later (job_id bigint)');
later(61);
wait_until($node, q(SELECT status = 'ok' FROM taskq.list_handlers() WHERE task_type = 'tenants'), 'jobs of another tenant that fail otherwise are tried before, and do not prolong the pause');
settled($node, 'all jobs end');
is(sql($node, q(SELECT string_agg(DISTINCT state || ' ' || COALESCE(tenant_id, ''), ', ' ORDER BY state || ' ' || COALESCE(tenant_id, '')) FROM taskq.all_jobs WHERE task_type = 'tenants')),
	'completed a, completed b, completed c, discarded bad', 'each as it deserves');
sql($node, 'DROP TABLE app.later');
$for->('{a,b,c}', 0, 'TABLE app.later');
wait_until($node, $paused, 'paused anew');
wait_until($node, q(SELECT count(*) = 0 FROM taskq.running_jobs()), 'what ran has ended');
$for->('{a,b,c}', -10, 'TABLE app.none');
later(61);
wait_until($node, q(SELECT trials = 1 AND NOT on_trial FROM taskq.handlers WHERE task_type = 'tenants'), 'three tenants that lack something else prolong it');
sql($node, q(SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE task_type = 'tenants' AND finished_at IS NULL));

# an hour is the longest
enqueue('needs', undef, 3, 1);
wait_until($node, q(SELECT status = 'paused' FROM taskq.list_handlers() WHERE task_type = 'needs'), 'the type is paused again');
sql($node, q(UPDATE taskq.handlers SET trials = 20 WHERE task_type = 'needs'));
later(61);
wait_until($node, q(SELECT trials = 21 FROM taskq.handlers WHERE task_type = 'needs'), 'there were many trials');
is(sql($node, q(SELECT round(extract(epoch FROM trial_at - taskq.clock_now()) / 60) FROM taskq.list_handlers() WHERE task_type = 'needs')), 60, 'the next trial is in an hour');

# changes -----------------------------------------------------------------------------

my $offset = log_since($node);
sql_as($node, 'postgres', 'app', q(CREATE OR REPLACE FUNCTION app.needs(payload jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT payload'));
is(status_of('needs'), 'ok', 'a new definition of the function ends the pause at once');
settled($node, 'the waiting jobs run');
wait_for_log_line($node, qr/task type "needs" is not paused any more, as its function has changed/, $offset, 'the log says that the function has changed');

enqueue('needs_other', undef, 3, 1);
wait_until($node, q(SELECT status = 'paused' FROM taskq.list_handlers() WHERE task_type = 'needs_other'), 'another type is paused');
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('needs_other', 'app.needs(jsonb)', allow_override => true)));
is(status_of('needs_other'), 'ok', 'a new registration ends the pause at once');
settled($node, 'the jobs of the new registration run');

# by operators ---------------------------------------------------------------------------

sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('needs_other', 'app.needs_other(jsonb)', allow_override => true)));
enqueue('needs_other', undef, 3, 1);
wait_until($node, q(SELECT status = 'paused' FROM taskq.list_handlers() WHERE task_type = 'needs_other'), 'the type is paused by taskq');
is(sql($node, q(SELECT taskq.pause_handler('needs_other'))), 't', 'pause_handler() returns true for a type that taskq has paused');
is(sql($node, q(SELECT paused_because, trial_at FROM taskq.list_handlers() WHERE task_type = 'needs_other')), '|', 'the pause then has no reason and no trial');
is(sql($node, q(SELECT taskq.pause_handler('needs_other'))), 'f', 'pause_handler() returns false if it is repeated');
is(sql($node, q(SELECT taskq.resume_handler('needs_other'))), 't', 'resume_handler() returns true');
wait_until($node, q(SELECT status = 'paused' FROM taskq.list_handlers() WHERE task_type = 'needs_other'), 'the type is paused again when its jobs fail');

# a transaction that has locked the type's row for long delays no run
my $operator = session($node);
$operator->query_safe(q(BEGIN; SELECT taskq.pause_handler('one')));
enqueue('one', 'TABLE app.none', 4, 1);
wait_until($node, q(SELECT count(*) >= 4 FROM taskq.attempts JOIN taskq.all_jobs USING (job_id) WHERE task_type = 'one'
	AND job_id > ) . $first, 'jobs fail while an open transaction has paused their type');
$operator->query_safe('ROLLBACK');
$operator->quit;

$node->stop;
clean_log($node);
done_testing();
