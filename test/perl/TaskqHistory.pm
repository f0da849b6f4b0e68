# The offline checker: compares the answers that clients got with the final state
# of the database.
#
# A history is a list of notes that clients wrote outside the database, one before a
# call ("do") and one after its answer ("did", or "refused" if the call raised an
# error). The second note is missing if the connection was lost, so that the result
# is unknown.
#
#   {at, client, do => 'enqueue', keys => [...]}     keys stand in the payloads
#   {at, client, do => 'claim', call => n}           did: jobs => [[job, epoch, key], ...]
#   {at, client, do => 'complete' | 'fail' | 'release', job, epoch}
#                                                    did: answer => true | false
#
# "at" comes from one clock that only goes forward. The final state of the database
# is a list of rows:
#
#   {is => 'job', job, key, kind, state, attempt, epoch, parent}
#   {is => 'attempt', job, attempt, epoch, outcome}
#   {is => 'ledger', job, epoch, step}               written by the run itself
#
# kind says what to expect of the ledger: "once" (written in the transaction that
# completes the job), "steps" (written in the transactions that save the
# checkpoints: each step once, and all of them when the job is completed), "none".
package TaskqHistory;

use strict;
use warnings;

use Exporter 'import';
use JSON::PP ();

our @EXPORT_OK = qw(check_history read_notes note_to);

my $json = JSON::PP->new->canonical->allow_blessed;
my %ENDED = map { $_ => 1 } qw(completed discarded cancelled quarantined);

# notes -----------------------------------------------------------------------

sub note_to
{
	my ($handle, $note) = @_;
	print {$handle} $json->encode($note), "\n";
	return;
}

