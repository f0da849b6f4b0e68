# The short form of script/torture: a dozen crashes under load of both kinds of
# workers. Then the checker compares the answers that clients got with the final
# state of the database.
use strict;
use warnings;

use File::Temp 'tempdir';
use FindBin;
use lib "$FindBin::RealBin/../perl";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TaskqTest;
use TaskqTorture qw(torture show_history);

my $seed = $ENV{TASKQ_SEED} // 1 + int rand 1_000_000;
my $dir = tempdir(CLEANUP => 1);
my $node = new_node('torture', bare => 1, conf => { 'taskq.poll_interval' => "'1 s'" });

note("seed $seed");
my $verdict = torture(node => $node, dir => $dir, seed => $seed, seconds => 40, crashes => 10, jobs => 3000, say => sub { note(@_) });
note(explain($verdict->{counts}, $verdict->{happened}));

cmp_ok($verdict->{crashes}, '>', 0, 'the server has crashed');
cmp_ok($verdict->{counts}{completed} // 0, '>', 0, 'jobs have completed');
cmp_ok($verdict->{counts}{settled}, '>', 0, 'external workers have settled some of them');
is(join('; ', map { "$_->[0] $_->[1]: $_->[2]" } @{ $verdict->{found} }), '', 'every promise was kept')
  or diag("seed $seed", map { "\n$_" } map { show_history($verdict, $dir, $_->[1]) } @{ $verdict->{found} }[ 0 .. 2 ]);

$node->stop;
clean_log($node, but => qr/was terminated by signal 9/);
done_testing();
