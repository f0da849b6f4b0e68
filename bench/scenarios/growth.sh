ALL=$(quick 400000 10000000)
ABOUT="$ALL jobs, enqueued 10,000 at a time and run by one worker with shared commits, while autovacuum looks once a second: how large the table of live jobs is with its indexes, in the middle and at the end; and the worker's own memory."
UNIT="MB"
CASES=('at the end')
SYSTEMS_HERE=(taskq)
REPEAT=1
PART=10000
prepare() {
	ask_postgres "ALTER SYSTEM SET autovacuum_naptime = 1" && ask_postgres "SELECT pg_reload_conf()" >/dev/null
	prepare_pool 1 0 empty_sql true
	ask "SELECT taskq.resume_queue('default')" >/dev/null
}
size_of_jobs() { ask_postgres "SELECT round(pg_total_relation_size('taskq.jobs') / 1e6, 2)"; }
memory_of_worker() { sed -n 's/^VmData:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$(ask_postgres "SELECT pid FROM taskq.background_workers()")/status" | awk '{ printf "%.2f\n", $1 / 1e3 }'; }
go_on() { # jobs
	local i
	for ((i = 0; i < $1; i += PART)); do
		fill_taskq $PART inside
		until_true "count(*) < 2 * $PART FROM taskq.jobs"
	done
	until_true "NOT EXISTS (SELECT FROM taskq.jobs)"
}
measure() {
	local middle end memory
	go_on $((ALL / 2))
	middle=$(size_of_jobs) memory=$(memory_of_worker)
	go_on $((ALL / 2))
	end=$(size_of_jobs)
	ratio 'in the middle' "$middle" 'at the end' "$end"
	printf 'memory in the middle %s\nmemory at the end %s\n' "$memory" "$(memory_of_worker)"
	ask_postgres "ALTER SYSTEM RESET autovacuum_naptime" && ask_postgres "SELECT pg_reload_conf()" >/dev/null
}
target taskq - '<=' 1.2 ratio
