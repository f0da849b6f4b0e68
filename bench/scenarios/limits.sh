WAITING=$(quick 10000 100000)
ABOUT="Claim and complete, one client, without the flush to disk: without a limit; under a limit that is never reached; under a rate that is never reached; and while $WAITING jobs of another type, which are ahead of its own, wait for a limit of 0."
UNIT="us"
CASES=('under a limit' 'under a rate' 'behind a limit')
SYSTEMS_HERE=(taskq)
prepare() { fill_taskq 10000; }
arm() { # arguments of set_limit()
	ask "SELECT taskq.set_limit($1)" >/dev/null
	until_true "bool_and(state = 'active') FROM taskq.limits"
}
measure() { # system, case
	local without with
	without=$(cost taskq claim)
	if [ "$2" = 'under a limit' ]; then
		arm "'bench', concurrency => 100"
	elif [ "$2" = 'under a rate' ]; then
		arm "'bench', rate => 1000000, burst => 1000000"
	else
		ask "SELECT taskq.register_handler('held')" >/dev/null
		arm "'bench', task_type => 'held', concurrency => 0"
		ask "SELECT count(*) FROM generate_series(1, $WAITING / 1000) i,
			LATERAL taskq.enqueue_jobs('held', array_fill(bench.payload(), ARRAY[1000 + 0 * i]), priority => -10)" >/dev/null
		settle
	fi
	with=$(cost taskq claim)
	ask "SELECT taskq.drop_limit('bench')" >/dev/null
	ratio without "$without" "$2" "$with"
}
target taskq - '<=' 1.1 ratio
