ABOUT="What taskq's processes do and the server writes in $(quick '20 s' '5 minutes') without jobs: launcher, scheduler and a warm pool worker; autovacuum off."
UNIT="figure"
CASES=('idle')
SYSTEMS_HERE=(taskq)
REPEAT=1
taskq_pids() { ask_postgres "SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'taskq %' ORDER BY pid"; }
# nanoseconds on a CPU, and the number of voluntary context switches
cpu_of() { local pid sum=0; for pid; do sum=$((sum + $(cut -d' ' -f1 "/proc/$pid/schedstat"))); done; echo $sum; }
naps_of() { local pid sum=0; for pid; do sum=$((sum + $(sed -n 's/^voluntary_ctxt_switches:[^0-9]*//p' "/proc/$pid/status"))); done; echo $sum; }
prepare() {
	prepare_pool 1 100 empty_sql true
	run_pool 100 >/dev/null
}
measure() {
	local length pids cpu naps lsn
	length=$(quick 20 300)
	ask_postgres "ALTER SYSTEM SET autovacuum = off" && ask_postgres "SELECT pg_reload_conf()" >/dev/null
	mapfile -t pids < <(taskq_pids)
	sleep 26 # the server writes its own last record within 25 s after a change
	cpu=$(cpu_of "${pids[@]}") naps=$(naps_of "${pids[@]}")
	lsn=$(ask_postgres "SELECT pg_current_wal_insert_lsn()")
	sleep "$length"
	cpu=$(($(cpu_of "${pids[@]}") - cpu)) naps=$(($(naps_of "${pids[@]}") - naps))
	printf 'WAL in bytes a minute %s\n' "$(ask_postgres "SELECT round((pg_current_wal_insert_lsn() - '$lsn') * 60 / $length)")"
	awk -v cpu=$cpu -v naps=$naps -v t="$length" 'BEGIN {
		printf "CPU in percent of a core %.5f\nwake-ups a second %.3f\n", cpu / 1e7 / t, naps / t }'
	ask_postgres "ALTER SYSTEM RESET autovacuum" && ask_postgres "SELECT pg_reload_conf()" >/dev/null
}
target taskq - '<=' 0.05 'CPU.*'
target taskq - '<=' 0 'WAL.*'
