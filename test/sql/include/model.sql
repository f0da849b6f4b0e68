-- A second implementation of the rules of the registry and of claims, written from the
-- documentation: slow and simple. Every function has the name of the call that it
-- models, takes the arguments as an object, and returns or raises what the call should.
-- Values that only taskq can choose (ids, epochs) are taken from taskq's result, and
-- must grow.
--
-- Time. A call happens between model.now() and half a minute later, and the calling
-- code ensures that nothing becomes due in that time. Times are stored as the bounds
-- that the rules give, until the time that taskq has chosen is read (model.adopt).

CREATE TABLE model.queues (queue text PRIMARY KEY, paused boolean NOT NULL DEFAULT false,
	on_unhandled text NOT NULL DEFAULT 'wait', keep_payload boolean NOT NULL DEFAULT true, had_jobs boolean NOT NULL DEFAULT false);
CREATE TABLE model.handlers (task_type text PRIMARY KEY, in_server boolean NOT NULL, also_external boolean NOT NULL, version text,
	queue text, priority integer, max_attempts integer, lease interval, retry_policy text, retry_base interval, retry_cap interval,
	paused boolean NOT NULL DEFAULT false);
CREATE TABLE model.workers (worker_id text PRIMARY KEY, task_types text[], queues text[], capabilities text[],
	max_concurrent_jobs integer, lease interval, implicit boolean NOT NULL, draining boolean NOT NULL DEFAULT false, ended boolean NOT NULL DEFAULT false,
	last_seen timestamptz NOT NULL);
CREATE TABLE model.jobs (job_id bigint PRIMARY KEY, task_type text NOT NULL, queue text NOT NULL, required_capabilities text[] NOT NULL,
	min_version text, payload jsonb, priority integer NOT NULL, max_attempts integer NOT NULL, lease interval,
	state text NOT NULL,			-- waiting, running, or how it ended
	failed boolean NOT NULL DEFAULT false,	-- waits because an attempt failed
	attempt integer NOT NULL DEFAULT 0, epoch bigint NOT NULL DEFAULT 0, outcome text, worker_id text,
	run_at timestamptz NOT NULL, run_at_to timestamptz, lease_end timestamptz, lease_end_to timestamptz,
	cancel boolean NOT NULL DEFAULT false, reason text, result jsonb, progress jsonb, last_error text);
CREATE INDEX ON model.jobs (job_id) WHERE run_at_to IS NOT NULL OR lease_end_to IS NOT NULL;
CREATE INDEX ON model.jobs (state) WHERE state IN ('waiting', 'running');
CREATE TABLE model.attempts (job_id bigint, epoch bigint, attempt integer, outcome text, error_type text);

-- words -------------------------------------------------------------------------
CREATE FUNCTION model.now() RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT current_setting('model.now')::timestamptz $$;
CREATE FUNCTION model.until() RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT model.now() + '30 s' $$;

