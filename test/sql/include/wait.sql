-- Wait until a query returns true, for at most half a minute, for actions of other
-- processes. Returns false if it did not.
CREATE FUNCTION pg_temp.came(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	until timestamptz := clock_timestamp() + '30 s';
	so boolean;
BEGIN
	LOOP
		EXECUTE query INTO so;
		IF so THEN
			RETURN true;
		END IF;
		IF clock_timestamp() > until THEN
			RETURN false;
		END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;

-- Wait until a job is in one of these states; returns the state, with the attempt.
CREATE FUNCTION pg_temp.reaches(job bigint, VARIADIC states text[] DEFAULT '{completed,discarded,cancelled}') RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	s text;
BEGIN
	PERFORM pg_temp.came(format('SELECT state = ANY (%L) FROM taskq.all_jobs WHERE job_id = %s', states, job));
	SELECT state || ' ' || attempt INTO s FROM taskq.all_jobs WHERE job_id = job;
	RETURN s;
END $$;
