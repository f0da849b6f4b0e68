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

# in one session -----------------------------------------------------------------

sql($node, $add);
sql($node, $claim);
is($told->(), 'admit', 'a claim that is committed holds the admission');
sql($node, "BEGIN; $complete; ROLLBACK");
is($told->(), '', 'and so it does when the end of the run is rolled back');
sql($node, "BEGIN; SAVEPOINT a; $complete; ROLLBACK TO a; COMMIT");
is($told->(), '', 'also to a savepoint');
sql($node, "BEGIN; SAVEPOINT a; SAVEPOINT b; $complete; RELEASE b; ROLLBACK TO a; $complete; COMMIT");
is($told->(), 'ended', 'it ends when the end of the run is committed');

sql($node, $add);
sql($node, "BEGIN; $claim; ROLLBACK");
is($told->(), 'admit undone', 'it ends when the claim is rolled back');
sql($node, "BEGIN; SAVEPOINT a; $claim; ROLLBACK TO a; COMMIT");
is($told->(), 'admit undone', 'also to a savepoint');
sql($node, "BEGIN; SAVEPOINT a; SAVEPOINT b; $claim; RELEASE b; ROLLBACK TO a; $claim; ROLLBACK");
is($told->(), 'admit undone admit undone', 'once for each claim');
sql($node, q(DO $$ BEGIN PERFORM taskq.claim_job('w'); RAISE 'no'; EXCEPTION WHEN raise_exception THEN NULL; END $$));
is($told->(), 'admit undone', 'it ends when an exception block undoes the claim');
sql($node, "BEGIN; $claim; $complete; COMMIT");
is($told->(), 'admit ended', 'a run may end in the transaction of its claim');
sql($node, $add);
sql($node, "BEGIN; $claim; SAVEPOINT a; $complete; ROLLBACK TO a; COMMIT");
is($told->(), 'admit', 'if that is rolled back to a savepoint, the claim goes on');
sql($node, $complete);
is($told->(), 'ended', 'until the run ends');

sql($node, "$add; $add; $add; $add");
sql($node, q(BEGIN; SELECT count(*) FROM taskq.claim_jobs('w', 4); ROLLBACK));
is($told->(), 'admit admit admit undone undone undone', 'as many are admitted as the worker has permits');
sql($node, q(SELECT count(*) FROM taskq.claim_jobs('w', 2)));
is($told->(), 'admit admit', 'a batch');
my $job = sql($node, q(SELECT min(job_id) FROM taskq.jobs WHERE state = 'r'));
sql($node, qq(SELECT taskq.release_job(job_id, epoch) FROM taskq.jobs WHERE job_id = $job));
is($told->(), 'ended', 'a job that is put back has ended its run');
sql($node, q(SELECT taskq.unregister_worker('w')));
is($told->(), 'ended', 'as have those of a worker that is unregistered');
sql($node, q(SELECT taskq.register_worker('w', ARRAY['outside'], max_concurrent_jobs => 3)));
sql($node, q(SELECT taskq.cancel_job(job_id) FROM taskq.jobs));
is($told->(), '', 'a job that never started was never admitted');

# prepared transactions --------------------------------------------------------------

sql($node, "$add; $add; $add; $add");
sql($node, q(SELECT count(*) FROM taskq.claim_jobs('w', 3)));
$told->();
$job = sql($node, q(SELECT min(job_id) FROM taskq.jobs WHERE state = 'r'));
my $complete_one = "SELECT taskq.complete_job(job_id, epoch) FROM taskq.jobs WHERE job_id = $job";
my $claimed = sub { return sql($node, q(SELECT count(job_id) FROM taskq.claim_job('w'))) };
sql($node, "BEGIN; $complete_one; PREPARE TRANSACTION 'p'");
is($told->(), 'prepared', 'PREPARE TRANSACTION tells the rules that the end of a run is prepared');
is($claimed->(), 0, 'the prepared transaction holds the permit');
sql($node, q(ROLLBACK PREPARED 'p'));
is($told->(), '', 'ROLLBACK PREPARED leaves the claim in force');
is($claimed->(), 0, 'and its permit is taken');
sql($node, "BEGIN; SAVEPOINT a; $complete_one; RELEASE a; SAVEPOINT b; $complete; ROLLBACK TO b; PREPARE TRANSACTION 'p'");
is($told->(), 'prepared', 'what is rolled back to a savepoint is not prepared');
$node->restart;
is($claimed->(), 0, 'a restart of the server changes nothing');
sql($node, q(COMMIT PREPARED 'p'));
is($told->(), '', 'COMMIT PREPARED tells nothing more');
is($claimed->(), 1, 'the permit is free');
is($told->(), 'admit', 'for another job');
sql($node, "$complete");
$told->();

# processes that die --------------------------------------------------------------------

sql($node, $add);
my $s = session($node);
$s->query_safe("BEGIN; $claim");
my $pid = $s->query_safe('SELECT pg_backend_pid()');
sql($node, "SELECT pg_terminate_backend($pid, 60000)");
$s->quit;
is($told->(), 'admit undone', 'a session that is terminated ends what it has not committed');

add_type($node, 'postgres', 'app', 'work');
sql($node, q(SELECT taskq.cancel_job(job_id) FROM taskq.jobs));
sql($node, q(SELECT taskq.enqueue_job('work')));
settled($node, 'a job runs in a worker');
is($told->(), 'admit ended', 'a run in a worker ends with its transaction');
done_testing();
