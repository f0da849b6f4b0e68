/*
 * place.h
 *	  The place of a waiting job in its line.
 */
#ifndef TASKQ_PLACE_H
#define TASKQ_PLACE_H

#include "taskq.h"

extern char *PlaceInLine(int64 job_id);

#endif /* TASKQ_PLACE_H */
