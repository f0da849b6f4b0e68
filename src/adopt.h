/*
 * adopt.h
 *	  Is this the database that the installation was made in?
 */
#ifndef TASKQ_ADOPT_H
#define TASKQ_ADOPT_H

#include "taskq.h"

extern bool AdoptedHere(void);

#endif							/* TASKQ_ADOPT_H */
