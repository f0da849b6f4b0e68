# Functions for the scenarios; sourced by bench/run.
#
# A scenario is a file in bench/scenarios: the variables below, targets, and
# functions if it differs. A system is a name: its operations are pgbench
# scripts, bench/sql/OPERATION.SYSTEM.sql, or a driver in bench/peers; and it
# may have functions fill_SYSTEM and empty_SYSTEM (with _ for -).
# shellcheck shell=bash disable=SC2034,SC2317

PEERS=(classic classic-keep classic-listen pgq pg-boss graphile graphile-batch)

ask() { psql -XqAt -v ON_ERROR_STOP=1 -d bench -U bench -c "$1"; }
ask_postgres() { psql -XqAt -v ON_ERROR_STOP=1 -d bench -U postgres -c "$1"; }
until_true() { # condition, seconds (120)
	local i
	for ((i = 0; i < ${2:-120} * 20; i++)); do
		[ "$(ask_postgres "SELECT $1")" != t ] || return 0
		sleep 0.05
	done
	die "never came true: $1"
}

# systems -------------------------------------------------------------------

missing() { # system; prints the reason why it cannot take part
	[[ $1 != *@* ]] || printf '%s' "$REVISION_FAILED"
	printf '%s' "${MISSING[${1%%@*}]:-}"
}
declare -A MISSING=()

empty_taskq() { psql -Xq -v ON_ERROR_STOP=1 -d bench -f "$TOP/bench/taskq.sql" >/dev/null; }
fill_taskq() { # jobs, task type
	# (the array depends on i, because a call that does not is made only once)
	ask "SELECT count(*) FROM generate_series(0, $1 - 1, 1000) i,
		LATERAL taskq.enqueue_jobs('${2:-external}', array_fill(bench.payload(), ARRAY[least(1000, $1 - i)]))" >/dev/null
}
empty_classic() { ask "TRUNCATE classic.jobs"; }
fill_classic() { ask "INSERT INTO classic.jobs (task_type, payload) SELECT 'external', bench.payload() FROM generate_series(1, $1)"; }
empty_plain() { ask "TRUNCATE bench.plain, bench.noted"; }
fill_plain() {
	ask "INSERT INTO bench.plain (job_id, route_id, priority, run_at, created_at, epoch, attempt, max_attempts, life, terminations, gate, state, payload)
		SELECT i, 1, 0, now(), now(), 0, 0, 20, 0, 0, 'o', 'a', bench.payload() FROM generate_series(1, $1) i"
}

# The tables that a system works with.
store_of() { # system
	case $1 in
		taskq*) echo taskq ;;
		classic*) echo classic ;;
		insert | updates* | update-each | delete | plain) echo plain ;;
		graphile*) echo graphile ;;
		*) echo "${1//-/_}" ;;
	esac
}
empty() { "empty_$(store_of "$1")"; }
fill() { local system=$1; shift; "fill_$(store_of "$system")" "$@"; }

# Prepare the same state before every measurement: no dead rows, new statistics, nothing
# left to flush.
settle() {
	ask_postgres "VACUUM ANALYZE" >/dev/null
	ask_postgres "CHECKPOINT" >/dev/null
}

# measuring -----------------------------------------------------------------

WARM=50     # operations of each client before the measurement
ROWS=100000 # rows in the table of the limits, when they are changed by their ids

