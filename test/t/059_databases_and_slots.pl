# More databases than the server has worker slots for: schedulers leave slots to
# workers, schedulers without work make room, databases with work take turns, and a
# probe that hangs delays no other database.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;

my $node = new_node('slots_shared', conf => { max_worker_processes => 8, max_logical_replication_workers => 0, 'taskq.reserved_workers' => 0, 'taskq.worker_idle' => "'1 h'" });
my @dbs = ('postgres', map { "db$_" } 1 .. 6);
my $schedulers = q(SELECT count(*) FROM (SELECT pg_stat_clear_snapshot()) x, pg_stat_activity WHERE backend_type = 'taskq scheduler');

add_type($node, 'postgres', 'app', $_) for 'work', 'gated';
sql($node, q(SELECT taskq.register_handler('outside')));
sql($node, q(CREATE DATABASE db1 TEMPLATE postgres));
sql($node, 'SELECT taskq.adopt_database()', 'db1');
for my $db (@dbs[ 2 .. 6 ])
{
	sql($node, "CREATE DATABASE $db TEMPLATE db1");
	sql($node, 'SELECT taskq.adopt_database()', $db);
}

# Eight slots: the launcher, two for workers, five schedulers for seven databases.
sql($node, q(SELECT taskq.enqueue_job('work') FROM generate_series(1, 3)), $_) for @dbs;
settled($node, "$_: jobs run, though there are more databases than slots", db => $_) for @dbs;
sql($node, q(SELECT taskq.enqueue_job('work')), $_) for @dbs;
settled($node, "$_: and when it is told of more", db => $_) for @dbs;
cmp_ok(sql($node, $schedulers), '<=', 5, 'schedulers leave slots to workers');
wait_for_log_line($node, qr/WARNING:  more databases need a taskq scheduler than the 5 that there may be, so they take turns\n.*DETAIL:.*\n.*HINT:  .*max_worker_processes/, 0, 'the log says so');

# The launcher knows when a job becomes due and when a lease ends.
sql($node, q(SELECT taskq.enqueue_job('work', delay => '2 s'); SELECT taskq.enqueue_job('outside', max_attempts => 1)), $_) for @dbs;
is(sql($node, q(SELECT count(*) FROM taskq.claim_job('w', '{outside}', lease => '2 s')), $_), 1, "$_: a program has a job") for @dbs;
settled($node, "$_: what is due later runs, and leases end", db => $_) for @dbs;

# After a restart every database is looked at once.
sql($node, q(SELECT taskq.enqueue_job('work', delay => '2 s')), $_) for @dbs;
$node->restart;
settled($node, "$_: after a restart as well", db => $_) for @dbs;

# status() shows that a database rests.
# (asked by one query, because databases take turns)
my @resting = split /\n/, sql($node, q(SELECT d.datname FROM pg_database d LEFT JOIN pg_stat_activity a ON a.datname = d.datname AND a.backend_type = 'taskq scheduler'
	WHERE d.datallowconn AND d.datname <> 'template1' AND a.pid IS NULL ORDER BY 1));
cmp_ok(scalar @resting, '>=', 2, 'some databases have no scheduler now');
wait_until($node, q(SELECT hint LIKE '%max_worker_processes%' FROM taskq.status() WHERE name = 'scheduler' AND value ~ '^(rests|waits)'), 'status() says so', db => $resting[0]);

# status() shows that there is no slot for a job, and a database that has had slots
# for some time leaves some to others.
my $gate = hold_gate($node, 1, 'db1');
sql($node, q(SELECT taskq.alter_pool('app', size => 10); SELECT taskq.enqueue_job('gated', '{"gate": 1}') FROM generate_series(1, 10)), 'db1');
wait_until($node, 'SELECT count(*) >= 5 FROM taskq.running_jobs()', 'a database has all slots in long jobs', db => 'db1');
wait_until($node, 'SELECT taskq.pool_state(NULL) = \'no slot\'', 'the database needs more slots', db => 'db1');
# (a database in which no idle worker is left)
my $other = sql($node, q(SELECT d.datname FROM pg_database d LEFT JOIN pg_stat_activity a ON a.datname = d.datname AND a.backend_type = 'taskq worker'
	WHERE d.datname LIKE 'db%' AND d.datname <> 'db1' AND a.pid IS NULL ORDER BY 1 LIMIT 1));
my $job = sql($node, q(SELECT taskq.enqueue_job('work')), $other);
wait_until($node, q(SELECT count(*) = 1 FROM taskq.unroutable_jobs WHERE reason LIKE 'no background worker slot is free%'), 'unroutable_jobs names the lack of slots', db => $other);
is(sql($node, qq(SELECT reason LIKE 'no background worker slot is free%' FROM taskq.describe_job($job)), $other), 't', 'describe_job() names the lack of slots');
open_gate($gate);
settled($node, "$_: all jobs run in the end", db => $_) for 'db1', $other;

# Databases that always have work take turns.
my $endless = sub { sql($node, q(SELECT count(taskq.enqueue_job('work')) FROM generate_series(1, 20000)), $_[0]) };
$endless->($_) for 'db1', 'db2', 'db3';
sql($node, q(SELECT taskq.enqueue_job('work')), $_) for @dbs;
wait_until($node, q(SELECT count(*) > 15 FROM app.ledger), "$_: has its turn", db => $_) for 'db1', 'db2', 'db3';
settled($node, "$_: has its turn", db => $_) for 'postgres', 'db4', 'db5', 'db6';

# A probe that hangs.  No database has work now, so its workers leave their slots to schedulers.
sql($node, q(SELECT taskq.pause_queue('default')), $_) for 'db1', 'db2', 'db3';
$node->append_conf('postgresql.conf', 'max_worker_processes = 16');
$node->restart;
for my $n (1 .. 4)
{
	sql($node, "CREATE DATABASE hung$n");
	sql($node, "ALTER DATABASE hung$n SET taskq.injection_point = 'probe'");
}
my @holders = map { my $s = session($node, db => "hung$_"); $s->query_safe(q(SET taskq.injection_point = ''; SELECT pg_advisory_lock(hashtext('probe')))); $s } 1 .. 4;
sql($node, q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq launcher'));
wait_until($node, q(SELECT count(*) = 4 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler' AND datname LIKE 'hung%'), 'probes hang');
sql($node, q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'taskq scheduler' AND datname NOT LIKE 'hung%'));
wait_until($node, q(SELECT count(DISTINCT datname) = 7 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler' AND datname NOT LIKE 'hung%'), 'probes that hang delay no other database');
is(sql($node, q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'taskq scheduler' AND datname LIKE 'hung%')), 4, 'these probes still hang');
$_->quit for @holders;
wait_until($node, q(SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'taskq scheduler' AND datname LIKE 'hung%'), 'probes that do not hang any more leave, because taskq is not installed');

$node->stop;
clean_log($node);
done_testing();
