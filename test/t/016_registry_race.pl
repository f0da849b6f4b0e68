# 100,000 jobs while their types are registered, overridden and unregistered all the
# time. No claim of a type is decided after the commit of its unregistration, and
# runs after an override use the new function.
#
# The epochs prove this. A claim draws its epoch from a sequence while it decides. A
# session that registers and unregisters draws numbers from the same sequence before
# it begins and after its commit. If the epoch of a run lies between the number drawn
# after the commit of an unregistration and the number drawn before the next
# registration began, the run was claimed while its type was unregistered. If the
# epoch lies after the number drawn after the commit of an override, the run must have
# used that registration or a later one. No other run can have such an epoch, because
# a sequence gives larger numbers to later callers.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my @inside = qw(in-1 in-2 in-3 in-4);
my @outside = qw(out-1 out-2 out-3 out-4);
my $each = 12_800;
my $jobs = $each * (@inside + @outside);

my $node = new_node('registry_race', conf => { 'taskq.poll_interval' => "'1 s'" });
sql($node, <<'SQL');
SELECT taskq.create_pool('app', size => 3, role => 'app');
CREATE SCHEMA race;
GRANT USAGE ON SCHEMA race TO app;
CREATE FUNCTION race.run_a(payload jsonb) RETURNS jsonb LANGUAGE sql RETURN payload || '{"ran": "a"}';
CREATE FUNCTION race.run_b(payload jsonb) RETURNS jsonb LANGUAGE sql RETURN payload || '{"ran": "b"}';

-- what was done to a type: drawn before it began and after its commit
CREATE UNLOGGED TABLE race.changes (task_type text, n integer, ran text, before bigint, after bigint, PRIMARY KEY (task_type, n));
CREATE UNLOGGED TABLE race.probes (task_type text, waiting boolean, given bigint);
CREATE FUNCTION race.draw() RETURNS bigint LANGUAGE C AS 'taskq', 'taskq_test_draw_epoch';
CREATE FUNCTION race.over() RETURNS boolean LANGUAGE sql AS $$ SELECT NOT EXISTS (SELECT FROM taskq.jobs) $$;

-- Register types, override them and unregister them, until no job is left. The
-- registrations of a type are numbered, and the number is the version.
CREATE PROCEDURE race.churn(types text[]) LANGUAGE plpgsql AS $$
DECLARE
	t text;
	n integer := 0;
	what text;
	first bigint;
	ran text;
BEGIN
	WHILE NOT race.over() LOOP
		FOREACH t IN ARRAY types LOOP
			FOREACH what IN ARRAY CASE WHEN random() < 0.5 THEN '{unregister,register}'::text[] ELSE '{register}' END LOOP
				n := n + 1;
				ran := CASE WHEN what = 'register' THEN CASE WHEN random() < 0.5 THEN 'a' ELSE 'b' END END;
				first := race.draw();
				COMMIT;
				IF what = 'unregister' THEN
					PERFORM taskq.unregister_handler(t);
				ELSIF t LIKE 'in-%' THEN
					PERFORM taskq.register_handler(t, ('race.run_' || ran || '(jsonb)')::regprocedure, version => n::text, run_as => 'app',
						allow_override => true, share_commit => random() < 0.5);
				ELSE
					PERFORM taskq.register_handler(t, version => n::text, allow_override => true);
				END IF;
				COMMIT;
				INSERT INTO race.changes VALUES (t, n, ran, first, race.draw());
				COMMIT;
				IF what = 'unregister' AND t LIKE 'out-%' THEN
					INSERT INTO race.probes
					SELECT t, EXISTS (SELECT FROM taskq.jobs j JOIN taskq.routes r USING (route_id) WHERE r.task_type = t AND j.gate = 'o'),
						(SELECT count(*) FROM taskq.claim_jobs('probe', 10, ARRAY[t]));
					COMMIT;
				END IF;
				PERFORM pg_sleep(random() * 0.003);
			END LOOP;
		END LOOP;
	END LOOP;
END $$;

-- An external worker: claims some jobs, commits, completes them, commits.
CREATE PROCEDURE race.work(worker text, most integer) LANGUAGE plpgsql AS $$
DECLARE
	claimed taskq.job[];
BEGIN
	PERFORM taskq.register_worker(worker);
	WHILE NOT race.over() LOOP
		claimed := ARRAY(SELECT c FROM taskq.claim_jobs(worker, most) c);
		COMMIT;
		PERFORM taskq.complete_job(c.job_id, c.epoch, c.payload) FROM unnest(claimed) c;
		COMMIT;
		IF claimed = '{}' THEN
			PERFORM pg_sleep(0.002);
		END IF;
	END LOOP;
END $$;
SQL
sql($node, "SELECT count(*) FROM unnest('{$_}'::text[]) t, taskq.enqueue_jobs(t, ARRAY(SELECT jsonb_build_object('n', i) FROM generate_series(1, $each) i))")
  for join ',', @inside, @outside;

