# The most important rule of the project: no worker is ever given a task type that
# it has not registered. Two pools of different roles and types, one more pool for a
# single type, and external workers work on mixed types. The history then shows
# which worker ran which job, and when.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('foreign', conf => { max_worker_processes => 24 });
make_app($node, 'postgres', 'other');
sql($node, q(CREATE ROLE driver LOGIN; SELECT taskq.grant_access('driver', access) FROM unnest(ARRAY['producer', 'worker', 'observer']) AS access));

# app: a pool for "alpha" and one for "beta"; other: "gamma" and "delta"
add_type($node, 'postgres', 'app', $_, 'work') for qw(alpha beta);
add_type($node, 'postgres', 'other', $_, 'work') for qw(gamma delta);
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler(t) FROM unnest(ARRAY['measure', 'probe', 'untaken']) AS t));
add_type($node, 'postgres', 'app', 'both', 'work', 'also_external => true');
sql($node, q(SELECT taskq.create_queue('side')));
sql_as($node, 'postgres', 'app', q(SELECT taskq.alter_pool('app', size => 2, task_types => '{alpha,both}'),
	taskq.create_pool('beta', size => 2, task_types => '{beta}', queues => '{default}')));
sql_as($node, 'postgres', 'other', q(SELECT taskq.alter_pool('other', size => 2)));
sql_as($node, 'postgres', 'driver', q(
	SELECT taskq.register_worker('ext', task_types => '{measure}', max_concurrent_jobs => 5);
	SELECT taskq.register_worker('prober', task_types => '{probe,both}', queues => '{side}', capabilities => '{gpu}')));

my $types = q(ARRAY['alpha', 'beta', 'gamma', 'delta', 'measure', 'probe', 'untaken', 'nobody', 'both']);

# enqueuing and claiming, by pgbench ----------------------------------------

my $dir = $node->basedir;
append_to_file("$dir/enqueue.sql", qq(
SELECT taskq.enqueue_job(t, jsonb_build_object('type', t), queue => CASE WHEN random() < 0.3 THEN 'side' END,
	priority => (random() * 3)::int, required_capabilities => CASE WHEN t = 'probe' AND random() < 0.5 THEN ARRAY['gpu'] END)
FROM unnest($types) AS t ORDER BY random();
));

# four sessions of one external worker: each claims up to three jobs, holds them,
# and settles each in one of several ways
append_to_file("$dir/claim.sql", q(
BEGIN;
SELECT COALESCE(string_agg(job_id || ' ' || epoch, ','), '') AS claimed, count(*) AS n FROM taskq.claim_jobs('ext', 3) \gset
INSERT INTO app.seen (n, kind) SELECT :n, 'claimed';
COMMIT;
INSERT INTO app.seen (n, kind) SELECT count(*), 'held' FROM taskq.all_jobs WHERE worker_id = 'ext' AND state = 'running';
SELECT CASE WHEN random() < 0.8 THEN taskq.complete_job(split_part(c, ' ', 1)::bigint, split_part(c, ' ', 2)::bigint, '{"by": "ext"}')
	WHEN random() < 0.5 THEN taskq.release_job(split_part(c, ' ', 1)::bigint, split_part(c, ' ', 2)::bigint)
	ELSE taskq.fail_job(split_part(c, ' ', 1)::bigint, split_part(c, ' ', 2)::bigint, 'not now', retry_in => '1 ms') END
FROM unnest(string_to_array(NULLIF(':claimed', ''), ',')) AS c;
));
append_to_file("$dir/probe.sql", q(
SELECT taskq.complete_job(job_id, epoch, jsonb_build_object('type', task_type)) FROM taskq.claim_job('prober');
));
# one session that rolls back its claims, and one that asks for types that are not
# its own
append_to_file("$dir/greedy.sql", q(
BEGIN;
SELECT count(*) FROM taskq.claim_jobs('ext', 100);
ROLLBACK;
INSERT INTO app.seen (n, kind) SELECT count(*), 'foreign' FROM taskq.claim_jobs('ext', 10, task_types => '{alpha,beta,gamma,nobody,probe}');
));
sql($node, q(CREATE TABLE app.seen (n bigint, kind text); GRANT USAGE ON SCHEMA app TO driver; GRANT INSERT ON app.seen TO driver));

