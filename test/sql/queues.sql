-- Queues: their retention, and how they are changed, paused and dropped.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
SELECT plan(57);
BEGIN;
SET LOCAL timezone = 'UTC';
SELECT taskq.register_handler('que-a') \gset

-- create and alter --------------------------------------------------------------
SELECT results_eq($$ SELECT description, paused, keep_payload, retain_completed, retain_other, on_unhandled FROM taskq.queues WHERE queue = 'default' $$,
	$$ VALUES (NULL::text, false, true, '7 days'::interval, '30 days'::interval, 'wait') $$, 'the queue default always exists');
SELECT lives_ok($$ SELECT taskq.create_queue('que-1') $$, 'create_queue() needs only a name');
SELECT results_eq($$ SELECT description, paused, keep_payload, retain_completed, retain_other, on_unhandled, created_at IS NOT NULL FROM taskq.queues WHERE queue = 'que-1' $$,
	$$ VALUES (NULL::text, false, true, '7 days'::interval, '30 days'::interval, 'wait', true) $$, 'a queue has the same defaults as the queue default');
SELECT lives_ok($$ SELECT taskq.create_queue('que-2', 'for mail', '1 day', '0', false, 'reject') $$, 'create_queue() accepts all arguments');
SELECT results_eq($$ SELECT description, paused, keep_payload, retain_completed, retain_other, on_unhandled FROM taskq.queues WHERE queue = 'que-2' $$,
	$$ VALUES ('for mail', false, false, '1 day'::interval, '0'::interval, 'reject') $$, 'taskq.queues shows these values');
SELECT lives_ok($$ SELECT taskq.alter_queue('que-2') $$, 'alter_queue() without values succeeds');
SELECT results_eq($$ SELECT description, retain_completed, retain_other, keep_payload, on_unhandled FROM taskq.queues WHERE queue = 'que-2' $$,
	$$ VALUES ('for mail', '1 day'::interval, '0'::interval, false, 'reject') $$, 'alter_queue() without values changes nothing');
SELECT lives_ok($$ SELECT taskq.alter_queue('que-2', description => '', retain_completed => '2 days', retain_other => '10 years', keep_payload => true, on_unhandled => 'wait') $$, 'alter_queue() accepts all values');
SELECT results_eq($$ SELECT description, retain_completed, retain_other, keep_payload, on_unhandled FROM taskq.queues WHERE queue = 'que-2' $$,
	$$ VALUES ('', '2 days'::interval, '10 years'::interval, true, 'wait') $$, 'alter_queue() changes all values');
SELECT lives_ok($$ SELECT taskq.alter_queue('default', retain_completed => '3 days') $$, 'alter_queue() accepts the queue default');
SELECT results_eq($$ SELECT retain_completed, retain_other, created_at IS NOT NULL FROM taskq.queues WHERE queue = 'default' $$, $$ VALUES ('3 days'::interval, '30 days'::interval, true) $$, 'taskq.queues shows the queue default once');

