# Tables and indexes are rebuilt, moved and exchanged while sessions stay connected.
# No session gets an error about a relation that is gone, and no job is lost.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('rebuild', conf => { allow_in_place_tablespaces => 'on', 'taskq.worker_idle' => "'1h'" });
add_type($node, 'postgres', 'app', 'work');
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('outside')));
sql($node, q(CREATE TABLESPACE elsewhere LOCATION ''));
sql($node, q(SELECT taskq.register_worker('heart', ARRAY['outside'])));

my %s = map { $_ => session($node) } qw(enqueuer claimer heart settler);

# Run a statement in one of the sessions, and record its error.
my $wrong = '';
my $ask = sub {
	my ($who, $statement) = @_;
	$s{$who}->{stderr} = '';
	my $answer = $s{$who}->query($statement);
	$wrong .= "$who: $s{$who}->{stderr}" if $s{$who}->{stderr} =~ /ERROR|FATAL/;
	return $answer;
};

# Run one job of each kind through the connected sessions.
my $round = sub {
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$wrong = '';
	$ask->('enqueuer', q(SELECT taskq.enqueue_job('work'), taskq.enqueue_job('work', delay => '1 ms')));
	my $enqueued = $ask->('enqueuer', q(SELECT taskq.enqueue_job('outside')));
	my $claimed = $ask->('claimer', q(SELECT job_id || ', ' || epoch FROM taskq.claim_job('claimer', ARRAY['outside'])));
	like($claimed, qr/^\Q$enqueued\E, \d+$/, "$what: the job is claimed");
	$ask->('heart', "SELECT taskq.heartbeat_job($claimed)");
	$ask->('heart', q(SELECT taskq.worker_heartbeat('heart')));
	is($ask->('settler', "SELECT taskq.complete_job($claimed)"), 't', "$what: and settled");
	is($ask->('settler', "SELECT state FROM taskq.describe_job($enqueued)"), 'completed', "$what: and described");
	is($ask->('settler', "SELECT taskq.retry_job($enqueued, force => true)"), 't', "$what: and put back");
	$ask->('settler', "SELECT taskq.cancel_job($enqueued)");
	settled($node, "$what: pool and scheduler do theirs");
	is($wrong, '', "$what: no session is told of an error");
	return;
};

# An index is missing for a moment, or has another name, while it is exchanged.
my $open = 'ON taskq.jobs (route_id, priority, run_at, job_id) WHERE gate = \'o\'';
my @rebuilds = (
	[ 'nothing' ],
	(map { [ "REINDEX INDEX CONCURRENTLY taskq.$_" ] } qw(jobs_open jobs_pkey jobs_running external_workers_pkey cancel_requests_job)),
	[ 'REINDEX TABLE CONCURRENTLY taskq.jobs' ],
	[ 'REINDEX SCHEMA CONCURRENTLY taskq' ],
	[ 'REINDEX (CONCURRENTLY) DATABASE postgres' ],
	[ 'REINDEX TABLE taskq.jobs' ],
	[ 'REINDEX SCHEMA taskq' ],
	[ 'CLUSTER taskq.jobs USING jobs_pkey' ],
	[ 'VACUUM FULL taskq.jobs' ],
	[ 'VACUUM FULL' ],
	[ 'ALTER TABLE taskq.jobs SET (fillfactor = 70)' ],
	[ 'ALTER INDEX taskq.jobs_open SET TABLESPACE elsewhere', 'ALTER TABLE taskq.jobs SET TABLESPACE elsewhere',
		'ALTER INDEX taskq.jobs_pkey SET TABLESPACE elsewhere' ],
	[ 'REINDEX (CONCURRENTLY, TABLESPACE pg_default) TABLE taskq.jobs' ],
	[ "CREATE INDEX CONCURRENTLY jobs_open_new $open", 'DROP INDEX CONCURRENTLY taskq.jobs_open', 'ALTER INDEX taskq.jobs_open_new RENAME TO jobs_open' ],
	[ "CREATE INDEX jobs_open_new $open", 'ALTER INDEX taskq.jobs_open RENAME TO jobs_open_old', 'DROP INDEX taskq.jobs_open_old',
		'ALTER INDEX taskq.jobs_open_new RENAME TO jobs_open' ],
	[ 'CREATE UNIQUE INDEX CONCURRENTLY jobs_new ON taskq.jobs (job_id)',
		'ALTER TABLE taskq.jobs DROP CONSTRAINT jobs_pkey, ADD CONSTRAINT jobs_pkey PRIMARY KEY USING INDEX jobs_new' ],
	[ 'CREATE INDEX mine ON taskq.jobs (tenant_id)', 'DROP INDEX CONCURRENTLY taskq.mine' ],
	[ 'ALTER EXTENSION taskq UPDATE' ],
);
for my $rebuild (@rebuilds)
{
	for my $statement (@$rebuild)
	{
		sql($node, $statement) unless $statement eq 'nothing';
		$round->($statement);
	}
}

