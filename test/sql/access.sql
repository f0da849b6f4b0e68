-- Rights: PUBLIC has none, and each kind of access has those that are documented.
\set ECHO none
\i test/sql/include/tap.sql
\i test/sql/include/jobs.sql
BEGIN;
SELECT plan(76);
CREATE ROLE regress_access LOGIN;

-- The functions, views and types of taskq that a role may use.
CREATE FUNCTION pg_temp.rights(r text) RETURNS text[] LANGUAGE sql AS $$
SELECT array_agg(DISTINCT o COLLATE "C" ORDER BY o COLLATE "C") FROM (
	SELECT proname::text AS o FROM pg_proc WHERE pronamespace = 'taskq'::regnamespace AND has_function_privilege(r, oid, 'EXECUTE')
	UNION ALL
	SELECT relname FROM pg_class WHERE relnamespace = 'taskq'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
		AND CASE relkind WHEN 'S' THEN has_sequence_privilege(r, oid, 'USAGE,SELECT,UPDATE')
			ELSE has_table_privilege(r, oid, 'SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER') OR has_any_column_privilege(r, oid, 'SELECT,INSERT,UPDATE,REFERENCES') END
	UNION ALL
	SELECT 'TYPE ' || typname FROM pg_type t WHERE typnamespace = 'taskq'::regnamespace AND typtype IN ('c', 'd', 'e') AND has_type_privilege(r, oid, 'USAGE')
		AND (typtype <> 'c' OR EXISTS (SELECT FROM pg_class WHERE oid = t.typrelid AND relkind = 'c'))
	UNION ALL
	SELECT 'SCHEMA' WHERE has_schema_privilege(r, 'taskq', 'USAGE')
	UNION ALL
	SELECT 'SCHEMA CREATE' WHERE has_schema_privilege(r, 'taskq', 'CREATE')) x
$$;

-- to nobody -------------------------------------------------------------------
SELECT is(pg_temp.rights('regress_access'), NULL, 'a role without access has no right');
SELECT is_empty($$ SELECT oid::regprocedure FROM pg_proc, aclexplode(COALESCE(proacl, acldefault('f', proowner))) a WHERE pronamespace = 'taskq'::regnamespace AND a.grantee = 0 $$,
	'PUBLIC may execute no function');
SELECT is_empty($$ SELECT oid::regclass FROM pg_class, aclexplode(relacl) a WHERE relnamespace = 'taskq'::regnamespace AND a.grantee = 0 $$, 'PUBLIC has no right on any table, view or sequence');
SELECT is_empty($$ SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'taskq'::regnamespace AND prosecdef $$, 'no function is SECURITY DEFINER');
SELECT is_empty($$ SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'taskq'::regnamespace AND prolang <> (SELECT oid FROM pg_language WHERE lanname = 'c') $$,
	'all functions are in C, so that no body depends on the search_path');
SELECT is_empty($$ SELECT oid::regclass FROM pg_class WHERE relnamespace = 'taskq'::regnamespace AND relkind = 'v' AND NOT COALESCE('security_barrier=true' = ANY (reloptions), false) $$,
	'every view is a security barrier');

