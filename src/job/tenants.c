/*
 * tenants.c
 *	  The tenants whose jobs the caller may see, which the views use, or enqueue.
 *
 * As with other rights, the current user decides.  An observer of some tenants sees
 * their jobs, and those of the tenants of all roles whose rights it has.  An
 * observer without a list sees all jobs, and so do the extension's owner and
 * superusers.  taskq.tenant_id restricts that to one tenant.
 *
 * Functions in a view run as the role that reads the view, so they check the right
 * role.  Code that reads a view as the owner has checked the caller before.
 */
#include "taskq.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/args.h"
#include "base/guc.h"
#include "base/signature.h"
#include "base/text.h"
#include "config/roles.h"
#include "config/stale.h"
#include "job/access.h"
#include "job/job.h"
#include "job/tenants.h"
#include "store/catalog.h"
#include "store/columns.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(taskq_sees_tenant);
PG_FUNCTION_INFO_V1(taskq_sees_all_tenants);

/* One row of taskq.access_grants. */
typedef struct Grant
{
	Oid	  role;
	char  access[TASKQ_NAME_MAX + 1];
	List *tenants; /* of char *; NIL means all */
} Grant;

/* All rows, as of grants_version. */
static MemoryContext grants_context = NULL;
static List			*grants = NIL;
static uint64		 grants_version = 0;

static void
AddGrant(TupleTableSlot *slot, void *arg)
{
	MemoryContext old = MemoryContextSwitchTo(grants_context);
	Grant		 *grant = palloc0(sizeof(Grant));

	grant->role = DatumGetObjectId(SlotDatum(slot, Anum_access_grants_role));
	strlcpy(grant->access, SlotString(slot, Anum_access_grants_access), sizeof(grant->access));
	if (!SlotIsNull(slot, Anum_access_grants_tenants))
	{
		int	   n;
		char **tenants = NamesToStrings(DatumGetArrayTypePCopy(SlotDatum(slot, Anum_access_grants_tenants)), &n, "tenants");

		for (int i = 0; i < n; i++)
			grant->tenants = lappend(grant->tenants, tenants[i]);
	}
	grants = lappend(grants, grant);
	MemoryContextSwitchTo(old);
}

