/*
 * worker_owner.c
 *	  Which roles may act for an external worker.
 *
 * A worker belongs to the role that registered it, by register_worker() or by its
 * first claim.  Epochs are no secret: they count up, and observers see them.  So who
 * settles a claim or sends its heartbeats must also be a member of that role.
 */
#include "taskq.h"

#include "access/genam.h"
#include "catalog/pg_collation.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "config/roles.h"
#include "config/stale.h"
#include "job/access.h"
#include "job/worker_owner.h"
#include "shared/shmem.h"
#include "store/catalog.h"
#include "store/columns.h"
#include "store/owner.h"

/* The last worker for which a role was found to be allowed to act, so that it is not looked up for each job. */
static struct
{
	char   worker_id[WORKER_ID_SIZE];
	Oid	   caller;
	uint64 workers_version;
	uint64 config_version;
	uint64 judgement_version;
} allowed = { "" };

/*
 * Find a worker's row with a snapshot.  The caller acts as the owner and has opened
 * the table.
 */
bool
WorkerFindRowAsOf(Store *store, const char *worker_id, Snapshot snapshot)
{
	ScanKeyData key;

	AssertOwner();
	Assert(StoreIs(store, REL_WORKERS));
	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid, DEFAULT_COLLATION_OID, F_TEXTEQ,
						   CStringGetTextDatum(worker_id));
	return StoreFind(store, CatalogRel(REL_WORKERS_PKEY), 1, &key, snapshot);
}

bool
WorkerFindRow(Store *store, const char *worker_id)
{
	Snapshot snapshot = StoreSnapshot();
	bool	 found = WorkerFindRowAsOf(store, worker_id, snapshot);

	UnregisterSnapshot(snapshot);
	return found;
}

/*
 * May the caller act for a worker?  This is allowed to members of the role that
 * registered it, and to roles with this kind of access.
 */
bool
WorkerIsOf(Oid registered_by, Oid caller, const char *access)
{
	return has_privs_of_role(caller, registered_by) || AccessHas(caller, access);
}

/* Raise an error unless the caller may act for the worker. */
void
WorkerCheckOwner(const char *worker_id, Oid registered_by, Oid caller, const char *what, const char *access)
{
	if (WorkerIsOf(registered_by, caller, access))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to %s worker \"%s\"", what, worker_id),
			 errdetail("It was registered by role \"%s\".", RoleNameOrOid(registered_by)),
			 errhint("A member of that role may, or a role with the access \"%s\".", access)));
}

static bool
IsKnownAsAllowed(const char *worker_id, Oid caller)
{
	return strcmp(allowed.worker_id, worker_id) == 0 && allowed.caller == caller &&
		   allowed.workers_version == CatalogWorkersVersion() &&
		   allowed.config_version == ConfigVersion() &&
		   allowed.judgement_version == ConfigJudgementVersion();
}

static void
NoteAllowed(const char *worker_id, Oid caller)
{
	strlcpy(allowed.worker_id, worker_id, sizeof(allowed.worker_id));
	allowed.caller = caller;
	allowed.workers_version = CatalogWorkersVersion();
	allowed.config_version = ConfigVersion();
	allowed.judgement_version = ConfigJudgementVersion();
}

/*
 * Raise an error unless the caller may act for the worker that has claimed the job.
 * If the registration was forgotten, nobody knows whose the worker was, and the epoch
 * must do.  That answer is not kept, because a first claim may register the id again.
 * The current user is the owner.
 */
void
WorkerCheckHolder(const TaskqJob *job, Oid caller)
{
	char *worker_id = text_to_cstring((text *) job->worker_id);
	Store workers;

	AssertOwner();
	if (IsKnownAsAllowed(worker_id, caller))
		return;
	StoreOpenRel(&workers, REL_WORKERS);
	if (WorkerFindRow(&workers, worker_id))
	{
		WorkerCheckOwner(worker_id, DatumGetObjectId(SlotDatum(workers.found, Anum_external_workers_registered_by)),
						 caller, "act for", "operator");
		NoteAllowed(worker_id, caller);
	}
	StoreClose(&workers, false);
}
