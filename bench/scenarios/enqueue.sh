ABOUT="One job a call and a transaction, from 1, 4 and 16 clients; insert: the same row into a table with the same columns and indexes."
UNIT="jobs/s"
read -ra CASES <<<"$(quick '1 16' '1 4 16')"
SYSTEMS_HERE=(insert taskq classic pgq pg-boss graphile)
measure() { rate "$1" enqueue "$2"; }
target taskq insert '>=' 0.9
target taskq best-peer '>=' -
