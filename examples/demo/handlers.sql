-- The handlers: functions f(payload jsonb) RETURNS jsonb. Run as role demo.
-- Their writes, their result and the jobs they enqueue commit together. The
-- INSERTs have no ON CONFLICT: a job that ran twice would be seen.

CREATE FUNCTION packages.index_package(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	field jsonb;
	pkg   packages.package;
BEGIN
	-- a control record: "Field: text", continued on lines that start with a blank
	SELECT jsonb_object_agg(m[1], m[2]) INTO field
	FROM regexp_matches(payload ->> 'record', '^([A-Za-z0-9-]+):[ \t]*([^\n]*(?:\n[ \t][^\n]*)*)', 'gn') m;

	pkg.name := field ->> 'Package';
	pkg.architecture := field ->> 'Architecture';
	pkg.version := field ->> 'Version';
	pkg.section := field ->> 'Section';
	pkg.depends := concat_ws(', ', field ->> 'Pre-Depends', field ->> 'Depends');
	pkg.summary := split_part(field ->> 'Description', E'\n', 1);
	pkg.search := setweight(to_tsvector('english', pkg.name), 'A')
		|| setweight(to_tsvector('english', coalesce(pkg.summary, '')), 'B')
		|| to_tsvector('english', coalesce(field ->> 'Description', ''));
	INSERT INTO packages.package VALUES (pkg.*);

	-- the next step: exists if and only if this row does
	PERFORM taskq.enqueue_job('link_dependencies', jsonb_build_object('name', pkg.name, 'architecture', pkg.architecture));

	RETURN jsonb_build_object('name', pkg.name, 'lexemes', length(pkg.search));
END $$;

CREATE FUNCTION packages.link_dependencies(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$
	WITH edge AS (
		INSERT INTO packages.dependency (name, architecture, needs)
		SELECT DISTINCT name, architecture, substring(word, '[A-Za-z0-9_][A-Za-z0-9_+.-]*')
		FROM packages.package, regexp_split_to_table(depends, '[,|]') word
		WHERE name = payload ->> 'name' AND architecture = payload ->> 'architecture' AND word ~ '\w'
		RETURNING needs
	)
	SELECT jsonb_build_object('edges', count(*)) FROM edge
$$;

-- One that cannot work, to see what happens then.
CREATE FUNCTION packages.publish_report(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'the report server does not answer'
		USING HINT = 'This handler of the demo always fails.';
END $$;

SELECT taskq.register_handler('index_package', 'packages.index_package(jsonb)',
	description => 'store a package and its search vector', version => '1.0.0');
SELECT taskq.register_handler('link_dependencies', 'packages.link_dependencies(jsonb)',
	description => 'edges to the packages it needs', version => '1.0.0');
SELECT taskq.register_handler('publish_report', 'packages.publish_report(jsonb)',
	description => 'always fails', version => '1.0.0',
	max_attempts => 3, retry_policy => 'exponential', retry_base => '300 ms');
-- no function: programs outside the server claim this type
SELECT taskq.register_handler('measure_package', NULL,
	description => 'sizes of a package''s files, by an external worker');
