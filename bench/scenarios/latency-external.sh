RUNS=$((LENGTH * 40))
ABOUT="The same for workers outside the server, until they have the job in hand. taskq: a client in C that waits in claim_job(wait => ...); classic-listen: one that LISTENs, then claims."
UNIT="us"
CASES=(flush without-flush)
SYSTEMS_HERE=(taskq-external classic-listen)
measure() { wake_up "$1" "$2" $RUNS; }
target taskq-external best-peer '<=' 1.0 'flush, .*median'
target taskq-external best-peer '<=' 1.0 'without-flush, .*median'
