-- The definitions of taskq's objects stay as CREATE EXTENSION has made them; where
-- they were changed nevertheless, taskq says so and does not crash.
\set ECHO none
\i test/sql/include/tap.sql
BEGIN;
SELECT plan(6);
SELECT taskq.register_handler('definitions'), taskq.create_queue('definitions') \g /dev/null
SELECT taskq.enqueue_job('definitions', queue => 'definitions') \gset

-- past the guard: the catalogue is written to
CREATE FUNCTION pg_temp.retype(relation regclass, col name, type regtype) RETURNS void LANGUAGE sql AS $$
	UPDATE pg_attribute a SET atttypid = t.oid, attlen = t.typlen, attbyval = t.typbyval, attalign = t.typalign, attstorage = t.typstorage
		FROM pg_type t WHERE t.oid = type AND attrelid = relation AND attname = col $$;
SELECT throws_like(format('DO $d$ BEGIN SET LOCAL allow_system_table_mods = on; PERFORM pg_temp.retype(%L, %L, %L); PERFORM %s; END $d$', relation, col, type, call),
	'%' || message || '%', 'seen, and no crash: ' || relation || '.' || col)
FROM (VALUES ('taskq.job', 'priority', 'text', $$FROM taskq.claim_job('definitions', '{definitions}')$$, 'of different versions'),
	('taskq.job', 'payload', 'integer', $$FROM taskq.claim_job('definitions', '{definitions}')$$, 'of different versions'),
	('taskq.jobs', 'priority', 'text', $$taskq.enqueue_job('definitions')$$, 'column "priority" of table taskq.jobs was changed'),
	('taskq.queue_defs', 'paused', 'text', $$taskq.create_queue('definitions2')$$, 'column "paused" of table taskq.queue_defs was changed'),
	('taskq.handler_changes', 'changed_at', 'text', $$taskq.unregister_handler('definitions')$$, 'column "changed_at" of table taskq.handler_changes was changed')) v (relation, col, type, call, message);
SELECT lives_ok($$SELECT priority + 1 FROM taskq.claim_job('definitions', '{definitions}')$$, 'and all is as before');
SELECT * FROM finish();
ROLLBACK;
