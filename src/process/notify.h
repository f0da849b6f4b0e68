/*
 * notify.h
 *	  Sending one NOTIFY for many events.
 */
#ifndef TASKQ_NOTIFY_H
#define TASKQ_NOTIFY_H

#include "taskq.h"

#include "process/work.h"

extern TimestampTz NotifyDue(const WorkPast *past);
extern void		   NotifyOfEvents(WorkResult *result);

#endif /* TASKQ_NOTIFY_H */
