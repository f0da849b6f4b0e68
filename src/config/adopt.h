/*
 * adopt.h
 *	  Is this the database that the installation was made in?
 */
#ifndef TASKQ_ADOPT_H
#define TASKQ_ADOPT_H

#include "taskq.h"

#include "utils/timestamp.h"

extern bool		   AdoptedHere(void);
extern TimestampTz AdoptedRolesFrom(void);

#endif /* TASKQ_ADOPT_H */
