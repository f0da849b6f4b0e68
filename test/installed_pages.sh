#!/usr/bin/env bash
# Checks the pages below DESTDIR: all names begin with taskq, and every link leads to an
# existing page and heading. test/installed_pages.sh DESTDIR. Prints "ok" and "not ok".
set -uo pipefail
failed=0
mapfile -t pages < <(find "$1" -name '*.md')
[ ${#pages[@]} -gt 0 ] || { echo "not ok - pages are installed"; exit 1; }
for page in "${pages[@]}"; do
	name=${page##*/}
	dead=$(perl -e '
		use strict;
		use warnings;
		my ($page) = @ARGV;
		(my $dir = $page) =~ s{/[^/]*$}{};
		my $slurp = sub { open my $f, "<", $_[0] or return; local $/; my $t = <$f>; $t =~ s/^ *```.*?^ *```$//gms; $t };
		# the anchors that the usual renderers give to headings
		my $anchors = sub {
			my %seen;
			map { my $a = lc; $a =~ s/[^\w\- ]//g; $a =~ tr/ /-/; my $n = $seen{$a}++; $n ? "$a-$n" : $a }
				($_[0] =~ /^#+ +(.*?) *$/mg, $_[0] =~ /^(.+)\n(?:=+|-+)$/mg);
		};
		my $text = $slurp->($page);
		while ($text =~ /\]\(([^)\s]+)\)/g)
		{
			my $link = $1;
			next if $link =~ /^[a-z]+:/;
			my ($file, $anchor) = $link =~ /^([^#]*)(?:#(.*))?$/;
			my $target = $file eq "" ? $page : "$dir/$file";
			if (!-e $target) { print "$link\n"; next }
			print "$link\n" if defined $anchor && !grep { $_ eq $anchor } $anchors->($slurp->($target));
		}' "$page")
	if [[ $name = taskq[.-]* ]] && [ -z "$dead" ]; then
		echo "ok - $name is installed, and its links lead somewhere"
	else
		echo "not ok - $name is installed, and its links lead somewhere"
		[ -z "$dead" ] || printf '#   %s\n' $dead
		failed=1
	fi
done
exit $failed
