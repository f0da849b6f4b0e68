INCAPABLE=$(quick 100000 1000000)
ABOUT="Claim and complete, one client, alone and while $INCAPABLE jobs of its task type and queue, which require capabilities that no worker has, are ahead of its own; without the flush to disk."
UNIT="us"
CASES=("$INCAPABLE ahead")
SYSTEMS_HERE=(taskq)
prepare() { fill_taskq 10000; }
measure() {
	local alone behind
	alone=$(cost taskq foreign)
	ask "SELECT count(*) FROM generate_series(1, $INCAPABLE / 1000) i,
		LATERAL taskq.enqueue_jobs('external', array_fill(bench.payload(), ARRAY[1000]), priority => -10,
			required_capabilities => ARRAY['gpu', 'region=' || i % 10])" >/dev/null
	settle
	behind=$(cost taskq foreign)
	ratio alone "$alone" "behind $INCAPABLE jobs" "$behind"
}
target taskq - '<=' 1.1 ratio
