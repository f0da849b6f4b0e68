-- Random calls to taskq under random limits, compared with a model of the rules: a claim is given the first jobs, by
-- priority, run_at and job_id, for which every limit over them has room, and nothing only if there is no such job.
-- Rates are for all jobs of a type: lanes that wait for a rate of their value are let go one by one, by later claims.
-- TASKQ_MODEL_SEED and TASKQ_MODEL_CALLS in the environment select other calls.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/wait.sql
\set seed 1
\set calls 600
\getenv seed TASKQ_MODEL_SEED
\getenv calls TASKQ_MODEL_CALLS
SELECT plan(5);
DROP EXTENSION taskq CASCADE;
CREATE EXTENSION taskq;

-- the limits that there may be; those with a rate let "burst" jobs start after a long time
CREATE TEMP TABLE possible (name text PRIMARY KEY, task_type text, tenant_id text, for_each text[], concurrency integer, burst integer);
INSERT INTO possible VALUES ('type', 'mlim-a', NULL, NULL, 3, NULL), ('all', NULL, NULL, NULL, 6, NULL), ('group', NULL, NULL, '{group_key}', 1, NULL),
	('group-of-type', 'mlim-b', NULL, '{group_key}', 2, NULL), ('tenant', NULL, NULL, '{tenant_id}', 2, NULL), ('both', NULL, NULL, '{tenant_id,group_key}', 1, NULL),
	('one-tenant', NULL, 't1', NULL, 2, NULL), ('groups-of-tenant', NULL, 't2', '{group_key}', 1, NULL),
	('rate', 'mlim-b', NULL, NULL, NULL, 3);
-- the model
CREATE TEMP TABLE limits (LIKE possible, other integer); -- the number of 'g1', or 't1', if that has another one
CREATE TEMP TABLE jobs (job_id bigint PRIMARY KEY, task_type text, tenant_id text, group_key text, priority integer, run_at timestamptz, waits boolean, epoch bigint);
CREATE TEMP TABLE runs (job_id bigint, epoch bigint, ended boolean DEFAULT false); -- until the end is committed
CREATE TEMP TABLE starts (job_id bigint); -- since the buckets of all rates were full

CREATE FUNCTION pg_temp.pick(VARIADIC of text[]) RETURNS text LANGUAGE sql AS $$ SELECT (of)[1 + floor(random() * cardinality(of))::integer] $$;
-- is the job under the limit?
CREATE FUNCTION pg_temp.is_under(j jobs, l limits) RETURNS boolean LANGUAGE sql STABLE AS $$
	SELECT (l.task_type IS NULL OR l.task_type = j.task_type) AND (l.tenant_id IS NULL OR l.tenant_id IS NOT DISTINCT FROM j.tenant_id)
		AND ('tenant_id' <> ALL (l.for_each) OR l.for_each IS NULL OR j.tenant_id IS NOT NULL) AND ('group_key' <> ALL (l.for_each) OR l.for_each IS NULL OR j.group_key IS NOT NULL) $$;
-- the values of the job for which the limit counts
CREATE FUNCTION pg_temp.value_of(j jobs, l limits) RETURNS text[] LANGUAGE sql STABLE AS $$
	SELECT ARRAY[CASE WHEN 'tenant_id' = ANY (l.for_each) THEN j.tenant_id END, CASE WHEN 'group_key' = ANY (l.for_each) THEN j.group_key END] $$;
CREATE FUNCTION pg_temp.has_room(j jobs, l limits) RETURNS boolean LANGUAGE sql STABLE AS $$
	SELECT (l.concurrency IS NULL OR (SELECT count(*) FROM runs JOIN jobs o USING (job_id) WHERE pg_temp.is_under(o, l) AND pg_temp.value_of(o, l) = pg_temp.value_of(j, l))
			< CASE WHEN l.other IS NOT NULL AND pg_temp.value_of(j, l) && '{g1,t1}' THEN l.other ELSE l.concurrency END)
		AND (l.burst IS NULL OR (SELECT count(*) FROM starts JOIN jobs o USING (job_id) WHERE pg_temp.is_under(o, l) AND pg_temp.value_of(o, l) = pg_temp.value_of(j, l)) < l.burst) $$;
