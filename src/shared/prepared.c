/*
 * prepared.c
 *	  Which prepared transactions are taskq's; prepared_end.c says what for.
 */
#include "taskq.h"

#include "access/xact.h"

#include "shared/prepared.h"
#include "shared/shmem.h"

/* Have a transaction on the list; when that is full, any may be one of taskq's. */
void
PreparedAdd(TaskqDatabase *db, TransactionId xid)
{
	bool found = false;

	LWLockAcquire(&taskq_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < db->n_prepared && !found; i++)
		found = db->prepared[i] == xid;
	if (!found && db->n_prepared < MAX_PREPARED)
		db->prepared[db->n_prepared++] = xid;
	else if (!found)
		db->prepared_known = false;
	LWLockRelease(&taskq_shared->lock);
}

/*
 * This transaction is being prepared, and has done something of which others are
 * to be told.  Nobody can end it before this has returned.  Cannot fail.
 */
void
PreparedNote(void)
{
	TaskqDatabase *db = ShmemMyDatabase();

	if (db != NULL && TransactionIdIsValid(GetTopTransactionIdIfAny()))
		PreparedAdd(db, GetTopTransactionIdIfAny());
}
