ABOUT="Jobs whose handler in PL/pgSQL inserts a row, by a pool of 2 workers with shared commits, and with a commit each (taskq-each); insert: the same INSERT from 2 clients, a commit each."
UNIT="jobs/s"
CASES=(2)
SYSTEMS_HERE=(taskq taskq-each insert)
JOBS=$((LENGTH * 6000))
prepare() {
	case $1 in
		taskq) prepare_pool "$2" $JOBS writes true ;;
		taskq-each) prepare_pool "$2" $JOBS writes false ;;
	esac
}
measure() {
	case $1 in
		taskq*) run_pool $JOBS ;;
		*) rate "$1" in-server-insert "$2" ;;
	esac
}
target taskq insert '>=' -
target taskq-each insert '>=' -