SELECT throws_ok($$ SELECT taskq.create_queue('que-1') $$, '42710', 'queue "que-1" already exists', 'create_queue() refuses an existing name');
SELECT is(pg_temp.hint_of($$ SELECT taskq.create_queue('que-1') $$), 'Change it with taskq.alter_queue().', 'the hint says how to change it');
SELECT throws_ok($$ SELECT taskq.create_queue('default') $$, '42710', NULL, 'create_queue() refuses the name default');
SELECT throws_ok($$ SELECT taskq.alter_queue('que-none') $$, '42704', 'queue "que-none" does not exist', 'alter_queue() refuses an unknown queue');
SELECT throws_ok(format('SELECT taskq.create_queue(%s)', a), code, NULL, 'refused: ' || a)
FROM (VALUES ('NULL', '22004'), ('''''', '22023'), ('''q q''', '22023'), ('repeat(''q'', 64)', '22023'), ('''que-x'', retain_completed => ''-1 day''', '22023'),
	('''que-x'', retain_other => ''11 years''', '22023'), ('''que-x'', on_unhandled => ''lose''', '22023'), ('''que-x'', keep_payload => NULL', '22004')) v (a, code);
SELECT throws_ok(format('SELECT taskq.alter_queue(''que-1'', %s)', a), code, NULL, 'refused: ' || a)
FROM (VALUES ('retain_completed => ''-1 us''', '22023'), ('retain_other => ''-1 day''', '22023'), ('on_unhandled => ''''', '22023')) v (a, code);

-- retention -----------------------------------------------------------------------
-- The scheduler creates the partition of a day that was not needed before.
SELECT taskq.create_queue('que-keep', retain_completed => '0', retain_other => '45 days') \gset
SELECT pg_temp.add('keep ' || op, 'que-a', q => 'que-keep') FROM unnest('{complete,cancel}'::text[]) op \g /dev/null
SELECT pg_temp.take('que-w', 'que-a'), taskq.complete_job(pg_temp.id('keep complete'), pg_temp.e('keep complete')), taskq.cancel_job(pg_temp.id('keep cancel')) \gset
COMMIT;
SELECT ok(pg_temp.came($$ SELECT count(*) = 2 FROM taskq.job_history WHERE job_id IN (pg_temp.id('keep complete'), pg_temp.id('keep cancel')) AND expires_on > '2000-01-01'
	OR NOT EXISTS (SELECT FROM taskq.all_jobs WHERE job_id = pg_temp.id('keep complete')) $$), 'finished jobs go to the partition of the day on which they expire');
SELECT ok(expires_on - finished_at::date BETWEEN 45 AND 55, 'a retention of more than 31 days is rounded up by at most ten') FROM taskq.job_history WHERE job_id = pg_temp.id('keep cancel');
BEGIN;

-- payloads ------------------------------------------------------------------------
SELECT taskq.create_queue('que-lean', keep_payload => false) \gset
SELECT pg_temp.add('lean ' || op, 'que-a', q => 'que-lean') FROM unnest('{complete,fail,cancel,discard}'::text[]) op \g /dev/null
SELECT pg_temp.take('que-w', 'que-a'), pg_temp.take('que-w', 'que-a') \gset
SELECT taskq.complete_job(pg_temp.id('lean complete'), pg_temp.e('lean complete'), '7'), taskq.fail_job(pg_temp.id('lean fail'), pg_temp.e('lean fail'), retryable => false),
	taskq.cancel_job(pg_temp.id('lean cancel')), taskq.discard_job(pg_temp.id('lean discard')) \gset
SELECT results_eq($$ SELECT name, payload IS NOT NULL, result FROM j JOIN taskq.all_jobs ON job_id = id WHERE name LIKE 'lean %' ORDER BY 1 $$,
	$$ VALUES ('lean cancel', true, NULL::jsonb), ('lean complete', false, '7'), ('lean discard', true, NULL), ('lean fail', true, NULL) $$,
	'with keep_payload => false only a completed job is kept without its payload');
SELECT taskq.alter_queue('que-lean', keep_payload => true) \gset
SELECT pg_temp.add('kept', 'que-a', q => 'que-lean'), pg_temp.take('que-w', 'que-a') \gset
SELECT taskq.complete_job(pg_temp.id('kept'), pg_temp.e('kept')) \gset
SELECT isnt(payload, NULL, 'keep_payload is applied when the job ends') FROM taskq.all_jobs WHERE job_id = pg_temp.id('kept');

-- pause ---------------------------------------------------------------------------
SELECT pg_temp.add('p1', 'que-a', q => 'que-1'), pg_temp.add('p2', 'que-a', q => 'que-1'), pg_temp.take('que-w', 'que-a') \gset
SELECT ok(taskq.pause_queue('que-1'), 'pause_queue() returns true');
SELECT ok(NOT taskq.pause_queue('que-1'), 'pause_queue() returns false for a paused queue');
SELECT ok(paused, 'taskq.queues shows the pause') FROM taskq.queues WHERE queue = 'que-1';
SELECT ok(paused, 'taskq.stat_queues shows the pause') FROM taskq.stat_queues WHERE queue = 'que-1';
SELECT is(pg_temp.take('que-w', 'que-a'), NULL, 'a paused queue gives out no job');
SELECT is(taskq.heartbeat_job(pg_temp.id('p1'), pg_temp.e('p1')), 'ok', 'a running job of a paused queue can send heartbeats');
SELECT ok(taskq.complete_job(pg_temp.id('p1'), pg_temp.e('p1')), 'a running job of a paused queue can be completed');
SELECT lives_ok($$ SELECT pg_temp.add('p3', 'que-a', q => 'que-1') $$, 'a paused queue accepts jobs');
SELECT ok(taskq.resume_queue('que-1'), 'resume_queue() returns true');
SELECT ok(NOT taskq.resume_queue('que-1'), 'resume_queue() returns false for a queue that is not paused');
SELECT is(pg_temp.take_many('que-w', 5, 'que-a'), 'p2 p3', 'a resumed queue gives out its waiting jobs in order');
SELECT ok(taskq.pause_queue('default'), 'the queue default can be paused');
SELECT ok(taskq.resume_queue('default'), 'the queue default can be resumed');
SELECT throws_ok(format('SELECT taskq.%s_queue(%L)', op, q), code, NULL, format('refused: %s_queue(%L)', op, q))
FROM (VALUES ('pause', 'que-none', '42704'), ('resume', 'que-none', '42704'), ('pause', NULL, '22004'), ('resume', '', '22023'), ('drop', NULL, '22004'), ('drop', 'q q', '22023'), ('drop', 'default', '22023')) v (op, q, code);

-- depth ---------------------------------------------------------------------------
SELECT taskq.create_queue('que-deep'), taskq.register_handler('que-d', retry_policy => 'fixed', retry_base => '1 h') \gset
SELECT pg_temp.add('d' || i, 'que-d', q => 'que-deep') FROM generate_series(1, 4) i \g /dev/null
SELECT pg_temp.add('d5', 'que-d', q => 'que-deep', at => taskq.clock_now() + '1 h'), pg_temp.take('que-w', 'que-d'), pg_temp.take('que-w', 'que-d') \gset
SELECT taskq.fail_job(pg_temp.id('d1'), pg_temp.e('d1')) \gset
SELECT results_eq($$ SELECT available, scheduled, retryable, running, oldest_available_age < '1 min' FROM taskq.stat_queues WHERE queue = 'que-deep' $$,
	$$ VALUES (2::bigint, 1::bigint, 1::bigint, 1::bigint, true) $$, 'taskq.stat_queues counts the jobs by state');

-- drop ----------------------------------------------------------------------------
SELECT ok(taskq.drop_queue('que-2'), 'drop_queue() drops a queue that never had a job');
SELECT ok(NOT taskq.drop_queue('que-2'), 'drop_queue() returns false for an unknown queue');
SELECT throws_ok($$ SELECT taskq.enqueue_job('que-a', queue => 'que-2') $$, '42704', NULL, 'a dropped queue accepts no job');
SELECT lives_ok($$ SELECT taskq.create_queue('que-2') $$, 'the name of a dropped queue can be used again');
SELECT throws_ok($$ SELECT taskq.drop_queue('que-1') $$, '2BP01', 'queue "que-1" cannot be dropped because it has had jobs', 'drop_queue() refuses a queue that has had jobs');
SELECT is(pg_temp.hint_of($$ SELECT taskq.drop_queue('que-1') $$), 'Pause it with taskq.pause_queue().', 'the hint names pause_queue()');

SELECT * FROM finish();
ROLLBACK;
SELECT taskq.alter_queue('default', retain_completed => '7 days'), taskq.unregister_handler('que-a') \gset
