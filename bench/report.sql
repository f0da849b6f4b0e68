-- Make a report in Markdown, and plot.csv for the plots, from results.csv, targets.csv
-- and scenarios.csv in the current directory. Run by psql -XqAt.
\pset fieldsep ''
CREATE TEMP TABLE scenarios (nr serial, name text, unit text, about text);
CREATE TEMP TABLE results (nr serial, scenario text, unit text, test text, system text, round integer, value numeric, note text);
CREATE TEMP TABLE targets (nr serial, scenario text, mine text, theirs text, op text, wanted text, tests text);
CREATE TEMP TABLE peers (system text);
\copy scenarios (name, unit, about) FROM 'scenarios.csv' WITH (FORMAT csv, DELIMITER '|', QUOTE E'\b')
\copy results (scenario, unit, test, system, round, value, note) FROM 'results.csv' WITH (FORMAT csv, DELIMITER '|', QUOTE E'\b')
\copy targets (scenario, mine, theirs, op, wanted, tests) FROM 'targets.csv' WITH (FORMAT csv, DELIMITER '|', QUOTE E'\b')
\copy peers (system) FROM 'peers.csv'

CREATE FUNCTION pg_temp.number(v numeric) RETURNS text LANGUAGE sql
	AS $$SELECT CASE WHEN abs(v) >= 100 OR v = 0 THEN round(v)::text WHEN abs(v) >= 10 THEN round(v, 1)::text ELSE round(v, 3)::text END$$;

-- Systems and cases are in the order in which they were first measured.
CREATE TEMP TABLE figures AS
	SELECT scenario, unit, test, system, min(nr) AS nr, count(value) AS rounds, count(*) - count(value) AS failures,
		(percentile_cont(0.5) WITHIN GROUP (ORDER BY value))::numeric AS median, min(value) AS low, max(value) AS high,
		max(note) AS note
	FROM results GROUP BY scenario, unit, test, system;

-- A ratio compares two figures of one round; best-peer is the peer with the best median.
CREATE TEMP TABLE verdicts AS
	SELECT t.nr, f.nr AS test_nr, t.scenario, f.test, t.mine, t.theirs || CASE WHEN t.theirs = 'best-peer' THEN coalesce(' (' || b.system || ')', '') ELSE '' END AS theirs,
		t.op, t.wanted, r.*
	FROM targets t
	JOIN figures f ON f.scenario = t.scenario AND f.system = t.mine AND f.test ~ ('^(' || t.tests || ')$')
	LEFT JOIN LATERAL (
		SELECT p.system FROM figures p
		WHERE p.scenario = t.scenario AND p.test = f.test AND p.median IS NOT NULL
			AND CASE t.theirs WHEN 'best-peer' THEN p.system IN (SELECT system FROM peers) ELSE p.system = t.theirs END
		ORDER BY CASE t.op WHEN '>=' THEN -p.median ELSE p.median END LIMIT 1) b ON true
	LEFT JOIN LATERAL (
		SELECT (percentile_cont(0.5) WITHIN GROUP (ORDER BY q.ratio))::numeric AS ratio, min(q.ratio) AS low, max(q.ratio) AS high
		FROM (SELECT m.value / CASE t.theirs WHEN '-' THEN 1 ELSE nullif(o.value, 0) END AS ratio
			  FROM results m
			  LEFT JOIN results o ON o.scenario = m.scenario AND o.test = m.test AND o.round = m.round AND o.system = b.system
			  WHERE m.scenario = t.scenario AND m.test = f.test AND m.system = t.mine) q) r ON true;

SELECT '# taskq beside its limits and its peers', '';
\echo
\! cat machine.txt
\echo
SELECT '## Targets';
SELECT '';
SELECT '| scenario | case | of | to | ratio | from .. to | target | |';
SELECT '|---|---|---|---|---:|---|---:|---|';
SELECT '| ' || concat_ws(' | ', scenario, test, mine, CASE WHEN theirs LIKE '-%' THEN '' ELSE theirs END, coalesce(pg_temp.number(ratio), '?'),
		coalesce(pg_temp.number(low) || ' .. ' || pg_temp.number(high), ''),
		CASE WHEN wanted = '-' THEN '' ELSE op || ' ' || wanted END,
		CASE WHEN wanted = '-' THEN '' WHEN ratio IS NULL THEN 'not measured'
			WHEN CASE op WHEN '>=' THEN ratio >= wanted::numeric ELSE ratio <= wanted::numeric END THEN 'met' ELSE '**missed**' END) || ' |'
FROM verdicts ORDER BY nr, test_nr;

SELECT E'\n## Figures\n\nMedians of the rounds; the lowest and the highest.';
SELECT CASE WHEN f.nr = min(f.nr) OVER (PARTITION BY s.name)
		THEN E'\n### ' || s.name || E'\n\n' || s.about || E'\n\n| case | system | ' || s.unit || E' | from .. to | |\n|---|---|---:|---|---|\n' ELSE '' END
	|| '| ' || concat_ws(' | ', f.test, f.system, coalesce(pg_temp.number(f.median), 'failed'),
		CASE WHEN f.rounds > 1 THEN pg_temp.number(f.low) || ' .. ' || pg_temp.number(f.high) ELSE '' END,
		CASE WHEN f.failures > 0 THEN f.failures || 'x: ' || coalesce(f.note, '') ELSE '' END) || ' |'
FROM figures f JOIN scenarios s ON s.name = f.scenario ORDER BY s.nr, f.nr;

-- for gnuplot: one block for each system and scenario
\o plot.dat
SELECT CASE WHEN lag(system) OVER w IS DISTINCT FROM system OR lag(scenario) OVER w IS DISTINCT FROM scenario
		THEN E'\n\n"' || scenario || '" "' || system || '" "' || unit || E'"\n' ELSE '' END
	|| format('"%s" %s %s %s', test, coalesce(median::text, 'NaN'), coalesce(low::text, 'NaN'), coalesce(high::text, 'NaN'))
FROM (SELECT *, min(nr) OVER (PARTITION BY scenario, system) AS block FROM figures
	WHERE test <> 'ratio' AND test !~ 'p95$' AND scenario NOT IN ('idle', 'instructions')) f WINDOW w AS (ORDER BY scenario, block, nr)
ORDER BY scenario, block, nr;
\o
