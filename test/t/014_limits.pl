# The limits of a run: its timeout, also against a handler that tries to ignore it,
# its locks, its memory, and what can be done about a handler that does not check
# for interrupts.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('limits', conf => { 'taskq.worker_idle' => "'1 h'", 'taskq.frame_memory' => "'1MB'" });
make_misbehave($node, 'postgres', 'app');
sql_as($node, 'postgres', 'app', <<'SQL');
-- each must be interrupted a second after its start, whatever it does
CREATE FUNCTION app.stubborn(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM app.note(payload);
	CASE payload->>'how'
		WHEN 'sleep' THEN NULL;
		WHEN 'set' THEN SET statement_timeout = 0;
		WHEN 'local' THEN SET LOCAL statement_timeout = '1 h';
		WHEN 'reset' THEN RESET ALL;
		WHEN 'catch' THEN
			BEGIN
				PERFORM pg_sleep(3600);
			EXCEPTION WHEN query_canceled THEN NULL;
			END;
		WHEN 'block' THEN
			BEGIN
				SET LOCAL lock_timeout = '1 h';
				RAISE EXCEPTION 'rolled back';
			EXCEPTION WHEN raise_exception THEN NULL;
			END;
	END CASE;
	PERFORM pg_sleep(3600);
	RETURN NULL;
END $$;
-- can only be ended with its worker
CREATE FUNCTION app.deaf(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	LOOP
		BEGIN
			PERFORM pg_sleep(3600);
		EXCEPTION WHEN query_canceled THEN NULL;
		END;
	END LOOP;
END $$;
CREATE FUNCTION app.quick(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_sleep((payload->>'s')::float8);
	RETURN to_jsonb(pg_backend_pid());
END $$;
SQL
sql_as($node, 'postgres', 'app', 'SELECT taskq.alter_pool(pool, size => 1) FROM taskq.pools');

# Enqueue a job of the type with the payload, and wait for its end.
sub run_one
{
	my ($type, $payload, $more) = @_;
	$more = defined $more ? ", $more" : '';
	return sql_as($node, 'postgres', 'app', "SELECT taskq.enqueue_job('$type', '$payload', max_attempts => 1$more)");
}

sub ended
{
	my ($id, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until($node, "SELECT finished_at IS NOT NULL FROM taskq.all_jobs WHERE job_id = $id", $name);
}

sub outcome
{
	my ($id) = @_;
	return sql($node, "SELECT outcome, error_type, sqlstate FROM taskq.attempts WHERE job_id = $id");
}

# time ------------------------------------------------------------------------

add_type($node, 'postgres', 'app', 'stubborn', undef, "timeout => '1 s'");
add_type($node, 'postgres', 'app', 'quick', undef, "timeout => '1 min'");
sql_as($node, 'postgres', 'app', q(SELECT taskq.alter_pool('app', size => 1)));
for my $how (qw(sleep set local reset block catch))
{
	my $id = run_one('stubborn', qq({"how": "$how"}));
	ended($id, "timeout, handler does '$how': it ends");
	is(outcome($id), 'timeout|timeout|57014', "timeout, handler does '$how': the attempt says so");
	note(sql($node, "SELECT 'late by ' || extract(epoch FROM finished_at - started_at) - 1 || ' s' FROM taskq.attempts WHERE job_id = $id"));
}
# the timer of the last job does not affect the next one
my $next = run_one('quick', '{"s": 2}');
ended($next, 'a job after one that exceeded its timeout ends');
is(sql($node, "SELECT state FROM taskq.all_jobs WHERE job_id = $next"), 'completed', 'the timer of the first job does not interrupt it');
$next = run_one('quick', '{"s": 0.2}', "timeout => '1 ms'");
ended($next, 'a job with a timeout of its own ends');
is(outcome($next), 'timeout|timeout|57014', 'the job\'s timeout takes precedence over the handler\'s');

# the role's own timeouts end no worker: the process stays the same
sql($node, q(ALTER ROLE app SET statement_timeout = '100ms'; ALTER ROLE app SET idle_in_transaction_session_timeout = '100ms'));
sql($node, q(DO $$ BEGIN ALTER ROLE app SET transaction_timeout = '100ms'; EXCEPTION WHEN undefined_object THEN NULL; END $$));
sql($node, q(SELECT taskq.drain_worker(worker_id) FROM taskq.workers));
my ($first, $second) = map { run_one('quick', '{"s": 0.5}') } 1 .. 2;
ended($second, q(a role's timeouts));
is(sql($node, "SELECT count(*), count(DISTINCT result) FROM taskq.all_jobs WHERE job_id IN ($first, $second) AND state = 'completed'"), '2|1', 'the role\'s own timeouts neither fail a job nor end its worker');
sql($node, q(ALTER ROLE app RESET ALL; SELECT taskq.drain_worker(worker_id) FROM taskq.workers));

# a handler that catches every interrupt is ended with its worker
add_type($node, 'postgres', 'app', 'deaf', undef, "timeout => '100 ms'");
my $deaf = run_one('deaf', '{}');
ended($deaf, 'the worker of a handler that catches every interrupt ends itself');
is(outcome($deaf), 'timeout|timeout|', 'the attempt has timed out, although the handler has caught the interrupts');

# locks -----------------------------------------------------------------------

add_type($node, 'postgres', 'app', 'gated', undef, "lock_timeout => '100 ms', retry_policy => 'fixed', retry_base => '100 ms'");
is(sql($node, q(SELECT lock_timeout FROM taskq.get_handler_info('gated'))), '00:00:00.1', 'get_handler_info() shows lock_timeout');
my $gate = hold_gate($node, 5);
my $gated = sql_as($node, 'postgres', 'app', q(SELECT taskq.enqueue_job('gated', '{"gate": 5}', max_attempts => 1000)));
wait_until($node, "SELECT count(*) >= 2 FROM taskq.attempts WHERE job_id = $gated", 'a handler that waits too long for a lock fails, and is retried');
is(sql($node, "SELECT DISTINCT outcome, error_type, sqlstate FROM taskq.attempts WHERE job_id = $gated AND outcome <> 'completed'"), 'failed|handler_error|55P03', 'for want of the lock');
open_gate($gate);
ended($gated, 'the job ends when the lock is free');
is(sql($node, "SELECT state FROM taskq.all_jobs WHERE job_id = $gated"), 'completed', 'the job completes when the lock is free');
fails_with($node, '22023', q(SELECT taskq.register_handler('x', lock_timeout => '1 s')), 'lock_timeout is refused for an external type');

# memory ----------------------------------------------------------------------

add_type($node, 'postgres', 'app', 'bad');
sql($node, q(ALTER SYSTEM SET taskq.job_memory_limit = '64MB'; SELECT pg_reload_conf()));
sql($node, q(SELECT taskq.drain_worker(worker_id) FROM taskq.workers));
for my $how (qw(allocate leak))
{
	my $id = run_one('bad', qq({"how": "$how", "amount": 536870912}));
	ended($id, "memory, $how: it ends");
	is(outcome($id), 'failed|handler_error|53200', "memory, $how: out of memory");
	like(sql($node, "SELECT error_message FROM taskq.attempts WHERE job_id = $id"), qr/more memory than taskq\.job_memory_limit, 64MB/, "memory, $how: and by which limit");
	my $pid = pid_of($node, 'worker');
	$id = run_one('bad', qq({"how": "$how", "amount": 33554432}));
	ended($id, "memory, $how: below the limit");
	is(sql($node, "SELECT state FROM taskq.all_jobs WHERE job_id = $id"), 'completed', "memory, $how: below the limit");
	is(pid_of($node, 'worker'), $pid, "memory, $how: the worker is the same");
}
# a handler in another language
my $id = sql_as($node, 'postgres', 'app', <<'SQL');
CREATE FUNCTION app.hog(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN to_jsonb(length(array_to_string(array_agg(repeat(i::text, 1000)), ''))) FROM generate_series(1000000, 1000000 + (payload->>'n')::int) i;
END $$;
SELECT FROM (SELECT taskq.register_handler('hog', 'app.hog(jsonb)')) x;
SELECT taskq.enqueue_job('hog', '{"n": 20000}', max_attempts => 1);
SQL
$id =~ s/\s//g;
ended($id, 'memory, SQL: the job ends');
is(outcome($id), 'failed|handler_error|53200', 'memory, SQL: out of memory');
# the limit does not apply to the server's own work at the end of a transaction
sql_as($node, 'postgres', 'app', <<'SQL');
CREATE PROCEDURE app.brim(payload jsonb) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 300 LOOP
		EXECUTE format('CREATE TABLE app.brim_%s_%s (a int PRIMARY KEY, b text)', payload->>'left', i);
	END LOOP;
	COMMIT;
	FOR i IN 1 .. 300 LOOP
		EXECUTE format('DROP TABLE app.brim_%s_%s', payload->>'left', i);
	END LOOP;
	PERFORM app.misbehave('fill', (payload->>'left')::bigint);
	COMMIT;
END $$;
SELECT FROM (SELECT taskq.register_handler('brim', 'app.brim(jsonb)')) x;
SQL
for my $left (0, 300000, 600000, 900000)
{
	my $id = run_one('brim', qq({"left": $left}));
	ended($id, "memory, COMMIT with $left bytes left: it ends");
	is(sql($node, "SELECT state FROM taskq.all_jobs WHERE job_id = $id"), 'completed', "memory, COMMIT with $left bytes left: it commits");
	sql($node, q(SELECT taskq.drain_worker(worker_id) FROM taskq.workers));
}

# but it applies to what the handler does after that, whatever the handler did
# before
sql_as($node, 'postgres', 'app', <<'SQL');
CREATE FUNCTION app.over(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	CASE payload->>'after'
		WHEN 'error' THEN
			BEGIN
				PERFORM app.misbehave('allocate', 536870912);
			EXCEPTION WHEN out_of_memory THEN NULL;
			END;
		WHEN 'message' THEN RAISE WARNING 'no error';
		WHEN 'job' THEN PERFORM taskq.run_job(taskq.enqueue_job('broken', max_attempts => 1));
	END CASE;
	PERFORM app.misbehave('allocate', 536870912);
	RETURN NULL;
END $$;
CREATE PROCEDURE app.over_again(payload jsonb) LANGUAGE plpgsql AS $$
BEGIN
	COMMIT;
	PERFORM app.misbehave('allocate', 536870912);
END $$;
SELECT FROM (SELECT taskq.register_handler('over', 'app.over(jsonb)'), taskq.register_handler('over_again', 'app.over_again(jsonb)')) x;
SQL
add_type($node, 'postgres', 'app', 'broken');
for my $after (qw(error message job commit))
{
	my $id = run_one($after eq 'commit' ? 'over_again' : 'over', qq({"after": "$after"}));
	ended($id, "memory, after $after: it ends");
	is(outcome($id), 'failed|handler_error|53200', "memory, after $after: the limit holds");
}
# if a library aborts the process for lack of memory, the worker ends, but not the
# server
my $before_abort = log_since($node);
my $aborts = run_one('bad', '{"how": "fill and abort"}');
ended($aborts, 'memory, a library that aborts: it ends');
is(outcome($aborts), 'terminated|terminated|', 'memory, a library that aborts: the worker is ended');
like(substr(slurp_file($node->logfile), $before_abort), qr/53200 FATAL:\s+code of the handler aborted the process because it got no memory/, 'memory, a library that aborts: the log says why');
unlike(substr(slurp_file($node->logfile), $before_abort), qr/terminating any other active server processes/, 'memory, a library that aborts: the server keeps running');

# if there is no memory for a run by hand, the run around it does not lose its
# messages
sql_as($node, 'postgres', 'app', <<'SQL');
CREATE FUNCTION app.tells(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	inner_id bigint := taskq.enqueue_job('broken', run_at => now() + interval '1 h');
BEGIN
	RAISE NOTICE 'said before';
	PERFORM app.misbehave('fill', 600000);
	BEGIN
		PERFORM taskq.run_job(inner_id);
	EXCEPTION WHEN out_of_memory THEN
		RAISE NOTICE 'said in between';
	END;
	RAISE NOTICE 'said after';
	RETURN NULL;
END $$;
SQL
add_type($node, 'postgres', 'app', 'tells');
my $tells = run_one('tells', '{}');
ended($tells, 'memory, a run inside: the job ends');
is(sql($node, "SELECT string_agg(message, ', ' ORDER BY frame) FROM taskq.frames WHERE job_id = $tells"), 'said before, said in between, said after',
	'memory, a run inside: the messages of the outer run are kept');
sql($node, q(ALTER SYSTEM RESET taskq.job_memory_limit; SELECT pg_reload_conf()));
sql($node, q(SELECT taskq.drain_worker(worker_id) FROM taskq.workers));
$id = run_one('hog', '{"n": 20000}');
ended($id, 'memory, without a limit: the job ends');
is(sql($node, "SELECT state FROM taskq.all_jobs WHERE job_id = $id"), 'completed', 'memory, without a limit: the job completes');

# stuck -----------------------------------------------------------------------

my $offset = log_since($node);
my $hear = $node->data_dir . '/taskq_test_hear';
my $timed_out = run_one('bad', '{"how": "deaf"}', "timeout => '1 s'");
wait_until($node, q(SELECT state = 'stuck' FROM taskq.stat_workers), 'stat_workers shows a worker whose handler ignores its timeout as stuck');
is(sql($node, q(SELECT state FROM taskq.workers)), 'stuck', 'taskq.workers shows it as stuck');
like(sql($node, q(SELECT value FROM taskq.status() WHERE name = 'background workers')), qr/1 are stuck/, 'status() shows it as stuck');
wait_for_log_line($node, qr/WARNING:.*taskq worker app#\d+ is stuck in job $timed_out \(bad\)/, $offset, 'the log has a warning about the timeout');
append_to_file($hear, '');
ended($timed_out, 'the job ends when the handler does');
is(outcome($timed_out), 'timeout|timeout|', 'the attempt of the stuck job has timed out');
my $said = () = substr(slurp_file($node->logfile), $offset) =~ /is stuck in job/g;
is($said, 1, 'the warning is logged once');

$offset = log_since($node);
unlink $hear;
my $cancelled = run_one('bad', '{"how": "deaf"}');
wait_until($node, q(SELECT state = 'running' FROM taskq.stat_workers), 'a job with a handler that ignores cancel_job() runs');
sql($node, "SELECT taskq.cancel_job($cancelled)");
wait_for_log_line($node, qr/is stuck in job $cancelled.*request to cancel it/s, $offset, 'the log has a warning about the request to cancel');
is(sql($node, q(SELECT state FROM taskq.stat_workers)), 'stuck', 'stat_workers shows that worker as stuck');
append_to_file($hear, '');
ended($cancelled, 'the cancelled job ends when its handler does');
is(sql($node, "SELECT state FROM taskq.all_jobs WHERE job_id = $cancelled"), 'cancelled', 'the job is cancelled');
is(sql($node, q(SELECT state FROM taskq.stat_workers)), 'idle', 'the worker is idle after that');

$node->stop;
clean_log($node);
done_testing();
