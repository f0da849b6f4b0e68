# Many claimers of one queue do not collide: each job is claimed once, each claim gets what it
# asks for while there is enough, and hardly any job is tried in vain.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

use constant CLAIMERS => 64;

my $node = new_node('claimers', conf => { max_connections => CLAIMERS + 20, fsync => 'off' });
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('outside')));
plan skip_all => 'needs a build with TESTING=1' if $node->psql('postgres', q(CREATE FUNCTION app.tries() RETURNS bigint LANGUAGE C AS 'taskq', 'taskq_test_tries')) != 0;
sql($node, q(CREATE TABLE app.claims (call text, job_id bigint); CREATE TABLE app.tries (pid integer PRIMARY KEY, n bigint)));

# Each claimer makes so many calls, each for so many jobs, while twice as many jobs wait.
sub claim
{
	my ($calls, $jobs, $call, $name) = @_;
	my $wanted = CLAIMERS * $calls * $jobs;

	sql($node, q(TRUNCATE app.claims, app.tries));
	sql($node, qq(SELECT count(*) FROM taskq.enqueue_jobs('outside', array_fill('{}'::jsonb, '{@{[ 2 * $wanted ]}}'))));
	$node->pgbench('-n -M prepared -c ' . CLAIMERS . " -j 2 -t $calls", 0, [qr/processed: @{[ CLAIMERS * $calls ]}\//], [qr/^$/], $name,
		{ "079_$jobs" => qq(INSERT INTO app.claims SELECT pg_backend_pid() || '-' || txid_current(), job_id FROM $call;
			INSERT INTO app.tries VALUES (pg_backend_pid(), app.tries()) ON CONFLICT (pid) DO UPDATE SET n = EXCLUDED.n;) });
	is(sql($node, q(SELECT count(*), count(DISTINCT job_id) FROM app.claims)), "$wanted|$wanted", "$name: each job is claimed once");
	is(sql($node, q(SELECT count(*), min(n), max(n) FROM (SELECT count(*) AS n FROM app.claims GROUP BY call) c)), CLAIMERS * $calls . "|$jobs|$jobs", "$name: each call gets what it asks for");
	my $vain = sql($node, q(SELECT sum(n) FROM app.tries)) - $wanted;
	note("$vain jobs were tried in vain");
	# mostly 0; but on a busy machine a claimer may be kept waiting for so long that it reads the index itself
	cmp_ok($vain, '<=', $wanted, "$name: hardly any job is tried in vain");
	return;
}

claim(100, 1, q(taskq.claim_job('w' || :client_id, '{outside}')), 'single claims');
claim(5, 50, q(taskq.claim_jobs('w' || :client_id, 50, '{outside}')), 'batches');
clean_log($node);
done_testing();
