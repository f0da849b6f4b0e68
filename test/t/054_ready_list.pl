# The ready list contains only hints. If it is switched off, discarded, short of
# memory or full of wrong hints, the same calls return the same jobs in the same
# order. If it misses jobs, they come later, but they come.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('ready', conf => { 'taskq.ready_list_size' => 6400, 'taskq.poll_interval' => "'100 ms'" });
sql($node, <<'SQL');
CREATE SCHEMA ready;
CREATE FUNCTION ready.list(how text) RETURNS void LANGUAGE C AS 'taskq', 'taskq_test_ready_list';
CREATE TABLE ready.history (run text, n bigint GENERATED ALWAYS AS IDENTITY, line text);
CREATE TABLE ready.held (job_id bigint PRIMARY KEY, epoch bigint, name text);
CREATE FUNCTION ready.pick(VARIADIC answers text[]) RETURNS text LANGUAGE sql
	AS $$ SELECT answers[1 + floor(random() * cardinality(answers))::integer] $$;

CREATE FUNCTION ready.say(run text, what text) RETURNS void LANGUAGE sql
	AS $$ INSERT INTO ready.history (run, line) VALUES (run, what) $$;

CREATE PROCEDURE ready.add(run text, n integer) LANGUAGE sql AS $$
	SELECT taskq.enqueue_job('ready-' || ready.pick('a', 'b', 'c'), jsonb_build_object('name', run || ' ' || n || '.' || i),
		queue => ready.pick('default', 'slow'), priority => floor(random() * 4)::integer, delay => ready.pick('0', '0', '0', '10 s', '20 s')::interval)
	FROM generate_series(1, floor(random() * 6)::integer) i $$;

-- jobs are named without their run, so that histories can be compared
CREATE PROCEDURE ready.claim(run text, n integer, keep boolean) LANGUAGE plpgsql AS $$
DECLARE
	w text := ready.pick('w', 'w', 'narrow', 'slow-first');
	job record;
	names text := '';
BEGIN
	FOR job IN SELECT * FROM taskq.claim_jobs(w, 1 + floor(random() * 4)::integer, lease => '1 day') LOOP
		names := names || ' ' || (job.payload->>'name') || '/' || job.attempt;
		IF keep THEN
			INSERT INTO ready.held VALUES (job.job_id, job.epoch, job.payload->>'name');
		END IF;
	END LOOP;
	IF keep THEN
		PERFORM ready.say(run, n || ' ' || w || ':' || replace(names, run || ' ', ''));
	END IF;
END $$;

CREATE PROCEDURE ready.settle(run text, n integer) LANGUAGE plpgsql AS $$
DECLARE
	one ready.held;
	how text := ready.pick('complete', 'complete', 'fail', 'release', 'snooze', 'cancel');
BEGIN
	SELECT * INTO one FROM ready.held ORDER BY substring(name, '\d+$')::integer, name OFFSET floor(random() * 3)::integer LIMIT 1;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	CASE how
		WHEN 'complete' THEN PERFORM taskq.complete_job(one.job_id, one.epoch);
		WHEN 'fail' THEN PERFORM taskq.fail_job(one.job_id, one.epoch, 'no', retry_in => ready.pick('0', '10 s')::interval);
		WHEN 'release' THEN PERFORM taskq.release_job(one.job_id, one.epoch);
		WHEN 'snooze' THEN PERFORM taskq.snooze_job(one.job_id, one.epoch, '10 s');
		WHEN 'cancel' THEN PERFORM taskq.cancel_job(one.job_id), taskq.release_job(one.job_id, one.epoch);
	END CASE;
	DELETE FROM ready.held WHERE job_id = one.job_id;
	PERFORM ready.say(run, n || ' ' || how || ' ' || replace(one.name, run || ' ', ''));
END $$;

-- something is done and taken back, with a savepoint
CREATE PROCEDURE ready.regret(run text, n integer) LANGUAGE plpgsql AS $$
BEGIN
	CALL ready.add(run, n);
	CALL ready.claim(run, n, false);
	RAISE 'regret';
EXCEPTION WHEN raise_exception THEN
END $$;