pgb() { # system, operation, clients, pgbench's arguments; prints transactions per second
	local script=$TOP/bench/sql/$2.$1.sql; shift 2
	pgb_script "$script" "$@"
}
pgb_script() { # script, clients, pgbench's arguments
	local script=$1 clients=$2 out; shift 2
	out=$(pgbench -n -U bench -M prepared -c "$clients" -j "$(nproc)" -D clients="$clients" -D rows=$ROWS -D n=0 -D job_id=0 -D epoch=0 \
		-f "$script" "$@" bench 2>&1) || { grep -m 2 -iE "error|fatal" <<<"$out" >&2; return 1; }
	! grep -E '(aborted|ERROR)' <<<"$out" >&2 || return 1
	sed -n 's/^tps = \([0-9.]*\).*/\1/p' <<<"$out"
}
times() { [ -n "$1" ] && awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f\n", a * b }'; }

# Repeat an operation for LENGTH seconds; prints operations per second.
rate() { # system, operation, clients
	local system=$1 operation=$2 clients=$3
	if [ -e "$TOP/bench/sql/$operation.$system.sql" ]; then
		pgb "$system" "$operation" "$clients" -t $WARM >/dev/null
		pgb "$system" "$operation" "$clients" -T "$LENGTH"
	else
		driver "$system" "$operation" "$clients" "$LENGTH"
	fi
}

# The same, with a figure for each second.
progress() { # system, operation, clients, seconds
	pgbench -n -U bench -M prepared -P 1 -c "$3" -j "$(nproc)" -T "$4" -f "$TOP/bench/sql/$2.$1.sql" bench 2>&1
}
# Print two figures, and the ratio of the second to the first.
ratio() { # name of the first, figure, name of the second, figure
	[ -n "$2" ] && [ -n "$4" ] || return 1
	printf '%s %s\n%s %s\n' "$@"
	awk -v a="$2" -v b="$4" 'BEGIN { printf "ratio %.4f\n", b / a }'
}
# Microseconds that an operation takes for one client, without the flush to disk: the
# best of five, which is disturbed least.
cost() { # system, operation, number of them (500)
	local i
	for ((i = 0; i <= 5; i++)); do
		PGOPTIONS="-c synchronous_commit=off" pgb "$1" "$2" 1 -t "${3:-500}" | awk -v i=$i 'i > 0 { printf "%.1f\n", 1e6 / $1 }'
	done | sort -n | head -n 1
}
# Claim and complete a number of jobs in batches of 500.
drain() { # system, clients, jobs (the queue must have 2000 more)
	if [ -e "$TOP/bench/sql/batch.$1.sql" ]; then
		pgb "$1" batch "$2" -t 1 >/dev/null
		times "$(pgb "$1" batch "$2" -t $(($3 / 500 / $2)) -D n=1)" 500
	else
		driver "$1" batch "$2" $(($3 + 2000))
	fi
}
# Make a pool that has run some jobs, and jobs that wait in a paused queue.
prepare_pool() { # workers, jobs, handler, share_commit, more arguments of register_handler
	ask "SELECT taskq.create_pool('bench', size => $1, min_size => $1);
		SELECT taskq.register_handler('inside', 'bench.$3(jsonb)', share_commit => $4${5:+, $5})" >/dev/null
	until_true "count(*) = $1 FROM taskq.workers WHERE kind = 'background'"
	fill_taskq 200 inside
	until_true "NOT EXISTS (SELECT FROM taskq.jobs)"
	ask "SELECT taskq.pause_queue('default')" >/dev/null
	fill_taskq "$2" inside
}
# Resume the queue, and measure from the start of the first job to the end of the last.
run_pool() { # jobs
	ask "SELECT taskq.resume_queue('default')" >/dev/null
	until_true "NOT EXISTS (SELECT FROM taskq.jobs)"
	ask "SELECT round($1 / extract(epoch FROM max(finished_at) - min(started_at)))
		FROM (SELECT * FROM taskq.all_jobs WHERE state = 'completed' ORDER BY job_id DESC LIMIT $1) j HAVING count(*) = $1"
}

# Measure from the commit of an enqueue to the start of the job, while all processes sleep.
wake_up() { # system, flush or without-flush, runs
	local options=
	[ -x "$WORK/latency" ] || gcc -O2 -Wall -I"$("$PG_CONFIG" --includedir)" -o "$WORK/latency" "$TOP/bench/latency.c" \
		-L"$("$PG_CONFIG" --libdir)" -lpq
	[ "$2" = flush ] || options="-c synchronous_commit=off"
	case $1 in
		taskq)
			ask "SELECT taskq.create_pool('bench', size => 1, min_size => 1);
				SELECT taskq.register_handler('clock', 'bench.clock(jsonb)');
				SELECT count(taskq.enqueue_job('clock')) FROM generate_series(1, 20)" >/dev/null
			until_true "NOT EXISTS (SELECT FROM taskq.jobs)"
			PGOPTIONS=$options PGDATABASE=bench PGUSER=bench "$WORK/latency" pool "$3" ;;
		taskq-external) PGOPTIONS=$options PGDATABASE=bench PGUSER=bench "$WORK/latency" external "$3" ;;
		classic-listen) PGOPTIONS=$options PGDATABASE=bench PGUSER=bench "$WORK/latency" classic "$3" ;;
		*) PGOPTIONS=$options driver "$1" latency 2 "$3" ;;
	esac | sed "s/^/$2, /"
}

# peers ---------------------------------------------------------------------

