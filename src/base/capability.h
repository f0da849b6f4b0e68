/*
 * capability.h
 *	  Capabilities: what tokens are valid, and the digest of a set.
 */
#ifndef TASKQ_CAPABILITY_H
#define TASKQ_CAPABILITY_H

#include "taskq.h"

#include "fmgr.h"
#include "utils/array.h"

extern ArrayType *ArgCapabilities(FunctionCallInfo fcinfo, int n, const char *what);
extern char		 *CapabilityNotValid(ArrayType *set);
extern char		 *CapabilitiesDigest(ArrayType *set);
extern char		 *CapabilitiesInLog(ArrayType *set, bool in_full);

#endif /* TASKQ_CAPABILITY_H */
