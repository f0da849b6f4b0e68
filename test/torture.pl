# The long form of test/t/091_torture.pl, for script/torture: MINUTES SEED DIR.
# Prints what happens, then the result, and the history of each error.
use strict;
use warnings;

# PostgreSQL's test modules redirect standard output to a log
my $out;
BEGIN { open $out, '>&', \*STDOUT or die $!; $out->autoflush }

use FindBin;
use lib "$FindBin::RealBin/perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use TaskqTest;
use TaskqTorture qw(torture show_history);

my ($minutes, $seed, $dir) = @ARGV;
my $say = sub { print {$out} @_, "\n" };

my $node = new_node('torture', bare => 1);
my $started = time;
my $verdict = torture(
	node => $node, dir => $dir, seed => $seed, seconds => 60 * $minutes, crashes => 1e9, jobs => 1e12,
	say => sub { $say->(sprintf('%5d s  ', time - $started), @_) });
$node->stop;

$say->('');
$say->(sprintf('%-32s %8d', $_, $verdict->{happened}{$_})) for sort keys %{ $verdict->{happened} };
$say->('');
$say->(sprintf('%-32s %8d', $_, $verdict->{counts}{$_})) for sort keys %{ $verdict->{counts} };
$say->('');
my @log = grep { /\bPANIC\b|TRAP:|\bXX\d\d\d\b/ } split /\n/, slurp_file($node->logfile);
my @found = @{ $verdict->{found} };
for my $wrong (@found[ 0 .. ($#found < 9 ? $#found : 9) ])
{
	$say->("$wrong->[0] $wrong->[1]: $wrong->[2]");
	$say->($_) for show_history($verdict, $dir, $wrong->[1]);
}
$say->("in the log: $_") for @log[ 0 .. ($#log < 9 ? $#log : 9) ];
if (@found or @log)
{
	$say->(sprintf 'NOT KEPT: %d promises broken, %d internal errors; seed %d; %d crashes', scalar @found, scalar @log, $seed, $verdict->{crashes});
	exit 1;
}
$say->(sprintf 'KEPT: every promise, over %d jobs and %d crashes; seed %d', $verdict->{counts}{jobs}, $verdict->{crashes}, $seed);
exit 0;
