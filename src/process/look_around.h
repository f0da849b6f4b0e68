/*
 * look_around.h
 *	  Checking whether taskq's processes may work in this database.
 */
#ifndef TASKQ_LOOK_AROUND_H
#define TASKQ_LOOK_AROUND_H

#include "taskq.h"

typedef struct Surroundings
{
	bool leave; /* taskq is not installed in this database */
	bool idle;	/* taskq must not do anything in this database */
} Surroundings;

extern void LookAround(void *arg);

#endif /* TASKQ_LOOK_AROUND_H */
