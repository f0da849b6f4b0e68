/*
 * kit.h
 *	  Kits: the executor state for writing rows of a table, kept for later use.
 */
#ifndef TASKQ_KIT_H
#define TASKQ_KIT_H

#include "taskq.h"

#include "executor/executor.h"
#include "lib/ilist.h"

typedef struct StoreKit
{
	dlist_node		node; /* in the list of all kits, most recently used first */
	Oid				relid;
	int				level;		/* level of the subtransaction that uses the kit, or 0 */
	bool			stale;		/* the table has changed since the kit was created */
	bool			kept;		/* the kit may be used again */
	bool			describing; /* the indexes are being described */
	bool			indexes_open;
	Oid			   *indexes; /* NULL until the first row is written */
	MemoryContext	context; /* memory of the whole kit */
	EState		   *estate;
	ResultRelInfo  *result;
	EPQState		epq;
	TupleTableSlot *found;
	TupleTableSlot *row;
} StoreKit;

extern StoreKit *KitTake(Relation rel);
extern void		 KitOpenIndexes(StoreKit *kit);
extern void		 KitReturn(StoreKit *kit);
extern void		 KitInvalidate(Oid relid);
extern void		 KitInit(void);

#endif /* TASKQ_KIT_H */
