ABOUT="Payloads of 4 and 100 kB that do not compress, 2 clients. plain: INSERT of the same row, and two UPDATEs by a known id, the first of which returns the payload."
UNIT="jobs/s"
CASES=('enqueue 4 kB' 'enqueue 100 kB' 'claim 4 kB' 'claim 100 kB')
SYSTEMS_HERE=(plain taskq)
prepare() {
	local operation kb each
	read -r operation kb _ <<<"$2"
	each=$(per_client "$2")
	ROWS=$((each * 4))
	[ "$operation" = enqueue ] || pgb "$1" payload-enqueue 2 -t $((ROWS / 2)) -D kb="$kb" >/dev/null
	[ "$1 $operation" != 'plain claim' ] || ask "UPDATE bench.plain SET job_id = n FROM (SELECT ctid AS at, row_number() OVER () AS n FROM bench.plain) r WHERE plain.ctid = at"
}
per_client() { case $1 in *100*) echo $((LENGTH * 100)) ;; *) echo $((LENGTH * 600)) ;; esac; } # transactions
measure() {
	local operation kb each
	read -r operation kb _ <<<"$2"
	each=$(per_client "$2")
	pgb "$1" "payload-$operation" 2 -t $((each / 10)) -D kb="$kb" >/dev/null
	ROWS=$((each * 4)) pgb "$1" "payload-$operation" 2 -t "$each" -D kb="$kb" -D n=$((each / 10))
}
target taskq plain '>=' -
