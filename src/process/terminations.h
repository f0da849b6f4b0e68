/*
 * terminations.h
 *	  Recording runs that were terminated from outside.
 */
#ifndef TASKQ_TERMINATIONS_H
#define TASKQ_TERMINATIONS_H

#include "taskq.h"

#include "process/work.h"

extern TimestampTz TerminationsDue(const WorkPast *past);
extern void		   TerminationsRecord(WorkResult *result);

#endif /* TASKQ_TERMINATIONS_H */
