-- Budgets: their arguments, what a report answers, which claims they hold back, and what frees them.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
SELECT plan(149);
SELECT taskq.register_handler('bud-' || t) FROM unnest('{a,b}'::text[]) t \g /dev/null
SELECT taskq.register_worker('bud-w', '{bud-a,bud-b}') \gset
CREATE FUNCTION pg_temp.armed() RETURNS boolean LANGUAGE sql AS
	$$ SELECT pg_temp.came($q$ SELECT bool_and(state NOT IN ('arming', 'limit_memory')) FROM taskq.budgets $q$) $$;
CREATE FUNCTION pg_temp.need(n text, b text[], cost numeric DEFAULT NULL, t text DEFAULT 'bud-a') RETURNS void LANGUAGE sql AS
	$$ INSERT INTO j VALUES (n, taskq.enqueue_job(t, jsonb_build_object('n', n), budgets => b, estimated_cost => cost)) $$;
-- answer, balance, used and applied of a report of a claimed job
CREATE FUNCTION pg_temp.report(n text, b text, amount numeric, key text, over boolean DEFAULT false) RETURNS text LANGUAGE sql AS
	$$ SELECT concat_ws(' ', answer, COALESCE(balance::text, '-'), COALESCE(used::text, '-'), applied)
	   FROM taskq.report_usage(pg_temp.id(n), pg_temp.e(n), b, amount, key, over) $$;
CREATE FUNCTION pg_temp.sums(b text) RETURNS text LANGUAGE sql AS
	$$ SELECT concat_ws(' ', used, pending, held, balance, state) FROM taskq.budgets WHERE budget = b $$;
CREATE FUNCTION pg_temp.why(n text) RETURNS text LANGUAGE sql AS $$ SELECT reason_code || ': ' || reason FROM taskq.describe_job(pg_temp.id(n)) $$;
CREATE FUNCTION pg_temp.finish(VARIADIC names text[]) RETURNS bigint LANGUAGE sql AS
	$$ SELECT count(taskq.complete_job(pg_temp.id(n), pg_temp.e(n))) FROM unnest(names) n $$;

-- arguments ---------------------------------------------------------------------
SELECT lives_ok($$ SELECT taskq.set_budget('bud-1', 1.50, 2.5, '1 mon', 'cancel_running', 'for a', '2026-01-31 10:00+00') $$, 'set_budget() accepts all arguments');
SELECT results_eq($$ SELECT budget, soft, hard, added, used, balance, waiting, on_exceeded, period, description, changed_by = current_user, resets_at > taskq.clock_now() FROM taskq.budgets $$,
	$$ VALUES ('bud-1', 1.5, 2.5, 0::numeric, 0::numeric, 2.5, 0::bigint, 'cancel_running', '1 mon'::interval, 'for a', true, true) $$, 'taskq.budgets shows these values');
