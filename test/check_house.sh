#!/usr/bin/env bash
# Checks the house rules that a compiler does not check. Prints "ok" and "not ok"
# lines. script/test and make lint run it in the directory above. It reads the exported
# symbols from the built taskq.so.
# shellcheck disable=SC2317,SC2069,SC2016 # the rules are called by rule()
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

failed=0
# A rule holds if its command prints nothing; its output is shown.
rule() { # name, command
	local name=$1 found; shift
	found=$("$@" 2>&1)
	if [ -z "$found" ]; then
		echo "ok - $name"
	else
		echo "not ok - $name"
		printf "#   %s\n" "${found//$'\n'/$'\n#   '}"
		failed=1
	fi
}

# Print C code without comments, with line numbers: FILE:LINE:TEXT
code() {
	perl -0777 -ne '
		s{("(?:\\.|[^"\\\n])*")|/\*.*?\*/|//[^\n]*}{defined $1 ? $1 : "\n" x ($& =~ tr/\n//)}gse;
		my $n = 0; print map { $n++; "$ARGV:$n:$_\n" } split /\n/' "$@"
}

# parts of the SQL script that make does not join
unlisted_parts() {
	comm -13 <(sed -n 's/^SQL_PARTS = //p' Makefile | tr ' ' '\n' | sort) <(basename -s .sql sql/parts/*.sql | sort)
}

# reason codes that are not in the list of the documentation, or only there
undocumented_reasons() {
	comm -3 <(sed -n 's/^\tX([A-Z_]*, "\([a-z_]*\)".*/\1/p' src/config/reason.h | sort) \
		<(sed -n '/^## Reason codes/,/^## Views/{/^| `/p;/^A build for tests/p}' doc/taskq.md | cut -d'|' -f1-2 | grep -o '`[a-z_]*`' | tr -d '`' | grep -vx reason_code | sort)
}

# files of more than 400 lines without a reason in their first lines
long_files() {
	local f
	for f in src/*.c src/*/*.c; do
		[ "$(wc -l <"$f")" -le 400 ] || head -n 30 "$f" | tr '\n' ' ' | grep -q 'more than 400 lines' || echo "$f"
	done
}

# there is an order of all files in which each file comes after the files it includes
cyclic_includes() {
	local f inc
	for f in src/*.[ch] src/*/*.[ch]; do
		[ -e "$f" ] || continue
		sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]([^>"]+)[>"].*/\1/p' "$f" | while read -r inc; do
			if [ -e "src/$inc" ]; then echo "${f#src/} $inc"; fi
		done
	done | tsort 2>&1 >/dev/null
}

# in quotes, headers of PostgreSQL and the project's own by their path below src/; in
# angle brackets, headers of the system
foreign_includes() {
	local f inc pg
	pg=$("${PG_CONFIG:-pg_config}" --includedir-server)
	grep -E '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]' src/*.[ch] src/*/*.[ch] /dev/null |
		sed -E 's/^([^:]*):[^<"]*([<"][^>"]+[>"]).*/\1 \2/' | while read -r f inc; do
			local path=${inc:1:-1}
			case $inc in
			\"*) [ -e "src/$path" ] || [ -e "$pg/$path" ] || echo "$f includes $inc" ;;
			*) [[ ! -e src/$path && $path != *..* ]] || echo "$f includes $inc" ;;
			esac
		done
}

# The rooms of src/, in the order of the table in src/README.md.
rooms() {
	sed -nE '/^## Rooms/,/^## /s/^\| `([a-z]+)` \|.*/\1/p' src/README.md
}

# Every folder of src/ is a room of the table, and the other way round.
rooms_listed() {
	diff <(rooms | sort) <(for d in src/*/; do basename "$d"; done | sort)
}

# A room includes and calls only itself and the rooms before it.
upward_calls() {
	# shellcheck disable=SC2046 # names without blanks
	test/layers.pl $(rooms)
}

# What upward_calls() must notice, in a small house: print each fault that it does not
# notice, and whatever it finds where there is none.
upward_calls_noticed() {
	local dir layers=$PWD/test/layers.pl
	dir=$(mktemp -d)
	(
		cd "$dir" && mkdir -p src/low src/high || exit
		build() { ${CC:-cc} -Isrc -c "$1" -o "${1%.c}.o"; }
		notices() { "$layers" low high | grep -qF -- "$2" || echo "$1 is not noticed"; }

		echo '#include "low/low.h"' >src/taskq.h
		echo 'extern void Top(void);' >src/top.h
		printf '#include "high/high.h"\nvoid Top(void) { High(); }\n' >src/top.c
		echo 'extern void Low(void);' >src/low/low.h
		printf '#include "taskq.h"\nvoid Low(void) {}\n' >src/low/low.c
		echo 'extern void High(void);' >src/high/high.h
		printf '#include "low/low.h"\n#include "high.h"\nvoid High(void) { Low(); }\n' >src/high/high.c
		for f in src/top.c src/*/*.c; do build "$f"; done
		echo 'an object whose source is gone' >src/low/gone.o
		"$layers" low high

		for include in '"high/high.h"' '<high/high.h>' '"../high/high.h"' '"../../src/high/high.h"' '"top.h"' '<top.h>' '"../top.h"'; do
			echo "#include $include" >src/low/other.h
			notices "an include of $include" "src/low/other.h includes src/"
		done
		rm src/low/other.h
		echo '#include "high/high.h"' >>src/taskq.h
		notices "an include by taskq.h" "src/taskq.h includes src/high/high.h"
		for call in High Top; do
			printf 'extern void %s(void);\nvoid Low(void) { %s(); }\n' "$call" "$call" >src/low/low.c
			build src/low/low.c
			notices "a call of $call()" "src/low/low.o uses $call"
		done
		rm src/low/low.o
		notices "a room that is not built" "src/low/low.c is not built"
	)
	rm -rf "$dir"
}

