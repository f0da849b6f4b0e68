# pg_dump and restore: everything is restored, and nothing runs in the restored
# database until adopt_database() is called.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('dump');
add_type($node, 'postgres', 'app', 'work', undef, "description => 'does it', version => '1.2', max_attempts => 3");
add_type($node, 'postgres', 'app', 'broken', undef, "retry_policy => 'fixed', retry_base => '1 ms', max_attempts => 2");
add_type($node, 'postgres', 'app', 'gated');
sql_as($node, 'postgres', 'app', q(CREATE TYPE app.expected AS (n integer); CREATE FUNCTION app.check(jsonb) RETURNS boolean LANGUAGE sql AS 'SELECT true';
	SELECT taskq.register_handler('strict', payload_type => 'app.expected', required_fields => '{"n": "number"}', validator => 'app.check(jsonb)')));
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('outside')));
sql($node, q(SELECT taskq.register_worker(w) FROM unnest('{late}'::text[]) AS w));
sql($node, q(SELECT taskq.create_queue('side', description => 'aside', retain_completed => '2 d'); SELECT taskq.alter_queue('default', description => 'altered')));
sql_as($node, 'postgres', 'app', q(SELECT taskq.create_pool('second', size => 2, task_types => '{work}', queues => '{side,default}')));
sql($node, q(SELECT taskq.register_worker('registered', task_types => '{outside}', max_concurrent_jobs => 2, lease => '1 h')));
sql($node, q(SELECT taskq.register_worker('registered', task_types => '{outside}', max_concurrent_jobs => 3, lease => '1 h', instance_id => 'other')));

# jobs in every state, with all values that a job can have
sql($node, q(SELECT taskq.enqueue_job('work', jsonb_build_object('n', n)) FROM generate_series(1, 50) n));
sql($node, q(SELECT taskq.enqueue_job('work', '{"n": "side"}', queue => 'side', tags => '{a,"b c"}', tenant_id => 't', group_key => 'g', priority => 7)));
sql($node, q(SELECT taskq.enqueue_job('broken')));
settled($node, 'jobs have run before the dump');
sql($node, q(SELECT taskq.enqueue_job('nobody', '{"x": "waits"}', required_capabilities => '{gpu}')));
sql($node, q(SELECT taskq.enqueue_job('work', '{"x": "ahead"}', delay => '1 d', timeout => '2 s')));
sql($node, q(SELECT taskq.cancel_job(taskq.enqueue_job('work', delay => '1 d'))));
sql($node, q(SELECT taskq.pause_queue('side'); SELECT taskq.enqueue_job('work', '{"x": "paused"}', queue => 'side')));
sql($node, q(SELECT taskq.set_budget('spent', 5, 10, '1 mon', 'cancel_running', 'of the dump'), taskq.add_to_budget('spent', 2)));
sql($node, q(SELECT taskq.set_limit('slow', task_type => 'outside', concurrency => 9, rate => 50, per => '1 hour', burst => 5),
	taskq.set_limit('each', queue => 'side', for_each => '{tenant_id}', concurrency => 2, overrides => '{"t": 3}')));
sql($node, q(SELECT taskq.enqueue_job('outside', '{"x": "claimed"}', lease => '1 s', budgets => '{spent}', estimated_cost => 0.75, weight => 3)));
my ($claimed, $epoch) = split /\|/, sql($node, q(SELECT job_id, epoch FROM taskq.claim_job('registered', lease => '1 h', wait => '5 s')));
sql($node, qq(SELECT taskq.report_usage($claimed, $epoch, 'spent', 2.5, 'before the dump')));
my $gate = hold_gate($node, 1);
sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1, "x": "runs"}')));
wait_until($node, 'SELECT count(*) = 1 FROM taskq.running_jobs()', 'a job runs');
# a second partition of the history
sql($node, q(SELECT taskq.create_queue('long', retain_completed => '25 d')));
sql($node, q(SELECT taskq.enqueue_job('work', '{"n": "long"}', queue => 'long')));
wait_until($node, q(SELECT count(*) >= 2 FROM pg_class WHERE relname LIKE 'job_history_%' AND relkind = 'r' AND relname <> 'job_history_overflow'
	AND NOT EXISTS (SELECT FROM taskq.job_history_overflow)), 'the history has partitions');

