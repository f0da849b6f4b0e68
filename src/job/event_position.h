/*
 * event_position.h
 *	  Positions in the log of events.
 */
#ifndef TASKQ_EVENT_POSITION_H
#define TASKQ_EVENT_POSITION_H

#include "taskq.h"

extern int64 EventNextId(void);
extern int64 EventHorizon(int64 after);

#endif /* TASKQ_EVENT_POSITION_H */