CREATE FUNCTION pg_temp.first_startable(types text[]) RETURNS bigint LANGUAGE sql STABLE AS $$
	SELECT job_id FROM jobs j WHERE waits AND run_at <= taskq.clock_now() AND (types IS NULL OR task_type = ANY (types))
		AND NOT EXISTS (SELECT FROM limits l WHERE pg_temp.is_under(j, l) AND NOT pg_temp.has_room(j, l))
	ORDER BY priority, run_at, job_id LIMIT 1 $$;
-- what the limits hold; the values in use, and for each limit all of them
CREATE FUNCTION pg_temp.must_use() RETURNS text LANGUAGE sql STABLE AS $$
	SELECT string_agg(u, ', ' ORDER BY u COLLATE "C") FROM (
		SELECT concat_ws(' ', l.name, l.tenant_id, count(o.job_id)) FROM limits l LEFT JOIN (runs JOIN jobs o USING (job_id)) ON pg_temp.is_under(o, l)
		WHERE l.concurrency IS NOT NULL GROUP BY l.name, l.tenant_id
		UNION ALL SELECT concat_ws(' ', l.name, COALESCE(l.tenant_id, v[1]), v[2], count(*)) FROM limits l, runs JOIN jobs o USING (job_id), pg_temp.value_of(o, l) v
		WHERE l.concurrency IS NOT NULL AND l.for_each IS NOT NULL AND pg_temp.is_under(o, l) GROUP BY l.name, l.tenant_id, v) x (u) $$;
CREATE FUNCTION pg_temp.uses() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(u, ', ' ORDER BY u COLLATE "C") FROM (SELECT concat_ws(' ', name, tenant_id, group_key, in_use) FROM taskq.limit_usage
		WHERE name <> 'mark' AND concurrency IS NOT NULL AND (in_use > 0 OR (group_key IS NULL AND tenant_id IS NOT DISTINCT FROM (SELECT tenant_id FROM limits l WHERE l.name = limit_usage.name)))) x (u) $$;

-- Read what only taskq can choose.
CREATE FUNCTION pg_temp.adopt(id bigint) RETURNS void LANGUAGE sql AS
	$$ UPDATE jobs j SET run_at = a.run_at, epoch = a.epoch FROM taskq.all_jobs a WHERE j.job_id = id AND a.job_id = id $$;
CREATE FUNCTION pg_temp.enqueue(OUT call text) LANGUAGE plpgsql AS $$
DECLARE
	j jobs;
BEGIN
	j.task_type := pg_temp.pick('mlim-a', 'mlim-a', 'mlim-b');
	j.tenant_id := pg_temp.pick('t1', 't2', NULL);
	j.group_key := pg_temp.pick('g1', 'g2', 'g3', NULL);
	j.priority := pg_temp.pick('0', '0', '0', '1', '2');
	j.job_id := taskq.enqueue_job(j.task_type, tenant_id => j.tenant_id, group_key => j.group_key, priority => j.priority);
	j.waits := true;
	INSERT INTO jobs SELECT j.*;
	PERFORM pg_temp.adopt(j.job_id);
	call := format('enqueue %s %s %s %s: %s', j.task_type, j.tenant_id, j.group_key, j.priority, j.job_id);
END $$;
CREATE FUNCTION pg_temp.claim(OUT call text, OUT said bigint[], OUT must bigint[]) LANGUAGE plpgsql AS $$
DECLARE
	types text[] := pg_temp.pick('{mlim-a}', '{mlim-b}', NULL, NULL);
	most integer := pg_temp.pick('1', '1', '1', '2', '3', '7');
	id bigint;
