# When a job starts, the committed definition of the pool decides whether the pool
# may take it. If the pool was changed after a worker has chosen and locked a job,
# the worker leaves the job.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

# processes that must look again after a change are woken: the poll interval is an
# hour
my $node = new_node('pool_change', conf => { 'taskq.poll_interval' => "'1 h'", 'taskq.worker_idle' => "'1 h'" });
plan skip_all => 'needs a build with TESTING=1'
  if sql($node, q(SELECT count(*) FROM pg_settings WHERE name = 'taskq.injection_point')) == 0;
sql_as($node, 'postgres', 'app', <<'SQL');
SELECT taskq.register_handler(t, 'app.work(jsonb)') FROM unnest('{one,two}'::text[]) t;
SELECT taskq.drop_pool(pool) FROM taskq.pools;
SQL
sql($node, q(SELECT taskq.create_queue('other')));
sql($node, q(ALTER ROLE app SET taskq.injection_point = 'claim-locked'));

# Make the only worker of a pool lock a job, and run the given statement before it
# decides.
sub change_while_locked
{
	my ($change, %o) = @_;
	sql_as($node, 'postgres', 'app', q(SELECT taskq.create_pool('p', 1, task_types => '{one}', queues => '{default}', capabilities => '{gpu}')));
	my $gate = hold_gate($node, q(hashtext('claim-locked')));
	my $job = sql($node, q(SELECT taskq.enqueue_job('one', required_capabilities => '{gpu}')));
	poll($node, q(SELECT count(*) = 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE backend_type = 'taskq worker' AND locktype = 'advisory' AND NOT granted)) or die 'no worker waits';
	sql($node, $change);
	poll($node, $o{then}) or die 'it does not come to that' if $o{then};
	open_gate($gate);
	return $job;
}

# A worker holds a lock on the table until it has decided and has run the job.
sub decided
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until($node, q(SELECT NOT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE backend_type = 'taskq worker' AND relation = 'taskq.jobs'::regclass)), $name);
}

sub clear
{
	my ($job) = @_;
	sql($node, qq(SELECT taskq.cancel_job($job); SELECT taskq.drop_pool(pool) FROM taskq.pools));
	poll($node, q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'taskq worker')) or die 'a worker stays';
	return;
}

my %changes = (
	'other task types' => q(SELECT taskq.alter_pool('p', task_types => '{two}')),
	'other queues' => q(SELECT taskq.alter_pool('p', queues => '{other}')),
	'fewer capabilities' => q(SELECT taskq.alter_pool('p', capabilities => '{}')),
	'a smaller size' => q(SELECT taskq.alter_pool('p', size => 0)),
	'a pause' => q(SELECT taskq.pause_pool('p')),
	'the drop' => q(SELECT taskq.drop_pool('p')),
);
for my $name (sort keys %changes)
{
	my $job = change_while_locked($changes{$name});
	decided("$name: the worker has decided");
	is(sql($node, qq(SELECT state, attempt FROM taskq.all_jobs WHERE job_id = $job)), 'available|0', "$name: the job was not run");
	clear($job);
}

# a drained worker leaves the job to the next worker of its pool
sql($node, q(CREATE TABLE drained (worker_id text)));
my $left = change_while_locked(q(WITH w AS (SELECT worker_id FROM taskq.workers WHERE pool = 'p'), d AS (INSERT INTO drained SELECT worker_id FROM w)
	SELECT taskq.drain_worker(worker_id) FROM w));
wait_until($node, qq(SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = $left), 'the worker is drained: another one runs the job');
is(sql($node, qq(SELECT count(*) FROM taskq.all_jobs JOIN drained USING (worker_id) WHERE job_id = $left)), 0, 'the drained worker has not run the job');
clear($left);

# a change that does not concern the job leaves it to the worker
my $job = change_while_locked(q(SELECT taskq.alter_pool('p', task_types => '{one,two}')));
wait_until($node, qq(SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = $job), 'more task types: the worker runs the job');
clear($job);

# the same holds for a change that was rolled back
$job = change_while_locked(q(BEGIN; SELECT taskq.alter_pool('p', task_types => '{two}'); ROLLBACK));
wait_until($node, qq(SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = $job), 'a change that is rolled back: the worker runs the job');
clear($job);

