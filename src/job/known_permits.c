/*
 * known_permits.c
 *	  The free permits of a worker that this session knows.
 *
 * To find a free permit, a claim reads all jobs that the worker has (admit_permit.c).  So the
 * session remembers the permits that such a claim has seen free, and those of jobs that the
 * session has settled.  Each is kept with the number of its uses at a moment when it was free,
 * or when the run that ended still had it.  Whoever locks the permit and finds the same number
 * knows that nobody has used it since, so that it is free.
 *
 * This holds only while all jobs of the worker have permits up to the limit, and are of the
 * role that has registered it.  A claim that sees others keeps nothing.  They cannot come
 * later without another registration, which is a new version of the workers.
 *
 * A session mostly claims for one worker, so it knows the permits of one.  KnownPermitsAdd() is
 * called after a commit or abort: it allocates no memory and cannot fail.
 */
#include "taskq.h"

#include "job/known_permits.h"
#include "shared/permits.h"
#include "store/catalog.h"

#define MAX_KNOWN 256

static bool		   is_valid = false;
static PermitScope known_scope;
static uint64	   version; /* of the registrations */
static KnownPermit known[MAX_KNOWN];
static int		   n_known = 0;

void
KnownPermitsForget(void)
{
	is_valid = false;
	n_known = 0;
}

/* From now on remember the free permits of this worker. */
void
KnownPermitsBegin(const PermitScope *scope)
{
	KnownPermitsForget();
	known_scope = *scope;
	version = CatalogWorkersVersion();
	is_valid = PermitsCounted();
}

/* A permit was free when it had been used so often, or its run has ended since. */
void
KnownPermitsAdd(uint64 worker_key, KnownPermit permit)
{
	if (!is_valid || worker_key != known_scope.worker_key || permit.number > known_scope.max_concurrent_jobs)
		return;

	/* no permit is here twice: a claim would find its own lock, and use it twice */
	for (int i = 0; i < n_known; i++)
		if (known[i].number == permit.number)
		{
			known[i] = permit;
			return;
		}
	if (n_known < MAX_KNOWN)
		known[n_known++] = permit;
}

/* Return a permit that may still be free, and forget it.  Returns false if none is known. */
bool
KnownPermitsNext(const PermitScope *scope, KnownPermit *permit)
{
	if (!is_valid || n_known == 0)
		return false;
	if (scope->worker_key != known_scope.worker_key || scope->owner != known_scope.owner ||
		scope->max_concurrent_jobs != known_scope.max_concurrent_jobs || version != CatalogWorkersVersion())
	{
		KnownPermitsForget();
		return false;
	}
	*permit = known[--n_known];
	return true;
}
