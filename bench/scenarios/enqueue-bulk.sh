ABOUT="A thousand jobs a call and a transaction, from 2 clients; insert: the same rows by INSERT ... SELECT."
UNIT="jobs/s"
CASES=(1000)
SYSTEMS_HERE=(insert taskq classic pgq pg-boss graphile)
WARM=2
measure() { times "$(rate "$1" bulk 2)" 1000; }
target taskq insert '>=' 0.7
target taskq best-peer '>=' 1.5