BEGIN
	must := '{}';
	IF most = 1 THEN
		said := ARRAY(SELECT job_id FROM taskq.claim_job('mlim-w', types));
	ELSE
		said := ARRAY(SELECT job_id FROM taskq.claim_jobs('mlim-w', most, types));
	END IF;
	FOR i IN 1 .. most LOOP
		id := pg_temp.first_startable(types);
		EXIT WHEN id IS NULL;
		must := must || id;
		UPDATE jobs SET waits = false WHERE job_id = id;
		PERFORM pg_temp.adopt(id);
		INSERT INTO runs SELECT job_id, epoch FROM jobs WHERE job_id = id;
		INSERT INTO starts VALUES (id);
	END LOOP;
	call := format('claim %s %s: %s', types, most, said);
END $$;
-- End a run; the job may wait again.
CREATE FUNCTION pg_temp.settle(OUT call text) LANGUAGE plpgsql AS $$
DECLARE
	r runs;
BEGIN
	SELECT * INTO r FROM runs WHERE NOT ended ORDER BY random() LIMIT 1;
	IF r IS NULL THEN
		call := 'nothing to settle';
		RETURN;
	END IF;
	call := pg_temp.pick('complete', 'complete', 'complete', 'fail', 'fail', 'fail for long', 'release', 'snooze', 'snooze for long');
	PERFORM CASE call WHEN 'complete' THEN taskq.complete_job(r.job_id, r.epoch)
		WHEN 'fail' THEN taskq.fail_job(r.job_id, r.epoch, 'x', retry_in => '0')
		WHEN 'fail for long' THEN taskq.fail_job(r.job_id, r.epoch, 'x', retry_in => '1 d')
		WHEN 'release' THEN taskq.release_job(r.job_id, r.epoch)
		WHEN 'snooze' THEN taskq.snooze_job(r.job_id, r.epoch, '0')
		ELSE taskq.snooze_job(r.job_id, r.epoch, '1 d') END;
	UPDATE runs SET ended = true WHERE runs = r;
	UPDATE jobs SET waits = call <> 'complete' WHERE job_id = r.job_id;
	PERFORM pg_temp.adopt(r.job_id);
	call := format('%s %s', call, r.job_id);
END $$;
CREATE FUNCTION pg_temp.cancel(OUT call text) LANGUAGE plpgsql AS $$
DECLARE
	id bigint := (SELECT job_id FROM jobs WHERE waits ORDER BY random() LIMIT 1);
BEGIN
	PERFORM taskq.cancel_job(id) WHERE id IS NOT NULL;
	UPDATE jobs SET waits = false WHERE job_id = id;
	call := format('cancel %s', id);
END $$;
-- Make, change or drop a limit.
CREATE FUNCTION pg_temp.change_limit(OUT call text) LANGUAGE plpgsql AS $$
DECLARE
	p possible;
	l limits;
	n integer;
	overrides jsonb;
BEGIN
	SELECT * INTO p FROM possible ORDER BY random() LIMIT 1;
	SELECT * INTO l FROM limits WHERE name = p.name;
	IF l.name IS NOT NULL AND random() < 0.6 THEN
		DELETE FROM limits WHERE name = p.name;
		PERFORM taskq.drop_limit(p.name);
		call := 'drop_limit ' || p.name;
		RETURN;
	END IF;
	n := CASE WHEN p.concurrency IS NOT NULL THEN greatest(p.concurrency + pg_temp.pick('-1', '0', '0', '1')::integer, 0) END;
	IF l.name IS NOT NULL AND n IS NOT NULL THEN
		UPDATE limits SET concurrency = n WHERE name = p.name;
		PERFORM taskq.alter_limit(p.name, n);
		call := format('alter_limit %s to %s', p.name, n);
		RETURN;
	END IF;
	DELETE FROM limits WHERE name = p.name;
	INSERT INTO limits SELECT p.*, CASE WHEN p.concurrency IS NOT NULL AND cardinality(p.for_each) = 1 AND random() < 0.5 THEN floor(random() * 4) END RETURNING * INTO l;
	UPDATE limits SET concurrency = n WHERE name = p.name;
	overrides := CASE WHEN l.other IS NOT NULL THEN jsonb_build_object(CASE l.for_each[1] WHEN 'group_key' THEN 'g1' ELSE 't1' END, l.other) END;
	PERFORM taskq.set_limit(p.name, task_type => p.task_type, tenant_id => p.tenant_id, for_each => p.for_each, concurrency => n, overrides => overrides,
		rate => CASE WHEN p.burst IS NOT NULL THEN 1 END, per => CASE WHEN p.burst IS NOT NULL THEN interval '1 min' END, burst => p.burst);
	call := format('set_limit %s to %s %s', p.name, n, overrides);
