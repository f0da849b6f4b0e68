/*
 * changes.h
 *	  Changes of the configuration by this transaction.
 *
 * A caller that has changed a row calls one of these functions.  This transaction
 * sees the change from then on; other processes see it when the transaction has
 * committed.
 */
#ifndef TASKQ_CHANGES_H
#define TASKQ_CHANGES_H

#include "taskq.h"

#include "store/rels.h"

extern void ChangesInit(void);
extern void ConfigNameChanged(TaskqRel rel, const char *name);
extern void ConfigNumberChanged(TaskqRel rel, int32 number);
extern void ConfigRowsChanged(TaskqRel rel);
extern void ConfigAnythingChanged(void);

#endif /* TASKQ_CHANGES_H */
