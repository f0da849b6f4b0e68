WAITING=$(quick 100000 10000000)
ABOUT="Read stat_queues and unroutable_jobs, one client, while 1,000 and while $WAITING due jobs of ten types wait for which there is no worker."
UNIT="us"
CASES=("$WAITING waiting")
SYSTEMS_HERE=(taskq)
REPEAT=1
# (an older revision has no such column)
wait_for_counts() { until_true "bool_and(to_jsonb(s) -> 'counted_at' IS DISTINCT FROM 'null') FROM taskq.stat_queues s"; }
fill_types() { # jobs of each type
	ask "SELECT count(*) FROM generate_series(0, 9) t, generate_series(0, $1 - 1, 1000) i,
		LATERAL taskq.enqueue_jobs('nobody-' || t, array_fill(bench.payload(), ARRAY[least(1000, $1 - i)]))" >/dev/null
	settle
	wait_for_counts
}
# The best of three, which is disturbed least.
look() {
	local i
	for i in 1 2 3; do pgb taskq counts 1 -t 20; done | sort -n | tail -n 1 | awk '{ printf "%.1f\n", 1e6 / $1 }'
}
measure() {
	local few many
	fill_types 100
	few=$(look)
	fill_types $((WAITING / 10))
	many=$(look)
	ratio '1000 waiting' "$few" "$WAITING waiting" "$many"
}
target taskq - '<=' 1.5 ratio
