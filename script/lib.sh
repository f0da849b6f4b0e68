# Shared by the scripts in this directory; sourced, not run.
#
# All files are in one private temporary directory, $WORK: a copy of the sources, a
# copy of the PostgreSQL installation that the build is installed into, the clusters
# and their sockets. Nothing is written to the checkout or to the system. So the
# scripts work as root and as a normal user, several at the same time, and beside a
# running PostgreSQL. $WORK is removed when the script ends.
#
#   PGVERSION  major version to use (15)
#   PG_CONFIG  instead: pg_config of the installation to use
#   KEEP=1     keep $WORK, for inspection
#   NO_PYTHON=1  skip what needs Python or PL/Perl, if these cannot be installed
# shellcheck shell=bash

set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PGVERSION=${PGVERSION:-15}
WORK=

# Ignore the caller's PostgreSQL and locale settings.
unset PGHOST PGHOSTADDR PGPORT PGDATABASE PGUSER PGPASSWORD PGOPTIONS PGSERVICE PGDATA PGAPPNAME PGTZ \
	PGCLUSTER PGCLIENTENCODING PGSSLMODE PSQLRC TESTDIR TEMP_CONFIG PG_TEST_EXTRA MAKEFLAGS MAKELEVEL
export LC_ALL=C.UTF-8 PSQL_PAGER=cat PERL5LIB=

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# what is needed ------------------------------------------------------------

pg_config_path() {
	local p=/usr/lib/postgresql/$PGVERSION/bin/pg_config
	if [ -n "${PG_CONFIG:-}" ]; then
		p=$PG_CONFIG
	elif [ ! -x "$p" ]; then
		p=$(command -v pg_config || true)
	fi
	# Debian's /usr/bin/pg_config is a wrapper; the real one is beside the server
	if [ -n "$p" ]; then p=$("$p" --bindir 2>/dev/null)/pg_config; fi
	if [ -x "$p" ] && [ -x "${p%/*}/postgres" ]; then printf '%s\n' "$p"; fi
}

