#!/usr/bin/env perl
# Runs every block of the documentation as if a reader pasted it:
#   test/docs.pl PAGE...       in the directory above, on the server of PGHOST
#
# Each page has a new database, which contains only what the page itself creates. The
# page begins in psql as a superuser, and does first what needs a superuser. Then it
# becomes an ordinary role. The word after ``` says how a block is used:
#
#   sql      is pasted into the page's psql session; nothing may fail
#   sh       is run by bash in the directory of the sources; processes that it leaves in
#            the background are ended with the page
#   output   is the output of the block before: a table or an error, where "..." stands
#            for anything. If that block only reads, it is repeated until it shows this
#   console, conf, plpgsql, text   are not run: commands for the whole machine, lines of
#            postgresql.conf, parts of functions, syntax
#
# Prints "ok" and "not ok" lines.
use strict;
use warnings;

use IPC::Run qw(start pump finish timeout);
use POSIX qw(setsid);
use Time::HiRes qw(sleep time);

my %runs = map { $_ => 1 } qw(sql sh output);
my %rests = map { $_ => 1 } qw(console conf plpgsql text);
my $patience = 60;
my ($n, $failed) = (0, 0);
$SIG{PIPE} = 'IGNORE';

sub ok
{
	my ($ok, $what, $why) = @_;
	$n++;
	print(($ok ? 'ok' : 'not ok') . " $n - $what\n");
	return if $ok;
	$failed++;
	print map { "#   $_\n" } split /\n/, $why // '';
}

# The blocks of a page: line, language, text.
sub blocks
{
	my ($page) = @_;
	my ($block, @blocks, @stray, $blank);
	open my $file, '<', $page or die "$page: $!\n";
	while (my $line = <$file>)
	{
		if (!$block && $line =~ /^( *)```(.*)/)
		{
			$block = { line => $., word => $2, indent => $1, text => '' };
		}
		elsif ($block && $line =~ /^\s*```$/)
		{
			push @blocks, $block;
			undef $block;
		}
		elsif ($block)
		{
			$line =~ s/^$block->{indent}//;
			$block->{text} .= $line;
		}
		else
		{
			push @stray, $. if $blank && $line =~ /^(?: {4}|\t)/;
			$blank = $line =~ /^\s*$/ || ($blank && $line =~ /^(?: {4}|\t)/);
		}
	}
	push @stray, $block->{line} if $block;
	ok(!@stray, "$page: every block says what it is", "lines @stray");
	return @blocks;
}

# psql ------------------------------------------------------------------------

my ($in, $out, $err, $psql, $timer);

sub open_psql
{
	my ($db) = @_;
	($in, $out, $err) = ('', '', '');
	$psql = start [ 'psql', '-X', '-P', 'pager=off', '-d', $db ], '<', \$in, '>', \$out, '2>', \$err, ($timer = timeout($patience));
}

