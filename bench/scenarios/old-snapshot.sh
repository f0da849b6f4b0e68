ABOUT="Enqueue, claim and complete over and over from 4 clients, before and while another session holds a snapshot, $(quick '20 s' '5 minutes') long; how fast the last quarter of it is; without the flush to disk. classic: how a table with SKIP LOCKED fares."
UNIT="a second"
CASES=('while a snapshot is held')
SYSTEMS_HERE=(taskq classic)
FILL=200 REPEAT=1
average() { # first second to count; reads pgbench's progress from standard input
	awk -v from="$1" '/^progress:/ && $2 >= from { n++; sum += $4 } END { printf "%.1f\n", sum / n }'
}
measure() {
	local before held a b holder
	export PGOPTIONS='-c synchronous_commit=off'
	before=$(quick 5 60) held=$(quick 20 300)
	a=$(progress "$1" cycle 4 "$before" | average $((before / 4)))
	psql -Xq -d bench -U postgres -c "BEGIN ISOLATION LEVEL REPEATABLE READ" -c "SELECT 1" -c "SELECT pg_sleep($held + 60)" >/dev/null 2>&1 &
	holder=$!
	sleep 0.5
	b=$(progress "$1" cycle 4 "$held" | average $((held * 3 / 4)))
	ask_postgres "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(%'" >/dev/null
	wait $holder || true
	ratio before "$a" 'while a snapshot is held' "$b"
}
target taskq - '>=' 0.9 ratio
target classic - '>=' - ratio
