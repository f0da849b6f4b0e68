/*
 * kit.h
 *	  What it takes to write rows of a table, kept from one use to the next.
 */
#ifndef TASKQ_KIT_H
#define TASKQ_KIT_H

#include "taskq.h"

#include "executor/executor.h"
#include "lib/ilist.h"

typedef struct StoreKit
{
	dlist_node		node; /* in the list of all, by when they were used last */
	Oid				relid;
	int				level;		/* of the subtransaction that uses it; 0: none does */
	bool			stale;		/* the table was changed since it was made */
	bool			kept;		/* may be used again */
	bool			describing; /* the indexes, just now */
	bool			indexes_open;
	Oid			   *indexes; /* NULL until the first row is written */
	MemoryContext	context; /* of all of it */
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
