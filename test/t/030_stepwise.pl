# Procedures, which commit while they run: their committed work is kept, whatever
# ends them, and the job continues from its last checkpoint.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('stepwise');
sql_as($node, 'postgres', 'app', <<'SQL');
CREATE TABLE app.steps (job_id bigint, epoch bigint, attempt integer, step integer, who name DEFAULT current_user, path text DEFAULT current_setting('search_path'));
-- five steps, each with a commit; at the step that the payload names it waits for
-- the gate, raises an error, or forgets what it did
CREATE PROCEDURE app.steps(job taskq.job, INOUT result jsonb) LANGUAGE plpgsql AS $$
DECLARE
	done integer := COALESCE((job.checkpoint->>'done')::integer, 0);
BEGIN
	FOR i IN done + 1 .. 5 LOOP
		INSERT INTO app.steps (job_id, epoch, attempt, step) VALUES (job.job_id, job.epoch, job.attempt, i);
		PERFORM taskq.save_checkpoint(jsonb_build_object('done', i));
		IF i = (job.payload->>'rollback')::integer AND job.attempt = 1 THEN
			ROLLBACK;
			IF (taskq.current_job()).checkpoint->>'done' <> (i - 1)::text THEN
				RAISE EXCEPTION 'the checkpoint was not rolled back';
			END IF;
			RAISE EXCEPTION 'rolled back on purpose';
		END IF;
		PERFORM taskq.update_progress(to_jsonb(i));
		RAISE NOTICE 'step %', i;
		COMMIT;
		IF i = (job.payload->>'gate')::integer AND job.attempt = 1 THEN
			PERFORM pg_advisory_xact_lock_shared(1);
		END IF;
		IF i = (job.payload->>'stay')::integer THEN
			PERFORM pg_sleep(3600);
		END IF;
		IF i = (job.payload->>'fail')::integer AND job.attempt = 1 THEN
			RAISE EXCEPTION 'fails on purpose';
		END IF;
	END LOOP;
	result := jsonb_build_object('done', (taskq.current_job()).checkpoint->'done');
END $$;
CREATE PROCEDURE app.plain(payload jsonb) LANGUAGE sql AS $$ INSERT INTO app.steps (step) VALUES (0) $$;
CREATE PROCEDURE app.answers(job taskq.job, INOUT result jsonb) LANGUAGE plpgsql AS $$
BEGIN
	COMMIT;
	result := CASE job.payload->>'answer'
		WHEN 'failure' THEN taskq.failure('for good', error_code => 'X1', retryable => false)
		WHEN 'success' THEN taskq.success('{"inside": 1}')
		WHEN 'snooze' THEN CASE WHEN job.checkpoint IS NULL THEN taskq.snooze() ELSE '"after"'::jsonb END
		WHEN 'decision' THEN taskq.decision(ARRAY['plain'], '{"why": 1}')
		WHEN 'unknown' THEN taskq.decision(ARRAY['no_such_step'], '{}') END;
	IF job.payload->>'answer' = 'snooze' THEN
		PERFORM taskq.save_checkpoint('1');
	END IF;
END $$;
CREATE PROCEDURE app.decides(payload jsonb, OUT result jsonb) LANGUAGE plpgsql AS $$
BEGIN
	COMMIT;
	PERFORM pg_advisory_xact_lock_shared(1);
	result := taskq.decision(ARRAY['plain'], '{}');
END $$;
CREATE TABLE app.here (id integer PRIMARY KEY);
CREATE TABLE app.there (id integer REFERENCES app.here DEFERRABLE INITIALLY DEFERRED);
CREATE PROCEDURE app.deferred(job taskq.job) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO app.there VALUES (1); COMMIT; END $$;
CREATE PROCEDURE app.deferred_last(job taskq.job) LANGUAGE plpgsql AS $$ BEGIN COMMIT; INSERT INTO app.there VALUES (1); END $$;
CREATE PROCEDURE app.endless(payload jsonb) LANGUAGE plpgsql AS $$ BEGIN LOOP COMMIT; PERFORM pg_sleep(0.005); END LOOP; END $$;
CREATE PROCEDURE app.dirty(payload jsonb) LANGUAGE plpgsql AS $$
BEGIN
	SET work_mem = '123kB';
	SET search_path = pg_catalog;
	SET ROLE other;
	COMMIT;
	SET default_transaction_read_only = on;
	COMMIT;
