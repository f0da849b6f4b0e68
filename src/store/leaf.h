/*
 * leaf.h
 *	  Leaves: partitions for each day on which rows expire.
 */
#ifndef TASKQ_LEAF_H
#define TASKQ_LEAF_H

#include "taskq.h"

#include "nodes/pg_list.h"
#include "utils/date.h"
#include "utils/timestamp.h"

#include "store/catalog.h"
#include "store/store.h"

/* A partitioned table with a leaf for each day. */
typedef struct LeafTable
{
	const char *name; /* leaves have this name, followed by the day */
	TaskqRel	parent;
	TaskqRel	overflow;
	const char *key;   /* the columns of each leaf's primary key */
	const char *index; /* the columns of another index of each leaf, in which no two entries are equal; or NULL */
} LeafTable;

#define LEAF_BATCH_MAX 4

/* Rows that are gathered to be inserted together, in leaves that are open; zeroed before its first use. */
typedef struct LeafBatch
{
	int n;
	struct
	{
		Store	store;
		DateADT day;		/* on which the rows expire */
		DateADT expires_on; /* what they say: that day, or what the overflow leaf holds */
	} leaves[LEAF_BATCH_MAX];
} LeafBatch;

/* Result of creating a leaf. */
typedef enum LeafMaking
{
	LEAF_IS_MADE,
	LEAF_IS_THERE,	   /* it existed already */
	LEAF_NAME_IS_TAKEN /* by a relation that is not a leaf */
} LeafMaking;

extern Oid		   LeafOfDay(const LeafTable *table, DateADT day);
extern void		   LeafInvalidate(Oid relid);
extern DateADT	   LeafDay(TimestampTz moment, int64 retention);
extern TimestampTz LeafNextDay(void);
extern void		   LeafOpenForRow(Store *leaf, const LeafTable *table, TimestampTz now, int64 retention, DateADT *expires_on);
extern Store	  *LeafBatchFor(LeafBatch *batch, const LeafTable *table, TimestampTz now, int64 retention, DateADT *expires_on);
extern void		   LeafBatchWrite(LeafBatch *batch);
extern Oid		  *LeafList(const LeafTable *table, int *n);
extern bool		   LeafCare(bool wait);
extern void		   LeafWant(void);
extern LeafMaking  LeafMake(const LeafTable *table, DateADT day);
extern char		  *LeafExpired(const LeafTable *table);
extern bool		   LeafIsFree(const LeafTable *table, Oid leaf);
extern void		   LeafDrop(const LeafTable *table, const char *name);

#endif /* TASKQ_LEAF_H */
