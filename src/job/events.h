/*
 * events.h
 *	  The log of events, which records what happened to jobs.
 */
#ifndef TASKQ_EVENTS_H
#define TASKQ_EVENTS_H

#include "taskq.h"

#include "job/transition.h"
#include "store/leaf.h"

extern const LeafTable events_table;

extern void		   EventObserve(const Transition *transition);
extern TimestampTz EventTimeOfRow(TupleTableSlot *slot);
extern void		   EventRecordProgress(const TaskqJob *job, TimestampTz now);

#endif /* TASKQ_EVENTS_H */
