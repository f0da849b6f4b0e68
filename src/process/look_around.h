/*
 * look_around.h
 *	  May taskq's processes work in this database?
 */
#ifndef TASKQ_LOOK_AROUND_H
#define TASKQ_LOOK_AROUND_H

#include "taskq.h"

typedef struct Surroundings
{
	bool leave; /* taskq is not installed in this database */
	bool idle;	/* or is not to do anything here */
} Surroundings;

extern void LookAround(void *arg);

#endif /* TASKQ_LOOK_AROUND_H */
