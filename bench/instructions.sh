# Counts instructions and WAL for each job; sourced by bench/run.
#
# The server of the other scenarios is prepared at full speed, and then started again
# under callgrind with bench/counting.c. It counts in each session just the statements
# in question, and in taskq's background workers what they do meanwhile. Its clock goes
# slower (bench/slow_clock.c). fsync and full_page_writes are off, as well as autovacuum,
# so that a figure does not depend on what happened to be on disk.
# shellcheck shell=bash disable=SC2034,SC2153

# The paths, in the order of the table.
IN_SERVER="in the server, shared commits"
PATHS=("enqueue_job" "enqueue_jobs(1000)" "claim_job" "claim_jobs(500)" "complete_job" "complete_jobs(500)"
	"claim and complete, one a call" "claim and complete, batches of 500"
	"$IN_SERVER, C" "$IN_SERVER, SQL" "$IN_SERVER, PL/pgSQL" "in the server, a commit each")

# the server ----------------------------------------------------------------

COUNTING=    # directory of the counts
PROCESSES=() # taskq's background workers, if they count

install_valgrind() {
	want_package valgrind valgrind && want_package /usr/include/valgrind/callgrind.h valgrind
}

# Start the server of the current side again, under callgrind.
start_counting() {
	COUNTING=$WORK/counting
	rm -rf "$COUNTING"
	mkdir "$COUNTING"
	gcc -O2 -shared -fPIC -I"$("$PG_CONFIG" --includedir-server)" -o "$COUNTING/counting.so" "$TOP/bench/counting.c"
	gcc -O2 -shared -fPIC -o "$COUNTING/slow_clock.so" "$TOP/bench/slow_clock.c"
	settle
	stop_server "$DATA"
	cat >"$COUNTING/conf" <<-END
		shared_preload_libraries = 'taskq, $COUNTING/counting'
		counting.log = '$COUNTING/log'
		fsync = off
		full_page_writes = off
		autovacuum = off
		max_logical_replication_workers = 0
		taskq.poll_interval = '60s'
	END
	grep -q '^include_if_exists' "$WORK/$DATA/postgresql.conf" ||
		echo "include_if_exists '$COUNTING/conf'" >>"$WORK/$DATA/postgresql.conf"
	touch "$COUNTING/log"
	give_to_pg "$COUNTING"
	as_pg env LD_PRELOAD="$COUNTING/slow_clock.so" valgrind -q --tool=callgrind --vgdb=no --instr-atstart=no \
		--callgrind-out-file="$COUNTING/%p" "$BIN/postgres" -D "$WORK/$DATA" >>"$WORK/$DATA.log" 2>&1 &
	until_it_runs
}
until_it_runs() {
	local i
	for ((i = 0; i < 120; i++)); do
		! psql -XqAt -d bench -c "SELECT 1" >/dev/null 2>&1 || return 0
		sleep 0.5
	done
	die "the server does not start under callgrind"
}

# Go back to the server as it was.
stop_counting() {
	[ -e "$WORK/counting/conf" ] || return 0
	rm "$WORK/counting/conf"
	[ ! -e "$WORK/$DATA/postmaster.pid" ] || stop_server "$DATA"
	as_pg "$BIN/pg_ctl" -s -w -D "$WORK/$DATA" -l "$WORK/$DATA.log" start
}

# parts of the background workers -------------------------------------------

COUNTING_SIGNAL=40
PART=0 # number of ended parts