sql($node, q(SELECT taskq.grant_access('app', 'observer', '{acme,bolt}')));

# a role that is dropped as the documentation says
sql($node, q(CREATE ROLE gone LOGIN; SELECT taskq.grant_access('gone', 'worker'), taskq.grant_access('gone', 'operator')));
sql($node, q(SET ROLE gone; SELECT taskq.register_worker('orphan', '{outside}')));
my $gone = sql($node, q(SELECT 'gone'::regrole::oid));
sql($node, 'DROP OWNED BY gone; DROP ROLE gone');

my %look = (
	# a row of a running job is dumped like any other
	jobs => q(SELECT count(*), string_agg(format('%s %s %s %s %s %s %s', job_id, task_type, queue, state, attempt, priority, payload), E'\n' ORDER BY job_id)
		FROM taskq.all_jobs WHERE payload->>'x' IS DISTINCT FROM 'runs'),
	details => q(SELECT string_agg(format('%s %s %s %s %s %s %s %s %s %s %s %s', job_id, result, tags, tenant_id, group_key, run_at, created_at, finished_at, last_error, weight, budgets, estimated_cost), E'\n' ORDER BY job_id)
		FROM taskq.all_jobs),
	attempts => q(SELECT count(*), string_agg(format('%s %s %s %s %s %s %s', job_id, attempt, epoch, outcome, error_type, error_message, sqlstate), E'\n' ORDER BY job_id, attempt) FROM taskq.attempts),
	handlers => q(SELECT string_agg(h::text, E'\n' ORDER BY task_type) FROM taskq.list_handlers() h),
	limits => q(SELECT string_agg(format('%s %s %s %s %s %s %s %s %s', name, queue, task_type, concurrency, rate, per, burst, for_each, overrides), E'\n' ORDER BY name) FROM taskq.limits),
	budgets => q(SELECT string_agg(format('%s %s %s %s %s %s %s %s %s', budget, soft, hard, added, used, balance, period, on_exceeded, description), E'\n') FROM taskq.budgets),
	usage => q(SELECT string_agg(format('%s %s %s %s', budget, job_id, usage_key, amount), E'\n') FROM taskq.budget_usage),
	queues => q(SELECT string_agg(q::text, E'\n' ORDER BY queue) FROM taskq.queues q),
	pools => q(SELECT string_agg(format('%s %s %s %s %s %s', pool, role, size, min_size, task_types, queues), E'\n' ORDER BY pool) FROM taskq.pools),
	workers => q(SELECT string_agg(w::text, E'\n') FROM (SELECT worker_id, instance_id, task_types, max_concurrent_jobs, registered_at FROM taskq.workers WHERE kind = 'external' AND worker_id <> 'orphan' ORDER BY 1, 2) w),
	leaves => q(SELECT string_agg(c.relname || ' ' || pg_get_expr(c.relpartbound, c.oid), E'\n' ORDER BY c.relname) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'taskq.job_history'::regclass),
	grants => q(SELECT string_agg(concat_ws(' ', role, access, tenants), ', ' ORDER BY role, access) FROM taskq.access_grants WHERE role IN (SELECT oid FROM pg_roles)),
	rights => q(SELECT bool_and(has_function_privilege('app', oid, 'EXECUTE')), bool_or(has_function_privilege('public', oid, 'EXECUTE')), has_schema_privilege('app', 'taskq', 'USAGE')
		FROM pg_proc WHERE proname IN ('enqueue_job', 'claim_job', 'register_handler') AND pronamespace = 'taskq'::regnamespace),
	ledger => 'SELECT count(*) FROM app.ledger');
