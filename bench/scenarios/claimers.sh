ABOUT="Claim and complete, one job a call, from 8 and 64 clients that all take from one queue with a large backlog, against one client."
UNIT="jobs/s"
CASES=('8 clients' '64 clients')
SYSTEMS_HERE=(taskq)
FILL=$((LENGTH * 15000 + 10000))
measure() {
	local one n=${2% clients}
	one=$(rate taskq claim 1)
	ratio 'one client' "$one" "$2" "$(rate taskq claim "$n")"
}
target taskq - '>=' 1 ratio
