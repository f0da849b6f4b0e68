WAITING=$(quick 10000 100000)
ABOUT="Claim and complete, one client, without the flush to disk: without a budget; of jobs that name a budget, and that hold an estimate of it; while $WAITING jobs that are ahead wait for a budget that is used up; and with a report of each job to a budget that is never used up."
UNIT="us"
CASES=('names a budget' 'holds an estimate' 'behind a budget' 'reports')
SYSTEMS_HERE=(taskq)
prepare() { fill_taskq 10000; }
arm() { # arguments of set_budget()
	ask "SELECT taskq.set_budget('bench', $1)" >/dev/null
	until_true "bool_and(state NOT IN ('arming', 'limit_memory')) FROM taskq.budgets"
}
enqueue_ahead() { # jobs, estimate
	ask "SELECT count(*) FROM generate_series(1, $1 / 1000) i, LATERAL taskq.enqueue_jobs('external',
		array_fill(bench.payload(), ARRAY[1000 + 0 * i]), priority => -10, budgets => '{bench}', estimated_cost => $2)" >/dev/null
	settle
}
measure() { # system, case
	local without with operation=claim
	without=$(cost taskq claim)
	case $2 in
		'names a budget') arm "hard => 1000000"; enqueue_ahead 10000 NULL ;;
		'holds an estimate') arm "hard => 1000000"; enqueue_ahead 10000 0.5 ;;
		'behind a budget') arm "hard => 0"; enqueue_ahead "$WAITING" NULL ;;
		'reports') arm "hard => 1000000"; enqueue_ahead 10000 NULL; operation=report ;;
	esac
	with=$(cost taskq "$operation")
	ask "SELECT taskq.drop_budget('bench')" >/dev/null
	empty_taskq
	prepare
	# a report is another statement, which writes a row
	if [ "$2" = reports ]; then
		printf 'without %s\nreports %s\n' "$without" "$with"
	else
		ratio without "$without" "$2" "$with"
	fi
}
target taskq - '<=' 1.1 ratio
