/*
 * standing.c
 *	  May this id claim jobs at all?
 *
 * Nobody gets more than somebody has said of it.  A registration says it, or a
 * call that names task types.  Only a session that gives no id need not name
 * any: it is somebody at a prompt, and is given all external types.  An id whose
 * registration has ended gets nothing until it is registered anew, so that the
 * last claims of a program that leaves do not take what it never asked for.
 */
#include "taskq.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/error.h"
#include "base/guc.h"
#include "claim/standing.h"
#include "config/roles.h"

#define SESSION_PREFIX "session:"

/*
 * The id of a session that names none.  Each role that claims in the session has its
 * own, as a registration belongs to the role that makes it: a SECURITY DEFINER
 * function must not be the one that registers the worker of its caller.
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

/* The ids of sessions are not for others to use. */
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

/*
 * Check the id of a call that claims, if it is that of a session: it must be the
 * session's own.  In a security-restricted operation, such as REFRESH MATERIALIZED
 * VIEW, it is refused, because whoever started that did not ask for jobs.
 */
void
StandingCheckSession(const char *worker_id)
{
	if (!IsReserved(worker_id))
		return;
	if (strcmp(worker_id, SessionWorkerId()) != 0)
		StandingRefuseReserved(worker_id);
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot claim jobs without a worker id within security-restricted operation"),
				 errdetail("Maintenance commands such as REFRESH MATERIALIZED VIEW run code in the sessions of others."),
				 errhint("Claim in a statement of its own.")));
}

/* Who claims for these types (NULL: it names none), and what may it be given? */
void
StandingOf(const char *worker_id, ArrayType *narrow, ExternalWorker *worker)
{
	StandingRead(worker_id, narrow, strcmp(worker_id, SessionWorkerId()) == 0, worker);
}

/* The same, when it is known whether the call gives no id. */
void
StandingRead(const char *worker_id, ArrayType *narrow, bool of_session, ExternalWorker *worker)
{
	WorkerFind(worker_id, worker);
	worker->of_session = of_session;
	if (worker->standing == WORKER_REGISTERED || worker->standing == WORKER_ENDED)
		return;

	/* a call without types is for those of earlier ones, but a session's for all */
	if (narrow != NULL || worker->of_session)
		worker->base.task_types = narrow;
}

/* Why may it not claim for these types at all?  NULL: it may. */
const char *
StandingWhyNot(const ExternalWorker *worker, const ArrayType *narrow)
{
	switch (worker->standing)
	{
		case WORKER_REGISTERED:
			return NULL;
		case WORKER_ENDED:
			return "the worker was unregistered";
		case WORKER_UNKNOWN:
		case WORKER_IMPLICIT:
			break;
	}
	if (!taskq_implicit_workers)
		return "the worker is not registered, and taskq.implicit_workers is off";
	if (worker->standing == WORKER_UNKNOWN && narrow == NULL && !worker->of_session)
		return "the worker is not registered, and the call names no task types";
	return NULL;
}

/* The same as an error; does the call have an argument that names types? */
void
StandingRefuse(const char *worker_id, const ExternalWorker *worker, bool names_types)
{
	if (worker->standing == WORKER_ENDED)
		ereport(ERROR,
				(errcode(ERRCODE_TQ_WORKER_NOT_REGISTERED),
				 errmsg("worker \"%s\" was unregistered", worker_id),
				 errdetail("That was at %s.", timestamptz_to_str(worker->ended_at)),
				 errhint("Stop claiming for it, or register it anew with taskq.register_worker().")));
	if (!taskq_implicit_workers)
		ereport(ERROR,
				(errcode(ERRCODE_TQ_WORKER_NOT_REGISTERED),
				 errmsg("worker \"%s\" is not registered", worker_id),
				 errdetail("taskq.implicit_workers is off, so only registered workers are given jobs."),
				 errhint("Register it with taskq.register_worker().")));
	ereport(ERROR,
			(errcode(ERRCODE_TQ_WORKER_NOT_REGISTERED),
			 errmsg("worker \"%s\" is not registered", worker_id),
			 errdetail("Nothing says which task types it takes."),
			 names_types ? errhint("Register it with taskq.register_worker(), or name the task types in the call.") : errhint("Register it with taskq.register_worker().")));
}

/*
 * It is another role's.  Were it given jobs all the same, they would count against
 * that worker's limit, and their epochs be told to whoever sends its heartbeats.
 */
void
StandingRefuseOthers(const char *worker_id, Oid registered_by)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to claim jobs for worker \"%s\"", worker_id),
			 errdetail("It was registered by role \"%s\".", RoleNameOrOid(registered_by)),
			 errhint("Use another worker id. Programs that share one log in as the same role, or as members of it.")));
}
