/*
 * built.c
 *	  Values that success(), failure(), snooze() and decision() have built.
 *
 * What a handler means for taskq is an object like any other, and a handler may
 * return what it was given: a payload, or what others have written.  So that no
 * data can pass for it, an object with the member "$taskq" is looked at only if
 * one of these functions has built the very same in the same run, or, for the
 * settle of an external worker, in the same transaction.
 *
 * Values are known by two hashes with seeds that nobody outside knows.
 */
#include "taskq.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "job/built.h"

typedef struct Built
{
	uint64 scope; /* the run; 0: no run */
	uint64 hashes[2];
} Built;

static MemoryContext built_context = NULL;
static HTAB			*built = NULL;
static uint64		 scope = 0;
static uint64		 last_scope = 0;
static TimestampTz	 transaction; /* whose values of no run are known */

/* Forget all of them. */
static void
Forget(void)
{
	if (built != NULL)
		MemoryContextReset(built_context);
	built = NULL;
}

static void
MakeTable(void)
{
	HASHCTL ctl;

	if (built_context == NULL)
		built_context = AllocSetContextCreate(TopMemoryContext, "taskq built values", ALLOCSET_SMALL_SIZES);
	ctl.hcxt = built_context;
	ctl.keysize = ctl.entrysize = sizeof(Built);
	built = hash_create("taskq built values", 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
MakeKey(Built *key, Jsonb *value)
{
	static uint64 seeds[2];
	static bool	  seeded = false;

	if (!seeded)
	{
		if (!pg_strong_random(seeds, sizeof(seeds)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random seeds")));
		seeded = true;
	}
	key->scope = scope;
	for (int i = 0; i < lengthof(key->hashes); i++)
		key->hashes[i] = hash_bytes_extended((unsigned char *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), seeds[i]);
}

/* A number for a new run; nothing is known of earlier ones any more. */
uint64
BuiltNewScope(void)
{
	if (scope == 0)
		Forget();
	return ++last_scope;
}

/* From here on values are of this run; returns the scope around it. */
uint64
BuiltEnter(uint64 new_scope)
{
	uint64 outer = scope;

	scope = new_scope;
	return outer;
}

void
BuiltLeave(uint64 outer)
{
	scope = outer;
}

/* A value was built. */
void
BuiltNote(Jsonb *value)
{
	Built key;

	if (scope == 0 && transaction != GetCurrentTransactionStartTimestamp())
	{
		Forget();
		transaction = GetCurrentTransactionStartTimestamp();
	}
	if (built == NULL)
		MakeTable();
	MakeKey(&key, value);
	(void) hash_search(built, &key, HASH_ENTER, NULL);
}

/* Was this value built in this run, or without one in this transaction? */
bool
BuiltHere(Jsonb *value)
{
	Built key;

	if (built == NULL || (scope == 0 && transaction != GetCurrentTransactionStartTimestamp()))
		return false;
	MakeKey(&key, value);
	return hash_search(built, &key, HASH_FIND, NULL) != NULL;
}
