# The checker of the torture test: it accepts a correct history, and finds the error
# in each wrong one.
use strict;
use warnings;

use File::Temp 'tempdir';
use FindBin;
use lib "$FindBin::RealBin/../perl";
use Storable 'dclone';
use Test::More;
use TaskqHistory qw(check_history read_notes note_to);

# Job 1 completed in the server at its second attempt and has a child, job 2. Job 3
# was claimed by an external worker, released, claimed again, failed, claimed again
# and completed. Job 4 was cancelled. The enqueue of key "maybe" was never answered.
my $good = {
	notes => [
		{ at => 1, client => 'p', do => 'enqueue', keys => [ 'a', 'c', 'd' ] },
		{ at => 2, client => 'p', did => 'enqueue' },
		{ at => 3, client => 'p', do => 'enqueue', keys => ['no'] },
		{ at => 4, client => 'p', refused => 'enqueue' },
		{ at => 5, client => 'p', do => 'enqueue', keys => ['maybe'] },
		{ at => 6, client => 'w', do => 'claim' },
		{ at => 7, client => 'w', did => 'claim', jobs => [ [ 3, 31, 'c' ] ] },
		{ at => 8, client => 'w', do => 'release', job => 3, epoch => 31 },
		{ at => 9, client => 'w', did => 'release', answer => 1 },
		{ at => 10, client => 'w', do => 'claim' },
		{ at => 11, client => 'v', do => 'claim' },
		{ at => 12, client => 'w', did => 'claim', jobs => [ [ 3, 32, 'c' ] ] },
		{ at => 13, client => 'v', did => 'claim', jobs => [] },
		{ at => 14, client => 'w', do => 'fail', job => 3, epoch => 32 },
		{ at => 15, client => 'w', did => 'fail', answer => 1 },
		{ at => 16, client => 'v', do => 'claim' },
		{ at => 17, client => 'v', did => 'claim', jobs => [ [ 3, 33, 'c' ] ] },
		{ at => 18, client => 'v', do => 'complete', job => 3, epoch => 33 },
		{ at => 19, client => 'v', did => 'complete', answer => 1 },
		{ at => 20, client => 'w', do => 'complete', job => 3, epoch => 32 },
		{ at => 21, client => 'w', refused => 'complete' },
	],
	end => [
		{ is => 'job', job => 1, key => 'a', kind => 'once', state => 'completed', attempt => 2, epoch => 12, has_child => 1 },
		{ is => 'job', job => 2, key => 'a.1', kind => 'steps', state => 'completed', attempt => 1, epoch => 21, parent => 'a' },
		{ is => 'job', job => 3, key => 'c', kind => 'none', state => 'completed', attempt => 2, epoch => 33 },
		{ is => 'job', job => 4, key => 'd', kind => 'once', state => 'cancelled', attempt => 0, epoch => 0 },
		{ is => 'job', job => 5, key => 'maybe', kind => 'once', state => 'discarded', attempt => 1, epoch => 51 },
		{ is => 'attempt', job => 1, attempt => 1, epoch => 11, outcome => 'terminated' },
		{ is => 'attempt', job => 1, attempt => 2, epoch => 12, outcome => 'completed' },
		{ is => 'attempt', job => 2, attempt => 1, epoch => 21, outcome => 'completed' },
		{ is => 'attempt', job => 3, attempt => 1, epoch => 32, outcome => 'failed' },
		{ is => 'attempt', job => 3, attempt => 2, epoch => 33, outcome => 'completed' },
		{ is => 'attempt', job => 5, attempt => 1, epoch => 51, outcome => 'failed' },
		{ is => 'ledger', job => 1, epoch => 12 },
		{ is => 'ledger', job => 2, epoch => 20, step => 1 },
		{ is => 'ledger', job => 2, epoch => 21, step => 2 },
	] };

my $verdict = check_history(@$good{ 'notes', 'end' });
is_deeply($verdict->{found}, [], 'a correct history: no error is found');
is_deeply(
	$verdict->{counts},
	{ jobs => 5, promised => 3, recovered => 1, claims => 3, settled => 3, ledger => 3, attempts => 6,
		completed => 3, cancelled => 1, discarded => 1 },
	'it is counted, including the enqueue without an answer');
