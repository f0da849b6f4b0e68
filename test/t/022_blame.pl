# Workers that end without a crash, workers that are stopped, and a postmaster that
# does not survive a crash.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('ended');
make_misbehave($node, 'postgres', 'app');
add_type($node, 'postgres', 'app', $_) for 'work', 'gated', 'bad';

# the ways to end -----------------------------------------------------------

my $offset = log_since($node);
for my $end ([ exit => 0 ], [ exit => 1 ], [ exit => 3 ], [ fatal => 0 ])
{
	my ($how, $amount) = @$end;
	my $job = sql($node, qq(SELECT taskq.enqueue_job('bad', '{"how": "$how", "amount": $amount}', max_attempts => 1)));
	wait_until($node, qq(SELECT state FROM taskq.all_jobs WHERE job_id = $job), "$how $amount: the job is out of attempts", expected => 'discarded');
	is(sql($node, qq(SELECT attempt, outcome, error_type FROM taskq.attempts WHERE job_id = $job)), '1|terminated|terminated', "$how $amount: its attempt was terminated");
}
sql_as($node, 'postgres', 'app', q(CREATE FUNCTION app.suicide(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(3600); RETURN NULL; END $$));
add_type($node, 'postgres', 'app', 'suicide');
my $job = sql($node, q(SELECT taskq.enqueue_job('suicide', max_attempts => 1)));
wait_until($node, qq(SELECT state FROM taskq.all_jobs WHERE job_id = $job), 'pg_terminate_backend(): the job is out of attempts', expected => 'discarded');
is(sql($node, qq(SELECT attempt, outcome FROM taskq.attempts WHERE job_id = $job)), '1|terminated', 'pg_terminate_backend(): its attempt was terminated');
is(sql($node, q(SELECT count(*) FROM taskq.attempts WHERE outcome = 'crashed')), 0, 'none of these ends is recorded as a crash');
unlike(slurp_file($node->logfile, $offset), qr/terminating any other active server processes/, 'the server has not restarted');
sql($node, q(SELECT taskq.enqueue_job('work')));
settled($node, 'other jobs run');

# stopped -------------------------------------------------------------------

my $gate = hold_gate($node, 1);
$job = sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}', timeout => '1 h')));
wait_until($node, 'SELECT count(*) = 1 FROM taskq.running_jobs()', 'a job runs in a worker that will be stopped');
my $pid = sql($node, 'SELECT pid FROM taskq.running_jobs()');
kill 'STOP', $pid;
open_gate($gate);
sql($node, q(ALTER SYSTEM SET taskq.clock_offset = '1 d'));
$node->reload;
wait_until($node, q(SELECT taskq.clock_now() > clock_timestamp() + interval '23 h'), 'a day passes while the worker is stopped');
sql($node, q(SELECT taskq.enqueue_job('work') FROM generate_series(1, 20)));
wait_until($node, 'SELECT count(*) = 1 FROM taskq.jobs', 'other jobs run in the meantime');
is(sql($node, 'SELECT job_id, attempt, pid FROM taskq.running_jobs()'), "$job|1|$pid", 'the job still belongs to the stopped worker');
is(sql($node, qq(SELECT count(*) FROM app.ledger WHERE job_id = $job)), 0, 'no other worker has run the job');
is(sql_as($node, 'postgres', 'app', 'SELECT count(*) FROM taskq.run_next()'), 0, 'the job cannot be run by hand');
kill 'CONT', $pid;
settled($node, 'the job ends when the worker continues');
is(sql($node, qq(SELECT state, attempt, (SELECT count(*) FROM app.ledger l WHERE l.job_id = j.job_id), (SELECT min(pid) FROM app.ledger l WHERE l.job_id = j.job_id)
	FROM taskq.all_jobs j WHERE job_id = $job)), "completed|1|1|$pid", 'the job was run once, by that worker');
$node->stop;
clean_log($node);

# a crash that ends the postmaster ------------------------------------------

$node = new_node('left', conf => { restart_after_crash => 'off' });
make_misbehave($node, 'postgres', 'app');
add_type($node, 'postgres', 'app', $_) for 'work', 'gated', 'bad';
my $file = $node->data_dir . '/pg_taskq_suspects';

# Wait until the server has ended with a crash since the log had this length.
my $goes_down = sub {
	my ($offset, $name) = @_;
	wait_for_log_line($node, qr/shutting down because "?restart_after_crash"? is off/, $offset, $name);
	wait_for(sub { return !-e $node->data_dir . '/postmaster.pid' }) or die 'the postmaster does not end';
	$node->{_pid} = undef;
	return;
};
my $poison = q(SELECT taskq.enqueue_job('bad', '{"how": "abort"}'));

# (the crash may come before the answer to the statement that causes it)
my $before = log_since($node);
$node->psql('postgres', "BEGIN; $poison; SELECT taskq.enqueue_job('work') FROM generate_series(1, 50); COMMIT");
$goes_down->($before, 'the postmaster ends with the crash');
ok(-e $file, 'a file of suspects is written');
is((stat $file)[2] & 0777, 0600, 'only the owner can read the file');
my $suspects = slurp_file($file);

