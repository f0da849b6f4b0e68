ABOUT="Claim 500 jobs, complete the 500, until there are none, by 2 clients. delete: one DELETE of 500 rows whose ids are known."
UNIT="jobs/s"
CASES=(500)
SYSTEMS_HERE=(delete taskq classic classic-keep pgq pg-boss graphile-batch)
JOBS=$((LENGTH * 40000)) FILL=$((JOBS + 2000))
measure() { drain "$1" 2 $JOBS; }
target taskq best-peer '>=' 1.5
target taskq delete '>=' -