my @benches;
my $bench = sub {
	my ($script, $clients, $transactions) = @_;
	my ($out, $err) = ('', '');
	my $h = IPC::Run::start [ 'pgbench', '-n', '-U', 'driver', '-h', $node->host, '-p', $node->port, '-c', $clients, '-t', $transactions,
		'-f', "$dir/$script.sql", 'postgres' ], '>', \$out, '2>', \$err;
	push @benches, [ $script, $h, \$out, \$err ];
};
$bench->('enqueue', 3, 150);
$bench->('claim', 4, 150);
$bench->('probe', 1, 300);
$bench->('greedy', 1, 100);
for (@benches)
{
	my ($script, $h, $out, $err) = @$_;
	ok($h->finish, "$script runs to its end") or diag $$err;
	unlike($$err, qr/ERROR|aborted/, "$script meets no error");
}

# the remaining jobs are taken by their workers
my $done = q(SELECT NOT EXISTS (SELECT FROM taskq.all_jobs WHERE state NOT IN ('completed', 'discarded')
	AND (task_type IN ('alpha', 'gamma', 'delta') OR task_type = 'beta' AND queue = 'default')));
wait_until($node, $done, 'the pools run all their jobs');
my $rest = 0;
while (sql_as($node, 'postgres', 'driver', q(SELECT count(*) FILTER (WHERE taskq.complete_job(job_id, epoch)) FROM taskq.claim_jobs('ext', 5))) > 0) { $rest++ }
while (sql_as($node, 'postgres', 'driver', q(SELECT count(*) FILTER (WHERE taskq.complete_job(job_id, epoch, jsonb_build_object('type', task_type)))
	FROM taskq.claim_jobs('prober', 100))) > 0) { $rest++ }
wait_until($node, q(SELECT NOT EXISTS (SELECT FROM taskq.all_jobs WHERE task_type = 'both' AND state <> 'completed')), 'the workers that share a type run all its jobs');

# what the history says -----------------------------------------------------

is(sql($node, q(SELECT count(*) FROM taskq.all_jobs)), 3 * 150 * 9, 'no job is missing');
cmp_ok(sql($node, q(SELECT count(*) FROM taskq.attempts WHERE worker_id = 'ext' AND outcome <> 'completed')), '>', 20, 'the external worker has failed some jobs, too');

# every attempt, by task type and worker
my $who = q(SELECT j.task_type, j.queue, CASE WHEN a.worker_id IN ('ext', 'prober') THEN a.worker_id ELSE split_part(a.worker_id, '#', 1) END AS who
	FROM taskq.attempts a JOIN taskq.all_jobs j USING (job_id));
is(sql($node, qq(SELECT task_type || ': ' || string_agg(DISTINCT who, ' ' ORDER BY who) FROM ($who) x WHERE task_type <> 'both' GROUP BY task_type ORDER BY task_type)),
	"alpha: app\nbeta: beta\ndelta: other\ngamma: other\nmeasure: ext\nprobe: prober", 'no worker has run a type that it has not registered');
is(sql($node, qq(SELECT count(*) FROM ($who) x WHERE task_type = 'both' AND who NOT IN ('app', 'prober'))), 0, 'the shared type was run only by the workers that share it');
is(sql($node, qq(SELECT count(*) FROM ($who) x WHERE who = 'prober' AND queue <> 'side' OR who = 'beta' AND queue <> 'default')), 0, 'no worker has run a job of a queue that is not its own');
is(sql($node, q(SELECT string_agg(DISTINCT session_role || ' ' || task_type, ', ' ORDER BY session_role || ' ' || task_type) FROM app.ledger)),
	'app alpha, app beta, app both', 'the handlers of role app have recorded the same');
