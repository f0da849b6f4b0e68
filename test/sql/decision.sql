-- Decisions: results that name the steps which follow.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
\i test/sql/include/wait.sql
CREATE ROLE tq_decision LOGIN;
GRANT CREATE ON DATABASE :"DBNAME" TO tq_decision;
SELECT count(taskq.grant_access('tq_decision', a)) FROM unnest('{producer,worker,observer,admin}'::text[]) a \gset
GRANT ALL ON j TO tq_decision;
SELECT plan(69);

-- the example, in a pool ------------------------------------------------------
SET SESSION AUTHORIZATION tq_decision;
\i examples/decision/schema.sql
\o /dev/null
\i examples/decision/handlers.sql
INSERT INTO j SELECT 'order' || o, taskq.enqueue_job('route_order', jsonb_build_object('order_id', o)) FROM generate_series(1, 4) o;
\o
SELECT ok(pg_temp.came($$ SELECT count(*) = 8 AND bool_and(finished_at IS NOT NULL) FROM taskq.all_jobs WHERE task_type IN ('route_order', 'charge_card', 'review_order', 'declare_customs') $$), 'all jobs of the example end');
CREATE FUNCTION pg_temp.decided(n text) RETURNS text LANGUAGE sql AS
	$$ SELECT concat_ws(' ', state, attempt, result - 'job_ids', last_error) FROM taskq.all_jobs WHERE job_id = pg_temp.id(n) $$;
SELECT is(pg_temp.decided('order1'), 'completed 1 {"activated_steps": ["charge_card"], "routing_context": {"rule": "small order", "amount": 40, "country": "DE"}}', 'a decision keeps the steps and the reason');
SELECT is(pg_temp.decided('order2'), 'completed 1 {"activated_steps": ["review_order"], "routing_context": {"rule": "large order", "amount": 900, "country": "DE"}}', 'a decision may choose another step');
SELECT is(pg_temp.decided('order3'), 'completed 1 {"activated_steps": ["charge_card", "declare_customs"], "routing_context": {"rule": "small order", "amount": 40, "country": "NO"}}', 'a decision may choose several steps');
SELECT is(pg_temp.decided('order4'), 'discarded 1 the decision activates steps that are not registered: refund_by_pigeon', 'a decision with an unknown step fails');
SELECT is(pg_temp.attempts('order4'), '1 failed permanent_error', 'the failure is permanent');
SELECT is(sqlstate || ': ' || detail, 'TQ020: Registered types: ' || array_to_string(taskq.get_registered_types(), ', ') || '.', 'the detail lists the registered types') FROM taskq.attempts WHERE job_id = pg_temp.id('order4');
SELECT is(s.task_type || ' ' || s.state || ' ' || (s.payload = d.payload) || ' ' || s.priority, CASE n WHEN 1 THEN 'charge_card completed true 0' ELSE 'declare_customs completed true 10' END, 'step ' || n || ' was enqueued, for the same order')
	FROM taskq.all_jobs d, jsonb_array_elements_text(d.result->'job_ids') WITH ORDINALITY i (id, n), taskq.all_jobs s WHERE d.job_id = pg_temp.id('order3') AND s.job_id = i.id::bigint ORDER BY n;
SELECT is(string_agg(cardinality(history)::text, ' ' ORDER BY order_id), '1 1 2 0', 'the steps ran') FROM decision.customer_order;
SELECT is((SELECT array_agg(h ORDER BY h COLLATE "C") FROM unnest(history) h), '{charge_card,declare_customs}', 'each step ran once') FROM decision.customer_order WHERE order_id = 3;
RESET SESSION AUTHORIZATION;
SELECT taskq.pause_pool('tq_decision'), taskq.create_queue('de-q'), taskq.register_handler('de-ext') \gset

