ABOUT="Empty jobs in SQL by a pool of 1 and 2 workers, with a commit each: taskq-async registers them with async_commit, taskq-each without."
UNIT="jobs/s"
read -ra CASES <<<"$(quick 2 '1 2')"
SYSTEMS_HERE=(taskq-async taskq-each)
JOBS=$((LENGTH * 5000))
prepare() {
	case $1 in
		taskq-async) prepare_pool "$2" $JOBS empty_sql false "async_commit => true" ;;
		taskq-each) prepare_pool "$2" $JOBS empty_sql false ;;
	esac
}
measure() { run_pool $JOBS; }
target taskq-async taskq-each '>=' 5