CREATE PROCEDURE ready.play(run text, seed double precision, steps integer, trouble text) LANGUAGE plpgsql AS $$
DECLARE
	clock integer := 0;
BEGIN
	PERFORM setseed(seed);
	FOR n IN 1 .. steps LOOP
		CASE ready.pick('add', 'add', 'claim', 'claim', 'claim', 'settle', 'settle', 'settle', 'regret', 'rollback', 'clock', 'both', 'pause', 'retry')
			WHEN 'add' THEN CALL ready.add(run, n);
			WHEN 'claim' THEN CALL ready.claim(run, n, true);
			WHEN 'settle' THEN CALL ready.settle(run, n);
			WHEN 'regret' THEN CALL ready.regret(run, n);
			WHEN 'rollback' THEN
				CALL ready.add(run, n);
				CALL ready.claim(run, n, false);
				ROLLBACK;
			WHEN 'clock' THEN
				clock := clock + 10000;
				PERFORM set_config('taskq.clock_offset', clock::text, false);
			WHEN 'both' THEN
				CALL ready.settle(run, n);
				CALL ready.add(run, n);
				CALL ready.claim(run, n, true);
				CALL ready.settle(run, n);
			WHEN 'pause' THEN
				PERFORM taskq.pause_queue('slow');
				COMMIT;
				CALL ready.claim(run, n, true);
				PERFORM taskq.resume_queue('slow');
			WHEN 'retry' THEN
				PERFORM taskq.retry_job(job_id) FROM taskq.all_jobs WHERE state IN ('retryable', 'scheduled', 'available') ORDER BY job_id LIMIT 1;
		END CASE;
		COMMIT;
		IF trouble <> '' THEN
			PERFORM ready.list(trouble);
		END IF;
	END LOOP;
	-- and what is left, in order
	PERFORM set_config('taskq.clock_offset', (clock + 100000)::text, false);
	PERFORM taskq.release_job(job_id, epoch) FROM ready.held ORDER BY job_id;
	DELETE FROM ready.held;
	COMMIT;
	PERFORM ready.say(run, 'left: ' || (SELECT string_agg(replace(payload->>'name', run || ' ', '') || '/' || attempt, ' ') FROM taskq.claim_jobs('w', 1000, lease => '1 day')));
	PERFORM taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running';
	COMMIT;
	PERFORM ready.say(run, 'not left: ' || (SELECT count(*) FROM taskq.all_jobs WHERE state NOT IN ('completed', 'cancelled', 'discarded')));
END $$;
SELECT taskq.register_handler('ready-' || t) FROM unnest('{a,b,c}'::text[]) t;
SELECT taskq.create_queue('slow');
SELECT taskq.register_worker('w'), taskq.register_worker('narrow', task_types => '{ready-b}'), taskq.register_worker('slow-first', queues => '{slow,default}');
SQL

# the same histories --------------------------------------------------------------