-- every part, by hand ---------------------------------------------------------
SET SESSION AUTHORIZATION tq_decision;
CREATE FUNCTION decision.does(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	answer jsonb;
BEGIN
	EXECUTE payload->>'do' INTO answer;
	RETURN answer;
END $$;
SELECT taskq.register_handler('de-does', 'decision.does(jsonb)', retry_base => '1 h') \gset
-- the outcome of a job that runs this: state, result or error
CREATE FUNCTION pg_temp.does(n text, statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO j VALUES (n, taskq.enqueue_job('de-does', jsonb_build_object('do', statement), tags => '{a,b}', tenant_id => 'ten', group_key => 'grp', correlation_id => 'cor'));
	RETURN (SELECT concat_ws(' ', r.state, r.result - 'job_ids', r.error) FROM taskq.run_job(pg_temp.id(n)) r);
END $$;
-- the steps that a job has activated: type, payload, queue, priority, delay
CREATE FUNCTION pg_temp.steps(n text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(concat_ws(' ', s.task_type, s.payload, s.queue, s.priority, round(extract(epoch FROM s.run_at - s.created_at))), ', ' ORDER BY i.n)
	FROM taskq.all_jobs d, jsonb_array_elements_text(d.result->'job_ids') WITH ORDINALITY i (id, n), taskq.all_jobs s WHERE d.job_id = pg_temp.id(steps.n) AND s.job_id = i.id::bigint $$;
SELECT is(pg_temp.does('plain', $$ SELECT taskq.decision('{de-ext}', payload => '{"x": 1}') $$), 'completed {"activated_steps": ["de-ext"], "routing_context": {}}', 'a decision without a context has an empty one');
SELECT is(pg_temp.steps('plain'), 'de-ext {"x": 1} default 0 0', 'a step has the payload of the decision');
SELECT is((SELECT concat_ws(' ', tags, tenant_id, group_key, correlation_id) FROM taskq.all_jobs WHERE job_id = (d.result->'job_ids'->0)::bigint), '{a,b} ten grp cor', 'a step has the tags, tenant, group and correlation id of the decision''s job')
	FROM taskq.all_jobs d WHERE job_id = pg_temp.id('plain');
SELECT is(pg_temp.does('options', $$ SELECT taskq.decision('{de-ext,charge_card}', '{"why": [1]}', '2', '{"de-ext": {"payload": null, "queue": "de-q", "priority": -7, "delay": "1 h"}, "other": {"priority": 3}}') $$),
	'completed {"activated_steps": ["de-ext", "charge_card"], "routing_context": {"why": [1]}}', 'a decision may have options for its steps');
SELECT is(pg_temp.steps('options'), 'de-ext null de-q -7 3600, charge_card 2 default 0 0', 'each step has its own options');
SELECT is(pg_temp.does('none', $$ SELECT taskq.decision('{}', '{"why": "nothing to do"}') $$), 'completed {"activated_steps": [], "routing_context": {"why": "nothing to do"}}', 'a decision may have no steps');
SELECT is(result->'job_ids', '[]', 'a decision without steps enqueues no job') FROM taskq.all_jobs WHERE job_id = pg_temp.id('none');
SELECT is(pg_temp.does('self', $$ SELECT taskq.decision('{de-does}', payload => '{"do": "SELECT ''1''::jsonb"}') $$), 'completed {"activated_steps": ["de-does"], "routing_context": {}}', 'a type may activate itself');
SELECT is(pg_temp.does('hand', $$ SELECT '{"$taskq": "decision", "activated_steps": ["de-ext"]}' $$), 'completed {"$taskq": "decision", "activated_steps": ["de-ext"]}', 'an object that only looks like a decision is data');
SELECT is(pg_temp.does('through', $$ SELECT taskq.decision('{de-ext}')::text::jsonb $$), 'completed {"activated_steps": ["de-ext"], "routing_context": {}}', 'a decision that was converted to another type and back is a decision');
SELECT is(pg_temp.steps('through'), 'de-ext {"do": " SELECT taskq.decision(''{de-ext}'')::text::jsonb "} default 0 0', 'a step has the payload of the decision''s job unless another is given');
SET search_path = decision, public;
SELECT is(pg_temp.does('path', $$ SELECT taskq.decision('{de-ext}', step_options => '{"de-ext": {"priority": 5}}') $$), 'completed {"activated_steps": ["de-ext"], "routing_context": {}}', 'a decision does not depend on the search_path');
RESET search_path;

-- who pays for a step
RESET SESSION AUTHORIZATION;
SELECT taskq.set_budget('de-' || n, hard => 100) FROM unnest('{a,b,gone}'::text[]) n \g /dev/null
SELECT pg_temp.came($$ SELECT bool_and(state = 'active') FROM taskq.budgets WHERE budget LIKE 'de-%' $$) AS armed \gset
SET SESSION AUTHORIZATION tq_decision;
CREATE FUNCTION pg_temp.pays(n text, step_options text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	does text := format('SELECT taskq.decision(''{de-ext}'', step_options => %L)', jsonb_build_object('de-ext', step_options::jsonb));
	ran record;
BEGIN
	INSERT INTO j VALUES (n, taskq.enqueue_job('de-does', jsonb_build_object('do', does), budgets => '{de-a,de-gone}', estimated_cost => 1.5, weight => 3));
	SELECT * INTO ran FROM taskq.run_job(pg_temp.id(n));
	RETURN ran.state || ' ' || COALESCE(ran.error, (SELECT concat_ws(' ', s.budgets, s.estimated_cost, s.weight)
		FROM taskq.all_jobs d, taskq.all_jobs s WHERE d.job_id = pg_temp.id(n) AND s.job_id = (d.result->'job_ids'->0)::bigint));
END $$;
SELECT is(pg_temp.pays('pay' || n, o), r, 'a step with ' || o) FROM (VALUES
	(1, '{}', 'completed {de-a,de-gone} 1.5 3'), (2, '{"budgets": ["de-b"]}', 'completed {de-b} 3'), (3, '{"budgets": []}', 'completed 3'),
	(4, '{"budgets": null, "weight": 1}', 'completed {de-a,de-gone} 1.5 1'), (5, '{"estimated_cost": 0.25}', 'completed {de-a,de-gone} 0.25 3'),
	(6, '{"budgets": ["de-b"], "estimated_cost": 2, "weight": 7, "required_capabilities": ["y", "x"]}', 'completed {de-b} 2 7'),
	(7, '{"budgets": ["de-none"]}', 'retryable budget "de-none" does not exist'), (8, '{"budgets": [], "estimated_cost": 1}', 'discarded estimated_cost is given without budgets'),
	(9, '{"budgets": "de-a"}', 'discarded budgets of a decision must be an array of names'), (10, '{"required_capabilities": [1]}', 'discarded required_capabilities of a decision must be an array of names')) x (n, o, r) ORDER BY n;
RESET SESSION AUTHORIZATION;
SELECT is(r.capabilities, '{x,y}', 'a step may require capabilities')
	FROM taskq.all_jobs d JOIN taskq.jobs s ON s.job_id = (d.result->'job_ids'->0)::bigint JOIN taskq.routes r USING (route_id) WHERE d.job_id = pg_temp.id('pay6');
INSERT INTO j VALUES ('pay-gone', taskq.enqueue_job('de-does', '{"do": "SELECT to_jsonb(x) FROM (SELECT (taskq.current_job()).weight, (taskq.current_job()).budgets, (taskq.current_job()).estimated_cost) x"}', budgets => '{de-a,de-gone}', estimated_cost => 1.5, weight => 3));
INSERT INTO j VALUES ('pay-step', taskq.enqueue_job('de-does', '{"do": "SELECT taskq.decision(''{de-ext}'')"}', budgets => '{de-a,de-gone}', estimated_cost => 1.5, weight => 3));
SELECT taskq.drop_budget('de-gone') \gset
SET SESSION AUTHORIZATION tq_decision;
SELECT is(result, '{"weight": 3, "budgets": ["de-a", "de-gone"], "estimated_cost": 1.5}', 'a handler sees what its job names and weighs') FROM taskq.run_job(pg_temp.id('pay-gone'));
SELECT taskq.run_job(pg_temp.id('pay-step')) \g /dev/null
SELECT is((SELECT concat_ws(' ', s.budgets, s.estimated_cost, s.weight) FROM taskq.all_jobs d, taskq.all_jobs s WHERE d.job_id = pg_temp.id('pay-step') AND s.job_id = (d.result->'job_ids'->0)::bigint),
	'{de-a} 1.5 3', 'a step does not keep a budget that was dropped');

-- nothing or all --------------------------------------------------------------
SELECT count(*) AS before FROM taskq.all_jobs \gset
SELECT is(pg_temp.does('some', $$ SELECT taskq.decision('{de-ext,nobody,charge_card,nothing}') $$), 'discarded the decision activates steps that are not registered: nobody, nothing', 'a decision with an unknown step fails, and names all unknown steps');
SELECT is(count(*), (:before + 1)::bigint, 'a decision with an unknown step enqueues no step') FROM taskq.all_jobs;
SELECT is(pg_temp.does('late', $$ SELECT taskq.decision('{de-ext,charge_card}', step_options => '{"charge_card": {"queue": "de-nowhere"}}') $$), 'retryable queue "de-nowhere" does not exist', 'a decision with a wrong option for a step fails');
SELECT is(count(*), (:before + 2)::bigint, 'the steps before it are rolled back') FROM taskq.all_jobs;
SELECT matches(pg_temp.does('bad' || n, format('SELECT taskq.decision(%s)', d)), '^discarded ' || e, 'refused: ' || d) FROM (VALUES
	(1, $$'{de-ext,de-ext}'$$, 'step "de-ext" is activated twice'),
	(2, $$'{}', '1'$$, 'routing_context of a decision must be an object'), (3, $$'{}', step_options => '[]'$$, 'step_options of a'),
	(4, $$'{de-ext}', step_options => '{"de-ext": 1}'$$, 'de-ext of a decision must be an object'), (5, $$'{de-ext}', step_options => '{"de-ext": {"dealy": "1 h"}}'$$, 'unknown option "dealy" of step "de-ext"'),
	(6, $$'{de-ext}', step_options => '{"de-ext": {"priority": "high"}}'$$, 'invalid input syntax for type integer'),
	(7, $$'{de-ext}', step_options => '{"de-ext": {"delay": "-1 h"}}'$$, 'delay "[^"]*" is out of range')) x (n, d, e) ORDER BY n;
SELECT matches(pg_temp.does('many', $$ SELECT taskq.decision(array_agg('s' || n)) FROM generate_series(1, 1001) n $$), '^discarded a decision activates 1001 steps', 'a decision with more than a thousand steps fails');
SELECT is(count(*), (:before + 10)::bigint, 'none of the refused decisions enqueued a job') FROM taskq.all_jobs;
SELECT throws_ok($$ SELECT taskq.decision(NULL) $$, '22004', NULL, 'activated_steps must not be NULL');
SELECT throws_ok($$ SELECT taskq.decision('{NULL}') $$, '22004', NULL, 'activated_steps must not contain NULL');
SELECT throws_ok($$ SELECT taskq.decision('{"a b"}') $$, '22023', NULL, 'a step must be a valid task type');
SELECT is(taskq.decision('{a}', NULL) - '$nonce', '{"$taskq": "decision", "activated_steps": ["a"]}', 'routing_context may be NULL');

-- external workers ------------------------------------------------------------
RESET SESSION AUTHORIZATION;
SELECT taskq.register_handler('de-route') \gset
INSERT INTO j VALUES ('ext', taskq.enqueue_job('de-route', '{"n": "ext"}', tenant_id => 'ten', correlation_id => 'cor'));
SELECT pg_temp.take('de-w', 'de-route') \gset
SELECT throws_ok(pg_temp.of('ext', $$ SELECT taskq.complete_job(%s, %s, taskq.decision('{de-ext,nobody}')) $$), 'TQ020', NULL, 'an external worker''s decision for an unknown step is refused');
SELECT is(pg_temp.state('ext'), 'running 1', 'the external worker still has the job');
SELECT is(pg_temp.of('ext', $$ SELECT taskq.complete_job(%s, %s, taskq.decision('{de-ext}', '{"why": 1}')) $$) IS NOT NULL, true, 'an external worker builds a decision');
SELECT is(taskq.complete_job(pg_temp.id('ext'), pg_temp.e('ext'), taskq.decision('{de-ext}', '{"why": 1}')), true, 'complete_job() accepts a decision');
SELECT is(taskq.complete_job(pg_temp.id('ext'), pg_temp.e('ext'), taskq.decision('{de-ext}', '{"why": 1}')), false, 'a repeated complete_job() returns false');
SELECT is(pg_temp.decided('ext') || ': ' || pg_temp.steps('ext'), 'completed 1 {"activated_steps": ["de-ext"], "routing_context": {"why": 1}}: de-ext {"n": "ext"} default 0 0', 'the job has the first result');
SELECT is(count(*), 1::bigint, 'one step was enqueued') FROM taskq.all_jobs WHERE task_type = 'de-ext' AND payload->>'n' = 'ext' AND tenant_id = 'ten' AND correlation_id = 'cor';

-- other values that are built for handlers
INSERT INTO j VALUES ('value', taskq.enqueue_job('de-route')), ('no-value', taskq.enqueue_job('de-route'));
SELECT pg_temp.take('de-w', 'de-route'), pg_temp.take('de-w', 'de-route') \gset
SELECT throws_ok(pg_temp.of('value', $$ SELECT taskq.complete_job(%s, %s, taskq.failure('no')) $$), '22023', 'a value of taskq.failure() is no result of a completed job', 'complete_job() refuses a failure');
SELECT throws_ok(pg_temp.of('value', $$ SELECT * FROM taskq.complete_jobs(ARRAY[%s::bigint], ARRAY[%s::bigint], ARRAY[taskq.snooze('1 h')]) $$), '22023', 'a value of taskq.snooze() is no result of a completed job', 'complete_jobs() refuses a snooze');
SELECT is(pg_temp.state('value'), 'running 1', 'the job stays with its worker');
SELECT taskq.complete_job(pg_temp.id('value'), pg_temp.e('value'), taskq.success('{"a": 1}')), taskq.complete_job(pg_temp.id('no-value'), pg_temp.e('no-value'), taskq.success()) \gset
SELECT is(result, '{"a": 1}', 'complete_job() stores the argument of success()') FROM taskq.all_jobs WHERE job_id = pg_temp.id('value');
SELECT is(result, NULL, 'success() without an argument is no result') FROM taskq.all_jobs WHERE job_id = pg_temp.id('no-value');

-- a run by hand in the same transaction
INSERT INTO j VALUES ('between', taskq.enqueue_job('de-route', '{"n": "between"}'));
SELECT pg_temp.take('de-w', 'de-route') \gset
BEGIN;
SELECT taskq.decision('{de-ext}') AS built \gset
SET LOCAL SESSION AUTHORIZATION tq_decision;
SELECT state FROM taskq.run_job(taskq.enqueue_job('de-does', '{"do": "SELECT NULL::jsonb"}')) \gset
RESET SESSION AUTHORIZATION;
SELECT taskq.complete_job(pg_temp.id('between'), pg_temp.e('between'), :'built') \gset
COMMIT;
SELECT matches(pg_temp.decided('between') || ': ' || pg_temp.steps('between'), 'de-ext .*between', 'a decision counts after a run by hand in the same transaction');

-- rights ----------------------------------------------------------------------
SELECT taskq.revoke_access('tq_decision', 'producer') \gset
INSERT INTO j VALUES ('right', taskq.enqueue_job('de-does', '{"do": "SELECT taskq.decision(''{de-ext}'')"}')), ('right-ext', taskq.enqueue_job('de-route'));
SET SESSION AUTHORIZATION tq_decision;
SELECT epoch AS e FROM taskq.claim_job('de-x', '{de-route}') \gset
RESET SESSION AUTHORIZATION;
UPDATE j SET e = :e WHERE name = 'right-ext';
SET SESSION AUTHORIZATION tq_decision;
SELECT is(state || ' ' || error, 'retryable permission denied for function enqueue_job', 'a decision fails if the handler''s role may not enqueue') FROM taskq.run_job(pg_temp.id('right'));
SELECT throws_ok(pg_temp.of('right-ext', $$ SELECT taskq.complete_job(%s, %s, taskq.decision('{de-ext}')) $$), '42501', NULL, 'complete_job() with a decision is refused if the worker may not enqueue');
SELECT is(taskq.complete_job(pg_temp.id('right-ext'), pg_temp.e('right-ext'), '{"done": 1}'), true, 'such a worker can complete the job without a decision');
RESET SESSION AUTHORIZATION;

SELECT finish();
SELECT taskq.unregister_worker('de-w') \gset
SELECT count(taskq.cancel_job(job_id)) FROM taskq.all_jobs WHERE finished_at IS NULL
	AND (task_type LIKE 'de-%' OR task_type IN ('route_order', 'charge_card', 'review_order', 'declare_customs')) \gset
SELECT count(taskq.unregister_handler(h.task_type)) FROM taskq.list_handlers() h WHERE h.task_type LIKE 'de-%' OR h.run_as = 'tq_decision'::regrole \gset
SELECT taskq.drop_budget(budget) FROM taskq.budgets WHERE budget LIKE 'de-%' \g /dev/null
SELECT taskq.drop_pool('tq_decision') \gset
SELECT count(taskq.revoke_access('tq_decision', a)) FROM unnest('{producer,worker,observer,admin}'::text[]) a \gset
DROP OWNED BY tq_decision CASCADE;
DROP ROLE tq_decision;
