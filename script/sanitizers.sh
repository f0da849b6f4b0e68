# Builds a PostgreSQL with assertions, and sets up the sanitizers; sourced by
# script/test.
#
# No packaged server has PostgreSQL's own assertions (--enable-cassert). They stop the
# server when an extension breaks a rule, even if that has no other effect, overwrite
# freed memory, and detect writes past its end. So a server is built from the
# distribution's source package of the version in use, found by the package sources of
# this machine. That takes some minutes, so the result is kept, for each major version,
# in
#
#   TASKQ_CACHE  (root: /var/cache/taskq, else ${XDG_CACHE_HOME:-~/.cache}/taskq)
#
# and may be removed at any time.
# shellcheck shell=bash
# shellcheck disable=SC2034 # script/test uses the variables

cache_dir() {
	if [ -n "${TASKQ_CACHE:-}" ]; then
		printf '%s\n' "$TASKQ_CACHE"
	elif [ "$(id -u)" = 0 ]; then
		echo /var/cache/taskq # user postgres must be able to read it
	else
		printf '%s\n' "${XDG_CACHE_HOME:-$HOME/.cache}/taskq"
	fi
}

# the source ----------------------------------------------------------------

# Fetch the released source into a directory. A separate apt configuration uses the
# machine's package sources as sources of source packages. Try the newest version
# first, because a mirror may not have every version that it lists.
fetch_source() { # major version, directory
	local major=$1 dir=$2 apt=$2/apt file version opts
	mkdir -p "$apt/parts" "$apt/lists/partial" "$apt/cache/archives/partial"
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
		case $file in
			*.sources) sed 's/^Types:.*/Types: deb-src/' "$file" >"$apt/parts/${file##*/}" ;;
			*.list) sed -n 's/^deb /deb-src /p' "$file" >"$apt/parts/${file##*/}" ;;
		esac
	done
	opts=(-q -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$apt/parts"
		-o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o "APT::Sandbox::User=$(id -un)")
	apt-get "${opts[@]}" update || return 1
	for version in $(apt-cache "${opts[@]}" showsrc "postgresql-$major" | sed -n 's/^Version: //p' | sort -rVu); do
		(cd "$dir" && apt-get "${opts[@]}" source --download-only "postgresql-$major=$version") || continue
		mkdir "$dir/source"
		tar -C "$dir/source" --strip-components=1 --no-same-owner -xf "$dir"/*.orig.tar.*
		return
	done
	return 1
}

# the build -----------------------------------------------------------------

# The parts that the tests need, in the order of building.
POSTGRES_PARTS=(common port timezone backend backend/utils/mb/conversion_procs backend/snowball include
	interfaces/libpq fe_utils bin/initdb bin/pg_ctl bin/pg_config bin/psql pl/plpgsql/src makefiles
	test/regress test/isolation)

build_postgres() { # source directory, prefix
	local part
	cd "$1" || return
	CFLAGS="-O1 -g -fno-omit-frame-pointer" ./configure --quiet --prefix="$2" --enable-cassert --enable-debug \
		--without-readline --without-zlib --without-icu
	make -s -C src/backend generated-headers
	for part in "${POSTGRES_PARTS[@]}"; do
		make -s -j"$(nproc)" -C "src/$part"
		make -s -C "src/$part" install
	done
	make -s -C src install-local
	make -s -C config install
}

# Run a command, and report at intervals how many files it has compiled below a
# directory.
with_progress() { # directory, log, command
	local dir=$1 log=$2 start=$SECONDS said=0; shift 2
	setsid "$@" >"$log" 2>&1 </dev/null &
	build_pid=$!
	while kill -0 $build_pid 2>/dev/null; do
		sleep 1
		[ $((SECONDS - start - said)) -ge 30 ] || continue
		said=$((SECONDS - start))
		say "  $said s, $(find "$dir" -name '*.o' 2>/dev/null | wc -l) files compiled"
	done
	wait $build_pid
}
build_pid=
stop_build() { [ -z "$build_pid" ] || kill -- -"$build_pid" 2>/dev/null; }

asserting_prefix() { printf '%s\n' "$(cache_dir)/postgresql-$1-assertions"; }

# Must it still be built, and is that possible?
must_build_postgres() {
	local pg
	command -v apt-get >/dev/null || return 1
	pg=$(pg_config_path)
	[ -z "$pg" ] || [ ! -e "$(asserting_prefix "$("$pg" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')")/.complete" ]
}

# Set ASSERTING to the pg_config of a PostgreSQL with assertions, and build it if
# necessary. If that is not possible, print why, and fail.
find_asserting_postgres() { # major version
	local cache prefix work
	cache=$(cache_dir)
	prefix=$(asserting_prefix "$1")
	ASSERTING=$prefix/bin/pg_config
	[ ! -e "$prefix/.complete" ] || return 0
	command -v apt-get >/dev/null || { say "there is no apt-get, to fetch the source of PostgreSQL with"; return 1; }
	mkdir -p "$cache" && chmod 755 "$cache"
	exec 9>"$cache/lock"
	flock 9 # another process may be building it
	[ ! -e "$prefix/.complete" ] || { exec 9>&-; return 0; }
	say "building PostgreSQL $1 with assertions in $prefix: once, for some minutes"
	rm -rf "$prefix" "$cache"/build.*
	at_exit stop_build
	work=$(mktemp -d "$cache/build.XXXXXX")
	if ! fetch_source "$1" "$work" >"$work/log" 2>&1; then
		tail -n 20 "$work/log"
		rm -rf "$work"
		say "the package sources of this machine have no source of postgresql-$1 that can be fetched"
		return 1
	fi
	if ! with_progress "$work/source" "$work/log" bash -ec "$(declare -p POSTGRES_PARTS; declare -f build_postgres); build_postgres $work/source $prefix"; then
		tail -n 20 "$work/log"
		rm -rf "$work"
		die "PostgreSQL with assertions does not build"
	fi
	rm -rf "$work"
	touch "$prefix/.complete"
	exec 9>&-
}

# the sanitizers ------------------------------------------------------------

# Compiler options for the extension, and the environment of its server. The server's
# own code is not instrumented, but the sanitizer watches the memory that it takes from
# the system. The assertions watch the memory within its memory contexts.
SANITIZE="-fsanitize=address,undefined -fno-sanitize=alignment -fsanitize-recover=undefined"
sanitizer_env() { # directory of the reports
	printf '%s\n' "LD_PRELOAD=$(gcc -print-file-name=libasan.so)" \
		"ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:disable_coredump=1:log_path=$1/asan" \
		"UBSAN_OPTIONS=print_stacktrace=1:log_path=$1/ubsan"
}
