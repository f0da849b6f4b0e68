# Job ids, epochs and event positions are never given out twice: with many sessions,
# after crashes, with and without preload, and when the extension is created again.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('counters');
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('outside')));
sql($node, q(SELECT taskq.register_worker('w')));


# The highest job id and epoch of the last look; a look draws new ones, which must be
# higher.
my ($job, $epoch) = (0, 0);
my $draw = sub {
	my ($what) = @_;
	my ($new_job, $new_epoch) = split /\|/, sql($node, q(SELECT taskq.enqueue_job('outside') AS id \gset
		SELECT :id, epoch & ((1::bigint << 48) - 1) FROM taskq.claim_job('w')));
	cmp_ok($new_job, '>', $job, "$what: the job id is higher than all before");
	cmp_ok($new_epoch, '>', $epoch, "$what: the epoch is higher than all before");
	($job, $epoch) = ($new_job, $new_epoch);
	return;
};
# Does the sequence hold a ceiling, which is beyond the numbers that were given out?
my $has_ceiling = sub { return sql($node, 'SELECT last_value > ' . ($job + 1) . ' FROM taskq.job_id_seq') };
$draw->('at first');
is($has_ceiling->(), 't', 'the sequence holds the ceiling');

# many sessions -------------------------------------------------------------------

