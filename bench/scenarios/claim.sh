ABOUT="One job a call: claim it, complete it, from 1, 4, 16 and 64 clients that never run out of jobs. taskq and updates: two statements; taskq-1 and updates-1: complete and claim the next in one. classic: a table, SKIP LOCKED and DELETE; classic-keep: it keeps what is done, as taskq does. updates: the same changes of rows whose ids are known."
UNIT="jobs/s"
read -ra CASES <<<"$(quick '1 16' '1 4 16 64')"
SYSTEMS_HERE=(updates taskq updates-1 taskq-1 classic classic-keep pg-boss graphile)
FILL=$((LENGTH * 15000 + 10000)) ROWS=$FILL
measure() { rate "$1" claim "$2"; }
target taskq updates '>=' 0.9
target taskq-1 updates-1 '>=' 0.9
target taskq best-peer '>=' 1
target taskq-1 best-peer '>=' 1
