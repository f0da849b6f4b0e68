/*
 * prepared_end.h
 *	  Handling the end of prepared transactions that have used taskq.
 */
#ifndef TASKQ_PREPARED_END_H
#define TASKQ_PREPARED_END_H

#include "taskq.h"

#include "process/work.h"

extern void		   PreparedEnded(void);
extern TimestampTz PreparedDue(const WorkPast *past);
extern void		   PreparedLook(WorkResult *result);

#endif /* TASKQ_PREPARED_END_H */
