# Every test, by kind; test/check_house.sh proves that none is left out.
# TAP tests are all of test/t/*.pl.
REGRESS = \
	contract \
	claim \
	in_server \
	share_commit \
	stepwise \
	access \
	worker_access \
	registry \
	owners \
	recreated \
	table_guard \
	definitions \
	coming_from \
	misuse \
	settle \
	complete_jobs \
	claim_owner \
	checkpoint \
	frames \
	decision \
	unhandled \
	run \
	results \
	versions \
	toast \
	events \
	leaves \
	leaf_find \
	register_worker \
	instances \
	standing \
	unroutable \
	capabilities \
	reason_codes \
	pools \
	queues \
	limits \
	config_cache \
	lease \
	messages \
	enqueue \
	model \
	payload \
	users_code \
	compiled \
	kit \
	rows \
	retry \
	redrive \
	describe \
	status \
	tenants \
	whose \
	explain
ISOLATION = \
	helpers \
	claim-cancel \
	claim-claim \
	claim-wait \
	complete-expiry \
	config-news \
	events-order \
	first-claim \
	isolation-level \
	key-limit \
	limit-claim \
	max-concurrent \
	new-route \
	pause-queue \
	ready-list \
	register-claim \
	register-worker \
	register-instance \
	retry-retry \
	run-claim \
	settle-settle \
	stale-epoch \
	injection-points
# Those that need a build with TESTING=1, whose clock can be moved.
NEED_TESTING = \
	checkpoint \
	claim \
	enqueue \
	lease \
	model \
	instances \
	register_worker \
	retry \
	settle \
	standing \
	unroutable \
	capabilities \
	ready-list \
	injection-points
