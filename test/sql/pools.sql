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
SELECT is_empty($$ SELECT FROM taskq.pools WHERE role = 'regress_pools'::regrole $$, 'a role without a handler has no pool');
SELECT taskq.register_handler('poo-who', 'pools.who(jsonb)', run_as => 'regress_pools') \gset
SELECT results_eq($$ SELECT pool, size, min_size, task_types, queues, capabilities, paused, paused_because FROM taskq.pools WHERE role = 'regress_pools'::regrole $$,
	$$ VALUES ('regress_pools', 4, 0, NULL::text[], NULL::text[], NULL::text[], false, NULL::text) $$, 'the first handler of a role creates a pool for all its types');
SELECT taskq.register_handler('poo-more', 'pools.who(jsonb)', run_as => 'regress_pools'), taskq.drop_pool('regress_pools'), taskq.create_pool('poo-own', 0, 'regress_pools') \gset
SELECT taskq.unregister_handler('poo-more'), taskq.register_handler('poo-more', 'pools.who(jsonb)', run_as => 'regress_pools') \gset
SELECT is(array_agg(pool), '{poo-own}', 'a role that has a pool is given no other') FROM taskq.pools WHERE role = 'regress_pools'::regrole;

-- create and alter ------------------------------------------------------------------
SELECT lives_ok($$ SELECT taskq.create_pool('poo-all', 3, 'regress_pools', '{poo-who,poo-later}', '{poo-q,default}', '{gpu,eu,gpu}', 2) $$, 'create_pool() accepts all arguments');
SELECT results_eq($$ SELECT role, size, min_size, task_types, queues, capabilities, paused, workers, busy, created_at IS NOT NULL FROM taskq.pools WHERE pool = 'poo-all' $$,
	$$ VALUES ('regress_pools'::regrole, 3, 2, '{poo-who,poo-later}'::text[], '{poo-q,default}'::text[], '{eu,gpu}'::text[], false, 0, 0, true) $$, 'taskq.pools shows the values of the pool, including types that are not registered yet');
SELECT lives_ok($$ SELECT taskq.alter_pool('poo-all') $$, 'alter_pool() without values succeeds');
SELECT results_eq($$ SELECT size, min_size, task_types, queues, capabilities FROM taskq.pools WHERE pool = 'poo-all' $$,
	$$ VALUES (3, 2, '{poo-who,poo-later}'::text[], '{poo-q,default}'::text[], '{eu,gpu}'::text[]) $$, 'alter_pool() without values changes nothing');
SELECT lives_ok($$ SELECT taskq.alter_pool('poo-all', size => 1) $$, 'alter_pool() accepts a size below min_size');
SELECT results_eq($$ SELECT size, min_size FROM taskq.pools WHERE pool = 'poo-all' $$, $$ VALUES (1, 1) $$, 'such a size reduces min_size');
SELECT lives_ok($$ SELECT taskq.alter_pool('poo-all', 1024, '{poo-who}', '{default}', '{arm}', 1024) $$, 'alter_pool() accepts the largest size');
SELECT results_eq($$ SELECT size, min_size, task_types, queues, capabilities FROM taskq.pools WHERE pool = 'poo-all' $$, $$ VALUES (1024, 1024, '{poo-who}'::text[], '{default}'::text[], '{arm}'::text[]) $$, 'alter_pool() changes all values');
SELECT lives_ok($$ SELECT taskq.alter_pool('poo-all', 0, '{}', '{}', '{}') $$, 'alter_pool() accepts empty arrays');
SELECT results_eq($$ SELECT size, min_size, task_types, queues, capabilities FROM taskq.pools WHERE pool = 'poo-all' $$, $$ VALUES (0, 0, NULL::text[], NULL::text[], NULL::text[]) $$, 'empty arrays mean all');

