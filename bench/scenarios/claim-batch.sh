ABOUT="Claim 500 jobs, complete the 500, until there are none, by 2 clients. delete: one DELETE of 500 rows whose ids are known."
UNIT="jobs/s"
CASES=(500)
SYSTEMS_HERE=(delete taskq classic classic-keep)
JOBS=$((LENGTH * 40000)) FILL=$((LENGTH * 40000 + 2000))
measure() {
	if [ -e "$TOP/bench/sql/batch.$1.sql" ]; then
		pgb "$1" batch 2 -t 1 >/dev/null
		times "$(pgb "$1" batch 2 -t $((JOBS / 1000)) -D n=1)" 500
	else
		driver "$1" batch 2 $JOBS
	fi
}
target taskq best-peer '>=' 1.5
target taskq delete '>=' -
