/*
 * leaf_find.h
 *	  Finding the leaves in which a row with a given id may be.
 */
#ifndef TASKQ_LEAF_FIND_H
#define TASKQ_LEAF_FIND_H

#include "taskq.h"

#include "utils/snapshot.h"

#include "store/leaf.h"

extern Oid *LeavesWithId(const LeafTable *table, int64 id, int *n);
extern bool LeafHasEntry(Oid leaf, int64 id, Snapshot snapshot);
extern void LeafFindInvalidate(Oid relid);

#endif /* TASKQ_LEAF_FIND_H */
