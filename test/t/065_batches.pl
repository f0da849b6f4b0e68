# Rows that are inserted together have their entries in every index, also in one that is
# being built or rebuilt meanwhile.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('batches', conf => { 'taskq.worker_idle' => "'1h'" });
plan skip_all => 'amcheck is not installed' if sql($node, q(SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck')) eq '0';
sql($node, 'CREATE EXTENSION amcheck');
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('outside')));

my $enqueue = q(SELECT count(*) FROM taskq.enqueue_jobs('outside', array_fill('{"n": 1}'::jsonb, ARRAY[300]), tenant_id => 'anna'));
my $complete = q(SELECT count(*) FROM (SELECT COALESCE(array_agg(job_id), '{}') ids, COALESCE(array_agg(epoch), '{}') epochs
	FROM taskq.claim_jobs('w' || pg_backend_pid(), 200, '{outside}')) j, taskq.complete_jobs(ids, epochs));
$complete =~ s/\s+/ /g;

# Check that each row of the tables has its entries in all of their indexes.
my $checked = sub {
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	command_ok([ 'pg_amcheck', '--heapallindexed', '-h', $node->host, '-p', $node->port, '-t', 'taskq.jobs', '-t', 'taskq.job_history*', 'postgres' ],
		"$what: each row has its entries");
	return;
};

# The first batch makes the scheduler create the partition of the history.
my $batcher = session($node);
$batcher->query_safe($enqueue);
is($batcher->query_safe($complete), 200, 'jobs are completed together');
ok(poll($node, q(SELECT count(*) = 0 FROM taskq.job_history_overflow)), 'their rows reach the partition of their day');
$batcher->query_safe($complete);
$checked->('a quiet table');
my $leaf = sql($node, q(SELECT tableoid::regclass FROM taskq.job_history LIMIT 1));

# A session that has written before goes on writing while an index is made anew. The
# writers delay REINDEX, first before it builds the index and then before it adds what is
# missing, and the old snapshot delays it after that.
my @rebuilt = (
	[ 'jobs', 'REINDEX INDEX CONCURRENTLY taskq.jobs_open' ],
	[ 'jobs', 'REINDEX INDEX CONCURRENTLY taskq.jobs_pkey' ],
	[ 'jobs', 'CREATE INDEX CONCURRENTLY mine ON taskq.jobs (tenant_id, job_id)' ],
	[ 'jobs', q(CREATE INDEX CONCURRENTLY theirs ON taskq.jobs ((payload->>'n')) WHERE gate <> 'r') ],
	[ $leaf, "REINDEX TABLE CONCURRENTLY $leaf" ],
);
for my $case (@rebuilt)
{
	my ($table, $statement) = @$case;
	my %w = map { $_ => session($node) } qw(before while old);
	my %pid = map { $_ => $w{$_}->query_safe('SELECT pg_backend_pid()') } keys %w;
	my $ddl = session($node);
	my $waits = sub {
		my ($for, $with) = @_;
		return wait_until($node, "SELECT count(*) = 1 FROM pg_stat_activity a JOIN pg_locks l USING (pid) WHERE query LIKE '%CONCURRENTLY%' AND NOT granted"
			. " AND virtualxid = (SELECT virtualtransaction FROM pg_locks WHERE pid = $pid{$for} LIMIT 1)", "$statement waits, with $with");
	};
	my $lock = 'LOCK TABLE ' . ($table =~ /\./ ? $table : "taskq.$table") . ' IN ROW EXCLUSIVE MODE';

	$w{before}->query_safe("BEGIN; $lock");
	$ddl->query_until(qr/begun/, "\\echo begun\n$statement;\n\\echo over\n");
	$waits->('before', 'an index that takes no rows yet');
	$batcher->query_safe($_) for $enqueue, $complete;
	$w{while}->query_safe("BEGIN; $lock");
	$w{old}->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT txid_current()');
	$w{before}->query_safe('COMMIT');
	$waits->('while', 'one that takes rows');
	$batcher->query_safe($_) for $enqueue, $complete;
	$w{while}->query_safe('COMMIT');
	$waits->('old', 'one that has all rows');
	$batcher->query_safe($_) for $enqueue, $complete;
	$w{old}->query_safe('COMMIT');
	$ddl->query_until(qr/over/, '');
	$checked->($statement);
	$_->quit for values %w, $ddl;
}
sql($node, 'DROP INDEX CONCURRENTLY taskq.theirs');

# The same under load.
my $load = $node->basedir . '/load.sql';
append_to_file($load, "$enqueue;\n$complete;\n$complete;\n");
my ($out, $err) = ('', '');
my $bench = IPC::Run::start([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', 4, '-t', 20, '-f', $load, 'postgres' ],
	'>', \$out, '2>', \$err);
my @errors;
for my $statement ('REINDEX TABLE CONCURRENTLY taskq.jobs', 'REINDEX TABLE CONCURRENTLY taskq.job_history', 'DROP INDEX CONCURRENTLY taskq.mine',
	'CREATE INDEX CONCURRENTLY mine ON taskq.jobs (tenant_id, job_id)', 'REINDEX TABLE CONCURRENTLY taskq.jobs', 'REINDEX TABLE taskq.jobs')
{
	my ($rc, $stdout, $stderr) = $node->psql('postgres', $statement);
	push @errors, $stderr if $rc != 0;
}
$bench->finish;
is(join('', @errors), '', 'under load: each rebuild ends');
unlike($err, qr/ERROR|FATAL/, 'under load: no client gets an error');
$checked->('under load');
$batcher->query_safe($enqueue);
is($batcher->query_safe($complete), 200, 'jobs are enqueued and completed afterwards');

$batcher->quit;
$node->stop;
clean_log($node);
done_testing();
