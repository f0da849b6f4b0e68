/*
 * prepared.c
 *	  The prepared transactions after whose end other processes must look for changes.
 *	  prepared_end.c handles their end.
 */
#include "taskq.h"

#include "access/xact.h"

#include "shared/prepared.h"
#include "shared/shmem.h"

/* Add a transaction to the list.  If the list is full, any prepared transaction may matter. */
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
 * Note that other processes must look for changes when this transaction, which is
 * being prepared, has ended.  Nobody can end it before this function returns.  The function cannot fail.
 */
void
PreparedNote(void)
{
	TaskqDatabase *db = ShmemMyDatabase();

	if (db != NULL && TransactionIdIsValid(GetTopTransactionIdIfAny()))
		PreparedAdd(db, GetTopTransactionIdIfAny());
}