for my $way ('plain', 'custom')
{
	my %before = map { $_ => sql($node, $look{$_}) } keys %look;
	my ($last_job, $last_epoch, $last_route) = split /\|/, sql($node, q(SELECT max(job_id), (SELECT last_value FROM taskq.epoch_seq), (SELECT max(route_id) FROM taskq.routes) FROM taskq.all_jobs));
	my $db = "restored_$way";
	my $file = $node->basedir . "/$way.dump";
	$node->command_checks_all([ 'pg_dump', '-F', substr($way, 0, 1), '-f', $file, $node->connstr('postgres') ], 0, [qr/^$/], [qr/^$/], "$way: dumped while jobs run, without a warning");
	sql($node, "CREATE DATABASE $db TEMPLATE template0");
	if ($way eq 'plain')
	{
		my ($rc, $out, $err) = $node->psql($db, slurp_file($file), on_error_stop => 1);
		is($rc . $err, '0', "$way: restored without a complaint");
	}
	else
	{
		$node->command_checks_all([ 'pg_restore', '-e', '-d', $node->connstr($db), $file ], 0, [qr/^$/], [qr/^$/], "$way: restored without a complaint");
	}

	for (sort keys %look)
	{
		is(sql($node, $look{$_}, $db), $before{$_}, "$way: the same $_");
	}
	is(sql($node, qq(SELECT (SELECT count(*) FROM taskq.access_grants WHERE role = $gone), (SELECT count(*) FROM taskq.external_workers WHERE registered_by = $gone)), $db),
		'0|0', "$way: nothing that a role with the number of a dropped role could use");
	is(sql($node, q(SELECT state, attempt FROM taskq.all_jobs WHERE payload->>'x' = 'runs'), $db), 'available|0', "$way: what ran in the source waits");
	is(sql($node, q(SELECT value, hint LIKE '%adopt_database()%' FROM taskq.status() WHERE name = 'adopted'), $db), 'no|t', "$way: not adopted");
	wait_until($node, "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler' AND datname = '$db'", "$way: its scheduler has come");
	my ($code, $stdout, $stderr) = $node->psql($db, q(SELECT taskq.validate_task('strict', '{"n": 1}'), taskq.validate_task('strict', '{"n": 1, "m": 2}')));
	like($stderr, qr/Field "m" is unknown/, "$way: payloads are checked by the type that came along");
	my $new = sql($node, q(SELECT taskq.enqueue_job('work', '{"new": "job"}')), $db);
	cmp_ok($new, '>', $last_job, "$way: the sequence of jobs is ahead");
	sql($node, q(SELECT taskq.enqueue_job('new_type')), $db);
	cmp_ok(sql($node, q(SELECT max(route_id) FROM taskq.routes), $db), '>', $last_route, "$way: and that of routes");
	sql($node, q(SELECT taskq.create_queue('newer')), $db);

	# jobs that were enqueued later in the source have run, so these had time to run
	sql($node, qq(SELECT taskq.enqueue_job('work', '{"after": "$way"}')));
	wait_until($node, qq(SELECT state = 'completed' FROM taskq.all_jobs WHERE payload->>'after' = '$way'), "$way: the source goes on");
	is(sql($node, qq(SELECT state FROM taskq.all_jobs WHERE job_id = $new), $db), 'available', "$way: nothing runs in the restored database");
	is(sql($node, qq(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'taskq worker' AND datname = '$db')), 0, "$way: no worker is there");
	is(sql($node, $look{ledger}, $db), $before{ledger}, "$way: no handler has run");

	# a lease ends while no scheduler runs
	sql($node, qq(UPDATE taskq.jobs SET lease_expires_at = started_at + interval '1 ms' WHERE job_id = $claimed), $db);
	is(sql($node, 'SELECT taskq.adopt_database()', $db), 't', "$way: adopted");
	wait_until($node, qq(SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = $new), "$way: its jobs run", db => $db);
	wait_until($node, q(SELECT state = 'completed' AND attempt = 1 FROM taskq.all_jobs WHERE payload->>'x' = 'runs'), "$way: also what ran in the source", db => $db);
	wait_until($node, qq(SELECT state = 'available' FROM taskq.all_jobs WHERE job_id = $claimed), "$way: a lease that was over is ended", db => $db);
	is(sql($node, qq(SELECT outcome FROM taskq.attempts WHERE job_id = $claimed), $db), 'expired', "$way: as expired");
	is(sql($node, q(SELECT string_agg(payload->>'x' || ' ' || state, ', ' ORDER BY payload->>'x') FROM taskq.all_jobs WHERE payload->>'x' <> 'runs'), $db),
		'ahead scheduled, claimed available, paused available, waits available', "$way: the others are as they were");
	cmp_ok(sql($node, qq(SELECT min(epoch) FROM app.ledger WHERE job_id = $new), $db), '>', $last_epoch, "$way: epochs are ahead");
	# partitions of the same days already exist
	wait_until($node, qq(SELECT EXISTS (SELECT FROM taskq.job_history WHERE job_id = $new) AND NOT EXISTS (SELECT FROM taskq.job_history_overflow)),
		"$way: the history goes on in the leaves that the dump brought", db => $db);
	is(sql($node, qq(SELECT taskq.retry_job(1, force => true)), $db), 't', "$way: an old job is put back");
	wait_until($node, q(SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = 1), "$way: and runs again", db => $db);
	is(sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE job_id = 1), $db), 1, "$way: one job");
}