my $play = sub {
	my ($run, $seed, $steps, %o) = @_;
	my $settings = join ' ', map { "-c $_=$o{set}{$_}" } keys %{ $o{set} // {} };
	local $ENV{PGOPTIONS} = $settings if $settings;
	sql($node, sprintf q(CALL ready.play('%s', %s, %d, '%s')), $run, $seed, $steps, $o{trouble} // '');
	return sql($node, qq(SELECT line FROM ready.history WHERE run = '$run' ORDER BY n));
};
# Run the calls in this way, and return where the results first differ.
my $same = sub {
	my ($how, $seed, $wanted, %o) = @_;
	my @is = split /\n/, $play->("$how $seed", $seed, 400, %o);
	my @wanted = split /\n/, $wanted;
	my ($n) = (grep({ ($is[$_] // '') ne ($wanted[$_] // '') } 0 .. $#wanted), scalar @wanted);
	is($is[$n], $wanted[$n], "$how, seed $seed: the same, line for line");
	return;
};
for my $seed (0.1, 0.2, 0.3)
{
	my $by_index = $play->("index $seed", $seed, 400, set => { 'taskq.use_ready_list' => 'off' });
	cmp_ok(scalar(grep { /: / } split /\n/, $by_index), '>', 100, "seed $seed: many claims give jobs") or diag($by_index);
	like($by_index, qr/not left: 0$/, "seed $seed: all end");
	$same->('by the list', $seed, $by_index);
	$same->('forgotten all the time', $seed, $by_index, trouble => 'forget');
	$same->('full of nonsense', $seed, $by_index, trouble => 'nonsense');
}

# memory --------------------------------------------------------------------------

like(sql($node, q(SELECT value FROM taskq.status() WHERE name = 'ready list')), qr/^\d+ jobs of \d+ routes in \d+ of 100 blocks, \d+ of 800 lanes$/, 'status tells how full it is');
my %wanted = map { $_ => sql($node, qq(SELECT line FROM ready.history WHERE run = 'index $_' ORDER BY n)) } (0.1, 0.2);
for my $how ('starve', 'starve more')
{
	sql($node, qq(SELECT ready.list('forget'); SELECT ready.list('$how')));
	like(sql($node, q(SELECT value || ' ' || hint FROM taskq.status() WHERE name = 'ready list')), qr/: full .*taskq\.ready_list_size/, "$how: status says so")
	  if $how eq 'starve';
	$same->($how, $_, $wanted{$_}) for sort keys %wanted;
}
$node->append_conf('postgresql.conf', 'taskq.ready_list_size = 1');
$node->restart;
$same->('as small as can be', $_, $wanted{$_}) for sort keys %wanted;
like(sql($node, q(SELECT value FROM taskq.status() WHERE name = 'ready list')), qr/of 1 blocks, \d+ of 64 lanes/, 'the list was small');
# the memory of a database that is dropped
sql($node, q(SELECT ready.list('forget')));
sql($node, 'CREATE DATABASE gone');
sql($node, q(CREATE EXTENSION taskq), 'gone');
sql($node, q(SELECT taskq.register_handler('gone'), taskq.register_worker('w')), 'gone');
sql($node, q(SELECT taskq.enqueue_job('gone', '{}') FROM generate_series(1, 3)), 'gone');
is(sql($node, q(SELECT count(*) FROM taskq.claim_job('w')), 'gone'), 1, 'another database has hints');
sql($node, 'DROP DATABASE gone');
like(sql($node, q(SELECT value FROM taskq.status() WHERE name = 'ready list')), qr/in 1 of 1 blocks/, 'status() shows them after that database was dropped');
sql($node, q(ALTER SYSTEM SET taskq.clock_offset = '11 min'));
sql($node, 'SELECT pg_reload_conf()');
wait_until($node, q(SELECT value LIKE '%in 0 of 1 blocks%' FROM taskq.status() WHERE name = 'ready list'), 'the memory of its lists is freed');
sql($node, 'ALTER SYSTEM RESET taskq.clock_offset');
$node->append_conf('postgresql.conf', 'taskq.ready_list_size = 0');
$node->restart;
$same->('none', $_, $wanted{$_}) for sort keys %wanted;
is(sql($node, q(SELECT value FROM taskq.status() WHERE name = 'ready list')), 'off', 'status() shows that the list is off');
$node->append_conf('postgresql.conf', 'taskq.ready_list_size = 6400');
$node->restart;

# more priorities than a route can have lanes
sql($node, q(SELECT ready.list('forget')));
sql($node, q(SELECT taskq.enqueue_job('ready-a', '{}', priority => p) FROM generate_series(1, 300) p));
is(sql($node, q(SELECT string_agg(priority::text, ' ') FROM taskq.claim_jobs('w', 250))), join(' ', 1 .. 250), 'many priorities: all jobs come in order');
sql($node, q(SELECT taskq.enqueue_job('ready-a', '{}', priority => 290), taskq.enqueue_job('ready-a', '{}', priority => -7)));
is(sql($node, q(SELECT string_agg(priority::text, ' ') FROM taskq.claim_jobs('w', 250))), join(' ', -7, 251 .. 290, 290 .. 300), 'many priorities: jobs that are added later come in order');
like(sql($node, q(SELECT value FROM taskq.status() WHERE name = 'ready list')), qr/^0 jobs of \d+ routes in 0 of 100 blocks, 0 of 800 lanes$/, 'a list that would not be complete takes no memory');
sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running'));

# jobs that bypass the list -------------------------------------------------------

is(sql($node, q(SELECT count(*) FROM taskq.claim_job('w'))), 0, 'no job is left');
sql($node, q(BEGIN; SELECT taskq.enqueue_job('ready-a', '{"name": "prepared"}'); PREPARE TRANSACTION 'p'));
is(sql($node, q(SELECT count(*) FROM taskq.claim_job('w'))), 0, 'a job of a prepared transaction is not claimed');
sql($node, q(COMMIT PREPARED 'p'));
is(sql($node, q(SELECT payload->>'name' FROM taskq.claim_job('w'))), 'prepared', 'the job is claimed after COMMIT PREPARED');
sql($node, q(SELECT taskq.enqueue_job('ready-a', '{"name": "held"}')));
sql($node, q(BEGIN; SELECT taskq.retry_job(job_id) FROM taskq.all_jobs WHERE payload->>'name' = 'held'; PREPARE TRANSACTION 'p'));
is(sql($node, q(SELECT count(*) FROM taskq.claim_job('w'))), 0, 'a job that a prepared transaction has locked is not claimed');
sql($node, q(ROLLBACK PREPARED 'p'));
is(sql($node, q(SELECT payload->>'name' FROM taskq.claim_job('w'))), 'held', 'the locked job is claimed after the end of that transaction');
sql($node, q(BEGIN; SELECT taskq.enqueue_job('ready-a', '{"name": "restarted"}'); PREPARE TRANSACTION 'p'));
$node->restart;
is(sql($node, q(SELECT count(*) FROM taskq.claim_job('w'))), 0, 'a job of a prepared transaction is not claimed after a restart');
sql($node, q(COMMIT PREPARED 'p'));
is(sql($node, q(SELECT payload->>'name' FROM taskq.claim_job('w'))), 'restarted', 'the job is claimed after a restart and COMMIT PREPARED');

# in a database without a scheduler, which would check the list
$node->append_conf('postgresql.conf', 'taskq.max_databases = 1');
$node->restart;
pid_of($node, 'scheduler');
sql($node, 'CREATE DATABASE other');
sql($node, q(SET client_min_messages = error; CREATE EXTENSION taskq; SELECT taskq.register_handler('other'), taskq.register_worker('w')), 'other');
sql($node, q(SELECT taskq.enqueue_job('other'); SELECT taskq.claim_job('w')), 'other');
sql($node, q(BEGIN; SELECT taskq.enqueue_job('other', '{"name": "alone"}'); PREPARE TRANSACTION 'p'), 'other');
is(sql($node, q(SELECT count(*) FROM taskq.claim_job('w')), 'other'), 0, 'without a scheduler, a job of a prepared transaction is not claimed');
sql($node, q(COMMIT PREPARED 'p'), 'other');
is(sql($node, q(SELECT payload->>'name' FROM taskq.claim_job('w')), 'other'), 'alone', 'without a scheduler, the job is claimed after COMMIT PREPARED');
sql($node, 'DROP DATABASE other');

# a row inserted by hand, as by a restore
sql($node, q(SELECT taskq.enqueue_job('ready-a', '{"name": "first"}')));
is(sql($node, q(SELECT payload->>'name' FROM taskq.claim_job('w'))), 'first', 'a job is claimed by the list');
sql($node, q(INSERT INTO taskq.jobs (job_id, run_at, created_at, epoch, route_id, attempt, max_attempts, priority, life, terminations, gate, state, payload)
	SELECT 999, now() - interval '1 day', now(), 0, route_id, 0, 5, 0, 1, 0, 'o', 'a', '{"name": "by hand"}' FROM taskq.jobs WHERE payload->>'name' = 'first'));
wait_until($node, q(SELECT payload->>'name' FROM taskq.claim_job('w')), 'a row that was inserted by hand is found', expected => 'by hand');
# a row of a claim, whose lease was not announced
sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running'));
sql($node, q(SELECT taskq.enqueue_job('ready-a', '{"name": "first"}')));
sql($node, q(SELECT taskq.claim_job('w', lease => '10 days')));
sql($node, q(INSERT INTO taskq.jobs (job_id, run_at, created_at, epoch, route_id, attempt, max_attempts, priority, life, terminations, gate, state, payload, worker_id, started_at, lease_expires_at)
	SELECT 99997, now() - interval '1 day', now(), 1, route_id, 1, 1, 0, 1, 0, 'r', 'r', '{"name": "claimed by hand"}', 'gone', now() - interval '1 day', now() - interval '1 hour'
	FROM taskq.jobs WHERE payload->>'name' = 'first' LIMIT 1));
sql($node, q(ALTER SYSTEM SET taskq.clock_offset = '2 h'));
sql($node, 'SELECT pg_reload_conf()');
wait_until($node, q(SELECT state FROM taskq.all_jobs WHERE job_id = 99997), 'a claim that was inserted by hand ends with its lease', expected => 'discarded');
sql($node, 'ALTER SYSTEM RESET taskq.clock_offset');
sql($node, 'SELECT pg_reload_conf()');
sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running'));
# a row that was moved to another route by hand, when the clock has just been set
# back
sql($node, q(SELECT taskq.enqueue_job('ready-b', '{"name": "of b"}')));
is(sql($node, q(SELECT payload->>'name' FROM taskq.claim_job('narrow', lease => '3 h'))), 'of b', 'a worker of few types claims a job of its type');
sql($node, q(SELECT taskq.enqueue_job('ready-a', '{"name": "of a"}'), taskq.enqueue_job('ready-b', '{"name": "moved to a"}')));
sql($node, q(UPDATE taskq.jobs SET route_id = (SELECT route_id FROM taskq.jobs WHERE payload->>'name' = 'of a') WHERE payload->>'name' = 'moved to a'));
is(sql($node, q(SELECT count(*) FROM taskq.claim_job('narrow'))), 0, 'a row that was moved to another type is not claimed');
wait_until($node, q(SELECT count(*) FILTER (WHERE NOT taskq.complete_job(job_id, epoch)) >= 0 AND NOT EXISTS (SELECT FROM taskq.jobs WHERE state = 'a') FROM taskq.claim_jobs('w', 7)), 'who may run it finds it');
my $locker = session($node);
sql($node, q(SELECT taskq.enqueue_job('ready-a', '{"name": "locked"}')));
$locker->query_safe(q(BEGIN; SELECT job_id FROM taskq.jobs WHERE payload->>'name' = 'locked' FOR UPDATE));
is(sql($node, q(SELECT count(*) FROM taskq.claim_job('w'))), 0, 'a row that another transaction has locked is passed over');
$locker->query_safe('ROLLBACK');
wait_until($node, q(SELECT payload->>'name' FROM taskq.claim_job('w')), 'the row is found again after it was unlocked', expected => 'locked');
$locker->quit;
for my $lie ('lose', 'lie')
{
	sql($node, qq(SELECT taskq.enqueue_job('ready-a', jsonb_build_object('name', '$lie', 'n', n)) FROM generate_series(1, 300) n));
	sql($node, qq(SELECT count(*) FROM taskq.claim_job('w'); SELECT ready.list('$lie')));
	wait_until($node, q(SELECT count(*) FILTER (WHERE NOT taskq.complete_job(job_id, epoch)) >= 0 AND NOT EXISTS (SELECT FROM taskq.jobs WHERE state = 'a') FROM taskq.claim_jobs('w', 7)),
		"a list that does '$lie': all jobs come in the end");
	is(sql($node, qq(SELECT count(*), count(DISTINCT job_id) FROM taskq.all_jobs WHERE payload->>'name' = '$lie')), '300|300', 'each once');
	sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running'));
}
sql($node, q(SELECT taskq.enqueue_job('ready-a', jsonb_build_object('name', 'moved ' || n)) FROM generate_series(1, 3) n; SELECT taskq.claim_job('w')));
sql($node, $_) for 'VACUUM FULL taskq.jobs', 'REINDEX TABLE taskq.jobs';
is(sql($node, q(SELECT string_agg(payload->>'name', ', ') FROM taskq.claim_jobs('w', 5))), 'moved 2, moved 3', 'rows that have moved are found');

# under load ----------------------------------------------------------------------

add_type($node, 'postgres', 'app', 'work');
add_type($node, 'postgres', 'app', 'shared', 'work', 'share_commit => true');
sql($node, <<'SQL');
CREATE PROCEDURE ready.drain(worker text) LANGUAGE plpgsql AS $$
DECLARE
	idle integer := 0;
BEGIN
	WHILE EXISTS (SELECT FROM taskq.jobs WHERE gate IN ('o', 'r')) LOOP
		PERFORM taskq.complete_job(job_id, epoch) FROM taskq.claim_jobs(worker, 5, ARRAY['ready-a', 'ready-b']);
		IF random() < 0.2 THEN ROLLBACK; ELSE COMMIT; END IF;
	END LOOP;
END $$;
SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running';
SELECT taskq.enqueue_job(t, jsonb_build_object('load', n), priority => n % 3) FROM generate_series(1, 3000) n, unnest('{work,shared,ready-a,ready-b}'::text[]) t;
SQL
my @drains = map {
	my ($out, $err) = ('', '');
	{ err => \$err, h => IPC::Run::start([ 'psql', '-XAqt', '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-c', "CALL ready.drain('drain-$_')" ], '>', \$out, '2>', \$err) }
} 1 .. 3;
my $rounds = 0;
while (sql($node, q(SELECT EXISTS (SELECT FROM taskq.jobs WHERE gate = 'o'))) eq 't' && $rounds++ < 3000)
{
	sql($node, sprintf q(SELECT ready.list('%s')), (qw(nonsense lose forget lie))[ $rounds % 4 ]);
}
$_->{h}->finish for @drains;
is(join('', map { ${ $_->{err} } } @drains), '', 'while the list is spoilt all the time, nobody meets an error');
is(sql($node, q(SELECT state, count(*), count(DISTINCT job_id) FROM taskq.all_jobs WHERE payload ? 'load' GROUP BY 1)), 'completed|12000|12000', 'all jobs complete under load with a spoilt list');
is(sql($node, q(SELECT count(*), count(DISTINCT job_id) FROM app.ledger WHERE payload ? 'load')), '6000|6000', 'each job has run once under load');
is(sql($node, q(SELECT max(attempt) FROM taskq.all_jobs WHERE payload ? 'load')), 1, 'each job has one attempt under load');

# dead rows -----------------------------------------------------------------------

# With an old snapshot, the entries of 5,000 finished jobs stay at the start of the
# index.
sql($node, q(SELECT taskq.unregister_handler('work'), taskq.unregister_handler('shared')));
my $old = session($node);
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM taskq.jobs');
for (1 .. 5)
{
	sql($node, q(SELECT taskq.enqueue_job('ready-a', '{"dead": 1}') FROM generate_series(1, 1000)));
	sql($node, q(SELECT count(taskq.complete_job(job_id, epoch)) FROM taskq.claim_jobs('w', 1000)));
}
sql($node, q(SELECT taskq.enqueue_job('ready-a', '{"dead": 2}') FROM generate_series(1, 20)));
my $claim = q(EXPLAIN (ANALYZE, BUFFERS, COSTS off, TIMING off, SUMMARY off) SELECT * FROM taskq.claim_job('w'));
my $pages = sub {
	my ($off) = @_;
	my $text = sql($node, "SET taskq.use_ready_list = $off; $claim; $claim");
	return ($text =~ /.*shared hit=(\d+)/s)[0];
};
cmp_ok($pages->('on'), '<', 60, 'dead rows at the head cost a claim by the list nothing');
cmp_ok($pages->('off'), '>', 60, 'dead rows at the start of the index cost a claim by the index');
sql($node, q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.claim_jobs('w', 1000)));
sql($node, q(INSERT INTO taskq.jobs (job_id, run_at, created_at, epoch, route_id, attempt, max_attempts, priority, life, terminations, gate, state, payload)
	SELECT 998, now(), now(), 0, route_id, 0, 5, 0, 1, 0, 'o', 'a', '{"name": "behind"}' FROM taskq.routes JOIN taskq.queue_defs USING (queue_id) WHERE task_type = 'ready-a' AND queue = 'default'));
wait_until($node, q(SELECT payload->>'name' FROM taskq.claim_job('w')), 'a row by hand is found behind them, by and by', expected => 'behind');
$old->query_safe('COMMIT');
$old->quit;

$node->stop;
clean_log($node);
done_testing();
