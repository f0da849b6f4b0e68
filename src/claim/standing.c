/*
 * standing.c
 *	  Deciding whether a worker id may claim jobs at all.
 *
 * A worker is given only jobs that somebody has asked for on its behalf: by a
 * registration, or by task types that the call names.  The exception is a session
 * that names no worker id and no types.  It is a person at a prompt, and is given
 * jobs of all external types.  An id whose registration has ended is given nothing
 * until it is registered again.  Otherwise the last claims of a program that is
 * leaving would take jobs that it never asked for.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/error.h"
#include "base/guc.h"
#include "claim/external_worker_row.h"
#include "claim/standing.h"
#include "config/roles.h"

#define SESSION_PREFIX "session:"

/*
 * Return the worker id of a session that names none.  Each role that claims in the
 * session has its own id, because a registration belongs to the role that makes it.
 * A SECURITY DEFINER function must not register the worker of its caller.
 */
char *
SessionWorkerId(void)
{
	return psprintf(SESSION_PREFIX "%d-%lx-%u", MyProcPid, (long) (MyStartTimestamp / USECS_PER_SEC), GetUserId());
}

static bool
IsReserved(const char *worker_id)
{
	return strncmp(worker_id, SESSION_PREFIX, strlen(SESSION_PREFIX)) == 0;
}

/* Refuse an id that is reserved for sessions. */
void
StandingRefuseReserved(const char *worker_id)
{
	if (!IsReserved(worker_id))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_RESERVED_NAME),
			 errmsg("worker id \"%s\" is reserved", worker_id),
			 errdetail("Ids that begin with \"" SESSION_PREFIX "\" are those of sessions that claim without one."),
			 errhint("Use another id, or claim without one.")));
}

/* Raise an error for an instance that has no registration. */
void
StandingRefuseUnknown(const WorkerName *name)
{
	if (!IsReserved(name->worker_id))
		WorkerNotRegistered(name);
	ereport(ERROR,
			(errcode(ERRCODE_TQ_WORKER_NOT_REGISTERED),
			 errmsg("%s is not registered", WorkerNameText(name)),
			 errdetail("Ids that begin with \"" SESSION_PREFIX "\" are those of sessions that claim without one."),
			 errhint("Such a worker is registered by the first claim of its session.")));
}

/* Refuse an instance of a worker that has none: a background worker, or a session. */
void
StandingCheckInstance(const WorkerName *name)
{
	if (IsDefaultInstance(name) || (!IsServerWorkerId(name->worker_id) && !IsReserved(name->worker_id)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("worker \"%s\" has no instances", name->worker_id),
			 errdetail("Only external workers with an id of their own have instances."),
			 errhint("Give the worker_id of such a worker, or leave out instance_id.")));
}

/*
 * Check the worker id of a call that claims.  If it is a session's id, it must be
 * that of this session.  Such a claim is refused in a security-restricted
 * operation, such as REFRESH MATERIALIZED VIEW, because the user who started that
 * operation did not ask for jobs.
 */
void
StandingCheckSession(const WorkerName *name)
{
	if (!IsReserved(name->worker_id))
		return;
	if (strcmp(name->worker_id, SessionWorkerId()) != 0)
		StandingRefuseReserved(name->worker_id);
	StandingCheckInstance(name);
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot claim jobs without a worker id within security-restricted operation"),
				 errdetail("Maintenance commands such as REFRESH MATERIALIZED VIEW run code in the sessions of others."),
				 errhint("Claim in a statement of its own.")));
}

/*
 * Read the worker of a claim for these types.  "narrow" is NULL if the call names
 * no types.
 */
void
StandingOf(const WorkerName *name, ArrayType *narrow, ExternalWorker *worker)
{
	StandingRead(name, narrow, strcmp(name->worker_id, SessionWorkerId()) == 0, worker);
}

