# What the scenarios are made of; sourced by bench/run.
#
# A scenario is a file in bench/scenarios: the variables below, targets, and
# functions if it differs. A system is a name: its operations are pgbench
# scripts, bench/sql/OPERATION.SYSTEM.sql, or a driver in bench/peers; and it
# may have functions fill_SYSTEM and empty_SYSTEM (with _ for -).
# shellcheck shell=bash disable=SC2034,SC2317

PEERS=(classic classic-keep pgq pg-boss graphile graphile-batch)

ask() { psql -XqAt -v ON_ERROR_STOP=1 -d bench -U bench -c "$1"; }
ask_postgres() { psql -XqAt -v ON_ERROR_STOP=1 -d bench -U postgres -c "$1"; }
until_true() { # condition, seconds (120)
	local i
	for ((i = 0; i < ${2:-120} * 20; i++)); do
		[ "$(ask "SELECT $1")" != t ] || return 0
		sleep 0.05
	done
	die "never came true: $1"
}

# systems -------------------------------------------------------------------

missing() { printf '%s' "${MISSING[$1]:-}"; } # why a system cannot take part
declare -A MISSING=()

empty_taskq() { psql -Xq -v ON_ERROR_STOP=1 -d bench -f "$TOP/bench/taskq.sql" >/dev/null; }
fill_taskq() { # jobs, task type
	# (a call that did not depend on i would be made once)
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

# which tables a system works with
store_of() { # system
	case $1 in
		taskq*) echo taskq ;;
		classic*) echo classic ;;
		insert | updates* | delete) echo plain ;;
		graphile*) echo graphile ;;
		*) echo "${1//-/_}" ;;
	esac
}
empty() { "empty_$(store_of "$1")"; }
fill() { local system=$1; shift; "fill_$(store_of "$system")" "$@"; }

# The same before every figure: no dead rows, fresh statistics, nothing left to flush.
settle() {
	ask_postgres "VACUUM ANALYZE" >/dev/null
	ask_postgres "CHECKPOINT" >/dev/null
}

# measuring -----------------------------------------------------------------

WARM=50     # operations of each client before it counts
ROWS=100000 # in the table of the limits, when its rows are changed by their ids

pgb() { # system, operation, clients, pgbench's arguments; transactions a second
	local system=$1 operation=$2 clients=$3 out; shift 3
	out=$(pgbench -n -U bench -M prepared -c "$clients" -j "$(nproc)" -D clients="$clients" -D rows=$ROWS -D n=0 -D job_id=0 -D epoch=0 \
		-f "$TOP/bench/sql/$operation.$system.sql" "$@" bench 2>&1) || { grep -m 2 -iE "error|fatal" <<<"$out" >&2; return 1; }
	! grep -E '(aborted|ERROR)' <<<"$out" >&2 || return 1
	sed -n 's/^tps = \([0-9.]*\).*/\1/p' <<<"$out"
}
times() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f\n", a * b }'; }

# An operation for LENGTH seconds; how often a second it was done.
rate() { # system, operation, clients
	local system=$1 operation=$2 clients=$3
	if [ -e "$TOP/bench/sql/$operation.$system.sql" ]; then
		pgb "$system" "$operation" "$clients" -t $WARM >/dev/null
		pgb "$system" "$operation" "$clients" -T "$LENGTH"
	else
		driver "$system" "$operation" "$clients" "$LENGTH"
	fi
}

# peers ---------------------------------------------------------------------

install_peers() { :; }
start_peers() { :; }
peer_versions() { :; }
plot() { :; }
driver() { die "nothing to do $2 with for $1"; }
