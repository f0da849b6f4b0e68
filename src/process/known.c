/*
 * known.c
 *	  What the launcher knows about the databases of the cluster.
 *
 * The launcher reads pg_database.  It ignores templates and databases that allow no
 * connections.
 */
#include "taskq.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "process/known.h"
#include "shared/counts.h"
#include "ready/key_lane.h"
#include "shared/budgets.h"
#include "shared/fair_share.h"
#include "shared/holders.h"
#include "shared/rates.h"
#include "shared/stats.h"

HTAB *known_databases;

void
KnownInit(void)
{
	HASHCTL ctl;

	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(Known);
	known_databases = hash_create("taskq databases", 32, &ctl, HASH_ELEM | HASH_BLOBS);
}

bool
KnownHasScheduler(Oid dboid)
{
	TaskqDatabase *db = ShmemDatabase(dboid, false);

	return db != NULL && db->scheduler_pid != 0;
}

bool
KnownIsBlocked(Oid dboid)
{
	TaskqDatabase *db = ShmemDatabase(dboid, false);

	return db != NULL && db->blocked > 0;
}

/* datconnlimit is -2 if a DROP DATABASE was interrupted */
static bool
MayBeProbed(Form_pg_database form)
{
	return !form->datistemplate && form->datallowconn && form->datconnlimit != -2;
}

/* Read the list of databases. */
void
KnownList(void)
{
	Relation		rel;
	TableScanDesc	scan;
	HeapTuple		tuple;
	HASH_SEQ_STATUS status;
	Known		   *entry;

	hash_seq_init(&status, known_databases);
	while ((entry = hash_seq_search(&status)) != NULL)
		entry->listed = false;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		bool			 found;

		if (!MayBeProbed(form))
			continue;
		entry = hash_search(known_databases, &form->oid, HASH_ENTER, &found);
		if (!found)
		{
			TaskqDatabase *db = ShmemDatabase(form->oid, false);

			/* a resting database is known to have taskq, even if this launcher is new */
			entry->probed = db != NULL && db->rests;
			entry->not_before = entry->started_at = entry->waits_since = 0;
			entry->failures = 0;
			entry->handle = NULL;
			entry->number = -1;
			entry->ended = entry->again = false;
		}
		entry->listed = true;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
}

/* Does the database still exist?  A probe of a dropped database would log a FATAL error. */
bool
KnownIsStillThere(Oid dboid)
{
	HeapTuple tuple;
	bool	  there;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(dboid));
	there = HeapTupleIsValid(tuple) && MayBeProbed((Form_pg_database) GETSTRUCT(tuple));
	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	CommitTransactionCommand();
	return there;
}

/* Forget a database in shared memory that has no scheduler.  The caller holds TaskqShared.lock. */
void
KnownForget(TaskqDatabase *db)
{
	StatsForgetDatabase(db->dboid);
	CountsForgetDatabase(db->dboid);
	HoldersForgetDatabase(db->dboid);
	KeyLanesForgetDatabase(db->dboid);
	FairShareForgetDatabase(db->dboid);
	RatesForgetDatabase(db->dboid);
	BudgetsForgetDatabase(db->dboid);
	ShmemForgetDatabase(db);
}

/* Forget dropped databases, and free their entries in shared memory. */
void
KnownForgetDropped(void)
{
	HASH_SEQ_STATUS status;
	Known		   *entry;

	hash_seq_init(&status, known_databases);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		TaskqDatabase *db;

		if (entry->listed)
			continue;
		db = ShmemDatabase(entry->dboid, false);
		LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
		if (db != NULL && db->scheduler_pid == 0 && db->blocked == 0)
			KnownForget(db);
		LWLockRelease(&taskq_shared->lock);
		if (entry->handle != NULL)
			pfree(entry->handle);
		(void) hash_search(known_databases, &entry->dboid, HASH_REMOVE, NULL);
	}
}

/*
 * Mark the databases for which a probe was requested.  Returns true if one of them
 * is not known yet.
 */
bool
KnownTakeProbeRequests(void)
{
	bool unknown = false;

	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < taskq_shared->n_databases; i++)
	{
		TaskqDatabase *db = &taskq_databases[i];
		Known		  *entry;

		if (!OidIsValid(db->dboid) || !db->probe || db->blocked > 0)
			continue;
		db->probe = false;
		entry = hash_search(known_databases, &db->dboid, HASH_FIND, NULL);
		if (entry == NULL)
			unknown = true;
		else
		{
			/* a running probe may have looked before the request */
			entry->again = entry->handle != NULL;
			entry->probed = false;
			entry->not_before = entry->started_at = 0;
		}
	}
	LWLockRelease(&taskq_shared->lock);
	return unknown;
}
