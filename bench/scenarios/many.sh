ABOUT="Claim and complete from 64 clients that take everything, when all jobs are of one type in one queue, and when they are of 200 types in 50 queues."
UNIT="jobs/s"
CASES=('200 types, 50 queues')
SYSTEMS_HERE=(taskq)
FILL=$((LENGTH * 8000 + 10000))
measure() {
	local one many
	one=$(rate taskq claim 64)
	empty_taskq
	ask "SELECT taskq.register_handler('type-' || n) FROM generate_series(0, 199) n" >/dev/null
	ask "SELECT taskq.create_queue('queue-' || n) FROM generate_series(0, 49) n" >/dev/null
	ask "SELECT count(taskq.enqueue_job('type-' || i % 200, bench.payload(), queue => 'queue-' || i % 50)) FROM generate_series(1, $FILL) i" >/dev/null
	settle
	many=$(rate taskq claim 64)
	ratio 'one type, one queue' "$one" '200 types, 50 queues' "$many"
}
target taskq - '>=' 0.8 ratio
