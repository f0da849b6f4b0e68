/*
 * horizon.h
 *	  Find out who keeps dead rows from being removed.
 */
#ifndef TASKQ_HORIZON_H
#define TASKQ_HORIZON_H

#include "taskq.h"

extern char *HorizonHolder(void);

#endif /* TASKQ_HORIZON_H */
