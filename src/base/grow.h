/*
 * grow.h
 *	  Arrays that live as long as the process and grow.
 */
#ifndef TASKQ_GROW_H
#define TASKQ_GROW_H

#include "taskq.h"

extern void *GrowArray(void *array, Size size, int *max, int wanted);

#endif /* TASKQ_GROW_H */