/* Like StandingOf(), but the caller says whether the call names no worker id. */
void
StandingRead(const WorkerName *name, ArrayType *narrow, bool of_session, ExternalWorker *worker)
{
	WorkerFind(name, worker);
	worker->of_session = of_session;
	if (worker->standing == WORKER_REGISTERED || worker->standing == WORKER_ENDED)
		return;

	/* a claim that forgets its instance_id would not count against that instance's max_concurrent_jobs */
	worker->needs_instance = worker->standing == WORKER_UNKNOWN && IsDefaultInstance(name) && !of_session &&
							 WorkerHasInstances(name->worker_id, true);

	/* without types, a call is for the types of earlier calls, or, in a session, for all */
	if (narrow != NULL || worker->of_session)
		worker->base.task_types = narrow;
}

/* Return why the worker may not claim for these types at all, or REASON_NONE if it may. */
ReasonCode
StandingWhyNot(const ExternalWorker *worker, const ArrayType *narrow)
{
	switch (worker->standing)
	{
		case WORKER_REGISTERED:
			return REASON_NONE;
		case WORKER_ENDED:
			return REASON_WORKER_UNREGISTERED;
		case WORKER_UNKNOWN:
		case WORKER_IMPLICIT:
			break;
	}
	if (!taskq_implicit_workers)
		return REASON_WORKER_NOT_REGISTERED;
	if (worker->needs_instance)
		return REASON_WORKER_NAMES_NO_INSTANCE;
	if (worker->standing == WORKER_UNKNOWN && narrow == NULL && !worker->of_session)
		return REASON_WORKER_NAMES_NO_TYPES;
	return REASON_NONE;
}

/*
 * Raise an error for a worker that may not claim.  "names_types" says whether the
 * call has an argument for task types.
 */
void
StandingRefuse(const WorkerName *name, const ExternalWorker *worker, bool names_types)
{
	if (worker->standing == WORKER_ENDED)
		ereport(ERROR,
				(errcode(ERRCODE_TQ_WORKER_NOT_REGISTERED),
				 errmsg("%s was unregistered", WorkerNameText(name)),
				 errdetail("That was at %s.", timestamptz_to_str(worker->ended_at)),
				 errhint("Stop claiming for it, or register it anew with taskq.register_worker().")));
	if (!taskq_implicit_workers)
		ereport(ERROR,
				(errcode(ERRCODE_TQ_WORKER_NOT_REGISTERED),
				 errmsg("%s is not registered", WorkerNameText(name)),
				 errdetail("taskq.implicit_workers is off, so only registered workers are given jobs."),
				 errhint("Register a worker with taskq.register_worker(), and claim under its id.")));
	if (WorkerHasInstances(name->worker_id, false))
		WorkerNotRegistered(name);
	ereport(ERROR,
			(errcode(ERRCODE_TQ_WORKER_NOT_REGISTERED),
			 errmsg("%s is not registered", WorkerNameText(name)),
			 errdetail("Nothing says which task types it takes."),
			 names_types ? errhint("Register it with taskq.register_worker(), or name the task types in the call.") : errhint("Register it with taskq.register_worker().")));
}

/* Refuse a claim that began under an earlier registration of the id, which has ended. */
void
StandingRefuseReplaced(const WorkerName *name, TimestampTz registered_at)
{
	ereport(ERROR,
			(errcode(ERRCODE_TQ_WORKER_NOT_REGISTERED),
			 errmsg("%s was unregistered while this call waited", WorkerNameText(name)),
			 errdetail("It was registered anew at %s.", timestamptz_to_str(registered_at)),
			 errhint("Stop claiming for it, or claim again under the new registration.")));
}

/*
 * Refuse a claim for a worker of another role.  The jobs would count against the
 * limit of that role's worker, and its heartbeats would return the epochs of these
 * jobs.
 */
void
StandingRefuseOthers(const WorkerName *name, Oid registered_by)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to claim jobs for %s", WorkerNameText(name)),
			 WorkerDetailRole(name, registered_by),
			 errhint("Use another worker id. Programs that share one log in as the same role, or as members of it.")));
}