# After the start it crashes again when the job runs again. It may not be up before
# that, so do not wait for it.
$before = log_since($node);
PostgreSQL::Test::Utils::system_log('pg_ctl', '-W', '-D', $node->data_dir, '-l', $node->logfile, 'start');
$goes_down->($before, 'the postmaster ends again after the first start');
like(slurp_file($node->logfile, $before), qr/job \d+ of task type "bad" crashed the server\n/, 'the log names the job that crashed the server');
ok(-e $file, 'the file is written again after the second crash');
$node->start;
settled($node, 'the server starts, and all jobs end');
is(sql($node, q(SELECT state, attempt FROM taskq.all_jobs WHERE task_type = 'bad')), 'quarantined|2', 'the job that crashed the server is quarantined');
is(sql($node, q(SELECT count(*), count(DISTINCT job_id) FROM app.ledger)), '50|50', 'the other jobs have run once');
ok(!-e $file, 'the file is removed');

# a file that cannot be used ------------------------------------------------

my $other = $suspects;
substr($other, 8, 8) = pack('q', 42);
my $damaged = $suspects;
substr($damaged, 60, 1) ^= "\x01";
for my $case ([ 'an empty file', '' ], [ 'a short file', substr($suspects, 0, 100) ], [ 'a damaged file', $damaged ],
	[ 'a file of another cluster', $other ], [ 'rubbish', join('', map { chr(($_ * 7919) % 256) } 1 .. 5000) ])
{
	my ($what, $content) = @$case;
	$node->stop;
	PostgreSQL::Test::Utils::append_to_file($file, $content);
	$before = log_since($node);
	$node->start;
	like(slurp_file($node->logfile, $before), qr/file "pg_taskq_suspects" is damaged or belongs to another cluster, and is ignored/, "$what is ignored");
	ok(!-e $file, "$what is removed");
}
sql($node, q(SELECT taskq.enqueue_job('work')));
settled($node, 'jobs run after a start with an unreadable file');

# a file of an old crash, whose job has ended
$node->stop;
PostgreSQL::Test::Utils::append_to_file($file, $suspects);
$node->start;
sql($node, q(SELECT taskq.enqueue_job('work')));
settled($node, 'jobs run after a start with an old file');
is(sql($node, q(SELECT count(*) FROM taskq.attempts WHERE outcome = 'crashed')), 2, 'an old file blames no job');

# a file that cannot be read, written or removed
$node->stop;
mkdir $file or die;
PostgreSQL::Test::Utils::append_to_file("$file/x", 'x');
$before = log_since($node);
$node->start;
like(slurp_file($node->logfile, $before), qr/could not remove file "pg_taskq_suspects"/, 'the server starts with a file that cannot be removed');
my $runs = sql($node, q(SELECT count(*) FROM app.ledger));
sql($node, q(SELECT taskq.enqueue_job('work')));
settled($node, 'jobs run with a file that cannot be removed');
$before = log_since($node);
sql($node, q(ALTER SYSTEM SET taskq.clock_offset = '1 h'));
$node->psql('postgres', 'SELECT pg_reload_conf(); ' . $poison =~ s/\)$/, max_attempts => 1)/r);
$goes_down->($before, 'the server crashes with a file that cannot be written');
like(slurp_file($node->logfile, $before), qr/could not write file "pg_taskq_suspects"/, 'the log says that the file cannot be written');
unlink "$file/x";
rmdir $file;

# an immediate stop and the end of the postmaster blame no job
$node->append_conf('postgresql.conf', 'restart_after_crash = on');
$before = log_since($node);
$node->start;
wait_until($node, q(SELECT count(*) = 0 FROM taskq.jobs WHERE attempt = 0), 'without the file, the job runs as usual');
$gate = hold_gate($node, 1);
sql($node, q(SELECT taskq.enqueue_job('gated', '{"gate": 1}') FROM generate_series(1, 3)));
wait_until($node, 'SELECT count(*) = 3 FROM taskq.running_jobs()', 'three jobs run before an immediate stop');
$node->stop('immediate');
eval { $gate->quit };
ok(!-e $file, 'an immediate stop leaves no file');
$node->start;
settled($node, 'the three jobs end after the start');
is(sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE task_type = 'gated' AND state = 'completed' AND attempt = 1)), 3, 'the three jobs complete in their first attempt');

# a process that overwrites the memory of blame.c before it crashes does no other
# harm
$node->psql('postgres', q(SELECT app.misbehave('scribble and abort')));
ok(poll($node, 'SELECT true'), 'the server restarts after the memory of blame.c was overwritten');
sql($node, q(SELECT taskq.enqueue_job('work')));
settled($node, 'jobs run after the memory of blame.c was overwritten');
$node->stop;
clean_log($node, but => qr/was terminated by signal 6|is damaged or belongs to another cluster|taskq does not know which jobs/);
done_testing();
