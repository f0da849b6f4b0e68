ABOUT="Enqueue 1,000 jobs in a statement, claim and complete 500 in two, in a queue that records no events, and in one that does. One client, without the flush to disk."
UNIT="us"
CASES=('with events')
SYSTEMS_HERE=(taskq)
measure() {
	local enqueue claim
	enqueue=$(cost taskq bulk 20)
	claim=$(cost taskq batch 10)
	empty_taskq
	ask "SELECT taskq.alter_queue('default', events => true)" >/dev/null
	ask_postgres "SELECT taskq.prune()" >/dev/null
	ratio 'enqueue, without' "$enqueue" 'enqueue, with' "$(cost taskq bulk 20)" | sed 's/^ratio/ratio, enqueue/'
	ratio 'claim and complete, without' "$claim" 'claim and complete, with' "$(cost taskq batch 10)" | sed 's/^ratio/ratio, claim and complete/'
}
target taskq - '<=' 2 'ratio, enqueue'
target taskq - - - 'ratio, claim and complete'
