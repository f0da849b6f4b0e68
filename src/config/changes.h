/*
 * changes.h
 *	  Keeping track of what this transaction changes in the configuration.
 *
 * A caller that has changed a row calls one of these functions.  From then on, this
 * transaction sees the change.  Other processes see it when the transaction has
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
extern bool ConfigHasChangedHere(TaskqRel rel);
extern bool ConfigNumberHasChangedHere(TaskqRel rel, int32 number);

#endif /* TASKQ_CHANGES_H */