is_deeply(check_history([], [])->{found}, [], 'an empty history: no error is found');

# a row of the final state
sub row { my ($h, $is, $job, $epoch) = @_; my ($r) = grep { $_->{is} eq $is and $_->{job} == $job and (!defined $epoch or $_->{epoch} == $epoch) } @{ $h->{end} }; return $r }
sub without { my ($h, $row) = @_; @{ $h->{end} } = grep { $_ != $row } @{ $h->{end} }; return }
sub answer { my ($h, $at) = @_; my ($n) = grep { $_->{at} == $at } @{ $h->{notes} }; return $n }

# each row: a change of the correct history, and what must be found for which job
my @bad = (
	[ 'a job is gone', sub { my $h = shift; without($h, row($h, job => 4)) }, 'lost d' ],
	[ 'a job is there although its enqueue was refused', sub { my $h = shift; row($h, job => 4)->{key} = 'no' }, 'unexpected no', 'lost d' ],
	[ 'a job is there that nobody has enqueued', sub { push @{ shift->{end} }, { is => 'job', job => 9, key => 'z', kind => 'none', state => 'cancelled', attempt => 0, epoch => 0 } }, 'unexpected 9' ],
	[ 'a job is there twice', sub { push @{ shift->{end} }, { is => 'job', job => 9, key => 'd', kind => 'none', state => 'cancelled', attempt => 0, epoch => 0 } }, 'duplicated d' ],
	[ 'a job never ends', sub { row(shift, job => 4)->{state} = 'available' }, 'unfinished 4' ],
	[ 'a job still runs', sub { row(shift, job => 4)->{state} = 'running' }, 'unfinished 4' ],
	[ 'a run left its effects twice', sub { push @{ shift->{end} }, { is => 'ledger', job => 1, epoch => 12 } }, 'duplicated 1' ],
	[ 'a failed run left its effects', sub { push @{ shift->{end} }, { is => 'ledger', job => 5, epoch => 51 } }, 'unexpected 5' ],
	[ 'the effects are of the wrong run', sub { row(shift, ledger => 1)->{epoch} = 11 }, 'unexpected 1' ],
	[ 'a completed run left no effects', sub { my $h = shift; without($h, row($h, ledger => 1)) }, 'lost 1' ],
	[ 'a stepwise job completed without a step', sub { my $h = shift; without($h, $_) for row($h, ledger => 2, 20), row($h, ledger => 2, 21) }, 'lost 2' ],
	[ 'a step was done twice', sub { row(shift, ledger => 2, 21)->{step} = 1 }, 'duplicated 2' ],
	[ 'a step was passed over', sub { row(shift, ledger => 2, 21)->{step} = 3 }, 'lost 2' ],
	[ 'effects without a job', sub { push @{ shift->{end} }, { is => 'ledger', job => 77, epoch => 1 } }, 'lost 77' ],
	[ 'a follow-up job is gone', sub { my $h = shift; without($h, $_) for row($h, job => 2), row($h, attempt => 2), row($h, ledger => 2, 20), row($h, ledger => 2, 21) }, 'lost a' ],
	[ 'a follow-up job is there twice', sub { push @{ shift->{end} }, { is => 'job', job => 9, key => 'a.2', kind => 'none', state => 'cancelled', attempt => 0, epoch => 0, parent => 'a' } }, 'duplicated a' ],
	[ 'a follow-up job of a run that did not complete', sub { push @{ shift->{end} }, { is => 'job', job => 9, key => 'd.1', kind => 'none', state => 'cancelled', attempt => 0, epoch => 0, parent => 'd' } }, 'unexpected 9' ],
	[ 'an attempt is closed twice', sub { push @{ shift->{end} }, { is => 'attempt', job => 5, attempt => 1, epoch => 51, outcome => 'failed' } }, 'attempts 5' ],
	[ 'an attempt is missing', sub { my $h = shift; without($h, row($h, attempt => 1, 11)) }, 'attempts 1' ],
	[ 'an attempt too many', sub { push @{ shift->{end} }, { is => 'attempt', job => 5, attempt => 2, epoch => 52, outcome => 'failed' } }, 'attempts 5' ],
	[ 'completed twice, says the list of attempts', sub { row(shift, attempt => 1, 11)->{outcome} = 'completed' }, 'attempts 1' ],
	[ 'completed without an attempt that did', sub { row(shift, attempt => 2)->{outcome} = 'failed' }, 'attempts 2' ],
	[ 'attempts against the order of their epochs', sub { row(shift, attempt => 1, 11)->{epoch} = 13 }, 'attempts 1' ],
	[ 'two jobs had one epoch', sub { row(shift, attempt => 5)->{epoch} = 11 }, 'attempts 5' ],
	[ 'attempts without a job', sub { push @{ shift->{end} }, { is => 'attempt', job => 77, attempt => 1, epoch => 771, outcome => 'failed' } }, 'attempts 77' ],
	[ 'an epoch was given out twice', sub { answer(shift, 17)->{jobs} = [ [ 3, 32, 'c' ] ] }, 'fence 3' ],
	[ 'a later claim had a smaller epoch', sub { answer(shift, 17)->{jobs} = [ [ 3, 30, 'c' ] ] }, 'fence 3' ],
	[ 'a settle was accepted after a later claim', sub { my $h = shift; my $n = answer($h, 21); delete $n->{refused}; $n->{did} = 'complete'; $n->{answer} = 1 }, 'fence 3' ],
	[ 'two claims both completed the job', sub { my $h = shift; answer($h, 14)->{do} = 'complete' }, 'duplicated 3' ],
	[ 'a completion was forgotten', sub { my $r = row(shift, job => 3); $r->{state} = 'discarded' }, 'lost 3' ],
	[ 'a failure was forgotten', sub { my $h = shift; row($h, attempt => 3, 32)->{outcome} = 'expired' }, 'lost 3' ],
	[ 'a release was counted', sub { push @{ shift->{end} }, { is => 'attempt', job => 3, attempt => 1, epoch => 31, outcome => 'failed' } }, 'attempts 3' ],
	[ 'a settled job is gone', sub { my $h = shift; without($h, $_) for row($h, job => 3), row($h, attempt => 3, 32), row($h, attempt => 3, 33) }, 'lost 3', 'lost c' ],
);

