# Messages of a handler in a background worker: they can be read while it runs, are
# kept if it fails, and do not add to the server's log.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('frames', conf => { 'taskq.worker_idle' => "'1 h'" });
sql_as($node, 'postgres', 'app', <<'SQL');
CREATE FUNCTION app.speak(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RAISE DEBUG 'said debug';
	RAISE INFO 'said info';
	RAISE NOTICE 'said notice';
	PERFORM taskq.append_frame('appended');
	RAISE LOG 'said log';
	RAISE WARNING 'said warning' USING ERRCODE = '01ABC';
	PERFORM pg_advisory_xact_lock_shared((payload->>'gate')::bigint);
	IF payload ? 'fail' THEN
		RAISE EXCEPTION 'said error';
	END IF;
	RETURN NULL;
END $$;
CREATE FUNCTION app.mute(payload jsonb) RETURNS jsonb LANGUAGE plpgsql SET taskq.frame_level = 'warning' AS $$
BEGIN
	RETURN app.speak(payload);
END $$;
-- fails at the commit: a constraint trigger that is deferred into it
CREATE FUNCTION app.at_commit(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE 'said before the commit';
	EXECUTE 'DECLARE c CURSOR WITH HOLD FOR SELECT 1 / (i - 3) FROM generate_series(1, 5) i';
	RETURN NULL;
END $$;
SQL
add_type($node, 'postgres', 'app', $_, undef, 'max_attempts => 1') for qw(speak mute at_commit);
sql_as($node, 'postgres', 'app', q(SELECT taskq.alter_pool('app', size => 1), taskq.alter_queue('default', retain_completed => '1 d', retain_other => '1 d')));

sql($node, "CREATE ROLE $_ LOGIN; SELECT taskq.grant_access('$_', 'observer', '{$_}')") for qw(acme bolt);
my $sees = q(SELECT concat_ws(' ', (SELECT count(*) FROM taskq.running_frames()), (SELECT count(*) FROM taskq.frames WHERE message LIKE 'said%' OR message = 'appended'),
	(SELECT count(*) FROM taskq.running_jobs()), (SELECT count(job_id) FROM taskq.stat_workers), (SELECT max(current_task_type) FROM taskq.workers)));
my $frames = "SELECT string_agg(concat_ws(' ', frame, level, sqlstate, message), ', ' ORDER BY frame) FROM taskq.read_frames";
my $said = '1 notice said notice, 2 info appended, 3 warning 01ABC said warning';
for my $fail (0, 1)
{
	my $what = $fail ? 'a run that fails' : 'a run that completes';
	my $gate = hold_gate($node, 7);
	my $offset = log_since($node);
	my $payload = $fail ? '{"gate": 7, "fail": true}' : '{"gate": 7}';
	my $id = sql_as($node, 'postgres', 'app', "SELECT taskq.enqueue_job('speak', '$payload', tenant_id => 'acme')");
	wait_until($node, "$frames($id)", "$what: its messages can be read while it runs", expected => $said);
	is(sql($node, "SELECT state FROM taskq.all_jobs WHERE job_id = $id"), 'running', "$what: which it does");
	is(sql($node, "SELECT count(*) FROM taskq.running_frames()"), 3, "$what: they are in shared memory");
	is(sql_as($node, 'postgres', 'acme', $sees), '3 ' . ($fail ? 6 : 3) . ' 1 1 speak', "$what: an observer of its tenant sees them, and what runs");
	is(sql_as($node, 'postgres', 'bolt', $sees), '0 0 0 0', "$what: one of another tenant does not");
	open_gate($gate);
	settled($node, $what);
	is(sql($node, "$frames($id)"), $said . ($fail ? ', 4 error P0001 said error' : ''), "$what: they are kept in order");
	my $log = substr(slurp_file($node->logfile), $offset);
	like($log, qr/WARNING:.*said warning/, "$what: the log has the warning");
	like($log, qr/LOG:.*said log/, "$what: and what is for the log");
	unlike($log, qr/taskq worker.*said (?:notice|info|debug)/, "$what: and no more");
}
my $id = sql_as($node, 'postgres', 'app', q(SELECT taskq.enqueue_job('mute', '{"gate": 8}')));
settled($node, 'a run with a frame_level of its own ends');
is(sql($node, "$frames($id)"), '1 info appended, 2 warning 01ABC said warning', 'its messages from that level on and its appended ones are kept');
is(sql($node, q(SELECT count(*) FROM taskq.running_frames())), 0, 'no message is left in shared memory');

my $counts = q(SELECT sum(completed) || ' ' || sum(failed) FROM taskq.stat_workers);
my ($completed, $failed) = split / /, sql($node, $counts);
$id = sql_as($node, 'postgres', 'app', q(SELECT taskq.enqueue_job('at_commit', '{}')));
settled($node, 'a run that fails at the commit');
is(sql($node, "$frames($id)"), '1 notice said before the commit, 2 error 22012 division by zero', 'a run that fails at the commit: its frames are kept');
is(sql($node, $counts), join(' ', $completed, $failed + 1), 'a run that fails at the commit: it is counted as failed, not as completed');

# if the server's log has notices, it has these, too, also from a worker that has
# run jobs before
my $offset = log_since($node);
sql($node, q(ALTER SYSTEM SET log_min_messages = 'notice'));
sql($node, q(SELECT pg_reload_conf()));
my $heard = 0;
for (my $try = 0; $try < 100 && !$heard; $try++)
{
	# a worker reads the settings only between jobs
	sql_as($node, 'postgres', 'app', q(SELECT taskq.enqueue_job('speak', '{"gate": 8}')));
	settled($node, 'a run after the settings were read again ends');
	$heard = substr(slurp_file($node->logfile), $offset) =~ /taskq worker.*NOTICE:.*said notice/;
}
ok($heard, 'log_min_messages = notice while a worker lives: the notices are in the log');
sql($node, q(ALTER SYSTEM RESET log_min_messages));
sql($node, q(SELECT pg_reload_conf()));
sql($node, q(ALTER ROLE app SET log_min_messages = 'notice'; SELECT taskq.drain_worker(worker_id) FROM taskq.workers));
$offset = log_since($node);
$id = sql_as($node, 'postgres', 'app', q(SELECT taskq.enqueue_job('speak', '{"gate": 8}')));
settled($node, 'log_min_messages = notice');
is(sql($node, "$frames($id)"), $said, 'log_min_messages = notice: the same frames');
like(substr(slurp_file($node->logfile), $offset), qr/taskq worker.*NOTICE:.*said notice/, 'and the notices in the log');

# the message of a library may be in any encoding, and is stored in the server's
make_misbehave($node, 'postgres', 'app');
add_type($node, 'postgres', 'app', 'bad');
$id = sql_as($node, 'postgres', 'app', q(SELECT taskq.enqueue_job('bad', '{"how": "mumble"}', max_attempts => 1)));
settled($node, 'a run with text that is invalid in the server\'s encoding ends');
is(sql($node, "SELECT error_message, detail, (SELECT last_error FROM taskq.all_jobs WHERE job_id = $id) FROM taskq.attempts WHERE job_id = $id"), 'caf? fails|??|caf? fails', 'the error is stored without the invalid characters');
is(sql($node, "SELECT string_agg(message, ', ' ORDER BY frame) FROM taskq.read_frames($id)"), 'caf? warns, caf? fails', 'the messages are stored without the invalid characters');

# the messages are removed with the history
sql($node, q(SELECT taskq.prune()));
is(sql($node, q(SELECT count(*) > 0 FROM taskq.frames)), 't', 'messages are stored');
sql($node, q(SET taskq.clock_offset = '20d'; SELECT taskq.prune(); SELECT taskq.prune(); SELECT taskq.prune()));
is(sql($node, q(SELECT (SELECT count(*) FROM taskq.all_jobs), (SELECT count(*) FROM taskq.frames))), '0|0', 'messages are removed with the history of their jobs');

# without memory for messages, none is kept
$node->append_conf('postgresql.conf', 'taskq.frame_memory = 0');
$node->restart;
$id = sql_as($node, 'postgres', 'app', q(SELECT taskq.enqueue_job('speak', '{"gate": 8}')));
settled($node, 'taskq.frame_memory = 0: a run ends');
is(sql($node, "SELECT state, (SELECT count(*) FROM taskq.read_frames($id)) FROM taskq.all_jobs WHERE job_id = $id"), 'completed|0', 'taskq.frame_memory = 0: the run completes without messages');

$node->stop;
clean_log($node);
done_testing();
