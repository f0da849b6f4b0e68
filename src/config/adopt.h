/*
 * adopt.h
 *	  Deciding whether this is the database in which taskq was installed.
 */
#ifndef TASKQ_ADOPT_H
#define TASKQ_ADOPT_H

#include "taskq.h"

#include "utils/timestamp.h"

extern bool		   AdoptedHere(void);
extern TimestampTz AdoptedRolesFrom(void);

#endif /* TASKQ_ADOPT_H */