# each header has a guard that is named after the file
include_guards() {
	local f name guard
	for f in src/*.h src/*/*.h; do
		name=$(basename "$f" .h)
		guard=TASKQ_${name^^}_H
		[ "$name" != taskq ] || guard=TASKQ_H
		[ "$(grep -m1 '^#ifndef' "$f")" = "#ifndef $guard" ] || echo "$f does not begin with #ifndef $guard"
	done
	sed -nE 's/^#ifndef (TASKQ_.*H)$/the guard \1 is in more than one header/p' src/*.h src/*/*.h | sort | uniq -d
}

# a name stands for one file, in whichever room
ambiguous_names() {
	find src -name '*.[ch]' | sed 's,.*/,,' | sort | uniq -d
}

exported_symbols() {
	[ -e taskq.so ] || { echo "taskq.so is not built"; return; }
	nm -D --defined-only taskq.so | awk '{print $NF}' |
		grep -Ev '^(taskq_.*|Taskq.*|pg_finfo_taskq_.*|Pg_magic_func|_PG_init)(@.*)?$'
}

# default_version in the control file; META.json must repeat it, and no other file may
version() {
	local v re
	v=$(sed -nE "s/^default_version *= *'(.*)'/\1/p" taskq.control)
	[ -n "$v" ] || { echo "no default_version in taskq.control"; return; }
	re=${v//./\\.}
	if [ -e META.json ]; then
		perl -MJSON::PP -0777 -e '
			my ($v) = @ARGV; local @ARGV = ("META.json"); my $m = JSON::PP::decode_json(<>);
			for ($m->{version}, map { $_->{version} } values %{$m->{provides}}) {
				print "META.json says $_, taskq.control $v\n" if $_ ne $v }' "$v"
	else
		echo "no META.json"
	fi
	# (the change log and update scripts name versions by their nature)
	grep -nE "(^|[^0-9.])$re([^0-9.]|\$)" Makefile README.md CONTRIBUTING.md doc/*.md src/* src/*/* sql/parts/* script/* \
		test/*.sh test/lists.mk test/sql/* test/isolation/specs/* test/t/* examples/*/* bench/* .ci/* 2>/dev/null
}

listed_in() { # variable of test/lists.mk
	printf 'include test/lists.mk\nall: ; @printf "%%s\\n" $(%s)\n' "$1" | make -s --no-print-directory -f - all | sed '/^$/d'
}

unlisted() { # variable, directory, ending, directory of expected files
	local f name
	for f in "$2"/*."$3"; do
		[ -e "$f" ] || continue
		name=$(basename "$f" ".$3")
		listed_in "$1" | grep -qxF -- "$name" || echo "$f is not in $1 of test/lists.mk"
	done
	listed_in "$1" | while read -r name; do
		[ -e "$2/$name.$3" ] || echo "$1 of test/lists.mk names $name, but there is no $2/$name.$3"
		[ -e "$4/$name.out" ] || echo "$1: $name has no $4/$name.out"
	done
	listed_in "$1" | sort | uniq -d | sed "s/\$/ is in $1 twice/"
}

# tests that use functions of test builds say so, and no other tests do
need_testing() {
	local f includes name
	for f in test/sql/*.sql test/isolation/specs/*.spec; do
		name=$(basename "$f"); name=${name%.*}
		includes=$(sed -nE 's/^\\i (.*)/\1/p' "$f")
		# shellcheck disable=SC2086 # names without blanks
		if grep -qE 'taskq\.(clock_offset|steady_offset|injection_point|retry_jitter)' "$f" $includes; then
			listed_in NEED_TESTING | grep -qxF -- "$name" || echo "$f needs a build with TESTING=1, but is not in NEED_TESTING of test/lists.mk"
		else
			! listed_in NEED_TESTING | grep -qxF -- "$name" || echo "$f is in NEED_TESTING of test/lists.mk and does not need it"
		fi
	done
}

unexpected_files() { # variable, directory of expected files
	local f
	for f in "$2"/*.out; do
		[ -e "$f" ] || continue
		# NAME_1.out is another accepted output of NAME
		listed_in "$1" | grep -qxE -- "$(basename "$f" .out | sed -E 's/_[0-9]$/(&)?/')" || echo "$f belongs to no test in $1"
	done
}

only_in() { # pattern, file that may
	code src/*.[ch] src/*/*.[ch] | grep -E "$1" | grep -vE "^src/$2:"
}

# queries get the time from the clock, as a parameter
time_in_queries() {
	code src/*.[ch] src/*/*.[ch] | grep -iE '\b(now|(clock|statement|transaction)_timestamp|timeofday)[[:space:]]*\(\)|"[^"]*\bcurrent_(timestamp|date|time)\b' |
		grep -vE 'taskq_?\.?clock_now\(\)|taskq_clock_now'
}

# each ereport(ERROR or above) has an error code
ereport_without_code() {
	perl -0777 -ne '
		s{("(?:\\.|[^"\\\n])*")|/\*.*?\*/|//[^\n]*}{defined $1 ? $1 : "\n" x ($& =~ tr/\n//)}gse;
		while (/\bereport(?:_domain)?\s*(\((?:[^()"]|"(?:\\.|[^"\\])*"|(?1))*\))/g) {
			my ($call, $pos) = ($1, $-[0]);
			next unless $call =~ /^\(\s*(ERROR|FATAL|PANIC)\b/;
			next if $call =~ /\berrcode\w*\s*\(/ or $call =~ /\btaskq_err\w*\s*\(/;
			my $line = 1 + (substr($_, 0, $pos) =~ tr/\n//);
			print "$ARGV:$line: ereport without errcode\n";
		}' src/*.c src/*/*.c
}

# a document that refers to a test names an existing file, and either the description
# of a test in it, or a name in a spec or script
unproved() {
	perl -e '
		sub slurp { open my $f, "<", $_[0] or return ""; local $/; return scalar <$f> }
		for my $doc (@ARGV) {
			my ($proof, $n) = (0, 0);
			for (split /\n/, slurp($doc)) {
				$n++;
				$proof = /proved by \|$/ if /^\| theirs/;
				next unless $proof and /^\|.*\| ([^|]*) \|$/;
				my ($cell, $file, $text) = ($1);
				while ($cell =~ /`([^`]+)`|"([^"]+)"/g) {
					if (defined $2) { print "$doc:$n: $file has no test \"$2\"\n" if index($text, $2) < 0; next }
					$file = $1;
					my ($path) = grep { -e $_ } "test/sql/$file", "test/isolation/specs/$file", "test/t/$file", $file;
					print "$doc:$n: there is no test $file\n" unless $path;
					($path) = "expected/$1.out" if $file =~ /^(\w+)\.sql$/;
					$text = slurp($path // "");
				}
			}
		}' doc/coming-from.md
}

# The layout is that of one release of clang-format; other releases differ in details.
not_laid_out() {
	clang-format --dry-run src/*.[ch] src/*/*.[ch] 2>&1 |
		sed -nE 's/^(.*:[0-9]+):[0-9]+: .*/\1: make format changes this line/p' | sort -u
}

if clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
	rule "the code is laid out as make format does it" not_laid_out
elif [ -n "${CI:-}" ]; then
	rule "the code is laid out as make format does it" echo "clang-format 14 is not here"
else
	echo "ok - the code is laid out as make format does it # SKIP clang-format 14 is not here"
fi
rule "every part of the script is in the list of the Makefile" unlisted_parts
rule "includes are acyclic" cyclic_includes
rule "the rooms of src/ are those of its README" rooms_listed
rule "a room uses only itself and rooms before it" upward_calls
rule "an include or a call of a later room is noticed" upward_calls_noticed
rule "each header has an include guard of its own" include_guards
rule "a file name stands for one file of src/" ambiguous_names
rule "includes are PostgreSQL's or our own" foreign_includes
rule "only taskq's symbols are exported" exported_symbols
rule "the version stands in one place" version
rule "every pgTAP test is listed and has its expected output" unlisted REGRESS test/sql sql expected
rule "every isolation spec is listed and has its expected output" unlisted ISOLATION test/isolation/specs spec test/isolation/expected
rule "every expected output belongs to a pgTAP test" unexpected_files REGRESS expected
rule "every expected output belongs to a spec" unexpected_files ISOLATION test/isolation/expected
rule "tests that need a build for tests say so" need_testing
rule "differences between versions are in compat.h alone" only_in '\bPG_VERSION_NUM\b' 'base/compat(_assert)?\.h'
rule "each reason code is documented" undocumented_reasons
rule "files of more than 400 lines say why at their top" long_files
rule "the time is read in clock.c alone" only_in '\b(GetCurrentTimestamp|GetSQLCurrentTimestamp|gettimeofday|clock_gettime)\b' 'base/clock\.c'
rule "queries are given the time" time_in_queries
rule "every error has its code" ereport_without_code
rule "tests that documents name are there" unproved
exit $failed
