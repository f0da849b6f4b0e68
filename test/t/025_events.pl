# Events: waiting readers are woken, notifications are rare, logical decoding gets
# each event once, events are removed day by day, and positions only grow.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

# The poll interval is an hour, so whatever wakes in this test was woken.
my $node = new_node('events', init => { allows_streaming => 'logical' },
	conf => { 'taskq.poll_interval' => "'1 h'", 'taskq.max_wait' => "'1 h'", wal_level => 'logical', max_replication_slots => 4,
		shared_buffers => "'64 MB'", bgwriter_delay => "'10 s'", checkpoint_timeout => "'1 h'" });
add_type($node, 'postgres', 'app', 'work');
add_type($node, 'postgres', 'app', 'slow');
sql_as($node, 'postgres', 'app', q(SELECT taskq.register_handler('outside', retry_policy => 'none')));
sql($node, q(SELECT taskq.register_worker(w) FROM unnest('{w}'::text[]) AS w));
sql($node, q(SELECT taskq.alter_queue('default', events => true)));

sub leaves
{
	return sql($node, q(SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid
		WHERE inhparent = 'taskq.event_log'::regclass AND relname LIKE 'event_log_2%'));
}

# Return the log from a position on, as "event of job, ..."
sub events_after
{
	my ($position, $db) = @_;
	return sql($node, qq(SELECT string_agg(event || ' ' || job_id, ', ' ORDER BY event_id) FROM taskq.read_events($position, 10000)), $db);
}

sub last_position
{
	return sql($node, 'SELECT COALESCE(max(event_id), 0) FROM taskq.events');
}

# leaves, and every end of a run ----------------------------------------------

wait_until($node, q(SELECT count(*) = 2 FROM pg_inherits JOIN pg_class ON inhrelid = pg_class.oid WHERE inhparent = 'taskq.event_log'::regclass AND relname LIKE 'event_log_2%'),
	'switching events on creates the partitions of today and tomorrow');
my $job = sql($node, q(SELECT taskq.enqueue_job('work', correlation_id => 'r')));
settled($node, 'a job completes in the pool');
is(events_after(0), "enqueued $job, completed $job", 'the log has the events of the job');
is(sql($node, q(SELECT worker_id LIKE 'app%', correlation_id, metadata ? 'started_at' FROM taskq.events WHERE event = 'completed')), 't|r|t', 'the event has worker, correlation id and start');
is(sql($node, q(SELECT count(*) FROM taskq.event_log_overflow)), 0, 'no event is in the overflow partition');

my $at = last_position();
$job = sql($node, q(SELECT taskq.enqueue_job('slow')));
wait_until($node, q(SELECT count(*) = 1 FROM taskq.running_jobs()), 'a job runs before its worker is ended');
is(events_after($at), "enqueued $job", 'nothing is recorded of the running job yet');
sql($node, q(SELECT pg_terminate_backend(pid) FROM taskq.running_jobs()));
wait_until($node, qq(SELECT EXISTS (SELECT FROM taskq.events WHERE job_id = $job AND event = 'terminated')), 'the log has the end of the worker');
wait_until($node, q(SELECT count(*) = 1 FROM taskq.running_jobs()), 'the job runs again');
sql($node, "SELECT taskq.cancel_job($job, reason => 'enough')");
settled($node, 'the job is cancelled');
is(events_after($at), "enqueued $job, terminated $job, cancelled $job", 'the log has the events of the cancelled job');
is(sql($node, "SELECT error_type FROM taskq.events WHERE job_id = $job AND event = 'terminated'"), 'terminated', 'the event has the error type of a terminated run');
is(sql($node, "SELECT error_message FROM taskq.events WHERE job_id = $job AND event = 'cancelled'"), 'enough', 'the event has the reason of the cancel');

