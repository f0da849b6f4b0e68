/*
 * prepared_end.c
 *	  What a prepared transaction has done to taskq, acted on when it ends.
 *
 * What a commit tells other processes (wake.c) and puts into the ready list is
 * kept by the backend that runs the transaction.  PREPARE TRANSACTION ends that,
 * and COMMIT PREPARED comes from any session, after a restart perhaps, as does
 * ROLLBACK PREPARED.  So all that is kept of a prepared transaction is that it was
 * one of taskq's: its number, in shared memory.  Once none of that number runs,
 * all that may have changed is looked at: the ready lists of the database are made
 * anew, the configuration is read anew, all who wait are woken, and the launcher
 * sees whether the database has taskq, which the transaction may have brought.
 * Transactions that had nothing to do with taskq cause none of this.
 *
 * The session that says COMMIT PREPARED looks at once (ddl.c).  The scheduler looks
 * now and then, for those that were ended in another way.  Of what was prepared
 * before the server started the numbers are not known until it has asked for them;
 * until then every end of a prepared transaction may be one of taskq's.
 */
#include "taskq.h"

#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/builtins.h"

#include "base/clock.h"
#include "process/prepared_end.h"
#include "ready/ready.h"
#include "shared/prepared.h"
#include "shared/news.h"
#include "shared/shmem.h"
#include "shared/wake.h"
#include "store/catalog.h"
#include "store/owner.h"

static void
Remove(TaskqDatabase *db, TransactionId xid)
{
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < db->n_prepared; i++)
		if (db->prepared[i] == xid)
		{
			db->prepared[i] = db->prepared[--db->n_prepared];
			break;
		}
	LWLockRelease(&taskq_shared->lock);
}

/* Take those off the list that have ended; were there any? */
static bool
RemoveEnded(TaskqDatabase *db)
{
	TransactionId prepared[MAX_PREPARED];
	int			  n;
	bool		  any = false;

	LWLockAcquire(&taskq_shared->lock, LW_SHARED);
	n = db->n_prepared;
	memcpy(prepared, db->prepared, sizeof(TransactionId) * n);
	LWLockRelease(&taskq_shared->lock);
	for (int i = 0; i < n; i++)
		if (!TransactionIdIsInProgress(prepared[i]))
		{
			Remove(db, prepared[i]);
			any = true;
		}
	return any;
}

/* Look at all that it may have changed, the most part when this transaction commits. */
static void
ActOnEnd(void)
{
	ReadyForget();
	NewsPush(NEWS_ALL_TABLES, NULL);
	WakeConfigChanged();
	WakeForEvents();
	WakeSchedulerAt(ClockNow());
	WakeLauncher(MyDatabaseId);
}

/* A prepared transaction of this database was ended by this session. */
void
PreparedEnded(void)
{
	TaskqDatabase *db;
	bool		   act;

	if (!ShmemPresent())
		return;

	/* who drops the extension so leaves the scheduler to find out */
	db = CatalogInstalled() ? ShmemDatabase(MyDatabaseId, true) : ShmemMyDatabase();

	/* where there is no room to note any, each may be one of taskq's */
	if (db == NULL)
		act = CatalogInstalled();
	else
		act = RemoveEnded(db) || !db->prepared_known;
	if (act)
		ActOnEnd();
}

/* Put all prepared transactions of this database on the list. */
static void
ListAll(TaskqDatabase *db)
{
	OwnerScope scope;
	uint64	   n;

	/* first: one that is prepared meanwhile, for which there is no room, says so */
	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	db->prepared_known = true;
	LWLockRelease(&taskq_shared->lock);
	OwnerEnterSpi(&scope);
	n = OwnerExecute("SELECT transaction FROM pg_catalog.pg_prepared_xacts"
					 " WHERE database = pg_catalog.current_database()",
					 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		bool isnull;

		PreparedAdd(db, DatumGetTransactionId(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)));
	}
	OwnerLeaveSpi(&scope);
}

/* Is the list to be made?  Not when it would be full again. */
static bool
MustList(const TaskqDatabase *db)
{
	return !db->prepared_known && db->n_prepared <= MAX_PREPARED / 2;
}

/* As long as there are prepared transactions, one may have ended. */
TimestampTz
PreparedDue(const WorkPast *past)
{
	TaskqDatabase *db = ShmemMyDatabase();

	if (db == NULL || (db->n_prepared == 0 && !MustList(db)))
		return DT_NOEND;
	return past->news ? DT_NOBEGIN : WorkByPoll(past);
}

/* Act on prepared transactions that have ended. */
void
PreparedLook(WorkResult *result)
{
	TaskqDatabase *db = ShmemMyDatabase();
	bool		   ended = RemoveEnded(db);

	if (MustList(db))
	{
		/* nobody has noticed the end of one that ended before it was listed */
		ListAll(db);
		ended = true;
	}
	if (ended)
		ActOnEnd();
}
