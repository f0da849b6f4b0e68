# The rules of admission are told once of the end of each claim and run, whichever way it ends.
# A rule that only builds for tests have writes down what it is told.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('admission', conf => { restart_after_crash => 'on' });
plan skip_all => 'needs a build with TESTING=1'
  if sql($node, q(SELECT count(*) FROM pg_settings WHERE name = 'taskq.injection_point')) == 0;
my $notes = $node->data_dir . '/taskq_test_admissions';
append_to_file($notes, '');

sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('outside')));
sql($node, q(SELECT taskq.register_worker('w', ARRAY['outside'], max_concurrent_jobs => 3)));

# What the rule was told since the last call, without the numbers of the jobs.
my $read = 0;
my $told = sub {
	my $all = slurp_file($notes);
	my @lines = split /\n/, substr($all, $read);
	$read = length $all;
	return join ' ', map { (split / /)[0] } @lines;
};
my $claim = q(SELECT job_id, epoch FROM taskq.claim_job('w'));
my $complete = q(SELECT taskq.complete_job(job_id, epoch) FROM taskq.jobs WHERE state = 'r');
my $add = q(SELECT taskq.enqueue_job('outside'));

# commit, rollback and savepoints -----------------------------------------------------------------

sql($node, $add);
sql($node, $claim);
is($told->(), 'admit', 'a committed claim is admitted, and the admission goes on');
sql($node, "BEGIN; $complete; ROLLBACK");
is($told->(), '', 'the admission goes on if the end of the run is rolled back');
sql($node, "BEGIN; SAVEPOINT a; $complete; ROLLBACK TO a; COMMIT");
is($told->(), '', 'the admission goes on if the end of the run is rolled back to a savepoint');
sql($node, "BEGIN; SAVEPOINT a; SAVEPOINT b; $complete; RELEASE b; ROLLBACK TO a; $complete; COMMIT");
is($told->(), 'ended', 'the admission ends when the end of the run is committed');

sql($node, $add);
sql($node, "BEGIN; $claim; ROLLBACK");
is($told->(), 'admit undone', 'the admission is undone when the claim is rolled back');
sql($node, "BEGIN; SAVEPOINT a; $claim; ROLLBACK TO a; COMMIT");
is($told->(), 'admit undone', 'the admission is undone when the claim is rolled back to a savepoint');
sql($node, "BEGIN; SAVEPOINT a; SAVEPOINT b; $claim; RELEASE b; ROLLBACK TO a; $claim; ROLLBACK");
is($told->(), 'admit undone admit undone', 'each claim that is rolled back undoes its admission once');
sql($node, q(DO $$ BEGIN PERFORM taskq.claim_job('w'); RAISE 'no'; EXCEPTION WHEN raise_exception THEN NULL; END $$));
is($told->(), 'admit undone', 'the admission is undone when an exception block rolls back the claim');
sql($node, "BEGIN; $claim; $complete; COMMIT");
is($told->(), 'admit ended', 'the admission ends when a run ends in the transaction of its claim');
sql($node, $add);
sql($node, "BEGIN; $claim; SAVEPOINT a; $complete; ROLLBACK TO a; COMMIT");
is($told->(), 'admit', 'the admission goes on if that end is rolled back to a savepoint');
sql($node, $complete);
is($told->(), 'ended', 'the admission then ends with the run');

sql($node, "$add; $add; $add; $add");
sql($node, q(BEGIN; SELECT count(*) FROM taskq.claim_jobs('w', 4); ROLLBACK));
is($told->(), 'admit admit admit undone undone undone', 'as many jobs are admitted as the worker has permits');
sql($node, q(SELECT count(*) FROM taskq.claim_jobs('w', 2)));
is($told->(), 'admit admit', 'each job of a batch is admitted');
my $job = sql($node, q(SELECT min(job_id) FROM taskq.jobs WHERE state = 'r'));
sql($node, qq(SELECT taskq.release_job(job_id, epoch) FROM taskq.jobs WHERE job_id = $job));
is($told->(), 'ended', 'the admission ends when the job is released');
sql($node, q(SELECT taskq.unregister_worker('w')));
is($told->(), 'ended', 'the admission ends when the worker is unregistered');
sql($node, q(SELECT taskq.register_worker('w', ARRAY['outside'], max_concurrent_jobs => 3)));
sql($node, q(SELECT taskq.cancel_job(job_id) FROM taskq.jobs));
is($told->(), '', 'cancelling a job that has not started ends no admission');

# prepared transactions --------------------------------------------------------------

sql($node, "$add; $add; $add; $add");
sql($node, q(SELECT count(*) FROM taskq.claim_jobs('w', 3)));
$told->();
$job = sql($node, q(SELECT min(job_id) FROM taskq.jobs WHERE state = 'r'));
my $complete_one = "SELECT taskq.complete_job(job_id, epoch) FROM taskq.jobs WHERE job_id = $job";
my $claimed = sub { return sql($node, q(SELECT count(job_id) FROM taskq.claim_job('w'))) };
sql($node, "BEGIN; $complete_one; PREPARE TRANSACTION 'p'");
is($told->(), 'prepared', 'PREPARE TRANSACTION tells the rules that the end of a run is prepared');
is($claimed->(), 0, 'the prepared transaction keeps the permit');
sql($node, q(ROLLBACK PREPARED 'p'));
is($told->(), '', 'ROLLBACK PREPARED leaves the claim in force');
is($claimed->(), 0, 'the claim still holds its permit after ROLLBACK PREPARED');
sql($node, "BEGIN; SAVEPOINT a; $complete_one; RELEASE a; SAVEPOINT b; $complete; ROLLBACK TO b; PREPARE TRANSACTION 'p'");
is($told->(), 'prepared', 'ends that are rolled back to a savepoint are not prepared');
$node->restart;
is($claimed->(), 0, 'the prepared transaction keeps the permit over a restart');
sql($node, q(COMMIT PREPARED 'p'));
is($told->(), '', 'COMMIT PREPARED tells the rules nothing more');
is($claimed->(), 1, 'the permit is free after COMMIT PREPARED');
is($told->(), 'admit', 'the job that gets the permit is admitted');
sql($node, "$complete");
$told->();

# processes that die --------------------------------------------------------------------

sql($node, $add);
my $s = session($node);
$s->query_safe("BEGIN; $claim");
my $pid = $s->query_safe('SELECT pg_backend_pid()');
sql($node, "SELECT pg_terminate_backend($pid, 60000)");
$s->quit;
is($told->(), 'admit undone', 'the admission is undone when the session of the claim is terminated');

add_type($node, 'postgres', 'app', 'work');
sql($node, q(SELECT taskq.cancel_job(job_id) FROM taskq.jobs));
sql($node, q(SELECT taskq.enqueue_job('work')));
settled($node, 'a job runs in a worker');
is($told->(), 'admit ended', 'the admission of a run in a worker ends with its transaction');
done_testing();
