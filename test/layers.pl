#!/usr/bin/env perl
# Prints each include and each call from a room of src/ to a later room. The rooms and
# their order are the arguments; the current directory is the one above src/, where
# taskq is built. The calls are read from the objects: none of an object's undefined
# symbols may be defined in a later room. So each source must have its object.
#
# Files directly in src/ come after all rooms. taskq.h is the exception: all files
# include it, so it belongs to the first room.
use strict;
use warnings;

my %place;    # number of each room
my $last = keys %place;
$place{$_} = $last++ for @ARGV;
die "usage: layers.pl ROOM ...\n" unless @ARGV;

# The number of a file's room.
sub place
{
	my ($file) = @_;
	return 0 if $file eq 'src/taskq.h';
	return $file =~ m{^src/(\w+)/} ? $place{$1} // $last : $last;
}

# The file of src/ that an include in this file means, or undef.
sub included
{
	my ($file, $name) = @_;
	$name =~ s{^(?:\.\.?/)+(?:src/)?}{};
	my ($own) = $file =~ m{^(.*)/};
	for my $path ("$own/$name", "src/$name")
	{
		return $path if -e $path;
	}
	return;
}

sub check_includes
{
	my ($file) = @_;
	open my $f, '<', $file or die "$file: $!\n";
	while (<$f>)
	{
		next unless /^\s*#\s*include\s*[<"]([^>"]+)[>"]/;
		my $target = included($file, $1) // next;
		print "$file includes $target\n" if place($target) > place($file);
	}
	close $f;
	return;
}

my (%home, %needs);    # symbol => object that defines it; object => symbols that it uses

sub read_object
{
	my ($object) = @_;
	for (qx{nm \Q$object\E})
	{
		my ($kind, $symbol) = /([A-Za-z]) (\S+)$/ or next;
		if ($kind eq 'U')
		{
			push @{ $needs{$object} }, $symbol;
		}
		elsif ($kind =~ /[TDBRCVW]/)
		{
			$home{$symbol} = $object;
		}
	}
	die "nm $object failed\n" if $? != 0;
	return;
}

check_includes($_) for sort glob 'src/*.[ch] src/*/*.[ch]';
for my $source (sort glob 'src/*.c src/*/*.c')
{
	my $object = $source =~ s/\.c$/.o/r;
	if (-e $object)
	{
		read_object($object);
	}
	else
	{
		print "$source is not built\n";
	}
}
for my $object (sort keys %needs)
{
	for my $symbol (sort @{ $needs{$object} })
	{
		my $target = $home{$symbol} // next;
		print "$object uses $symbol of $target\n" if place($target) > place($object);
	}
}