# as many numbers as need the ceiling to be raised several times
my $many = join '; ', (q(SELECT taskq.enqueue_jobs('outside', array_agg('{}'::jsonb)) FROM generate_series(1, 2500))) x 2;
my @sessions;
for (1 .. 4)
{
	my %session = (out => '');
	$session{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', $many ], '<', '/dev/null', '>', \$session{out});
	push @sessions, \%session;
}
my %drawn;
for my $session (@sessions)
{
	$session->{run}->finish;
	my @ids = split /\n/, $session->{out};
	is("@ids", join(' ', sort { $a <=> $b } @ids), 'the ids of a session rise');
	$drawn{$_}++ for @ids;
	$job = $ids[-1] if $ids[-1] > $job;
}
is(scalar(keys %drawn), 20000, 'no id was given to two sessions');

# crashes ------------------------------------------------------------------------

# numbers that a transaction showed before its end
for my $how ('crash', 'immediate')
{
	my $session = session($node);
	($job, $epoch) = split /\|/, $session->query_safe(q(BEGIN; SELECT taskq.enqueue_job('outside') AS id \gset
		SELECT :id, epoch & ((1::bigint << 48) - 1) FROM taskq.claim_job('w')));
	if ($how eq 'crash') { crash($node, $session->query_safe('SELECT pg_backend_pid()')) }
	else { $node->stop('immediate'); $node->start }
	eval { $session->quit };
	$draw->("after the transaction of a number ended by $how");
}

# with and without preload -----------------------------------------------------------

for my $preload ("''", "'taskq'", "''", "''", "'taskq'")
{
	$node->append_conf('postgresql.conf', "shared_preload_libraries = $preload");
	$node->stop($preload eq "''" ? 'immediate' : 'fast');
	$node->start;
	$draw->("preload $preload");
	$draw->("preload $preload again");
	is($has_ceiling->(), $preload eq "''" ? 'f' : 't', $preload eq "''" ? 'without preload, numbers come from the sequence' : 'with preload, the sequence holds the ceiling');
}

# a database without an entry in shared memory -------------------------------------

$node->append_conf('postgresql.conf', 'taskq.max_databases = 1');
$node->restart;
pid_of($node, 'scheduler');
sql($node, 'CREATE DATABASE other');
sql($node, q(SET client_min_messages = error; CREATE EXTENSION taskq; SELECT taskq.register_handler('outside'); SELECT taskq.enqueue_job('outside')), 'other');
is(sql($node, q(SELECT last_value FROM taskq.job_id_seq), 'other'), 1, 'without an entry for the database, numbers come from the sequence');
sql($node, 'ALTER SYSTEM SET taskq.max_databases = 10');
$node->restart;
wait_until($node, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler' AND datname = 'other'), 'the database has an entry now');
is(sql($node, q(SELECT taskq.enqueue_job('outside')), 'other'), 2, 'the counter goes on after the sequence');
sql($node, 'DROP DATABASE other');

# restored values --------------------------------------------------------------------

# a value that a restore sets counts when the ceiling is raised next
sql($node, q(SELECT setval('taskq.job_id_seq', 5000000); SELECT taskq.enqueue_jobs('outside', array_agg('{}'::jsonb)) FROM generate_series(1, 5000)));
$draw->('after setval');
cmp_ok($job, '>', 5000000, 'numbers are beyond the value of setval');
sql($node, q(SELECT setval('taskq.job_id_seq', 10); SELECT taskq.enqueue_jobs('outside', array_agg('{}'::jsonb)) FROM generate_series(1, 5000)));
$draw->('after setval of a low value');

# adopt_database() lets a restored value count at once, also one below the ceiling
$node->restart;
my $drawn = sql($node, q(SELECT taskq.enqueue_job('outside')));
sql($node, sprintf q(SELECT setval('taskq.job_id_seq', %d), taskq.adopt_database()), $drawn + 2000);
cmp_ok(sql($node, q(SELECT taskq.enqueue_job('outside'))), '>', $drawn + 2000, 'a value that is set below the ceiling counts, too');
sql($node, q(SELECT setval('taskq.job_id_seq', 7000000), setval('taskq.epoch_seq', last_value + 10000) FROM taskq.epoch_seq));
sql($node, q(SELECT taskq.adopt_database()));
$draw->('after adopt_database()');
cmp_ok($job, '>', 7000000, 'adopt_database() goes on after a value that was set');

# the end of the numbers
sql($node, q(SELECT setval('taskq.job_id_seq', 281474976710655 - 50); SELECT taskq.adopt_database()));
is(sql($node, q(SELECT count(*) FROM taskq.enqueue_jobs('outside', array_fill('{}'::jsonb, ARRAY[50])))), 50, 'the last numbers of a sequence are given out');
fails_with($node, '2200H', q(SELECT taskq.enqueue_job('outside')), 'after them an error says that there are no more');
sql($node, q(SELECT setval('taskq.job_id_seq', 8000000)));
$node->restart;
cmp_ok(sql($node, q(SELECT taskq.enqueue_job('outside'))), '>', 8000000, 'the sequence can be set back');

# the extension is created again ------------------------------------------------------

sql($node, q(BEGIN; DROP EXTENSION taskq; CREATE EXTENSION taskq;
	SELECT taskq.register_handler('outside'); SELECT taskq.enqueue_job('outside'); SELECT taskq.claim_job('w', ARRAY['outside']); ROLLBACK));
$draw->('after a rolled back DROP and CREATE EXTENSION');
my $old = $epoch;
sql($node, q(DROP EXTENSION taskq; CREATE EXTENSION taskq; SELECT taskq.register_handler('outside'); SELECT taskq.register_worker('w')));
($job, $epoch) = (0, $old);
$draw->('after DROP and CREATE EXTENSION');
is($job, 1, 'job ids of the new extension start at 1');
cmp_ok($epoch, '<', $old + 1e12, 'its epochs do not come from the old counter');

# events --------------------------------------------------------------------------

# the position up to which the log can be read goes by the counter, not the ceiling
sql($node, q(SELECT taskq.alter_queue('default', events => true)));
my $last = sql($node, q(SELECT taskq.enqueue_job('outside') \g /dev/null
	SELECT max(event_id) FROM taskq.event_log));
is(sql($node, 'SELECT taskq.event_position()'), $last, 'event_position() is the last position given out');
cmp_ok(sql($node, 'SELECT last_value FROM taskq.event_id_seq'), '>', $last, 'the ceiling is beyond it');
sql($node, q(SELECT taskq.enqueue_job('outside')));
is(sql($node, "SELECT count(*) FROM taskq.read_events($last)"), 1, 'an event after that position is read');
$node->stop('immediate');
$node->start;
$last = sql($node, 'SELECT taskq.event_position()');
is(sql($node, q(SELECT last_value FROM taskq.event_id_seq)), $last, 'after a crash, event_position() is the ceiling, as the last position is not known');
sql($node, q(SELECT taskq.enqueue_job('outside')));
is(sql($node, "SELECT count(*) FROM taskq.read_events($last)"), 1, 'an event after that position is read');

clean_log($node, but => qr/was terminated by signal 9/);
done_testing();
