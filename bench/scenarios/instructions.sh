ABOUT="Instructions in user mode and bytes of WAL for each job, counted under callgrind for one client or one worker. taskq: the client's session and taskq's own processes (the lines below say how much is in each); other systems: the session. plain: the same changes of rows whose ids are known. A path that is a sum, and not measured itself: claim and complete."
UNIT="a job"
CASES=('each path')
SYSTEMS_HERE=(taskq plain classic classic-keep pgq)
REPEAT=1
WHICH=$(quick main all)
ROWS=12000
install_valgrind || without "needs valgrind" "${SYSTEMS_HERE[@]}"
prepare() {
	fill "$1" $ROWS
	[ "$1" != taskq ] || prepare_in_server
}
measure() {
	start_counting
	case $1 in
		taskq) count_taskq "$WHICH" ;;
		*) count_peer "$1" "$WHICH" ;;
	esac
}
finish() { stop_counting; }