is(sql($node, q(SELECT string_agg(DISTINCT session_role || ' ' || task_type, ', ' ORDER BY session_role || ' ' || task_type) FROM other.ledger)),
	'other delta, other gamma', 'the handlers of role other have recorded the same');
is(sql($node, q(SELECT count(*) FROM (SELECT job_id, task_type FROM app.ledger UNION ALL SELECT job_id, task_type FROM other.ledger) l
	JOIN taskq.all_jobs j USING (job_id) WHERE j.task_type <> l.task_type OR j.payload->>'type' <> l.task_type)), 0,
	'each handler got the type and payload of its job');
is(sql($node, q(SELECT count(*), count(DISTINCT job_id) FROM (SELECT job_id FROM app.ledger UNION ALL SELECT job_id FROM other.ledger) l)),
	sql($node, q(SELECT count(*), count(*) FROM taskq.attempts WHERE outcome = 'completed' AND worker_id NOT IN ('ext', 'prober'))),
	'each job in the server was run once');

# jobs that no worker may run
is(sql($node, q(SELECT task_type, count(*), min(state), max(state), max(attempt), max(epoch), bool_or(worker_id IS NOT NULL OR started_at IS NOT NULL OR lease_expires_at IS NOT NULL)
	FROM taskq.all_jobs WHERE task_type IN ('nobody', 'untaken') GROUP BY task_type ORDER BY task_type)),
	"nobody|450|available|available|0|0|f\nuntaken|450|available|available|0|0|f",
	'jobs of an unregistered type, and of a type that no worker takes, are unchanged');
is(sql($node, q(SELECT count(*) FROM taskq.attempts a JOIN taskq.all_jobs j USING (job_id) WHERE task_type IN ('nobody', 'untaken'))), 0, 'these jobs have no attempt');
is(sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE attempt > 0 AND (task_type = 'beta' AND queue = 'side' OR task_type = 'probe' AND queue = 'default'))), 0,
	'jobs in queues without a worker for their type are unchanged');
is(sql($node, q(SELECT string_agg(DISTINCT reason, ', ' ORDER BY reason) FROM taskq.unroutable_jobs WHERE task_type IN ('nobody', 'untaken'))),
	'no handler registered, no live worker with the type', 'unroutable_jobs has the reasons');
is(sql($node, q(SELECT sum(jobs) FROM taskq.unroutable_jobs)), sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE state = 'available')),
	'unroutable_jobs counts every waiting job');

# max_concurrent_jobs ---------------------------------------------------------

is(sql($node, q(SELECT COALESCE(max(n), 0) FROM app.seen WHERE kind = 'foreign')), 0, 'a claim for types that the worker has not registered returns no row');
cmp_ok(sql($node, q(SELECT max(n) FROM app.seen WHERE kind = 'claimed')), '<=', 3, 'no claim returned more jobs than requested');
cmp_ok(sql($node, q(SELECT max(n) FROM app.seen WHERE kind = 'held')), '<=', 5, 'max_concurrent_jobs was not exceeded when the test looked');
my $most = sql($node, q(
	WITH events AS (
		SELECT started_at AS at, 1 AS step FROM taskq.attempts WHERE worker_id = 'ext'
		UNION ALL SELECT finished_at, -1 FROM taskq.attempts WHERE worker_id = 'ext')
	SELECT max(running) FROM (SELECT sum(step) OVER (ORDER BY at, step) AS running FROM events) x));
cmp_ok($most, '<=', 5, 'max_concurrent_jobs was not exceeded at any moment, according to the history');
cmp_ok($most, '>=', 3, "(it was used: $most at once)");

$node->stop;
clean_log($node);
done_testing();
