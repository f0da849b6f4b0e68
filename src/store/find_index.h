/*
 * find_index.h
 *	  Which index of a table serves a look-up.
 */
#ifndef TASKQ_FIND_INDEX_H
#define TASKQ_FIND_INDEX_H

#include "taskq.h"

#include "access/attnum.h"

#define INDEX_MAX_KEYS_WANTED 4

/* What an index must be, to be gone by. */
typedef struct IndexWanted
{
	int			n_keys;						 /* 0: there is no such wish, as it is no index */
	AttrNumber	keys[INDEX_MAX_KEYS_WANTED]; /* the columns, in order */
	Oid			collation;					 /* of the first; InvalidOid: any */
	AttrNumber	gate_column;				 /* it holds the rows in which this column, */
	char		gate;						 /* a "char", is that; '\0': all rows */
	const char *definition;					 /* the statement that makes it */
} IndexWanted;

extern Oid IndexFind(const IndexWanted *wanted, const char *name, Oid table);

#endif /* TASKQ_FIND_INDEX_H */