# Read the notes of all files, in the order of time. A client that was killed may
# have left half a line at the end of its file.
sub read_notes
{
	my (@files) = @_;
	my @notes;
	for my $file (@files)
	{
		open my $in, '<', $file or die "$file: $!";
		while (my $line = <$in>)
		{
			next unless $line =~ /\n\z/;
			push @notes, $json->decode($line);
		}
		close $in;
	}
	return [ sort { ($a->{at} // 0) <=> ($b->{at} // 0) } @notes ];
}

# the check -------------------------------------------------------------------

# Returns a hash: found => [[error, job or key, explanation], ...] and counts =>
# {promised, recovered, ...}. If nothing is found, every answer was correct.
sub check_history
{
	my ($notes, $end) = @_;
	my $h = _sort_out($notes, $end);
	my @found = (
		_check_enqueues($h), _check_ends($h), _check_ledger($h), _check_children($h),
		_check_attempts($h), _check_claims($h), _check_settles($h));
	return { found => \@found, counts => _counts($h) };
}

sub _sort_out
{
	my ($notes, $end) = @_;
	my %h = (jobs => {}, by_key => {}, attempts => {}, ledger => {}, enqueues => {}, claims => [], settles => []);

	for my $row (@$end)
	{
		if ($row->{is} eq 'job')
		{
			$h{jobs}{ $row->{job} } = $row;
			push @{ $h{by_key}{ $row->{key} } }, $row;
		}
		elsif ($row->{is} eq 'attempt') { push @{ $h{attempts}{ $row->{job} } }, $row }
		elsif ($row->{is} eq 'ledger') { push @{ $h{ledger}{ $row->{job} } }, $row }
	}

	my %open;    # a client has one call open at most
	for my $note (@$notes)
	{
		if (my $what = $note->{do})
		{
			my $call = { %$note, what => $what, outcome => 'unknown' };
			$open{ $note->{client} } = $call;
			if ($what eq 'enqueue') { $h{enqueues}{$_} = $call for @{ $note->{keys} } }
			elsif ($what eq 'claim') { push @{ $h{claims} }, $call }
			else { push @{ $h{settles} }, $call }
		}
		elsif (my $call = delete $open{ $note->{client} })
		{
			$call->{outcome} = exists $note->{did} ? 'done' : 'refused';
			$call->{answered_at} = $note->{at};
			$call->{$_} = $note->{$_} for grep { exists $note->{$_} } qw(jobs answer);
		}
	}
	return \%h;
}

sub _counts
{
	my ($h) = @_;
	my %n = (jobs => scalar keys %{ $h->{jobs} }, promised => 0, recovered => 0, claims => 0, settled => 0, ledger => 0, attempts => 0);
	for my $key (keys %{ $h->{enqueues} })
	{
		my $outcome = $h->{enqueues}{$key}{outcome};
		$n{promised}++ if $outcome eq 'done';
		$n{recovered}++ if $outcome eq 'unknown' and $h->{by_key}{$key};
	}
	$n{claims} += @{ $_->{jobs} // [] } for @{ $h->{claims} };
	$n{settled} = grep { $_->{outcome} eq 'done' and $_->{answer} } @{ $h->{settles} };
	$n{ledger} += @$_ for values %{ $h->{ledger} };
	$n{attempts} += @$_ for values %{ $h->{attempts} };
	$n{ $_->{state} }++ for values %{ $h->{jobs} };
	return \%n;
}

# A job exists if and only if its enqueue committed.
sub _check_enqueues
{
	my ($h) = @_;
	my @found;
	for my $key (sort keys %{ $h->{enqueues} })
	{
		my $outcome = $h->{enqueues}{$key}{outcome};
		my $n = @{ $h->{by_key}{$key} // [] };
		push @found, [ 'lost', $key, 'its enqueue was answered, and there is no job' ] if $outcome eq 'done' and $n == 0;
		push @found, [ 'unexpected', $key, 'its enqueue was refused, and there is a job' ] if $outcome eq 'refused' and $n > 0;
		push @found, [ 'duplicated', $key, "one enqueue has made $n jobs" ] if $n > 1;
	}
	for my $job (_jobs($h))
	{
		push @found, [ 'unexpected', $job->{job}, 'nobody has enqueued it' ]
		  if !defined $job->{parent} and !$h->{enqueues}{ $job->{key} };
	}
	return @found;
}

# All jobs have ended, in a state that matches their attempts.
sub _check_ends
{
	my ($h) = @_;
	my @found;
	for my $job (_jobs($h))
	{
		my @attempts = @{ $h->{attempts}{ $job->{job} } // [] };
		my $completed = grep { $_->{outcome} eq 'completed' } @attempts;
		push @found, [ 'unfinished', $job->{job}, "it is $job->{state} in the end" ] unless $ENDED{ $job->{state} };
		push @found, [ 'attempts', $job->{job}, "$completed of its attempts completed, and it is $job->{state}" ]
		  if $completed != ($job->{state} eq 'completed' ? 1 : 0);
	}
	return @found;
}

# The writes of a run exist if and only if the run completed the job.
sub _check_ledger
{
	my ($h) = @_;
	my @found;
	for my $job (_jobs($h))
	{
		my @rows = @{ $h->{ledger}{ $job->{job} } // [] };
		my $completed = $job->{state} eq 'completed';
		if ($job->{kind} eq 'once')
		{
			push @found, [ 'duplicated', $job->{job}, @rows . ' runs have left their effects' ] if @rows > 1;
			push @found, [ 'lost', $job->{job}, 'it is completed without the effects of its run' ] if $completed and @rows == 0;
			push @found, [ 'unexpected', $job->{job}, "it is $job->{state}, and a run has left its effects" ] if !$completed and @rows > 0;
			push @found, [ 'unexpected', $job->{job}, 'its effects are of another run than the one that completed it' ]
			  if $completed and @rows == 1 and $rows[0]{epoch} ne $job->{epoch};
		}
		elsif ($job->{kind} eq 'steps')
		{
			push @found, [ 'lost', $job->{job}, 'it is completed without the effects of its run' ] if $completed and @rows == 0;
			my %times;
			$times{ $_->{step} }++ for @rows;
			push @found, [ 'duplicated', $job->{job}, "step $_ was done $times{$_} times" ] for grep { $times{$_} > 1 } sort keys %times;
			push @found, [ 'lost', $job->{job}, "step $_ was passed over" ] for grep { !$times{$_} } 1 .. (sort { $b <=> $a } keys %times, 0)[0];
		}
	}
	for my $id (sort keys %{ $h->{ledger} })
	{
		push @found, [ 'lost', $id, 'a run has left its effects, and there is no job' ] unless $h->{jobs}{$id};
	}
	return @found;
}

# The jobs that a run enqueued exist if and only if the run completed its own job.
sub _check_children
{
	my ($h) = @_;
	my @found;
	my %children;
	for my $job (grep { defined $_->{parent} } _jobs($h))
	{
		my $parent = $h->{by_key}{ $job->{parent} };
		push @{ $children{ $job->{parent} } }, $job;
		push @found, [ 'unexpected', $job->{job}, "its parent $job->{parent} has not completed" ]
		  unless $parent and $parent->[0]{state} eq 'completed';
	}
	for my $job (grep { $_->{has_child} and $_->{state} eq 'completed' } _jobs($h))
	{
		my $n = @{ $children{ $job->{key} } // [] };
		push @found, [ $n ? 'duplicated' : 'lost', $job->{key}, "it is completed and has $n children" ] if $n != 1;
	}
	return @found;
}

# Each attempt has ended once, and the numbers have no gap.
sub _check_attempts
{
	my ($h) = @_;
	my @found;
	my %of_epoch;
	for my $id (sort { $a <=> $b } keys %{ $h->{attempts} })
	{
		my @attempts = sort { $a->{attempt} <=> $b->{attempt} } @{ $h->{attempts}{$id} };
		my $job = $h->{jobs}{$id};
		for my $i (0 .. $#attempts)
		{
			my $a = $attempts[$i];
			push @found, [ 'attempts', $id, "attempt $a->{attempt} stands where attempt " . ($i + 1) . ' belongs' ] if $a->{attempt} != $i + 1;
			push @found, [ 'attempts', $id, "attempts $a->{attempt} and $attempts[$i - 1]{attempt} are not in the order of their epochs" ]
			  if $i > 0 and $a->{epoch} <= $attempts[ $i - 1 ]{epoch};
			push @found, [ 'attempts', $id, "epoch $a->{epoch} was an attempt of job $of_epoch{$a->{epoch}} too" ] if exists $of_epoch{ $a->{epoch} };
			$of_epoch{ $a->{epoch} } = $id;
		}
		push @found, [ 'attempts', $id, 'there are attempts of it, and no job' ] unless $job;
		push @found, [ 'attempts', $id, "it is said to be in attempt $job->{attempt}, and " . @attempts . ' have ended' ]
		  if $job and $ENDED{ $job->{state} } and $job->{attempt} != @attempts;
	}
	return @found;
}

# No epoch is given out twice, and epochs of a job grow with time.
sub _check_claims
{
	my ($h) = @_;
	my @found;
	my (%given, %last);
	for my $claim (sort { $a->{answered_at} <=> $b->{answered_at} } grep { $_->{outcome} eq 'done' } @{ $h->{claims} })
	{
		for my $got (@{ $claim->{jobs} })
		{
			my ($id, $epoch) = @$got;
			push @found, [ 'fence', $id, "epoch $epoch was given out twice" ] if $given{$epoch}++;
			# the order is known only for claims that did not overlap
			my $before = $last{$id};
			push @found, [ 'fence', $id, "epoch $epoch was given out after epoch $before->{epoch}" ]
			  if $before and $before->{at} < $claim->{at} and $before->{epoch} >= $epoch;
			$last{$id} = { epoch => $epoch, at => $claim->{answered_at} } if !$before or $before->{epoch} < $epoch;
		}
	}
	return @found;
}

# A settle that was answered took effect, and none was accepted after a later claim.
sub _check_settles
{
	my ($h) = @_;
	my @found;
	my (%completed, %later);
	for my $claim (grep { $_->{outcome} eq 'done' } @{ $h->{claims} })
	{
		push @{ $later{ $_->[0] } }, { epoch => $_->[1], at => $claim->{answered_at} } for @{ $claim->{jobs} };
	}
	for my $settle (grep { $_->{outcome} eq 'done' and $_->{answer} } @{ $h->{settles} })
	{
		my ($id, $epoch) = @$settle{qw(job epoch)};
		my $job = $h->{jobs}{$id};
		my ($attempt) = grep { $_->{epoch} eq $epoch } @{ $h->{attempts}{$id} // [] };
		if (!$job)
		{
			push @found, [ 'lost', $id, "it was settled ($settle->{what}), and there is no job" ];
			next;
		}
		if ($settle->{what} eq 'complete')
		{
			push @found, [ 'duplicated', $id, "epochs $completed{$id} and $epoch both completed it" ] if exists $completed{$id} and $completed{$id} ne $epoch;
			push @found, [ 'lost', $id, "epoch $epoch completed it, and it is $job->{state} by epoch $job->{epoch}" ]
			  unless $job->{state} eq 'completed' and $job->{epoch} eq $epoch;
			$completed{$id} = $epoch;
		}
		elsif ($settle->{what} eq 'fail')
		{
			push @found, [ 'lost', $id, "epoch $epoch failed, and there is no such attempt" ] unless $attempt and $attempt->{outcome} eq 'failed';
		}
		elsif ($settle->{what} eq 'release')
		{
			push @found, [ 'attempts', $id, "epoch $epoch was released, and counts as an attempt" ] if $attempt;
		}
		push @found, [ 'fence', $id, "$settle->{what} by epoch $epoch was accepted after epoch $_->{epoch} had been given out" ]
		  for grep { $_->{epoch} > $epoch and $_->{at} < $settle->{at} } @{ $later{$id} // [] };
	}
	return @found;
}

sub _jobs
{
	my ($h) = @_;
	return sort { $a->{job} <=> $b->{job} } values %{ $h->{jobs} };
}

1;
