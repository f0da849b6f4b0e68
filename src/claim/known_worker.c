/*
 * known_worker.c
 *	  What a session remembers of the workers that it claims for.
 *
 * A program claims many times for the same worker.  So the session keeps the
 * worker's registration, its routes, and whether the claiming role may use it.  The
 * entry is valid until the version of the configuration or that of the
 * registrations changes.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/names.h"
#include "config/stale.h"
#include "claim/known_worker.h"
#include "claim/standing.h"
#include "store/catalog.h"
#include "store/owner.h"

#define MAX_KNOWN_WORKERS 4 /* a session behind a pooler may claim for several workers in turn */

static KnownWorker known_workers[MAX_KNOWN_WORKERS];
static uint64	   uses = 0;

/* Are two arguments the same, element for element? */
static bool
AreSame(const ArrayType *a, const ArrayType *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

static bool
IsFor(const KnownWorker *known, const WorkerName *name, const ArrayType *narrow, const ArrayType *tenants)
{
	return known->is_used && WorkerNamesEqual(&known->name, name) && known->caller == GetUserId() &&
		   AreSame(known->worker.base.narrow, narrow) && AreSame(known->worker.base.narrow_tenants, tenants);
}

/* Return the entry of this worker, or else the least recently used one. */
static KnownWorker *
ChooseEntry(const WorkerName *name, const ArrayType *narrow, const ArrayType *tenants)
{
	KnownWorker *oldest = &known_workers[0];

	for (int i = 0; i < MAX_KNOWN_WORKERS; i++)
	{
		if (IsFor(&known_workers[i], name, narrow, tenants))
			return &known_workers[i];
		if (known_workers[i].used < oldest->used)
			oldest = &known_workers[i];
	}
	oldest->is_used = false;
	return oldest;
}

/*
 * Read an entry again.  Read the versions first, so that a change after that causes
 * another read.
 */
static void
Load(KnownWorker *known, const WorkerName *name, ArrayType *narrow, ArrayType *tenants)
{
	MemoryContext old;

	known->is_used = false;
	if (known->context == NULL)
		known->context = AllocSetContextCreate(TopMemoryContext, "taskq known worker", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(known->context);
	known->place = (ClaimPlace){ .parent = known->context, .restarts = true };
	known->touch_at = 0;
	known->caller = GetUserId();
	known->config_version = ConfigVersion();
	known->workers_version = CatalogWorkersVersion();
	old = MemoryContextSwitchTo(known->context);
	narrow = NamesCopy(narrow);
	StandingOf(name, narrow, &known->worker);
	known->of_others = WorkerIsOfOthers(&known->worker, known->caller);
	known->worker.base.narrow = narrow;
	known->worker.base.narrow_tenants = NamesCopy(tenants);
	known->routes = EligibleRoutes(&known->worker.base);
	MemoryContextSwitchTo(old);
	if (known->worker.draining || StandingWhyNot(&known->worker, narrow) != REASON_NONE)
		known->routes.n = 0;
	strlcpy(known->worker_id, name->worker_id, sizeof(known->worker_id));
	strlcpy(known->instance_id, name->instance_id, sizeof(known->instance_id));
	known->name.worker_id = known->worker_id;
	known->name.instance_id = IsDefaultInstance(name) ? known->worker_id : known->instance_id;
	known->name.key = name->key;
	known->is_used = true;
}

/*
 * Return the worker that claims, with the routes it may be given.  Raises an error
 * if it may be given nothing at all.  The result is valid until the next call.  The
 * caller has accepted invalidation messages.
 */
KnownWorker *
KnownWorkerFind(const WorkerName *name, ArrayType *narrow, ArrayType *tenants, bool names_types)
{
	KnownWorker *known = ChooseEntry(name, narrow, tenants);

	known->used = ++uses;
	if (!known->is_used || known->config_version != ConfigVersion() ||
		known->workers_version != CatalogWorkersVersion())
		Load(known, name, narrow, tenants);
	if (known->of_others)
	{
		known->is_used = false;
		StandingRefuseOthers(name, known->worker.registered_by);
	}
	if (StandingWhyNot(&known->worker, narrow) != REASON_NONE)
	{
		/* Look it up again in the next call: a claim may register it without a message. */
		known->is_used = false;
		StandingRefuse(name, &known->worker, names_types);
	}
	return known;
}

/*
 * Return the worker of a claim that is under way, according to what is committed
 * now.  It may have been unregistered or drained since the claim began, or the right to
 * claim may have been revoked.  The current user is the owner here, so the role that claims is taken from the entry.
 */
const Claimant *
KnownWorkerNow(const ClaimRequest *request)
{
	const KnownWorker *known = request->known;
	ArrayType		  *narrow = known->worker.base.narrow;
	ExternalWorker	  *now;

	AssertOwner();
	if (ConfigVersion() != request->config_version && !MayExecute_compat(request->function, known->caller))
		return NULL;
	if (known->workers_version == CatalogWorkersVersion())
		return request->worker;
	now = palloc(sizeof(ExternalWorker));
	StandingRead(&known->name, narrow, known->worker.of_session, now);
	if (now->draining || StandingWhyNot(now, narrow) != REASON_NONE || WorkerIsOfOthers(now, known->caller))
		return NULL;
	now->base.narrow = narrow;
	now->base.narrow_tenants = known->worker.base.narrow_tenants;
	return &now->base;
}

/*
 * Note a claim of the worker, and whether it was given jobs.  The worker's row is
 * written only now and then.
 */
void
KnownWorkerHasClaimed(KnownWorker *known, bool has_jobs)
{
	if (known->touch_at <= ClockNow())
		known->touch_at = WorkerHasClaimed(&known->name, &known->worker, has_jobs);

	/* another session has registered it by a first claim, which sends no message */
	if (known->touch_at != 0 && known->worker.standing == WORKER_UNKNOWN)
		known->is_used = false;
}