# Make taskq's processes count, and wait for the work that starts and reloads give them.
start_processes() {
	mapfile -t PROCESSES < <(ask_postgres "SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'taskq %'")
	until_idle
	echo "counting.workers = on" >>"$COUNTING/conf"
	kill -HUP "$(head -n 1 "$WORK/$DATA/postmaster.pid")"
	until_logged '^process [0-9]+ 0 ' ${#PROCESSES[@]}
	until_idle
}
# End a part in all of taskq's processes.
end_part() {
	[ ${#PROCESSES[@]} != 0 ] || return 0
	PART=$((PART + 1))
	kill -"$COUNTING_SIGNAL" "${PROCESSES[@]}"
	until_logged "^process [0-9]+ $PART " ${#PROCESSES[@]}
}
# Wait without queries, which would disturb the count: until the processes have used
# hardly any CPU for two seconds. (The scheduler pauses for up to a second between rounds.)
until_idle() {
	local before now=0 calm=0 i
	for ((i = 0; i < 600 && calm < 4; i++)); do
		sleep 0.5
		before=$now
		now=$(cd /proc && awk '{ n += $1 } END { printf "%d\n", n / 1e6 }' "${PROCESSES[@]/%//schedstat}")
		if [ $((now - before)) -lt 5 ]; then calm=$((calm + 1)); else calm=0; fi
	done
	[ "$calm" = 4 ] || die "taskq's processes do not come to rest"
}
until_logged() { # pattern, lines
	local i
	for ((i = 0; i < 600; i++)); do
		[ "$(grep -cE "$1" "$COUNTING/log")" -lt "$2" ] || return 0
		sleep 0.1
	done
	die "callgrind: $2 processes should have reported: $1"
}

# Print the kinds of processes with their instructions in the last part.
count_of_processes() {
	local pid kind
	while read -r _ pid _ _ kind; do
		echo "$kind $(total "$COUNTING/$pid.$PART")"
	done < <(grep -E "^process [0-9]+ $PART " "$COUNTING/log") |
		awk '{ n[$1] += $2 } END { for (kind in n) print kind, n[kind] }' | sort
}
wal_position() { ask_postgres "SELECT pg_current_wal_insert_lsn() - '0/0'"; }
total() { sed -n 's/^totals: //p' "$1"; }

# sessions ------------------------------------------------------------------

# Print a script of pgbench with one of its statements counted, or all of it.
counted_script() { # file, number of the statement or all
	awk -v which="$2" '
		/^[A-Z]/ { n++ }
		/^[A-Z]/ && n == (which == "all" ? 1 : which) { print "SET counting.active = true;" }
		{ print }
		/^[A-Z]/ && n == which { print "SET counting.active = false;" }
		END { if (which == "all") print "SET counting.active = false;" }' "$1"
}

# Run a script in a session; prints the instructions and the WAL of a counted time. What
# SET counting.active costs itself is not subtracted.
count_session() { # script, times that do not count, times
	local pid times wal before
	before=$(grep -c '^session ' "$COUNTING/log")
	PGOPTIONS="-c counting.skip=$2" pgb_script "$1" 1 -t $(($2 + $3)) >/dev/null || return 1
	until_logged '^session ' $((before + 1))
	read -r _ pid times wal < <(grep '^session ' "$COUNTING/log" | tail -n 1)
	while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done # callgrind writes at the exit
	awk -v instructions="$(total "$COUNTING/$pid")" -v wal="$wal" -v n="$times" 'BEGIN { print instructions / n, wal / n }'
}

# the paths -----------------------------------------------------------------

FIXED=0                   # instructions of SET counting.active itself
declare -A FIXED_PART     # instructions of each kind of process in a part without work
SCHEDULER_ROUNDS=40000000 # at most so many are for rounds that the scheduler makes at intervals
declare -A INSTRUCTIONS WAL

# Find out what counting itself costs.
calibrate() {
	local kind n figures
	printf 'SET counting.active = true;\nSET counting.active = false;\n' >"$COUNTING/script.sql"
	end_part
	figures=$(count_session "$COUNTING/script.sql" 10 200) || return 1
	FIXED=${figures% *}
	end_part
	while read -r kind n; do FIXED_PART[$kind]=$n; done < <(count_of_processes)
	FIXED_PART[scheduler]=$SCHEDULER_ROUNDS
}

# Print the lines of a path.
print_path() { # path
	printf '%s, instructions %d\n%s, WAL bytes %d\n' "$1" "${INSTRUCTIONS[$1]}" "$1" "${WAL[$1]}"
}
# End the part, and add the instructions of taskq's processes to those of a path.
add_processes() { # path, jobs
	local kind n
	end_part
	while read -r kind n; do
		n=$(((n - ${FIXED_PART[$kind]:-0}) / $2))
		[ $n -gt 0 ] || n=0
		printf '%s, in the %s %d\n' "$1" "$kind" $n
		INSTRUCTIONS[$1]=$((INSTRUCTIONS[$1] + n))
	done < <(count_of_processes)
}
count_path() { # path, system, operation, statement or all, jobs of a time, times that do not count, times
	local path=$1 jobs=$5 script=$TOP/bench/sql/$3.$2.sql figures
	[ -e "$script" ] || return 0
	counted_script "$script" "$4" >"$COUNTING/script.sql"
	figures=$(count_session "$COUNTING/script.sql" "$6" "$7") || return 1
	INSTRUCTIONS[$path]=$(awk -v f="$figures" -v fixed="$FIXED" -v jobs="$jobs" 'BEGIN { split(f, a, " "); printf "%d\n", (a[1] - fixed) / jobs }')
	WAL[$path]=$(awk -v f="$figures" -v jobs="$jobs" 'BEGIN { split(f, a, " "); printf "%d\n", a[2] / jobs }')
	printf '%s, in the session %d\n' "$path" "${INSTRUCTIONS[$path]}"
	add_processes "$path" $((jobs * ($6 + $7)))
	print_path "$path"
}
# Print the sum of two paths.
sum_paths() { # path, path, path
	[ -n "${INSTRUCTIONS[$2]:-}" ] && [ -n "${INSTRUCTIONS[$3]:-}" ] || return 0
	INSTRUCTIONS[$1]=$((INSTRUCTIONS[$2] + INSTRUCTIONS[$3]))
	WAL[$1]=$((WAL[$2] + WAL[$3]))
	print_path "$1"
}

count_batches() { # system
	count_path "claim_jobs(500)" "$1" batch 1 500 2 6
	count_path "complete_jobs(500)" "$1" batch 2 500 2 6
	sum_paths "claim and complete, batches of 500" "claim_jobs(500)" "complete_jobs(500)"
}
count_singles() { # system
	count_path "claim_job" "$1" claim 1 1 50 100
	count_path "complete_job" "$1" claim 2 1 50 100
	sum_paths "claim and complete, one a call" "claim_job" "complete_job"
}

# Jobs in the server: for each handler two task types, because a worker runs some jobs
# before it counts.
HANDLERS=(c sql plpgsql each)
prepare_in_server() {
	local handler function share type
	ask "SELECT taskq.create_pool('bench', size => 1, min_size => 1)" >/dev/null
	for handler in "${HANDLERS[@]}"; do
		function=empty_$handler share=true
		[ "$handler" != each ] || function=empty_sql share=false
		for type in "warm-$handler" "count-$handler"; do
			ask "SELECT taskq.register_handler('$type', 'bench.$function(jsonb)', share_commit => $share);
				SELECT taskq.pause_handler('$type')" >/dev/null
			fill_taskq "$(jobs_of "$type")" "$type"
		done
	done
}
jobs_of() { case $1 in count-each) echo 500 ;; count-*) echo 2000 ;; *) echo 600 ;; esac; } # task type
run_type() { # task type
	ask "SELECT taskq.resume_handler('$1')" >/dev/null || return 1
	for _ in $(seq 20); do
		until_idle
		[ "$(ask_postgres "SELECT count(*) FROM taskq.jobs JOIN taskq.routes USING (route_id) WHERE task_type = '$1'")" != 0 ] || return 0
	done
	die "jobs are left: $1"
}
count_in_server() { # path, handler
	local wal
	run_type "warm-$2"
	end_part
	wal=$(wal_position)
	run_type "count-$2"
	wal=$(($(wal_position) - wal))
	INSTRUCTIONS[$1]=0
	add_processes "$1" "$(jobs_of "count-$2")"
	WAL[$1]=$((wal / $(jobs_of "count-$2")))
	print_path "$1"
}

# systems -------------------------------------------------------------------

count_taskq() { # main or all
	until_true "count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'taskq worker'" 3
	start_processes
	calibrate
	count_path "enqueue_jobs(1000)" taskq bulk all 1000 2 5
	count_batches taskq
	count_in_server "$IN_SERVER, C" c
	[ "$1" != main ] || return 0
	count_path "enqueue_job" taskq enqueue all 1 50 100
	count_singles taskq
	count_in_server "$IN_SERVER, SQL" sql
	count_in_server "$IN_SERVER, PL/pgSQL" plpgsql
	count_in_server "in the server, a commit each" each
}
count_peer() { # system, main or all
	local batch=$1 claim=$1 insert=$1
	[ "$1" != plain ] || insert=insert claim=updates batch=delete
	calibrate
	count_path "enqueue_jobs(1000)" "$insert" bulk all 1000 2 5
	if [ "$2" = all ]; then # before the batches, because delete deletes the first rows
		count_path "enqueue_job" "$insert" enqueue all 1 50 100
		case $1 in
			classic*) count_singles "$1" ;;
			*) count_path "claim and complete, one a call" "$claim" claim all 1 50 100 ;;
		esac
	fi
	case $1 in
		classic*) count_batches "$1" ;;
		*) count_path "claim and complete, batches of 500" "$batch" batch all 500 2 6 ;;
	esac
}
