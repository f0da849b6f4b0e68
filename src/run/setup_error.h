/*
 * setup_error.h
 *	  Telling errors of the database's setup from those of one job's data.
 */
#ifndef TASKQ_SETUP_ERROR_H
#define TASKQ_SETUP_ERROR_H

#include "taskq.h"

#include "run/call.h"

extern bool ErrorIsOfSetup(const Run *run);

#endif /* TASKQ_SETUP_ERROR_H */
