-- Jobs with names that the test chooses: their ids and epochs are in a table.
CREATE TEMP TABLE j (name text PRIMARY KEY, id bigint, e bigint);

CREATE FUNCTION pg_temp.id(n text) RETURNS bigint LANGUAGE sql AS $$ SELECT id FROM j WHERE name = n $$;
CREATE FUNCTION pg_temp.e(n text) RETURNS bigint LANGUAGE sql AS $$ SELECT e FROM j WHERE name = n $$;

-- State and attempt.
CREATE FUNCTION pg_temp.state(n text) RETURNS text LANGUAGE sql AS
	$$ SELECT state || ' ' || attempt FROM taskq.all_jobs WHERE job_id = pg_temp.id(n) $$;