SELECT ok(pg_temp.armed(), 'a budget is armed soon after its commit');
SELECT throws_ok(format('SELECT taskq.set_budget(%s)', a), code, NULL, 'refused: set_budget ' || a)
FROM (VALUES ('NULL', '22004'), ('''''', '22023'), ('''b b''', '22023'), ('''b'', soft => -1', '22023'), ('''b'', hard => ''NaN''', '22023'),
	('''b'', hard => ''Infinity''', '22023'), ('''b'', hard => 1000000000000000', '22023'), ('''b'', hard => 0.0000000000001', '22023'),
	('''b'', soft => 2, hard => 1', '22023'), ('''b'', period => ''59 s''', '22023'), ('''b'', period => ''1 mon 1 day''', '22023'),
	('''b'', period => ''-1 mon''', '22023'), ('''b'', on_exceeded => ''x''', '22023'), ('''b'', description => repeat(''x'', 5000)', '22023'),
	('''b'', period => ''101 years''', '22023'), ('''b'', period_from => now()', '22023'), ('''b'', period => ''1 day'', period_from => ''infinity''', '22023')) v (a, code);
SELECT is(pg_temp.hint_of($$ SELECT taskq.set_budget('b', hard => 0.0000000000001) $$), 'Use smaller or larger units, or round() it first.', 'no amount is rounded, and the hint says what to do');
SELECT is(pg_temp.hint_of($$ SELECT taskq.set_budget('b', period => '-1 mon') $$), 'Leave it out for a budget that is never reset.', 'and the hint about a period does not speak of ten years');
SELECT lives_ok($$ SELECT taskq.set_budget('bud-1', period => '100 years') $$, 'a period of a hundred years is accepted');
SELECT lives_ok($$ SELECT taskq.set_budget('bud-1', hard => 999999999999999.999999999999) $$, 'the largest amount is accepted');
SELECT results_eq($$ SELECT soft, hard, on_exceeded, period, resets_at, description FROM taskq.budgets $$,
	$$ VALUES (NULL::numeric, 999999999999999.999999999999, 'block', NULL::interval, NULL::timestamptz, NULL::text) $$, 'set_budget() replaces all values');
SELECT taskq.set_budget('bud-al', 1, 2, '1 mon', 'cancel_running', 'for a', '2026-01-31 10:00+00'), taskq.add_to_budget('bud-al', 5) \gset
CREATE FUNCTION pg_temp.altered(arguments text) RETURNS text LANGUAGE plpgsql AS
	$$ BEGIN EXECUTE format('SELECT taskq.alter_budget(''bud-al'', %s)', arguments);
	   RETURN (SELECT concat_ws(' ', soft, hard, added, period::text, on_exceeded, description, to_char(period_from AT TIME ZONE 'UTC', 'YYYY-MM-DD')) FROM taskq.budget_defs WHERE budget = 'bud-al'); END $$;
SELECT is(pg_temp.altered(a), v.result, 'alter_budget ' || a)
FROM (VALUES (1, 'soft => 1.5', '1.5 2 5 @ 1 mon cancel_running for a 2026-01-31'), (2, 'hard => 3', '1.5 3 5 @ 1 mon cancel_running for a 2026-01-31'),
	(3, 'on_exceeded => ''block''', '1.5 3 5 @ 1 mon block for a 2026-01-31'), (4, 'description => ''for b''', '1.5 3 5 @ 1 mon block for b 2026-01-31'),
	(5, 'period_from => ''2026-01-15 00:00+00''', '1.5 3 5 @ 1 mon block for b 2026-01-15'), (6, 'period => ''1 mon''', '1.5 3 5 @ 1 mon block for b 2026-01-15'),
	(7, 'soft => 4, hard => 4', '4 4 5 @ 1 mon block for b 2026-01-15'), (8, 'period => ''2 mon'', period_from => ''2026-01-05 00:00+00''', '4 4 5 @ 2 mons block for b 2026-01-05')) v (n, a, result) ORDER BY n;
SELECT throws_ok(format('SELECT taskq.alter_budget(%s)', a), code, NULL, 'refused: alter_budget ' || a)
FROM (VALUES ('NULL', '22004'), ('''bud-none''', '42704'), ('''bud-al'', soft => 5', '22023'), ('''bud-al'', hard => 3', '22023'), ('''bud-al'', hard => -1', '22023'),
	('''bud-al'', period => ''59 s''', '22023'), ('''bud-al'', on_exceeded => ''x''', '22023'), ('''bud-1'', period_from => now()', '22023')) v (a, code);
SELECT ok(taskq.drop_budget('bud-al'), 'the budget is dropped');
SELECT is(taskq.add_to_budget('bud-1', -999999999999999), 0.999999999999, 'add_to_budget() returns the limit with what was added');
SELECT throws_ok(format('SELECT taskq.add_to_budget(%s)', a), code, NULL, 'refused: add_to_budget ' || a)
FROM (VALUES ('NULL, 1', '22004'), ('''bud-1'', NULL', '22004'), ('''bud-none'', 1', '42704'), ('''bud-1'', ''NaN''', '22023')) v (a, code);
SELECT taskq.set_budget('bud-2') \gset
SELECT throws_ok($$ SELECT taskq.add_to_budget('bud-2', 1) $$, '55000', 'budget "bud-2" has no hard limit', 'nothing is added to a budget without a limit');
SELECT throws_ok(format('SELECT taskq.enqueue_job(''bud-a'', %s)', a), code, NULL, 'refused: enqueue_job ' || a)
FROM (VALUES ('budgets => ''{bud-none}''', '42704'), ('budgets => ''{NULL}''', '22004'), ('budgets => ''{{bud-1}}''', '2202E'), ('budgets => ''{b b}''', '22023'),
	('estimated_cost => 1', '22023'), ('budgets => ''{}'', estimated_cost => 1', '22023'), ('budgets => ''{bud-1}'', estimated_cost => -1', '22023')) v (a, code);
SELECT taskq.set_budget('bud-x' || n) FROM generate_series(1, 9) n \g /dev/null
SELECT throws_ok($$ SELECT taskq.enqueue_job('bud-a', budgets => ARRAY(SELECT 'bud-x' || n FROM generate_series(1, 9) n)) $$, '22023', 'budgets has 9 elements, more than 8', 'a job names at most eight budgets');
SELECT is((SELECT count(*) FROM generate_series(1, 9) n WHERE taskq.drop_budget('bud-x' || n)), 9::bigint, 'drop_budget() drops a budget');
SELECT ok(NOT taskq.drop_budget('bud-x1'), 'drop_budget() returns false if there is none');
SELECT ok(taskq.drop_budget('bud-1') AND taskq.drop_budget('bud-2'), 'a budget that was used by no job is dropped');

-- reports --------------------------------------------------------------------------
SELECT taskq.set_budget('bud-1', soft => 5, hard => 10) \gset
SELECT ok(pg_temp.armed(), 'a new budget is armed');
SELECT pg_temp.need('r' || n, '{bud-1,bud-1}') FROM generate_series(1, 4) n \g /dev/null
SELECT results_eq($$ SELECT budgets, estimated_cost FROM taskq.all_jobs WHERE job_id = pg_temp.id('r1') $$, $$ VALUES ('{bud-1}'::text[], NULL::numeric) $$, 'all_jobs shows the budgets of a job');
SELECT is(pg_temp.take_many('bud-w', 3), 'r1 r2 r3', 'jobs of a budget with room start');
SELECT is(pg_temp.report('r1', 'bud-1', 0.1, 'k1'), 'ok 9.9 0.1 t', 'a report answers ok, the balance and the use');
SELECT is(pg_temp.report('r1', 'bud-1', 0.1, 'k1'), 'duplicate 9.9 0.1 f', 'the same key counts once');
SELECT is(pg_temp.report('r1', 'bud-1', 7, 'k1'), 'duplicate 9.9 0.1 f', 'also with another amount');
SELECT is(pg_temp.report('r2', 'bud-1', 0.2, 'k1'), 'ok 9.7 0.3 t', 'the key of another job is another key, and sums are exact');
SELECT is(pg_temp.report('r1', 'bud-1', 4.7, 'k2'), 'soft_limit 5 5 t', 'from the soft limit on the answer is soft_limit');
SELECT is(pg_temp.report('r1', 'bud-1', 0, 'k0'), 'soft_limit 5 5 t', 'an amount may be 0');
SELECT is(pg_temp.sums('bud-1'), '5 0 0 5 soft_limit', 'the view shows the same');
SELECT is(pg_temp.report('r1', 'bud-1', 5.000000000001, 'k3'), 'hard_limit 5 5 f', 'what would pass the hard limit is not applied');
SELECT is(pg_temp.report('r1', 'bud-1', 4.9, 'k3'), 'soft_limit 0.1 9.9 t', 'its key is free for a smaller amount');
SELECT is(pg_temp.report('r1', 'bud-1', 0.2, 'k1'), 'duplicate 0.1 9.9 f', 'a duplicate is told at the limit, too');
SELECT is(pg_temp.why('r4'), 'budget: budget "bud-1" has refused a report', 'after a report was refused no job starts, and describe_job() says so');
SELECT is(pg_temp.take('bud-w'), NULL, 'a claim gets none');
SELECT is(pg_temp.report('r1', 'bud-1', 0.1, 'k4'), 'soft_limit 0 10 t', 'the limit itself can be used');
SELECT is(pg_temp.report('r3', 'bud-1', 1.5, 'k5', true), 'hard_limit -1.5 11.5 t', 'with allow_overrun a report is applied beyond it, and says so');
SELECT is(pg_temp.sums('bud-1'), '11.5 0 0 -1.5 hard_limit', 'then the balance is negative');
SELECT results_eq($$ SELECT count(*), sum(amount), bool_or(overrun), min(attempt), count(*) FILTER (WHERE overrun) FROM taskq.budget_usage WHERE budget = 'bud-1' $$,
	$$ VALUES (7::bigint, 11.5, true, 1, 1::bigint) $$, 'budget_usage shows each report that was applied');
SELECT is(reason_code || ': ' || value, 'budget: bud-1: 11.5 of 10, and a report was refused', 'status() tells of the budget') FROM taskq.status() WHERE name = 'used-up budget';
SELECT is(reason_code, 'budget', 'so does explain_claim()') FROM taskq.explain_claim('bud-w') WHERE task_type = 'bud-a';
CREATE ROLE regress_budgets;
SELECT taskq.grant_access('regress_budgets', 'observer', '{bud-acme}') \gset
CREATE FUNCTION pg_temp.seen(sql text) RETURNS text LANGUAGE sql AS $$ SELECT pg_temp.as_role('regress_budgets', sql) $$;
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.status() WHERE reason_code = 'budget' $$), '0', 'to an observer of some tenants status() names no budget');
SELECT is(pg_temp.seen($$ SELECT concat_ws(', ', reason, budgets) FROM taskq.explain_claim('bud-w') WHERE task_type = 'bud-a' $$), 'a budget is used up', 'nor does explain_claim() for jobs of others');
SELECT taskq.enqueue_job('bud-a', budgets => '{bud-1}', tenant_id => 'bud-acme') AS acme \gset
SELECT is(pg_temp.seen($$ SELECT concat_ws(', ', reason, budgets) FROM taskq.explain_claim('bud-w') WHERE task_type = 'bud-a' $$), 'budget "bud-1" has refused a report, {bud-1}', 'but for jobs of its tenants');
SELECT is(pg_temp.seen('SELECT reason FROM taskq.describe_job(' || :acme || ')'), 'budget "bud-1" has refused a report', 'and describe_job() does');
SELECT taskq.cancel_job(:acme) \gset
SELECT is(taskq.add_to_budget('bud-1', 2), 12::numeric, 'the limit is raised');
SELECT is(pg_temp.take('bud-w'), 'r4', 'and the job starts');
SELECT pg_temp.need('r5', '{bud-1}') \gset
SELECT is(pg_temp.report('r1', 'bud-1', 5, 'k1'), 'duplicate 0.5 11.5 f', 'a duplicate of more than is left');
SELECT is(pg_temp.take('bud-w'), 'r5', 'holds no job back');
SELECT throws_ok(format('SELECT * FROM taskq.report_usage(%s, %s, %s)', pg_temp.id('r4'), pg_temp.e('r4'), a), code, NULL, 'refused: report_usage ' || a)
FROM (VALUES ('NULL, 1, ''k''', '22004'), ('''bud-1'', NULL, ''k''', '22004'), ('''bud-1'', 1, NULL', '22004'), ('''bud-1'', 1, ''''', '22023'),
	('''bud-1'', -1, ''k''', '22023'), ('''bud-1'', ''NaN'', ''k''', '22023'), ('''bud-none'', 1, ''k''', '22023'), ('''bud-1'', 1, ''k'', NULL', '22004')) v (a, code);
SELECT throws_ok($$ SELECT * FROM taskq.report_usage('bud-1', 1, 'k') $$, '55000', 'taskq.report_usage(budget, amount, usage_key) can only be called in a handler', 'the short form is for handlers');
SELECT throws_ok(format($$ SELECT * FROM taskq.report_usage(%s, %s, 'bud-1', 1, 'k') $$, pg_temp.id('r4'), pg_temp.e('r4') - 1), 'TQ003', NULL, 'an epoch that is not in force is refused');
SELECT throws_ok(format($$ SELECT * FROM taskq.report_usage(%s, %s, 'bud-1', 1, 'k') $$, 281474976710655, 1), 'TQ011', NULL, 'so is a job that does not exist');

-- the next attempt repeats keys
SELECT taskq.fail_job(pg_temp.id('r1'), pg_temp.e('r1'), 'x', retry_in => '0 s') \gset
SELECT throws_ok(format($$ SELECT * FROM taskq.report_usage(%s, %s, 'bud-1', 1, 'late') $$, pg_temp.id('r1'), pg_temp.e('r1')), 'TQ003', NULL, 'a settled claim reports nothing more');
SELECT is(pg_temp.take('bud-w'), 'r1', 'the next attempt');
SELECT is(pg_temp.report('r1', 'bud-1', 0.1, 'k1'), 'duplicate 0.5 11.5 f', 'a key counts once in all attempts');
SELECT is(pg_temp.finish('r1', 'r2', 'r3', 'r4', 'r5'), 5::bigint, 'the jobs are completed');

-- transactions ------------------------------------------------------------------------
SELECT pg_temp.need('t1', '{bud-1}') \gset
SELECT pg_temp.take('bud-w') \gset
BEGIN;
SELECT is(pg_temp.report('t1', 'bud-1', 0.2, 'a'), 'soft_limit 0.3 11.7 t', 'a report in a transaction');
SAVEPOINT s;
SELECT is(pg_temp.report('t1', 'bud-1', 0.3, 'b'), 'soft_limit 0 12 t', 'another one after a savepoint');
ROLLBACK TO s;
SELECT is(pg_temp.report('t1', 'bud-1', 0.1, 'c'), 'soft_limit 0.2 11.8 t', 'ROLLBACK TO SAVEPOINT takes it back');
SAVEPOINT s2;
SELECT is(pg_temp.report('t1', 'bud-1', 0.2, 'd'), 'soft_limit 0 12 t', 'a report in a subtransaction');
RELEASE s2;
ROLLBACK;
SELECT is(pg_temp.sums('bud-1'), '11.5 0 0 0.5 soft_limit', 'ROLLBACK takes back all');
BEGIN;
SELECT taskq.add_to_budget('bud-1', 1) \gset
SELECT throws_ok(format($$ SELECT * FROM taskq.report_usage(%s, %s, 'bud-1', 1, 'k') $$, pg_temp.id('t1'), pg_temp.e('t1')), '55000', NULL, 'a transaction that has changed budgets reports nothing');
ROLLBACK;
SELECT is(taskq.add_to_budget('bud-1', 8), 20::numeric, 'there is more room');
BEGIN;
SELECT is(pg_temp.report('t1', 'bud-1', 3, 'e'), 'soft_limit 5.5 14.5 t', 'a report in a transaction');
SELECT is(pg_temp.report('t1', 'bud-1', 9, 'f') || ', ' || pg_temp.report('t1', 'bud-1', 6, 'g'), 'hard_limit 5.5 14.5 f, hard_limit 5.5 14.5 f', 'two are refused');
ROLLBACK;
SELECT is(pg_temp.sums('bud-1'), '11.5 0 0 8.5 hard_limit', 'after ROLLBACK there is room for the smaller one, but the larger one holds jobs back');
BEGIN;
SELECT pg_temp.report('t1', 'bud-1', 1, 'i') \gset
SELECT throws_ok($$ SELECT taskq.adopt_database() $$, '55000', 'budgets cannot be added up in a transaction that has reported usage', 'a transaction that has reported usage does not have budgets added up');
ROLLBACK;
SELECT is(pg_temp.report('t1', 'bud-1', 8.5, 'h'), 'soft_limit 0 20 t', 'a smaller report uses the rest');
SELECT is(pg_temp.finish('t1'), 1::bigint, 'the job is completed');

-- estimates ---------------------------------------------------------------------------
SELECT taskq.set_budget('bud-e', hard => 10), taskq.set_budget('bud-f', hard => 7) \gset
SELECT ok(pg_temp.armed(), 'two more budgets are armed');
SELECT pg_temp.need('e' || n, '{bud-e,bud-f}', 3.0) FROM generate_series(1, 3) n \g /dev/null
SELECT pg_temp.need('o1', NULL, t => 'bud-b') \gset
SELECT is(pg_temp.take_many('bud-w', 9), 'e1 e2 o1', 'as many jobs start as all their budgets have room for, and those without budgets');
SELECT is(pg_temp.sums('bud-e') || ', ' || pg_temp.sums('bud-f'), '0 0 6 10 active, 0 0 6 7 active', 'runs hold their estimates');
SELECT results_eq($$ SELECT budgets, estimated_cost, reason FROM taskq.explain_claim('bud-w') WHERE task_type IN ('bud-a', 'bud-b') AND (estimated_cost > 0 OR budgets IS NULL) ORDER BY task_type $$,
	$$ VALUES ('{bud-e,bud-f}'::text[], 3::numeric, 'budget "bud-f" has 1 left, and the job is estimated to cost 3'), (NULL, NULL, NULL) $$, 'explain_claim() shows what tells routes apart that differ only in budgets');
SELECT is(pg_temp.why('e3'), 'budget: budget "bud-f" has 1 left, and the job is estimated to cost 3', 'describe_job() says which budget lacks room');
SELECT is(pg_temp.report('e1', 'bud-f', 2, 'a'), 'ok 5 2 t', 'a report');
SELECT is(pg_temp.sums('bud-f'), '2 0 4 5 active', 'takes from what the run holds');
SELECT is(pg_temp.finish('e1'), 1::bigint, 'the run ends');
SELECT is(pg_temp.sums('bud-f'), '2 0 3 5 active', 'and gives back the rest');
SELECT is(pg_temp.take('bud-w'), NULL, 'there is no room for another one');
SELECT taskq.release_job(pg_temp.id('e2'), pg_temp.e('e2')) \gset
SELECT is(pg_temp.take_many('bud-w', 9), 'e2', 'a released job gives back what it holds, so that it can start again');
BEGIN;
SELECT is(pg_temp.report('e2', 'bud-f', 3.5, 'a'), 'ok 1.5 5.5 t', 'a report of more than the estimate');
SELECT is(held, 0::numeric, 'uses up what the run holds') FROM taskq.budgets WHERE budget = 'bud-f';
ROLLBACK;
SELECT is(pg_temp.sums('bud-f'), '2 0 3 5 active', 'after a rollback the run holds it again');
SELECT is(taskq.drop_budget('bud-f'), true, 'one of the budgets is dropped');
SELECT is(pg_temp.take_many('bud-w', 9), 'e3', 'it holds nothing back any more');
SELECT is(pg_temp.report('e3', 'bud-f', 99, 'a'), 'ok - - f', 'reports of a budget that was dropped are not recorded, and do not fail');
SELECT is(pg_temp.finish('e2', 'e3', 'o1'), 3::bigint, 'the jobs are completed');
SELECT is(pg_temp.sums('bud-e'), '0 0 0 10 active', 'nothing is held then');

-- history
SELECT results_eq($$ SELECT budget, period_no, hard, added, used, reports, ended_at IS NULL FROM taskq.budget_history WHERE used > 0 AND budget IN ('bud-1', 'bud-f') ORDER BY budget $$,
	$$ VALUES ('bud-1', 1, 10::numeric, 10::numeric, 20::numeric, 8::bigint, true), ('bud-f', 1, 7::numeric, 0::numeric, 2::numeric, 1::bigint, false) $$, 'budget_history shows the periods, also of budgets that were dropped');
-- jobs that can never start
SELECT pg_temp.need('n' || n, '{bud-e}', 12.5) FROM generate_series(1, 3) n \g /dev/null
SELECT is(replace(value, pg_temp.id('n1')::text, 'n1') || ' ' || reason_code || ' ' || hint, '3 of type bud-a, such as job n1: they are estimated to cost 12.5, and the hard limit of budget "bud-e" is 10 budget Raise the limit by taskq.alter_budget(), or cancel the jobs.',
	'status() names jobs whose estimate is above the hard limit of a budget') FROM taskq.status() WHERE name = 'jobs that never start';
SELECT is(pg_temp.seen($$ SELECT count(*) FROM taskq.status() WHERE name = 'jobs that never start' $$), '0', 'but not those of other tenants than the caller sees');
SELECT taskq.cancel_job(pg_temp.id('n' || n)) FROM generate_series(1, 3) n \g /dev/null
-- limits for a tenant and for each group name only jobs under them, and only those that no other number lets start
SELECT taskq.enqueue_job('bud-b', tenant_id => t, group_key => g, weight => w) FROM (VALUES ('bud-t', NULL, 1), ('bud-u', 'g', 1), ('bud-u', 'h', 1), (NULL, NULL, 1)) v (t, g, w) \g /dev/null
SELECT taskq.set_limit('bud-l1', task_type => 'bud-b', tenant_id => 'bud-t', concurrency => 0), taskq.set_limit('bud-l2', task_type => 'bud-b', for_each => '{group_key}', concurrency => 0) \gset
CREATE FUNCTION pg_temp.never() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(regexp_replace(value, ', such as job \d+', ''), '; ' ORDER BY value) FROM taskq.status() WHERE name = 'jobs that never start' $$;
SELECT is(pg_temp.never(), '1 of type bud-b: limit "bud-l1" lets no job run; 2 of type bud-b: limit "bud-l2" lets no job run', 'status() names jobs of a tenant and of groups');
SELECT taskq.set_limit('bud-l2', task_type => 'bud-b', for_each => '{group_key}', concurrency => 0, overrides => '{"g": 1}') \gset
SELECT is(pg_temp.never(), '1 of type bud-b: limit "bud-l1" lets no job run', 'and none of a limit that lets jobs of another group run');
SELECT taskq.drop_limit('bud-l1'), taskq.drop_limit('bud-l2') \gset
SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE task_type = 'bud-b' AND state = 'available' \g /dev/null
-- a job that is put back names the same budgets
SELECT taskq.set_budget('bud-p', hard => 9) \gset
SELECT taskq.enqueue_job('bud-b', budgets => '{bud-p}', estimated_cost => 1.5, weight => 3) AS put_back \gset
SELECT taskq.discard_job(:put_back), taskq.redrive_jobs('bud-b') \gset
SELECT results_eq(format($$ SELECT state, budgets, estimated_cost, weight FROM taskq.all_jobs WHERE job_id = %s $$, :put_back), $$ VALUES ('available', '{bud-p}'::text[], 1.5, 3) $$, 'redrive_jobs() keeps budgets, estimate and weight');
SELECT taskq.discard_job(:put_back), taskq.drop_budget('bud-p'), taskq.retry_job(:put_back) \gset
SELECT results_eq(format($$ SELECT state, budgets, estimated_cost, weight FROM taskq.all_jobs WHERE job_id = %s $$, :put_back), $$ VALUES ('available', '{bud-p}'::text[], 1.5, 3) $$, 'so does retry_job(), also when the budget was dropped');
-- several reasons
SELECT taskq.unregister_worker(worker_id) FROM taskq.workers WHERE kind = 'external' AND worker_id <> 'bud-w' \g /dev/null
SELECT taskq.register_handler('bud-c'), taskq.set_limit('bud-l', task_type => 'bud-c', concurrency => 0) \gset
SELECT pg_temp.came($$ SELECT bool_and(state = 'active') FROM taskq.limits $$) AS armed \gset
SELECT pg_temp.need('c1', '{bud-e}', 12.5, 'bud-c') \gset
CREATE FUNCTION pg_temp.reasons(n text) RETURNS text LANGUAGE sql AS
	$$ SELECT concat_ws('; ', reason_code, other_reason_codes, cardinality(other_reasons)) FROM taskq.describe_job(pg_temp.id(n)) $$;
SELECT is(pg_temp.reasons('c1'), 'no_live_worker; {limit,budget}; 2', 'describe_job() shows first that no worker takes the job, and the limit and the budget as well');
SELECT is(other_reasons, '{"limit \"bud-l\" is reached","budget \"bud-e\" has 10 left, and the job is estimated to cost 12.5"}', 'with their texts') FROM taskq.describe_job(pg_temp.id('c1'));
SELECT taskq.claim_job('bud-i', '{bud-c}') \g /dev/null
SELECT is(pg_temp.reasons('c1'), 'limit; {budget,only_implicit_workers}; 2', 'if workers take it that are not registered, the limit comes first');
SELECT taskq.drop_limit('bud-l') \gset
SELECT taskq.register_worker('bud-i', '{bud-c}') \gset
SELECT is(pg_temp.reasons('c1'), 'budget', 'a single reason has no others');
SELECT taskq.cancel_job(pg_temp.id('c1')), taskq.unregister_worker('bud-i') \gset
-- the end of the period
SELECT taskq.set_budget('bud-m', hard => 0, period => '1 month', period_from => '2000-01-01 00:00+00') \gset
SELECT ok(pg_temp.armed(), 'a budget that lasts a month is armed');
SELECT pg_temp.need('m1', '{bud-m}') \gset
SELECT is(regexp_replace(pg_temp.why('m1'), ' at .*', ''), 'budget: budget "bud-m" is used up, and its period ends', 'describe_job() says that the budget starts again');
SELECT is(substring(pg_temp.why('m1') FROM ' at (.*)')::timestamptz, resets_at, 'and when') FROM taskq.budgets WHERE budget = 'bud-m';
-- leave nothing that other tests would see
SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE task_type LIKE 'bud-%' AND state IN ('available', 'scheduled', 'retryable') \g /dev/null
SELECT taskq.drop_budget(budget) FROM taskq.budgets \g /dev/null
SELECT taskq.unregister_worker('bud-w'), taskq.revoke_access('regress_budgets', 'observer') \gset
DROP ROLE regress_budgets;
SELECT taskq.unregister_handler('bud-' || t) FROM unnest('{a,b,c}'::text[]) t \g /dev/null
SELECT * FROM finish();
