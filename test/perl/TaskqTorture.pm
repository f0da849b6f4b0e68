# Torture: clients enqueue, claim and settle while workers, backends and the server
# itself are killed and stopped at random. Then all jobs are completed, and the
# checker compares the answers that clients got with the final state.
#
# Each client is a process of its own, and writes its notes (see TaskqHistory) to a
# file of its own, outside the database. All random choices come from one seed.
package TaskqTorture;

use strict;
use warnings;

use Carp;
use Exporter 'import';
use IPC::Open2;
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep clock_gettime CLOCK_MONOTONIC);

use TaskqHistory qw(check_history read_notes note_to);

our @EXPORT_OK = qw(torture show_history);

my $json = JSON::PP->new->canonical;
my $stop_asked = 0;

# a client ----------------------------------------------------------------------

package TaskqTorture::Client
{
	use Time::HiRes qw(sleep clock_gettime CLOCK_MONOTONIC);

	sub new
	{
		my ($class, %o) = @_;
		open my $notes, '>>', "$o{dir}/$o{name}.notes" or die "$o{dir}/$o{name}.notes: $!";
		$notes->autoflush;
		return bless { %o, notes => $notes }, $class;
	}

	sub note
	{
		my ($self, %note) = @_;
		TaskqHistory::note_to($self->{notes}, { at => clock_gettime(CLOCK_MONOTONIC), client => $self->{name}, %note });
		return;
	}

	sub connect
	{
		my ($self) = @_;
		$self->{pid} = IPC::Open2::open2($self->{out}, $self->{in},
			'sh', '-c', 'exec psql -XAtq -v VERBOSITY=sqlstate -d "$0" 2>&1', $self->{connstr});
		return;
	}

	sub disconnect
	{
		my ($self) = @_;
		return unless $self->{pid};
		close $self->{in};
		close $self->{out};
		waitpid $self->{pid}, 0;
		$self->{pid} = 0;
		return;
	}

	# Run statements. Returns rows, and the result: "done", "refused" (an error, so
	# nothing was committed) or "unknown" (the connection was lost).
	sub ask
	{
		my ($self, $sql) = @_;
		local $SIG{PIPE} = 'IGNORE';
		my (@rows, $error);
		$stop_asked = 1 if getppid() == 1;	# whoever started us has gone
		$self->connect unless $self->{pid};
		print { $self->{in} } "$sql;\n\\echo all-said\n";
		$self->{in}->flush;
		while (defined(my $line = readline $self->{out}))
		{
			chomp $line;
			return ($error ? 'refused' : 'done', \@rows, $error) if $line eq 'all-said';
			if ($line =~ /^(?:psql:.*)?(?:FATAL|PANIC):|connection to server|server closed the connection|could not (?:send|receive)/) { last }
			elsif ($line =~ /^(?:psql:.*)?ERROR:\s+(\w{5})/) { $error //= $1; last if $1 =~ /^(?:57P|08)/ }
			elsif ($line !~ /^(?:psql:.*)?(?:WARNING|NOTICE|DETAIL|HINT|CONTEXT)/) { push @rows, [ split /\|/, $line ] }
		}
		$self->disconnect;
		sleep 0.02;
		return ('unknown', \@rows, $error);
	}

	# Make a call, and note it before and after; returns its rows when it is done.
	sub call
	{
		my ($self, $what, $sql, $note, $answer) = @_;
		my %of = map { ($_ => $note->{$_}) } grep { exists $note->{$_} } qw(job epoch);
		$self->note(do => $what, %$note);
		my ($outcome, $rows, $error) = $self->ask($sql);
		if ($outcome eq 'done') { $self->note(did => $what, %of, $answer ? $answer->($rows) : ()) }
		elsif ($outcome eq 'refused') { $self->note(refused => $what, %of, sqlstate => $error) }
		return $outcome eq 'done' ? $rows : undef;
	}

	sub chance { my ($self, $percent) = @_; return rand(100) < $percent }
}

# the application ----------------------------------------------------------------

# Handlers of every kind: alone in their transactions, sharing commits, and in steps
# with checkpoints, each of which is done once. Each handler writes into the ledger.
# The payload says what else happens: "fail" (so many attempts fail), "deferred" (so
# many attempts end with a failing constraint), "child" (a job is enqueued), "ms"
# (duration).
sub _application
{
	return <<'SQL';
CREATE EXTENSION IF NOT EXISTS taskq;
CREATE ROLE torture LOGIN;
CREATE SCHEMA torture AUTHORIZATION torture;
SELECT taskq.grant_access('torture', a) FROM unnest(ARRAY['producer', 'worker', 'observer', 'operator', 'admin']) a;
SET ROLE torture;
CREATE TABLE torture.ledger (job_id bigint, epoch bigint, step integer);
CREATE TABLE torture.here (id integer PRIMARY KEY);
CREATE TABLE torture.there (id integer REFERENCES torture.here DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION torture.work(job taskq.job) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO torture.ledger VALUES (job.job_id, job.epoch);
	IF job.payload ? 'child' THEN
		PERFORM taskq.enqueue_job('work', jsonb_build_object('key', (job.payload->>'key') || '.1', 'parent', job.payload->>'key'));
	END IF;
	IF job.payload ? 'ms' THEN
		PERFORM pg_sleep((job.payload->>'ms')::float8 / 1000);
	END IF;
	IF job.attempt <= (job.payload->>'deferred')::integer THEN
		INSERT INTO torture.there VALUES (1);
	END IF;
	IF job.attempt <= (job.payload->>'fail')::integer THEN
		RAISE EXCEPTION 'attempt % fails on purpose', job.attempt;
	END IF;
	IF job.payload ? 'permanent' THEN
		PERFORM taskq.raise_permanent('fails for good on purpose');
	END IF;
	RETURN job.payload;
END $$;
SELECT taskq.register_handler('work', 'torture.work(taskq.job)', retry_policy => 'fixed', retry_base => '20 ms', max_attempts => 100000);
CREATE FUNCTION torture.short(job taskq.job) RETURNS jsonb LANGUAGE sql AS 'SELECT torture.work(job)';
SELECT taskq.register_handler('short', 'torture.short(taskq.job)', share_commit => true, retry_policy => 'fixed', retry_base => '20 ms', max_attempts => 100000);
CREATE PROCEDURE torture.steps(job taskq.job) LANGUAGE plpgsql AS $$
DECLARE
	done integer := COALESCE((job.checkpoint->>'done')::integer, 0);
BEGIN
	FOR i IN done + 1 .. 3 LOOP
		INSERT INTO torture.ledger VALUES (job.job_id, job.epoch, i);
		PERFORM taskq.save_checkpoint(jsonb_build_object('done', i));
		COMMIT;
		IF job.payload ? 'ms' THEN
			PERFORM pg_sleep((job.payload->>'ms')::float8 / 1000);
		END IF;
		IF i = 2 AND job.attempt <= (job.payload->>'fail')::integer THEN
			RAISE EXCEPTION 'attempt % fails on purpose', job.attempt;
		END IF;
	END LOOP;
END $$;
SELECT taskq.register_handler('steps', 'torture.steps(taskq.job)', retry_policy => 'fixed', retry_base => '20 ms', max_attempts => 100000);
SELECT taskq.register_handler('outside', retry_policy => 'fixed', retry_base => '20 ms', max_attempts => 100000);
SELECT taskq.alter_pool('torture', size => 4);
SQL
}

my $END = <<'SQL';
SELECT jsonb_build_object('is', 'job', 'job', job_id, 'key', payload->>'key', 'state', state, 'attempt', attempt, 'epoch', epoch,
	'parent', payload->>'parent', 'has_child', payload ? 'child', 'kind', CASE task_type WHEN 'steps' THEN 'steps' ELSE 'once' END) FROM taskq.all_jobs
UNION ALL SELECT jsonb_build_object('is', 'attempt', 'job', job_id, 'attempt', attempt, 'epoch', epoch, 'outcome', outcome) FROM taskq.attempts
UNION ALL SELECT jsonb_build_object('is', 'ledger', 'job', job_id, 'epoch', epoch, 'step', step) FROM torture.ledger
SQL

sub _producer
{
	my ($c) = @_;
	my $batch = 0;
	while (!$stop_asked)
	{
		my (@values, @keys);
		$batch++;
		for my $n (1 .. 1 + int rand 60)
		{
			my $key = "$c->{name}-$batch-$n";
			my %payload = (key => $key);
			my $type = $c->chance(30) ? 'outside' : $c->chance(10) ? 'steps' : $c->chance(50) ? 'work' : 'short';
			$payload{fail} = 1 + int rand 3 if $c->chance(8);
			$payload{deferred} = 1 if $c->chance(3);
			$payload{child} = 1 if $type =~ /work|short/ and $c->chance(10);
			$payload{ms} = 1 + int rand 100 if $c->chance(5);
			$payload{permanent} = 1 if $c->chance(2);
			push @keys, $key;
			push @values, "('$type', '" . $json->encode(\%payload) . "'::jsonb, " . int(rand 5) . ')';
		}
		my $sql = 'SELECT count(taskq.enqueue_job(t, p, priority => n)) FROM (VALUES ' . join(',', @values) . ') v (t, p, n)';
		if ($c->chance(5))
		{
			# nothing of a transaction that is rolled back may be visible
			$c->note(do => 'enqueue', keys => \@keys);
			my ($outcome) = $c->ask("BEGIN; $sql; ROLLBACK");
			$c->note(refused => 'enqueue');
		}
		else { $c->call('enqueue', $sql, { keys => \@keys }) }
		while (!$stop_asked)
		{
			my ($outcome, $rows) = $c->ask(q(SELECT available FROM taskq.stat_queues WHERE queue = 'default'));
			last if $outcome eq 'done' and $rows->[0][0] < 500;
			sleep 0.05;
		}
	}
	return;
}

# What an external worker may do with a claimed job.
sub _settle
{
	my ($c, $id, $epoch) = @_;
	my $claim = { job => $id + 0, epoch => $epoch + 0 };
	my $answer = sub { my ($rows) = @_; return (answer => @$rows && $rows->[0][0] eq 't' ? 1 : 0) };
	my $complete = "WITH done AS (SELECT taskq.complete_job($id, $epoch) AS did), row AS "
	  . "(INSERT INTO torture.ledger SELECT $id, $epoch FROM done WHERE did) SELECT did FROM done";

	return if $c->chance(3);                                               # forget it: its lease ends
	if ($c->chance(5)) { $c->call('fail', "SELECT taskq.fail_job($id, $epoch, 'on purpose')", $claim, $answer); return }
	if ($c->chance(5)) { $c->call('release', "SELECT taskq.release_job($id, $epoch)", $claim, $answer); return }
	if ($c->chance(5)) { $c->ask("SELECT taskq.heartbeat_job($id, $epoch)") }
	sleep rand 1.5 if $c->chance(2);                                       # perhaps longer than the lease
	my $rows = $c->call('complete', $complete, $claim, $answer);
	# clients that got no answer ask again, and so do careless ones
	$c->call('complete', $complete, $claim, $answer) if !defined $rows or $c->chance(5);
	return;
}

sub _worker
{
	my ($c) = @_;
	while (!$stop_asked)
	{
		my $n = 1 + int rand 20;
		my $jobs = $c->call('claim',
			"SELECT job_id, epoch, payload->>'key' FROM taskq.claim_jobs('$c->{name}', $n, '{outside}', lease => '1 s', wait => '200 ms')", {},
			sub { my ($rows) = @_; return (jobs => [ map { [ $_->[0] + 0, $_->[1] + 0, $_->[2] ] } @$rows ]) });
		_settle($c, @$_[ 0, 1 ]) for @{ $jobs // [] };
	}
	return;
}

# Cancels running and waiting jobs now and then.
sub _canceller
{
	my ($c) = @_;
	while (!$stop_asked)
	{
		sleep rand 0.5;
		$c->ask('SELECT taskq.cancel_job(job_id) FROM (SELECT job_id FROM taskq.all_jobs WHERE state IN (\'running\', \'available\') ORDER BY random() LIMIT 1) x');
	}
	return;
}

# Start a client in a process of its own.
sub _spawn
{
	my ($run, %o) = @_;
	my $pid = fork // croak "fork: $!";
	return $pid if $pid;
	srand $o{seed};
	$SIG{TERM} = sub { $stop_asked = 1 };
	my $c = TaskqTorture::Client->new(%o);
	$run->($c);
	$c->disconnect;
	POSIX::_exit(0);
}

# chaos -------------------------------------------------------------------------

# Query a server that may be down; returns the exit status of psql, and the answer.
sub _ask
{
	my ($node, $sql) = @_;
	my ($rc, $out) = eval { $node->psql('postgres', $sql) };	# dies when psql ends before it has read
	return ($rc // 2, $out);
}

sub _pids
{
	my ($node, $where) = @_;
	my ($rc, $out) = _ask($node, "SELECT pid FROM pg_stat_activity WHERE $where");
	return $rc == 0 ? split(/\n/, $out) : ();
}

sub _one { my @of = @_; return @of ? $of[ int rand @of ] : undef }

# Wait until the server answers again. It is started if it does not run.
sub _await
{
	my ($node) = @_;
	for (1 .. 1200)
	{
		my ($rc) = _ask($node, 'SELECT 1');
		return if $rc == 0;
		sleep 0.05;
	}
	croak 'the server does not come back';
}

sub _start
{
	my ($node) = @_;
	for (1 .. 600)
	{
		return _await($node) if $node->start(fail_ok => 1);
		# processes of the dead server may still exist, or its pid file
		sleep 0.1;
		$node->stop('fast', fail_ok => 1);
	}
	croak 'the server does not start';
}

# Possible faults, how often they happen, and what they do; "crash" says whether a
# fault counts as a crash.
my @EVENTS = (
	{ name => 'SIGKILL of a worker', weight => 6, crash => 1, run => sub { my $p = _one(_pids($_[0], "backend_type = 'taskq worker'")); kill 'KILL', $p if $p; _await($_[0]); return $p } },
	{ name => 'SIGKILL of a backend', weight => 2, crash => 1, run => sub { my $p = _one(_pids($_[0], "backend_type = 'client backend' AND pid <> pg_backend_pid()")); kill 'KILL', $p if $p; _await($_[0]); return $p } },
	{ name => 'SIGKILL of the scheduler', weight => 1, crash => 1, run => sub { my $p = _one(_pids($_[0], "backend_type = 'taskq scheduler'")); kill 'KILL', $p if $p; _await($_[0]); return $p } },
	{ name => 'SIGKILL of the postmaster', weight => 3, crash => 1, run => sub { $_[0]->kill9; _start($_[0]); return 1 } },
	{ name => 'immediate stop', weight => 3, crash => 1, run => sub { $_[0]->stop('immediate'); _start($_[0]); return 1 } },
	{ name => 'fast stop', weight => 1, run => sub { $_[0]->stop('fast'); _start($_[0]); return 1 } },
	{ name => 'SIGTERM of a worker', weight => 6, run => sub { my $p = _one(_pids($_[0], "backend_type = 'taskq worker'")); kill 'TERM', $p if $p; return $p } },
	{ name => 'SIGTERM of a backend', weight => 4, run => sub { my $p = _one(_pids($_[0], "backend_type = 'client backend' AND pid <> pg_backend_pid()")); kill 'TERM', $p if $p; return $p } },
	{ name => 'SIGTERM of the scheduler', weight => 1, run => sub { my $p = _one(_pids($_[0], "backend_type = 'taskq scheduler'")); kill 'TERM', $p if $p; return $p } },
	{ name => 'a worker stands still', weight => 2, run => sub { my $p = _one(_pids($_[0], "backend_type = 'taskq worker'")); if ($p) { kill 'STOP', $p; sleep 1.5; kill 'CONT', $p } return $p } },
	{ name => 'pause and resume of the queue', weight => 1, run => sub { _ask($_[0], q(SELECT taskq.pause_queue('default'))); sleep 0.1; _ask($_[0], q(SELECT taskq.resume_queue('default'))); return 1 } },
	{ name => 'DROP EXTENSION, rolled back', weight => 1, run => sub { _ask($_[0], 'BEGIN; DROP EXTENSION taskq CASCADE; ROLLBACK'); return 1 } },
);

sub _choose
{
	my $total = 0;
	$total += $_->{weight} for @EVENTS;
	my $at = rand $total;
	for my $event (@EVENTS)
	{
		return $event if ($at -= $event->{weight}) < 0;
	}
	return $EVENTS[0];
}

# Resume what crashes and pauses have left paused.
sub _resume
{
	my ($node) = @_;
	_ask($node, q(SELECT taskq.resume_pool(pool) FROM taskq.pools WHERE paused));
	_ask($node, q(SELECT taskq.resume_queue(queue) FROM taskq.queues WHERE paused));
	return;
}

# the whole ---------------------------------------------------------------------

# Torture a node (started, with taskq preloaded) until at least "crashes" crashes
# and "jobs" jobs, or "seconds" seconds, are over, whichever comes first. Then
# check. The notes are written into "dir". Returns the checker's result, with counts
# of events.
sub torture
{
	my (%o) = @_;
	my ($node, $dir, $say) = (@o{qw(node dir)}, $o{say} // sub { });
	my $crashes = 0;
	my %happened;
	my $until = clock_gettime(CLOCK_MONOTONIC) + $o{seconds};
	my $n_jobs = 0;

	srand $o{seed};
	$node->safe_psql('postgres', _application());
	my @common = (dir => $dir, connstr => $node->connstr('postgres') . ' user=torture');
	my @clients = (
		(map { _spawn(\&_producer, @common, name => "p$_", seed => $o{seed} * 100 + $_) } 1 .. 2),
		(map { _spawn(\&_worker, @common, name => "w$_", seed => $o{seed} * 100 + 10 + $_) } 1 .. 3),
		_spawn(\&_canceller, @common, name => 'x1', seed => $o{seed} * 100 + 20));

	my $went_well = eval {
		while (clock_gettime(CLOCK_MONOTONIC) < $until and ($crashes < $o{crashes} or $n_jobs < $o{jobs}))
		{
			sleep 0.3 + rand 1.2;
			my $event = _choose();
			next unless $event->{run}->($node);
			$happened{ $event->{name} }++;
			$crashes++ if $event->{crash};
			_resume($node);
			my ($rc, $out) = _ask($node, 'SELECT last_value FROM taskq.job_id_seq');
			$n_jobs = $out if $rc == 0;
			$say->("$event->{name}: $crashes crashes, about $n_jobs jobs");
		}
		1;
	};
	my $error = $@;
	kill 'TERM', @clients;
	waitpid $_, 0 for @clients;
	die $error unless $went_well;
	_await($node);
	_drain($node, $dir, $o{seed});

	my @end = map { $json->decode($_) } split /\n/, $node->safe_psql('postgres', $END);
	my $verdict = check_history(read_notes(glob "$dir/*.notes"), \@end);
	return { %$verdict, crashes => $crashes, happened => \%happened, end => \@end };
}

# Wait until everything that was begun has ended.
sub _drain
{
	my ($node, $dir, $seed) = @_;
	my $c = TaskqTorture::Client->new(dir => $dir, name => 'drain', connstr => $node->connstr('postgres') . ' user=torture');
	for (1 .. 1200)
	{
		_resume($node);
		my $jobs = $c->call('claim', q(SELECT job_id, epoch, payload->>'key' FROM taskq.claim_jobs('drain', 100, '{outside}', lease => '5 s')), {},
			sub { my ($rows) = @_; return (jobs => [ map { [ $_->[0] + 0, $_->[1] + 0, $_->[2] ] } @$rows ]) });
		for my $job (@{ $jobs // [] })
		{
			my ($id, $epoch) = @$job;
			$c->call('complete', "WITH done AS (SELECT taskq.complete_job($id, $epoch) AS did), row AS "
				  . "(INSERT INTO torture.ledger SELECT $id, $epoch FROM done WHERE did) SELECT did FROM done",
				{ job => $id + 0, epoch => $epoch + 0 }, sub { my ($rows) = @_; return (answer => @$rows && $rows->[0][0] eq 't' ? 1 : 0) });
		}
		my ($outcome, $left) = $c->ask(q(SELECT available + scheduled + retryable + running FROM taskq.stat_queues WHERE queue = 'default'));
		last if $outcome eq 'done' and $left->[0][0] == 0;
		sleep 0.1 unless @{ $jobs // [] };
	}
	$c->disconnect;
	return;
}

# Return everything that is known about a job or key: notes and rows.
sub show_history
{
	my ($verdict, $dir, $id) = @_;
	my @of = grep { ($_->{is} eq 'job' and ($_->{job} eq $id or $_->{key} eq $id)) } @{ $verdict->{end} };
	my %mine = map { $_ => 1 } $id, map { ($_->{job}, $_->{key}) } @of;
	my @rows = grep { $mine{ $_->{job} } } @{ $verdict->{end} };
	my @notes = grep {
		my $note = $_;
		($note->{job} and $mine{ $note->{job} }) or grep { $mine{$_} } @{ $note->{keys} // [] }, map { $_->[0] } @{ $note->{jobs} // [] }
	} @{ read_notes(glob "$dir/*.notes") };
	$_->{keys} = [ grep { $mine{$_} } @{ $_->{keys} } ] for grep { $_->{keys} } @notes;
	$_->{jobs} = [ grep { $mine{ $_->[0] } } @{ $_->{jobs} } ] for grep { $_->{jobs} } @notes;
	return map { '  ' . $json->encode($_) } @notes, @rows;
}

1;
