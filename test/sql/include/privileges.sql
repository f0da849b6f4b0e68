-- The rights of each kind of access, from the catalogs: a line of the table in
-- doc/security.md for each object. Run this in a transaction that is rolled back,
-- because it creates a role for each kind of access.
CREATE FUNCTION pg_temp.privileges() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	kinds constant text[] := '{producer,worker,observer,operator,admin}';
	kind text;
BEGIN
	FOREACH kind IN ARRAY kinds LOOP
		EXECUTE format('CREATE ROLE regress_privileges_%s', kind);
		PERFORM taskq.grant_access(format('regress_privileges_%s', kind)::regrole, kind);
	END LOOP;
	RETURN QUERY
	WITH objects (what, name, owner, acl, all_rights) AS (
		SELECT 'schema', nspname::text, nspowner, nspacl, acldefault('n', nspowner)
		FROM pg_namespace WHERE oid = 'taskq'::regnamespace
		UNION ALL
		SELECT CASE prokind WHEN 'p' THEN 'procedure' ELSE 'function' END,
			proname || CASE WHEN count(*) OVER (PARTITION BY proname) > 1 THEN format('(%s)', oidvectortypes(proargtypes)) ELSE '' END,
			proowner, proacl, acldefault('f', proowner)
		FROM pg_proc WHERE pronamespace = 'taskq'::regnamespace
		UNION ALL
		-- (a partition counts as its parent: other rights would show in its line)
		SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' ELSE 'table' END,
			regexp_replace(relname, '_[0-9]{8}$', ''), relowner,
			COALESCE(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))
				|| COALESCE((SELECT array_agg(a) FROM pg_attribute, unnest(attacl) a WHERE attrelid = c.oid), '{}'),
			acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)
		FROM pg_class c WHERE relnamespace = 'taskq'::regnamespace AND relkind NOT IN ('i', 'I', 'c', 't')
		UNION ALL
		SELECT 'type', typname::text, typowner, typacl, acldefault('T', typowner)
		FROM pg_type t WHERE typnamespace = 'taskq'::regnamespace AND typelem = 0
			AND (typtype <> 'c' OR EXISTS (SELECT FROM pg_class WHERE oid = t.typrelid AND relkind = 'c'))
	), rights AS (
		SELECT DISTINCT what, name, n, CASE
			WHEN cardinality(a.has) > 1 AND a.has @> ARRAY(SELECT privilege_type FROM aclexplode(all_rights) WHERE grantee = owner) THEN 'all'
			ELSE lower(array_to_string(a.has, ', ')) END AS has
		FROM objects, LATERAL (
			SELECT format('regress_privileges_%s', k)::regrole::oid, n FROM unnest(kinds) WITH ORDINALITY AS u (k, n)
			UNION ALL VALUES (0::oid, 6), (owner, 7)) AS w (grantee, n), LATERAL (
			SELECT ARRAY(SELECT DISTINCT privilege_type FROM aclexplode(COALESCE(acl, all_rights)) x WHERE x.grantee = w.grantee ORDER BY 1) AS has) a
	)
	SELECT format('| %s `%s` | %s |', what, name, string_agg(has, ' | ' ORDER BY n))
	FROM rights GROUP BY what, name ORDER BY what COLLATE "C", name COLLATE "C";
END $$;
