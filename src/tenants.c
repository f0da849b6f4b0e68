/*
 * tenants.c
 *	  Of which tenants the caller may see jobs: what the views ask.
 *
 * The current user decides, as for any right: an observer of some tenants sees
 * theirs, with those of the roles whose rights it has; an observer without a
 * list sees all, as the extension's owner does, and superusers.  taskq.tenant_id
 * narrows that to one of them.  A view's functions run as whoever reads the view,
 * so they ask about the right user; what reads a view as the owner has asked
 * before it became the owner.
 */
#include "taskq.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "args.h"
#include "catalog.h"
#include "guc.h"
#include "job.h"
#include "store.h"
#include "tenants.h"

PG_FUNCTION_INFO_V1(taskq_sees_tenant);
PG_FUNCTION_INFO_V1(taskq_sees_all_tenants);

/* Columns of taskq.access_grants, in order. */
enum
{
	G_ROLE = 1, G_ACCESS, G_TENANTS
};

/* What the caller was granted as an observer. */
typedef struct Granted
{
	bool		any;
	bool		all;
	List	   *tenants;		/* char * */
} Granted;

static void
AddGrant(TupleTableSlot *slot, void *arg)
{
	Granted    *granted = arg;

	if (strcmp(SlotString(slot, G_ACCESS), "observer") != 0 ||
		!has_privs_of_role(GetUserId(), DatumGetObjectId(SlotDatum(slot, G_ROLE))))
		return;
	granted->any = true;
	if (SlotIsNull(slot, G_TENANTS))
		granted->all = true;
	else
	{
		int			n;
		char	  **tenants = NamesToStrings(DatumGetArrayTypeP(SlotDatum(slot, G_TENANTS)), &n, "tenants");

		for (int i = 0; i < n; i++)
			granted->tenants = lappend(granted->tenants, tenants[i]);
	}
}

static ArrayType *
NamesOfList(List *list)
{
	char	  **strings = palloc(sizeof(char *) * (list_length(list) + 1));
	ListCell   *cell;

	foreach(cell, list)
		strings[foreach_current_index(cell)] = lfirst(cell);
	return StringsToNames(strings, list_length(list));
}

/*
 * The tenants whose jobs the caller sees; NULL stands for all jobs, also those
 * without a tenant.  Who is no observer sees all or none, as the caller of this
 * function says.
 */
ArrayType *
TenantsSeen(bool without_access)
{
	Granted		granted = {0};
	char	   *narrow = taskq_tenant_id;
	bool		all;

	if (has_privs_of_role(GetUserId(), CatalogOwner()))
		all = true;
	else
	{
		StoreScan(REL_GRANTS, AddGrant, &granted);
		all = granted.any ? granted.all : without_access;
	}
	if (narrow[0] == '\0')
		return all ? NULL : NamesOfList(granted.tenants);
	if (all || NamesContain(NamesOfList(granted.tenants), narrow))
		return StringsToNames(&narrow, 1);
	return StringsToNames(NULL, 0);
}

/* Is a job that runs in a worker one of these tenants'? */
bool
TenantsSeeRunning(ArrayType *tenants, int64 job_id)
{
	Store		jobs;
	TaskqJob	job;
	bool		seen = false;

	if (tenants == NULL)
		return true;
	StoreOpen(&jobs, CatalogRel(REL_JOBS));
	if (StoreFindById(&jobs, CatalogRel(REL_JOBS_PKEY), job_id, GetActiveSnapshot()))
	{
		JobRead(&job, jobs.found);
		seen = job.tenant_id != NULL && NamesContain(tenants, text_to_cstring((text *) job.tenant_id));
	}
	StoreClose(&jobs, false);
	return seen;
}

/* Looked up once a statement, for each place where it calls. */
typedef struct Seen
{
	Oid			user;
	ArrayType  *tenants;
} Seen;

static ArrayType *
SeenByStatement(FunctionCallInfo fcinfo)
{
	Seen	   *seen = fcinfo->flinfo->fn_extra;

	if (seen == NULL || seen->user != GetUserId())
	{
		MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		seen = palloc(sizeof(Seen));
		seen->user = GetUserId();
		seen->tenants = TenantsSeen(false);
		fcinfo->flinfo->fn_extra = seen;
		MemoryContextSwitchTo(old);
	}
	return seen->tenants;
}

Datum
taskq_sees_tenant(PG_FUNCTION_ARGS)
{
	ArrayType  *tenants;

	CheckArgCount(fcinfo, 1);
	tenants = SeenByStatement(fcinfo);
	if (tenants == NULL)
		PG_RETURN_BOOL(true);
	PG_RETURN_BOOL(!PG_ARGISNULL(0) && NamesContain(tenants, text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

Datum
taskq_sees_all_tenants(PG_FUNCTION_ARGS)
{
	CheckArgCount(fcinfo, 0);
	PG_RETURN_BOOL(SeenByStatement(fcinfo) == NULL);
}
