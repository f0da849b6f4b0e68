/*
 * log_pace.h
 *	  At most one message a minute on one subject.
 */
#ifndef TASKQ_LOG_PACE_H
#define TASKQ_LOG_PACE_H

#include "taskq.h"

extern bool LogIsDue(const char *subject);

#endif /* TASKQ_LOG_PACE_H */