-- each kind of access ---------------------------------------------------------
-- The documented rights: the table in doc/security.md, which is generated from the
-- catalogs, and "Rights:" of each function in doc/taskq.md, which is not.
\set doc `sed -n '/script.privileges -->$/,/^<!-- end/p' doc/security.md`
\set functions `sed -n '/^## Functions/,/^## Type/p' doc/taskq.md`
\i test/sql/include/privileges.sql
SELECT set_config('regress.functions', :'functions', true) \gset
CREATE TEMP TABLE lines AS SELECT line FROM regexp_split_to_table(:'doc', '\n') line WHERE line LIKE '| % `%';
CREATE TEMP TABLE privileges AS SELECT line FROM pg_temp.privileges() line;
SELECT is_empty($$ SELECT line FROM privileges EXCEPT SELECT line FROM lines $$, 'doc/security.md has every right in the catalogs (if it lacks one that is intended: make privileges)');
SELECT is_empty($$ SELECT line FROM lines EXCEPT SELECT line FROM privileges $$, 'doc/security.md has no other right (if it has one that is intended: make privileges)');
CREATE TEMP TABLE documented AS
SELECT u.access, array_agg(DISTINCT CASE m[1] WHEN 'schema' THEN 'SCHEMA' WHEN 'type' THEN 'TYPE ' || m[2] ELSE m[2] END) AS rights
FROM lines, regexp_match(line, '^\| (\w+) `(\w+).*?` \| (.*) \|$') m, unnest(string_to_array(m[3], ' | '), '{producer,worker,observer,operator,admin,PUBLIC,owner}'::text[]) u (cell, access)
WHERE u.cell <> '' AND u.access NOT IN ('PUBLIC', 'owner') GROUP BY u.access;
SELECT results_eq($$
	SELECT DISTINCT (regexp_matches(heading, '`(?:CALL )?(\w+)\(', 'g'))[1] COLLATE "C", array_to_string(ARRAY(SELECT regexp_matches(rights, 'producer|worker|observer|operator|admin', 'g') ORDER BY 1), ',')
	FROM regexp_split_to_table(current_setting('regress.functions'), '\n#### ') section, substring(section, '^[^\n]*') heading, COALESCE(substring(section, '\mRights:\s*([^.;]*)'), '') rights
	WHERE heading LIKE '`%' ORDER BY 1 $$, $$
	SELECT DISTINCT proname::text COLLATE "C", COALESCE((SELECT string_agg(access, ',' ORDER BY access COLLATE "C") FROM documented WHERE proname = ANY (rights)), '')
	FROM pg_proc WHERE pronamespace = 'taskq'::regnamespace ORDER BY 1 $$, 'each function is in doc/taskq.md with its rights');
CREATE FUNCTION pg_temp.documented(VARIADIC kinds text[]) RETURNS text[] LANGUAGE sql AS
	$$ SELECT array_agg(DISTINCT r COLLATE "C" ORDER BY r COLLATE "C") FROM documented, unnest(rights) r WHERE access = ANY (kinds) $$;
-- Check what a role may use after it was granted these kinds of access, and that it
-- may use nothing else.
CREATE FUNCTION pg_temp.given(VARIADIC kinds text[]) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	r text[];
BEGIN
	PERFORM taskq.grant_access('regress_access', k) FROM unnest(kinds) k;
	r := pg_temp.rights('regress_access');
	PERFORM taskq.revoke_access('regress_access', k) FROM unnest(kinds) k;
	RETURN r;
END $$;
SELECT is(pg_temp.given(access), pg_temp.documented(access), access || ' gives what is documented, and nothing more') FROM documented ORDER BY access COLLATE "C";
SELECT is(pg_temp.rights('regress_access'), NULL, 'revoke_access() revokes all rights, also that on the schema');
SELECT is(pg_temp.given('producer', 'worker', 'observer', 'operator', 'admin'), pg_temp.documented('producer', 'worker', 'observer', 'operator', 'admin'), 'all kinds of access together give all documented rights');
SELECT is_empty($$ SELECT proname FROM pg_proc WHERE pronamespace = 'taskq'::regnamespace AND proname <> 'announce_installation'
	EXCEPT SELECT unnest(pg_temp.documented('producer', 'worker', 'observer', 'operator', 'admin')) $$, 'each function except announce_installation() belongs to a kind of access');

SELECT taskq.grant_access('regress_access', 'producer'), taskq.grant_access('regress_access', 'worker') \gset
SELECT taskq.grant_access('regress_access', 'producer') \gset
SELECT is(taskq.revoke_access('regress_access', 'producer'), true, 'revoke_access() returns true for an access that was granted twice');
SELECT is(pg_temp.rights('regress_access'), pg_temp.documented('worker'), 'revoke_access() keeps rights that another kind of access gives');
SELECT is(taskq.revoke_access('regress_access', 'producer'), false, 'revoke_access() returns false if there is nothing to revoke');
SELECT taskq.revoke_access('regress_access', 'worker') \gset
SELECT is(pg_temp.rights('regress_access'), NULL, 'revoking the last kind of access leaves no right');
SELECT throws_ok($$ SELECT taskq.grant_access('regress_access', 'root') $$, '22023', 'unknown access "root"', 'an unknown kind of access is refused');
SELECT throws_ok($$ SELECT taskq.grant_access(NULL, 'worker') $$, '22004', NULL, 'role must not be NULL');
SELECT throws_ok($$ SELECT taskq.grant_access('regress_access', NULL) $$, '22004', NULL, 'access must not be NULL');
SELECT throws_ok($$ SELECT taskq.grant_access(1, 'worker') $$, '42704', NULL, 'an unknown role oid is refused');
CREATE ROLE "Regress; DROP" LOGIN;
SELECT lives_ok($$ SELECT taskq.grant_access('"Regress; DROP"', 'producer') $$, 'a role name may contain any characters');
SELECT is(pg_temp.rights('Regress; DROP'), pg_temp.documented('producer'), 'a role with such a name gets its rights');