for my $case (@bad)
{
	my ($name, $break, @expected) = @$case;
	my $bad = dclone($good);
	$break->($bad);
	my %found = map { ("$_->[0] $_->[1]" => $_->[2]) } @{ check_history(@$bad{ 'notes', 'end' })->{found} };
	is(join(', ', grep { !exists $found{$_} } @expected), '', "found: $name")
	  or diag(explain(\%found));
}

# claims that overlap may be answered in any order
my $overlap = dclone($good);
push @{ $overlap->{notes} },
  { at => 30, client => 'v', do => 'claim' }, { at => 31, client => 'w', do => 'claim' },
  { at => 32, client => 'w', did => 'claim', jobs => [ [ 4, 42, 'd' ] ] }, { at => 33, client => 'v', did => 'claim', jobs => [ [ 4, 41, 'd' ] ] };
is_deeply(check_history(@$overlap{ 'notes', 'end' })->{found}, [], 'overlapping claims may be answered in any order');

# a settle that returned false was done before
my $again = dclone($good);
push @{ $again->{notes} }, { at => 40, client => 'v', do => 'complete', job => 3, epoch => 33 }, { at => 41, client => 'v', did => 'complete', answer => JSON::PP::false };
is_deeply(check_history(@$again{ 'notes', 'end' })->{found}, [], 'a settle may be repeated');

# notes in files
my $dir = tempdir(CLEANUP => 1);
for my $client ('p', 'w', 'v')
{
	open my $out, '>', "$dir/$client" or die $!;
	note_to($out, $_) for grep { $_->{client} eq $client } @{ $good->{notes} };
	print {$out} '{"at": 99, "client": "w", "do": "cl' if $client eq 'w';
	close $out;
}
is_deeply(read_notes(map { "$dir/$_" } qw(p w v)), $good->{notes}, 'notes are read back in the order of time, without half a line');

done_testing();
