/*
 * whose.c
 *	  Whose job it is, and who may ask about it and cancel it.
 *
 * The table of doc/security.md in C.  A job is its creator's, who is a role: the
 * one that has enqueued it.  It is also for those who were granted its tenant.
 * Whoever may not know of a job is answered as if there were none, whatever the
 * job does and wherever it is.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/error.h"
#include "base/guc.h"
#include "config/adopt.h"
#include "config/roles.h"
#include "job/history.h"
#include "job/job.h"
#include "job/tenants.h"
#include "job/whose.h"
#include "store/catalog.h"
#include "store/owner.h"

/* Has the caller the right to call one of taskq's functions? */
static bool
MayCall(const char *name, const Oid *args, int n_args)
{
	Oid function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
								   PointerGetDatum(buildoidvector(args, n_args)),
								   ObjectIdGetDatum(CatalogSchema()));

	return OidIsValid(function) && MayExecute_compat(function, GetUserId());
}

/* Is the caller a worker: may it settle what has been claimed? */
bool
WhoseMayWork(void)
{
	static const Oid args[] = { INT8OID, INT8OID, JSONBOID };

	return MayCall("complete_job", args, lengthof(args));
}

/* Is the caller an operator: may it end any job? */
bool
WhoseMayOperate(void)
{
	static const Oid args[] = { INT8OID, TEXTOID };

	return MayCall("discard_job", args, lengthof(args));
}

/* what a caller may ------------------------------------------------------- */

/* Has the caller the rights of who has enqueued the job?  Roles of another cluster are nobody here. */
static bool
IsCreator(const TaskqJob *job)
{
	return OidIsValid(job->created_by) && job->created_at >= AdoptedRolesFrom() &&
		   has_privs_of_role(GetUserId(), job->created_by);
}

static bool
HasTenant(ArrayType *tenants, const TaskqJob *job)
{
	return job->tenant_id != NULL && NamesContain(tenants, text_to_cstring((text *) job->tenant_id));
}

/* taskq.tenant_id leaves a session nothing but the jobs of that tenant. */
static bool
IsNarrowedAway(const TaskqJob *job)
{
	char *narrow = taskq_tenant_id;

	return narrow[0] != '\0' && !HasTenant(StringsToNames(&narrow, 1), job);
}

static bool
MayCancel(const TaskqJob *job)
{
	if (IsNarrowedAway(job))
		return false;
	return IsCreator(job) || WhoseMayOperate() || HasTenant(TenantsProduced(), job);
}

static bool
MaySee(const TaskqJob *job)
{
	ArrayType *tenants;

	if (IsNarrowedAway(job))
		return false;
	if (MayCancel(job))
		return true;
	tenants = TenantsSeen(false);
	return tenants == NULL || HasTenant(tenants, job);
}

/* jobs -------------------------------------------------------------------- */

/* Ask about a job, be it live or finished; false also when there is none. */
static bool
Ask(int64 job_id, bool (*may)(const TaskqJob *job))
{
	Store		jobs;
	TaskqJob	job;
	TaskqEnding ending;
	OwnerScope	scope;
	Snapshot	snapshot;
	bool		live;

	OwnerEnter(&scope);
	snapshot = StoreSnapshot();
	StoreOpenRel(&jobs, REL_JOBS);
	live = StoreFindById(&jobs, CatalogRel(REL_JOBS_PKEY), job_id, snapshot);
	if (live)
	{
		JobRead(&job, jobs.found);
		if (job.tenant_id != NULL)
			job.tenant_id = PG_DETOAST_DATUM_COPY(PointerGetDatum(job.tenant_id));
	}
	StoreClose(&jobs, false);
	UnregisterSnapshot(snapshot);
	OwnerLeave(&scope);

	/* asked as the caller; neither creator nor tenant of a job ever changes */
	return (live || HistoryFind(job_id, &job, &ending)) && may(&job);
}

/* May the caller know what becomes of a job?  It says nothing if there is none. */
bool
WhoseMaySee(int64 job_id)
{
	return Ask(job_id, MaySee);
}

/* May the caller end it? */
bool
WhoseMayCancel(int64 job_id)
{
	return Ask(job_id, MayCancel);
}

/* The same words whether there is a job or not. */
void
WhoseNotSeen(int64 job_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_TQ_JOB_NOT_FOUND),
			 errmsg("job " INT64_FORMAT " does not exist", job_id),
			 errdetail("There is neither a live nor a finished job of this id that is for role \"%s\".",
					   RoleNameOrOid(GetUserId())),
			 errhint("Producers ask about the jobs that they have enqueued, or of tenants that they were granted; operators about all. Finished jobs are kept as long as their queue's retention says.")));
}
