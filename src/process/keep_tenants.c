/*
 * keep_tenants.c
 *	  Moving waiting jobs of tenants to which workers are bound to the routes of these.
 *
 * When a worker is bound to a tenant for the first time, jobs of the tenant may wait already,
 * in routes without a tenant.  The worker is not given them there.  So all live jobs are
 * looked at, in the order of their ids and some at a time, and those of such tenants are
 * moved.
 *
 * Two kinds of jobs can be missed: those of a transaction that does not know of the binding
 * yet, and those whose rows others have locked.  So all jobs are looked at again until every
 * transaction that was open before has ended, and no locked row was met.  A job that runs
 * meanwhile is given the right route when it begins to wait again (job/transition.c).
 */
#include "taskq.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "base/clock.h"
#include "config/route_care.h"
#include "config/tenant.h"
#include "job/lane.h"
#include "process/keep_tenants.h"
#include "store/owner.h"

#define MAX_LOOKED 2000				   /* rows, in one transaction */
#define MIN_PAUSE (USECS_PER_SEC / 10) /* between two looks at all jobs */
#define MAX_PAUSE USECS_PER_MINUTE

static uint64		 seen = 0; /* TenantsVersion() of the jobs that were looked at */
static bool			 looking = false;
static int64		 after;		 /* jobs up to this id were looked at */
static bool			 final;		 /* this look finds all jobs whose rows are not locked */
static bool			 met_locked; /* this look has met a locked row */
static TransactionId known_from; /* older transactions may not know of all bindings; invalid: there is nothing to do */
static int64		 wait_next;	 /* before the next look */
static TimestampTz	 began_at;	 /* when this look began */

/* Due at the start, when a worker is bound to another tenant, and while there may be jobs to move. */
TimestampTz
TenantsDue(const WorkPast *past)
{
	if (past->changed)
		return DT_NOBEGIN;
	return past->next;
}

static void
Begin(void)
{
	looking = true;
	after = PG_INT64_MIN;
	met_locked = false;
	began_at = ClockNow();
	final = RoutesKnownToAll(known_from);
}

/* Move a job, if nobody has locked its row. */
static void
Move(int64 job_id)
{
	Store	 jobs;
	TaskqJob job;

	switch (JobOpenAndLockWaiting(&jobs, job_id, &job))
	{
		case STORE_LOCKED:
			if (JobIsOpen(jobs.found))
				(void) JobMoveToTenant(&jobs, &job);
			break;
		case STORE_BUSY:
			met_locked = true;
			break;
		case STORE_GONE:
			break;
	}
	StoreClose(&jobs, true);
}

/* Look at the next jobs.  Returns false after the last one. */
static bool
LookAtSome(void)
{
	Oid			   types[] = { INT8OID, INT4OID };
	Datum		   values[] = { Int64GetDatum(after), Int32GetDatum(MAX_LOOKED) };
	OwnerScope	   scope;
	SPITupleTable *found;
	uint64		   n;
	int64		   last = after;

	OwnerEnterSpi(&scope);
	n = OwnerExecute("WITH part AS MATERIALIZED (SELECT job_id, route_id, gate, tenant_id FROM taskq.jobs"
					 "  WHERE job_id > $1 ORDER BY job_id LIMIT $2)"
					 " SELECT max(job_id), false FROM part HAVING count(*) > 0"
					 " UNION ALL SELECT s.job_id, true FROM part s JOIN taskq.routes r USING (route_id)"
					 "  JOIN taskq.bound_tenants b ON b.tenant_id = s.tenant_id"
					 "  WHERE s.gate IN ('o', 'l') AND r.tenant_id IS NULL",
					 lengthof(types), types, values, NULL);
	found = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
	{
		bool  isnull;
		int64 job_id = DatumGetInt64(SPI_getbinval(found->vals[i], found->tupdesc, 1, &isnull));

		if (DatumGetBool(SPI_getbinval(found->vals[i], found->tupdesc, 2, &isnull)))
			Move(job_id);
		else
			last = job_id;
	}
	OwnerLeaveSpi(&scope);
	after = last;
	return n > 0;
}

/* Forget what was found out if a worker was bound to another tenant.  Returns whether there is something to do. */
static bool
IsNeeded(void)
{
	if (seen != TenantsVersion())
	{
		seen = TenantsVersion();
		looking = false;
		wait_next = MIN_PAUSE;
		known_from = InvalidTransactionId;
		if (TenantsAnyBound())
			known_from = RoutesKnownFrom();
	}
	return TransactionIdIsValid(known_from);
}

/* Look at some jobs, and say when to look at the next. */
void
KeepTenants(WorkResult *result)
{
	result->next = DT_NOEND;
	if (!IsNeeded())
		return;
	if (!looking)
		Begin();
	if (LookAtSome())
		result->next = ClockNow();
	else if (final && !met_locked)
	{
		looking = false;
		known_from = InvalidTransactionId;
	}
	else
	{
		looking = false;
		/* with many jobs, do not look at them all the time while an old transaction is open */
		result->next = ClockNow() + Max(wait_next, 20 * (ClockNow() - began_at));
		wait_next = Min(wait_next * 2, MAX_PAUSE);
	}
}
