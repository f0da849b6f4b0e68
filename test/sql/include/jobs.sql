-- Functions that enqueue, claim and look at jobs by their names.
\i test/sql/include/named_jobs.sql

-- Enqueue a job; its name is member n of its payload.
CREATE FUNCTION pg_temp.add(n text, t text, p integer DEFAULT NULL, at timestamptz DEFAULT NULL, q text DEFAULT NULL,
	caps text[] DEFAULT NULL, attempts integer DEFAULT NULL, lease interval DEFAULT NULL) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO j VALUES (n, taskq.enqueue_job(t, jsonb_build_object('n', n), priority => p, run_at => at, queue => q,
		required_capabilities => caps, max_attempts => attempts, lease => lease)) $$;

-- Register a worker that nobody has registered, for all types.
CREATE FUNCTION pg_temp.know(w text) RETURNS void LANGUAGE sql AS
	$$ SELECT taskq.register_worker(w) WHERE NOT EXISTS (SELECT FROM taskq.workers WHERE worker_id = w) $$;

-- Claim one job, keep its epoch, return its name.
CREATE FUNCTION pg_temp.take(w text, VARIADIC types text[] DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c taskq.job;
BEGIN
	PERFORM pg_temp.know(w);
	SELECT * INTO c FROM taskq.claim_job(w, types);
	UPDATE j SET e = c.epoch WHERE id = c.job_id;
	RETURN c.payload->>'n';
END $$;

-- Claim several, return their names in the order of the claim.
CREATE FUNCTION pg_temp.take_many(w text, most integer, VARIADIC types text[] DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c taskq.job;
	names text[] := '{}';
BEGIN
	PERFORM pg_temp.know(w);
	FOR c IN SELECT * FROM taskq.claim_jobs(w, most, types) LOOP
		UPDATE j SET e = c.epoch WHERE id = c.job_id;
		names := names || (c.payload->>'n');
	END LOOP;
	RETURN array_to_string(names, ' ');
END $$;

-- Every attempt that can be read, in order.
CREATE FUNCTION pg_temp.attempts(n text) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(attempt || ' ' || outcome || COALESCE(' ' || error_type, ''), ', ' ORDER BY epoch)
	   FROM taskq.attempts WHERE job_id = pg_temp.id(n) $$;

-- Run a statement about a job: %1$s and %2$s stand for its id and epoch.
CREATE FUNCTION pg_temp.of(n text, sql text) RETURNS text LANGUAGE sql AS
	$$ SELECT format(sql, pg_temp.id(n), COALESCE(pg_temp.e(n), 0)) $$;
