/*
 * kept.h
 *	  Relations on which this transaction keeps a lock until it ends.
 */
#ifndef TASKQ_KEPT_H
#define TASKQ_KEPT_H

#include "taskq.h"

#include "utils/relcache.h"

extern Relation KeptOpen(Oid relid, bool *is_kept);
extern void		KeptNote(Oid relid);
extern void		KeptInit(void);

#endif /* TASKQ_KEPT_H */
