/*
 * rights.c
 *	  Revoking privileges on taskq's objects from everybody but the owner.  Only
 *	  grant_access() gives privileges to others.
 *
 * New objects have the privileges that ALTER DEFAULT PRIVILEGES defines, for any
 * roles: on tables, including the privilege to create triggers, on functions,
 * sequences, types and the schema itself.  These privileges are revoked on all
 * objects when the script has created them, on each leaf when it is created, and on
 * the tables of a database that is adopted, because its leaves come from a dump.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "store/owner.h"
#include "store/rights.h"

/*
 * Build statements that revoke all privileges on these objects, one for each object
 * and role that has any.
 */
#define STATEMENTS(objects)                                                                 \
	"SELECT DISTINCT format('REVOKE ALL ON %s %s FROM %s CASCADE', o.kind, o.name,"         \
	"  CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END)"                \
	" FROM (" objects ") o (kind, name, acl, owner) CROSS JOIN LATERAL aclexplode(o.acl) a" \
	" LEFT JOIN pg_roles r ON r.oid = a.grantee"                                            \
	" WHERE a.grantee <> o.owner AND (a.grantee = 0 OR r.oid IS NOT NULL)"

#define IS_TABLE \
	" c.relnamespace = 'taskq'::regnamespace AND c.relkind IN ('r', 'p') AND ($1 IS NULL OR c.relname = $1)"

/* including columns */
#define TABLES                                                                                           \
	"SELECT 'TABLE', format('taskq.%I', c.relname), c.relacl, c.relowner FROM pg_class c WHERE" IS_TABLE \
	" UNION ALL SELECT 'TABLE', format('taskq.%I', c.relname), t.attacl, c.relowner"                     \
	" FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid WHERE" IS_TABLE " AND t.attacl IS NOT NULL"

/* PUBLIC may use them by default */
#define ROW_TYPES                                                                                               \
	"SELECT 'TYPE', format('taskq.%I', t.typname), COALESCE(t.typacl, acldefault('T', t.typowner)), t.typowner" \
	" FROM pg_class c JOIN pg_type t ON t.oid = c.reltype WHERE" IS_TABLE

#define THE_REST                                                                                                           \
	"SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, format('taskq.%I', c.relname), c.relacl, c.relowner" \
	" FROM pg_class c WHERE c.relnamespace = 'taskq'::regnamespace AND c.relkind IN ('v', 'S')"                            \
	" UNION ALL SELECT 'TYPE', format('taskq.%I', t.typname), COALESCE(t.typacl, acldefault('T', t.typowner)), t.typowner" \
	" FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid"                                                           \
	" WHERE t.typnamespace = 'taskq'::regnamespace AND t.typtype IN ('c', 'd', 'e') AND COALESCE(c.relkind, 'c') = 'c'"    \
	" UNION ALL SELECT 'ROUTINE', p.oid::regprocedure::text, COALESCE(p.proacl, acldefault('f', p.proowner)), p.proowner"  \
	" FROM pg_proc p WHERE p.pronamespace = 'taskq'::regnamespace"                                                         \
	" UNION ALL SELECT 'SCHEMA', n.nspname::text, n.nspacl, n.nspowner FROM pg_namespace n WHERE n.nspname = 'taskq'"

static void
Revoke(const char *query, const char *table)
{
	Oid			   types[] = { TEXTOID };
	Datum		   values[] = { table == NULL ? (Datum) 0 : CStringGetTextDatum(table) };
	uint64		   n = OwnerExecute(query, 1, types, values, table == NULL ? "n" : NULL);
	SPITupleTable *found = SPI_tuptable;

	for (uint64 i = 0; i < n; i++)
		OwnerExecute(SPI_getvalue(found->vals[i], found->tupdesc, 1), 0, NULL, NULL, NULL);
}

/*
 * Revoke privileges on row types.  What a script grants or revokes is recorded in
 * pg_init_privs, but pg_dump warns of each record of a row type, so there are to be
 * none.  Row types are not dumped themselves.
 */
static void
RevokeOnRowTypes(const char *table)
{
	bool before = creating_extension;

	creating_extension = false;
	PG_TRY();
	{
		Revoke(STATEMENTS(ROW_TYPES), table);
	}
	PG_FINALLY();
	{
		creating_extension = before;
	}
	PG_END_TRY();
}

/* Revoke privileges on everything in the schema.  The caller is the owner, in SPI. */
void
RightsRevokeAll(void)
{
	AssertOwner();
	Revoke(STATEMENTS(TABLES " UNION ALL " THE_REST), NULL);
	RevokeOnRowTypes(NULL);
}

/* Revoke privileges on all tables, or on one.  The caller is the owner, in SPI. */
void
RightsRevokeOnTables(const char *table)
{
	AssertOwner();
	Revoke(STATEMENTS(TABLES), table);
	RevokeOnRowTypes(table);
}
