WAITING=$(quick 10000 100000)
ABOUT="Claim and complete, one client, without the flush to disk: without a limit; under a limit that is never reached; under a rate that is never reached; with one job at a time, and with a rate that is never reached, for each of 10,000 groups; in a fair queue with 100 groups; and while $WAITING jobs that are ahead wait for a limit of 0, of their type or of their group, or for the rate of their group."
UNIT="us"
CASES=('under a limit' 'under a rate' 'for each group' 'at a rate for each group' 'in a fair queue' 'behind a limit' 'behind a group' 'behind the rate of a group')
SYSTEMS_HERE=(taskq)
prepare() { fill_taskq 10000; }
arm() { # arguments of set_limit()
	ask "SELECT taskq.set_limit($1)" >/dev/null
	until_true "bool_and(state = 'active') FROM taskq.limits"
}
enqueue_groups() { # jobs, group key by i
	ask "SELECT count(*) FROM generate_series(1, $1) i, LATERAL taskq.enqueue_job('external', bench.payload(), group_key => $2, priority => -10)" >/dev/null
	until_true "NOT EXISTS (SELECT FROM taskq.jobs WHERE gate = 'o')" 600
	settle
}
measure() { # system, case
	local without with
	without=$(cost taskq claim)
	if [ "$2" = 'under a limit' ]; then
		arm "'bench', concurrency => 100"
	elif [ "$2" = 'under a rate' ]; then
		arm "'bench', rate => 1000000, burst => 1000000"
	elif [ "$2" = 'for each group' ]; then
		arm "'bench', for_each => '{group_key}', concurrency => 1"
		enqueue_groups 10000 "'g' || i"
	elif [ "$2" = 'in a fair queue' ]; then
		ask "SELECT taskq.alter_queue('default', fair => true)" >/dev/null
		enqueue_groups 10000 "'g' || i % 100"
	elif [ "$2" = 'at a rate for each group' ]; then
		arm "'bench', for_each => '{group_key}', rate => 1000, burst => 1000"
		enqueue_groups 10000 "'g' || i"
	elif [ "$2" = 'behind the rate of a group' ]; then
		arm "'bench', for_each => '{group_key}', rate => 1000, burst => 1000, overrides => '{\"held\": {\"rate\": 1, \"burst\": 1}}'"
		enqueue_groups "$WAITING" "'held'"
	elif [ "$2" = 'behind a group' ]; then
		arm "'bench', for_each => '{group_key}', concurrency => 1, overrides => '{\"held\": 0}'"
		enqueue_groups "$WAITING" "'held'"
	else
		ask "SELECT taskq.register_handler('held')" >/dev/null
		arm "'bench', task_type => 'held', concurrency => 0"
		ask "SELECT count(*) FROM generate_series(1, $WAITING / 1000) i,
			LATERAL taskq.enqueue_jobs('held', array_fill(bench.payload(), ARRAY[1000 + 0 * i]), priority => -10)" >/dev/null
		settle
	fi
	with=$(cost taskq claim)
	# jobs that are in lanes would stay there
	ask "SELECT taskq.drop_limit('bench'), taskq.alter_queue('default', fair => false)" >/dev/null
	empty_taskq
	prepare
	ratio without "$without" "$2" "$with"
}
target taskq - '<=' 1.1 ratio
