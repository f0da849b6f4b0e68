/*
 * prepared_end.c
 *	  Handling the end of prepared transactions that have used taskq.
 *
 * The backend that runs a transaction keeps in its memory what the commit will tell
 * other processes (wake.c) and add to the ready list.  PREPARE TRANSACTION discards
 * that.  COMMIT PREPARED and ROLLBACK PREPARED may come from any session, even
 * after a restart.  So taskq only notes the ids of prepared transactions that have
 * used it, in shared memory.  When one of them has ended, everything that it may
 * have changed is looked at: the ready lists of the database are built again, the
 * jobs are counted again, the configuration is read again, all waiting processes are woken, and the launcher
 * checks whether the transaction has created the extension.  Transactions that have
 * not used taskq cause none of this.
 *
 * The session that runs COMMIT PREPARED looks at once (ddl.c).  The scheduler looks
 * now and then, for transactions that were ended in another way.  The ids of
 * transactions that were prepared before the server started are unknown until the
 * scheduler has read them from pg_prepared_xacts.  Until then, every prepared
 * transaction that ends may have used taskq.
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
#include "shared/counts.h"
#include "shared/holders.h"
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

/* Remove transactions that have ended from the list; returns true if there were any. */
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
			/* as long as it is in the list, the counts are not used */
			CountsDoubtAll();
			Remove(db, prepared[i]);
			any = true;
		}
	return any;
}

/*
 * Look at everything that the transaction may have changed.  Most of this happens
 * when the current transaction commits.
 */
static void
ActOnEnd(void)
{
	ReadyForget();
	CountsDoubtAll();
	HoldersDoubt();
	NewsPush(NEWS_ALL_TABLES, NULL);
	WakeConfigChanged();
	WakeForEvents();
	WakeSchedulerAt(ClockNow());
	WakeLauncher(MyDatabaseId);
}

/* Called when this session has ended a prepared transaction of this database. */
void
PreparedEnded(void)
{
	TaskqDatabase *db;
	bool		   act;

	if (!ShmemPresent())
		return;

	/* if the transaction dropped the extension, the scheduler will find out */
	db = CatalogInstalled() ? ShmemDatabase(MyDatabaseId, true) : ShmemMyDatabase();

	/* if there is no room for a list, each transaction may have used taskq */
	if (db == NULL)
		act = CatalogInstalled();
	else
		act = RemoveEnded(db) || !db->prepared_known;
	if (act)
		ActOnEnd();
}

/* Add all prepared transactions of this database to the list. */
static void
ListAll(TaskqDatabase *db)
{
	OwnerScope scope;
	uint64	   n;

	/* set this first: a transaction that is prepared now and finds no room resets it */
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

/* Must the list be built?  Not if it would be full at once. */
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
	return past->signalled ? DT_NOBEGIN : WorkByPoll(past);
}

/* Act on prepared transactions that have ended. */
void
PreparedLook(WorkResult *result)
{
	TaskqDatabase *db = ShmemMyDatabase();
	bool		   ended = RemoveEnded(db);

	if (MustList(db))
	{
		/* a transaction may have ended before it was listed, and nobody has noticed */
		ListAll(db);
		ended = true;
	}
	if (ended)
		ActOnEnd();
}
