LEAVES=$(quick 100 390) # retention is at most ten years
ABOUT="Look for a job in a history of one partition, and of $LEAVES; for an id that no job has, and for one that has ended. One client, one call of complete_jobs() or describe_job() each."
UNIT="us"
CASES=("$LEAVES partitions")
SYSTEMS_HERE=(taskq)
measure() {
	local unknown known described
	unknown=$(cost taskq unknown)
	known=$(cost taskq known)
	described=$(cost taskq describe)
	# a job for each day, and then one for every tenth, as retention is rounded to ten days
	ask "DO \$\$ BEGIN
		FOR n IN 1 .. $LEAVES LOOP
			PERFORM taskq.alter_queue('default', retain_completed => make_interval(days => CASE WHEN n > 30 THEN n * 10 ELSE n END));
			PERFORM taskq.enqueue_job('external');
			PERFORM taskq.complete_job(job_id, epoch) FROM taskq.claim_job('worker');
			PERFORM taskq.prune();
			PERFORM taskq.prune();
		END LOOP;
		END \$\$" >/dev/null
	until_true "count(*) > $LEAVES * 0.9 FROM pg_inherits WHERE inhparent = 'taskq.job_history'::regclass"
	settle
	printf 'unknown id, one %s\nended job, one %s\n' "$unknown" "$known"
	many=$(cost taskq unknown)
	printf 'unknown id, %s %s\nended job, %s %s\n' "$LEAVES" "$many" "$LEAVES" "$(cost taskq known)"
	printf 'described job, one %s\ndescribed job, %s %s\n' "$described" "$LEAVES" "$(cost taskq describe)"
	awk -v a="$unknown" -v b="$many" 'BEGIN { printf "ratio %.4f\n", b / a }'
}
target taskq - '<=' 3 ratio
