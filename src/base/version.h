/*
 * version.h
 *	  Compare versions of handlers.
 */
#ifndef TASKQ_VERSION_H
#define TASKQ_VERSION_H

#include "taskq.h"

extern bool VersionAtLeast(const char *version, const char *least);

#endif /* TASKQ_VERSION_H */