$at = last_position();
$job = sql($node, q(SELECT taskq.enqueue_job('outside')));
sql($node, q(SELECT taskq.claim_job('w', lease => '1 s')));
settled($node, 'a job ends with its lease');
is(events_after($at), "enqueued $job, claimed $job, expired $job, discarded $job", 'the job has expired, and is discarded after its last attempt');

# waiting ----------------------------------------------------------------------

my $reader = session($node);
my $pid = $reader->query_safe('SELECT pg_backend_pid()');
my $read = sub {
	$reader->query_until(qr/reading/, "\\echo reading\nSELECT event FROM taskq.read_events($at, wait => '1 h');\n\\echo has read\n");
	wait_until($node, "SELECT wait_event_type = 'Extension' AND state = 'active' FROM pg_stat_activity WHERE pid = $pid", 'a reader waits');
	return;
};
my $result = sub { my $out = $reader->query_until(qr/has read/, ''); $out =~ s/\s*has read\s*$//; $out =~ s/^\s+//; $at = last_position(); return $out };

$at = last_position();
$read->();
is(sql($node, qq(SELECT count(*) FROM pg_locks WHERE pid = $pid AND relation IS DISTINCT FROM NULL AND relation::regclass::text LIKE 'taskq.event_log%' AND mode <> 'AccessShareLock')), 0, 'it holds no lock that hinders');
my $writer = session($node);
$writer->query_safe(q(BEGIN; SELECT taskq.enqueue_job('outside')));
sql($node, q(SELECT taskq.create_queue('silent'); SELECT taskq.enqueue_job('outside', queue => 'silent')));
is(sql($node, "SELECT state FROM pg_stat_activity WHERE pid = $pid"), 'active', 'uncommitted and unrecorded changes do not wake the reader');
$writer->query_safe('COMMIT');
is($result->(), 'enqueued', 'a commit wakes the reader');

$writer->query_safe(q(BEGIN; SELECT taskq.enqueue_job('outside')));
sql($node, q(SELECT taskq.enqueue_job('outside', correlation_id => 'above')));
$read->();
$writer->query_safe('ROLLBACK');
is($result->(), 'enqueued', 'the rollback of a transaction that held back the reader wakes it');
$writer->query_safe(q(BEGIN; SAVEPOINT s; SELECT taskq.enqueue_job('outside')));
sql($node, q(SELECT taskq.enqueue_job('outside')));
$read->();
$writer->query_safe('ROLLBACK TO s; COMMIT');
is($result->(), 'enqueued', 'the rollback of a savepoint that held back the reader wakes it');
$reader->query_safe(q(SET taskq.max_wait = '10 ms')) if 0;
is(sql($node, qq(SET taskq.max_wait = '10 ms'; SELECT count(*) FROM taskq.read_events($at, wait => '1 h'))), 0, 'taskq.max_wait ends a wait');
sql($node, q(SELECT count(taskq.cancel_job(job_id)) FROM taskq.all_jobs WHERE state = 'available'));

# notifications ----------------------------------------------------------------

my $listener = session($node);
$listener->query_safe('LISTEN taskq_events');
my $heard = sub { my $out = $listener->query('SELECT 1'); return join ' ', $out =~ /notification "taskq_events" with payload "(\d+)"/g };
is($heard->(), '', 'there is no notification by default');
$node->append_conf('postgresql.conf', "taskq.event_notify_interval = '1 h'");
$node->reload;
wait_until($node, q(SELECT current_setting('taskq.event_notify_interval') = '1h'), 'the interval is set to an hour');
my @told;
sql($node, q(SELECT taskq.enqueue_job('outside')));
for (1 .. 1000)
{
	push @told, split / /, $heard->();
	last if @told;
	sql($node, q(SELECT taskq.enqueue_job('outside')));
}
is(scalar @told, 1, 'a listening session is notified once');
cmp_ok($told[0], '<=', last_position(), 'the notification has a position that can be read');
for (1 .. 20)
{
	sql($node, q(SELECT taskq.enqueue_job('outside')));
}
sql($node, q(SELECT taskq.enqueue_job('work')));
wait_until($node, q(SELECT NOT EXISTS (SELECT FROM taskq.all_jobs WHERE task_type = 'work' AND state <> 'completed')), 'the scheduler has run since');
is($heard->(), '', 'there is no other notification within the hour');
$node->append_conf('postgresql.conf', "taskq.event_notify_interval = '10 ms'");
$node->reload;
wait_until($node, q(SELECT current_setting('taskq.event_notify_interval') = '10ms'), 'the interval is set to 10 ms');
sql($node, q(SELECT taskq.enqueue_job('outside')));
my $last = last_position();
@told = ();
for (1 .. 1000)
{
	push @told, split / /, $heard->();
	last if @told && $told[-1] >= $last;
	sql($node, 'SELECT pg_sleep(0.01)');
}
cmp_ok($told[-1] // 0, '>=', $last, 'a notification has the last position');
$node->append_conf('postgresql.conf', 'taskq.clock_offset = ' . -3600 * 1000);
$node->reload;
sql($node, q(SELECT taskq.enqueue_job('outside')));
$last = last_position();
for (1 .. 1000)
{
	push @told, split / /, $heard->();
	last if $told[-1] >= $last;
	sql($node, 'SELECT pg_sleep(0.01)');
}
cmp_ok($told[-1] // 0, '>=', $last, 'there are notifications after the clock was set back by an hour');
$node->append_conf('postgresql.conf', 'taskq.clock_offset = 0');
$listener->quit;
$node->append_conf('postgresql.conf', "taskq.event_notify_interval = 0");
$node->reload;

# logical decoding -------------------------------------------------------------

sql($node, q(CREATE PUBLICATION taskq_events FOR TABLE taskq.event_log WITH (publish = 'insert', publish_via_partition_root = true)));
sql($node, qq(SELECT pg_create_logical_replication_slot('$_', '$_')) ) for qw(pgoutput test_decoding);
$at = last_position();
$writer->query_safe(q(BEGIN; SELECT taskq.enqueue_job('outside', correlation_id => 'late')));
sql($node, q(SELECT taskq.enqueue_job('outside', correlation_id => 'early')));
$writer->query_safe('COMMIT');
sql($node, q(BEGIN; SELECT taskq.enqueue_job('outside', correlation_id => 'never'); ROLLBACK));
my $days = leaves();
$node->append_conf('postgresql.conf', 'taskq.clock_offset = ' . 86400 * 1000);
$node->reload;
sql($node, 'SELECT pg_terminate_backend(taskq.scheduler_pid())');
my $wanted = 1 + split / /, $days;
wait_until($node, qq(SELECT count(*) = $wanted FROM pg_inherits JOIN pg_class ON inhrelid = pg_class.oid WHERE inhparent = 'taskq.event_log'::regclass AND relname LIKE 'event_log_2%'), 'a day later there is another leaf');
sql($node, 'SET taskq.clock_offset = ' . 2 * 86400 * 1000 . q(; SELECT taskq.enqueue_job('outside', correlation_id => 'new leaf')));
my $decoded = sql($node, q(SELECT string_agg(d, ', ' ORDER BY n) FROM (SELECT n, (regexp_match(data, 'correlation_id\[text\]:''([^'']*)'))[1] d
	FROM pg_logical_slot_get_changes('test_decoding', NULL, NULL) WITH ORDINALITY AS c (lsn, xid, data, n) WHERE data ~ 'taskq\.event_log') x));
is($decoded, 'early, late, new leaf', 'logical decoding returns each event once, in the order of commits');
is(sql($node, q(WITH c AS MATERIALIZED (SELECT chr(get_byte(data, 0)) AS kind, data FROM pg_logical_slot_get_binary_changes('pgoutput', NULL, NULL, 'proto_version', '1', 'publication_names', 'taskq_events'))
	SELECT count(*) FILTER (WHERE kind = 'I' AND substring(data FROM 2 FOR 4) = int4send('taskq.event_log'::regclass::oid::integer)), count(*) FILTER (WHERE kind IN ('I', 'U', 'D', 'T')) FROM c)),
	'3|3', 'logical replication publishes the events as rows of the table');
is(sql($node, qq(SELECT string_agg(correlation_id, ', ' ORDER BY event_id) FROM taskq.read_events($at))), 'late, early, new leaf', 'a reader gets the events in the order of their positions');
sql($node, qq(SELECT pg_drop_replication_slot('$_')) ) for qw(pgoutput test_decoding);

# dump and restore -------------------------------------------------------------

my $all = sql($node, q(SELECT string_agg(e::text, E'\n' ORDER BY event_id) FROM taskq.events e));
$last = last_position();
sql($node, 'DROP PUBLICATION taskq_events; CREATE DATABASE restored TEMPLATE template0');
$node->command_ok([ 'pg_dump', '-f', $node->basedir . '/events.sql', $node->connstr('postgres') ], 'the database with events can be dumped');
my ($rc, $out, $err) = $node->psql('restored', slurp_file($node->basedir . '/events.sql'), on_error_stop => 1);
is($rc . $err, '0', 'the dump is restored without an error');
is(sql($node, q(SELECT string_agg(e::text, E'\n' ORDER BY event_id) FROM taskq.events e), 'restored'), $all, 'the restored database has all events');
sql($node, q(SELECT taskq.enqueue_job('outside')), 'restored');
is(sql($node, "SELECT count(*) FROM taskq.read_events($last)", 'restored'), 1, 'new events have later positions');
sql($node, 'DROP DATABASE restored');

# pruning ----------------------------------------------------------------------

$at = last_position();
$job = sql($node, q(SELECT taskq.enqueue_job('outside')));
my $old = leaves();
$node->append_conf('postgresql.conf', 'taskq.clock_offset = ' . 10 * 86400 * 1000);
$node->reload;
sql($node, 'SELECT pg_terminate_backend(taskq.scheduler_pid())');
wait_until($node, qq(SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'taskq'::regnamespace AND relname = ANY (string_to_array('$old', ' '))) = 0 FROM taskq.prune()), 'leaves whose day is over are dropped');
is(sql($node, 'SELECT count(*) FROM taskq.events'), 0, 'the events of expired partitions are gone');
is(scalar(split / /, leaves()), 2, 'there are partitions for today and tomorrow');
sql($node, qq(SELECT taskq.cancel_job($job)));
cmp_ok(last_position(), '>', $at, 'positions continue after the events were removed');
is(sql($node, 'SELECT count(*) FROM taskq.event_log_overflow'), 0, 'no event is in the overflow partition after the partitions were created');

# events that found no partition are removed at once, when all of them have expired
sql($node, q(SELECT taskq.create_queue('long', events => true, retain_events => '10 d'); SELECT taskq.enqueue_job('outside', queue => 'long')));
wait_until($node, q(SELECT count(*) > 2 FROM pg_inherits JOIN pg_class ON inhrelid = pg_class.oid WHERE inhparent = 'taskq.event_log'::regclass AND relname LIKE 'event_log_2%'), 'another retention has leaves of its own');
is(sql($node, q(SELECT count(*) FROM taskq.events WHERE queue = 'long')), 1, 'the event of a queue with a longer retention is kept');
sql($node, 'SET taskq.clock_offset = ' . 22 * 86400 * 1000 . '; SELECT taskq.prune()');
is(sql($node, q(SELECT count(*) FROM taskq.event_log_overflow)), 0, 'the overflow partition is emptied when all its events have expired');

# crash, prepared transactions, failover ----------------------------------------

$writer->quit;
$reader->quit;
$node->append_conf('postgresql.conf', "synchronous_commit = off\ntaskq.clock_offset = 0\nwal_writer_delay = '10 s'");
$node->restart;
sql($node, q(BEGIN; SELECT taskq.enqueue_job('outside', correlation_id => 'prepared'); PREPARE TRANSACTION 'p'));
sql($node, q(SELECT taskq.enqueue_job('outside', correlation_id => 'committed')));
$at = last_position();
is(events_after(sql($node, "SELECT min(event_id) - 2 FROM taskq.events WHERE correlation_id = 'committed'")), '', 'a prepared transaction holds back readers');
$node->stop('immediate');
$node->start;
is(sql($node, "SELECT count(*) FROM taskq.read_events() WHERE correlation_id = 'committed'"), 0, 'a prepared transaction holds back readers after a crash');
sql($node, "COMMIT PREPARED 'p'");
is(sql($node, q(SELECT count(*) FROM taskq.read_events() WHERE correlation_id = 'prepared')), 1, 'its event can be read after COMMIT PREPARED');

# a reader has seen events of its own transaction, which the crash undoes
sub seen_then_crashed
{
	my $s = session($node);
	$s->query_safe(q(BEGIN; SELECT count(taskq.enqueue_job('outside')) FROM generate_series(1, 100)));
	my $seen = $s->query_safe('SELECT max(event_id) FROM taskq.read_events("limit" => 10000)');
	$node->stop('immediate');
	$s->{run}->finish;
	$node->start;
	sql($node, q(SELECT taskq.enqueue_job('outside')));
	cmp_ok(last_position(), '>', $seen, 'a position that was read is not given out again after a crash');
	return;
}
seen_then_crashed() for 1 .. 3;

$node->append_conf('postgresql.conf', 'synchronous_commit = on');
$node->reload;
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('events_standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
sql($node, q(SELECT taskq.enqueue_job('outside')));
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is(sql($standby, 'SELECT max(event_id) FROM taskq.events'), last_position(), 'a standby shows the events');
fails_with($standby, '25006', 'SELECT taskq.read_events()', 'read_events() is refused on a standby');
$node->stop('immediate');
$standby->promote;
sql($standby, q(SELECT taskq.enqueue_job('outside') FROM generate_series(1, 3)));
is(sql($standby, q(SELECT count(*), min(event_id) >> 48 = 1 FROM taskq.read_events(1::bigint << 48))), '3|t', 'a promoted standby gives out positions beyond those of the old primary');
clean_log($_) for $node, $standby;
$standby->stop;

# without preload ----------------------------------------------------------------

my $bare = new_node('events_bare', conf => { shared_preload_libraries => undef, 'taskq.max_wait' => undef });
sql($bare, q(SELECT taskq.alter_queue('default', events => true); SELECT taskq.enqueue_job('outside')));
is(sql($bare, 'SELECT count(*) FROM taskq.event_log_overflow'), 1, 'without preloading, events go to the overflow partition');
sql($bare, 'SELECT taskq.prune()');
sql($bare, q(SELECT taskq.enqueue_job('outside')));
is(sql($bare, q(SELECT count(*), count(*) FILTER (WHERE tableoid = 'taskq.event_log_overflow'::regclass) FROM taskq.event_log)), '2|1', 'prune() creates the partition without preloading');
my $late = session($bare);
$late->query_until(qr/reading/, "\\echo reading\nSELECT event FROM taskq.read_events((SELECT max(event_id) FROM taskq.events), wait => '5 s');\n\\echo has read\n");
wait_until($bare, q(SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%read_events%' AND wait_event_type = 'Extension' AND state = 'active'), 'a reader waits by polling without preloading');
sql($bare, q(SELECT taskq.enqueue_job('outside')));
like($late->query_until(qr/has read/, ''), qr/enqueued/, 'and finds what is new');
$late->quit;
$bare->stop;

done_testing();
