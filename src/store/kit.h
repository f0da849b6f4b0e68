/*
 * kit.h
 *	  Kits: the executor state for writing rows of a table, kept for later use.
 */
#ifndef TASKQ_KIT_H
#define TASKQ_KIT_H

#include "taskq.h"

#include "executor/executor.h"
#include "lib/ilist.h"
#include "utils/date.h"

#include "store/codec.h"
#include "store/last_page.h"

#define STORE_MAX_GATHERED 256

/* An index of the table of a kit. */
typedef struct KitIndex
{
	Oid		   relid;
	char	   gate;		/* it has only the rows with this gate; '\0': it has all rows */
	AttrNumber negative;	/* and only those in which this column is negative; 0: all of them */
	AttrNumber last_column; /* the last column of the table that it needs */
	bool	   is_kept;		/* the transaction had its lock already when it was opened, and keeps it */
	LastPage   last_page;
} KitIndex;

typedef struct StoreKit
{
	dlist_node		node; /* in the list of all kits, most recently used first */
	Oid				relid;
	TaskqRel		table;		/* the table, or that of which it is a leaf */
	int				level;		/* level of the subtransaction that uses the kit, or 0 */
	bool			stale;		/* the table has changed since the kit was created */
	bool			kept;		/* the kit may be used again */
	bool			describing; /* the indexes are being described */
	bool			indexes_open;
	KitIndex	   *indexes;   /* NULL until the first row is written */
	bool			simple;	   /* the table has no constraints but its keys, NOT NULL, and the bounds of a leaf */
	bool			direct;	   /* and its indexes are simple, too: see write.c */
	uint64			not_null;  /* the columns with NOT NULL, a bit each */
	bool			knows_day; /* the bounds of this leaf allow the day... */
	DateADT			day;	   /* on which rows expire */
	const Codec	   *codec;	   /* forms and reads tuples; NULL: the server's functions do */
	MemoryContext	context;   /* memory of the whole kit */
	EState		   *estate;
	ResultRelInfo  *result;
	EPQState		epq;
	TupleTableSlot *found;
	TupleTableSlot *row;
	TupleTableSlot *formed; /* the row, when its tuple is formed */

	/* rows that are kept to be inserted together; the slots stay for later ones */
	TupleTableSlot *gathered[STORE_MAX_GATHERED];
	int				n_gathered;
	Size			gathered_size;
} StoreKit;

extern StoreKit		  *KitTake(Relation rel, TaskqRel table);
extern void			   KitOpenIndexes(StoreKit *kit);
extern Relation		   KitIndexRelation(StoreKit *kit, int i);
extern TupleTableSlot *KitGatherSlot(StoreKit *kit);
extern void			   KitReturn(StoreKit *kit);
extern void			   KitInvalidate(Oid relid);
extern void			   KitInit(void);

#endif /* TASKQ_KIT_H */