-- every function without rights -----------------------------------------------
GRANT USAGE ON SCHEMA taskq TO regress_access;
SELECT is_empty($$ SELECT proname FROM pg_proc WHERE pronamespace = 'taskq'::regnamespace
	AND pg_temp.as_role('regress_access', format('%s taskq.%I(%s)', CASE prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END, proname,
		(SELECT string_agg('NULL::' || format_type(t, NULL), ', ') FROM unnest(proargtypes) t))) IS DISTINCT FROM '42501' $$,
	'every function is refused to a role without the right to call it');
REVOKE USAGE ON SCHEMA taskq FROM regress_access;

-- each kind is enough for its work --------------------------------------------
SELECT taskq.register_handler('access-a'), taskq.create_queue('access-q'), taskq.grant_access('regress_access', 'producer') \gset
INSERT INTO j SELECT 'one', pg_temp.as_role('regress_access', $$ SELECT taskq.enqueue_job('access-a', queue => 'access-q') $$)::bigint;
SELECT is(pg_temp.state('one'), 'available 0', 'a producer enqueues a job');
SELECT is(pg_temp.as_role('regress_access', $$ SELECT count(*) FROM taskq.enqueue_jobs('access-a', '{1,2}') $$), '2', 'a producer enqueues several jobs');
SELECT is(pg_temp.as_role('regress_access', $$ SELECT state FROM taskq.all_jobs $$), '42501', 'a producer cannot read all_jobs');
SELECT is(pg_temp.as_role('regress_access', $$ SELECT payload FROM taskq.jobs $$), '42501', 'a producer cannot read tables');
SELECT is(pg_temp.as_role('regress_access', $$ SELECT taskq.claim_job() $$), '42501', 'a producer cannot claim');
SELECT taskq.revoke_access('regress_access', 'producer'), taskq.grant_access('regress_access', 'worker') \gset
SELECT is(pg_temp.as_role('regress_access', $$ SELECT taskq.register_worker('access-w', '{access-a}', '{access-q}') $$), 'true', 'a worker registers');
SELECT is(pg_temp.as_role('regress_access', $$ SELECT taskq.complete_job(job_id, epoch, '1') FROM taskq.claim_job('access-w') $$), 'true', 'a worker claims and completes a job');
SELECT is(role, 'regress_access', 'the registration belongs to the worker''s role') FROM taskq.workers WHERE worker_id = 'access-w';
SELECT is(pg_temp.as_role('regress_access', $$ SELECT (c).job_id > 0 FROM taskq.claim_job('access-w2', '{access-a}') c $$), 'true', 'a worker claims without registering');
SELECT is(role, 'regress_access', 'an implicit registration belongs to the worker''s role') FROM taskq.workers WHERE worker_id = 'access-w2';
SELECT is(pg_temp.as_role('regress_access', $$ SELECT taskq.enqueue_job('access-a') $$), '42501', 'a worker cannot enqueue');
SELECT taskq.revoke_access('regress_access', 'worker'), taskq.grant_access('regress_access', 'observer') \gset
SELECT isnt(pg_temp.as_role('regress_access', format('SELECT count(*) FROM taskq.%I', relname)), '42501', 'an observer reads ' || relname)
FROM pg_class WHERE relnamespace = 'taskq'::regnamespace AND relkind = 'v' ORDER BY relname COLLATE "C";
SELECT is(pg_temp.as_role('regress_access', 'SELECT count(*) > 3 FROM taskq.status()'), 'true', 'an observer reads status()');
SELECT is(pg_temp.as_role('regress_access', format('SELECT taskq.cancel_job(%s)', pg_temp.id('one'))), '42501', 'an observer cannot cancel jobs');
SELECT taskq.revoke_access('regress_access', 'observer'), taskq.grant_access('regress_access', 'operator') \gset
SELECT is(pg_temp.as_role('regress_access', $$ SELECT taskq.pause_queue('access-q') AND taskq.resume_queue('access-q') $$), 'true', 'an operator pauses and resumes queues');
SELECT is(pg_temp.as_role('regress_access', $$ SELECT taskq.pause_handler('access-a') AND taskq.resume_handler('access-a') $$), 'true', 'an operator pauses and resumes types');
SELECT is(pg_temp.as_role('regress_access', $$ SELECT taskq.drain_worker('access-w') $$), 'true', 'an operator drains workers');
SELECT is(pg_temp.as_role('regress_access', format('SELECT taskq.retry_job(%s, true) AND taskq.discard_job(%1$s)', pg_temp.id('one'))), 'true', 'an operator puts back and discards jobs');
SELECT taskq.revoke_access('regress_access', 'operator'), taskq.grant_access('regress_access', 'admin') \gset
CREATE SCHEMA access AUTHORIZATION regress_access;
SET LOCAL ROLE regress_access;
CREATE FUNCTION access.h(taskq.job) RETURNS jsonb LANGUAGE sql AS 'SELECT to_jsonb($1.job_id)';
RESET ROLE;
SELECT is(pg_temp.as_role('regress_access', $$ SELECT taskq.register_handler('access-h', 'access.h(taskq.job)') $$), '', 'an admin creates a handler that takes the job, and registers it');
SELECT is(pg_temp.as_role('regress_access', $$ SELECT taskq.create_queue('access-r') $$), '', 'an admin creates queues');
SELECT is(pg_temp.as_role('regress_access', $$ SELECT taskq.create_pool('access-p', 1) $$), '', 'an admin creates pools of its own role');
SELECT is(pg_temp.as_role('regress_access', $$ SELECT taskq.create_pool('access-s', 1, '"Regress; DROP"') $$), '42501', 'an admin cannot create pools of another role');
SELECT is(pg_temp.as_role('regress_access', $$ SELECT taskq.grant_access('"Regress; DROP"', 'worker') $$), '', 'an admin grants access to others');
SELECT is(pg_temp.rights('Regress; DROP'), pg_temp.documented('producer', 'worker'), 'the other role has the access');
SELECT is(pg_temp.as_role('regress_access', $$ SET taskq.max_payload_size = '1 GB' $$), '42501', 'an admin cannot change limits of the server');