END $$;
CREATE FUNCTION app.tell(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_array(current_user, session_user, current_setting('work_mem'), current_setting('search_path'), current_setting('transaction_read_only')) $$;
CREATE PROCEDURE app.tell_steps(payload jsonb, INOUT result jsonb) LANGUAGE plpgsql AS $$
BEGIN
	COMMIT;
	result := app.tell(payload);
END $$;
SELECT taskq.register_handler(t, format('app.%s(%s)', t, a)::regprocedure, search_path => 'app, pg_catalog', retry_policy => p, retry_base => '10 ms')
FROM (VALUES ('steps', 'taskq.job, jsonb', 'fixed'), ('plain', 'jsonb', 'none'), ('answers', 'taskq.job, jsonb', 'none'), ('decides', 'jsonb', 'none'), ('deferred', 'taskq.job', 'none'),
	('deferred_last', 'taskq.job', 'none'), ('endless', 'jsonb', 'none'), ('dirty', 'jsonb', 'none'), ('tell', 'jsonb', 'none'), ('tell_steps', 'jsonb, jsonb', 'none')) v (t, a, p);
SQL
sql($node, q(CREATE ROLE other LOGIN; GRANT other TO app));
my $job;
my $enqueue = sub { my ($type, $payload) = @_; $payload //= '{}'; return $job = sql($node, qq(SELECT taskq.enqueue_job('$type', '$payload'))) };
my $ends = sub { my ($state, $name) = @_; return wait_until($node, qq(SELECT state = '$state' FROM taskq.all_jobs WHERE job_id = $job), $name) };
my $look = sub { return sql($node, qq(SELECT $_[0] FROM taskq.all_jobs WHERE job_id = $job)) };
my $steps = sub { return sql($node, qq(SELECT string_agg(step || '/' || attempt, ' ' ORDER BY step, attempt) FROM app.steps WHERE job_id = $job)) };

# what a procedure does and answers ------------------------------------------------

is(sql($node, q(SELECT DISTINCT kind || ' ' || status FROM taskq.list_handlers() WHERE handler LIKE 'app.steps%')), 'stepwise ok', 'a procedure is a stepwise handler');
$enqueue->('steps');
$ends->('completed', 'a job with steps completes');
is($steps->(), '1/1 2/1 3/1 4/1 5/1', 'each step ran once');
is($look->('result, progress, checkpoint, attempt, worker_id IS NOT NULL'), '{"done": 5}|5|{"done": 5}|1|t', 'the job has result, progress and checkpoint');
is(sql($node, qq(SELECT count(DISTINCT (who, path)), min(who), min(path), count(DISTINCT epoch) FROM app.steps WHERE job_id = $job)), '1|app|app, pg_catalog|1',
	'all steps ran in one claim, as the role of the pool and with the search_path of the handler');
is(sql($node, qq(SELECT attempt, outcome FROM taskq.attempts WHERE job_id = $job)), '1|completed', 'the job has one attempt');
is(sql($node, qq(SELECT string_agg(message, ', ' ORDER BY frame) FROM taskq.read_frames($job))), 'step 1, step 2, step 3, step 4, step 5', 'the messages of each step are kept');
$enqueue->('plain');
$ends->('completed', 'a procedure without a second argument has no result');
for my $case ([ failure => 'discarded', q(last_error), 'for good' ], [ success => 'completed', 'result', '{"inside": 1}' ], [ snooze => 'completed', 'result, attempt', '"after"|1' ],
	[ decision => 'completed', q(result->'routing_context'), '{"why": 1}' ], [ unknown => 'discarded', q(last_error LIKE '%no_such_step%'), 't' ])
{
	my ($answer, $state, $what, $expected) = @$case;
	$enqueue->('answers', qq({"answer": "$answer"}));
	$ends->($state, "it answers $answer()");
	is($look->($what), $expected, "which is understood: $answer()");
}

# errors ------------------------------------------------------------------------------

$enqueue->('steps', '{"fail": 3}');
$ends->('completed', 'a job that fails once completes');
is($steps->(), '1/1 2/1 3/1 4/2 5/2', 'the second attempt continued from the last checkpoint');
is(sql($node, qq(SELECT string_agg(outcome || ' ' || COALESCE(error_message, ''), ', ' ORDER BY attempt) FROM taskq.attempts WHERE job_id = $job)), 'failed fails on purpose, completed ', 'both attempts are there');
$enqueue->('steps', '{"rollback": 3}');
$ends->('completed', 'a job that rolls back completes');
is($steps->(), '1/1 2/1 3/2 4/2 5/2', 'the step that was rolled back ran again, with its checkpoint');
for my $type ('deferred', 'deferred_last')
{
	$enqueue->($type);
	$ends->('discarded', "$type: a constraint that fails at its commit fails the attempt");
	is(sql($node, qq(SELECT sqlstate FROM taskq.attempts WHERE job_id = $job)), '23503', "$type: with its error");
}
is(sql($node, 'SELECT count(*) FROM app.there'), 0, 'a refused procedure leaves nothing behind');

# cancelled, timed out, settled by another ---------------------------------------------

$enqueue->('endless');
wait_until($node, qq(SELECT count(*) = 1 FROM taskq.running_jobs() WHERE job_id = $job), 'a procedure that does not end by itself runs');
is(sql($node, qq(SELECT count(*), min(state), bool_and(lease_expires_at IS NULL), min(attempt) FROM taskq.all_jobs WHERE job_id = $job)), '1|running|t|1', 'is shown as running, once, without a lease');
is(sql($node, qq(SELECT taskq.cancel_job($job))), 'requested', 'cancel_job() returns requested for it');
$ends->('cancelled', 'it is cancelled');
sql_as($node, 'postgres', 'app', q(SELECT taskq.enqueue_job('endless', timeout => '200 ms')));
$job = sql($node, 'SELECT max(job_id) FROM taskq.all_jobs');
$ends->('discarded', 'a job that exceeds its timeout over several transactions is discarded');
is(sql($node, qq(SELECT outcome FROM taskq.attempts WHERE job_id = $job)), 'timeout', 'the outcome is timeout');
my $gate = hold_gate($node, 1);
$enqueue->('steps', '{"gate": 2}');
wait_until($node, qq(SELECT progress = '2' FROM taskq.all_jobs WHERE job_id = $job), 'progress is visible during a run');
my $id = $look->('worker_id');
like($id, qr/^app#\d+$/, 'the worker in the server has an id');
sql($node, q(CREATE ROLE foreign_worker LOGIN; SELECT taskq.grant_access('foreign_worker', 'worker')));
for my $role ('foreign_worker', 'postgres')
{
	fails_with($node, '22023', qq(SELECT taskq.register_worker('$id', take_over => true)), "$role cannot register that id", role => $role);
	$node->psql('postgres', qq(SELECT taskq.unregister_worker('$id')), extra_params => [ '-U', $role ]);
	$node->psql('postgres', qq(SELECT taskq.drain_worker('$id')), extra_params => [ '-U', $role ]) if $role ne 'postgres';
	is($look->('state, worker_id, attempt'), "running|$id|1", "$role does not end its claim by unregistering it");
}
my $epoch = $look->('epoch');
for my $role ('foreign_worker', 'postgres')
{
	fails_with($node, $role eq 'postgres' ? 'TQ003' : '42501', qq(SELECT taskq.$_), "$role cannot settle its run: $_", role => $role)
		for (qq(complete_job($job, $epoch, '"by another"')), qq(release_job($job, $epoch)), qq(cancel_job($job, $epoch)));
}
open_gate($gate);
wait_until($node, qq(SELECT count(*) = 0 FROM taskq.running_jobs() WHERE job_id = $job), 'the procedure ends after that');
is($look->('state, attempt'), 'completed|1', 'it has settled the run itself');
is(sql($node, qq(SELECT count(*) FROM taskq.attempts WHERE job_id = $job)), 1, 'the job has one attempt');

my $decided = 'SELECT count(*) FROM taskq.all_jobs WHERE task_type = \'plain\'';
my $before = sql($node, $decided);
$enqueue->('decides');
$ends->('completed', 'a job with a decision completes');
is(sql($node, $decided), $before + 1, 'its decision is carried out once');

$gate = hold_gate($node, 1);
$enqueue->('steps', '{"gate": 5}');
wait_until($node, qq(SELECT progress = '5' FROM taskq.all_jobs WHERE job_id = $job), 'a procedure runs while another transaction has locked its row');
$epoch = $look->('epoch');
my $pid = sql($node, qq(SELECT pid FROM taskq.stat_workers WHERE job_id = $job));
my $other = session($node);
$other->query_safe(qq(BEGIN; SELECT FROM taskq.jobs WHERE job_id = $job FOR UPDATE));
open_gate($gate);
wait_until($node, qq(SELECT wait_event IN ('tuple', 'transactionid') FROM pg_stat_activity WHERE pid = $pid), 'its settle waits for the lock');
$other->query_safe('COMMIT');
$other->quit;
$ends->('completed', 'the job completes after the lock is released');
is($steps->(), '1/1 2/1 3/1 4/1 5/1', 'each step of that job ran once');

# whatever ends it ------------------------------------------------------------------------

my %ends = (
	'SIGTERM of its worker' => [ 'terminated', sub { kill 'TERM', $_[0] } ],
	'FATAL of its worker' => [ 'terminated', sub { sql($node, "SELECT pg_terminate_backend($_[0])") } ],
	'crash of another process' => [ '', sub { my $s = session($node); crash($node, $s->query_safe('SELECT pg_backend_pid()')) } ],
	'crash of its worker' => [ 'crashed', sub { crash($node, $_[0]) } ],
	'immediate stop' => [ '', sub { $node->stop('immediate'); $node->start } ],
	'fast stop' => [ '', sub { $node->stop('fast'); $node->start } ]);
for my $how (sort keys %ends)
{
	my ($outcome, $end) = @{ $ends{$how} };
	$enqueue->('steps', '{"stay": 2}');
	wait_until($node, qq(SELECT progress = '2' FROM taskq.all_jobs WHERE job_id = $job), "$how: in the midst of it");
	my $first = $look->('epoch');
	$pid = sql($node, qq(SELECT pid FROM taskq.stat_workers WHERE job_id = $job));
	$end->($pid);
	$ends->('completed', "$how: it is run again and completes");
	my $again = $outcome eq '' ? 1 : 2;
	is($steps->(), "1/1 2/1 3/$again 4/$again 5/$again", "$how: from its last checkpoint");
	is(sql($node, qq(SELECT COALESCE(string_agg(outcome, ' ' ORDER BY attempt), '') FROM taskq.attempts WHERE job_id = $job)), ($outcome ? "$outcome " : '') . 'completed',
		"$how: " . ($outcome ? 'that attempt counts' : 'that costs it no attempt'));
	cmp_ok($look->('epoch'), '>', $first, "$how: in a claim of its own");
}
is(sql($node, q(SELECT count(*) FROM taskq.jobs WHERE gate = 'r')), 0, 'no job is left running');

# nothing is left of it for the next --------------------------------------------------------

sql($node, q(SELECT taskq.alter_pool('app', size => 1)));
my $clean = '["app", "app", "' . sql($node, 'SHOW work_mem') . '", "app, pg_catalog", "off"]';
for my $next ('tell', 'tell_steps')
{
	sql($node, q(SELECT taskq.enqueue_job('dirty')));
	$enqueue->($next);
	$ends->('completed', "$next: after one that has committed settings and a role");
	is($look->('result'), $clean, "$next: there is nothing of them");
}
is(sql($node, q(SELECT string_agg(DISTINCT state, ' ') FROM taskq.all_jobs WHERE task_type = 'dirty')), 'completed', 'the job that leaves session state behind completed');

# refused ---------------------------------------------------------------------------------------

sql_as($node, 'postgres', 'app', <<'SQL');
CREATE PROCEDURE app.definer(payload jsonb) LANGUAGE sql SECURITY DEFINER AS '';
CREATE PROCEDURE app.with_set(payload jsonb) LANGUAGE sql SET work_mem = '1MB' AS '';
CREATE PROCEDURE app.two(payload jsonb, more jsonb) LANGUAGE sql AS '';
CREATE PROCEDURE app.text(payload text) LANGUAGE sql AS '';
SQL
fails_with($node, '42P13', "SELECT taskq.register_handler('x', 'app.$_')", "no handler: $_", role => 'app') for 'definer(jsonb)', 'with_set(jsonb)', 'two(jsonb, jsonb)', 'text(text)';
fails_with($node, '22023', q(SELECT taskq.register_handler('x', 'app.plain(jsonb)', share_commit => true)), 'share_commit is refused for a procedure', role => 'app');
fails_with($node, '2D000', q(SELECT taskq.run_next('{plain}', 'app.plain(jsonb)')), 'run_next() refuses a procedure', role => 'app');
sql($node, q(SELECT taskq.pause_pool('app')));
$enqueue->('plain');
fails_with($node, 'TQ002', qq(SELECT taskq.run_job($job)), 'run_job() refuses a job with a procedure', role => 'app');
is(sql_as($node, 'postgres', 'app', 'SELECT count(*) FROM taskq.run_all()'), 0, 'run_all() leaves it to the pool');
is(sql_as($node, 'postgres', 'app', qq(SELECT state FROM taskq.run_job($job, 'app.tell(jsonb)'))), 'completed', 'run_job() can run it with a function instead');

$node->stop;
clean_log($node, but => qr/was terminated by signal 9/);
done_testing();