# an epoch of the source is not valid in the copy, or the other way round: both
# databases have the same epoch, and each checks its own rows
is(sql($node, qq(SELECT taskq.complete_job($claimed, $epoch))), 't', 'the source completes its claimed job');

# a running row without a notice, as if it was copied into a database at work
sql($node, q(SELECT taskq.drop_limit('slow')), 'restored_plain');
my ($copied, $copied_epoch) = split /\|/, sql($node, q(SELECT job_id, epoch FROM taskq.claim_job('late', lease => '1 h', wait => '5 s')), 'restored_plain');
is($copied, $claimed, 'the job that was claimed runs again in the restored database');
is(sql($node, qq(SELECT answer, used FROM taskq.report_usage($copied, $copied_epoch, 'spent', 2.5, 'before the dump')), 'restored_plain'), 'duplicate|2.5', 'there its report from before the dump is a duplicate');
is(sql($node, q(SELECT held FROM taskq.budgets), 'restored_plain'), '0.75', 'and it holds its estimate');
sql($node, qq(UPDATE taskq.jobs SET lease_expires_at = started_at + interval '1 ms' WHERE job_id = $copied), 'restored_plain');
sql($node, q(ALTER SYSTEM SET taskq.clock_offset = '1 min'));
sql($node, 'SELECT pg_reload_conf()');
wait_until($node, qq(SELECT outcome = 'expired' FROM taskq.attempts WHERE job_id = $copied AND worker_id = 'late'), 'a lease that was not announced ends within a minute', db => 'restored_plain');
sql($node, q(ALTER SYSTEM RESET taskq.clock_offset));
sql($node, 'SELECT pg_reload_conf()');

# a dump of the restored database
$node->command_ok([ 'pg_dump', '-f', $node->basedir . '/again.sql', $node->connstr('restored_plain') ], 'the restored database can be dumped');
sql($node, 'CREATE DATABASE again TEMPLATE template0');
my ($rc, $out, $err) = $node->psql('again', slurp_file($node->basedir . '/again.sql'), on_error_stop => 1);
is($rc . $err, '0', 'the dump of the restored database is restored without an error');
is(sql($node, q(SELECT count(*) FROM taskq.all_jobs), 'again'), sql($node, q(SELECT count(*) FROM taskq.all_jobs), 'restored_plain'), 'it has all jobs');

# schema only: an empty taskq
$node->command_ok([ 'pg_dump', '--schema-only', '-f', $node->basedir . '/schema.sql', $node->connstr('postgres') ], 'the schema can be dumped alone');
sql($node, 'CREATE DATABASE empty TEMPLATE template0');
($rc, $out, $err) = $node->psql('empty', slurp_file($node->basedir . '/schema.sql'), on_error_stop => 1);
is($rc . $err, '0', 'the dump of the schema is restored without an error');
is(sql($node, q(SELECT (SELECT count(*) FROM taskq.all_jobs), (SELECT count(*) FROM taskq.list_handlers())), 'empty'), '0|0', 'it has no jobs and no handlers');

open_gate($gate);
$node->stop;
clean_log($node);
done_testing();