SELECT throws_ok($$ SELECT taskq.create_pool('poo-all', role => 'regress_pools') $$, '42710', 'pool "poo-all" already exists', 'create_pool() refuses an existing name');
SELECT throws_ok(format('SELECT taskq.create_pool(%s)', a), code, NULL, 'refused: ' || a)
FROM (VALUES ('NULL', '22004'), ('''''', '22023'), ('''p p''', '22023'), ('''poo-x'', -1, ''regress_pools''', '22023'), ('''poo-x'', 1025, ''regress_pools''', '22023'),
	('''poo-x'', 1, ''regress_pools'', min_size => 2', '22023'), ('''poo-x'', 1, ''regress_pools'', min_size => -1', '22023'), ('''poo-x'', 1, ''regress_pools'', ''{}''', '22023'),
	('''poo-x'', 1, ''regress_pools'', ''{"p p"}''', '22023'), ('''poo-x'', 1, ''regress_pools'', queues => ''{poo-none}''', '42704'), ('''poo-x'', 1, ''regress_pools'', queues => ''{}''', '22023'),
	('''poo-x'', 1, ''regress_pools'', capabilities => ''{""}''', '22023'), ('''poo-x'', 1, 1', '42704'), ('''poo-x'', 1', '42501')) v (a, code);
SELECT throws_ok(format('SELECT taskq.alter_pool(%s)', a), code, NULL, 'refused: ' || a)
FROM (VALUES ('''poo-none''', '42704'), ('NULL', '22004'), ('''poo-all'', 1025', '22023'), ('''poo-all'', 1, min_size => 2', '22023'), ('''poo-all'', queues => ''{poo-none}''', '42704')) v (a, code);
SELECT throws_ok(format('SELECT taskq.%s(''poo-none'')', f), '42704', NULL, 'refused: ' || f) FROM unnest('{pause_pool,resume_pool}'::text[]) f;
SELECT ok(NOT taskq.drop_pool('poo-none'), 'drop_pool() returns false for an unknown pool');

-- rights ----------------------------------------------------------------------------
SELECT is(pg_temp.as_role('regress_pools_other', $$ SELECT taskq.create_pool('poo-x', 1, 'regress_pools') $$), '42501', 'a role cannot create a pool of a role that it is not a member of');
SELECT is(pg_temp.as_role('regress_pools_other', $$ SELECT taskq.alter_pool('poo-all', 5) $$), '42501', 'a role cannot alter such a pool');
SELECT is(pg_temp.as_role('regress_pools_other', $$ SELECT taskq.drop_pool('poo-all') $$), '42501', 'a role cannot drop such a pool');
SELECT is(pg_temp.as_role('regress_pools_member', $$ SELECT taskq.create_pool('poo-m', 0, 'regress_pools') $$), '', 'a member of the role can create a pool of it');
SELECT is(pg_temp.as_role('regress_pools_member', $$ SELECT taskq.alter_pool('poo-all', 0) $$), '', 'a member of the role can alter a pool of it');
SELECT is(pg_temp.as_role('regress_pools_member', $$ SELECT taskq.drop_pool('poo-m') $$), 'true', 'a member of the role can drop a pool of it');
SELECT is(pg_temp.as_role('regress_pools', $$ SELECT taskq.create_pool('poo-mine', 0) $$), '', 'create_pool() without a role succeeds');
SELECT is(role, 'regress_pools', 'such a pool has the caller''s role') FROM taskq.pools WHERE pool = 'poo-mine';
SELECT throws_ok(format('SELECT taskq.create_pool(''poo-x'', 1, %L)', quote_ident(current_user)), '42501', NULL, 'create_pool() refuses a superuser');
ROLLBACK;

-- what a change does when it is committed ---------------------------------------------
SELECT taskq.create_queue('poo-q'), taskq.create_pool('poo-one', 0, 'regress_pools'), taskq.register_handler('poo-who', 'pools.who(jsonb)', run_as => 'regress_pools') \gset
SELECT taskq.enqueue_job('poo-who') AS a \gset
SELECT is(reason, 'no pool for the handler''s role', 'a pool of size 0 runs no job') FROM taskq.unroutable_jobs WHERE task_type = 'poo-who';
SELECT taskq.alter_pool('poo-one', size => 1) \gset
SELECT is(pg_temp.reaches(:a), 'completed 1', 'a worker starts when a job waits and the size is above 0');
SELECT is(result, '"poo-one"', 'the worker belongs to the pool') FROM taskq.all_jobs WHERE job_id = :a;
SELECT is(pg_temp.workers('poo-one'), 1, 'taskq.workers shows the worker');
SELECT ok(taskq.pause_pool('poo-one'), 'pause_pool() returns true');
SELECT ok(NOT taskq.pause_pool('poo-one'), 'pause_pool() returns false for a paused pool');
SELECT taskq.enqueue_job('poo-who') AS b \gset
SELECT taskq.create_pool('poo-two', 1, 'regress_pools', queues => '{poo-q}'), taskq.enqueue_job('poo-who', queue => 'poo-q') AS c \gset
SELECT is(pg_temp.reaches(:c), 'completed 1', 'another pool runs jobs of its queue');
SELECT is(state, 'available', 'the paused pool runs no job') FROM taskq.all_jobs WHERE job_id = :b;
SELECT ok(taskq.resume_pool('poo-one'), 'resume_pool() returns true');
SELECT is(pg_temp.reaches(:b), 'completed 1', 'the resumed pool runs the waiting job');
SELECT ok(NOT taskq.resume_pool('poo-one'), 'resume_pool() returns false for a pool that is not paused');
SELECT ok(taskq.drop_pool('poo-one'), 'drop_pool() returns true');
SELECT ok(pg_temp.came($$ SELECT NOT EXISTS (SELECT FROM taskq.workers WHERE pool = 'poo-one') $$), 'the worker of a dropped pool leaves');
SELECT taskq.enqueue_job('poo-who') AS d \gset
SELECT is(reason, 'no live worker with the type', 'jobs for the dropped pool have no worker') FROM taskq.unroutable_jobs WHERE task_type = 'poo-who';

SELECT taskq.cancel_job(:d), taskq.drop_pool('poo-two'), taskq.unregister_handler('poo-who') \gset
SELECT ok(pg_temp.came($$ SELECT NOT EXISTS (SELECT FROM taskq.workers WHERE pool = 'poo-two') $$), 'the worker of the other dropped pool leaves');
SELECT taskq.revoke_access(r, a) FROM unnest('{regress_pools,regress_pools_member,regress_pools_other}'::regrole[]) r, unnest('{worker,admin}'::text[]) a \g /dev/null
DROP SCHEMA pools CASCADE;
DROP ROLE regress_pools_member;
DROP ROLE regress_pools;
DROP ROLE regress_pools_other;
SELECT * FROM finish();
