FOREIGN=$(quick 100000 1000000)
ABOUT="Claim and complete, one client that takes one task type, alone and while $FOREIGN jobs of ten other types are ahead of its own in the same queue; without the flush to disk."
UNIT="us"
CASES=("$FOREIGN ahead")
SYSTEMS_HERE=(taskq)
prepare() {
	ask "SELECT taskq.register_handler('foreign-' || n) FROM generate_series(0, 9) n" >/dev/null
	fill_taskq 10000
}
measure() {
	local alone behind
	alone=$(cost taskq foreign)
	ask "SELECT count(*) FROM generate_series(1, $FOREIGN / 1000) i,
		LATERAL taskq.enqueue_jobs('foreign-' || i % 10, array_fill(bench.payload(), ARRAY[1000]), priority => -10)" >/dev/null
	settle
	behind=$(cost taskq foreign)
	ratio alone "$alone" "behind $FOREIGN jobs" "$behind"
}
target taskq - '<=' 1.1 ratio
