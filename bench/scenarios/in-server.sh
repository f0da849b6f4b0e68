ABOUT="Empty jobs by a pool of 1 and 2 workers, with shared commits by handlers in SQL, PL/pgSQL and C, and with a commit each (taskq-each); update-each: one UPDATE and one commit a job in a procedure. The peers as in claim-batch, at their best. delete: DELETEs of 500 known rows."
UNIT="jobs/s"
read -ra CASES <<<"$(quick 2 '1 2')"
SYSTEMS_HERE=(taskq-sql taskq-plpgsql taskq-c taskq-each update-each delete classic pgq pg-boss graphile-batch)
JOBS=$((LENGTH * 25000))
case_jobs() { case $1 in *-each) echo $((JOBS / 5)) ;; *) echo $JOBS ;; esac; }
prepare() {
	case $1 in
		taskq-each) prepare_pool "$2" "$(case_jobs "$1")" empty_sql false ;;
		taskq-*) prepare_pool "$2" "$(case_jobs "$1")" "empty_${1#taskq-}" true ;;
		*) fill "$1" $((JOBS + 2000)) ;;
	esac
}
measure() {
	local jobs
	jobs=$(case_jobs "$1")
	case $1 in
		taskq-*) run_pool "$jobs" ;;
		update-each) times "$(pgb "$1" in-server "$2" -t 1 -D jobs=$((jobs / $2)))" $((jobs / $2)) ;;
		*) drain "$1" "$2" "$jobs" ;;
	esac
}
target taskq-sql best-peer '>=' 3
target taskq-plpgsql best-peer '>=' 3
target taskq-c best-peer '>=' 3
target taskq-sql delete '>=' 0.5
target taskq-c delete '>=' 0.5
target taskq-each update-each '>=' -