END $$;
-- Are all limits armed, and all jobs in the lanes of their keys?
CREATE FUNCTION pg_temp.in_force() RETURNS boolean LANGUAGE sql AS $$
	SELECT pg_temp.came($q$ SELECT NOT EXISTS (SELECT FROM taskq.limits WHERE state <> 'active') AND NOT EXISTS (SELECT FROM taskq.all_jobs a JOIN taskq.jobs j USING (job_id),
			LATERAL (SELECT bool_or(l.tenant_id IS NOT NULL OR 'tenant_id' = ANY (l.for_each)) AS tenant, bool_or('group_key' = ANY (l.for_each)) AS grp FROM limits l
				WHERE l.task_type IS NULL OR l.task_type = a.task_type) k
		WHERE j.gate <> 'r' AND (k.tenant OR k.grp) AND (j.gate <> 'l' OR j.lane >> 61 <> COALESCE(k.tenant, false)::integer + 2 * COALESCE(k.grp, false)::integer)) $q$) $$;
-- The buckets of all rates are full, and "n" is how many times they were.
CREATE FUNCTION pg_temp.fill(INOUT n integer) LANGUAGE plpgsql AS $$
BEGIN
	n := n + 1;
	PERFORM set_config('taskq.steady_offset', (n * 10) || ' min', false);
	DELETE FROM starts;
END $$;

-- Make this many calls, in transactions; some are rolled back, and some savepoints in them.
CREATE PROCEDURE pg_temp.go(seed double precision, calls integer, INOUT difference text, INOUT claimed integer, INOUT refused integer) LANGUAGE plpgsql AS $$
DECLARE
	last text[] := '{}';
	step integer := 0;
	fills integer := 0;
	said bigint[];
	must bigint[];
	call text;
	chance double precision;
BEGIN
	PERFORM setseed(seed);
	claimed := 0;
	refused := 0;
	WHILE step < calls LOOP
		BEGIN
			FOR i IN 1 .. 1 + floor(random() * 8)::integer LOOP
				step := step + 1;
				chance := random();
				said := '{}';
				must := '{}';
				IF chance < 0.37 THEN
					call := pg_temp.enqueue();
				ELSIF chance < 0.68 THEN
					SELECT * INTO call, said, must FROM pg_temp.claim();
					claimed := claimed + cardinality(said);
					refused := refused + (cardinality(said) = 0 AND EXISTS (SELECT FROM jobs WHERE waits))::integer;
				ELSIF chance < 0.94 THEN
					call := pg_temp.settle();
				ELSE
					call := pg_temp.cancel();
				END IF;
				last := last[greatest(1, cardinality(last) - 25):] || format('%s. %s', step, call);
				difference := CASE WHEN said <> must THEN format('the claim gives %s, must give %s', said, must)
					WHEN pg_temp.uses() IS DISTINCT FROM pg_temp.must_use() THEN format(E'in use is %s\n must be %s', pg_temp.uses(), pg_temp.must_use()) END;
				IF difference IS NOT NULL THEN
					difference := format(E'call %s: %s\nlimits: %s\njobs:\n %s\nthe last calls:\n %s', step, difference, (SELECT string_agg(l::text, ' ') FROM limits l),
						(SELECT string_agg(j::text, E'\n ' ORDER BY priority, run_at, job_id) FROM jobs j WHERE waits AND run_at <= taskq.clock_now()), array_to_string(last, E'\n '));
					RETURN;
				END IF;
			END LOOP;
			IF random() < 0.15 THEN
				RAISE SQLSTATE 'MODEL';
			END IF;
		EXCEPTION WHEN SQLSTATE 'MODEL' THEN
			last := last || text '   ROLLBACK TO SAVEPOINT';
			-- a start that was rolled back is given back, but not what has come in meanwhile
			fills := pg_temp.fill(fills);
		END;
		chance := random();
		CONTINUE WHEN chance < 0.4;
		IF chance < 0.5 THEN
			ROLLBACK;
			last := last || text '   ROLLBACK';
			fills := pg_temp.fill(fills);
			CONTINUE;
		END IF;
		chance := random();
		IF chance < 0.3 THEN
			last := last || pg_temp.change_limit();
			-- a limit that is armed when the scheduler knows of all changes before it
			PERFORM taskq.drop_limit('mark'), taskq.set_limit('mark', task_type => 'mlim-none', concurrency => 1, quota => 1, quota_window => '1 h');
		END IF;
		DELETE FROM runs WHERE ended;
		last := last || text '   COMMIT';
		COMMIT;
		IF chance < 0.3 AND NOT pg_temp.in_force() THEN
			difference := 'the limits are not in force';
			RETURN;
		END IF;
		IF chance < 0.4 THEN
			fills := pg_temp.fill(fills);
			last := last || text '   all buckets are full';
		END IF;
	END LOOP;
	COMMIT;
	difference := '';
