-- Pools: their arguments, their rights, and what a change does at commit.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/wait.sql
SELECT plan(60);
CREATE ROLE regress_pools LOGIN;
CREATE ROLE regress_pools_member LOGIN IN ROLE regress_pools;
CREATE ROLE regress_pools_other LOGIN;
CREATE SCHEMA pools AUTHORIZATION regress_pools;
CREATE FUNCTION pools.who(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(pg_catalog.split_part((taskq.current_job()).worker_id, '#', 1)) $$;
SELECT taskq.grant_access(r, a) FROM unnest('{regress_pools,regress_pools_member,regress_pools_other}'::regrole[]) r, unnest('{worker,admin}'::text[]) a \g /dev/null
CREATE FUNCTION pg_temp.workers(p text) RETURNS integer LANGUAGE sql AS $$ SELECT workers FROM taskq.pools WHERE pool = p $$;

BEGIN;
SELECT taskq.create_queue('poo-q') \gset

-- the default pool ----------------------------------------------------------------
SELECT taskq.register_handler('poo-external') \gset
SELECT is_empty($$ SELECT FROM taskq.pools WHERE role = 'regress_pools'::regrole $$, 'no pool without a handler');
SELECT taskq.register_handler('poo-who', 'pools.who(jsonb)', run_as => 'regress_pools') \gset
SELECT results_eq($$ SELECT pool, size, min_size, task_types, queues, capabilities, paused, paused_because FROM taskq.pools WHERE role = 'regress_pools'::regrole $$,
	$$ VALUES ('regress_pools', 4, 0, NULL::text[], NULL::text[], NULL::text[], false, NULL::text) $$, 'the first one of a role brings a pool for all it has');
SELECT taskq.register_handler('poo-more', 'pools.who(jsonb)', run_as => 'regress_pools'), taskq.drop_pool('regress_pools'), taskq.create_pool('poo-own', 0, 'regress_pools') \gset
SELECT taskq.unregister_handler('poo-more'), taskq.register_handler('poo-more', 'pools.who(jsonb)', run_as => 'regress_pools') \gset
SELECT is(array_agg(pool), '{poo-own}', 'a role that has one is given no other') FROM taskq.pools WHERE role = 'regress_pools'::regrole;

-- create and alter ------------------------------------------------------------------
SELECT lives_ok($$ SELECT taskq.create_pool('poo-all', 3, 'regress_pools', '{poo-who,poo-later}', '{poo-q,default}', '{gpu,eu,gpu}', 2) $$, 'a pool with everything');
SELECT results_eq($$ SELECT role, size, min_size, task_types, queues, capabilities, paused, workers, busy, created_at IS NOT NULL FROM taskq.pools WHERE pool = 'poo-all' $$,
	$$ VALUES ('regress_pools'::regrole, 3, 2, '{poo-who,poo-later}'::text[], '{poo-q,default}'::text[], '{eu,gpu}'::text[], false, 0, 0, true) $$, 'is kept so, with types that may come later');
SELECT lives_ok($$ SELECT taskq.alter_pool('poo-all') $$, 'a change of nothing');
SELECT results_eq($$ SELECT size, min_size, task_types, queues, capabilities FROM taskq.pools WHERE pool = 'poo-all' $$,
	$$ VALUES (3, 2, '{poo-who,poo-later}'::text[], '{poo-q,default}'::text[], '{eu,gpu}'::text[]) $$, 'changes nothing');
SELECT lives_ok($$ SELECT taskq.alter_pool('poo-all', size => 1) $$, 'a size below min_size');
SELECT results_eq($$ SELECT size, min_size FROM taskq.pools WHERE pool = 'poo-all' $$, $$ VALUES (1, 1) $$, 'takes that along');
SELECT lives_ok($$ SELECT taskq.alter_pool('poo-all', 1024, '{poo-who}', '{default}', '{arm}', 1024) $$, 'the largest size');
SELECT results_eq($$ SELECT size, min_size, task_types, queues, capabilities FROM taskq.pools WHERE pool = 'poo-all' $$, $$ VALUES (1024, 1024, '{poo-who}'::text[], '{default}'::text[], '{arm}'::text[]) $$, 'and all else');
SELECT lives_ok($$ SELECT taskq.alter_pool('poo-all', 0, '{}', '{}', '{}') $$, 'empty arrays');
SELECT results_eq($$ SELECT size, min_size, task_types, queues, capabilities FROM taskq.pools WHERE pool = 'poo-all' $$, $$ VALUES (0, 0, NULL::text[], NULL::text[], NULL::text[]) $$, 'stand for all');

SELECT throws_ok($$ SELECT taskq.create_pool('poo-all', role => 'regress_pools') $$, '42710', 'pool "poo-all" already exists', 'a name is given once');
SELECT throws_ok(format('SELECT taskq.create_pool(%s)', a), code, NULL, 'refused: ' || a)
FROM (VALUES ('NULL', '22004'), ('''''', '22023'), ('''p p''', '22023'), ('''poo-x'', -1, ''regress_pools''', '22023'), ('''poo-x'', 1025, ''regress_pools''', '22023'),
	('''poo-x'', 1, ''regress_pools'', min_size => 2', '22023'), ('''poo-x'', 1, ''regress_pools'', min_size => -1', '22023'), ('''poo-x'', 1, ''regress_pools'', ''{}''', '22023'),
	('''poo-x'', 1, ''regress_pools'', ''{"p p"}''', '22023'), ('''poo-x'', 1, ''regress_pools'', queues => ''{poo-none}''', '42704'), ('''poo-x'', 1, ''regress_pools'', queues => ''{}''', '22023'),
	('''poo-x'', 1, ''regress_pools'', capabilities => ''{""}''', '22023'), ('''poo-x'', 1, 1', '42704'), ('''poo-x'', 1', '42501')) v (a, code);
SELECT throws_ok(format('SELECT taskq.alter_pool(%s)', a), code, NULL, 'refused: ' || a)
FROM (VALUES ('''poo-none''', '42704'), ('NULL', '22004'), ('''poo-all'', 1025', '22023'), ('''poo-all'', 1, min_size => 2', '22023'), ('''poo-all'', queues => ''{poo-none}''', '42704')) v (a, code);
SELECT throws_ok(format('SELECT taskq.%s(''poo-none'')', f), '42704', NULL, 'refused: ' || f) FROM unnest('{pause_pool,resume_pool}'::text[]) f;
SELECT ok(NOT taskq.drop_pool('poo-none'), 'a pool that is not there is not dropped');

-- rights ----------------------------------------------------------------------------
SELECT is(pg_temp.as_role('regress_pools_other', $$ SELECT taskq.create_pool('poo-x', 1, 'regress_pools') $$), '42501', 'nobody makes a pool for a role that one is not a member of');
SELECT is(pg_temp.as_role('regress_pools_other', $$ SELECT taskq.alter_pool('poo-all', 5) $$), '42501', 'nor alters one');
SELECT is(pg_temp.as_role('regress_pools_other', $$ SELECT taskq.drop_pool('poo-all') $$), '42501', 'nor drops one');
SELECT is(pg_temp.as_role('regress_pools_member', $$ SELECT taskq.create_pool('poo-m', 0, 'regress_pools') $$), '', 'a member makes one');
SELECT is(pg_temp.as_role('regress_pools_member', $$ SELECT taskq.alter_pool('poo-all', 0) $$), '', 'and alters one');
SELECT is(pg_temp.as_role('regress_pools_member', $$ SELECT taskq.drop_pool('poo-m') $$), 'true', 'and drops one');
SELECT is(pg_temp.as_role('regress_pools', $$ SELECT taskq.create_pool('poo-mine', 0) $$), '', 'the role is the caller''s unless said otherwise');
SELECT is(role, 'regress_pools', 'its own') FROM taskq.pools WHERE pool = 'poo-mine';
SELECT throws_ok(format('SELECT taskq.create_pool(''poo-x'', 1, %L)', quote_ident(current_user)), '42501', NULL, 'no pool runs as a superuser');
ROLLBACK;

-- what a change does when it is committed ---------------------------------------------
SELECT taskq.create_queue('poo-q'), taskq.create_pool('poo-one', 0, 'regress_pools'), taskq.register_handler('poo-who', 'pools.who(jsonb)', run_as => 'regress_pools') \gset
SELECT taskq.enqueue_job('poo-who') AS a \gset
SELECT is(reason, 'no pool for the handler''s role', 'a pool of no workers runs nothing') FROM taskq.unroutable_jobs WHERE task_type = 'poo-who';
SELECT taskq.alter_pool('poo-one', size => 1) \gset
SELECT is(pg_temp.reaches(:a), 'completed 1', 'with a size above 0 a worker starts when a job waits');
SELECT is(result, '"poo-one"', 'of that pool') FROM taskq.all_jobs WHERE job_id = :a;
SELECT is(pg_temp.workers('poo-one'), 1, 'and is shown');
SELECT ok(taskq.pause_pool('poo-one'), 'it is paused');
SELECT ok(NOT taskq.pause_pool('poo-one'), 'once');
SELECT taskq.enqueue_job('poo-who') AS b \gset
SELECT taskq.create_pool('poo-two', 1, 'regress_pools', queues => '{poo-q}'), taskq.enqueue_job('poo-who', queue => 'poo-q') AS c \gset
SELECT is(pg_temp.reaches(:c), 'completed 1', 'another pool takes jobs of its queue');
SELECT is(state, 'available', 'but none of the one that is paused') FROM taskq.all_jobs WHERE job_id = :b;
SELECT ok(taskq.resume_pool('poo-one'), 'until that is resumed');
SELECT is(pg_temp.reaches(:b), 'completed 1', 'which runs what has waited');
SELECT ok(NOT taskq.resume_pool('poo-one'), 'it is resumed once');
SELECT ok(taskq.drop_pool('poo-one'), 'it is dropped');
SELECT ok(pg_temp.came($$ SELECT NOT EXISTS (SELECT FROM taskq.workers WHERE pool = 'poo-one') $$), 'and its worker leaves');
SELECT taskq.enqueue_job('poo-who') AS d \gset
SELECT is(reason, 'no live worker with the type', 'nobody is left for its queue') FROM taskq.unroutable_jobs WHERE task_type = 'poo-who';

SELECT taskq.cancel_job(:d), taskq.drop_pool('poo-two'), taskq.unregister_handler('poo-who') \gset
SELECT ok(pg_temp.came($$ SELECT NOT EXISTS (SELECT FROM taskq.workers WHERE pool = 'poo-two') $$), 'the other leaves too');
SELECT taskq.revoke_access(r, a) FROM unnest('{regress_pools,regress_pools_member,regress_pools_other}'::regrole[]) r, unnest('{worker,admin}'::text[]) a \g /dev/null
DROP SCHEMA pools CASCADE;
DROP ROLE regress_pools_member;
DROP ROLE regress_pools;
DROP ROLE regress_pools_other;
SELECT * FROM finish();
