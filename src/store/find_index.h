/*
 * find_index.h
 *	  Finding the index of a table for a look-up.
 */
#ifndef TASKQ_FIND_INDEX_H
#define TASKQ_FIND_INDEX_H

#include "taskq.h"

#include "access/attnum.h"
#include "nodes/nodes.h"

#define INDEX_MAX_KEYS_WANTED 5

/* Definition that an index must have. */
typedef struct IndexWanted
{
	int			n_keys;						 /* 0 if this is not an index */
	AttrNumber	keys[INDEX_MAX_KEYS_WANTED]; /* the columns, in order */
	Oid			collation;					 /* of the first column; InvalidOid means any */
	AttrNumber	gate_column;				 /* the index contains the rows in which this column, */
	char		gate;						 /* of type "char", has this value; '\0' means all rows */
	AttrNumber	negative;					 /* and only those in which this column is negative; 0: all of them */
	const char *definition;					 /* the statement that creates it */
} IndexWanted;

/* The rows that an index contains, see IndexWanted. */
typedef struct IndexRows
{
	char	   gate;
	AttrNumber negative;
} IndexRows;

extern Oid		 IndexFind(const IndexWanted *wanted, const char *name, Oid table);
extern IndexRows IndexRowsOf(Node *predicate, AttrNumber gate_column);

#endif /* TASKQ_FIND_INDEX_H */