# the pool that may take the job now had skipped the locked row
$job = change_while_locked(q(SELECT taskq.alter_pool('p', task_types => '{two}');
	ALTER ROLE app RESET taskq.injection_point; SELECT taskq.create_pool('q', 1, role => 'app', task_types => '{one}', capabilities => '{gpu}', min_size => 1)),
	then => q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq worker' AND state = 'idle'));
wait_until($node, qq(SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = $job), 'the pool that takes the type now runs the job');
like(sql($node, qq(SELECT worker_id FROM taskq.all_jobs WHERE job_id = $job)), qr/^q#/, 'no other pool has run the job');
clear($job);

# the pool loses the type before the start is stamped, and gets it back after that
sql($node, q(ALTER ROLE app SET taskq.injection_point = 'claim-locked claim-stamped'));
my $waits_at = q(SELECT count(*) = 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
	WHERE backend_type = 'taskq worker' AND locktype = 'advisory' AND NOT granted AND objid::bigint = hashtext('%s')::bigint & 4294967295);
my $stamped = hold_gate($node, q(hashtext('claim-stamped')));
sql($node, q(CREATE TABLE lost (since timestamptz, since_epoch bigint, until timestamptz, until_epoch bigint);
	CREATE FUNCTION draw() RETURNS bigint LANGUAGE C AS 'taskq', 'taskq_test_draw_epoch'));
$job = change_while_locked(q(SELECT taskq.alter_pool('p', task_types => '{two}'); INSERT INTO lost VALUES (clock_timestamp(), draw())));
poll($node, sprintf $waits_at, 'claim-stamped') or die 'the worker has not stamped the job';
sql($node, q(UPDATE lost SET until = clock_timestamp(), until_epoch = draw(); SELECT taskq.alter_pool('p', task_types => '{one}')));
open_gate($stamped);
wait_until($node, qq(SELECT state = 'completed' FROM taskq.all_jobs WHERE job_id = $job), 'a type that is taken away and given back: the worker runs the job');
is(sql($node, qq(SELECT j.started_at BETWEEN since AND until, a.epoch BETWEEN since_epoch AND until_epoch
	FROM taskq.all_jobs j JOIN taskq.attempts a USING (job_id), lost WHERE job_id = $job)), 'f|f',
	'its start is not of the time when the pool did not have the type');
clear($job);
sql($node, q(ALTER ROLE app RESET taskq.injection_point));

# two pools exchange their types repeatedly while jobs run
sql_as($node, 'postgres', 'app', <<'SQL');
SELECT taskq.create_pool('p', 2, task_types => '{one}', min_size => 2), taskq.create_pool('q', 2, task_types => '{two}', min_size => 2);
-- from when until when a pool surely had the type
CREATE TABLE app.swap (since timestamptz, until timestamptz, pool text, task_type text);
INSERT INTO app.swap VALUES (clock_timestamp(), NULL, 'p', 'one'), (clock_timestamp(), NULL, 'q', 'two');
CREATE PROCEDURE app.swap() LANGUAGE plpgsql AS $$
DECLARE
	first text := 'p';
	last text := 'q';
	spare text;
BEGIN
	FOR i IN 1 .. 200 LOOP
		PERFORM count(taskq.enqueue_job(t)) FROM unnest('{one,two}'::text[]) t, generate_series(1, 10);
		COMMIT;
		spare := first; first := last; last := spare;
		UPDATE app.swap SET until = clock_timestamp() WHERE until IS NULL;
		COMMIT;
		PERFORM taskq.alter_pool(first, task_types => '{one}'), taskq.alter_pool(last, task_types => '{two}');
		COMMIT;
		INSERT INTO app.swap VALUES (clock_timestamp(), NULL, first, 'one'), (clock_timestamp(), NULL, last, 'two');
		COMMIT;
	END LOOP;
END $$;
SQL
sql_as($node, 'postgres', 'app', 'CALL app.swap()');
settled($node, 'all jobs run while two pools exchange their types');

is(sql($node, <<'SQL'), 0, 'no job was started by a pool that had the other type all the time');
SELECT count(*) FROM taskq.all_jobs j JOIN app.swap s ON s.pool = split_part(j.worker_id, '#', 1)
	AND j.started_at >= s.since AND (j.started_at < s.until OR s.until IS NULL)
WHERE j.task_type <> s.task_type
SQL

clean_log($node);
$node->stop;
done_testing();