-- Due now, or put back in this call; the shortest delay is a second.
CREATE FUNCTION model.is_due(run_at timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT run_at < model.now() + '1 s' $$;

CREATE FUNCTION model.refuse(code text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'refused by the model' USING ERRCODE = code;
END $$;

CREATE FUNCTION model.check_name(name text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF name IS NULL THEN
		PERFORM model.refuse('22004');
	ELSIF name !~ '^[A-Za-z0-9_.:/\\-]{1,63}$' THEN
		PERFORM model.refuse('22023');
	END IF;
	RETURN name;
END $$;

CREATE FUNCTION model.check_names(names text[]) RETURNS text[] LANGUAGE plpgsql AS $$
BEGIN
	PERFORM model.check_name(name) FROM unnest(names) AS name;
	RETURN names;
END $$;

CREATE FUNCTION model.check_range(value numeric, lowest numeric, most numeric) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF value < lowest OR value > most THEN
		PERFORM model.refuse('22023');
	END IF;
END $$;

-- Intervals may not be negative, leases not below a second.
CREATE FUNCTION model.check_interval(value interval, lowest interval DEFAULT '0') RETURNS interval LANGUAGE plpgsql AS $$
BEGIN
	IF value < lowest OR value > interval '3660 days' THEN
		PERFORM model.refuse('22023');
	END IF;
	RETURN value;
END $$;

CREATE FUNCTION model.check_queue(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM model.queues WHERE queue = name) THEN
		PERFORM model.refuse('42704');
	END IF;
END $$;

-- Dotted integers are ordered number by number, anything else must be equal.
CREATE FUNCTION model.version_at_least(version text, lowest text) RETURNS boolean LANGUAGE sql AS $$
	SELECT CASE WHEN lowest IS NULL THEN true
		WHEN version IS NULL THEN false
		WHEN version ~ '^\d+(\.\d+)*$' AND lowest ~ '^\d+(\.\d+)*$' THEN
			string_to_array(regexp_replace(version, '(\.0+)+$', ''), '.')::integer[] >= string_to_array(regexp_replace(lowest, '(\.0+)+$', ''), '.')::integer[]
		ELSE version = lowest END $$;

-- registry ----------------------------------------------------------------------
CREATE FUNCTION model.register_handler(a jsonb, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	old model.handlers;
BEGIN
	PERFORM model.check_name(a->>'task_type');
	IF NOT COALESCE((a->>'allow_override')::boolean, false) AND EXISTS (SELECT FROM model.handlers WHERE task_type = a->>'task_type') THEN
		PERFORM model.refuse('TQ001');
	END IF;
	IF a->>'queue' IS NOT NULL THEN
		PERFORM model.check_queue(a->>'queue');
	END IF;
	PERFORM model.check_range((a->>'priority')::integer, -32768, 32767);
	PERFORM model.check_range((a->>'max_attempts')::integer, 1, 1000000);
	DELETE FROM model.handlers WHERE task_type = a->>'task_type' RETURNING * INTO old;
	INSERT INTO model.handlers
	SELECT a->>'task_type', a->>'handler' IS NOT NULL, COALESCE((a->>'also_external')::boolean, false), a->>'version', a->>'queue',
		(a->>'priority')::integer, (a->>'max_attempts')::integer, (a->>'lease')::interval, a->>'retry_policy',
		(a->>'retry_base')::interval, (a->>'retry_cap')::interval;
	-- the same again leaves a pause
	UPDATE model.handlers h SET paused = true WHERE h.task_type = old.task_type AND old.paused AND to_jsonb(h) - 'paused' = to_jsonb(old) - 'paused';
	RETURN '""';
END $$;

CREATE FUNCTION model.unregister_handler(a jsonb, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM model.check_name(a->>'task_type');
	DELETE FROM model.handlers WHERE task_type = a->>'task_type';
	RETURN to_jsonb(FOUND);
END $$;

CREATE FUNCTION model.clear_handlers(a jsonb, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	n integer;
BEGIN
	DELETE FROM model.handlers;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN to_jsonb(n);
END $$;

CREATE FUNCTION model.set_handler_paused(t text, so boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM model.check_name(t);
	IF NOT EXISTS (SELECT FROM model.handlers WHERE task_type = t) THEN
		PERFORM model.refuse('TQ002');
	END IF;
	UPDATE model.handlers SET paused = so WHERE task_type = t AND paused <> so;
	RETURN to_jsonb(FOUND);
END $$;
CREATE FUNCTION model.pause_handler(a jsonb, said jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT model.set_handler_paused(a->>'task_type', true) $$;
CREATE FUNCTION model.resume_handler(a jsonb, said jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT model.set_handler_paused(a->>'task_type', false) $$;

-- queues ------------------------------------------------------------------------
CREATE FUNCTION model.create_queue(a jsonb, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM model.check_name(a->>'queue');
	IF a->>'on_unhandled' NOT IN ('wait', 'fail', 'reject') THEN
		PERFORM model.refuse('22023');
	ELSIF EXISTS (SELECT FROM model.queues WHERE queue = a->>'queue') THEN
		PERFORM model.refuse('42710');
	END IF;
	INSERT INTO model.queues (queue, on_unhandled, keep_payload)
	VALUES (a->>'queue', COALESCE(a->>'on_unhandled', 'wait'), COALESCE((a->>'keep_payload')::boolean, true));
	RETURN '""';
END $$;

CREATE FUNCTION model.alter_queue(a jsonb, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM model.check_name(a->>'queue');
	IF a->>'on_unhandled' NOT IN ('wait', 'fail', 'reject') THEN
		PERFORM model.refuse('22023');
	END IF;
	PERFORM model.check_queue(a->>'queue');
	UPDATE model.queues SET on_unhandled = COALESCE(a->>'on_unhandled', on_unhandled),
		keep_payload = COALESCE((a->>'keep_payload')::boolean, keep_payload) WHERE queue = a->>'queue';
	RETURN '""';
END $$;

CREATE FUNCTION model.drop_queue(a jsonb, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM model.check_name(a->>'queue');
	IF a->>'queue' = 'default' THEN
		PERFORM model.refuse('22023');
	ELSIF EXISTS (SELECT FROM model.queues WHERE queue = a->>'queue' AND had_jobs) THEN
		PERFORM model.refuse('2BP01');
	END IF;
	DELETE FROM model.queues WHERE queue = a->>'queue';
	RETURN to_jsonb(FOUND);
END $$;

CREATE FUNCTION model.set_queue_paused(q text, so boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM model.check_queue(model.check_name(q));
	UPDATE model.queues SET paused = so WHERE queue = q AND paused <> so;
	RETURN to_jsonb(FOUND);
END $$;
CREATE FUNCTION model.pause_queue(a jsonb, said jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT model.set_queue_paused(a->>'queue', true) $$;
CREATE FUNCTION model.resume_queue(a jsonb, said jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT model.set_queue_paused(a->>'queue', false) $$;

-- enqueue -----------------------------------------------------------------------
CREATE FUNCTION model.enqueue(a jsonb, payloads jsonb[], said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	h model.handlers;
	q model.queues;
	job model.jobs;
	ids bigint[] := '{}';
BEGIN
	PERFORM model.check_name(a->>'task_type');
	SELECT * INTO h FROM model.handlers WHERE task_type = a->>'task_type';
	PERFORM model.check_interval((a->>'delay')::interval);
	IF a->>'run_at' IS NOT NULL AND a->>'delay' IS NOT NULL THEN
		PERFORM model.refuse('22023');
	END IF;
	PERFORM model.check_range((a->>'priority')::integer, -32768, 32767);
	PERFORM model.check_range((a->>'max_attempts')::integer, 1, 1000000);
	job.task_type := a->>'task_type';
	job.queue := COALESCE(a->>'queue', h.queue, 'default');
	job.priority := COALESCE((a->>'priority')::integer, h.priority, 0);
	job.max_attempts := COALESCE((a->>'max_attempts')::integer, h.max_attempts, 20);
	job.lease := (a->>'lease')::interval;
	job.min_version := a->>'min_version';
	job.required_capabilities := ARRAY(SELECT DISTINCT c COLLATE "C" FROM unnest((a->>'required_capabilities')::text[]) c ORDER BY 1);
	job.run_at := CASE WHEN a->>'delay' IS NOT NULL THEN model.now() + (a->>'delay')::interval
		ELSE greatest(model.now(), (a->>'run_at')::timestamptz) END;
	job.run_at_to := job.run_at + interval '30 s';
	job.state := 'waiting';
	job.failed := false;
	job.cancel := false;
	job.attempt := 0;
	job.epoch := 0;

	PERFORM model.check_queue(job.queue);
	SELECT * INTO q FROM model.queues WHERE queue = job.queue;
	IF q.on_unhandled = 'reject' AND h IS NULL THEN
		PERFORM model.refuse('TQ002');
	END IF;
	FOR i IN 1 .. cardinality(payloads) LOOP
		job.job_id := (said->>(i - 1))::bigint;
		job.payload := payloads[i];
		IF job.job_id IS NULL OR job.job_id <= (SELECT COALESCE(max(job_id), 0) FROM model.jobs) THEN
			RETURN '"rising job ids"';
		END IF;
		ids := ids || job.job_id;
		INSERT INTO model.jobs SELECT job.*;
		UPDATE model.queues SET had_jobs = true WHERE queue = job.queue;
		IF q.on_unhandled = 'fail' AND h IS NULL THEN
			PERFORM model.discard_unhandled(job.job_id);
		END IF;
	END LOOP;
	RETURN to_jsonb(ids);
END $$;

-- The error lists the registered types.
CREATE FUNCTION model.discard_unhandled(id bigint) RETURNS void LANGUAGE sql AS $$
	UPDATE model.jobs SET state = 'discarded', outcome = 'failed', epoch = (SELECT epoch FROM taskq.all_jobs WHERE job_id = id),
		last_error = format('no handler registered for task type "%s"; registered types: %s', task_type,
			COALESCE((SELECT string_agg(h.task_type, ', ' ORDER BY h.task_type COLLATE "C") FROM model.handlers h), 'none'))
	WHERE job_id = id;
	INSERT INTO model.attempts SELECT id, epoch, 0, 'unhandled', 'permanent_error' FROM model.jobs WHERE job_id = id $$;

CREATE FUNCTION model.enqueue_job(a jsonb, said jsonb) RETURNS jsonb LANGUAGE sql AS
	$$ SELECT model.enqueue(a, ARRAY[a->'payload'], said) $$;
CREATE FUNCTION model.enqueue_jobs(a jsonb, said jsonb) RETURNS jsonb LANGUAGE sql AS
	$$ SELECT model.enqueue(a, (a->>'payloads')::jsonb[], said) $$;

-- workers -----------------------------------------------------------------------
CREATE FUNCTION model.life(w model.workers) RETURNS interval LANGUAGE sql AS
	$$ SELECT 2 * COALESCE(w.lease, interval '60 s') $$;

CREATE FUNCTION model.register_worker(a jsonb, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	w model.workers;
	old model.workers;
BEGIN
	w.worker_id := model.check_name(a->>'worker_id');
	-- a list that came out empty by mistake must not mean all
	IF '{}' IN (a->>'task_types', a->>'queues') THEN
		PERFORM model.refuse('22023');
	END IF;
	w.task_types := model.check_names((a->>'task_types')::text[]);
	w.queues := model.check_names((a->>'queues')::text[]);
	w.capabilities := NULLIF(ARRAY(SELECT DISTINCT c COLLATE "C" FROM unnest((a->>'capabilities')::text[]) c ORDER BY 1), '{}');
	w.max_concurrent_jobs := (a->>'max_concurrent_jobs')::integer;
	w.lease := (a->>'lease')::interval;
	w.implicit := false;
	w.draining := false;
	w.ended := false;
	w.last_seen := model.now();
	IF EXISTS (SELECT FROM unnest(w.task_types) t WHERE NOT EXISTS (SELECT FROM model.handlers WHERE task_type = t AND (NOT in_server OR also_external))) THEN
		PERFORM model.refuse('TQ002');
	END IF;
	PERFORM model.check_queue(q) FROM unnest(w.queues) q;
	PERFORM model.check_range(w.max_concurrent_jobs, 1, 100000);
	PERFORM model.check_interval(w.lease, '1 s');
	SELECT * INTO old FROM model.workers WHERE worker_id = w.worker_id;
	IF old.worker_id IS NULL THEN
		INSERT INTO model.workers SELECT w.*;
		RETURN 'true';
	END IF;
	IF NOT old.ended AND NOT COALESCE((a->>'take_over')::boolean, false) AND NOT old.implicit AND old.last_seen + model.life(old) > model.now() THEN
		PERFORM model.refuse('TQ022');
	END IF;
	DELETE FROM model.workers WHERE worker_id = w.worker_id;
	INSERT INTO model.workers SELECT w.*;
	RETURN to_jsonb(old.ended);
END $$;

CREATE FUNCTION model.drain_worker(a jsonb, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	UPDATE model.workers SET draining = true WHERE worker_id = model.check_name(a->>'worker_id') AND NOT ended;
	IF NOT FOUND THEN
		PERFORM model.refuse('TQ012');
	END IF;
	RETURN 'true';
END $$;

CREATE FUNCTION model.unregister_worker(a jsonb, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	j model.jobs;
BEGIN
	UPDATE model.workers SET ended = true, draining = false WHERE worker_id = model.check_name(a->>'worker_id') AND NOT ended;
	IF NOT FOUND THEN
		RETURN 'false';
	END IF;
	FOR j IN SELECT * FROM model.jobs WHERE state = 'running' AND worker_id = a->>'worker_id' LOOP
		PERFORM model.give_back(j.job_id, 'released');
	END LOOP;
	RETURN 'true';
END $$;

CREATE FUNCTION model.worker_heartbeat(a jsonb, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	answer jsonb := '[]';
	j model.jobs;
BEGIN
	UPDATE model.workers SET last_seen = model.now() WHERE worker_id = model.check_name(a->>'worker_id') AND NOT ended;
	IF NOT FOUND THEN
		PERFORM model.refuse('TQ012');
	END IF;
	FOR j IN SELECT * FROM model.jobs WHERE state = 'running' AND worker_id = a->>'worker_id' ORDER BY job_id LOOP
		PERFORM model.extend(j.job_id, NULL);
		answer := answer || jsonb_build_array(jsonb_build_array(j.job_id, CASE WHEN j.cancel THEN 'cancel' ELSE 'ok' END));
	END LOOP;
	RETURN answer;
END $$;

-- claim -------------------------------------------------------------------------
-- May this worker be given this waiting job now?
CREATE FUNCTION model.fits(j model.jobs, w model.workers) RETURNS boolean LANGUAGE sql AS $$
	SELECT NOT w.draining
		AND (w.task_types IS NULL OR j.task_type = ANY (w.task_types))
		AND (w.queues IS NULL OR j.queue = ANY (w.queues))
		AND j.required_capabilities <@ COALESCE(w.capabilities, '{}')
		AND EXISTS (SELECT FROM model.handlers h WHERE h.task_type = j.task_type AND (NOT h.in_server OR h.also_external)
			AND NOT h.paused AND model.version_at_least(h.version, j.min_version))
		AND NOT (SELECT q.paused FROM model.queues q WHERE q.queue = j.queue) $$;

CREATE FUNCTION model.claim(a jsonb, most integer, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	w model.workers;
	id text := COALESCE(a->>'worker_id', 'session');
	types text[] := (a->>'task_types')::text[];
	answer jsonb;
BEGIN
	PERFORM model.check_name(id);
	IF types = '{}' THEN
		PERFORM model.refuse('22023');
	END IF;
	PERFORM model.check_names((a->>'task_types')::text[]);
	PERFORM model.check_range(most, 1, 10000);
	PERFORM model.check_interval((a->>'lease')::interval, '1 s');
	SELECT * INTO w FROM model.workers WHERE worker_id = id;
	-- nobody gets more than somebody has said of it; a session that gives no id gets all
	IF w.ended OR w.worker_id IS NULL AND types IS NULL AND id <> 'session' THEN
		PERFORM model.refuse('TQ012');
	ELSIF w.worker_id IS NULL THEN
		INSERT INTO model.workers (worker_id, task_types, implicit, last_seen) VALUES (id, types, true, model.now()) RETURNING * INTO w;
	ELSIF w.implicit AND (types IS NOT NULL OR id = 'session') THEN
		UPDATE model.workers x SET task_types = CASE WHEN types IS NOT NULL AND x.task_types IS NOT NULL THEN x.task_types || types END
		WHERE worker_id = id RETURNING * INTO w;
	END IF;
	answer := model.take(w, a, most, said);
	IF answer = '[]' AND EXISTS (SELECT FROM model.jobs WHERE state = 'running' AND lease_end <= model.now()) THEN
		-- where no scheduler runs, a claim that finds nothing ends the leases that are over
		PERFORM model.expire();
		answer := model.take(w, a, most, said);
	END IF;
	UPDATE model.workers SET last_seen = model.now() WHERE worker_id = id;
	RETURN answer;
END $$;

CREATE FUNCTION model.take(w model.workers, a jsonb, most integer, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	j model.jobs;
	answer jsonb := '[]';
	claim bigint;
	length interval;
BEGIN
	IF w.max_concurrent_jobs IS NOT NULL THEN
		most := least(most, 200, w.max_concurrent_jobs - (SELECT count(*) FROM model.jobs WHERE state = 'running' AND worker_id = w.worker_id));
	END IF;
	FOR j IN
		SELECT * FROM model.jobs m
		WHERE state = 'waiting' AND model.is_due(run_at)
			AND (a->>'task_types' IS NULL OR task_type = ANY ((a->>'task_types')::text[]))
			AND model.fits(m, w)
		ORDER BY array_position(w.queues, queue), priority, run_at, job_id
		LIMIT greatest(most, 0)
	LOOP
		claim := (said->jsonb_array_length(answer)->>'epoch')::bigint;
		IF claim IS NULL OR claim <= (SELECT max(x.epoch) FROM model.jobs x) THEN
			RETURN answer || '"a rising epoch"';
		END IF;
		length := COALESCE((a->>'lease')::interval, j.lease, w.lease, (SELECT lease FROM model.handlers WHERE task_type = j.task_type), '60 s');
		UPDATE model.jobs SET state = 'running', attempt = attempt + 1, epoch = claim, outcome = NULL, worker_id = w.worker_id,
			lease_end = model.now() + length, lease_end_to = model.until() + length WHERE job_id = j.job_id;
		answer := answer || jsonb_build_object('job_id', j.job_id, 'epoch', claim, 'task_type', j.task_type, 'queue', j.queue,
			'priority', j.priority, 'attempt', j.attempt + 1, 'max_attempts', j.max_attempts, 'payload', j.payload,
			'progress', j.progress, 'required_capabilities', j.required_capabilities, 'worker_id', w.worker_id);
	END LOOP;
	RETURN answer;
END $$;

CREATE FUNCTION model.claim_job(a jsonb, said jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT model.claim(a, 1, said) $$;
CREATE FUNCTION model.claim_jobs(a jsonb, said jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT model.claim(a, COALESCE((a->>'max_jobs')::integer, 1), said) $$;

-- leases ------------------------------------------------------------------------
CREATE FUNCTION model.expire() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	j model.jobs;
BEGIN
	FOR j IN SELECT * FROM model.jobs WHERE state = 'running' AND lease_end <= model.now() LOOP
		PERFORM model.failed(j.job_id, 'expired', 'expired', 'timeout', true, NULL, 'the lease expired without a heartbeat');
	END LOOP;
	-- which of them taskq ended first says the order of those that are due at once
	PERFORM model.adopt();
END $$;

CREATE FUNCTION model.extend(id bigint, given interval) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	j model.jobs;
	length interval;
BEGIN
	SELECT * INTO j FROM model.jobs WHERE job_id = id;
	length := COALESCE(given, j.lease, (SELECT lease FROM model.workers WHERE worker_id = j.worker_id AND NOT ended),
		(SELECT lease FROM model.handlers WHERE task_type = j.task_type), '60 s');
	UPDATE model.jobs SET lease_end = greatest(lease_end, model.now() + length),
		lease_end_to = greatest(lease_end, model.until() + length) WHERE job_id = id;
END $$;

-- Does this epoch hold the job? NULL: settled in the same way before.
CREATE FUNCTION model.fence(id bigint, claim bigint, outcome text) RETURNS model.jobs LANGUAGE plpgsql AS $$
DECLARE
	j model.jobs;
BEGIN
	SELECT * INTO j FROM model.jobs WHERE job_id = id;
	IF j.job_id IS NULL THEN
		PERFORM model.refuse('TQ011');
	ELSIF j.epoch <> claim THEN
		PERFORM model.refuse('TQ003');
	ELSIF j.state = 'running' THEN
		RETURN j;
	ELSIF j.outcome IS DISTINCT FROM outcome THEN
		PERFORM model.refuse('TQ003');
	END IF;
	RETURN NULL;
END $$;

CREATE FUNCTION model.heartbeat_job(a jsonb, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	j model.jobs;
BEGIN
	PERFORM model.check_interval((a->>'lease')::interval, '1 s');
	j := model.fence((a->>'job_id')::bigint, (a->>'epoch')::bigint, 'heartbeat');
	PERFORM model.extend(j.job_id, (a->>'lease')::interval);
	UPDATE model.jobs SET progress = COALESCE(a->'progress', progress) WHERE job_id = j.job_id;
	UPDATE model.workers SET last_seen = model.now() WHERE worker_id = j.worker_id;
	RETURN CASE WHEN j.cancel THEN '"cancel"' ELSE '"ok"' END;
END $$;

-- settle ------------------------------------------------------------------------
-- End a job; a completed job loses its payload if its queue says so.
CREATE FUNCTION model.ends(id bigint, how text) RETURNS void LANGUAGE sql AS $$
	UPDATE model.jobs SET state = how, lease_end = NULL, lease_end_to = NULL, cancel = false, reason = NULL,
		payload = CASE WHEN how <> 'completed' OR (SELECT keep_payload FROM model.queues q WHERE q.queue = jobs.queue) THEN payload END
	WHERE job_id = id $$;

-- The job waits again, or is cancelled if that was requested.
CREATE FUNCTION model.waits(id bigint, has_failed boolean, at timestamptz DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF (SELECT cancel FROM model.jobs WHERE job_id = id) THEN
		UPDATE model.jobs SET last_error = COALESCE(reason, last_error), run_at = COALESCE(at, run_at), run_at_to = COALESCE(at + '30 s', run_at_to)
		WHERE job_id = id;
		PERFORM model.ends(id, 'cancelled');
		RETURN;
	END IF;
	UPDATE model.jobs SET state = 'waiting', failed = has_failed, worker_id = NULL, lease_end = NULL, lease_end_to = NULL,
		run_at = COALESCE(at, run_at), run_at_to = COALESCE(at + '30 s', run_at_to) WHERE job_id = id;
END $$;

-- An attempt has failed: find the new state of the job.
CREATE FUNCTION model.failed(id bigint, how text, attempt_outcome text, type text, retryable boolean, retry_in interval, message text)
	RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	j model.jobs;
	h model.handlers;
	delay interval;
BEGIN
	UPDATE model.jobs SET outcome = how, last_error = message WHERE job_id = id RETURNING * INTO j;
	INSERT INTO model.attempts VALUES (id, j.epoch, j.attempt, attempt_outcome, type);
	SELECT * INTO h FROM model.handlers WHERE task_type = j.task_type;
	IF j.cancel THEN
		PERFORM model.waits(id, true);
	ELSIF NOT retryable OR h.retry_policy = 'none' OR j.attempt >= j.max_attempts THEN
		PERFORM model.ends(id, 'discarded');
	ELSE
		delay := least(COALESCE(h.retry_base, '1 s') * CASE h.retry_policy WHEN 'fixed' THEN 1 WHEN 'linear' THEN j.attempt
			ELSE 2 ^ least(j.attempt - 1, 20) END, COALESCE(h.retry_cap, '1 h'));
		PERFORM model.waits(id, true, model.now() + COALESCE(retry_in, delay));
	END IF;
END $$;

-- Give a run back: the attempt does not count.
CREATE FUNCTION model.give_back(id bigint, how text, at timestamptz DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE model.jobs SET attempt = attempt - 1, outcome = how WHERE job_id = id;
	PERFORM model.waits(id, false, at);
END $$;

CREATE FUNCTION model.completed(id bigint, result jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE model.jobs SET outcome = 'completed', result = completed.result WHERE job_id = id;
	INSERT INTO model.attempts SELECT id, epoch, attempt, 'completed', NULL FROM model.jobs WHERE job_id = id;
	PERFORM model.ends(id, 'completed');
END $$;

CREATE FUNCTION model.complete_job(a jsonb, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	j model.jobs := model.fence((a->>'job_id')::bigint, (a->>'epoch')::bigint, 'completed');
BEGIN
	IF j.job_id IS NULL THEN
		RETURN 'false';
	END IF;
	PERFORM model.completed(j.job_id, a->'result');
	RETURN 'true';
END $$;

CREATE FUNCTION model.fail_job(a jsonb, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	retryable boolean := (a->>'retryable')::boolean;
	type text := COALESCE(a->>'error_type', CASE WHEN retryable = false THEN 'permanent_error' ELSE 'handler_error' END);
	j model.jobs;
BEGIN
	PERFORM model.check_name(type);
	PERFORM model.check_interval((a->>'retry_in')::interval);
	j := model.fence((a->>'job_id')::bigint, (a->>'epoch')::bigint, 'failed');
	IF j.job_id IS NULL THEN
		RETURN 'false';
	END IF;
	PERFORM model.failed(j.job_id, 'failed', 'failed', type,
		COALESCE(retryable, type NOT IN ('permanent_error', 'validation_error', 'cancelled')), (a->>'retry_in')::interval, a->>'message');
	RETURN 'true';
END $$;

CREATE FUNCTION model.release_job(a jsonb, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	j model.jobs := model.fence((a->>'job_id')::bigint, (a->>'epoch')::bigint, 'released');
BEGIN
	IF j.job_id IS NULL THEN
		RETURN 'false';
	END IF;
	PERFORM model.give_back(j.job_id, 'released');
	RETURN 'true';
END $$;

CREATE FUNCTION model.snooze_job(a jsonb, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	j model.jobs;
BEGIN
	IF a->>'delay' IS NULL THEN
		PERFORM model.refuse('22004');
	END IF;
	PERFORM model.check_interval((a->>'delay')::interval);
	j := model.fence((a->>'job_id')::bigint, (a->>'epoch')::bigint, 'snoozed');
	IF j.job_id IS NULL THEN
		RETURN 'false';
	END IF;
	PERFORM model.give_back(j.job_id, 'snoozed', model.now() + (a->>'delay')::interval);
	RETURN 'true';
END $$;

CREATE FUNCTION model.cancel_job(a jsonb, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	id bigint := (a->>'job_id')::bigint;
	j model.jobs;
BEGIN
	IF a->>'epoch' IS NOT NULL THEN
		j := model.fence(id, (a->>'epoch')::bigint, 'cancelled');
		IF j.job_id IS NULL THEN
			RETURN '"final"';
		END IF;
		UPDATE model.jobs SET outcome = 'cancelled', last_error = COALESCE(a->>'reason', last_error) WHERE job_id = id;
		INSERT INTO model.attempts VALUES (id, j.epoch, j.attempt, 'cancelled', 'cancelled');
		PERFORM model.ends(id, 'cancelled');
		RETURN '"cancelled"';
	END IF;
	SELECT * INTO j FROM model.jobs WHERE job_id = id;
	IF j.job_id IS NULL THEN
		PERFORM model.refuse('TQ011');
	ELSIF j.state = 'waiting' THEN
		UPDATE model.jobs SET last_error = COALESCE(a->>'reason', last_error) WHERE job_id = id;
		PERFORM model.ends(id, 'cancelled');
		RETURN '"cancelled"';
	ELSIF j.state = 'running' THEN
		UPDATE model.jobs SET cancel = true, reason = COALESCE(reason, a->>'reason') WHERE job_id = id;
		RETURN '"requested"';
	END IF;
	RETURN '"final"';
END $$;

-- operators ---------------------------------------------------------------------
CREATE FUNCTION model.retry_job(a jsonb, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	id bigint := (a->>'job_id')::bigint;
	j model.jobs;
BEGIN
	SELECT * INTO j FROM model.jobs WHERE job_id = id;
	IF j.job_id IS NULL THEN
		PERFORM model.refuse('TQ011');
	ELSIF j.state = 'running' OR j.payload IS NULL OR (j.state = 'completed' AND NOT COALESCE((a->>'force')::boolean, false)) THEN
		PERFORM model.refuse('TQ008');
	ELSIF j.state = 'waiting' THEN
		IF j.run_at <= model.now() THEN
			RETURN 'false';
		END IF;
		UPDATE model.jobs SET run_at = model.now(), run_at_to = model.until(), failed = false WHERE job_id = id;
		RETURN 'true';
	END IF;
	UPDATE model.jobs SET state = 'waiting', failed = false, attempt = 0, worker_id = NULL, result = NULL, progress = NULL,
		run_at = model.now(), run_at_to = model.until() WHERE job_id = id;
	RETURN 'true';
END $$;

CREATE FUNCTION model.discard_job(a jsonb, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	id bigint := (a->>'job_id')::bigint;
	j model.jobs;
BEGIN
	SELECT * INTO j FROM model.jobs WHERE job_id = id;
	IF j.job_id IS NULL THEN
		PERFORM model.refuse('TQ011');
	ELSIF j.state = 'discarded' THEN
		RETURN 'false';
	ELSIF j.state <> 'waiting' THEN
		PERFORM model.refuse('TQ008');
	END IF;
	UPDATE model.jobs SET last_error = COALESCE(a->>'reason', last_error) WHERE job_id = id;
	PERFORM model.ends(id, 'discarded');
	RETURN 'true';
END $$;

-- by hand -----------------------------------------------------------------------
-- Every handler does what its payload says.
CREATE FUNCTION model.handler(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	CASE payload->>'do'
		WHEN 'raise' THEN RAISE EXCEPTION 'no luck';
		WHEN 'divide' THEN PERFORM 1 / (payload->>'by')::integer;
		WHEN 'permanent' THEN PERFORM taskq.raise_permanent('never', 'NEVER');
		WHEN 'retryable' THEN PERFORM taskq.raise_retryable('later', 'LATER', '20 min');
		WHEN 'failure' THEN RETURN taskq.failure('declined', retryable => false);
		WHEN 'chain' THEN PERFORM taskq.enqueue_job('chained', '{"do": "give"}');
		ELSE NULL;
	END CASE;
	RETURN payload->'give';
END $$;

-- May this session run the job, with the registered handler or with one that it
-- names?
CREATE FUNCTION model.runs(j model.jobs, is_given boolean) RETURNS boolean LANGUAGE sql AS $$
	SELECT NOT (SELECT q.paused FROM model.queues q WHERE q.queue = j.queue)
		AND j.required_capabilities = '{}'
		AND CASE WHEN is_given THEN
			NOT EXISTS (SELECT FROM model.handlers h WHERE h.task_type = j.task_type AND h.paused AND NOT h.in_server)
		ELSE
			EXISTS (SELECT FROM model.handlers h WHERE h.task_type = j.task_type AND h.in_server AND NOT h.paused
				AND model.version_at_least(h.version, j.min_version))
		END $$;

CREATE FUNCTION model.run(id bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	j model.jobs;
	error text;
BEGIN
	UPDATE model.jobs SET state = 'running', attempt = attempt + 1, worker_id = 'session',
		epoch = (SELECT epoch FROM taskq.all_jobs WHERE job_id = id) WHERE job_id = id RETURNING * INTO j;
	CASE j.payload->>'do'
		WHEN 'raise' THEN
			error := 'no luck';
			PERFORM model.failed(id, 'failed', 'failed', 'handler_error', true, NULL, error);
		WHEN 'divide' THEN
			error := 'division by zero';
			PERFORM model.failed(id, 'failed', 'failed', 'permanent_error', false, NULL, error);
		WHEN 'permanent' THEN
			error := 'never';
			PERFORM model.failed(id, 'failed', 'failed', 'permanent_error', false, NULL, error);
		WHEN 'retryable' THEN
			error := 'later';
			PERFORM model.failed(id, 'failed', 'failed', 'retryable_error', true, '20 min', error);
		WHEN 'failure' THEN
			error := 'declined';
			PERFORM model.failed(id, 'failed', 'failed', 'permanent_error', false, NULL, error);
		WHEN 'chain' THEN
			BEGIN
				PERFORM model.enqueue('{"task_type": "chained"}', ARRAY['{"do": "give"}'::jsonb],
					(SELECT jsonb_build_array(min(job_id)) FROM taskq.all_jobs
					 WHERE job_id > (SELECT max(job_id) FROM model.jobs) AND task_type = 'chained'));
				PERFORM model.completed(id, j.payload->'give');
			EXCEPTION WHEN SQLSTATE 'TQ002' OR SQLSTATE '42704' THEN
				error := (SELECT last_error FROM taskq.all_jobs WHERE job_id = id);
				PERFORM model.failed(id, 'failed', 'failed', 'handler_error', true, NULL, error);
			END;
		ELSE
			PERFORM model.completed(id, j.payload->'give');
	END CASE;
	SELECT * INTO j FROM model.jobs WHERE job_id = id;
	RETURN jsonb_build_array(j.job_id, j.task_type,
		CASE WHEN j.state <> 'waiting' THEN j.state WHEN j.run_at > model.now() THEN 'retryable' ELSE 'available' END,
		j.result, error);
END $$;

CREATE FUNCTION model.run_job(a jsonb, said jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	j model.jobs;
BEGIN
	SELECT * INTO j FROM model.jobs WHERE job_id = (a->>'job_id')::bigint;
	IF j.job_id IS NULL THEN
		PERFORM model.refuse('TQ011');
	ELSIF j.state NOT IN ('waiting', 'running') THEN
		PERFORM model.refuse('TQ008');
	ELSIF NOT model.runs(j, a->>'handler' IS NOT NULL) THEN
		PERFORM model.refuse('TQ002');
	ELSIF j.state = 'running' THEN
		PERFORM model.refuse('TQ008');
	END IF;
	RETURN jsonb_build_array(model.run(j.job_id));
END $$;

CREATE FUNCTION model.run_several(a jsonb, most integer) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	answer jsonb := '[]';
	id bigint;
BEGIN
	PERFORM model.check_names((a->>'task_types')::text[]);
	IF a->>'task_types' = '{}' THEN
		PERFORM model.refuse('22023');
	END IF;
	IF a->>'handler' IS NOT NULL AND a->>'task_types' IS NULL THEN
		PERFORM model.refuse('22023');
	END IF;
	PERFORM model.check_range(most, 1, 2147483647);
	WHILE jsonb_array_length(answer) < most LOOP
		SELECT job_id INTO id FROM model.jobs m WHERE state = 'waiting' AND model.is_due(run_at)
			AND (a->>'task_types' IS NULL OR task_type = ANY ((a->>'task_types')::text[]))
			AND model.runs(m, a->>'handler' IS NOT NULL)
		ORDER BY priority, run_at, job_id LIMIT 1;
		EXIT WHEN NOT FOUND;
		answer := answer || jsonb_build_array(model.run(id));
	END LOOP;
	RETURN answer;
END $$;
CREATE FUNCTION model.run_next(a jsonb, said jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT model.run_several(a, 1) $$;
CREATE FUNCTION model.run_all(a jsonb, said jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT model.run_several(a, COALESCE((a->>'max_jobs')::integer, 2147483647)) $$;

-- what can be seen --------------------------------------------------------------
-- Read the times that taskq has chosen, if they are within their bounds.
CREATE FUNCTION model.adopt() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	id bigint;
BEGIN
	FOR id IN SELECT job_id FROM model.jobs WHERE run_at_to IS NOT NULL OR lease_end_to IS NOT NULL LOOP
		UPDATE model.jobs m SET run_at = CASE WHEN a.run_at BETWEEN m.run_at AND m.run_at_to THEN a.run_at ELSE m.run_at END, run_at_to = NULL,
			lease_end = CASE WHEN a.lease_expires_at BETWEEN m.lease_end AND m.lease_end_to THEN a.lease_expires_at ELSE m.lease_end END, lease_end_to = NULL
		FROM taskq.all_jobs a WHERE m.job_id = id AND a.job_id = id;
	END LOOP;
END $$;

CREATE FUNCTION model.worker_name(id text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT regexp_replace(id, '^session:.*', 'session') $$;

-- The row of a job in all_jobs, as far as the rules determine it.
CREATE FUNCTION model.job_differs() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (
	SELECT format(E'job %s\n is      %s\n must be %s', job_id, a, m)
	FROM (SELECT job_id, ROW(task_type, queue, state, priority, attempt, max_attempts, epoch, model.worker_name(worker_id), lease_expires_at,
			payload, result, progress, run_at, finished_at IS NOT NULL, last_error)::text AS a FROM taskq.all_jobs) x
	FULL JOIN (SELECT job_id, ROW(task_type, queue,
			CASE WHEN state <> 'waiting' THEN state
				WHEN run_at <= taskq.clock_now() THEN 'available'
				WHEN failed THEN 'retryable' ELSE 'scheduled' END,
			priority, attempt, max_attempts, epoch, worker_id, lease_end,
			payload, result, progress, run_at, state NOT IN ('waiting', 'running'), last_error)::text AS m FROM model.jobs) y USING (job_id)
	WHERE a IS DISTINCT FROM m ORDER BY job_id LIMIT 1);
END $$;

CREATE FUNCTION model.others_differ() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (
	(SELECT format('handler %s is %s and must be %s', task_type, a, m)
	FROM (SELECT task_type, ROW(kind, also_external, version, queue, priority, max_attempts, lease, retry_policy, retry_base, retry_cap, status)::text AS a
		FROM taskq.list_handlers()) x
	FULL JOIN (SELECT task_type, ROW(CASE WHEN in_server THEN 'in-server' ELSE 'external' END, also_external, version, COALESCE(queue, 'default'),
			COALESCE(priority, 0), COALESCE(max_attempts, 20), COALESCE(lease, '60 s'), COALESCE(retry_policy, 'exponential'),
			COALESCE(retry_base, '1 s'), COALESCE(retry_cap, '1 h'), CASE WHEN paused THEN 'paused' ELSE 'ok' END)::text AS m
		FROM model.handlers) y USING (task_type)
	WHERE a IS DISTINCT FROM m)
UNION ALL
	(SELECT format('queue %s is %s and must be %s', queue, a, m)
	FROM (SELECT queue, ROW(paused, on_unhandled, keep_payload)::text AS a FROM taskq.queues) x
	FULL JOIN (SELECT queue, ROW(paused, on_unhandled, keep_payload)::text AS m FROM model.queues) y USING (queue)
	WHERE a IS DISTINCT FROM m)
UNION ALL
	(SELECT format('worker %s is %s and must be %s', worker_id, a, m)
	FROM (SELECT model.worker_name(worker_id) AS worker_id, ROW(task_types, queues, capabilities, state, running_jobs, max_concurrent_jobs)::text AS a
		FROM taskq.workers) x
	FULL JOIN (SELECT worker_id, ROW(ARRAY(SELECT h.task_type FROM model.handlers h WHERE (NOT in_server OR also_external)
				AND (w.task_types IS NULL OR h.task_type = ANY (w.task_types)) ORDER BY 1),
			queues, capabilities, CASE WHEN draining THEN 'draining' WHEN n > 0 THEN 'running'
				WHEN last_seen + model.life(w) <= model.now() THEN 'lost' ELSE 'idle' END, n, max_concurrent_jobs)::text AS m
		FROM model.workers w, LATERAL (SELECT count(*) AS n FROM model.jobs j WHERE j.state = 'running' AND j.worker_id = w.worker_id) r WHERE NOT ended) y USING (worker_id)
	WHERE a IS DISTINCT FROM m)
LIMIT 1);
END $$;

-- Why no worker would be given a route's jobs; no scheduler runs here.
CREATE FUNCTION model.reason(t text, q text, capabilities text[], lowest text) RETURNS text LANGUAGE sql AS $$
	WITH h AS (SELECT * FROM model.handlers WHERE task_type = t),
	takers AS (SELECT w.* FROM model.workers w, h WHERE (NOT h.in_server OR h.also_external) AND NOT w.draining AND NOT w.ended
		AND w.last_seen + model.life(w) > model.now()
		AND (w.task_types IS NULL OR t = ANY (w.task_types)) AND (w.queues IS NULL OR q = ANY (w.queues)))
	SELECT CASE
		WHEN NOT EXISTS (SELECT FROM h) THEN 'no handler registered'
		WHEN NOT (SELECT model.version_at_least(version, lowest) FROM h) THEN 'handler version is older than min_version'
		WHEN (SELECT x.paused FROM model.queues x WHERE x.queue = q) THEN 'queue paused'
		WHEN (SELECT paused FROM h) THEN 'handler paused, see taskq.resume_handler()'
		WHEN EXISTS (SELECT FROM takers x WHERE reason.capabilities <@ COALESCE(x.capabilities, '{}') AND NOT x.implicit) THEN NULL
		WHEN EXISTS (SELECT FROM takers x WHERE reason.capabilities <@ COALESCE(x.capabilities, '{}')) THEN 'only implicit workers take the type, see taskq.register_worker()'
		WHEN (SELECT in_server FROM h) THEN 'no pool is running in this database, see taskq.status()'
		WHEN EXISTS (SELECT FROM takers) THEN 'no live worker with the capabilities'
		ELSE 'no live worker with the type' END $$;

-- More expensive checks, at the end of a transaction.
CREATE FUNCTION model.rest_differs() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (
	(SELECT format('attempt of job %s: %s', job_id, d) FROM (
		SELECT job_id, ROW(x.*)::text || ' is there' AS d FROM (SELECT job_id, epoch, attempt, outcome, error_type FROM taskq.attempts
			EXCEPT ALL SELECT * FROM model.attempts) x
		UNION ALL
		SELECT job_id, ROW(x.*)::text || ' is missing' FROM (SELECT * FROM model.attempts
			EXCEPT ALL SELECT job_id, epoch, attempt, outcome, error_type FROM taskq.attempts) x) y LIMIT 1)
UNION ALL
	(SELECT format('unroutable jobs of %s in %s: is %s and must be %s', task_type, queue, a, m)
	FROM (SELECT queue, task_type, required_capabilities, COALESCE(min_version, '') AS min_version, (reason, jobs)::text AS a FROM taskq.unroutable_jobs) x
	FULL JOIN (SELECT queue, task_type, required_capabilities, min_version, (reason, jobs)::text AS m FROM (
			SELECT queue, task_type, required_capabilities, COALESCE(min_version, '') AS min_version,
				model.reason(task_type, queue, required_capabilities, min_version) AS reason, count(*) AS jobs
			FROM model.jobs WHERE state = 'waiting' GROUP BY queue, task_type, required_capabilities, min_version) z
		WHERE reason IS NOT NULL) y USING (queue, task_type, required_capabilities, min_version)
	WHERE a IS DISTINCT FROM m)
LIMIT 1);
END $$;