-- everything has a comment ----------------------------------------------------
SELECT is_empty($$ SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'taskq'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL $$, 'every function has a comment');
SELECT is_empty($$ SELECT oid::regclass FROM pg_class WHERE relnamespace = 'taskq'::regnamespace AND relkind IN ('r', 'p', 'v') AND relname !~ '^(job_history|event_log)_[0-9]{8}$'
	AND obj_description(oid, 'pg_class') IS NULL $$, 'every table and view has a comment');
SELECT is_empty($$ SELECT oid::regtype FROM pg_type t WHERE typnamespace = 'taskq'::regnamespace AND typtype IN ('c', 'e', 'd') AND obj_description(oid, 'pg_type') IS NULL
	AND (typtype <> 'c' OR EXISTS (SELECT FROM pg_class WHERE oid = t.typrelid AND relkind = 'c')) $$, 'every type has a comment');
SELECT is_empty($$ SELECT attrelid::regclass, attname FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = 'taskq'::regnamespace AND relkind IN ('v', 'c')
	AND attnum > 0 AND NOT attisdropped AND col_description(attrelid, attnum) IS NULL $$, 'every column of a view or type has a comment');
SELECT isnt(obj_description('taskq'::regnamespace, 'pg_namespace'), NULL, 'the schema has a comment');
SELECT is_empty($$ SELECT oid::regclass FROM pg_class c WHERE relnamespace = 'taskq'::regnamespace AND relkind = 'r' AND NOT EXISTS
	(SELECT FROM pg_constraint WHERE conrelid = c.oid AND contype = 'p') $$, 'every table has a primary key');

SELECT * FROM finish();
ROLLBACK;
