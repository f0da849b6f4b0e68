/*
 * tenant.c
 *	  Tenants to which workers are bound.
 *
 * A worker or pool may be bound to tenants; then it is given their jobs only.  A tenant that
 * one is bound to has routes of its own, so that the tenant is a part of the choice as the
 * task type is: a bound worker never reads the jobs of others, and is woken for its own.
 * Other tenants, of which there may be any number, share the routes without a tenant.
 *
 * Such a tenant has a row, which is made when the first worker is bound to it, and stays
 * while one may be.  Jobs that wait already then are moved to the new routes by the
 * scheduler (process/keep_tenants.c).
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/names.h"
#include "base/text.h"
#include "config/cache.h"
#include "config/changes.h"
#include "config/stale.h"
#include "config/tenant.h"
#include "store/owner.h"
#include "store/row.h"

#define MAX_BOUND_TENANTS 10000			 /* of a database: each may have as many routes as there are without it */
#define NOTED_FOR USECS_PER_HOUR		 /* a binding is noted again after this time */
#define REMEMBERED (24 * USECS_PER_HOUR) /* an unused row stays so long after the last binding was noted */

/* A binding is noted while its transaction is open.  It is not forgotten before that has been committed for long. */
typedef struct BoundTenant
{
	char		tenant_id[TASKQ_NAME_MAX + 1];
	TimestampTz bound_at;
} BoundTenant;

static void *
ReadTenant(TupleTableSlot *slot)
{
	BoundTenant	  *bound = palloc0(sizeof(BoundTenant));
	BoundTenantRow row;

	RowReadBoundTenant(&row, slot);
	strlcpy(bound->tenant_id, row.tenant_id, sizeof(bound->tenant_id));
	bound->bound_at = row.bound_at;
	return bound;
}

static ConfigCache tenants = {
	.rel = REL_BOUND_TENANTS,
	.name = "taskq bound tenants",
	.read = ReadTenant,
};

static const BoundTenant *
Find(const char *tenant_id)
{
	char key[TASKQ_NAME_MAX + 1] = { 0 };

	strlcpy(key, tenant_id, sizeof(key));
	return ConfigFind(&tenants, key);
}

/* Is a worker or pool bound to the tenant, or was one lately? */
bool
TenantIsBound(const char *tenant_id)
{
	return TenantsAnyBound() && Find(tenant_id) != NULL;
}

/* Are there such tenants?  Most installations have none. */
bool
TenantsAnyBound(void)
{
	return ConfigCount(&tenants) > 0;
}

/* Return a number that changes when one is added. */
uint64
TenantsVersion(void)
{
	return ConfigTableVersion(REL_BOUND_TENANTS);
}

static void
CheckCount(int n_new)
{
	if (ConfigCount(&tenants) + n_new > MAX_BOUND_TENANTS)
		ereport(ERROR,
				(errcode(ERRCODE_TQ_LIMIT_EXCEEDED),
				 errmsg("workers are bound to too many tenants"),
				 errdetail("All workers of a database can be bound to %d tenants together.", MAX_BOUND_TENANTS),
				 errhint("Bind a worker to few tenants, or give groups of tenants queues of their own. A tenant to which no worker is bound is forgotten after a day.")));
}

/*
 * Note that a worker is bound to these tenants, of which there may be none.  Returns whether
 * one of them is new.  Others wait for this transaction only if they bind a worker to a new
 * tenant, too.
 */
bool
TenantsBind(ArrayType *names)
{
	int			n;
	char	  **all = names == NULL ? NULL : NamesToStrings(names, &n, "tenants");
	TimestampTz now = ClockNow();
	Oid			types[] = { TEXTARRAYOID, TIMESTAMPTZOID };
	Datum		values[2];
	int			n_new = 0;
	int			n_noted = 0;

	for (int i = 0; all != NULL && i < n; i++)
	{
		const BoundTenant *bound = Find(all[i]);

		n_new += bound == NULL ? 1 : 0;
		if (bound == NULL || ClockHasPassed(bound->bound_at, NOTED_FOR))
			all[n_noted++] = all[i];
	}
	if (n_noted == 0)
		return false;
	CheckCount(n_new);
	values[0] = PointerGetDatum(StringsToNames(all, n_noted));
	values[1] = TimestampTzGetDatum(now);
	/* in one order, so that two transactions do not wait for each other */
	(void) OwnerRun("INSERT INTO taskq.bound_tenants (tenant_id, bound_at)"
					" SELECT t, $2 FROM (SELECT DISTINCT t FROM unnest($1) t) t ORDER BY t COLLATE \"C\""
					" ON CONFLICT (tenant_id) DO UPDATE SET bound_at = EXCLUDED.bound_at",
					lengthof(types), types, values, NULL);
	for (int i = 0; i < n_noted; i++)
		ConfigNameChanged(REL_BOUND_TENANTS, all[i]);
	return n_new > 0;
}

/*
 * Forget tenants to which no worker or pool is bound any more.  Their jobs stay in their
 * routes, and new ones have routes without a tenant.
 */
void
TenantsForgetUnused(void)
{
	Oid	  types[] = { TIMESTAMPTZOID };
	Datum values[] = { TimestampTzGetDatum(ClockNow() - REMEMBERED) };

	if (OwnerRun("DELETE FROM taskq.bound_tenants WHERE tenant_id = ANY (ARRAY("
				 " SELECT tenant_id FROM taskq.bound_tenants b WHERE bound_at < $1"
				 "  AND NOT EXISTS (SELECT FROM taskq.pool_defs p WHERE b.tenant_id = ANY (p.tenants))"
				 "  AND NOT EXISTS (SELECT FROM taskq.external_workers w WHERE b.tenant_id = ANY (w.tenants))"
				 " FOR UPDATE SKIP LOCKED))",
				 lengthof(types), types, values, NULL) > 0)
		ConfigRowsChanged(REL_BOUND_TENANTS);
}
