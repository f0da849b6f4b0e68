-- Random calls to taskq and to the model, and the comparison of their results.
CREATE FUNCTION model.chance(share double precision) RETURNS boolean LANGUAGE sql VOLATILE AS $$ SELECT random() < share $$;
CREATE FUNCTION model.pick(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE AS
	$$ SELECT choices[1 + floor(random() * cardinality(choices))::integer] $$;
-- A random part of the names in random order, as the text of an array.
CREATE FUNCTION model.several(VARIADIC choices text[]) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	found text[] := '{}';
	one text;
BEGIN
	FOR i IN 1 .. 1 + floor(random() * 3)::integer LOOP
		one := choices[1 + floor(random() * cardinality(choices))::integer];
		IF NOT one = ANY (found) THEN
			found := found || one;
		END IF;
	END LOOP;
	RETURN found::text;
END $$;

CREATE FUNCTION model.some_type() RETURNS text LANGUAGE sql VOLATILE AS
	$$ SELECT CASE WHEN model.chance(0.01) THEN 'no name' ELSE model.pick('t1', 't2', 't3', 't4', 't5', 'chained') END $$;
CREATE FUNCTION model.some_queue() RETURNS text LANGUAGE sql VOLATILE AS
	$$ SELECT CASE WHEN model.chance(0.01) THEN 'no/queue' ELSE model.pick('default', 'qa', 'qb', 'qc') END $$;
CREATE FUNCTION model.some_worker() RETURNS text LANGUAGE sql VOLATILE AS
	$$ SELECT CASE WHEN model.chance(0.01) THEN '' ELSE model.pick('w1', 'w1', 'w2', 'w3') END $$;
CREATE FUNCTION model.some_payload() RETURNS jsonb LANGUAGE sql VOLATILE AS $$
	SELECT jsonb_strip_nulls(jsonb_build_object('give', floor(random() * 100)::integer, 'by', CASE WHEN what = 'divide' THEN 0 END, 'do', what))
	FROM model.pick('give', 'give', 'raise', 'divide', 'permanent', 'retryable', 'failure', 'chain') AS what $$;
-- A job in one of these states (NULL: in any state), or one that does not exist.
CREATE FUNCTION model.some_job(VARIADIC states text[] DEFAULT NULL) RETURNS model.jobs LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	j model.jobs;
	chosen double precision := random();
	n bigint;
BEGIN
	SELECT count(*) INTO n FROM model.jobs WHERE states IS NULL OR state = ANY (states);
	SELECT * INTO j FROM model.jobs WHERE states IS NULL OR state = ANY (states) ORDER BY job_id OFFSET floor(chosen * n) LIMIT 1;
	IF j.job_id IS NULL OR model.chance(0.01) THEN
		j.job_id := 1000000;
	END IF;
	RETURN j;
END $$;

-- A claim: mostly one in force, or any earlier one, rolled back or not.
CREATE FUNCTION model.some_claim(claims text[]) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	j model.jobs;
	claim text[];
BEGIN
	IF model.chance(0.7) OR claims = '{}' THEN
		j := model.some_job('running');
		RETURN jsonb_build_object('job_id', j.job_id, 'epoch', COALESCE(j.epoch, 1) + CASE WHEN model.chance(0.03) THEN 1 ELSE 0 END);
	END IF;
	claim := string_to_array(claims[greatest(1, cardinality(claims) - floor(random() * 30)::integer)], ' ');
	RETURN jsonb_build_object('job_id', claim[1]::bigint, 'epoch', claim[2]::bigint);
END $$;

-- The calls that a round chooses from. Each round omits some of them and prefers
-- others, so that states which need many calls of one kind are reached, too.
CREATE FUNCTION model.calls_of_round() RETURNS text[] LANGUAGE sql VOLATILE AS $$
	SELECT array_agg(op ORDER BY o)
	FROM (SELECT o, op, weight * CASE WHEN weight < 4 THEN (ARRAY[0, 1, 1, 3])[1 + floor(random() * 4)::integer] ELSE 1 END AS times
		FROM unnest('{6 enqueue_job, 4 enqueue_jobs, 4 claim_job, 4 claim_jobs, 4 complete_job, 3 fail_job, 1 release_job,
			1 snooze_job, 2 heartbeat_job, 1 worker_heartbeat, 3 cancel_job, 2 retry_job, 1 discard_job,
			5 register_handler, 1 unregister_handler, 1 pause_handler, 2 resume_handler, 1 create_queue,
			1 alter_queue, 1 drop_queue, 1 pause_queue, 2 resume_queue, 3 register_worker, 1 unregister_worker,
			1 drain_worker, 1 run_job, 2 run_next, 1 run_all}'::text[]) WITH ORDINALITY AS c (call, o),
			LATERAL (SELECT split_part(call, ' ', 1)::integer AS weight, split_part(call, ' ', 2) AS op) x) w,
		generate_series(1, times) $$;

-- Choose the next call and its arguments.
CREATE FUNCTION model.propose(t timestamptz, ops text[], claims text[], OUT op text, OUT a jsonb) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	v text;
BEGIN
	op := ops[1 + floor(random() * cardinality(ops))::integer];
	IF op IN ('complete_job', 'fail_job', 'release_job', 'snooze_job', 'heartbeat_job')
		AND NOT EXISTS (SELECT FROM model.jobs WHERE state = 'running') AND model.chance(0.8) THEN
		op := model.pick('claim_job', 'claim_jobs', 'register_handler', 'create_queue');
	ELSIF op = 'unregister_handler' AND model.chance(0.1) THEN
		op := 'clear_handlers';
	END IF;
	CASE op
	WHEN 'register_handler' THEN
		a := jsonb_build_object('task_type', model.some_type(),
			'handler', CASE WHEN model.chance(0.4) THEN 'model.handler(jsonb)' END,
			'also_external', CASE WHEN model.chance(0.6) THEN model.chance(0.8) END,
			'allow_override', CASE WHEN model.chance(0.5) THEN model.chance(0.9) END,
			'version', CASE WHEN model.chance(0.5) THEN model.pick('1', '1.2', '1.10', '2.0', 'beta') END,
			'queue', CASE WHEN model.chance(0.2) THEN model.some_queue() END,
			'priority', CASE WHEN model.chance(0.2) THEN model.pick('-1', '1', '32768') END,
			'max_attempts', CASE WHEN model.chance(0.3) THEN model.pick('0', '1', '2', '3', '5') END,
			'lease', CASE WHEN model.chance(0.3) THEN model.pick('2 min', '20 min') END,
			'retry_policy', CASE WHEN model.chance(0.6) THEN model.pick('exponential', 'linear', 'fixed', 'none') END,
			'retry_base', model.pick('0', '0', '5 min', '1 h'),
			'retry_cap', CASE WHEN model.chance(0.3) THEN model.pick('12 min', '3 h') END);
		IF a->>'handler' IS NOT NULL AND a->>'retry_base' = '0' THEN
			a := a || '{"retry_base": "7 min"}';	-- or run_all() would have no end
		END IF;
		-- or the same again, as a program does that starts
		IF model.chance(0.3) AND EXISTS (SELECT FROM model.handlers WHERE task_type = a->>'task_type') THEN
			SELECT to_jsonb(h) - 'in_server' - 'paused' || jsonb_build_object('handler', CASE WHEN in_server THEN 'model.handler(jsonb)' END, 'allow_override', true)
			INTO a FROM model.handlers h WHERE task_type = a->>'task_type';
		END IF;
	WHEN 'unregister_handler', 'pause_handler', 'resume_handler' THEN
		a := jsonb_build_object('task_type', model.some_type());
	WHEN 'clear_handlers' THEN
		a := '{}';
	WHEN 'create_queue', 'alter_queue' THEN
		a := jsonb_build_object('queue', model.some_queue(),
			'on_unhandled', CASE WHEN model.chance(0.4) THEN model.pick('wait', 'wait', 'fail', 'reject', 'lose') END,
			'keep_payload', CASE WHEN model.chance(0.3) THEN model.chance(0.7) END);
	WHEN 'drop_queue', 'pause_queue', 'resume_queue' THEN
		a := jsonb_build_object('queue', model.some_queue());
	WHEN 'enqueue_job', 'enqueue_jobs' THEN
		a := jsonb_build_object('task_type', model.some_type(),
			'queue', CASE WHEN model.chance(0.4) THEN model.some_queue() END,
			'priority', CASE WHEN model.chance(0.4) THEN model.pick('-2', '-1', '1', '2', '32767', '-32769') END,
			'run_at', CASE WHEN model.chance(0.15) THEN (t + model.pick('-1 h', '4 min', '90 min')::interval)::text END,
			'delay', CASE WHEN model.chance(0.15) THEN model.pick('0', '3 min', '1 h', '-1 s') END,
			'max_attempts', CASE WHEN model.chance(0.4) THEN model.pick('1', '2', '3', '1000001') END,
			'lease', CASE WHEN model.chance(0.1) THEN model.pick('90 s', '1 h') END,
			'required_capabilities', CASE WHEN model.chance(0.2) THEN model.several('gpu', 'eu') END,
			'min_version', CASE WHEN model.chance(0.15) THEN model.pick('1.0', '1.9', '2', 'beta') END);
		IF op = 'enqueue_job' THEN
			a := a || jsonb_build_object('payload', model.some_payload());
		ELSE
			a := a || jsonb_build_object('payloads', ARRAY(SELECT model.some_payload() FROM generate_series(1, floor(random() * 9)::integer))::text);
		END IF;
	WHEN 'claim_job', 'claim_jobs' THEN
		a := jsonb_build_object('worker_id', CASE WHEN model.chance(0.85) THEN model.some_worker() END,
			'task_types', CASE WHEN model.chance(0.2) THEN model.several('t1', 't2', 't3', 't4', 't5') WHEN model.chance(0.02) THEN '{}' END,
			'lease', CASE WHEN model.chance(0.2) THEN model.pick('3 min', '3 h', '3 h', '1 s', '0.5 s') END);
		IF op = 'claim_jobs' THEN
			a := a || jsonb_build_object('max_jobs', model.pick('1', '2', '3', '7', '7', '7', '0'));
		END IF;
	WHEN 'complete_job' THEN
		a := model.some_claim(claims) || jsonb_build_object('result', CASE WHEN model.chance(0.5) THEN floor(random() * 9)::integer END);
	WHEN 'fail_job' THEN
		a := model.some_claim(claims) || jsonb_build_object('message', model.pick('bad luck', 'no luck'),
			'error_type', CASE WHEN model.chance(0.3) THEN model.pick('permanent_error', 'retryable_error', 'validation_error', 'timeout', 'own', 'no name') END,
			'retryable', CASE WHEN model.chance(0.2) THEN model.chance(0.6) END,
			'retry_in', CASE WHEN model.chance(0.2) THEN model.pick('0', '8 min', '-1 s') END);
	WHEN 'release_job' THEN
		a := model.some_claim(claims);
	WHEN 'snooze_job' THEN
		a := model.some_claim(claims) || jsonb_build_object('delay', model.pick('0', '6 min', '2 h', '-1 s'));
	WHEN 'heartbeat_job' THEN
		a := model.some_claim(claims) || jsonb_build_object('lease', CASE WHEN model.chance(0.3) THEN model.pick('2 min', '30 min', '0') END,
			'progress', CASE WHEN model.chance(0.5) THEN floor(random() * 9)::integer END);
	WHEN 'worker_heartbeat', 'unregister_worker', 'drain_worker' THEN
		a := jsonb_build_object('worker_id', model.some_worker());
	WHEN 'register_worker' THEN
		a := jsonb_build_object('worker_id', model.some_worker(),
			'task_types', CASE WHEN model.chance(0.3) THEN model.several('t1', 't2', 't3', 't4', 't5') WHEN model.chance(0.05) THEN '{}' END,
			'queues', CASE WHEN model.chance(0.3) THEN model.several('default', 'qa', 'qb') END,
			'capabilities', CASE WHEN model.chance(0.5) THEN model.several('gpu', 'eu', 'arm') END,
			'max_concurrent_jobs', CASE WHEN model.chance(0.7) THEN model.pick('1', '2', '3', '3', '5', '5', '5', '0') END,
			'lease', CASE WHEN model.chance(0.7) THEN model.pick('100 s', '10 min', '2 h', '4 h') END,
			'take_over', CASE WHEN model.chance(0.7) THEN model.chance(0.9) END);
	WHEN 'cancel_job' THEN
		a := CASE WHEN model.chance(0.5) THEN model.some_claim(claims) WHEN model.chance(0.8) THEN
				jsonb_build_object('job_id', (model.some_job('waiting', 'running')).job_id)
			ELSE jsonb_build_object('job_id', (model.some_job()).job_id) END
			|| jsonb_build_object('reason', CASE WHEN model.chance(0.5) THEN 'no need' END);
	WHEN 'retry_job' THEN
		a := jsonb_build_object('job_id', (model.some_job()).job_id, 'force', CASE WHEN model.chance(0.5) THEN model.chance(0.9) END);
	WHEN 'discard_job' THEN
		a := jsonb_build_object('job_id', (CASE WHEN model.chance(0.5) THEN model.some_job('waiting') ELSE model.some_job() END).job_id,
			'reason', CASE WHEN model.chance(0.5) THEN 'not worth it' END);
	WHEN 'run_job' THEN
		a := jsonb_build_object('job_id', (CASE WHEN model.chance(0.8) THEN model.some_job('waiting') ELSE model.some_job() END).job_id,
			'handler', CASE WHEN model.chance(0.3) THEN 'model.handler(jsonb)' END);
	WHEN 'run_next' THEN
		a := jsonb_build_object('task_types', CASE WHEN model.chance(0.3) THEN model.several('t1', 't2', 't3', 't4', 't5') END,
			'handler', CASE WHEN model.chance(0.2) THEN 'model.handler(jsonb)' END);
	WHEN 'run_all' THEN
		a := jsonb_build_object('task_types', CASE WHEN model.chance(0.3) THEN model.several('t1', 't2', 't3', 't4', 't5') END,
			'max_jobs', CASE WHEN model.chance(0.7) THEN model.pick('1', '2', '4', '0') END);
	END CASE;
	a := jsonb_strip_nulls(a);
END $$;

-- The call as a statement that returns its result as one value.
CREATE FUNCTION model.statement(op text, a jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT format(CASE
		WHEN op = 'enqueue_job' THEN 'SELECT jsonb_build_array(%s)'
		WHEN op = 'enqueue_jobs' THEN 'SELECT COALESCE(jsonb_agg(id), ''[]'') FROM %s id'
		WHEN op IN ('claim_job', 'claim_jobs') THEN
			'SELECT COALESCE(jsonb_agg(jsonb_build_object(''job_id'', job_id, ''epoch'', epoch, ''task_type'', task_type, ''queue'', queue,'
			|| ' ''priority'', priority, ''attempt'', attempt, ''max_attempts'', max_attempts, ''payload'', payload, ''progress'', progress,'
			|| ' ''required_capabilities'', required_capabilities, ''worker_id'', model.worker_name(worker_id))), ''[]'') FROM %s'
		WHEN op = 'worker_heartbeat' THEN 'SELECT COALESCE(jsonb_agg(jsonb_build_array(job_id, status) ORDER BY job_id), ''[]'') FROM %s'
		WHEN op IN ('run_job', 'run_next', 'run_all') THEN
			'SELECT COALESCE(jsonb_agg(jsonb_build_array(job_id, task_type, state, result, error)), ''[]'') FROM %s'
		ELSE 'SELECT to_jsonb(%s)' END,
		'taskq.' || op || '(' || COALESCE((SELECT string_agg(format('%I => %L', key, value), ', ' ORDER BY key) FROM jsonb_each_text(a)), '') || ')') $$;

-- The result of a statement, or the SQLSTATE of its error.
CREATE FUNCTION model.ask_taskq(call text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	answer jsonb;
BEGIN
	EXECUTE call INTO answer;
	RETURN answer;
EXCEPTION WHEN OTHERS THEN
	RETURN to_jsonb('error ' || SQLSTATE || CASE WHEN SQLSTATE ~ '^(XX|P0|426|428)' THEN ' ' || SQLERRM ELSE '' END);
END $$;
CREATE FUNCTION model.ask_model(op text, a jsonb, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	answer jsonb;
BEGIN
	EXECUTE format('SELECT model.%I($1, $2)', op) INTO answer USING a, said;
	RETURN answer;
EXCEPTION WHEN OTHERS THEN
	RETURN to_jsonb('error ' || SQLSTATE || CASE WHEN SQLERRM <> 'refused by the model' THEN ' ' || SQLERRM ELSE '' END);
END $$;

-- The time of the next call: one at which nothing becomes due during the call.
CREATE FUNCTION model.set_clock(INOUT t timestamptz, by interval) LANGUAGE plpgsql AS $$
BEGIN
	t := t + by;
	WHILE EXISTS (SELECT FROM model.jobs WHERE (state = 'waiting' AND run_at BETWEEN t AND t + '30 s')
			OR (state = 'running' AND lease_end BETWEEN t AND t + '30 s'))
		OR EXISTS (SELECT FROM model.workers w WHERE last_seen + model.life(w) BETWEEN t AND t + '40 s') LOOP
		t := t + '41 s';
	END LOOP;
	PERFORM set_config('model.now', t::text, false),
		set_config('taskq.clock_offset', ceil(extract(epoch FROM t - clock_timestamp()) * 1000)::text, false);
END $$;

-- Make one call to both. difference is NULL if the results are the same.
CREATE FUNCTION model.step(INOUT t timestamptz, ops text[], claims text[], OUT call text, OUT said jsonb, OUT must jsonb, OUT difference text)
LANGUAGE plpgsql AS $$
DECLARE
	op text;
	a jsonb;
BEGIN
	t := model.set_clock(t, CASE WHEN model.chance(0.1) THEN model.pick('2 min', '10 min', '70 min')::interval ELSE '40 s' END);
	SELECT p.op, p.a INTO op, a FROM model.propose(t, ops, claims) p;
	call := model.statement(op, a);
	said := model.ask_taskq(call);
	must := model.ask_model(op, a, said);
	IF said IS DISTINCT FROM must THEN
		difference := 'the answers';
		RETURN;
	END IF;
	PERFORM model.adopt();
	difference := model.job_differs();
	-- compared after the calls that may change it, and at the end of the transaction
	IF difference IS NULL AND op ~ 'handler|_queue|worker|claim' THEN
		difference := model.others_differ();
	END IF;
	IF taskq.clock_now() > model.until() THEN
		RAISE EXCEPTION 'half a minute was not enough for a call: the machine is too slow for this test';
	END IF;
END $$;

-- Make this many calls, in transactions of a hundred; some are rolled back, and
-- some savepoints in them.
CREATE PROCEDURE model.round(seed double precision, calls integer, INOUT difference text) LANGUAGE plpgsql AS $$
DECLARE
	t timestamptz := date_trunc('hour', clock_timestamp()) + '2 h';
	ops text[];
	claims text[] := '{}';
	last text[] := '{}';
	step integer := 0;
	until_savepoint integer;
	s record;
BEGIN
	PERFORM setseed(seed);
	difference := '';
	ops := model.calls_of_round();
	WHILE step < calls LOOP
		BEGIN
			until_savepoint := 1 + floor(random() * 12)::integer;
			FOR i IN 1 .. until_savepoint LOOP
				step := step + 1;
				SELECT * INTO s FROM model.step(t, ops, claims);
				t := s.t;
				last := last[greatest(1, cardinality(last) - 18):] || format(E'%s. at %s: %s;\n#      said %s', step, t,
					regexp_replace(s.call, '^.*?(taskq\..*?)( id)?$', '\1'), s.said);
				IF jsonb_typeof(s.said) = 'array' AND s.call ~ 'taskq\.claim_' THEN
					claims := claims || ARRAY(SELECT (c->>'job_id') || ' ' || (c->>'epoch') FROM jsonb_array_elements(s.said) c);
				END IF;
				IF s.difference IS NOT NULL THEN
					difference := format(E'seed %s, call %s differs in %s\n said    %s\n must be %s\nthe last calls:\n %s', seed, step, s.difference, s.said, s.must,
						array_to_string(last, E'\n '));
					RETURN;
				END IF;
			END LOOP;
			IF model.chance(0.2) THEN
				last := last || format('   ROLLBACK TO SAVEPOINT before the last %s calls', until_savepoint);
				RAISE SQLSTATE 'MODEL';
			END IF;
		EXCEPTION WHEN SQLSTATE 'MODEL' THEN
			NULL;
		END;
		IF model.chance(0.1) THEN
			difference := COALESCE(model.others_differ(), model.rest_differs(), '');
			IF difference <> '' THEN
				difference := format(E'seed %s, after call %s: %s\nthe last calls:\n %s', seed, step, difference, array_to_string(last, E'\n '));
				RETURN;
			END IF;
			IF model.chance(0.8) THEN
				COMMIT;
				last := last || text '   COMMIT';
			ELSE
				ROLLBACK;
				last := last || text '   ROLLBACK';
			END IF;
		END IF;
	END LOOP;
END $$;
