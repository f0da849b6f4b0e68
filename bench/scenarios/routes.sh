ABOUT="Claim and complete, a statement each, one client that takes everything, when all jobs are of 30 task types, and when they are of 3,000; without the flush to disk."
UNIT="us"
CASES=('3,000 types')
SYSTEMS_HERE=(taskq)
fill_types() { # number of types
	# (a transaction each, because a registration holds locks until its end)
	psql -XqAt -v ON_ERROR_STOP=1 -d bench -U bench >/dev/null <<<"SELECT format('SELECT taskq.register_handler(%L)', 'type-' || n) FROM generate_series(1, $1) n \gexec"
	ask "SELECT count(*) FROM generate_series(1, $1) n,
		LATERAL taskq.enqueue_jobs('type-' || n, array_fill(bench.payload(), ARRAY[18000 / $1]))" >/dev/null
	settle
}
measure() {
	local few many
	fill_types 30
	few=$(cost taskq claim 2000)
	empty_taskq
	fill_types 3000
	many=$(cost taskq claim 2000)
	ratio '30 types' "$few" '3,000 types' "$many"
}
target taskq - '<=' 1.2 ratio
