/*
 * depends_on.c
 *	  The functions, schemas and roles on which it depends whether a handler can
 *	  run.
 *
 * When a handler is judged, the hash values that the functions and schemas which the
 * judgement uses have in the system caches are remembered.  An invalidation of a
 * system cache brings such a hash value.  If it is a remembered one, all handlers are
 * judged again when they are next looked up.  An invalidation of any other function or
 * schema costs one look into a hash table.
 *
 * There are few roles, and they seldom change.  So after any change of a role or of a
 * membership, all handlers are judged again.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "config/stale.h"
#include "config/depends_on.h"

/* Keys made by HashKey().  It is never emptied, because an unneeded entry only costs a judgement. */
static HTAB	 *hashes = NULL;
static uint32 my_database_hash = 0; /* 0 if not known yet */

static uint64
HashKey(int cacheid, uint32 hash)
{
	return ((uint64) cacheid << 32) | hash;
}

static void
Remember(int cacheid, uint32 hash)
{
	uint64	key = HashKey(cacheid, hash);
	HASHCTL ctl = { .keysize = sizeof(uint64), .entrysize = sizeof(uint64), .hcxt = TopMemoryContext };

	if (hashes == NULL)
		hashes = hash_create("taskq dependencies", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	if (my_database_hash == 0)
		my_database_hash = GetSysCacheHashValue1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
	(void) hash_search(hashes, &key, HASH_ENTER, NULL);
}

/* Remember the function with this OID. */
void
DependsOnFunction(Oid function)
{
	Remember(PROCOID, GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(function)));
}

/* Remember the function with this name and these argument types, whether it exists or not. */
void
DependsOnFunctionName(Oid schema, const char *name, int n_args, const Oid *args)
{
	Remember(PROCNAMEARGSNSP, GetSysCacheHashValue3(PROCNAMEARGSNSP, CStringGetDatum(name), PointerGetDatum(buildoidvector(args, n_args)),
													ObjectIdGetDatum(schema)));
}

/* Remember the schema with this OID. */
void
DependsOnSchema(Oid schema)
{
	Remember(NAMESPACEOID, GetSysCacheHashValue1(NAMESPACEOID, ObjectIdGetDatum(schema)));
}

/* Remember the schema with this name, whether it exists or not. */
void
DependsOnSchemaName(const char *name)
{
	Remember(NAMESPACENAME, GetSysCacheHashValue1(NAMESPACENAME, CStringGetDatum(name)));
}

/* Called when an entry of a system cache has changed.  With hash 0, any entry may have changed. */
static void
InvalidateRemembered(Datum arg, int cacheid, uint32 hash)
{
	uint64 key = HashKey(cacheid, hash);

	if (cacheid == PROCOID)
		StaleMarkCode();
	if (hash == 0 || (hashes != NULL && hash_search(hashes, &key, HASH_FIND, NULL) != NULL))
		StaleMarkJudgements();
}

/* Called when a role, a membership, or the privileges on a database have changed. */
static void
InvalidateByRole(Datum arg, int cacheid, uint32 hash)
{
	if (cacheid != DATABASEOID || hash == 0 || my_database_hash == 0 || hash == my_database_hash)
		StaleMarkJudgements();
}

void
DependsInit(void)
{
	CacheRegisterSyscacheCallback(PROCOID, InvalidateRemembered, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCNAMEARGSNSP, InvalidateRemembered, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, InvalidateRemembered, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACENAME, InvalidateRemembered, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, InvalidateByRole, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, InvalidateByRole, (Datum) 0);
	CacheRegisterSyscacheCallback(DATABASEOID, InvalidateByRole, (Datum) 0);
}