my @sessions;
my $in_background = sub {
	my ($out, $err) = ('', '');
	push @sessions, { err => \$err, h => IPC::Run::start([ 'psql', '-XAqt', '-v', 'ON_ERROR_STOP=1', '-h', $node->host, '-p', $node->port,
		'-d', 'postgres', '-c', 'SET client_min_messages = error', '-c', $_[0] ], '>', \$out, '2>', \$err) };
};
$in_background->("CALL race.churn('{$_}')") for map { join ',', @$_ } [ @inside[ 0, 1 ] ], [ @outside[ 0, 1 ], $inside[2] ], [ @outside[ 2, 3 ], $inside[3] ];
$in_background->("CALL race.work('one-$_', 1)") for 1 .. 2;
$in_background->("CALL race.work('many-$_', 40)") for 1 .. 2;
$_->{h}->finish for @sessions;
is(join('', map { ${ $_->{err} } } @sessions), '', 'no session got an error');

# the outcome of the jobs
is(sql($node, q(SELECT state, count(*), sum((payload->>'n')::bigint), sum((result->>'n')::bigint) FROM taskq.all_jobs GROUP BY 1)),
	join('|', 'completed', $jobs, ($each * ($each + 1) / 2 * (@inside + @outside)) x 2), "all $jobs jobs are completed, and none is lost");
sql($node, <<'SQL');
CREATE TABLE race.runs AS
SELECT j.task_type, a.job_id, a.epoch, a.handler_version, j.result->>'ran' AS ran, substring(a.worker_id, '^[a-z]+') AS worker
FROM taskq.attempts a JOIN taskq.all_jobs j USING (job_id);
CREATE INDEX ON race.runs (task_type, epoch);
-- the times in which a type was unregistered
CREATE VIEW race.gaps AS
SELECT * FROM (SELECT task_type, ran, after AS from_epoch, lead(before) OVER (PARTITION BY task_type ORDER BY n) AS to_epoch FROM race.changes) c
WHERE ran IS NULL AND to_epoch IS NOT NULL;
ANALYZE;
SQL
is(sql($node, 'SELECT count(*), count(DISTINCT job_id) FROM race.runs'), "$jobs|$jobs", 'each job was run once');
for my $kind ([ 'inside the server', 'app' ], [ 'by external workers that claim many', 'many' ])
{
	cmp_ok(sql($node, "SELECT count(*) FROM race.runs WHERE worker = '$kind->[1]'"), '>=', 20_000, "at least 20,000 ran $kind->[0]");
}

# the proof
is(sql($node, q(SELECT count(*), min(r.task_type || ' ' || r.epoch || ' in ' || g.from_epoch || ' to ' || g.to_epoch)
	FROM race.gaps g JOIN race.runs r ON r.task_type = g.task_type AND r.epoch > g.from_epoch AND r.epoch < g.to_epoch)), '0|',
	'no claim of a type was decided after its unregistration had committed');
is(sql($node, q(SELECT sum(given) FROM race.probes)), 0, 'no session was given a job of a type that it had just unregistered');
is(sql($node, q(SELECT count(*), min(r.task_type || ' ' || r.epoch || ' ran ' || r.handler_version)
	FROM race.runs r, LATERAL (SELECT max(n) AS n FROM race.changes c WHERE c.task_type = r.task_type AND c.after < r.epoch) c
	WHERE r.worker = 'app' AND r.handler_version::integer < c.n)), '0|', 'runs that began after the commit of an override used the new handler');
is(sql($node, q(SELECT count(*), min(r.task_type || ' ' || r.epoch || ' ran ' || r.ran || ' of ' || r.handler_version)
	FROM race.runs r LEFT JOIN race.changes c ON c.task_type = r.task_type AND c.n = r.handler_version::integer
	WHERE r.worker = 'app' AND r.ran IS DISTINCT FROM c.ran)), '0|', 'the version of an attempt is that of the function that ran');

# did the test meet the cases that it is about?
my ($gaps, $edges) = split /\|/, sql($node, q(SELECT count(*), count(*) FILTER (WHERE EXISTS
	(SELECT FROM race.runs r WHERE r.task_type = g.task_type AND r.epoch < g.from_epoch AND r.epoch > g.from_epoch - 100)) FROM race.gaps g));
my ($probes) = sql($node, 'SELECT count(*) FROM race.probes WHERE waiting');
note("$gaps times a type was unregistered, $edges of them a hundred epochs at most after a claim of it; $probes times with jobs left");
cmp_ok($edges, '>=', 100, 'many claims were close to a change of the registry');
cmp_ok($probes, '>=', 20, 'jobs of the type were often waiting at that time');
$node->stop;
clean_log($node);
done_testing();
