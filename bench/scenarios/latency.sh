RUNS=$((LENGTH * 40))
ABOUT="Everybody sleeps, one job is enqueued: until its handler starts, in $RUNS runs a round. taskq: in a pool with a warm worker. graphile, pg-boss: woken by LISTEN; sender and worker in one Node.js process, as in graphile-worker's own test. classic-listen: a client in C that LISTENs, then claims. No commit can be seen before it is flushed; without-flush: synchronous_commit off."
UNIT="us"
CASES=(flush without-flush)
SYSTEMS_HERE=(taskq classic-listen graphile pg-boss)
measure() { wake_up "$1" "$2" $RUNS; }
target taskq best-peer '<=' 0.2 'flush, .*median'
target taskq best-peer '<=' 0.2 'without-flush, .*median'
