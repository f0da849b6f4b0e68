/*
 * whose.c
 *	  Deciding who may see a job and who may cancel it.
 *
 * This implements the table in doc/security.md.  A job belongs to its creator, the
 * role that has enqueued it.  Roles that were granted the job's tenant may use it,
 * too.  A caller that may not know of a job gets the same answer as if the job did
 * not exist, in whatever state the job is.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/error.h"
#include "base/guc.h"
#include "config/adopt.h"
#include "config/roles.h"
#include "job/access.h"
#include "job/history.h"
#include "job/live.h"
#include "job/job.h"
#include "job/tenants.h"
#include "job/whose.h"

/* Is the caller a worker, which may settle claimed jobs? */
bool
WhoseMayWork(void)
{
	return AccessHas(GetUserId(), ACCESS_WORKER);
}

/* Is the caller an operator, which may end any job? */
bool
WhoseMayOperate(void)
{
	return AccessHas(GetUserId(), ACCESS_OPERATOR);
}

/* what a caller may ------------------------------------------------------- */

/*
 * Does the caller have the rights of the job's creator?  Role oids from another
 * cluster are ignored.
 */
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

/* Does taskq.tenant_id hide this job?  It restricts a session to the jobs of one tenant. */
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

/*
 * Check a live or finished job; returns false if the check fails or the job does
 * not exist.
 */
static bool
Ask(int64 job_id, bool (*may)(const TaskqJob *job))
{
	TaskqJob	job;
	TaskqEnding ending;

	/* check as the caller; the creator and the tenant of a job never change */
	return (LiveFind(job_id, &job) || HistoryFind(job_id, &job, &ending)) && may(&job);
}

/* May the caller see this job?  Returns false if the job does not exist. */
bool
WhoseMaySee(int64 job_id)
{
	return Ask(job_id, MaySee);
}

/* May the caller cancel this job? */
bool
WhoseMayCancel(int64 job_id)
{
	return Ask(job_id, MayCancel);
}

/* Raise the error for a job that the caller may not see or that does not exist. */
void
WhoseNotSeen(int64 job_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_TQ_JOB_NOT_FOUND),
			 errmsg("job " INT64_FORMAT " does not exist", job_id),
			 errdetail("No live or finished job has this id, or role \"%s\" may not see it.",
					   RoleNameOrOid(GetUserId())),
			 errhint("Producers ask about the jobs that they have enqueued, or of tenants that they were granted; operators about all. Finished jobs are kept as long as their queue's retention says.")));
}
