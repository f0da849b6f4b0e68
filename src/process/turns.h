/*
 * turns.h
 *	  Choosing the databases that have a scheduler, if there are not enough slots
 *	  for all.
 */
#ifndef TASKQ_TURNS_H
#define TASKQ_TURNS_H

#include "taskq.h"

#include "utils/timestamp.h"

extern TimestampTz TurnsStartNeeded(void);

#endif /* TASKQ_TURNS_H */
