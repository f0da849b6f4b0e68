/*
 * claimant.c
 *	  What a session knows of the workers that it claims for.
 *
 * A program claims again and again for the one worker that it is.  So its
 * registration and its routes are kept, under the version of the configuration
 * and that of the registrations, until one of them changes; so is whether the role
 * that claims may claim for it.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "claim/claimant.h"
#include "claim/standing.h"
#include "claim/unregister.h"
#include "store/catalog.h"

#define MAX_CLAIMANTS 4 /* a session behind a pooler may claim for some by turns */

static Claimant claimants[MAX_CLAIMANTS];
static uint64	uses = 0;

static bool
IsFor(const Claimant *claimant, const char *worker_id, const ArrayType *narrow)
{
	const ArrayType *known = claimant->worker.base.narrow;

	if (strcmp(claimant->worker_id, worker_id) != 0 || claimant->caller != GetUserId() || (known == NULL) != (narrow == NULL))
		return false;
	return narrow == NULL ||
		   (VARSIZE(known) == VARSIZE(narrow) && memcmp(known, narrow, VARSIZE(narrow)) == 0);
}

/* The one for this worker, or the one that was not used for longest. */
static Claimant *
Choose(const char *worker_id, const ArrayType *narrow)
{
	Claimant *oldest = &claimants[0];

	for (int i = 0; i < MAX_CLAIMANTS; i++)
	{
		if (IsFor(&claimants[i], worker_id, narrow))
			return &claimants[i];
		if (claimants[i].used < oldest->used)
			oldest = &claimants[i];
	}
	oldest->worker_id[0] = '\0';
	return oldest;
}

/* Read it anew.  The versions go first: what changes after them is read again. */
static void
Load(Claimant *claimant, const char *worker_id, ArrayType *narrow)
{
	MemoryContext old;

	claimant->worker_id[0] = '\0';
	if (claimant->context == NULL)
		claimant->context = AllocSetContextCreate(TopMemoryContext, "taskq claimant", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(claimant->context);
	claimant->touch_at = 0;
	claimant->caller = GetUserId();
	claimant->catalog_version = CatalogVersion();
	claimant->workers_version = CatalogWorkersVersion();
	old = MemoryContextSwitchTo(claimant->context);
	narrow = narrow == NULL ? NULL : DatumGetArrayTypePCopy(PointerGetDatum(narrow));
	StandingOf(worker_id, narrow, &claimant->worker);
	claimant->of_others = WorkerIsOfOthers(&claimant->worker);
	claimant->worker.base.narrow = narrow;
	claimant->routes = EligibleRoutes(&claimant->worker.base);
	MemoryContextSwitchTo(old);
	if (claimant->worker.draining || StandingWhyNot(&claimant->worker, narrow) != NULL)
		claimant->routes.n = 0;
	strlcpy(claimant->worker_id, worker_id, sizeof(claimant->worker_id));
}

/*
 * Who claims, and what may it be given?  An error when that is nothing at all.
 * Valid until the next call.  The caller has accepted what others have changed.
 */
Claimant *
ClaimantFind(const char *worker_id, ArrayType *narrow, bool names_types)
{
	Claimant *claimant = Choose(worker_id, narrow);

	claimant->used = ++uses;
	if (claimant->worker_id[0] == '\0' || claimant->catalog_version != CatalogVersion() ||
		claimant->workers_version != CatalogWorkersVersion())
		Load(claimant, worker_id, narrow);
	if (claimant->of_others)
	{
		claimant->worker_id[0] = '\0';
		StandingRefuseOthers(worker_id, claimant->worker.registered_by);
	}
	if (StandingWhyNot(&claimant->worker, narrow) != NULL)
	{
		/* looked up anew by the next call: a claim may register it unannounced */
		claimant->worker_id[0] = '\0';
		StandingRefuse(worker_id, &claimant->worker, names_types);
	}
	return claimant;
}

/* It has called, and was given jobs or none: now and then its row is to say so. */
void
ClaimantHasClaimed(Claimant *claimant, bool has_jobs)
{
	if (claimant->touch_at <= ClockNow())
		claimant->touch_at = WorkerHasClaimed(claimant->worker_id, &claimant->worker, has_jobs);

	/* somebody has registered it since it was read, by a first claim that tells nobody */
	if (claimant->touch_at != 0 && claimant->worker.standing == WORKER_UNKNOWN)
		claimant->worker_id[0] = '\0';
}
