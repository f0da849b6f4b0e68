/*
 * built.c
 *	  Values that success(), failure(), snooze() and decision() have built.
 *
 * A handler tells taskq its decision by returning a jsonb object.  A handler may
 * also return data that it was given, such as a payload.  Such data must not be
 * taken for a decision.  So an object with the member "$taskq" is used as one only
 * if one of these functions has built the same object in the same run or, when an
 * external worker settles a job, in the same transaction.
 *
 * A value is recognized by a hash.  Each value has a random member, so that no data
 * from outside is equal to it, even if the data has all its other members.
 */
#include "taskq.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "job/built.h"

typedef struct Built
{
	uint64 scope; /* number of the run; 0: outside a run */
	uint64 hash;
} Built;

static MemoryContext built_context = NULL;
static HTAB			*built = NULL;
static uint64		 scope = 0;
static uint64		 last_scope = 0;
static TimestampTz	 transaction; /* start of the transaction whose values are known */

/* Forget all values. */
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
	key->scope = scope;
	key->hash = hash_bytes_extended((unsigned char *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), 0);
}

/* Return the random member of a new value, as text. */
char *
BuiltNonce(void)
{
	uint32 nonce[2];

	if (!pg_strong_random(nonce, sizeof(nonce)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random number")));
	return psprintf("%08x%08x", nonce[0], nonce[1]);
}

/* Outside a run, forget the values of earlier transactions. */
static void
ForgetEarlier(void)
{
	if (scope != 0 || transaction == GetCurrentTransactionStartTimestamp())
		return;
	Forget();
	transaction = GetCurrentTransactionStartTimestamp();
}

/* Return a number for a new run. */
uint64
BuiltNewScope(void)
{
	ForgetEarlier();
	return ++last_scope;
}

/* Begin to note values for this run; returns the scope around it. */
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

/* Note that a value was built. */
void
BuiltNote(Jsonb *value)
{
	Built key;

	ForgetEarlier();
	if (built == NULL)
		MakeTable();
	MakeKey(&key, value);
	(void) hash_search(built, &key, HASH_ENTER, NULL);
}

/* Was this value built in this run or, outside a run, in this transaction? */
bool
BuiltHere(Jsonb *value)
{
	Built key;

	if (built == NULL || (scope == 0 && transaction != GetCurrentTransactionStartTimestamp()))
		return false;
	MakeKey(&key, value);
	return hash_search(built, &key, HASH_FIND, NULL) != NULL;
}
