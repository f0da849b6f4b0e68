BACKLOG=$(quick 300000 10000000)
ABOUT="Claim and complete, one client, while 10,000 and while $BACKLOG jobs wait; without the flush to disk, which would hide the difference."
UNIT="us"
CASES=("$BACKLOG waiting")
SYSTEMS_HERE=(taskq classic)
REPEAT=$(quick 1 2) FILL=10000
measure() {
	local few many
	few=$(cost "$1" claim)
	fill "$1" "$BACKLOG"
	settle
	many=$(cost "$1" claim)
	ratio "10000 waiting" "$few" "$BACKLOG waiting" "$many"
}
target taskq - '<=' 1.1 ratio
target classic - '<=' - ratio