# Print the missing Debian packages. A package is missing if its files are, so that
# other systems can be used, too. Purposes: build, test, pgtap, layout, postgres (to
# build PostgreSQL).
missing_packages() { # purpose ...
	local pg v=$PGVERSION
	pg=$(pg_config_path)
	if [ -z "$pg" ]; then
		echo "postgresql-$v" "postgresql-server-dev-$v"
	else
		v=$("$pg" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
		[ -e "$("$pg" --includedir-server)/postgres.h" ] && [ -e "$("$pg" --pgxs)" ] || echo "postgresql-server-dev-$v"
	fi
	command -v make >/dev/null || echo make
	command -v gcc >/dev/null || echo gcc libc6-dev
	command -v perl >/dev/null || echo perl
	if [[ " $* " = *" pgtap "* ]]; then
		[ -n "$pg" ] && [ -e "$("$pg" --sharedir)/extension/pgtap.control" ] || echo "postgresql-$v-pgtap"
	fi
	if [[ " $* " = *" layout "* ]]; then
		command -v clang-format >/dev/null || echo clang-format
	fi
	if [[ " $* " = *" postgres "* ]]; then
		command -v bzip2 >/dev/null || echo bzip2
		command -v bison >/dev/null || echo bison
		command -v flex >/dev/null || echo flex
	fi
	if [[ " $* " = *" test "* ]]; then
		command -v prove >/dev/null || echo perl
		command -v nm >/dev/null || echo binutils
		perl -MIPC::Run -e 1 2>/dev/null || echo libipc-run-perl
		if [ -z "${NO_PYTHON:-}" ]; then
			/usr/bin/python3 -c 'import psycopg2' 2>/dev/null || echo python3-psycopg2
			[ -n "$pg" ] && [ -e "$("$pg" --pkglibdir)/plpython3.so" ] || echo "postgresql-plpython3-$v"
			[ -n "$pg" ] && [ -e "$("$pg" --pkglibdir)/plperl.so" ] || echo "postgresql-plperl-$v"
		fi
	fi
}

# Install Debian packages, without creating a cluster of the system.
install_packages() { # package ...
	local log dropin=/etc/postgresql-common/createcluster.d/no-main-cluster.conf failed=
	say "installing: $*" >&2
	log=$(mktemp)
	if [ ! -e /etc/postgresql-common ]; then mkdir -p "${dropin%/*}"; echo "create_main_cluster = false" >"$dropin"; fi
	{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } \
		</dev/null >"$log" 2>&1 || { failed=1; cat "$log" >&2; }
	rm -f "$log" "$dropin"
	[ -z "$failed" ]
}

# Install missing packages if possible, and else print the command to do so.
need_packages() { # purpose ...
	local missing
	mapfile -t missing < <(missing_packages "$@" | tr ' ' '\n' | sort -u)
	[ ${#missing[@]} -gt 0 ] || return 0
	command -v apt-get >/dev/null || die "missing (by their Debian names): ${missing[*]}"
	[ "$(id -u)" = 0 ] || die "missing packages; as root: apt-get update && apt-get install -y ${missing[*]}"
	install_packages "${missing[@]}" || die "cannot install ${missing[*]}"
	[ -z "$(missing_packages "$@")" ] || die "still missing: $(missing_packages "$@" | tr '\n' ' ')"
}

# users and the working directory -------------------------------------------

# PostgreSQL refuses to run as root, so root runs it as user postgres.
AS_PG=() # prefix for commands in the background, set by make_work_dir
as_pg() { "${AS_PG[@]}" "$@"; }
give_to_pg() { [ "$(id -u)" != 0 ] || chown -Rh postgres "$@"; }

# Functions to call before $WORK is removed, in reverse order.
AT_EXIT=()
at_exit() { AT_EXIT=("$1" "${AT_EXIT[@]}"); }

clean_up() {
	local rc=$? f pidfile
	trap - EXIT
	trap '' INT TERM HUP
	set +e
	for f in "${AT_EXIT[@]}"; do $f; done
	for pidfile in "$WORK"/*/postmaster.pid "$WORK"/*/tmp_check/*/pgdata/postmaster.pid; do
		[ -e "$pidfile" ] && as_pg "$BIN/pg_ctl" -s -D "${pidfile%/*}" -m immediate stop 2>/dev/null
	done
	if [ -n "${KEEP:-}" ]; then say "left behind: $WORK" >&2; else rm -rf "$WORK"; fi
	exit $rc
}

make_work_dir() {
	local tmp=${TMPDIR:-/tmp}
	[ ${#tmp} -lt 40 ] || tmp=/tmp # a socket's path must fit into 107 bytes
	WORK=$(mktemp -d "$tmp/taskq.XXXXXX")
	trap clean_up EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	chmod 755 "$WORK"
	if [ "$(id -u)" = 0 ]; then
		AS_PG=(setpriv --reuid=postgres --regid=postgres --init-groups env HOME="$WORK" USER=postgres LOGNAME=postgres)
	fi
	give_to_pg "$WORK"
	cd "$WORK" # a directory that user postgres can enter
}

# build ---------------------------------------------------------------------

# Find the installation to copy, once.
find_postgres() {
	[ -z "${REAL_PG_CONFIG:-}" ] || return 0
	REAL_PG_CONFIG=$(pg_config_path)
	REAL_PATH=$PATH
	PGVERSION=$("$REAL_PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
}

# Make a copy of the installation to install into. PostgreSQL finds its directories
# relative to its program file, so a tree of links to the real one is enough, with
# real copies of the programs (links would be followed to the original).
# Sets PG_CONFIG, BIN and PATH to those of the copy.
make_tree() { # name
	local real d tree=$WORK/$1
	find_postgres
	real=$REAL_PG_CONFIG
	d=$("$real" --bindir); mkdir -p "$tree$d"; cp -L "$d"/* "$tree$d/"
	for d in "$("$real" --pkglibdir)" "$("$real" --sharedir)"; do
		mkdir -p "$tree$d"; cp -rs "$d/." "$tree$d/"
	done
	for d in "$("$real" --includedir)" "$("$real" --includedir-server)" "$("$real" --pkgincludedir)" "$("$real" --libdir)"; do
		[ -e "$tree$d" ] || { mkdir -p "$tree${d%/*}"; ln -s "$d" "$tree$d"; }
	done
	# a taskq that is installed in the system must not be visible
	rm -f "$tree$("$real" --pkglibdir)"/taskq.so "$tree$("$real" --sharedir)"/extension/taskq[.-]*
	give_to_pg "$tree"
	use_tree "$1"
}
use_tree() { # name
	BIN=$WORK/$1$("$REAL_PG_CONFIG" --bindir)
	PG_CONFIG=$BIN/pg_config
	PATH=$BIN:$REAL_PATH
	export PG_CONFIG PATH
}

# with_llvm=no: no bitcode, which needs clang and is not used here
make_pg() { as_pg make -s --no-print-directory PG_CONFIG="$PG_CONFIG" with_llvm=no "$@"; }

# On a terminal, show how many sources are compiled until a build is done. Returns the
# status of the build.
show_progress() { # directory, process
	local all
	all=$(find "$1/src" -name '*.c' | wc -l)
	while [ -t 1 ] && kill -0 "$2" 2>/dev/null; do
		printf '\r   compiled %d of %d files\e[K' "$(find "$1/src" -name '*.o' | wc -l)" "$all"
		sleep 0.3
	done
	[ ! -t 1 ] || printf '\r\e[K'
	wait "$2"
}

# Build a copy of the sources and install it into the tree in use.
build() { # directory below $WORK, make's arguments
	local src=$WORK/$1; shift
	mkdir "$src"
	tar -C "$TOP" --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' --exclude='*.gcda' --exclude='*.gcno' \
		--exclude=./.build-switches --exclude=./results --exclude=./output_iso --exclude=./tmp_check \
		--exclude=./log --exclude='./regression.*' -cf - . | tar -C "$src" --no-same-owner -xf -
	make_and_install "$src" "$@"
	# WERROR does not turn all warnings into errors, so look for them
	! grep -n 'warning:' "$src.log" >&2 || die "the build gave warnings: make $*"
}
make_and_install() { # directory, make's arguments
	local src=$1; shift
	give_to_pg "$src"
	{ make_pg -C "$src" -j"$(nproc)" "$@" && make_pg -C "$src" "$@" install; } >"$src.log" 2>&1 &
	if ! show_progress "$src" $!; then
		cat "$src.log" >&2
		die "the build failed: make $*"
	fi
}

# a server ------------------------------------------------------------------

# Start a private server, which is reachable only through its socket in $WORK, with
# these variables in its environment.
SERVER_ENV=()
start_server() { # directory below $WORK, more lines of postgresql.conf
	local data=$WORK/$1; shift
	as_pg "$BIN/initdb" -D "$data" -U postgres -A trust -N -E UTF8 --locale=C.UTF-8 >"$data.initdb" 2>&1 ||
		{ cat "$data.initdb" >&2; die "initdb failed"; }
	{
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$WORK'"
		echo "shared_preload_libraries = 'taskq'"
		echo "fsync = off"
		echo "log_line_prefix = '%m [%p] %b %q%u@%d '"
		printf '%s\n' "$@"
	} >>"$data/postgresql.conf"
	export PGHOST=$WORK PGUSER=postgres PGDATABASE=postgres
	as_pg env "${SERVER_ENV[@]}" "$BIN/pg_ctl" -s -w -D "$data" -l "$data.log" start ||
		{ cat "$data.log" >&2; die "the server does not start"; }
}
stop_server() { as_pg "$BIN/pg_ctl" -s -w -D "$WORK/$1" -m fast stop; }