/* Return the grants of all roles.  Each enqueue needs them, so they are cached. */
static List *
Grants(void)
{
	uint64 version = ConfigTableVersion(REL_GRANTS);

	if (grants_version == version)
		return grants;
	grants_version = 0;
	grants = NIL;
	if (grants_context == NULL)
		grants_context = AllocSetContextCreate(TopMemoryContext, "taskq grants", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(grants_context);
	StoreScan(REL_GRANTS, AddGrant, NULL);
	grants_version = version;
	return grants;
}

/*
 * What the caller was granted of one kind of access, by its own rights and those of
 * its roles.
 */
typedef struct Granted
{
	bool  any;
	bool  all;	   /* granted without a list of tenants */
	List *tenants; /* of char * */
} Granted;

static Granted
GrantedToCaller(AccessKind kind)
{
	Granted	  granted = { 0 };
	ListCell *cell;

	foreach (cell, Grants())
	{
		Grant *grant = lfirst(cell);

		/* a row whose role has lost the right is only left over, and may be of another role by now */
		if (strcmp(grant->access, AccessName(kind)) != 0 || !has_privs_of_role(GetUserId(), grant->role) || !AccessHas(grant->role, kind))
			continue;
		granted.any = true;
		if (grant->tenants == NIL)
			granted.all = true;
		granted.tenants = list_concat_copy(granted.tenants, grant->tenants);
	}
	return granted;
}

/* Format a list of names for an error message. */
static char *
NamesText(List *list)
{
	StringInfoData text;
	ListCell	  *cell;

	initStringInfo(&text);
	foreach (cell, list)
		appendStringInfo(&text, "%s%s", text.len > 0 ? ", " : "", (char *) lfirst(cell));
	return text.data;
}

static ArrayType *
NamesOfList(List *list)
{
	char	**strings = palloc(sizeof(char *) * (list_length(list) + 1));
	ListCell *cell;

	foreach (cell, list)
		strings[foreach_current_index(cell)] = lfirst(cell);
	return StringsToNames(strings, list_length(list));
}

/*
 * Is the caller a superuser or the extension's owner?  These have the rights of all
 * roles.
 */
static bool
IsUnlimited(void)
{
	return has_privs_of_role(GetUserId(), CatalogOwner());
}

/*
 * Return the tenants whose jobs the caller sees.  NULL means all jobs, including
 * those without a tenant.  If the caller is no observer, it sees all jobs or none,
 * according to "without_access".
 */
ArrayType *
TenantsSeen(bool without_access)
{
	Granted granted = GrantedToCaller(ACCESS_OBSERVER);
	char   *narrow = taskq_tenant_id;
	bool	all = IsUnlimited() || (granted.any ? granted.all : without_access);

	if (narrow[0] == '\0')
		return all ? NULL : NamesOfList(granted.tenants);
	if (all || NamesContain(NamesOfList(granted.tenants), narrow))
		return StringsToNames(&narrow, 1);
	return StringsToNames(NULL, 0);
}

/*
 * Return the tenants that the caller was granted as a producer.  Their jobs are its
 * own, too.
 */
ArrayType *
TenantsProduced(void)
{
	return NamesOfList(GrantedToCaller(ACCESS_PRODUCER).tenants);
}

/*
 * Return the tenant of a job that the caller enqueues, or raise an error if the
 * caller may not enqueue jobs of the given tenant.  A producer with a single tenant
 * need not name it.
 */
struct varlena *
TenantToEnqueue(struct varlena *tenant)
{
	Granted granted;

	if (IsUnlimited())
		return tenant;
	granted = GrantedToCaller(ACCESS_PRODUCER);
	if (!granted.any || granted.all)
		return tenant;
	if (tenant == NULL && list_length(granted.tenants) == 1)
		return TextOrNull(linitial(granted.tenants));
	if (tenant == NULL || !NamesContain(NamesOfList(granted.tenants), text_to_cstring((text *) tenant)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 tenant == NULL ? errmsg("role \"%s\" may not enqueue jobs of no tenant", RoleNameOrOid(GetUserId())) : errmsg("role \"%s\" may not enqueue jobs of tenant \"%s\"", RoleNameOrOid(GetUserId()), text_to_cstring((text *) tenant)),
				 errdetail("It was granted: %s.", NamesText(granted.tenants)),
				 errhint("Name one of these in tenant_id, or have an admin grant the tenant with taskq.grant_access().")));
	return tenant;
}

/* Does a job that runs in a worker belong to one of these tenants? */
bool
TenantsSeeRunning(ArrayType *tenants, int64 job_id)
{
	Store	 jobs;
	TaskqJob job;
	bool	 seen = false;

	if (tenants == NULL)
		return true;
	StoreOpenRel(&jobs, REL_JOBS);
	if (StoreFindById(&jobs, CatalogRel(REL_JOBS_PKEY), job_id, GetActiveSnapshot()))
	{
		JobRead(&job, jobs.found);
		seen = job.tenant_id != NULL && NamesContain(tenants, text_to_cstring((text *) job.tenant_id));
	}
	StoreClose(&jobs, false);
	return seen;
}

/* What TenantsSeen() returned, kept per statement and call site. */
typedef struct Seen
{
	Oid		   user;
	ArrayType *tenants;
} Seen;

static ArrayType *
SeenByStatement(FunctionCallInfo fcinfo)
{
	Seen *seen = fcinfo->flinfo->fn_extra;

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
	ArrayType *tenants;

	CheckCall(fcinfo);
	tenants = SeenByStatement(fcinfo);
	if (tenants == NULL)
		PG_RETURN_BOOL(true);
	PG_RETURN_BOOL(!PG_ARGISNULL(0) && NamesContain(tenants, text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

Datum
taskq_sees_all_tenants(PG_FUNCTION_ARGS)
{
	CheckCall(fcinfo);
	PG_RETURN_BOOL(SeenByStatement(fcinfo) == NULL);
}