# Paste a text; returns what psql shows, and its errors. undef: it does not end.
sub paste
{
	my ($text) = @_;
	my $mark = "-- $n at " . time;
	($out, $err) = ('', '');
	$timer->start($patience);
	$in .= "$text\n\\echo '$mark'\n\\warn '$mark'\n";
	eval {
		pump $psql until $out =~ /^\Q$mark\E\n/m && $err =~ /^\Q$mark\E\n/m;
		1;
	} or return;
	return map { my $shown = $_; $shown =~ s/^\Q$mark\E\n//m; $shown } $out, $err;
}

# Does the statement only read?
sub only_looks
{
	my ($text) = @_;
	$text =~ s/--[^\n]*//g;
	return !grep { /\S/ && (!/^\s*(?:SELECT|TABLE)\b/i || /taskq\.(?!status|read_|describe_|explain_)\w+\s*\(/) } split /;/, $text;
}

sub complaint { return join '', map { "$_\n" } grep { /ERROR:|FATAL:|PANIC:|^psql:|^\\|invalid command|no rows returned/ } split /\n/, $_[0] }

# Does the output match what the page shows?
sub is_like
{
	my ($shown, $expected) = @_;
	for ($shown, $expected) { s/[ \t]+$//mg; s/\n+\z//; s/\A\n+// }
	my $pattern = quotemeta $expected;
	$pattern =~ s/\\\.\\\.\\\./.*/g;
	return $shown =~ /\A$pattern\z/;
}

sub run_sql
{
	my ($block, $expected) = @_;
	my $end = time + $patience;
	my ($shown, $told);
	do
	{
		sleep 0.2 if defined $shown;
		($shown, $told) = paste($block->{text});
		return 'psql waits for more: the block does not end' if !defined $shown;
		return $told if complaint($told) ne '' && !(defined $expected && $expected =~ /^ERROR:/m);
		return if !defined $expected || is_like($expected =~ /^ERROR:/m ? $told : $shown, $expected);
	} while (only_looks($block->{text}) && time < $end);
	return "it shows:\n$shown$told";
}

# shell -----------------------------------------------------------------------

my @groups;

sub run_sh
{
	my ($block, $expected, $db) = @_;
	my $log = "$ENV{TMPDIR}/docs.$$.log";
	my $pid = fork // die $!;
	if (!$pid)
	{
		setsid();
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', $log;
		open STDERR, '>&', \*STDOUT;
		exec 'bash', '-e', '-c', $block->{text};
		exit 127;
	}
	push @groups, $pid;
	waitpid $pid, 0;
	my $status = $?;
	open my $file, '<', $log or return "$log: $!";
	my $shown = do { local $/; <$file> } // '';
	return "status $status\n$shown" if $status != 0 || complaint($shown) ne '';
	return if !defined $expected || is_like($shown, $expected);
	return "it shows:\n$shown";
}

# pages -----------------------------------------------------------------------

sub admin { my $said = `psql -XAtq -v ON_ERROR_STOP=1 -d postgres -c "$_[0]" 2>&1`; return $? == 0 ? '' : $said }

# Objects that were on the server before the first page, and are kept.
my %there;
sub databases { split /\n/, `psql -XAtq -d postgres -c "SELECT datname FROM pg_database"` }
sub roles { split /\n/, `psql -XAtq -d postgres -c "SELECT rolname FROM pg_roles"` }

# Remove everything that a page has created.
sub clean_up
{
	my ($db) = @_;
	kill 'TERM', map { -$_ } @groups;
	@groups = ();
	$in .= "\\q\n";
	eval { finish $psql };
	my $why = '';
	for my $made (grep { !$there{"database $_"} } databases())
	{
		$why .= admin("DROP DATABASE \\\"$made\\\" WITH (FORCE)");
	}
	for my $made (grep { !$there{"role $_"} } roles())
	{
		$why .= admin("DROP ROLE \\\"$made\\\"");
	}
	return $why;
}

sub run_page
{
	my ($page) = @_;
	my @blocks = blocks($page);
	return unless grep { $runs{ $_->{word} } } @blocks;
	my $db = 'docs';
	my $why = admin("CREATE DATABASE $db");
	ok($why eq '', "$page: a fresh database", $why);
	open_psql($db);
	for my $i (0 .. $#blocks)
	{
		my $block = $blocks[$i];
		my $word = $block->{word};
		my $next = $blocks[ $i + 1 ];
		my $expected = $next && $next->{word} eq 'output' ? $next->{text} : undef;
		my $what = "$page:$block->{line}: $word";
		if ($word eq 'sql') { $why = run_sql($block, $expected); ok(!defined $why, $what, $why) }
		elsif ($word eq 'sh') { $why = run_sh($block, $expected); ok(!defined $why, $what, $why) }
		elsif ($word eq 'output') { ok($i > 0 && $blocks[ $i - 1 ]{word} =~ /^(sql|sh)$/, $what, 'it follows no block that runs') }
		else { ok($rests{$word}, $what, 'no word that is known, see test/docs.pl') }
	}
	if (grep { $_->{word} eq 'sql' } @blocks)
	{
		my ($who) = paste('SHOW is_superuser');
		($who) = paste(';') if defined $who;
		ok(defined $who && $who =~ /off/, "$page: its reader is an ordinary role in the end", $who);
	}
	$why = clean_up($db);
	ok($why eq '', "$page: what it made can be removed", $why);
}

$ENV{TMPDIR} //= '/tmp';
$there{"database $_"} = 1 for databases();
$there{"role $_"} = 1 for roles();
run_page($_) for @ARGV;
exit($failed ? 1 : 0);
