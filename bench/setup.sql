-- Objects that the scenarios need besides taskq: the limits and the classic queue.
SET client_min_messages = warning;
CREATE ROLE bench LOGIN;
GRANT ALL ON DATABASE bench TO bench;
CREATE SCHEMA bench AUTHORIZATION bench;
CREATE SCHEMA classic AUTHORIZATION bench;

-- All systems use the same payload.
CREATE FUNCTION bench.payload() RETURNS jsonb LANGUAGE sql IMMUTABLE
	AS $$SELECT '{"customer": 4711, "document": "invoice"}'::jsonb$$;

-- The limits: a table with taskq's columns, indexes and storage settings.
CREATE EXTENSION taskq;
CREATE TABLE bench.plain (LIKE taskq.jobs INCLUDING ALL);
CREATE TABLE bench.noted (n integer, at timestamptz);
CREATE SEQUENCE bench.ids START 10000001;
DO $$
BEGIN
	EXECUTE (SELECT 'ALTER TABLE bench.plain SET (' || array_to_string(reloptions, ', ') || ')'
			 FROM pg_class WHERE oid = 'taskq.jobs'::regclass);
END $$;
DROP EXTENSION taskq;

-- The usual home-made queue: a table, SKIP LOCKED, and a delete when the job is done.
CREATE TABLE classic.jobs (
	job_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	run_at      timestamptz NOT NULL DEFAULT now(),
	created_at  timestamptz NOT NULL DEFAULT now(),
	started_at  timestamptz,
	finished_at timestamptz,
	priority    smallint NOT NULL DEFAULT 0,
	attempt     smallint NOT NULL DEFAULT 0,
	queue       text NOT NULL DEFAULT 'default',
	task_type   text NOT NULL,
	state       text NOT NULL DEFAULT 'available',
	worker_id   text,
	payload     jsonb NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
		autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);
CREATE INDEX ON classic.jobs (queue, priority, run_at, job_id) WHERE state = 'available';

CREATE FUNCTION classic.enqueue(task_type text, payload jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE id bigint;
BEGIN
	INSERT INTO classic.jobs AS j (task_type, payload) VALUES ($1, $2) RETURNING j.job_id INTO id;
	RETURN id;
END $$;

CREATE FUNCTION classic.claim(worker text, max_jobs integer) RETURNS SETOF classic.jobs LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY UPDATE classic.jobs j SET state = 'running', worker_id = worker, started_at = now(), attempt = j.attempt + 1
		WHERE j.job_id = ANY (ARRAY(SELECT c.job_id FROM classic.jobs c
									WHERE c.queue = 'default' AND c.state = 'available' AND c.run_at <= now()
									ORDER BY c.priority, c.run_at, c.job_id LIMIT max_jobs FOR UPDATE SKIP LOCKED))
		RETURNING j.*;
END $$;

CREATE FUNCTION classic.complete(ids bigint[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE n integer;
BEGIN
	DELETE FROM classic.jobs j WHERE j.job_id = ANY (ids);
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END $$;

-- The same queue, but it keeps finished jobs, as most do.
CREATE FUNCTION classic.complete_and_keep(ids bigint[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE n integer;
BEGIN
	UPDATE classic.jobs j SET state = 'completed', finished_at = now() WHERE j.job_id = ANY (ids);
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END $$;

GRANT ALL ON ALL TABLES IN SCHEMA bench, classic TO bench;
GRANT ALL ON ALL SEQUENCES IN SCHEMA bench, classic TO bench;

-- Handlers of the scenarios in the server.
SET ROLE bench;
CREATE FUNCTION bench.empty_sql(payload jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';
CREATE FUNCTION bench.empty_plpgsql(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE FUNCTION bench.writes(payload jsonb) RETURNS jsonb LANGUAGE plpgsql
	AS 'BEGIN INSERT INTO bench.noted VALUES (1, now()); RETURN NULL; END';
CREATE FUNCTION bench.clock(payload jsonb) RETURNS jsonb LANGUAGE sql
	AS 'SELECT to_jsonb(round(extract(epoch FROM clock_timestamp()) * 1000000))';
RESET ROLE;
CREATE FUNCTION bench.empty_c(payload jsonb) RETURNS jsonb LANGUAGE c AS :'empty', 'empty_c';

-- One update and one commit per job, and nothing else, inside the server.
CREATE PROCEDURE bench.update_each(first bigint, jobs integer) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. jobs LOOP
		UPDATE bench.plain SET gate = 'c', state = 'c' WHERE job_id = first + i;
		COMMIT;
	END LOOP;
END $$;

-- Payloads of 4 and 100 kB that do not compress.
CREATE TABLE bench.payloads AS
	SELECT kb, jsonb_build_object('text', (SELECT string_agg(md5(i::text), '') FROM generate_series(1, kb * 32) i)) AS payload
	FROM (VALUES (4), (100)) s (kb);
GRANT SELECT ON bench.payloads TO bench;