# An index that was dropped: the error names it, and says how to create it.
sql($node, 'DROP INDEX taskq.jobs_open');
$s{claimer}->query(q(\set VERBOSITY verbose));
$s{claimer}->{stderr} = '';
$s{claimer}->query(q(BEGIN; SELECT taskq.enqueue_job('outside'), taskq.claim_job('claimer', ARRAY['outside']); ROLLBACK));
like($s{claimer}->{stderr}, qr/ERROR:\s+42704: index "jobs_open" of table taskq\.jobs does not exist/, 'without its index a claim says which one is missing');
like($s{claimer}->{stderr}, qr/HINT:\s+Run (CREATE INDEX jobs_open ON taskq\.jobs [^;]*;)/, 'the hint has the statement that creates the index');
is(sql($node, q(SELECT value FROM taskq.status() WHERE name = 'indexes')), 'jobs_open is missing', 'status() names the missing index');
sql($node, $s{claimer}->{stderr} =~ /HINT:\s+Run (CREATE INDEX [^;]*;)/);
is(sql($node, q(SELECT count(*) FROM taskq.status() WHERE name = 'indexes')), 0, 'status() has no row after the index was created again');
$round->('the index made anew');

# A new index contains all rows from the moment when it is ready, also those of a
# session that has used the table before. The writers delay REINDEX before it builds
# the index and before it adds missing entries, and the old snapshot delays it after
# that.
my %w = map { $_ => session($node) } qw(before while old);
my $reindex = session($node);
my $reindex_waits = sub {
	my ($event, $for) = @_;
	return wait_until($node, "SELECT count(*) = 1 FROM pg_stat_activity a JOIN pg_locks l USING (pid) WHERE query LIKE 'REINDEX%' AND NOT granted"
		. " AND virtualxid = (SELECT virtualtransaction FROM pg_locks WHERE pid = $for LIMIT 1)", "REINDEX waits for $event");
};
my %pid = map { $_ => $w{$_}->query_safe('SELECT pg_backend_pid()') } keys %w;
sql($node, q(SELECT taskq.pause_queue('default')));
$w{before}->query_safe(q(BEGIN; SELECT taskq.enqueue_job('outside')));
$reindex->query_until(qr/begun/, "\\echo begun\nREINDEX INDEX CONCURRENTLY taskq.jobs_open;\n\\echo over\n");
$reindex_waits->('a writer, with an index that takes no rows yet', $pid{before});
$ask->('enqueuer', q(SELECT taskq.enqueue_job('outside')));
$w{while}->query_safe(q(BEGIN; SELECT taskq.enqueue_job('outside')));
$w{old}->query_safe(q(BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT txid_current()));
$w{before}->query_safe('COMMIT');
$reindex_waits->('another, with one that is ready', $pid{while});
$w{while}->query_safe('COMMIT');
$reindex_waits->('an old snapshot, with one that has all the rows', $pid{old});
$ask->('enqueuer', q(SELECT taskq.enqueue_job('outside') FROM generate_series(1, 3)));
$w{old}->query_safe('COMMIT');
$reindex->query_until(qr/over/, '');
is(sql($node, q(SET enable_seqscan = off; SET enable_bitmapscan = off;
	SELECT count(*) FROM taskq.jobs WHERE gate = 'o' AND route_id > 0)), 6, 'the new index has all jobs');
sql($node, q(SELECT taskq.resume_queue('default'); SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE state = 'available'));
$_->quit for values %w, $reindex;

# All of this at the same time, under load.
my $load = $node->basedir . '/load.sql';
append_to_file($load, q(
SELECT taskq.enqueue_job('work');
SELECT taskq.enqueue_job('outside', max_attempts => 1000);
SELECT count(taskq.complete_job(job_id, epoch)) FROM taskq.claim_job('load:' || :client_id, ARRAY['outside'], lease => '1 h');
));
my ($out, $err) = ('', '');
my $bench = IPC::Run::start([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', 4, '-t', 300, '-f', $load, 'postgres' ],
	'>', \$out, '2>', \$err);
my @errors;
for (1 .. 3)
{
	for my $statement ('REINDEX SCHEMA CONCURRENTLY taskq', 'REINDEX TABLE taskq.jobs', 'VACUUM FULL taskq.jobs', 'CLUSTER taskq.jobs USING jobs_pkey',
		"CREATE INDEX CONCURRENTLY jobs_open_new $open", 'DROP INDEX CONCURRENTLY taskq.jobs_open', 'ALTER INDEX taskq.jobs_open_new RENAME TO jobs_open')
	{
		my ($rc, $stdout, $stderr) = $node->psql('postgres', $statement);
		push @errors, $stderr if $rc != 0;
	}
}
$bench->finish;
is(join('', @errors), '', 'under load: each rebuild ends');
unlike($err, qr/ERROR|FATAL/, 'under load: no client gets an error');
like($out, qr/number of transactions actually processed: 1200/, 'under load: each client makes all its transactions');
sql($node, q(SELECT count(taskq.complete_job(job_id, epoch)) FROM taskq.claim_jobs('rest', 10000, ARRAY['outside'])));
settled($node, 'under load: all jobs end');
is(sql($node, q(SELECT count(*) FROM taskq.all_jobs WHERE state NOT IN ('completed', 'cancelled'))), 0, 'under load: all jobs complete or are cancelled');
unlike(slurp_file($node->logfile), qr/could not open relation|could not find|cache lookup failed|current transaction is aborted|deadlock/, 'under load: the log has no error about relations');

$_->quit for values %s;
$node->stop;
clean_log($node);
done_testing();