END $$;

SELECT taskq.register_handler(t) FROM unnest('{mlim-a,mlim-b}'::text[]) t \g /dev/null
SELECT taskq.register_worker('mlim-w', '{mlim-a,mlim-b}') \gset

-- a session claims before the first job of this installation is in a lane
SELECT taskq.enqueue_job('mlim-b', tenant_id => 't1') \gset before_
SELECT taskq.complete_job(job_id, epoch) FROM taskq.claim_job('mlim-w') \gset before_
SELECT taskq.set_limit('first', task_type => 'mlim-b', for_each => '{tenant_id}', concurrency => 1) \gset
SELECT pg_temp.in_force() \gset before_
SELECT taskq.enqueue_job('mlim-a') \gset before_
SELECT taskq.complete_job(job_id, epoch) FROM taskq.claim_job('mlim-w') \gset before_
SELECT taskq.enqueue_job('mlim-b', tenant_id => 't2') \gset
SELECT taskq.enqueue_job('mlim-a') \gset
SELECT is((SELECT string_agg(task_type, ' ') FROM taskq.claim_jobs('mlim-w', 9)), 'mlim-b mlim-a', 'a session finds the first job of all that is in a lane');
SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running' \g /dev/null
SELECT taskq.drop_limit('first') \gset

\set difference 'the calls have not come to their end'
\set claimed 0
\set refused 0
CALL pg_temp.go(1 / (:seed + 1)::double precision, :calls, NULL, NULL, NULL) \gset
SELECT ok(:'difference' = '', :'calls' || ' calls') || CASE WHEN :'difference' = '' THEN '' ELSE E'\n' || diag('seed ' || :seed || ': ' || :'difference') END;
SELECT ok(:claimed > :calls / 10, 'many jobs were claimed') || CASE WHEN :claimed > :calls / 10 THEN '' ELSE E'\n' || diag(:claimed) END;
SELECT ok(:refused > :calls / 40, 'many claims found no job that may start') || CASE WHEN :refused > :calls / 40 THEN '' ELSE E'\n' || diag(:refused) END;
SELECT taskq.drop_limit(name) FROM taskq.limits \g /dev/null
SELECT taskq.complete_job(job_id, epoch) FROM taskq.all_jobs WHERE state = 'running' AND task_type LIKE 'mlim-%' \g /dev/null
SELECT ok(pg_temp.came($$ SELECT count(*) = 0 FROM taskq.limit_usage $$), 'nothing is left of the limits');
RESET taskq.steady_offset;
SELECT taskq.cancel_job(job_id) FROM taskq.all_jobs WHERE state IN ('available', 'retryable', 'scheduled') AND task_type LIKE 'mlim-%' \g /dev/null
SELECT taskq.unregister_worker('mlim-w'), taskq.unregister_handler('mlim-a'), taskq.unregister_handler('mlim-b') \g /dev/null
SELECT * FROM finish();
