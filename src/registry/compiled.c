/*
 * compiled.c
 *	  Compiling functions separately for the session and for users' code in it.
 *
 * PL/pgSQL compiles a function at its first call in a session, and uses the result
 * for all later callers.  The compilation depends on the first caller: type names
 * are looked up in its search_path, and literals are read by its settings.  If both
 * the session and a validator of another role call the same function, the second
 * caller would run what was compiled for the first.
 *
 * A language finds a compiled function by the OID, and uses it only if the function's
 * row in pg_proc has not changed.  It compares the xmin and the position of the row.
 * So, while users' code runs, the copy of the row in the system cache is given another
 * xmin, a different one for each role and search_path.  The function is then compiled
 * again each time when the caller changes from the session to users' code or back.
 * Most functions have callers of one kind only, and are compiled once.  Nothing else
 * reads the xmin of such a copy.
 *
 * The constraints of domains are also planned once in a session.  They are discarded
 * each time when the caller changes in this way.
 *
 * In this file, a side is the session's own code, or users' code with one role and one
 * search_path; a row is disguised while it shows another xmin than its own.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "registry/compiled.h"

/* A side of users' code.  Its number is its index in the array, counted from 1. */
typedef struct Side
{
	Oid	  role;
	char *search_path;
} Side;

/* A function whose row is or was disguised. */
typedef struct Disguised
{
	Oid				function; /* the key */
	TransactionId	xmin;	  /* the xmin of the row */
	TransactionId	shown;	  /* the xmin that the cached copy shows */
	ItemPointerData tid;
} Disguised;

#define SIDE_BIT 0x80000000 /* not set in the number of a side, so that a shown xmin always differs from the real one */

static needs_fmgr_hook_type previous_needs_hook = NULL;
static fmgr_hook_type		previous_hook = NULL;

static Side	 *sides = NULL;
static uint32 n_sides = 0;
static uint32 max_sides = 0;
static HTAB	 *disguised = NULL;
static uint32 current = 0; /* number of the side; 0 for the session's own code */

/* disguises ---------------------------------------------------------------- */

/* Return the real xmin of a row, and store it in the entry. */
static TransactionId
RealXmin(Disguised *entry, bool is_new, HeapTuple tuple)
{
	TransactionId xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);

	/* the cache has read the row again since it was disguised */
	if (is_new || entry->shown != xmin || !ItemPointerEquals(&entry->tid, &tuple->t_self))
	{
		entry->xmin = xmin;
		entry->tid = tuple->t_self;
	}
	return entry->xmin;
}

/* Let a function's row show the xmin of a side, or its own if the side is 0. */
static void
Show(Oid function, uint32 side)
{
	HeapTuple	  tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Disguised	 *entry;
	bool		  found;
	TransactionId real;

	if (!HeapTupleIsValid(tuple))
		return;
	entry = hash_search(disguised, &function, HASH_ENTER, &found);
	real = RealXmin(entry, !found, tuple);
	entry->shown = side == 0 ? real : real ^ (side | SIDE_BIT);
	HeapTupleHeaderSetXmin(tuple->t_data, entry->shown);
	ReleaseSysCache(tuple);
}

/* Let all rows show their own xmin again. */
static void
UndisguiseAll(void)
{
	HASH_SEQ_STATUS status;
	Disguised	   *entry;

	hash_seq_init(&status, disguised);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (entry->shown != entry->xmin)
			Show(entry->function, 0);
}

/* hooks -------------------------------------------------------------------- */

/* Does a language keep what it has compiled of this function for the whole session? */
static bool
IsKept(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid		  language;

	if (!HeapTupleIsValid(tuple))
		return false;
	language = ((Form_pg_proc) GETSTRUCT(tuple))->prolang;
	ReleaseSysCache(tuple);
	return language != INTERNALlanguageId && language != ClanguageId &&
		   (language != SQLlanguageId || KEEPS_SQL_FUNCTIONS_COMPAT);
}

/* Called when a function is looked up.  Returns whether FunctionIsCalled() must be called at each of its calls. */
static bool
NeedsHook(Oid function)
{
	return (current != 0 && IsKept(function)) || (previous_needs_hook && previous_needs_hook(function));
}

/* Called at each call of a function that was looked up in users' code. */
static void
FunctionIsCalled(FmgrHookEventType event, FmgrInfo *flinfo, Datum *private)
{
	if (previous_hook)
		previous_hook(event, flinfo, private);
	if (event == FHET_START && disguised != NULL)
		Show(flinfo->fn_oid, current);
}

/* sides -------------------------------------------------------------------- */

static uint32
FindOrMakeSide(Oid role, const char *search_path)
{
	for (uint32 i = 0; i < n_sides; i++)
		if (sides[i].role == role && strcmp(sides[i].search_path, search_path) == 0)
			return i + 1;
	if (n_sides == max_sides)
	{
		uint32 more = Max(8, max_sides * 2);

		if (sides == NULL)
			sides = MemoryContextAlloc(TopMemoryContext, sizeof(Side) * more);
		else
			sides = repalloc(sides, sizeof(Side) * more);
		max_sides = more;
	}
	sides[n_sides].search_path = MemoryContextStrdup(TopMemoryContext, search_path);
	sides[n_sides].role = role;
	return ++n_sides;
}

/* Discard the constraints of domains, and the plans that contain them. */
static void
ForgetDomains(void)
{
	CallSyscacheCallbacks(CONSTROID, 0);
	CallSyscacheCallbacks(TYPEOID, 0);
}

static void
ChangeTo(uint32 side)
{
	current = side;
	UndisguiseAll();
	ForgetDomains();
}

/*
 * Users' code of this role begins to run.  Returns what to pass to CompiledLeave(),
 * which must be called when the subtransaction of the code has ended.
 */
uint32
CompiledEnter(Oid role, const char *search_path)
{
	uint32 outer = current;
	uint32 side = FindOrMakeSide(role, search_path == NULL ? "" : search_path);

	if (disguised == NULL)
	{
		HASHCTL ctl = { .keysize = sizeof(Oid), .entrysize = sizeof(Disguised) };

		disguised = hash_create("taskq functions in users' code", 64, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	if (side != outer)
		ChangeTo(side);
	return outer;
}

void
CompiledLeave(uint32 outer)
{
	if (outer != current)
		ChangeTo(outer);
}

/* Called when the library is loaded. */
void
CompiledInit(void)
{
	previous_needs_hook = needs_fmgr_hook;
	needs_fmgr_hook = NeedsHook;
	previous_hook = fmgr_hook;
	fmgr_hook = FunctionIsCalled;
}