without() { # reason, system ...
	local reason=$1 system; shift
	say "left out: $*: $reason" >&2
	for system; do MISSING[$system]=$reason; done
}
# Require a Debian package, by a file or command that it contains.
want_package() { # file or command, package ...
	[ -e "$1" ] || command -v "$1" >/dev/null || {
		shift
		[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && install_packages "$@"
	}
}

install_peers() { # with-node, or nothing for the peers in SQL alone
	local sharedir
	sharedir=$("$(pg_config_path)" --sharedir)
	want_package "$sharedir/extension/pgq.control" "postgresql-$PGVERSION-pgq3" ||
		without "needs the package postgresql-$PGVERSION-pgq3" pgq
	[ "${1:-}" = with-node ] || { without "not asked for" pg-boss graphile graphile-batch 2>/dev/null; return 0; }
	want_package gnuplot gnuplot-nox || say "no plots: needs gnuplot" >&2
	want_package npm nodejs npm || { without "needs npm" pg-boss graphile graphile-batch; return 0; }
	cp -r "$TOP/bench/peers" "$WORK/peers"
	if ! (cd "$WORK/peers" && npm ci --prefer-offline --no-audit --no-fund --ignore-scripts) >"$WORK/npm.log" 2>&1; then
		without "npm ci: $(grep -m 1 -i 'error' "$WORK/npm.log")" pg-boss graphile graphile-batch
		return 0
	fi
	# a separate Node.js, because the peers need a newer one than Debian's
	PATH=$(printf '%s:' "$WORK"/peers/node_modules/node-linux-*/bin)$PATH
}
node_peer() { (cd "$WORK/peers" && timeout 300 node "$@"); } # driver, operation, clients, amount

start_peers() {
	if [ -z "$(missing pgq)" ]; then
		{ ask_postgres "CREATE EXTENSION pgq; GRANT pgq_admin TO bench" && empty_pgq; } || without "cannot be created" pgq
	fi
	if [ -z "$(missing pg-boss)" ]; then
		node_peer pg-boss.mjs install 1 0 || without "cannot be installed" pg-boss
		node_peer graphile.mjs install 1 0 || without "cannot be installed" graphile graphile-batch
	fi
}
peer_versions() {
	local p
	[ -n "$(missing pgq)" ] || printf 'PgQ %s. ' "$(ask_postgres "SELECT extversion FROM pg_extension WHERE extname = 'pgq'")"
	[ -n "$(missing pg-boss)" ] || for p in pg-boss graphile-worker; do
		printf '%s %s. ' $p "$(sed -n 's/^[[:space:]]*"version": "\(.*\)".*/\1/p' "$WORK/peers/node_modules/$p/package.json")"
	done
	[ -n "$(missing pg-boss)" ] || printf 'Node.js %s.\n' "$(node --version)"
}

driver() { # system, operation, clients, amount
	node_peer "${1%-batch}.mjs" "$2" "$3" "$4"
}
empty_pgq() { psql -Xq -v ON_ERROR_STOP=1 -d bench -U bench -f "$TOP/bench/pgq.sql" >/dev/null; }
fill_pgq() { ask "CALL bench.fill_pgq($1)"; }
empty_pg_boss() { ask "TRUNCATE pgboss.job"; }
fill_pg_boss() { node_peer pg-boss.mjs fill 1 "$1"; }
empty_graphile() { ask "TRUNCATE graphile_worker._private_jobs"; }
fill_graphile() {
	ask "SELECT count(*) FROM graphile_worker.add_jobs(array_fill(('bench', bench.payload(), NULL, NULL, NULL, NULL, NULL, NULL)::graphile_worker.job_spec, ARRAY[$1]))" >/dev/null
}

# the report ----------------------------------------------------------------

plot() {
	local n=0 scenario unit systems
	command -v gnuplot >/dev/null || return 0
	# the number of blocks of plot.dat for each scenario, in their order
	awk -F'"' '/^"[^"]*" "[^"]*" "/ { if (!($2 in n)) order[++k] = $2; n[$2]++; unit[$2] = $6 }
		END { for (i = 1; i <= k; i++) print order[i] "|" unit[order[i]] "|" n[order[i]] }' "$OUT/plot.dat" |
		while IFS='|' read -r scenario unit systems; do
			(cd "$OUT" && gnuplot -e "scenario = '$scenario'; unit = '$unit'; first = $n; last = $((n + systems - 1))" \
				"$TOP/bench/plot.gp") || say "gnuplot failed for $scenario" >&2
			n=$((n + systems))
		done
	rm -f "$OUT/plot.dat"
}
